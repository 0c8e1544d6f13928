"""Tables of reference catalogues as files, against astropy and by hand."""

from __future__ import annotations

import gzip
import warnings

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers import open_table
from ztfdb.ingest.readers import text as text_module

BIG = 2**53 + 1
WANTED = {"objID": "i", "ra": "f", "mag": "f", "name": "O"}


@pytest.fixture
def table():
    """Three rows; the second has no magnitude."""
    return Table(
        {
            "objID": np.array([BIG, -4, 2**63 - 1]),
            "ra": np.array([10.5, 0.0, 359.9999999999999]),
            "mag": MaskedColumn(np.array([17.25, 0.0, -999.0], "f4"), mask=[False, True, False]),
            "name": np.array(["a", "b b", "c"]),
        }
    )


def write(table, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".csv":
            table.write(path, format="ascii.csv")
        elif path.suffix == ".vot":
            table.write(path, format="votable")
        elif path.suffix == ".parquet":
            frame = table.to_pandas()
            frame.to_parquet(path)
        else:
            table.write(path)
    return path


def read(path, wanted=WANTED):
    blocks = list(open_table(path).blocks(wanted))
    joined = {name: np.concatenate([block.columns[name] for block in blocks]) for name in wanted}
    return joined, [row for block in blocks for row in block.bad], np.concatenate([block.line for block in blocks])


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".vot", ".parquet"])
def test_every_format_gives_the_same_rows(table, tmp_path, suffix):
    columns, bad, _ = read(write(table, tmp_path / f"t{suffix}"))
    assert columns["objID"].tolist() == [BIG, -4, 2**63 - 1]
    assert columns["objID"].dtype == np.int64
    assert columns["ra"].tolist() == [10.5, 0.0, 359.9999999999999]
    np.testing.assert_array_equal(columns["mag"], [17.25, np.nan, -999.0])
    assert columns["name"].tolist() == ["a", "b b", "c"]
    assert bad == []


@pytest.mark.parametrize("blank", ["", " ", "  "])
def test_blanks_after_the_separator_are_no_part_of_a_value(tmp_path, blank):
    path = tmp_path / "t.csv"
    rows = ["objID,ra,mag,name", f"{BIG},10.5,17.25,a", "-4,0.25,17.5,b"]
    path.write_text("\n".join(row.replace(",", f",{blank}") for row in rows) + "\n")
    columns, bad, _ = read(path)
    assert columns["objID"].tolist() == [BIG, -4]
    assert columns["ra"].tolist() == [10.5, 0.25]
    assert columns["mag"].tolist() == [17.25, 17.5]
    assert columns["name"].tolist() == ["a", "b"]
    assert bad == []


@pytest.mark.parametrize("serialisation", ["tabledata", "binary", "binary2"])
def test_votable_in_each_serialisation(table, tmp_path, serialisation):
    path = tmp_path / "t.vot"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table.write(path, format="votable", tabledata_format=serialisation)
    columns, _, _ = read(path)
    assert columns["objID"].tolist() == [BIG, -4, 2**63 - 1]
    np.testing.assert_array_equal(columns["mag"], [17.25, np.nan, -999.0])


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".vot"])
def test_compressed_files_are_told_by_their_first_bytes(table, tmp_path, suffix):
    path = write(table, tmp_path / f"t{suffix}")
    zipped = tmp_path / "t.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read(zipped)[0]["objID"].tolist() == [BIG, -4, 2**63 - 1]


@pytest.mark.parametrize("suffix", [".csv", ".fits", ".vot"])
def test_compressed_files_are_compared_with_their_checksum(table, tmp_path, suffix):
    """A number that changed on the way unpacks without an error."""
    packed = bytearray(gzip.compress(write(table, tmp_path / f"t{suffix}").read_bytes()))
    packed[-8] ^= 1
    zipped = tmp_path / "t.gz"
    zipped.write_bytes(packed)
    with pytest.raises(CatalogueFileError, match="CRC"):
        read(zipped)


def test_hdf5_calibrator_file_reads_all_fields(tmp_path):
    h5py = pytest.importorskip("h5py")
    record = np.dtype([("ra", "f8"), ("dec", "f8"), ("gmag", "f4"), ("e_gmag", "f4")])
    first = np.array([(1.0, 2.0, 17.0, 0.01)], record)
    second = np.array([(3.0, 4.0, 18.0, 0.02), (5.0, 6.0, 19.0, 0.03)], record)
    with h5py.File(tmp_path / "PS1cal_v2_rc00.hdf5", "w") as file:
        file["FieldID_000655"] = second
        file["FieldID_000202"] = first
    reader = open_table(tmp_path / "PS1cal_v2_rc00.hdf5")
    assert reader.names == ("ra", "dec", "gmag", "e_gmag")
    columns, _, line = read(tmp_path / "PS1cal_v2_rc00.hdf5", {"ra": "f", "gmag": "f"})
    assert columns["ra"].tolist() == [1, 3, 5] and line.tolist() == [1, 2, 3]


