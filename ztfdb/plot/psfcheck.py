"""Pictures of a check against a PSF catalogue: differences against magnitude, along both axes, and over the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.plot.calibration import CLIPPED, KEPT, LEGEND_SIZE
from ztfdb.plot.canvas import axes, pyplot

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = ("x", "y", "mag", "difference", "error", "kept")
LABEL = "aperture − PSF (mag)"
_LABELS = {"mag": "magnitude", "x": "x (pixels)", "y": "y (pixels)"}


def draw_psf_check(
    stars: pd.DataFrame, *, facts: Mapping[str, Any] | None = None, title: str | None = None
) -> list[Axes]:
    """Draw the differences of a check in four panels.

    Parameters
    ----------
    stars : DataFrame
        From `ztfdb.derive.psfcheck.differences`: columns ``x``, ``y`` (pixels), ``mag``, ``difference``, ``error``
        (mag) and ``kept``; ``attrs`` says the image and the numbers of the check.
    facts : mapping, optional
        ``median``, ``scatter``, ``slope``, …, shown above; by default ``stars.attrs``.
    title : str, optional
        In place of what `facts` say.

    Returns
    -------
    list of Axes
        Against magnitude, along x, along y, over the image; all on one figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If a column is missing.
    """
    _check(stars)
    figure = pyplot().figure(figsize=(16.0, 4.2), layout="constrained")
    panels = list(figure.subplots(1, 4, width_ratios=(1.0, 1.0, 1.0, 1.1)))
    for against, panel in zip(_LABELS, panels, strict=False):
        draw_differences(stars, against, panel)
    draw_difference_map(stars, panels[3])
    told = {str(name): value for name, value in stars.attrs.items()} | dict(facts or {})
    figure.suptitle(_title(told) if title is None else title)
    return panels


def draw_differences(stars: pd.DataFrame, against: str = "mag", ax: Axes | None = None) -> Axes:
    """Draw our magnitudes minus ZTF's against ``mag``, ``x`` or ``y``; clipped stars are crosses, the median a line.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a column is missing.
    """
    _check(stars)
    ax = axes(ax, figsize=(5.0, 4.0))
    kept = stars["kept"].to_numpy(dtype=bool)
    x, y, error = (stars[name].to_numpy(dtype=float) for name in (against, "difference", "error"))
    style = {"fmt": "o", "ms": 3, "lw": 0.5, "color": KEPT, "alpha": 0.6}
    ax.errorbar(x[kept], y[kept], error[kept], label=f"{kept.sum()} stars", **style)  # type: ignore[arg-type]
    if not kept.all():
        ax.plot(x[~kept], y[~kept], "x", ms=4, color=CLIPPED, label=f"{(~kept).sum()} left out")
    ax.axhline(0.0, color="0.3", lw=0.8)
    if kept.any():
        middle = float(np.median(y[kept]))
        reach = max(float(np.percentile(np.abs(y[kept] - middle), 98)) * 1.8, 0.02)
        ax.axhline(middle, color=KEPT, lw=1.2, ls="--")
        ax.set_ylim(min(middle - reach, -0.01), max(middle + reach, 0.01))
    ax.set_xlabel(_LABELS[against])
    ax.set_ylabel(LABEL)
    ax.legend(fontsize=LEGEND_SIZE, loc="upper left")
    return ax


def draw_difference_map(stars: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw differences from their median over the image: where the PSF changes, neighbours share a colour.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a column is missing.
    """
    _check(stars)
    ax = axes(ax, figsize=(5.0, 4.5))
    kept = stars[stars["kept"].to_numpy(dtype=bool)]
    off = kept["difference"] - kept["difference"].median() if len(kept) else kept["difference"]
    reach = max(2.5 * float(np.std(off)), 0.01) if len(kept) > 1 else 0.05
    points = ax.scatter(kept["x"], kept["y"], c=off, s=14, cmap="RdBu", vmin=-reach, vmax=reach)
    ax.figure.colorbar(points, ax=ax, label="difference − median (mag)")
    ax.set_xlabel(_LABELS["x"])
    ax.set_ylabel(_LABELS["y"])
    ax.set_aspect("equal", adjustable="box")
    return ax


def _check(stars: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in stars]
    if missing:
        raise ValueError(f"the stars of a check have no column {', '.join(missing)}")


def _title(facts: Mapping[str, Any]) -> str:
    parts = []
    if "image_id" in facts:
        parts.append(f"image {facts['image_id']} {facts.get('filtercode', '')}, aperture {facts.get('aperture', '')}")
    if facts.get("median") is not None:
        parts.append(f"median {facts['median']:+.4f} ± {facts['median_err']:.4f}")
        parts.append(f"scatter {facts['scatter']:.4f} mag")
    for name, words in (("slope", "a mag"), ("x_gradient", "along x"), ("y_gradient", "along y")):
        if facts.get(name) is not None:
            parts.append(f"{facts[name]:+.4f} ± {facts[f'{name}_err']:.4f} {words}")
    if facts.get("failure"):
        parts.append(str(facts["failure"]))
    return ",  ".join(parts)
