"""Images into an archive and what a second look finds, on both engines, with simulated images."""

from __future__ import annotations

import gzip
import logging
import os
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from sqlalchemy import event, func, select, text

from tests.support.catalogues import make_epochs
from tests.support.pretend import pretend_to_measure
from tests.support.reference import hold
from ztfdb.errors import DatabaseUnavailableError, SettingsMismatchError, StoreError
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest import commit, file_list, loop
from ztfdb.ingest.already_stored import find_stored, find_unchanged
from ztfdb.ingest.discover import discover, look_at
from ztfdb.ingest.psf_catalogues import ingest_psfcats
from ztfdb.ingest.report import IngestStep, Outcome
from ztfdb.ingest.run import ingest_paths
from ztfdb.schema import Image, ImageFile, Source
from ztfdb.server import PostgresServer
from ztfdb.simulate import make_science_image
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.image_files import Stored, find_files
from ztfdb.store.meta import read_meta
from ztfdb.store.migrate import upgrade
from ztfdb.store.psf_catalogues import find_psf

NIGHT = 59116.4317708


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    yield sessions(engine)
    engine.dispose()


@pytest.fixture(scope="session")
def simulated(tmp_path_factory):
    """Three small exposures of one field with masks, made once."""
    folder = tmp_path_factory.mktemp("simulated")
    for k in range(3):
        make_science_image(folder, shape=(200, 220), n_star=40, seed=k, obsmjd=NIGHT + k)
    return folder


@pytest.fixture
def night(simulated, tmp_path):
    """A copy of these exposures that a test may change."""
    return Path(shutil.copytree(simulated, tmp_path / "night"))


@pytest.fixture
def pretend(monkeypatch):
    monkeypatch.setattr("ztfdb.ingest.run.measure_image", pretend_to_measure)


@pytest.fixture
def groups(monkeypatch):
    """Numbers of images that were stored in one transaction each, as the loop wanted it."""
    real, numbers = loop.commit_images, []

    def counted(maker, images, **how):
        numbers.append(len(images))
        return real(maker, images, **how)

    monkeypatch.setattr(loop, "commit_images", counted)
    monkeypatch.setattr(loop, "LONGEST_HOLD_S", 1e6)  # a busy machine must not split the groups
    monkeypatch.setattr(file_list, "LOOK_S", 1e6)
    return numbers


def ingest(maker, *paths, **how):
    report = ingest_paths(maker, paths, **how)
    whole = report.stored + report.unchanged + report.known_copies + report.moved + report.failed
    assert report.found == whole
    with maker.begin() as session:
        assert count_orphans(session, OURS) == 0
        counted = select(Source.image_id, func.count()).group_by(Source.image_id)
        assert dict(session.execute(counted).all()) == {
            image_id: n for image_id, n in session.execute(select(Image.image_id, Image.n_source)) if n
        }
    return report


@contextmanager
def listened(target, name, heard):
    event.listen(target, name, heard)
    try:
        yield
    finally:
        event.remove(target, name, heard)


def outcomes(report):
    return [one.outcome.value for one in report.outcomes]


def n_image(maker):
    with maker.begin() as session:
        return session.scalar(select(func.count()).select_from(Image))


def science_files(folder):
    return sorted(folder.glob("*sciimg.fits"))


def rewrite(path, **cards):
    with fits.open(path, mode="update", memmap=False) as hdus:
        hdus[0].header.update(cards)


def test_a_folder_is_stored_and_then_unchanged(maker, night, caplog):
    hold(maker, "ps1", [7], [10.0], [10.0])
    caplog.set_level(logging.WARNING, logger="ztfdb")
    first = ingest(maker, night)
    assert [(record.message, record.n_image) for record in caplog.records] == [
        ("no source of some images has a match", 3)
    ]
    assert outcomes(first) == ["stored"] * 3
    assert [Path(one.path) for one in first.outcomes] == science_files(night)
    with maker.begin() as session:
        before = session.execute(text("select max(source_id), count(*), sum(x) from source")).one()
    again = ingest(maker, night)
    assert outcomes(again) == ["unchanged"] * 3
    assert [one.image_id for one in again.outcomes] == [one.image_id for one in first.outcomes]
    with maker.begin() as session:
        assert session.execute(text("select max(source_id), count(*), sum(x) from source")).one() == before


