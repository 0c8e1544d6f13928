"""A page of plots of a calibration with shared stars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ztfdb.plot.canvas import pyplot, say_empty
from ztfdb.plot.diff import MOST_POINTS
from ztfdb.plot.residuals import CELLS, KEPT, check_columns

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = ("image_id", "mjd", "airmass", "u", "v", "mag", "color", "residual", "error", "constant")
N_BIN, N_WORST = 24, 15
AGAINST = {"mag": "magnitude", "color": "colour (mag)", "mjd": "MJD", "airmass": "airmass"}


def draw_self_calibration(stars: pd.DataFrame, title: str = "") -> list[Axes]:
    """Draw the residuals of a calibration with shared stars on one page, without variable stars.

    Parameters
    ----------
    stars : DataFrame
        From `ztfdb.derive.selfresiduals.self_residuals`.
    title : str

    Returns
    -------
    list of Axes
        Against magnitude (with the scatter expected from errors and floors), colour, time and airmass, over the
        quadrant, and the images with the largest scatter; all on one figure.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If a column is missing.
    """
    check_columns(stars, COLUMNS, "calibration")
    figure: Figure = pyplot().figure(figsize=(15.0, 8.5), layout="constrained")
    panels = list(figure.subplots(2, 3).ravel())
    constant = stars[stars["constant"].to_numpy(dtype=bool)]
    for panel, (name, label) in zip(panels, AGAINST.items(), strict=False):
        _draw_against(panel, constant, name, label)
    _draw_map(panels[4], constant)
    _draw_worst(panels[5], constant)
    n_image, n_star = constant["image_id"].nunique(), len(constant)
    figure.suptitle(title or f"{n_star:,} detections of constant stars on {n_image:,} images")
    if constant.empty:
        say_empty(figure, "no image is calibrated with shared stars: ztfdb calibrate --method self")
    return panels


def _draw_against(ax: Axes, stars: pd.DataFrame, name: str, label: str) -> None:
    known = stars[np.isfinite(stars[name].to_numpy(dtype=float))]
    shown = known.iloc[:: max(1, -(-len(known) // MOST_POINTS))]
    ax.plot(shown[name], shown["residual"], ".", ms=2, alpha=0.3, color="0.5", rasterized=True)
    ax.axhline(0.0, color="0.3", lw=0.8)
    ax.set_xlabel(label)
    ax.set_ylabel("calibrated − mean (mag)")
    if not len(known):
        return
    x, y, error = (known[column].to_numpy(dtype=float) for column in (name, "residual", "error"))
    reach = max(float(np.percentile(np.abs(y), 98)) * 1.5, 0.01)
    ax.set_ylim(-reach, reach)
    edges = np.unique(np.quantile(x, np.linspace(0.0, 1.0, N_BIN + 1)))
    which = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, max(len(edges) - 2, 0))
    middles, medians, scatters, expected = [], [], [], []
    for one in np.unique(which):
        own = which == one
        middles.append(float(np.median(x[own])))
        medians.append(float(np.median(y[own])))
        scatters.append(1.4826 * float(np.median(np.abs(y[own] - medians[-1]))))
        expected.append(float(np.median(error[own])))
    ax.errorbar(middles, medians, scatters, fmt="o", ms=4, color=KEPT, capsize=2, label="median and scatter")
    if name == "mag":
        ax.plot(middles, expected, "-", color="#D55E00", label="expected")
        ax.plot(middles, -np.array(expected), "-", color="#D55E00")
        ax.legend()


def _draw_map(ax: Axes, stars: pd.DataFrame) -> None:
    edges = np.linspace(-1.0, 1.0, CELLS + 1)
    u, v, y = (stars[name].to_numpy(dtype=float) for name in ("u", "v", "residual"))
    total, _, _ = np.histogram2d(v, u, bins=(edges, edges), weights=np.clip(y, -0.1, 0.1))
    n, _, _ = np.histogram2d(v, u, bins=(edges, edges))
    mean = np.divide(total, n, out=np.full(total.shape, np.nan), where=n > 0)
    reach = max(float(np.nanpercentile(np.abs(mean), 98)), 0.002) if (n > 0).any() else 0.002
    picture = ax.imshow(mean, origin="lower", extent=(-1, 1, -1, 1), cmap="RdBu", vmin=-reach, vmax=reach)
    ax.figure.colorbar(picture, ax=ax, label="mean residual (mag)")
    ax.set_xlabel("u")
    ax.set_ylabel("v")


def _draw_worst(ax: Axes, stars: pd.DataFrame) -> None:
    by_image = stars["residual"].abs().groupby(stars["image_id"]).median() * 1.4826
    worst = by_image.sort_values().tail(N_WORST)
    ax.barh([str(int(one)) for one in worst.index], worst.to_numpy(), color=KEPT)
    ax.set_xlabel("scatter (mag)")
    ax.set_title("images that scatter most")
    ax.tick_params(axis="y", labelsize=7)
