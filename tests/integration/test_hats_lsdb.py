"""LSDB, hats and other readers of Parquet on an export: the answers of the archive itself."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from scipy.spatial import cKDTree
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, add_image, build_archive, stars_of
from tests.support.hats_catalogues import write_hats
from tests.support.hats_exports import add_psf_and_forced, catalogue, files, margin_of, rows_in
from ztfdb.derive.objects import build_objects, update_objects
from ztfdb.sky.angles import separation
from ztfdb.store.engine import make_engine, sessions, writing

pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # theirs: of pandas' coming versions, of suffixes, of event loops
]
PLAN = Plan(2_000, 8, seed=1, centre=(180.0, 10.0), field=651)
N_EARLY = 6
"""Epochs of the first export into folders; each of the others is an update."""

THRESHOLD = 1_500
PRODUCTS = ("detections", "objects", "psf_sources", "forced", "images")
CONES = [(179.6, 9.7, 60.0), (180.0, 10.0, 120.0), (180.3, 10.4, 30.0), (180.1, 10.2, 300.0)]


@pytest.fixture(scope="module")
def both(databases, tmp_path_factory):
    """An archive on PostgreSQL, and its export in both layouts; SQLite's is the same, byte for byte.

    The folders have grown by two nights, the last of which made them.
    """
    url, folder = databases.migrated("postgresql"), tmp_path_factory.mktemp("lsdb")
    build_archive(url, replace(PLAN, n_epoch=N_EARLY))
    engine = make_engine(url)
    maker = sessions(engine)
    build_objects(maker)
    with writing(maker) as session:
        add_psf_and_forced(session)
    with ztfdb.open(url) as archive:
        archive.export_hats(folder / "directory", threshold=THRESHOLD, layout="directory")
        for epoch in range(N_EARLY, PLAN.n_epoch):
            add_image(maker, PLAN, stars_of(PLAN), epoch)
            update_objects(maker)
            archive.export_hats(folder / "directory", update=True)
        archive.export_hats(folder / "file", threshold=THRESHOLD)
        yield archive, folder
    engine.dispose()
    databases.drop(url)


@pytest.fixture(scope="module", params=["file", "directory"])
def export(request, both):
    return both[0], both[1] / request.param


@pytest.fixture(scope="module")
def lsdb():
    return pytest.importorskip("lsdb")


def everything(lsdb, path):
    return lsdb.open_catalog(path, columns="all")


def ids(frame, name="source_id"):
    return sorted(frame[name].astype("int64").tolist())


def several_files(collection):
    return any(len(paths) > 1 for paths in files(catalogue(collection)).values())


@pytest.mark.slow
def test_the_folders_have_grown(both):
    assert several_files(both[1] / "directory" / "detections")
    assert not any(several_files(both[1] / "file" / product) for product in PRODUCTS)


@pytest.mark.parametrize("product", PRODUCTS)
def test_strict_validation_finds_nothing(export, product):
    validation = pytest.importorskip("hats.io.validation")
    assert validation.is_valid_catalog(export[1] / product, strict=True)


@pytest.mark.parametrize("product", PRODUCTS)
def test_verification_passes(export, product, tmp_path):
    """hats-import's; it needs ``_metadata``, which partitions of several files have none of."""
    arguments = pytest.importorskip("hats_import.verification.arguments").VerificationArguments
    collection = export[1] / product
    for folder in (catalogue(collection), margin_of(collection)):
        if not (folder / "dataset" / "_metadata").exists():
            assert several_files(collection) or any(len(paths) > 1 for paths in files(folder).values())
            continue
        rows = sum(rows_in(paths).num_rows for paths in files(folder).values())
        wanted = arguments(
            input_catalog_path=folder, output_path=tmp_path, truth_total_rows=rows, check_metadata=False, verbose=False
        )
        verifier = importlib.import_module("hats_import.verification.run_verification").run(wanted)
        assert verifier.all_tests_passed, verifier.results_df.to_string()


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
    for object_id in members.object_id.drop_duplicates().iloc[[0, 500, 900]]:
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
        rows = session.execute(text("select object_id, ra, dec from object")).all()
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