def test_rows_are_what_was_measured(maker, night):
    path = science_files(night)[0]
    measured = measure_image(path)
    (one,) = ingest(maker, path).outcomes
    assert one.n_source == len(measured.sources) > 5
    with maker.begin() as session:
        found = rows_of_image(session, OURS, measured.info.image_id)
        row = session.execute(select(Image.__table__)).one()
    np.testing.assert_array_equal(found["hpx29"], measured.sources.hpx29)
    np.testing.assert_array_equal(found["flux_aper4"], measured.sources.flux_aper[3])
    np.testing.assert_array_equal(found["mask_bits"], measured.sources.mask_bits)
    assert (row.simulated, row.has_mask, row.magzp) == (True, True, measured.info.magzp)


def test_both_engines_hold_the_same_rows(both_urls, night):
    tables = {}
    for name, url in both_urls.items():
        engine = make_engine(url)
        ingest_paths(sessions(engine), [night])
        with engine.connect() as connection:
            tables[name] = [
                connection.execute(text(f"select * from {table} order by 1, 2")).all()
                for table in ("image_cell", "light_curve_point")
            ]
        engine.dispose()
    assert [len(rows) for rows in tables["sqlite"]] == [len(rows) for rows in tables["postgresql"]]
    assert tables["sqlite"][0] == tables["postgresql"][0]
    for one, other in zip(tables["sqlite"][1], tables["postgresql"][1], strict=True):
        for value, wanted in zip(one, other, strict=True):
            # logarithms and powers are each engine's own C library call: equal to the last bit or the one before
            assert value == (pytest.approx(wanted, rel=1e-14) if isinstance(wanted, float) else wanted)


def test_worker_processes_store_the_same(databases, night):
    rows = []
    for jobs in (1, 2):
        url = databases.migrated("sqlite")
        engine = make_engine(url)
        assert outcomes(ingest_paths(sessions(engine), [night], jobs=jobs)) == ["stored"] * 3
        with engine.connect() as connection:
            rows.append(connection.execute(text("select * from source order by source_id")).all())
        engine.dispose()
    assert rows[0] == rows[1]


def test_files_that_are_stored_take_no_statement_each(maker, tmp_path):
    """As many statements for 12 known files as for 3: a folder of 100,000 is looked through in seconds."""
    for k in range(12):
        make_science_image(tmp_path, shape=(64, 64), n_star=3, seed=k, obsmjd=NIGHT + k)
    ingest(maker, tmp_path)
    numbers = []
    for paths in (science_files(tmp_path)[:3], [tmp_path]):
        ran = []
        with listened(maker.kw["bind"], "before_cursor_execute", lambda *_, ran=ran: ran.append(1)):
            report = ingest_paths(maker, paths)
        assert report.unchanged == report.found
        numbers.append(len(ran))
    assert report.found == 12
    assert numbers[0] == numbers[1] <= 10


def test_size_and_time_alone_say_the_same_as_the_whole_look(maker, night, tmp_path):
    ingest(maker, night)
    images = discover([night]).images
    os.utime(images[0].path)
    rewrite(Path(images[1].mask), NOTE="changed")
    copied = shutil.copytree(night, tmp_path / "copy")
    images += discover([copied]).images + [replace(image, mask=None) for image in images]
    images = [look_at(image) for image in images]
    with maker() as session:
        known = [find_stored(session, image) for image in images]
        found = [find_unchanged(session, [image]).get(image.path) for image in images]
    unchanged = [one[0] if one is not None and one[1] is Stored.UNCHANGED else None for one in known]
    assert [one is not None for one in unchanged] == [True, False, True] + [False] * 3 + [True] * 3
    assert found == [None, None, unchanged[2]] + [None] * 4 + unchanged[7:]


def test_a_touched_file_is_unchanged(maker, night):
    ingest(maker, night)
    for path in night.iterdir():
        os.utime(path)
    assert outcomes(ingest(maker, night)) == ["unchanged"] * 3


def test_force_measures_again(maker, night):
    ingest(maker, night)
    assert outcomes(ingest(maker, night, force=True)) == ["replaced"] * 3
    assert n_image(maker) == 3


