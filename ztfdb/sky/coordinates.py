"""Convert coordinates of astropy in any frame to numbers: ICRS degrees, and a proper motion with its epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy import coordinates as c
from astropy import units as u
from numpy.typing import NDArray

from ztfdb.sky.given import numbers

NEAREST_STAR_PC = 1.0
"""Parsec; no star is nearer. At smaller distances, the directions from the barycentre and from Palomar differ."""

GEOCENTRIC = (
    c.GCRS, c.CIRS, c.PrecessedGeocentric, c.TETE, c.TEME, c.ITRS, c.AltAz, c.HADec, c.GeocentricMeanEcliptic,
    c.GeocentricTrueEcliptic,
)  # fmt: skip
"""Frames with directions from the Earth: with a distance, astropy would move their origin."""


@dataclass(frozen=True)
class Given:
    """Positions as numbers.

    Attributes
    ----------
    ra, dec : ndarray, shape (n,) or ()
        ICRS, deg.
    motion : dict of ndarray
        ``pmra``, ``pmdec`` (mas / yr, `pmra` with cos dec) and ``epoch`` (Julian year); empty without a proper motion.
    epoch : ndarray or None
        Julian year of ``obstime``, also without a proper motion.
    """

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    motion: dict[str, NDArray[np.float64]]
    epoch: NDArray[np.float64] | None


def from_coordinate(value: Any, *, epoch: Any = None) -> Given:
    """Return the numbers of a coordinate in any frame.

    Parameters
    ----------
    value : SkyCoord or frame with data
        A proper motion belongs to its ``obstime``. Parallax (0.8 arcsec at most) and radial velocity (0.06 arcsec in
        10 years for Barnard's star, less for others) are ignored. In frames of the Earth (``gcrs``, ``altaz``, …) a
        distance is ignored, too: only the direction counts.
    epoch : float or array_like, optional
        Julian year, if the coordinate has no ``obstime``.

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
    ra, dec = numbers(icrs.ra, "deg", "ra", missing=False), numbers(icrs.dec, "deg", "dec", missing=False)
    at = None if icrs.obstime is None else np.asarray(icrs.obstime.jyear, dtype=np.float64)
    at = at if epoch is None else numbers(epoch, "yr", "epoch", missing=False)
    if not _moves(icrs):
        return Given(ra, dec, {}, at)
    pmra, pmdec = (numbers(pm, "mas / yr", "proper motion") for pm in (icrs.pm_ra_cosdec, icrs.pm_dec))
    if not (np.nan_to_num(pmra).any() or np.nan_to_num(pmdec).any()):
        return Given(ra, dec, {}, at)
    if at is None:
        raise ValueError("a SkyCoord with a proper motion but without obstime: give obstime, or epoch=2016.0")
    return Given(ra, dec, {"pmra": pmra, "pmdec": pmdec, "epoch": np.broadcast_to(at, ra.shape)}, at)


def _moves(coordinate: Any) -> bool:
    """Return whether a coordinate has a motion across the sky."""
    differential = coordinate.data.differentials.get("s")
    return differential is not None and not isinstance(differential, c.RadialDifferential)


def _check_distance(coordinate: Any) -> None:
    """Refuse near objects, whose directions from Palomar and from the barycentre differ."""
    distance = getattr(coordinate, "distance", None)
    if distance is None or distance.unit.is_equivalent(u.one):
        return
    parsec = numbers(distance, "pc", "distance")
    near = parsec[parsec < NEAREST_STAR_PC]
    if near.size:
        raise ValueError(
            f"a distance of {near.flat[0]:g} pc is nearer than any star: give the direction as seen from Palomar, "
            "and a moving body as a path (light_curve_on_path, stamps_on_path)"
        )
