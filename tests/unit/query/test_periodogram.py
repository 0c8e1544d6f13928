"""Periods that were put in come out; what cannot be searched is refused in numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ztfdb.errors import QueryError
from ztfdb.query import periodogram as module
from ztfdb.query.periodogram import periodogram


def curve(period=0.61843, n=150, amplitude=0.2, noise=0.03, seed=1, filters=("zg", "zr"), span=400.0):
    """Nights of a season, two filters with different means, a sinusoid of one phase."""
    rng = np.random.default_rng(seed)
    hjd = np.sort(rng.choice(int(span), n, replace=n > span) + rng.uniform(0.1, 0.5, n)) + 2459000.5
    code = np.array(filters)[rng.integers(0, len(filters), n)]
    error = rng.uniform(0.5, 1.5, n) * noise
    mag = np.where(code == "zg", 17.4, 16.1) + amplitude * np.sin(2 * np.pi * hjd / period) + rng.normal(0, error)
    return pd.DataFrame({"hjd": hjd, "mjd": hjd - 2400000.5 - 0.003, "filtercode": code, "mag": mag, "magerr": error})


@pytest.mark.parametrize("period", [0.11327, 0.61843, 3.1416, 41.7, 150.0])
def test_a_period_that_was_put_in_comes_out(period):
    found = periodogram(curve(period))
    baseline = found.meta["baseline"]
    assert abs(1 / found.period - 1 / period) < 0.2 / baseline  # a fifth of a peak's width: the grid's step
    best = found.peaks.iloc[0]
    assert best["fap"] < 1e-20 and 0.9 < best["power"] <= 1.0
    assert found.meta["filters"] == ["zg", "zr"] and found.meta["n_epoch"] == 150


def test_the_power_is_that_of_a_fit_by_least_squares():
    """The standard normalisation: how much of chi2 a sinusoid with a mean takes away, by numpy's solver."""
    table = curve(n=60)
    found = periodogram(table, min_period=0.3)
    time, error = table["hjd"] - 2400000.5, table["magerr"].to_numpy()
    mag = table["mag"].to_numpy().copy()
    for code in ("zg", "zr"):
        own = (table["filtercode"] == code).to_numpy()
        mag[own] -= np.average(mag[own], weights=error[own] ** -2)
    for row in found.peaks.itertuples():
        phase = 2 * np.pi * row.frequency * time.to_numpy()
        design = np.stack([np.ones(len(mag)), np.sin(phase), np.cos(phase)], 1) / error[:, None]
        left = np.linalg.lstsq(design, mag / error, rcond=None)[1][0]
        mean = np.average(mag, weights=error**-2)
        # the fast method extirpolates onto a regular grid: 1e-3 of the power (Press and Rybicki 1989)
        assert row.power == pytest.approx(1.0 - left / (((mag - mean) / error) ** 2).sum(), abs=2e-3)


def test_the_grid_is_the_documented_one():
    table = curve()
    found = periodogram(table, min_period=0.5, max_period=50.0, oversampling=8.0)
    baseline = np.ptp(table["hjd"])
    assert found.meta["baseline"] == pytest.approx(baseline, rel=1e-12)
    assert found.meta["step"] == pytest.approx(1 / (8 * baseline), rel=1e-9)
    count = found.meta["n_frequency"]
    assert count == int((2.0 - 0.02) * 8 * baseline) + 1
    assert len(found.data) <= 2000 and found.data["frequency"].is_monotonic_increasing
    assert found.data["period"].min() >= 0.5 and found.data["period"].max() <= 50.0 + 1e-9
    assert found.data["power"].max() == found.peaks["power"].iloc[0]  # thinning keeps the highest


def test_noise_is_told_from_a_period():
    """Of 60 curves of noise few have a false-alarm probability below 0.1; Baluev's is an upper bound."""
    faps = [periodogram(curve(amplitude=0.0, seed=seed, n=60, span=100.0)).peaks["fap"].iloc[0] for seed in range(60)]
    assert np.mean(np.array(faps) < 0.1) <= 0.2  # binomial: 12 or more of 60 at 0.1 has a probability of 1 %
    assert min(faps) > 1e-4


def test_the_window_tells_a_period_of_the_sampling():
    table = curve(40.0, amplitude=0.3)
    table["hjd"] = np.floor(table["hjd"]) + 0.8  # always at the same time of day
    found = periodogram(table, min_period=0.4, max_period=5.0)
    hours = found.peaks["frequency"]
    assert found.peaks["window"].between(0.0, 1.0).all()
    sampled = np.abs(np.exp(2j * np.pi * np.outer(hours, table["hjd"] - table["hjd"].min())).mean(axis=1)) ** 2
    np.testing.assert_allclose(found.peaks["window"], sampled, atol=1e-9)
    assert periodogram(table, min_period=0.9, max_period=1.1).peaks["window"].max() < 1.0


def test_peaks_stand_apart_and_the_highest_is_first():
    found = periodogram(curve())
    assert found.peaks["power"].is_monotonic_decreasing and len(found.peaks) == 5
    gaps = np.diff(np.sort(found.peaks["frequency"]))
    assert gaps.min() >= 2.0 / found.meta["baseline"] * (1 - 1e-9)
    assert "of 150 epochs" in repr(found)


def test_flagged_epochs_limits_and_lonely_filters_are_left_out():
    table = curve(n=50)
    table["good"] = True
    spoilt = pd.concat([table, table.iloc[:4].assign(mag=3.0, good=False), table.iloc[:2].assign(filtercode="zi"),
                        table.iloc[:5].assign(mag=np.nan)], ignore_index=True)  # fmt: skip
    one, other = periodogram(table), periodogram(spoilt)
    pd.testing.assert_frame_equal(one.data, other.data)
    pd.testing.assert_frame_equal(one.peaks, other.peaks)
    assert other.meta["n_epoch"] == 50 and other.meta["filters"] == ["zg", "zr"]


def test_what_cannot_be_searched_is_refused_in_numbers(monkeypatch):
    table = curve(n=40)
    with pytest.raises(QueryError, match=r"^5 epochs .* \(of 5 epochs\): a period needs 6"):
        periodogram(curve(n=5, filters=("zg",)))
    with pytest.raises(QueryError, match="0 epochs"):
        periodogram(table.iloc[:0])
    with pytest.raises(QueryError, match=r"\d+ frequencies .* at most 500000 are searched: raise min_period"):
        periodogram(table, min_period=1e-4)
    with pytest.raises(QueryError, match="all epochs have the same time"):
        periodogram(table.assign(hjd=2459000.5))
    with pytest.raises(QueryError, match="all magnitudes of each filter are the same"):
        periodogram(table.assign(mag=17.0))
    for wrong in ({"min_period": 0.0}, {"min_period": np.nan}, {"max_period": -1.0}, {"oversampling": 0.0}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} .*: expected more than 0"):
            periodogram(table, **wrong)
    with pytest.raises(ValueError, match=r"min_period 300 d is not below max_period 1\d\d.* d \(half of the time"):
        periodogram(table, min_period=300.0)
    with pytest.raises(ValueError, match="of one photometry"):
        periodogram(table.assign(phot=["aperture", "psfcat"] * 20))
    monkeypatch.setattr(module, "MOST_EPOCHS", 39)
    with pytest.raises(QueryError, match="40 epochs: a periodogram is of at most 39"):
        periodogram(table)
