"""Positions as astropy holds them, turned into numbers: ICRS degrees, and a proper motion with its epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import coordinates as c
from astropy import units as u
from astropy.time import Time
from astropy.utils.masked import Masked
from numpy.typing import NDArray

NEAREST_STAR_PC = 1.0
"""Parsec; no star is nearer. Below, the barycentre and Palomar see a body in different directions."""

GEOCENTRIC = (
    c.GCRS, c.CIRS, c.PrecessedGeocentric, c.TETE, c.TEME, c.ITRS, c.AltAz, c.HADec, c.GeocentricMeanEcliptic,
    c.GeocentricTrueEcliptic,
)  # fmt: skip
"""Frames whose directions are those from the Earth: with a distance, astropy would move their origin."""

EPOCHS = (1800.0, 2200.0)
"""Julian years that can be the epoch of a position."""


@dataclass(frozen=True)
class Given:
    """Positions in numbers.

    Attributes
    ----------
    ra, dec : ndarray, shape (n,) or ()
        ICRS, deg.
    motion : dict of ndarray
        ``pmra``, ``pmdec`` (mas / yr, `pmra` with cos dec) and ``epoch`` (Julian year) where the positions move, else
        nothing.
    epoch : ndarray or None
        Julian year of ``obstime``, also without a proper motion.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    motion: dict[str, NDArray[np.float64]]
    epoch: NDArray[np.float64] | None


def is_coordinate(value: Any) -> bool:
    """Tell whether a value is a `~astropy.coordinates.SkyCoord` or a frame with data."""
    return isinstance(value, c.SkyCoord | c.BaseCoordinateFrame)


def from_coordinate(value: Any, *, epoch: Any = None) -> Given:
    """Return the numbers of a coordinate in any frame.

    Parameters
    ----------
    value : SkyCoord or frame with data
        A proper motion belongs to its ``obstime``. Parallax (0.8 arcsec at most) and radial velocity (0.06 arcsec in
        ten years for Barnard's star, less for others) are left out. In frames of the Earth (``gcrs``, ``altaz``, …) a
        distance is left out, too: the direction is what counts.
    epoch : float or array_like, optional
        Julian year, where the coordinate has no ``obstime``.

    Raises
    ------
    ValueError
        If a coordinate is masked, nearer than any star, or has a proper motion but no ``obstime``.
    """
    coordinate = c.SkyCoord(value) if isinstance(value, c.BaseCoordinateFrame) else value
    if isinstance(coordinate.frame, GEOCENTRIC):
        if _moves(coordinate):
            raise ValueError(f"a proper motion in the frame {coordinate.frame.name}: give it in ICRS")
        direction = coordinate.frame.represent_as(c.UnitSphericalRepresentation)
        coordinate = c.SkyCoord(coordinate.frame.realize_frame(direction.without_differentials()))
    else:
        _check_distance(coordinate)
    icrs = coordinate.icrs
    ra, dec = numbers(icrs.ra, u.deg, "ra", missing=False), numbers(icrs.dec, u.deg, "dec", missing=False)
    at = None if icrs.obstime is None else np.asarray(icrs.obstime.jyear, dtype=np.float64)
    at = at if epoch is None else numbers(epoch, u.yr, "epoch", missing=False)
    if not _moves(icrs):
        return Given(ra, dec, {}, at)
    pmra, pmdec = (numbers(pm, u.mas / u.yr, "proper motion") for pm in (icrs.pm_ra_cosdec, icrs.pm_dec))
    if not (np.nan_to_num(pmra).any() or np.nan_to_num(pmdec).any()):
        return Given(ra, dec, {}, at)
    if at is None:
        raise ValueError("a SkyCoord with a proper motion but without obstime: give obstime, or epoch=2016.0")
    return Given(ra, dec, {"pmra": pmra, "pmdec": pmdec, "epoch": np.broadcast_to(at, ra.shape)}, at)


def numbers(value: Any, unit: u.UnitBase, name: str, *, missing: bool = True) -> NDArray[np.float64]:
    """Return a value as plain doubles in a unit, which numbers without one are in already.

    Parameters
    ----------
    value : float, array_like, Quantity or column
    unit : Unit
    name : str
        What it is, for the message.
    missing : bool
        Return NaN where a value is masked; else that is an error.

    Raises
    ------
    ValueError
        If a value is no number, is in a unit of another kind, or is masked and must not be.
    """
    if isinstance(value, Time) and unit == u.yr:
        value = value.jyear
    own = getattr(value, "unit", None)
    try:
        plain: Any = u.Quantity(value, own).to_value(unit) if own is not None else value
        mask: NDArray[np.bool_] = np.array(False)
        if plain is np.ma.masked:
            plain, mask = np.nan, np.array(True)
        elif isinstance(plain, np.ma.MaskedArray | Masked):
            mask = np.asarray(plain.mask)
        plain = plain.unmasked if isinstance(plain, Masked) else plain
        plain = plain.data if isinstance(plain, np.ma.MaskedArray) else plain
        values = np.asarray(plain, dtype=np.float64)
    except (TypeError, ValueError, u.UnitConversionError) as exc:
        raise ValueError(_refused(value, unit, name, exc)) from exc
    if mask.any():
        if not missing:
            row = f" in row {np.flatnonzero(mask)[0]}" if mask.ndim else ""
            raise ValueError(f"{name} is masked{row}: there is no value")
        values = np.where(mask, np.nan, values)
    return values


def check_epoch(years: NDArray[np.floating[Any]]) -> None:
    """Raise ValueError where a value is not the Julian year of a position."""
    if not np.isfinite(years).all():
        raise ValueError("the epoch of a position is not a number")
    wrong = years[(years < EPOCHS[0]) | (years > EPOCHS[1])]
    if len(wrong):
        raise ValueError(f"epoch {wrong[0]:g}: expected a Julian year such as 2016.0, not an MJD or JD")


def no_name(text: str) -> str:
    """Return what to say of a text where a position is wanted."""
    return (
        f"{text!r} is no position in degrees: astropy's SkyCoord.from_name({text!r}) looks up a name, and "
        "SkyCoord('12:34:56.7 -03:12:00', unit=('hourangle', 'deg')) reads sexagesimal text"
    )


def _refused(value: Any, unit: u.UnitBase, name: str, exc: Exception) -> str:
    first = next((one for one in np.ravel(np.asarray(value, dtype=object)) if isinstance(one, str)), None)
    if first is not None and unit == u.deg:
        return f"{name}: {no_name(first)}"
    return f"{name} {value!r}: expected {'numbers' if np.ndim(value) else 'a number'} of {unit} ({exc})"


def _moves(coordinate: Any) -> bool:
    """Tell whether a coordinate has a motion across the sky."""
    differential = coordinate.data.differentials.get("s")
    return differential is not None and not isinstance(differential, c.RadialDifferential)


def _check_distance(coordinate: Any) -> None:
    """Refuse what is not far away: from Palomar it is in another direction than from the barycentre."""
    distance = getattr(coordinate, "distance", None)
    if distance is None or distance.unit.is_equivalent(u.one):
        return
    parsec = numbers(distance, u.pc, "distance")
    near = parsec[parsec < NEAREST_STAR_PC]
    if near.size:
        raise ValueError(
            f"a distance of {near.flat[0]:g} pc is nearer than any star: give the direction as seen from Palomar, "
            "and a moving body as a path (light_curve_on_path, stamps_on_path)"
        )
