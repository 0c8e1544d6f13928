"""Import of matplotlib, with an error for users without it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ztfdb.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def pyplot() -> Any:
    """Return `matplotlib.pyplot`, which uses the Agg canvas if there is no display.

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


def picture_suffixes() -> tuple[str, ...]:
    """Return the suffixes of the formats in which matplotlib draws, such as ``.png``."""
    return tuple(f".{name}" for name in pyplot().FigureCanvasBase.get_supported_filetypes())


def axes(ax: Axes | None, *, figsize: tuple[float, float], projection: Any = None) -> Axes:
    """Return the given Axes, or new ones on a new figure."""
    plt = pyplot()
    if ax is not None:
        return ax
    new: Axes = plt.figure(figsize=figsize, layout="constrained").add_subplot(projection=projection)
    return new


def say_empty(figure: Any, words: str) -> None:
    """Write on a figure without data that there is none, and remove the numbers of its axes, which no data gave."""
    for ax in figure.axes:
        ax.set(xticks=[], yticks=[])
    figure.text(0.5, 0.5, words, ha="center", va="center", bbox={"fc": "white", "ec": "0.5"})
