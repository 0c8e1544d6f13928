"""Tables that users bring: IPAC tables, sexagesimal positions, doubled columns, and tables without a usable row."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers import open_table
from ztfdb.simulate import make_science_image

PLACES = SkyCoord([10.68458, 359.99, 83.63], [41.26917, -0.01, -89.5], unit="deg")


@pytest.fixture
def image(archive, tmp_path):
    """An archive with one image; its pid."""
    made = make_science_image(tmp_path / "night", sky_stars=([58.0], [35.7], [17.0]), seed=1, shape=(100, 100))
    archive.ingest(made.sci)
    with archive._sessions.begin() as session:  # simulated images have no pid of ZTF's
        session.connection().exec_driver_sql("update image set pid = 1362431775015")
    return archive, 1362431775015


def held(archive, name):
    frames = [archive.cone(float(p.ra.deg), float(p.dec.deg), 3.0) for p in PLACES]
    assert all(frame.empty for frame in frames)  # sources: the catalogue is no table of detections
    return archive.catalogues().set_index("catalogue").loc[name, "n_row"]


@pytest.mark.parametrize("form", ["colons", "letters", "blanks", "negative", "ipac", "ipac of text"])
def test_catalogues_with_positions_of_every_spelling(archive, tmp_path, form):
    ra = PLACES.ra.to_string(unit=u.hourangle, sep={"letters": "hms", "blanks": " "}.get(form, ":"), precision=4)
    dec = PLACES.dec.to_string(unit=u.deg, sep={"letters": "dms", "blanks": " "}.get(form, ":"), precision=3)
    if form in ("negative", "ipac"):
        ra, dec = PLACES.ra.wrap_at(180 * u.deg).deg, PLACES.dec.deg
    table = Table({"id": np.arange(3) + (1 << 60) + 1, "ra": ra, "dec": dec, "mag": [15.0, 16.0, 17.0]})
    path = tmp_path / "mine.txt"
    table.write(path, format="ascii.ipac" if form.startswith("ipac") else "ascii.csv")
    (done,) = archive.import_catalogue("mine", [path])
    assert (done.n_row, done.n_bad) == (3, 0)
    assert held(archive, "mine") == 3


def test_a_bad_sexagesimal_position_is_a_bad_row(archive, tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("id,ra,dec\n1,12:00:00,-00:30:00\n2,12:61:00,5:00:00\n3,nonsense,1\n4,13h00m00s,5d0m0s\n")
    (done,) = archive.import_catalogue("mine", [path])
    assert (done.n_row, [row.line for row in done.bad]) == (2, [3, 4])


def test_ipac_tables_keep_ids_and_nulls(tmp_path):
    path = tmp_path / "t.tbl"
    path.write_text(
        "\\fixlen = T\n|pid                |maglimit|\n|long               |double  |\n|                   |mag     |\n"
        "|null               |null    |\n 1152921504606846977     20.5 \n                null     19.5 \n"
        " 7                       null \n"
    )
    reader = open_table(path)
    (block,) = reader.blocks({"pid": "i", "maglimit": "f"})
    assert (reader.format, reader.names) == ("ipac", ("pid", "maglimit"))
    assert block.columns["pid"].tolist() == [(1 << 60) + 1, 0, 7]
    assert block.missing["pid"].tolist() == [False, True, False]
    np.testing.assert_array_equal(block.columns["maglimit"], [20.5, 19.5, np.nan])


def test_doubled_columns_count_only_where_they_are_needed(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('pid,a,maglimit,a,a\n5,1,20.5,2,3\n6,1,"19.5",2,3\n')
    reader = open_table(path)
    (block,) = reader.blocks({"pid": "i", "maglimit": "f"})
    assert (block.columns["pid"].tolist(), block.columns["maglimit"].tolist()) == ([5, 6], [20.5, 19.5])
    with pytest.raises(CatalogueFileError, match="two columns are named a"):
        list(reader.blocks({"a": "f"}))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ("1362431775015.0,20.1\n", "line 2: pid is '1362431775015.0', not an integer"),
        (",20.1\n,20.2\n", "2 rows"),
        ("", "0 rows"),
    ],
)
def test_metadata_without_a_usable_row_fails(image, tmp_path, rows, why):
    archive, _ = image
    path = tmp_path / "meta.csv"
    path.write_text(f"pid,maglimit\n{rows}")
    with pytest.raises(CatalogueFileError, match="none of its") as caught:
        archive.import_metadata(path)
    assert why in str(caught.value)


@pytest.mark.parametrize("form", ["ascii.csv", "ascii.ipac"])
def test_metadata_of_irsa_as_csv_and_ipac(image, tmp_path, form):
    archive, pid = image
    path = tmp_path / "meta.txt"
    Table({"pid": [int(pid)], "infobits": [33554432], "maglimit": [20.1], "seeing": [2.0]}).write(path, format=form)
    report = archive.import_metadata(path)
    assert (report.n_image, report.bad) == (1, [])
