"""Group detections into objects: a pure function of the set of detections, independent of their order.

Clean detections within `LINK` of each other are linked, and links chain, so a moving star stays one object. Two rules
separate stars that bad seeing joins:

* A chain is several stars if some image has two of its detections more than `ATTACH` apart, or if it extends beyond
  `STRAY` and does not follow a uniform motion. Its densest places, no two within `ATTACH`, become groups, and each
  detection goes to the nearest group.
* Among groups within `ATTACH` of each other, those resolved on 10 % of the images take precedence, then those with more
  detections. A group that is mostly seen on images where the larger one is not is a blend, and the larger one absorbs
  it. A group between two resolved stars within `BLEND`, mostly seen where they are not, is also a blend.

The other detections go to the nearest object within `ATTACH`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.codes import MemberKind
from ztfdb.sky.angles import ARCSEC_PER_RADIAN, separation, unit_vector
from ztfdb.sky.cells import CELL_REACH, HPX_ORDER
from ztfdb.sky.match import match_nearest

LINK = 0.5
"""arcsec between clean detections of one object: five times the scatter of a star near S/N 7."""

ATTACH = 1.5
"""arcsec within which ZTF (pixels of 1 arcsec) does not resolve two stars; also the radius of light curves."""

STRAY = 1.0
"""arcsec from its best detection within which all detections of a star without motion lie."""

STEADY = 0.35
"""Maximum scatter of a moving star about its uniform motion (both axes together), arcsec."""

BLEND = 2.8
"""arcsec from a star within which a blend can lie: on bad nights ZTF joins two stars 4 arcsec apart."""

BETWEEN = 0.5
"""arcsec by which the path from star to star via a blend may exceed the direct distance."""

RESOLVED = 0.1
"""Fraction of images that must show two groups together for them to be two stars, not one star split in two."""

CELL_ORDER = 20
CELL_SPAN = 2.0 * CELL_REACH / 2**CELL_ORDER * ARCSEC_PER_RADIAN
"""Maximum extent of a cell of that order, 0.42 arcsec: all its detections are linked without a test."""

DOUBTS_AT_ONCE = 20_000


@dataclass(frozen=True)
class Detections:
    """Sources to group: equal-length columns.

    Attributes
    ----------
    source_id, image_id, hpx29 : ndarray of int64
    ra, dec : ndarray
        deg.
    snr : ndarray
    mjd : ndarray
        NaN where unknown.
    clean : ndarray of bool
        Bright and unflagged: can start an object.
    """

    source_id: IntArray
    image_id: IntArray
    hpx29: IntArray
    ra: FloatArray
    dec: FloatArray
    snr: FloatArray
    mjd: FloatArray
    clean: BoolArray

    def __len__(self) -> int:
        return len(self.source_id)

    def take(self, rows: IntArray | BoolArray) -> Detections:
        """Return some of the rows."""
        return Detections(**{name: values[rows] for name, values in vars(self).items()})


@dataclass(frozen=True)
class Grouped:
    """Objects and their members.

    Attributes
    ----------
    objects : dict of ndarray
        ``object_id`` (ascending), ``ra``, ``dec``, ``reach``, ``crowded``, ``best_snr``, ``best_source_id``,
        ``first_source_id``.
    row : ndarray of int64, shape (n_member,)
        Index of the detection.
    owner : ndarray of int64, shape (n_member,)
        Index in `objects`.
    kind : ndarray, shape (n_member,)
        `MemberKind`.
    separation : ndarray, shape (n_member,)
        arcsec from the object's position.
    conflict : ndarray of bool, shape (n_member,)
        Its image has another detection in the same object.
    """

    objects: Columns
    row: IntArray
    owner: IntArray
    kind: IntArray
    separation: FloatArray
    conflict: BoolArray

    def take(self, wanted: BoolArray) -> Grouped:
        """Return some of the objects with their members."""
        place = np.cumsum(wanted) - 1
        keep = wanted[self.owner]
        members = (self.row[keep], place[self.owner[keep]], self.kind[keep], self.separation[keep], self.conflict[keep])
        return Grouped({name: values[wanted] for name, values in self.objects.items()}, *members)


def group_detections(found: Detections) -> Grouped:
    """Group detections into objects by the rules above.

    Parameters
    ----------
    found : Detections
        In any order; it affects only `Grouped.row`.
    """
    rows = np.flatnonzero(found.clean)
    seeds = found.take(rows)
    vector = np.ascontiguousarray(unit_vector(seeds.ra, seeds.dec).T)
    label = linked(seeds.hpx29, vector)
    label, crowded, fringe = _split(label, vector, seeds)
    absorber, core, close = _absorb(label, vector, seeds, np.where(fringe, 0.0, seeds.snr))
    owner = absorber[label]
    kind = np.where(owner == label, MemberKind.LINKED, MemberKind.ABSORBED)
    objects, owner = _objects(seeds, owner, core, crowded | close)
    np.maximum.at(objects["reach"], owner, separation_from(found, rows, objects, owner))
    rest = np.flatnonzero(~found.clean)
    near = match_nearest(found.ra[rest], found.dec[rest], objects["ra"], objects["dec"], ATTACH)
    row = np.concatenate([rows, rest[near.index1]])
    owner = np.concatenate([owner, near.index2])
    kind = np.concatenate([kind, np.full(len(near.index1), MemberKind.ATTACHED)])
    apart = separation_from(found, row, objects, owner)
    return Grouped(objects, row, owner, kind, apart, repeated(owner, found.image_id[row]))


def separation_from(found: Detections, row: IntArray, objects: Columns, owner: IntArray) -> FloatArray:
    """Return the separations of detections from their objects, arcsec; used everywhere, for bitwise equal results."""
    return separation(found.ra[row], found.dec[row], objects["ra"][owner], objects["dec"][owner])


def chord(arcsec: FloatArray | float) -> Any:
    """Return the chord between unit vectors for an angle."""
    return 2.0 * np.sin(0.5 * np.asarray(arcsec) / ARCSEC_PER_RADIAN)


def components(n: int, pairs: IntArray) -> IntArray:
    """Return the connected component of each of `n` nodes; `pairs` has shape (n_pair, 2)."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def repeated(first: IntArray, second: IntArray) -> BoolArray:
    """Return which rows share their pair of values with other rows."""
    order = np.lexsort((second, first))
    same = (np.diff(first[order]) == 0) & (np.diff(second[order]) == 0)
    result = np.zeros(len(first), bool)
    result[order] = np.r_[same, False] | np.r_[False, same] if len(first) else False
    return result


