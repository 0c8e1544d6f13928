"""Sources inside boxes, polygons and wide cones, against closed formulas and brute force, on both engines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import select

from ztfdb.query import within
from ztfdb.query.areas import iter_cone, iter_region, polygon_of, region
from ztfdb.query.cone import cone
from ztfdb.schema import Source

CENTRES = [(180.0, 10.0), (0.05, -5.0), (359.97, -5.02), (40.0, 89.9), (0.0, 90.0), (300.0, -89.8)]
"""Ordinary sky, both sides of RA 0, around both poles: where the generated stars are."""


@pytest.fixture(scope="module")
def everything(generated):
    """Id and position of every source."""
    with generated.makers["sqlite"]() as session:
        rows = session.execute(select(Source.source_id, Source.ra, Source.dec)).all()
    return tuple(np.array(column) for column in zip(*rows, strict=True))


def plane(ra0, dec0, ra, dec):
    """Gnomonic coordinates about a centre, and the cosine of the distance from it (a textbook's formulas)."""
    lon, lat, at = np.radians(ra - ra0), np.radians(dec), np.radians(dec0)
    depth = np.sin(at) * np.sin(lat) + np.cos(at) * np.cos(lat) * np.cos(lon)
    east = np.cos(lat) * np.sin(lon) / depth
    north = (np.cos(at) * np.sin(lat) - np.sin(at) * np.cos(lat) * np.cos(lon)) / depth
    return east, north, depth


def sky(ra0, dec0, east, north):
    """The way back."""
    at, rho = np.radians(dec0), np.hypot(east, north)
    c = np.arctan(rho)
    dec = np.arcsin(
        np.cos(c) * np.sin(at) + np.where(rho > 0, north / np.maximum(rho, 1e-300), 0) * np.sin(c) * np.cos(at)
    )
    ra = np.arctan2(east * np.sin(c), rho * np.cos(at) * np.cos(c) - north * np.sin(at) * np.sin(c))
    return np.mod(ra0 + np.degrees(ra), 360.0), np.degrees(dec)


@pytest.mark.parametrize("centre", CENTRES)
def test_a_box_holds_what_lies_between_its_great_circles(generated_maker, everything, centre):
    ids, ra, dec = everything
    width, height = 0.5, 0.3
    east, north, depth = plane(*centre, ra, dec)
    half = np.tan(np.radians([width / 2, height / 2]))
    inside = (np.abs(east) <= half[0]) & (np.abs(north) <= half[1]) & (depth > 0)
    with generated_maker() as session:
        found = region(session, polygon_of(None, (*centre, width, height)))
    assert inside.sum() > 100
    np.testing.assert_array_equal(found["source_id"], np.sort(ids[inside]))


@pytest.mark.parametrize("centre", CENTRES)
def test_a_concave_polygon_leaves_its_notch_out(generated_maker, everything, centre):
    ids, ra, dec = everything
    east, north, depth = plane(*centre, ra, dec)
    size = np.tan(np.radians(0.3))
    outline = size * np.array([(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)])
    ell = (np.abs(east) <= size) & (np.abs(north) <= size) & ~((east > 0) & (north > 0)) & (depth > 0)
    corners = np.stack(sky(*centre, *outline.T), axis=1)
    with generated_maker() as session:
        found = region(session, polygon_of(corners, None), columns=["ra"])
        again = region(session, polygon_of(corners[::-1], None), columns=["source_id"])
    assert list(found.columns) == ["ra", "obsmjd", "filtercode"]
    assert 100 < len(found) < len(ids)
    np.testing.assert_array_equal(again["source_id"], np.sort(ids[ell]))
    np.testing.assert_array_equal(np.sort(found["ra"]), np.sort(ra[ell]))


@pytest.mark.parametrize(("ra", "dec", "radius"), [(180.0, 10.0, 10_800), (0.0, -5.0, 900), (123.0, 90.0, 10_800)])
@pytest.mark.parametrize("at_once", [(1_000_000, 100_000), (1_500, 700)])
def test_pieces_of_a_cone_are_the_cone(generated_maker, monkeypatch, ra, dec, radius, at_once):
    monkeypatch.setattr(within, "POSITIONS_AT_ONCE", at_once[0])
    monkeypatch.setattr(within, "ROWS_AT_ONCE", at_once[1])
    with generated_maker() as session:
        whole = cone(session, ra, dec, radius)
        parts = list(iter_cone(session, ra, dec, radius))
    assert all(len(part) <= at_once[1] and part["source_id"].is_monotonic_increasing for part in parts)
    assert len(whole) > 2_000
    assert len(parts) >= len(whole) / at_once[1]
    joined = pd.concat(parts).sort_values(["separation", "source_id"], ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole)


def test_pieces_of_a_region_are_the_region(generated_maker, monkeypatch):
    area = polygon_of(None, (180.0, 10.0, 2.0, 2.0))
    with generated_maker() as session:
        whole = region(session, area)
        monkeypatch.setattr(within, "POSITIONS_AT_ONCE", 1_500)
        monkeypatch.setattr(within, "ROWS_AT_ONCE", 700)
        parts = list(iter_region(session, area))
    assert len(parts) > 10
    joined = pd.concat(parts).sort_values("source_id", ignore_index=True)
    pd.testing.assert_frame_equal(joined, whole)


def test_both_engines_give_the_same_pieces(generated):
    found = {}
    for name, maker in generated.makers.items():
        with maker() as session:
            found[name] = list(iter_region(session, polygon_of(None, (0.0, -5.0, 1.0, 0.7))))
    assert len(found["sqlite"]) == len(found["postgresql"])
    for one, other in zip(found["sqlite"], found["postgresql"], strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_where_nothing_is_there_is_one_empty_piece_with_all_columns(generated_maker):
    with generated_maker() as session:
        full = region(session, polygon_of(None, (180.0, 10.0, 0.1, 0.1)))
        empty = list(iter_region(session, polygon_of(None, (90.0, 45.0, 0.1, 0.1))))
        nothing = list(iter_cone(session, 90.0, 45.0, 10.0))
    assert len(empty) == len(nothing) == 1
    assert len(empty[0]) == len(nothing[0]) == 0
    pd.testing.assert_series_equal(empty[0].dtypes, full.dtypes)


@pytest.mark.parametrize(
    ("polygon", "box", "message"),
    [
        (None, None, "a polygon, or a box"),
        ([(0, 0), (1, 0), (0, 1)], (0, 0, 1, 1), "a polygon, or a box"),
        ([(0, 0), (1, 0)], None, "at least 3 corners"),
        ([(0, 0), (1, 1), (1, 0), (0, 1)], None, "crosses itself"),
        ([0, 1, 2], None, "shape"),
        ([(0, 0), (1, 91), (0, 1)], None, "dec"),
        (None, (0, 0, 1), "ra, dec, width and height"),
        (None, (0, 0, 0, 1), "sizes above 0"),
        (None, (0, np.nan, 1, 1), "not finite"),
    ],
)
def test_what_is_no_region_is_refused(polygon, box, message):
    with pytest.raises(ValueError, match=message):
        polygon_of(polygon, box)


def test_unknown_photometry_and_columns_are_refused(generated_maker):
    with generated_maker() as session:
        area = polygon_of(None, (180.0, 10.0, 0.1, 0.1))
        with pytest.raises(ValueError, match="phot 'psf'"):
            region(session, area, phot="psf")
        with pytest.raises(ValueError, match="password"):
            region(session, area, columns=["password"])


def test_an_archive_takes_regions(archive):
    found = archive.region(box=(180.0, 10.0, 0.1, 0.1))
    assert found.empty
    assert "source_id" in found
    assert len(list(archive.iter_region([(1, 1), (2, 1), (1, 2)], columns=["ra"]))) == 1
    assert "role" in archive.region(box=(180.0, 10.0, 0.1, 0.1), phot="psfcat")
    assert "separation" in next(iter(archive.iter_cone(1.0, 2.0, 3.0)))
