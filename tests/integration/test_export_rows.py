"""Rows of a table by sky cell, read image by image and looked up by position: the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.hats_exports import fill
from ztfdb.derive.objects import build_objects
from ztfdb.store import export
from ztfdb.store.backends import backend
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.select import rows

TABLES = (export.SOURCES, export.PSF_SOURCES, export.FORCED)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def maker(request, databases):
    url = databases.migrated(request.param)
    fill(url)
    engine = make_engine(url)
    build_objects(sessions(engine))
    yield sessions(engine)
    engine.dispose()
    databases.drop(url)


@pytest.fixture
def pieces_read(monkeypatch):
    """The number of pieces of images that were read, None for rows that were looked up by position."""
    seen, asked = [], export._in_images

    def watched(*args):
        pieces = asked(*args)
        seen.append(None if pieces is None else len(pieces))
        return pieces

    monkeypatch.setattr(export, "_in_images", watched)
    return seen


def ordered(found):
    by = np.lexsort([found[name] for name in sorted(found)])
    return {name: values[by] for name, values in found.items()}


def by_brute_force(session, where, lo, hi, only):
    every = rows(session, where.table)
    part = every["image_id"] * 8 + every["method"] if where is export.FORCED else every["source_id"] >> 18
    inside = (every["hpx29"] >= lo) & (every["hpx29"] < hi)
    if only is not None:
        inside &= np.isin(part, only)
    return {name: values[inside] for name, values in every.items()}, part[inside]


def assert_equal(found, expected):
    found, expected = ordered(found), ordered({name: expected[name] for name in found})
    for name, values in found.items():
        np.testing.assert_array_equal(values, expected[name], err_msg=name)


@pytest.mark.parametrize("where", TABLES, ids=lambda where: where.table)
@pytest.mark.parametrize("scanned", [24, -1])
@pytest.mark.parametrize("at_once", [50_000, 40])
def test_rows_of_a_range_are_those_of_the_table(maker, monkeypatch, pieces_read, where, scanned, at_once):
    """In pieces and whole; all images, some of them, one that has no row there, none."""
    monkeypatch.setattr(export, "SCANNED_PER_ROW", scanned)
    monkeypatch.setattr(export, "ROWS_AT_ONCE", at_once)
    with maker() as session:
        hpx29 = np.sort(rows(session, where.table, ("hpx29",))["hpx29"])
        assert len(hpx29) > 100
        lo, hi = int(hpx29[len(hpx29) // 5]), int(hpx29[len(hpx29) // 2])
        whole, part = by_brute_force(session, where, lo, hi, None)
        parts = np.unique(part)
        assert len(part) > 40 and len(parts) > 1
        assert_equal(export.rows_in_range(session, where, lo, hi), whole)
        for only in (parts[::2], parts[:1], np.array([7]), parts[:0]):
            found = export.rows_in_range(session, where, lo, hi, only=only)
            assert found.keys() == whole.keys()
            assert_equal(found, by_brute_force(session, where, lo, hi, only)[0])
        assert len(export.rows_in_range(session, where, hi, hi)["ra"]) == 0
        if where.images is not None and backend(session).cheap_scans:
            assert (pieces_read[0] is None) == (scanned < 0)
            assert scanned < 0 or at_once > 40 or pieces_read[0] > 1


def test_objects_come_along(maker, monkeypatch):
    found = []
    with maker() as session:
        for scanned in (24, -1):
            monkeypatch.setattr(export, "SCANNED_PER_ROW", scanned)
            found.append(export.rows_in_range(session, export.SOURCES, 0, 2**62, objects=True))
    assert (found[0]["object_id"] != export.MISSING).any()
    assert_equal(*found)


@pytest.mark.parametrize("most", [1, 20, export.SLICE_ROWS])
@pytest.mark.parametrize("where", TABLES, ids=lambda where: where.table)
def test_counts_of_cells_are_those_of_the_rows(maker, where, most, monkeypatch):
    monkeypatch.setattr(export, "SLICE_ROWS", most)
    with maker() as session:
        rows_there, part = by_brute_force(session, where, 0, 2**62, None)
        slices = list(export.slices(session, {where.table: "hpx29"}))
        counts = [export.cell_counts(session, where, lo, hi) for lo, hi in slices]
    assert slices[0][0] == 0
    assert slices[-1][1] == 12 * 4**29
    assert [hi for _, hi in slices[:-1]] == [lo for lo, _ in slices[1:]]
    cells = np.sort(rows_there["hpx29"])
    n_row = np.diff(np.searchsorted(cells, [0, *(hi for _, hi in slices)]))
    assert all(n <= most or hi - lo == 4**22 for n, (lo, hi) in zip(n_row, slices, strict=True))
    assert (len(slices) > 1) == (len(cells) > most)
    found = {name: np.concatenate([one[name] for one in counts]) for name in ("cell", "part", "n")}
    pairs = np.column_stack([rows_there["hpx29"] >> export.CELL_SHIFT, part])
    expected, n = np.unique(pairs, axis=0, return_counts=True)
    np.testing.assert_array_equal(np.column_stack([found["cell"], found["part"]]), expected)
    np.testing.assert_array_equal(found["n"], n)
