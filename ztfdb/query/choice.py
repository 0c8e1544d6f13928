"""What a light curve is asked for: checked once, carried through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ztfdb.records import N_APERTURE
from ztfdb.store.calibrations import METHODS

FILTERS = {1: "zg", 2: "zr", 3: "zi"}
"""ZTF's ``filtercode`` by ``fid``."""

_FID = {name: fid for fid, code in FILTERS.items() for name in (code, code[1], str(fid))} | {f: f for f in FILTERS}


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
        ``header`` or ``ps1``.
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
    mjd: tuple[float | None, float | None] | None = None,
    fields: Iterable[int] | int | None = None,
    all_versions: bool = False,
    calibration: str = "header",
    images: frozenset[int] | None = None,
) -> Choice:
    """Check the options of a light curve; see `ztfdb.query.light_curve`.

    Raises
    ------
    ValueError
        If an aperture or a filter does not exist, or the times are not two numbers in order.
    """
    if aperture not in range(1, N_APERTURE + 1):
        raise ValueError(f"aperture {aperture!r}: expected 1 to {N_APERTURE}")
    if calibration not in METHODS:
        raise ValueError(f"calibration {calibration!r}: expected {' or '.join(METHODS)}")
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


def _fids(filters: Iterable[str | int] | str | int) -> frozenset[int]:
    names = [filters] if isinstance(filters, str | int | np.integer) else list(filters)
    unknown = [name for name in names if name not in _FID]
    if unknown:
        raise ValueError(f"filter {unknown[0]!r}: expected zg, zr or zi (or g, r, i; 1, 2, 3)")
    return frozenset(_FID[name] for name in names)


def _integers(values: Iterable[int] | int) -> frozenset[int]:
    return frozenset(int(v) for v in ([values] if isinstance(values, int | np.integer) else values))


def _times(mjd: tuple[float | None, float | None] | None) -> tuple[float, float]:
    first, last = (None, None) if mjd is None else mjd
    start = -np.inf if first is None else float(first)
    end = np.inf if last is None else float(last)
    if not start <= end:
        raise ValueError(f"times {start} to {end}: expected two MJDs in order")
    return start, end
