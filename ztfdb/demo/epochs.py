"""Simulated further epochs of a real field: its stars, one of them variable, with new noise."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from ztfdb.errors import ZtfdbError
from ztfdb.phot.magnitudes import flux_to_mag
from ztfdb.phot.zeropoint import aperture_zeropoint
from ztfdb.simulate.epoch import exposure_like, simulate_epoch

PERIOD_D = 9.7
AMPLITUDE = {"zr": 0.5, "zg": 0.75}
"""Full range of the injected variation, mag: like a classical Cepheid's in each filter."""

RISE = 0.3
"""Fraction of the period from faintest to brightest."""

VARIABLE_COLOR = 0.5
FIELD_COLOR = 0.6
"""g - r of the variable and of every other star, mag: assumed, because one quadrant in r has no colours."""

ISOLATION_PIX = 8.0
BRIGHTNESS = (0.03, 0.15)
"""The variable star is among the brightest 3 to 15 %: well measured, not saturated."""

WINDOW = 1024
"""Side of a simulated image, pixels: 1/9 of a quadrant, to keep the demo fast and small."""


class DemoError(ZtfdbError):
    """The image is not suitable for the demo."""


@dataclass(frozen=True)
class Star:
    """The star that will vary: its row among the stars, pixel, position (deg) and r magnitude."""

    row: int
    x: float
    y: float
    ra: float
    dec: float
    mag: float


@dataclass(frozen=True)
class Epoch:
    """One simulated exposure: days after the real one, filter, FWHM (pixels), magnitude zero point, sky (DN)."""

    days: float
    filtercode: str
    fwhm: float
    magzp: float
    sky: float


SIMULATED_EPOCHS = (
    Epoch(-8.0413, "zr", 2.0, 26.27, 160.0),
    Epoch(-6.5629, "zg", 2.1, 26.31, 90.0),
    Epoch(-5.1207, "zr", 1.8, 26.25, 150.0),
    Epoch(-2.0884, "zr", 2.4, 26.18, 210.0),
    Epoch(-0.9651, "zg", 2.3, 26.28, 110.0),
    Epoch(1.9672, "zr", 1.9, 26.28, 170.0),
    Epoch(2.9431, "zg", 1.9, 26.33, 95.0),
    Epoch(4.0848, "zr", 2.2, 26.24, 230.0),
)


def cepheid(phase: float) -> float:
    """Return a sawtooth-like curve: -0.5 (brightest) at phase 0, +0.5 (faintest) at phase ``1 - RISE``.

    Two half cosines, one falling slowly and one rising fast.
    """
    p = phase % 1.0
    if p < 1.0 - RISE:
        return -0.5 * math.cos(math.pi * p / (1.0 - RISE))
    return 0.5 * math.cos(math.pi * (p - (1.0 - RISE)) / RISE)


def variable_mag(mjd: float, filtercode: str, mjd_real: float, mag_real: float) -> float:
    """Return the magnitude of the variable star; its mean in r is `mag_real`, as in the real image."""
    phase_real = 0.5 * (1.0 - RISE)  # halfway down
    curve = cepheid(phase_real + (mjd - mjd_real) / PERIOD_D)
    return mag_real + (VARIABLE_COLOR if filtercode == "zg" else 0.0) + AMPLITUDE[filtercode] * curve


def choose_star(stars: pd.DataFrame, shape: tuple[int, int]) -> Star:
    """Return the star to vary: unflagged, isolated, bright but not too bright, nearest the centre.

    Parameters
    ----------
    stars : DataFrame
        From `field_stars`, with columns ``x, y, ra, dec, mag, flags, mask_bits``.
    shape : tuple of int
        ``(ny, nx)`` of the image.

    Raises
    ------
    DemoError
        If no star qualifies.
    """
    xy = stars[["x", "y"]].to_numpy(dtype=float)
    mag = stars["mag"].to_numpy(dtype=float)
    crowded = {i for pair in cKDTree(xy).query_pairs(ISOLATION_PIX) for i in pair} if len(xy) else set()
    brightest, faintest = np.quantile(mag, BRIGHTNESS) if len(mag) else (np.nan, np.nan)
    clean = ((stars["flags"] == 0) & (stars["mask_bits"].fillna(0) == 0)).to_numpy(dtype=bool)
    clean[list(crowded)] = False
    usable = np.flatnonzero(clean & (brightest <= mag) & (mag <= faintest))
    if not len(usable):
        raise DemoError("the image has no isolated, unflagged star for the demo")
    off_centre = np.hypot(*(xy[usable] - (np.array(shape[::-1]) - 1) / 2.0).T)
    row = int(usable[np.argmin(off_centre)])
    return Star(row, *stars.loc[row, ["x", "y", "ra", "dec", "mag"]].astype(float))


