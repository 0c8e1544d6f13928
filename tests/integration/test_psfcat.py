"""ZTF's own PSF catalogues in the archive: in unchanged, asked like our own sources, refused without harm."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits

import ztfdb
from tests.support.catalogues import NIGHT, REAL, bright_star, make_epochs, real_refpsfcat, table_of
from tests.support.postgres import ENGINES
from ztfdb.bits import CATFLAG_UNUSABLE
from ztfdb.dao.model import PsfModel
from ztfdb.dao.psffile import write_psf
from ztfdb.errors import QueryError, StoreError
from ztfdb.frame.psfcat import read_psfcat
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.query.answer import IRSA_COLUMNS, PSF_COLUMNS
from ztfdb.simulate import make_psfcat, make_science_image, write_psfcat
from ztfdb.sky.angles import separation
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import ZTF_PSF, rows_of_image
from ztfdb.store.engine import writing
from ztfdb.store.psf_catalogues import psf_catalogue, store_psf

FILE_NAMES = {"flux_err": "sigflux", "mag_inst": "mag"}
"""Columns that ZTF names otherwise."""

REAL_ID = 10**13 + (202 * 4 + 1) * 64 + 36


@pytest.fixture(scope="session")
def campaign(tmp_path_factory):
    """Four exposures of 60 stars with their catalogues."""
    folder = tmp_path_factory.mktemp("psfcat")
    return folder, make_epochs(folder)


@pytest.fixture
def files(campaign, tmp_path):
    return shutil.copytree(campaign[0], tmp_path / "night")


@pytest.fixture
def seen(archive, campaign):
    report = archive.ingest(campaign[0])
    assert (report.stored, report.failed, report.psfcat_refusals) == (4, 0, ())
    return archive


def stored(archive, image_id):
    with archive._sessions() as session:
        return psf_catalogue(session, image_id), rows_of_image(session, ZTF_PSF, image_id)


def ask(archive, statement, **params):
    """Read by SQL; the test server's only role may do everything, which ``sql`` refuses by itself."""
    return archive.sql(statement, force=True, **params)


def edit(path, change):
    """Rewrite a catalogue after changing its HDUs."""
    with fits.open(path) as hdus:
        opened = [hdu.copy() for hdu in hdus]
    change(opened)
    fits.HDUList(opened).writeto(path, overwrite=True)


def test_the_real_refpsfcat_comes_out_as_it_went_in(archive, shared_data):
    path = real_refpsfcat(shared_data)
    report = archive.ingest_psfcat(path)
    assert (report.stored, report.n_psf, report.outcomes[0].image_id) == (1, 18_833, REAL_ID)
    known, rows = stored(archive, REAL_ID)
    table = table_of(path)
    assert (rows["source_id"] == (REAL_ID << SOURCE_ID_SHIFT) + table["sourceid"].astype(np.int64)).all()
    for name in ("flux", "flux_err", "mag_inst", "sigmag", "snr", "chi"):
        assert rows[name].tobytes() == table[FILE_NAMES.get(name, name)].tobytes(), name
    assert (rows["sharp"] == table["sharp"]).all()  # SQLite knows no negative zero
    assert (rows["flags"] == table["flags"]).all()
    for name in ("ra", "dec"):
        assert np.abs(rows[name] - table[name]).max() <= 1e-9
    for name, of_file in (("x", "xpos"), ("y", "ypos")):
        assert (rows[name] + 1.0).astype(np.float32).tobytes() == table[of_file].tobytes()
        assert (rows[name] == table[of_file].astype(np.float64) - 1.0).all()
    assert (known["role"], known["n_source"], known["magzp"], known["rfid"]) == ("refpsfcat", 18_833, 26.325, 202120136)
    assert known["rundate"] == "2020-12-10T07:29:21"
    assert known["cards"]["INPUTPSF"] == "ztf_000202_zg_c10_q1_refdao.psf"
    assert archive.ingest_psfcat(path).unchanged == 1
    assert archive.verify(hashes=True).empty


