"""A page of plots that compares two archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.plot.canvas import pyplot, say_empty
from ztfdb.plot.residuals import KEPT, check_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_POINTS = 20_000
"""Maximum number of points; more sources are subsampled at equal steps."""

N_WORST = 15


def draw_diff(sources: pd.DataFrame, magnitudes: pd.DataFrame, images: pd.DataFrame, title: str = "") -> Figure:
    """Draw the differences between two archives on one page.

    Parameters
    ----------
    sources, magnitudes, images : DataFrame
        Of `ztfdb.query.diff.ArchiveDiff`.
    title : str

    Returns
    -------
    Figure
        With 4 panels: differences of magnitudes and positions, fractions of sources lost and gained, the worst images.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If a column is missing.
    """
    check_columns(sources, ("kind", "mag", "mag_difference", "ra_offset", "dec_offset"), "difference")
    check_columns(magnitudes, ("mag", "n_matched", "n_lost", "n_gained", "mag_difference", "mag_scatter"), "difference")
    check_columns(images, ("image_id", "severity"), "difference")
    figure: Figure = pyplot().figure(figsize=(12.0, 9.0), layout="constrained")
    panels = list(figure.subplots(2, 2).ravel())
    matched = sources[(sources["kind"] == "matched") & sources["mag_difference"].notna()]
    shown = matched.iloc[:: max(1, -(-len(matched) // MOST_POINTS))]
    _draw_magnitudes(panels[0], shown, magnitudes)
    _draw_positions(panels[1], shown)
    _draw_shares(panels[2], magnitudes)
    _draw_worst(panels[3], images)
    figure.suptitle(title)
    if images.empty:
        say_empty(figure, "the two archives have no image in common")
    return figure


def _reach(values: Any, least: float) -> float:
    values = np.abs(np.asarray(values, dtype=float))
    return max(float(np.percentile(values, 98)) * 1.5, least) if len(values) else least


def _draw_magnitudes(ax: Axes, shown: pd.DataFrame, magnitudes: pd.DataFrame) -> None:
    ax.plot(shown["mag"], shown["mag_difference"], ".", ms=2, alpha=0.3, color="0.5", rasterized=True)
    ax.errorbar(
        magnitudes["mag"], magnitudes["mag_difference"], magnitudes["mag_scatter"], fmt="o", ms=4, color=KEPT, capsize=2
    )
    ax.axhline(0.0, color="0.3", lw=0.8)
    reach = _reach(shown["mag_difference"], 0.01)
    ax.set_ylim(-reach, reach)
    ax.set_xlabel("magnitude (A)")
    ax.set_ylabel("B − A (mag): medians and scatter")


def _draw_positions(ax: Axes, shown: pd.DataFrame) -> None:
    ax.plot(shown["ra_offset"], shown["dec_offset"], ".", ms=2, alpha=0.3, color="0.5", rasterized=True)
    reach = max(_reach(shown["ra_offset"], 0.01), _reach(shown["dec_offset"], 0.01))
    ax.axhline(0.0, color="0.3", lw=0.8)
    ax.axvline(0.0, color="0.3", lw=0.8)
    ax.set_xlim(-reach, reach)
    ax.set_ylim(-reach, reach)
    ax.set_aspect("equal")
    ax.set_xlabel("Δα cos δ, B − A (arcsec)")
    ax.set_ylabel("Δδ, B − A (arcsec)")


def _draw_shares(ax: Axes, magnitudes: pd.DataFrame) -> None:
    n_a = (magnitudes["n_matched"] + magnitudes["n_lost"]).clip(lower=1)
    n_b = (magnitudes["n_matched"] + magnitudes["n_gained"]).clip(lower=1)
    ax.plot(magnitudes["mag"], magnitudes["n_lost"] / n_a, "v-", label="lost: only in A")
    ax.plot(magnitudes["mag"], magnitudes["n_gained"] / n_b, "^-", label="gained: only in B")
    ax.set_ylim(-0.02, 1.02)
    ax.set_xlabel("magnitude")
    ax.set_ylabel("fraction of sources")
    ax.legend()


def _draw_worst(ax: Axes, images: pd.DataFrame) -> None:
    worst = images.head(N_WORST).iloc[::-1]
    ax.barh([str(one) for one in worst["image_id"]], worst["severity"], color=KEPT)
    ax.set_xlabel("severity")
    ax.set_title("worst images")
    ax.tick_params(axis="y", labelsize=7)