def test_a_mask_that_arrives_late_measures_again(maker, night, tmp_path):
    (path, *_) = science_files(night)
    mask = path.with_name(path.name.replace("sciimg", "mskimg"))
    mask.rename(tmp_path / "later.fits")
    assert outcomes(ingest(maker, path)) == ["stored"]
    assert outcomes(ingest(maker, path)) == ["unchanged"]
    (tmp_path / "later.fits").rename(mask)
    assert outcomes(ingest(maker, night)) == ["replaced", "stored", "stored"]
    assert outcomes(ingest(maker, night)) == ["unchanged"] * 3
    with maker.begin() as session:
        assert session.scalar(select(func.count()).select_from(Image).where(Image.has_mask)) == 3


def test_a_mask_that_changes_measures_again(maker, night):
    (path, *_) = science_files(night)
    ingest(maker, path)
    rewrite(path.with_name(path.name.replace("sciimg", "mskimg")), NOTE="changed")
    assert outcomes(ingest(maker, path)) == ["replaced"]
    assert outcomes(ingest(maker, path)) == ["unchanged"]


def test_a_mask_that_went_away_changes_nothing(maker, night):
    ingest(maker, night)
    for mask in night.glob("*mskimg*"):
        mask.unlink()
    assert outcomes(ingest(maker, night)) == ["unchanged"] * 3


def test_a_mask_by_hand(maker, night, tmp_path):
    (path, *_) = science_files(night)
    image = shutil.copy(path, tmp_path / "star.fits")
    mask = path.with_name(path.name.replace("sciimg", "mskimg"))
    assert outcomes(ingest(maker, image, mask=mask)) == ["stored"]
    assert outcomes(ingest(maker, image, mask=mask)) == ["unchanged"]
    with maker.begin() as session:
        assert session.scalar(select(Image.has_mask))
        assert session.scalar(select(func.count()).select_from(ImageFile)) == 2


def test_the_mask_stands_for_its_image(maker, night):
    masks = sorted(night.glob("*mskimg*"))
    assert outcomes(ingest(maker, *masks)) == ["stored"] * 3


def test_a_copy_elsewhere_is_known(maker, night, tmp_path):
    ingest(maker, night)
    copies = shutil.copytree(night, tmp_path / "copies")
    assert outcomes(ingest(maker, copies)) == ["known copy"] * 3
    odd = shutil.copy(science_files(night)[0], tmp_path / "odd-name.fits")
    assert outcomes(ingest(maker, odd)) == ["known copy"]
    assert outcomes(ingest(maker, copies, odd, night)) == ["known copy"] * 4 + ["unchanged"] * 3


def packed_as(how: str, path: Path, folder: Path, name: str = "") -> Path:
    """A copy of a FITS file by gzip, by fpack (with rounded pixels), as a link, or with one more card."""
    folder.mkdir(exist_ok=True)
    copy = folder / (name or path.name)
    if how == "gzip":
        copy = copy.with_name(copy.name + ".gz")
        copy.write_bytes(gzip.compress(path.read_bytes()))
    elif how == "fpack":
        copy = copy.with_name(copy.name + ".fz")
        with fits.open(path) as hdus:
            image = fits.CompImageHDU(hdus[0].data, hdus[0].header, compression_type="RICE_1", quantize_level=4)
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(copy)
    elif how == "symlink":
        copy.symlink_to(path)
    elif how == "hard link":
        copy.hardlink_to(path)
    else:
        shutil.copy(path, copy)
        rewrite(copy, HISTORY="looked at")
    return copy


@pytest.mark.parametrize("how", ["gzip", "fpack", "symlink", "hard link", "card"])
@pytest.mark.parametrize("name", ["", "mine_sciimg.fits"])
def test_the_same_image_packed_in_another_way_is_a_known_copy(maker, night, tmp_path, how, name):
    path = science_files(night)[0]
    ingest(maker, path)
    copy = packed_as(how, path, tmp_path / "copy", name)
    for _ in range(2):
        assert outcomes(ingest(maker, copy)) == ["known copy"]
    with maker.begin() as session:
        file = next(f for f in find_files(session, only_id(session)) if f.role == "sci")
    assert file.absolute == str(path)


def only_id(session):
    return session.scalars(select(Image.image_id)).one()


