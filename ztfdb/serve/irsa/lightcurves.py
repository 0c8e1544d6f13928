"""``/cgi-bin/ZTF/nph_light_curves``: light curves by position or id, with IRSA's parameters and its 24 columns."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from starlette.requests import Request
from starlette.responses import Response

from ztfdb.archive import Archive, words_kept
from ztfdb.codes import FILTERS, fid_of
from ztfdb.query.answer import IRSA_COLUMNS
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.irsa.tables import answer, columns_of, format_of, rows_of
from ztfdb.serve.params import Parameters, number, shown
from ztfdb.serve.service import Service

MOST_DEGREES = 600.0 / 3600.0
"""Largest radius, as at IRSA."""

WAVELENGTHS = {1: (4.10e-7, 5.50e-7), 2: (5.50e-7, 7.00e-7), 3: (7.00e-7, 9.00e-7)}
"""Wavelength range of each filter, m, as at IRSA."""

MOST_IDS = 100
ID_RADIUS = 1.5
"""Match radius around an object that is named by its id, arcsec."""

_ONLY_PLACES = ("BAND", "BANDNAME", "NOBS_MIN", "NUM_OBS", "MAG")
_KNOWN = {"POS", "CIRCLE", "ID", *_ONLY_PLACES, "TIME", "BAD_CATFLAGS_MASK", "COLLECTION", "FORMAT"}

Range = tuple[float, float]


@dataclass(frozen=True)
class Asked:
    """Parameters of a request.

    Attributes
    ----------
    place : tuple of float or None
        Position and radius, deg.
    ids : tuple of int
        Objects, instead of a position.
    fids : frozenset of int
        Filters.
    mag, time : tuple of float
        Ranges, ends included: of the median magnitude of a light curve, and of MJDs.
    least : int
        Epochs that a light curve must have.
    bad : int
        Bits of ``catflags`` that no epoch may have.
    """

    place: tuple[float, float, float] | None
    ids: tuple[int, ...]
    fids: frozenset[int]
    mag: Range
    time: Range
    least: int
    bad: int


async def light_curves(request: Request, service: Service, params: Parameters) -> Response:
    """Answer with the light curves of a position, or of objects."""
    form = format_of(params, "FORMAT", "votable")
    asked = read(params)

    def work() -> Response:
        frame = found(service.archive, asked)
        return answer(form, columns_of(frame, "light_curve"), rows_of(frame))

    return await service.workers.run(request, work)


def read(params: Parameters) -> Asked:
    """Return the parsed parameters.

    Raises
    ------
    ServiceError
        If one is missing or invalid, or two contradict.
    """
    if unknown := sorted({name for name, _ in params.pairs} - _KNOWN):
        raise ServiceError(f"{shown(unknown[0])} is no parameter; known are {', '.join(sorted(_KNOWN))}")
    places = [*params.all("POS"), *params.all("CIRCLE")]
    ids = tuple(_integer("ID", one) for text in params.all("ID") for one in text.replace(",", " ").split())
    if len(places) + bool(ids) != 1:
        raise ServiceError("expected one of POS, CIRCLE and ID")
    if ids and (wrong := [name for name in _ONLY_PLACES if params.all(name)]):
        raise ServiceError(f"{', '.join(wrong)} and ID do not go together")
    if len(ids) > MOST_IDS:
        raise ServiceError(f"{len(ids)} values of ID, at most {MOST_IDS} are answered at once")
    least = params.integer("NOBS_MIN") if params.all("NOBS_MIN") else params.integer("NUM_OBS", 0)
    return Asked(
        place=_circle(params) if places else None,
        ids=ids,
        fids=_filters(params),
        mag=_range(params, "MAG"),
        time=_range(params, "TIME"),
        least=least or 0,
        bad=params.integer("BAD_CATFLAGS_MASK", 0, high=2**31 - 1) or 0,
    )


def found(archive: Archive, asked: Asked) -> pd.DataFrame:
    """Return the selected epochs in IRSA's columns, light curve by light curve."""
    with words_kept():
        if asked.place is not None:
            ra, dec, radius = asked.place
            parts = [archive.light_curve(ra, dec, radius * 3600.0).data]
        else:
            parts = [_of_object(archive, one) for one in asked.ids]
    frame = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    frame = frame.loc[:, list(IRSA_COLUMNS)]
    grouped = frame.groupby("oid")["mag"]  # limits on objects apply to all of their epochs
    keep = frame["filtercode"].isin([FILTERS[fid] for fid in asked.fids]) & frame["mjd"].between(*asked.time)
    keep &= grouped.transform("size") >= asked.least
    if asked.mag != (-math.inf, math.inf):
        keep &= grouped.transform("median").between(*asked.mag)
    keep &= (frame["catflags"].fillna(0).to_numpy(np.int64) & asked.bad) == 0
    chosen: pd.DataFrame = frame[keep]
    return chosen.sort_values(["oid", "mjd"], ascending=[False, True], kind="stable", ignore_index=True)