def test_cones_of_the_real_refpsfcat_are_brute_force(archive, shared_data):
    path = real_refpsfcat(shared_data)
    archive.ingest_psfcat(path)
    table = table_of(path)
    rng = np.random.default_rng(3)
    for number in rng.integers(0, 18_833, 25):
        ra = table["ra"][number] + rng.normal(0.0, 3e-4)
        dec = table["dec"][number] + rng.normal(0.0, 3e-4)
        radius = float(rng.uniform(0.5, 120.0))
        apart = separation(ra, dec, table["ra"], table["dec"])
        inside = np.flatnonzero(apart <= radius)
        inside = inside[np.lexsort((table["sourceid"][inside], apart[inside]))]
        found = archive.cone(ra, dec, radius, phot="psfcat")
        assert (found["source_id"] - (REAL_ID << SOURCE_ID_SHIFT)).tolist() == table["sourceid"][inside].tolist()
        assert found["flux"].to_numpy(np.float32).tobytes() == table["flux"][inside].tobytes()
        np.testing.assert_allclose(found["mag"], table["mag"][inside].astype(np.float64) + 26.325, atol=1e-12)
        assert set(found["role"]) <= {"refpsfcat"}
    nothing = archive.cone(10.0, 10.0, 5.0, phot="psfcat")
    assert nothing.empty
    assert list(nothing.columns) == list(found.columns)
    assert archive.light_curve(ra, dec, phot="psfcat").data.empty  # a reference is no epoch


def test_a_reference_that_is_not_held_can_be_removed(archive, shared_data):
    archive.ingest_psfcat(real_refpsfcat(shared_data))
    assert archive.remove(REAL_ID).images == (REAL_ID,)
    assert ask(archive, "select count(*) as n from psf_source")["n"].item() == 0
    assert ask(archive, "select count(*) as n from psf_catalogue")["n"].item() == 0


def expected_epochs(campaign, ra, dec, radius=1.5):
    """The light curve that the files themselves give, by brute force."""
    rows = []
    for image in campaign[1]:
        table = table_of(image.sci.with_name(image.sci.name.replace("sciimg", "psfcat")))
        apart = separation(ra, dec, table["ra"], table["dec"])
        if (apart <= radius).any():
            best = np.lexsort((table["sourceid"], apart))[0]
            row = {name: values[best] for name, values in table.items()}
            rows.append(row | {"separation": apart[best], "mjd": round(image.exposure.obsmjd, 7)})
    return pd.DataFrame(rows).sort_values("mjd")


def test_light_curves_are_those_of_the_files(seen, campaign):
    for number in range(3):
        ra, dec, _ = bright_star(campaign[1][0], number)
        curve = seen.light_curve(ra, dec, phot="psfcat")
        want = expected_epochs(campaign, ra, dec)
        assert tuple(curve.columns) == PSF_COLUMNS
        assert tuple(curve.columns[:24]) == IRSA_COLUMNS
        assert curve["mjd"].tolist() == want["mjd"].tolist()
        assert (curve["phot"] == "psfcat").all()
        assert curve["aperture"].isna().all()
        np.testing.assert_array_equal(curve["chi"].to_numpy(np.float32), want["chi"])
        np.testing.assert_array_equal(curve["sharp"].to_numpy(np.float32), want["sharp"])
        np.testing.assert_allclose(curve["mag"], want["mag"].to_numpy(float) + curve["magzp"], atol=1e-12)
        np.testing.assert_allclose(curve["magerr"], np.hypot(want["sigmag"].to_numpy(float), 0.015), atol=1e-12)
        np.testing.assert_allclose(
            curve["flux_ujy"], want["flux"].to_numpy(float) * 10 ** (0.4 * (23.9 - curve["magzp"])), rtol=1e-3
        )
        np.testing.assert_allclose(
            curve["snr"], want["flux"].to_numpy(float) / want["sigflux"].to_numpy(float), rtol=1e-12
        )
        assert curve["catflags"].tolist() == want["flags"].tolist()
        assert (curve["source_id"] & 0x3FFFF).tolist() == want["sourceid"].tolist()


