"""Every format is read back by its own readers: ids beyond 2^53 and NULLs are what they were."""

from __future__ import annotations

import io
import itertools
import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import fits
from astropy.table import Table

from ztfdb.cli.output import FORMATS
from ztfdb.cli.writers import WRITERS, write_parquet_parts
from ztfdb.errors import OutputError
from ztfdb.schema import describe_column

BIG = (1 << 60) + 1
IDS = [BIG, None, -BIG]
NAMES = ("source_id", "image_id", "ra", "mag", "flux_aper4", "filtercode", "gain")
WORDS = {name: words for name in NAMES if (words := describe_column(name)) is not None}


@pytest.fixture
def frame() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "image_id": [BIG, BIG + 1, BIG + 2],
            "source_id": pd.array(IDS, dtype="Int64"),
            "bits": pd.array([-(1 << 63), None, 7], dtype="Int64"),
            "small": pd.array([-32768, None, 3], dtype="Int16"),
            "flags": np.array([1, 2, 3], dtype=np.int32),
            "ra": [359.9999999999999, 0.1, 1e-300],
            "mag": [18.123456789012345, np.nan, -0.0],
            "flux_aper4": np.array([0.1, np.nan, 3e38], dtype=np.float32),
            "good": [True, False, True],
            "maybe": pd.array([True, None, False], dtype="boolean"),
            "filtercode": pd.Categorical(["zg", None, "zr"]),
            "reason": ["two words", None, "x|y,\"z'"],
            "nothing": [None, None, None],
        }
    )


def written(frame: pd.DataFrame, form: str, folder: Path) -> Path:
    path = folder / f"rows.{form}"
    with path.open("wb") as stream:
        WRITERS[form](frame, WORDS, stream)
    return path


def numbers(column: object) -> list[object]:
    return [None if value is np.ma.masked else value for value in column.tolist()]  # type: ignore[attr-defined]


@pytest.mark.parametrize(("form", "reader"), [("fits", "fits"), ("ecsv", "ascii.ecsv"), ("ipac", "ascii.ipac")])
def test_astropy_reads_back_ids_nulls_and_every_digit(
    frame: pd.DataFrame, form: str, reader: str, tmp_path: Path
) -> None:
    back = Table.read(written(frame, form, tmp_path), format=reader)
    back.convert_bytestring_to_unicode()
    assert back.colnames == list(frame.columns)
    assert numbers(back["source_id"]) == IDS
    assert numbers(back["image_id"]) == [BIG, BIG + 1, BIG + 2]
    assert numbers(back["bits"]) == [-(1 << 63), None, 7]
    assert numbers(back["small"]) == [-32768, None, 3]
    assert np.asarray(back["ra"]).tolist() == frame["ra"].tolist()
    np.testing.assert_array_equal(np.ma.filled(back["mag"].astype(float), np.nan), frame["mag"])
    np.testing.assert_array_equal(np.ma.filled(back["flux_aper4"].astype(np.float32), np.nan), frame["flux_aper4"])
    assert numbers(back["maybe"]) == [True, None, False]
    assert [str(value or "") for value in np.ma.filled(back["filtercode"], "")] == ["zg", "", "zr"]
    assert str(back["reason"][2]) == "x|y,\"z'"
    assert back["ra"].unit == "deg"


def test_fits_says_what_its_columns_are(frame: pd.DataFrame, tmp_path: Path) -> None:
    with fits.open(written(frame, "fits", tmp_path)) as hdus:
        hdus.verify("exception")
        columns = hdus[1].columns
        assert columns["source_id"].null == -(1 << 63)
        assert columns["bits"].null == -(1 << 63) + 1  # the smallest is a value here
        assert columns["flux_aper4"].unit == "adu"
        number = columns.names.index("ra") + 1
        assert hdus[1].header[f"TUCD{number}"] == WORDS["ra"].ucd
        assert hdus[1].header[f"TCOMM{number}"] == WORDS["ra"].description


def test_ecsv_and_ipac_have_descriptions_and_null(frame: pd.DataFrame, tmp_path: Path) -> None:
    back = Table.read(written(frame, "ecsv", tmp_path), format="ascii.ecsv")
    assert back["ra"].description == WORDS["ra"].description
    lines = written(frame, "ipac", tmp_path).read_text().splitlines()
    header = [line for line in lines if line.startswith("|")]
    rows = [line for line in lines if line.startswith(" ")]
    assert len({len(line) for line in header}) == 1
    edges = [k for k, mark in enumerate(header[0]) if mark == "|"]
    cells = [rows[1][low:high].strip() for low, high in itertools.pairwise(edges)]
    names = [cell.strip() for cell in header[0].strip("|").split("|")]
    told = dict(zip(names, cells, strict=True))
    assert [told[name] for name in ("source_id", "mag", "maybe", "reason", "nothing")] == ["null"] * 5


