from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from tests.support.headers import header_a
from ztfdb.frame.wcs import wcs_parameters
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.footprint import corners, image_cells
from ztfdb.sky.projection import pixel_to_sky
from ztfdb.wcs import WcsParameters

# Outer corners of the 2017 image: lower left, lower right, upper right, upper left.
CORNERS_A = (23.85219191, 31.35268032, 22.84063249, 31.34866360, 22.85005981, 30.48236067, 23.85265298, 30.48651532)
SIZE = (3072, 3080)


@pytest.fixture(scope="module")
def tpv() -> WcsParameters:
    return wcs_parameters(header_a(), "a")


def turned(wcs: WcsParameters, ra: float, dec: float, angle: float) -> WcsParameters:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return replace(wcs, crval=np.array([ra, dec]), cd=wcs.cd @ np.array([[c, -s], [s, c]]))


def sampled_cells(wcs: WcsParameters, nx: int, ny: int, n: int = 300, n_edge: int = 6000) -> np.ndarray:
    """The cells of a dense grid of points of an image and of its edges."""
    x, y = np.linspace(-0.5, nx - 0.5, n), np.linspace(-0.5, ny - 0.5, n)
    edge_x, edge_y = np.linspace(-0.5, nx - 0.5, n_edge), np.linspace(-0.5, ny - 0.5, n_edge)
    low, right, top = np.full(n_edge, -0.5), np.full(n_edge, nx - 0.5), np.full(n_edge, ny - 0.5)
    all_x = np.concatenate([np.tile(x, n), edge_x, edge_x, low, right])
    all_y = np.concatenate([np.repeat(y, n), low, top, edge_y, edge_y])
    return np.unique(sky_to_cell(*pixel_to_sky(wcs, all_x, all_y), 9))


def test_corners_of_a_real_image(tpv: WcsParameters) -> None:
    # the matrix is known to seven digits only
    np.testing.assert_allclose(corners(tpv, *SIZE), CORNERS_A, atol=4e-7)


def test_corners_equal_irsas_metadata(shared_data: Path) -> None:
    rows = csv.DictReader((shared_data / "cutouts" / "irsa_metadata.csv").read_text().splitlines())
    checked = 0
    for row in rows:
        for path in (shared_data / "cutouts").glob(f"ztf_{row['filefracday']}_*.fits"):
            header = fits.getheader(path)
            header["CRPIX1"], header["CRPIX2"] = 1536.5, 1540.5  # IRSA's row is about the whole quadrant
            ours = np.reshape(corners(wcs_parameters(header, path), *SIZE), (4, 2))
            theirs = np.array([[float(row[f"{c}{k}"]) for c in ("ra", "dec")] for k in (1, 2, 3, 4)])
            assert (separation(*ours.T, *theirs.T) < 1e-3).all()
            checked += 1
    assert checked == 8


@pytest.mark.parametrize(
    ("ra", "dec"),
    [(23.3, 30.9), (0.0, 0.0), (359.99, -20.0), (0.0, 90.0), (10.0, -90.0), (200.0, 89.7), (45.0, 41.81), (90.0, 66.0)],
)
@pytest.mark.parametrize("angle", [0.0, 17.0, 45.0])
def test_no_touched_cell_is_missing(tpv: WcsParameters, ra: float, dec: float, angle: float) -> None:
    wcs = turned(tpv, ra, dec, angle)
    cells, sampled = image_cells(wcs, *SIZE), sampled_cells(wcs, *SIZE)
    assert np.setdiff1d(sampled, cells).size == 0
    assert np.setdiff1d(cells, sampled).size <= 2  # what two pixels of margin may add
    assert (np.diff(cells) > 0).all()


def test_a_quadrant_touches_about_eighty_cells(tpv: WcsParameters) -> None:
    rng = np.random.default_rng(6)
    counts = [
        image_cells(turned(tpv, a, d, t), *SIZE).size
        for a, d, t in zip(rng.uniform(0, 360, 60), rng.uniform(-30, 85, 60), rng.uniform(-3, 3, 60), strict=True)
    ]
    assert min(counts) >= 70
    assert max(counts) <= 90


@pytest.mark.parametrize("size", [(1, 1), (20, 30), (594, 264), (3072, 1)])
def test_small_windows(tpv: WcsParameters, size: tuple[int, int]) -> None:
    rng = np.random.default_rng(7)
    for _ in range(20):
        wcs = replace(tpv, crpix=rng.uniform(-1500, 3000, 2))
        cells, sampled = image_cells(wcs, *size), sampled_cells(wcs, *size, n=60, n_edge=2000)
        assert np.setdiff1d(sampled, cells).size == 0
        assert np.setdiff1d(cells, sampled).size <= 2


def test_an_image_inside_one_cell_has_that_cell(tpv: WcsParameters) -> None:
    wcs = replace(tpv, crpix=np.array([5.0, 5.0]))
    assert image_cells(wcs, 10, 10, order=3).tolist() == [int(sky_to_cell(*tpv.crval, 3))]