def test_an_image_and_its_packed_copy_in_one_call(maker, night, tmp_path):
    path = science_files(night)[0]
    both = [packed_as("gzip", path, tmp_path / "copy"), path]
    report = ingest(maker, *both)
    assert (report.found, report.failed, n_image(maker)) == (2, 0, 1)
    assert sorted(outcomes(ingest(maker, *both))) == ["known copy", "unchanged"]


def test_an_image_that_was_packed_in_its_place_is_measured_from_there(maker, night):
    path = science_files(night)[0]
    ingest(maker, path)
    copy = packed_as("gzip", path, night)
    path.unlink()
    assert outcomes(ingest(maker, copy)) == ["replaced"]
    assert outcomes(ingest(maker, copy)) == ["unchanged"]


def test_a_packed_file_with_other_pixels_or_another_zero_point_is_no_copy(maker, night, tmp_path):
    path = science_files(night)[0]
    ingest(maker, path)
    for k, change in enumerate(("pixels", "magzp")):
        shutil.copy(path, other := tmp_path / f"other{k}_sciimg.fits")
        with fits.open(other, mode="update", memmap=False) as hdus:
            if change == "pixels":
                hdus[0].data[50, 60] += 1000.0
            else:
                hdus[0].header["MAGZP"] += 0.1
        for how in ("gzip", "fpack"):
            (one,) = ingest(maker, packed_as(how, other, tmp_path / change, path.name)).outcomes
            assert one.outcome is Outcome.FAILED and "another file of the same processing" in one.reason, (change, how)
            assert str(path) in one.reason and "ztfdb remove image" in one.reason


def test_a_copy_that_brings_the_first_mask_is_measured(maker, night, tmp_path):
    (path, *_) = science_files(night)
    alone = shutil.copy(path, tmp_path / path.name)
    assert outcomes(ingest(maker, alone)) == ["stored"]
    assert outcomes(ingest(maker, path)) == ["replaced"]
    assert outcomes(ingest(maker, alone, path)) == ["known copy", "unchanged"]


def paths_of(maker):
    """Where the archive has the files of every image, and its PSF catalogue."""
    with maker() as session:
        ids = list(session.scalars(select(Image.image_id)))
        return sorted(one.absolute for one in (*find_files(session, ids), *find_psf(session, ids)))


def n_source_of(maker):
    with maker() as session:
        return session.scalar(select(func.count()).select_from(Source))


def test_a_renamed_folder_is_followed_with_masks_and_psf_catalogues(maker, tmp_path):
    folder = tmp_path / "before"
    made = make_epochs(folder, 2)
    assert outcomes(ingest(maker, folder)) == ["stored"] * len(made)
    n_file, n_source = len(paths_of(maker)), n_source_of(maker)
    assert n_file == 3 * len(made)
    after = folder.rename(tmp_path / "after")
    report = ingest(maker, after)
    assert outcomes(report) == ["moved"] * len(made)
    assert report.moved == len(made)
    assert "+ 2 moved + 0 failed" in str(report)
    assert paths_of(maker) == sorted(str(after / Path(path).name) for path in paths_of(maker))
    assert len(paths_of(maker)) == n_file
    assert all(Path(path).is_file() for path in paths_of(maker))
    assert n_source_of(maker) == n_source
    assert outcomes(ingest(maker, after)) == ["unchanged"] * len(made)


def test_a_moved_file_of_another_time_and_name_is_followed(maker, night, tmp_path):
    (path, *_) = science_files(night)
    mask = path.with_name(path.name.replace("sciimg", "mskimg"))
    assert outcomes(ingest(maker, path)) == ["stored"]
    new, new_mask = path.rename(tmp_path / "mine.fits"), mask.rename(tmp_path / "mine-mask.fits")
    os.utime(new, (1e9, 1e9))
    assert outcomes(ingest(maker, new, mask=new_mask)) == ["moved"]
    assert paths_of(maker) == sorted([str(new), str(new_mask)])


def test_a_moved_image_with_another_mask_is_measured_again(maker, night, tmp_path):
    ingest(maker, night)
    after = night.rename(tmp_path / "after")
    (path, *_) = science_files(after)
    mask = path.with_name(path.name.replace("sciimg", "mskimg"))
    with fits.open(mask, mode="update", memmap=False) as hdus:
        hdus[0].data[:50, :50] |= 1 << 8
    assert sorted(outcomes(ingest(maker, after))) == ["moved", "moved", "replaced"]
    assert all(Path(one).is_file() for one in paths_of(maker))


