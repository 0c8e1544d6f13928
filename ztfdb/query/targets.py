"""Targets of a complete light curve: fixed stars, stars with proper motion, and one body on a path."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arguments import shown
from ztfdb.arrays import FloatArray, IntArray
from ztfdb.query.epochs import Positions
from ztfdb.query.positions import Color, chunk, color_values, positions_of
from ztfdb.sky.angles import separation, unit_vector
from ztfdb.sky.columns import column_names
from ztfdb.sky.dates import mjds_of
from ztfdb.sky.given import check_epoch, numbers
from ztfdb.sky.motion import julian_year, move

DEFAULT_EPOCH = 2016.0
"""Julian year of positions with proper motion unless another is given: that of Gaia DR3."""

MOST_MOTION = 1e9
"""Largest component of a proper motion that is accepted, mas / yr."""

CUBIC = 4
"""From this many rows on, a path is interpolated by a cubic spline; with fewer, along straight lines."""

POSITIONS_PER_CHUNK = 1_000
"""Positions answered at a time: some 300,000 epochs, 100 MB of columns."""

Motion = float | str | NDArray[np.floating[Any]] | list[float] | None


@dataclass(frozen=True)
class Path:
    """Where a moving body is: an interpolated table of times and positions.

    Attributes
    ----------
    first, last : float
        Times of the table, MJD (UTC).
    """

    first: float
    last: float
    _curve: Any

    def at(self, mjd: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the position (deg) at times; NaN outside the table's."""
        inside = (mjd >= self.first) & (mjd <= self.last)
        x, y, z = self._curve(np.where(inside, mjd, self.first)).T
        ra = np.mod(np.degrees(np.arctan2(y, x)), 360.0)
        dec = np.degrees(np.arctan2(z, np.hypot(x, y)))
        return np.where(inside, ra, np.nan), np.where(inside, dec, np.nan)


