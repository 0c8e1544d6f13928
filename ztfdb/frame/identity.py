"""Determine exposure, quadrant and window of an image, and its ``image_id``.

The header takes precedence. A file name only supplies missing values, because IRSA's cutouts and reprocessed images
have the name of the whole quadrant, and users rename files. An image with a contradictory header (exposure id or
processed-image id and OBSMJD, readout channel and CCD, filter id and filter) is refused: under either identity it would
be a wrong epoch of a light curve.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ztfdb.errors import HeaderError
from ztfdb.frame.cards import AnyHeader, integer, number, text
from ztfdb.frame.filename import FILTERCODES, ZtfName, parse_name
from ztfdb.records import QUADRANT_SHAPE
from ztfdb.sky.times import SECONDS_PER_DAY
from ztfdb.wcs import WcsParameters

FIRST_NIGHT = 57754
"""MJD of ZTF's night 0, 2017-01-01."""

MAX_NIGHT = 9999
"""Last night whose processed-image ids stay below 10^13."""

PIPELINE_ID = 15
"""ZTF's pipeline id, the last two digits of every processed-image id seen."""

MAX_FIELD = 999_999
"""Highest field number in a file name."""

REFERENCE_SHAPE = (3200, 3200)
"""Shape ``(ny, nx)`` of a whole reference image."""

FIRST_REFERENCE_ID = 10**13
FIRST_HASHED_ID = 11 * 10**12
END_OF_IDS = 1 << 45
"""Upper limit of image ids: shifted by 18 bits they fill a signed 64-bit source id."""

CLOCK_TOLERANCE_S = 120.0
"""Tolerance between ids or names and OBSMJD, s; real names lag by up to 42 s."""

MJD_OF_UNIX_ZERO = 40587.0


@dataclass(frozen=True)
class Place:
    """The field, readout channel and filter of an image."""

    field: int
    rcid: int
    fid: int

    @property
    def ccdid(self) -> int:
        """CCD, 1..16."""
        return self.rcid // 4 + 1

    @property
    def qid(self) -> int:
        """Quadrant of the CCD, 1..4."""
        return self.rcid % 4 + 1

    @property
    def filtercode(self) -> str:
        """``zg``, ``zr`` or ``zi``."""
        return FILTERCODES[self.fid - 1]


@dataclass(frozen=True)
class Exposure:
    """The time and ZTF's ids of an image; all None for a reference."""

    obsmjd: float | None
    expid: int | None
    pid: int | None
    filefracday: int | None


@dataclass(frozen=True)
class Window:
    """The part of its quadrant that an image shows, zero-based pixels; `whole` if it is the entire quadrant."""

    x0: int
    y0: int
    nx: int
    ny: int
    whole: bool


def read_place(header: AnyHeader, name: ZtfName | None, path: str | Path) -> Place:
    """Read field, readout channel and filter.

    Parameters
    ----------
    header : astropy.io.fits.Header or mapping
    name : ZtfName or None
        The parsed file name; used only for missing values.
    path : str or Path
        The file, for the error.

    Returns
    -------
    Place

    Raises
    ------
    HeaderError
        If one of them is missing, out of range, or contradictory.
    """
    names = _names(header, name)
    field = _first(integer(header, "FIELDID", "DBFIELD"), *(n.field for n in names))
    if field is None or not 0 <= field <= MAX_FIELD:
        raise HeaderError(path, f"the field is {field}: no usable FIELDID, nor a ZTF file name", "FIELDID")
    return Place(field, _read_rcid(header, names, path), _read_fid(header, names, path))


def is_reference(header: AnyHeader, name: ZtfName | None) -> bool:
    """Return whether an image is a reference: it has no exposure, and its name or cards mark it as a reference."""
    if any(integer(header, keyword) is not None for keyword in ("EXPID", "DBEXPID", "DBPID")):
        return False
    if name is not None and name.product == "refimg":
        return True
    timeless = number(header, "OBSMJD", "OBSJD") is None and text(header, "SHUTOPEN") is None
    return timeless and any(keyword in header for keyword in ("RFID", "GLOBMED", "PXSCAL"))


