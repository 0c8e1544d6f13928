"""What a product holds in each order-10 cell: how much, and a digest that changes with the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztfdb.hats.tiling import DEEPEST, Pixel
from ztfdb.records import IntArray
from ztfdb.sky.cells import HPX_ORDER, neighbours

Digests = NDArray[np.uint64]


@dataclass(frozen=True)
class Contents:
    """Cells that hold something.

    Attributes
    ----------
    cell : ndarray of int64, shape (n,)
        Order-10 cells, ascending.
    weight : ndarray of int64, shape (n,)
        Rows, or epochs of objects.
    digest : ndarray of uint64, shape (n,)
        Sums modulo 2^64, so that those of parts add up.
    """

    cell: IntArray
    weight: IntArray
    digest: Digests

    def of(self, pixel: Pixel) -> tuple[int, int]:
        """Return weight and digest of a pixel."""
        shift = 2 * (HPX_ORDER - DEEPEST)
        first, last = np.searchsorted(self.cell, [pixel.lo >> shift, pixel.hi >> shift])
        return int(self.weight[first:last].sum()), int(self.digest[first:last].sum(dtype=np.uint64))

    def with_surroundings(self) -> Contents:
        """Return the same with digests that also change with what the eight neighbours of a cell hold."""
        digest = self.digest.copy()
        mixed = mix(self.digest)
        for cell in neighbours(self.cell.astype(np.int64), DEEPEST):
            at = np.minimum(np.searchsorted(self.cell, cell), max(0, len(self.cell) - 1))
            digest += np.where(self.cell[at] == cell, mixed[at], np.uint64(0))
        return Contents(self.cell, self.weight, digest)


def gather(parts: Iterable[tuple[IntArray, IntArray, Digests]]) -> Contents:
    """Add up cells, weights and digests, where a cell may come more than once."""
    found = list(parts)
    if not found:
        return Contents(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.uint64))
    cell, weight, digest = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(cell, kind="stable")
    cell = cell[order]
    first = np.flatnonzero(np.diff(cell, prepend=-1))
    if not len(cell):
        return Contents(cell, weight, digest)
    return Contents(cell[first], np.add.reduceat(weight[order], first), np.add.reduceat(digest[order], first))


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


class Prints:
    """The prints of images by id.

    Parameters
    ----------
    prints : mapping of int to int
        As of `ztfdb.store.export.content_prints`; an image that is not there has 0.
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
