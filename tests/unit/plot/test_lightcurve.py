"""Pictures of light curves: what each kind of epoch looks like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color, to_rgb
from matplotlib.lines import Line2D

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from ztfdb.plot import draw_light_curve  # noqa: E402
from ztfdb.plot.lightcurve import CARETDOWNBASE, FADED, FILTER_COLOURS, FILTER_MARKERS  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.close("all")  # what other tests have left
    yield
    plt.close("all")


@pytest.fixture
def curve() -> pd.DataFrame:
    table = pd.DataFrame(
        {
            "mjd": [59000.0, 59001, 59002, 59003, 59004, 59005],
            "mag": [17.0, 17.2, np.nan, 18.0, 16.9, np.nan],
            "magerr": [0.02, 0.03, np.nan, 0.2, 0.02, np.nan],
            "filtercode": ["zr", "zg", "zr", "zg", "zr", "zi"],
            "kind": ["detection", "detection", "limit", "forced", "detection", "unavailable"],
            "limitmag": [21.0, 20.5, 20.8, 20.4, 21.0, 20.0],
            "good": pd.array([True, True, True, True, False, True], dtype="boolean"),
            "simulated": [False, True, False, False, False, False],
        }
    )
    table.attrs = {"ra": 58.0021, "dec": 35.7412}
    return table


def drawn(ax: Axes, marker: object) -> list[Line2D]:
    return [line for line in ax.lines if line.get_marker() == marker and len(line.get_xdata())]


def test_each_filter_and_kind_has_its_look(curve: pd.DataFrame) -> None:
    ax = draw_light_curve(curve)
    assert ax.yaxis_inverted()
    green, red = FILTER_COLOURS["zg"], FILTER_COLOURS["zr"]
    dots = [line for line in (*drawn(ax, "o"), *drawn(ax, "s")) if line.get_markersize() == 4.5]
    looks = {(line.get_color(), line.get_marker(), line.get_markerfacecolor(), line.get_alpha()): line for line in dots}
    assert set(looks) == {
        (green, "o", green, 1.0),
        (green, "o", "white", 1.0),
        (red, "s", red, 1.0),
        (red, "s", red, FADED),
    }
    np.testing.assert_array_equal(looks[(green, "o", "white", 1.0)].get_ydata(), [18.0])
    (arrow,) = drawn(ax, CARETDOWNBASE)
    assert (arrow.get_xdata().tolist(), arrow.get_ydata().tolist()) == ([59002.0], [20.8])
    assert same_color(arrow.get_color(), red)
    (cross,) = drawn(ax, "x")
    assert cross.get_xdata().tolist() == [59004.0]
    (ring,) = [line for line in drawn(ax, "o") if line.get_markersize() == 9]
    assert ring.get_xdata().tolist() == [59001.0]


def test_the_legend_says_what_is_what(curve: pd.DataFrame) -> None:
    legend = draw_light_curve(curve).get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [
        "g", "r", "i", "detection (3)", "forced (1)", "5σ limit (1)", "flagged (1)", "simulated (1)",
    ]  # fmt: skip
    plain = draw_light_curve(curve[curve["kind"] == "detection"].assign(good=True, simulated=False)).get_legend()
    assert plain is not None
    assert [text.get_text() for text in plain.get_texts()] == ["g", "r", "detection (3)"]


def test_filters_differ_for_every_kind_of_colour_vision() -> None:
    # the least distance of two colours in CIE L*a*b* (here lightness alone, as a grey print has it) and the markers
    grey = [0.2126 * r + 0.7152 * g + 0.0722 * b for r, g, b in map(to_rgb, FILTER_COLOURS.values())]
    assert len(set(FILTER_MARKERS.values())) == len(FILTER_MARKERS) == len(FILTER_COLOURS)
    assert len({round(value, 2) for value in grey}) == 3


@pytest.mark.parametrize("span", [0.001, 1.0, 2000.0])
def test_times_have_no_offset(curve: pd.DataFrame, span: float) -> None:
    ax = draw_light_curve(curve.assign(mjd=59000.0 + np.linspace(0.0, span, len(curve))))
    ax.figure.canvas.draw()
    assert ax.xaxis.get_offset_text().get_text() == ""
    assert all(label.get_text().startswith(("58", "59", "6")) for label in ax.get_xticklabels())


def test_simulated_epochs_are_named(curve: pd.DataFrame) -> None:
    title = draw_light_curve(curve).get_title()
    assert title == "RA 58.00210°, Dec +35.74120°: 6 epochs, 1 of them simulated"
    assert draw_light_curve(curve, title="mine").get_title() == "mine"


def test_bare_columns_and_empty_curves_are_enough(curve: pd.DataFrame) -> None:
    bare = curve[["mjd", "mag", "magerr", "filtercode"]]
    ax = draw_light_curve(bare)
    assert draw_light_curve(bare.iloc[:0], ax) is ax
    empty = draw_light_curve(bare.iloc[:0])
    assert empty.get_title().endswith(": 0 epochs")
    assert [text.get_text() for text in empty.figure.texts] == ["no epoch"] and not len(empty.get_yticks())
    without = draw_light_curve(bare.assign(mag=np.nan))
    assert [text.get_text() for text in without.figure.texts] == ["no epoch has a magnitude or a limit"]
    with pytest.raises(ValueError, match="no column mjd"):
        draw_light_curve(bare.drop(columns="mjd"))
