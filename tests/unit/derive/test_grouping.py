"""Joining detections: against the rules written out naively, and on skies whose truth is known."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.archives import Plan
from tests.support.skies import troubled_sky
from ztfdb.codes import MemberKind
from ztfdb.derive.grouping import ATTACH, LINK, Detections, group_detections, linked
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.sky.angles import separation, unit_vector
from ztfdb.sky.cells import sky_to_cell


def detections(ra, dec, *, image=None, snr=None, clean=True):
    n = len(ra)
    image = np.arange(n) if image is None else np.asarray(image)
    number = np.array([np.count_nonzero(image[:k] == image[k]) for k in range(n)], np.int64)
    return Detections(
        (image.astype(np.int64) << SOURCE_ID_SHIFT) + number,
        image.astype(np.int64),
        sky_to_cell(ra, dec),
        np.asarray(ra, float),
        np.asarray(dec, float),
        np.full(n, 20.0) if snr is None else np.asarray(snr, float),
        image.astype(float),
        np.broadcast_to(clean, n).copy(),
    )


def offsets(ra, dec, east, north):
    """Positions at offsets (arcsec) from one."""
    place = SkyCoord(ra, dec, unit="deg").spherical_offsets_by(
        np.asarray(east) * u.arcsec, np.asarray(north) * u.arcsec
    )
    return place.ra.deg, place.dec.deg


def membership(found, grouped):
    """source_id -> (object_id, kind), whatever the order of rows."""
    ids = grouped.objects["object_id"][grouped.owner]
    members = zip(ids.tolist(), grouped.kind.tolist(), strict=True)
    return dict(sorted(zip(found.source_id[grouped.row].tolist(), members, strict=True)))


def from_sky(seed, n_epoch=14, n_star=24, centre=(0.0001, 20.0)):
    found = []
    for one in troubled_sky(Plan(1, 1, centre=centre), n_epoch, n_star=n_star, seed=seed):
        if one.image["kind"] != "sci":
            continue
        snr = one.flux / one.flux_err
        clean = (snr >= 7) & (one.flags == 0) & (one.mask_bits == 0)
        image = np.full(len(one.ra), one.image_id)
        found.append(detections(one.ra, one.dec, image=image, snr=snr, clean=clean))
    return Detections(*(np.concatenate([getattr(f, name) for f in found]) for name in vars(found[0])))


@pytest.mark.parametrize("centre", [(150.0, 20.0), (0.0, 0.0), (10.0, 90.0), (200.0, -89.9999)])
def test_links_are_those_of_every_pair(centre):
    rng = np.random.default_rng(5)
    for spread in (0.3, 1.0, 4.0):
        east, north = rng.normal(0, spread, (2, 150))
        ra, dec = offsets(*centre, east, north)
        label = linked(sky_to_cell(ra, dec), np.ascontiguousarray(unit_vector(ra, dec).T))
        near = SkyCoord(ra, dec, unit="deg")
        truth = np.arange(150)
        for i, j in combinations(range(150), 2):
            if separation(ra[i], dec[i], ra[j], dec[j]) <= LINK:
                truth[truth == truth[j]] = truth[i]
        same = label[:, None] == label[None]
        assert np.array_equal(same, truth[:, None] == truth[None])
        assert near[0].separation(near[1]).arcsec == pytest.approx(separation(ra[0], dec[0], ra[1], dec[1]), abs=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_order_of_detections_means_nothing(seed):
    found = from_sky(seed)
    before = group_detections(found)
    shuffled = found.take(np.random.default_rng(seed).permutation(len(found)))
    after = group_detections(shuffled)
    assert membership(found, before) == membership(shuffled, after)
    for name, values in before.objects.items():
        assert np.array_equal(values, after.objects[name])


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_what_the_rules_promise_of_every_sky(seed):
    found = from_sky(seed)
    grouped = group_detections(found)
    objects, row, owner = grouped.objects, grouped.row, grouped.owner
    assert len(np.unique(row)) == len(row)
    assert set(np.flatnonzero(found.clean)) <= set(row.tolist())
    assert (np.diff(objects["object_id"]) > 0).all()
    for k in range(len(objects["object_id"])):
        core = row[(owner == k) & (grouped.kind == MemberKind.LINKED)]
        first = core[np.argmin(found.source_id[core])]
        assert objects["object_id"][k] == found.hpx29[first]
        assert objects["best_snr"][k] <= found.snr[core].max()
        assert objects["crowded"][k] or objects["best_snr"][k] == found.snr[core].max()
        clean = row[(owner == k) & (grouped.kind != MemberKind.ATTACHED)]
        far = separation(found.ra[clean], found.dec[clean], objects["ra"][k], objects["dec"][k])
        assert objects["reach"][k] == far.max()
    attached = np.full(len(found), -1)
    attached[row] = owner
    for k in np.flatnonzero(~found.clean):
        apart = separation(found.ra[k], found.dec[k], objects["ra"], objects["dec"])
        assert attached[k] == (apart.argmin() if apart.size and apart.min() <= ATTACH else -1)
    pairs = list(zip(owner.tolist(), found.image_id[row].tolist(), strict=True))
    assert grouped.conflict.tolist() == [pairs.count(one) > 1 for one in pairs]


def two_stars(apart, *, n_epoch=300, ratio=1.0, seed=1, resolution=0.85):
    """Two stars on nights of varying seeing: when they are not resolved, one detection at their centre of light."""
    rng = np.random.default_rng(seed)
    east, image, star, snr = [], [], [], []
    for night in range(n_epoch):
        seeing = rng.uniform(1.5, 4.0)
        # the fainter pulls the brighter towards it as the images melt into each other
        melt = np.clip(0.3 * (seeing / apart - 0.6), 0.0, 0.5) * ratio / (1 + ratio)
        if apart > resolution * seeing:
            east += [melt * apart, apart * (1 - melt)]
            image, star, snr = [*image, night, night], [*star, 0, 1], [*snr, 40.0, 40.0 * ratio]
        else:
            east.append(apart * ratio / (1 + ratio))
            image, star, snr = [*image, night], [*star, 2], [*snr, 60.0]
    n = len(east)
    ra, dec = offsets(40.0, -20.0, np.array(east) + rng.normal(0, 0.1, n), rng.normal(0, 0.1, n))
    return detections(ra, dec, image=image, snr=np.array(snr) + rng.uniform(0, 1, n)), np.array(star)


@pytest.mark.parametrize("ratio", [1.0, 0.5, 0.2])
@pytest.mark.parametrize("apart", [2.5, 3.0, 3.5, 4.0])
def test_two_stars_stay_two_objects_whatever_the_seeing(apart, ratio):
    found, star = two_stars(apart, ratio=ratio, resolution=max(0.85, 0.35 * apart))
    assert np.count_nonzero(star == 2) > 20
    grouped = group_detections(found)
    assert len(grouped.objects["object_id"]) == 2
    of = np.full(len(found), -1)
    of[grouped.row] = grouped.owner
    for which in (0, 1):
        assert len(set(of[star == which].tolist())) == 1
    assert of[star == 0][0] != of[star == 1][0]
    kind = np.zeros(len(found), int)
    kind[grouped.row] = grouped.kind
    if ratio == 1.0:
        assert (kind[star == 2] == MemberKind.ABSORBED).all()
    assert not grouped.conflict.any()


def test_a_moving_star_is_one_object():
    n = 100
    ra, dec = offsets(120.0, 60.0, np.linspace(0, 12, n), np.linspace(0, -5, n))
    grouped = group_detections(detections(ra, dec))
    assert len(grouped.objects["object_id"]) == 1
    assert len(grouped.row) == n


def test_blends_that_link_with_one_of_two_stars_are_not_taken_for_it():
    """The other star is too far to be linked, so no image has both of them in the chain."""
    rng = np.random.default_rng(9)
    n = 100
    east = np.concatenate(
        [rng.normal(0, 0.08, n), rng.normal(3.5, 0.08, n), rng.uniform(1.7, 2.0, n), [2.35, 2.7, 3.1]]
    )
    image = np.concatenate([np.arange(n), np.arange(n), n + np.arange(n), [300, 301, 302]])
    ra, dec = offsets(120.0, 60.0, east, rng.normal(0, 0.05, len(east)))
    snr = np.where(image >= n, 60.0, 40.0) + rng.uniform(0, 1, len(east))
    grouped = group_detections(detections(ra, dec, image=image, snr=snr))
    assert len(grouped.objects["object_id"]) == 2
    near = separation(
        *offsets(120.0, 60.0, [0.0, 3.5], [0.0, 0.0]), grouped.objects["ra"][:, None], grouped.objects["dec"][:, None]
    )
    assert (near.min(axis=1) <= LINK).all()


def test_a_chain_of_two_stars_is_told_apart():
    """Detections all along the line between two stars, as when they melt into each other."""
    rng = np.random.default_rng(3)
    n = 200
    between = rng.uniform(0, 2.5, 60)
    east = np.concatenate([rng.normal(0, 0.1, n), rng.normal(2.5, 0.1, n), between])
    image = np.concatenate([np.arange(n), np.arange(n), n + np.arange(60)])
    ra, dec = offsets(120.0, 60.0, east, rng.normal(0, 0.1, len(east)))
    grouped = group_detections(detections(ra, dec, image=image, snr=rng.uniform(20, 30, len(east))))
    assert len(grouped.objects["object_id"]) == 2
    owner = np.empty(len(east), int)
    owner[grouped.row] = grouped.owner
    assert len(set(owner[:n].tolist())) == len(set(owner[n : 2 * n].tolist())) == 1
    assert owner[0] != owner[n]


def test_a_star_that_fell_apart_on_few_images_stays_whole():
    rng = np.random.default_rng(4)
    n = 300
    east = np.concatenate([rng.normal(0, 0.08, n), np.full(5, -0.9), np.full(5, 0.9)])
    image = np.concatenate([np.arange(n), n + np.arange(5), n + np.arange(5)])
    ra, dec = offsets(10.0, 0.0, east, rng.normal(0, 0.05, len(east)))
    grouped = group_detections(detections(ra, dec, image=image))
    assert len(grouped.objects["object_id"]) == 1
    kind = np.empty(len(east), int)
    kind[grouped.row] = grouped.kind
    assert (kind[:n] == MemberKind.LINKED).all()
    assert (kind[n:] == MemberKind.ABSORBED).all()
    conflict = np.zeros(len(east), bool)
    conflict[grouped.row] = grouped.conflict
    assert not conflict[:n].any() and conflict[n:].all()


def test_of_two_objects_as_near_the_smaller_id_gets_the_faint_detection():
    ra, dec = np.array([10.0, 10.0, 10.0]), np.array([-1.0, 1.0, 0.0]) / 3600.0
    grouped = group_detections(detections(ra, dec, image=[1, 1, 2], clean=np.array([True, True, False])))
    assert len(grouped.objects["object_id"]) == 2
    assert grouped.owner[grouped.row == 2].tolist() == [0]


@pytest.mark.parametrize("clean", [True, False])
def test_nothing_and_one(clean):
    empty = np.empty(0)
    assert len(group_detections(detections(empty, empty)).row) == 0
    one = group_detections(detections([10.0], [20.0], clean=clean))
    assert len(one.objects["object_id"]) == len(one.row) == int(clean)
