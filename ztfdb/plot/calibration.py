"""Plots of a photometric calibration: residuals against magnitude, against colour, and over the quadrant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.plot.canvas import pyplot, say_empty
from ztfdb.plot.residuals import FEW, check_columns, draw_map, draw_points, image_words, kept_stars

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

COLUMNS = ("x", "y", "mag", "color", "residual", "error", "kept")
LABEL = "PS1 − fit (mag)"


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
        ``zeropoint``, ``zeropoint_err``, ``color_term``, ``scatter``, … for the title; by default ``stars.attrs``.
    title : str, optional
        Replaces the title from `facts`.

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
    check_columns(stars, COLUMNS, "calibration")
    figure = pyplot().figure(figsize=(13.0, 4.2), layout="constrained")
    panels = list(figure.subplots(1, 3, width_ratios=(1.0, 1.0, 1.1)))
    draw_residuals(stars, "mag", panels[0])
    draw_residuals(stars, "color", panels[1])
    draw_residual_map(stars, panels[2])
    told = {str(name): value for name, value in stars.attrs.items()} | dict(facts or {})
    figure.suptitle(_title(told) if title is None else title)
    if stars.empty:
        say_empty(figure, "no star of the image is matched with PS1: ztfdb crossmatch ps1")
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
    check_columns(stars, COLUMNS, "calibration")
    ax = draw_points(stars, against, "residual", ax)
    ax.set_ylim(*_span(stars["residual"].to_numpy(float), stars["error"].to_numpy(float), kept_stars(stars)))
    ax.set_xlabel(f"PS1 {stars.attrs.get('band', 'magnitude')}" if against == "mag" else _color_label(stars))
    ax.set_ylabel(LABEL)
    return ax


def draw_residual_map(stars: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw residuals over the image: variations of flat field or PSF show as areas of the same colour.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a column is missing.
    """
    check_columns(stars, COLUMNS, "calibration")
    kept = stars[kept_stars(stars)]
    reach = 2.5 * float(np.std(kept["residual"])) if len(kept) > 1 else 0.05
    return draw_map(kept, kept["residual"], reach, LABEL, ax)


def _span(y: Any, error: Any, kept: Any) -> tuple[float, float]:
    """Return limits that show all kept stars, or with many stars all except the outermost 0.5 %."""
    if kept.sum() > FEW:
        reach = 1.3 * float(np.percentile(np.abs(y[kept]), 99.5))
    else:
        reach = float(np.max(np.abs(y[kept]) + error[kept])) * 1.2 if kept.any() else 0.1
    return -max(reach, 0.01), max(reach, 0.01)


def _color_label(stars: pd.DataFrame) -> str:
    return f"PS1 {stars.attrs['color'].replace('-', ' − ')}" if "color" in stars.attrs else "PS1 colour"


def _title(facts: Mapping[str, Any]) -> str:
    parts = image_words(facts)
    if facts.get("zeropoint") is not None:
        parts.append(f"zero point {facts['zeropoint']:.4f} ± {facts['zeropoint_err']:.4f}")
        parts.append(f"colour term {facts['color_term']:+.4f} ± {facts['color_term_err']:.4f}")
        parts.append(f"scatter {facts['scatter']:.4f} mag")
    elif facts.get("failure"):
        parts.append(str(facts["failure"]))
    return ",  ".join(parts)
