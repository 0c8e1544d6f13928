from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from tests.support.headers import header_a
from ztfdb.frame.wcs import astropy_wcs, wcs_parameters
from ztfdb.sky.projection import IDENTITY_PV, pixel_to_sky, sky_to_pixel, sky_to_pixel_many
from ztfdb.wcs import WcsParameters

# Zero-based pixels of the 2017 image and their positions, which were made with astropy from its full header.
VECTORS_A = [
    (0, 0, 23.85202739, 31.35253978),
    (3071, 0, 22.84079867, 31.34852435),
    (3071, 3079, 22.85022148, 30.48250263),
    (0, 3079, 23.85248973, 30.48665589),
    (1535.5, 1539.5, 23.34897743, 30.91863854),
    (100.25, 2000.75, 23.81954944, 30.78994602),
]
PIXEL_TOLERANCE = 1e-6


@pytest.fixture(scope="module")
def tpv() -> WcsParameters:
    return wcs_parameters(header_a(), "a")


def tan(ra: float, dec: float, angle: float = 20.0) -> WcsParameters:
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    cd = np.array([[-c, s], [s, c]]) * 2.8e-4
    return WcsParameters("TAN", np.array([ra, dec]), np.array([1500.0, 1600.0]), cd, IDENTITY_PV)


