"""Pictures: what is drawn, without a display, and what is said without matplotlib."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ztfdb.dao import DAOPhotReader, PsfModel, write_psf
from ztfdb.errors import MissingExtraError
from ztfdb.plot import draw_image, draw_stamp
from ztfdb.plot.image import display_limits, stretched
from ztfdb.records import Stamp

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")
IMAGE = np.random.default_rng(1).normal(100, 10, (40, 50)).astype(np.float32)


@pytest.fixture(autouse=True)
def close_figures() -> Iterator[None]:
    import matplotlib.pyplot as plt

    plt.close("all")  # what other tests have left
    yield
    plt.close("all")


def test_strings_are_percentiles_and_numbers_are_values() -> None:
    data = np.arange(101.0)
    data[3] = np.nan
    low, high = display_limits(data, "1", "99")
    assert (low, high) == tuple(np.nanpercentile(data, [1, 99]))
    assert display_limits(data, 5, "100") == (5, 100)
    assert display_limits(np.full(3, np.nan), "1", "99") == (0, 0)
    for bad in ("high", None, "120"):
        with pytest.raises(ValueError, match=r"percentile"):
            display_limits(data, "1", bad)


def test_stretch_leaves_the_data_alone() -> None:
    before = IMAGE.copy()
    np.testing.assert_allclose(stretched(IMAGE, "sqrt"), np.sqrt(IMAGE - IMAGE.min()))
    assert np.isnan(stretched(IMAGE, "log").min())
    np.testing.assert_array_equal(IMAGE, before)
    with pytest.raises(ValueError, match="stretch 'system'"):
        stretched(IMAGE, "system")


def test_image_is_drawn_upright_within_its_limits() -> None:
    sources = {"x": [10.0], "y": [20.0], "a": [2.0], "b": [1.0], "theta": [0.3]}
    ax = draw_image(IMAGE, sources=sources, markers={"x": [4.0], "y": [5.0]}, colorbar=True)
    picture = ax.images[0]
    assert picture.origin == "lower"
    assert picture.get_clim() == pytest.approx(tuple(np.percentile(IMAGE, [1, 99])))
    assert len(ax.collections) == 2
    assert draw_image(IMAGE, ax) is ax


def test_sky_axes_on_request() -> None:
    from astropy.wcs import WCS

    from ztfdb.simulate import Exposure
    from ztfdb.simulate.header import science_header

    ax = draw_image(IMAGE, wcs=WCS(science_header(Exposure(shape=IMAGE.shape))))
    ax.figure.canvas.draw()
    assert "RA" in ax.coords[0].get_axislabel()


def test_stamp_has_a_white_cross_at_the_exact_position(tmp_path: Path) -> None:
    ax = draw_stamp(Stamp(IMAGE, 111.2, 211.35, 100, 200), savefile=str(tmp_path / "stamp.png"))
    vertical, horizontal = ax.lines
    assert vertical.get_xdata()[0] == pytest.approx(11.2)
    assert horizontal.get_ydata()[0] == pytest.approx(11.35)
    assert {line.get_color() for line in ax.lines} == {"white"}
    assert (tmp_path / "stamp.png").stat().st_size > 1000
    assert len(draw_stamp(Stamp(IMAGE, 1, 1, 0, 0), cross=False).lines) == 0
    assert Stamp(IMAGE, 1, 1, 0, 0).show() is not None


def test_psf_has_a_panel_for_the_base_and_each_table(tmp_path: Path) -> None:
    tables = np.random.default_rng(1).normal(0, 5, (3, 47, 47))
    write_psf(PsfModel("GAUSSIAN", 13.5, 7e3, 1535.5, 1539.5, np.array([1.6, 1.5]), tables, 3, 0), tmp_path / "x.psf")
    figure = DAOPhotReader(tmp_path / "x.psf").show(savefile=str(tmp_path / "psf.png"))
    panels = [ax for ax in figure.axes if ax.images]
    assert [p.get_title() for p in panels] == ["base: gaussian", "table 0: × 1", "table 1: × Δx", "table 2: × Δy"]
    low, high = panels[1].images[0].get_clim()
    assert -low == high > 0
    assert (tmp_path / "psf.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="4 panels"):
        DAOPhotReader(tmp_path / "x.psf").show(axes=panels[:2])


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingExtraError, match=r"pip install 'ztfdb\[plot\]'"):
        Stamp(IMAGE, 1, 1, 0, 0).show()


def test_a_light_curve_of_both_photometries_tells_them_apart() -> None:
    import pandas as pd

    from ztfdb.plot.lightcurve import draw_light_curve

    columns = {"mjd": [1.0, 1.0, 2.0], "mag": [18.0, 18.1, 18.2], "magerr": [0.1] * 3, "filtercode": ["zr"] * 3}
    both = pd.DataFrame({**columns, "phot": pd.Categorical(["aperture", "psfcat", "psfcat"])})
    ax = draw_light_curve(both)
    legend = ax.get_legend()
    assert legend is not None
    assert "PSF catalogue (2)" in [text.get_text() for text in legend.get_texts()]
    dots = [line for line in ax.lines if line.get_marker() == "."]
    assert [np.asarray(line.get_ydata()).tolist() for line in dots] == [[18.1, 18.2]]
