"""Tables of positions as users give them, checked and converted to arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.query.epochs import Positions, oid_digits
from ztfdb.sky.angles import check_position
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.columns import DEC_NAMES, RA_NAMES, column_names, dec_degrees, find_column, ra_degrees
from ztfdb.sky.given import no_position, numbers

MOST_COLOR = 100.0
"""Beyond any colour of a star, mag."""

Color = float | str | NDArray[np.floating[Any]] | list[float] | None


def positions_of(table: Any, color: Color = None) -> Positions:
    """Return the positions of a table.

    Parameters
    ----------
    table : DataFrame, astropy Table, mapping, or array_like of shape (n, 2)
        Columns ``ra`` and ``dec``, in any case or as catalogues name them (`ztfdb.sky.columns`): degrees, ICRS,
        Quantities, or texts, also sexagesimal.
    color : float, array_like of shape (n,), str, optional
        PS1 colour of each position, mag; a string names a column of `table`.

    Raises
    ------
    ValueError
        If there are no such columns, or a position is not on the sky (the message gives its row).
    """
    ra, dec = _coordinates(table)
    fine = np.isfinite(ra) & (np.abs(dec) <= 90.0)
    if not fine.all():
        row, n_bad = int(np.argmin(fine)), np.count_nonzero(~fine)
        others = f"; {n_bad:,} of {len(fine):,} rows are no positions" if n_bad > 1 else ""
        raise ValueError(f"row {row}: {no_position(float(ra[row]), float(dec[row]))}{others}")
    ra, dec = check_position(ra, dec)
    return Positions(ra, dec, _colors(table, color, len(ra)), oid_digits(sky_to_cell(ra, dec)))


def chunk(positions: Positions, start: int, stop: int) -> Positions:
    """Return some of the positions."""
    color = None if positions.color is None else positions.color[start:stop]
    return Positions(positions.ra[start:stop], positions.dec[start:stop], color, positions.oid[start:stop])


def _coordinates(table: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if isinstance(table, Mapping) or hasattr(table, "columns"):
        names = column_names(table)
        found = find_column(names, RA_NAMES), find_column(names, DEC_NAMES)
        if None in found:
            there = ", ".join(map(str, names[:20])) + (", …" if len(names) > 20 else "")
            raise ValueError(f"a table of positions has the columns 'ra' and 'dec'; this one has {there}")
        ra, dec = ra_degrees(table[found[0]], str(found[0])), dec_degrees(table[found[1]], str(found[1]))
    else:
        pairs = numbers(table, "deg", "positions")
        pairs = pairs.reshape(0, 2) if pairs.size == 0 else pairs
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(f"positions of shape {pairs.shape}: expected a table with ra and dec, or shape (n, 2)")
        ra, dec = pairs[:, 0], pairs[:, 1]
    if ra.ndim != 1 or dec.ndim != 1:
        raise ValueError(f"positions of shapes {ra.shape} and {dec.shape}: expected one number for each row")
    if ra.shape != dec.shape:
        raise ValueError(f"{len(ra)} right ascensions and {len(dec)} declinations")
    return ra, dec


def _colors(table: Any, color: Color, n: int) -> NDArray[np.float64] | None:
    if color is None:
        return None
    if isinstance(color, str):
        try:
            color = table[color]
        except (KeyError, TypeError, IndexError) as exc:
            raise ValueError(f"color {color!r} is neither a number nor a column of the positions") from exc
    values = color_values(color)
    if values.ndim and values.shape != (n,):
        raise ValueError(f"{values.size} colours for {n} positions")
    return np.broadcast_to(values, n)


def color_values(color: Any) -> NDArray[np.float64]:
    """Return colours in magnitudes, NaN where they are missing; ValueError for others."""
    values = numbers(color, "mag", "color")
    wrong = np.abs(values) > MOST_COLOR
    if wrong.any():
        raise ValueError(f"color {values[wrong][0]:g}: expected a colour in magnitudes")
    return values
