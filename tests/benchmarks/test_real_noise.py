"""The real field on sixty simulated nights with clouds: what light curves scatter by, against the noise model.

``pytest -m benchmark tests/benchmarks/test_real_noise.py -s``, some minutes; with ``ZTFDB_BENCHMARK_PLOTS=DIR`` the
page of residuals is written there, too. ``ZTFDB_BENCHMARK_WINDOW`` is the side of the simulated images, pixels.
"""

from __future__ import annotations

import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy.spatial import cKDTree

import ztfdb
from ztfdb.extract.measure import measure_image
from ztfdb.simulate import simulate_epoch

pytestmark = pytest.mark.benchmark

N_EPOCH = 60
WINDOW = int(os.environ.get("ZTFDB_BENCHMARK_WINDOW", "1536"))
CLOUDS, HEADER_SIGMA, GRADIENT = 0.2, 0.02, 0.015
BINS = np.arange(14.0, 19.01, 0.5)
LONE_PIX = 12.0
"""Stars that are judged have no neighbour so near: an aperture of another star's light is no noise."""


def paint_night(number: int, header: fits.Header, stars: dict[str, np.ndarray], folder: Path) -> Path:
    """Write one night: stars behind clouds that are thicker on one side, a header that is off by 20 mmag."""
    rng = np.random.default_rng([7, number])
    middle = np.array([header["NAXIS1"], header["NAXIS2"]]) / 2.0
    u, v = (stars["x"] - middle[0]) / (WINDOW / 2), (stars["y"] - middle[1]) / (WINDOW / 2)
    slope = rng.normal(0, GRADIENT, 2)
    cloud = rng.exponential(CLOUDS) + slope[0] * u + slope[1] * v
    made = simulate_epoch(
        header,
        (stars["x"], stars["y"], stars["flux"] * 10 ** (-0.4 * cloud)),
        folder,
        obsmjd=float(header["OBSMJD"]) + 1.0 + number + rng.uniform(-0.1, 0.1),
        shift_arcsec=tuple(rng.normal(0, 5.0, 2)),
        seed=1_000 + number,
        fwhm=rng.uniform(1.8, 2.6),
        sky=rng.uniform(120.0, 250.0),
        shape=(WINDOW, WINDOW),
        x0=round(middle[0] - WINDOW / 2),
        y0=round(middle[1] - WINDOW / 2),
        moffat=3.0,
    )
    with fits.open(made.sci, mode="update") as hdus:
        hdus[0].header["MAGZP"] += rng.normal(0, HEADER_SIGMA)
        hdus[0].header["AIRMASS"] = rng.uniform(1.0, 2.2)
    return made.sci


def robust(values: np.ndarray) -> float:
    """The standard deviation of a Gaussian, by the median."""
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def test_scatter_against_magnitude_is_the_noise_model(quadrant, databases, tmp_path):
    science, mask = quadrant
    measured = measure_image(science, mask)
    table = measured.sources
    with fits.open(science) as hdus:
        header = next(hdu.header for hdu in hdus if hdu.header.get("NAXIS", 0) == 2)
    share = 10 ** (0.4 * header["APCOR4"])
    flux = table.flux_aper[3].astype(float) / share
    bright = flux > 0
    stars = {"x": table.x[bright], "y": table.y[bright], "flux": flux[bright]}
    url = databases.migrated("sqlite")
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(science).stored == 1
        for number in range(N_EPOCH):
            path = paint_night(number, header, stars, tmp_path)
            assert archive.ingest(path, jobs=1).stored == 1
            for file in tmp_path.iterdir():
                file.unlink()
        before = archive.calibrate(method="self")
        assert before.n_failed == 0
        xy = np.stack([stars["x"], stars["y"]], axis=-1)
        lone = cKDTree(xy).query(xy, 2)[0][:, 1] > LONE_PIX
        clean = (table.flags[bright] == 0) & ((table.mask_bits[bright] if table.mask_bits is not None else 0) == 0)
        mag = header["MAGZP"] - 2.5 * np.log10(stars["flux"])
        inside = np.abs(xy - np.array([header["NAXIS1"], header["NAXIS2"]]) / 2).max(axis=1) < WINDOW / 2 - 60
        chosen = np.flatnonzero(lone & clean & inside & (mag >= BINS[0]) & (mag < BINS[-1]))
        ra, dec = WCS(header).all_pix2world(*xy[chosen].T, 0)
        curves = archive.light_curves({"ra": ra, "dec": dec}, calibration="self", good=True)
        plain = archive.light_curves({"ra": ra, "dec": dec}, good=True)
        folder = os.environ.get("ZTFDB_BENCHMARK_PLOTS")
        if folder:
            archive.plot_self_calibration().figure.savefig(Path(folder) / "selfcal_residuals.png", dpi=90)
    databases.drop(url)
    rows = []
    for frame in (curves, plain):
        frame = frame[frame.simulated & np.isfinite(frame.mag)]
        n = frame.groupby("position").mag.transform("size")
        weight = frame.magerr**-2
        total, whole = (part.groupby(frame.position).transform("sum") for part in (frame.mag * weight, weight))
        mean = total / whole
        kept = frame.assign(off=(frame.mag - mean) / np.sqrt(1 - 1 / n))[n >= N_EPOCH // 2]
        rows.append(kept)
    print(f"\n{len(chosen)} lone stars on {N_EPOCH} nights, images of {WINDOW} px")
    print("| mag | stars | scatter by headers | scatter | expected | ratio |\n|---|---|---|---|---|---|")
    ratios = []
    for low, high in pairwise(BINS):
        own, by_header = (one[(mag[chosen][one.position] >= low) & (mag[chosen][one.position] < high)] for one in rows)
        ratio = robust((own.off / own.magerr).to_numpy())
        ratios.append(ratio)
        print(
            f"| {low:.1f}–{high:.1f} | {own.position.nunique()} | {1e3 * robust(by_header.off.to_numpy()):.1f} "
            f"| {1e3 * robust(own.off.to_numpy()):.1f} | {1e3 * own.magerr.median():.1f} mmag | {ratio:.3f} |"
        )
        assert own.position.nunique() >= 5
    assert np.abs(np.array(ratios) - 1.0).max() <= 0.1
