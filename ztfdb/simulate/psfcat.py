"""PSF catalogues of simulated images, with the columns, types and cards of ZTF's own, and ``SIMULATE = T``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import ArrayLike, NDArray

from ztfdb.arrays import Columns
from ztfdb.bits import SOURCE_BITS
from ztfdb.simulate.image import SimulatedImage

FORMATS = {
    "sourceid": ("1J", None), "xpos": ("1E", "pix"), "ypos": ("1E", "pix"), "ra": ("1D", "deg"), "dec": ("1D", "deg"),
    "flux": ("1E", "DN"), "sigflux": ("1E", "DN"), "mag": ("1E", "mag"), "sigmag": ("1E", "mag"), "snr": ("1E", None),
    "chi": ("1E", None), "sharp": ("1E", None), "flags": ("1I", None),
}  # fmt: skip
"""Format and unit of each column, in ZTF's order."""

FLOOR = 0.007
"""Systematic part of ``sigflux``, a fraction of the flux: the smallest ``sigmag`` of a real catalogue."""

MIN_SNR = 3.0
"""Minimum S/N of ZTF's catalogues."""

_COPIED = (
    "MAGZP", "NMATCHES", "MAGZPUNC", "MAGZPRMS", "CLRCOEFF", "CLRCOUNC", "PCOLOR", "FIELDID", "CCDID", "QID", "RCID",
    "FILTERID", "RFID", "EXPID", "OBSMJD", "INFOBITS", "SIMULATE",
)  # fmt: skip


def write_psfcat(
    path: str | Path, image_header: fits.Header, columns: Mapping[str, ArrayLike], *, inputimg: str | None = None
) -> Path:
    """Write a ``psfcat`` or ``refpsfcat``.

    Parameters
    ----------
    path : str or Path
        Name of the file; its suffix may be ``.gz``.
    image_header : astropy.io.fits.Header
        Header of the measured image: its identity and calibration are copied into the catalogue's header.
    columns : mapping of str to array_like, each of shape (n_source,)
        ``xpos``, ``ypos`` (1-based pixels), ``ra``, ``dec`` (deg), ``flux``, ``sigflux`` (DN); optional ``sourceid``,
        ``chi``, ``sharp``, ``flags``. The other columns are computed as in real tables: magnitudes rounded to 0.001,
        ``snr`` to 0.01.
    inputimg : str, optional
        Name of the image.

    Returns
    -------
    Path
        `path`.
    """
    whole = _completed(columns)
    fields = [
        fits.Column(name=name, format=form, unit=unit, array=whole[name]) for name, (form, unit) in FORMATS.items()
    ]
    table = fits.BinTableHDU.from_columns(fields, name="PSF_CATALOG")
    header = fits.Header()
    header["PSFRUNSW"] = ("ztfdb.simulate", "Name of PSF-fitting script/software")
    header["PSFRUNVN"] = ("v1.0", "Version of PSF-fitting script/software")
    header["RUNDATE"] = (str(image_header.get("CREATED", "2020-12-10"))[:10], "Date this file was generated")
    header["RUNTIME"] = (str(image_header.get("CREATED", ""))[11:19] or "07:29:21", "Time this file was generated")
    if inputimg is not None:
        header["INPUTIMG"] = (inputimg, "Input image")
    header["NSOURCES"] = (len(whole["sourceid"]), "Total number of sources")
    header.extend([image_header.cards[key] for key in _COPIED if key in image_header])
    fits.HDUList([fits.PrimaryHDU(header=header), table]).writeto(path, overwrite=True)
    return Path(path)


def make_psfcat(image: SimulatedImage, *, path: str | Path | None = None, seed: int = 0) -> Path:
    """Write a PSF catalogue of a simulated image: its truth with noise.

    Parameters
    ----------
    image : SimulatedImage
    path : str or Path, optional
        Name of the file; default beside the image, by ZTF's naming.
    seed : int
        Seed of the noise.

    Returns
    -------
    Path
        Stars on the image with S/N >= 3, ordered by y; positions refer to the whole quadrant, ``flags`` are the mask
        bits in a box of 5 x 5 pixels, without the bits of sources.
    """
    e, truth = image.exposure, image.truth
    with fits.open(image.sci) as hdus:
        header = hdus[0].header
    ny, nx = e.shape
    x0, y0 = e.window
    rng = np.random.default_rng(seed)
    sky = 10.0 ** (-0.4 * (e.limit_mag - e.magzp)) / 5.0
    poisson = np.sqrt(sky**2 + truth.flux / e.gain)
    flux = truth.flux + rng.normal(0.0, 1.0, len(truth)) * poisson
    sigflux = np.hypot(poisson, FLOOR * flux)
    keep = (flux >= MIN_SNR * sigflux) & (truth.x >= 0) & (truth.x < nx - 1) & (truth.y >= 0) & (truth.y < ny - 1)
    order = np.flatnonzero(keep)[np.argsort(truth.y[keep], kind="stable")]
    columns = {
        "xpos": truth.x[order] + x0 + 1.0,
        "ypos": truth.y[order] + y0 + 1.0,
        "ra": truth.ra[order],
        "dec": truth.dec[order],
        "flux": flux[order],
        "sigflux": sigflux[order],
        "chi": rng.normal(1.0, 0.1, len(order)),
        "sharp": rng.normal(0.0, 0.05, len(order)),
        "flags": _mask_bits(image, truth.x[order], truth.y[order]),
    }
    place = Path(path) if path is not None else image.sci.with_name(image.sci.name.replace("sciimg", "psfcat"))
    return write_psfcat(place, header, columns, inputimg=image.sci.name)


def _mask_bits(image: SimulatedImage, x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.int16]:
    if image.msk is None:
        return np.zeros(len(x), np.int16)
    with fits.open(image.msk) as hdus:
        mask = np.asarray(hdus[0].data, np.int64) & ~int(SOURCE_BITS)
    padded = np.pad(mask, 2)
    columns, rows = np.rint(x).astype(int), np.rint(y).astype(int)
    bits = np.zeros(len(x), np.int64)
    for dy in range(5):
        for dx in range(5):
            bits |= padded[rows + dy, columns + dx]
    return bits.astype(np.uint16).view(np.int16)


def _completed(columns: Mapping[str, ArrayLike]) -> Columns:
    """Return all columns with ZTF's types and rounding."""
    given = {name: np.asarray(values) for name, values in columns.items()}
    n = len(given["flux"])
    flux, sigflux = given["flux"].astype(np.float32), given["sigflux"].astype(np.float32)
    ratio = sigflux.astype(np.float64) / flux
    whole: Columns = {
        "sourceid": np.arange(n),
        "mag": np.round(-2.5 * np.log10(flux.astype(np.float64)), 3),
        "sigmag": np.round(1.0857 * ratio, 3),
        "snr": np.round(1.0 / ratio, 2),
        "chi": np.ones(n),
        "sharp": np.zeros(n),
        "flags": np.zeros(n, np.int16),
        **given,
    }
    whole |= {name: np.round(whole[name].astype(np.float64), 3) for name in ("xpos", "ypos", "chi", "sharp")}
    whole |= {name: np.round(whole[name], 7) for name in ("ra", "dec")}
    whole |= {"flux": flux, "sigflux": sigflux}
    kinds = {"1J": np.int32, "1E": np.float32, "1D": np.float64, "1I": np.int16}
    return {name: whole[name].astype(kinds[form]) for name, (form, _) in FORMATS.items()}