def test_objects_and_their_detections_are_joined(export, lsdb):
    """By id, as flat rows and as a nested column beside the one that is there."""
    archive, folder = export
    objects = lsdb.open_catalog(folder / "objects", columns=["object_id", "ra", "dec", "nepochs"])
    detections = lsdb.open_catalog(folder / "detections", columns=["source_id", "object_id", "ra", "dec", "filtercode"])
    members = archive.sql("select object_id, source_id from object_source", force=True)
    wanted = members.groupby("object_id").source_id.apply(sorted).to_dict()
    joined = objects.join(detections, left_on="object_id", right_on="object_id", suffixes=("", "_of")).compute()
    pairs = joined[["object_id", "source_id_of"]].astype("int64")
    assert pairs.groupby("object_id")["source_id_of"].apply(sorted).to_dict() == wanted
    with_object = detections.query("object_id > 0")  # a missing id cannot be nested
    nested = objects.join_nested(
        with_object, left_on="object_id", right_on="object_id", nested_column_name="again"
    ).compute()
    found = {
        object_id: sorted(rows["source_id"].astype("int64"))
        for object_id, rows in zip(nested["object_id"].astype("int64").tolist(), nested["again"], strict=True)
    }
    assert found == wanted


@pytest.mark.parametrize("product", ["detections", "objects", "psf_sources", "forced"])
def test_margins_hold_the_rows_around_a_partition(export, lsdb, product):
    """As LSDB reads them: every row of another partition within 10 arcsec of a row of this one."""
    _, folder = export
    opened = everything(lsdb, folder / product)
    key = "object_id" if product == "objects" else "image_id" if product == "forced" else "source_id"
    frames = {pixel: opened.get_partition(pixel.order, pixel.pixel).compute() for pixel in opened.get_healpix_pixels()}
    rows = pd.concat([frame.assign(pixel=str(pixel)) for pixel, frame in frames.items()])
    points = SkyCoord(rows.ra.to_numpy(float), rows.dec.to_numpy(float), unit="deg").cartesian.xyz.value.T
    keys = list(zip(rows.index.tolist(), rows[key].astype("int64").tolist(), strict=True))
    n_beside = 0
    for pixel in frames:
        held = set()
        if pixel in opened.margin.get_healpix_pixels():
            margin = opened.margin.get_partition(pixel.order, pixel.pixel).compute()
            held = set(zip(margin.index.tolist(), margin[key].astype("int64").tolist(), strict=True))
        own = (rows.pixel == str(pixel)).to_numpy()
        distance, _ = cKDTree(points[own]).query(points, distance_upper_bound=2 * np.sin(np.radians(10 / 3600) / 2))
        near = np.flatnonzero(np.isfinite(distance) & ~own)
        n_beside += len(near)
        assert {keys[k] for k in near} <= held
        assert not held & {keys[k] for k in np.flatnonzero(own)}
    assert n_beside > 0 or product != "detections"


def test_stilts_reads_the_files(export, tmp_path):
    if shutil.which("stilts") is None:
        pytest.skip("stilts is not installed")
    archive, folder = export
    wanted = archive.sql("select source_id, ra, flux_aper4 from source order by source_id", force=True)
    paths = [path for some in files(catalogue(folder / "detections")).values() for path in some]
    (tmp_path / "names").write_text("\n".join(map(str, paths)))
    words = ["ifmt=parquet", "icmd=keepcols 'source_id ra flux_aper4'", f"out={tmp_path / 'all.csv'}", "ofmt=csv"]
    done = subprocess.run(
        ["stilts", "tcat", f"in=@{tmp_path / 'names'}", *words], capture_output=True, text=True, check=False
    )
    if "Unknown format parquet" in done.stderr:
        pytest.skip("this stilts is built without Parquet")
    assert done.returncode == 0, done.stderr
    found = pd.read_csv(tmp_path / "all.csv", dtype={"source_id": "int64"}).sort_values("source_id")
    assert found.source_id.tolist() == wanted.source_id.tolist()
    np.testing.assert_array_equal(found.ra.to_numpy(), wanted.ra.to_numpy())
    np.testing.assert_array_equal(found.flux_aper4.to_numpy("f4"), wanted.flux_aper4.to_numpy("f4"))


