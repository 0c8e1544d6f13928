"""Plot of a DAOPHOT point-spread function: its base profile and its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.plot.canvas import pyplot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TERMS = ("1", "Δx", "Δy", "P₂(Δx)", "ΔxΔy", "P₂(Δy)", "P₃(Δx)", "P₂(Δx)Δy", "ΔxP₂(Δy)", "P₃(Δy)")


class _Reader(Protocol):
    modelname: Any
    nstructures: Any

    def get_basestamp(self, asstamp: bool = ...) -> Any: ...

    def get_structstamp(self, index: int, asstamp: bool = ...) -> Any: ...


def draw_psf(reader: _Reader, axes: Any = None, *, cmap: str = "coolwarm", savefile: str | None = None) -> Figure:
    """Draw the base profile and each look-up table, DN every half pixel, on one symmetric diverging scale per panel.

    Parameters
    ----------
    reader : DAOPhotReader
    axes : sequence of matplotlib Axes, optional
        One for the base and one for each table; default a new figure.
    cmap : str
        Diverging colour map.
    savefile : str, optional
        Write the figure there.

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    MissingExtraError
        If matplotlib is not installed.
    ValueError
        If the number of Axes is not the number of panels.
    """
    plt = pyplot()
    panels = [(f"base: {str(reader.modelname).lower()}", reader.get_basestamp(asstamp=False))]
    panels += [(_title(k), reader.get_structstamp(k, asstamp=False)) for k in range(reader.nstructures)]
    if axes is None:
        _, axes = plt.subplots(1, len(panels), figsize=(3.1 * len(panels), 3.0), layout="constrained", squeeze=False)
    axes = np.ravel(axes)
    if len(axes) != len(panels):
        raise ValueError(f"{len(axes)} axes for {len(panels)} panels")
    for ax, (title, table) in zip(axes, panels, strict=True):
        _draw_panel(ax, table, title, cmap)
    figure: Figure = axes[0].figure
    if savefile is not None:
        figure.savefig(savefile)
    return figure


def _title(k: int) -> str:
    return f"table {k}: × {_TERMS[k]}" if k < len(_TERMS) else f"table {k}"


def _draw_panel(ax: Any, table: FloatArray, title: str, cmap: str) -> None:
    reach = (table.shape[0] - 1) / 4.0
    top = float(np.abs(table).max()) or 1.0
    edge = reach + 0.25
    picture = ax.imshow(table, origin="lower", cmap=cmap, vmin=-top, vmax=top, extent=(-edge, edge, -edge, edge))
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("Δx (pixel)")
    ax.figure.colorbar(picture, ax=ax, shrink=0.8)
