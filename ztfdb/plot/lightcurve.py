"""Plot of a light curve."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray
from ztfdb.plot.canvas import axes, say_empty

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

FILTER_COLOURS = {"zg": "#009E73", "zr": "#D55E00", "zi": "#0072B2"}
"""Colour of each filter, from the palette of Okabe and Ito, which is safe for all kinds of colour vision."""
FILTER_MARKERS = {"zg": "o", "zr": "s", "zi": "D"}
"""Marker of each filter, so that filters can be distinguished without colours."""
OTHER_FILTER = ("0.3", "P")
FILTER_NAMES = {"zg": "g", "zr": "r", "zi": "i"}
FADED = 0.35
"""Opacity of epochs that are not good."""
DETECTION, FORCED, LIMIT, FLAGGED, SIMULATED = "detection", "forced", "5σ limit", "flagged", "simulated"
PSF_CATALOGUE = "PSF catalogue"
"""Text of the legend."""
CARETDOWNBASE = 11
"""matplotlib's marker of this name: an arrowhead that hangs down from its point."""
MARKS: dict[str, dict[str, Any]] = {
    FLAGGED: {"ls": "none", "marker": "x", "ms": 6, "color": "black", "mew": 0.9},
    SIMULATED: {"ls": "none", "marker": "o", "ms": 9, "color": "0.45", "mfc": "none", "mew": 0.8},
    PSF_CATALOGUE: {"ls": "none", "marker": ".", "ms": 6, "color": "black", "mew": 0},
}
"""Overlays on the marker of an epoch."""


