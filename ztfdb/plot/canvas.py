"""Where matplotlib is imported, and what a user without it is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ztfdb.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pyplot() -> Any:
    """Return `matplotlib.pyplot`; without a display it draws on the Agg canvas by itself.

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as exc:
        raise MissingExtraError("drawing a picture", "plot") from exc
    return plt


def axes(ax: Axes | None, *, figsize: tuple[float, float], projection: Any = None) -> Axes:
    """Return the Axes given, or new ones on a figure of their own."""
    plt = pyplot()
    if ax is not None:
        return ax
    new: Axes = plt.figure(figsize=figsize, layout="constrained").add_subplot(projection=projection)
    return new
