"""Partitions that are folders: a night adds a file, files are put together in time, readers see whole generations."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from click.testing import CliRunner
from scipy.spatial import cKDTree

import ztfdb
import ztfdb.hats.files as hats_files
from tests.support.archives import add_image, stars_of
from tests.support.hats_exports import (
    PLANS,
    THRESHOLD,
    Killed,
    assert_same_rows,
    catalogue,
    files,
    fill,
    margin_of,
    properties,
    read,
    recalibrate,
    remove,
    rows_in,
    tree,
)
from ztfdb.cli.app import application
from ztfdb.derive.objects import update_objects
from ztfdb.errors import ExportError
from ztfdb.sky.cells import HPX_ORDER
from ztfdb.store.engine import make_engine, sessions

pytest.importorskip("pyarrow")

OPTIONS = {"threshold": 3 * THRESHOLD, "layout": "directory"}
PRODUCTS = ("detections", "objects", "psf_sources", "forced", "images")


@pytest.fixture
def archive_url(databases):
    """On SQLite: that PostgreSQL's export is the same, byte for byte, has a test of its own."""
    url = databases.migrated("sqlite")
    fill(url)
    yield url
    databases.drop(url)


@pytest.fixture
def night(archive_url):
    """Adds an image of a field that is held, at another epoch each time."""
    engine = make_engine(archive_url)
    maker, epochs = sessions(engine), iter(range(150, 200))
    yield lambda: add_image(maker, PLANS[1], stars_of(PLANS[1]), next(epochs))
    engine.dispose()


def beside(ra, dec, own, arcsec):
    """Tell the other rows within `arcsec` of one of `own`."""
    points = SkyCoord(ra, dec, unit="deg").cartesian.xyz.value.T
    chord = 2.0 * np.sin(np.radians(arcsec / 3600.0) / 2.0)
    distance, _ = cKDTree(points[own]).query(points, distance_upper_bound=chord)
    return np.isfinite(distance) & ~own


def test_a_night_adds_a_file_and_leaves_the_others(archive_url, night, tmp_path):
    folder, collection = tmp_path / "hats", tmp_path / "hats" / "detections"
    lines: list[str] = []
    with ztfdb.open(archive_url) as archive:
        archive.export_hats(folder, **OPTIONS)
        before = files(catalogue(collection))
        assert all(len(paths) == 1 for paths in before.values())
        rows_before = read(collection).num_rows
        held = {pixel: paths[0].stat().st_ino for pixel, paths in before.items()}
        night()
        report = archive.export_hats(folder, update=True, tell=lines.append)
        archive.export_hats(tmp_path / "whole", **OPTIONS)
        after = files(catalogue(collection))
        added = read(collection).num_rows - rows_before
        grown = {pixel for pixel, paths in after.items() if len(paths) == 2}
        assert grown and added > 0
        kept = {pixel: paths[0].stat().st_ino for pixel, paths in after.items() if pixel in held}
        taken_up = {pixel for pixel in held if kept[pixel] != held[pixel]}
        assert not taken_up & grown  # a small partition's only file holds fewer than twice the rows of a night
        rewritten = sum(rows_in(after[pixel]).num_rows for pixel in taken_up)
        new = [pixel for pixel in after if pixel not in held]
        done = report.products[0]
        assert done.rows_written == sum(rows_in(after[p][-1:]).num_rows for p in [*grown, *taken_up, *new])
        assert done.rows_written <= added + rewritten
        assert f"{done.rows_written} rows are written for {added} new ones" in lines[0]
        for product in PRODUCTS:
            assert_same_rows(folder / product, tmp_path / "whole" / product)
        for pixel in grown:
            for path in after[pixel]:
                assert (np.diff(rows_in([path])["_healpix_29"].to_numpy()) >= 0).all()
        assert all(one.n_written == 0 for one in archive.export_hats(folder, update=True).products)


