"""Contact sheets of stamps, and the strip of stamps below a light curve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.plot.canvas import pyplot
from ztfdb.plot.image import Cutout, draw_stamp
from ztfdb.plot.lightcurve import FILTER_COLOURS, FILTER_NAMES, draw_light_curve

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHEET_COLUMNS = 8
"""Stamps in a row of a contact sheet."""

STRIP_STAMPS = 12
"""Maximum number of stamps below a light curve."""

INCHES = 1.4
"""Side of a stamp on paper."""

BARS = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)
"""Lengths of scale bars, arcsec."""

INK = "#0072B2"
"""Colour of compass and scale bar: dark on the sky of a negative, and not used for apertures."""


class SeriesStamp(Cutout, Protocol):
    """One stamp of a series."""

    @property
    def image_id(self) -> int:
        """Id of its image."""

    @property
    def status(self) -> str:
        """``ok``, or the problem of its file."""

    @property
    def radius(self) -> float:
        """Radius of the aperture, pixels."""

    @property
    def facts(self) -> dict[str, Any] | None:
        """``mjd`` and ``filtercode``."""

    @property
    def ra(self) -> float:
        """The position, deg."""

    @property
    def dec(self) -> float:
        """The position, deg."""

    @property
    def wcs(self) -> Any:
        """The stamp's astropy WCS."""


def draw_stamps(stamps: Sequence[SeriesStamp], *, columns: int = SHEET_COLUMNS, **options: Any) -> Figure:
    """Draw a contact sheet: every stamp with its aperture, date, filter, scale bar, north and east.

    The title has the position. Each stamp has its own grey scale; bright pixels are dark. Stamps requested with a
    ``calibration`` show its zero point.

    Parameters
    ----------
    stamps : sequence of ImageStamp
    columns : int
        Maximum number of stamps in a row.
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
    columns = -(-len(stamps) // rows)  # rows of similar length
    figure = pyplot().figure(figsize=(max(3.5, INCHES * columns), 1.3 * INCHES * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(stamps) :]:
        ax.set_axis_off()
    for ax, stamp in zip(axes, stamps, strict=False):
        _draw_small(ax, stamp, options)
    figure.suptitle(_words(stamps), fontsize="medium")
    made: Figure = figure
    return made


def write_gif(stamps: Sequence[SeriesStamp], path: str | Path, *, fps: float = 3.0, **options: Any) -> None:
    """Write an animated GIF with one stamp per frame, with matplotlib's Pillow writer.

    Parameters
    ----------
    stamps : sequence of ImageStamp
    path : str or Path
    fps : float
        Stamps per second.
    **options
        As for `draw_stamps`.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If there is no stamp, or `fps` is not positive.
    """
    if not stamps:
        raise ValueError("there is no stamp to draw")
    if not fps > 0:
        raise ValueError(f"fps must be positive, not {fps}")
    plt = pyplot()
    from matplotlib.animation import PillowWriter

    figure = plt.figure(figsize=(3.0, 3.6))
    ax = figure.add_axes((0.05, 0.03, 0.9, 0.78))
    figure.suptitle(_words(stamps), fontsize=7)
    writer = PillowWriter(fps=fps)  # type: ignore[arg-type]  # it accepts any number
    try:
        with writer.saving(figure, str(path), dpi=100):
            for stamp in stamps:
                ax.clear()
                _draw_small(ax, stamp, options, size=9)
                writer.grab_frame()
    finally:
        plt.close(figure)


def _words(stamps: Sequence[SeriesStamp]) -> str:
    """Return position and size of the stamps; for a moving body the first and last position."""
    first, last = stamps[0], stamps[-1]
    places = [f"RA {stamp.ra:.5f}°, Dec {stamp.dec:+.5f}°" for stamp in (first, last)]
    where = places[0] if places[0] == places[1] else " → ".join(places)
    scale = next((found[2] for stamp in stamps if (found := _directions(stamp)) is not None), None)
    ny, nx = first.shape
    size = f"{nx}×{ny} px" if scale is None else f"{nx * scale:.0f}″×{ny * scale:.0f}″"
    return f"{where}\n{len(stamps)} {'stamp' if len(stamps) == 1 else 'stamps'} of {size}"


def draw_light_curve_with_stamps(
    data: pd.DataFrame, stamps: Sequence[SeriesStamp], *, time: str = "mjd", title: str | None = None, **options: Any
) -> Figure:
    """Draw a light curve with a strip of stamps of some epochs below, with their magnitudes.

    Parameters
    ----------
    data : DataFrame
        As for `ztfdb.plot.draw_light_curve`.
    stamps : sequence of ImageStamp
        In order of time; of more than `STRIP_STAMPS`, evenly spaced ones are drawn, and the figure says so.
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
    figure: Figure = pyplot().figure(figsize=(max(8.0, 1.05 * len(chosen)), 5.8), layout="constrained")
    grid = figure.add_gridspec(2, len(chosen), height_ratios=(4.0, 1.2))
    draw_light_curve(data, figure.add_subplot(grid[0, :]), time=time, title=title)
    told = _magnitudes(data) if {"image_id", "mag", "magerr", "calibration"} <= set(data) else {}
    for column, stamp in enumerate(chosen):
        _draw_small(figure.add_subplot(grid[1, column]), stamp, options, note=told.get(stamp.image_id, ""))
    if len(chosen) < len(stamps):
        figure.supxlabel(_shortened(stamps, len(chosen)), fontsize="small")
    return figure


