"""Periods of a light curve: one sinusoid in all filters, on a grid of frequencies (Lomb and Scargle)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ztfdb.arrays import FloatArray
from ztfdb.errors import QueryError

LEAST_EPOCHS = 6
"""Fewest epochs with a magnitude; fewer do not constrain a period, an amplitude, a phase and a mean."""

LEAST_OF_A_FILTER = 3
"""A filter with fewer epochs is left out, because its own mean would fit them."""

MOST_EPOCHS = 100_000
MOST_FREQUENCIES = 500_000
"""Limits of one periodogram; at these it takes a few seconds."""

MOST_ROWS = 2_000
MOST_PEAKS = 5
PEAK_WIDTHS = 2.0
"""Least distance of two peaks, in widths (1 / baseline)."""

SAME_MAG = 1e-9
"""Magnitude differences below this are rounding."""

JD_OF_MJD = 2_400_000.5


@dataclass(frozen=True, repr=False)
class Periodogram:
    """Powers by frequency, and the best periods.

    Attributes
    ----------
    data : DataFrame
        ``frequency`` (1 / d), ``period`` (d) and ``power`` (0 to 1), by frequency. The grid has `n_frequency` of them;
        with more than 2,000, a row is the highest power of several neighbours.
    peaks : DataFrame
        Up to 5, the highest first: ``frequency``, ``period``, ``power``; ``fap``, the probability that noise alone
        gives such a power anywhere on the grid; ``window``, the power of the times of observation alone at this
        frequency (1 if all times are whole multiples of the period): near 1, the sampling may have made the peak.
    """

    data: pd.DataFrame
    peaks: pd.DataFrame

    def __repr__(self) -> str:
        return f"<Periodogram: {self.period:.6g} d, of {self.meta['n_epoch']} epochs>\n{self.peaks!r}"

    @property
    def period(self) -> float:
        """The period of the highest peak, d."""
        return float(self.peaks["period"].iloc[0])

    @property
    def meta(self) -> dict[str, Any]:
        """The options of the query, ``n_epoch``, ``filters``, ``baseline`` (d), ``n_frequency``, ``step`` (1 / d)."""
        return {str(key): value for key, value in self.data.attrs.items()}


def periodogram(
    curve: pd.DataFrame,
    *,
    min_period: float = 0.1,
    max_period: float | None = None,
    oversampling: float = 5.0,
) -> Periodogram:
    """Return the periodogram of a light curve.

    The fit is one sinusoid, with one amplitude and phase in all filters, to the magnitudes about each filter's own
    weighted mean, with a floating mean (astropy's `LombScargle`, standard normalisation, fast method). Times are
    heliocentric. Epochs that are not good, limits, and epochs without a magnitude are left out.

    Parameters
    ----------
    curve : DataFrame
        The rows of a light curve: ``hjd`` (or ``mjd``), ``filtercode``, ``mag``, ``magerr`` and optionally ``good``;
        of one photometry.
    min_period : float
        Shortest period, d.
    max_period : float, optional
        Longest period, d; by default half of the time between the first and the last epoch.
    oversampling : float
        Frequencies per width of a peak: they are ``1 / (oversampling * baseline)`` apart, from ``1 / max_period``
        up to ``1 / min_period``.

    Returns
    -------
    Periodogram

    Raises
    ------
    QueryError
        If there are too few or too many epochs, or too many frequencies.
    ValueError
        If a period or `oversampling` is not positive, or the light curve mixes two photometries.

    Notes
    -----
    The false-alarm probability is Baluev's (2008, MNRAS 385, 1279), for one mean; it holds for noise that is Gaussian,
    independent, and as large as ``magerr``. Observing at night alone makes peaks at whole multiples of 1 cycle per day
    next to a true one. A star with two unequal minima (a contact binary) has its highest peak at half of its period.
    """
    from astropy.timeseries import LombScargle  # takes 0.5 s, only needed here

    epochs = _epochs(curve)
    baseline = float(np.ptp(epochs["time"]))
    frequency = _grid(baseline, min_period, max_period, oversampling)
    # the fast method needs times near zero: the date of a Julian date would use up the digits
    time = epochs["time"] - epochs["time"].min()
    fitted = LombScargle(time, epochs["mag"], epochs["error"])
    power = fitted.power(frequency, method="fast", assume_regular_frequency=True)
    highest = _peaks(frequency, power, baseline)
    fap = fitted.false_alarm_probability(power[highest], method="baluev", maximum_frequency=float(frequency[-1]))
    found = frequency[highest]
    window = np.abs(np.exp(2j * np.pi * found[:, None] * time).mean(axis=1)) ** 2
    peaks = pd.DataFrame(
        {"frequency": found, "period": 1.0 / found, "power": power[highest], "fap": np.asarray(fap), "window": window}
    )
    kept = _thinned(power)
    data = pd.DataFrame({"frequency": frequency[kept], "period": 1.0 / frequency[kept], "power": power[kept]})
    data.attrs.update(
        {str(name): value for name, value in curve.attrs.items()},
        n_epoch=len(time), filters=epochs["filters"], baseline=baseline, n_frequency=len(frequency),
        step=float(frequency[1] - frequency[0]), min_period=float(min_period), max_period=float(1.0 / frequency[0]),
        oversampling=float(oversampling),
    )  # fmt: skip
    return Periodogram(data, peaks)


def _epochs(curve: pd.DataFrame) -> dict[str, Any]:
    """Return times (MJD, heliocentric where known), magnitudes about their filter's mean, errors, and the filters."""
    if "phot" in curve and curve["phot"].nunique() > 1:
        raise ValueError("phot: a periodogram is of one photometry, the same epoch would count twice")
    mag, error = (curve[name].to_numpy(np.float64, na_value=np.nan) for name in ("mag", "magerr"))
    used = np.isfinite(mag) & np.isfinite(error) & (error > 0.0)
    if "good" in curve:
        used &= curve["good"].fillna(False).to_numpy(bool)
    codes = curve["filtercode"].astype(str).to_numpy()
    count = {code: int(np.count_nonzero(codes[used] == code)) for code in sorted(set(codes[used]))}
    filters = [code for code, n in count.items() if n >= LEAST_OF_A_FILTER]
    used &= np.isin(codes, filters)
    n = int(np.count_nonzero(used))
    if n < LEAST_EPOCHS:
        raise QueryError(
            f"{n} epochs with a magnitude in filters that have at least {LEAST_OF_A_FILTER} (of {len(curve)} epochs): "
            f"a period needs {LEAST_EPOCHS}"
        )
    if n > MOST_EPOCHS:
        raise QueryError(f"{n} epochs: a periodogram is of at most {MOST_EPOCHS}; narrow the times or the filters")
    time = curve["mjd"].to_numpy(np.float64)
    if "hjd" in curve:
        hjd = curve["hjd"].to_numpy(np.float64, na_value=np.nan)
        time = np.where(np.isfinite(hjd), hjd - JD_OF_MJD, time)
    time, mag, error, codes = time[used], mag[used], error[used], codes[used]
    for code in filters:
        own = codes == code
        mag[own] -= np.average(mag[own], weights=error[own] ** -2)
    if np.ptp(mag) < SAME_MAG:
        raise QueryError("all magnitudes of each filter are the same: no period can be found")
    return {"time": time, "mag": mag, "error": error, "filters": filters}


def check_grid(min_period: float, max_period: float | None, oversampling: float) -> None:
    """Raise ValueError if a period (d) or the oversampling is not a positive number."""
    for name, value in (("min_period", min_period), ("max_period", max_period), ("oversampling", oversampling)):
        if value is not None and not 0.0 < value < np.inf:
            raise ValueError(f"{name} {value}: expected more than 0")


def _grid(baseline: float, min_period: float, max_period: float | None, oversampling: float) -> FloatArray:
    if not baseline > 0.0:
        raise QueryError("all epochs have the same time: no period can be found")
    longest = baseline / 2.0 if max_period is None else float(max_period)
    check_grid(min_period, longest, oversampling)
    if not min_period < longest:
        raise ValueError(
            f"min_period {min_period:g} d is not below max_period {longest:g} d"
            + (" (half of the time between the first and the last epoch)" if max_period is None else "")
        )
    step = 1.0 / (oversampling * baseline)
    count = np.floor((1.0 / min_period - 1.0 / longest) / step) + 1.0
    if count > MOST_FREQUENCIES:
        raise QueryError(
            f"{count:.0f} frequencies from {1.0 / longest:.4g} to {1.0 / min_period:.4g} per day, at most "
            f"{MOST_FREQUENCIES} are searched: raise min_period or lower oversampling"
        )
    return 1.0 / longest + step * np.arange(max(int(count), 2))


def _peaks(frequency: FloatArray, power: FloatArray, baseline: float) -> NDArray[np.int64]:
    """Return the indices of the highest local maxima that are `PEAK_WIDTHS` apart, the highest first."""
    padded = np.concatenate(([-np.inf], power, [-np.inf]))
    tops = np.flatnonzero((power >= padded[:-2]) & (power > padded[2:]))
    chosen: list[int] = []
    for at in tops[np.argsort(-power[tops], kind="stable")]:
        if all(abs(frequency[at] - frequency[one]) >= PEAK_WIDTHS / baseline for one in chosen):
            chosen.append(int(at))
        if len(chosen) == MOST_PEAKS:
            break
    return np.array(chosen, np.int64)


def _thinned(power: FloatArray) -> NDArray[np.int64]:
    """Return the index of the highest power in each group of neighbours, at most `MOST_ROWS` groups."""
    width = -(-len(power) // MOST_ROWS)
    starts = range(0, len(power), width)
    return np.array([start + int(np.argmax(power[start : start + width])) for start in starts], np.int64)
