"""Files that are made of batches of rows."""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from astropy.io import fits
from astropy.table import Table

from ztfdb.adql.tables import Column
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.tap import formats
from ztfdb.serve.tap.formats import find_format, make_writer

COLUMNS = (
    Column("id", "long", "", "meta.id", "Number."),
    Column("mag", "float", "mag", "", ""),
    Column("name", "char", "", "", ""),
)
ROWS = [(k + 2**60, None if k % 7 == 0 else k / 4, None if k % 5 == 0 else "x" * (k % 11)) for k in range(95)]


@pytest.mark.parametrize("n_row", [0, 1, 95])
@pytest.mark.parametrize("overflow", [True, False])
def test_parquet_comes_in_groups_of_rows(monkeypatch, n_row, overflow):
    """All of 1.2 million rows took 2 GB of memory."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    monkeypatch.setattr(formats, "ROW_GROUP", 30)
    writer = make_writer(find_format("parquet"), COLUMNS, "")
    pieces = [writer.head(), *(writer.rows(ROWS[at : min(at + 10, n_row)]) for at in range(0, n_row, 10))]
    assert sum(map(bool, pieces[1:])) == n_row // 30
    pieces += writer.tail(overflow)
    found = parquet.read_table(io.BytesIO(b"".join(pieces)))
    assert [tuple(row.values()) for row in found.to_pylist()] == ROWS[:n_row]
    assert found.schema.metadata == {b"overflow": str(overflow).lower().encode()}
    assert found.schema.field("id").metadata == {b"ucd": b"meta.id", b"description": b"Number."}
    assert found.schema.field("mag").metadata == {b"unit": b"mag"}


@pytest.mark.parametrize("n_row", [0, 1, 95])
def test_fits_is_made_of_batches(n_row):
    writer = make_writer(find_format("fits"), COLUMNS, "")
    head, batches = writer.head(), [writer.rows(ROWS[at : min(at + 10, n_row)]) for at in range(0, n_row, 10)]
    found = Table.read(io.BytesIO(b"".join([head, *batches, *writer.tail(True)])), format="fits")
    assert found["id"].tolist() == [row[0] for row in ROWS[:n_row]]
    mag = np.ma.filled(np.ma.asarray(found["mag"], dtype="f4"), np.nan)
    np.testing.assert_array_equal(mag, np.array([row[1] for row in ROWS[:n_row]], dtype="f4"))
    assert [str(name) for name in np.ma.filled(found["name"].astype(str), "")] == [row[2] or "" for row in ROWS[:n_row]]
    assert (str(found["mag"].unit), found.meta["OVERFLOW"]) == ("mag", True)


def test_rows_of_fits_wait_in_a_file():
    """All rows of 10^6 × 8 doubles and their file took three times 64 MB of memory."""
    columns = [Column(f"c{at}", "double", "", "", "") for at in range(8)]
    rows = [tuple(float(at) for at in range(8))] * 2000
    tracemalloc.start()
    writer = make_writer(find_format("fits"), columns)
    for _ in range(100):
        writer.rows(rows)
    size = sum(map(len, writer.tail()))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 100 * 2000 * 8 * 8
    assert peak < 10e6  # 4 MB of rows wait in memory, and a batch is made into records


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"c{at}" for at in range(1000)], "1000 columns, a FITS table has at most 999"),
        (["ra", "RA"], "2 columns have the name 'ra'"),
        (["é"], "'é' has no name for FITS"),
        (["x" * 69], "expected at most 68 ASCII characters: use AS"),
        (["'" * 35], "expected at most 68 ASCII characters"),
    ],
)
def test_columns_that_fits_cannot_have_are_one_error(names, words):
    with pytest.raises(ServiceError, match=words):
        make_writer(find_format("fits"), [Column(name, "double", "", "", "") for name in names])


@pytest.mark.parametrize("names", [[f"c{at}" for at in range(999)], ["x" * 68], ["'" * 34], ["a b'c", "ra"]])
@pytest.mark.filterwarnings("ignore:It is strongly recommended:astropy.io.fits.verify.VerifyWarning")
def test_longest_names_and_most_columns_of_fits(names):
    writer = make_writer(find_format("fits"), [Column(name, "double", "", "", "") for name in names])
    written = b"".join([writer.head(), writer.rows([[1.5] * len(names)] * 2), *writer.tail()])
    with fits.open(io.BytesIO(written)) as hdus:
        hdus.verify("exception")
        assert hdus[1].columns.names == names
        assert [hdus[1].data[name].tolist() for name in names] == [[1.5, 1.5]] * len(names)