def test_margins_grow_with_their_neighbours(archive_url, night, tmp_path):
    collection = tmp_path / "detections"
    with ztfdb.open(archive_url) as archive:
        archive.export_hats(tmp_path, products=["detections"], threshold=150, layout="directory")
        for _ in range(3):
            night()
            archive.export_hats(tmp_path, products=["detections"], update=True)
    rows, held = read(collection), files(margin_of(collection))
    assert any(len(paths) > 1 for paths in held.values())
    ra, dec, cell, ids = (rows[name].to_numpy() for name in ("ra", "dec", "_healpix_29", "source_id"))
    n_near = 0
    for norder, npix in files(catalogue(collection)):
        own = cell >> 2 * (HPX_ORDER - norder) == npix
        inside = rows_in(held[norder, npix])["source_id"].to_pylist() if (norder, npix) in held else []
        assert len(inside) == len(set(inside))
        assert not set(inside) & set(ids[own].tolist())
        near = beside(ra, dec, own, 10.0)
        n_near += int(near.sum())
        assert set(ids[near].tolist()) <= set(inside)
    assert n_near > 0


@pytest.mark.slow
def test_rows_that_went_or_changed_are_written_anew(archive_url, night, tmp_path):
    """With and without a night's new rows beside them, and after an update that brought objects up to date."""
    engine = make_engine(archive_url)
    maker, folder = sessions(engine), tmp_path / "hats"
    steps = [
        lambda: (night(), recalibrate(maker)),
        lambda: remove(maker, PLANS[0]),
        lambda: (night(), update_objects(maker)),
        lambda: (night(), remove(maker, PLANS[1])),
        night,
    ]
    with ztfdb.open(archive_url) as archive:
        archive.export_hats(folder, **OPTIONS)
        for number, step in enumerate(steps):
            step()
            archive.export_hats(folder, update=True)
            archive.export_hats(tmp_path / str(number), **OPTIONS)
            for product in PRODUCTS:
                assert_same_rows(folder / product, tmp_path / str(number) / product)
    engine.dispose()


def test_many_nights_leave_few_files_and_outgrown_partitions_are_divided(archive_url, night, tmp_path):
    collection = tmp_path / "hats" / "detections"
    with ztfdb.open(archive_url) as archive:
        archive.export_hats(tmp_path / "hats", products=["detections"], **OPTIONS)
        before = set(files(catalogue(collection)))
        for _ in range(9):
            night()
            archive.export_hats(tmp_path / "hats", update=True, products=["detections"])
            held = files(catalogue(collection))
            for paths in held.values():
                in_age = sorted(paths, key=lambda path: int(path.stem.removeprefix("part_g")))
                rows = [rows_in([path]).num_rows for path in in_age]
                assert all(older >= 2 * younger for older, younger in itertools.pairwise(rows))
                assert sum(rows) <= OPTIONS["threshold"]
        archive.export_hats(tmp_path / "whole", products=["detections"], **OPTIONS)
    assert before - set(held)
    assert_same_rows(collection, tmp_path / "whole" / "detections")
    assert len(list(collection.glob("detections_g*"))) == 2