def test_many_positions_give_what_each_gives(seen, campaign):
    stars = pd.DataFrame([bright_star(campaign[1][0], k)[:2] for k in range(4)] + [(1.0, 1.0)], columns=["ra", "dec"])
    for phot in ("psfcat", "both"):
        together = seen.light_curves(stars, phot=phot)
        for k, (ra, dec) in enumerate(stars.itertuples(index=False)):
            alone = seen.light_curve(ra, dec, phot=phot).data
            some = together[together["position"] == k].drop(columns="position").reset_index(drop=True)
            pd.testing.assert_frame_equal(some, alone, check_flags=False)
        assert together["position"].is_monotonic_increasing


def test_pieces_are_the_whole(seen, campaign, monkeypatch):
    monkeypatch.setattr("ztfdb.query.targets.POSITIONS_PER_CHUNK", 2)
    stars = pd.DataFrame([bright_star(campaign[1][0], k)[:2] for k in range(5)], columns=["ra", "dec"])
    for options in ({"phot": "psfcat", "color": 0.3}, {"phot": "both"}, {"phot": "psfcat", "complete": True}):
        whole = seen.light_curves(stars, **options)
        pieces = list(seen.iter_light_curves(stars, **options))
        assert len(pieces) == 3
        pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole, check_flags=False)
    monkeypatch.setattr("ztfdb.query.detections.MOST_EPOCHS", 10)
    with pytest.raises(QueryError, match="more than 10 epochs"):
        seen.light_curves(stars, phot="psfcat")


def test_both_holds_each_alone_side_by_side(seen, campaign):
    ra, dec, mag = bright_star(campaign[1][0])
    both = seen.light_curve(ra, dec, phot="both").data
    assert both["phot"].tolist() == ["psfcat", "aperture"] * 4
    assert both["mjd"].is_monotonic_increasing
    ours, theirs = (both[both["phot"] == name].reset_index(drop=True) for name in ("aperture", "psfcat"))
    pd.testing.assert_frame_equal(theirs[list(PSF_COLUMNS)], seen.light_curve(ra, dec, phot="psfcat").data)
    alone = seen.light_curve(ra, dec).data
    pd.testing.assert_frame_equal(ours[list(alone.columns)], alone, check_dtype=False)
    assert abs(both.groupby("phot", observed=True)["mag"].median() - mag).max() < 0.03


def test_both_engines_give_the_same(both_urls, campaign, shared_data):
    answers = {}
    for engine in ENGINES:
        with ztfdb.open(both_urls[engine], create=True) as archive:
            archive.ingest(campaign[0])
            archive.ingest_psfcat(real_refpsfcat(shared_data))
            ra, dec, _ = bright_star(campaign[1][0])
            stars = {"ra": campaign[1][0].truth.ra, "dec": campaign[1][0].truth.dec}
            answers[engine] = [
                archive.cone(ra, dec, 60.0, phot="psfcat"),
                archive.cone(25.4, -30.0, 200.0, phot="psfcat"),
                *(archive.light_curve(ra, dec, phot=phot, color=0.5).data for phot in ("psfcat", "both")),
                *(archive.light_curves(stars, phot=phot) for phot in ("psfcat", "both")),
                *(archive.light_curves(stars, phot=phot, complete=True, bjd=True) for phot in ("psfcat", "both")),
                ask(archive, "select * from psf_light_curve_point order by source_id"),
            ]
    for one, other in zip(*answers.values(), strict=True):
        pd.testing.assert_frame_equal(one, other, rtol=1e-12, atol=1e-12)


def test_the_view_says_what_the_light_curve_says(seen, campaign):
    ra, dec, _ = bright_star(campaign[1][0])
    curve = seen.light_curve(ra, dec, phot="psfcat").data
    view = ask(seen, "select * from psf_light_curve_point order by mjd, image_id").set_index("source_id")
    view = view.loc[curve["source_id"].tolist()].reset_index()
    for name in ("mjd", "ra", "dec", "mag", "magerr", "flux_ujy", "flux_ujy_err", "snr", "chi", "sharp", "limitmag"):
        np.testing.assert_allclose(view[name].astype(float), curve[name], rtol=1e-12)
    for name in ("catflags", "mask_bits", "image_id", "field", "good"):
        assert view[name].astype(int).tolist() == curve[name].astype(int).tolist()


