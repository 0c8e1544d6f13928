"""What programs are told where the database refuses a statement: about their values, never about files or our SQL."""

from __future__ import annotations

import logging

import pytest

from tests.support.serving import reader_url
from ztfdb.errors import ZtfdbError
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