def _shortened(stamps: Sequence[SeriesStamp], n_shown: int) -> str:
    """Return a note that a strip does not show every stamp."""
    without = sum(not np.isfinite(stamp.data).any() for stamp in stamps)
    words = f"{n_shown} of {len(stamps)} stamps shown"
    if n_shown + without < len(stamps):
        words += ", evenly spaced in their order"
    return f"{words}; {without} without pixels" if without else words


def _evenly(stamps: Sequence[SeriesStamp], n: int) -> list[SeriesStamp]:
    """Return up to `n` evenly spaced stamps with pixels, in their order."""
    there = [stamp for stamp in stamps if np.isfinite(stamp.data).any()]
    if len(there) <= n:
        return there
    return [there[i] for i in np.linspace(0, len(there) - 1, n).round().astype(int)]


def _zeropoint(facts: dict[str, Any]) -> str:
    """Return a label with the zero point of a stamp's image at its position."""
    zeropoint = facts.get("zeropoint", np.nan)
    return f"ZP {zeropoint:.3f} ({facts['calibration']})" if np.isfinite(zeropoint) else f"no {facts['calibration']} ZP"


def _magnitudes(data: pd.DataFrame) -> dict[int, str]:
    """Return labels with the magnitude or limit of each image's epoch, and its calibration."""
    words = {}
    limits = data["upper_limit_mag"] if "upper_limit_mag" in data else data["mag"] * np.nan
    rows = zip(data["image_id"], data["mag"], data["magerr"], limits, data["calibration"], strict=True)
    for image_id, mag, error, limit, calibration in rows:
        told = f"{mag:.3f}±{error:.3f}" if np.isfinite(mag) else f"> {limit:.2f}"
        if np.isfinite(mag) or np.isfinite(limit):
            words[int(image_id)] = f"{told}\n{calibration}"
    return words


def _draw_small(ax: Axes, stamp: SeriesStamp, options: dict[str, Any], *, size: float = 6, note: str = "") -> None:
    """Draw one stamp without axes, with filter, date and a note above; without pixels, the reason."""
    if np.isfinite(stamp.data).any():
        style: dict[str, Any] = {"cross": False, "vmin": "2", "vmax": "99.5", "cmap": "gray_r"} | options
        draw_stamp(stamp, ax, aperture=stamp.radius, **style)
        _draw_compass(ax, stamp, size)
    else:
        words = stamp.status.replace(" ", "\n")
        ax.text(0.5, 0.5, words, ha="center", va="center", fontsize=size, transform=ax.transAxes)
        ax.set_aspect("equal")
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="")
    facts = stamp.facts or {}
    code = str(facts.get("filtercode", ""))
    words = f"{FILTER_NAMES.get(code, code)}  {_date(facts.get('mjd'))}".strip()
    if note or "calibration" in facts:
        words += f"\n{note or _zeropoint(facts)}"
    if facts.get("simulated"):
        words += "\nsimulated"
    ax.set_title(words, fontsize=size, color=FILTER_COLOURS.get(code, "black"), pad=2)


def _date(mjd: Any) -> str:
    """Return day and MJD of an exposure."""
    if not isinstance(mjd, float) or not np.isfinite(mjd):
        return ""
    day = np.datetime64("1858-11-17") + np.timedelta64(int(mjd), "D")
    return f"{day}\nMJD {mjd:.3f}"


def _directions(stamp: SeriesStamp) -> tuple[FloatArray, FloatArray, float] | None:
    """Return the unit vectors to north and east in pixels, and arcsec per pixel; None without pixels."""
    if not np.isfinite(stamp.data).any():
        return None
    x, y = stamp.xref, stamp.yref
    ra, dec = stamp.wcs.all_pix2world([x, x + 1.0, x], [y, y, y + 1.0], 0)
    east = ((ra[1:] - ra[0] + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec[0]))
    north = dec[1:] - dec[0]
    to_pixels = np.linalg.inv(np.array([east, north]))  # columns: one degree east, one degree north
    scale = 3600.0 / float(np.sqrt(abs(np.linalg.det(to_pixels))))
    to_east, to_north = (v / np.hypot(*v) for v in to_pixels.T)
    return to_north, to_east, scale


def _draw_compass(ax: Axes, stamp: SeriesStamp, size: float) -> None:
    """Draw north and east in the upper right corner, and a scale bar at the lower left."""
    found = _directions(stamp)
    if found is None:
        return
    north, east, scale = found
    ny, nx = stamp.shape
    length = 0.13 * min(nx, ny)
    corner = np.array([nx - 0.5, ny - 0.5]) - 1.4 * length - 0.5 * length * (north + east)
    for direction, letter in ((north, "N"), (east, "E")):
        tip = corner + length * direction
        arrow = {"arrowstyle": "->", "color": INK, "lw": 0.7, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", (tip[0], tip[1]), (corner[0], corner[1]), arrowprops=arrow)
        place = corner + 1.55 * length * direction
        ax.text(place[0], place[1], letter, color=INK, fontsize=0.85 * size, ha="center", va="center")
    bar = max((one for one in BARS if one <= 0.45 * nx * scale), default=BARS[0])
    left, low = -0.5 + 0.06 * nx, -0.5 + 0.07 * ny
    ax.plot([left, left + bar / scale], [low, low], color=INK, lw=1.2, solid_capstyle="butt")
    ax.text(left, low + 0.02 * ny, f"{bar:g}″", color=INK, fontsize=0.85 * size, ha="left", va="bottom")
