from __future__ import annotations

import bz2
import gzip
import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, Table

from ztfdb.cli.tables import read_positions
from ztfdb.errors import PositionTableError
from ztfdb.ingest.readers.limits import MAX_WHOLE


@pytest.mark.parametrize("suffix", [".csv", ".vot", ".fits", ".ecsv", ".tbl", ".parquet"])
def test_positions_are_read_from_every_format(tmp_path, suffix):
    path = tmp_path / f"stars{suffix}"
    table = Table({"name": ["a", "b"], "RA": [10.5, 359.9], "Dec": [-3.25, 89.0]})
    if suffix == ".parquet":
        table.to_pandas().to_parquet(path)
    else:
        formats = {".csv": "ascii.csv", ".vot": "votable", ".fits": "fits", ".ecsv": "ascii.ecsv", ".tbl": "ascii.ipac"}
        table.write(path, format=formats[suffix])
    frame = read_positions(str(path))
    np.testing.assert_array_equal(frame[["ra", "dec"]], [[10.5, -3.25], [359.9, 89.0]])
    assert frame["name"].tolist() == ["a", "b"]


def test_sexagesimal_text_and_named_columns(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("ra,dec,RA2000,DE2000\n1,2,12:00:00,-00:30:00\n")
    frame = read_positions(str(path), "ra2000", "de2000")
    assert frame[["ra", "dec"]].to_numpy().tolist() == [[180.0, -0.5]]


@pytest.mark.parametrize(
    "text", ["ra,dec\n58.0,35.7,7\n", "ra dec\n58.0 35.7 7\n", "ra;dec\n58,0;35,7;7\n", "# ra dec\n58.0 35.7 7\n",
             "ra,dec\n58.0,35.7,7\n1,2\n", "ra,dec\n58.0,35.7\n1,2,3\n"],
)  # fmt: skip
def test_values_without_a_name_do_not_move_the_others(tmp_path, text):
    path = tmp_path / "stars.txt"
    path.write_text(text)
    with pytest.raises(PositionTableError, match=r"more values than there are names of columns|Expected 2 fields"):
        read_positions(str(path))


def test_separators_at_the_ends_of_lines_are_no_values(tmp_path):
    path = tmp_path / "stars.csv"
    for text in ("ra,dec\n58.0,35.7,\n", "ra,dec,\n58.0,35.7,\n", "ra dec\n58.0 35.7 \n"):
        path.write_text(text)
        assert read_positions(str(path))[["ra", "dec"]].to_numpy().tolist() == [[58.0, 35.7]]


def test_csv_comes_from_stdin_too(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("ra, dec\n1, 2\n"))
    assert read_positions("-")[["ra", "dec"]].to_numpy().tolist() == [[1.0, 2.0]]


def test_a_bad_row_is_named(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("ra,dec\n1,2\n12:00:00,95:00:00\n")
    with pytest.raises(PositionTableError, match=r"row 2: declination '95:00:00'"):
        read_positions(str(path))


def test_missing_columns_are_named(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("lon,lat\n1,2\n")
    with pytest.raises(PositionTableError, match="no column ra; there are lon, lat"):
        read_positions(str(path))


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".vot", ".parquet"])
def test_a_file_that_is_something_else_is_one_error(tmp_path, suffix):
    path = tmp_path / f"stars{suffix}"
    path.write_bytes(b"\x00\xff\xfe nonsense")
    with pytest.raises(PositionTableError):
        read_positions(str(path))


def test_a_table_without_rows_has_no_positions(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("ra,dec\n")
    assert len(read_positions(str(path))) == 0


@pytest.mark.parametrize(
    "text",
    [
        "name;ra;dec\na;10.5;-3.25\nb;359.9;89\n",
        "name\tra\tdec\na\t10.5\t-3.25\nb\t359.9\t89\n",
        "name|ra|dec\na|10.5|-3.25\nb|359.9|89\n",
        "name ra   dec\na 10.5 -3.25\nb 359.9 89\n",
        "# two stars\n#name,ra,dec\na,10.5,-3.25\nb,359.9,89\n",
        "# name ra dec\na 10.5 -3.25\nb 359.9 89\n",
        "\ufeff# two, stars; of mine\nname, ra, dec\na, 10.5, -3.25\n# the pole\nb, 359.9, 89\n",
        "|name|ra    |dec   |\n|char|double|double|\n  a    10.5  -3.25 \n  b   359.9     89 \n",
    ],
    ids=["semicolon", "tab", "bar", "blanks", "commented names", "commented blanks", "BOM and comments", "IPAC"],
)
@pytest.mark.parametrize("stdin", [False, True])
def test_text_of_every_kind_is_understood(tmp_path, monkeypatch, text, stdin):
    if stdin and text.startswith("|name|ra "):
        pytest.skip("stdin is text, no IPAC table")
    path = tmp_path / "stars.txt"
    path.write_text(text)
    if stdin:
        monkeypatch.setattr("sys.stdin", io.StringIO(text.lstrip("\ufeff")))
    frame = read_positions("-" if stdin else str(path))
    np.testing.assert_array_equal(frame[["ra", "dec"]], [[10.5, -3.25], [359.9, 89.0]])
    assert frame["name"].tolist() == ["a", "b"]


STARS = SkyCoord([10.5, 359.9], [-3.25, 89.0], unit="deg")


@pytest.mark.parametrize("suffix", [".vot", ".fits", ".ecsv"])
@pytest.mark.parametrize("unit", ["hourangle", "rad", "arcsec", "hours", "h", "degrees"])
@pytest.mark.filterwarnings("ignore::astropy.units.UnitsWarning", "ignore::astropy.io.votable.exceptions.VOWarning")
def test_numbers_are_in_the_unit_of_their_column(tmp_path, suffix, unit):
    if suffix == ".fits" and unit == "hourangle":
        pytest.skip("FITS has no such unit")
    factor = {"hours": 1 / 15, "h": 1 / 15, "degrees": 1.0}.get(unit) or u.deg.to(unit)
    path = tmp_path / f"stars{suffix}"
    table = Table({"RA": STARS.ra.deg * factor, "Dec": STARS.dec.deg})
    table["RA"].unit = u.Unit(unit, parse_strict="silent")
    table.write(path, format="votable" if suffix == ".vot" else None)
    np.testing.assert_allclose(read_positions(str(path))[["ra", "dec"]], [[10.5, -3.25], [359.9, 89.0]], rtol=1e-14)


def test_further_columns_are_converted_and_other_units_are_refused(tmp_path):
    path = str(tmp_path / "stars.ecsv")
    columns = {"ra": [10.5] * u.deg, "dec": [1.0] * u.deg, "pm": [-0.8] * u.arcsec / u.yr, "plain": [5.0]}
    Table(columns).write(path)
    frame = read_positions(path, units={"pm": "mas / yr", "plain": "mas / yr"})
    np.testing.assert_allclose(frame[["pm", "plain"]], [[-800.0, 5.0]], rtol=1e-15)
    Table({"plain": [10.5] * u.km, "dec": [1.0]}).write(path, overwrite=True)
    with pytest.raises(PositionTableError, match=r"stars.ecsv: column plain \(km\) is not numbers of deg"):
        read_positions(path, "plain")


def test_a_column_of_skycoords_holds_the_positions(tmp_path):
    path = tmp_path / "stars.ecsv"
    Table({"name": ["a", "b"], "place": STARS.galactic}).write(path)
    frame = read_positions(str(path))
    np.testing.assert_allclose(frame[["ra", "dec"]], [[10.5, -3.25], [359.9, 89.0]], rtol=1e-12)
    assert frame["name"].tolist() == ["a", "b"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_spreadsheet_with_decimal_commas_is_read(tmp_path, encoding):
    path = tmp_path / "stars.csv"
    path.write_bytes("Name;RA;Dec\r\nÉtoile;10,5;-3,25\r\nb;359,9;89\r\n".encode(encoding))
    frame = read_positions(str(path))
    np.testing.assert_array_equal(frame[["ra", "dec"]], [[10.5, -3.25], [359.9, 89.0]])
    assert frame["Name"].tolist() == ["Étoile", "b"]


@pytest.mark.parametrize("suffix", ["csv", "vot", "fits", "ecsv", "tbl"])
def test_a_table_compressed_by_gzip_is_read(tmp_path, suffix):
    """As VizieR sends it: the bytes were taken for text."""
    path = tmp_path / f"stars.{suffix}"
    formats = {"csv": "ascii.csv", "vot": "votable", "fits": "fits", "ecsv": "ascii.ecsv", "tbl": "ascii.ipac"}
    Table({"ra": [10.5, 359.9], "dec": [-3.25, 89.0]}).write(path, format=formats[suffix])
    packed = Path(f"{path}.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    np.testing.assert_array_equal(read_positions(str(packed)), [[10.5, -3.25], [359.9, 89.0]])


def test_a_spreadsheet_is_told_as_one(tmp_path):
    path = tmp_path / "stars.xlsx"
    path.write_bytes(b"PK\3\4" + bytes(26))
    with pytest.raises(PositionTableError, match=r"stars.xlsx: is a spreadsheet or a zip archive: save it as CSV"):
        read_positions(str(path))


def test_text_that_is_not_utf_8_says_how_to_save_it(tmp_path):
    path = tmp_path / "stars.csv"
    path.write_bytes("name,ra,dec\nÉtoile,1,2\n".encode("cp1252"))
    with pytest.raises(PositionTableError, match=r"stars.csv is not text in UTF-8 \(byte 12\): save it as CSV UTF-8"):
        read_positions(str(path))


@pytest.mark.parametrize("suffix", [".csv", ".vot", ".fits", ".ecsv"])
@pytest.mark.parametrize("text", [False, True])
def test_missing_positions_are_counted(tmp_path, suffix, text):
    path = tmp_path / f"stars{suffix}"
    values = ["1:00:00", "", ""] if text else [1.0, 2.0, 3.0]
    Table({"ra": MaskedColumn(values, mask=[False, True, True]), "dec": [1.0, 2.0, 3.0]}).write(
        path, format={".vot": "votable", ".csv": "ascii.csv"}.get(suffix)
    )
    with pytest.raises(PositionTableError, match=r"row 2: right ascension is missing; 2 of 3 rows"):
        read_positions(str(path))


def wide_csv(path):
    path.write_text(",".join(["ra", "dec", *(f"c{k}" for k in range(50_000))]) + "\n" + ",".join(["1"] * 50_002) + "\n")


def long_line(path):
    path.write_bytes(b"ra,dec,name\n1,2," + b"x" * (17 * 1024 * 1024) + b"\n")


def wide_parquet(path):
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({f"c{k}": [1.0] for k in range(10_001)}), path)


def repeated_parquet(path):
    import pyarrow as pa
    from pyarrow import parquet

    row = pa.array(np.zeros(1_000_000))
    with parquet.ParquetWriter(path, pa.schema([("ra", pa.float64()), ("dec", pa.float64())])) as file:
        for _ in range(20):
            file.write_table(pa.table({"ra": row, "dec": row}))


def bomb_votable(path):
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(
            b'<?xml version="1.0"?><VOTABLE><RESOURCE><TABLE><FIELD name="ra" datatype="double"/><DATA><TABLEDATA>'
        )
        for _ in range(300):
            file.write(b"<TR><TD>1</TD></TR>\n" * 52_000)


def cells_votable(path):
    field = '<FIELD name="{}" datatype="double" arraysize="{}"/>'
    path.write_text(
        f'<?xml version="1.0"?><VOTABLE version="1.4"><RESOURCE><TABLE>{field.format("ra", "")}'
        f"{field.format('big', '100000x100000')}<DATA><TABLEDATA><TR><TD>1</TD><TD>2</TD></TR></TABLEDATA></DATA>"
        "</TABLE></RESOURCE></VOTABLE>"
    )


def entities(path):
    path.write_text('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><VOTABLE></VOTABLE>')


def bzip2(path):
    path.write_bytes(bz2.compress(b"ra,dec\n1,2\n"))


@pytest.mark.parametrize(
    ("suffix", "make", "words"),
    [
        (".csv", wide_csv, "50,002 columns"),
        (".csv", long_line, "line or field of more than"),
        (".parquet", wide_parquet, "10,001 columns"),
        (".parquet", repeated_parquet, "holds 320,000,000 bytes"),
        (".xml", bomb_votable, "unpacks to more than"),
        (".xml", cells_votable, "arraysize 100000x100000"),
        (".vot", entities, "entities"),
        (".vot", bzip2, "not by gzip"),
    ],
)
def test_a_table_that_asks_for_much_is_refused_as_a_catalogue_is(tmp_path, suffix, make, words):
    path = tmp_path / f"stars{suffix}"
    make(path)
    tracemalloc.start()
    with pytest.raises(PositionTableError, match=words):
        read_positions(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 1024 * 1024


def test_large_tables_are_refused_before_they_are_read(tmp_path, monkeypatch):
    path = tmp_path / "stars.csv"
    with path.open("wb") as file:
        file.truncate(MAX_WHOLE + 1)
    with pytest.raises(PositionTableError, match=r"stars.csv.*holds 268,435,457 bytes"):
        read_positions(str(path))
    monkeypatch.setattr("ztfdb.cli.tables.MAX_WHOLE", 20)
    monkeypatch.setattr("sys.stdin", io.StringIO("ra,dec\n" + "1,2\n" * 9))
    with pytest.raises(PositionTableError, match="more than 20 characters"):
        read_positions("-")
