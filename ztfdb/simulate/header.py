"""The headers of simulated images: the cards of real ``sciimg`` and ``mskimg`` files, plus ``SIMULATE = T``."""

from __future__ import annotations

from typing import Any

from astropy.io import fits
from astropy.time import Time

from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.frame.identity import PIPELINE_ID
from ztfdb.records import QUADRANT_SHAPE
from ztfdb.simulate.exposure import Exposure
from ztfdb.sky.times import SECONDS_PER_DAY

SHUTTER_DELAY_S = 0.6
"""The shutter opens this long after OBSMJD (0.56–1.6 s in real headers)."""

_INFOBIT_NAMES = (
    "MEDIAN BACKGROUND LEVEL is > 4000.0 DN", "ROBUST PIXEL NOISE (RMS) is > 100.0 DN",
    "PERCENT OF SATURATED PIXELS is > 50.0%", 'IMAGE SEEING (FWHM) is > 5.0"',
    "MAGLIM FROM PSF CATALOG UNCERTS is < 17.5 mag", "MAGLIM FROM EMPIRICAL FORMULA is < 17.5 mag",
    "NUMBER OF PSF CATALOG SOURCES is < 10", "NUMBER OF SEXTRACTOR CAT SOURCES is < 20",
    "PHOTOMETRIC CALIBRATION NOT POSSIBLE", "NUMBER OF PHOTOMETRIC CALIBRATORS is < 30",
    "NUMBER OF MATCHES FOR PHOTOMETRIC CAL < 5", "RMS in PHOTCAL RESIDUALS (ZPs) is > 0.2 mag",
    "ASTROMETRIC CALIBRATION NOT POSSIBLE",
)  # fmt: skip
_MASKBIT_NAMES = (
    "AIRCRAFT/SATELLITE TRACK", "CONTAINS SEXTRACTOR DETECTION", "LOW RESPONSIVITY", "HIGH RESPONSIVITY", "NOISY",
    "GHOST FROM BRIGHT SOURCE", "POSSIBLE GHOST FROM CHARGE SPILLAGE", "PIXEL SPIKE (POSSIBLE RAD HIT)", "SATURATED",
    "DEAD (UNRESPONSIVE)", "NAN (not a number)", "CONTAINS PSF-EXTRACTED SOURCE POSITION", "HALO FROM BRIGHT SOURCE",
    "RESERVED FOR FUTURE USE", "RESERVED FOR FUTURE USE", "RESERVED FOR FUTURE USE",
)  # fmt: skip
_PCOLOR = {"zg": "g - R", "zr": "g - R", "zi": "R - i"}


def science_header(exposure: Exposure) -> fits.Header:
    """Return the header of the science image, with every card that ztfdb reads, as in real files since 2020."""
    header = fits.Header()
    for cards in (_identity(exposure), _times(exposure), _camera(exposure), _wcs(exposure)):
        header.extend(cards, strip=False)
    header.extend(_photometry(exposure))
    header.extend(
        [(f"BIT{bit:02d}", bit, name) for bit, name in enumerate(_INFOBIT_NAMES)]
        + [("STATUS", exposure.status, "overall processing flag: 0 = bad; 1 = usable")]
    )
    header.extend(_database(exposure))
    return header


def mask_header(exposure: Exposure) -> fits.Header:
    """Return the header of the mask image, in which BIT00–BIT15 describe mask bits, not INFOBITS."""
    header = fits.Header()
    for cards in (_identity(exposure), _times(exposure), _camera(exposure), _wcs(exposure)):
        header.extend(cards, strip=False)
    header.extend([(f"BIT{bit:02d}", bit, name) for bit, name in enumerate(_MASKBIT_NAMES)])
    return header


def _identity(e: Exposure) -> list[tuple[str, Any, str]]:
    name = f"{e.stem.rsplit('_', 1)[0]}.fits"
    return [
        ("BUNIT", "Data Value", ""),
        ("ORIGIN", "Zwicky Transient Facility", "Data origin"),
        ("SIMULATE", True, "simulated image, not an observation"),
        ("INSTRUME", "ZTF/MOSAIC", "Instrument name"),
        ("IMGTYPE", "object", "Image type"),
        ("EXPOSURE", e.exptime, "Total Exposure Time (s)"),
        ("EXPTIME", e.exptime, "Requested Exposure Time (s)"),
        ("PIXSCALE", 1.012, "Pixel scale, in arcsec per pixel"),
        ("FILENAME", name, "File name"),
        ("FIELDID", e.field, "ZTF field ID number"),
        ("FILTERID", e.fid, "Filter ID code"),
        ("FILTER", f"ZTF_{e.filtercode[1]}", "Filter name"),
        ("FILTPOS", e.fid, "Filter position"),
        ("PROGRMID", e.programid, "Queue program ID"),
        ("CCDID", e.ccdid, ""),
        ("CCD_ID", e.ccdid, "ID value of CCD detector"),
        ("QID", e.qid, ""),
        ("RCID", e.rcid, ""),
        ("AMP_ID", e.qid - 1, "ID value of CCD amplifier"),
        ("EXPID", e.expid, ""),
        ("EXTNAME", str(e.qid), ""),
    ]


