"""HATS catalogues read in place: the answers of the same catalogue imported, however its files are written."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sqlalchemy import text

import ztfdb
from tests.support.campaign import observe
from tests.support.hats_catalogues import collected, write_hats
from tests.support.reference import open_sessions, store_image
from tests.support.tables import object_ids
from ztfdb.cli.app import application
from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.commit import commit_image
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cell_boundary, sky_to_cell
from ztfdb.surveys.hats import HatsTable, with_border
from ztfdb.surveys.properties import parse_properties

pq = pytest.importorskip("pyarrow.parquet")

CENTRES = ((0.0, 3.0), (123.0, 89.97), (250.0, -89.97), (180.0, 9.59406823))
"""A field across RA 0, one over each pole, and one about a corner of partitions of orders 3 and up."""

N_STAR, WIDTH = 300, 0.2

DIALECTS = {
    "as ours": {},
    "unsorted, without an index or a list": {"index": None, "listed": False, "shuffled": True},
    "cells of order 20, other names": {"index": "spatial", "index_order": 20, "names": {"ra": "lon", "dec": "lat"}},
    "folders, negative longitudes": {"directories": True, "wrap": True, "order": 3},
    "one in five in the cell beside": {"strays": 0.2, "order": 8},
}


def star_positions(seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Stars in the fields, and some on the edges of the partitions in the plain one."""
    rng = np.random.default_rng(seed)
    ra, dec = [], []
    for ra0, dec0 in CENTRES:
        north = dec0 + rng.uniform(-WIDTH, WIDTH, N_STAR)
        east = rng.uniform(-WIDTH, WIDTH, N_STAR)
        over = np.abs(north) > 90.0
        ra.append(ra0 + east / np.maximum(np.cos(np.radians(north)), 1e-3) + np.where(over, 180.0, 0.0))
        dec.append(np.where(over, np.sign(north) * 180.0 - north, north))
    for order in (3, 5, 8):
        cells = np.unique(sky_to_cell(ra[-1][:40], dec[-1][:40], order))
        edge_ra, edge_dec = cell_boundary(cells, order, 60)
        near = separation(*CENTRES[-1], edge_ra, edge_dec) < WIDTH * 3600
        ra.append(edge_ra[near])
        dec.append(edge_dec[near])
    return np.mod(np.concatenate(ra), 360.0), np.concatenate(dec)


@pytest.fixture(scope="module")
def rows():
    """A catalogue with proper motions, some without; two rows are fast."""
    ra, dec = star_positions()
    rng = np.random.default_rng(7)
    n = len(ra)
    pmra, pmdec = rng.normal(0, 20.0, n), rng.normal(0, 20.0, n)
    pmra[:2], pmra[2:9] = 3000.0, np.nan
    ids = rng.permutation(n).astype(np.int64) + (1 << 60)
    motion = {"pmra": pmra, "pmdec": pmdec, "epoch": np.full(n, 2016.0)}
    return {"id": ids, "ra": ra, "dec": dec, **motion, "mag": rng.uniform(14, 20, n)}


def store_images(maker, rows) -> list[int]:
    """One image a field, its sources 0.3 arcsec about the stars."""
    rng = np.random.default_rng(9)
    found = []
    for k, (ra0, dec0) in enumerate(CENTRES):
        near = separation(ra0, dec0, rows["ra"], rows["dec"]) < 3 * WIDTH * 3600
        dec = np.clip(rows["dec"][near] + rng.normal(0, 0.3 / 3600, near.sum()), -90.0, 90.0)
        found.append(store_image(maker, rows["ra"][near], dec, seed=k, expid=1000 + k))
    return found


def as_csv(path, rows):
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(rows)
        words = [["" if v != v else repr(v) for v in values.tolist()] for values in rows.values()]
        out.writerows(zip(*words, strict=True))
    return path