def test_cuts_apply_to_catalogues_too(seen, campaign):
    ra, dec, _ = bright_star(campaign[1][0])
    assert set(seen.light_curve(ra, dec, phot="psfcat", filters="zr")["filtercode"]) == {"zr"}
    assert len(seen.light_curve(ra, dec, phot="psfcat", mjd=(NIGHT + 0.5, NIGHT + 2.5))) == 2
    plain = seen.light_curve(ra, dec, phot="psfcat").data
    coloured = seen.light_curve(ra, dec, phot="psfcat", color=0.4).data
    np.testing.assert_allclose(coloured["mag"] - plain["mag"], 0.4 * plain["clrcoeff"], atol=1e-12)
    assert set(coloured["calibration"]) == {"header+colour"}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"phot": "dao"}, "phot 'dao': expected aperture, psfcat, both, irsa or irsa-both"),
        ({"phot": "psfcat", "calibration": "ps1"}, "are those of apertures"),
        ({"phot": "psfcat", "pmra": 3.0}, "pmra: not with"),
        ({"phot": "both", "complete": True, "measure": "psf"}, "measure: not with"),
        ({"phot": "psfcat", "aperture": 9}, "aperture 9"),
    ],
)
def test_what_cannot_be_answered_is_said(archive, options, problem):
    with pytest.raises(ValueError, match=problem):
        archive.light_curve(10.0, 10.0, **options)
    if "measure" not in options:
        with pytest.raises(ValueError, match=problem):
            archive.light_curves({"ra": [10.0], "dec": [10.0]}, **options)
    with pytest.raises(ValueError, match="phot 'both': expected aperture or psfcat"):
        archive.cone(10.0, 10.0, phot="both")


def test_unusable_images_and_bits_are_flagged(archive, tmp_path):
    bad = make_science_image(tmp_path, n_star=40, seed=4, shape=(300, 310), obsmjd=NIGHT, infobits=1 << 25)
    good = make_science_image(tmp_path, n_star=40, seed=4, shape=(300, 310), obsmjd=NIGHT + 1)
    make_psfcat(bad)
    flagged = make_psfcat(good)

    def change(hdus):
        hdus[1].data["flags"][:] = np.array([-32768 + 256], np.int16)

    edit(flagged, change)
    archive.ingest(tmp_path)
    ra, dec, _ = bright_star(good)
    curve = archive.light_curve(ra, dec, phot="psfcat")
    assert curve["catflags"].tolist() == [CATFLAG_UNUSABLE, 32768 + 256]
    assert curve["good"].tolist() == [False, False]
    assert ask(archive, "select catflags, good from psf_light_curve_point where good = 1").empty
    assert archive.light_curve(ra, dec, phot="psfcat", good=True).data.empty


def psfcat_of(sci):
    return sci.with_name(sci.name.replace("sciimg", "psfcat"))


def test_a_late_catalogue_is_taken_without_measuring(archive, campaign, files):
    late = sorted(files.glob("*psfcat.fits"))
    away = files.parent / "away"
    away.mkdir()
    for path in late:
        shutil.move(path, away / path.name)
    assert archive.ingest(files).n_psf == 0
    before = ask(archive, "select image_id, config_id, n_source from image order by image_id")
    shutil.copy(away / late[0].name, late[0])  # found beside the image by the next ingest
    report = archive.ingest(files)
    assert (report.unchanged, report.stored, report.n_source) == (4, 0, 0)
    assert report.n_psf == len(table_of(late[0])["flux"])
    given = archive.ingest_psfcat(away)  # or told of, from elsewhere
    assert (given.stored, given.known_copies, given.failed) == (3, 1, 0)
    assert archive.ingest_psfcat(away).unchanged == 3
    pd.testing.assert_frame_equal(ask(archive, "select image_id, config_id, n_source from image order by 1"), before)
    assert archive.ingest(files).n_psf == 0
    assert archive.verify(hashes=True).empty


