"""Neighbourhoods: parts of the sky whose objects depend only on their own sources.

Two objects are neighbours if their discs (position and reach) come within `APART`; a neighbourhood is closed under this
relation. No link, blend or faint source crosses its border, so its objects follow from its own sources alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.codes import MemberKind
from ztfdb.derive.grouping import LINK, Grouped, chord, components, group_detections
from ztfdb.derive.members import Images, Sample, make_sample
from ztfdb.sky.angles import separation, unit_vector
from ztfdb.sky.cells import HPX_ORDER, cone_ranges, sky_to_cell, with_neighbours
from ztfdb.sky.cover import cover_positions
from ztfdb.store.columns import MISSING
from ztfdb.store.objects import detections_in_ranges, largest_reach, objects_in_ranges

APART = 3.0
"""Distance between the discs of two objects, arcsec, beyond which no new detection can connect them: twice `ATTACH`,
for a faint source that could go to both, and more than `BLEND`."""

TOLERANCE = 1e-3
"""arcsec added to search radii before an exact test."""

TILE_ORDER = 8
"""Cells of 14 arcmin: about 250,000 sources in fields with 300 visits."""

RING_ORDER = 14
"""A tile is read with rings of cells of 13 arcsec around it."""


@dataclass(frozen=True)
class Disturbed:
    """Objects to rebuild: discs on the sky (objects, and detections without an object) and their areas.

    Attributes
    ----------
    object_id : ndarray of int64, shape (n_disc,)
        `MISSING` for a detection.
    ra, dec, reach : ndarray, shape (n_disc,)
    area : ndarray of int64, shape (n_disc,)
        Discs of the same area are connected.
    """

    object_id: IntArray
    ra: FloatArray
    dec: FloatArray
    reach: FloatArray
    area: IntArray


def find_disturbed(
    session: Session, objects: Columns, start: BoolArray, places: tuple[FloatArray, FloatArray]
) -> Disturbed:
    """Return the areas around the objects marked by `start` and around `places`, with all connected objects.

    Parameters
    ----------
    session : Session
    objects : dict of ndarray
        Objects read so far; further connected ones are read from the database.
    start : ndarray of bool
        One value per object.
    places : tuple of ndarray
        Right ascensions and declinations, deg, of new detections.
    """
    first = objects["object_id"][start]
    margin = search_margin(largest_reach(session))
    n_place = len(places[0])
    while True:
        ra, dec = np.append(objects["ra"], places[0]), np.append(objects["dec"], places[1])
        reach = np.append(objects["reach"], np.zeros(n_place))
        area = components(len(ra), neighbours(ra, dec, reach))
        begin = np.append(np.isin(objects["object_id"], first), np.ones(n_place, bool))
        inside = np.flatnonzero(np.isin(area, area[begin]))
        around = objects_in_ranges(session, *cover_positions(sky_to_cell(ra[inside], dec[inside]), margin))
        missing = ~np.isin(around["object_id"], objects["object_id"])
        if not missing.any():
            break
        objects = {name: np.append(values, around[name][missing]) for name, values in objects.items()}
    ids = np.append(objects["object_id"], np.full(n_place, MISSING))
    return Disturbed(ids[inside], ra[inside], dec[inside], reach[inside], area[inside])


def join_tile(session: Session, tile: int, images: Images) -> tuple[Sample, Grouped, BoolArray]:
    """Group the sources in and around a tile, and return which objects belong to it.

    A neighbourhood across the tile's edge belongs to it if the smallest cell of the neighbourhood is inside.
    """
    cells = np.arange(tile << cell_shift(TILE_ORDER, RING_ORDER), (tile + 1) << cell_shift(TILE_ORDER, RING_ORDER))
    inner, shift = with_neighbours(cells, RING_ORDER), cell_shift(RING_ORDER)
    while True:
        view = with_neighbours(inner, RING_ORDER)
        rows = detections_in_ranges(session, *united(view << shift, (view + 1) << shift))
        sample = make_sample(rows, images)
        grouped = group_detections(sample.found)
        objects = grouped.objects
        area = components(len(objects["object_id"]), neighbours(objects["ra"], objects["dec"], objects["reach"]))
        seed = grouped.kind != MemberKind.ATTACHED
        cell, of = sample.found.hpx29[grouped.row[seed]], area[grouped.owner[seed]]
        n_area = int(area.max(initial=-1)) + 1
        touched = np.bincount(of[cell >> cell_shift(TILE_ORDER) == tile], minlength=n_area) > 0
        cut = np.bincount(of[~np.isin(cell >> shift, inner)], minlength=n_area) > 0
        if not (touched & cut).any():
            break
        inner = view  # a neighbourhood extends beyond the rows read
    smallest = np.full(n_area, np.iinfo(np.int64).max)
    np.minimum.at(smallest, of, cell)
    return sample, grouped, np.asarray((smallest >> cell_shift(TILE_ORDER) == tile)[area])


def cell_shift(order: int, finer: int = HPX_ORDER) -> int:
    """Return the right shift in bits from a cell of order `finer` to its cell of `order`."""
    return 2 * (finer - order)


def batches(area: IntArray, size: int) -> list[slice]:
    """Split ascending areas into batches of about `size` discs; no area is in two batches."""
    edges = [0]
    for last in np.flatnonzero(np.diff(area, append=-1)).tolist():
        if last + 1 - edges[-1] >= size or last + 1 == len(area):
            edges.append(last + 1)
    return [slice(a, b) for a, b in pairwise(edges)]


def sources_inside(session: Session, ra: FloatArray, dec: FloatArray, radius: FloatArray) -> Columns:
    """Return the sources within the discs, each once."""
    from scipy.spatial import cKDTree

    _, lo, hi = cone_ranges(ra, dec, radius + TOLERANCE)
    rows = detections_in_ranges(session, *united(lo, hi))
    if not len(rows["ra"]):
        return rows
    tree = cKDTree(unit_vector(rows["ra"], rows["dec"]).T)
    inside = tree.query_ball_point(unit_vector(ra, dec).T, chord(radius + TOLERANCE))
    keep = np.zeros(len(rows["ra"]), bool)
    keep[np.concatenate([np.asarray(one, np.int64) for one in inside])] = True
    return {name: values[keep] for name, values in rows.items()}


def united(lo: IntArray, hi: IntArray) -> tuple[IntArray, IntArray]:
    """Return disjoint ranges that cover the same cells."""
    order = np.argsort(lo, kind="stable")
    lo, hi = lo[order], np.maximum.accumulate(hi[order])
    first = np.flatnonzero(np.append(True, lo[1:] > hi[:-1])) if len(lo) else np.empty(0, np.int64)
    return lo[first], hi[np.append(first[1:], len(lo)) - 1] if len(lo) else hi


def neighbours(ra: FloatArray, dec: FloatArray, reach: FloatArray) -> IntArray:
    """Return the pairs of discs that come within `APART` of each other, shape (n_pair, 2)."""
    from scipy.spatial import cKDTree

    if not len(ra):
        return np.empty((0, 2), np.int64)
    farthest = 2.0 * float(reach.max()) + APART + TOLERANCE
    pairs = cKDTree(unit_vector(ra, dec).T).query_pairs(chord(farthest), output_type="ndarray").astype(np.int64)
    i, j = pairs[:, 0], pairs[:, 1]
    return pairs[separation(ra[i], dec[i], ra[j], dec[j]) <= reach[i] + reach[j] + APART + TOLERANCE]


def search_margin(largest: float) -> float:
    """Return the maximum distance of the first detection of a relevant object from a position, arcsec."""
    return 3.0 * max(largest, LINK) + APART + LINK + TOLERANCE
