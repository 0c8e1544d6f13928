"""Rows of a statement in a temporary file, until the types of their columns are known."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ztfdb.errors import StoreError
from ztfdb.store.sql_columns import python_list

IN_MEMORY = 4_000_000
"""Rows of up to this many bytes make no file."""


class Spool:
    """Columns of rows that come in pieces, and the types of their values.

    The types of a whole answer are known only after its last piece: a column may be NULL at first and text later, or
    hold integers at first and other numbers later.

    Parameters
    ----------
    names : sequence of str
        The columns' names; they may repeat.

    Attributes
    ----------
    names : list of str
    kinds : list of set of type
        Types of each column's values without NULL, over all pieces.
    n_row : int
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)
        self.kinds: list[set[type]] = [set() for _ in names]
        self.n_row = 0
        self._n_piece = 0
        self._file = tempfile.SpooledTemporaryFile(IN_MEMORY, prefix="ztfdb-")  # noqa: SIM115  # lives as long as this

    def add(self, columns: Sequence[Any]) -> int:
        """Append a piece, and return its number of rows.

        Parameters
        ----------
        columns : sequence
            Each a list of Python values, an array of floats (NaN where NULL), or a pair of integers and their mask.

        Raises
        ------
        StoreError
            If the temporary folder is full.
        """
        for kinds, column in zip(self.kinds, columns, strict=True):
            kinds |= _kinds(column)
        try:
            pickle.dump(list(columns), self._file, pickle.HIGHEST_PROTOCOL)
        except OSError as exc:
            raise StoreError(f"no more rows fit into {tempfile.gettempdir()}: {exc.strerror}") from exc
        n_row = _length(columns[0]) if columns else 0
        self.n_row += n_row
        self._n_piece += 1
        return n_row

    def __iter__(self) -> Iterator[list[Any]]:
        """Yield the pieces; columns of integers or numbers have one form in all of them."""
        self._file.seek(0)
        for _ in range(self._n_piece):
            columns = pickle.load(self._file)
            yield [_settled(column, kinds) for column, kinds in zip(columns, self.kinds, strict=True)]

    def close(self) -> None:
        """Remove the file."""
        self._file.close()


def _kinds(column: Any) -> set[type]:
    if isinstance(column, tuple):
        return set() if column[1].all() else {int}
    if isinstance(column, np.ndarray):
        return {float}
    return set(map(type, column)) - {type(None)}


def _length(column: Any) -> int:
    return len(column[0] if isinstance(column, tuple) else column)


def _settled(column: Any, kinds: set[type]) -> Any:
    """Return a column of a piece in the form of the whole column."""
    if isinstance(column, list) or kinds <= {int}:
        return column
    if kinds <= {int, float}:
        return np.where(column[1], np.nan, column[0]) if isinstance(column, tuple) else column
    return python_list(column)