def test_fits_integers_with_null_and_unsigned_and_scaled(tmp_path):
    columns = [
        fits.Column("n", "J", array=np.array([1, -99, 3]), null=-99),
        fits.Column("u", "K", array=np.array([1, 2, 2**63 - 1], np.uint64), bzero=2**63),
        fits.Column("s", "I", array=np.array([1, 2, 3])),
    ]
    hdu = fits.BinTableHDU.from_columns(columns)
    hdu.header["TSCAL3"] = 0.5
    hdu.writeto(tmp_path / "t.fits")
    (block,) = open_table(tmp_path / "t.fits").blocks({"n": "i", "u": "i", "s": "f"})
    assert block.missing["n"].tolist() == [False, True, False]
    assert block.columns["u"].tolist() == [1, 2, 2**63 - 1]
    assert block.columns["s"].tolist() == [0.5, 1.0, 1.5]


def test_vizier_tsv_with_comments_units_and_dashes(tmp_path):
    path = tmp_path / "asu.tsv"
    path.write_text(
        "#RESOURCE=yCat_2349\n#Name: II/349/ps1\n\nobjID\tRAJ2000\tgmag\n\tdeg\tmag\n------\t-----\t----\n"
        "107342568973508961\t256.8973\t17.1\n107342568973508962\t256.8974\t     \n"
    )
    columns, bad, line = read(path, {"objID": "i", "RAJ2000": "f", "gmag": "f"})
    assert columns["objID"].tolist() == [107342568973508961, 107342568973508962]
    np.testing.assert_array_equal(columns["gmag"], [17.1, np.nan])
    assert bad == [] and line.tolist() == [7, 8]


def test_bad_lines_are_named_and_the_others_kept(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(
        "objID,ra,mag\n1,10,17\nx,10,17\n3,10\n4,10,17,9\n5,ten,17\n\n99999999999999999999,1,1\n8,10,17\n9,10"
    )
    columns, bad, line = read(path, {"objID": "i", "ra": "f", "mag": "f"})
    assert columns["objID"].tolist() == [1, 8] and line.tolist() == [2, 9]
    assert [(row.line, row.reason) for row in bad] == [
        (3, "objID is 'x', not an integer"),
        (4, "2 fields instead of 3"),
        (5, "4 fields instead of 3"),
        (6, "ra is 'ten', not a number"),
        (8, "objID is '99999999999999999999', not an integer"),
        (10, "2 fields instead of 3"),
    ]


def test_a_missing_id_is_no_bad_line_but_has_no_value(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("objID,ra\n1,10\n,11\n")
    (block,) = open_table(path).blocks({"objID": "i", "ra": "f"})
    assert block.missing["objID"].tolist() == [False, True]


def test_quoted_fields_may_hold_separators_and_line_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(text_module, "STRETCH", 16)
    path = tmp_path / "t.csv"
    path.write_text('objID,ra,mag,name\n1,10,17,"a, b"\n2,11,18,"c\nd"\n3,12,19,e\n')
    columns, bad, line = read(path)
    assert columns["name"].tolist() == ["a, b", "c\nd", "e"]
    assert columns["objID"].tolist() == [1, 2, 3] and bad == [] and line.tolist() == [2, 3, 5]


@pytest.mark.parametrize("stretch", [1, 7, 64, 10**6])
def test_stretches_of_any_length_give_the_same_rows(tmp_path, monkeypatch, stretch):
    rng = np.random.default_rng(1)
    path = tmp_path / "t.csv"
    ra = rng.uniform(0, 360, 300)
    path.write_text("objID,ra\r\n" + "".join(f"{k},{v!r}\r\n" for k, v in enumerate(ra.tolist())))
    monkeypatch.setattr(text_module, "STRETCH", stretch)
    columns, bad, line = read(path, {"objID": "i", "ra": "f"})
    np.testing.assert_allclose(columns["ra"], ra, rtol=1e-15)
    assert columns["objID"].tolist() == list(range(300)) and bad == [] and line.tolist() == list(range(2, 302))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"   \n\n", "is empty"),
        (b"one word\n1\n", "no column names"),
        (b"a\0b,c\n", "no table that ztfdb reads"),
        (b"SIMPLE  =                    T", "no FITS table"),
        (b"PAR1 not parquet", "no Parquet file"),
        (b"\x89HDF\r\n\x1a\nnot hdf5", "no HDF5 file"),
        (b"<?xml version='1.0'?><html/>", "no table of a VOTable"),
        (b"<?xml version='1.0'?><VOTABLE><", "no VOTable that can be read"),
        (b"\x1f\x8b broken", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path, content, reason):
    path = tmp_path / "t"
    path.write_bytes(content)
    with pytest.raises(CatalogueFileError, match=reason):
        open_table(path)


def test_a_fits_table_cut_off_is_refused(table, tmp_path):
    path = write(Table({"ra": np.arange(9000.0)}), tmp_path / "t.fits")
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(CatalogueFileError, match="is cut off"):
        open_table(path)


def test_an_answer_cut_short_by_its_service_is_refused(table, tmp_path):
    path = write(table, tmp_path / "t.vot")
    text = path.read_text().replace("</TABLE>", '</TABLE><INFO name="QUERY_STATUS" value="OVERFLOW"/>')
    path.write_text(text)
    with pytest.raises(CatalogueFileError, match="OVERFLOW"):
        list(open_table(path).blocks(WANTED))