def pixels(n: int = 2000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.uniform(-500, 3600, n), rng.uniform(-500, 3600, n)


@pytest.mark.parametrize(("x", "y", "ra", "dec"), VECTORS_A)
def test_vectors_of_a_real_header(tpv: WcsParameters, x: float, y: float, ra: float, dec: float) -> None:
    # the matrix is known to seven digits only: half a unit of its last digit over 1540 pixels is 3e-7 deg
    found = pixel_to_sky(tpv, x, y)
    assert found[0] == pytest.approx(ra, abs=4e-7)
    assert found[1] == pytest.approx(dec, abs=4e-7)


@pytest.mark.parametrize(
    "wcs",
    [tan(120.0, -41.0), tan(0.0, 0.0), tan(0.001, 89.99), tan(300.0, -90.0), tan(77.0, 90.0), tan(359.9, 30.0)],
    ids=lambda w: f"{w.crval[0]}{w.crval[1]:+}",
)
def test_tan_equals_astropy(wcs: WcsParameters) -> None:
    check_against_astropy(wcs, astropy_wcs(wcs))


def test_tpv_equals_astropy(tpv: WcsParameters) -> None:
    check_against_astropy(tpv, WCS(header_a()))


def test_tpv_with_radial_terms_equals_astropy() -> None:
    header = header_a(PV1_3=2e-4, PV1_11=-3e-4, PV2_3=-1e-4, PV2_11=4e-4)
    check_against_astropy(wcs_parameters(header, "a"), WCS(header))


def test_the_real_quadrant_equals_astropy(quadrant: tuple[Path, Path]) -> None:
    header = fits.getheader(quadrant[0])
    check_against_astropy(wcs_parameters(header, quadrant[0]), WCS(header))


def check_against_astropy(wcs: WcsParameters, full: WCS) -> None:
    x, y = pixels()
    ra, dec = full.all_pix2world(x, y, 0)
    ours = pixel_to_sky(wcs, x, y)
    assert (ours[0] >= 0).all()
    assert (ours[0] < 360).all()
    back = full.all_world2pix(*ours, 0)  # in pixels, which no pole can stretch
    np.testing.assert_allclose(back, (x, y), atol=PIXEL_TOLERANCE)
    np.testing.assert_allclose(sky_to_pixel(wcs, ra, dec), (x, y), atol=PIXEL_TOLERANCE)


def test_positions_behind_the_observer_are_nan(tpv: WcsParameters) -> None:
    ra, dec = tpv.crval
    x, y = sky_to_pixel(tpv, [ra + 180, ra + 91, ra, ra], [-dec, 0.0, dec - 91, dec])
    assert np.isnan(x).tolist() == np.isnan(y).tolist() == [True, True, True, False]


def test_far_positions_never_fall_on_the_image(tpv: WcsParameters) -> None:
    rng = np.random.default_rng(3)
    ra, dec = rng.uniform(0, 360, 20000), np.degrees(np.arcsin(rng.uniform(-1, 1, 20000)))
    x, y = sky_to_pixel(tpv, ra, dec)
    on = (x > -0.5) & (x < 3071.5) & (y > -0.5) & (y < 3079.5)
    distance = np.hypot((ra - tpv.crval[0]) * np.cos(np.radians(dec)), dec - tpv.crval[1])
    assert (distance[on] < 0.65).all()


def test_nan_and_empty_positions(tpv: WcsParameters) -> None:
    assert np.isnan(sky_to_pixel(tpv, np.nan, 30.0)).all()
    assert np.isnan(pixel_to_sky(tpv, np.nan, 30.0)).all()
    assert [v.shape for v in sky_to_pixel(tpv, [], [])] == [(0,), (0,)]


def test_many_images_at_once_equal_one_by_one(tpv: WcsParameters) -> None:
    images = [tpv, tan(23.4, 31.0), tan(23.0, 30.5, 190.0), tan(200.0, 0.0)]
    values = np.array([image.to_array() for image in images])
    one = np.array([sky_to_pixel(image, 23.3, 30.8) for image in images])
    np.testing.assert_allclose(np.transpose(sky_to_pixel_many(values, 23.3, 30.8)), one, rtol=1e-13)
    assert np.isnan(one[3]).all()
    ra, dec = np.array([23.3, 23.5, 23.0, 200.1]), np.array([30.8, 31.0, 30.5, 0.1])
    each = np.array([sky_to_pixel(image, a, d) for image, a, d in zip(images, ra, dec, strict=True)])
    np.testing.assert_allclose(np.transpose(sky_to_pixel_many(values, ra, dec)), each, rtol=1e-13)


@pytest.mark.parametrize("projection", ["tpv", "tan", "radial"])
def test_one_position_is_where_it_is_among_others(tpv: WcsParameters, projection: str) -> None:
    pv = tpv.pv.copy()
    pv[:, 3] = 1e-4
    radial = WcsParameters("TPV", tpv.crval, tpv.crpix, tpv.cd, pv)
    wcs = {"tpv": tpv, "tan": tan(123.0, 45.0), "radial": radial}[projection]
    ra, dec = (values[:200] for values in pixel_to_sky(wcs, *pixels()))
    ra, dec = np.append(ra, [np.nan, wcs.crval[0] + 180.0, wcs.crval[0] + 25.0]), np.append(dec, [0.0, 0.0, 60.0])
    alone = np.array([sky_to_pixel(wcs, *one) for one in zip(ra, dec, strict=True)]).T
    # Newton's steps go on until the last of many positions has settled, each then within 4e-10 pixel
    np.testing.assert_allclose(alone, sky_to_pixel(wcs, ra, dec), rtol=0.0, atol=1e-9)


def test_no_images_have_no_pixels() -> None:
    assert [v.shape for v in sky_to_pixel_many(np.empty((0, 42)), 1.0, 2.0)] == [(0,), (0,)]


def test_parameters_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match="42"):
        sky_to_pixel_many(np.zeros((3, 40)), 1.0, 2.0)


def test_another_projection_is_refused(tpv: WcsParameters) -> None:
    sip = WcsParameters("SIP", tpv.crval, tpv.crpix, tpv.cd, tpv.pv)
    with pytest.raises(ValueError, match="SIP"):
        sky_to_pixel(sip, 1.0, 2.0)


def test_parameters_survive_storage(tpv: WcsParameters) -> None:
    again = WcsParameters.from_array("TPV", np.frombuffer(tpv.to_array().tobytes()))
    assert pixel_to_sky(again, 10.0, 20.0) == pixel_to_sky(tpv, 10.0, 20.0)


@pytest.mark.benchmark
def test_300_images_take_less_than_a_millisecond(tpv: WcsParameters) -> None:
    values = np.repeat(tpv.to_array()[None], 300, axis=0)
    seconds = []
    for _ in range(50):
        start = time.perf_counter()
        sky_to_pixel_many(values, 23.3, 30.8)
        seconds.append(time.perf_counter() - start)
    print(
        f"\none position on 300 TPV images: best {1e3 * min(seconds):.2f} ms, median {1e3 * np.median(seconds):.2f} ms"
    )
    assert min(seconds) < 1e-3  # the best: what the code needs when nothing else runs
