"""Headers of real images, and small images that carry them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

PV_A = {
    "PV1_0": 2.82931510214e-05, "PV1_1": 1.000000886805, "PV1_2": -1.583849820628e-05, "PV1_4": -4.551962017747e-04,
    "PV1_5": -8.448987011491e-05, "PV1_6": -2.590727599212e-04, "PV1_7": 1.271446860683e-04,
    "PV1_8": -2.218410001277e-05, "PV1_9": -2.238379281277e-04, "PV1_10": -8.6789023318149e-05,
    "PV1_12": 7.544816031555e-04, "PV1_13": -6.509589247359e-04, "PV1_14": 1.397116876056e-04,
    "PV1_15": 1.571286145113e-04, "PV1_16": 6.416466661674e-04, "PV2_0": 4.320809994094e-05,
    "PV2_1": 1.000088198292, "PV2_2": -2.199903872155e-05, "PV2_4": -5.366569130607e-04,
    "PV2_5": -2.406676575668e-04, "PV2_6": -2.07199127297e-04, "PV2_7": -2.189047536949e-04,
    "PV2_8": -1.038595866183e-04, "PV2_9": -2.698874623035e-04, "PV2_10": 9.987399186654e-05,
    "PV2_12": 7.652771860817e-04, "PV2_13": 3.851918002e-04, "PV2_14": -1.589248794534e-04,
    "PV2_15": -3.523303703531e-04, "PV2_16": 2.730145790782e-04,
}  # fmt: skip
"""Distortion of ztf_20171229173808_000651_zg_c03_o_q1."""

WCS_A = {
    "RADESYS": "ICRS", "CTYPE1": "RA---TPV", "CTYPE2": "DEC--TPV", "CUNIT1": "deg", "CUNIT2": "deg",
    "CRPIX1": 1536.5, "CRPIX2": 1540.5, "CRVAL1": 23.34894444544, "CRVAL2": 30.91859533121,
    "CD1_1": -2.812466e-4, "CD1_2": 1.3666e-6, "CD2_1": -1.3362e-6, "CD2_2": -2.812619e-4,
}  # fmt: skip

HEADER_A = {
    "FILENAME": "ztf_20171229173808_000651_zg_c03_o.fits", "EXPTIME": 30.0, "EXPOSURE": 30.0, "FIELDID": 651,
    "FILTERID": 1, "FILTER": "ZTF g", "FILTPOS": 1, "CCDID": 3, "CCD_ID": 3, "QID": 1, "RCID": 8, "AMP_ID": 0,
    "EXPID": 36217380, "DBEXPID": 36217380, "DBPID": 362173800815, "PROCVSN": 1, "OBSJD": 2458116.6738079,
    "OBSMJD": 58116.1738079, "HJD": 2458116.6738079, "SHUTOPEN": "2017-12-29T04:10:18.621", "GAIN": 6.2,
    "READNOI": 10.0, "NFRAMES": 8, "PROGRMID": 0, "INFOBITS": 0, "STATUS": 1, "SEEING": 1.943, "MAGLIM": 20.12,
    "MAGZP": 26.403007, "MAGZPUNC": 1.15e-5, "MAGZPRMS": 0.034173, "CLRCOEFF": -0.058441, "CLRCOUNC": 2.0e-5,
    "SATURATE": 48059.879, "FIXAPERS": "2,3,4,6,10,14", "APCOR1": -1.0536, "APCOR2": -0.5172, "APCOR3": -0.2744,
    "APCOR4": -0.0960, "APCOR5": -0.0138, "APCOR6": 0.0053, "AIRMASS": 1.0, "PRESSURE": -9999.0,
    "CREATED": "2017-12-28T20:26:00",
}  # fmt: skip
"""Cards of the real exposure of 2017-12-29, field 651, g, CCD 3, quadrant 1."""

SCI_NAME = "ztf_20171229173808_000651_zg_c03_o_q1_sciimg.fits"


def header_a(*, without: tuple[str, ...] = (), window: tuple[int, int] = (0, 0), **changes: Any) -> fits.Header:
    """Return header A less some cards, with others changed; `window` moves the reference pixel as a cutout does."""
    header = fits.Header()
    for keyword, value in {**HEADER_A, **WCS_A, **PV_A, **changes}.items():
        if keyword not in without:
            header[keyword] = value
    if "CRPIX1" in header:
        header["CRPIX1"] -= window[0]
        header["CRPIX2"] -= window[1]
    return header


def write_image(path: Path, *, shape: tuple[int, int] = (40, 50), seed: int = 1, **changes: Any) -> Path:
    """Write a small image of noise under header A, a cutout at (100, 200) of its quadrant."""
    data = np.random.default_rng(seed).normal(300.0, 8.0, shape).astype("f4")
    fits.PrimaryHDU(data, header_a(window=(100, 200), **changes)).writeto(path, overwrite=True)
    return path


def write_mask(path: Path, values: np.ndarray, **changes: Any) -> Path:
    """Write a mask for `write_image`."""
    cards = header_a(window=(100, 200), **changes)
    fits.PrimaryHDU(values, cards).writeto(path, overwrite=True)
    return path
