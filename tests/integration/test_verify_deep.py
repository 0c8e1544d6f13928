"""`verify --deep`: what SQLite's own check finds, and sources that are not where their cell says."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.pages import check_pages, fill
from ztfdb.cli.app import application
from ztfdb.store.engine import make_engine


def run(url, *words):
    return CliRunner().invoke(application, ["--db", url, *words])


def test_a_source_at_another_place_than_its_cell_is_found(engine_url):
    build_archive(engine_url, Plan(40, 6, trouble=0.0))
    ztfdb.open(engine_url, create=True).close()
    engine = make_engine(engine_url)
    with ztfdb.open(engine_url) as archive:
        sound = archive.verify(deep=True)
        assert not sound["problem"].str.contains("cell|database").any()
        with engine.begin() as connection:
            connection.execute(
                text("update source set ra = ra + 0.1 where source_id = (select min(source_id) from source)")
            )
        (problem,) = set(archive.verify(deep=True)["problem"]) - set(sound["problem"])
    engine.dispose()
    assert problem == "1 sources whose cell is not that of their position"


@pytest.fixture(scope="module")
def whole(databases):
    url = databases.migrated("sqlite")
    build_archive(url, Plan(400, 6, trouble=0.0))
    ztfdb.open(url, create=True).close()
    file = Path(url.removeprefix("sqlite:///"))
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        (size,) = connection.execute("pragma page_size").fetchone()
    content = file.read_bytes()
    databases.drop(url)
    return content, size


def test_what_integrity_check_finds_is_found_and_nothing_is_a_traceback(whole, tmp_path):
    content, size = whole
    n_page = len(content) // size
    n_found = 0
    for page in range(1, n_page, max(1, n_page // 12)):
        file = tmp_path / f"damaged{page}.sqlite"
        damaged = bytearray(content)
        damaged[page * size : page * size + size // 2] = b"\xa5" * (size // 2)
        file.write_bytes(damaged)
        with contextlib.closing(sqlite3.connect(file)) as connection:
            try:
                sound = connection.execute("pragma integrity_check").fetchall() == [("ok",)]
            except sqlite3.DatabaseError:
                sound = False
        result = run(f"sqlite:///{file}", "verify", "--deep")
        assert result.exception is None or isinstance(result.exception, SystemExit), (page, result.exception)
        if not sound:
            assert result.exit_code == 1, page
            assert "malformed" in result.output or "database file" in result.output or "error" in result.output
            n_found += 1
    assert n_found > 5


def test_pages_with_flipped_bytes_are_noticed_where_rows_or_structure_differ(databases, tmp_path):
    content, size = fill(databases.migrated("sqlite"))
    counts = check_pages(content, size, tmp_path, 12)
    assert counts["noticed"] >= 6
