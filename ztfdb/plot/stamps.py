"""Contact sheets of stamps, and the strip of stamps below a light curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ztfdb.plot.canvas import pyplot
from ztfdb.plot.image import Cutout, draw_stamp
from ztfdb.plot.lightcurve import FILTER_COLOURS, draw_light_curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET_COLUMNS = 10
"""Stamps in a row of a contact sheet."""

STRIP_STAMPS = 12
"""Most stamps below a light curve."""

INCHES = 1.1
"""Side of a stamp on paper."""


class SeriesStamp(Cutout, Protocol):
    """One stamp of a series."""

    @property
    def status(self) -> str:
        """``ok``, or what is wrong with its file."""

    @property
    def radius(self) -> float:
        """Radius of the aperture, pixels."""

    @property
    def facts(self) -> dict[str, Any] | None:
        """``mjd`` and ``filtercode``."""


def draw_stamps(stamps: Sequence[SeriesStamp], *, columns: int = SHEET_COLUMNS, **options: Any) -> Figure:
    """Draw a contact sheet: every stamp with its aperture, date and filter, on a scale of its own.

    Parameters
    ----------
    stamps : sequence of ImageStamp
    columns : int
        Stamps in a row.
    **options
        For `ztfdb.plot.draw_stamp`, such as ``vmin``, ``vmax``, ``stretch`` or ``cross``.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If there is no stamp.
    """
    if not stamps:
        raise ValueError("there is no stamp to draw")
    columns = max(1, min(columns, len(stamps)))
    rows = -(-len(stamps) // columns)
    figure = pyplot().figure(figsize=(INCHES * columns, 1.3 * INCHES * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(stamps) :]:
        ax.set_axis_off()
    for ax, stamp in zip(axes, stamps, strict=False):
        _draw_small(ax, stamp, options)
    made: Figure = figure
    return made


def draw_light_curve_with_stamps(
    data: pd.DataFrame, stamps: Sequence[SeriesStamp], *, time: str = "mjd", title: str | None = None, **options: Any
) -> Figure:
    """Draw a light curve, and below it a strip of stamps of some of its epochs.

    Parameters
    ----------
    data : DataFrame
        As for `ztfdb.plot.draw_light_curve`.
    stamps : sequence of ImageStamp
        In the order of time; of more than `STRIP_STAMPS`, as many evenly spaced ones are drawn.
    time, title
        As for `ztfdb.plot.draw_light_curve`.
    **options
        For `ztfdb.plot.draw_stamp`.

    Returns
    -------
    matplotlib Figure
    """
    chosen = _evenly(stamps, STRIP_STAMPS)
    if not chosen:
        alone: Figure = draw_light_curve(data, time=time, title=title).get_figure(root=True)  # type: ignore[assignment]
        return alone
    figure: Figure = pyplot().figure(figsize=(max(8.0, 0.9 * len(chosen)), 5.4), layout="constrained")
    grid = figure.add_gridspec(2, len(chosen), height_ratios=(4.0, 1.2))
    draw_light_curve(data, figure.add_subplot(grid[0, :]), time=time, title=title)
    for column, stamp in enumerate(chosen):
        _draw_small(figure.add_subplot(grid[1, column]), stamp, options)
    return figure


def _evenly(stamps: Sequence[SeriesStamp], n: int) -> list[SeriesStamp]:
    """Return up to `n` of the stamps that have pixels, evenly spaced in their order."""
    there = [stamp for stamp in stamps if np.isfinite(stamp.data).any()]
    if len(there) <= n:
        return there
    return [there[i] for i in np.linspace(0, len(there) - 1, n).round().astype(int)]


def _draw_small(ax: Axes, stamp: SeriesStamp, options: dict[str, Any]) -> None:
    """Draw one stamp without axes, its date above; where there are no pixels, the reason."""
    facts = stamp.facts or {}
    code = str(facts.get("filtercode", ""))
    if np.isfinite(stamp.data).any():
        style: dict[str, Any] = {"cross": False, "vmin": "2", "vmax": "99.5", "cmap": "gray_r"} | options
        draw_stamp(stamp, ax, aperture=stamp.radius, **style)
    else:
        ax.text(0.5, 0.5, stamp.status.replace(" ", "\n"), ha="center", va="center", fontsize=6, transform=ax.transAxes)
        ax.set_aspect("equal")
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    mjd = facts.get("mjd")
    date = f"{mjd:.3f}" if isinstance(mjd, float) and np.isfinite(mjd) else ""
    ax.set_title(date, fontsize=6, color=FILTER_COLOURS.get(code, "black"), pad=2)
