"""Simulated images with PSF catalogues that are off by a known amount, trend and gradient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits

from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.records import MeasuredImage
from ztfdb.simulate import SimulatedImage, make_science_image, write_psfcat

OFFSETS = ("median", "slope", "x_gradient", "y_gradient")
MIDDLE = 17.0
"""Magnitude at which the trend is 0."""


@dataclass(frozen=True)
class Compared:
    """One simulated image as measured with its catalogue, and what was put into that."""

    image: SimulatedImage
    psfcat: Path
    measured: MeasuredImage
    truth: dict[str, float]


def observe(folder: Path, number: int, *, seed: int = 0, n_star: int = 260, **truth: float) -> Compared:
    """Paint and measure image `number`; ZTF's magnitudes are true less ``median`` and its trends."""
    rng = np.random.default_rng([seed, number])
    ny, nx = 512, 530
    x, y = rng.uniform(-4, nx + 3, n_star), rng.uniform(-4, ny + 3, n_star)
    exposure = {"magzp": 26.2, "fwhm": rng.uniform(1.8, 2.6), "sky": 120.0, "ra": 40.0 + number, "dec": 20.0}
    flux = 10 ** (0.4 * (26.2 - rng.uniform(14.8, 19.0, n_star)))
    image = make_science_image(
        folder, stars=(x, y, flux), seed=number, obsmjd=59116.4 + 0.01 * number, shape=(ny, nx), **exposure
    )
    psfcat = write_catalogue(image, rng, **truth)
    measured = measure_image(image.sci, image.msk, ExtractionSettings(), psfcat_path=psfcat)
    return Compared(image, psfcat, measured, dict.fromkeys(OFFSETS, 0.0) | truth)


def write_catalogue(
    image: SimulatedImage,
    rng: np.random.Generator,
    *,
    median: float = 0.0,
    slope: float = 0.0,
    x_gradient: float = 0.0,
    y_gradient: float = 0.0,
    wild: float = 0.0,
    created: str = "2020-12-10T01:00:00",
) -> Path:
    """Write the catalogue of an image: its truth with noise, off as told; a share of `wild` stars by up to 1 mag."""
    t, (ny, nx) = image.truth, image.exposure.shape
    error = np.hypot(60.0, np.sqrt(t.flux / image.exposure.gain))
    off = median + slope * (t.mag - MIDDLE)
    off = off + x_gradient * (t.x - (nx - 1) / 2) / nx + y_gradient * (t.y - (ny - 1) / 2) / ny
    off = off + np.where(rng.random(len(t)) < wild, rng.uniform(-1, 1, len(t)), 0.0)
    flux = (t.flux + rng.normal(0, error)) * 10 ** (0.4 * off)
    inside = (t.x >= 0) & (t.x < nx - 1) & (t.y >= 0) & (t.y < ny - 1) & (flux > 3 * error)
    x0, y0 = image.exposure.window
    columns = {"xpos": t.x + x0 + 1, "ypos": t.y + y0 + 1, "ra": t.ra, "dec": t.dec, "flux": flux, "sigflux": error}
    with fits.open(image.sci) as hdus:
        header = hdus[0].header
    header["CREATED"] = created
    path = image.sci.with_name(image.sci.name.replace("sciimg", "psfcat"))
    return write_psfcat(path, header, {k: v[inside] for k, v in columns.items()}, inputimg=image.sci.name)
