"""What programs are told where the database refuses a statement: about their values, never about files or our SQL."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.serving import connect, reader_url
from ztfdb.errors import QueryError, StoreError, ZtfdbError
from ztfdb.store.readonly_stream import Reader

VALUES = {
    "sqlite": [
        ("select abs(-9223372036854775808)", "integer overflow"),
        ("select zeroblob(100000000)", "string or blob too big"),
        (f"select {'-'.join(['ra'] * 2000)} from image", "Expression tree is too large"),
    ],
    "postgresql": [
        ("select 1 / (image_id - image_id) from generate_series(1, 2) as image_id", "division by zero"),
        ("select cast('x' || count(*) as integer) from image", "invalid input syntax"),
        ("select (select generate_series(1, 2))", "more than one row"),
        ("select repeat('x', 1100000000)", "requested length too large"),
    ],
}
OURS = [
    "select secret_column from image",
    "select 1 from secret_table",
    "select secret_function(1)",
    "secret",
    "select 'secret",
]


@pytest.fixture
def reader(engine_url):
    made = Reader(reader_url(engine_url))
    yield made
    made.close()


def refused(reader, sql):
    with pytest.raises(ZtfdbError) as info:
        list(reader.pieces(sql, [] if reader.engine == "postgresql" else {}))
    return str(info.value)


def test_what_values_do_is_told(reader):
    for sql, words in VALUES[reader.engine]:
        assert words in refused(reader, sql)


@pytest.mark.parametrize("sql", OURS)
def test_what_is_ours_goes_to_the_log(reader, sql, caplog):
    with caplog.at_level(logging.ERROR):
        told = refused(reader, sql)
    assert told == "the database refused the statement; the log of the service has the reason"
    assert "secret" in caplog.text


def test_what_may_not_be_written_is_not_told(reader):
    told = refused(reader, "create temporary table secret as select 1 as a")
    assert "secret" not in told


def test_damage_is_no_fault_of_the_statement(engine_url, reader):
    """A service answers 400 to a statement that is refused, and 500 where its archive is damaged."""
    sql = "select count(*) from image"
    assert len(list(reader.pieces(sql, [] if reader.engine == "postgresql" else {}))) == 1
    if reader.engine == "sqlite":
        file = Path(engine_url.removeprefix("sqlite:///"))
        file.write_bytes(b"no database " * 1000)
    else:
        with connect(engine_url) as connection:
            connection.execute(
                "create function damaged() returns integer language plpgsql as "
                "$$ begin raise exception 'invalid page' using errcode = 'XX001'; end $$"
            )
        sql = "select damaged()"
    with pytest.raises(StoreError, match=r"disk image is malformed|is damaged or its disk fails: invalid page"):
        list(reader.pieces(sql, [] if reader.engine == "postgresql" else {}))


def test_what_sqlite_may_not_do_is_a_fault_of_the_statement(databases):
    url = databases.migrated("sqlite")
    reader = Reader(url)
    with pytest.raises(QueryError, match="the database refused the statement"):
        list(reader.pieces("attach ':memory:' as other", {}))
    reader.close()
    databases.drop(url)