def as_mast(stars):
    """PS1 stars with the column names of MAST."""
    found = {"objID": object_ids(stars["ra"], stars["dec"]), "raMean": stars["ra"], "decMean": stars["dec"]}
    found["nDetections"] = stars["n_detection"]
    for band in "gri":
        for ours, theirs in (("mag", "MeanPSFMag"), ("mag_err", "MeanPSFMagErr"), ("kron_mag", "MeanKronMag")):
            found[f"{band}{theirs}"] = stars[f"{band}_{ours}"]
    return found


def as_hats(folder, rows, *, names=None, wrap=False, ra="ra", dec="dec", **how):
    names = names or {}
    columns = {names.get(name, name): values for name, values in reversed(rows.items())}
    ra, dec = names.get(ra, ra), names.get(dec, dec)
    if wrap:
        columns[ra] = np.where(columns[ra] > 180.0, columns[ra] - 360.0, columns[ra])
    folder.mkdir()
    write_hats(folder / "rows", columns, ra=ra, dec=dec, **how)
    return collected(folder, "rows")


def stored(maker, sql, **values):
    with maker() as session:
        return pd.DataFrame(session.execute(text(sql), values).mappings().all())


MATCHES = (
    "select m.source_id, m.rank, m.reference_id, m.separation from source_match as m join catalogue as c "
    "on c.catalogue_id = m.catalogue_id where c.name = :name order by m.source_id, m.rank"
)
OFFSETS = (
    "select i.image_id, i.n_matched, i.n_match, i.ra_offset, i.dec_offset from image_match as i join catalogue as c "
    "on c.catalogue_id = i.catalogue_id where c.name = :name order by i.image_id"
)


def test_answers_are_those_of_the_same_catalogue_imported(engine_url, rows, tmp_path):
    with open_sessions(engine_url) as maker, ztfdb.open(engine_url, create=True) as archive:
        images = store_images(maker, rows)
        archive.import_catalogue("held", as_csv(tmp_path / "rows.csv", rows))
        archive.crossmatch("held", mode="all", radius=2.0)
        truth = stored(maker, MATCHES, name="held")
        assert len(truth) > len(rows["id"]) * 0.9
        cones = [(0.0, 3.0, 300.0), (123.0, 90.0, 60.0), (10.0, -90.0, 120.0), (180.0, 9.5941, 90.0), (90.0, 0.0, 9.0)]
        entries = archive.get_matched_entries(["ra", "dec", "mag"], "sources", "held", image_id=images)
        for k, how in enumerate(DIALECTS.values()):
            folder = as_hats(tmp_path / f"hats{k}", rows, **how)
            archive.add_catalogue(f"near{k}", f"hats:{folder}")
            archive.crossmatch(f"near{k}", mode="all", radius=2.0)
            pd.testing.assert_frame_equal(stored(maker, MATCHES, name=f"near{k}"), truth)
            pd.testing.assert_frame_equal(stored(maker, OFFSETS, name=f"near{k}"), stored(maker, OFFSETS, name="held"))
            for cone in cones:
                here = archive.catalogue_cone(f"near{k}", *cone)
                pd.testing.assert_frame_equal(here, archive.catalogue_cone("held", *cone))
            theirs = archive.get_matched_entries(["ra", "dec", "mag"], "sources", f"near{k}", image_id=images)
            theirs.columns = [name.replace(f"near{k}", "held") for name in theirs.columns]
            pd.testing.assert_frame_equal(theirs, entries, check_names=False)
        inside = separation(0.0, 3.0, rows["ra"], rows["dec"]) <= 300.0
        assert set(archive.catalogue_cone("near1", *cones[0]).reference_id) == set(rows["id"][inside].tolist())


def test_a_cone_reads_the_row_groups_around_it_alone(archive, rows, tmp_path, monkeypatch):
    folder = as_hats(tmp_path / "hats", rows, group=50)
    archive.add_catalogue("near", f"hats:{folder}")
    read = []
    real = HatsTable.read
    monkeypatch.setattr(HatsTable, "read", lambda self, *words: read.append(words[:2]) or real(self, *words))
    archive.catalogue_cone("near", 180.0, 9.594, 60.0)
    n_group = len(rows["ra"]) // 50
    assert 0 < len(set(read)) < n_group / 5
    read.clear()
    archive.catalogue_cone("near", 180.0, 9.594, 60.0)
    assert read == []  # what was read stays in memory


