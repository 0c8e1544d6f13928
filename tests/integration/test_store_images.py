"""One image is one transaction: stored whole, replaced whole, deleted whole, on both engines."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import StatementError

import ztfdb
from tests.support.measured import make_measured, make_sources
from ztfdb.errors import (
    IdentityCollisionError,
    OlderVersionError,
    StoreError,
    TooManySourcesError,
    UnknownImageError,
)
from ztfdb.ids import MAX_SOURCES
from ztfdb.records import SourceTable
from ztfdb.schema import Config, DataRoot, Image, ImageCell, ImageFile, ImageHeader, Source
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.image_files import Stored, find_copy, find_files
from ztfdb.store.images import delete_image, store_image
from ztfdb.store.sources import store_sources
from ztfdb.wcs import WcsParameters

TABLES = (Config, DataRoot, Image, ImageCell, ImageFile, ImageHeader, Source)


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    yield sessions(engine)
    engine.dispose()


def store(maker, measured, **how):
    with writing(maker) as session:
        return store_image(session, measured, **how)


def counts(maker):
    with maker.begin() as session:
        assert count_orphans(session, OURS) == 0
        return {model.__tablename__: session.scalar(select(func.count()).select_from(model)) for model in TABLES}


def the_image(maker):
    with maker.begin() as session:
        return session.execute(select(Image.__table__)).one()


def test_everything_measured_is_stored(maker):
    measured = make_measured(n_source=50)
    assert store(maker, measured) is Stored.STORED
    assert counts(maker) == {
        "config": 1,
        "data_root": 1,
        "image": 1,
        "image_cell": 80,
        "image_file": 2,
        "image_header": 2,
        "source": 50,
    }
    row = the_image(maker)
    assert row.image_id == row.pid == 136243179 * 10_000 + 5015
    assert (row.field, row.filtercode, row.obsmjd, row.gain) == (655, "zr", 59116.4317593, 6.2)
    assert (row.n_source, row.has_mask, row.simulated, row.infobits_source) == (50, True, False, "header")
    assert (row.sky_noise4, row.sky_noise6, row.maglim) == (1.05, None, None)


def test_a_file_of_sqlite_has_hardly_any_empty_room(tmp_path):
    """Rows in another order than that of the table's key would leave a tenth of it empty."""
    path = tmp_path / "one.sqlite"
    ztfdb.open(f"sqlite:///{path}", create=True).close()
    engine = make_engine(f"sqlite:///{path}")
    for seed in (1, 2):
        content, expid = f"{seed}", 136243179 + seed
        measured = make_measured(f"/data/{seed}_sciimg.fits", content=content, n_source=12_000, seed=seed, expid=expid)
        store(sessions(engine), measured)
    engine.dispose()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
        before = path.stat().st_size
        connection.execute("vacuum")
        connection.execute("pragma wal_checkpoint(truncate)")
    assert 24_000 * 250 < path.stat().st_size <= before < 1.05 * path.stat().st_size


def test_header_keeps_wcs_and_mesh_bit_by_bit(maker):
    measured = make_measured()
    store(maker, measured)
    with maker.begin() as session:
        own, mask = session.execute(select(ImageHeader.__table__).order_by(ImageHeader.role.desc())).all()
    wcs = WcsParameters.from_array(own.wcs_projection, np.frombuffer(own.wcs, "<f8"))
    np.testing.assert_array_equal(wcs.to_array(), measured.wcs.to_array())
    level = np.frombuffer(own.mesh_level, "<f4").reshape(own.mesh_ny, own.mesh_nx)
    np.testing.assert_array_equal(level, measured.mesh.level)
    assert (own.mesh_box_y, own.mesh_box_x) == measured.mesh.box
    assert own.cards == measured.headers["sci"]
    assert mask.cards == measured.headers["msk"]
    assert mask.wcs is None


def test_sources_come_back_as_measured(maker):
    measured = make_measured(n_source=33)
    store(maker, measured)
    with maker.begin() as session:
        found = rows_of_image(session, OURS, measured.info.image_id)
    np.testing.assert_array_equal(found["source_id"], (measured.info.image_id << 18) + np.arange(33))
    for name in ("hpx29", "ra", "dec", "x", "flux_radius", "peak", "flags", "mask_bits", "background_rms"):
        np.testing.assert_array_equal(found[name], getattr(measured.sources, name), err_msg=name)
    for k in range(6):
        np.testing.assert_array_equal(found[f"flux_aper{k + 1}"], measured.sources.flux_aper[k])
        np.testing.assert_array_equal(found[f"flux_aper{k + 1}_err"], measured.sources.flux_aper_err[k])


