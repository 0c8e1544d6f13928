"""Matches with reference catalogues against astropy, on both engines."""

from __future__ import annotations

import logging

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord, search_around_sky
from astropy.time import Time
from sqlalchemy import text

from tests.support.reference import hold, make_image, open_sessions, store_image
from ztfdb.derive.crossmatch import crossmatch, remove_matches
from ztfdb.errors import UnknownCatalogueError, UnknownImageError
from ztfdb.ingest.commit import commit_image
from ztfdb.store.catalogues import get_catalogue, held_catalogues
from ztfdb.store.engine import writing
from ztfdb.store.images import delete_image
from ztfdb.store.matches import find_image_match, matches_of_image


@pytest.fixture
def maker(engine_url):
    with open_sessions(engine_url) as made:
        yield made


def stored(maker, image_id, name):
    with maker() as session:
        return matches_of_image(session, image_id, get_catalogue(session, name).catalogue_id)


def sky(n, seed):
    """Positions all over the sky, with a crowd at RA 0 and at both poles, duplicates and ties among them."""
    rng = np.random.default_rng(seed)
    ra, dec = rng.uniform(0, 360, n), np.degrees(np.arcsin(rng.uniform(-1, 1, n)))
    part = n // 5
    ra[:part], dec[:part] = rng.normal(0, 0.05, part) % 360, rng.normal(20, 0.05, part)
    dec[part : 2 * part] = 90 - np.hypot(*rng.normal(0, 0.05, (2, part)))
    dec[2 * part : 3 * part] = -90 + np.hypot(*rng.normal(0, 0.05, (2, part)))
    ra[-50:], dec[-50:] = ra[:50], dec[:50]
    return ra, dec


