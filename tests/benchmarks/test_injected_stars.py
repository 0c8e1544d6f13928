"""Completeness and purity on stars injected into a real quadrant, by magnitude, beside SExtractor's.

``pytest -m benchmark tests/benchmarks/test_injected_stars.py -s`` prints the tables: all realisations with several
hundred stars per bin, then what a matched filter would find instead of the plain one, and what it costs.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import sep
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from tests.support.injection import Catalogue, compare, draw_stars, found, inject, own_profile, spurious
from tests.support.sextractor import require_sextractor
from ztfdb.extract.measure import measure_image
from ztfdb.extract.prepare import excluded_pixels, flagged_pixels, subtract_background
from ztfdb.frame.background import background_surface, measure_background
from ztfdb.frame.read import read_frame

pytestmark = pytest.mark.benchmark

BINS = np.arange(18.0, 22.51, 0.5)
PER_BIN = 50
N_REALISATION = 6

KERNEL = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32)
SAME_DEPTH = 1.5 * KERNEL.sum() / np.sqrt((KERNEL**2).sum())
"""A matched filter counts in its own noise: 4 sigma of it are 1.5 of the pixel's, where the noise is the same."""

Images = tuple[Path, Path]


def test_injected_stars_by_magnitude(quadrant: Images, tmp_path: Path) -> None:
    require_sextractor()
    outcome, (fwhm, beta) = compare(quadrant, tmp_path, bins=BINS, per_bin=PER_BIN, n_realisation=N_REALISATION)
    print(f"\nstars with a Moffat profile of {fwhm:.2f} px, exponent {beta:.2f}")
    print(outcome.table())
    ours, theirs = outcome.found.sum(axis=1)
    assert (ours - theirs >= -2 * np.sqrt(outcome.only.sum(axis=0))).all()
    impure = outcome.spurious.sum(axis=1) / outcome.sources.sum(axis=1)
    print(f"spurious of all new sources: ztfdb {100 * impure[0]:.1f} %, SExtractor {100 * impure[1]:.1f} %")
    assert impure[0] <= impure[1] + 2 * np.sqrt(outcome.spurious[1].sum()) / outcome.sources[1].sum()


def detections(images: Images, *, matched: bool) -> tuple[Catalogue, float]:
    """What ``sep`` finds with either filter at the same depth in uniform noise, and the seconds it takes."""
    frame = read_frame(*images, hash_files=False)
    assert frame.mask is not None
    mesh = measure_background(frame.data)
    subtract_background(frame.data, mesh, excluded_pixels(frame.data, flagged_pixels(frame.mask)))
    rms = background_surface(mesh, rms=True)
    start = time.perf_counter()
    objects = sep.extract(
        frame.data,
        SAME_DEPTH if matched else 1.5,
        err=rms,
        minarea=5,
        filter_kernel=KERNEL,
        filter_type="matched" if matched else "conv",
        clean=False,
    )
    seconds = time.perf_counter() - start
    return Catalogue(objects["x"], objects["y"], objects["flux"]), seconds


def test_a_matched_filter_finds_the_same_stars(quadrant: Images, tmp_path: Path) -> None:
    sep.set_extract_pixstack(3_000_000)
    measured = measure_image(*quadrant)
    profile, _, _ = own_profile(measured)
    filters = {"plain": False, "matched": True}
    before = {name: detections(quadrant, matched=matched)[0].points for name, matched in filters.items()}
    known = np.concatenate(list(before.values()))
    rng = np.random.default_rng(1)
    stars = draw_stars(BINS, 100, (measured.info.ny, measured.info.nx), cKDTree(known), rng)
    changed = inject(quadrant, stars, profile, tmp_path / "injected", rng)
    shares: dict[str, NDArray[np.float64]] = {}
    print()
    for name, matched in filters.items():
        catalogue, seconds = detections(changed, matched=matched)
        hit = found(stars, catalogue)
        shares[name] = np.histogram(stars.mag[hit], BINS)[0] / np.histogram(stars.mag, BINS)[0]
        new = spurious(catalogue, known)
        false = new & spurious(catalogue, known, stars.points)
        print(f"{name:>8}: {seconds:.2f} s, purity {100 * (1 - false.sum() / new.sum()):.1f} %, found", end=" ")
        print(*(f"{100 * share:5.1f}" for share in shares[name]), "%")
    assert np.abs(shares["plain"] - shares["matched"]).max() < 0.1