def test_without_a_mask_mask_bits_are_null(maker):
    store(maker, make_measured(mask=None))
    with maker.begin() as session:
        assert session.scalar(select(func.count(Source.mask_bits))) == 0
        assert session.scalar(select(func.count(Source.source_id))) == 20
    assert not the_image(maker).has_mask


def test_an_image_without_sources_is_stored(maker):
    assert store(maker, make_measured(n_source=0)) is Stored.STORED
    assert the_image(maker).n_source == 0


def test_the_same_again_is_unchanged_and_writes_nothing(maker):
    store(maker, make_measured())
    before = counts(maker), the_image(maker)
    assert store(maker, make_measured(seed=9)) is Stored.UNCHANGED
    assert (counts(maker), the_image(maker)) == before


def test_the_same_content_elsewhere_is_a_known_copy(maker):
    store(maker, make_measured("/data/ztf/a_sciimg.fits"))
    before = counts(maker)
    assert store(maker, make_measured("/data/ztf/copy/a_sciimg.fits")) is Stored.KNOWN_COPY
    assert counts(maker) == before


def test_a_copy_that_lost_its_mask_changes_nothing(maker):
    store(maker, make_measured())
    assert store(maker, make_measured("/data/ztf/copy/a_sciimg.fits", mask=None)) is Stored.KNOWN_COPY
    assert the_image(maker).has_mask


def test_another_mask_beside_a_copy_changes_nothing(maker):
    """Else two copies with different masks would replace each other for ever."""
    store(maker, make_measured(mask="one"))
    assert store(maker, make_measured("/backup/a_sciimg.fits", mask="two")) is Stored.KNOWN_COPY


def test_force_replaces_the_same(maker):
    store(maker, make_measured(n_source=20))
    assert store(maker, make_measured(n_source=7), force=True) is Stored.REPLACED
    assert counts(maker)["source"] == the_image(maker).n_source == 7


def test_a_copy_in_a_new_folder_makes_no_data_root(maker):
    store(maker, make_measured("/data/ztf/a_sciimg.fits"))
    before = counts(maker)
    assert store(maker, make_measured("/backup/a_sciimg.fits")) is Stored.KNOWN_COPY
    assert counts(maker) == before


@pytest.mark.parametrize("first", [None, "other mask"])
def test_a_late_or_changed_mask_replaces(maker, first):
    store(maker, make_measured(mask=first))
    assert store(maker, make_measured(mask="mask")) is Stored.REPLACED
    found = counts(maker)
    assert (found["image"], found["image_file"], found["source"]) == (1, 2, 20)
    with maker.begin() as session:
        assert session.scalar(select(func.count(Source.mask_bits))) == 20


def test_measuring_the_same_pixels_again_keeps_imported_metadata(maker):
    store(maker, make_measured(mask=None))
    with writing(maker) as session:
        session.execute(update(Image).values(infobits=33554432, infobits_source="irsa", seeing=2.1, maglimit=20.5))
    assert store(maker, make_measured()) is Stored.REPLACED
    row = the_image(maker)
    assert (row.infobits, row.infobits_source, row.seeing, row.maglimit) == (33554432, "irsa", 2.1, 20.5)
    assert row.has_mask


@pytest.mark.parametrize(
    ("procvsn", "created"),
    [(2, "2020-01-01T00:00:00"), (1, "2021-03-01T00:00:00"), (2, None)],
)
def test_a_newer_processing_replaces(maker, procvsn, created):
    store(maker, make_measured(n_source=20))
    newer = make_measured("/new/a_sciimg.fits", content="better", n_source=9, procvsn=procvsn, created=created)
    assert store(maker, newer) is Stored.REPLACED
    found = counts(maker)
    assert (found["image"], found["source"], found["image_cell"], found["image_file"]) == (1, 9, 80, 2)
    with maker.begin() as session:
        (file,) = (f for f in find_files(session, newer.info.image_id) if f.role == "sci")
    assert file.absolute == "/new/a_sciimg.fits"


