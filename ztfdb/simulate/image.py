"""Paint stars on a noisy sky and write files as ZTF does: a ``sciimg`` and its ``mskimg``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from ztfdb.arrays import FloatArray, IntArray
from ztfdb.bits import MaskBit
from ztfdb.simulate.exposure import Exposure
from ztfdb.simulate.header import mask_header, science_header
from ztfdb.simulate.profile import paint_stars

Stars = tuple[ArrayLike, ArrayLike, ArrayLike]
FIELD_DEG = 1.0
"""Stars given by sky position farther than this from the quadrant's centre are omitted."""
SEEN_SIGMA = 1.5
"""A pixel belongs to a "detection" (mask bit 1) if its star light exceeds this many sigma of the sky."""


@dataclass(frozen=True)
class StarTable:
    """The painted stars, one row per star, in the order given.

    Attributes
    ----------
    x, y : ndarray, shape (n_star,)
        Zero-based pixels of the written image.
    ra, dec : ndarray, shape (n_star,)
        Deg, ICRS.
    flux : ndarray, shape (n_star,)
        Total flux, DN.
    mag : ndarray, shape (n_star,)
        AB mag, ``MAGZP - 2.5 log10(flux)``; NaN for flux 0.
    """

    x: FloatArray
    y: FloatArray
    ra: FloatArray
    dec: FloatArray
    flux: FloatArray
    mag: FloatArray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class SimulatedImage:
    """A simulated exposure on disk with its truth.

    Attributes
    ----------
    sci : Path
        The science image.
    msk : Path or None
        The mask image, None if it was not requested.
    truth : StarTable
    exposure : Exposure
    """

    sci: Path
    msk: Path | None
    truth: StarTable
    exposure: Exposure


def make_science_image(
    path: str | Path,
    *,
    stars: Stars | None = None,
    sky_stars: Stars | None = None,
    n_star: int = 0,
    seed: int = 0,
    exposure: Exposure | None = None,
    mask: bool = True,
    noise: bool = True,
    extent: ArrayLike | None = None,
    dead_pixels: int = 0,
    nan_pixels: int = 0,
    bad_columns: Sequence[int] = (),
    cosmic_rays: int = 0,
    **settings: Any,
) -> SimulatedImage:
    """Write a simulated ``sciimg`` (and ``mskimg``) with known stars; equal arguments give equal bytes.

    Parameters
    ----------
    path : str or Path
        A folder, in which the file gets a ZTF name, or the path of the science file (``*.fits``).
    stars : tuple of array_like (x, y, flux), optional
        Zero-based pixels of the image to write and total flux in DN.
    sky_stars : tuple of array_like (ra, dec, mag), optional
        Deg and AB mag; painted after `stars`. Stars more than 1 degree from the quadrant's centre are omitted.
    n_star : int
        Number of random stars painted after these: uniform positions, counts growing as 10^(0.3 mag) over 6 mag
        down to the limiting magnitude.
    seed : int
        Seed of all randomness.
    exposure : Exposure, optional
        The exposure; default `Exposure`'s values.
    mask : bool
        Write the mask image.
    noise : bool
        Add Poisson and read noise.
    extent : array_like, shape (n_star,), optional
        Extra Gaussian width in pixels of each source painted, 0 for a star.
    dead_pixels, nan_pixels : int
        Number of random pixels without signal: value 0 with mask bit 9, NaN with mask bit 10.
    bad_columns : sequence of int
        Columns that are dead (value 0, mask bit 9).
    cosmic_rays : int
        Number of short bright streaks (mask bit 7).
    **settings
        Any attribute of `Exposure`: ``fwhm=2.5, obsmjd=58400.25, filtercode="zg", shape=(3080, 3072)``, ….

    Returns
    -------
    SimulatedImage

    Raises
    ------
    ValueError
        If columns differ in length or a value is out of range.
    TypeError
        If a setting is not an attribute of `Exposure`.
    """
    e = replace(exposure or Exposure(), **settings)
    rng = np.random.default_rng(seed)
    header = science_header(e)
    truth = _star_table(e, header, stars, sky_stars, n_star, rng)
    wide = None if extent is None else np.broadcast_to(np.asarray(extent, dtype=float), (len(truth),))
    light = paint_stars(e.shape, truth.x, truth.y, truth.flux, e.profile, extent=wide)
    bits = _source_bits(light, truth, e)
    data = observe(light, e, rng, noise=noise)
    _add_cosmic_rays(data, bits, cosmic_rays, rng)
    _saturate(data, bits, e)
    _spoil(data, bits, dead_pixels, nan_pixels, bad_columns, rng)
    sci, msk = _file_names(Path(path), e, mask)
    fits.PrimaryHDU(data, header).writeto(sci, overwrite=True)
    if msk is not None:
        fits.PrimaryHDU(bits, mask_header(e)).writeto(msk, overwrite=True)
    return SimulatedImage(sci, msk, truth, e)


