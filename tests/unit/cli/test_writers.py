from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io.votable import parse_single_table
from astropy.table import Table

from ztfdb.cli.writers import PART_WRITERS, WRITERS
from ztfdb.errors import OutputError
from ztfdb.schema import describe_column

NAMES = ("source_id", "ra", "dec", "mjd", "flux_aper4", "flux_ujy", "mag", "gain", "flags", "good", "filtercode")
WORDS = {name: describe_column(name) for name in NAMES}
BIG = (1 << 60) + 1


@pytest.fixture
def frame():
    return pd.DataFrame(
        {
            "source_id": pd.array([BIG, None], dtype="Int64"),
            "ra": [359.9999999999999, 0.1],
            "dec": [-3.2, np.nan],
            "mjd": [59116.4317593, 59117.5],
            "flux_aper4": np.array([1234.56, np.nan], dtype=np.float32),
            "flux_ujy": [np.inf, 1e-300],
            "mag": [np.nan, 18.123456789],
            "gain": [6.2, 6.1],
            "flags": np.array([3, 0], dtype=np.int32),
            "big": [1 << 53, -(1 << 53) - 1],
            "good": [True, False],
            "maybe": pd.array([True, None], dtype="boolean"),
            "filtercode": ["zr", None],
            "mixed": ['a<b>&"c" é\n', 7],
        }
    )


def written(frame, name):
    stream = io.BytesIO()
    WRITERS[name](frame, WORDS, stream)
    return stream.getvalue()


@pytest.mark.parametrize("name", PART_WRITERS)
def test_parts_make_the_file_of_the_whole(frame, name):
    frame = frame.drop(columns="mixed")
    stream = io.BytesIO()
    PART_WRITERS[name]((frame.iloc[k : k + 1] for k in range(2)), WORDS, stream)
    if name in ("csv", "votable"):
        assert stream.getvalue() == written(frame, name)
    else:
        parts, whole = pq.read_table(stream), pq.read_table(io.BytesIO(written(frame, name)))
        assert parts.equals(whole)
        assert [field.metadata for field in parts.schema] == [field.metadata for field in whole.schema]
    empty = io.BytesIO()
    PART_WRITERS[name](iter([frame.iloc[:0]]), WORDS, empty)
    if name in ("csv", "votable"):
        assert empty.getvalue() == written(frame.iloc[:0], name)
    else:
        assert pq.read_table(empty).equals(pq.read_table(io.BytesIO(written(frame.iloc[:0], name))))


def test_json_is_strict_with_ids_as_text(frame):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    first, second = json.loads(written(frame, "json"), parse_constant=refuse)
    assert first["source_id"] == str(BIG)
    assert second["source_id"] is None
    assert (first["mag"], first["flux_ujy"], second["dec"], second["flux_aper4"]) == (None, None, None, None)
    assert first["flux_aper4"] == 1234.56  # not 1234.56005859375
    assert first["ra"] == 359.9999999999999
    assert (first["good"], second["maybe"], second["filtercode"]) == (True, None, None)
    assert (first["mixed"], second["mixed"]) == ('a<b>&"c" é\n', 7)
    assert (first["flags"], first["big"]) == (3, str(1 << 53))  # one value beyond 2^53 makes the column text


def test_csv_keeps_every_digit_and_leaves_null_empty(frame):
    lines = list(csv.DictReader(io.StringIO(written(frame, "csv").decode())))
    assert list(lines[0]) == list(frame.columns)
    assert [line["source_id"] for line in lines] == [str(BIG), ""]
    assert [float(line["ra"]) for line in lines] == frame["ra"].tolist()
    assert [line["mag"] for line in lines] == ["", "18.123456789"]
    assert lines[0]["flux_aper4"] == "1234.56"
    assert lines[0]["mixed"] == frame["mixed"][0]


def test_votable_reads_back_in_astropy_with_units(frame):
    table = parse_single_table(io.BytesIO(written(frame, "votable")))
    back = table.to_table()
    assert back["source_id"].tolist() == [BIG, None]
    assert back["ra"].tolist() == frame["ra"].tolist()
    assert [str(back[name].unit) for name in ("ra", "flux_aper4", "flux_ujy", "mag")] == ["deg", "adu", "uJy", "mag"]
    assert back["flux_aper4"].dtype == np.float32
    assert back["mixed"][0] == 'a<b>&"c" é'  # astropy strips the white space at its end
    assert back["good"].tolist() == [True, False]
    for name in NAMES:
        field = table.get_field_by_id_or_name(name)
        assert (field.ucd, field.description) == (WORDS[name].ucd, WORDS[name].description)
    assert table.get_field_by_id_or_name("big").ucd is None
    assert table.get_field_by_id_or_name("ra").ref == "ICRS"


@pytest.mark.skipif(shutil.which("stilts") is None, reason="stilts is not installed")
@pytest.mark.parametrize("rows", [2, 0])
def test_stilts_finds_nothing_wrong_with_the_votable(frame, rows, tmp_path):
    path = tmp_path / "rows.vot"
    path.write_bytes(written(frame.iloc[:rows], "votable"))
    done = subprocess.run(
        ["stilts", "votlint", "ucd=true", "unit=true", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("", 0)


def test_parquet_keeps_types_units_and_words(frame):
    table = pq.read_table(io.BytesIO(written(frame.drop(columns="mixed"), "parquet")))
    assert table.column("source_id").to_pylist() == [BIG, None]
    assert table.column("dec").to_pylist() == [-3.2, None]
    assert table.schema.field("flux_aper4").metadata == {
        b"unit": b"DN",
        b"ucd": b"phot.count;src.net",
        b"description": b"Flux in aperture 4, 6 px in diameter.",
    }
    assert set(table.schema.field("flags").metadata) == {b"ucd", b"description"}  # a flag has no unit
    assert table.schema.field("big").metadata is None
    assert str(table.schema.field("flux_aper4").type) == "float"


def test_what_parquet_has_no_type_for_is_one_error(frame):
    with pytest.raises(OutputError, match="Parquet"):
        written(frame, "parquet")  # a column of texts and numbers


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_an_empty_answer_keeps_its_columns(frame, name):
    text = written(frame.iloc[:0], name)
    if name == "json":
        assert json.loads(text) == []
    else:
        assert b"filtercode" in text


@pytest.mark.parametrize("name", sorted(WRITERS))
def test_rows_beyond_one_chunk_are_all_written(name):
    n = 25_001
    text = written(pd.DataFrame({"n": np.arange(n)}), name)
    if name == "csv":
        assert pd.read_csv(io.BytesIO(text))["n"].tolist() == list(range(n))
    elif name == "json":
        assert [r["n"] for r in json.loads(text)] == list(range(n))
    elif name == "votable":
        assert parse_single_table(io.BytesIO(text)).to_table()["n"].tolist() == list(range(n))
    elif name == "parquet":
        assert pq.read_table(io.BytesIO(text)).column("n").to_pylist() == list(range(n))
    else:
        form = {"ecsv": "ascii.ecsv", "ipac": "ascii.ipac"}.get(name, name)
        source = io.BytesIO(text) if form == "fits" else text.decode()
        assert Table.read(source, format=form)["n"].tolist() == list(range(n))