@pytest.mark.parametrize(
    ("procvsn", "created", "path", "reason"),
    [
        (0, "2021-03-01T00:00:00", "/new/a_sciimg.fits", "older processing"),
        (None, None, "/new/a_sciimg.fits", "older processing"),
        (1, "2020-09-23T00:00:00", "/data/ztf/a_sciimg.fits", "older processing"),
        (1, "2020-09-24T03:30:00", "/new/a_sciimg.fits", "another file of the same processing"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_newer_is_refused_so_copies_never_flip_flop(maker, procvsn, created, path, reason, force):
    store(maker, make_measured())
    before = counts(maker), the_image(maker)
    other = make_measured(path, content="other", n_source=9, procvsn=procvsn, created=created)
    with pytest.raises(OlderVersionError, match=reason):
        store(maker, other, force=force)
    assert (counts(maker), the_image(maker)) == before


def test_a_file_written_again_in_place_replaces(maker):
    store(maker, make_measured())
    assert store(maker, make_measured(content="rewritten", n_source=3)) is Stored.REPLACED
    assert counts(maker)["source"] == 3


def test_another_exposure_under_the_same_id_is_refused(maker):
    first = make_measured()
    store(maker, first)
    other = make_measured("/new/b_sciimg.fits", content="b", expid=136243180, image_id=first.info.image_id)
    with pytest.raises(IdentityCollisionError, match="expid 136243179 and 136243180"):
        store(maker, other)
    assert counts(maker)["image"] == 1


def test_the_same_exposure_under_another_id_is_refused(maker):
    store(maker, make_measured())
    with pytest.raises(IdentityCollisionError):
        store(maker, make_measured("/new/b_sciimg.fits", content="b", image_id=12))
    assert counts(maker)["image"] == 1


def test_more_sources_than_ids_is_typed_and_stores_nothing(maker):
    few = make_sources(2)
    columns = {name: getattr(few, name) for name in few.__dataclass_fields__}
    many = SourceTable(**{k: np.resize(v, (*v.shape[:-1], MAX_SOURCES + 1)) for k, v in columns.items()})
    with pytest.raises(TooManySourcesError, match="262145"):
        store(maker, replace(make_measured(), sources=many))
    with pytest.raises(TooManySourcesError):
        store(maker, replace(make_measured(), sources=replace(few, number=np.array([0, MAX_SOURCES]))))
    assert counts(maker)["image"] == 0


def test_a_failure_in_the_middle_leaves_the_old_image_whole(maker):
    store(maker, make_measured())
    before = counts(maker), the_image(maker)
    broken = replace(make_sources(5), number=np.zeros(5, np.int64))  # five sources of one id
    newer = replace(make_measured(content="better", procvsn=2), sources=broken)
    with pytest.raises(StoreError):
        store(maker, newer)
    assert (counts(maker), the_image(maker)) == before


def test_delete_takes_everything_of_one_image_only(maker):
    keep, gone = make_measured(), make_measured("/data/ztf/b_sciimg.fits", content="b", rcid=51)
    store(maker, keep)
    store(maker, gone)
    with writing(maker) as session:
        assert delete_image(session, np.int64(gone.info.image_id)) == 20
    found = counts(maker)
    assert (found["image"], found["source"], found["image_cell"], found["image_file"]) == (1, 20, 80, 2)
    assert the_image(maker).image_id == keep.info.image_id
    with pytest.raises(UnknownImageError, match="no image"), writing(maker) as session:
        delete_image(session, gone.info.image_id)


def test_orphans_are_counted(maker):
    measured = make_measured(n_source=4)
    store(maker, measured)
    with writing(maker) as session:
        store_sources(session, 77, make_sources(3))  # of no image
        session.execute(
            text("update source set source_id = 5 where source_id = :id"), {"id": measured.info.image_id << 18}
        )
    with maker.begin() as session:
        assert count_orphans(session, OURS) == 4


def test_the_highest_id_fits(maker):
    measured = make_measured(image_id=2**45 - 1, pid=None)
    store(maker, measured)
    with maker.begin() as session:
        found = rows_of_image(session, OURS, 2**45 - 1)
    assert found["source_id"][-1] == ((2**45 - 1) << 18) + 19


def test_software_versions_may_differ_within_an_archive(maker):
    store(maker, make_measured())
    other = make_measured("/data/ztf/b_sciimg.fits", content="b", rcid=51)
    store(maker, replace(other, config=replace(other.config, config_hash="1" * 64, versions={"ztfdb": "0.2.0"})))
    assert counts(maker)["config"] == 2


def test_a_copy_is_found_by_its_checksum(maker):
    measured = make_measured()
    store(maker, measured)
    with maker.begin() as session:
        found = find_copy(session, measured.files[0].sha256)
        assert found is not None
        assert replace(found.facts) == measured.files[0]
        assert find_copy(session, measured.files[1].sha256) is None  # a mask is nobody's copy
        assert find_copy(session, "f" * 64) is None


def test_nan_in_a_header_is_refused(maker):
    measured = make_measured()
    with pytest.raises((StatementError, ValueError), match="JSON"):
        store(maker, replace(measured, headers={"sci": {"MAGZP": float("nan")}}))
    assert counts(maker)["image"] == 0
