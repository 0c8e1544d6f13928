"""Two archives beside each other: what was moved, lost and gained is found, on both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import ztfdb
from tests.support.reference import make_image, open_sessions
from ztfdb.cli.app import application
from ztfdb.errors import UnknownImageError
from ztfdb.ingest.commit import commit_image

N = 300


def sky(seed=3):
    rng = np.random.default_rng(seed)
    return rng.uniform(150.0, 150.6, N), rng.uniform(20.0, 20.6, N), 10 ** rng.uniform(3.6, 5.0, N)


def image(number, *, lost=0, gained=0, brighter=0.0, moved=0.0, **info):
    """An image of the sky: the first `lost` stars are missing, `gained` others are there, all brighter and moved."""
    ra, dec, flux = sky()
    extra = np.random.default_rng(9)
    ra = np.concatenate([ra[lost:], extra.uniform(151.0, 151.3, gained)])
    dec = np.concatenate([dec[lost:] + moved / 3600, extra.uniform(20.0, 20.6, gained)])
    flux = np.concatenate([flux[lost:], np.full(gained, 5000.0)]) * 10 ** (0.4 * brighter)
    fluxes = {"flux_aper": np.tile(flux, (6, 1)).astype("f4"), "flux_aper_err": np.full((6, len(flux)), 30, "f4")}
    return make_image(ra, dec, expid=1000 + number, **info), fluxes


def store(url, *images):
    ztfdb.open(url, create=True).close()
    ids = []
    with open_sessions(url) as maker:
        for measured, fluxes in images:
            commit_image(maker, replace(measured, sources=replace(measured.sources, **fluxes)))
            ids.append(measured.info.image_id)
    return ids


@pytest.fixture
def urls(databases):
    return databases.migrated("sqlite"), databases.migrated("postgresql")


def test_what_differs_is_found_and_the_worst_image_comes_first(urls):
    same, other = image(1), image(2)
    ids = store(urls[0], same, other, image(3))
    store(urls[1], same, image(2, lost=20, gained=7, brighter=0.05, moved=0.2), image(4))
    with ztfdb.open(urls[0]) as a, ztfdb.open(urls[1]) as b:
        found = a.diff(b)
        back = b.diff(a)
        one = a.diff(b, image_ids=[ids[0]], sources=False)
    images = found.images.set_index("image_id")
    assert list(images.index) == [ids[1], ids[0]]
    assert (len(found.only_a), len(found.only_b)) == (1, 1)
    changed, kept = images.loc[ids[1]], images.loc[ids[0]]
    assert (changed.n_matched, changed.n_lost, changed.n_gained) == (N - 20, 20, 7)
    # fluxes are stored in single precision: 1e-7 of them
    assert changed.mag_difference == pytest.approx(-0.05, abs=1e-6)
    assert changed.mag_scatter == pytest.approx(0.0, abs=1e-6)
    assert changed.dec_offset == pytest.approx(0.2, abs=1e-9) and changed.ra_offset == pytest.approx(0.0, abs=1e-9)
    assert (kept.n_matched, kept.n_lost, kept.n_gained, kept.severity) == (N, 0, 0, 0.0)
    assert kept.same_files and kept.same_settings and kept.same_software
    assert found.magnitudes[["n_matched", "n_lost", "n_gained"]].sum().tolist() == [2 * N - 20, 20, 7]
    assert found.sources.kind.value_counts().to_dict() == {"matched": 2 * N - 20, "lost": 20, "gained": 7}
    assert found.sources[found.sources.kind == "lost"].source_id_b.isna().all()
    turned = back.images.set_index("image_id").loc[ids[1]]
    assert (turned.n_lost, turned.n_gained) == (7, 20) and turned.mag_difference == pytest.approx(0.05, abs=1e-6)
    assert len(one.images) == 1 and one.sources.empty and list(one.sources.columns) == list(found.sources.columns)


def test_both_engines_say_the_same(both_urls, databases):
    reference = databases.migrated("sqlite")
    store(reference, image(1, lost=5, brighter=0.01))
    tables = []
    for url in both_urls.values():
        store(url, image(1))
        with ztfdb.open(url) as a, ztfdb.open(reference) as b:
            tables.append(a.diff(b))
    for name in ("images", "magnitudes", "sources"):
        pd.testing.assert_frame_equal(getattr(tables[0], name), getattr(tables[1], name))


def test_an_image_calibrated_in_one_of_the_two_is_compared_by_instrumental_magnitudes(urls):
    ids = store(urls[0], image(1), image(2, magzp=26.0))
    store(urls[1], image(1, brighter=0.02), image(2))
    with ztfdb.open(urls[0]) as a, ztfdb.open(urls[1]) as b:
        found = a.diff(b, calibration="header", calibration_b="ps1").images.set_index("image_id")
        assert found["mag_difference"][ids].tolist() == pytest.approx([-0.02, 0.0], abs=1e-6)
        calibrated = a.diff(b).images.set_index("image_id")
        apart = image(2)[0].info.magzp - 26.0
        assert apart != 0.0 and calibrated["mag_difference"][ids[1]] == pytest.approx(apart, abs=1e-6)


def test_archives_without_a_common_image_have_nothing_to_compare(urls):
    store(urls[0], image(1))
    store(urls[1], image(2))
    with ztfdb.open(urls[0]) as a, ztfdb.open(urls[1]) as b:
        found = a.diff(b)
        assert found.images.empty and found.magnitudes.empty and found.sources.empty
        with pytest.raises(UnknownImageError):
            a.diff(b, image_ids=[int(found.only_a[0])])
        with pytest.raises(ValueError, match="calibration 'sdss'"):
            a.diff(b, calibration="sdss")
        with pytest.raises(ValueError, match="radius 0"):
            a.diff(b, radius=0.0)
        with pytest.raises(TypeError, match="expected an Archive"):
            a.diff("sqlite:///b.db")


def test_the_command_prints_rows_and_draws_a_page(urls, tmp_path):
    store(urls[0], image(1), image(2))
    store(urls[1], image(1, lost=3), image(2))
    page = tmp_path / "page.png"
    done = CliRunner().invoke(application, ["diff", *urls, "--format", "csv", "--plot", str(page)])
    assert done.exit_code == 0, done.output
    assert "2 images in both (0 in A alone, 0 in B alone): 597 sources matched, 3 lost, 0 gained" in done.stderr
    assert page.read_bytes()[:4] == b"\x89PNG"
    rows = done.stdout.splitlines()
    assert rows[0].startswith("image_id,") and len(rows) == 3
    wider = CliRunner().invoke(application, ["diff", *urls, "--format", "csv", "-r", "1arcsec"])
    assert (wider.exit_code, wider.stdout) == (0, done.stdout)
    by_mag = CliRunner().invoke(application, ["diff", *urls, "--by", "magnitude", "--format", "json"])
    assert by_mag.exit_code == 0 and '"n_lost"' in by_mag.stdout
    wrong = CliRunner().invoke(application, ["diff", *urls, "--radius", "0"])
    assert wrong.exit_code == 2 and "radius" in wrong.output
