"""Calibration by the stars that images share, stored and read, on both engines; surveys without pixels."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.spatial import cKDTree
from sqlalchemy import text

import ztfdb
from tests.support.reference import hold, open_sessions, store_image
from tests.support.surveys import in_g, make_survey, store_survey
from tests.support.tables import object_ids
from ztfdb.cli.app import application
from ztfdb.cli.explain import explanation_lines
from ztfdb.derive.calibrate import calibrate
from ztfdb.derive.calibrators import CalibrationSettings
from ztfdb.derive.selfresiduals import self_residuals
from ztfdb.phot.survey import SelfSettings
from ztfdb.plot import draw_light_curve_with_stamps
from ztfdb.simulate import make_science_image
from ztfdb.store import self_calibrations
from ztfdb.store.backends.reads_postgresql import BY_INDEX
from ztfdb.store.self_calibrations import held_stars_statement
from ztfdb.store.self_terms import self_terms_statement
from ztfdb.store.zero_points import zeropoints

N_IMAGE = 28


@pytest.fixture(scope="module")
def made():
    """A survey whose stars are far enough apart that none is a neighbour of another."""
    return make_survey(N_IMAGE, 300, seed=2, variable=0.05, flat=0.0)


@pytest.fixture
def maker(engine_url):
    with open_sessions(engine_url) as made:
        yield made


def limits_of(curve):
    return curve[curve.kind == "limit"].reset_index(drop=True)


def fourth(report):
    table = report.to_pandas()
    return table[table.aperture == 4].set_index("image_id")


def hold_ps1(maker, sky, truth, color, *, share=1.0):
    """Put the stars into PS1, with their magnitudes in r and their colours."""
    n = round(share * len(color))
    rng = np.random.default_rng(4)
    columns = {}
    for band, mag in (("r", truth.star_mag), ("g", truth.star_mag + color), ("i", truth.star_mag - 0.3)):
        columns[f"{band}_mag"] = np.clip(mag + rng.normal(0, 0.01, len(mag)), 14.6, 20.4)[:n]
        columns[f"{band}_mag_err"] = np.full(n, 0.01)
        columns[f"{band}_kron_mag"] = columns[f"{band}_mag"]
    bright = truth.star_mag[:n] > 14.6
    columns = {name: values[bright] for name, values in columns.items()}
    ra, dec = sky[0, :n][bright], sky[1, :n][bright]
    hold(maker, "ps1", object_ids(ra, dec), ra, dec, n_detection=np.full(bright.sum(), 30), **columns)


def test_zero_points_of_a_survey_come_back_and_ps1_tells_level_and_colours(maker, made):
    survey, truth = made
    ids, sky = store_survey(maker, survey, truth)
    hold_ps1(maker, sky, truth, survey.color)
    report = calibrate(maker, method="self")
    table = fourth(report).loc[ids]
    assert (report.n_image, report.n_failed, len(report.to_pandas())) == (N_IMAGE, 0, 6 * N_IMAGE)
    pull = (table.zeropoint - truth.zeropoint) / table.zeropoint_err
    assert (np.abs(pull) < 3).mean() >= 0.95
    assert (table.color_term - truth.color_term).std() < 0.02
    assert table.scatter.median() == pytest.approx(np.median(truth.floor), abs=0.002)
    with maker() as session:
        solutions = session.execute(text("select * from self_solution order by aperture")).mappings().all()
        views = session.execute(text("select * from image_calibration where aperture = 4")).mappings().all()
    assert [row["aperture"] for row in solutions] == [1, 2, 3, 4, 5, 6]
    assert solutions[3]["tied_to"] == "ps1" and solutions[3]["n_image"] == N_IMAGE and solutions[3]["n_variable"] >= 3
    assert len(views) == N_IMAGE and views[0]["catalogue"] is None and views[0]["x_gradient"] is not None


def test_a_self_calibrated_light_curve_is_the_formula(engine_url, maker, made):
    survey, truth = made
    _, sky = store_survey(maker, survey, truth)
    with ztfdb.open(engine_url, create=True) as archive:
        report = archive.calibrate(method="self")
        table = fourth(report)
        star = int(np.argmax((truth.amplitude == 0) * np.bincount(survey.star, minlength=survey.n_star)))
        ra, dec = sky[:, star]
        curve = archive.light_curve(ra, dec, calibration="self").data
        other = archive.light_curve(ra, dec, calibration="self", aperture=5).data
        colored = archive.light_curve(ra, dec, calibration="self", color=0.5).data
        many = archive.light_curves({"ra": [ra], "dec": [dec]}, calibration="self")
        header = archive.light_curve(ra, dec).data
    with maker() as session:
        chosen = f"where source_id in ({', '.join(map(str, curve.source_id))}) order by mjd"
        viewed = session.execute(text(f"select mag, magerr from self_light_curve_point {chosen}")).all()
    own = survey.star == star
    assert len(curve) == own.sum() > 20
    rows = table.loc[curve.image_id]
    x, y = survey.u[own], survey.v[own]
    flux = np.float32(10 ** (-0.4 * survey.mag[own])).astype(float)
    expected = rows.zeropoint - 2.5 * np.log10(flux) + rows.x_gradient * x + rows.y_gradient * y
    np.testing.assert_allclose(curve.mag, expected, atol=1e-6)
    assert set(curve.calibration) == {"self"} and set(colored.calibration) == {"none"}  # no colours are held
    np.testing.assert_allclose(curve.magerr_sys, rows.magerr_sys, atol=1e-12)
    # the survey has one flux in all apertures, but fewer stars stand alone in the 10 px one
    np.testing.assert_allclose(other.mag, curve.mag, atol=0.003)
    np.testing.assert_array_equal(many.mag, curve.mag)
    np.testing.assert_allclose(np.array(viewed), curve[["mag", "magerr"]], atol=1e-9)
    right = ~truth.wrong[own]
    assert curve.mag[right].std() < 0.5 * header.mag[right].std()
    assert curve.magerr.median() < header.magerr.median()


def test_both_engines_say_the_same(both_urls, made):
    survey, truth = made
    tables = []
    for url in both_urls.values():
        with open_sessions(url) as maker:
            _, sky = store_survey(maker, survey, truth, images=range(16))
            hold_ps1(maker, sky, truth, survey.color, share=0.5)
            calibrate(maker, method="self")
            with maker() as session:
                found = session.execute(text("select * from calibration order by image_id, aperture")).mappings().all()
                stars = session.execute(text("select * from self_star order by solution_id, number")).mappings().all()
            tables.append((pd.DataFrame(found).drop(columns=["calibrated", "settings"]), pd.DataFrame(stars)))
    for one, other in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_a_new_image_is_fitted_to_held_stars_as_a_solution_of_all_would(maker, made):
    survey, truth = made
    _, sky = store_survey(maker, survey, truth, images=range(N_IMAGE - 1))
    hold_ps1(maker, sky, truth, survey.color)
    first = fourth(calibrate(maker, method="self"))
    (new,), _ = store_survey(maker, survey, truth, images=[N_IMAGE - 1])
    report = calibrate(maker, method="self")
    fitted = fourth(report)
    assert list(fitted.index) == [new] and report.n_skipped == N_IMAGE - 1
    with maker() as session:
        assert session.execute(text("select distinct n_image from self_solution")).scalars().all() == [N_IMAGE]
    assert calibrate(maker, method="self").n_image == 0
    once_more = fourth(calibrate(maker, method="self", image_ids=[int(new)], again=True))
    assert once_more.zeropoint[new] == fitted.zeropoint[new]
    whole = fourth(calibrate(maker, method="self", again=True))
    assert len(whole) == N_IMAGE
    error = np.hypot(fitted.zeropoint_err[new], 0.001)
    assert fitted.zeropoint[new] == pytest.approx(whole.zeropoint[new], abs=3 * error)
    np.testing.assert_allclose(first.zeropoint, whole.zeropoint[first.index], atol=0.003)
    with maker() as session:
        assert session.execute(text("select count(*) from self_solution")).scalar_one() == 6  # the old ones are gone
        orphans = "select count(*) from self_star where solution_id not in (select solution_id from self_solution)"
        assert session.execute(text(orphans)).scalar_one() == 0


def test_the_map_of_a_detector_is_looked_up_once_for_all_new_images(maker, made, monkeypatch):
    survey, truth = made
    store_survey(maker, survey, truth, images=range(N_IMAGE - 8))
    calibrate(maker, method="self")
    store_survey(maker, survey, truth, images=range(N_IMAGE - 8, N_IMAGE))
    asked, read = [], self_calibrations.detector_map
    monkeypatch.setattr(self_calibrations, "detector_map", lambda s, *of: asked.append(of) or read(s, *of))
    assert calibrate(maker, method="self").n_image == 8
    assert len(asked) == len(set(asked)) > 0
    with maker() as session:
        detectors = session.execute(text("select count(distinct rcid) from image")).scalar_one()
    assert len(asked) <= 6 * detectors


def test_images_that_cannot_be_tied_say_why(maker, made):
    survey, truth = made
    store_survey(maker, survey, truth, images=range(8))
    lonely = store_image(maker, np.linspace(10, 10.4, 30), np.linspace(5, 5.4, 30), expid=7, rcid=9)
    poor = store_image(maker, [20.0, 20.1], [5.0, 5.1], expid=8, rcid=9)
    report = calibrate(maker, method="self")
    table = fourth(report)
    assert "of its 30 stars are on other images" in table.failure[lonely]
    assert table.failure[poor] == "2 clean stars are too few, 10 are needed"
    assert report.n_failed == 2
    # they are tried again: another image of the same place ties the lonely one
    store_image(maker, np.linspace(10, 10.4, 30), np.linspace(5, 5.4, 30), expid=9, rcid=9, seed=5)
    later = fourth(calibrate(maker, method="self"))
    assert np.isfinite(later.zeropoint[lonely]) and later.failure[poor] is not None


def test_explain_traces_a_magnitude_to_its_solution(engine_url, maker, made):
    survey, truth = made
    ids, _ = store_survey(maker, survey, truth, images=range(8))
    with ztfdb.open(engine_url, create=True) as archive:
        archive.calibrate(method="self")
        told = archive.explain(int(ids[0]) << 18, measure=False)
        stored = told.values.set_index("column").stored
        curve = archive.light_curve(stored["ra"], stored["dec"], calibration="self").data
    row = told.calibrations[told.calibrations.aperture == 4].iloc[0]
    # the magnitude is the formula of this row, the stars are those of its solution
    (epoch,) = curve[curve.image_id == ids[0]].itertuples()
    u, v = 2 * (stored["x"] + 0.5) / 3072 - 1, 2 * (stored["y"] + 0.5) / 3080 - 1
    zeropoint = row.zeropoint + row.x_gradient * u + row.y_gradient * v
    assert epoch.mag == pytest.approx(zeropoint - 2.5 * np.log10(stored["flux_aper4"]), abs=1e-9)
    with maker() as session:
        counted = text("select count(*) from self_star where solution_id = :id")
        assert session.execute(counted, {"id": int(row.solution_id)}).scalar_one() == row.solution_n_star > 50
    assert pd.isna(row.map_xx)  # too few images
    assert row.method == "self" and row.solution_tied_to == "header" and row.solution_n_image == 8
    assert row.solution_versions["ztfdb"] == ztfdb.__version__
    lines = [line for line in explanation_lines(told) if line.startswith("solution")]
    assert len(lines) == 6 and "on 8 images, level of header (8)" in lines[3]


def test_complete_light_curves_and_commands_take_it(engine_url, tmp_path):
    rng = np.random.default_rng(8)
    ra, dec = 58.0 + rng.uniform(-0.045, 0.045, 70) / np.cos(np.radians(35.7)), 35.7 + rng.uniform(-0.045, 0.045, 70)
    stars = {"sky_stars": (ra, dec, rng.uniform(14.5, 18.0, 70)), "shape": (360, 360), "ra": 58.0, "dec": 35.7}
    with ztfdb.open(engine_url, create=True) as archive:
        for number in range(6):
            image = make_science_image(
                tmp_path, seed=number, obsmjd=59000.3 + number, magzp=26.2 - 0.1 * number, **stars
            )
            archive.ingest(image.sci, jobs=1)
        run = CliRunner().invoke(application, ["calibrate", "--method", "self", "--db", engine_url, "--format", "csv"])
        assert run.exit_code == 0 and "6 images calibrated, 0 were calibrated already" in run.stderr
        table = pd.read_csv(io.StringIO(run.stdout))
        assert len(table) == 36 and np.isfinite(table[table.aperture == 4].x_gradient).all()
        star = int(np.argmin(np.abs(stars["sky_stars"][2] - 15.5)))
        place = ra[star], dec[star]
        plain = archive.light_curve(*place, calibration="self").data
        complete = archive.light_curve(*place, calibration="self", complete=True).data
        empty = archive.light_curve(58.0, 35.7 + 0.0448, calibration="self", complete=True).data
        stamps = archive.stamps(*place, calibration="self")
        north = archive.stamps(*place, calibration="self", north_up=True)
        one = archive.stamp(*place, image_id=int(plain.image_id[0]), calibration="self")
        by_header = archive.stamps(*place, calibration="header")
        uncaptioned = archive.stamps(*place)
        none = archive.stamps(*place, calibration="ps1")
    assert len(complete) == 6 and (complete.kind == "detection").all() and set(complete.calibration) == {"self"}
    # the place that was asked for, not that of the source, tells the gradient: 0.1 px of it
    np.testing.assert_allclose(complete.mag, plain.mag, atol=1e-5)
    np.testing.assert_array_equal(complete.magerr_sys, plain.magerr_sys)
    assert plain.mag.std() < 0.01
    with open_sessions(engine_url) as maker, maker() as session:
        flux = dict(session.execute(text("select source_id, flux_aper4 from source")).all())
        magzp = dict(session.execute(text("select image_id, magzp + apcor4 from image")).all())
    zeropoint = plain.mag + 2.5 * np.log10([flux[one] for one in plain.source_id])
    table = stamps.to_pandas().set_index("image_id")
    # the place that was asked for, not that of the source, tells the gradient: 0.1 px of it
    np.testing.assert_allclose(table.zeropoint[plain.image_id], zeropoint, atol=1e-5)
    assert set(table.calibration) == {"self"} and list(north.to_pandas().zeropoint) == list(table.zeropoint)
    assert one.facts["zeropoint"] == table.zeropoint[one.image_id]
    header = by_header.to_pandas().set_index("image_id")
    np.testing.assert_allclose(header.zeropoint, [magzp[one] for one in header.index], atol=1e-9)
    assert none.to_pandas().zeropoint.isna().all() and "zeropoint" not in uncaptioned.to_pandas()
    said = [ax.get_title() for ax in stamps.plot().axes]
    assert sum(f"ZP {table.zeropoint.iloc[0]:.3f} (self)" in words for words in said) == 1
    assert all("no ps1 ZP" in ax.get_title() for ax in none.plot().axes)
    assert not any("ZP" in ax.get_title() for ax in uncaptioned.plot().axes)
    strip = [ax.get_title() for ax in draw_light_curve_with_stamps(plain, uncaptioned).axes]
    assert sum(f"{plain.mag[0]:.3f}±{plain.magerr[0]:.3f}\nself" in words for words in strip) == 1
    dark = [ax.get_title() for ax in draw_light_curve_with_stamps(limits_of(empty), uncaptioned).axes]
    assert sum("\n> 2" in words and "\nself" in words for words in dark) == len(limits_of(empty)) == 6
    limits = empty[empty.kind == "limit"]
    assert len(empty) == 6 and np.isfinite(limits.upper_limit_mag).all()
    lines = ["lightcurve", *map(str, place), "--calibration", "self", "--db", engine_url, "--format", "csv"]
    run = CliRunner().invoke(application, lines)
    assert run.exit_code == 0 and run.stdout.count("self") == 6
    page = tmp_path / "page.png"
    drawn = CliRunner().invoke(application, ["calibrate", "--method", "self", "--plot", str(page), "--db", engine_url])
    assert drawn.exit_code == 0 and page.read_bytes()[:4] == b"\x89PNG"


def test_residuals_of_an_archive_are_those_of_its_solution(maker, made):
    survey, truth = made
    ids, _ = store_survey(maker, survey, truth, images=range(12))
    table = fourth(calibrate(maker, method="self"))
    with maker() as session:
        left = self_residuals(session, ids.tolist())
        none = self_residuals(session, [])
    assert list(left.columns) == list(none.columns) and none.empty
    counted = left[left.constant].groupby("image_id")
    assert abs(counted.residual.median()).median() < 0.005  # an image behind clouds has a dozen faint stars
    assert (counted.size() >= table.n_star[counted.size().index] * 0.9).all()
    # those that were left out are among them, and there are few
    assert ((left.residual / left.error)[left.constant].abs() < 4).mean() > 0.97


def test_wrong_options_are_one_error(maker):
    with pytest.raises(ValueError, match="method 'sdss': expected ps1 or self"):
        calibrate(maker, method="sdss")
    with pytest.raises(ValueError, match="expected SelfSettings"):
        calibrate(maker, method="self", settings=CalibrationSettings())
    with pytest.raises(ValueError, match="expected CalibrationSettings"):
        calibrate(maker, settings=SelfSettings())
    with maker() as session, pytest.raises(ValueError, match="'self' is none of header, ps1"):
        zeropoints(session, np.array([1]), calibration="self")


def test_nothing_to_calibrate_is_an_empty_report(maker):
    report = calibrate(maker, method="self")
    assert report.n_image == 0 and report.to_pandas().empty


@pytest.mark.slow
def test_colours_come_from_the_archives_own_g_and_r(maker, made):
    """Without PS1: the stars' colours are those of the survey, and so are the colour terms of its images."""
    survey, truth = made
    in_r, _ = store_survey(maker, survey, truth)
    g_survey, g_truth = in_g(survey, truth)
    ids, _ = store_survey(maker, g_survey, g_truth, fid=1, first_expid=136343179)
    report = calibrate(maker, method="self")
    assert report.n_failed == 0 and len(report.to_pandas()) == 12 * N_IMAGE  # each image once, though solved twice
    table = fourth(report)
    with maker() as session:
        rows = text(
            "select self_star.ra, self_star.dec, self_star.color, fid, self_solution.color_term, tied_to, color_pivot"
            " from self_star join self_solution on self_solution.solution_id = self_star.solution_id where aperture = 4"
        )
        stars = pd.DataFrame(session.execute(rows).mappings().all())
    assert set(stars.tied_to) == {"header"} and set(stars.fid) == {1, 2}
    across = (stars.ra - 150.0) / (0.43 / np.cos(np.radians(20.0)))
    places = np.stack([across, (stars.dec - 20.0) / 0.43], axis=-1)
    apart, at = cKDTree(truth.place).query(places)
    known = (stars.color.notna() & (apart < 1e-3)).to_numpy()
    constant = truth.amplitude[at] == 0  # the two filters were not taken at the same time
    assert known.sum() > 200
    for fid, kept in ((1, ids), (2, in_r)):
        own = known & constant & (stars.fid == fid).to_numpy()
        slope, level = np.polyfit(survey.color[at[own]], stars.color[own].astype(float), 1)
        # headers tell colour terms to 0.02 / sqrt(28) each, and levels to 0.025 / sqrt(28) each
        assert slope == pytest.approx(1.0, abs=0.02) and level == pytest.approx(0.0, abs=0.03)
        wanted = {1: g_truth, 2: truth}[fid].color_term
        terms = table.color_term[kept].astype(float).to_numpy()
        assert np.median(terms - wanted) == pytest.approx(0.0, abs=0.01)
        assert (terms - wanted).std() < 0.75 * wanted.std()  # the colours of a hundred stars an image
    plain = fourth(calibrate(maker, method="self", again=True, settings=SelfSettings(color=False)))
    assert plain.color_term.isna().all() and plain.scatter.median() > 1.1 * table.scatter.median()


def test_solutions_and_stars_are_looked_up_by_index_however_few_solutions_there_are(maker, made):
    survey, truth = made
    ids, _ = store_survey(maker, survey, truth)
    calibrate(maker, method="self")
    cells = np.sort(np.random.default_rng(1).integers(0, 12 << 58, 40))
    with maker() as session:
        engine = session.get_bind().dialect.name
        if engine == "postgresql":  # as both are read
            session.execute(text(BY_INDEX.change.decode()))
        for statement, params in (
            held_stars_statement(session, cells, cells + 1000, 2, 4),
            self_terms_statement(session, ids, 4),
        ):
            word = "explain query plan " if engine == "sqlite" else "explain "
            plan = [str(row[-1]) for row in session.execute(text(word + statement), params)]
            whole = "\n".join(plan)
            assert "AUTOMATIC" not in whole and "Seq Scan" not in whole
            if "self_star" in statement:
                assert "ix_self_star_hpx29" in whole
            if engine == "sqlite":  # the order of the loops
                loops = [line.split()[1] for line in plan if line.startswith(("SCAN", "SEARCH"))]
                assert loops[-2:] in (["self_star", "self_solution"], ["self_solution", "image"])