@pytest.mark.slow
def test_an_update_killed_at_any_write_goes_on_to_the_same_bytes(databases, tmp_path, monkeypatch):
    url = databases.migrated("sqlite")
    fill(url)
    real, renamed, stop = Path.replace, [], {"at": -1, "after": False}

    def counted(path, target):
        renamed.append(target)
        killed = len(renamed) == stop["at"]
        if killed and not stop["after"]:
            raise Killed
        done = real(path, target)
        if killed:
            raise Killed
        return done

    engine = make_engine(url)
    with ztfdb.open(url) as archive:
        for name in ("whole", *(f"stopped{k}" for k in range(6))):
            archive.export_hats(tmp_path / name, products=["detections"], **OPTIONS)
        add_image(sessions(engine), PLANS[1], stars_of(PLANS[1]), 150)
        monkeypatch.setattr(hats_files.Path, "replace", counted)
        archive.export_hats(tmp_path / "whole", update=True)
        n_write = len(renamed)
        assert n_write > 20
        for k, at in enumerate((1, 2, n_write // 3, n_write // 2, n_write - 1, n_write)):
            folder = tmp_path / f"stopped{k}"
            renamed.clear()
            stop |= {"at": at, "after": k % 2 == 0}
            with pytest.raises(Killed):
                archive.export_hats(folder, update=True)
            stop["at"] = -1
            archive.export_hats(folder, update=True)
            assert tree(folder) == tree(tmp_path / "whole")
    engine.dispose()
    databases.drop(url)


def test_both_engines_and_two_processes_give_the_same_bytes(databases, tmp_path):
    urls = {engine: databases.migrated(engine) for engine in ("sqlite", "postgresql")}
    several = []
    for jobs, (name, url) in enumerate(urls.items(), start=1):
        fill(url)
        engine = make_engine(url)
        with ztfdb.open(url) as archive:
            archive.export_hats(tmp_path / name, jobs=jobs, **OPTIONS)
            for epoch in (150, 151):
                add_image(sessions(engine), PLANS[1], stars_of(PLANS[1]), epoch)
                archive.export_hats(tmp_path / name, update=True, jobs=jobs)
                several.append(max(map(len, files(catalogue(tmp_path / name / "detections")).values())))
            update_objects(sessions(engine))
            recalibrate(sessions(engine))
            archive.export_hats(tmp_path / name, update=True, jobs=jobs)
        engine.dispose()
        databases.drop(url)
    assert tree(tmp_path / "sqlite") == tree(tmp_path / "postgresql")
    assert several == [2, 1, 2, 1]  # the second night takes up the first, and both what was there


def test_metadata_is_left_out_where_a_partition_has_several_files(archive_url, night, tmp_path):
    """hats 0.11.1 calls a catalogue with both invalid."""
    folder = tmp_path / "hats"
    with ztfdb.open(archive_url) as archive:
        archive.export_hats(folder, **OPTIONS)
        assert (catalogue(folder / "detections") / "dataset" / "_metadata").exists()
        night()
        archive.export_hats(folder, update=True)
        for product in PRODUCTS:
            for one in (catalogue(folder / product), margin_of(folder / product)):
                several = any(len(paths) > 1 for paths in files(one).values())
                assert (one / "dataset" / "_metadata").exists() is not several
        assert not (catalogue(folder / "detections") / "dataset" / "_metadata").exists()
        archive.export_hats(folder, **OPTIONS)  # puts all together
        assert (catalogue(folder / "detections") / "dataset" / "_metadata").exists()


def test_the_archive_reads_its_own_export_in_place(archive_url, night, tmp_path):
    with ztfdb.open(archive_url) as archive:
        archive.export_hats(tmp_path, products=["detections"], **OPTIONS)
        night()
        archive.export_hats(tmp_path, update=True)
        archive.add_catalogue("own", f"hats:{tmp_path / 'detections'}", columns={"id": "source_id"})
        for ra, dec in ((0.0, -5.0), (359.9, -5.1), (180.0, 10.0)):
            found = archive.catalogue_cone("own", ra, dec, 300.0)
            assert sorted(found.reference_id) == sorted(archive.cone(ra, dec, 300.0).source_id)
            assert len(found)


def test_layouts_are_not_mixed(archive_url, tmp_path):
    with ztfdb.open(archive_url, read_only=True) as archive:
        with pytest.raises(ValueError, match="layouts are file, directory"):
            archive.export_hats(tmp_path, layout="folder")
        archive.export_hats(tmp_path, products=["images"], **OPTIONS)
        with pytest.raises(ExportError, match="layout of directory"):
            archive.export_hats(tmp_path, update=True, layout="file")
        archive.export_hats(tmp_path, products=["images"])
    assert properties(catalogue(tmp_path / "images") / "hats.properties")["hats_npix_suffix"] == ".parquet"


def test_a_product_that_comes_with_an_update_has_the_settings_of_the_others(archive_url, tmp_path):
    with ztfdb.open(archive_url, read_only=True) as archive:
        archive.export_hats(tmp_path, products=["images"], margin=5.0, **OPTIONS)
        archive.export_hats(tmp_path, update=True, products=["images", "forced"])
    for product in ("images", "forced"):
        assert properties(catalogue(tmp_path / product) / "hats.properties")["hats_npix_suffix"] == "/"
        assert properties(margin_of(tmp_path / product) / "hats.properties")["hats_margin_threshold"] == "5"


def test_the_command_takes_a_layout(archive_url, tmp_path):
    words = ["export", "hats", str(tmp_path), "--db", archive_url, "--products", "images", "--layout", "directory"]
    done = CliRunner().invoke(application, words)
    assert done.exit_code == 0, done.stderr
    assert properties(catalogue(tmp_path / "images") / "hats.properties")["hats_npix_suffix"] == "/"
    occupied = tmp_path / "file"
    occupied.write_text("")
    wrong = CliRunner().invoke(application, ["export", "hats", str(occupied), "--db", archive_url])
    assert wrong.exit_code == 2 and "is a file" in wrong.stderr
