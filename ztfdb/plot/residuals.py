"""Shared by plots of fits to stars: residuals with their errors, residuals over the image, titles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.plot.canvas import axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

KEPT, CLIPPED = "#0072B2", "#D55E00"
"""Colours of Okabe and Ito, which are safe for all kinds of colour vision."""

FEW = 600
"""Up to this number, each star is drawn with its error."""

BINS = 20
"""Bins of a running median."""

CELLS = 18
"""Cells across a map."""


def check_columns(stars: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    """Raise ValueError if a column is missing."""
    missing = [name for name in wanted if name not in stars]
    if missing:
        raise ValueError(f"the stars of a {what} have no column {', '.join(missing)}")


def kept_stars(stars: pd.DataFrame) -> Any:
    """Return which stars were kept, as an array of bool."""
    return stars["kept"].to_numpy(dtype=bool)


def draw_points(stars: pd.DataFrame, against: str, value: str, ax: Axes | None) -> Axes:
    """Draw a column against another one; clipped stars are crosses.

    Up to `FEW` stars have error bars (``error``). With more stars the bars would hide the points; instead the median
    and the middle 68 % in bins of equal numbers of stars are drawn.
    """
    ax = axes(ax, figsize=(5.0, 4.0))
    kept = kept_stars(stars)
    x, y, error = (stars[name].to_numpy(dtype=float) for name in (against, value, "error"))
    label = f"{kept.sum():,} stars"
    if kept.sum() <= FEW:
        style: dict[str, Any] = {"fmt": "o", "ms": 3, "lw": 0.6, "color": KEPT, "alpha": 0.7}
        ax.errorbar(x[kept], y[kept], error[kept], label=label, **style)
    else:
        ax.plot(x[kept], y[kept], ".", ms=2.5, mew=0, color=KEPT, alpha=0.35, rasterized=True)
        ax.plot([], [], ".", color=KEPT, label=label)  # a visible dot in the legend
        centre, low, middle, high = _binned(x[kept], y[kept])
        bars = [middle - low, high - middle]
        ax.errorbar(centre, middle, bars, fmt="o-", ms=4, lw=1.2, color="black", label="median, 68 % of the stars")
    if not kept.all():
        ax.plot(x[~kept], y[~kept], "x", ms=4, color=CLIPPED, alpha=0.7, label=f"{(~kept).sum():,} left out")
    ax.axhline(0.0, color="0.3", lw=0.8)
    ax.legend(fontsize="small", loc="upper left")
    return ax


def _binned(x: Any, y: Any) -> tuple[Any, Any, Any, Any]:
    """Return median x, and the 16th, 50th and 84th percentile of y, of `BINS` bins with equal numbers of stars."""
    parts = np.array_split(np.argsort(x, kind="stable"), BINS)
    centre = np.array([np.median(x[part]) for part in parts])
    low, middle, high = np.array([np.percentile(y[part], (16.0, 50.0, 84.0)) for part in parts]).T
    return centre, low, middle, high


def draw_map(kept: pd.DataFrame, values: Any, reach: float, label: str, ax: Axes | None) -> Axes:
    """Draw values of stars over the image, from -`reach` to `reach`; with more than `FEW` stars, medians in cells."""
    ax = axes(ax, figsize=(5.0, 4.5))
    how: dict[str, Any] = {"cmap": "RdBu", "vmin": -reach, "vmax": reach}
    if len(kept) <= FEW:
        points: Any = ax.scatter(kept["x"], kept["y"], c=values, s=14, **how)
    else:
        how |= {"reduce_C_function": np.median, "gridsize": CELLS, "mincnt": 3, "linewidths": 0.1}
        middle = 0.5 * reach  # medians of cells scatter less than single stars
        points = ax.hexbin(kept["x"], kept["y"], C=np.asarray(values), **(how | {"vmin": -middle, "vmax": middle}))
        label = f"{label}, median of a cell"
    ax.figure.colorbar(points, ax=ax, label=label, extend="both")
    ax.set_xlabel("x (pixels)")
    ax.set_ylabel("y (pixels)")
    ax.set_aspect("equal", adjustable="box")
    return ax


def image_words(facts: Mapping[str, Any]) -> list[str]:
    """Return the parts of a title with image and aperture."""
    if "image_id" not in facts:
        return []
    return [f"image {facts['image_id']} {facts.get('filtercode', '')}, aperture {facts.get('aperture', '')}"]