def neighbours(ra, dec, n, seed):
    """A second catalogue: most of the first within some arcsec, some at the very same place."""
    rng = np.random.default_rng(seed)
    take = rng.integers(0, len(ra), n)
    new_ra = (ra[take] + rng.normal(0, 0.4, n) / 3600 / np.maximum(np.cos(np.radians(dec[take])), 1e-3)) % 360
    new_dec = np.clip(dec[take] + rng.normal(0, 0.4, n) / 3600, -90, 90)
    same = slice(0, n // 20)
    new_ra[same], new_dec[same] = ra[take[same]], dec[take[same]]
    return new_ra, new_dec


def test_all_pairs_are_those_of_search_around_sky_on_both_engines(both_urls):
    ra1, dec1 = sky(100_000, 1)
    ra2, dec2 = neighbours(ra1, dec1, 100_000, 2)
    ids = np.random.default_rng(3).permutation(100_000) + 10**17
    tables = {}
    for engine, url in both_urls.items():
        with open_sessions(url) as maker:
            image_id = store_image(maker, ra1, dec1)
            hold(maker, "ps1", ids, ra2, dec2)
            crossmatch(maker, "ps1", mode="all", radius=1.5)
            tables[engine] = stored(maker, image_id, "ps1")
    one, other = tables.values()
    for name in ("source_id", "rank", "reference_id", "separation"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    i, j, apart, _ = search_around_sky(SkyCoord(ra1, dec1, unit="deg"), SkyCoord(ra2, dec2, unit="deg"), 1.5 * u.arcsec)
    truth = sorted(zip((image_id << 18) + i, ids[j], strict=True))
    assert sorted(zip(one.source_id, one.reference_id, strict=True)) == truth
    by = np.lexsort((ids[j], i))
    mine = np.lexsort((one.reference_id, one.source_id))
    np.testing.assert_allclose(one.separation[mine], apart.arcsec[by], atol=1e-9)
    assert len(one) > 100_000
    # in order of source and rank, and ranks go by separation
    assert np.all(np.diff(one.source_id * 1.0) >= 0)
    inner = np.diff(one.source_id) == 0
    assert np.all(np.diff(one.separation)[inner] >= 0) and np.all(np.diff(one.rank)[inner] == 1)


def test_nearest_is_that_of_match_to_catalog_sky(maker):
    ra1, dec1 = sky(5_000, 4)
    ra2, dec2 = neighbours(ra1, dec1, 20_000, 5)
    image_id = store_image(maker, ra1, dec1)
    hold(maker, "stars", np.arange(20_000), ra2, dec2)
    crossmatch(maker, "stars", mode="nearest", radius=2.0)
    found = stored(maker, image_id, "stars")
    _, apart, _ = SkyCoord(ra1, dec1, unit="deg").match_to_catalog_sky(SkyCoord(ra2, dec2, unit="deg"))
    within = np.flatnonzero(apart.arcsec <= 2.0)
    np.testing.assert_array_equal(found.source_id & (2**18 - 1), within)
    np.testing.assert_allclose(found.separation, apart.arcsec[within], atol=1e-9)
    assert set(found.rank) == {1}


def test_mutual_matches_are_one_to_one(maker):
    image_id = store_image(maker, [10.0, 10.0 + 0.4 / 3600], [0.0, 0.0])
    hold(maker, "ps1", [7], [10.0], [0.0])
    crossmatch(maker, "ps1", mode="nearest")
    assert len(stored(maker, image_id, "ps1")) == 2
    crossmatch(maker, "ps1", mode="mutual")
    found = stored(maker, image_id, "ps1")
    assert found.source_id.tolist() == [image_id << 18] and found.reference_id.tolist() == [7]


def test_a_tie_goes_to_the_smaller_id(maker):
    image_id = store_image(maker, [10.0], [0.0])
    hold(maker, "ps1", [9, 4, 6], [10.0] * 3, [0.0001] * 3)
    crossmatch(maker, "ps1")
    assert stored(maker, image_id, "ps1").reference_id.tolist() == [4]
    crossmatch(maker, "ps1", mode="all")
    assert stored(maker, image_id, "ps1").reference_id.tolist() == [4, 6, 9]


def test_proper_motion_is_applied_to_the_epoch_of_the_image(maker):
    mjd = 60676.0
    years = Time(mjd, format="mjd").jyear - 2016.0
    rows = SkyCoord(
        [269.45, 50.0] * u.deg, [4.69, 60.0] * u.deg,
        pm_ra_cosdec=[-801.551, 500.0] * u.mas / u.yr, pm_dec=[10362.394, 0.0] * u.mas / u.yr,
        distance=[2, 20] * u.pc, obstime=Time(2016.0, format="jyear"),
    )  # fmt: skip
    there = rows.apply_space_motion(new_obstime=Time(mjd, format="mjd"))
    image_id = store_image(maker, there.ra.deg, there.dec.deg, mjd_mid=mjd)
    columns = {
        "epoch": np.array([2016.0, 2016.0]),
        "pmra": np.array([-801.551, 500.0]),
        "pmdec": np.array([10362.394, 0.0]),
    }
    hold(maker, "gaia", [11, 12], [269.45, 50.0], [4.69, 60.0], **columns)
    crossmatch(maker, "gaia", radius=1.0)
    found = stored(maker, image_id, "gaia")
    assert years > 8
    assert found.reference_id.tolist() == [11, 12]
    assert found.separation.max() < 1e-3


def test_rows_without_proper_motion_stay_where_they_are(maker):
    nan = np.array([np.nan, np.nan])
    image_id = store_image(maker, [50.0, 60.0], [10.0, 10.0])
    motion = {"epoch": np.array([2016.0, np.nan]), "pmra": nan, "pmdec": nan}
    hold(maker, "gaia", [1, 2], [50.0, 60.0], [10.0, 10.0], **motion)
    crossmatch(maker, "gaia")
    assert stored(maker, image_id, "gaia").separation.tolist() == [0.0, 0.0]


def test_only_images_not_yet_matched_are_matched(maker):
    first = store_image(maker, [10.0], [0.0])
    hold(maker, "ps1", [1], [10.0], [0.0])
    assert [one.image_id for one in crossmatch(maker, "ps1").images] == [first]
    report = crossmatch(maker, "ps1")
    assert not report.images and report.n_skipped == 1
    assert [one.image_id for one in crossmatch(maker, "ps1", again=True).images] == [first]
    assert [one.image_id for one in crossmatch(maker, "ps1", radius=2.0).images] == [first]


def test_new_images_are_matched_as_they_are_ingested(maker):
    hold(maker, "ps1", [1], [10.0], [0.0])
    hold(maker, "mine", [5], [10.0], [0.0])
    image_id = store_image(maker, [10.0], [0.0])
    assert stored(maker, image_id, "ps1").reference_id.tolist() == [1]
    assert stored(maker, image_id, "mine").reference_id.tolist() == [5]
    assert not crossmatch(maker, "ps1").images


def test_new_rows_near_an_image_make_it_unmatched_again_and_rows_elsewhere_do_not(maker):
    hold(maker, "ps1", [1], [10.0], [0.0])
    near = store_image(maker, [10.0, 10.01], [0.0, 0.0])
    far = store_image(maker, [200.0], [40.0], expid=136243180)
    hold(maker, "ps1", [2], [10.01], [0.0])
    assert [one.image_id for one in crossmatch(maker, "ps1").images] == [near]
    assert stored(maker, near, "ps1").reference_id.tolist() == [1, 2]
    assert len(stored(maker, far, "ps1")) == 0


def test_a_catalogue_of_another_name_has_its_own_rows(maker):
    hold(maker, "a", [1], [10.0], [0.0])
    hold(maker, "b", [1], [10.0], [0.0001])
    image_id = store_image(maker, [10.0], [0.0])
    assert stored(maker, image_id, "a").separation.tolist() == [0.0]
    assert stored(maker, image_id, "b").separation[0] == pytest.approx(0.36)


def test_matches_go_with_their_image_and_with_new_pixels(maker):
    hold(maker, "ps1", [1], [10.0], [0.0])
    image_id = store_image(maker, [10.0], [0.0])
    newer = make_image([20.0], [0.0], procvsn=2)
    newer.files[0].__dict__["sha256"] = "f" * 64
    commit_image(maker, newer)
    assert len(stored(maker, image_id, "ps1")) == 0
    again = make_image([10.0], [0.0], procvsn=3)
    again.files[0].__dict__["sha256"] = "e" * 64
    commit_image(maker, again)
    assert len(stored(maker, image_id, "ps1")) == 1
    with writing(maker) as session:
        delete_image(session, image_id)
    with maker() as session:
        assert session.execute(text("select count(*) from source_match")).scalar_one() == 0
        assert session.execute(text("select count(*) from image_match")).scalar_one() == 0


def test_matches_can_be_removed(maker):
    hold(maker, "ps1", [1], [10.0], [0.0])
    image_id = store_image(maker, [10.0], [0.0])
    assert remove_matches(maker, "ps1", image_ids=[image_id]) == 1
    assert len(stored(maker, image_id, "ps1")) == 0
    assert len(crossmatch(maker, "ps1").images) == 1


@pytest.mark.parametrize(("n_star", "lines"), [(1, 0), (9, 0), (12, 1)])
def test_a_catalogue_of_few_stars_does_not_judge_the_astrometry(maker, caplog, n_star, lines):
    ra, dec = 10.0 + np.arange(n_star) * 0.01, np.zeros(n_star)
    hold(maker, "mine", np.arange(n_star), ra, dec)
    with caplog.at_level(logging.WARNING):
        image_id = store_image(maker, ra, dec + 0.4 / 3600)
    assert sum("deserves a look" in one.message for one in caplog.records) == lines
    with maker() as session:
        assert find_image_match(session, image_id, get_catalogue(session, "mine").catalogue_id).warning == 1


def test_astrometric_offsets_are_kept_with_a_warning(maker):
    rng = np.random.default_rng(6)
    ra, dec = rng.uniform(10, 10.5, 500), rng.uniform(60, 60.5, 500)
    hold(maker, "ps1", np.arange(500), ra, dec)
    east, north = rng.normal(0.3, 0.1, 500), rng.normal(-0.2, 0.05, 500)
    image_id = store_image(maker, ra + east / 3600 / np.cos(np.radians(dec)), dec + north / 3600)
    with maker() as session:
        found = find_image_match(session, image_id, get_catalogue(session, "ps1").catalogue_id)
    assert found.n_astrometry > 450
    # the median of n Gaussian values has a standard error of 1.25 sigma / sqrt(n)
    assert found.ra_offset == pytest.approx(0.3, abs=4 * 1.25 * 0.1 / 500**0.5)
    assert found.dec_offset == pytest.approx(-0.2, abs=4 * 1.25 * 0.05 / 500**0.5)
    assert found.ra_rms == pytest.approx(0.1, rel=0.15) and found.dec_rms == pytest.approx(0.05, rel=0.15)
    assert found.warning == 1


def test_sql_users_see_names_and_positions(maker):
    hold(maker, "ps1", [1], [10.0], [0.0])
    image_id = store_image(maker, [10.0], [0.0])
    with maker() as session:
        row = session.execute(text("select image_id, catalogue, rank, reference_id, flux from matched_source")).one()
    assert tuple(row) == (image_id, "ps1", 1, 1, 1e4)


def test_empty_images_and_empty_skies_match_nothing(maker):
    hold(maker, "ps1", [1], [10.0], [0.0])
    empty = store_image(maker, [], [])
    lonely = store_image(maker, [200.0], [40.0], expid=136243180)
    for image_id in (empty, lonely):
        assert len(stored(maker, image_id, "ps1")) == 0
    assert not crossmatch(maker, "ps1").images


def test_wrong_names_and_radii_are_refused(maker):
    with pytest.raises(UnknownCatalogueError, match=r"\(it has: none\); `ztfdb catalog import` adds one"):
        crossmatch(maker, "ps1")
    hold(maker, "ps1", [1], [10.0], [0.0])
    with pytest.raises(UnknownImageError, match="no image 5 "):
        crossmatch(maker, "ps1", image_ids=[5])
    with pytest.raises(ValueError, match="between 0 and 60"):
        crossmatch(maker, "ps1", radius=61)
    with pytest.raises(ValueError, match="expected one of nearest"):
        crossmatch(maker, "ps1", mode="best")
    with maker() as session:
        assert [info.match_radius for info in held_catalogues(session)] == [1.0]


def test_images_without_a_match_are_one_line(maker, caplog):
    caplog.set_level(logging.WARNING, logger="ztfdb")
    hold(maker, "ps1", [7], [10.0], [10.0])
    ids = [store_image(maker, [50.0, 50.01], [20.0, 20.0], seed=k, expid=1000 + k) for k in range(5)]
    assert not caplog.records
    report = crossmatch(maker, "ps1", again=True)
    (record,) = caplog.records
    assert record.message == "no source of some images has a match" and record.catalogue == "ps1"
    assert (record.n_image, record.of, record.first_image_id) == (5, 5, min(ids))
    assert [one.n_matched for one in report.images] == [0] * 5
