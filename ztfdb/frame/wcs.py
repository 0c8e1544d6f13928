"""The celestial WCS of a header as plain numbers, and as an astropy WCS where needed."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy.io import fits

from ztfdb.arrays import Float64Array
from ztfdb.errors import WcsError
from ztfdb.frame.cards import AnyHeader, card_value
from ztfdb.frame.distortion import fit_distortion
from ztfdb.sky.projection import IDENTITY_PV
from ztfdb.wcs import N_PV, WcsParameters

if TYPE_CHECKING:
    from astropy.wcs import WCS

MAX_PV = 39
"""Highest index of a TPV coefficient in the FITS registry; ztfdb's own arithmetic stops at 16 (fourth order)."""

PIXEL_SCALES = (0.05, 60.0)
"""Range of accepted pixel scales (arcsec); ZTF has 1.01, its references 1.00."""

MAX_FIT_ERROR_PIX = 1e-3
"""Largest error of a WCS fitted by TPV, pixels; SIP up to fourth order fits to 1e-6."""

SAME_MATRIX = 1e-7
"""Largest relative difference of two forms of the same matrix: 0.0003 px over a quadrant."""

LOOKUP_TABLES = ("CPDIS1", "CPDIS2", "CQDIS1", "CQDIS2", "D2IMDIS1", "D2IMDIS2", "D2IMARR")
"""Cards of distortions that are tables in other HDUs."""

MAX_CRPIX = 1e6
"""Farthest accepted reference pixel, pixels."""


def wcs_parameters(header: fits.Header, path: str | Path, *, values: AnyHeader | None = None) -> WcsParameters:
    """Read the celestial WCS of an image header.

    TPV and TAN are read directly; ``TAN`` with PV cards is SCAMP's form of TPV. Anything else that astropy can evaluate
    (SIP, other projections, declination first, a rotated pole) is fitted by a fourth-order TPV over the image, which
    must agree with astropy within `MAX_FIT_ERROR_PIX`. The matrix may be CD, PC with CDELT, or CDELT with CROTA2; if a
    header has both CD and PC, they must agree (wcslib uses PC, others CD). Left-over PV cards in a SIP header are
    ignored, as in astropy. Positions without RADESYS, and FK5 positions of equinox 2000, are treated as ICRS (they
    differ by less than 0.03 arcsec).

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the image.
    path : str or Path
        The file, for the error.
    values : mapping, optional
        The first value of each keyword, if they are known: looking them up in the header takes longer.

    Returns
    -------
    WcsParameters
        Projection ``"TPV"`` or ``"TAN"``.

    Raises
    ------
    WcsError
        If there is no celestial WCS, its matrix is singular, its pixel scale lies outside 0.05..60 arcsec, a number
        is missing or not finite, its frame is not equatorial J2000, it contradicts itself (two matrices, SIP beside
        TPV), needs a look-up table, or cannot be expressed.
    """
    cards: AnyHeader = header if values is None else values
    ctypes = [str(card_value(cards, f"CTYPE{i}") or "").upper() for i in (1, 2)]
    _check_axes(cards, ctypes, path)
    _check_distortions(cards, ctypes, path)
    crval = np.array([_number(cards, f"CRVAL{i}", path) for i in (1, 2)])
    crpix = np.array([_number(cards, f"CRPIX{i}", path) for i in (1, 2)])
    cd = _linear_matrix(cards, path)
    if ctypes[0].startswith("DEC"):
        crval, cd = crval[::-1].copy(), cd[::-1].copy()
    if abs(crval[1]) > 90.0 or np.abs(crpix).max() > MAX_CRPIX:
        raise WcsError(path, f"CRVAL {crval.tolist()} or CRPIX {crpix.tolist()} is out of range")
    scale = 3600.0 * math.sqrt(abs(np.linalg.det(cd)))
    if not PIXEL_SCALES[0] <= scale <= PIXEL_SCALES[1]:
        raise WcsError(path, f"the CD matrix {cd.tolist()} is singular or absurd (a pixel of {scale:.3g} arcsec)")
    if not _is_tpv(cards, ctypes, crval):
        return _fitted(header, crval, crpix, cd, path)
    if crval[1] == 90.0:
        crval[0] = (crval[0] + 180.0) % 360.0  # the default LONPOLE is 0 at the pole and 180 elsewhere; ours is 180
    pv = _distortion(cards, path)
    identity = np.array_equal(pv, IDENTITY_PV) and ctypes[0].endswith("TAN")
    return WcsParameters("TAN" if identity else "TPV", crval, crpix, cd, pv)