def test_a_copy_is_no_move_while_the_stored_file_is_there(maker, night, tmp_path):
    ingest(maker, night)
    before = paths_of(maker)
    copies = Path(shutil.copytree(night, tmp_path / "copies"))
    assert outcomes(ingest(maker, copies)) == ["known copy"] * 3
    assert paths_of(maker) == before
    science_files(night)[0].unlink()
    assert outcomes(ingest(maker, copies)) == ["moved", "known copy", "known copy"]
    gone = science_files(copies)[0]
    mask = night / gone.name.replace("sciimg", "mskimg")
    assert str(gone) in paths_of(maker)
    assert str(mask) in paths_of(maker)  # it is still there


def test_a_psf_catalogue_that_was_moved_is_followed(maker, tmp_path):
    folder = tmp_path / "before"
    make_epochs(folder, 1)
    ingest(maker, folder)
    (psfcat,) = folder.glob("*psfcat*")
    moved = psfcat.rename(tmp_path / psfcat.name)
    assert outcomes(ingest_psfcats(maker, [moved])) == ["moved"]
    assert str(moved) in paths_of(maker)
    assert outcomes(ingest_psfcats(maker, [moved])) == ["unchanged"]


def test_a_newer_processing_replaces_and_the_older_is_refused_for_good(maker, night, tmp_path):
    (path, *_) = science_files(night)
    newer = Path(shutil.copytree(night, tmp_path / "newer")) / path.name
    rewrite(newer, PROCVSN=2)
    assert outcomes(ingest(maker, path)) == ["stored"]
    assert outcomes(ingest(maker, newer)) == ["replaced"]
    for force in (False, True):
        (refused,) = ingest(maker, path, force=force).outcomes
        assert (refused.outcome, refused.error) == (Outcome.FAILED, "OlderVersionError")
        assert "older processing" in refused.reason
    assert outcomes(ingest(maker, newer)) == ["unchanged"]
    assert n_image(maker) == 1


def test_a_bad_file_never_stops_the_rest(maker, night):
    truncated = science_files(night)[0]
    (night / "ztf_20200924431764_000655_zr_c13_o_q3_sciimg.fits").write_text("<html>404</html>")
    truncated.write_bytes(truncated.read_bytes()[:50_000])
    report = ingest(maker, night, night / "gone.fits", "nothing-*.fits")
    assert sorted(outcomes(report)) == ["failed"] * 4 + ["stored"] * 2
    assert {one.error for one in report.failures} == {"ImageReadError"}
    assert all(one.reason and "\n" not in one.reason for one in report.failures)
    assert n_image(maker) == 2


def test_a_repaired_file_is_stored_the_next_time(maker, night):
    path = science_files(night)[0]
    whole = path.read_bytes()
    path.write_bytes(whole[:50_000])
    assert outcomes(ingest(maker, path)) == ["failed"]
    path.write_bytes(whole)
    assert outcomes(ingest(maker, path)) == ["stored"]


def test_an_image_without_sources_is_stored(maker, tmp_path):
    image = make_science_image(tmp_path, shape=(100, 100), n_star=0, noise=False)
    (one,) = ingest(maker, image.sci).outcomes
    assert (one.outcome, one.n_source) == (Outcome.STORED, 0)
    assert outcomes(ingest(maker, image.sci)) == ["unchanged"]


def test_progress_hears_every_image_and_adds_up(maker, night):
    (night / "ztf_20200924431764_000655_zr_c13_o_q3_sciimg.fits").write_text("<html>404</html>")
    steps: list[IngestStep] = []
    report = ingest(maker, night, progress=steps.append)
    assert [(step.done, step.found) for step in steps] == [(k, 4) for k in range(5)]
    assert steps[0].outcome is None
    assert sorted(one.path for one in report.outcomes) == sorted(step.outcome.path for step in steps[1:])


