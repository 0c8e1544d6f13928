"""Small files that ask for much: refused in little time and memory."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers import limits, open_table
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