def field_stars(sources: pd.DataFrame) -> pd.DataFrame:
    """Return the sources that can be painted again, with their magnitude as ``mag``.

    Parameters
    ----------
    sources : DataFrame
        Of one image: ``flux_aper4`` (DN), ``magzp`` and ``apcor4`` (mag), and further columns to keep.
    """
    flux = sources["flux_aper4"].to_numpy(dtype=float, na_value=np.nan)
    mag, _ = flux_to_mag(flux, np.zeros_like(flux), aperture_zeropoint(sources["magzp"], sources["apcor4"]))
    return sources.assign(mag=mag)[np.isfinite(mag)].reset_index(drop=True)


def simulate_epochs(header: Mapping[str, Any], stars: pd.DataFrame, star: Star, folder: Path) -> Iterator[Path]:
    """Write the simulated epochs that are not in `folder` yet, in `SIMULATED_EPOCHS`'s order.

    Parameters
    ----------
    header : mapping
        Header of the real image.
    stars : DataFrame
        From `field_stars`.
    star : Star
        The variable star.
    folder : Path
        Target folder; files are written atomically.

    Yields
    ------
    Path
        The science image of each epoch, its mask beside it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    x0, y0, shape = _window(header, star)
    for seed, epoch in enumerate(SIMULATED_EPOCHS):
        settings = {
            "obsmjd": float(header["OBSMJD"]) + epoch.days,
            **{name: getattr(epoch, name) for name in ("filtercode", "fwhm", "magzp", "sky")},
            "shape": shape,
            "x0": x0,
            "y0": y0,
            "moffat": 3.0,
        }
        science = folder / f"{exposure_like(header, **settings).stem}_sciimg.fits"
        if not (science.exists() and mask_of(science).exists()):
            _paint(header, stars, star, science, seed, settings)
        yield science


def mask_of(science: Path) -> Path:
    """Return the name of the mask beside a science image."""
    return science.with_name(science.name.replace("sciimg", "mskimg"))


def _paint(
    header: Mapping[str, Any], stars: pd.DataFrame, star: Star, science: Path, seed: int, settings: dict[str, Any]
) -> None:
    """Write one epoch under temporary names, then rename both files."""
    filtercode = settings["filtercode"]
    mag = variable_mag(settings["obsmjd"], filtercode, float(header["OBSMJD"]), star.mag)
    others = stars.drop(index=star.row)
    fainter = FIELD_COLOR if filtercode == "zg" else 0.0
    flux = 10.0 ** (0.4 * (float(header["MAGZP"]) - others["mag"] - fainter))
    with tempfile.TemporaryDirectory(prefix=".paint-", dir=science.parent) as scratch:
        made = simulate_epoch(
            header,
            (others["x"], others["y"], flux),
            scratch,
            injected=(star.ra, star.dec, mag),
            seed=seed,
            **settings,
        )
        if made.msk is not None:
            made.msk.replace(mask_of(science))
        made.sci.replace(science)


def _window(header: Mapping[str, Any], star: Star) -> tuple[int, int, tuple[int, int]]:
    """Return first pixel on the quadrant and shape of a window about the star, inside the real image."""
    real = exposure_like(header)
    ny, nx = min(WINDOW, real.shape[0]), min(WINDOW, real.shape[1])
    x = int(np.clip(star.x - nx / 2, 0, real.shape[1] - nx))
    y = int(np.clip(star.y - ny / 2, 0, real.shape[0] - ny))
    return real.window[0] + x, real.window[1] + y, (ny, nx)
