"""Calibration against PS1: truth of simulated images, and closure on the real quadrant, on both engines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

from tests.support.campaign import SCATTER, calibrated, hold_stars, observe
from tests.support.reference import hold, make_image, open_sessions, store_image
from tests.support.tables import object_ids
from ztfdb.derive.calibrate import calibrate
from ztfdb.derive.calibrators import CalibrationSettings
from ztfdb.errors import UnknownCatalogueError
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.commit import commit_image
from ztfdb.store.calibrations import calibrations_of_image
from ztfdb.store.zero_points import zeropoints

N_IMAGE = 24


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    return [observe(folder, number, seed=1) for number in range(N_IMAGE)]


@pytest.fixture
def maker(engine_url):
    with open_sessions(engine_url) as made:
        yield made


def test_zero_points_and_colour_terms_of_simulated_images_come_back(maker, observed):
    hold_stars(maker, observed)
    table = calibrated(maker, observed)
    pulls = table[["zeropoint_pull", "color_term_pull"]].to_numpy()
    assert len(table) == 6 * N_IMAGE and table.failure.isna().all()
    # the apertures of an image share stars and noise: 24 independent sets, whose spread is known to 15 %
    assert (np.abs(pulls) < 3).mean() >= 0.97
    assert np.all(np.abs(pulls.std(axis=0) - 1) < 0.3)
    fourth = table[table.aperture == 4]
    assert fourth.scatter.median() == pytest.approx(SCATTER, abs=0.004)
    assert fourth.zeropoint_err.median() < 0.01


def test_a_tenth_of_wrong_stars_moves_the_zero_point_by_less_than_its_error(both_urls, observed):
    tables = []
    for url, share in zip(both_urls.values(), (0.0, 0.1), strict=True):
        with open_sessions(url) as maker:
            hold_stars(maker, observed, outliers=share)
            tables.append(calibrated(maker, observed).set_index(["image_id", "aperture"]))
    clean, wild = tables
    shift = (wild.zeropoint - clean.zeropoint).abs() / clean.zeropoint_err
    # leaving out a tenth of the stars alone moves it by 0.33 errors; what goes beyond is left to chance
    assert (shift < 1).mean() >= 0.97
    assert shift.median() < 0.4
    assert wild.n_clipped.sum() > 0.05 * wild.n_star.sum()


def test_both_engines_say_the_same(both_urls, observed):
    tables = []
    for url in both_urls.values():
        with open_sessions(url) as maker:
            hold_stars(maker, observed[:3])
            calibrated(maker, observed[:3])
            with maker() as session:
                rows = [calibrations_of_image(session, one.measured.info.image_id) for one in observed[:3]]
            tables.append(pd.DataFrame([row for image in rows for row in image]).drop(columns="calibrated"))
    pd.testing.assert_frame_equal(*tables)


def test_the_choice_of_the_calibration_is_made_on_read(maker, observed):
    hold_stars(maker, observed[:2])
    calibrated(maker, observed[:1])
    commit_image(maker, observed[1].measured)
    ids = np.array([one.measured.info.image_id for one in observed[:2]])[::-1]
    with maker() as session:
        header = zeropoints(session, ids, aperture=4, calibration="header")
        fitted = zeropoints(session, ids, aperture=4, calibration="ps1")
        row = calibrations_of_image(session, int(ids[1]))[3]
        with pytest.raises(ValueError, match="none of header, ps1"):
            zeropoints(session, ids, calibration="sdss")
        with pytest.raises(ValueError, match="aperture 7"):
            zeropoints(session, ids, aperture=7)
    infos = [one.measured.info for one in observed[:2]][::-1]
    np.testing.assert_allclose(header["zeropoint"], [one.magzp + one.apcor4 for one in infos], atol=1e-12)
    assert np.isnan(fitted["zeropoint"][0]) and fitted["zeropoint"][1] == row["zeropoint"]
    assert fitted["color_term"][1] == row["color_term"]


def test_sql_users_see_header_and_fit_side_by_side(maker, observed):
    hold_stars(maker, observed[:1])
    calibrated(maker, observed[:1])
    with maker() as session:
        rows = session.execute(text("select * from image_calibration order by aperture")).mappings().all()
    assert [row["aperture"] for row in rows] == [1, 2, 3, 4, 5, 6]
    row = rows[3]
    assert row["zeropoint_difference"] == pytest.approx(row["zeropoint"] - row["header_zeropoint"], abs=1e-12)
    assert abs(row["zeropoint_difference"]) < 5 * row["zeropoint_err"]
    assert abs(row["apcor"] - row["header_apcor"]) < 5 * row["apcor_err"] + 0.003
    assert row["n_astrometry"] > 50 and abs(row["ra_offset"]) < 0.05 and row["astrometric_warning"] == 0


def test_only_what_is_not_calibrated_is_done(maker, observed):
    hold_stars(maker, observed[:2])
    calibrated(maker, observed[:1])
    commit_image(maker, observed[1].measured)
    report = calibrate(maker)
    assert (report.n_image, report.n_skipped, report.n_failed) == (1, 1, 0)
    assert calibrate(maker).n_image == 0
    assert calibrate(maker, again=True).n_image == 2


def test_an_image_without_stars_says_why(maker):
    image_id = store_image(maker, [10.0], [5.0])
    with pytest.raises(UnknownCatalogueError):
        calibrate(maker)
    hold(maker, "ps1", [1], [10.0], [5.0])
    hold(maker, "mine", [1], [10.0], [5.0])
    assert calibrate(maker).n_failed == 1
    with maker() as session:
        rows = calibrations_of_image(session, image_id)
    assert {row["failure"] for row in rows} == {"0 stars are too few, 10 are needed"}
    assert all(row["zeropoint"] is None for row in rows)
    with pytest.raises(ValueError, match="calibrate against ps1"):
        calibrate(maker, catalogue="mine")


@pytest.mark.parametrize(
    ("spoiled", "value"),
    [
        ("n_detection", 1), ("photometry", 2), ("i_kron_mag", 16.0),
        ("r_mag", 14.0), ("g_mag", 20.6), ("r_mag_err", 0.2),
    ],
)  # fmt: skip
def test_stars_that_are_no_standards_are_left_out(maker, spoiled, value):
    rng = np.random.default_rng(8)
    ra, dec = 10 + 0.01 * np.arange(40), np.full(40, 5.0)
    mags = {"g": 18, "r": 17.4, "i": 17.2}
    columns = {f"{band}_mag": np.full(40, mag) + rng.uniform(0, 0.2, 40) for band, mag in mags.items()}
    columns |= {f"{band}_mag_err": np.full(40, 0.01) for band in "gri"}
    columns |= {"n_detection": np.full(40, 10), "photometry": np.ones(40, int), "i_kron_mag": columns["i_mag"].copy()}
    columns[spoiled][:15] = value
    flux = (10 ** (0.4 * (26 - columns["r_mag"]))).astype("f4") * np.ones((6, 1), "f4")
    measured = make_image(ra, dec)
    measured = replace(measured, sources=replace(measured.sources, flux_aper=flux, flux_aper_err=flux / 100))
    hold(maker, "ps1", np.arange(40), ra, dec, **columns)
    commit_image(maker, measured)
    row = calibrate(maker).rows[3]
    assert row["n_star"] + row["n_clipped"] == 25


@pytest.fixture(scope="module")
def real(quadrant):
    return measure_image(*quadrant, ExtractionSettings())


def synthetic_ps1(measured, aperture, *, noise, seed=0):
    """PS1 rows at the sources whose magnitudes follow from the header's own calibration of one aperture."""
    rng = np.random.default_rng(seed)
    sources, info = measured.sources, measured.info
    flux = sources.flux_aper[aperture - 1].astype(float)
    good = flux > 0
    n = int(good.sum())
    color = rng.uniform(0.1, 1.3, n)
    zeropoint = info.magzp + getattr(info, f"apcor{aperture}")
    r = zeropoint + info.clrcoeff * color - 2.5 * np.log10(flux[good])
    columns = {"g_mag": r + color, "r_mag": r, "i_mag": r - 0.3}
    for band in "gri":
        columns[f"{band}_mag_err"] = np.full(n, 0.01)
        columns[f"{band}_mag"] = columns[f"{band}_mag"] + noise * rng.normal(0, 0.01, n)
    rows = {"ra": sources.ra[good], "dec": sources.dec[good], **columns}
    return rows, zeropoint


