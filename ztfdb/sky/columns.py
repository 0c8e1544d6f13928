"""Find the positions in a table of any kind: the names that catalogues use, texts, units and SkyCoords."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.sky.given import is_coordinate, numbers
from ztfdb.sky.typed import DASHES, parse_dec, parse_ra

RA_NAMES = (
    "ra", "raj2000", "ra_icrs", "_raj2000", "_ra_icrs", "_ra.icrs", "_ra", "ra_deg", "ra (deg)", "ra_d", "ra_j2000",
    "ramean", "meanra", "alpha_j2000", "alphawin_j2000", "coord_ra", "s_ra",
)  # fmt: skip
DEC_NAMES = (
    "dec", "decl", "dej2000", "de_icrs", "_dej2000", "_de_icrs", "_de.icrs", "_de", "dec_deg", "dec (deg)", "dec_d",
    "dec_j2000", "decmean", "meandec", "delta_j2000", "deltawin_j2000", "coord_dec", "s_dec",
)  # fmt: skip
"""Ours and Gaia's, VizieR's, those of spreadsheets, SIMBAD's, PS1's, ALeRCE's, SExtractor's, Rubin's, ObsCore's."""


_DECIMAL_COMMA = re.compile(rf"[+\-{DASHES}]?\d+,\d+")


def column_names(table: Any) -> list[Any]:
    """Return the names of the columns of a table or mapping, none for other values."""
    found = getattr(table, "column_names", None)  # of pyarrow, whose `columns` are the columns themselves
    if found is None:
        found = getattr(table, "columns", table if isinstance(table, Mapping) else ())
    return list(found) if isinstance(found, Iterable) else []


def find_column(names: Iterable[Any], usual: tuple[str, ...]) -> Any:
    """Return the first of the usual names that a table has, in any case, as the table spells it; None if none."""
    by_lower: dict[str, Any] = {}
    for name in names:
        by_lower.setdefault(str(name).strip().lower(), name)
    return next((by_lower[name] for name in usual if name in by_lower), None)


def coordinate_column(table: Any, names: Iterable[Any]) -> Any:
    """Return the name of the only column of SkyCoords of a table that has no other positions; None if there is none."""
    names = list(names)
    if find_column(names, RA_NAMES) is not None or find_column(names, DEC_NAMES) is not None:
        return None
    found = [name for name in names if is_coordinate(table[name])]
    return found[0] if len(found) == 1 else None


def ra_degrees(values: Any, name: str, first: int = 0) -> NDArray[np.float64]:
    """Return right ascensions in degrees: numbers in their unit, by default degrees, or texts, also sexagesimal.

    Parameters
    ----------
    values : column
    name : str
        For messages.
    first : int
        Number of the first row, for messages.

    Returns
    -------
    ndarray, shape (n,)
        NaN where a value is missing.

    Raises
    ------
    ValueError
        If a value is neither a number nor such a text; the message gives its row.
    """
    return _degrees(values, name, parse_ra, first)


def dec_degrees(values: Any, name: str, first: int = 0) -> NDArray[np.float64]:
    """Return declinations in degrees, see `ra_degrees`."""
    return _degrees(values, name, parse_dec, first)


def _degrees(values: Any, name: str, parse: Callable[[str], float], first: int) -> NDArray[np.float64]:
    if getattr(getattr(values, "dtype", None), "kind", "O") in "fiub" or not _holds_texts(values):
        return np.atleast_1d(numbers(values, "deg", name))
    texts = enumerate(np.atleast_1d(_objects(values)), first)
    return np.array([_parsed(text, row, parse) for row, text in texts], np.float64)


def _holds_texts(values: Any) -> bool:
    return any(isinstance(one, str | bytes) for one in np.ravel(_objects(values)))


def _objects(values: Any) -> NDArray[Any]:
    """Return the values as objects, None where they are masked."""
    if isinstance(values, np.ma.MaskedArray):
        plain = np.array(values.data, dtype=object)
        plain[np.ma.getmaskarray(values)] = None
        return plain
    return np.asarray(values, dtype=object)


def _parsed(value: Any, row: int, parse: Callable[[str], float]) -> float:
    """Return the degrees of a text, NaN for a missing one."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        text = value.strip()
        if not text:
            return np.nan
        try:
            return parse(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)
        except ValueError as exc:
            raise ValueError(f"row {row}: {exc}") from exc
    try:
        return float(value)
    except (TypeError, ValueError):
        return np.nan
