"""Objects on both engines: the same rows from a build and from updates in any order, and what the rows say."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import insert, text, update

import ztfdb
from tests.support.archives import Plan, store_places
from tests.support.reference import hold
from tests.support.skies import make_exposure, store_exposure, troubled_sky
from ztfdb.cli.app import application
from ztfdb.codes import MemberKind
from ztfdb.derive import objects as workflow
from ztfdb.derive.objects import build_objects, update_objects
from ztfdb.errors import UnknownObjectError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.schema import Catalogue, CatalogueFile, Image, Ps1
from ztfdb.sky.cells import cell_boundary, sky_to_cell
from ztfdb.store.catalogues import remove_catalogue
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.images import delete_image
from ztfdb.store.meta_rows import create_meta

TABLES = {
    "object": "object_id",
    "object_source": "source_id",
    "object_filter": "object_id, fid",
    "object_curve": "object_id, fid",
    "object_image": "image_id",
}
CORNER = tuple(float(v[0, 0]) for v in cell_boundary(np.array([200_000]), 8, 1))
"""Where four tiles of a build meet."""
POLE = (0.0, 90.0)
PLANS = [Plan(1, 1, centre=CORNER), Plan(1, 1, centre=(0.0, -30.0)), Plan(1, 1, centre=POLE)]


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    prepare(sessions(engine))
    yield sessions(engine)
    engine.dispose()


@pytest.fixture
def updates_only(monkeypatch):
    """Never let an update turn into a build."""
    monkeypatch.setattr(workflow, "REBUILD_SHARE", np.inf)


def prepare(maker):
    with writing(maker) as session:
        create_meta(session, ExtractionSettings().to_dict())
        store_places(session)


def rows(maker):
    with maker() as session:
        found = {
            name: [tuple(row) for row in session.execute(text(f"select * from {name} order by {key}"))]
            for name, key in TABLES.items()
        }
    return {name: [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in table]
            for name, table in found.items()}  # fmt: skip


def scalar(maker, statement):
    with maker() as session:
        return session.execute(text(statement)).scalar_one()


def check_aliases(maker):
    assert scalar(maker, "select count(*) from object_alias where object_id not in (select object_id from object)") == 0
    assert scalar(maker, "select count(*) from object_alias where alias_id in (select object_id from object)") == 0


@pytest.mark.usefixtures("updates_only")
@pytest.mark.parametrize("plan", PLANS, ids=["tile corner", "ra 0", "pole"])
def test_updates_in_any_order_end_where_a_build_ends(maker, plan):
    sky = troubled_sky(plan, 12, seed=int(plan.centre[1]) + 90)
    random.Random(plan.centre[1]).shuffle(sky)
    for one in sky:
        store_exposure(maker, one)
        report = update_objects(maker)
    assert not report.built
    updated = rows(maker)
    check_aliases(maker)
    assert build_objects(maker).built
    assert rows(maker) == updated
    check_aliases(maker)
    kinds = [row[2] for row in updated["object_source"]]
    assert {MemberKind.LINKED, MemberKind.ABSORBED, MemberKind.ATTACHED} <= set(kinds)
    assert sum(row[3] for row in updated["object_source"]) > 0
    assert len(updated["object_image"]) == len(sky) - 1  # the reference is none of them
    assert update_objects(maker).n_added == 0


@pytest.mark.usefixtures("updates_only")
def test_both_engines_hold_the_same_rows(both_urls):
    found = []
    for url in both_urls.values():
        engine = make_engine(url)
        maker = sessions(engine)
        prepare(maker)
        for k, one in enumerate(troubled_sky(PLANS[0], 10, n_star=60, seed=3)):
            store_exposure(maker, one)
            if k > 5:
                update_objects(maker)
        found.append(rows(maker))
        engine.dispose()
    first, second = found
    assert first == second
    assert len(first["object"]) > 30


@pytest.mark.usefixtures("updates_only")
def test_images_that_go_or_change_take_their_sources_along(maker):
    sky = troubled_sky(PLANS[1], 12, seed=8)
    for one in sky:
        store_exposure(maker, one)
    build_objects(maker)
    before = rows(maker)
    gone, changed, bad = sky[3], sky[5], sky[7]
    with writing(maker) as session:
        delete_image(session, gone.image_id)
        delete_image(session, changed.image_id)
        session.execute(update(Image).where(Image.image_id == bad.image_id).values(infobits=1 << 25))
    again = make_exposure(
        PLANS[1],
        5,
        changed.ra[::2],
        changed.dec[::2],
        1.1 * changed.flux[::2],
        changed.flux_err[::2],
        image_id=changed.image_id,
    )
    store_exposure(maker, again)
    report = update_objects(maker)
    assert (report.n_removed, report.n_added) == (3, 2)
    updated = rows(maker)
    assert updated != before
    check_aliases(maker)
    build_objects(maker)
    assert rows(maker) == updated
    known = {row[0] for row in updated["object_source"]}
    assert scalar(maker, "select count(*) from source") >= len(known)
    assert scalar(
        maker, "select count(*) from object_source where source_id not in (select source_id from source)"
    ) == 0  # fmt: skip


def test_an_archive_without_images_has_no_objects(maker):
    assert build_objects(maker).n_remade == 0
    assert update_objects(maker).n_added == 0
    assert not any(rows(maker).values())


def star(maker, n_epoch, *, first=0, ra=150.0, dec=2.0, flux=2000.0, **image):
    plan = Plan(1, 1, centre=(150.0, 2.0))
    for epoch in range(first, first + n_epoch):
        store_exposure(maker, make_exposure(plan, epoch, [ra], [dec], [flux], [20.0], **image))


@pytest.mark.usefixtures("updates_only")
def test_ids_stay_and_former_ones_lead_to_the_object(maker):
    plan = Plan(1, 1, centre=(150.0, 2.0))
    star(maker, 3, first=5)
    star(maker, 3, first=20, dec=2.0 + 0.8 / 3600)
    build_objects(maker)
    ((only, *_),) = rows(maker)["object"]  # the two were never seen together
    assert only == sky_to_cell(150.0, 2.0)
    older = make_exposure(plan, 1, [150.0], [2.0 + 0.1 / 3600], [3000.0], [20.0])
    store_exposure(maker, older)
    update_objects(maker)
    moved = rows(maker)["object"][0][0]
    assert moved == sky_to_cell(150.0, 2.0 + 0.1 / 3600) != only
    with maker() as session:
        assert workflow.summarise(session, only)["object_id"].unique().tolist() == [moved]
        with pytest.raises(UnknownObjectError, match="no object 17"):
            workflow.summarise(session, 17)
    with writing(maker) as session:
        delete_image(session, older.image_id)
    update_objects(maker)
    with maker() as session:
        assert workflow.summarise(session, moved)["object_id"].unique().tolist() == [only]
    check_aliases(maker)


@pytest.mark.usefixtures("updates_only")
def test_ids_of_objects_that_are_gone_lead_nowhere(maker):
    star(maker, 3, first=5)
    build_objects(maker)
    former = rows(maker)["object"][0][0]
    star(maker, 1, first=1, dec=2.0 + 0.2 / 3600)
    update_objects(maker)
    assert scalar(maker, "select alias_id from object_alias") == former
    star(maker, 1, first=30, ra=150.1)
    with maker() as session:
        ids = session.execute(text("select image_id from image where image_id < (select max(image_id) from image)"))
        gone = ids.scalars().all()
    with writing(maker) as session:
        for image_id in gone:
            delete_image(session, image_id)
    update_objects(maker)
    assert scalar(maker, "select count(*) from object_alias") == 0
    assert len(rows(maker)["object"]) == 1
    with maker() as session, pytest.raises(UnknownObjectError):
        workflow.summarise(session, former)


@pytest.mark.usefixtures("updates_only")
def test_one_exposure_counts_once_and_the_whole_quadrant_before_its_cutout(maker):
    star(maker, 2)
    cutout = {"kind": "cutout", "pid": None, "nx": 300, "ny": 300}
    star(maker, 1, first=1, flux=2500.0, image_id=11 * 10**12, **cutout)
    build_objects(maker)
    star(maker, 1, first=2, flux=2500.0, image_id=11 * 10**12 + 1, **cutout)
    update_objects(maker)
    assert sum(row[1] == 2 and row[2] for row in rows(maker)["object_filter"]) <= 2
    assert scalar(maker, "select sum(n) from object_filter") == 3
    star(maker, 1, first=2)  # the whole quadrant comes after its cutout
    update_objects(maker)
    assert scalar(maker, "select sum(n) from object_filter") == 3
    assert scalar(maker, "select count(*) from object_source") == 5
    updated = rows(maker)
    build_objects(maker)
    assert rows(maker) == updated


def test_curves_hold_what_light_curves_show(engine_url):
    """The counted detections are the good epochs of the light curve of the object's position."""
    with ztfdb.open(engine_url, create=True) as archive:
        maker = archive._sessions
        with writing(maker) as session:
            store_places(session)
        rng = np.random.default_rng(5)
        for epoch in range(20):
            flux = 2000.0 * (1 + 0.3 * np.sin(epoch)) + rng.normal(0, 20)
            bits = 2 if epoch == 4 else 0
            made = make_exposure(Plan(1, 1), epoch, [180.0], [10.0], [flux], [20.0], mask_bits=1 << bits if bits else 0)
            store_exposure(maker, made)
        archive.build_objects()
        (object_id,) = archive.sql("select object_id from object", force=True)["object_id"].tolist()
        shown = archive.object(object_id).set_index("filtercode")
        curve = archive.light_curve(180.0, 10.0, good=True).to_pandas()
        assert len(curve) == 19
        for filtercode, part in curve.groupby("filtercode", observed=True):
            row = shown.loc[str(filtercode)]
            assert row["n"] == len(part)
            assert row["median_mag"] == pytest.approx(part["mag"].median(), abs=3e-6)
            weight = part["magerr"] ** -2
            mean = (weight * part["mag"]).sum() / weight.sum()
            assert row["mean_mag"] == pytest.approx(mean, abs=3e-6)
            if len(part) > 1:
                chi2 = (weight * (part["mag"] - mean) ** 2).sum() / (len(part) - 1)
                assert row["chi2"] == pytest.approx(chi2, rel=1e-4)
                assert row["scatter"] == pytest.approx(part["mag"].std(), rel=1e-4)
            assert (row["first_mjd"], row["last_mjd"]) == (part["mjd"].min(), part["mjd"].max())


