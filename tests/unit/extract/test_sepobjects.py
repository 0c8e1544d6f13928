"""What ztfdb hands to `sep` and gets back is `sep`'s own answer."""

from __future__ import annotations

import numpy as np
import pytest
import sep

from ztfdb.extract.sepobjects import ellipse_mask, sep_background, sep_objects
from ztfdb.simulate.profile import Profile, paint_stars

RNG = np.random.default_rng(6)
LIGHT = paint_stars((300, 300), *RNG.uniform(5, 295, (2, 80)), 10 ** RNG.uniform(2.5, 4.5, 80), Profile.gaussian(2.2))
DATA = (LIGHT + 100 + RNG.normal(0, 4, LIGHT.shape)).astype(np.float32)


def test_background_is_seps_with_nan_left_out() -> None:
    bad = RNG.uniform(size=DATA.shape) < 0.05
    holes = DATA.copy()
    holes[bad] = np.nan
    ours = sep_background(holes)
    theirs = sep.Background(np.where(bad, np.float32(0), DATA), mask=bad)
    np.testing.assert_array_equal(ours.back(), theirs.back())
    assert ours.globalrms == theirs.globalrms
    np.testing.assert_array_equal(sep_background(DATA, bad).back(), theirs.back())
    with pytest.raises(ValueError, match="no pixel"):
        sep_background(np.full((80, 80), np.nan, dtype=np.float32))


def test_objects_are_seps_columns_in_its_order() -> None:
    data = DATA - 100
    ours = sep_objects(data, 3.0, err=4.0)
    theirs = sep.extract(np.ascontiguousarray(data), 3.0, err=4.0)
    assert list(ours) == list(theirs.dtype.names)
    for name, column in ours.items():
        np.testing.assert_array_equal(column, theirs[name])
    assert len(sep_objects(data, 1e6, err=None)["x"]) == 0


def test_a_full_pixel_buffer_is_made_larger_and_put_back() -> None:
    before = sep.get_extract_pixstack()
    expected = len(sep_objects(DATA - 100, 2.0, err=4.0)["x"])
    sep.set_extract_pixstack(200)
    try:
        assert len(sep_objects(DATA - 100, 2.0, err=4.0)["x"]) == expected
        assert sep.get_extract_pixstack() == 200
    finally:
        sep.set_extract_pixstack(before)


def test_a_wrong_option_is_refused() -> None:
    with pytest.raises((ValueError, TypeError)):
        sep_objects(DATA - 100, 2.0, err=4.0, filter_type="none such")


def test_ellipse_mask_covers_the_ellipse() -> None:
    one = [np.array([v]) for v in (20.0, 30.0, 3.0, 1.5, 0.5)]
    mask = ellipse_mask((60, 50), *one, r=2.0)
    yy, xx = np.mgrid[:60, :50]
    u = (xx - 20) * np.cos(0.5) + (yy - 30) * np.sin(0.5)
    v = -(xx - 20) * np.sin(0.5) + (yy - 30) * np.cos(0.5)
    expected = (u / 6) ** 2 + (v / 3) ** 2
    assert mask[expected < 0.95].all()
    assert not mask[expected > 1.05].any()
    assert not ellipse_mask((60, 50), *(np.array([np.nan]) for _ in range(5)), r=2.0).any()
    assert not ellipse_mask((60, 50), *(np.empty(0) for _ in range(5)), r=2.0).any()
