"""The fast parsers of text against reading it row by row: what they read, they read alike; all else they leave."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.ingest.readers import open_table, parsers
from ztfdb.ingest.readers.parsers import PARSERS, Stretch, parse_with_arrow, parse_with_pandas

FIELDS = (
    "",
    "null",
    "NaN",
    "--",
    "N/A",
    "\\N",
    "7",
    "+7",
    "-7",
    "007",
    "-0",
    "0x10",
    "0X10",
    "1_000",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "1.",
    ".5",
    "+31.25",
    "-0.1",
    "1e5",
    "1E-5",
    "1d5",
    "1e400",
    "-1e400",
    "1e-400",
    "inf",
    "-Infinity",
    "true",
    " 7",
    "7 ",
    "\t7",
    " null ",
    "\t",
    "0.1234567890123456789",
    "359.99999999999994",
    "é",
    "2020-01-01",
)


def by_rows(tmp_path, monkeypatch, data, wanted):
    path = tmp_path / "t.csv"
    path.write_bytes(b"a,b\n" + data)
    with monkeypatch.context() as patch:
        patch.setattr(parsers, "PARSERS", ())
        (block,) = open_table(path).blocks(wanted)
    return block


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("kind", "ifO")
def test_parsers_read_as_row_by_row_or_not_at_all(tmp_path, monkeypatch, parser, kind):
    wanted = {"a": kind, "b": "f"}
    n_read = 0
    for field in FIELDS:
        data = f"1,2.5\n{field},3.5\n3,4.5\n".encode()
        block = parser(Stretch(data, 2, 3, ("a", "b"), ","), wanted)
        if block is None:
            continue
        n_read += 1
        expected = by_rows(tmp_path, monkeypatch, data, wanted)
        assert block.line.tolist() == expected.line.tolist() and not expected.bad, field
        assert {k: v.tolist() for k, v in block.missing.items()} == {
            k: v.tolist() for k, v in expected.missing.items()
        }, field
        if kind == "O":
            assert block.columns["a"].tolist() == expected.columns["a"].tolist(), field
        else:
            # pandas' own conversion is within a unit of the last place, pyarrow's is exact
            allowed = 0 if parser is parse_with_arrow or kind == "i" else 2.3e-16
            np.testing.assert_allclose(block.columns["a"], expected.columns["a"], rtol=allowed, atol=0, err_msg=field)
        assert block.columns["b"].tolist() == [2.5, 3.5, 4.5]
    assert n_read >= 4


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize(
    "data",
    [
        b"1,2\n3\n4,5\n",
        b"1,2\n3,4,5\n6,7\n",
        b"1,2\n3\n4,5,6\n",
        b"1,2\n\n3,4\n",
        b"1,2\n3,x\n4,5\n",
        b"1,2\n3,\xff\n4,5\n",
    ],
)
def test_parsers_leave_what_is_not_as_it_should_be(parser, data):
    assert parser(Stretch(data, 1, 3, ("a", "b"), ","), {"a": "f", "b": "f"}) is None


def test_a_comment_is_no_row():
    names, wanted = ("a", "b"), {"a": "O"}
    assert parsers.parse(Stretch(b"1,2\n#3,4\n", 1, 2, names, ","), wanted) is None
    assert parsers.parse(Stretch(b"#1,2\n3,4\n", 1, 2, names, ","), wanted) is None


def test_without_pyarrow_pandas_reads(monkeypatch):
    stretch = Stretch(b"1,2\n", 1, 1, ("a", "b"), ",")
    assert parse_with_arrow(stretch, {"a": "i"}) is not None
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    assert parse_with_arrow(stretch, {"a": "i"}) is None
    block = parsers.parse(stretch, {"a": "i"})
    assert block is not None and block.columns["a"].tolist() == [1]
    assert parse_with_pandas(stretch, {"b": "f"}).columns["b"].tolist() == [2.0]