def test_variable_stars_are_one_indexed_query_and_bright_stars_are_not_among_them(maker):
    """300 stars of all magnitudes with 0.015 mag of scatter beyond their photon noise, five of them variable."""
    rng = np.random.default_rng(7)
    n_star, n_epoch, plan = 300, 24, Plan(1, 1, centre=(210.0, 40.0))
    ra, dec = 210.0 + rng.uniform(-0.2, 0.2, n_star), 40.0 + rng.uniform(-0.2, 0.2, n_star)
    light = 10 ** rng.uniform(2.6, 5.2, n_star)
    variable = np.arange(5)
    for epoch in range(n_epoch):
        amplitude = np.where(np.isin(np.arange(n_star), variable), 0.2 * np.sin(epoch), 0.0)
        flux = light * 10 ** (-0.4 * (amplitude + rng.normal(0, 0.015, n_star)))
        error = np.sqrt(22.0**2 + flux / 6.2)
        flux = flux + rng.normal(0, error)
        place = rng.normal(0, 0.05 / 3600, (2, n_star))
        made = make_exposure(
            plan, epoch, ra + place[0] / np.cos(np.radians(40.0)), dec + place[1], flux, np.sqrt(22.0**2 + flux / 6.2),
            fid=2, filtercode="zr",
        )  # fmt: skip
        store_exposure(maker, made)
    build_objects(maker)
    question = "select object_id from object_filter where fid = 2 and chi2 > 5 and n >= 20"
    with maker() as session:
        found = session.execute(text(question)).scalars().all()
        chi2 = np.array(
            session.execute(text("select chi2 from object_filter where n >= 20 and chi2 < 5")).scalars().all()
        )
        sqlite = session.get_bind().dialect.name == "sqlite"
        if not sqlite:
            session.execute(text("set local enable_seqscan = off"))
        plan_text = " ".join(map(str, session.execute(text(f"explain {'query plan ' * sqlite}{question}")).all()))
    assert set(found) <= {row[0] for row in rows(maker)["object"]}
    assert len(found) == len(variable)
    assert len(chi2) > 280
    assert np.median(chi2) == pytest.approx(1.0, abs=0.06)
    assert "ix_object_filter_chi2" in plan_text