def test_calibration_is_that_of_the_same_catalogue_imported(engine_url, tmp_path):
    observed = [observe(tmp_path, number, seed=3) for number in range(2)]
    ps1 = as_mast({name: np.concatenate([one.stars[name] for one in observed]) for name in observed[0].stars})
    columns = "select image_id, aperture, zeropoint, color_term, n_star, apcor from calibration order by 1, 2"
    with open_sessions(engine_url) as maker, ztfdb.open(engine_url, create=True) as archive:
        for one in observed:
            commit_image(maker, one.measured)
        archive.import_catalogue("ps1", as_csv(tmp_path / "ps1.csv", ps1))
        archive.crossmatch("ps1")
        archive.calibrate()
        truth = stored(maker, columns)
        assert truth.zeropoint.notna().all()
        archive.remove_catalogue("ps1")
        archive.add_catalogue("ps1", f"hats:{as_hats(tmp_path / 'hats', ps1, ra='raMean', dec='decMean')}")
        archive.crossmatch("ps1")
        archive.calibrate()
        pd.testing.assert_frame_equal(stored(maker, columns), truth)


def test_a_catalogue_added_again_is_matched_again_where_it_has_changed(engine_url, rows, tmp_path):
    run = CliRunner()

    def ztfdb_says(*words):
        return run.invoke(application, [*words, "--db", engine_url])

    with open_sessions(engine_url) as maker, ztfdb.open(engine_url, create=True):
        store_images(maker, rows)
    folder = as_hats(tmp_path / "hats", {name: values[: len(values) // 2] for name, values in rows.items()})
    first = ztfdb_says("catalog", "add", "near", f"hats:{folder}")
    assert first.exit_code == 0, first.output
    assert f"near: {len(rows['ra']) // 2:,} rows on " in first.stderr and "added (named)" in first.stderr
    assert "has not changed" in ztfdb_says("catalog", "add", "near", f"hats:{folder}").stderr
    assert "4 images matched with near" in ztfdb_says("crossmatch", "near").stderr
    assert "0 images matched with near" in ztfdb_says("crossmatch", "near").stderr
    path = next(folder.rglob("Npix=*.parquet"))
    pq.write_table(pq.read_table(path, partitioning=None).slice(1), path)
    assert "added (named)" in ztfdb_says("catalog", "add", "near", f"hats:{folder}").stderr
    assert "has not changed" in ztfdb_says("catalog", "add", "near", f"hats:{folder}").stderr
    assert "4 images matched with near" in ztfdb_says("crossmatch", "near").stderr
    write_hats(folder / "more", rows)
    collected(folder, "more")
    assert "added (named)" in ztfdb_says("catalog", "add", "near", f"hats:{folder}").stderr
    assert "4 images matched with near" in ztfdb_says("crossmatch", "near").stderr
    listed = ztfdb_says("catalog", "list", "--format", "json")
    assert f"hats:{folder}" in listed.stdout
    cone = ztfdb_says("cone", "180", "9.594", "100", "--catalog", "near", "--format", "csv")
    n = int((separation(180.0, 9.594, rows["ra"], rows["dec"]) <= 100.0).sum())
    assert cone.exit_code == 0 and len(cone.stdout.splitlines()) == n + 1 > 2
    held = ztfdb_says("catalog", "import", "near", str(as_csv(tmp_path / "rows.csv", rows)))
    assert held.exit_code == 2 and "read in place" in held.output
    gone = ztfdb_says("catalog", "remove", "near")
    assert "files of a catalogue that is read in place stay" in gone.stderr
    assert (folder / "more" / "hats.properties").exists()
    assert ztfdb_says("crossmatch", "near").exit_code == 1


def test_what_is_no_catalogue_is_refused_with_its_name(archive, rows, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(CatalogueFileError, match=r"neither hats\.properties nor collection\.properties"):
        archive.add_catalogue("near", f"hats:{empty}")
    with pytest.raises(ValueError, match="expected hats:PATH or hats:URL"):
        archive.add_catalogue("near", str(empty))
    folder = as_hats(tmp_path / "hats", rows)
    with pytest.raises(CatalogueFileError, match="none of the layouts of gaia"):
        archive.add_catalogue("gaia", f"hats:{folder}")
    with pytest.raises(CatalogueFileError, match="has no column colour"):
        archive.add_catalogue("near", f"hats:{folder}", columns={"id": "id", "mag": "colour"})
    (folder / "rows" / "partition_info.csv").write_text("Norder,Npix\n5,99999999\n")
    with pytest.raises(CatalogueFileError, match="no HEALPix pixels"):
        archive.add_catalogue("near", f"hats:{folder}")
    collected(folder, "https://elsewhere.example/rows")
    with pytest.raises(CatalogueFileError, match="lies elsewhere"):
        archive.add_catalogue("near", f"hats:{folder}")
    held = archive.catalogues()
    assert held.empty and [str(held.dtypes[one]) for one in ("file", "n_row", "match_radius")] == [
        "str",
        "int64",
        "float64",
    ]


def test_a_partition_that_is_gone_is_named_and_stops_no_ingest(archive, rows, tmp_path):
    folder = as_hats(tmp_path / "hats", rows)
    archive.add_catalogue("near", f"hats:{folder}")
    for path in (folder / "rows" / "dataset").rglob("Npix*.parquet"):
        path.unlink()
    with pytest.raises(CatalogueFileError, match=r"Npix=\d+\.parquet: cannot be read"):
        archive.catalogue_cone("near", 180.0, 9.594, 60.0)
    with open_sessions(archive.url) as maker:
        assert len(store_images(maker, rows)) == 4
        assert stored(maker, OFFSETS, name="near").empty
    with pytest.raises(CatalogueFileError, match="cannot be read"):
        archive.crossmatch("near")


def test_the_border_holds_every_cell_within_an_arcsec():
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    dec[:4] = (90.0, -90.0, 89.9999, 0.0)
    cell = sky_to_cell(ra, dec)
    order = np.argsort(cell)
    lo, hi = with_border(cell[order], cell[order] + 1)
    east = 1.0 / 3600 / np.maximum(np.cos(np.radians(dec)), 1e-9)
    for dra, ddec in ((east, 0.0), (-east, 0.0), (0.0, 1 / 3600), (0.0, -1 / 3600)):
        there = sky_to_cell(np.mod(ra + np.clip(dra, -180, 180), 360.0), np.clip(dec + ddec, -90.0, 90.0))
        at = np.searchsorted(lo, there, side="right") - 1
        assert (at >= 0).all() and (there < hi[at]).all()
    assert np.sum(hi - lo) < 200 * 16 * 4 ** (29 - 12)


def test_properties_are_read_as_java_reads_them():
    said = (
        "#comment\n! another\nurl=https\\://a.b/c\nname : plain  words\npath=C\\:\\\\x\n"
        "long=one \\\n  two\nsun=\\u2609\nkey\\=a=1\n"
    )
    assert parse_properties(said) == {
        "url": "https://a.b/c", "name": "plain  words", "path": "C:\\x", "long": "one two", "sun": "☉", "key=a": "1",
    }  # fmt: skip


def test_rows_that_others_put_into_the_cell_beside_are_found_by_their_angles(rows, tmp_path):
    table = HatsTable(str(as_hats(tmp_path / "hats", rows, strays=0.5, order=8, group=50)))
    cell = sky_to_cell(rows["ra"], rows["dec"])
    astray = 0
    for lo, hi in zip(table.lo, table.hi, strict=True):
        inside = set(rows["id"][(cell >= lo) & (cell < hi)].tolist())
        blocks = list(table.blocks(np.array([lo]), np.array([hi]), {"id": "i"}))
        assert {one for block in blocks for one in block.columns["id"].tolist()} == inside
        (place,) = np.flatnonzero(table.lo == lo)
        filed = [table.read(path, 0, ["id"])["id"].to_pylist() for path in table._files(place)]
        astray += len(inside - {one for ids in filed for one in ids})
    assert astray > 10