@dataclass(frozen=True)
class Targets:
    """The targets of a complete light curve.

    Attributes
    ----------
    positions : Positions
        At `epoch`, where there is a proper motion.
    pmra, pmdec, epoch : ndarray, shape (n,), or None
        Proper motion (mas / yr, pmra with cos dec) and Julian year of the position; None for fixed positions.
    path : Path or None
        Of a moving body, which is then the only target.
    """

    positions: Positions
    pmra: FloatArray | None = None
    pmdec: FloatArray | None = None
    epoch: FloatArray | None = None
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.positions.ra)

    @property
    def moving(self) -> bool:
        """Whether they have a proper motion, or a path."""
        return self.pmra is not None or self.path is not None

    def parts(self) -> Iterator[tuple[int, Targets]]:
        """Yield `POSITIONS_PER_CHUNK` targets at a time (at least once), with the index of the first."""
        for start in range(0, max(1, len(self)), POSITIONS_PER_CHUNK):
            yield start, self.part(start, start + POSITIONS_PER_CHUNK)

    def at(self, k: IntArray, mjd: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the positions (deg) of targets `k` at times (MJD); a NaN time leaves a star at its given position."""
        if self.path is not None:
            return self.path.at(mjd)
        ra, dec = self.positions.ra[k], self.positions.dec[k]
        if self.pmra is None or self.pmdec is None or self.epoch is None:
            return ra, dec
        return move(ra, dec, self.pmra[k], self.pmdec[k], julian_year(mjd) - self.epoch[k])

    def drift(self, mjd: float, first: float, last: float) -> FloatArray:
        """Return how far (arcsec) each star moves from its position at `mjd` between two times."""
        n = len(self)
        k = np.arange(n)
        middle = self.at(k, np.full(n, mjd))
        ends = [separation(*middle, *self.at(k, np.full(n, end))) for end in (first, last)]
        return np.asarray(np.maximum(*ends))

    def part(self, start: int, stop: int) -> Targets:
        """Return some of the targets."""
        motion = {
            name: value[start:stop] for name in ("pmra", "pmdec", "epoch") if (value := getattr(self, name)) is not None
        }
        return replace(self, positions=chunk(self.positions, start, stop), **motion)


def targets_of(
    table: Any, color: Color = None, *, pmra: Motion = None, pmdec: Motion = None, epoch: Motion = None
) -> Targets:
    """Return the targets of a table of positions, see `ztfdb.query.positions.positions_of`.

    Parameters
    ----------
    table : DataFrame, astropy Table, mapping, or array_like of shape (n, 2)
    color : float, array_like, str, optional
    pmra, pmdec : float, array_like, Quantity or str, optional
        Proper motion, mas / yr; a string names a column of `table`. NaN counts as none.
    epoch : float, array_like or str, optional
        Julian year of the positions, `DEFAULT_EPOCH` by default.

    Raises
    ------
    ValueError
        If only one component of the motion is given, or a value does not fit.
    """
    positions = positions_of(table, color)
    if pmra is None and pmdec is None:
        if epoch is not None:
            raise ValueError("an epoch without a proper motion: give pmra and pmdec, too")
        return Targets(positions)
    if pmra is None or pmdec is None:
        raise ValueError("a proper motion has two components: give pmra and pmdec")
    n = len(positions.ra)
    east, north = (_column(table, v, n, "mas / yr", "a proper motion") for v in (pmra, pmdec))
    years = _column(table, DEFAULT_EPOCH if epoch is None else epoch, n, "yr", "epoch")
    check_epoch(years)
    for values in (east, north):
        if (np.abs(values) > MOST_MOTION).any():
            raise ValueError(f"a proper motion of {values[np.abs(values) > MOST_MOTION][0]:g} mas / yr is no star's")
    return Targets(positions, east, north, years)


def target_of(ra: float, dec: float, color: float | None = None, **motion: Any) -> Targets:
    """Return one target; its colour must be a number, as there is no table with columns."""
    return targets_of({"ra": ra, "dec": dec}, one_color(color), **motion)


def one_color(color: Any) -> float | None:
    """Return the colour (mag) of one star as a number; None stays None.

    Raises
    ------
    ValueError
        If it is not one finite number.
    """
    if color is None:
        return None
    if isinstance(color, str):
        raise ValueError(f"color {color!r}: expected a number (light_curves takes the name of a column, too)")
    value = color_values(color)
    if value.ndim or not np.isfinite(value):
        raise ValueError(f"color {shown(color)}: expected a number")
    return float(value)


def path_of(table: Any, color: float | None = None) -> Targets:
    """Return a moving body as a target.

    Parameters
    ----------
    table : DataFrame, astropy Table or mapping
        Columns ``time`` (or ``mjd``; MJD or ISO dates, UTC), ``ra``, ``dec`` (deg, ICRS), as seen from Palomar; 2 or
        more rows, close enough for a spline to follow the motion between them.
    color : float, optional

    Raises
    ------
    ValueError
        If there are no such columns or fewer than two rows, a value is not a number, or a time comes twice or
        is outside ZTF's years.
    """
    from scipy.interpolate import CubicSpline, make_interp_spline

    name = next((name for name in ("time", "mjd") if name in column_names(table)), None)
    if name is None:
        raise ValueError(f"path {shown(table)}: expected a table with the columns 'time' (MJD), 'ra' and 'dec'")
    positions = positions_of(table)
    time = mjds_of(table[name], "time")
    order = np.argsort(time)
    time = time[order]
    if len(time) < 2 or len(time) != len(positions.ra) or not np.isfinite(time).all() or (np.diff(time) <= 0).any():
        raise ValueError("a path has two rows or more, each with a time (MJD) of its own")
    vectors = unit_vector(positions.ra[order], positions.dec[order]).T
    curve = CubicSpline(time, vectors) if len(time) >= CUBIC else make_interp_spline(time, vectors, k=1)
    path = Path(float(time[0]), float(time[-1]), curve)
    start = chunk(positions, 0, 1)
    known = one_color(color)
    return Targets(start if known is None else replace(start, color=np.array([known])), path=path)


def _column(table: Any, value: Any, n: int, unit: str, name: str) -> FloatArray:
    if isinstance(value, str):
        try:
            value = table[value]
        except (KeyError, TypeError, IndexError) as exc:
            raise ValueError(f"{value!r} is neither a number nor a column of the positions") from exc
    values = np.atleast_1d(numbers(value, unit, name))
    if values.ndim != 1 or len(values) not in (1, n):
        raise ValueError(f"{name} of shape {values.shape}: expected one value, or one for each of {n} positions")
    return np.broadcast_to(values, n)
