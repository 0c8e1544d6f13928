"""What pictures of fits to stars share: residuals with their errors, residuals over the image, words of a title."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ztfdb.plot.canvas import axes

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

KEPT, CLIPPED = "tab:blue", "tab:red"


def check_columns(stars: pd.DataFrame, wanted: Sequence[str], what: str) -> None:
    """Raise ValueError where a column is missing."""
    missing = [name for name in wanted if name not in stars]
    if missing:
        raise ValueError(f"the stars of a {what} have no column {', '.join(missing)}")


def kept_stars(stars: pd.DataFrame) -> Any:
    """Return which stars count, as an array of bool."""
    return stars["kept"].to_numpy(dtype=bool)


def draw_points(stars: pd.DataFrame, against: str, value: str, ax: Axes | None) -> Axes:
    """Draw a column with its ``error`` against another one; stars that were left out are crosses."""
    ax = axes(ax, figsize=(5.0, 4.0))
    kept = kept_stars(stars)
    x, y, error = (stars[name].to_numpy(dtype=float) for name in (against, value, "error"))
    style: dict[str, Any] = {"fmt": "o", "ms": 3, "lw": 0.6, "color": KEPT, "alpha": 0.7}
    ax.errorbar(x[kept], y[kept], error[kept], label=f"{kept.sum()} stars", **style)
    if not kept.all():
        ax.plot(x[~kept], y[~kept], "x", ms=4, color=CLIPPED, label=f"{(~kept).sum()} left out")
    ax.axhline(0.0, color="0.3", lw=0.8)
    ax.legend(fontsize="small", loc="upper left")
    return ax


def draw_map(kept: pd.DataFrame, values: Any, reach: float, label: str, ax: Axes | None) -> Axes:
    """Draw values of stars over the image, from -`reach` to `reach`."""
    ax = axes(ax, figsize=(5.0, 4.5))
    points = ax.scatter(kept["x"], kept["y"], c=values, s=14, cmap="RdBu", vmin=-reach, vmax=reach)
    ax.figure.colorbar(points, ax=ax, label=label)
    ax.set_xlabel("x (pixels)")
    ax.set_ylabel("y (pixels)")
    ax.set_aspect("equal", adjustable="box")
    return ax


def image_words(facts: Mapping[str, Any]) -> list[str]:
    """Return the words of a title that say which image and aperture it is about."""
    if "image_id" not in facts:
        return []
    return [f"image {facts['image_id']} {facts.get('filtercode', '')}, aperture {facts.get('aperture', '')}"]
