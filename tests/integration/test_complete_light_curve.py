"""Complete light curves of simulated stars: every exposure that covers the position, labelled, on both engines."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from photutils.aperture import CircularAperture, aperture_photometry
from sqlalchemy import text

import ztfdb
from tests.support.postgres import ENGINES
from ztfdb.bits import CATFLAG_UNUSABLE
from ztfdb.dao.model import PsfModel
from ztfdb.dao.psffile import write_psf
from ztfdb.frame.background import background_surface
from ztfdb.query.answer import COMPLETE_COLUMNS, IRSA_COLUMNS
from ztfdb.query.exposures import covering
from ztfdb.simulate import make_science_image
from ztfdb.store.image_pixels import stored_images

NIGHT = 59116.4317708
RA, DEC = 57.9974032715, 35.74628707041
BRIGHT = (RA, DEC, 17.0)
FAINT = (RA - 0.004, DEC + 0.002, 21.3)
NEIGHBOUR = (RA + 0.00182, DEC, 18.5)  # 5.3 arcsec from the bright star
EMPTY = (RA + 0.004, DEC - 0.005)
PM = (RA + 0.006, DEC + 0.004, 18.0)
PM_YEAR = (18_000.0, -9_000.0)
"""Proper motion of one star, mas / yr: half an arcsec between exposures ten days apart."""
N_PLAIN = 5


def stars_at(day):
    years = day / 365.25
    moved = (
        PM[0] + years * PM_YEAR[0] / 3.6e6 / np.cos(np.radians(PM[1])),
        PM[1] + years * PM_YEAR[1] / 3.6e6,
        PM[2],
    )
    return tuple(np.array(column) for column in zip(BRIGHT, FAINT, NEIGHBOUR, moved, strict=True))


def make_epoch(folder, number, **how):
    how = {"shape": (150, 160), "fwhm": 2.0 + 0.1 * number, "filtercode": ("zg", "zr")[number % 2]} | how
    return make_science_image(folder, sky_stars=stars_at(10.0 * number), seed=number, obsmjd=NIGHT + 10 * number, **how)


@pytest.fixture(scope="session")
def campaign(tmp_path_factory):
    """Exposures of one spot: five plain ones, and one of each kind of trouble."""
    folder = tmp_path_factory.mktemp("campaign")
    made = [make_epoch(folder, number, mask=number != 1) for number in range(N_PLAIN)]
    made.append(make_epoch(folder, 5, status=0))
    made.append(make_epoch(folder, 6, infobits=1 << 8))
    made.append(make_epoch(folder, 7, infobits=1 << 25))
    made.append(make_epoch(folder, 8, x0=1522))  # the empty spot is 2 px from this one's edge
    made.append(make_epoch(folder, 9, x0=100, y0=100))  # sees none of it
    made.append(make_epoch(folder, 10))
    with fits.open(made[10].sci, mode="update", memmap=False) as hdus:
        del hdus[0].header["APCOR4"]
    return folder


@pytest.fixture
def files(campaign, tmp_path):
    return Path(shutil.copytree(campaign, tmp_path / "campaign"))


@pytest.fixture
def seen(archive, files):
    report = archive.ingest(files)
    assert not [one for one in report.outcomes if one.reason]
    return archive


def kinds(curve):
    return dict(zip((curve["mjd"] - NIGHT).round().astype(int) // 10, curve["kind"], strict=True))


def reasons(curve):
    rows = curve.data[curve["kind"] == "unavailable"]
    return dict(zip((rows["mjd"] - NIGHT).round().astype(int) // 10, rows["reason"], strict=True))


def test_every_image_that_covers_the_position_gives_one_epoch(seen):
    for star in (BRIGHT, FAINT, EMPTY):
        curve = seen.light_curve(*star[:2], complete=True)
        assert curve["image_id"].tolist() == seen.images(*star[:2])["image_id"].tolist()
        assert tuple(curve.columns) == COMPLETE_COLUMNS
        assert tuple(curve.columns[:24]) == IRSA_COLUMNS
        assert curve["mag"].notna().equals(curve["kind"].isin(["detection", "forced"]))
        assert curve["reason"].notna().equals(curve["kind"] == "unavailable")
        assert curve["flux_ujy"].notna().equals(curve["kind"] != "unavailable")
        assert curve["upper_limit_mag"].notna().equals(curve["kind"] == "limit")
    assert seen.light_curve(RA + 2.0, DEC, complete=True).data.empty


def test_troubles_have_their_reasons(seen):
    usual = {5: "STATUS 0", 6: "no photometric calibration", 10: "no zero point"}
    assert reasons(seen.light_curve(*BRIGHT[:2], complete=True)) == usual
    empty = seen.light_curve(*EMPTY, complete=True)
    assert reasons(empty) == {**usual, 8: "aperture off the edge"}
    assert not empty.data.loc[empty["kind"] == "unavailable", "good"].any()
    unusable = empty.data[kinds(empty)[7] == empty["kind"]].iloc[-1]
    assert unusable["kind"] in ("limit", "forced")  # bit 25 is measured and flagged
    assert not unusable["good"]
    assert unusable["catflags"] >= int(CATFLAG_UNUSABLE)
    assert set(kinds(seen.light_curve(*EMPTY, complete=True, good=True)).values()) == {"limit"}


def test_detections_are_those_of_the_plain_light_curve(seen):
    curve = seen.light_curve(*BRIGHT[:2], complete=True).data
    plain = seen.light_curve(*BRIGHT[:2]).data
    found = curve[curve["kind"] == "detection"].reset_index(drop=True)
    plain = plain[plain["image_id"].isin(found["image_id"])].reset_index(drop=True)
    assert len(found) == 7
    for name in (*IRSA_COLUMNS, "flux_ujy", "flux_ujy_err", "snr", "separation", "source_id", "n_within", "flags"):
        pd.testing.assert_series_equal(found[name], plain[name], check_dtype=False)


def test_forced_light_is_that_of_an_independent_aperture(seen):
    curve = seen.light_curve(*EMPTY, complete=True).data
    measured = curve[curve["kind"] != "unavailable"]
    with seen._sessions() as session:
        images = {image.image_id: image for image in stored_images(session, measured["image_id"])}
        facts = seen.sql("select image_id, magzp, apcor4, gain, sky_noise4 from image", force=True).set_index(
            "image_id"
        )
    for row in measured.itertuples():
        image = images[row.image_id]
        data = fits.getdata(image.own.path) - background_surface(image.mesh)
        flux = aperture_photometry(data, CircularAperture((row.x, row.y), 3.0))["aperture_sum"][0]
        zeropoint = facts.magzp[row.image_id] + facts.apcor4[row.image_id]
        assert row.flux_ujy == pytest.approx(flux * 10 ** (0.4 * (23.9 - zeropoint)), abs=1e-3)
        rms = background_surface(image.mesh, rms=True)[int(row.y), int(row.x)]
        noise = np.nan_to_num(facts.sky_noise4[row.image_id], nan=1.0) * rms * np.sqrt(np.pi * 9.0)
        error = np.hypot(noise, np.sqrt(max(flux, 0.0) / facts.gain[row.image_id]))
        if row.kind == "limit":
            assert row.upper_limit_mag == pytest.approx(zeropoint - 2.5 * np.log10(5.0 * error), abs=0.01)
            assert row.upper_limit_nsigma == 5.0


def test_an_undetected_star_keeps_its_light(seen):
    curve = seen.light_curve(*FAINT[:2], complete=True, measure="forced").data
    measured = curve[curve["kind"] != "unavailable"]
    weight = 1.0 / measured["flux_ujy_err"] ** 2
    mean = (measured["flux_ujy"] * weight).sum() / weight.sum()
    assert abs(mean - 10 ** (0.4 * (23.9 - FAINT[2]))) < 3.5 / np.sqrt(weight.sum())


def test_a_forced_point_on_a_catalogued_position_returns_its_flux(seen):
    curve = seen.light_curve(*BRIGHT[:2], complete=True).data
    found = curve[curve["kind"] == "detection"]
    for row in found.itertuples():
        again = seen.light_curve(row.ra, row.dec, complete=True, measure="forced").data
        same = again[again["image_id"] == row.image_id].iloc[0]
        assert same["kind"] == "forced"
        assert abs(same["flux_ujy"] - row.flux_ujy) < 0.05 * row.flux_ujy_err
        assert same["flux_ujy_err"] == pytest.approx(row.flux_ujy_err, rel=1e-4)
        assert pd.isna(same["source_id"])
        assert same["n_within"] == row.n_within


def test_what_was_measured_once_needs_no_file_again(seen, files):
    first = seen.light_curve(*EMPTY, complete=True)
    assert first.meta["kept"]
    assert first.meta["n_measured"] == 6
    shutil.rmtree(files)
    again = seen.light_curve(*EMPTY, complete=True)
    assert again.meta["n_measured"] == 0
    pd.testing.assert_frame_equal(first.data, again.data)
    larger = reasons(seen.light_curve(*EMPTY, complete=True, aperture=5))
    assert [day for day, why in larger.items() if why == "file missing"] == [10]  # which has APCOR5
    smallest = reasons(seen.light_curve(*EMPTY, complete=True, aperture=1))  # has APCOR there, and fits on the image
    assert [day for day, why in smallest.items() if why == "file missing"] == [8, 10]
    elsewhere = seen.light_curve(EMPTY[0] + 1e-5, EMPTY[1], complete=True)
    assert list(reasons(elsewhere).values()).count("file missing") == 6


def test_changed_files_are_told_and_touched_ones_accepted(seen, files):
    paths = [Path(path) for path in seen.images(*EMPTY)["path"]]
    times = [path.stat().st_mtime_ns for path in paths]
    paths[0].unlink()
    content = bytearray(paths[1].read_bytes())
    content[-9000] ^= 255
    paths[1].write_bytes(content)
    with paths[2].open("ab") as stream:
        stream.write(b"more")
    os.utime(paths[3], ns=(5, 5))
    curve = seen.light_curve(*EMPTY, complete=True)
    told = reasons(curve)
    assert (told[0], told[1], told[2]) == ("file missing", "file changed", "file changed")
    assert 3 not in told
    stored = seen.sql("select image_id, mtime_ns from image_file where role = 'sci'", force=True)
    stored = stored.set_index("image_id")["mtime_ns"]
    assert stored[curve["image_id"][3]] == 5
    assert stored[curve["image_id"][4]] == times[4]


def test_masked_apertures_are_unavailable(archive, tmp_path):
    made = make_epoch(tmp_path, 0)
    where = archive_position(archive, made)
    with fits.open(made.msk, mode="update", memmap=False) as hdus:
        x, y = where
        hdus[0].data[int(y) - 6 : int(y) + 8, int(x) - 6 : int(x) + 8] |= 512
    archive.ingest(tmp_path, force=True)
    curve = archive.light_curve(*EMPTY, complete=True)
    assert reasons(curve) == {0: "no usable pixel"}


def archive_position(archive, made):
    archive.ingest(made.sci)
    row = archive.images(*EMPTY).iloc[0]
    return row["x"], row["y"]


def test_a_reader_computes_and_says_that_nothing_is_kept(seen, engine_url):
    with ztfdb.open(engine_url, read_only=True) as reader:
        first = reader.light_curve(*EMPTY, complete=True)
        again = reader.light_curve(*EMPTY, complete=True)
    assert (first.meta["kept"], first.meta["n_measured"]) == (False, 6)
    assert again.meta["n_measured"] == 6
    written = seen.light_curve(*EMPTY, complete=True)
    assert written.meta["kept"]
    pd.testing.assert_frame_equal(first.data, again.data)
    pd.testing.assert_frame_equal(first.data, written.data)


def test_a_role_without_the_right_to_write_gets_its_answer(databases, files):
    url = databases.migrated("postgresql")
    with ztfdb.open(url, create=True) as archive:
        archive.ingest(files)
        with archive._sessions.begin() as session:
            session.execute(text("revoke all on forced_source from public"))
            session.execute(text("drop role if exists onlooker"))
            session.execute(text("create role onlooker"))
            session.execute(text("grant select on all tables in schema public to onlooker"))
        with ztfdb.open(url + ("&" if "?" in url else "?") + "options=-c%20role%3Donlooker") as reader:
            curve = reader.light_curve(*EMPTY, complete=True)
            assert not curve.meta["kept"]
            assert curve.meta["n_measured"] == 6
        with archive._sessions.begin() as session:
            session.execute(text("drop owned by onlooker"))
            session.execute(text("drop role onlooker"))
    databases.drop(url)


@pytest.mark.parametrize("jobs", [1, 2])
def test_many_positions_are_as_one_by_one_and_open_each_file_once(seen, files, jobs, monkeypatch):
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"ra": RA + rng.uniform(-0.012, 0.012, 12), "dec": DEC + rng.uniform(-0.01, 0.01, 12)})
    table.loc[3] = table.loc[7]  # the same position twice
    opened = []
    monkeypatch.setattr("ztfdb.frame.window._check", lambda facts, status: opened.append(facts.path))
    steps = []
    many = seen.light_curves(table, complete=True, jobs=jobs, progress=lambda *step: steps.append(step))
    if jobs == 1:
        assert len(opened) == len(set(opened))
    assert many.attrs["kept"]
    assert steps[-1] == (7, 7)
    assert [done for done, _ in steps] == list(range(1, 8))
    monkeypatch.undo()
    shutil.rmtree(files)
    for number, (ra, dec) in enumerate(table.itertuples(index=False)):
        one = seen.light_curve(ra, dec, complete=True).data
        rows = many[many["position"] == number].drop(columns="position").reset_index(drop=True)
        pd.testing.assert_frame_equal(rows, one)


def test_tables_in_several_parts_agree_with_one(seen, monkeypatch):
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"ra": RA + rng.uniform(-0.012, 0.012, 7), "dec": DEC + rng.uniform(-0.01, 0.01, 7)})
    whole = seen.light_curves(table, complete=True, keep=False)
    assert not whole.attrs["kept"]
    monkeypatch.setattr("ztfdb.query.targets.POSITIONS_PER_CHUNK", 2)
    for keep in (False, True):
        parts = seen.light_curves(table, complete=True, keep=keep)
        pd.testing.assert_frame_equal(whole, parts)
    monkeypatch.setattr("ztfdb.query.complete.EPOCHS_HELD", 3)
    pd.testing.assert_frame_equal(whole, seen.light_curves(table, complete=True))


def test_each_position_is_planned_once_and_what_lacks_nothing_comes_at_once(seen, monkeypatch):
    rng = np.random.default_rng(6)
    table = pd.DataFrame({"ra": RA + rng.uniform(-0.012, 0.012, 7), "dec": DEC + rng.uniform(-0.01, 0.01, 7)})
    planned = []

    def plan(session, targets, asked):
        planned.append(targets.positions.ra.tolist())
        return covering(session, targets, asked)

    monkeypatch.setattr("ztfdb.query.complete.covering", plan)
    monkeypatch.setattr("ztfdb.query.targets.POSITIONS_PER_CHUNK", 2)
    seen.light_curves(table, complete=True)  # measures: all parts wait for one another
    assert [ra for part in planned for ra in part] == table["ra"].tolist()
    planned.clear()
    pieces = seen.iter_light_curves(table, complete=True)
    first = next(pieces)
    assert len(planned) == 1
    assert set(first["position"]) <= {0, 1}
    assert sum(map(len, pieces)) > 0
    assert [ra for part in planned for ra in part] == table["ra"].tolist()


def test_both_engines_answer_alike(both_urls, files):
    answers = []
    for url in (both_urls[name] for name in ENGINES):
        with ztfdb.open(url, create=True) as archive:
            archive.ingest(files)
            answers.append([archive.light_curve(*star[:2], complete=True).data for star in (BRIGHT, FAINT, EMPTY)])
    for one, other in zip(*answers, strict=True):
        pd.testing.assert_frame_equal(one, other)


def test_neighbours_are_told(seen):
    curve = seen.light_curve(*BRIGHT[:2], complete=True).data
    assert curve["contaminated"].all()
    wide = seen.light_curve(*BRIGHT[:2], 6.0, complete=True).data
    assert (wide["n_within"] == 2).any()
    assert wide["blended"][wide["n_within"] == 2].all()
    assert not wide["contaminated"].any()
    assert not seen.light_curve(*EMPTY, complete=True)["contaminated"].any()


def test_a_star_with_proper_motion_is_followed(seen):
    epoch = 2000.0 + (NIGHT - 51544.5) / 365.25
    motion = {"pmra": PM_YEAR[0], "pmdec": PM_YEAR[1], "epoch": epoch}
    curve = seen.light_curve(*PM[:2], 0.5, complete=True, **motion)
    assert (curve["separation"][curve["kind"] == "detection"] < 0.2).all()
    assert (curve["kind"] == "detection").sum() == 6
    assert (seen.light_curve(*PM[:2], 0.5, complete=True)["kind"] == "detection").sum() == 1
    alone = seen.light_curve(*PM[:2], 0.5, **motion)
    assert alone["source_id"].tolist() == curve["source_id"].dropna().tolist()[: len(alone)]
    table = pd.DataFrame(
        {"ra": [PM[0], EMPTY[0]], "dec": [PM[1], EMPTY[1]], "pr": [PM_YEAR[0], np.nan], "pd": [PM_YEAR[1], 0]}
    )
    many = seen.light_curves(table, 0.5, complete=True, pmra="pr", pmdec="pd", epoch=epoch)
    first = many[many["position"] == 0].drop(columns="position").reset_index(drop=True)
    pd.testing.assert_frame_equal(first, curve.data)
    second = many[many["position"] == 1].drop(columns="position").reset_index(drop=True)
    pd.testing.assert_frame_equal(second, seen.light_curve(*EMPTY, 0.5, complete=True).data)


@pytest.mark.slow
def test_a_body_on_a_path_is_followed(seen):
    days = np.linspace(-5.0, 75.0, 9)
    ra, dec, _ = (np.array(column) for column in zip(*(np.array(stars_at(day))[:, 3] for day in days), strict=True))
    path = pd.DataFrame({"time": NIGHT + days, "ra": ra, "dec": dec})
    curve = seen.light_curve_on_path(path, 0.5)
    assert (curve["separation"][curve["kind"] == "detection"] < 0.2).all()
    assert kinds(curve) == {**dict.fromkeys((0, 1, 2, 3, 4, 7), "detection"), 5: "unavailable", 6: "unavailable"}
    assert len(seen.light_curve_on_path(path.iloc[:2], 0.5)) == 1
    off = path.assign(dec=path["dec"] - 0.003)
    assert set(seen.light_curve_on_path(off, 0.5)["kind"]) <= {"limit", "forced", "unavailable"}
    with pytest.raises(ValueError, match="two rows"):
        seen.light_curve_on_path(path.iloc[:1])
    with pytest.raises(ValueError, match="time"):
        seen.light_curve_on_path(path.drop(columns="time"))


def n_forced(archive):
    return archive.sql("select count(*) as n from forced_source", force=True)["n"][0]


def test_measuring_an_image_again_drops_what_was_forced_on_it(seen, files):
    seen.light_curve(*EMPTY, complete=True)
    assert n_forced(seen) == 6
    seen.ingest(files, force=True)
    assert n_forced(seen) == 0
    assert seen.light_curve(*EMPTY, complete=True).meta["n_measured"] == 6


def test_a_mask_that_comes_while_positions_are_measured_is_not_missed(archive, tmp_path):
    made = make_epoch(tmp_path, 0)
    aside = made.msk.rename(made.msk.with_suffix(".aside"))
    archive.ingest(tmp_path)

    def mask_arrives(done, of):
        if done:
            aside.rename(made.msk)
            assert archive.ingest(tmp_path).stored == 1

    archive.light_curve(*EMPTY, complete=True, progress=mask_arrives)
    assert n_forced(archive) == 0, "what was measured without the mask is not kept"
    archive.light_curve(*EMPTY, complete=True)
    stored = archive.sql("select mask_bits from forced_source", force=True)
    assert stored["mask_bits"].notna().tolist() == [True]


def test_wrong_questions_are_refused(seen):
    with pytest.raises(ValueError, match="measure"):
        seen.light_curve(*EMPTY, complete=True, measure="wrong")
    with pytest.raises(ValueError, match="position"):
        seen.light_curve(np.nan, 0.0, complete=True)
    with pytest.raises(ValueError, match="two components"):
        seen.light_curve(*EMPTY, complete=True, pmra=3.0)
    with pytest.raises(ztfdb.errors.QueryError, match="maximum"):
        seen.light_curve(*EMPTY, 1e4, complete=True)
    empty = seen.light_curves(pd.DataFrame({"ra": [], "dec": []}), complete=True)
    assert tuple(empty.columns) == (*COMPLETE_COLUMNS, "position")
    assert empty.empty


def gaussian_psf(fwhm):
    """The PSF of the simulated stars in DAOPHOT's form: half widths at half maximum, no corrections."""
    half = np.array([fwhm / 2.0, fwhm / 2.0])
    return PsfModel("GAUSSIAN", 13.5, 7000.0, 1535.5, 1539.5, half, np.zeros((1, 47, 47)), 1, 0)


