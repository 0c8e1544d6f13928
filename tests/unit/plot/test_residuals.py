"""Pictures of many stars: what is drawn in place of points that would cover each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from matplotlib.collections import PathCollection, PolyCollection  # noqa: E402

from ztfdb.plot import draw_calibration  # noqa: E402
from ztfdb.plot.residuals import BINS, FEW  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.close("all")  # what other tests have left
    yield
    plt.close("all")


def stars(n: int) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    frame = pd.DataFrame({
        "x": rng.uniform(0, 3071, n), "y": rng.uniform(0, 3079, n), "mag": rng.uniform(15, 20, n),
        "color": rng.normal(0.6, 0.3, n), "error": np.full(n, 0.02), "kept": np.arange(n) % 50 > 0,
    })  # fmt: skip
    frame["residual"] = rng.normal(0.0, 0.02, n)
    frame.loc[1, "residual"] = 3.0  # one star must not press all others into a line
    return frame


def test_of_five_thousand_stars_medians_are_drawn_over_the_points() -> None:
    frame = stars(5000)
    panels = draw_calibration(frame)
    kept = frame[frame["kept"]].sort_values("mag", kind="stable")
    for ax in panels[:2]:
        (bars,) = ax.containers
        assert len(bars[0].get_xdata()) == BINS
    expected = [np.median(part) for part in np.array_split(kept["residual"].to_numpy(), BINS)]
    np.testing.assert_allclose(panels[0].containers[0][0].get_ydata(), expected)
    assert 0.05 < panels[0].get_ylim()[1] < 0.2
    labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert sorted(labels) == ["100 left out", "4,900 stars", "median, 68 % of the stars"]
    assert any(isinstance(one, PolyCollection) for one in panels[2].collections)


def test_of_few_stars_each_has_its_error() -> None:
    frame = stars(FEW)
    panels = draw_calibration(frame)
    (bars,) = panels[0].containers
    assert len(bars[0].get_xdata()) == frame["kept"].sum()
    assert panels[0].get_ylim()[1] > 3.0
    assert any(isinstance(one, PathCollection) for one in panels[2].collections)
