"""The compiled kernels against sep: the same numbers; which of them measures."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.pixels import gaussian_stars, noisy
from ztfdb.extract import kernels as module
from ztfdb.extract.aperture import aperture_sums
from ztfdb.extract.kernels import circle_fluxes, ellipse_fluxes, first_moments, kernels, window_centres
from ztfdb.extract.kron import kron_sums
from ztfdb.extract.measure import ExtractionSettings, measure_image, measurement_config
from ztfdb.extract.position import windowed_positions
from ztfdb.simulate.image import make_science_image

compiled = pytest.importorskip("ztfdb_kernels", reason="ztfdb-kernels is not installed: no C compiler")

NY, NX = 40, 55
EXACT = 1e-9
"""Bar of the relative difference; in circles it is relative to the sum of the pixels' absolute values."""


def both(function: Callable[..., Any], *arguments: Any, **options: Any) -> list[Any]:
    """Call a function twice: the kernels measure, then sep."""
    answers = []
    for measuring in (compiled, None):
        with patch.object(module, "kernels", lambda measuring=measuring: measuring), np.errstate(all="ignore"):
            answers.append(function(*arguments, **options))
    return answers


@st.composite
def fields(draw: st.DrawFn) -> np.ndarray:
    """Pixels with noise, stars, and some that are not finite or huge."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    x, y = rng.uniform(-2, NX + 2, 12), rng.uniform(-2, NY + 2, 12)
    data = noisy(gaussian_stars((NY, NX), x, y, 10 ** rng.uniform(2, 6, 12), rng.uniform(1, 4)), sky=0.0)
    for value in draw(st.lists(st.sampled_from([np.nan, np.inf, -np.inf, 3e38, -2e30]), max_size=3)):
        data[rng.integers(NY), rng.integers(NX)] = value
    return data


# Tenths and halves are where lines touch circles and subpixels lie on rims; far away, casts to integers overflow.
PLACES = st.one_of(
    st.floats(-10, 65),
    st.integers(-100, 650).map(lambda n: n / 10),
    st.sampled_from([-0.5, 0.0, NX - 0.5, NY - 0.5, 1e6, -1e18, 1e300, -1e300]),
)
POSITIONS = st.lists(st.tuples(PLACES, PLACES), max_size=8).map(lambda rows: np.array(rows).reshape(-1, 2).T.copy())
SIZES = st.one_of(st.floats(0, 12), st.integers(0, 60).map(lambda n: n / 10), st.floats(0, 1e-9), st.floats(0, 5000))


@given(fields(), POSITIONS, st.lists(SIZES, max_size=6))
def test_circles_are_those_of_sep(data: np.ndarray, centres: np.ndarray, radii: list[float]) -> None:
    ours, theirs = both(circle_fluxes, data, *centres, np.array(radii))
    np.testing.assert_array_equal(np.isfinite(ours), np.isfinite(theirs))
    with np.errstate(all="ignore"):
        scale = circle_fluxes(np.abs(data), *centres, np.array(radii))
    fine = np.isfinite(theirs)
    assert (np.abs(ours[fine] - theirs[fine]) <= EXACT * scale[fine]).all()


@given(fields(), POSITIONS, st.data())
def test_windows_are_those_of_sep(data: np.ndarray, centres: np.ndarray, draw: st.DataObject) -> None:
    sigma = np.array([draw.draw(st.floats(-1, 25)) for _ in centres[0]])
    ours, theirs = both(window_centres, data, *centres, sigma)
    np.testing.assert_allclose(ours, theirs, rtol=EXACT, atol=0)


@given(fields(), POSITIONS, st.data())
def test_ellipses_are_those_of_sep(data: np.ndarray, centres: np.ndarray, draw: st.DataObject) -> None:
    rows = [
        draw.draw(st.tuples(st.floats(1e-3, 30), st.floats(0.001, 1), st.floats(-np.pi / 2, np.pi / 2), SIZES))
        for _ in centres[0]
    ]
    a, ratio, theta, r = np.array(rows).reshape(-1, 4).T
    shape = (*centres, a, a * ratio, theta)
    np.testing.assert_allclose(*both(first_moments, data, shape, 6.0), rtol=EXACT, atol=0)
    (flux, cut), (flux_by_sep, cut_by_sep) = both(ellipse_fluxes, data, shape, r)
    np.testing.assert_allclose(flux, flux_by_sep, rtol=EXACT, atol=0)
    np.testing.assert_array_equal(cut, cut_by_sep)


STARS = np.random.default_rng(5).uniform(-3, 58, (2, 200))
DATA = noisy(gaussian_stars((NY, NX), *STARS, 10 ** np.linspace(2, 5, 200)), sky=0.0)


@pytest.mark.parametrize("kind", ["float32", "float64", ">f4", "int32", "fortran", "strided", "read-only"])
@pytest.mark.parametrize("masked", [False, True])
def test_arrays_of_any_layout_give_the_same_numbers(kind: str, masked: bool) -> None:
    wide = np.repeat(DATA, 2, axis=1)
    data = {"fortran": np.asfortranarray(DATA), "strided": wide[:, ::2], "read-only": DATA.copy()}.get(kind)
    if data is None:
        data = DATA.astype(kind)
    data.flags.writeable = kind != "read-only"
    excluded = np.random.default_rng(1).random(DATA.shape) < 0.05 if masked else None
    a, settings = np.full(200, 1.3), ExtractionSettings()
    for ours, theirs in zip(
        both(aperture_sums, data, *STARS, excluded),
        both(aperture_sums, data.astype(np.float32), *STARS, excluded)[::-1],
        strict=True,
    ):
        for name, column in vars(ours).items():
            np.testing.assert_allclose(column, vars(theirs)[name], rtol=EXACT, atol=1e-7)
    data = np.array(data, dtype=data.dtype.newbyteorder("="), order="C")  # sep, and so these two, take no others
    np.testing.assert_allclose(*both(windowed_positions, data, *STARS, a, a, excluded), rtol=EXACT, atol=0)
    ours, theirs = both(kron_sums, data, *STARS, a, a / 2, a, excluded, settings)
    for name, column in vars(ours).items():
        np.testing.assert_allclose(column, vars(theirs)[name], rtol=EXACT, atol=0)


def same_rows(path: Any) -> int:
    """Measure an image both ways, compare what is stored, and return the number of rows."""
    ours, theirs = both(measure_image, path)
    assert len(ours.sources) == len(theirs.sources)
    for name, column in vars(theirs.sources).items():
        mine = vars(ours.sources)[name]
        if column is None:
            assert mine is None
        elif name in ("ra", "dec", "x", "y"):
            np.testing.assert_array_equal(mine.astype(np.float32), column.astype(np.float32), err_msg=name)
        else:
            np.testing.assert_array_equal(mine, column, err_msg=name)
    np.testing.assert_allclose(ours.sky_noise, theirs.sky_noise, rtol=EXACT)
    return len(ours.sources)


@pytest.mark.parametrize("seed", range(4))
def test_rows_of_a_simulated_image_are_the_same(tmp_path: Any, seed: int) -> None:
    made = make_science_image(tmp_path, n_star=1500, seed=seed, shape=(400, 500), fwhm=1.3 + seed / 2)
    assert same_rows(made.sci) > 500


def test_rows_of_the_real_quadrant_are_the_same(quadrant: Any) -> None:
    assert same_rows(quadrant[0]) > 12_000


def test_rows_of_real_cutouts_are_the_same(shared_data: Any) -> None:
    assert sum(map(same_rows, sorted((shared_data / "psf").glob("*/*_0*.fits"))[::5])) > 0


@pytest.fixture
def chosen_anew() -> Any:
    kernels.cache_clear()
    yield
    kernels.cache_clear()


@pytest.mark.usefixtures("chosen_anew")
@pytest.mark.parametrize(("value", "found"), [("off", None), ("0", None), ("", compiled), ("on", compiled)])
def test_a_variable_switches_the_kernels_off(monkeypatch: Any, value: str, found: Any) -> None:
    monkeypatch.setenv(module.VARIABLE, value)
    assert kernels() is found


@pytest.mark.usefixtures("chosen_anew")
@pytest.mark.parametrize(
    ("installed", "said"),
    [
        (SimpleNamespace(INTERFACE=module.INTERFACE + 1), "does not fit this version of ztfdb"),
        (SimpleNamespace(), "does not fit this version of ztfdb"),
        (None, None),  # not installed
    ],
)
def test_other_kernels_are_left_alone(monkeypatch: Any, caplog: Any, installed: Any, said: str | None) -> None:
    monkeypatch.delenv(module.VARIABLE, raising=False)
    monkeypatch.setitem(sys.modules, "ztfdb_kernels", installed)
    with caplog.at_level(logging.WARNING):
        assert kernels() is None
    assert said is None or said in caplog.text
    assert len(caplog.records) == (said is not None)
    assert len(aperture_sums(DATA, *STARS).flux) == 6


def test_the_version_of_the_kernels_is_stored_where_they_measured() -> None:
    from ztfdb.extract.measure import software_versions

    told = []
    for measuring in (compiled, None):
        software_versions.cache_clear()
        with patch("ztfdb.extract.measure.kernels", lambda measuring=measuring: measuring):
            told.append(measurement_config(ExtractionSettings()))
    software_versions.cache_clear()
    assert told[0].versions == {**told[1].versions, "ztfdb-kernels": compiled.__version__}
    assert told[0].config_hash != told[1].config_hash


COLUMN, TABLE = np.zeros(3), np.zeros((2, 3))


@pytest.mark.parametrize(
    "arguments",
    [
        (DATA, COLUMN, COLUMN, COLUMN[:2]),
        (DATA.astype(">f4"), COLUMN, COLUMN, COLUMN[:2], TABLE),
        (DATA.astype(float), COLUMN, COLUMN, COLUMN[:2], TABLE),
        (DATA[:, ::2], COLUMN, COLUMN, COLUMN[:2], TABLE),
        (DATA.ravel(), COLUMN, COLUMN, COLUMN[:2], TABLE),
        (DATA, COLUMN, COLUMN[:2], COLUMN[:2], TABLE),
        (DATA, COLUMN, COLUMN, COLUMN, TABLE),
        (DATA, COLUMN, COLUMN, COLUMN[:2], TABLE.T.copy()),
        (DATA, COLUMN, COLUMN, COLUMN[:2], TABLE.astype(np.float32)),
        (DATA, COLUMN, COLUMN, COLUMN[:2], bytes(48)),
        (DATA, COLUMN, None, COLUMN[:2], TABLE),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arguments: tuple[Any, ...]) -> None:
    with pytest.raises((ValueError, TypeError, BufferError)):
        compiled.circle_sums(*arguments)
