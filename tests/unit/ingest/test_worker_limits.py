"""Small files that ask for much: refused in little time and memory."""

from __future__ import annotations

import gc
import gzip
import tracemalloc

import numpy as np
import pytest
from astropy.table import Table

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers import ipac, limits, open_table
from ztfdb.ingest.readers.limits import MAX_RECORD, check_content

HEAD = '<?xml version="1.0"?>'
VOTABLE = HEAD + ("<VOTABLE><RESOURCE><TABLE>{}<DATA><TABLEDATA>{}</TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>")
FIELD = '<FIELD name="f{}" datatype="char" arraysize="*"/>'


def bomb(path, row):
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b"id,ra,dec\n")
        for _ in range(300):
            file.write(row * (1024 * 1024 // len(row)))
    return path


@pytest.mark.parametrize("head", [b"1,10,20\n", b" "])
def test_a_small_file_that_unpacks_to_much_is_refused(tmp_path, monkeypatch, head):
    monkeypatch.setattr(limits, "FREE_UNPACKED", 16 * 1024 * 1024)
    path = bomb(tmp_path / "bomb.csv.gz", head)
    tracemalloc.start()
    with pytest.raises(CatalogueFileError, match=r"unpacks to more than|line or field of more"):
        open_table(path)
    assert tracemalloc.get_traced_memory()[1] < 32 * 1024 * 1024
    tracemalloc.stop()


@pytest.mark.parametrize("n", [50_000])
def test_many_columns_are_refused(tmp_path, n):
    names = ",".join(f"c{k}" for k in range(n))
    (tmp_path / "many.csv").write_text(f"{names}\n{names}\n")
    (tmp_path / "many.vot").write_text(VOTABLE.format("".join(FIELD.format(k) for k in range(n)), ""))
    for name in ("many.csv", "many.vot"):
        with pytest.raises(CatalogueFileError, match=r"50,000 columns; at most 10,000"):
            open_table(tmp_path / name)


def test_a_field_without_an_end_is_refused(tmp_path):
    much = "x" * (MAX_RECORD + 10)
    (tmp_path / "long.csv").write_text(f"id,ra,dec\n1,{much},2\n")
    (tmp_path / "long.vot").write_text(VOTABLE.format(FIELD.format(1), f"<TR><TD>{much}</TD></TR>"))
    (tmp_path / "head.csv").write_text(much + "\n")
    for name in ("long.csv", "long.vot", "head.csv"):
        with pytest.raises(CatalogueFileError, match="line or field of more than"):
            open_table(tmp_path / name)


def test_entities_are_refused(tmp_path):
    (tmp_path / "laughs.vot").write_text(
        '<?xml version="1.0"?><!DOCTYPE VOTABLE [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>' + VOTABLE[len(HEAD) :]
    )
    with pytest.raises(CatalogueFileError, match="entities"):
        open_table(tmp_path / "laughs.vot")


def test_the_stream_of_a_votable_may_be_longer(tmp_path):
    path = tmp_path / "binary.vot"
    path.write_text('<VOTABLE><STREAM encoding="base64">' + "A" * (MAX_RECORD + 10) + "</STREAM></VOTABLE>")
    check_content(path, packed=False, mark=b"<")


def test_a_quote_that_does_not_end_is_refused_in_bounded_memory(tmp_path):
    path = tmp_path / "quote.csv"
    with path.open("w") as file:
        file.write('id,ra,dec\n1,"10,20\n')
        for _ in range(40):
            file.write("2,10,20\n" * 131072)
    reader = open_table(path)
    with pytest.raises(CatalogueFileError, match="quoted field that does not end"):
        list(reader.blocks({"id": "i", "ra": "f", "dec": "f"}))


IPAC_HEAD = (
    "\\fixlen = T\n|id                 |ra        |name |\n|long               |double    |char |\n"
    "|                   |deg       |     |\n|null               |null      |null |\n"
)


def ipac_rows(n):
    """Rows of which the last has a NULL only; astropy reads them in the truth."""
    rows = [f" {(1 << 60) + k:19d} {k % 360 + 0.125:10.3f} s{k % 10:<4d}\n" for k in range(n - 1)]
    return IPAC_HEAD + "".join(rows) + f" {'null':>19} {'null':>10} null \n"


@pytest.mark.parametrize("packed", [False, True])
def test_an_ipac_table_is_read_in_stretches(tmp_path, monkeypatch, packed):
    monkeypatch.setattr(ipac, "STRETCH", 64 * 1024)
    path = tmp_path / ("long.tbl.gz" if packed else "long.tbl")
    text = ipac_rows(80_000)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    reader = open_table(path)
    n_row, at_end = 0, None
    gc.disable()  # what a stretch leaves is freed with it: a large process collects garbage rarely
    tracemalloc.start()
    try:
        for block in reader.blocks({"id": "i", "ra": "f", "name": "O"}):
            assert block.line.tolist() == list(range(n_row + 1, n_row + len(block) + 1))
            n_row, at_end = n_row + len(block), block
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        gc.enable()
    assert peak < len(text)  # as a whole it takes some ten times as much
    truth = Table.read(text, format="ascii.ipac")
    assert (reader.names, n_row) == (tuple(truth.colnames), len(truth))
    assert at_end.columns["id"][:-1].tolist() == truth["id"][-len(at_end) : -1].tolist()
    assert at_end.columns["ra"][:-1].tolist() == truth["ra"][-len(at_end) : -1].tolist()
    assert at_end.columns["name"][:-1].tolist() == truth["name"][-len(at_end) : -1].tolist()
    assert at_end.missing["id"].tolist() == [False] * (len(at_end) - 1) + [True]
    assert (np.isnan(at_end.columns["ra"][-1]), at_end.columns["name"][-1]) == (True, None)


def test_the_header_of_an_ipac_table_has_limits(tmp_path):
    many = "".join(f"|c{k}" for k in range(50_000))
    files = {
        "many": (f"{many}|\n{many}|\n", r"50,000 columns; at most 10,000"),
        "long": (f"|a|\n|char|\n|{'u' * (MAX_RECORD + 10)}|\n", "line or field of more than"),
        "tall": ("|a   |\n|char|\n" * 3, "more than 4 lines"),
    }
    for name, (text, reason) in files.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(CatalogueFileError, match=reason):
            ipac.IpacReader(tmp_path / name) if name == "many" else open_table(tmp_path / name)


def test_an_ipac_table_with_a_damaged_row_says_where(tmp_path, monkeypatch):
    monkeypatch.setattr(ipac, "STRETCH", 1024)
    path = tmp_path / "bad.tbl"
    path.write_text(ipac_rows(100) + "|id|\n|id|\n")
    with pytest.raises(CatalogueFileError, match=r"no IPAC table that can be read after row \d+"):
        list(open_table(path).blocks({"id": "i"}))


@pytest.mark.parametrize("packed", [False, True])
def test_an_ipac_table_is_known_behind_long_comments(tmp_path, packed):
    """IRSA describes every column in a comment before the names."""
    path = tmp_path / "t.tbl"
    text = "\\ name of a column\n\\ ___ what it is\n" * 1_000 + ipac_rows(3)
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    (block,) = open_table(path).blocks({"id": "i"})
    assert block.columns["id"][:2].tolist() == [1 << 60, (1 << 60) + 1]
