"""The options of a light curve: one value, checked once and passed to every step."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ztfdb.codes import N_APERTURE, ForcedMethod, fid_of
from ztfdb.errors import OptionError, QueryError
from ztfdb.sky.dates import mjd_of
from ztfdb.store.zero_points import METHODS

if TYPE_CHECKING:
    from astropy.time import Time

    from ztfdb.arrays import Progress

PHOTS = ("aperture", "psfcat", "both", "irsa", "irsa-both")
"""Photometry of a light curve: our apertures, ZTF's PSF catalogues, both; ZTF's light curves at IRSA, alone or with our
apertures."""

IRSA_PHOTS = PHOTS[3:]
"""Those with ZTF's light curves at IRSA, which contain only detections."""

MEASURES = ("auto", "forced", "psf", "none")

MAX_RADIUS = 600.0
"""Largest radius of a light curve, arcsec, as at IRSA; beyond, the nearest source means little."""

COMPLETE_OPTIONS = frozenset({"measure", "bjd", "mag", "jobs", "keep", "places", "progress"})
"""Options of complete light curves only."""

Moment: TypeAlias = "float | str | date | Time | None"
"""A time as `ztfdb.sky.dates.mjd_of` takes it, None for an open end."""


@dataclass(frozen=True)
class LightCurveRequest:
    """The options of light curves; `light_curve_request` makes it and checks them.

    Attributes
    ----------
    radius : float
        arcsec.
    phot : str
        One of `PHOTS`.
    complete : bool
        One epoch for every image that covers the position.
    measure : str
        One of `MEASURES`; ``none`` where the light curve is not complete.
    bjd : bool
        Add ``bjd_tdb``.
    mag : float or None
        Total AB magnitude for ``p_detect``; None for that of each star.
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
        The fluxes are those of whole stars, for which MAGZP holds unchanged; else they are those of an aperture.
    """

    radius: float = 1.5
    phot: str = "aperture"
    complete: bool = False
    measure: str = "none"
    bjd: bool = False
    mag: float | None = None
    aperture: int = 4
    good: bool = False
    fids: frozenset[int] | None = None
    mjd: tuple[float, float] = (-np.inf, np.inf)
    fields: frozenset[int] | None = None
    all_versions: bool = False
    calibration: str = "header"
    images: frozenset[int] | None = None
    whole_stars: bool = False

    @property
    def method(self) -> ForcedMethod:
        """The method of forced measurements."""
        return ForcedMethod.PSF if self.measure == "psf" else ForcedMethod.APERTURE

    @property
    def flux(self) -> tuple[str, str]:
        """Columns of ``forced_source`` with the flux and its error."""
        name = "flux_psf" if self.measure == "psf" else f"flux_aper{self.aperture}"
        return name, f"{name}_err"

    @property
    def attrs(self) -> dict[str, Any]:
        """The options of the query, for the ``attrs`` of an answer."""
        first, last = self.mjd
        options = {
            "radius": self.radius,
            "aperture": self.aperture,
            "calibration": self.calibration,
            "good": self.good,
            "filters": None if self.fids is None else sorted(self.fids),
            "mjd": None if np.isinf(first) and np.isinf(last) else (first, last),
            "fields": None if self.fields is None else sorted(self.fields),
            "all_versions": self.all_versions,
        }
        return options if self.phot == "aperture" else options | {"phot": self.phot}

    def of_our_sources(self, **other: Any) -> LightCurveRequest:
        """Return the same options with our own photometry."""
        return replace(self, phot="aperture", whole_stars=False, **other)


@dataclass(frozen=True)
class Execution:
    """How forced measurements are made: arguments of `ztfdb.derive.forced.measure_forced`."""

    jobs: int = 1
    keep: bool = True
    places: Mapping[str, str | Path] | None = None
    progress: Progress | None = None


