"""Columns of an answer of SQL: a list of Python's values, an array of floats, or integers with their mask."""

from __future__ import annotations

from typing import Any

import numpy as np


def as_array(column: list[Any]) -> Any:
    """Return a column of numbers as an array, which takes a fifth of the memory; any other as it is.

    Parameters
    ----------
    column : list
        Python values, None where NULL; booleans are integers already.

    Returns
    -------
    ndarray of float64, tuple of two ndarrays, or list
        Floats with NaN where NULL; or integers and their mask, also where all are NULL; or `column`.
    """
    kinds = set(map(type, column))
    null = type(None) in kinds
    kinds.discard(type(None))
    if kinds <= {int}:
        missing = np.array([value is None for value in column]) if null else np.zeros(len(column), bool)
        return np.array([value or 0 for value in column] if null else column, np.int64), missing
    if kinds <= {int, float}:
        return np.array(column, np.float64)  # of None, numpy makes NaN
    return column


def joined(parts: list[Any]) -> Any:
    """Concatenate the parts of a column: floats, integers with their mask, or Python values.

    Parameters
    ----------
    parts : list
        Of this form, each.
    """
    if all(isinstance(one, tuple) for one in parts):
        values, missing = zip(*parts, strict=True)
        return np.concatenate(values), np.concatenate(missing)
    if any(isinstance(one, list) for one in parts):
        return [value for one in parts for value in python_list(one)]
    return np.concatenate([np.where(one[1], np.nan, one[0]) if isinstance(one, tuple) else one for one in parts])


def python_list(column: Any) -> list[Any]:
    """Return a column as Python values, None where NULL."""
    if isinstance(column, list):
        return column
    values, missing = column if isinstance(column, tuple) else (column, np.isnan(column))
    found: list[Any] = values.tolist()
    for row in np.flatnonzero(missing).tolist():
        found[row] = None
    return found
