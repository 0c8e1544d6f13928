"""Statistics of light curves: against their definitions, one curve at a time, and against the light-curve package."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.derive.members import lengthened, packed
from ztfdb.derive.variability import POINT, STATISTICS, STETSON_PAIR_DAYS, medians, statistics


def curve(n, rng, *, amplitude=0.0):
    points = np.empty(n, POINT)
    points["mjd"] = np.sort(rng.choice([58000.0, 58001.5, 58003.0], n) + rng.integers(0, 40, n) * 0.007)
    points["mag_err"] = rng.uniform(0.015, 0.2, n)
    points["mag"] = 18.0 + amplitude * np.sin(points["mjd"]) + rng.normal(0, points["mag_err"])
    return points


def many(sizes, seed=1):
    rng = np.random.default_rng(seed)
    curves = [curve(n, rng, amplitude=0.3 * (k % 2)) for k, n in enumerate(sizes)]
    return curves, np.concatenate(curves), np.cumsum([0, *sizes[:-1]])


def stetson_j(mjd, mag, error):
    """Stetson 1996, written out: pairs of successive points close in time, single points otherwise."""
    n = len(mjd)
    weight = error**-2.0
    mean = np.sum(weight * mag) / weight.sum()
    delta = np.sqrt(n / (n - 1)) * (mag - mean) / error
    values, k = [], 0
    while k < n:
        if k + 1 < n and mjd[k + 1] - mjd[k] <= STETSON_PAIR_DAYS:
            product = delta[k] * delta[k + 1]
            k += 2
        else:
            product = delta[k] ** 2 - 1
            k += 1
        values.append(np.sign(product) * np.sqrt(abs(product)))
    return np.mean(values)


def test_every_statistic_is_what_its_name_says():
    curves, points, start = many([2, 30, 1, 7, 300, 3])
    found = statistics(points, start)
    assert tuple(found) == STATISTICS
    for k, one in enumerate(curves):
        mag, error, n = one["mag"].astype(float), one["mag_err"].astype(float), len(one)
        weight = error**-2
        expected = {
            "n": n,
            "first_mjd": one["mjd"][0],
            "last_mjd": one["mjd"][-1],
            "min_mag": mag.min(),
            "max_mag": mag.max(),
            "median_mag": np.median(mag),
            "mean_mag": np.average(mag, weights=weight),
            "mean_mag_err": weight.sum() ** -0.5,
        }
        if n > 1:
            expected |= {
                "scatter": mag.std(ddof=1),
                "chi2": np.sum((mag - expected["mean_mag"]) ** 2 * weight) / (n - 1),
                "stetson_j": stetson_j(one["mjd"], mag, error),
                "eta": np.sum(np.diff(mag) ** 2) / (n - 1) / mag.var(ddof=1),
            }
        else:
            assert all(np.isnan(found[name][k]) for name in ("scatter", "chi2", "stetson_j", "eta"))
        for name, value in expected.items():
            assert found[name][k] == pytest.approx(value, rel=1e-9), name


def test_statistics_are_those_of_the_light_curve_package():
    oracle = pytest.importorskip("light_curve", reason="light-curve is not installed (group `oracles`)")
    names = {
        "mean_mag": oracle.WeightedMean(),
        "median_mag": oracle.Median(),
        "scatter": oracle.StandardDeviation(),
        "chi2": oracle.ReducedChi2(),
        "eta": oracle.Eta(),
    }
    curves, points, start = many([5, 30, 300, 1000], seed=2)
    found = statistics(points, start)
    for k, one in enumerate(curves):
        mjd, order = np.unique(one["mjd"], return_index=True)  # it wants times without ties
        alone = one[order]
        mag, error = alone["mag"].astype(float), alone["mag_err"].astype(float)
        own = statistics(alone, np.zeros(1, np.int64))
        for name, feature in names.items():
            assert own[name][0] == pytest.approx(feature(mjd, mag, error)[0], rel=1e-9), name
        amplitude = oracle.Amplitude()(mjd, mag, error)[0]
        assert (own["max_mag"][0] - own["min_mag"][0]) / 2 == pytest.approx(amplitude, rel=1e-9)
        assert found["n"][k] == len(one)


def test_a_curve_means_the_same_wherever_it_stands():
    curves, points, start = many([4, 9, 61, 17], seed=3)
    found = statistics(points, start)
    for k, one in enumerate(curves):
        alone = statistics(one, np.zeros(1, np.int64))
        assert all(np.array_equal(found[name][k], alone[name][0], equal_nan=True) for name in STATISTICS)


def test_median_of_any_values():
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 9, 200)
    values = rng.normal(0, 30, sizes.sum()).astype("f4")
    start = np.cumsum(sizes) - sizes
    expected = [np.median(part.astype(float)) for part in np.split(values, start[1:])]
    assert medians(values, start, sizes).tolist() == expected


def test_equal_magnitudes_have_no_eta():
    points = np.zeros(5, POINT)
    points["mjd"], points["mag"], points["mag_err"] = np.arange(5), 18.5, 0.1
    found = statistics(points, np.zeros(1, np.int64))
    assert np.isnan(found["eta"][0])
    assert found["scatter"][0] == 0.0
    assert found["chi2"][0] == pytest.approx(0.0, abs=1e-20)


def test_no_curves():
    found = statistics(np.empty(0, POINT), np.empty(0, np.int64))
    assert tuple(found) == STATISTICS
    assert all(len(values) == 0 for values in found.values())


def test_one_more_point_takes_its_place_in_time():
    curves, points, start = many([3, 8, 1, 5], seed=5)
    more = np.concatenate([curve(1, np.random.default_rng(k)) for k in range(5)])
    more["mjd"][:2] = 57000.0, 59000.0
    stored = [*packed(points, start), b""]
    every, begin = lengthened(stored, more)
    for k, one in enumerate([*curves, np.empty(0, POINT)]):
        expected = np.sort(np.append(one, more[k]), order=["mjd", "mag", "mag_err"])
        stop = begin[k + 1] if k < 4 else len(every)
        assert np.array_equal(every[begin[k] : stop], expected)


@pytest.mark.parametrize("magnitude", [13.0, 16.0, 18.0, 19.5])
def test_constant_stars_have_a_chi2_of_one(magnitude):
    """Simulated epochs: photon noise of ZTF and 0.015 mag of systematic scatter, errors as the archive knows them."""
    rng = np.random.default_rng(6)
    flux = np.full((2000, 60), 10 ** (-0.4 * (magnitude - 26.2)))
    flux = flux * 10 ** (-0.4 * rng.normal(0, 0.015, flux.shape))
    true_err = np.sqrt(22.0**2 + flux / 6.2)
    flux = flux + rng.normal(0, true_err)
    error = np.sqrt(22.0**2 + flux / 6.2)
    points = np.empty(flux.size, POINT)
    points["mjd"] = np.tile(np.arange(60.0), 2000)
    points["mag"] = (26.2 - 2.5 * np.log10(flux)).ravel()
    points["mag_err"] = np.hypot(1.0857362 * error / flux, 0.015).ravel()
    found = statistics(points, np.arange(2000) * 60)
    assert np.median(found["chi2"]) == pytest.approx(1.0, abs=0.06)
    assert np.median(found["eta"]) == pytest.approx(2.0, abs=0.06)
    assert (found["chi2"] > 5).sum() == 0