@pytest.mark.parametrize("aperture", [1, 4, 5])
@pytest.mark.parametrize("noise", [0, 1])
def test_the_real_quadrant_gives_its_header_back(databases, real, aperture, noise):
    with open_sessions(databases.migrated("sqlite")) as maker:
        rows, zeropoint = synthetic_ps1(real, aperture, noise=noise)
        hold(maker, "ps1", object_ids(rows["ra"], rows["dec"]), **rows)
        commit_image(maker, real)
        calibrate(maker, settings=CalibrationSettings(bright_limit=13.0))
        with maker() as session:
            row = calibrations_of_image(session, real.info.image_id)[aperture - 1]
    assert row["n_star"] > 300
    if noise:
        assert abs(row["zeropoint"] - zeropoint) < 3 * row["zeropoint_err"]
        assert abs(row["color_term"] - real.info.clrcoeff) < 3 * row["color_term_err"]
        assert row["zeropoint_err"] < 2e-3
    else:
        assert row["zeropoint"] == pytest.approx(zeropoint, abs=1e-4)
        assert row["color_term"] == pytest.approx(real.info.clrcoeff, abs=1e-4)


def test_aperture_corrections_of_the_real_quadrant_are_near_the_header(databases, real):
    with open_sessions(databases.migrated("sqlite")) as maker:
        rows, _ = synthetic_ps1(real, 4, noise=0)
        hold(maker, "ps1", object_ids(rows["ra"], rows["dec"]), **rows)
        commit_image(maker, real)
        calibrate(maker)
        with maker() as session:
            found = calibrations_of_image(session, real.info.image_id)
    for row in found[2:5]:
        header = getattr(real.info, f"apcor{row['aperture']}") - real.info.apcor6
        assert row["n_apcor"] > 50
        assert row["apcor"] == pytest.approx(header, abs=0.02)
