"""Pictures of checks against PSF catalogues."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

from ztfdb.plot import draw_difference_map, draw_differences, draw_psf_check  # noqa: E402


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.close("all")  # what other tests have left
    yield
    plt.close("all")


def stars(n: int = 50) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame({
        "x": rng.uniform(0, 3071, n), "y": rng.uniform(0, 3079, n), "mag": rng.uniform(15, 18, n),
        "difference": rng.normal(0.02, 0.01, n), "error": np.full(n, 0.01), "kept": np.arange(n) % 10 > 0,
    })  # fmt: skip
    frame.attrs.update(image_id=17, filtercode="zr", aperture=4, median=0.02, median_err=0.001, scatter=0.01)
    frame.attrs.update(slope=0.003, slope_err=0.001, x_gradient=None, y_gradient=None, failure=None)
    return frame


def test_a_check_has_four_panels_and_its_numbers_above() -> None:
    panels = draw_psf_check(stars())
    assert [ax.get_xlabel() for ax in panels] == ["magnitude", "x (pixels)", "y (pixels)", "x (pixels)"]
    title = panels[0].figure.get_suptitle()
    assert title.startswith("image 17 zr, aperture 4,  median +0.0200 ± 0.0010,  scatter 0.0100 mag,  +0.0030")
    assert "along x" not in title
    labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
    assert sorted(labels) == ["45 stars", "5 left out"]


def test_a_check_without_stars_says_why() -> None:
    empty = stars(0)
    empty.attrs.update(median=None, slope=None, failure="0 stars are too few, 20 are needed")
    panels = draw_psf_check(empty)
    assert "no star" in panels[0].figure.texts[-1].get_text()
    assert not any(len(panel.get_xticks()) for panel in panels)
    assert "too few" in panels[0].figure.get_suptitle()


def test_the_axes_given_are_drawn_on() -> None:
    ax = matplotlib.pyplot.figure().add_subplot()
    assert draw_differences(stars(), "y", ax) is ax
    assert draw_difference_map(stars(1)).get_ylabel() == "y (pixels)"


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ValueError, match="no column error"):
        draw_psf_check(stars().drop(columns="error"))
