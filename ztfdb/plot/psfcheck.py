"""Plots of a check against a PSF catalogue: differences against magnitude, along both axes, and over the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.plot.canvas import pyplot, say_empty
from ztfdb.plot.residuals import KEPT, check_columns, draw_map, draw_points, image_words, kept_stars

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
        From `ztfdb.derive.psf_checks.differences`: columns ``x``, ``y`` (pixels), ``mag``, ``difference``, ``error``
        (mag) and ``kept``; ``attrs`` has the image and the numbers of the check.
    facts : mapping, optional
        ``median``, ``scatter``, ``slope``, … for the title; by default ``stars.attrs``.
    title : str, optional
        Replaces the title from `facts`.

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
    check_columns(stars, COLUMNS, "check")
    figure = pyplot().figure(figsize=(16.0, 4.2), layout="constrained")
    panels = list(figure.subplots(1, 4, width_ratios=(1.0, 1.0, 1.0, 1.1)))
    for against, panel in zip(_LABELS, panels, strict=False):
        draw_differences(stars, against, panel)
    draw_difference_map(stars, panels[3])
    told = {str(name): value for name, value in stars.attrs.items()} | dict(facts or {})
    figure.suptitle(_title(told) if title is None else title)
    if stars.empty:
        say_empty(figure, "no star of the image is in a PSF catalogue of it")
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
    check_columns(stars, COLUMNS, "check")
    ax = draw_points(stars, against, "difference", ax)
    kept = kept_stars(stars)
    y = stars["difference"].to_numpy(dtype=float)
    if kept.any():
        middle = float(np.median(y[kept]))
        reach = max(float(np.percentile(np.abs(y[kept] - middle), 98)) * 1.8, 0.02)
        ax.axhline(middle, color=KEPT, lw=1.2, ls="--")
        ax.set_ylim(min(middle - reach, -0.01), max(middle + reach, 0.01))
    ax.set_xlabel(_LABELS[against])
    ax.set_ylabel(LABEL)
    return ax


def draw_difference_map(stars: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw differences from their median over the image: variations of the PSF show as areas of the same colour.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        If a column is missing.
    """
    check_columns(stars, COLUMNS, "check")
    kept = stars[kept_stars(stars)]
    off = kept["difference"] - kept["difference"].median() if len(kept) else kept["difference"]
    reach = max(2.5 * float(np.std(off)), 0.01) if len(kept) > 1 else 0.05
    return draw_map(kept, off, reach, "difference − median (mag)", ax)


def _title(facts: Mapping[str, Any]) -> str:
    parts = image_words(facts)
    if facts.get("median") is not None:
        parts.append(f"median {facts['median']:+.4f} ± {facts['median_err']:.4f}")
        parts.append(f"scatter {facts['scatter']:.4f} mag")
    for name, words in (("slope", "a mag"), ("x_gradient", "along x"), ("y_gradient", "along y")):
        if facts.get(name) is not None:
            parts.append(f"{facts[name]:+.4f} ± {facts[f'{name}_err']:.4f} {words}")
    if facts.get("failure"):
        parts.append(str(facts["failure"]))
    return ",  ".join(parts)
