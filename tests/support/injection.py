"""Stars injected into a real quadrant, and who finds them: completeness and purity by magnitude."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from tests.support.sextractor import sextractor
from ztfdb.arrays import FloatArray
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.extract.measure import measure_image
from ztfdb.records import MeasuredImage
from ztfdb.simulate.profile import Profile, paint_stars

Images = tuple[Path, Path]

MATCH_PIX = 1.5
"""A star counts as found when a source lies this near to it."""

CLEAR_PIX = 3.0
"""Random places nearer than this to a source of either catalogue are not used: nobody could tell the two apart."""

BLANK_PIX = 12.0
"""Blank places are this far from every source of both catalogues."""

MARGIN = 20
"""Distance from the edge of the image, pixels."""


@dataclass(frozen=True)
class Catalogue:
    """Positions (zero-based pixels) and 6 px aperture fluxes (DN) of what one program found."""

    x: FloatArray
    y: FloatArray
    flux: FloatArray

    @property
    def points(self) -> FloatArray:
        """Shape (n, 2)."""
        return np.stack([self.x, self.y], axis=1)


@dataclass(frozen=True)
class Stars:
    """What was injected: zero-based pixels, total AB magnitude, and whether the place was chosen to be blank."""

    x: FloatArray
    y: FloatArray
    mag: FloatArray
    blank: NDArray[np.bool_]

    @property
    def points(self) -> FloatArray:
        """Shape (n, 2)."""
        return np.stack([self.x, self.y], axis=1)


def our_catalogue(images: Images) -> Catalogue:
    """Measure an image with ztfdb."""
    s = measure_image(*images).sources
    return Catalogue(s.x, s.y, s.flux_aper[3].astype(float))


def their_catalogue(images: Images, folder: Path) -> Catalogue:
    """Measure an image with SExtractor."""
    found = sextractor(*images, folder)
    x, y = found["XWIN_IMAGE"].astype(float) - 1, found["YWIN_IMAGE"].astype(float) - 1
    return Catalogue(x, y, found["FLUX_APER"][:, 3].astype(float))


def own_profile(measured: MeasuredImage) -> tuple[Profile, float, float]:
    """Fit a Moffat profile to the growth of an image's own stars: the profile, its FWHM (pixels) and exponent."""
    s = measured.sources
    clean = (s.flags == 0) & (s.flux_aper[3] > 200 * s.flux_aper_err[3])
    if s.mask_bits is not None:
        clean &= s.mask_bits == 0
    growth = np.median(s.flux_aper[:5, clean] / s.flux_aper[4, clean], axis=1)

    def miss(values: FloatArray) -> float:
        profile = Profile.moffat(*np.clip(values, 0.8, 4.6))
        share = np.array([profile.aperture_share(d / 2) for d in APERTURE_DIAMETERS[:5]])
        return float(np.abs(share / share[4] - growth).max())

    grid = [(miss(np.array([f, b])), f, b) for f in np.arange(0.8, 3.6, 0.1) for b in np.arange(2.5, 4.6, 0.5)]
    fwhm, beta = minimize(miss, min(grid)[1:], method="Nelder-Mead", options={"xatol": 1e-3, "fatol": 1e-6}).x
    return Profile.moffat(fwhm, beta), float(fwhm), float(beta)


