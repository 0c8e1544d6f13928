"""Columns of an answer: numpy arrays, integers with missing values, words from a short list, and texts.

They are converted only for a DataFrame (`ztfdb.query.dataframes.data_frame`), a table or a file: making pandas' own
arrays costs as much as a short light curve.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Int64Array, IntArray
from ztfdb.store.columns import MISSING

_IDS = frozenset({"oid", "expid", "pid", "hpx29", "cell9"})
_ENDS = ("_id", "_index", "sourceid")


@dataclass(frozen=True, eq=False, slots=True)
class MaskedIntegers:
    """Integers with missing values.

    Attributes
    ----------
    values : ndarray of int64, shape (n,)
        Arbitrary where `mask` is True.
    mask : ndarray of bool, shape (n,)
        True where the value is missing.
    """

    values: Int64Array
    mask: BoolArray

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: Any) -> MaskedIntegers:
        return MaskedIntegers(self.values[which], self.mask[which])

    def filled(self, value: int) -> Int64Array:
        """Return the integers, with `value` where they are missing."""
        return np.where(self.mask, value, self.values)


@dataclass(frozen=True, eq=False, slots=True)
class Words:
    """Words from a short list.

    Attributes
    ----------
    codes : ndarray of int8, shape (n,)
        Index in `words`; -1 where missing.
    words : tuple of str
    """

    codes: NDArray[np.int8]
    words: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, which: Any) -> Words:
        return Words(self.codes[which], self.words)

    def tolist(self) -> list[str | None]:
        """Return the words, None where missing."""
        every = (*self.words, None)  # code -1 indexes the last item
        return [every[code] for code in self.codes.tolist()]


@dataclass(frozen=True, eq=False, slots=True)
class Texts:
    """Texts of any kind.

    Attributes
    ----------
    values : ndarray of object, shape (n,)
        None where missing.
    """

    values: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, which: Any) -> Texts:
        return Texts(self.values[which])

    def tolist(self) -> list[str | None]:
        """Return the texts, None where missing."""
        texts: list[str | None] = self.values.tolist()
        return texts


Column: TypeAlias = "NDArray[Any] | MaskedIntegers | Words | Texts"
AnswerColumns: TypeAlias = "Mapping[str, Column]"


def is_id(name: str) -> bool:
    """Return whether a column of integers is written as texts in JSON."""
    return name in _IDS or name.endswith(_ENDS)


def nullable(values: IntArray, missing: int = MISSING) -> MaskedIntegers:
    """Return integers, masked where they equal `missing`."""
    return MaskedIntegers(values.astype(np.int64, copy=False), values == missing)


def masked_integers(values: IntArray, mask: BoolArray) -> MaskedIntegers:
    """Return integers, masked where `mask` is True."""
    return MaskedIntegers(values.astype(np.int64, copy=False), mask)


def words(codes: IntArray, of: tuple[str, ...]) -> Words:
    """Return a column of words from a short list; code -1 is missing."""
    return Words(codes.astype(np.int8, copy=False), of)


def stacked(parts: Sequence[AnswerColumns], names: Sequence[str]) -> dict[str, Column]:
    """Concatenate the columns of several answers; integers are masked if those of any part are."""
    if len(parts) == 1:
        return {name: parts[0][name] for name in names}
    return {name: _stacked([part[name] for part in parts]) for name in names}


LEAST_GROWTH = 1 / 64
"""A column that is full grows by at least this fraction of its length."""

RESERVED = 1.02
"""Room of a column, relative to the expected number of rows. A column that grows may be moved, page by page."""


class Stack:
    """Concatenates the columns of answers as they arrive, so that each is in memory once.

    Rows are written into arrays with room for the expected number of rows. Pages of memory that no row has reached are
    not in use, and no old array is left behind, as it would be by an array that grows with each part.

    Parameters
    ----------
    names : sequence of str
    most : int, optional
        Never reserve memory for more rows than this.
    """

    def __init__(self, names: Sequence[str], most: int = 0) -> None:
        self._names = tuple(names)
        self._most = most
        self._whole: dict[str, Column] = {}
        self._n = 0

    def add(self, part: AnswerColumns, share: float = 1.0) -> None:
        """Append the columns of an answer; integers are masked if those of any part are.

        Parameters
        ----------
        part : mapping of str to Column
        share : float
            Fraction of the work that has been done with this part, which tells how many rows to expect.
        """
        start, self._n = self._n, self._n + len(part[self._names[0]])
        expected = int(min(RESERVED * self._n / share, self._most)) if share > 0.0 else 0
        for name in self._names:
            so_far = self._whole.get(name, part[name])
            self._whole[name] = _filled(so_far, part[name], start, self._n, expected)

    @property
    def columns(self) -> dict[str, Column]:
        """All columns; nothing can be added after this."""
        return {name: _cut(column, self._n) for name, column in self._whole.items()}


def _filled(whole: Column, part: Column, start: int, stop: int, expected: int) -> Column:
    """Write a part into a column from row `start` on, after making room for it."""

    def joined(array: NDArray[Any], some: NDArray[Any]) -> NDArray[Any]:
        array = _with_room(array, start, stop, expected, np.result_type(array, some))
        array[start:stop] = some
        return array

    if isinstance(whole, Words) and isinstance(part, Words):
        return Words(joined(whole.codes, part.codes), whole.words)
    if isinstance(whole, MaskedIntegers) or isinstance(part, MaskedIntegers):
        (values, mask), (more, missing) = _masked(whole), _masked(part)
        return MaskedIntegers(joined(values, more), joined(mask, missing))
    if isinstance(whole, Texts) and isinstance(part, Texts):
        return Texts(joined(whole.values, part.values))
    assert isinstance(whole, np.ndarray)
    assert isinstance(part, np.ndarray)
    return joined(whole, part)


def _with_room(array: NDArray[Any], n: int, least: int, expected: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array of its own with the first `n` values and room for at least `least`."""
    if n and len(array) >= least and array.dtype == dtype:
        return array
    room = max(least, expected, int((1 + LEAST_GROWTH) * n))
    if n and room < 2 * n and array.dtype == dtype and not dtype.hasobject:
        array.resize(room, refcheck=False)  # no other reference exists: large arrays grow without a copy
        return array
    larger = np.empty(room, dtype)
    larger[:n] = array[:n]
    return larger