def test_the_psf_is_fitted_where_it_lies_beside_the_image(archive, tmp_path):
    for number in range(4):
        made = make_epoch(tmp_path, number)
        if number != 2:
            path = Path(str(made.sci).replace("sciimg.fits", "sciimgdao.psf"))
            write_psf(gaussian_psf(made.exposure.fwhm), path)
    archive.ingest(tmp_path)
    for star in (BRIGHT, FAINT):
        curve = archive.light_curve(*star[:2], complete=True, measure="psf")
        assert reasons(curve) == {2: "no PSF file"}
        fitted = curve.data[curve["kind"] != "unavailable"]
        truth = 10 ** (0.4 * (23.9 - star[2]))
        pull = (fitted["flux_ujy"] - truth) / np.hypot(fitted["flux_ujy_err"], 0.01 * truth)
        assert (pull.abs() < 4.5).all()
        assert fitted["chi"].between(*((0.6, 1.6) if star is FAINT else (1.6, 9.0))).all()  # BRIGHT has a neighbour
        assert fitted["aperture"].isna().all()
        assert curve.meta["n_measured"] == 3
        again = archive.light_curve(*star[:2], complete=True, measure="psf")
        assert again.meta["n_measured"] == 0
        pd.testing.assert_frame_equal(curve.data, again.data)
    apertures = archive.light_curve(*BRIGHT[:2], complete=True, measure="forced").data
    assert (apertures["kind"] == "forced").all()
    assert apertures["chi"].isna().all()


def test_barycentric_dates_on_request(seen):
    curve = seen.light_curve(*EMPTY, complete=True, bjd=True).data
    assert tuple(curve.columns) == (*COMPLETE_COLUMNS, "bjd_tdb")
    site = EarthLocation.from_geodetic(-116.8597 * u.deg, 33.3558 * u.deg, 1706 * u.m)
    time = Time(curve["mjd_mid"].to_numpy(), format="mjd", scale="utc", location=site)
    star = SkyCoord(*EMPTY, unit="deg")
    truth = (time.tdb + time.light_travel_time(star, ephemeris="builtin")).jd
    np.testing.assert_allclose(curve["bjd_tdb"], truth, rtol=0, atol=0.01 / 86400)
    many = seen.light_curves(pd.DataFrame({"ra": [EMPTY[0]], "dec": [EMPTY[1]]}), complete=True, bjd=True)
    np.testing.assert_array_equal(many["bjd_tdb"], curve["bjd_tdb"])
