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


class Stack:
    """Concatenates the columns of answers as they arrive, so that each is in memory once.

    Parameters
    ----------
    names : sequence of str
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._whole: dict[str, Column] = {}

    def add(self, part: AnswerColumns) -> None:
        """Append the columns of an answer; integers are masked if those of any part are."""
        for name in self._names:
            so_far = self._whole.get(name)
            self._whole[name] = _copied(part[name]) if so_far is None else _grown(so_far, part[name])

    @property
    def columns(self) -> dict[str, Column]:
        """All columns."""
        return self._whole


def _copied(column: Column) -> Column:
    """Return a column that owns its memory, so that it can grow."""
    if isinstance(column, MaskedIntegers):
        return MaskedIntegers(column.values.copy(), column.mask.copy())
    if isinstance(column, Words):
        return Words(column.codes.copy(), column.words)
    return column if isinstance(column, Texts) else column.copy()


def _grown(whole: Column, part: Column) -> Column:
    if isinstance(whole, Words) and isinstance(part, Words):
        return Words(_longer(whole.codes, part.codes), whole.words)
    if isinstance(whole, MaskedIntegers) or isinstance(part, MaskedIntegers):
        (values, mask), (more, missing) = _masked(whole), _masked(part)
        return MaskedIntegers(_longer(values, more), _longer(mask, missing))
    if isinstance(whole, Texts) and isinstance(part, Texts):
        return Texts(np.concatenate([whole.values, part.values]))
    assert isinstance(whole, np.ndarray)
    assert isinstance(part, np.ndarray)
    return _longer(whole, part)


def _masked(column: Any) -> tuple[Int64Array, BoolArray]:
    if isinstance(column, MaskedIntegers):
        return column.values, column.mask
    return column.astype(np.int64), np.zeros(len(column), bool)


def _longer(whole: NDArray[Any], part: NDArray[Any]) -> NDArray[Any]:
    """Append an array to another, in place if the first owns its memory."""
    if whole.base is not None or whole.dtype != part.dtype or whole.dtype.hasobject:
        return np.concatenate([whole, part])
    n = len(whole)
    whole.resize(n + len(part), refcheck=False)  # no other reference exists: large arrays grow without a copy
    whole[n:] = part
    return whole


def _stacked(columns: Sequence[Any]) -> Column:
    first = columns[0]
    if isinstance(first, Words):
        return Words(np.concatenate([one.codes for one in columns]), first.words)
    if not any(isinstance(one, MaskedIntegers) for one in columns):
        return np.concatenate(columns)
    masks = [one.mask if isinstance(one, MaskedIntegers) else np.zeros(len(one), bool) for one in columns]
    values = [one.values if isinstance(one, MaskedIntegers) else one.astype(np.int64) for one in columns]
    return MaskedIntegers(np.concatenate(values), np.concatenate(masks))
