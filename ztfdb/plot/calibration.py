"""Pictures of a photometric calibration: residuals against magnitude, against colour, and over the quadrant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.plot.canvas import axes, pyplot

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = ("x", "y", "mag", "color", "residual", "error", "kept")
KEPT, CLIPPED = "tab:blue", "tab:red"
LEGEND_SIZE = "small"


def draw_calibration(
    stars: pd.DataFrame, *, facts: Mapping[str, Any] | None = None, title: str | None = None
) -> list[Axes]:
    """Draw the residuals of a calibration in three panels.

    Parameters
    ----------
    stars : DataFrame
        From `ztfdb.derive.calibrate.residuals`: columns ``x``, ``y`` (pixels), ``mag``, ``color``, ``residual``,
        ``error`` (mag) and ``kept``; ``attrs`` names filter, colour and aperture.
    facts : mapping, optional
        ``zeropoint``, ``zeropoint_err``, ``color_term``, ``scatter``, …, shown above; by default ``stars.attrs``.
    title : str, optional
        In place of what `facts` say.

    Returns
    -------
    list of Axes
        Against magnitude, against colour, over the quadrant; all on one figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If a column is missing.
    """
    _check(stars)
    figure = pyplot().figure(figsize=(13.0, 4.2), layout="constrained")
    panels = list(figure.subplots(1, 3, width_ratios=(1.0, 1.0, 1.1)))
    draw_residuals(stars, "mag", panels[0])
    draw_residuals(stars, "color", panels[1])
    draw_residual_map(stars, panels[2])
    told = {str(name): value for name, value in stars.attrs.items()} | dict(facts or {})
    figure.suptitle(_title(told) if title is None else title)
    return panels


def draw_residuals(stars: pd.DataFrame, against: str = "mag", ax: Axes | None = None) -> Axes:
    """Draw residuals (PS1 minus fit) with their errors against ``mag`` or ``color``; clipped stars are crosses.

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
    x, y, error = (stars[name].to_numpy(dtype=float) for name in (against, "residual", "error"))
    style = {"fmt": "o", "ms": 3, "lw": 0.7, "color": KEPT, "alpha": 0.7}
    ax.errorbar(x[kept], y[kept], error[kept], label=f"{kept.sum()} stars", **style)  # type: ignore[arg-type]
    if not kept.all():
        ax.plot(x[~kept], y[~kept], "x", ms=4, color=CLIPPED, label=f"{(~kept).sum()} left out")
    ax.axhline(0.0, color="0.3", lw=0.8)
    ax.set_ylim(*_span(y, error, kept))
    ax.set_xlabel(f"PS1 {stars.attrs.get('band', 'magnitude')}" if against == "mag" else _color_label(stars))
    ax.set_ylabel("PS1 − fit (mag)")
    ax.legend(fontsize=LEGEND_SIZE, loc="upper left")
    return ax


def draw_residual_map(stars: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw residuals over the image: where the flat field or the PSF change, neighbours share a colour.

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
    reach = 2.5 * float(np.std(kept["residual"])) if len(kept) > 1 else 0.05
    points = ax.scatter(kept["x"], kept["y"], c=kept["residual"], s=14, cmap="RdBu", vmin=-reach, vmax=reach)
    ax.figure.colorbar(points, ax=ax, label="PS1 − fit (mag)")
    ax.set_xlabel("x (pixels)")
    ax.set_ylabel("y (pixels)")
    ax.set_aspect("equal", adjustable="box")
    return ax


def _check(stars: pd.DataFrame) -> None:
    missing = [name for name in COLUMNS if name not in stars]
    if missing:
        raise ValueError(f"the stars of a calibration have no column {', '.join(missing)}")


def _span(y: Any, error: Any, kept: Any) -> tuple[float, float]:
    """Return limits that show every star kept; what was left out may lie beyond."""
    reach = float(np.max(np.abs(y[kept]) + error[kept])) * 1.2 if kept.any() else 0.1
    return -max(reach, 0.01), max(reach, 0.01)


def _color_label(stars: pd.DataFrame) -> str:
    return f"PS1 {stars.attrs['color'].replace('-', ' − ')}" if "color" in stars.attrs else "PS1 colour"


def _title(facts: Mapping[str, Any]) -> str:
    parts = []
    if "image_id" in facts:
        parts.append(f"image {facts['image_id']} {facts.get('filtercode', '')}, aperture {facts.get('aperture', '')}")
    if facts.get("zeropoint") is not None:
        parts.append(f"zero point {facts['zeropoint']:.4f} ± {facts['zeropoint_err']:.4f}")
        parts.append(f"colour term {facts['color_term']:+.4f} ± {facts['color_term_err']:.4f}")
        parts.append(f"scatter {facts['scatter']:.4f} mag")
    elif facts.get("failure"):
        parts.append(str(facts["failure"]))
    return ",  ".join(parts)
