"""LSDB, hats and other readers of Parquet on an export: the answers of the archive itself."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, build_archive, stars_of
from ztfdb.derive.objects import build_objects
from ztfdb.sky.angles import separation
from ztfdb.store.engine import make_engine, sessions

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # theirs: of pandas' coming versions, of suffixes, of event loops
]
PLAN = Plan(2_000, 8, seed=1, centre=(180.0, 10.0), field=651)
CONES = [(179.6, 9.7, 60.0), (180.0, 10.0, 120.0), (180.3, 10.4, 30.0), (180.1, 10.2, 300.0)]


@pytest.fixture(scope="module")
def export(databases, tmp_path_factory):
    """An archive on PostgreSQL, and its export; SQLite's is the same, byte for byte."""
    url, folder = databases.migrated("postgresql"), tmp_path_factory.mktemp("lsdb") / "hats"
    build_archive(url, PLAN)
    engine = make_engine(url)
    build_objects(sessions(engine))
    engine.dispose()
    with ztfdb.open(url) as archive:
        archive.export_hats(folder, threshold=1_500)
        yield archive, folder
    databases.drop(url)


@pytest.fixture(scope="module")
def lsdb():
    return pytest.importorskip("lsdb")


def everything(lsdb, path):
    return lsdb.open_catalog(path, columns="all")


def ids(frame, name="source_id"):
    return sorted(frame[name].astype("int64").tolist())


@pytest.mark.parametrize("product", ["detections", "objects", "images"])
def test_strict_validation_finds_nothing(export, product):
    validation = pytest.importorskip("hats.io.validation")
    assert validation.is_valid_catalog(export[1] / product, strict=True)


@pytest.mark.parametrize("cone", CONES)
def test_a_cone_has_the_rows_of_the_archive(export, lsdb, cone):
    archive, folder = export
    ra, dec, radius = cone
    found = everything(lsdb, folder / "detections").cone_search(ra, dec, radius).compute().sort_values("source_id")
    wanted = archive.cone(ra, dec, radius).sort_values("source_id")
    assert ids(found) == ids(wanted)
    assert len(wanted)
    for name in ("ra", "dec", "x", "y", "flux_aper4", "flux_aper4_err", "flags"):
        np.testing.assert_array_equal(found[name].to_numpy("float64"), wanted[name].to_numpy("float64"), err_msg=name)
    np.testing.assert_array_equal(found.index.to_numpy(), wanted["hpx29"].to_numpy("int64"))


def test_a_box_and_a_polygon_have_the_rows_inside(export, lsdb):
    archive, folder = export
    catalogue = everything(lsdb, folder / "detections")
    rows = archive.sql("select source_id, ra, dec from source", force=True)
    inside = rows[rows.ra.between(179.8, 180.1) & rows.dec.between(9.9, 10.2)]
    assert ids(catalogue.box_search(ra=(179.8, 180.1), dec=(9.9, 10.2)).compute()) == ids(inside)
    corners = [(179.8, 9.9), (180.1, 9.9), (180.1, 10.2), (179.8, 10.2)]
    polygon = set(ids(catalogue.polygon_search(corners).compute()))
    edge = rows[((rows.dec - 9.9).abs() < 1e-3) | ((rows.dec - 10.2).abs() < 1e-3)]  # great circles are no parallels
    assert polygon ^ set(ids(inside)) <= set(ids(edge))


def test_an_object_is_found_by_its_id_with_its_light_curve(export, lsdb):
    archive, folder = export
    members = archive.sql("select object_id, source_id from object_source", force=True)
    catalogue = lsdb.open_catalog(folder / "objects")
    for object_id in members.object_id.drop_duplicates().iloc[[0, 500, 1_500]]:
        found = catalogue.id_search(values={"object_id": int(object_id)}).compute()
        assert len(found) == 1
        assert ids(found["lightcurve"].iloc[0]) == ids(members[members.object_id == object_id])


def test_a_nested_query_cuts_epochs(export, lsdb):
    archive, folder = export
    frame = lsdb.open_catalog(folder / "objects").query("lightcurve.fid == 2").compute()
    wanted = archive.sql(
        "select count(*) as n from object_source o join source s on s.source_id = o.source_id "
        "join image i on i.image_id = s.image_id where i.fid = 2",
        force=True,
    )
    assert int(sum(map(len, frame["lightcurve"]))) == int(wanted.n.iloc[0])


def test_neighbours_across_partitions_are_found_through_the_margin(export, lsdb):
    _, folder = export
    stars = stars_of(PLAN)
    targets = lsdb.from_dataframe(
        pd.DataFrame({"star": np.arange(len(stars.ra)), "ra": stars.ra, "dec": stars.dec}),
        ra_column="ra", dec_column="dec", lowest_order=7, highest_order=9,
    )  # fmt: skip
    objects = lsdb.open_catalog(folder / "objects", columns="all")
    found = targets.crossmatch(objects, radius_arcsec=1.0, n_neighbors=1, suffixes=("_star", "_object")).compute()
    engine = make_engine(export[0]._target)
    with sessions(engine)() as session:
        rows = session.execute(text("select object_id, ra, dec from object", force=True)).all()
    engine.dispose()
    ra, dec = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    object_id = np.array([row[0] for row in rows])
    nearest = {}
    for star in range(len(stars.ra)):
        distance = separation(stars.ra[star], stars.dec[star], ra, dec)
        if distance.min() <= 1.0:
            nearest[star] = int(object_id[np.argmin(distance)])
    pairs = zip(found["star_star"].tolist(), found["object_id_object"].tolist(), strict=True)
    assert dict(pairs) == nearest


def test_duckdb_and_polars_read_the_files(export):
    archive, folder = export
    name = (folder / "detections" / "collection.properties").read_text().split("hats_primary_table_url=")[1].split()[0]
    files = str(folder / "detections" / name / "dataset" / "**" / "*.parquet")
    wanted = archive.sql(
        "select count(*) as n, min(source_id) as first, max(source_id) as last from source", force=True
    ).iloc[0]
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select count(*), min(source_id), max(source_id) from read_parquet('{files}')").fetchone()
    assert found == (wanted.n, wanted["first"], wanted["last"])
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(files, hive_partitioning=False)
    assert (frame.height, frame["source_id"].min(), frame["source_id"].max()) == found


def test_the_recipes_of_the_page_run(export, lsdb):
    archive, folder = export
    page = (Path(__file__).resolve().parents[2] / "docs" / "scale.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    found: dict = {}
    known = str(archive.sql("select min(object_id) as id from object", force=True).id[0])
    for words, ours in {"/data/ztf-hats": str(folder), "57.6911": "180.0", "35.8423": "10.0"}.items():
        first = first.replace(words, ours)
    exec(first.replace("1683299887203447296", known), found)
    assert found["star"]["object_id"].tolist() == [int(known)]
    assert ids(found["nearby"]) == ids(archive.cone(180.0, 10.0, 60.0))
    exec(second.replace("use.sum() < 5", "use.sum() < 2"), found)  # few epochs are in this archive
    periods = found["periods"].set_index("object_id")["period"]
    assert len(periods) == archive.sql("select count(*) as n from object", force=True).n[0]
    assert periods.notna().any()
    for object_id, period in periods.head(3).items():
        epochs = found["objects"].id_search(values={"object_id": object_id}).compute()["lightcurve"].iloc[0]
        want = found["best_period"](*(epochs[name] for name in ("mjd", "mag", "magerr", "fid", "good")))["period"]
        assert period == want or (period != period and want != want)
