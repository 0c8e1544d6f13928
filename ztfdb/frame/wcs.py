"""The celestial WCS of a header as plain numbers, and as an astropy WCS where only that will do."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike

from ztfdb.errors import WcsError
from ztfdb.frame.cards import card_value
from ztfdb.records import N_PV, FloatArray, WcsParameters
from ztfdb.sky.projection import IDENTITY_PV, pixel_to_sky, sky_to_pixel

Transform = Callable[[ArrayLike, ArrayLike], tuple[FloatArray, FloatArray]]
"""Pixels to sky, or sky to pixels."""

MAX_PV = 39
"""Highest index of a TPV coefficient in the FITS registry; ztfdb's own arithmetic stops at 16 (fourth order)."""

PIXEL_SCALES = (0.05, 60.0)
"""Pixel scales (arcsec) between which a header is believed; ZTF has 1.01, its references 1.00."""

MAX_CRPIX = 1e6
"""Farthest reference pixel that is believed, pixels."""


def wcs_parameters(header: fits.Header, path: str | Path) -> WcsParameters:
    """Read the celestial WCS of an image header.

    ``TAN`` with PV cards is SCAMP's spelling of TPV and is read as such. A right-handed or rotated image, CD or
    CDELT with PC or CROTA2 all work. SIP, other projections, swapped axes and rotated poles come back with projection
    ``"other"``: `astropy_wcs` evaluates those from the header. Positions without RADESYS, and FK5 ones of equinox
    2000, are taken as ICRS (they differ by less than 0.03 arcsec).

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the image.
    path : str or Path
        The file, for the error.

    Returns
    -------
    WcsParameters

    Raises
    ------
    WcsError
        If there is no celestial WCS, its matrix is singular, its pixel scale lies outside 0.05..60 arcsec, a number
        is missing or not finite, or its frame is not equatorial J2000.
    """
    ctypes = [str(card_value(header, f"CTYPE{i}") or "").upper() for i in (1, 2)]
    _check_axes(header, ctypes, path)
    crval = np.array([_number(header, f"CRVAL{i}", path) for i in (1, 2)])
    crpix = np.array([_number(header, f"CRPIX{i}", path) for i in (1, 2)])
    cd = _linear_matrix(header, path)
    if abs(crval[1]) > 90.0 or np.abs(crpix).max() > MAX_CRPIX:
        raise WcsError(path, f"CRVAL {crval.tolist()} or CRPIX {crpix.tolist()} is out of range")
    scale = 3600.0 * math.sqrt(abs(np.linalg.det(cd)))
    if not PIXEL_SCALES[0] <= scale <= PIXEL_SCALES[1]:
        raise WcsError(path, f"the CD matrix {cd.tolist()} is singular or absurd (a pixel of {scale:.3g} arcsec)")
    pv = _distortion(header, path)
    projection = _projection(header, ctypes, pv)
    if projection != "other" and crval[1] == 90.0:
        crval[0] = (crval[0] + 180.0) % 360.0  # the default LONPOLE is 0 at the pole and 180 elsewhere; ours is 180
    return WcsParameters(projection, crval, crpix, cd, pv if projection == "TPV" else IDENTITY_PV.copy())