def _cut(column: Column, n: int) -> Column:
    """Return the first rows of a column whose arrays belong to nobody else."""

    def cut(array: NDArray[Any]) -> NDArray[Any]:
        if array.dtype.hasobject:
            return array[:n].copy()
        array.resize(n, refcheck=False)  # in place
        return array

    if isinstance(column, Words):
        return Words(cut(column.codes), column.words)
    if isinstance(column, MaskedIntegers):
        return MaskedIntegers(cut(column.values), cut(column.mask))
    return Texts(cut(column.values)) if isinstance(column, Texts) else cut(column)


def _masked(column: Any) -> tuple[Int64Array, BoolArray]:
    if isinstance(column, MaskedIntegers):
        return column.values, column.mask
    return column.astype(np.int64), np.zeros(len(column), bool)


def _stacked(columns: Sequence[Any]) -> Column:
    first = columns[0]
    if isinstance(first, Words):
        return Words(np.concatenate([one.codes for one in columns]), first.words)
    if not any(isinstance(one, MaskedIntegers) for one in columns):
        return np.concatenate(columns)
    masks = [one.mask if isinstance(one, MaskedIntegers) else np.zeros(len(one), bool) for one in columns]
    values = [one.values if isinstance(one, MaskedIntegers) else one.astype(np.int64) for one in columns]
    return MaskedIntegers(np.concatenate(values), np.concatenate(masks))
