"""Simulated exposures of a field with a star that varies by a known period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from astropy.io import fits
from astropy.wcs import WCS

from ztfdb.simulate import make_science_image

PERIOD_D = 0.61843
AMPLITUDE = 0.35
FIRST_NIGHT = 59000.25


@dataclass(frozen=True)
class Field:
    """What was painted.

    Attributes
    ----------
    ra, dec : float
        The star that varies, deg.
    stars : DataFrame
        ``ra``, ``dec``, ``mag`` of the others.
    """

    ra: float
    dec: float
    stars: pd.DataFrame


def make_variable(
    folder: Path, n: int = 30, *, period: float = PERIOD_D, seed: int = 5, filters: Sequence[str] = ("zg", "zr"), **how
) -> Field:
    """Write `n` exposures, one to three days apart, filters by turns; the star in the middle varies as a sine."""
    settings = {"shape": (150, 160), "n_star": 25, "seed": seed} | how
    rng = np.random.default_rng(seed)
    first = make_science_image(folder / "frame", **settings)
    ny, nx = first.exposure.shape
    ra, dec = WCS(fits.getheader(first.sci)).pixel_to_world_values(nx / 2, ny / 2)
    stars = pd.DataFrame({name: np.asarray(getattr(first.truth, name)) for name in ("ra", "dec", "mag")})
    apart = np.hypot((stars["ra"] - ra) * np.cos(np.radians(dec)), stars["dec"] - dec) * 3600.0 > 15.0
    stars = stars[apart].reset_index(drop=True)
    nights = np.cumsum(rng.integers(1, 4, n))
    for number in range(n):
        mjd = FIRST_NIGHT + float(nights[number] + rng.uniform(0.0, 0.3))
        mag = 16.5 + AMPLITUDE * np.sin(2.0 * np.pi * mjd / period)
        painted = ([*stars["ra"], ra], [*stars["dec"], dec], [*stars["mag"], mag])
        make_science_image(
            folder / "images", sky_stars=painted, obsmjd=round(mjd, 5), filtercode=filters[number % len(filters)],
            **{**settings, "n_star": 0, "seed": seed + number},
        )  # fmt: skip
    return Field(float(ra), float(dec), stars)
