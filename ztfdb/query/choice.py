"""What a light curve is asked for: checked once, carried through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ztfdb.codes import FILTERS
from ztfdb.records import N_APERTURE
from ztfdb.sky.dates import mjd_of
from ztfdb.store.calibrations import METHODS

if TYPE_CHECKING:
    from astropy.time import Time

IRSA_PHOTS = ("irsa", "irsa-both")
"""ZTF's light curves alone, or beside our own apertures."""

Moment: TypeAlias = "float | str | date | Time | None"
"""A time as `ztfdb.sky.dates.mjd_of` takes it, None for an open end."""

_FID = {
    name: fid for fid, code in FILTERS.items() for name in (code, code[1], str(fid), f"ztf_{code[1]}", f"ztf {code[1]}")
} | {f: f for f in FILTERS}
"""``fid`` by every name of a filter, in lower case."""


@dataclass(frozen=True)
class Choice:
    """The cuts and the calibration that a light curve was asked for.

    Attributes
    ----------
    aperture : int
        1 to 6.
    good : bool
        Keep only epochs without known trouble.
    fids : frozenset of int or None
    mjd : tuple of float
        Exposures that start in ``[first, last)``.
    fields : frozenset of int or None
    all_versions : bool
        Keep every image of an exposure × quadrant, not only the preferred one.
    calibration : str
        ``header``, ``ps1`` or ``self``.
    images : frozenset of int or None
        Only these.
    whole_stars : bool
        The fluxes are those of whole stars, for which MAGZP holds as it is; without it, of the aperture.
    """

    aperture: int
    good: bool
    fids: frozenset[int] | None
    mjd: tuple[float, float]
    fields: frozenset[int] | None
    all_versions: bool
    calibration: str = "header"
    images: frozenset[int] | None = None
    whole_stars: bool = False


def choice(
    *,
    aperture: int = 4,
    good: bool = False,
    filters: Iterable[str | int] | str | int | None = None,
    mjd: tuple[Moment, Moment] | None = None,
    fields: Iterable[int] | int | None = None,
    all_versions: bool = False,
    calibration: str = "header",
    images: frozenset[int] | None = None,
) -> Choice:
    """Check the options of a light curve; see `ztfdb.query.lightcurve.light_curve`.

    Raises
    ------
    ValueError
        If an aperture or a filter does not exist, or the times are not two numbers in order.
    """
    if aperture not in range(1, N_APERTURE + 1):
        raise ValueError(f"aperture {aperture!r}: expected 1 to {N_APERTURE}")
    if calibration not in METHODS:
        raise ValueError(f"calibration {calibration!r}: expected {', '.join(METHODS[:-1])} or {METHODS[-1]}")
    return Choice(
        aperture=int(aperture),
        good=bool(good),
        fids=None if filters is None else _fids(filters),
        mjd=_times(mjd),
        fields=None if fields is None else _integers(fields),
        all_versions=bool(all_versions),
        calibration=calibration,
        images=images,
    )


def cuts(
    *,
    filters: Iterable[str | int] | str | int | None = None,
    mjd: tuple[Moment, Moment] | None = None,
    fields: Iterable[int] | int | None = None,
    all_versions: bool = False,
    aperture: int = 4,
) -> Choice:
    """Check the options that choose images, and no photometry; see `choice`."""
    return choice(aperture=aperture, filters=filters, mjd=mjd, fields=fields, all_versions=all_versions)


def _fids(filters: Iterable[str | int] | str | int) -> frozenset[int]:
    return frozenset(map(fid_of, [filters] if isinstance(filters, str | int | np.integer) else list(filters)))


def fid_of(name: str | int) -> int:
    """Return the ``fid`` of a filter by any of its names: ``zg``, ``g``, ``ZTF_g``, 1.

    Raises
    ------
    ValueError
        If ZTF has no such filter.
    """
    known = _FID.get(name.strip().lower() if isinstance(name, str) else name)
    if known is None:
        raise ValueError(f"filter {name!r}: expected zg, zr or zi (or g, r, i; ZTF_g, ZTF_r, ZTF_i; 1, 2, 3)")
    return known


def _integers(values: Iterable[int] | int) -> frozenset[int]:
    return frozenset(int(v) for v in ([values] if isinstance(values, int | np.integer) else values))


def _times(mjd: tuple[Moment, Moment] | None) -> tuple[float, float]:
    if mjd is not None and (isinstance(mjd, str) or not hasattr(mjd, "__len__") or len(mjd) != 2):
        raise ValueError(f"mjd {mjd!r}: expected (first, last), two MJDs or dates; None leaves an end open")
    first, last = (None, None) if mjd is None else mjd
    start = -np.inf if first is None else mjd_of(first, "the first time")
    end = np.inf if last is None else mjd_of(last, "the last time")
    if not start <= end:
        raise ValueError(f"times {start} to {end}: expected two MJDs in order")
    return start, end