def observe(light: FloatArray, exposure: Exposure, rng: np.random.Generator, *, noise: bool = True) -> FloatArray:
    """Add sky and noise to noiseless star light (DN); return float32 of the same shape."""
    x0, y0 = exposure.window
    ny, nx = light.shape
    gx, gy = exposure.sky_gradient
    sky = exposure.sky + gx * (np.arange(nx) + x0 - 1535.5) / 1000.0
    expected = light + sky[None, :] + (gy * (np.arange(ny) + y0 - 1539.5) / 1000.0)[:, None]
    if not noise:
        return np.asarray(expected, dtype=np.float32)
    data: FloatArray = rng.poisson(np.maximum(expected * exposure.gain, 0.0)).astype(np.float32) / np.float32(
        exposure.gain
    )
    data += rng.standard_normal(light.shape, dtype=np.float32) * np.float32(exposure.readnoi / exposure.gain)
    if exposure.correlated_rms > 0:
        smooth = gaussian_filter(rng.standard_normal(light.shape, dtype=np.float32), exposure.correlated_scale)
        data += smooth * np.float32(exposure.correlated_rms / smooth.std())
    return data


def _star_table(
    e: Exposure,
    header: fits.Header,
    stars: Stars | None,
    sky_stars: Stars | None,
    n_star: int,
    rng: np.random.Generator,
) -> StarTable:
    """Merge the three kinds of stars into one table with pixel and sky positions."""
    wcs = WCS(header)
    parts = [_columns(stars)] if stars is not None else []
    if sky_stars is not None:
        ra, dec, mag = _columns(sky_stars)
        near = _within(ra, dec, e.ra, e.dec, FIELD_DEG)
        x, y = wcs.all_world2pix(ra[near], dec[near], 0) if near.any() else (np.empty(0), np.empty(0))
        parts.append((x, y, 10.0 ** (-0.4 * (mag[near] - e.magzp))))
    if n_star:
        parts.append(_random_stars(e, n_star, rng))
    x, y, flux = (np.concatenate(c) for c in zip(*parts, strict=True)) if parts else (np.empty(0),) * 3
    ra, dec = wcs.all_pix2world(x, y, 0) if len(x) else (np.empty(0), np.empty(0))
    mag = e.magzp - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
    return StarTable(x, y, np.asarray(ra) % 360.0, np.asarray(dec), flux, mag)


def _columns(stars: Stars) -> tuple[FloatArray, FloatArray, FloatArray]:
    a, b, c = (np.atleast_1d(np.asarray(v, dtype=float)) for v in stars)
    if not len(a) == len(b) == len(c):
        raise ValueError(f"stars have {len(a)}, {len(b)} and {len(c)} values in their three columns")
    return a, b, c


def _within(ra: FloatArray, dec: FloatArray, ra0: float, dec0: float, radius_deg: float) -> NDArray[np.bool_]:
    """Return which positions are within the radius of (ra0, dec0); distant ones have no pixel."""
    d1, d2 = np.radians(dec), np.radians(dec0)
    cosine = np.sin(d1) * np.sin(d2) + np.cos(d1) * np.cos(d2) * np.cos(np.radians(ra - ra0))
    return np.asarray(cosine > np.cos(np.radians(radius_deg)))


