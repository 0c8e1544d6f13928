"""Read the typed properties of an image from its FITS header: identity, time, calibration, position on the sky.

Required are only the structure of the file, the place (field, CCD, quadrant, filter), the time of a science exposure,
the zero point and the WCS; everything else is None if the header does not have it.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.errors import HeaderError, WcsError
from ztfdb.frame.cards import AnyHeader, card_value, integer, number, text
from ztfdb.frame.filename import ZtfName
from ztfdb.frame.identity import Exposure, image_id, is_reference, read_exposure, read_place, read_window
from ztfdb.frame.plaincards import parse_cards
from ztfdb.frame.wcs import wcs_parameters
from ztfdb.records import ImageInfo
from ztfdb.sky.projection import pixel_to_sky, sky_to_pixel
from ztfdb.sky.times import SECONDS_PER_DAY, light_time_vectors
from ztfdb.wcs import WcsParameters

MAGZP_RANGE = (10.0, 40.0)
"""Range of accepted zero points (AB mag of 1 DN); ZTF's lie between 24 and 26.6."""

MAX_APCOR = 5.0
"""Largest accepted aperture correction, mag; ZTF's reach -1.2 in the 2 px aperture."""

MAX_EXPTIME = 86400.0
"""Longest accepted exposure, s."""

NO_VECTORS = dict.fromkeys(("sun_x", "sun_y", "sun_z", "ssb_x", "ssb_y", "ssb_z"))


def image_info(
    header: AnyHeader,
    name: ZtfName | None,
    shape: tuple[int, int],
    path: str | Path,
    *,
    wcs: WcsParameters | None = None,
) -> ImageInfo:
    """Read everything that the archive stores about one image, except its sources.

    Parameters
    ----------
    header : astropy.io.fits.Header or mapping
        Header of the image, or the first value of each keyword.
    name : ZtfName or None
        The parsed file name; it supplies missing values and never overrules the header.
    shape : tuple of int
        ``(ny, nx)`` of the pixels.
    path : str or Path
        The file, for errors.
    wcs : WcsParameters, optional
        The header's WCS, if it was read before.

    Returns
    -------
    ImageInfo

    Raises
    ------
    HeaderError
        If MAGZP, the place, or a science image's time is missing, impossible, or contradictory.
    WcsError
        If the WCS is missing or unusable.
    """
    if wcs is None:
        wcs = wcs_parameters(header if isinstance(header, fits.Header) else fits.Header(header), path)
    place = read_place(header, name, path)
    reference = is_reference(header, name)
    exposure = Exposure(None, None, None, None) if reference else read_exposure(header, name, place.rcid, path)
    window = read_window(wcs, shape, reference)
    simulated = card_value(header, "SIMULATE") is True
    identity = image_id(place, exposure, window, reference=reference, simulated=simulated)
    kind = "ref" if reference else "sci" if window.whole else "cutout"
    return ImageInfo(
        image_id=identity,
        kind=kind,
        simulated=simulated,
        field=place.field,
        ccdid=place.ccdid,
        qid=place.qid,
        rcid=place.rcid,
        fid=place.fid,
        filtercode=place.filtercode,
        filefracday=exposure.filefracday,
        expid=exposure.expid,
        pid=None if simulated else exposure.pid,  # a simulated image has no ZTF id
        x0=window.x0,
        y0=window.y0,
        nx=window.nx,
        ny=window.ny,
        **_times(header, exposure),
        **_calibration(header, path),
        **_instrument(header),
        **_sky_position(wcs, shape, path),
    )


def header_cards(header: fits.Header) -> dict[str, Any]:
    """Return a header as strict JSON values, in the header's order.

    Comments are omitted, because they come from the pipeline and are the same in every file.

    Parameters
    ----------
    header : astropy.io.fits.Header

    Returns
    -------
    dict
        Keyword to bool, int, float, str or None. Values that are not finite, undefined or cannot be parsed are None;
        NUL and control characters are dropped from text. A repeated keyword, for example HISTORY or COMMENT, has the
        list of its values.
    """
    return parse_cards(header).as_json


