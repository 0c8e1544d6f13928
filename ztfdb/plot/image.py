"""Plots of images and stamps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.plot.canvas import axes, pyplot

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Limit = float | str
STRETCHES = ("arcsinh", "arctan", "cbrt", "exp", "exp2", "log", "log10", "log1p", "log2", "sqrt", "square", "tanh")
"""Numpy functions for stretching pixel values."""


def draw_image(
    data: FloatArray,
    ax: Axes | None = None,
    *,
    vmin: Limit = "1",
    vmax: Limit = "99",
    stretch: str | None = None,
    floorstretch: bool = True,
    cmap: str = "cividis",
    colorbar: bool = False,
    wcs: Any = None,
    sources: Any = None,
    markers: Any = None,
    figsize: tuple[float, float] = (8.0, 6.0),
    **options: Any,
) -> Axes:
    """Draw an image with its first pixel at the lower left.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        It is not changed; NaN pixels stay blank.
    ax : matplotlib Axes, optional
        Axes to draw on; default a new figure.
    vmin, vmax : float or str
        Darkest and brightest value; a string is a percentile of the finite pixels. They apply to stretched values.
    stretch : str, optional
        Name of a numpy function (``"arcsinh"``, ``"log"``, ``"sqrt"``, …) applied to the pixels.
    floorstretch : bool
        Subtract the smallest finite pixel before stretching.
    cmap : str
        Colour map.
    colorbar : bool
        Draw a colour bar.
    wcs : astropy.wcs.WCS, optional
        Label the axes with sky coordinates (only on new Axes).
    sources : DataFrame or mapping, optional
        Columns ``x, y, a, b, theta``: an ellipse of 3 rms widths around each.
    markers : DataFrame or mapping, optional
        Columns ``x, y``: an open circle at each.
    figsize : tuple of float
        Inches of a new figure.
    **options
        Passed to ``Axes.imshow``.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If the stretch is unknown, or a limit is not a number or percentile, or the limits are out of order.
    """
    values = stretched(np.asarray(data), stretch, floorstretch=floorstretch)
    low, high = display_limits(values, vmin, vmax)
    ax = axes(ax, figsize=figsize, projection=wcs)
    picture = ax.imshow(values, origin="lower", cmap=cmap, vmin=low, vmax=high, **options)
    if wcs is not None and hasattr(ax, "coords"):
        for coordinate, name in zip(ax.coords, ("RA", "Dec"), strict=False):
            coordinate.set_axislabel(f"{name} (ICRS)")
    else:
        ax.set_xlabel("x (pixel)")
        ax.set_ylabel("y (pixel)")
    if sources is not None:
        _draw_ellipses(ax, sources)
    if markers is not None:
        ax.scatter(markers["x"], markers["y"], s=40, facecolors="none", edgecolors="tab:red", linewidths=0.8)
    if colorbar:
        ax.figure.colorbar(picture, ax=ax, label="DN" if stretch is None else f"{stretch} of DN")
    return ax


class Cutout(Protocol):
    """Interface of a stamp that can be drawn."""

    @property
    def data(self) -> FloatArray:
        """Pixels, NaN if missing."""

    @property
    def xref(self) -> float:
        """The position's x in pixels of the stamp."""

    @property
    def yref(self) -> float:
        """The position's y in pixels of the stamp."""

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""


def draw_stamp(
    stamp: Cutout,
    ax: Axes | None = None,
    *,
    cross: bool = True,
    aperture: float | None = None,
    savefile: str | None = None,
    **options: Any,
) -> Axes:
    """Draw a stamp with a white cross at the exact requested position.

    Parameters
    ----------
    stamp : Stamp, or ImageStamp of `ztfdb.stamps`
    ax : matplotlib Axes, optional
    cross : bool
        Draw the cross.
    aperture : float, optional
        Draw a circle of this radius (pixels) around the position.
    savefile : str, optional
        Write the figure there.
    **options
        As for `draw_image`; `vmax` is the brightest pixel by default.

    Returns
    -------
    matplotlib Axes
    """
    ax = draw_image(stamp.data, ax, **{"figsize": (4.5, 4.0), "vmax": "100", **options})
    ny, nx = stamp.shape
    if cross:
        ax.axvline(stamp.xref, color="white", linewidth=0.8)
        ax.axhline(stamp.yref, color="white", linewidth=0.8)
    if aperture is not None:
        draw_circle(ax, stamp.xref, stamp.yref, aperture)
    ax.set_xlim(-0.5, nx - 0.5)
    ax.set_ylim(-0.5, ny - 0.5)
    figure = ax.get_figure(root=True)
    if savefile is not None and figure is not None:
        figure.savefig(savefile)
    return ax


def draw_circle(ax: Axes, x: float, y: float, radius: float) -> None:
    """Draw an open circle, in pixels."""
    pyplot()
    from matplotlib.patches import Circle

    ax.add_patch(Circle((x, y), radius, fill=False, edgecolor="tab:orange", linewidth=0.9))


def stretched(data: FloatArray, stretch: str | None, *, floorstretch: bool = True) -> FloatArray:
    """Return the pixels stretched by a numpy function, NaN if not finite; a copy, except without a stretch.

    Raises
    ------
    ValueError
        If the function is not in `STRETCHES`.
    """
    if stretch is None:
        return data
    if stretch not in STRETCHES:
        raise ValueError(f"stretch {stretch!r} is none of {', '.join(STRETCHES)}")
    finite = np.isfinite(data)
    floor = data[finite].min() if floorstretch and finite.any() else 0.0
    with np.errstate(all="ignore"):
        values: FloatArray = getattr(np, stretch)(data - floor)
    return np.where(np.isfinite(values), values, np.nan)


def display_limits(data: FloatArray, vmin: Limit, vmax: Limit) -> tuple[float, float]:
    """Return the two limits as values; strings are percentiles of the finite pixels.

    Raises
    ------
    ValueError
        If a limit is neither a number nor a percentile from 0 to 100.
    """
    finite = data[np.isfinite(data)]
    # 400,000 pixels suffice for the percentiles of a quadrant
    sample = finite[:: max(1, finite.size // 400_000)] if finite.size else np.zeros(1)
    limits = []
    for limit in (vmin, vmax):
        try:
            number = float(limit)
        except (TypeError, ValueError):
            raise ValueError(f"limit {limit!r} is neither a number nor a percentile such as '99'") from None
        if isinstance(limit, str) and not 0.0 <= number <= 100.0:
            raise ValueError(f"percentile {limit!r} lies outside 0..100")
        limits.append(float(np.percentile(sample, number)) if isinstance(limit, str) else number)
    return limits[0], limits[1]


def _draw_ellipses(ax: Axes, sources: Any, scale: float = 3.0) -> None:
    """Outline sources at `scale` rms widths."""
    pyplot()
    from matplotlib.collections import EllipseCollection

    widths, heights = 2.0 * scale * np.asarray(sources["a"]), 2.0 * scale * np.asarray(sources["b"])
    ax.add_collection(
        EllipseCollection(
            widths,
            heights,
            np.degrees(np.asarray(sources["theta"])),
            units="xy",
            offsets=np.transpose([np.asarray(sources["x"]), np.asarray(sources["y"])]),
            transOffset=ax.transData,
            facecolors="none",
            edgecolors="tab:orange",
            linewidths=0.6,
        )
    )
