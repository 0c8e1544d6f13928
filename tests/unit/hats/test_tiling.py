from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from astropy_healpix import HEALPix
from hypothesis import given, settings
from hypothesis import strategies as st

from ztfdb.hats.tiling import DEEPEST, WIDEST_MARGIN, Pixel, cells_around, find_margins, margin_order, tile
from ztfdb.sky.cells import HPX_ORDER

LAST_CELL = 12 * 4**DEEPEST - 1


def weight_of(pixel, cells, weights):
    inside = cells >> 2 * (DEEPEST - pixel.norder) == pixel.npix
    return int(weights[inside].sum())


def overlap(pixels):
    by_place = sorted(pixels, key=lambda pixel: pixel.lo)
    return any(one.hi > other.lo for one, other in pairwise(by_place))


@st.composite
def cells_and_weights(draw):
    cells = sorted(draw(st.sets(st.integers(0, LAST_CELL), min_size=1, max_size=60)))
    weights = draw(st.lists(st.integers(1, 50), min_size=len(cells), max_size=len(cells)))
    return np.array(cells, np.int64), np.array(weights, np.int64)


@given(cells_and_weights(), st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_every_cell_lies_in_one_partition_that_is_not_too_heavy(held, threshold):
    cells, weights = held
    pixels = tile(cells, weights, threshold)
    assert not overlap(pixels)
    assert sum(weight_of(pixel, cells, weights) for pixel in pixels) == weights.sum()
    for pixel in pixels:
        n_cell = int((cells >> 2 * (DEEPEST - pixel.norder) == pixel.npix).sum())
        assert n_cell
        assert weight_of(pixel, cells, weights) <= threshold or (pixel.norder == DEEPEST and n_cell == 1)


@given(cells_and_weights(), st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_a_partition_is_the_smallest_pixel_that_holds_its_cells(held, threshold):
    cells, weights = held
    for pixel in tile(cells, weights, threshold):
        inside = cells[cells >> 2 * (DEEPEST - pixel.norder) == pixel.npix]
        if pixel.norder < DEEPEST:
            assert len(np.unique(inside >> 2 * (DEEPEST - pixel.norder - 1))) > 1


@given(cells_and_weights(), cells_and_weights(), st.integers(1, 400))
@settings(max_examples=100, deadline=None)
def test_an_earlier_division_stays_but_for_what_outgrew_it(before, added, threshold):
    old = tile(*before, threshold)
    cells = np.concatenate([before[0], added[0]])
    cells, back = np.unique(cells, return_inverse=True)
    weights = np.bincount(back, np.concatenate([before[1], added[1]])).astype(np.int64)
    pixels = tile(cells, weights, threshold, old)
    assert not overlap(pixels)
    assert sum(weight_of(pixel, cells, weights) for pixel in pixels) == weights.sum()
    for pixel in old:
        if weight_of(pixel, cells, weights) <= threshold:
            assert pixel in pixels


def test_no_cells_no_partitions():
    none = np.empty(0, np.int64)
    assert tile(none, none, 10) == []
    assert tile(none, none, 10, [Pixel(3, 5)]) == []


@pytest.mark.parametrize(("arcsec", "order"), [(10.0, 13), (8.0, 14), (60.0, 11), (130.0, 10), (1.0, 17), (0.001, 17)])
def test_cells_of_a_margin_span_it(arcsec, order):
    assert margin_order(arcsec) == order


@pytest.mark.parametrize("arcsec", [-1.0, 0.0, WIDEST_MARGIN * 1.01, np.nan])
def test_a_margin_that_cannot_be_is_refused(arcsec):
    with pytest.raises(ValueError, match="margin"):
        margin_order(arcsec)


@pytest.mark.parametrize(
    "pixel", [Pixel(0, 0), Pixel(0, 7), Pixel(2, 33), Pixel(5, 12 * 4**5 - 1), Pixel(10, 4_000_000)]
)
def test_cells_around_a_pixel_are_those_that_touch_it(pixel):
    order = max(4, pixel.norder + 2)
    healpix = HEALPix(2**order, "nested")
    inside = np.arange(4 ** (order - pixel.norder)) + (pixel.npix << 2 * (order - pixel.norder))
    with np.errstate(invalid="ignore"):  # some cells lack the eighth
        wanted = np.unique(healpix.neighbours(inside))
    wanted = wanted[(wanted >= 0) & ~np.isin(wanted, inside)]
    np.testing.assert_array_equal(cells_around(pixel, order), wanted)


def test_margins_name_the_partition_that_holds_each_cell():
    pixels = [Pixel(1, 0), Pixel(2, 4), Pixel(2, 6), Pixel(1, 2)]
    margins = find_margins(pixels, 100.0)
    shift = 2 * (HPX_ORDER - margins.order)
    assert set(margins.owner.tolist()) == set(range(4))
    for place, pixel in enumerate(pixels):
        cell, margin_of = margins.of(place)
        assert ((cell << shift >= pixel.lo) & (cell << shift < pixel.hi)).all()
        assert place not in margin_of
    assert margins.near({0}) == {1, 2, 3}  # pixel 0 of order 1 touches all the others
    assert list(margins.cell) == sorted(margins.cell)
    pairs = set(zip(margins.margin_of.tolist(), margins.owner.tolist(), strict=True))
    assert margins.sources() == {place: sorted(owner for of, owner in pairs if of == place) for place in range(4)}


def test_a_single_partition_has_no_margin():
    assert find_margins([Pixel(3, 7)], 100.0).sources() == {}