def linked(hpx29: IntArray, vector: FloatArray) -> IntArray:
    """Return the component of each detection under links of `LINK`.

    A star with 300 detections has 45,000 pairs. Therefore all detections of a small cell are joined, one detection of
    each cell (its pivot) is compared with the other pivots, and single detections are compared only for cells that
    could touch but are still separate.
    """
    from scipy.spatial import cKDTree

    if not len(hpx29):
        return np.empty(0, np.int64)
    cell = hpx29 >> 2 * (HPX_ORDER - CELL_ORDER)
    order = np.argsort(cell, kind="stable")
    first = np.flatnonzero(np.diff(cell[order], prepend=-1))
    count = np.diff(first, append=len(cell))
    pivot = vector[order[first]]
    pairs = cKDTree(pivot).query_pairs(chord(LINK + 2.0 * CELL_SPAN), output_type="ndarray").astype(np.int64)
    sure = _distance(pivot, pivot, pairs) <= chord(LINK)
    label = components(len(first), pairs[sure])
    doubt = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
    if len(doubt):
        batches = [doubt[k : k + DOUBTS_AT_ONCE] for k in range(0, len(doubt), DOUBTS_AT_ONCE)]
        touching = np.concatenate([_touching(batch, vector[order], first, count) for batch in batches])
        label = components(len(first), np.concatenate([pairs[sure], doubt[touching]]))
    result = np.empty(len(cell), np.int64)
    result[order] = np.repeat(label, count)
    return result


def _touching(pairs: IntArray, vector: FloatArray, first: IntArray, count: IntArray) -> BoolArray:
    """Return which pairs of cells have detections within `LINK` of each other."""
    n_right = count[pairs[:, 1]]
    n = count[pairs[:, 0]] * n_right
    start = np.cumsum(n) - n
    of = np.repeat(np.arange(len(pairs)), n)
    within = np.arange(len(of)) - start[of]
    left = first[pairs[of, 0]] + within // n_right[of]
    right = first[pairs[of, 1]] + within % n_right[of]
    distance = np.linalg.norm(vector[left] - vector[right], axis=1)
    return np.asarray(np.minimum.reduceat(distance, start) <= chord(LINK))