def test_one_log_line_per_image(maker, night, caplog):
    caplog.set_level("INFO", logger="ztfdb")
    (night / "ztf_20200924431764_000655_zr_c13_o_q3_sciimg.fits").write_text("<html>404</html>")
    ingest(maker, night)
    lines = [record for record in caplog.records if record.name == "ztfdb.ingest.report"]
    assert [(record.levelname, record.outcome) for record in lines if record.outcome == "failed"] == [
        ("WARNING", "failed")
    ]
    stored = [record for record in lines if record.outcome == "stored"]
    assert len(stored) == 3
    assert all(record.n_source > 0 and record.seconds > 0 and record.path for record in stored)


def test_other_settings_are_refused_by_name(maker, night):
    ingest(maker, night)
    with pytest.raises(SettingsMismatchError, match=r"threshold is 1.5 in the archive and 3.0 here"):
        ingest_paths(maker, [night], settings=ExtractionSettings(threshold=3.0))
    assert outcomes(ingest(maker, night, settings=ExtractionSettings())) == ["unchanged"] * 3


def test_the_first_ingest_freezes_the_settings(maker, night):
    ingest(maker, night, settings=ExtractionSettings(threshold=5.0))
    with maker.begin() as session:
        assert read_meta(session)["settings"]["threshold"] == 5.0
    assert outcomes(ingest(maker, night)) == ["unchanged"] * 3


@pytest.mark.parametrize("how", [{"jobs": 0}, {"timeout_s": 0}, {"memory_mb": -1}])
def test_senseless_limits_are_the_callers_mistake(maker, how):
    with pytest.raises(ValueError, match="must be positive"):
        ingest_paths(maker, [], **how)


def test_nothing_to_do_is_an_empty_report(maker, tmp_path):
    report = ingest(maker, tmp_path)
    assert (report.found, list(report.to_pandas())) == (0, list(ingest(maker).to_pandas()))


def test_a_headers_number_that_no_column_takes_costs_its_image_only(maker, night, monkeypatch):
    def measure(path, *args, **how):
        measured = measure_image(path, *args, **how)
        bad = path == str(science_files(night)[1])
        return replace(measured, info=replace(measured.info, nframes=2**70)) if bad else measured

    monkeypatch.setattr("ztfdb.ingest.run.measure_image", measure)
    report = ingest(maker, night)
    assert outcomes(report) == ["stored", "failed", "stored"]
    assert report.failures[0].error == "StoreError"


def test_a_killed_worker_costs_one_image(maker, tmp_path, pretend):
    for k, word in enumerate(("star 1", "die", "star 2", "die-once 3", "header", "star 4")):
        (tmp_path / f"{k}.txt").write_text(word)
    report = ingest(maker, tmp_path / "*.txt", jobs=2)
    assert outcomes(report) == ["stored", "failed", "stored", "stored", "failed", "stored"]
    assert [one.error for one in report.failures] == ["WorkerDied", "HeaderError"]
    assert [one.retryable for one in report.failures] == [True, False]


@pytest.mark.parametrize(("jobs", "together", "stored"), [(1, 1, 3), (1, loop.MOST_IN_GROUP, 6), (2, None, 3)])
def test_an_interrupt_leaves_whole_images(maker, tmp_path, pretend, groups, monkeypatch, jobs, together, stored):
    monkeypatch.setattr(loop, "MOST_IN_GROUP", together or loop.MOST_IN_GROUP)
    for k in range(6):
        (tmp_path / f"{k}.txt").write_text(f"star {k}")

    def interrupt(step: IngestStep) -> None:
        if step.done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(maker, tmp_path / "*.txt", jobs=jobs, progress=interrupt)
    assert n_image(maker) == stored
    report = ingest(maker, tmp_path / "*.txt", jobs=jobs)
    assert (report.stored, report.unchanged) == (6 - stored, stored)


@pytest.mark.postgresql
@pytest.mark.parametrize(("together", "stored"), [(1, 2), (loop.MOST_IN_GROUP, 4)])
def test_a_database_that_goes_away_is_a_typed_error(tmp_path, night, pretend, monkeypatch, together, stored):
    monkeypatch.setattr(loop, "MOST_IN_GROUP", together)
    monkeypatch.setattr(loop, "LONGEST_HOLD_S", 1e6)
    monkeypatch.setattr(file_list, "LOOK_S", 1e6)
    for k in range(4):
        (tmp_path / f"{k}.txt").write_text(f"star {k}")
    server = PostgresServer()
    server.start()
    try:
        url = server.create_database("away")
        upgrade(url)
        engine = make_engine(url)

        def stop(step: IngestStep) -> None:
            if step.done == 2:
                server.stop()

        with pytest.raises(DatabaseUnavailableError):
            ingest_paths(sessions(engine), [tmp_path / "*.txt"], progress=stop)
        server.start()
        report = ingest(sessions(engine), tmp_path / "*.txt")
        assert (report.stored, report.unchanged) == (4 - stored, stored)
        engine.dispose()
    finally:
        server.close()