def _times(e: Exposure) -> list[tuple[str, Any, str]]:
    start = Time(e.obsmjd + SHUTTER_DELAY_S / SECONDS_PER_DAY, format="mjd", scale="utc", precision=3)
    end = Time(start.mjd + e.exptime / SECONDS_PER_DAY, format="mjd", scale="utc", precision=3)
    obsmjd = round(e.obsmjd, 7)
    return [
        ("OBSJD", obsmjd + 2400000.5, "Julian day corresponds to UTC-OBS (day)"),
        ("OBSMJD", obsmjd, "MJD corresponds to UTC-OBS (day)"),
        ("HJD", obsmjd + 2400000.5, "Heliocentric Julian Day (days)"),
        ("SHUTOPEN", start.isot, "Shutter open time"),
        ("SHUTCLSD", end.isot, "Shutter close time"),
        ("RAD", round(e.ra, 6), "Requested right ascension (deg)"),
        ("DECD", round(e.dec, 6), "Requested declination (deg)"),
        ("AIRMASS", e.airmass, "Airmass (Hardie)"),
        ("OBSLON", -116.8598, "Observatory longitude (deg)"),
        ("OBSLAT", 33.3573, "Observatory latitude (deg)"),
        ("OBSALT", 1668.0, "Observatory altitude (m)"),
    ]


def _camera(e: Exposure) -> list[tuple[str, Any, str]]:
    return [
        ("NFRAMES", 8, "number of frames in FITS file"),
        ("GAIN", e.gain, "Gain e-/adu"),
        ("READNOI", e.readnoi, "Read noise e-"),
        ("DARKCUR", 1.0, "Dark current e-/s @ 150 K"),
    ]


def _wcs(e: Exposure) -> list[tuple[str, Any, str]]:
    x0, y0 = e.window
    return [
        ("WCSAXES", 2, "Number of WCS axes"),
        ("WCSNAME", "ZTF", "Name of the WCS coordinate system"),
        ("RADESYS", "ICRS", "Coordinate reference system"),
        ("EQUINOX", 2000.0, "Equinox"),
        ("CTYPE1", "RA---TPV", "Name of coord X axis"),
        ("CTYPE2", "DEC--TPV", "Name of coord Y axis"),
        # a window keeps the quadrant's WCS, so its reference pixel may lie far outside of it
        ("CRPIX1", (QUADRANT_SHAPE[1] + 1) / 2.0 - x0, "Coord system X ref pixel"),
        ("CRPIX2", (QUADRANT_SHAPE[0] + 1) / 2.0 - y0, "Coord system Y ref pixel"),
        ("CRVAL1", e.ra, "Coord system value at CRPIX1"),
        ("CRVAL2", e.dec, "Coord system value at CRPIX2"),
        ("CUNIT1", "deg", "Coordinate units for X axis"),
        ("CUNIT2", "deg", "Coordinate units for Y axis"),
        *((key, value, "WCS") for key, value in e.wcs_cards.items()),
    ]


def _photometry(e: Exposure) -> list[tuple[str, Any, str]]:
    diameters = zip(range(1, 7), APERTURE_DIAMETERS, e.profile.aperture_corrections(), strict=True)
    apcor: list[tuple[str, Any, str]] = []
    for k, diameter, value in diameters:
        apcor.append((f"APCOR{k}", round(float(value), 8), f"PSF_mag - AP_mag for AP.diam={diameter:4.1f} pix."))
        apcor.append((f"APCORUN{k}", 0.0007, f"Uncertainty in APCOR{k} [mag]"))
    return [
        ("NMATCHES", 2058, "Number of photometric calibrators used"),
        ("MAGZP", e.magzp, "Magnitude zero point for PSF-photometry [mag]"),
        ("MAGZPUNC", e.magzpunc, "Magnitude zero point uncertainty [mag]"),
        ("MAGZPRMS", e.magzprms, "Magnitude zero point RMS deviation [mag]"),
        ("CLRCOEFF", e.clrcoeff, "Color coefficient from linear fit"),
        ("CLRCOUNC", e.clrcounc, "Color coefficient uncertainty from linear fit"),
        ("PCOLOR", _PCOLOR[e.filtercode], "Calibrator color used for PSF-fit calibration"),
        ("SATURATE", e.saturate, "Saturation value in final science image [DN]"),
        ("FIXAPERS", "2,3,4,6,10,14", "fixed aperture diameters used [pixels]"),
        *apcor,
        ("INFOBITS", e.infobits, "infoBits string"),
        ("SEEING", round(e.fwhm, 3), "seeing FWHM [pixels]"),
        ("MAGLIM", round(e.limit_mag, 2), "5-sigma mag-limit in PSF-fit catalog [mag]"),
    ]


def _database(e: Exposure) -> list[tuple[str, Any, str]]:
    # ZTF's CREATED is local time; a fixed delay after the exposure keeps the file deterministic
    created = e.created or Time(e.obsmjd + 0.02, format="mjd", scale="utc", precision=0).isot
    return [
        ("CREATED", created, "File creation date/time"),
        ("DBPID", e.pid, "Database processed-image ID"),
        ("PROCVSN", e.procvsn, "Processing version"),
        ("DBFIELD", e.field, "Database field"),
        ("DBNID", e.nid, "Database night ID"),
        ("DBEXPID", e.expid, "Database exposure ID"),
        ("DBRID", e.expid * 100 + e.rcid, "Database raw-image ID"),
        ("DBRCID", e.rcid, "Database readout-channel ID"),
        ("DBFID", e.fid, "Database filter ID"),
        ("DBPIPEID", PIPELINE_ID, "Database pipeline ID"),
    ]