def _distance(first: FloatArray, second: FloatArray, pairs: IntArray) -> FloatArray:
    return np.asarray(np.linalg.norm(first[pairs[:, 0]] - second[pairs[:, 1]], axis=1))


def _by_label(label: IntArray) -> tuple[IntArray, IntArray]:
    """Return the rows ordered by label, and the start of each label (with the end as last element)."""
    order = np.argsort(label, kind="stable")
    n_label = int(label.max()) + 1 if len(label) else 0
    return order, np.searchsorted(label[order], np.arange(n_label + 1))


def _split(label: IntArray, vector: FloatArray, seeds: Detections) -> tuple[IntArray, BoolArray, BoolArray]:
    """Split chains of several stars.

    Returns
    -------
    label : ndarray of int64, shape (n,)
    judged : ndarray of bool, shape (n_label,)
        Groups whose detections were tested.
    fringe : ndarray of bool, shape (n,)
        Detections too far from the centre of their part of a chain to define its position.
    """
    order, start = _by_label(label)
    best = np.lexsort((seeds.source_id, -seeds.snr, label))[start[:-1]]
    far = np.linalg.norm(vector - vector[best[label]], axis=1) > chord(STRAY)
    long = np.unique(label[far])
    suspects = np.union1d(label[repeated(label, seeds.image_id)], long)
    label, n_label, judged, fringe = label.copy(), len(start) - 1, long.tolist(), np.zeros(len(label), bool)
    for suspect in suspects.tolist():
        rows = order[start[suspect] : start[suspect + 1]]
        rows = rows[np.argsort(seeds.source_id[rows])]
        straying = suspect in judged and not _moving(vector[rows], seeds.mjd[rows])
        if not straying and not _several(vector[rows], seeds.image_id[rows]):
            continue
        piece, fringe[rows] = _densest(vector[rows], seeds.source_id[rows])
        label[rows] = np.where(piece == 0, suspect, n_label + piece - 1)
        judged += [suspect, *range(n_label, n_label + int(piece.max()))]
        n_label += int(piece.max())
    marked = np.zeros(n_label, bool)
    marked[judged] = True
    return label, marked, fringe


def _moving(vector: FloatArray, mjd: FloatArray) -> bool:
    """Return whether a uniform motion explains the distances between detections."""
    since = mjd - mjd.mean()
    if not np.isfinite(since).all() or not since.any():
        return False
    place = vector - vector.mean(axis=0)
    speed = since @ place / (since @ since)
    scatter = np.sqrt(np.mean(np.sum((place - since[:, None] * speed) ** 2, axis=1)))
    way = np.linalg.norm(speed) * np.ptp(mjd)
    return bool(scatter <= chord(STEADY) and way >= chord(STRAY))


def _several(vector: FloatArray, image_id: IntArray) -> bool:
    """Return whether an image has two detections farther apart than `ATTACH`."""
    order = np.argsort(image_id, kind="stable")
    vector, image_id = vector[order], image_id[order]
    for shift in range(1, len(image_id)):
        same = np.flatnonzero(image_id[shift:] == image_id[:-shift])
        if not len(same):
            return False
        if (np.linalg.norm(vector[same + shift] - vector[same], axis=1) > chord(ATTACH)).any():
            return True
    return False


def _densest(vector: FloatArray, source_id: IntArray) -> tuple[IntArray, BoolArray]:
    """Return the nearest dense place of each detection, and whether it is farther than `LINK`.

    No two places lie within `ATTACH`; they are numbered from 0.
    """
    from scipy.spatial import cKDTree

    n_near = np.asarray(cKDTree(vector).query_ball_point(vector, chord(LINK), return_length=True))
    waiting = np.lexsort((source_id, -n_near))
    places = []
    while len(waiting):
        places.append(vector[waiting[0]])
        waiting = waiting[np.linalg.norm(vector[waiting] - places[-1], axis=1) > chord(ATTACH)]
    apart = np.stack([np.linalg.norm(vector - place, axis=1) for place in places])
    return apart.argmin(axis=0).astype(np.int64), np.asarray(apart.min(axis=0) > chord(LINK))