def read_exposure(header: AnyHeader, name: ZtfName | None, rcid: int, path: str | Path) -> Exposure:
    """Read the time of a science image and its ids.

    Parameters
    ----------
    header : astropy.io.fits.Header or mapping
    name : ZtfName or None
        The parsed file name.
    rcid : int
        Readout channel.
    path : str or Path
        The file, for the error.

    Returns
    -------
    Exposure
        ``obsmjd`` from OBSMJD, else OBSJD, else SHUTOPEN (0.6 to 1.6 s later, too late to derive an exposure id).
        ``pid`` from DBPID, else from the exposure id. ``filefracday`` from card FILENAME, else from the file's name,
        and only if that agrees with the time.

    Raises
    ------
    HeaderError
        If there is no time, if it lies outside ZTF's years, or if an id contradicts it or the readout channel.
    """
    obsmjd = number(header, "OBSMJD")
    obsjd = number(header, "OBSJD")
    if obsmjd is None and obsjd is not None:
        obsmjd = obsjd - 2400000.5
    rounded = obsmjd is None
    if obsmjd is None:
        obsmjd = _mjd_of_iso(text(header, "SHUTOPEN"))
    if obsmjd is None or not FIRST_NIGHT <= obsmjd < FIRST_NIGHT + MAX_NIGHT:
        raise HeaderError(path, f"the time of the exposure is {obsmjd}, wanted an MJD since 2017 in OBSMJD", "OBSMJD")
    pid = _read_pid(header, rcid, path)
    expid = _first(integer(header, "EXPID", "DBEXPID"), None if pid is None else pid // 10_000)
    if expid is None and not rounded:
        expid = expid_from_mjd(obsmjd)
    if expid is not None:
        _check_expid(expid, pid, obsmjd, path)
        pid = _first(pid, expid * 10_000 + rcid * 100 + PIPELINE_ID)
    return Exposure(obsmjd, expid, pid, _filefracday(header, name, obsmjd))


def expid_from_mjd(obsmjd: float) -> int:
    """Return ZTF's exposure id: the night since 2017 and the fraction of the UT day in 1e-5 (0.9 s).

    OBSMJD has seven decimals; they are counted as integers because ``0.29 * 1e5`` is below 29000 in binary.
    """
    ticks = round(obsmjd * 1e7)
    night, fraction = divmod(ticks, 10**7)
    return int((night - FIRST_NIGHT) * 100_000 + fraction // 100)


def read_window(wcs: WcsParameters, shape: tuple[int, int], reference: bool) -> Window:
    """Return the part of the quadrant that an image shows, from its size and its reference pixel.

    A whole quadrant has CRPIX at its centre, and IRSA's cutouts keep the reference point, so CRPIX gives their first
    pixel.
    """
    whole_ny, whole_nx = REFERENCE_SHAPE if reference else QUADRANT_SHAPE
    ny, nx = shape
    offset_x = (whole_nx + 1) / 2 - float(wcs.crpix[0])
    offset_y = (whole_ny + 1) / 2 - float(wcs.crpix[1])
    same_size = shape == (whole_ny, whole_nx)
    # A reference's tangent point is known only to about a pixel, so its size decides.
    whole = same_size and (reference or max(abs(offset_x), abs(offset_y)) < 0.01)
    return Window(0, 0, nx, ny, True) if whole else Window(round(offset_x), round(offset_y), nx, ny, False)


def image_id(place: Place, exposure: Exposure, window: Window, *, reference: bool, simulated: bool) -> int:
    """Return the id of an image.

    Parameters
    ----------
    place, exposure, window : Place, Exposure, Window
        The image's identity.
    reference, simulated : bool
        Kind of the image.

    Returns
    -------
    int
        ZTF's own ``pid`` for a whole science quadrant, ``10^13 + (field * 4 + fid) * 64 + rcid`` for a whole
        reference, and for the rest (cutouts, simulated images, exposures without id) a hash of the identity into
        ``[1.1e13, 2^45)``.
    """
    if window.whole and not simulated:
        if reference:
            return FIRST_REFERENCE_ID + (place.field * 4 + place.fid) * 64 + place.rcid
        if exposure.pid is not None:
            return exposure.pid
    what = f"reference {place.field} {place.fid}" if reference else f"exposure {exposure.expid}"
    if not reference and exposure.expid is None:
        what = f"mjd {exposure.obsmjd:.6f}"
    key = f"{what}; rcid {place.rcid}; window {window.x0} {window.y0} {window.nx} {window.ny}; simulated {simulated}"
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return FIRST_HASHED_ID + digest % (END_OF_IDS - FIRST_HASHED_ID)


def _read_rcid(header: AnyHeader, names: list[ZtfName], path: str | Path) -> int:
    """Return the readout channel: RCID, or CCD and quadrant, each from its card or else from a name."""
    rcid = integer(header, "RCID", "DBRCID")
    amplifier = integer(header, "AMP_ID")
    ccdid = integer(header, "CCDID", "CCD_ID")
    qid = _first(integer(header, "QID"), None if amplifier is None else amplifier + 1)
    if rcid is None:
        ccdid = _first(ccdid, *(n.ccdid for n in names))
        qid = _first(qid, *(n.qid for n in names))
    if ccdid is not None and not 1 <= ccdid <= 16:
        raise HeaderError(path, f"CCDID is {ccdid}, not 1..16", "CCDID")
    if qid is not None and not 1 <= qid <= 4:
        raise HeaderError(path, f"QID is {qid}, not 1..4", "QID")
    if rcid is None:
        if ccdid is None or qid is None:
            missing = "CCDID" if ccdid is None else "QID"
            raise HeaderError(path, f"no RCID, no {missing} and no ZTF file name that tells it", missing)
        return 4 * (ccdid - 1) + qid - 1
    if not 0 <= rcid <= 63:
        raise HeaderError(path, f"RCID is {rcid}, not 0..63", "RCID")
    if ccdid not in (None, rcid // 4 + 1) or qid not in (None, rcid % 4 + 1):
        raise HeaderError(path, f"RCID {rcid} contradicts CCD {ccdid} quadrant {qid}", "RCID")
    return rcid


def _read_fid(header: AnyHeader, names: list[ZtfName], path: str | Path) -> int:
    """Return the filter id from FILTERID and FILTER ("ZTF_g" or "ZTF g"); never from FILTPOS, which is a slot."""
    fid = integer(header, "FILTERID", "DBFID")
    spelled = re.fullmatch(r"ztf[ _]?([gri])", (text(header, "FILTER") or "").lower())
    by_name = None if spelled is None else "gri".index(spelled.group(1)) + 1
    if fid is not None and by_name is not None and fid != by_name:
        raise HeaderError(path, f"FILTERID {fid} contradicts FILTER {text(header, 'FILTER')!r}", "FILTERID")
    fid = _first(fid, by_name, *(n.fid for n in names))
    if fid not in (1, 2, 3):
        raise HeaderError(path, f"the filter is {fid}: no usable FILTERID or FILTER, nor a ZTF file name", "FILTERID")
    return fid


def _read_pid(header: AnyHeader, rcid: int, path: str | Path) -> int | None:
    pid = integer(header, "DBPID")
    if pid is None:
        return None
    if not 0 < pid < FIRST_REFERENCE_ID:
        raise HeaderError(path, f"DBPID {pid} lies outside 1..10^13", "DBPID")
    if pid // 100 % 100 != rcid:
        raise HeaderError(path, f"DBPID {pid} is of readout channel {pid // 100 % 100}, not {rcid}", "DBPID")
    return pid


def _check_expid(expid: int, pid: int | None, obsmjd: float, path: str | Path) -> None:
    """Refuse an exposure id that contradicts the time, and a processed-image id that contradicts the exposure id."""
    night, tick = divmod(expid, 100_000)
    late_s = (obsmjd - FIRST_NIGHT - night - tick * 1e-5) * SECONDS_PER_DAY
    if abs(late_s) > CLOCK_TOLERANCE_S:
        raise HeaderError(path, f"EXPID {expid} is of another time than OBSMJD {obsmjd} ({late_s:.0f} s)", "EXPID")
    if pid is not None and pid // 10_000 != expid:
        raise HeaderError(path, f"DBPID {pid} contradicts EXPID {expid}", "DBPID")


def obsmjd_of(filefracday: int) -> tuple[float, float] | None:
    """Return the range of OBSMJD of images named ``YYYYMMDDdddddd``; None if there is no such day."""
    day, fraction = divmod(filefracday, 10**6)
    midnight = _mjd_of_iso(f"{day // 10000:04d}-{day // 100 % 100:02d}-{day % 100:02d}")
    if midnight is None:
        return None
    named, most = midnight + fraction * 1e-6, CLOCK_TOLERANCE_S / SECONDS_PER_DAY
    return named - most, named + most


def _filefracday(header: AnyHeader, name: ZtfName | None, obsmjd: float) -> int | None:
    """Return the first ``YYYYMMDDdddddd`` of the names that agrees with the time."""
    for candidate in _names(header, name):
        if candidate.filefracday is None:
            continue
        between = obsmjd_of(candidate.filefracday)
        if between is not None and between[0] <= obsmjd <= between[1]:
            return candidate.filefracday
    return None


def _names(header: AnyHeader, name: ZtfName | None) -> list[ZtfName]:
    """Return the file names of an image, the header's own first."""
    own = text(header, "FILENAME")
    candidates = (None if own is None else parse_name(own), name)
    return [candidate for candidate in candidates if candidate is not None]


def _mjd_of_iso(stamp: str | None) -> float | None:
    try:
        moment = datetime.fromisoformat(stamp or "")
    except ValueError:
        return None
    mjd = MJD_OF_UNIX_ZERO + moment.replace(tzinfo=UTC).timestamp() / SECONDS_PER_DAY
    return mjd if math.isfinite(mjd) else None


def _first(*values: int | None) -> int | None:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)
