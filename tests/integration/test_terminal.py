"""What reaches a terminal, a pipe, or a stream that is closed."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

import ztfdb
from tests.support.terminals import in_shell, on_terminal
from ztfdb.simulate import make_science_image

OSC = "\x1b]0;owned\x07"
EVIL = "\x1b]0;owned\x07\x9b2J\u202e\r"
STATEMENT = "select char(27) || ']0;owned' || char(7) || char(155) || '2J' || char(8238) || char(13) as word, 1 as n"


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """A folder with an archive of one image."""
    folder = tmp_path_factory.mktemp("night")
    made = make_science_image(folder / "data", n_star=5, seed=1, shape=(120, 130), obsmjd=59116.4317708)
    with ztfdb.open(folder / "ztfdb.sqlite", create=True) as archive:
        archive.ingest(made.sci)
    return folder


def acts(got: bytes) -> bool:
    """Tell whether something in it acts on a terminal: the line ends of the terminal itself do not count."""
    text = got.decode("utf-8", "surrogateescape").replace("\r\n", "\n").replace("\n", "").replace("\t", "")
    return any(not one.isprintable() for one in text)


@pytest.mark.parametrize("form", ["table", "csv", "json", "votable"])
def test_values_reach_a_terminal_escaped(night, form):
    status, got = on_terminal(["sql", STATEMENT, "--format", form], night)
    assert status == 0
    assert b"owned" in got
    assert not acts(got)


def test_values_reach_a_pipe_and_a_file_as_they_are(night):
    done = in_shell(f'$ZTFDB sql "{STATEMENT}" --format csv | tee piped; $ZTFDB sql "{STATEMENT}" -o rows.csv', night)
    assert done.returncode == 0
    for name in ("piped", "rows.csv"):
        assert EVIL in (night / name).read_bytes().decode()


def test_names_reach_a_terminal_escaped(night, tmp_path):
    name = "ztf\x1b]0;owned\x07\u202e.fits"
    (tmp_path / name).write_bytes(b"no image")
    bad = os.fsencode(tmp_path) + b"/\xff\x1b[2J.fits"
    Path(os.fsdecode(bad)).write_bytes(b"no image")
    with ztfdb.open(tmp_path / "ztfdb.sqlite", create=True):
        pass
    status, got = on_terminal(["ingest", "--list", name, bad, "nothing\x1b[31m"], tmp_path)
    bar = got.replace(b"\x1b[", b"").replace(b"\x1b]", b"\x1b")  # rich's own sequences are CSI alone
    assert (status, b"\x07" in got, b"\x1b" in bar, "\u202e".encode() in got) == (1, False, False, False)
    assert b"\x1b[2J" not in got
    assert b"owned" in got
    assert b"\\xff\\x1b[2J.fits" in got


@pytest.mark.parametrize(
    "words",
    [
        ["sql", f"select '{OSC}' from nosuch"],
        [f"nosuch{OSC}"],
        ["cone", OSC, "1", "1"],
        ["catalog", "import", "x", OSC],
    ],
)
def test_errors_reach_a_terminal_escaped(night, words):
    status, got = on_terminal(words, night)
    assert status != 0
    assert b"\\x1b]0;owned\\x07" in got or words[0] == "sql"
    assert b"\x07" not in got
    assert b"\x1b]" not in got


@pytest.mark.parametrize(
    ("line", "status", "words"),
    [
        ("$ZTFDB status >&-", 1, "error: stdout cannot be written: Bad file descriptor\n"),
        ("$ZTFDB sql 'select 1' --format csv >&-", 1, "error: stdout cannot be written: Bad file descriptor\n"),
        ("$ZTFDB status > /dev/full", 1, "error: stdout cannot be written: No space left on device\n"),
        ("$ZTFDB sql 'select 1' -o rows.csv >&-", 0, "wrote 1 row to rows.csv\n"),
        ("$ZTFDB status 2>&- | wc -l >&2; exit ${PIPESTATUS[0]}", 0, None),
        ("$ZTFDB nosuch 2>&-", 2, ""),
        ("$ZTFDB status --db sqlite:///nosuch.db 2>/dev/full", 1, ""),
        ("$ZTFDB status >&- 2>&- <&-", 1, ""),
        ("$ZTFDB ingest - <&-", None, None),
        ("$ZTFDB --help | true; exit ${PIPESTATUS[0]}", None, ""),
        ("$ZTFDB sql 'with recursive n(i) as (select 1 union all select i+1 from n limit 90000) select * from n'"
         " --format csv | head -1; exit ${PIPESTATUS[0]}", 141, ""),
    ],
)  # fmt: skip
def test_streams_that_are_closed_or_full(night, line, status, words):
    done = in_shell(line, night)
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if status is not None:
        assert done.returncode == status
    if words is not None:
        assert done.stderr == words


def test_the_work_goes_on_where_nobody_reads_the_words(night, tmp_path):
    made = make_science_image(tmp_path, n_star=5, seed=2, shape=(120, 130), obsmjd=59117.4317708)
    done = in_shell(f"$ZTFDB ingest --db sqlite:///new.db {made.sci} 2> >(true)", tmp_path)
    assert done.returncode == 0
    with ztfdb.open(tmp_path / "new.db") as archive:
        assert archive.status()["n_image"] == 1


def test_rows_piped_away_beside_a_progress_bar_stay_in_the_pipe(night, tmp_path):
    listed = tmp_path / "listed"
    line = f"$ZTFDB ingest data --list > {listed}"
    status, _ = on_terminal_shell(line, night)
    assert status == 0
    assert b"unchanged" in listed.read_bytes()


def on_terminal_shell(line, cwd):
    import pty
    import subprocess

    from tests.support.terminals import COMMAND

    leader, follower = pty.openpty()
    environ = {**os.environ, "ZTFDB": " ".join(COMMAND), "TERM": "xterm"}
    process = subprocess.Popen(["/bin/bash", "-c", line], stderr=follower, cwd=cwd, env=environ)
    os.close(follower)
    got = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        got += piece
    os.close(leader)
    return process.wait(), got


def test_the_streams_are_given_back(night, monkeypatch):
    import sys

    from click.testing import CliRunner

    from ztfdb.cli.app import application

    before = sys.stdout, sys.stderr
    CliRunner().invoke(application, ["status", "--db", f"sqlite:///{night}/ztfdb.sqlite"])
    assert (sys.stdout, sys.stderr) == before
    assert [one for one in logging.getLogger("ztfdb").handlers if one.get_name() == "ztfdb"] == []


def test_a_stream_that_is_left_behind_says_nothing_about_the_one_below(monkeypatch):
    """Python flushes it when it is freed, and since 3.14 shows what that raises."""
    import io
    import sys

    from ztfdb.cli.terminal import streams

    below = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", below)
    with streams():
        left = sys.stdout
        assert left is not below
        left.write("rows\n")
    assert below.buffer.getvalue() == b"rows\n"
    below.close()
    left.flush()
    left.close()
