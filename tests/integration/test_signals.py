"""Signals that end a command: one line, the signal itself as the end, and no half of a file."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.support.archives import Plan, build_archive
from tests.support.children import children_of
from tests.support.postgres import ENGINES
from tests.support.waiting import DEADLINE_S, wait_until

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=ENGINES)
def url(request, databases):
    made = databases.migrated(request.param)
    build_archive(made, Plan(20, 2))
    yield made
    databases.drop(made)


def command(url: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "ztfdb.cli", "--db", url, *words]


def superuser(url: str) -> list[str]:
    """The tests' server knows only its superuser, whom ``sql`` refuses."""
    return ["--force"] if url.startswith("postgres") else []


def test_interrupted_it_says_so_in_one_line(url):
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    words = command(url, "-vv", "sql", endless, "--timeout", str(DEADLINE_S), *superuser(url))
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: is_asking(url, process.pid))
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == -signal.SIGINT  # in a shell 130; with another end, its loop would go on
    assert stderr.splitlines()[-1] == "interrupted"
    assert "Traceback" not in stderr


SLOW_IMPORT = """
import sys, time

class Slow:
    def find_spec(self, name, *_):
        if name == "click":
            print("importing", flush=True)
            time.sleep(600)

sys.meta_path.insert(0, Slow())
from ztfdb.cli import main
main()
"""

DEAF = """
import time
from ztfdb.cli import main
from ztfdb.store import backup

class Deaf:  # as callbacks of C code are
    def __del__(self):
        print("deaf", flush=True)
        time.sleep(1)

def copy(*_):
    try:
        print("deaf", flush=True)
        time.sleep(600)
    except KeyboardInterrupt:
        Deaf()
    time.sleep(600)

backup._copy = copy
main()
"""


@SQLITE
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("code", [SLOW_IMPORT, DEAF])
def test_a_signal_ends_it_wherever_it_comes(url, tmp_path, code, number):
    """While modules are imported, and where the code around it lets the interrupt go."""
    words = [sys.executable, "-c", code, "--db", url, "backup", str(tmp_path / "copy.sqlite")]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, text=True, **pipes) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(number)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    told = "interrupted" if number == signal.SIGINT else "ended by SIGTERM"
    assert (process.returncode, stderr) == (-number, f"{told}\n")
    assert list(tmp_path.iterdir()) == []


@SQLITE
def test_ctrl_c_also_ends_the_loop_of_a_shell(url):
    """A shell goes on with its next command unless the signal itself has ended the one that ran."""
    endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"
    words = shlex.join(command(url, "sql", endless, "--timeout", str(DEADLINE_S), *superuser(url)))
    loop = f"for i in 1 2; do {words}; echo next; done"
    with subprocess.Popen(["bash", "-c", loop], stdout=subprocess.PIPE, text=True, start_new_session=True) as shell:
        wait_until(lambda: any(is_asking(url, child) for child in children_of(shell.pid)))
        os.killpg(shell.pid, signal.SIGINT)  # as a terminal does
        assert (shell.communicate(timeout=DEADLINE_S)[0], shell.returncode) == ("", -signal.SIGINT)


SLOW_COPY = """
import time
from ztfdb.cli import main
from ztfdb.store import backup
backup._copy = lambda *_: time.sleep(600)
main()
"""


@SQLITE
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_by_a_signal_it_leaves_no_half_of_a_file(url, tmp_path, number):
    """As a timer's limit, a shutdown or a lost terminal ends it."""
    words = [sys.executable, "-c", SLOW_COPY, "--db", url, "backup", str(tmp_path / "copy.sqlite")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: any(tmp_path.glob(".copy*.part")))
        process.send_signal(number)
        _, stderr = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, stderr) == (-number, f"ended by {number.name}\n")
    assert list(tmp_path.iterdir()) == []


@SQLITE
def test_a_signal_that_its_starter_ignores_is_ignored(url, tmp_path):
    """``nohup ztfdb …``."""
    words = [sys.executable, "-c", SLOW_COPY.replace("600", "1"), "--db", url, "backup", str(tmp_path / "copy.sqlite")]
    with subprocess.Popen(["nohup", *words], stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: any(tmp_path.glob(".copy*.part")))
        process.send_signal(signal.SIGHUP)
        process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0


def is_asking(url: str, pid: int) -> bool:
    """Tell whether a process has begun to ask: its statement runs on the server, or it has opened the file."""
    if url.startswith("sqlite"):
        name = Path(url.removeprefix("sqlite:///")).name
        files = Path(f"/proc/{pid}/fd").glob("*")
        return any(Path(os.path.realpath(file)).name == name for file in files)
    with psycopg.connect(url.replace("+psycopg", "")) as connection:
        statement = "select count(*) from pg_stat_activity where state = 'active' and query like 'with recursive n(i)%'"
        return connection.execute(statement).fetchone() != (0,)