@pytest.mark.parametrize("form", ["fits", "ecsv", "ipac", "parquet"])
def test_tables_without_rows_keep_their_columns(frame: pd.DataFrame, form: str, tmp_path: Path) -> None:
    path = written(frame.iloc[:0], form, tmp_path)
    reader = {"ecsv": "ascii.ecsv", "ipac": "ascii.ipac"}.get(form, form)
    back = Table.read(path, format=reader)
    assert (len(back), back.colnames) == (0, list(frame.columns))


def test_parquet_holds_text_as_text_for_every_reader(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = written(frame, "parquet", tmp_path)
    schema = pq.read_schema(path)
    assert {str(schema.field(name).type) for name in ("filtercode", "reason", "nothing")} == {"string"}
    assert pq.read_table(path).column("source_id").to_pylist() == IDS
    back = pd.read_parquet(path)
    assert back["source_id"].dtype == "Int64" and back["source_id"].tolist() == [BIG, pd.NA, -BIG]
    assert not isinstance(back["filtercode"].dtype, pd.CategoricalDtype)
    assert back["filtercode"].fillna("").tolist() == ["zg", "", "zr"]


def test_astropy_reads_parquet_without_a_warning(frame: pd.DataFrame, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        back = Table.read(written(frame, "parquet", tmp_path), format="parquet")
    assert back["image_id"].tolist() == [BIG, BIG + 1, BIG + 2]
    assert (back["ra"].unit, back["ra"].description) == ("deg", WORDS["ra"].description)
    assert back["reason"][2] == "x|y,\"z'"
    exact = Table.from_pandas(pd.read_parquet(written(frame, "parquet", tmp_path)))  # what the page recommends
    assert numbers(exact["source_id"]) == IDS


def read_strictly(path: Path) -> Table:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return Table.read(path, format="parquet")


def test_null_texts_are_none_in_astropy(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "filtercode": pd.Categorical(["zg", None]),
            "short": ["x", None],
            "long": [None, "größer als vier"],
            "nothing": [None, None],
            "empty": ["", ""],
            "full": ["ab", "c"],
        }
    )
    back = read_strictly(written(frame, "parquet", tmp_path))
    assert [back[name].tolist() for name in back.colnames] == [
        ["zg", "None"],
        ["x", "None"],
        ["None", "größer als vier"],
        ["None", "None"],
        ["", ""],
        ["ab", "c"],
    ]


def test_texts_of_parts_have_room_for_the_longest_of_all(frame: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "parts.parquet"
    later = frame.assign(nothing="something longer", reason=["x", None, "a text longer than those of the first part"])
    with path.open("wb") as stream:
        write_parquet_parts(iter([frame, later]), WORDS, stream)
    back = read_strictly(path)
    assert back["nothing"].tolist() == ["None"] * 3 + ["something longer"] * 3
    assert back["reason"].tolist() == [*frame["reason"].fillna("None"), *later["reason"].fillna("None")]
    assert back["filtercode"].tolist() == ["zg", "None", "zr"] * 2
    assert (back["ra"].unit, back["ra"].description) == ("deg", WORDS["ra"].description)
    assert back["image_id"].tolist() == [*frame["image_id"], *later["image_id"]]
    assert pd.read_parquet(path)["source_id"].tolist() == [BIG, pd.NA, -BIG] * 2
    assert pq.read_schema(path).field("ra").metadata[b"ucd"] == WORDS["ra"].ucd.encode()


def test_polars_and_duckdb_read_parquet(frame: pd.DataFrame, tmp_path: Path) -> None:
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    path = written(frame, "parquet", tmp_path)
    back = polars.read_parquet(path)
    assert back["source_id"].to_list() == IDS
    assert (back["filtercode"].dtype, back["filtercode"].to_list()) == (polars.String, ["zg", None, "zr"])
    rows = duckdb.sql(f"select source_id, filtercode, typeof(filtercode), maybe from '{path}'").fetchall()
    assert rows == [
        (BIG, "zg", "VARCHAR", True),
        (None, None, "VARCHAR", None),
        (-BIG, "zr", "VARCHAR", False),
    ]


def test_a_text_that_comes_in_a_later_part_only(frame: pd.DataFrame) -> None:
    stream = io.BytesIO()
    later = frame.assign(nothing="something", filtercode=pd.Categorical(["zi"] * 3))
    write_parquet_parts(iter([frame, later]), WORDS, stream)
    table = pq.read_table(stream)
    assert table.column("nothing").to_pylist() == [None] * 3 + ["something"] * 3
    assert table.column("filtercode").to_pylist() == ["zg", None, "zr", "zi", "zi", "zi"]
    assert pa.types.is_string(table.schema.field("nothing").type)


@pytest.mark.parametrize("form", ["fits", "ecsv", "ipac"])
def test_two_columns_of_one_name_are_one_error(form: str, tmp_path: Path) -> None:
    doubled = pd.DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(OutputError, match="two columns are named a"):
        written(doubled, form, tmp_path)


def test_every_format_has_a_writer() -> None:
    assert set(FORMATS) == {"table", *WRITERS}


ODD = [
    "plain", " lead", "trail ", "a,b", 'q"u"o', "it's", "line\nbreak", "cr\rx", "crlf\r\ny", "tab\tx", "=1+1", "é☃",
    "<x>&amp;]]>", "", "NULL", "nan", "None", "-", "--", "'", '"', "\\", "\\n", "|pipe|", "a;b", "#c", "# two words",
    "0123", "1e5", "true", "x" * 300, "\u00a0nb", "\u202e", "\ufeffbom", "a\x1bb", " ", "\x0b", "\u2028", "\x85", "{}",
]  # fmt: skip


def plainly(text: object) -> str:
    """The text without what a format may change: blanks at its ends, control characters, other ends of lines."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())


@pytest.mark.parametrize("first", ["text", "id"])
@pytest.mark.parametrize("form", ["csv", "votable", "fits", "ecsv", "ipac", "parquet"])
def test_odd_texts_stay_in_their_rows(form: str, first: str, tmp_path: Path) -> None:
    """A text that begins with ``#`` was a comment of ECSV, and its row was not there when the table was read."""
    odd = [one for one in ODD if form != "ipac" or one.isascii() or one in ("\u2028", "\x85")]
    ids = [BIG + k for k in range(len(odd))]
    columns = {"text": odd, "id": ids, "last": odd}
    path = written(pd.DataFrame(dict(sorted(columns.items(), key=lambda one: one[0] != first))), form, tmp_path)
    if form in ("csv", "parquet"):
        found = pd.read_parquet(path) if form == "parquet" else pd.read_csv(path, keep_default_na=False)
        back = {name: values.tolist() for name, values in found.items()}
    else:
        table = Table.read(path, format={"ecsv": "ascii.ecsv", "ipac": "ascii.ipac"}.get(form, form))
        table.convert_bytestring_to_unicode()
        back = {name: ["" if one is np.ma.masked else one for one in table[name]] for name in table.colnames}
    assert back["id"] == ids
    escaped = form == "votable"  # XML has no control characters
    for name in ("text", "last"):
        for one, other in zip(back[name], odd, strict=True):
            if not (escaped and not other.isprintable()):
                assert plainly(one) == plainly(other), (other, one)


def test_ipac_holds_only_ascii(tmp_path: Path) -> None:
    """Readers that count bytes found no number after the name."""
    with pytest.raises(OutputError, match=r"^IPAC tables are ASCII, and the column star has 'δ Cep': choose another"):
        written(pd.DataFrame({"star": ["x", "δ Cep"], "mag": [15.1, 15.2]}), "ipac", tmp_path)


@pytest.mark.parametrize("form", ["csv", "fits", "ecsv", "ipac", "parquet"])
@pytest.mark.parametrize("name", ["#c", "a b", 'x"y', "é", "1", "a,b", "x|y", "-", "a\nb", "a\rb", " ", ""])
@pytest.mark.filterwarnings("ignore:It is strongly recommended")
def test_odd_names_of_columns_are_kept_or_refused(form: str, name: str, tmp_path: Path) -> None:
    frame = pd.DataFrame({"b": [3, 4], name: [1, 2]}, columns=[name, "b"])
    fine = {"fits": name.isascii() and name.isprintable() and name.strip(), "ipac": name.isalnum()}
    fine["ecsv"] = name.strip() and len(name.splitlines()) == 1
    if not fine.get(form, True):
        with pytest.raises(OutputError, match=re.escape(f"has no column {name!r}, only names of")):
            written(frame, form, tmp_path)
        return
    path = written(frame, form, tmp_path)
    if form in ("csv", "parquet"):
        back = pd.read_csv(path) if form == "csv" else pd.read_parquet(path)
        names = [str(one).replace("Unnamed: 0", "") for one in back]
        assert back.to_numpy().tolist() == [[1, 3], [2, 4]]
    else:
        table = Table.read(path, format={"ecsv": "ascii.ecsv", "ipac": "ascii.ipac"}.get(form, form))
        names = table.colnames
        assert [list(row) for row in table] == [[1, 3], [2, 4]]
    assert names == [name, "b"]
