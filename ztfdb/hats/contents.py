"""Contents of a product per order-10 cell: number of rows, and digests that change with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, IntArray
from ztfdb.hats.tiling import DEEPEST, Pixel
from ztfdb.sky.cells import HPX_ORDER, distinct, neighbours

Digests = NDArray[np.uint64]


@dataclass(frozen=True)
class Contents:
    """Cells with rows; those of `merged` contain each cell once, in order.

    Attributes
    ----------
    cell : ndarray of int64, shape (n,)
        Order-10 cells.
    weight : ndarray of int64, shape (n,)
        Rows, or epochs of objects.
    digest : ndarray of uint64, shape (n,)
        Sums modulo 2^64, so that digests of parts add up.
    new_weight : ndarray of int64, shape (n,)
        Rows that were added after the last export.
    old_digest : ndarray of uint64, shape (n,)
        Digest of the other rows. If it equals the digest at the last export, rows were added but none has changed.
    parts : ndarray of int64, shape (n_part,)
        Ids of the origins of rows (images, or measurements of them), ascending.
    n_member : ndarray of int64, shape (n,)
        Rows that belong to objects.
    """

    cell: IntArray
    weight: IntArray
    digest: Digests
    new_weight: IntArray
    old_digest: Digests
    parts: IntArray
    n_member: IntArray

    def of(self, pixel: Pixel) -> tuple[int, str]:
        """Return weight and digest of a pixel."""
        here = self._span(pixel)
        return int(self.weight[here].sum()), _text(self.digest[here])

    def added(self, pixel: Pixel) -> tuple[int, str]:
        """Return the number of rows added to a pixel, and the digest of its earlier rows."""
        here = self._span(pixel)
        return int(self.new_weight[here].sum()), _text(self.old_digest[here])

    def with_surroundings(self) -> Contents:
        """Return the same with digests that also change with the contents of a cell's 8 neighbours."""
        digest = self.digest.copy()
        mixed = mix(self.digest)
        for cell in neighbours(self.cell.astype(np.int64), DEEPEST):
            at = np.minimum(np.searchsorted(self.cell, cell), max(0, len(self.cell) - 1))
            digest += np.where(self.cell[at] == cell, mixed[at], np.uint64(0))
        return replace(self, digest=digest)

    def where(self, chosen: BoolArray) -> Contents:
        """Return some of the cells."""
        return replace(self, **{name: values[chosen] for name, values in vars(self).items() if name != "parts"})

    def _span(self, pixel: Pixel) -> slice:
        shift = 2 * (HPX_ORDER - DEEPEST)
        return slice(*np.searchsorted(self.cell, [pixel.lo >> shift, pixel.hi >> shift]))


def _text(digests: Digests) -> str:
    return f"{int(digests.sum(dtype=np.uint64)):016x}"


def counted(
    cell: IntArray, weight: IntArray, digest: Digests, is_new: BoolArray | None = None, parts: IntArray | None = None
) -> Contents:
    """Return contents from counts, in which a cell may occur more than once.

    Parameters
    ----------
    cell, weight, digest, parts
        As in `Contents`; by default there are no parts.
    is_new : ndarray of bool, shape (n,), optional
        Whether rows were added after the last export; by default they were.
    """
    parts = np.empty(0, np.int64) if parts is None else distinct(parts)
    new = np.ones(len(cell), bool) if is_new is None else is_new
    new_weight, old_digest = np.where(new, weight, 0), np.where(new, np.uint64(0), digest)
    return Contents(cell, weight, digest, new_weight, old_digest, parts, np.zeros(len(cell), np.int64))


def merged(pieces: Iterable[Contents]) -> Contents:
    """Sum the contents of cells."""
    every = [vars(piece) for piece in (NOTHING, *pieces)]
    columns: dict[str, NDArray[Any]] = {name: np.concatenate([one[name] for one in every]) for name in every[0]}
    cell, parts = columns.pop("cell"), distinct(columns.pop("parts"))
    order = np.argsort(cell, kind="stable")
    cell = cell[order]
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    totals = {name: np.add.reduceat(values[order], first) if len(first) else values for name, values in columns.items()}
    return Contents(cell=cell[first], parts=parts, **totals)


NOTHING = counted(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64))
"""Contents without a cell."""


def is_new(part: IntArray, known: IntArray | None) -> BoolArray:
    """Return which parts are not in `known`, which is ascending."""
    return np.isin(part, known, invert=True) if known is not None else np.ones(len(part), bool)


def mix(*values: NDArray[np.generic] | int) -> Digests:
    """Return 64 mixed bits of one or more integers each: the finaliser of SplitMix64 (Steele et al. 2014), chained."""
    mixed: Digests = np.zeros(1, np.uint64)
    for value in values:
        part = np.asarray(value)
        mixed = mixed * np.uint64(3) + part.astype(np.int64, copy=False).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


BLEND = (0xD1B54A32D192ED03, 0xABC98388FB8FAC03, 0x8CB92BA72F3D8DD7)
"""Odd multipliers without a small linear relation."""


def blend(*values: IntArray) -> Digests:
    """Return one number for each triple of sums; it is additive, as the sums are."""
    blended: Digests = np.zeros(len(values[0]), np.uint64)
    for value, factor in zip(values, BLEND, strict=True):
        blended += value.astype(np.int64, copy=False).view(np.uint64) * np.uint64(factor)
    return blended


class Prints:
    """The prints of images by id.

    Parameters
    ----------
    prints : mapping of int to int
        From `ztfdb.store.export.content_prints`; missing images have 0.
    """

    def __init__(self, prints: Mapping[int, int]) -> None:
        ids = sorted(prints)
        self._ids = np.array(ids, np.int64)
        self._values = np.array([prints[image_id] for image_id in ids], np.uint64).view(np.int64)

    def of(self, image_id: IntArray) -> IntArray:
        """Return the print of each image."""
        if not len(self._ids):
            return np.zeros(len(image_id), np.int64)
        at = np.minimum(np.searchsorted(self._ids, image_id), len(self._ids) - 1)
        return np.where(self._ids[at] == image_id, self._values[at], 0)

    def total(self) -> int:
        """Return one number for all of them."""
        return int(mix(self._ids, self._values).sum(dtype=np.uint64)) if len(self._ids) else 0
