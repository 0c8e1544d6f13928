"""The real and the malformed files beside the checkout: each is stored or refused with its reason."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from ztfdb.errors import ImageError, StoreError
from ztfdb.ingest.report import Outcome
from ztfdb.ingest.run import ingest_paths
from ztfdb.schema import Image, Source
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS
from ztfdb.store.engine import make_engine, sessions

STORED = {"60", "66", "67", "68", "75"}
"""The variants (last digits of their names) that are whole: good, gzip, trailing bytes, short padding, TAN + PV."""


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    yield sessions(engine)
    engine.dispose()


def variants(shared_data):
    with (shared_data / "malformed" / "manifest.csv").open() as file:
        return [(shared_data / "malformed" / "ztf_variants" / row["file"], row) for row in csv.DictReader(file)]


def clear(session):
    for table in ("source", "image_cell", "image_file", "image_header", "image"):
        session.execute(text(f"delete from {table}"))


def subclass_names(base):
    return {base.__name__}.union(*(subclass_names(one) for one in base.__subclasses__()))


def test_each_variant_is_stored_or_refused_for_its_reason(maker, shared_data):
    wrong = []
    for path, row in variants(shared_data):
        (one,) = ingest_paths(maker, [path]).outcomes
        stored = one.outcome is Outcome.STORED
        if stored != (path.name[16:18] in STORED):
            wrong.append((path.name, row["defect"], row["expected"], one))
        if not stored:
            assert one.error in subclass_names(ImageError), one
            assert one.reason
        with maker.begin() as session:
            assert session.scalar(select(func.count()).select_from(Image)) == stored
            assert count_orphans(session, OURS) == 0
            assert (session.scalar(select(func.count()).select_from(Source)) > 5) == stored
            clear(session)  # the variants share one identity: a fresh archive for each
    assert not wrong


def test_the_variants_together_are_one_image(maker, shared_data):
    """The whole ones are the same image, packed or padded in another way: copies, again and again."""
    folder = shared_data / "malformed" / "ztf_variants"
    first, again = ingest_paths(maker, [folder]), ingest_paths(maker, [folder])
    n_copy, n_bad = len(STORED) - 1, 16 - len(STORED)
    assert (first.found, first.stored, first.known_copies, first.failed) == (16, 1, n_copy, n_bad)
    assert (again.found, again.unchanged, again.known_copies, again.failed) == (16, 1, n_copy, n_bad)
    assert all(one.error != "OlderVersionError" for one in first.failures)


def test_odd_fits_files_are_refused_with_a_reason(maker, shared_data):
    files = sorted(path for path in (shared_data / "malformed" / "astropy").iterdir() if path.suffix != ".hdr")
    report = ingest_paths(maker, files)
    known = subclass_names(ImageError) | subclass_names(StoreError)
    assert report.found == report.failed == len(files)
    for one in report.failures:
        assert one.error in known
        assert one.reason
        assert "unexpected" not in one.reason, one
        assert one.seconds < 10


def test_real_cutouts_and_the_crop_are_stored(maker, shared_data):
    report = ingest_paths(maker, [shared_data / "cutouts", shared_data / "crop512"])
    assert [(Path(one.path).name[4:18], one.reason) for one in report.failures] == []
    assert report.stored == 9
    with maker.begin() as session:
        kinds = session.execute(select(Image.kind, Image.has_mask, func.count()).group_by(Image.kind, Image.has_mask))
        assert sorted(kinds.all()) == [("cutout", False, 8), ("cutout", True, 1)]
        bad = session.execute(select(Image.infobits, Image.status).where(Image.field == 250)).one()
        assert bad == (33554488, 1)
    assert ingest_paths(maker, [shared_data / "cutouts"]).unchanged == 8