def _times(header: AnyHeader, exposure: Exposure) -> dict[str, Any]:
    """Return start, middle and length of the exposure and the light-time vectors of its middle."""
    exptime = _positive(header, "EXPTIME", "EXPOSURE", below=MAX_EXPTIME)
    times: dict[str, Any] = {"obsmjd": exposure.obsmjd, "exptime": exptime, "mjd_mid": None}
    if exposure.obsmjd is None or exptime is None:
        return {**times, **NO_VECTORS}
    times["mjd_mid"] = exposure.obsmjd + 0.5 * exptime / SECONDS_PER_DAY
    sun, ssb = light_time_vectors(np.array([times["mjd_mid"]]))
    return {**times, **dict(zip(NO_VECTORS, [*sun[0].tolist(), *ssb[0].tolist()], strict=True))}


def _calibration(header: AnyHeader, path: str | Path) -> dict[str, Any]:
    """Return the photometric calibration; the zero point is required, because magnitudes need it."""
    magzp = number(header, "MAGZP")
    if magzp is None or not MAGZP_RANGE[0] <= magzp <= MAGZP_RANGE[1]:
        found = "missing" if "MAGZP" not in header else f"{card_value(header, 'MAGZP')!r}"
        wanted = f"wanted a number in {MAGZP_RANGE[0]:.0f}..{MAGZP_RANGE[1]:.0f}"
        raise HeaderError(path, f"the zero point MAGZP is {found}, {wanted}", "MAGZP")
    return {
        "magzp": magzp,
        "magzpunc": number(header, "MAGZPUNC"),
        "magzprms": number(header, "MAGZPRMS"),
        "clrcoeff": number(header, "CLRCOEFF"),
        "clrcounc": number(header, "CLRCOUNC"),
        **_aperture_corrections(header),
    }


def _aperture_corrections(header: AnyHeader) -> dict[str, float | None]:
    """Return APCOR of our diameters, found by FIXAPERS if the header has it."""
    listed = re.findall(r"[\d.]+", text(header, "FIXAPERS") or "")
    try:
        diameters = [float(item) for item in listed] or list(APERTURE_DIAMETERS)
    except ValueError:
        diameters = []
    corrections: dict[str, float | None] = {}
    for i, diameter in enumerate(APERTURE_DIAMETERS):
        value = number(header, f"APCOR{diameters.index(diameter) + 1}") if diameter in diameters else None
        corrections[f"apcor{i + 1}"] = None if value is None or abs(value) > MAX_APCOR else value
    return corrections


def _instrument(header: AnyHeader) -> dict[str, Any]:
    """Return detector, quality and processing values; SEEING is a FWHM in pixels, NFRAMES a reference's depth."""
    return {
        "seeing_pix": _positive(header, "SEEING"),
        "maglim": number(header, "MAGLIM"),
        "gain": _positive(header, "GAIN"),
        "readnoi": _positive(header, "READNOI"),
        "saturate": _positive(header, "SATURATE"),
        "infobits": _count(header, "INFOBITS", below=2**63),
        "status": _count(header, "STATUS", below=2**15),
        "airmass": _positive(header, "AIRMASS"),
        "programid": _count(header, "PROGRMID", below=2**15),
        "procvsn": _count(header, "PROCVSN", below=2**31),
        "created": text(header, "CREATED"),
        "nframes": _count(header, "NFRAMES", below=2**31),
    }


def _sky_position(wcs: WcsParameters, shape: tuple[int, int], path: str | Path) -> dict[str, Any]:
    """Return the centre and the outer corners of the image, and check that the WCS can be inverted."""
    ny, nx = shape
    right, top = nx - 0.5, ny - 0.5
    x = np.array([(nx - 1) / 2, -0.5, right, right, -0.5])
    y = np.array([(ny - 1) / 2, -0.5, -0.5, top, top])
    ra, dec = pixel_to_sky(wcs, x, y)
    back_x, back_y = sky_to_pixel(wcs, ra, dec)
    if not (np.abs(back_x - x).max() < 0.01 and np.abs(back_y - y).max() < 0.01):  # false for NaN
        raise WcsError(path, "the WCS does not lead back from the sky to the corners of the image")
    keys = ("", "1", "2", "3", "4")
    return {f"{c}{k}": float(v[i]) for i, k in enumerate(keys) for c, v in (("ra", ra), ("dec", dec))}


def _positive(header: AnyHeader, *keywords: str, below: float = math.inf) -> float | None:
    """Return the first positive number among the keywords."""
    for keyword in keywords:
        value = number(header, keyword)
        if value is not None and 0.0 < value < below:
            return value
    return None


def _count(header: AnyHeader, keyword: str, *, below: int) -> int | None:
    """Return an integer from 0 up to the limit of its column."""
    value = integer(header, keyword)
    return value if value is not None and 0 <= value < below else None
