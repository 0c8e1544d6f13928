"""Pictures of light curves: what each kind of epoch looks like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import same_color

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from ztfdb.plot import draw_light_curve  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    yield
    import matplotlib.pyplot as plt

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


def test_each_filter_and_kind_has_its_look(curve: pd.DataFrame) -> None:
    ax = draw_light_curve(curve)
    assert ax.yaxis_inverted()
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    looks = {(line.get_color(), line.get_markerfacecolor(), line.get_alpha()): line for line in dots}
    assert set(looks) == {
        ("tab:green", "tab:green", 1.0),
        ("tab:green", "white", 1.0),
        ("tab:red", "tab:red", 1.0),
        ("tab:red", "tab:red", 0.3),
    }
    np.testing.assert_array_equal(looks[("tab:green", "white", 1.0)].get_ydata(), [18.0])
    triangles = [c for c in ax.collections if len(c.get_offsets()) and c.get_paths()[0].vertices.shape[0] == 4]
    assert len(triangles) == 1
    np.testing.assert_allclose(triangles[0].get_offsets(), [[59002.0, 20.8]])
    assert same_color(triangles[0].get_edgecolor()[0], "tab:red")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["g", "r"]


def test_simulated_epochs_are_named(curve: pd.DataFrame) -> None:
    title = draw_light_curve(curve).get_title()
    assert title == "RA 58.00210°, Dec +35.74120°: 6 epochs, 1 of them simulated"
    assert draw_light_curve(curve, title="mine").get_title() == "mine"


def test_bare_columns_and_empty_curves_are_enough(curve: pd.DataFrame) -> None:
    bare = curve[["mjd", "mag", "magerr", "filtercode"]]
    ax = draw_light_curve(bare)
    assert draw_light_curve(bare.iloc[:0], ax) is ax
    assert draw_light_curve(bare.iloc[:0]).get_title().endswith(": 0 epochs")
    with pytest.raises(ValueError, match="no column mjd"):
        draw_light_curve(bare.drop(columns="mjd"))