def light_curve_request(
    *,
    asked_by: str = "light_curve",
    motion: Iterable[str] = (),
    radius: float = 1.5,
    phot: str = "aperture",
    complete: bool = False,
    measure: str = "auto",
    bjd: bool = False,
    mag: float | None = None,
    aperture: int = 4,
    good: bool = False,
    filters: Iterable[str | int] | str | int | None = None,
    mjd: tuple[Moment, Moment] | None = None,
    fields: Iterable[int] | int | None = None,
    all_versions: bool = False,
    calibration: str = "header",
) -> LightCurveRequest:
    """Check the options of a light curve, as `ztfdb.Archive.light_curve` documents them.

    Parameters
    ----------
    asked_by : str
        The archive's method, for error messages.
    motion : iterable of str
        Names of the given options of a proper motion.

    Raises
    ------
    ValueError
        If an option is invalid, or conflicts with another.
    QueryError
        If the radius is beyond the maximum.
    """
    check_radius(radius, MAX_RADIUS)
    if aperture not in range(1, N_APERTURE + 1):
        raise ValueError(f"aperture {aperture!r}: expected 1 to {N_APERTURE}")
    if calibration not in METHODS:
        raise ValueError(f"calibration {calibration!r}: expected {', '.join(METHODS[:-1])} or {METHODS[-1]}")
    _check_word("measure", measure, MEASURES)
    _check_word("phot", phot, PHOTS)
    request = LightCurveRequest(
        radius=float(radius),
        phot=phot,
        complete=bool(complete),
        measure=measure if complete else "none",
        bjd=bool(bjd),
        mag=checked_mag(mag),
        aperture=int(aperture),
        good=bool(good),
        fids=None if filters is None else _fids(filters),
        mjd=_times(mjd),
        fields=None if fields is None else _integers(fields),
        all_versions=bool(all_versions),
        calibration=calibration,
        whole_stars=phot in ("psfcat", "both"),
    )
    if problem := _misfit(request, sorted(motion)):
        raise ValueError(f"archive.{asked_by}(): {problem}")
    return request


def _misfit(request: LightCurveRequest, motion: list[str]) -> str | None:
    """Return which options conflict, as text; None if none do."""
    own = f"the zero points of calibration {request.calibration!r} are those of apertures"
    if request.phot in IRSA_PHOTS and request.complete:
        return f"complete=True: not with phot={request.phot!r}, which has detections alone"
    if request.phot != "aperture" and motion:
        return f"{', '.join(motion)}: not with phot={request.phot!r}"
    if request.phot != "aperture" and request.complete and request.measure != "auto":
        return f"measure: not with phot={request.phot!r}"
    if request.phot != "aperture" and request.calibration != "header":
        theirs = "not of IRSA's magnitudes" if request.phot in IRSA_PHOTS else "psfcat has the header's"
        return f"{own}; {theirs}"
    if request.measure == "psf" and request.calibration != "header":
        return f"{own}; a PSF fit has the header's"
    return None


def requested(asked_by: str, options: Mapping[str, Any], **more: Any) -> tuple[LightCurveRequest, Execution]:
    """Divide the options of an archive's method into the request and its execution.

    Raises
    ------
    OptionError
        For `COMPLETE_OPTIONS` without ``complete=True``.
    ValueError, QueryError
        As `light_curve_request`.
    """
    only_complete(asked_by, more.get("complete", False), options)
    how = {name: options[name] for name in ("jobs", "keep", "places", "progress") if name in options}
    what = {name: value for name, value in options.items() if name not in how}
    return light_curve_request(asked_by=asked_by, **what, **more), Execution(**how)


def only_complete(asked_by: str, complete: bool, options: Iterable[str]) -> None:
    """Refuse `COMPLETE_OPTIONS` where the light curve is not complete.

    Raises
    ------
    OptionError
    """
    found = sorted(COMPLETE_OPTIONS.intersection(options))
    if found and not complete:
        raise OptionError(f"archive.{asked_by}() takes {', '.join(map(repr, found))} with complete=True only")


def checked_mag(mag: float | None) -> float | None:
    """Return a magnitude as a float; None stays None.

    Raises
    ------
    ValueError
        If it is not a number.
    """
    if mag is None:
        return None
    try:
        number = float(mag)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ValueError(f"mag {mag!r}: expected a magnitude")
    return number


def check_radius(radius: float, maximum: float) -> None:
    """Check a radius (arcsec).

    Raises
    ------
    ValueError
        If it is not a number, or negative.
    QueryError
        If it is beyond `maximum`.
    """
    if not radius >= 0.0:
        raise ValueError(f"a radius of {radius} arcsec: expected a number, 0 or more")
    if radius > maximum:
        raise QueryError(f"a radius of {radius:g} arcsec is beyond the maximum of {maximum:g} arcsec")


def _check_word(name: str, word: str, words: tuple[str, ...]) -> None:
    if word not in words:
        raise ValueError(f"{name} {word!r}: expected one of {', '.join(words)}")


def _fids(filters: Iterable[str | int] | str | int) -> frozenset[int]:
    return frozenset(map(fid_of, [filters] if isinstance(filters, str | int | np.integer) else list(filters)))


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