def test_a_catalogue_that_changes_is_taken_again(archive, files):
    archive.ingest(files)
    path = sorted(files.glob("*psfcat.fits"))[0]
    edit(path, lambda hdus: hdus[1].data["flux"].__setitem__(slice(None), hdus[1].data["flux"] * np.float32(2.0)))
    report = archive.ingest(files)
    assert (report.unchanged, report.n_psf) == (4, len(table_of(path)["flux"]))
    image_id = next(one.image_id for one in report.outcomes if one.n_psf)
    _, rows = stored(archive, image_id)
    assert rows["flux"].tobytes() == table_of(path)["flux"].tobytes()


def test_of_two_catalogues_the_newer_is_kept(archive, files, tmp_path):
    archive.ingest(files)
    path = sorted(files.glob("*psfcat.fits"))[0]
    for date, expected in (("2001-01-01", "OlderVersionError"), ("2030-01-01", "")):
        other = tmp_path / f"of_{date}.fits"
        shutil.copy(path, other)
        edit(other, lambda hdus, date=date: hdus[0].header.__setitem__("RUNDATE", date))
        (outcome,) = archive.ingest_psfcat(other).outcomes
        assert outcome.error == expected
    assert outcome.outcome.value == "replaced"


def test_a_catalogue_goes_with_its_image(archive, files):
    archive.ingest(files)
    image_id = int(ask(archive, "select min(image_id) as i from image")["i"].item())
    archive.remove(image_id)
    assert ask(archive, "select count(*) as n from psf_source where image_id = :i", i=image_id)["n"].item() == 0
    assert ask(archive, "select count(*) as n from psf_catalogue")["n"].item() == 3
    with archive._sessions() as session:
        assert count_orphans(session, ZTF_PSF) == 0
    assert archive.verify().empty


def test_measuring_again_keeps_the_catalogue(archive, files):
    archive.ingest(files)
    before = ask(archive, "select * from psf_source order by source_id")
    for path in files.glob("*psfcat.fits"):
        path.unlink()
    report = archive.ingest(files, force=True)
    assert report.replaced == 4
    pd.testing.assert_frame_equal(ask(archive, "select * from psf_source order by source_id"), before)


def test_another_processing_drops_the_catalogue_of_the_old_one(archive, tmp_path):
    how = {"n_star": 40, "seed": 4, "shape": (300, 310), "obsmjd": NIGHT}
    image = make_science_image(tmp_path, **how)
    cat = make_psfcat(image)
    archive.ingest(tmp_path)
    make_science_image(tmp_path, procvsn=2, magzp=26.0, **how)
    report = archive.ingest(tmp_path)
    assert (report.replaced, report.n_psf) == (1, 0)
    assert "another processing" in report.outcomes[0].psfcat_reason
    assert ask(archive, "select count(*) as n from psf_source")["n"].item() == 0
    assert cat.exists()


