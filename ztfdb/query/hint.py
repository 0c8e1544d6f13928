"""Hints for an empty answer: what the archive has there, and what the user may have meant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.codes import FILTERS
from ztfdb.query.cone import cone_answer
from ztfdb.query.exposures import Covering, covering
from ztfdb.query.given import MOTION
from ztfdb.query.request import LightCurveRequest, light_curve_request
from ztfdb.query.targets import Targets, targets_of
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import distinct
from ztfdb.sky.dates import iso_date
from ztfdb.store.archive_summary import coverage_summary
from ztfdb.store.backends import AnySession

LOOK_FURTHER = 30.0
"""Radius (arcsec) of the search for the nearest detection where none lies within the radius of the query."""

MOST_LOOKED_UP = 1_000
"""Number of positions of a table whose images are counted."""

MANY_FIELDS = 5
"""From this many fields on, the hint gives their number instead of their names."""

CUTS = ("filters", "mjd", "fields", "all_versions")
"""Options that exclude images."""


@dataclass(frozen=True)
class Holdings:
    """Where and when the images of an archive are; times exclude references.

    Attributes
    ----------
    n_image : int
    fields : tuple of int
    filters : dict of int
        Number of images by filtercode.
    first, last : float
        MJD; NaN where no image has one.
    ra, dec : ndarray
        Centre of one image of each field and quadrant, deg.
    """

    n_image: int
    fields: tuple[int, ...]
    filters: Mapping[str, int]
    first: float
    last: float
    ra: FloatArray
    dec: FloatArray

    @property
    def words(self) -> str:
        """What the archive covers."""
        low, high = circular_range(self.ra)
        if len(self.fields) < MANY_FIELDS:
            fields = f"field{'s' * (len(self.fields) > 1)} {', '.join(map(str, self.fields))}"
        else:
            fields = f"{len(self.fields):,} fields"
        ra = _from_to(f"{low:.1f}", f"{high:.1f}")
        dec = _from_to(f"{self.dec.min():+.1f}", f"{self.dec.max():+.1f}")
        where = f"the sky about RA {ra}, Dec {dec} deg"
        return f"{where} ({self.n_image:,} {_images(self.n_image)} of {fields})"

    @property
    def nights(self) -> str:
        """The range of dates of the images."""
        if np.isnan(self.first):
            return "no image with a date"
        return f"images of {iso_date(self.first)} to {iso_date(self.last)} (MJD {self.first:.1f} to {self.last:.1f})"


def _from_to(low: str, high: str) -> str:
    return low if low == high else f"{low} to {high}"


def holdings(session: AnySession) -> Holdings:
    """Return where and when the images of an archive are; this reads the table ``image``."""
    found = coverage_summary(session)
    return Holdings(**found)


def circular_range(ra: FloatArray) -> tuple[float, float]:
    """Return the ends (deg) of the shortest arc that holds all right ascensions; the first is larger across 0."""
    ordered = np.unique(ra)
    gaps = np.diff(np.append(ordered, ordered[0] + 360.0))
    widest = int(np.argmax(gaps))
    return float(ordered[(widest + 1) % len(ordered)]), float(ordered[widest])


def hint(
    session: AnySession,
    targets: Targets,
    radius: float | None,
    n_found: int,
    *,
    held: Callable[[], Holdings],
    phot: str = "aperture",
    good: bool = False,
    **cuts: Any,
) -> str:
    """Return what an archive has where a query found nothing, or less than possible, as text.

    Parameters
    ----------
    session : Session or Reading
    targets : Targets
        One or many fixed positions, or one star with proper motion, or a path.
    radius : float or None
        arcsec; None for queries of images.
    n_found : int
        Detections found within the radius.
    held : callable
        Returns the archive's `Holdings`; called only if needed.
    phot : str
        ``aperture``, ``psfcat`` or ``both``.
    good : bool
        Only good detections counted.
    **cuts
        ``filters``, ``mjd``, ``fields``, ``all_versions``, as in `ztfdb.Archive.light_curve`.

    Returns
    -------
    str
        Without a full stop; empty where there is nothing to say.
    """
    some = targets.part(0, MOST_LOOKED_UP) if targets.path is None else targets
    every = covering(session, some, light_curve_request(all_versions=True))
    if not len(every):
        return _nowhere(session, targets, held())
    request = light_curve_request(**cuts)
    if missing := _cut_away(every, request, _it(some, every)):
        return missing
    if radius is None:
        return ""
    pairs = covering(session, some, request)
    detected = "a row in ZTF's PSF catalogue" if phot == "psfcat" else "a detection"
    detected = f"a good {detected[2:]}" if good else detected
    n = len(pairs)
    if n_found >= n:
        return ""
    text = f"{n:,} {_images(n)} cover{'s' * (n == 1)} {_it(some, every)}, {n_found:,} {_have(n_found)} {detected}"
    text += f" within {radius:g} arcsec"
    if n_found == 0 and len(some) == 1 and targets.path is None:
        text += _nearest(session, some, radius, phot)
    ways = ["a larger radius", "a complete light curve (--complete, complete=True)"] + ["without good"] * good
    return f"{text}: try {', '.join(ways[:-1])} or {ways[-1]}"


def _it(targets: Targets, every: Covering) -> str:
    if targets.path is not None:
        return "the path"
    if len(targets) == 1:
        return "it"
    return f"{len(np.unique(every.rows['k'])):,} of {len(targets):,} positions"


def _cut_away(every: Covering, request: LightCurveRequest, it: str) -> str:
    """Return the first cut that excludes all images that cover the position, as text."""
    images = every.images
    used = distinct(every.at)
    fid, field, mjd = images["fid"][used], images["field"][used], images["mjd"][used]
    left: BoolArray = np.ones(len(used), dtype=bool)
    n = len(used)
    for name, keep in _keeps(request, fid, field, mjd):
        if not (left & keep).any():
            there = {"filter": _counts(fid[left]), "field": _numbers(field[left]), "time": _span(mjd[left])}[name]
            wanted = {"filter": _filters(request), "field": _fields(request), "time": _times(request)}[name]
            return f"{n:,} {_images(n)} cover{'s' * (n == 1)} {it}, none {wanted}: there are {there}"
        left = left & keep
    return ""


def _keeps(
    request: LightCurveRequest, fid: FloatArray, field: FloatArray, mjd: FloatArray
) -> list[tuple[str, BoolArray]]:
    keeps: list[tuple[str, BoolArray]] = []
    if request.fids is not None:
        keeps.append(("filter", np.isin(fid, list(request.fids))))
    if request.fields is not None:
        keeps.append(("field", np.isin(field, list(request.fields))))
    keeps.append(("time", (mjd >= request.mjd[0]) & (mjd < request.mjd[1])))
    return keeps


def _counts(fid: FloatArray) -> str:
    return ", ".join(f"{int((fid == f).sum()):,} in {code}" for f, code in FILTERS.items() if (fid == f).any())


def _numbers(field: FloatArray) -> str:
    return "those of field " + ", ".join(str(int(one)) for one in np.unique(field))


def _span(mjd: FloatArray) -> str:
    return f"those of {iso_date(mjd.min())} to {iso_date(mjd.max())} (MJD {mjd.min():.1f} to {mjd.max():.1f})"


def _filters(request: LightCurveRequest) -> str:
    return "in " + " or ".join(FILTERS[fid] for fid in sorted(request.fids or ())) if request.fids else "in no filter"


def _fields(request: LightCurveRequest) -> str:
    return "of field " + " or ".join(map(str, sorted(request.fields or ())))


def _times(request: LightCurveRequest) -> str:
    first, last = request.mjd
    since = f"from MJD {first:g}" if np.isfinite(first) else ""
    until = f"before MJD {last:g}" if np.isfinite(last) else ""
    return f"{since} {until}".strip()


def _nearest(session: AnySession, target: Targets, radius: float, phot: str) -> str:
    """Return where the nearest detection is, as text."""
    if radius == 0.0:
        return " (a radius of 0 finds only what lies exactly there)"
    if radius >= LOOK_FURTHER:
        return ""
    ra, dec = float(target.positions.ra[0]), float(target.positions.dec[0])
    motion = {name: float(one[0]) for name in sorted(MOTION) if (one := getattr(target, name)) is not None}
    whose = "psfcat" if phot == "psfcat" else "aperture"
    found = cone_answer(session, ra, dec, LOOK_FURTHER, phot=whose, columns=("ra",), **motion).arrays["separation"]
    if not len(found):
        return f" (and none within {LOOK_FURTHER:g})"
    return f" (the nearest is {found[0]:.1f} arcsec away)"


def _nowhere(session: AnySession, targets: Targets, held: Holdings) -> str:
    """Return what the archive covers, where no image covers the position, and what the user may have meant."""
    if held.n_image == 0:
        return "the archive has no images yet: add some with ztfdb ingest"
    if targets.path is not None:
        return f"no image covers the path at its time; the archive covers {held.words}, {held.nights}"
    ra, dec = targets.positions.ra, targets.positions.dec
    nearest = separation(ra[0], dec[0], held.ra, held.dec).min() / 3600.0
    if len(targets) == 1:
        text = f"no image covers ({ra[0]:.5f}, {dec[0]:+.5f}); the archive covers {held.words}"
        text += f", the nearest image is centred {nearest:.1f} deg away"
    else:
        text = f"no image covers any of {len(targets):,} positions; the archive covers {held.words}"
    return text + _meant(session, ra[:MOST_LOOKED_UP], dec[:MOST_LOOKED_UP])


def _meant(session: AnySession, ra: FloatArray, dec: FloatArray) -> str:
    """Suggest another reading of the numbers, if images cover that position."""
    east = np.where(ra > 180.0, ra - 360.0, ra)
    readings = (
        ("did you swap ra and dec?", np.mod(dec, 360.0), east, np.abs(east) <= 90.0),
        ("is ra in hours?", ra * 15.0, dec, ra <= 24.0),
        ("is ra in degrees, not in hours?", ra / 15.0, dec, ra >= 0.0),
        ("is the sign of dec right?", ra, -dec, dec != 0.0),
    )
    for question, other_ra, other_dec, possible in readings:
        if not possible.all():
            continue
        there = targets_of({"ra": other_ra, "dec": other_dec})
        n = len(np.unique(covering(session, there, light_curve_request(all_versions=True)).at))
        if n:
            where = f"({other_ra[0]:.5f}, {other_dec[0]:+.5f})" if len(ra) == 1 else "them then"
            return f"; {question} {n:,} {_images(n)} cover{'s' * (n == 1)} {where}"
    return ""


def _images(n: int) -> str:
    return "image" if n == 1 else "images"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
