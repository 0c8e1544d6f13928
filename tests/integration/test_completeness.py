"""Artificial stars in images: what the model predicts is what another injection finds, on both engines."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from astropy.coordinates import SkyCoord
from click.testing import CliRunner
from scipy.spatial import cKDTree
from sqlalchemy import select

import ztfdb
from tests.support.injection import inject
from ztfdb.cli.app import application
from ztfdb.extract.measure import measure_image
from ztfdb.frame.background import background_at
from ztfdb.phot.completeness import DetectionModel, crowding_light
from ztfdb.schema import Completeness
from ztfdb.simulate import make_science_image
from ztfdb.store.completeness import detection_models
from ztfdb.store.engine import make_engine, sessions

SHAPE = (640, 640)
PASSES = 8
DENSITIES = {"empty": 60, "usual": 450}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Images of two densities, the sky of each a third brighter on one side."""
    made = {}
    for seed, (name, n_star) in enumerate(DENSITIES.items()):
        folder = tmp_path_factory.mktemp(name)
        sky = {"sky": 220.0, "sky_gradient": (150.0, 0.0)}
        made[name] = make_science_image(folder, n_star=n_star, seed=seed, shape=SHAPE, fwhm=2.1, **sky)
    return made


def judged(url, image, **how):
    with ztfdb.open(url, create=True) as archive:
        archive.ingest(image.sci, jobs=1)
        return archive.measure_completeness(**how)


def model_of(url, image_id):
    engine = make_engine(url)
    with sessions(engine)() as session:
        facts, bins = detection_models(session, np.array([image_id]))[image_id]
    engine.dispose()
    return DetectionModel(**facts), bins


class Stars:
    """Stars of an injection, as `tests.support.injection.inject` takes them."""

    def __init__(self, x, y, mag):
        self.x, self.y, self.mag = x, y, mag


@pytest.mark.parametrize("name", DENSITIES)
def test_another_injection_finds_what_the_model_predicts(databases, images, tmp_path, name):
    image = images[name]
    url = databases.migrated("sqlite")
    report = judged(url, image, passes=PASSES)
    (row,) = report.rows
    model, bins = model_of(url, row["image_id"])
    before = measure_image(image.sci, image.msk)
    known = np.stack([before.sources.x, before.sources.y], axis=-1)
    rng = np.random.default_rng(77)
    predicted, found, rms = [], [], []
    for number in range(10):
        # other places (not on a grid), magnitudes and seeds, and the true profile in place of one from the stars
        places = rng.uniform(8, np.array(SHAPE[::-1]) - 9, (160, 2))
        apart = cKDTree(places).query(places, 2)[0][:, 1] > 20
        places = places[apart & (cKDTree(known).query(places)[0] > 3.0)]
        stars = Stars(places[:, 0], places[:, 1], model.mag5 + rng.uniform(-1.2, 1.0, len(places)))
        sci, msk = inject((image.sci, image.msk), stars, image.exposure.profile, tmp_path / str(number), rng)
        after = measure_image(sci, msk).sources
        distance, at = cKDTree(np.stack([after.x, after.y], axis=-1)).query(places)
        own = distance < cKDTree(known).query(np.stack([after.x[at], after.y[at]], axis=-1))[0]
        found.append((distance <= 1.5) & own)
        local = background_at(before.mesh, places[:, 0], places[:, 1])[1].astype(float)
        light = crowding_light(places[:, 0], places[:, 1], (*known.T, before.sources.flux_aper[3].astype(float)))
        predicted.append(model.probability(stars.mag, local, light))
        rms.append(local)
    p, seen, rms = map(np.concatenate, (predicted, found, rms))
    inside = (p > 0.05) & (p < 0.95)
    for low, high in ((0.05, 0.35), (0.35, 0.65), (0.65, 0.95), (0.05, 0.95)):
        some = (p > low) & (p < high)
        # both injections are finite: errors of the fraction found, and of the model, which had about as many stars
        error = np.sqrt(2 * np.sum(p[some] * (1 - p[some]))) / some.sum()
        assert abs(p[some].mean() - seen[some].mean()) < 0.03 + 2 * error, (low, high, some.sum())
    bright = inside & (rms > np.median(rms))
    for side in (bright, inside & ~bright):
        error = np.sqrt(2 * np.sum(p[side] * (1 - p[side]))) / side.sum()
        assert abs(p[side].mean() - seen[side].mean()) < 0.03 + 2 * error
    assert row["psf"] == "moffat" and row["limit90"] < row["limit50"] < model.mag5 + 1
    assert row["n_false"] <= 0.05 * max(row["n_source"], 40)
    at_limit = np.interp(model.mag5 - 2, bins["mag"], [np.nan if one is None else one for one in bins["bias"]])
    assert abs(at_limit) < 0.03


def test_both_engines_keep_the_same_and_answer_by_position(both_urls, images):
    image = images["usual"]
    tables, answers = [], []
    star = int(np.argmin(np.abs(image.truth.x - 300) + np.abs(image.truth.y - 300)))
    place = image.truth.ra[star], image.truth.dec[star]
    for url in both_urls.values():
        report = judged(url, image)
        tables.append(report.to_pandas().drop(columns="measured"))
        with ztfdb.open(url) as archive:
            answers.append(archive.completeness(*place, mag=20.0))
            without = archive.completeness(*place)
            nowhere = archive.completeness(place[0] + 20, place[1])
            assert archive.measure_completeness().n_image == 0
            with pytest.raises(ValueError, match="expected a magnitude"):
                archive.completeness(*place, mag=np.nan)
            with pytest.raises(ValueError, match="passes 0"):
                archive.measure_completeness(passes=0)
    pd.testing.assert_frame_equal(*tables)
    pd.testing.assert_frame_equal(*answers)
    (row,) = answers[0].itertuples()
    assert 0 < row.p_detect <= 1 and row.limit90 < row.limit50
    assert without.p_detect.isna().all() and without.limit50[0] == row.limit50
    assert nowhere.empty and list(nowhere.columns) == list(answers[0].columns)


