"""`ztfdb backup`: one moment of a SQLite archive, while another process writes it."""

import contextlib
import sqlite3
import threading

import pytest
from click.testing import CliRunner

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.waiting import wait_until
from ztfdb.cli.app import application
from ztfdb.errors import StoreError


@pytest.fixture
def url(databases):
    made = databases.migrated("sqlite")
    build_archive(made, Plan(400, 6, trouble=0.0))
    ztfdb.open(made, create=True).close()
    yield made
    databases.drop(made)


def run(url, file):
    return CliRunner().invoke(application, ["--db", url, "backup", str(file)])


def test_the_copy_is_an_archive_with_the_same_rows(url, tmp_path):
    copy = tmp_path / "copy.sqlite"
    result = run(url, copy)
    assert result.exit_code == 0, result.output
    assert [one.name for one in tmp_path.iterdir()] == ["copy.sqlite"]
    question = "select * from light_curve_point order by source_id"
    with ztfdb.open(url) as archive, ztfdb.open(copy) as copied:
        assert copied.sql(question).equals(archive.sql(question))
        assert len(copied.sql(question)) > 2000


def test_a_writer_neither_waits_nor_shows_in_part(url, tmp_path, monkeypatch):
    """Each transaction adds one row to two tables: a copy of one moment has as many of both."""
    monkeypatch.setattr("ztfdb.store.backup.PAGES_AT_ONCE", 1)
    database = url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.executescript("create table one (k integer, t text); create table two (k integer, t text)")
    n_written, stop = [0], threading.Event()

    def write():
        with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
            while not stop.is_set():
                connection.execute("begin immediate")
                for table in ("one", "two"):
                    connection.execute(f"insert into {table} values (?, ?)", (n_written[0], "x" * 5000))
                connection.execute("commit")
                n_written[0] += 1

    seen = []

    def follow(done, total):
        seen.append(n_written[0])
        if len(seen) == 1:  # the copy goes on when something was written meanwhile
            wait_until(lambda: n_written[0] > seen[0] or not writer.is_alive())

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with ztfdb.open(url) as archive:
            archive.backup(tmp_path / "copy.sqlite", progress=follow)
    finally:
        stop.set()
        writer.join()
    assert seen[-1] > seen[0]  # it did write meanwhile
    with contextlib.closing(sqlite3.connect(tmp_path / "copy.sqlite")) as connection:
        counts = [connection.execute(f"select count(*), max(k) from {table}").fetchone() for table in ("one", "two")]
    assert counts[0] == counts[1]
    assert counts[0][0] <= seen[0] + 1  # a row may be there before it is counted here


def test_nothing_is_overwritten_and_nothing_left_behind(url, tmp_path):
    copy = tmp_path / "copy.sqlite"
    copy.write_text("mine")
    for file, words in ((copy, "never overwrites"), (tmp_path / "none" / "copy.sqlite", "is not a folder")):
        result = run(url, file)
        assert result.exit_code == 1
        assert words in result.stderr
    assert copy.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir()] == ["copy.sqlite"]


def test_an_archive_of_another_revision_is_copied_as_it_is(url, tmp_path):
    """Before `ztfdb init` upgrades it, or where a newer ztfdb has done so."""
    database = url.removeprefix("sqlite:///")
    for revision in ("20261126_source_index", "20990101_later"):
        with contextlib.closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("update alembic_version set version_num = ?", (revision,))
        copy = tmp_path / revision
        result = run(url, copy)
        assert result.exit_code == 0, result.output
        with contextlib.closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("select version_num from alembic_version").fetchall() == [(revision,)]
            assert connection.execute("select count(*) from source").fetchone()[0] > 2000


def test_what_is_no_archive_is_told(tmp_path):
    other = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("create table t (k integer)")
    for file, words in ((other, "holds no archive"), (tmp_path / "none.sqlite", "there is no archive at")):
        result = run(f"sqlite:///{file}", tmp_path / "copy.sqlite")
        assert (result.exit_code, words in result.stderr) == (1, True), result.output
    assert [one.name for one in tmp_path.iterdir()] == ["other.sqlite"]


def test_postgresql_is_told_of_pg_dump(databases, tmp_path):
    made = databases.migrated("postgresql")
    with ztfdb.open(made, create=True) as archive, pytest.raises(StoreError, match="pg_dump"):
        archive.backup(tmp_path / "copy")
    databases.drop(made)
