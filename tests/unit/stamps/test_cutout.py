"""Stamps are centred on the containing pixel, padded with NaN, and keep their sky."""

from __future__ import annotations

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from ztfdb.simulate import Exposure
from ztfdb.simulate.header import science_header
from ztfdb.stamps import cut_stamp, stamp_origin

IMAGE = np.arange(60 * 50, dtype=np.float32).reshape(60, 50)


@given(st.floats(-0.5, 49.49), st.floats(-0.5, 59.49), st.integers(1, 31), st.integers(1, 31))
def test_the_containing_pixel_is_central(x: float, y: float, dx: int, dy: int) -> None:
    stamp = cut_stamp(IMAGE, x, y, dx, dy)
    assert stamp.data.shape == (dy, dx)
    column, row = int(np.floor(x + 0.5)), int(np.floor(y + 0.5))
    assert stamp.data[dy // 2, dx // 2] == IMAGE[row, column]
    assert -0.5 <= stamp.xref - dx // 2 < 0.5 + 1e-9
    assert -0.5 <= stamp.yref - dy // 2 < 0.5 + 1e-9


@pytest.mark.parametrize("fraction", [0.0, 0.2, 0.4999, 0.5, 0.7, 0.999])
def test_size_23_is_always_23(fraction: float) -> None:
    stamp = cut_stamp(IMAGE, 20 + fraction, 30.0)
    assert stamp.shape == (23, 23)
    assert stamp.data[11, 11] == IMAGE[30, 20 + (fraction >= 0.5)]


def test_a_stamp_prints_as_one_line() -> None:
    """Its pixels filled the notebook."""
    assert repr(cut_stamp(IMAGE, 20.5, 30.0, 5, 7)) == "<Stamp of the pixel (20.50, 30.00): 5 x 7 px>"


def test_outside_is_nan_and_masked() -> None:
    mask = np.zeros(IMAGE.shape, dtype=bool)
    mask[0, 1] = True
    stamp = cut_stamp(IMAGE, 1.2, 0.4, 5, 7, mask=mask)
    assert (stamp.x0, stamp.y0) == (-1, -3)
    outside = np.isnan(stamp.data)
    assert outside[:3].all()
    assert outside[:, 0].all()
    assert outside.sum() == 3 * 5 + 4
    np.testing.assert_array_equal(stamp.data[3:, 1:], IMAGE[:4, :4])
    assert stamp.mask is not None
    np.testing.assert_array_equal(stamp.mask[outside], True)
    assert stamp.mask[~outside].sum() == 1
    assert stamp.mask[3, 2]


def test_a_stamp_is_a_copy() -> None:
    stamp = cut_stamp(IMAGE, 20, 20, 5)
    stamp.data[:] = 0
    assert IMAGE[20, 20] == 1020
    assert cut_stamp(IMAGE.astype(np.int16), 0, 0, 3).data.dtype.kind == "f"


def test_its_wcs_is_the_images() -> None:
    wcs = WCS(science_header(Exposure(shape=(60, 50))))
    stamp = cut_stamp(IMAGE, 2.3, 40.6, 9, wcs=wcs)
    np.testing.assert_allclose(
        stamp.wcs.all_pix2world(stamp.xref, stamp.yref, 0), wcs.all_pix2world(2.3, 40.6, 0), rtol=0, atol=1e-12
    )
    assert fits.Header(wcs.to_header())["CRPIX1"] == wcs.wcs.crpix[0]


def test_wrong_places_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="outside the image"):
        cut_stamp(IMAGE, 80, 20)
    with pytest.raises(ValueError, match="outside the image"):
        cut_stamp(IMAGE, 20, -12.6)
    with pytest.raises(ValueError, match="no pixel"):
        cut_stamp(IMAGE, np.nan, 20)
    for size in (0, -3, 2.5):
        with pytest.raises(ValueError, match="whole numbers"):
            stamp_origin(3, 3, size, 3)
    with pytest.raises(ValueError, match="differ in shape"):
        cut_stamp(IMAGE, 20, 20, mask=np.zeros((3, 3), dtype=bool))