def damage(kind, path, other):
    if kind == "truncated":
        path.write_bytes(path.read_bytes()[:9000])
    elif kind == "not FITS":
        path.write_bytes(b"<html>404</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "another exposure":
        shutil.copy(other, path)
    elif kind == "another exposure in silence":
        shutil.copy(other, path)

        def forget(hdus):
            for key in ("EXPID", "OBSMJD", "INPUTIMG"):
                hdus[0].header.remove(key)
            hdus[1].data["xpos"] += np.float32(40.0)

        edit(path, forget)
    elif kind == "a column gone":
        path.write_bytes(path.read_bytes().replace(b"'sigflux '", b"'sigflox '"))
    elif kind == "rows gone":
        edit(path, lambda hdus: hdus[0].header.__setitem__("NSOURCES", 7))
    elif kind == "number too large":
        edit(path, lambda hdus: hdus[1].data["sourceid"].__setitem__(0, 1 << 18))
    elif kind == "number negative":
        edit(path, lambda hdus: hdus[1].data["sourceid"].__setitem__(0, -1))
    elif kind == "number twice":
        edit(path, lambda hdus: hdus[1].data["sourceid"].__setitem__(0, 1))
    elif kind == "no position":
        edit(path, lambda hdus: hdus[1].data["ra"].__setitem__(2, np.nan))
    elif kind == "another quadrant":
        edit(path, lambda hdus: (hdus[0].header.__setitem__("QID", 1), hdus[0].header.__setitem__("RCID", 48)))


REASONS = {
    "truncated": "cut short",
    "not FITS": "not a FITS file",
    "empty": "the file is empty",
    "another exposure": "expid of the catalogue is",
    "another exposure in silence": "pixels .median. from where",
    "a column gone": "no column sigflux",
    "rows gone": "NSOURCES is 7, the table has",
    "number too large": "sourceid is 262144 in row 0",
    "number negative": "sourceid is -1 in row 0",
    "number twice": "a sourceid occurs twice",
    "no position": "ra is nan in row 2",
    "another quadrant": "rcid of the catalogue is 48, of the image",
}


@pytest.mark.parametrize("kind", REASONS)
def test_a_bad_catalogue_is_refused_and_its_image_stored(archive, files, kind, caplog):
    first, _, other, _ = sorted(files.glob("*psfcat.fits"))  # the third is in the same filter
    damage(kind, first, other)
    report = archive.ingest(files)
    assert (report.stored, report.failed) == (4, 0)
    (refused,) = report.psfcat_refusals
    assert refused.n_source > 0
    assert refused.n_psf is None
    assert pd.Series([refused.psfcat_reason]).str.contains(REASONS[kind]).all(), refused.psfcat_reason
    assert "PSF catalogue refused" in caplog.text
    assert ask(archive, "select count(*) as n from psf_catalogue")["n"].item() == 3
    assert archive.verify().empty
    again = archive.ingest(files)  # told again, and no harm done
    assert (again.unchanged, len(again.psfcat_refusals)) == (4, 1)
    (late,) = archive.ingest_psfcat(first).outcomes
    if "another exposure" not in kind:
        assert late.outcome.value == "failed"


def test_a_catalogue_of_no_image_is_refused(archive, campaign):
    cat = psfcat_of(campaign[1][0].sci)
    (outcome,) = archive.ingest_psfcat(cat).outcomes
    assert (outcome.outcome.value, outcome.error) == ("failed", "UnknownImageError")
    assert "no image of exposure" in outcome.reason


def test_a_catalogue_may_be_given_by_hand(archive, campaign, tmp_path):
    image = campaign[1][0]
    sci, cat = tmp_path / "mine.fits", tmp_path / "its stars.fits.gz"
    shutil.copy(image.sci, sci)
    with fits.open(psfcat_of(image.sci)) as hdus:
        hdus.writeto(cat)
    report = archive.ingest(sci, psfcat=cat)
    assert (report.stored, report.n_psf) == (1, len(table_of(psfcat_of(image.sci))["flux"]))
    known, _ = stored(archive, report.outcomes[0].image_id)
    assert known["compression"] == "gzip"
    with pytest.raises(ValueError, match="belongs to one image"):
        archive.ingest([sci, campaign[1][1].sci], psfcat=cat)


def test_a_cutout_has_the_rows_inside_it_in_its_own_pixels(archive, tmp_path):
    whole = make_science_image(tmp_path / "whole.fits", n_star=80, seed=6, shape=(400, 400), x0=1000, y0=1200)
    cat = make_psfcat(whole, path=tmp_path / "all.fits")
    stars = (whole.truth.x - 100, whole.truth.y - 50, whole.truth.flux)
    part = make_science_image(tmp_path / "part.fits", stars=stars, seed=7, shape=(200, 200), x0=1100, y0=1250)
    report = archive.ingest([whole.sci, part.sci])
    assert report.stored == 2
    table = table_of(cat)
    assert archive.ingest_psfcat(cat).stored == 1
    for image_id, (x0, y0, side) in zip(
        [one.image_id for one in report.outcomes], [(1000, 1200, 400), (1100, 1250, 200)], strict=True
    ):
        known, rows = stored(archive, image_id)
        x, y = table["xpos"].astype(float) - 1 - x0, table["ypos"].astype(float) - 1 - y0
        inside = (x >= -0.5) & (x < side - 0.5) & (y >= -0.5) & (y < side - 0.5)
        assert known["n_source"] == inside.sum() > 10
        assert (rows["x"] == x[inside]).all()
        assert (rows["source_id"] & 0x3FFFF).tolist() == table["sourceid"][inside].tolist()
    curve = archive.light_curve(*bright_star(part)[:2], phot="psfcat")
    assert len(curve) == 1  # one epoch of one exposure


def test_complete_light_curves_fall_back_to_our_own_measurements(archive, tmp_path):
    images = make_epochs(tmp_path, 4, fwhm=2.2)
    ra, dec, mag = bright_star(images[0])
    for number in (1, 2, 3):  # these catalogues lack the star

        def lose(hdus):
            near = separation(ra, dec, hdus[1].data["ra"], hdus[1].data["dec"]) < 2.0
            hdus[1].data = hdus[1].data[~near]
            hdus[0].header["NSOURCES"] = int((~near).sum())

        edit(psfcat_of(images[number].sci), lose)
    # the PSF of the simulated stars, in DAOPHOT's form
    psf = PsfModel("GAUSSIAN", 13.5, 7000.0, 1535.5, 1539.5, np.full(2, 1.1), np.zeros((1, 47, 47)), 1, 0)
    write_psf(psf, images[1].sci.with_name(images[1].sci.name.replace(".fits", "dao.psf")))
    archive.ingest(tmp_path)
    curve = archive.light_curve(ra, dec, phot="psfcat", complete=True).data
    assert curve["phot"].tolist() == ["psfcat", "psf", "aperture", "aperture"]
    assert curve["kind"].tolist() == ["detection", "forced", "detection", "detection"]
    assert curve["chi"].notna().tolist() == [True, True, False, False]
    assert curve["mag"].to_numpy() == pytest.approx(mag, abs=0.1)
    both = archive.light_curve(ra, dec, phot="both", complete=True).data
    assert both["phot"].tolist() == ["psfcat", "aperture", "psf", "aperture", "aperture", "aperture"]
    assert curve["image_id"].tolist() == sorted(curve["image_id"], key=both["image_id"].tolist().index)
    empty = archive.light_curve(ra + 0.003, dec + 0.003, radius=0.3, phot="psfcat", complete=True).data
    assert set(empty["kind"]) <= {"forced", "limit"}
    assert len(empty) == 4
    plain = archive.light_curve(ra, dec, complete=True).data
    assert [name for name in plain.columns if name not in curve.columns] == []


def test_a_reference_has_its_catalogue_beside_it(archive, tmp_path):
    image = make_science_image(tmp_path / "s.fits", n_star=60, seed=8, shape=(300, 310), mask=False)
    sci, ref = image.sci, tmp_path / "ztf_000655_zg_c13_q3_refimg.fits"
    with fits.open(sci) as hdus:
        header = hdus[0].header
        for key in (
            "EXPID",
            "DBEXPID",
            "DBPID",
            "OBSMJD",
            "OBSJD",
            "HJD",
            "SHUTOPEN",
            "SHUTCLSD",
            "SIMULATE",
            "FILENAME",
        ):
            del header[key]
        header["RFID"] = 655120150
        hdus.writeto(ref)
    sci.unlink()
    (outcome,) = archive.ingest(ref).outcomes
    row = ask(archive, "select kind, x0, y0, fid from image").iloc[0]
    assert row["kind"] == "ref"
    t = image.truth
    columns = {"xpos": t.x + row["x0"] + 1, "ypos": t.y + row["y0"] + 1, "ra": t.ra, "dec": t.dec, "flux": t.flux}
    cat = write_psfcat(tmp_path / "ztf_000655_zg_c13_q3_refpsfcat.fits", header, columns | {"sigflux": 0.01 * t.flux})
    assert archive.ingest(tmp_path).n_psf == len(t)
    known, rows = stored(archive, outcome.image_id)
    assert known["role"] == "refpsfcat"
    np.testing.assert_allclose(rows["x"], t.x, atol=0.001)
    assert archive.ingest_psfcat(cat).unchanged == 1
    assert archive.cone(t.ra[0], t.dec[0], 0.5, phot="psfcat")["role"].tolist() == ["refpsfcat"]
    assert archive.light_curve(t.ra[0], t.dec[0], phot="both").data.empty
    assert archive.verify(hashes=True).empty


@pytest.fixture(scope="module")
def three_exposures(shared_data, tmp_path_factory):
    """The three real exposures as files: cutouts with their PSF beside them, and ZTF's rows of their stars."""
    folder, source = tmp_path_factory.mktemp("three"), shared_data / "psf"
    stars, catalogues = [], []
    for exposure in json.loads((source / "manifest.json").read_text())["images"]:
        place = folder / exposure["stem"]
        place.mkdir()
        targets = sorted((t for t in exposure["targets"] if t["kind"] == "star"), key=lambda t: t["ypos"])
        for number, target in enumerate(targets):
            shutil.copy(source / exposure["stem"] / target["file"], place / f"{number}_sciimg.fits")
            shutil.copy(source / exposure["stem"] / exposure["psf"], place / f"{number}_sciimgdao.psf")
            stars.append({**target, "pid": exposure["metadata"]["pid"], "expid": exposure["metadata"]["expid"]})
        header = fits.getheader(place / "0_sciimg.fits")
        names = ("xpos", "ypos", "ra", "dec", "flux", "sigflux")
        catalogues.append(
            write_psfcat(folder / f"{exposure['stem']}.fits", header, {n: [t[n] for t in targets] for n in names})
        )
    return folder, catalogues, pd.DataFrame(stars)


def test_three_real_exposures_agree_with_ztf(archive, three_exposures):
    folder, catalogues, stars = three_exposures
    assert archive.ingest(str(folder / "*" / "*_sciimg.fits")).stored == 27
    report = archive.ingest_psfcat(catalogues)
    assert (report.stored, report.n_psf) == (3, 27)
    table = archive.light_curves(stars[["ra", "dec"]], phot="both", complete=True, aperture=5)
    table = table[table["expid"] == stars["expid"].to_numpy()[table["position"]]]
    assert table.groupby("position")["phot"].apply(list).tolist() == [["psfcat", "psf", "aperture"]] * 27
    mag = table.pivot(index="position", columns="phot", values="mag")
    for name in ("psf", "aperture"):
        difference = mag[name] - mag["psfcat"]
        assert abs(difference.median()) < 0.01
    want = table[table["phot"] == "psf"]["magzp"].to_numpy() - 2.5 * np.log10(stars["flux"].to_numpy())
    np.testing.assert_allclose(mag["psfcat"], want, atol=0.00051)  # ZTF writes thousandths


def test_simulated_tables_look_like_the_real_one(campaign, shared_data):
    with fits.open(real_refpsfcat(shared_data)) as real, fits.open(psfcat_of(campaign[1][0].sci)) as ours:
        assert [hdu.name for hdu in ours] == [hdu.name for hdu in real]
        assert ours[1].columns.names == real[1].columns.names
        assert ours[1].columns.dtype == real[1].columns.dtype
        assert [c.unit for c in ours[1].columns] == [c.unit for c in real[1].columns]
        assert set(real[0].header) - set(ours[0].header) <= {"INPUTPSF", "RFID", "COMMENT"}
        assert ours[0].header["SIMULATE"] is True
    assert REAL


def test_rows_of_one_number_are_never_stored(engine_url, tmp_path):
    """Whoever made the record: PostgreSQL's key alone would take them, at two places."""
    made = make_science_image(tmp_path, shape=(160, 160), n_star=20, seed=1)
    record = read_psfcat(make_psfcat(made))
    twice = record.table.sourceid.copy()
    twice[-1] = twice[0]
    with ztfdb.open(engine_url, create=True) as archive:
        archive.ingest(made.sci)
        ids = archive.sql("select image_id from image", force=True)["image_id"]
        before = archive.sql("select source_id from psf_source order by 1", force=True)
        wrong = replace(record, table=replace(record.table, sourceid=twice))
        with pytest.raises(StoreError, match="a sourceid twice"), writing(archive._sessions) as session:
            store_psf(session, int(ids[0]), wrong)
        after = archive.sql("select source_id from psf_source order by 1", force=True)
    assert len(before) > 0
    pd.testing.assert_frame_equal(before, after)