def draw_stars(
    bins: FloatArray, per_bin: int, shape: tuple[int, int], known: cKDTree, rng: np.random.Generator
) -> Stars:
    """Draw stars, `per_bin` in blank and as many in random places, with magnitudes uniform in each bin."""
    n = per_bin * (len(bins) - 1)
    parts = []
    for blank in (True, False):
        distance = BLANK_PIX if blank else CLEAR_PIX
        candidates = rng.uniform(MARGIN, np.array(shape[::-1]) - MARGIN, size=(40 * n, 2))
        free = known.query(candidates)[0] > distance
        chosen = candidates[free][:n]
        assert len(chosen) == n
        mag = rng.uniform(np.repeat(bins[:-1], per_bin), np.repeat(bins[1:], per_bin))
        parts.append((chosen[:, 0], chosen[:, 1], mag, np.full(n, blank)))
    return Stars(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def inject(images: Images, stars: Stars, profile: Profile, folder: Path, rng: np.random.Generator) -> Images:
    """Write the image with the stars and their photon noise added, beside a link to its mask."""
    folder.mkdir(parents=True, exist_ok=True)
    sci, msk = (folder / path.name for path in images)
    with fits.open(images[0]) as hdus:
        header, data = hdus[0].header, hdus[0].data.astype(np.float32)
    flux = 10 ** (-0.4 * (stars.mag - header["MAGZP"]))
    light = paint_stars((data.shape[0], data.shape[1]), stars.x, stars.y, flux, profile)
    data += (rng.poisson(light * header["GAIN"]) / header["GAIN"]).astype(np.float32)
    fits.PrimaryHDU(data, header).writeto(sci, overwrite=True)
    msk.unlink(missing_ok=True)
    msk.symlink_to(images[1])
    return sci, msk


def found(stars: Stars, catalogue: Catalogue) -> NDArray[np.bool_]:
    """Say which stars have a source within `MATCH_PIX`."""
    return np.asarray(cKDTree(catalogue.points).query(stars.points)[0] <= MATCH_PIX)


def spurious(catalogue: Catalogue, *real: FloatArray) -> NDArray[np.bool_]:
    """Say which sources lie at none of the real positions (shape (n, 2) each)."""
    near = cKDTree(np.concatenate(real)).query(catalogue.points)[0]
    return np.asarray(near > MATCH_PIX)


def magnitudes(catalogue: Catalogue, profile: Profile, magzp: float) -> FloatArray:
    """Total magnitudes from the 6 px aperture, NaN without flux."""
    flux = np.where(catalogue.flux > 0, catalogue.flux, np.nan) / profile.aperture_share(APERTURE_DIAMETERS[3] / 2)
    return np.asarray(magzp - 2.5 * np.log10(flux))


@dataclass(frozen=True)
class Outcome:
    """Counts of all realisations, by program (ztfdb, SExtractor) and magnitude bin.

    Attributes
    ----------
    bins : ndarray, shape (n_bin + 1,)
        Edges, AB mag.
    injected : ndarray of int, shape (2, n_bin)
        Stars in random and in blank places.
    found : ndarray of int, shape (n_program, 2, n_bin)
        Those that were found.
    only : ndarray of int, shape (2, n_program, n_bin)
        Those that this program alone of the first two found.
    sources, spurious : ndarray of int, shape (n_program, n_bin)
        Sources that were not there before the injection, by measured magnitude, and those of them at no star.
    """

    bins: FloatArray
    injected: NDArray[np.int64]
    found: NDArray[np.int64]
    only: NDArray[np.int64]
    sources: NDArray[np.int64]
    spurious: NDArray[np.int64]

    def table(self) -> str:
        """Completeness and purity side by side, a row per bin."""
        lines = [
            "| mag | stars | random: ztfdb | SExtractor | blank: ztfdb | SExtractor | purity: ztfdb | SExtractor |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for k, (low, high) in enumerate(zip(self.bins[:-1], self.bins[1:], strict=True)):
            shares = [self.found[p, place, k] / self.injected[place, k] for place in (0, 1) for p in (0, 1)]
            pure = [1 - self.spurious[p, k] / max(self.sources[p, k], 1) for p in (0, 1)]
            cells = " | ".join(f"{100 * share:5.1f} %" for share in (*shares, *pure))
            lines.append(f"| {low:.1f}–{high:.1f} | {self.injected[:, k].sum()} | {cells} |")
        return "\n".join(lines)


def compare(
    images: Images, folder: Path, *, bins: FloatArray, per_bin: int, n_realisation: int, seed: int = 1
) -> tuple[Outcome, tuple[float, float]]:
    """Inject stars into an image and measure it with both programs, `n_realisation` times.

    Also returns FWHM (pixels) and exponent of the Moffat profile of the stars, which is the image's own.
    """
    measured = measure_image(*images)
    profile, fwhm, beta = own_profile(measured)
    s = measured.sources
    before = (Catalogue(s.x, s.y, s.flux_aper[3]), their_catalogue(images, folder))
    known = np.concatenate([catalogue.points for catalogue in before])
    rng = np.random.default_rng(seed)
    n_bin = len(bins) - 1
    injected, hits = np.zeros((2, n_bin), dtype=np.int64), np.zeros((2, 2, n_bin), dtype=np.int64)
    only, sources, false = (np.zeros((2, n_bin), dtype=np.int64) for _ in range(3))
    shape = (measured.info.ny, measured.info.nx)
    for _ in range(n_realisation):
        stars = draw_stars(bins, per_bin, shape, cKDTree(known), rng)
        changed = inject(images, stars, profile, folder / "injected", rng)
        catalogues = (our_catalogue(changed), their_catalogue(changed, folder))
        hit = [found(stars, catalogue) for catalogue in catalogues]
        for place, there in enumerate((~stars.blank, stars.blank)):
            injected[place] += _count(stars.mag[there], bins)
            for program in (0, 1):
                hits[program, place] += _count(stars.mag[there & hit[program]], bins)
        for program, catalogue in enumerate(catalogues):
            only[program] += _count(stars.mag[hit[program] & ~hit[1 - program]], bins)
            mag = magnitudes(catalogue, profile, measured.info.magzp)
            new = spurious(catalogue, known)
            sources[program] += _count(mag[new], bins)
            false[program] += _count(mag[new & spurious(catalogue, known, stars.points)], bins)
    return Outcome(bins, injected, hits, only, sources, false), (fwhm, beta)


def _count(mag: FloatArray, bins: FloatArray) -> NDArray[np.int64]:
    return np.histogram(mag[np.isfinite(mag)], bins)[0]
