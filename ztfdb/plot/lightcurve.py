"""Picture of a light curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.plot.canvas import axes
from ztfdb.records import BoolArray, FloatArray

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FILTER_COLOURS = {"zg": "tab:green", "zr": "tab:red", "zi": "goldenrod"}
"""Colour of each filter."""
FILTER_NAMES = {"zg": "g", "zr": "r", "zi": "i"}
FADED = 0.3
"""Opacity of epochs with known trouble."""


def draw_light_curve(
    data: pd.DataFrame, ax: Axes | None = None, *, time: str = "mjd", title: str | None = None, **options: Any
) -> Axes:
    """Draw a light curve: magnitudes against time, a colour for each filter.

    Detections are filled dots, forced measurements open circles, limits triangles that point down, at
    ``upper_limit_mag`` of a complete light curve, else at ``limitmag``.
    Epochs that are not ``good`` are faded. Brighter is up.

    Parameters
    ----------
    data : DataFrame
        Columns ``mjd`` (or `time`), ``mag``, ``magerr``, ``filtercode``; ``kind``, ``upper_limit_mag``, ``limitmag``,
        ``good`` and ``simulated`` count where they are there.
    ax : matplotlib Axes, optional
        Where to draw; default a new figure.
    time : str
        Column of the time axis.
    title : str, optional
        Default the position in ``data.attrs``, with the number of simulated epochs.
    **options
        Passed to ``Axes.errorbar``.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If a column is missing.
    """
    missing = [name for name in (time, "mag", "magerr", "filtercode") if name not in data]
    if missing:
        raise ValueError(f"a light curve has no column {', '.join(missing)}")
    ax = axes(ax, figsize=(8.0, 4.0))
    codes = data["filtercode"].to_numpy(dtype=str)
    for code in [c for c in (*FILTER_COLOURS, *sorted(set(codes) - set(FILTER_COLOURS))) if c in codes]:
        _draw_filter(ax, data[codes == code], code, time, options)
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_xlabel({"mjd": "MJD (UTC)", "hjd": "HJD (UTC)"}.get(time, time))
    ax.set_ylabel("magnitude (AB)")
    if ax.get_legend_handles_labels()[1]:
        ax.legend(fontsize="small")
    ax.set_title(_title(data) if title is None else title, fontsize="medium")
    return ax


def _draw_filter(ax: Axes, rows: pd.DataFrame, code: str, time: str, options: dict[str, Any]) -> None:
    """Draw the epochs of one filter; its name appears once in the legend."""
    kind = rows["kind"].to_numpy(dtype=str) if "kind" in rows else np.full(len(rows), "detection")
    good = rows["good"].fillna(True).to_numpy(dtype=bool) if "good" in rows else np.ones(len(rows), dtype=bool)
    mag, error = _floats(rows, "mag"), _floats(rows, "magerr")
    measured = np.isfinite(mag)
    when = _floats(rows, time)
    colour = FILTER_COLOURS.get(code, "tab:gray")
    label: str | None = FILTER_NAMES.get(code, code)
    for forced in (False, True):
        for fine in (True, False):
            here = measured & ((kind == "forced") == forced) & (good == fine)
            if here.any():
                style: dict[str, Any] = {"fmt": "o", "ms": 4.5, "color": colour, "elinewidth": 0.8, "label": label}
                style.update(mfc="white" if forced else colour, alpha=1.0 if fine else FADED)
                style.update(options)
                ax.errorbar(when[here], mag[here], np.nan_to_num(error[here]), **style)
                label = None
    limit = _limits(rows, kind, measured)
    shown = np.isfinite(limit)
    if shown.any():
        ax.scatter(when[shown], limit[shown], marker="v", s=22, facecolors="none", edgecolors=colour, label=label)


def _limits(rows: pd.DataFrame, kind: Any, measured: BoolArray) -> FloatArray:
    """Limit of the epochs that are limits or have no magnitude; NaN elsewhere."""
    if "upper_limit_mag" in rows:  # a complete light curve: limits in the aperture at the position
        return np.where(kind == "limit", _floats(rows, "upper_limit_mag"), np.nan)
    if "limitmag" not in rows:
        return np.full(len(rows), np.nan)
    return np.where((kind == "limit") | ((kind != "unavailable") & ~measured), _floats(rows, "limitmag"), np.nan)


def _floats(rows: pd.DataFrame, name: str) -> FloatArray:
    return np.asarray(rows[name].to_numpy(dtype=float, na_value=np.nan))


def _title(data: pd.DataFrame) -> str:
    """Position and number of epochs; simulated ones are never passed off as real."""
    words = f"{len(data)} epochs" if len(data) != 1 else "1 epoch"
    if "simulated" in data and bool(data["simulated"].fillna(False).any()):
        words += f", {int(data['simulated'].fillna(False).sum())} of them simulated"
    if {"ra", "dec"} <= set(data.attrs):
        words = f"RA {data.attrs['ra']:.5f}°, Dec {data.attrs['dec']:+.5f}°: {words}"
    return words