def astropy_wcs(source: WcsParameters | fits.Header | Mapping[str, Any]) -> WCS:
    """Build the astropy WCS of an image.

    Parameters
    ----------
    source : WcsParameters, Header or mapping of cards
        The numbers, a header, or stored header cards as `ztfdb.frame.header.header_cards` gives them.

    Returns
    -------
    astropy.wcs.WCS
        Two celestial axes, deg, ICRS.
    """
    from astropy.wcs import WCS  # costs a process as much as all of the FITS reading, and few headers need it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # obsolete cards and the dates of the header do not matter here
        if isinstance(source, WcsParameters):
            source = parameters_to_header(source)
        elif not isinstance(source, fits.Header):
            source = fits.Header([(k, v) for k, v in source.items() if isinstance(v, (int, float, str))])
        return WCS(source, naxis=2)


def parameters_to_header(wcs: WcsParameters) -> fits.Header:
    """Return WCS parameters as FITS cards."""
    cards: list[tuple[str, Any]] = [("WCSAXES", 2), ("RADESYS", "ICRS"), ("LONPOLE", 180.0)]
    for i, name in enumerate(("RA---", "DEC--")):
        cards += [(f"CTYPE{i + 1}", name + wcs.projection), (f"CUNIT{i + 1}", "deg")]
        cards += [(f"CRVAL{i + 1}", float(wcs.crval[i])), (f"CRPIX{i + 1}", float(wcs.crpix[i]))]
        cards += [(f"CD{i + 1}_{j + 1}", float(wcs.cd[i, j])) for j in (0, 1)]
    if wcs.projection == "TPV":
        cards += [(f"PV{i + 1}_{j}", float(wcs.pv[i, j])) for i in (0, 1) for j in range(N_PV) if wcs.pv[i, j]]
    return fits.Header(cards)


def _check_axes(header: AnyHeader, ctypes: list[str], path: str | Path) -> None:
    """Refuse axes that are not one equatorial J2000 pair."""
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


def _linear_matrix(header: AnyHeader, path: str | Path) -> Float64Array:
    """Return the CD matrix, deg per pixel, from any of its forms."""
    cd_names, pc_names = ([f"{name}{i}_{j}" for i in (1, 2) for j in (1, 2)] for name in ("CD", "PC"))
    has_cd, has_pc = (any(name in header for name in names) for names in (cd_names, pc_names))
    cd = np.array([_number(header, name, path, default=0.0) for name in cd_names]).reshape(2, 2) if has_cd else None
    if cd is not None and not has_pc:
        return cd
    if cd is None and ("CDELT1" not in header or "CDELT2" not in header):
        raise WcsError(path, "there is no CD matrix and no CDELT")
    cdelt = np.array([_number(header, f"CDELT{i}", path, default=1.0) for i in (1, 2)])
    angle = _number(header, "CROTA2", path, default=0.0)
    if not has_pc:
        return _rotated(cdelt, math.radians(angle))
    pc = np.array([_number(header, f"PC{i}_{j}", path, default=float(i == j)) for i in (1, 2) for j in (1, 2)])
    matrix = cdelt[:, None] * pc.reshape(2, 2)
    if cd is not None and not np.abs(cd - matrix).max() <= SAME_MATRIX * np.abs(cd).max():
        raise WcsError(path, f"the CD matrix {cd.tolist()} contradicts PC and CDELT, {matrix.tolist()}")
    if cd is None and angle != 0.0:
        raise WcsError(path, f"PC and CROTA2 = {angle} in one header: two rotations")
    return np.asarray(matrix if cd is None else cd)