def write_stars(folder, n):
    for k in range(n):
        (folder / f"{k:02d}.txt").write_text(f"star {k}")
    return folder / "*.txt"


def test_small_images_share_a_transaction(maker, tmp_path, pretend, groups):
    steps = []
    report = ingest_paths(maker, [write_stars(tmp_path, 15)], progress=steps.append)
    assert [Path(one.path).name for one in report.outcomes] == [f"{k:02d}.txt" for k in range(15)]
    assert outcomes(report) == ["stored"] * 15
    assert groups == [6, 6, 3]
    assert ingest(maker, tmp_path / "*.txt").unchanged == 15


def test_large_images_are_stored_one_by_one(maker, tmp_path, pretend, groups, monkeypatch):
    monkeypatch.setattr(loop, "ROWS_IN_GROUP", 1)
    assert outcomes(ingest_paths(maker, [write_stars(tmp_path, 4)])) == ["stored"] * 4
    assert groups == []


def test_nothing_waits_for_a_slow_image_longer_than_its_time(maker, tmp_path, pretend, groups, monkeypatch):
    monkeypatch.setattr(loop, "LONGEST_HOLD_S", 0.0)
    assert outcomes(ingest_paths(maker, [write_stars(tmp_path, 4)])) == ["stored"] * 4
    assert groups == []


def test_an_image_that_is_refused_takes_no_other_with_it(maker, tmp_path, pretend, groups, monkeypatch):
    real = commit.store_image

    def refuse(session, measured, **how):
        found = real(session, measured, **how)
        if Path(measured.files[0].path).name == "02.txt":
            raise StoreError("no room for this one")
        return found

    monkeypatch.setattr(commit, "store_image", refuse)
    report = ingest(maker, write_stars(tmp_path, 5))
    assert groups == [5]
    assert outcomes(report) == ["stored", "stored", "failed", "stored", "stored"]
    assert report.outcomes[2].reason == "no room for this one"
    with maker() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == 4


def test_a_job_that_was_taken_over_takes_no_other_with_it(maker, tmp_path, pretend, monkeypatch):
    real = loop.commit_images

    def steal_first(sessions_of, images, **how):
        done = text(
            "update ingest_job set state = 'done', token = null, owner = null, outcome = 'stored', image_id = 7"
        )
        with writing(maker) as session:
            session.execute(text(f"{done} where job_id = :job"), {"job": images[1].job.job_id})
        return real(sessions_of, images, **how)

    monkeypatch.setattr(loop, "commit_images", steal_first)
    monkeypatch.setattr(file_list, "LOOK_S", 1e6)  # as in `groups`
    report = ingest_paths(maker, [write_stars(tmp_path, 4)])
    found = {Path(one.path).name: one.outcome.value for one in report.outcomes}
    assert found == {"00.txt": "stored", "01.txt": "unchanged", "02.txt": "stored", "03.txt": "stored"}
    with maker() as session:
        assert session.scalar(select(func.count()).select_from(Image)) == 3


def test_a_locked_file_is_a_typed_error(databases, tmp_path, pretend, monkeypatch):
    monkeypatch.setattr("ztfdb.store.backends.connect_sqlite.BUSY_TIMEOUT_S", 0.1)
    (tmp_path / "1.txt").write_text("star 1")
    url = databases.migrated("sqlite")
    engine, other = make_engine(url), make_engine(url)
    ingest_paths(sessions(engine), [])
    with other.connect() as connection:
        connection.exec_driver_sql("insert into data_root (name, path) values ('x', '/x')")  # and no commit yet
        with pytest.raises(DatabaseUnavailableError, match="locked"):
            ingest_paths(sessions(engine), [tmp_path / "1.txt"])
    assert outcomes(ingest(sessions(engine), tmp_path / "1.txt")) == ["stored"]
    engine.dispose()
    other.dispose()
