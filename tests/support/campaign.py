"""Simulated images of a known photometric system, with the PS1 stars that are on them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tests.support.reference import hold
from tests.support.tables import object_ids
from ztfdb.derive.calibrate import calibrate
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.commit import commit_image
from ztfdb.records import MeasuredImage
from ztfdb.simulate import make_science_image

SCATTER = 0.012
"""mag; what flat field and variability add to each star on each image, and no error knows of."""

FILTERS = ("zg", "zr", "zi")
COLOR_OF = {"zg": ("g", "r"), "zr": ("g", "r"), "zi": ("r", "i")}


@dataclass(frozen=True)
class Observed:
    """One simulated image as measured, its stars in PS1 and the truth of its photometric system."""

    measured: MeasuredImage
    stars: dict[str, np.ndarray]
    zeropoint: np.ndarray  # of the six apertures
    color_term: float


def observe(folder: Path, number: int, *, n_star: int = 260, shape=(512, 512), seed: int = 0) -> Observed:
    """Paint and measure image `number` of the campaign."""
    rng = np.random.default_rng([seed, number])
    ny, nx = shape
    filtercode = FILTERS[number % 3]
    exposure = {
        "filtercode": filtercode,
        "magzp": rng.uniform(25.9, 26.5),
        "clrcoeff": rng.uniform(-0.15, 0.2),
        "fwhm": rng.uniform(1.8, 2.6),
        "sky": rng.uniform(80.0, 400.0),
        "ra": (5.0 + 0.7 * number) % 360.0,
        "dec": 20.0 + 0.1 * (number % 40),
        "obsmjd": 59000.3 + 0.01 * number,
        "shape": shape,
    }
    x, y = rng.uniform(-4, nx + 3, n_star), rng.uniform(-4, ny + 3, n_star)
    mags = stellar_mags(n_star, rng)
    blue, red = COLOR_OF[filtercode]
    light = mags[filtercode[1]] - exposure["clrcoeff"] * (mags[blue] - mags[red]) + rng.normal(0, SCATTER, n_star)
    flux = 10 ** (0.4 * (exposure["magzp"] - light))
    image = make_science_image(folder, stars=(x, y, flux), seed=int(rng.integers(2**31)), **exposure)
    measured = measure_image(image.sci, image.msk, ExtractionSettings())
    stars = {"ra": image.truth.ra, "dec": image.truth.dec}
    for band in "gri":
        error = rng.uniform(0.004, 0.02, n_star)
        stars[f"{band}_mag"] = mags[band] + rng.normal(0, error)
        stars[f"{band}_mag_err"] = error
        stars[f"{band}_kron_mag"] = stars[f"{band}_mag"] + rng.normal(0, 0.01, n_star)
    stars["n_detection"] = np.full(n_star, 30)
    apcor = image.exposure.profile.aperture_corrections()
    for path in (image.sci, image.msk):
        path.unlink()
    return Observed(measured, stars, exposure["magzp"] + apcor, exposure["clrcoeff"])


def stellar_mags(n, rng):
    """PS1 magnitudes of main-sequence stars, r from 14.6 to 19.8, more of them the fainter."""
    low = 10 ** (-0.3 * 5.2)
    r = 19.8 + np.log10(low + (1 - low) * rng.uniform(size=n)) / 0.3
    color = np.clip(rng.normal(0.65, 0.3, n), 0.0, 1.3)
    return {"g": r + color, "r": r, "i": r - 0.4 * color - rng.normal(0, 0.08, n)}


def hold_stars(maker, observed, *, outliers: float = 0.0, left_out: bool = False, seed: int = 0) -> None:
    """Put the PS1 stars of all images into the archive.

    With `outliers`, that share of each image's stars is wrong by 0.3 to 0.6 mag, either way, in the band of the image;
    with `left_out` those stars are missing.
    """
    rng = np.random.default_rng([seed, 77])
    tables = []
    for one in observed:
        stars, band = dict(one.stars), one.measured.info.filtercode[1]
        n_star = len(stars["ra"])
        wild = rng.permutation(n_star)[: round(outliers * n_star)]
        shift = np.zeros(n_star)
        shift[wild] = rng.choice([-1, 1], len(wild)) * rng.uniform(0.3, 0.6, len(wild))
        stars[f"{band}_mag"] = stars[f"{band}_mag"] + shift
        tables.append({name: values[shift == 0] if left_out else values for name, values in stars.items()})
    columns = {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
    hold(maker, "ps1", object_ids(columns["ra"], columns["dec"]), **columns)


def calibrated(maker, observed):
    """Store the images, calibrate them, and return a row per image and aperture with the truth beside it."""
    for one in observed:
        commit_image(maker, one.measured)
    table = calibrate(maker).to_pandas()
    truth = {one.measured.info.image_id: one for one in observed}
    table["true_zeropoint"] = [truth[i].zeropoint[k - 1] for i, k in zip(table.image_id, table.aperture, strict=True)]
    table["true_color_term"] = [truth[i].color_term for i in table.image_id]
    table["zeropoint_pull"] = (table.zeropoint - table.true_zeropoint) / table.zeropoint_err
    table["color_term_pull"] = (table.color_term - table.true_color_term) / table.color_term_err
    return table