def test_duckdb_and_polars_read_the_files(export):
    archive, folder = export
    files = str(catalogue(folder / "detections") / "dataset" / "**" / "*.parquet")
    wanted = archive.sql(
        "select count(*) as n, min(source_id) as first, max(source_id) as last from source", force=True
    ).iloc[0]
    duckdb = pytest.importorskip("duckdb")
    found = duckdb.sql(f"select count(*), min(source_id), max(source_id) from read_parquet('{files}')").fetchall()[0]
    assert found == (wanted.n, wanted["first"], wanted["last"])
    polars = pytest.importorskip("polars")
    frame = polars.read_parquet(files, hive_partitioning=False)
    assert (frame.height, frame["source_id"].min(), frame["source_id"].max()) == found


def test_the_recipes_of_the_page_run(export, lsdb, tmp_path):
    archive, folder = export
    page = (Path(__file__).resolve().parents[2] / "docs" / "scale.md").read_text()
    first, second, third, fourth = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
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
    exec(third.replace("len(mag) < 3", "len(mag) < 2"), found)
    check_scatter(found)
    stars = write_gaia(tmp_path / "gaia")
    exec(fourth.replace("/data/gaia_dr3", str(tmp_path / "gaia")), found)
    check_matches(archive, stars, found["matched"])


def check_scatter(found):
    """Against the definition, star by star: chi2 by numpy's polynomial of degree 0."""
    scatter = found["scatter"].set_index("object_id")
    assert scatter["excess"].notna().any() and len(found["slow"]) <= len(scatter)
    curves = found["objects"].compute().set_index("object_id")["lightcurve"]
    for object_id in scatter.index[scatter["excess"].notna()][:3]:
        rows = curves[object_id]
        rows = rows[(rows["fid"] == 2) & rows["good"].astype(bool) & rows["mag"].notna()]
        mag, err = rows["mag"].to_numpy(float), rows["magerr"].to_numpy(float)
        mean = np.polyfit(np.arange(len(mag)), mag, 0, w=1 / err)[0]
        assert scatter["excess"][object_id] == pytest.approx(np.sum(((mag - mean) / err) ** 2) / (len(mag) - 1))
        ratio = np.sum(np.diff(mag) ** 2) / (len(mag) - 1) / mag.var()
        assert scatter["von_neumann"][object_id] == pytest.approx(ratio)


def write_gaia(folder):
    """Every third star as Gaia might have it, 0.1 arcsec aside, and as many where there is none."""
    stars, rng = stars_of(PLAN), np.random.default_rng(8)
    ra = np.concatenate(
        [stars.ra[::3] + rng.normal(0, 0.05 / 3600, len(stars.ra[::3])), rng.uniform(179.6, 180.4, 600)]
    )
    dec = np.concatenate([stars.dec[::3], rng.uniform(9.6, 10.4, 600)])
    source_id = rng.permutation(len(ra)) + (1 << 60)
    write_hats(folder, {"source_id": source_id, "ra": ra, "dec": dec, "parallax": rng.random(len(ra))}, order=6)
    return pd.DataFrame({"source_id": source_id, "ra": ra, "dec": dec})


def check_matches(archive, stars, matched):
    rows = archive.sql("select object_id, ra, dec from object", force=True)
    wanted = {}
    for star in stars.itertuples():
        distance = separation(star.ra, star.dec, rows.ra.to_numpy(float), rows.dec.to_numpy(float))
        if distance.min() <= 1.0:
            wanted[star.source_id] = int(rows.object_id.iloc[int(np.argmin(distance))])
    found = zip(matched["source_id_gaia"].astype("int64"), matched["object_id_ztf"].astype("int64"), strict=True)
    assert len(wanted) > 300 and dict(found) == wanted