def test_ps1_ids_come_with_the_objects_and_with_the_catalogue(maker):
    star(maker, 3)
    build_objects(maker)
    assert rows(maker)["object"][0][-2:] == (None, None)
    cell = int(sky_to_cell(150.0, 2.0001))
    with writing(maker) as session:
        catalogue = {
            "catalogue_id": 1, "name": "ps1", "kind": "ps1", "n_row": 1, "n_moving": 0, "max_pm": 0.0,
            "match_mode": "nearest", "match_radius": 1.5, "created": "2026-01-01",
        }  # fmt: skip
        session.execute(insert(Catalogue), catalogue)
        file = {
            "catalogue_id": 1, "path": "a", "size": 1, "sha256": "0", "format": "csv", "layout": "named", "n_row": 1,
            "n_known": 0, "n_bad": 0, "imported": "2026-01-01",
        }  # fmt: skip
        session.execute(insert(CatalogueFile), file)
        session.execute(insert(Ps1), {"ps1_id": 77, "hpx29": cell, "ra": 150.0, "dec": 2.0001, "photometry": 1})
    update_objects(maker)
    ps1_id, apart = rows(maker)["object"][0][-2:]
    assert (ps1_id, apart) == (77, pytest.approx(0.36, abs=1e-6))
    updated = rows(maker)
    build_objects(maker)
    assert rows(maker) == updated