def test_an_image_that_was_not_judged_has_no_limits_and_one_that_cannot_be_says_why(engine_url, images, tmp_path):
    image = make_science_image(tmp_path, n_star=80, seed=5, shape=(256, 256))
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(image.sci, jobs=1)
        place = image.truth.ra[0], image.truth.dec[0]
        before = archive.completeness(*place, mag=19.0)
        assert len(before) <= 1 and before[["limit50", "limit90", "p_detect"]].isna().all(axis=None)
        image.sci.rename(tmp_path / "away.fits")
        report = archive.measure_completeness()
        assert report.n_failed == 1 and report.rows[0]["failure"] == "file missing"
        (tmp_path / "away.fits").rename(image.sci)
        again = archive.measure_completeness()  # what failed is tried again
        assert again.n_image == 1
        archive.remove(image_id=again.rows[0]["image_id"])
        assert archive.completeness(*place).empty


def test_the_command_judges_and_answers(engine_url, images):
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(images["empty"].sci, jobs=1)
    run = CliRunner().invoke
    done = run(application, ["completeness", "--db", engine_url, "--format", "csv"])
    assert done.exit_code == 0 and "1 image measured" in done.stderr
    assert done.stdout.startswith("image_id,limit50,limit90,psf")
    truth = images["empty"].truth
    star = SkyCoord(truth.ra[0], truth.dec[0], unit="deg")
    typed = [str(truth.ra[0]), str(truth.dec[0])], star.to_string("hmsdms", precision=9).split()
    asked = ["completeness", "--db", engine_url, "--mag", "19", "--format", "csv", "--at"]
    degrees, sexagesimal = (run(application, [*asked, *words, "--columns", "image_id,p_detect"]) for words in typed)
    assert degrees.exit_code == 0 and "p_detect" in degrees.stdout.splitlines()[0]
    assert len(degrees.stdout.splitlines()) == 2
    rows = [np.array(one.stdout.splitlines()[1].split(","), float) for one in (degrees, sexagesimal)]
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-6)
    assert run(application, ["completeness", "--db", engine_url, "--mag", "19"]).exit_code == 2


def detection_rows(url):
    """What is kept of all images, without the time."""
    engine = make_engine(url)
    with sessions(engine)() as session:
        rows = [dict(row) for row in session.execute(select(Completeness.__table__)).mappings()]
    engine.dispose()
    return [{name: value for name, value in row.items() if name != "measured"} for row in rows]


def test_ingest_judges_on_demand_as_the_command_does_later(both_urls, images, tmp_path):
    """In this process, in workers and by the watching process; the same rows on both engines."""
    image = images["usual"]
    plain, at_once = [], []
    for url in both_urls.values():
        with ztfdb.open(url, create=True) as archive:
            assert archive.ingest(image.sci, jobs=1).stored == 1
            assert detection_rows(url) == []
            archive.measure_completeness()
            plain += detection_rows(url)
            assert archive.ingest(image.sci, jobs=1, force=True, completeness=True).replaced == 1
            at_once += detection_rows(url)
            assert archive.measure_completeness().n_skipped == 1
            # measured again without them: what was said of the former measurement is gone with it
            assert archive.ingest(image.sci, jobs=1, force=True).replaced == 1
            assert detection_rows(url) == []
            assert archive.ingest(image.sci, jobs=2, force=True, completeness=True).replaced == 1
            at_once += detection_rows(url)
    assert len(plain) == 2 and len(at_once) == 4
    for row in at_once:
        assert row == plain[0]
    assert plain[1] == plain[0] and plain[0]["failure"] is None


def test_the_commands_judge_what_they_ingest(engine_url, images, tmp_path):
    run = CliRunner().invoke
    with ztfdb.open(engine_url, create=True):
        pass
    source = images["empty"].sci
    words = ["watch", str(source.parent), "--once", "--completeness", "--settle", "0", "--db", engine_url]
    done = run(application, words)
    assert done.exit_code == 0, done.stderr
    (watched,) = detection_rows(engine_url)
    done = run(application, ["ingest", str(source), "--force", "--completeness", "--db", engine_url])
    assert done.exit_code == 0, done.stderr
    assert detection_rows(engine_url) == [watched] and watched["limit50"] is not None
    wrong = run(application, ["ingest", str(source), "--psfcat", "--completeness", "--db", engine_url])
    assert wrong.exit_code == 2 and "--completeness belongs to images" in wrong.stderr


def test_an_image_that_cannot_be_judged_is_ingested_and_says_why(engine_url, tmp_path, monkeypatch):
    image = make_science_image(tmp_path, n_star=8, seed=5, shape=(90, 90))
    with ztfdb.open(engine_url, create=True) as archive:
        report = archive.ingest(image.sci, jobs=1, completeness=True)
        assert report.stored == 1
        (row,) = detection_rows(engine_url)
        assert row["limit50"] is None and row["failure"].startswith("there is no PSF file")
        monkeypatch.setattr("ztfdb.simulate.judge.inject_image", lambda task: 1 / 0)
        assert archive.ingest(image.sci, jobs=1, completeness=True, force=True).replaced == 1
        (row,) = detection_rows(engine_url)
        assert row["failure"] == "unexpected ZeroDivisionError: division by zero"