def astropy_wcs(source: WcsParameters | fits.Header | Mapping[str, Any]) -> WCS:
    """Build the astropy WCS of an image.

    Parameters
    ----------
    source : WcsParameters, Header or mapping of cards
        The numbers (TPV and TAN), a header, or the stored header cards as `ztfdb.frame.header.header_cards` gives
        them.

    Returns
    -------
    astropy.wcs.WCS
        Two celestial axes, deg, ICRS.

    Raises
    ------
    ValueError
        If the parameters are of projection ``"other"``: those need the header.
    """
    if isinstance(source, WcsParameters):
        header = parameters_to_header(source)
    elif isinstance(source, fits.Header):
        header = source
    else:
        header = fits.Header([(k, v) for k, v in source.items() if isinstance(v, (int, float, str))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # obsolete cards and the dates of the header are no concern of the caller
        return WCS(header, naxis=2)


def locate(wcs: WcsParameters, header: fits.Header | Mapping[str, Any]) -> tuple[Transform, Transform]:
    """Return the functions ``(x, y) -> (ra, dec)`` and ``(ra, dec) -> (x, y)`` of an image, whatever its projection.

    Parameters
    ----------
    wcs : WcsParameters
        The numbers; evaluated in numpy where they suffice.
    header : Header or mapping of cards
        Needed for projection ``"other"``, which astropy evaluates (NaN where it finds no solution).

    Returns
    -------
    pixel_to_sky, sky_to_pixel : callable
        Zero-based pixels, deg ICRS.
    """
    if wcs.projection != "other":
        return partial(pixel_to_sky, wcs), partial(sky_to_pixel, wcs)
    full = astropy_wcs(header)

    def to_sky(x: ArrayLike, y: ArrayLike) -> tuple[FloatArray, FloatArray]:
        ra, dec = full.all_pix2world(x, y, 0) if full.wcs.lng == 0 else full.all_pix2world(x, y, 0)[::-1]
        return np.asarray(ra), np.asarray(dec)

    def to_pixel(ra: ArrayLike, dec: ArrayLike) -> tuple[FloatArray, FloatArray]:
        world = (ra, dec) if full.wcs.lng == 0 else (dec, ra)
        x, y = full.all_world2pix(*world, 0, quiet=True)
        return np.asarray(x), np.asarray(y)

    return to_sky, to_pixel


def parameters_to_header(wcs: WcsParameters) -> fits.Header:
    """Return FITS cards that spell WCS parameters.

    Raises
    ------
    ValueError
        If the projection is ``"other"``.
    """
    if wcs.projection not in ("TPV", "TAN"):
        raise ValueError(f"projection {wcs.projection!r} cannot be written from its parameters")
    cards: list[tuple[str, Any]] = [("WCSAXES", 2), ("RADESYS", "ICRS"), ("LONPOLE", 180.0)]
    for i, name in enumerate(("RA---", "DEC--")):
        cards += [(f"CTYPE{i + 1}", name + wcs.projection), (f"CUNIT{i + 1}", "deg")]
        cards += [(f"CRVAL{i + 1}", float(wcs.crval[i])), (f"CRPIX{i + 1}", float(wcs.crpix[i]))]
        cards += [(f"CD{i + 1}_{j + 1}", float(wcs.cd[i, j])) for j in (0, 1)]
    if wcs.projection == "TPV":
        cards += [(f"PV{i + 1}_{j}", float(wcs.pv[i, j])) for i in (0, 1) for j in range(N_PV) if wcs.pv[i, j]]
    return fits.Header(cards)


def _check_axes(header: fits.Header, ctypes: list[str], path: str | Path) -> None:
    """Refuse what is not one equatorial J2000 pair of axes."""
    if not any(ctypes):
        raise WcsError(path, "there is no world coordinate system (no CTYPE1, CTYPE2)")
    if sorted(c[:4].rstrip("-") for c in ctypes) != ["DEC", "RA"]:
        raise WcsError(path, f"the axes {ctypes[0]!r}, {ctypes[1]!r} are not right ascension and declination")
    system = str(card_value(header, "RADESYS") or card_value(header, "RADECSYS") or "").strip().upper()
    equinox = card_value(header, "EQUINOX")
    if system not in ("ICRS", "FK5", "") or (system != "ICRS" and equinox not in (None, 2000, "J2000", "2000")):
        raise WcsError(path, f"the frame {system!r} (equinox {equinox}) is not ICRS")
    units = [str(card_value(header, f"CUNIT{i}") or "deg").lower() for i in (1, 2)]
    if any(unit not in ("deg", "degree", "degrees") for unit in units):
        raise WcsError(path, f"the axes are in {units}, not in degrees")


def _linear_matrix(header: fits.Header, path: str | Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the CD matrix, deg per pixel, however the header spells it."""
    names = [f"CD{i}_{j}" for i in (1, 2) for j in (1, 2)]
    if any(name in header for name in names):
        return np.array([_number(header, name, path, default=0.0) for name in names]).reshape(2, 2)
    if "CDELT1" not in header or "CDELT2" not in header:
        raise WcsError(path, "there is no CD matrix and no CDELT")
    cdelt = np.array([_number(header, f"CDELT{i}", path) for i in (1, 2)])
    angle = math.radians(_number(header, "CROTA2", path, default=0.0))
    pc = np.array(
        [
            [math.cos(angle), -math.sin(angle) * cdelt[1] / (cdelt[0] or 1.0)],
            [math.sin(angle) * cdelt[0] / (cdelt[1] or 1.0), math.cos(angle)],
        ]
    )
    for i in (0, 1):
        for j in (0, 1):
            pc[i, j] = _number(header, f"PC{i + 1}_{j + 1}", path, default=float(pc[i, j]))
    return np.asarray(cdelt[:, None] * pc)


def _distortion(header: fits.Header, path: str | Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the TPV coefficients; the identity where the header has none."""
    pv = IDENTITY_PV.copy()
    for i in (1, 2):
        for j in range(N_PV):
            pv[i - 1, j] = _number(header, f"PV{i}_{j}", path, default=float(pv[i - 1, j]))
    return pv


def _projection(header: fits.Header, ctypes: list[str], pv: np.ndarray[Any, Any]) -> str:
    """Name the projection: what `ztfdb.sky.projection` can evaluate, or ``other``."""
    kinds = {c[5:8] for c in ctypes}
    plain = ctypes[0].startswith("RA") and all(len(c.rstrip()) == 8 for c in ctypes)
    crval2 = float(card_value(header, "CRVAL2"))
    usual_pole = card_value(header, "LONPOLE") in ((0, None) if crval2 == 90.0 else (180, None))
    high_order = any(f"PV{i}_{j}" in header for i in (1, 2) for j in range(N_PV, MAX_PV + 1))
    if not plain or not usual_pole or high_order or kinds not in ({"TPV"}, {"TAN"}):
        return "other"
    return "TAN" if np.array_equal(pv, IDENTITY_PV) and kinds == {"TAN"} else "TPV"


def _number(header: fits.Header, keyword: str, path: str | Path, default: float | None = None) -> float:
    """Return a finite number of the WCS, or the default where the card is absent."""
    value = card_value(header, keyword)
    if value is None and default is not None and keyword not in header:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise WcsError(path, f"{keyword} is {value!r}, not a number")
    return float(value)
