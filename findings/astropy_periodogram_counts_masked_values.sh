#!/bin/sh
# The periodogram of a binned light curve takes days without an observation for magnitude 0, unless the column has a unit.
#
# astropy 8.0.2 `LombScargle.from_timeseries` says that it leaves out NaN and undefined values. It leaves out NaN. A masked value is counted with whatever lies below its mask,
# in `from_timeseries`, in `LombScargle(t, y)` and in BoxLeastSquares, without a warning. `aggregate_downsample` gives NaN for a bin without observations where the column is a Quantity, and
# a masked 0 where it is a plain column: the same light curve has the right period with `u.mag` and a wrong one without. An empty field is a masked 0 as well
# if the table came as CSV, IPAC or ECSV, and a masked NaN, thus harmless, if it came as VOTable or FITS.
# What follows: put NaN into masked values first, `series["mag"] = series["mag"].filled(np.nan)`, or keep only rows that are not masked.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet astropy==8.0.2 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import warnings

import astropy.units as u
import numpy as np
from astropy.table import MaskedColumn, Table
from astropy.time import Time
from astropy.timeseries import BoxLeastSquares, LombScargle, TimeSeries, aggregate_downsample

warnings.simplefilter("error")
PERIOD = 13.3
FREQUENCY = np.linspace(0.01, 0.5, 3000) / u.day
rng = np.random.default_rng(3)
days = np.sort(rng.uniform(0, 200, 150))
mag = 17 + 0.3 * np.sin(2 * np.pi * days / PERIOD) + rng.normal(0, 0.02, 150)
time = Time(59000 + days, format="mjd")


def period(series):
    found = LombScargle.from_timeseries(series, "mag")
    best = 1 / FREQUENCY[np.argmax(found.power(FREQUENCY))]
    return float(best.to_value("d")), len(found.y), float(np.min(u.Quantity(found.y).value))


def told(name, answer):
    print(f"{name}: period {answer[0]:.2f} d from {answer[1]} values, the brightest {answer[2]:.2f}")
    return answer


unit, plain = (aggregate_downsample(TimeSeries(time=time, data={"mag": column}), time_bin_size=1 * u.day) for column in (mag * u.mag, mag))
empty = int(plain["mag"].mask.sum())
with_unit, without = told("days, with a unit", period(unit)), told("days, without", period(plain))
plain["mag"] = plain["mag"].filled(np.nan)
filled = told("days, NaN put in", period(plain))
print(empty, "of", len(plain), "days have no observation")
assert abs(with_unit[0] - PERIOD) < 0.1 and with_unit[1:] == filled[1:] and abs(filled[0] - PERIOD) < 0.1
assert abs(without[0] - PERIOD) > 1 and without[1] == with_unit[1] + empty and without[2] == 0, "masked bins are left out now"

missing = rng.random(150) < 0.3
table = Table({"mjd": time.mjd, "mag": MaskedColumn(mag, mask=missing)})
for form, right in {"ascii.csv": False, "ascii.ipac": False, "ascii.ecsv": False, "votable": True, "fits": True}.items():
    table.write(f"lc.{form}", format=form)
    read = Table.read(f"lc.{form}", format=form)
    assert np.array_equal(read["mag"].mask, missing)
    answer = told(form, period(TimeSeries(time=Time(read["mjd"], format="mjd"), data={"mag": read["mag"]})))
    assert (abs(answer[0] - PERIOD) < 0.1) == right and (answer[2] == 0) != right

bright = np.where(missing, -99.0, mag)
for name, method in (("LombScargle", lambda y: LombScargle(days, y).power(FREQUENCY.value)), ("BoxLeastSquares", lambda y: BoxLeastSquares(days, y).power(np.linspace(2, 20, 200), 0.3).power)):
    same = np.array_equal(method(np.ma.array(bright, mask=missing)), method(bright))
    print(f"{name}: a mask over -99 changes nothing: {same}")
    assert same
PY
echo "as described"
