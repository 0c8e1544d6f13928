"""The page of a calibration by shared stars: each panel shows what its residuals have."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from ztfdb.plot import draw_self_calibration  # noqa: E402

N = 4_000


@pytest.fixture(autouse=True)
def close_figures():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


def residuals() -> pd.DataFrame:
    """Residuals of twenty images that grow by 10 mmag per airmass, and a variable star that must not show."""
    rng = np.random.default_rng(2)
    airmass = rng.uniform(1.0, 2.5, 20)
    image = rng.integers(0, 20, N)
    frame = pd.DataFrame({
        "image_id": 1_000 + image, "mjd": 59_000.0 + image, "airmass": airmass[image],
        "u": rng.uniform(-1, 1, N), "v": rng.uniform(-1, 1, N), "mag": rng.uniform(14, 19, N),
        "color": rng.normal(0.6, 0.3, N), "error": np.full(N, 0.004), "constant": np.arange(N) % 20 > 0,
    })  # fmt: skip
    frame["residual"] = 0.01 * (frame.airmass - 1.75) + rng.normal(0, 0.004, N)
    frame.loc[~frame.constant, "residual"] = 2.0
    return frame


def medians(ax):
    """The medians that are drawn."""
    (bars,) = ax.containers
    return bars[0].get_xdata(orig=False), bars[0].get_ydata(orig=False)


def test_a_trend_with_airmass_is_seen_against_airmass_alone():
    panels = draw_self_calibration(residuals())
    labels = [ax.get_xlabel() for ax in panels]
    assert labels == ["magnitude", "colour (mag)", "MJD", "airmass", "u", "scatter (mag)"]
    slope = np.polyfit(*medians(panels[3]), 1)[0]
    assert slope == pytest.approx(0.01, abs=0.002)  # of 20 airmasses, 190 stars each
    assert abs(np.polyfit(*medians(panels[0]), 1)[0]) < 0.001
    assert panels[3].get_ylim()[1] < 0.1  # the variable star is left out


def test_headers_without_airmass_leave_its_panel_empty():
    frame = residuals()
    frame["airmass"] = np.nan
    panels = draw_self_calibration(frame)
    assert not panels[3].containers and panels[0].containers
    with pytest.raises(ValueError, match="airmass"):
        draw_self_calibration(frame.drop(columns="airmass"))


def test_a_page_without_stars_says_how_to_get_some():
    panels = draw_self_calibration(residuals().iloc[:0])
    assert "ztfdb calibrate --method self" in panels[0].figure.texts[-1].get_text()
    assert not any(len(panel.get_yticks()) for panel in panels)
