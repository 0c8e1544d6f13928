"""Work on one image reads the rows of this image, however many others the archive has."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from sqlalchemy import select, text

import ztfdb
import ztfdb.store.export as store_export
from tests.support.measured import EXPID
from tests.support.plans import planned, read_whole
from tests.support.reference import hold, store_image
from tests.support.references import make_catalogue, store_reference
from ztfdb.errors import UnknownImageError
from ztfdb.schema import Image, ImageFile, ObjectOid
from ztfdb.store.backends import backend
from ztfdb.store.export import CELL_SHIFT, COUNTED_AT_ONCE, SUM_MODULI, member_counts, slices
from ztfdb.store.image_files import may_be_stored

TABLES = {
    "image", "image_match", "calibration", "detection_limit", "psf_check", "psf_catalogue", "source", "psf_source",
    "catalogue_cell", "image_cell",
}  # fmt: skip
"""Tables that grow with the images."""

STARS = np.random.default_rng(4).uniform(-0.05, 0.05, (2, 40)) + np.array([[256.4], [33.4]])


@pytest.fixture
def many(engine_url):
    """An archive of images that are matched, and their ids."""
    with ztfdb.open(engine_url, create=True) as archive:
        hold(archive._sessions, "ps1", np.arange(40) + 1, *STARS)
        yield archive, [store_image(archive._sessions, *STARS, expid=EXPID + k, seed=k) for k in range(12)]


WORK = {
    "crossmatch": lambda a, one: a.crossmatch("ps1", image_ids=[one]),
    "crossmatch again": lambda a, one: a.crossmatch("ps1", image_ids=[one], again=True),
    "calibrate": lambda a, one: a.calibrate(image_ids=[one]),
    "check": lambda a, one: a.check_psf(image_ids=[one]),
    "completeness": lambda a, one: a.measure_completeness(image_ids=[one]),
    "remove matches": lambda a, one: a.remove_matches("ps1", image_ids=[one], dry_run=True),
    "remove checks": lambda a, one: a.remove_psf_checks(image_ids=[one]),
    "matched": lambda a, one: a.get_matched_entries(["ra"], "sources", "ps1", image_id=one),
    "remove": lambda a, one: a.remove(one),
}


@pytest.mark.parametrize("work", list(WORK))
def test_work_on_one_image_reads_no_table_of_images_as_a_whole(many, work):
    archive, images = many
    with planned(archive) as plans:
        WORK[work](archive, images[5])
    assert any("image" in plan for plan in plans)
    assert {table: plan for plan in plans for table in read_whole(plan) & TABLES} == {}


def test_a_new_file_is_looked_up_among_the_images_of_its_exposure(many):
    """All images of its field were looked at, and a field may have a hundred thousand."""
    archive, images = many
    with archive._sessions() as session:
        one = session.get(Image, images[5])
        name = {"filefracday": one.filefracday, "field": one.field, "rcid": one.rcid, "fid": one.fid}
        between, size = (one.obsmjd - 1e-3, one.obsmjd + 1e-3), session.get(ImageFile, (images[5], "sci")).size
    with planned(archive) as plans, archive._sessions() as session:
        assert may_be_stored(session, size=size, obsmjd=between, **name) == (True, True)
        assert may_be_stored(session, size=1, obsmjd=between, **name) == (False, True)
        assert may_be_stored(session, size=size, obsmjd=between, **name | {"rcid": one.rcid + 1}) == (True, False)
        later = {"filefracday": one.filefracday + 500, "obsmjd": (between[0] + 5e-4, between[1] + 5e-4)}
        assert may_be_stored(session, size=size, **name | later) == (False, False)
    of_images = [plan for plan in plans if "image_file" in plan]
    assert len(of_images) == 4 and all("ix_image_obsmjd" in plan for plan in of_images)


def test_a_new_image_joins_the_objects_without_a_look_at_all_that_joined_before(many):
    archive, _ = many
    archive.build_objects()
    for k in (20, 21):
        store_image(archive._sessions, *STARS, expid=EXPID + k, seed=k)
    with planned(archive) as plans:
        report = archive.update_objects()
    assert report.n_added == 2
    assert Counter("object_image" in read_whole(plan) for plan in plans)[True] == 1  # what has changed, once


def test_the_cells_of_images_are_compared_only_after_an_import(many):
    archive, images = many
    assert archive.crossmatch("ps1").n_skipped == len(images)
    with planned(archive) as plans:
        archive.crossmatch("ps1")
    compared = [plan for plan in plans if "catalogue_cell" in plan and "image_match" in plan]
    assert len(compared) == 1 and ("never executed" in compared[0] or "SEARCH catalogue_cell" in compared[0])
    hold(archive._sessions, "ps1", [1000], [10.0], [10.0])  # far from all images
    assert archive.crossmatch("ps1").n_skipped == len(images)
    hold(archive._sessions, "ps1", [1001], [256.4], [33.4])
    assert len(archive.crossmatch("ps1").images) == len(images)


def test_ids_that_no_image_can_have_are_unknown(many):
    archive, _ = many
    for work in ("crossmatch", "calibrate", "check", "matched", "remove"):
        for image_id in (7, (1 << 63) - 1, -(1 << 63)):
            with pytest.raises(UnknownImageError, match=f"no image {image_id} in this archive"):
                WORK[work](archive, image_id)
        for image_id in (1 << 63, -(1 << 70)):
            with pytest.raises(ValueError, match=f"{image_id}: expected a whole number of at most 64 bits"):
                WORK[work](archive, image_id)


@pytest.mark.parametrize("n_row", [1, 3 * COUNTED_AT_ONCE, 10**9])
@pytest.mark.parametrize("by_part", [False, True])
def test_members_of_objects_are_counted_as_sql_counts_them(many, by_part, n_row, monkeypatch):
    """A slice of many rows is counted in parts, down to single cells."""
    monkeypatch.setattr(store_export, "SLICE_ROWS", 1)
    archive, _ = many
    archive.build_objects()
    sums = ", ".join(f"sum((o.object_id % {p}) * (s.source_id % {q}))" for p, q in SUM_MODULI)
    statement = f"""
        select s.hpx29 >> {CELL_SHIFT}, {"s.source_id >> 18" if by_part else 0}, count(*), {sums}
        from source as s join object_source as o on o.source_id = s.source_id group by 1, 2 order by 1, 2"""
    with archive._sessions() as session:
        found = [member_counts(session, *one, n_row, by_part=by_part) for one in slices(session, {"source": "hpx29"})]
        groups = "group by 1, 2" if by_part else "group by 1"
        expected = backend(session).read_rows(statement.replace("group by 1, 2", groups), {})
    counted = np.array([row for one in found for row in zip(*one.values(), strict=True)], np.int64)
    assert len(expected) > 3 and list(found[0]) == ["cell", "part", "n", "sum0", "sum1"]
    np.testing.assert_array_equal(counted, np.array(expected, dtype=float).astype(np.int64))


def test_reference_sources_of_an_object_are_read_by_their_places(many):
    """PostgreSQL compared all rows of PSF catalogues with those of the object."""
    archive, _ = many
    for fid in (1, 2):
        store_reference(archive._sessions, make_catalogue(*STARS, field=686, fid=fid, rcid=11))
    archive.build_objects()
    with archive._sessions() as session:
        object_id = int(session.execute(select(ObjectOid.object_id)).scalars().first())
    with planned(archive) as plans:
        found = archive.object_oids(object_id)
    with archive._sessions() as session:
        statement = f"select {', '.join(found)} from object_oid_summary where object_id = {object_id} order by oid"
        assert found.astype(object).to_numpy().tolist() == [list(row) for row in session.execute(text(statement))]
    assert len(found) == 2
    own = [plan for plan in plans if "psf_source" in plan]
    assert own and not any(read_whole(plan) & TABLES for plan in own)
    if archive._engine.dialect.name == "postgresql":
        assert all(re.search(r"pk_psf_source.*\n.*Index Cond: .*hpx29", plan) for plan in own), own