def _of_object(archive: Archive, oid: int) -> pd.DataFrame:
    """Return the light curve of an oid (ours or of a stored reference catalogue), or all light curves of an object."""
    ra, dec, own = archive.object_position(oid)
    frame = archive.light_curve(ra, dec, ID_RADIUS).data
    return frame if own else frame[frame["oid"].abs() // 10**8 == abs(oid) // 10**8]


def _circle(params: Parameters) -> tuple[float, float, float]:
    name = "POS" if params.all("POS") else "CIRCLE"
    text = params.one(name) or ""
    words = text.replace(",", " ").split()
    if name == "POS":
        if words[0].upper() != "CIRCLE":
            raise ServiceError(f"POS is {shown(text)}, expected CIRCLE ra dec radius, deg")
        words = words[1:]
    if len(words) != 3:
        raise ServiceError(f"{name} is {shown(text)}, expected ra, dec and radius, deg")
    ra, dec = number("RA", words[0], -360.0, 360.0), number("DEC", words[1], -90.0, 90.0)
    radius = number("RADIUS", words[2], 0.0)
    if not 0.0 < radius <= round(MOST_DEGREES, 4):
        raise ServiceError(f"RADIUS is {radius:g} deg, expected more than 0 and at most {MOST_DEGREES:.4f}")
    return ra % 360.0, dec, min(radius, MOST_DEGREES)


def _filters(params: Parameters) -> frozenset[int]:
    fids = set(WAVELENGTHS)
    if params.all("BANDNAME"):
        try:
            fids &= {fid_of(one) for text in params.all("BANDNAME") for one in _band_names(text)}
        except ValueError as exc:
            raise ServiceError(f"BANDNAME: {exc}") from None
    low, high = _range(params, "BAND")
    return frozenset(fid for fid in fids if WAVELENGTHS[fid][0] <= high and WAVELENGTHS[fid][1] >= low)


def _band_names(text: str) -> list[str]:
    """Return the names of filters; ztfquery removes the commas and sends ``gr`` for ``g,r``."""
    return [one for word in text.replace(",", " ").split() for one in (word if set(word) <= set("gri123") else [word])]


def _range(params: Parameters, name: str) -> Range:
    """Return one or two numbers, which may be infinite."""
    text = params.one(name)
    if text is None:
        return -math.inf, math.inf
    try:
        values = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or any(map(math.isnan, values)) or values[0] > values[-1]:
        raise ServiceError(f"{name} is {shown(text)}, expected one number, or two in order")
    return values[0], values[-1]


def _integer(name: str, text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        raise ServiceError(f"{name} is {shown(text)}, expected a whole number") from None
    if abs(value) >= 2**63:
        raise ServiceError(f"{name} is {shown(text)}, expected a number of 64 bits")
    return value