def _rotated(cdelt: Float64Array, angle: float) -> Float64Array:
    """Return the matrix of CDELT and CROTA2 (rad)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cdelt[0] * cos, -cdelt[1] * sin], [cdelt[0] * sin, cdelt[1] * cos]])


def _check_distortions(header: AnyHeader, ctypes: list[str], path: str | Path) -> None:
    """Refuse contradictory distortions, or those whose numbers are not in the header."""
    table = next((name for name in LOOKUP_TABLES if name in header), None)
    if table is not None:
        raise WcsError(path, f"{table}: a distortion by a look-up table is not supported")
    if _has_sip(header) and any("TPV" in ctype for ctype in ctypes):
        raise WcsError(path, "two distortions: TPV by CTYPE, and SIP cards (A_ORDER, B_ORDER)")


def _has_sip(header: AnyHeader) -> bool:
    return any(name in header for name in ("A_ORDER", "B_ORDER"))


def _distortion(header: AnyHeader, path: str | Path) -> Float64Array:
    """Return the TPV coefficients; the identity if the header has none."""
    pv = IDENTITY_PV.copy()
    for i in (1, 2):
        for j in range(N_PV):
            pv[i - 1, j] = _number(header, f"PV{i}_{j}", path, default=float(pv[i - 1, j]))
    return pv


def _is_tpv(header: AnyHeader, ctypes: list[str], crval: Float64Array) -> bool:
    """Return whether the cards are TPV or TAN in the usual orientation, up to fourth order."""
    usual_pole = card_value(header, "LONPOLE") in ((0, None) if crval[1] == 90.0 else (180, None))
    high_order = any(f"PV{i}_{j}" in header for i in (1, 2) for j in range(N_PV, MAX_PV + 1))
    spelled = tuple(c.rstrip() for c in ctypes) in (("RA---TPV", "DEC--TPV"), ("RA---TAN", "DEC--TAN"))
    # astropy applies SIP even if CTYPE does not name it, but not together with PV cards
    sip = _has_sip(header) and not any(name in header for name in ("PV1_1", "PV2_1"))
    return usual_pole and spelled and not high_order and not sip


def _fitted(
    header: fits.Header, crval: Float64Array, crpix: Float64Array, cd: Float64Array, path: str | Path
) -> WcsParameters:
    """Fit a WCS that only astropy can evaluate by TPV."""
    nx, ny = (_number(header, f"NAXIS{i}", path) for i in (1, 2))
    try:
        full = astropy_wcs(_without_leftovers(header))
        pv, _ = fit_distortion(full, nx, ny, crval, crpix, cd)
        # A rotation (of the pole) belongs into the matrix: as a distortion, astropy could not invert it.
        cd = np.array([[pv[0, 1], pv[0, 2]], [pv[1, 2], pv[1, 1]]]) @ cd
        pv, error = fit_distortion(full, nx, ny, crval, crpix, cd)
    except Exception as exc:  # astropy's wrapper of wcslib has its own exceptions
        raise WcsError(path, f"the WCS cannot be evaluated: {exc}") from exc
    if not error <= MAX_FIT_ERROR_PIX:
        raise WcsError(path, f"the WCS cannot be expressed as TPV: {error:.3g} pixels off")
    return WcsParameters("TPV", crval, crpix, cd, pv)


def _without_leftovers(header: fits.Header) -> fits.Header:
    """Drop the PV cards of a SIP header that was converted from TPV."""
    if not str(card_value(header, "CTYPE1") or "").upper().rstrip().endswith("-SIP"):
        return header
    kept = header.copy()
    for name in [name for name in header if name[:4] in ("PV1_", "PV2_")]:
        kept.remove(name, remove_all=True)
    return kept


def _number(header: AnyHeader, keyword: str, path: str | Path, default: float | None = None) -> float:
    """Return a finite number of the WCS, or the default if the card is absent."""
    value = card_value(header, keyword)
    if value is None and default is not None and keyword not in header:
        return default
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise WcsError(path, f"{keyword} is {value!r}, not a number")
    return float(value)