def test_ps1_ids_follow_a_catalogue_that_was_removed_and_imported_again(maker):
    star(maker, 3)
    for ps1_id in (77, 88):
        held = hold(maker, "ps1", [ps1_id], [150.0], [2.0001])
        update_objects(maker)
        assert rows(maker)["object"][0][-2] == ps1_id
        with writing(maker) as session:
            remove_catalogue(session, held)


def test_the_command_builds_updates_and_shows(engine_url):
    engine = make_engine(engine_url)
    maker = sessions(engine)
    prepare(maker)
    star(maker, 4)

    def run(*words):
        return CliRunner().invoke(application, ["--db", engine_url, "objects", *words])

    built = run("build")
    assert built.exit_code == 0 and "4 images added" in built.stderr, built.output
    star(maker, 1, first=9)
    assert "1 image added" in run("update").stderr
    object_id = int(sky_to_cell(150.0, 2.0))
    shown = run("show", str(object_id), "--format", "csv")
    assert shown.exit_code == 0
    assert len(shown.stdout.splitlines()) == 1 + scalar(maker, "select count(*) from object_filter")
    assert run("show", "5").exit_code == 1
    assert run("show").exit_code == run("build", "5").exit_code == 2
    engine.dispose()


def test_object_ids_follow_the_sky(maker):
    for one in troubled_sky(PLANS[1], 6, seed=2):
        store_exposure(maker, one)
    build_objects(maker)
    found = rows(maker)["object"]
    assert all(a[0] < b[0] for a, b in pairwise(found))
