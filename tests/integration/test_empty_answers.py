"""An empty answer says what the archive holds there, beside the rows and never among them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ztfdb
from ztfdb.cli.app import application
from ztfdb.query.hint import circular_range
from ztfdb.simulate import make_science_image

RA, DEC = 16.8, 5.0
MJDS = {"zg": (59116.2, 59117.2), "zr": (59118.2, 59119.2, 59120.2)}
BRIGHT, FAINT = 17.0, 25.0
BESIDE = 12.0 / 3600.0
"""Degrees north of the bright star, where there is nothing."""


def held(folder: Path) -> None:
    k = 0
    for filtercode, mjds in MJDS.items():
        for mjd in mjds:
            make_science_image(
                folder,
                sky_stars=(np.array([RA]), np.array([DEC]), np.array([BRIGHT])),
                shape=(120, 120),
                ra=RA,
                dec=DEC,
                obsmjd=mjd,
                filtercode=filtercode,
                seed=k,
            )
            k += 1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("held")
    held(made)
    return made


@pytest.fixture
def filled(archive, folder):
    assert archive.ingest(folder).stored == 5
    return archive


QUESTIONS = [
    # asked, what is said
    (("light_curve", DEC, RA), "did you swap ra and dec? 5 images cover (16.80000, +5.00000)"),
    (("light_curve", RA / 15, DEC), "is ra in hours? 5 images cover (16.80000, +5.00000)"),
    (("cone", RA * 15, DEC), "is ra in degrees, not in hours? 5 images"),
    (("images", RA, -DEC), "is the sign of dec right? 5 images"),
    (("stamps", 100.0, 50.0), "no image covers (100.00000, +50.00000); the archive covers the sky about RA 16.8"),
    (("light_curve", RA, DEC, {"filter": "i"}), "5 images cover it, none in zi: there are 2 in zg, 3 in zr"),
    (("stamps", RA, DEC, {"filter": "i"}), "5 images cover it, none in zi: there are 2 in zg, 3 in zr"),
    (("light_curve", RA, DEC, {"field": 9999}), "none of field 9999: there are those of field"),
    (("stamps", RA, DEC, {"mjd": ("2021-01-01", None)}), "none from MJD 59215: there are those of 2020-09-24 to"),
    (("light_curve", RA, DEC, {"radius": 0}), "0 have a detection within 0 arcsec (a radius of 0 finds only"),
    (
        ("light_curve", RA, DEC + BESIDE),
        "5 images cover it, 0 have a detection within 1.5 arcsec (the nearest is 12.0 arcsec away): "
        "try a larger radius or a complete light curve (--complete, complete=True)",
    ),
    (("cone", RA, DEC + BESIDE, {"radius": 3}), "5 images cover it, 0 have a detection within 3 arcsec"),
    (("light_curve", RA, DEC, {"phot": "psfcat"}), "0 have a row in ZTF's PSF catalogue within 1.5 arcsec"),
    (("completeness", DEC, RA), "did you swap ra and dec? 5 images cover (16.80000, +5.00000)"),
    (("completeness", RA, DEC, {"filter": "i"}), "5 images cover it, none in zi: there are 2 in zg, 3 in zr"),
    (("images_of_night", "2020-09-30"), "no image of the night 20200930; the archive holds images of 2020-09-24 to"),
]  # fmt: skip


@pytest.mark.parametrize(("asked", "words"), QUESTIONS)
def test_python_warns_with_what_is_there(filled, asked, words):
    name, *where = asked
    options = where.pop() if isinstance(where[-1], dict) else {}
    with pytest.warns(ztfdb.EmptyAnswerWarning) as caught:
        answer = getattr(filled, name)(*where, **options)
    assert len(answer) == 0
    (one,) = caught
    assert words in str(one.message)
    assert Path(one.filename) == Path(__file__)  # the line that asked, not one of ztfdb


def test_images_that_were_not_tested_with_artificial_stars(filled, engine_url):
    words = "of 5 images here, none has been tested with artificial stars: `ztfdb completeness`"
    with pytest.warns(ztfdb.EmptyAnswerWarning, match=words):
        assert len(filled.completeness(RA, DEC)) == 5
    result = CliRunner().invoke(application, ["--db", engine_url, "completeness", "--at", str(RA), str(DEC)])
    assert (result.exit_code, result.stderr.startswith(words)) == (0, True)
    result = CliRunner().invoke(application, ["--db", engine_url, "completeness", "--at", str(DEC), str(RA)])
    assert (result.exit_code, "did you swap ra and dec?" in result.stderr) == (0, True)


def test_tables_and_paths(filled):
    with pytest.warns(ztfdb.EmptyAnswerWarning, match=r"no image covers any of 2 positions.*swap") as caught:
        filled.light_curves({"ra": [DEC, DEC], "dec": [RA, RA + 0.001]})
    assert "10 images" not in str(caught[0].message)
    with pytest.warns(ztfdb.EmptyAnswerWarning, match="cover 1 of 2 positions, 0 have a detection within 1.5"):
        filled.light_curves({"ra": [RA, 100.0], "dec": [DEC + BESIDE, 50.0]})
    with pytest.warns(ztfdb.EmptyAnswerWarning, match="no positions"):
        filled.light_curves({"ra": [], "dec": []})
    path = {"time": ["2019-01-01", "2019-02-01"], "ra": [RA, RA], "dec": [DEC, DEC]}
    with pytest.warns(ztfdb.EmptyAnswerWarning, match=r"no image covers the path at its time; .*MJD 59116"):
        filled.light_curve_on_path(path)
    with pytest.warns(ztfdb.EmptyAnswerWarning, match="no image covers the path"):
        filled.stamps_on_path(path)


def test_an_archive_without_images_says_so(archive):
    with pytest.warns(ztfdb.EmptyAnswerWarning, match="has no images yet"):
        archive.light_curve(1.0, 2.0)
    with pytest.warns(ztfdb.EmptyAnswerWarning, match="holds no image with a date"):
        archive.images_of_night("2020-09-24")


def test_answers_with_rows_are_silent(filled):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(filled.light_curve(RA, DEC)) == 5
        assert len(filled.cone(RA, DEC)) == 5
        assert len(filled.light_curve(RA, DEC + BESIDE, complete=True, keep=False)) == 5
        assert len(filled.images_of_night("2020-09-24")) == 1
    assert filled.hint(RA, DEC) == ""
    # The image with the fewest detections decides: a tighter radius than any measured offset.
    separation = np.sort(filled.light_curve(RA, DEC)["separation"])
    between = float((separation[1] + separation[2]) / 2)
    assert filled.hint(RA, DEC, between).startswith(f"5 images cover it, 2 have a detection within {between:g} arcsec:")


def test_the_command_line_says_it_on_stderr(filled, folder, engine_url):
    def run(*words):
        return CliRunner(env={"ZTFDB_URL": engine_url}).invoke(application, [str(word) for word in words])

    result = run("lightcurve", DEC, RA, "--format", "csv")
    assert result.exit_code == 0
    assert "did you swap ra and dec?" in result.stderr
    assert len(result.stdout.splitlines()) == 1  # the names of the columns
    for words, told in (
        (("lightcurve", RA, DEC, "--filter", "i"), "none in zi: there are 2 in zg, 3 in zr"),
        (("lightcurve", RA, DEC, "--fields", 1), "none of field 1"),
        (("cone", RA, DEC, 0), "a radius of 0"),
        (("images", RA + 90, DEC), "the archive covers"),
        (("stamp", RA + 90, DEC), "the archive covers"),
        (("remove", "night", "2020-09-30", "--dry-run"), "no image of the night 20200930"),
    ):
        result = run(*words)
        assert result.exit_code == (words[0] == "remove"), result.stderr
        assert told in result.stderr
        assert told not in result.stdout
    for words, told in (
        (("lightcurve", RA, DEC, "--from", "2459116.5"), "looks like a JD"),
        (("stamp", RA, DEC, "--to", "M31"), "expected an MJD, an ISO date"),
        (("remove", "night", "99999999"), "99999999 is not a date"),
        (("psfcheck", "--night", "99999999"), "99999999 is not a date"),
        (("remove", "image", "abc"), "'abc' is not the id of an image"),
        (("lightcurve", "M31"), "SkyCoord.from_name('M31')"),
        (("images", "NGC", "1068"), "SkyCoord.from_name('NGC 1068')"),
        (("lightcurve", RA, DEC, "--filter", "y"), "expected zg, zr or zi"),
        (("lightcurve", RA, DEC, "--filter", "g,r"), "ZTF_i; 1, 2, 3); repeat the option for several"),
    ):
        result = run(*words)
        assert (result.exit_code, told in result.stderr) == (2, True), result.stderr
    rows = run("lightcurve", RA, DEC, "--filters", "ZTF_r", "--from", "2020-09-26", "--to", "today", "--format", "csv")
    assert len(rows.stdout.splitlines()) == 1 + len(MJDS["zr"])


def test_the_range_of_right_ascensions_crosses_zero():
    assert circular_range(np.array([359.5, 0.5, 1.0])) == (359.5, 1.0)
    assert circular_range(np.array([10.0, 20.0])) == (10.0, 20.0)
    assert circular_range(np.array([7.0])) == (7.0, 7.0)
