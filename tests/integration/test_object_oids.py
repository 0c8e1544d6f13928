"""Objects beside reference catalogues on both engines: the same rows whatever came first, and ZTF's own numbers."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, store_places
from tests.support.catalogues import real_refpsfcat
from tests.support.measured import make_file
from tests.support.references import make_catalogue, store_reference
from tests.support.skies import make_exposure, store_exposure, troubled_sky
from ztfdb.cli.app import application
from ztfdb.derive import objects as workflow
from ztfdb.derive.objects import build_objects, object_oids, summarise, update_objects
from ztfdb.errors import UnknownObjectError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.psfcat import read_psfcat
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cell_boundary, sky_to_cell
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.images import delete_image
from ztfdb.store.meta_rows import create_meta
from ztfdb.store.psf_catalogues import delete_psf, store_psf

CORNER = tuple(float(v[0, 0]) for v in cell_boundary(np.array([200_000]), 8, 1))
"""Where four tiles of a build meet."""
PLANS = [Plan(1, 1, centre=CORNER), Plan(1, 1, centre=(0.0, -30.0)), Plan(1, 1, centre=(0.0, 90.0))]


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


def read(maker, statement):
    with maker() as session:
        return [tuple(row) for row in session.execute(text(statement))]


def mapping(maker):
    return read(maker, "select source_id, object_id, oid, separation from object_oid order by source_id")


def by_brute_force(maker):
    """(oid's source, object) where each is the other's nearest within 1.5 arcsec, catalogue by catalogue."""
    objects = read(maker, "select object_id, ra, dec from object order by object_id")
    found = set()
    for (image_id,) in read(maker, "select image_id from psf_catalogue where role = 'refpsfcat'"):
        sources = read(maker, f"select source_id, ra, dec from psf_source where image_id = {image_id} order by 1")
        if not (objects and sources):
            continue
        (ids, ra1, dec1), (numbers, ra2, dec2) = (zip(*rows, strict=True) for rows in (objects, sources))
        apart = separation(np.array(ra1)[:, None], np.array(dec1)[:, None], np.array(ra2), np.array(dec2)).round(8)
        for i, j in enumerate(apart.argmin(axis=1)):
            if apart[i, j] <= 1.5 and apart[:, j].argmin() == i:
                found.add((numbers[j], ids[i]))
    return found


def references_of(plan, sky, seed):
    """Catalogues of two fields and filters, and another version of the first: most stars, some elsewhere, some gone."""
    rng = np.random.default_rng(seed)
    ra, dec = (np.concatenate([getattr(one, name)[::2] for one in sky[:4]]) for name in ("ra", "dec"))
    made = []
    for number, (field, fid) in enumerate(((651, 2), (651, 1), (402, 3), (651, 2))):
        seen = rng.random(len(ra)) < 0.7
        shift = rng.normal(0, 0.4 / 3600, (2, seen.sum()))
        place = np.clip(dec[seen] + shift[1], -90, 90)
        east = ra[seen] + shift[0] / np.maximum(np.cos(np.radians(place)), 1e-9)
        made.append(make_catalogue(east % 360.0, place, field=field, fid=fid, content=f"version {number}"))
    return made


@pytest.mark.usefixtures("updates_only")
@pytest.mark.parametrize("plan", PLANS, ids=["tile corner", "ra 0", "pole"])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_rows_are_the_same_whatever_came_first(maker, plan, seed):
    sky = troubled_sky(plan, 10, n_star=30, seed=seed)
    chance = random.Random(f"{plan.centre} {seed}")
    first, *others, newer = references_of(plan, sky, seed)
    events = [("image", one) for one in sky] + [("reference", one) for one in (first, *others)]
    chance.shuffle(events)
    gone = sky[chance.randrange(4, 8)]
    events.insert(chance.randrange(events.index(("reference", first)) + 1, len(events) + 1), ("reference", newer))
    events.insert(chance.randrange(events.index(("image", gone)) + 1, len(events) + 1), ("gone", gone))
    for what, one in events:
        if what == "image":
            store_exposure(maker, one)
        elif what == "reference":
            store_reference(maker, one)
        else:
            with writing(maker) as session:
                delete_image(session, one.image_id)
        if chance.random() < 0.6:
            update_objects(maker)
            assert {row[:2] for row in mapping(maker)} == by_brute_force(maker)
    update_objects(maker)
    updated = mapping(maker)
    assert len(updated) > 20
    assert {row[:2] for row in updated} == by_brute_force(maker)
    assert update_objects(maker).n_reference == 0
    assert build_objects(maker).n_reference == 3
    assert mapping(maker) == updated


@pytest.mark.usefixtures("updates_only")
def test_both_engines_hold_the_same_rows(both_urls):
    found = []
    for url in both_urls.values():
        engine = make_engine(url)
        maker = sessions(engine)
        prepare(maker)
        sky = troubled_sky(PLANS[0], 8, n_star=60, seed=3)
        for k, one in enumerate(sky):
            store_exposure(maker, one)
            if k == 5:
                for reference in references_of(PLANS[0], sky, 4)[:3]:
                    store_reference(maker, reference)
            if k > 4:
                update_objects(maker)
        found.append((mapping(maker), read(maker, "select * from object_oid_summary order by source_id")))
        engine.dispose()
    assert found[0] == found[1]
    assert len(found[0][0]) > 60


@pytest.mark.usefixtures("updates_only")
def test_catalogues_that_go_or_change_take_their_oids_along(maker):
    star(maker, 3)
    reference = store_reference(maker, make_catalogue([150.0, 150.0], [2.0001, 2.0], field=651))
    assert build_objects(maker).n_reference == 1
    (before,) = mapping(maker)
    assert before[2:] == (651101100000001, 0.0)
    store_reference(maker, make_catalogue([150.0], [2.0001], content="another"))
    assert mapping(maker) == [before]  # as objects do, it follows when they are updated
    assert update_objects(maker).n_reference == 1
    assert [row[2:] for row in mapping(maker)] == [(651101100000000, pytest.approx(0.36, abs=1e-6))]
    with writing(maker) as session:
        delete_psf(session, reference)
    update_objects(maker)
    assert mapping(maker) == [] == read(maker, "select * from object_reference")


@pytest.mark.usefixtures("updates_only")
def test_an_object_and_a_reference_source_belong_to_one_another_alone(maker):
    """Two objects 2 arcsec apart and one source between them; two sources at one object."""
    star(maker, 3, dec=[2.0, 2.0 + 2.0 / 3600], ra=[150.0, 150.0])
    star(maker, 3, first=10, ra=[150.1], dec=[2.0])
    near = [2.0 + 1.2 / 3600, 2.0 + 0.5 / 3600, 2.0 - 0.5 / 3600, 2.0 + 1.4 / 3600]
    store_reference(maker, make_catalogue([150.0, 150.1, 150.1, 150.1], near))
    store_reference(maker, make_catalogue([150.1], [2.0 + 1.6 / 3600], fid=2))
    build_objects(maker)
    found = {oid % 10**8: object_id for _, object_id, oid, _ in mapping(maker)}
    # the two sources at the second star are as near: the smaller sourceid counts
    assert found == {0: sky_to_cell(150.0, 2.0 + 2.0 / 3600), 1: sky_to_cell(150.1, 2.0)}


@pytest.mark.usefixtures("updates_only")
def test_of_a_reference_and_its_cutouts_the_whole_counts(maker):
    star(maker, 3)
    part = make_catalogue([150.0], [2.0], table={"sourceid": np.array([1])})
    with writing(maker) as session:
        store_psf(session, 11 * 10**12, part)
    update_objects(maker)
    assert [row[2] for row in mapping(maker)] == [651101100000001]
    whole = store_reference(maker, make_catalogue([150.1, 150.0], [2.0, 2.0]))
    assert update_objects(maker).n_reference == 1
    assert [(row[0] >> 18, row[2]) for row in mapping(maker)] == [(whole, 651101100000001)]


def star(maker, n_epoch, *, first=0, ra=(150.0,), dec=(2.0,), flux=2000.0):
    plan = Plan(1, 1, centre=(150.0, 2.0))
    for epoch in range(first, first + n_epoch):
        store_exposure(maker, make_exposure(plan, epoch, list(ra), list(dec), [flux] * len(ra), [20.0] * len(ra)))


def test_numbers_follow_the_digits_of_the_smallest_field_and_bluest_filter(maker):
    star(maker, 9)
    object_id = int(sky_to_cell(150.0, 2.0))
    build_objects(maker)
    with maker() as session:
        assert summarise(session, object_id)[["number", "oid"]].isna().all(axis=None)
        assert object_oids(session, object_id).empty
    for field, fid, rcid, before in ((1837, 2, 63, 1), (686, 2, 11, 2), (686, 1, 11, 3)):
        ra, dec = [150.1] * before + [150.0], [2.0] * before + [2.0001]
        store_reference(maker, make_catalogue(ra, dec, field=field, fid=fid, rcid=rcid))
    update_objects(maker)
    with maker() as session:
        shown = summarise(session, object_id).set_index("filtercode")
        table = object_oids(session, object_id)
        for oid in table.oid:
            assert summarise(session, oid)["object_id"].unique().tolist() == [object_id]
        with pytest.raises(UnknownObjectError, match="no object 686103400000099"):
            summarise(session, 686103400000099)
    assert set(shown.number) == {686103400000003}
    assert shown.oid.astype(object).where(shown.oid.notna(), None).to_dict() == {
        "zg": 686103400000003, "zr": 686203400000002, "zi": None,
    }  # fmt: skip
    assert table.oid.tolist() == [686103400000003, 686203400000002, 1837216400000001]
    digits = table[["field", "filtercode", "ccdid", "qid", "sourceid"]]
    assert digits.to_numpy().tolist() == [[686, "zg", 3, 4, 3], [686, "zr", 3, 4, 2], [1837, "zr", 16, 4, 1]]
    assert table.separation.tolist() == pytest.approx([0.36] * 3, abs=1e-6)
    assert table.reference_mag.tolist() == pytest.approx([17.0] * 3, abs=1e-6)


def test_the_command_finds_objects_by_oid(engine_url):
    engine = make_engine(engine_url)
    maker = sessions(engine)
    prepare(maker)
    star(maker, 4)
    store_reference(maker, make_catalogue([150.0], [2.0], field=686, rcid=11))

    def run(*words):
        return CliRunner().invoke(application, ["--db", engine_url, "objects", *words])

    assert "1 reference catalogue in" in run("build").stderr
    by_oid, by_id = (run("show", str(one), "--format", "csv") for one in (686103400000000, sky_to_cell(150.0, 2.0)))
    assert by_oid.stdout == by_id.stdout and by_oid.exit_code == 0
    told = json.loads(run("oids", "686103400000000", "--format", "json").stdout)
    assert [row["oid"] for row in told] == ["686103400000000"]  # ids are text in JSON
    assert run("oids").exit_code == 2
    assert run("oids", "5").exit_code == 1
    engine.dispose()


def test_a_real_reference_catalogue_numbers_the_objects(engine_url, shared_data):
    path = real_refpsfcat(shared_data)
    if not path.is_file():
        pytest.skip("no real refpsfcat here")
    record = read_psfcat(path)
    table = record.table
    some = np.flatnonzero(table.snr > 20)[::8]
    with ztfdb.open(engine_url, create=True) as archive:
        with writing(archive._sessions) as session:
            store_places(session)
        rng = np.random.default_rng(6)
        plan = Plan(1, 1, centre=(float(np.median(table.ra)), float(np.median(table.dec))))
        for epoch in range(2):
            ra, dec = table.ra[some], table.dec[some] + rng.normal(0, 0.03 / 3600, len(some))
            store_exposure(archive._sessions, make_exposure(plan, epoch, ra, dec, [2000.0] * len(some), 20.0))
        archive.build_objects()
        store_reference(archive._sessions, replace(record, file=make_file("/generated/a_refpsfcat.fits", "real")))
        assert archive.update_objects().n_reference == 1
        found = archive.sql("select object_id, oid from object_oid", force=True)
        n_object = int(archive.sql("select count(*) as n from object", force=True)["n"].iloc[0])
    assert len(found) == n_object == len(some)
    assert set(found.oid // 10**8) == {2021101}  # field 202, fid 1, ccdid 10, qid 1
    assert set(found.oid % 10**8) == set(table.sourceid[some])