def draw_light_curve(
    data: pd.DataFrame, ax: Axes | None = None, *, time: str = "mjd", title: str | None = None, **options: Any
) -> Axes:
    """Draw a light curve: magnitudes against time, a colour for each filter.

    Each filter has a colour and a marker. Detections are filled, forced measurements open. A limit, at
    ``upper_limit_mag`` of a complete light curve, else at ``limitmag``, is a small marker with an arrowhead towards
    fainter magnitudes. Epochs that are not ``good`` are faded and crossed out, simulated ones have a ring, and those of
    ZTF's PSF catalogues (``phot``) a dot. The legend lists the kinds of epochs with their numbers. Brighter is up. A
    new figure of no epochs says so and has no ticks.

    Parameters
    ----------
    data : DataFrame
        Columns ``mjd`` (or `time`), ``mag``, ``magerr``, ``filtercode``; optional are ``kind``, ``upper_limit_mag``,
        ``limitmag``, ``good`` and ``simulated``.
    ax : matplotlib Axes, optional
        Axes to draw on; default a new figure.
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
    own = ax is None
    ax = axes(ax, figsize=(8.0, 4.0))
    codes = data["filtercode"].to_numpy(dtype=str)
    shown = [c for c in (*FILTER_COLOURS, *sorted(set(codes) - set(FILTER_COLOURS))) if c in codes]
    counts = Counter[str]()
    for code in shown:
        counts += _draw_filter(ax, data[codes == code], code, time, options)
    if not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_xlabel({"mjd": "MJD (UTC)", "hjd": "HJD (UTC)"}.get(time, time))
    ax.set_ylabel("magnitude (AB)")
    ax.ticklabel_format(style="plain", useOffset=False)  # an offset in a corner is easily overlooked
    if counts:
        _legend(ax, shown, counts, beside=own)
    elif own:
        say_empty(ax.figure, "no epoch" if data.empty else "no epoch has a magnitude or a limit")
    ax.set_title(_title(data) if title is None else title, fontsize="medium")
    return ax


def _draw_filter(ax: Axes, rows: pd.DataFrame, code: str, time: str, options: dict[str, Any]) -> Counter[str]:
    """Draw the epochs of one filter; return the number of epochs of each kind."""
    kind = rows["kind"].to_numpy(dtype=str) if "kind" in rows else np.full(len(rows), "detection")
    good = _flags(rows, "good", missing=True)
    mag, error = _floats(rows, "mag"), _floats(rows, "magerr")
    measured = np.isfinite(mag)
    when = _floats(rows, time)
    colour, marker = _look(code)
    counts = Counter[str]()
    for forced in (False, True):
        for fine in (True, False):
            here = measured & ((kind == "forced") == forced) & (good == fine)
            if here.any():
                counts[FORCED if forced else DETECTION] += int(here.sum())
                style: dict[str, Any] = {"fmt": marker, "ms": 4.5, "color": colour, "elinewidth": 0.8, "zorder": 2.5}
                style.update(mfc="white" if forced else colour, alpha=1.0 if fine else FADED)
                style.update(options)
                ax.errorbar(when[here], mag[here], np.nan_to_num(error[here]), **style)
    limit = _limits(rows, kind, measured)
    shown = np.isfinite(limit)
    if shown.any():
        counts[LIMIT] += int(shown.sum())
        ax.plot(when[shown], limit[shown], marker, ms=3, color=colour, mfc="none", mew=0.8, alpha=0.8)
        ax.plot(when[shown], limit[shown], ls="none", marker=CARETDOWNBASE, ms=6.5, color=colour, alpha=0.6, mew=0)
    height = np.where(measured, mag, limit)
    catalogued = np.asarray(rows["phot"].to_numpy(dtype=str) == "psfcat") if "phot" in rows else np.zeros_like(measured)
    simulated = _flags(rows, "simulated", missing=False)
    for word, chosen in ((FLAGGED, ~good & measured), (SIMULATED, simulated), (PSF_CATALOGUE, catalogued & measured)):
        chosen = chosen & np.isfinite(height)
        if chosen.any():
            counts[word] += int(chosen.sum())
            ax.plot(when[chosen], height[chosen], zorder=3, **MARKS[word])
    return counts


def _look(code: str) -> tuple[str, Any]:
    return FILTER_COLOURS.get(code, OTHER_FILTER[0]), FILTER_MARKERS.get(code, OTHER_FILTER[1])


def _legend(ax: Axes, codes: list[str], counts: Counter[str], *, beside: bool) -> None:
    """Draw the legend of colours and markers, beside the Axes if `beside`."""
    from matplotlib.lines import Line2D

    grey: dict[str, Any] = {"ls": "none", "marker": "o", "ms": 5, "color": "0.35"}
    looks = {
        DETECTION: grey,
        FORCED: {**grey, "mfc": "white"},
        LIMIT: {**grey, "marker": CARETDOWNBASE},
        **MARKS,
    }
    handles = []
    for code in codes:
        colour, marker = _look(code)
        name = FILTER_NAMES.get(code, code)
        handles.append(Line2D([], [], ls="none", marker=marker, ms=5, color=colour, label=name))
    handles += [
        Line2D([], [], label=f"{word} ({counts[word]})", **look) for word, look in looks.items() if counts[word]
    ]
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)} if beside else {"loc": "best"}
    ax.legend(handles=handles, fontsize="small", borderaxespad=0.0 if beside else 0.5, **place)


def _flags(rows: pd.DataFrame, name: str, *, missing: bool) -> BoolArray:
    """Return a column of booleans; `missing` replaces missing values or a missing column."""
    if name not in rows:
        return np.full(len(rows), missing)
    return np.asarray(rows[name].astype("boolean").fillna(missing).to_numpy(dtype=bool))


def _limits(rows: pd.DataFrame, kind: Any, measured: BoolArray) -> FloatArray:
    """Return the limit of epochs that are limits or have no magnitude; NaN elsewhere."""
    if "upper_limit_mag" in rows:  # a complete light curve: limits in the aperture at the position
        return np.where(kind == "limit", _floats(rows, "upper_limit_mag"), np.nan)
    if "limitmag" not in rows:
        return np.full(len(rows), np.nan)
    return np.where((kind == "limit") | ((kind != "unavailable") & ~measured), _floats(rows, "limitmag"), np.nan)


def _floats(rows: pd.DataFrame, name: str) -> FloatArray:
    return np.asarray(rows[name].to_numpy(dtype=float, na_value=np.nan))


def _title(data: pd.DataFrame) -> str:
    """Return a title with position and number of epochs; simulated ones are counted separately."""
    words = f"{len(data)} epochs" if len(data) != 1 else "1 epoch"
    if "simulated" in data and bool(data["simulated"].fillna(False).any()):
        words += f", {int(data['simulated'].fillna(False).sum())} of them simulated"
    if {"ra", "dec"} <= set(data.attrs):
        words = f"RA {data.attrs['ra']:.5f}°, Dec {data.attrs['dec']:+.5f}°: {words}"
    return words
