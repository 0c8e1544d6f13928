"""Simulate further epochs of a field that was observed (or simulated) before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from ztfdb.codes import FILTERS
from ztfdb.simulate.exposure import Exposure
from ztfdb.simulate.image import SimulatedImage, Stars, make_science_image


def exposure_like(header: fits.Header, **settings: Any) -> Exposure:
    """Build an exposure with the identity, camera and WCS from the header of a real (or simulated) whole quadrant.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of a ``sciimg`` with TPV WCS.
    **settings
        Attributes of `Exposure` that differ.
    """
    # PV i_j with the same keys as in the header; CD unchanged
    cards = {k: float(header[k]) for k in header if k.startswith(("CD1_", "CD2_", "PV1_", "PV2_"))}
    values: dict[str, Any] = {
        "obsmjd": float(header["OBSMJD"]),
        "exptime": float(header["EXPTIME"]),
        "field": int(header["FIELDID"]),
        "ccdid": int(header["CCD_ID"]),
        "qid": int(header["QID"]),
        "filtercode": FILTERS[int(header["FILTERID"])],
        "ra": float(header["CRVAL1"]),
        "dec": float(header["CRVAL2"]),
        "shape": (int(header["NAXIS2"]), int(header["NAXIS1"])),
        "x0": round(1536.5 - float(header["CRPIX1"])),
        "y0": round(1540.5 - float(header["CRPIX2"])),
        "fwhm": float(header["SEEING"]),
        "gain": float(header["GAIN"]),
        "readnoi": float(header["READNOI"]),
        "saturate": float(header["SATURATE"]),
        "magzp": float(header["MAGZP"]),
        "clrcoeff": float(header["CLRCOEFF"]),
        "wcs_cards": cards,
    }
    return Exposure(**{**values, **settings})


def simulate_epoch(
    header: fits.Header,
    stars: Stars,
    folder: str | Path,
    *,
    obsmjd: float,
    shift_arcsec: tuple[float, float] = (0.0, 0.0),
    injected: Stars | None = None,
    seed: int = 0,
    **settings: Any,
) -> SimulatedImage:
    """Write another exposure of the field of `header`: its stars, with new noise, at another time.

    Parameters
    ----------
    header : astropy.io.fits.Header
        Header of the science image on which the stars were measured.
    stars : tuple of array_like (x, y, flux)
        Zero-based pixels on that image and total (aperture-corrected) flux in DN there.
    folder : str or Path
        Target folder of the new pair of files.
    obsmjd : float
        Start of the new exposure, MJD UTC.
    shift_arcsec : tuple of float
        Pointing offset towards east and north.
    injected : tuple of array_like (ra, dec, mag), optional
        Further stars, such as a variable with this epoch's brightness; they are the last rows of the truth.
    seed : int
        Seed of the noise.
    **settings
        Attributes of `Exposure` that differ from the first exposure: ``fwhm``, ``magzp``, ``sky``, ``filtercode``, ….
        Fluxes follow the new ``magzp``.

    Returns
    -------
    SimulatedImage
        Its header has ``SIMULATE = T``.
    """
    old = exposure_like(header)
    east, north = (s / 3600.0 for s in shift_arcsec)
    pointing = {
        "ra": (old.ra + east / np.cos(np.radians(old.dec))) % 360.0,
        "dec": float(np.clip(old.dec + north, -90.0, 90.0)),
    }
    new = exposure_like(header, **{"obsmjd": obsmjd, **pointing, **settings})
    x, y, flux = (np.atleast_1d(np.asarray(v, dtype=float)) for v in stars)
    positive = flux > 0
    ra, dec = WCS(header).all_pix2world(x[positive], y[positive], 0)
    sky = [ra, dec, old.magzp - 2.5 * np.log10(flux[positive])]
    if injected is not None:
        sky = [np.append(a, np.atleast_1d(np.asarray(b, dtype=float))) for a, b in zip(sky, injected, strict=True)]
    return make_science_image(folder, sky_stars=(sky[0], sky[1], sky[2]), seed=seed, exposure=new)