def _absorb(
    label: IntArray, vector: FloatArray, seeds: Detections, worth: FloatArray
) -> tuple[IntArray, Columns, BoolArray]:
    """Decide which groups are blends; `worth` ranks how well each detection defines the position of its group.

    Returns
    -------
    absorber : ndarray of int64, shape (n_group,)
        The group that absorbs each group, its own number if it is independent.
    core : dict of ndarray, each of shape (n_group,)
        Rows of the ``best`` and ``first`` detection of each.
    close : ndarray of bool, shape (n_group,)
        Groups with near neighbours.
    """
    from scipy.spatial import cKDTree

    order, start = _by_label(label)
    n_group = len(start) - 1
    best = np.lexsort((seeds.source_id, -worth, label))[start[:-1]]
    first = np.lexsort((seeds.source_id, label))[start[:-1]]
    absorber, close = np.arange(n_group), np.zeros(n_group, bool)
    pairs = np.empty((0, 2), np.int64)
    if n_group:
        pairs = cKDTree(vector[best]).query_pairs(chord(BLEND), output_type="ndarray").astype(np.int64)
    close[pairs.ravel()] = True
    together = components(n_group, pairs)
    crowd = np.flatnonzero(close)
    crowd = crowd[np.lexsort((seeds.source_id[first[crowd]], together[crowd]))]
    for groups in np.split(crowd, np.flatnonzero(np.diff(together[crowd])) + 1) if len(crowd) else []:
        images = [np.unique(seeds.image_id[order[start[g] : start[g + 1]]]) for g in groups.tolist()]
        absorber[groups] = groups[_blends(vector[best[groups]], images)]
    return absorber, {"best": best, "first": first}, close


def _blends(place: FloatArray, images: list[IntArray]) -> IntArray:
    """Return, for close groups in the order of their first detections, the group that absorbs each."""
    n = len(images)
    shared = np.array([[len(np.intersect1d(a, b, assume_unique=True)) for b in images] for a in images])
    n_image = shared.diagonal().copy()
    np.fill_diagonal(shared, 0)
    together = shared >= RESOLVED * len(np.unique(np.concatenate(images)))
    apart = np.linalg.norm(place[:, None] - place[None], axis=2)
    belongs = np.full(n, -1)
    for one in np.lexsort((np.arange(n), -n_image, ~together.any(axis=1))).tolist():
        larger = np.flatnonzero((belongs == np.arange(n)) & (2 * shared[one] < n_image[one]))
        hosts = larger[(apart[one, larger] <= chord(ATTACH)) | _one_side_of(one, larger, apart, together)]
        belongs[one] = hosts[np.argmin(apart[one, hosts])] if len(hosts) else one
    return belongs


def _one_side_of(one: int, stars: IntArray, apart: FloatArray, together: BoolArray) -> BoolArray:
    """Return the stars that form a resolved pair with the place `one` between its members."""
    near = apart[one, stars] <= chord(BLEND)
    way = apart[one, stars][:, None] + apart[one, stars]
    straight = way <= apart[np.ix_(stars, stars)] + chord(BETWEEN)
    return np.asarray((straight & together[np.ix_(stars, stars)] & near[:, None] & near).any(axis=1))


def _objects(seeds: Detections, group: IntArray, core: Columns, crowded: BoolArray) -> tuple[Columns, IntArray]:
    """Return the objects by ascending id, and the index of each detection's object."""
    groups = np.unique(group)
    object_id = seeds.hpx29[core["first"][groups]]
    order = np.argsort(object_id, kind="stable")
    place = np.empty(len(core["first"]), np.int64)
    place[groups[order]] = np.arange(len(groups))
    best, first = core["best"][groups[order]], core["first"][groups[order]]
    objects = {
        "object_id": object_id[order],
        "ra": seeds.ra[best],
        "dec": seeds.dec[best],
        "reach": np.zeros(len(groups)),
        "crowded": crowded[groups[order]].astype(np.int64),
        "best_snr": seeds.snr[best],
        "best_source_id": seeds.source_id[best],
        "first_source_id": seeds.source_id[first],
    }
    return objects, place[group]
