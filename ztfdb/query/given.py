"""Positions, regions and radii as users give them, converted to the numbers that queries take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ztfdb.arguments import shown
from ztfdb.sky.columns import column_names, coordinate_column
from ztfdb.sky.given import is_coordinate, no_name, no_position, numbers

if TYPE_CHECKING:
    from ztfdb.sky.coordinates import Given


class QuantityLike(Protocol):
    """A number with a unit: astropy's Quantity, whose own type is Any to a type checker."""

    @property
    def unit(self) -> Any:
        """Its unit."""

    def to(self, unit: Any, /) -> Any:
        """Return it in another unit."""


class CoordinateLike(Protocol):
    """A place on the sky, or several: astropy's SkyCoord."""

    @property
    def frame(self) -> Any:
        """The frame of its coordinates."""

    @property
    def isscalar(self) -> Any:
        """Whether it is one place."""


class TableLike(Protocol):
    """Named columns: a DataFrame, an astropy Table."""

    @property
    def columns(self) -> Any:
        """Their names."""

    def __getitem__(self, name: str, /) -> Any:
        """Return a column."""


Angle: TypeAlias = "float | np.floating[Any] | QuantityLike"
Rate: TypeAlias = "float | np.floating[Any] | QuantityLike"
"""A colour, a component of a proper motion, or an epoch."""
Position: TypeAlias = "float | np.floating[Any] | QuantityLike | CoordinateLike"
Region: TypeAlias = "tuple[Position, Angle, Angle] | tuple[Position, Angle]"
"""(ra, dec, radius), or (SkyCoord, radius)."""

PositionTable: TypeAlias = (
    "TableLike | CoordinateLike | Mapping[str, Any] | NDArray[np.floating[Any]] | Sequence[Sequence[float]]"
)

MOTION = frozenset({"pmra", "pmdec", "epoch"})
"""Options of a proper motion."""


def position(ra: Position, dec: Angle | None, options: dict[str, Any] | None = None) -> tuple[float, float]:
    """Return one position in degrees.

    Parameters
    ----------
    ra, dec : float, Quantity or SkyCoord
    options : dict, optional
        Of the query: a SkyCoord's proper motion is added to them. Without `options`, a proper motion is an error.

    Raises
    ------
    ValueError, TypeError
        If it is not one position on the sky, is masked, or has a proper motion that cannot be followed.
    """
    options = _without_none(options)
    if is_coordinate(ra):
        if dec is not None:
            raise TypeError("a SkyCoord has both coordinates: give other arguments by name, as in radius=3")
        if not ra.isscalar:  # type: ignore[union-attr]
            raise ValueError("expected one position; light_curves accepts many")
        given = _given(ra, options)
        return _on_sky(float(given.ra), float(given.dec))
    if isinstance(ra, str):
        raise ValueError(no_name(ra))
    if dec is None:
        raise TypeError("dec is missing: give ra and dec, or one SkyCoord")
    return _on_sky(_degrees(ra, "ra"), _degrees(dec, "dec"))  # type: ignore[arg-type]  # no coordinate is left


def position_table(table: PositionTable, options: dict[str, Any]) -> Any:
    """Return a table of positions; a SkyCoord becomes one, and its proper motion is added to the options.

    So does the only column of SkyCoords of a table without other positions; the other columns stay.
    """
    if isinstance(table, tuple):  # a tuple of numbers would be one position
        table = list(table)
    if isinstance(table, str):
        raise ValueError(f"{table!r} is text: expected a table, as pandas.read_csv or astropy's Table.read return it")
    _without_none(options)
    coordinate: Any = table
    others = dict[str, Any]()
    if not is_coordinate(table):
        names = column_names(table)
        column = coordinate_column(table, names)
        if column is None:
            return table
        others = {name: coordinate[name] for name in names if name != column}
        coordinate = coordinate[column]
    given = _given(coordinate, options)
    return {**others, "ra": np.atleast_1d(given.ra), "dec": np.atleast_1d(given.dec)}


def path_table(path: PositionTable) -> Any:
    """Return the path of a moving body; a SkyCoord becomes a table by its ``obstime``."""
    if not is_coordinate(path):
        return path
    from ztfdb.sky.coordinates import from_coordinate

    given = from_coordinate(path)
    if given.motion or given.epoch is None:
        raise ValueError("a path is a SkyCoord with an obstime for each position, and without proper motion")
    time = np.broadcast_to(path.obstime.utc.mjd, given.ra.shape)  # type: ignore[union-attr]
    return {"time": time, "ra": given.ra, "dec": given.dec}


def region_of(region: Region | None) -> tuple[float, float, float] | None:
    """Return a region as (ra, dec, radius) in deg, deg and arcsec; a proper motion is an error."""
    if region is None:
        return None
    listed = isinstance(region, Sequence | np.ndarray) and not isinstance(region, str | bytes)
    if not listed or getattr(region, "ndim", 1) != 1 or len(region) not in (2, 3):
        raise ValueError(f"region {shown(region)}: expected (ra, dec, radius) or (SkyCoord, radius)")
    ra, dec = position(region[0], region[1] if len(region) == 3 else None)
    return ra, dec, arcsec(region[-1])


def arcsec(radius: Angle) -> float:
    """Return a radius in arcsec; one that is not a number, or below 0, is a ValueError."""
    value = _one(radius, "arcsec", "radius")
    if not 0.0 <= value < np.inf:
        raise ValueError(f"a radius of {value} arcsec: expected a number, 0 or more")
    return value


def _on_sky(ra: float, dec: float) -> tuple[float, float]:
    if not (np.isfinite(ra) and abs(dec) <= 90.0):
        raise ValueError(no_position(ra, dec))
    return ra, dec


def _given(coordinate: Any, options: dict[str, Any] | None) -> Given:
    from ztfdb.sky.coordinates import from_coordinate

    given = from_coordinate(coordinate, epoch=None if options is None else options.get("epoch"))
    named = MOTION & (options or {}).keys()
    if not given.motion:
        if options is not None and {"pmra", "pmdec"} & named and "epoch" not in named and given.epoch is not None:
            options["epoch"] = given.epoch
        return given
    if options is None:
        raise ValueError("a region does not move: give the SkyCoord without its proper motion")
    if {"pmra", "pmdec"} & named:
        raise TypeError("the SkyCoord has a proper motion of its own: give neither pmra nor pmdec with it")
    options |= {name: float(value) if value.ndim == 0 else value for name, value in given.motion.items()}
    return given


def _without_none(options: dict[str, Any] | None) -> dict[str, Any] | None:
    """Delete the options of a proper motion that are None."""
    for name in MOTION & (options or {}).keys():
        if options is not None and options[name] is None:
            del options[name]
    return options


def _degrees(value: Angle, name: str) -> float:
    return _one(value, "deg", name)


def _one(value: Angle, unit: str, name: str) -> float:
    one = numbers(value, unit, name, missing=False)
    if one.ndim != 0:
        raise ValueError(f"{name} has {one.size} values, expected one; light_curves accepts many positions")
    return float(one)