def _random_stars(e: Exposure, n: int, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return random stars: uniform positions, magnitudes up to 6 mag above the limit, N growing as 10^(0.3 mag)."""
    ny, nx = e.shape
    x, y = rng.uniform(-0.5, nx - 0.5, n), rng.uniform(-0.5, ny - 0.5, n)
    low = 10.0 ** (-0.3 * 6.0)
    mag = e.limit_mag + np.log10(low + (1.0 - low) * rng.uniform(size=n)) / 0.3
    return x, y, 10.0 ** (-0.4 * (mag - e.magzp))


def _source_bits(light: FloatArray, truth: StarTable, e: Exposure) -> IntArray:
    """Return a mask with the 2 source bits: 1 where star light is visible, 11 at the pixel of each visible star."""
    bits = np.where(light > SEEN_SIGMA * e.sky_noise, int(MaskBit.SEXSOURCES), 0).astype(np.int16)
    ix, iy = np.floor(truth.x + 0.5).astype(np.int64), np.floor(truth.y + 0.5).astype(np.int64)
    inside = (ix >= 0) & (iy >= 0) & (ix < e.shape[1]) & (iy < e.shape[0])
    inside &= truth.flux * e.profile.peak_share() > SEEN_SIGMA * e.sky_noise
    bits[iy[inside], ix[inside]] |= int(MaskBit.PSFSOURCES)
    return bits


def _saturate(data: FloatArray, bits: IntArray, e: Exposure) -> None:
    """Clip at SATURATE (rounded up to single precision) and set the mask bit."""
    full = np.float32(e.saturate)
    if full < e.saturate:
        full = np.nextafter(full, np.float32(np.inf))
    saturated = data >= full
    data[saturated] = full
    bits[saturated] |= int(MaskBit.SATURATED)


def _add_cosmic_rays(data: FloatArray, bits: IntArray, n: int, rng: np.random.Generator) -> None:
    """Add straight streaks of 1–8 pixels with 300–5000 DN per pixel."""
    ny, nx = data.shape
    for _ in range(n):
        length, angle = rng.integers(1, 9), rng.uniform(0, np.pi)
        step = np.arange(length)
        x = np.round(rng.uniform(0, nx - 1) + step * np.cos(angle)).astype(int)
        y = np.round(rng.uniform(0, ny - 1) + step * np.sin(angle)).astype(int)
        inside = (x >= 0) & (x < nx) & (y >= 0) & (y < ny)
        data[y[inside], x[inside]] += rng.uniform(300.0, 5000.0)
        bits[y[inside], x[inside]] |= int(MaskBit.SPIKES)


def _spoil(
    data: FloatArray, bits: IntArray, dead: int, nan: int, columns: Sequence[int], rng: np.random.Generator
) -> None:
    """Set dead pixels and columns to 0 and NaN pixels to NaN, with their mask bits."""
    chosen = rng.choice(data.size, size=dead + nan, replace=False) if dead + nan else np.empty(0, dtype=np.int64)
    for index, value, bit in ((chosen[:dead], 0.0, MaskBit.DEAD), (chosen[dead:], np.nan, MaskBit.NAN)):
        y, x = np.unravel_index(index, data.shape)
        data[y, x] = value
        bits[y, x] |= int(bit)
    for column in columns:
        data[:, column] = 0.0
        bits[:, column] |= int(MaskBit.DEAD)


def _file_names(path: Path, e: Exposure, mask: bool) -> tuple[Path, Path | None]:
    """Return the paths of the science and mask file, and create their folder."""
    if path.suffix == ".fits":
        sci = path
        msk = path.with_name(path.name.replace("sciimg.fits", "mskimg.fits"))
        if msk == sci:
            msk = path.with_name(f"{path.stem}_mskimg.fits")
    else:
        sci, msk = path / f"{e.stem}_sciimg.fits", path / f"{e.stem}_mskimg.fits"
    sci.parent.mkdir(parents=True, exist_ok=True)
    return sci, msk if mask else None
