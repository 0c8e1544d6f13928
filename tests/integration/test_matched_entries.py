"""The README's table of matched entries, from the archive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.support.campaign import calibrated, hold_stars, observe
from tests.support.reference import hold, make_image, open_sessions, store_image
from ztfdb.derive.crossmatch import crossmatch
from ztfdb.errors import UnknownCatalogueError, UnknownImageError
from ztfdb.ingest.commit import commit_image
from ztfdb.query.matched import matched_entries
from ztfdb.sky.angles import separation
from ztfdb.store.backends import backend

README = [
    "ps1cat_index", "sources_index", "angsep_arcsec", "ps1cat_ra", "sources_ra", "ps1cat_dec", "sources_dec",
    "ps1cat_x", "sources_x", "ps1cat_y", "sources_y", "ps1cat_mag", "sources_mag",
]  # fmt: skip
KEYS = ["ra", "dec", "x", "y", "mag"]


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return observe(tmp_path_factory.mktemp("image"), 1)


@pytest.fixture
def maker(engine_url):
    with open_sessions(engine_url) as made:
        yield made


def test_columns_and_order_are_those_of_the_readme(maker, one):
    hold_stars(maker, [one])
    calibrated(maker, [one])
    image_id = one.measured.info.image_id
    with maker() as session:
        table = matched_entries(session, KEYS, "sources", "ps1cat", image_id=image_id)
        fitted = matched_entries(session, KEYS, "sources", "ps1", image_id=image_id, calibration="ps1")
        several = matched_entries(session, KEYS, "sources", "ps1cat", image_id=[image_id])
    assert list(table.columns) == README and len(table) > 150
    assert table.ps1cat_index.is_monotonic_increasing and str(table.ps1cat_index.dtype) == "Int64"
    assert table.angsep_arcsec.max() <= 1.0
    assert np.median(np.hypot(table.ps1cat_x - table.sources_x, table.ps1cat_y - table.sources_y)) < 0.2
    bright = table[table.ps1cat_mag < 17]
    color_term = one.color_term  # without a colour term the difference is the term times the colour
    assert abs(np.median(bright.ps1cat_mag - bright.sources_mag) - color_term * 0.65) < 0.05
    assert list(several.columns) == ["image_id", *README] and set(several.image_id) == {image_id}
    assert next(iter(fitted.columns)) == "ps1_index" and fitted.attrs["calibration"] == "ps1, aperture 4"
    assert abs(np.median(fitted.sources_mag - table.sources_mag)) < 0.03


def test_the_other_way_round_the_names_change_places(maker, one):
    hold_stars(maker, [one])
    commit_image(maker, one.measured)
    with maker() as session:
        table = matched_entries(session, ["ra"], "ps1cat", "sources", image_id=one.measured.info.image_id)
    assert list(table.columns) == ["sources_index", "ps1cat_index", "angsep_arcsec", "sources_ra", "ps1cat_ra"]


def test_several_images_and_images_not_matched_yet(maker):
    first = store_image(maker, [10.0, 10.1], [5.0, 5.0])
    second = store_image(maker, [10.1, 10.0], [5.0, 5.0], expid=136243180)
    hold(maker, "mine", [5, 3], [10.0, 10.1], [5.0, 5.0], mag=np.array([15.0, 16.0]))
    with maker() as session:
        before = matched_entries(session, ["ra", "mag"], "sources", "mine", image_id=[second, first])
    crossmatch(maker, "mine")
    with maker() as session:
        after = matched_entries(session, ["ra", "mag"], "sources", "mine", image_id=[second, first])
    assert before.equals(after)
    assert after.image_id.tolist() == [first, first, second, second]
    assert after.mine_index.tolist() == [3, 5, 3, 5] and after.mine_mag.tolist() == [16.0, 15.0, 16.0, 15.0]


def test_a_region_holds_the_sources_inside_it_of_every_image_there(maker):
    near = [store_image(maker, [10.0, 10.1], [5.0, 5.0], expid=136243180 + k) for k in range(2)]
    store_image(maker, [200.0], [40.0], expid=136243189)
    hold(maker, "mine", [5, 3, 9], [10.0, 10.1, 200.0], [5.0, 5.0, 40.0])
    with maker() as session:
        table = matched_entries(session, ["ra"], "sources", "mine", region=(10.0, 5.0, 60.0))
        with pytest.raises(ValueError, match="either image_id or region"):
            matched_entries(session, ["ra"], "sources", "mine")
    assert table.image_id.tolist() == near and table.mine_index.tolist() == [5, 5]
    assert len(crossmatch(maker, "mine", region=(10.0, 5.0, 60.0), again=True).images) == 2


def counting(read, counts):
    def counted(self, *given, **more):
        found = read(self, *given, **more)
        counts.append(len(next(iter(found.values()))))
        return found

    return counted


@pytest.mark.parametrize("how", [{}, {"mode": "nearest"}, {"mode": "mutual"}, {"mode": "all", "radius": 20.0}])
@pytest.mark.parametrize("stored", [True, False])
def test_a_region_reads_its_own_sources_and_matches_them_as_those_of_whole_images(maker, monkeypatch, how, stored):
    rng = np.random.default_rng(8)  # as crowded as the matches are wide, so that sources compete for a star
    places = rng.uniform(-0.06, 0.06, (2, 400)) + np.array([[10.0], [5.0]])
    images = [
        store_image(maker, *(places + rng.normal(0.0, 2e-3, places.shape)), expid=136243180 + k) for k in range(3)
    ]
    hold(maker, "mine", np.arange(400), *places)
    if stored:
        crossmatch(maker, "mine", mode="mutual", radius=15.0)
    region, how = (10.01, 5.0, 45.0), {"radius": 15.0, **how} if how or not stored else how
    with maker() as session:
        whole = matched_entries(session, ["ra", "dec"], "sources", "mine", image_id=images, **how)
        inside = separation(*region[:2], whole.sources_ra, whole.sources_dec) <= region[2]
        n_read, kind = [], type(backend(session))
        for name in ("read_bulk", "read_columns"):
            monkeypatch.setattr(kind, name, counting(getattr(kind, name), n_read))
        own = matched_entries(session, ["ra", "dec"], "sources", "mine", region=region, **how)
        assert matched_entries(session, ["ra"], "sources", "mine", region=(200.0, 5.0, 45.0)).empty
        with pytest.raises(ValueError, match="radius"):
            matched_entries(session, ["ra"], "sources", "mine", region=(10.0, 5.0, -1.0))
    assert 10 < len(own) < 0.3 * len(whole) and set(own.image_id) == set(images)
    assert own.equals(whole[inside].reset_index(drop=True))
    assert max(n_read) < 0.5 * 3 * 400


def test_all_pairs_within_a_radius_on_request(maker):
    image_id = store_image(maker, [10.0], [5.0])
    hold(maker, "ps1", [1, 2], [10.0, 10.0], [5.0001, 5.0003])
    crossmatch(maker, "ps1")
    with maker() as session:
        nearest = matched_entries(session, ["ra"], "sources", "ps1", image_id=image_id)
        every = matched_entries(session, ["ra"], "sources", "ps1", image_id=image_id, mode="all", radius=2)
    assert (len(nearest), len(every)) == (1, 2)


def test_no_match_is_a_table_without_rows(maker):
    image_id = store_image(maker, [10.0], [5.0])
    hold(maker, "ps1", [1], [50.0], [5.0])
    with maker() as session:
        table = matched_entries(session, KEYS, "sources", "ps1cat", image_id=image_id)
    assert list(table.columns) == README and table.empty


def test_what_is_not_there_is_told(maker):
    measured = make_image([10.0], [5.0])
    commit_image(maker, replace(measured))
    image_id = measured.info.image_id
    with maker() as session, pytest.raises(UnknownCatalogueError):
        matched_entries(session, KEYS, "sources", "ps1cat", image_id=image_id)
    hold(maker, "ps1", [1], [10.0], [5.0])
    with maker() as session:
        with pytest.raises(UnknownImageError):
            matched_entries(session, KEYS, "sources", "ps1cat", image_id=7)
        with pytest.raises(ValueError, match="no column flux"):
            matched_entries(session, ["flux"], "sources", "ps1cat", image_id=image_id)
        with pytest.raises(ValueError, match="one of the two is 'sources'"):
            matched_entries(session, KEYS, "ps1cat", "gaia", image_id=image_id)
