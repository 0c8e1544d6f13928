"""The commands of complete light curves, stamps, explanations and upkeep, on both engines."""

from __future__ import annotations

import json
import re
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import ztfdb
from tests.support.children import in_a_child
from ztfdb.cli.app import application
from ztfdb.cli.lightcurve import save_plot
from ztfdb.cli.stamp import save as save_stamps
from ztfdb.simulate import make_science_image

RA, DEC = 57.9974, 35.7463
POSITION = (str(RA), str(DEC))
EMPTY = (str(RA + 0.004), str(DEC))


@dataclass
class Night:
    """An archive of three exposures."""

    url: str
    folder: Path

    def run(self, *words):
        return CliRunner().invoke(application, ["--db", self.url, *words])

    def rows(self, *words):
        result = self.run(*words, "--format", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture(scope="session")
def exposures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exposures")
    for k, filtercode in enumerate(("zr", "zg", "zr")):
        how = {"obsmjd": 59116.25 + k, "filtercode": filtercode, "ra": RA, "dec": DEC, "shape": (120, 120)}
        make_science_image(folder, sky_stars=([RA], [DEC], [16.5]), seed=k, **how)
    return folder


@pytest.fixture
def night(engine_url, exposures, tmp_path):
    made = Night(engine_url, Path(shutil.copytree(exposures, tmp_path / "exposures")))
    assert made.run("init").exit_code == 0
    assert made.run("ingest", str(made.folder)).exit_code == 0
    return made


@pytest.fixture(scope="module")
def sqlite_night(databases, exposures):
    url = databases.migrated("sqlite")
    made = Night(url, exposures)
    assert made.run("init").exit_code == 0
    assert made.run("ingest", str(exposures)).exit_code == 0
    yield made
    databases.drop(url)


def test_a_complete_light_curve_and_its_picture(night, tmp_path):
    rows = night.rows("lightcurve", *EMPTY, "--complete")
    assert [row["kind"] for row in rows] == ["limit"] * 3
    assert night.rows("lightcurve", *EMPTY) == []
    forced = night.rows("lightcurve", *POSITION, "--complete", "--forced")
    assert [row["kind"] for row in forced] == ["forced"] * 3
    table = night.run("lightcurve", *EMPTY, "--complete")
    assert "upper_limit_mag" in table.stdout.splitlines()[0]
    picture = tmp_path / "star.png"
    assert night.run("lightcurve", *POSITION, "--complete", "--plot", str(picture), "--stamps").exit_code == 0
    assert picture.stat().st_size > 10_000


def test_how_likely_a_star_of_a_magnitude_is_found(night):
    assert night.run("completeness").exit_code == 0
    ask = ("lightcurve", *EMPTY, "--complete", "--mag")
    for mag, low, high in (("15", 0.9, 1.0), ("24", 0.0, 0.1)):
        found = [float(row["p_detect"]) for row in night.rows(*ask, mag)]
        assert len(found) == 3 and all(low <= p <= high for p in found)
    for words in (("--mag", "20"), ("--complete", "--mag", "nan"), ("--complete", "--mag", "bright")):
        assert night.run("lightcurve", *EMPTY, *words).exit_code == 2


def test_moving_targets(night, tmp_path):
    path = tmp_path / "path.csv"
    path.write_text(f"time,ra,dec\n59116,{RA},{DEC}\n59120,{RA + 0.01},{DEC}\n")
    rows = night.rows("lightcurve", str(path), "--moving", "--complete")
    assert len(rows) == 3
    assert len({row["x"] for row in rows}) == 3
    rows = night.rows("lightcurve", *POSITION, "--complete", "--pmra", "-5000", "--pmdec", "0", "--epoch", "2016")
    assert {row["kind"] for row in rows} == {"limit"}
    for words in (("--stamps",), ("--forced",), ("--moving",), ("--complete", "--pmra", "3")):
        assert night.run("lightcurve", *POSITION, *words).exit_code == 2


def test_every_command_finds_files_in_the_folders_of_this_host(night, tmp_path, monkeypatch):
    """Another host has the images at another path, which its configuration tells."""
    source = night.rows("cone", *POSITION, "2")[0]["source_id"]
    night.folder.rename(tmp_path / "here")
    assert night.run("verify").exit_code == 1
    monkeypatch.setenv("ZTFDB_ROOTS", f"exposures={tmp_path / 'here'}")
    for words in (
        ("verify", "--hashes"),
        ("stamp", *POSITION),
        ("stamp", *POSITION, "--image", night.rows("images", *POSITION)[0]["image_id"]),
        ("explain", "source", source),
        ("lightcurve", *POSITION, "--plot", str(tmp_path / "star.png"), "--stamps"),
    ):
        result = night.run(*words)
        assert result.exit_code == 0, (words, result.output)
    forced = night.rows("lightcurve", *POSITION, "--complete", "--forced")
    assert [row["kind"] for row in forced] == ["forced"] * 3
    assert [row["failure"] for row in night.rows("completeness", "--passes", "1")] == [None] * 3


@pytest.mark.parametrize("name", ["s.png", "s.pdf", "s.svg", "s.npy", "s.fits", "s.gif", "c.png", "c.pdf"])
def test_a_picture_or_stamps_that_do_not_fit_leave_the_former_file(sqlite_night, tmp_path, name):
    path = tmp_path / name
    path.write_text("former")
    with ztfdb.open(sqlite_night.url) as archive:
        series, curve = archive.stamps(RA, DEC, size=31), archive.light_curve(RA, DEC)

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # as a disk with room for only this much
        save_stamps(series, path) if name.startswith("s") else save_plot(curve, path)

    assert re.fullmatch(rf"OutputError\(.*{name} cannot be written: .*", in_a_child(work))
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir() if one.is_file()] == [(name, "former")]


def test_stamps_as_list_fits_picture_and_numbers(night, tmp_path):
    listed = night.run("stamp", *POSITION)
    assert listed.exit_code == 0
    assert listed.stdout.count(" ok ") == 3
    for name in ("s.fits", "s.png", "s.npy"):
        result = night.run("stamp", *POSITION, "-o", str(tmp_path / name), "--north-up", "--size", "31")
        assert result.exit_code == 0, result.output
        assert "wrote 3 stamps" in result.stderr
    assert np.load(tmp_path / "s.npy").shape == (3, 31, 31)
    assert fits.getheader(tmp_path / "s.fits")["NSTAMP"] == 3
    assert night.run("stamp", *POSITION, "-o", str(tmp_path / "s.txt")).exit_code == 2
    assert night.run("stamp", "3", "3", "-o", str(tmp_path / "n.fits")).exit_code == 1
    image_id = night.rows("images", *POSITION)[0]["image_id"]
    assert len(night.run("stamp", *POSITION, "--image", image_id).stdout.splitlines()) == 3
    next(night.folder.glob("*zg*sciimg*")).unlink()
    gone = night.run("stamp", *POSITION)
    assert (gone.exit_code, gone.stderr.count("no such file")) == (1, 1)


def test_explain_shows_that_the_numbers_come_back(night):
    source_id = night.rows("cone", *POSITION, "3")[0]["source_id"]
    told = night.run("explain", "source", source_id)
    assert told.exit_code == 0
    assert "identical to the last bit" in told.stdout
    assert "sha256" in told.stdout
    assert "not asked for" in night.run("explain", "source", source_id, "--no-measure").stdout
    for path in night.folder.glob("*sciimg*"):
        path.write_bytes(path.read_bytes() + b"x")
    changed = night.run("explain", "source", source_id)
    assert (changed.exit_code, "not what was ingested" in changed.stdout) == (1, True)
    assert night.run("explain", "source", "7").exit_code == 1
    assert night.run("explain", "7").stderr == night.run("explain", "source", "7").stderr
    for wrong in (["star", "7"], ["source", "7", "8"], ["source"], ["x"], ["-1"], []):
        assert night.run("explain", *wrong).exit_code == 2, wrong


def test_relocate_verify_and_remove(night, tmp_path):
    sound = night.run("verify", "--hashes")
    assert (sound.exit_code, "no problems" in sound.stderr, sound.stdout) == (0, True, "")
    assert night.run("verify", "--format", "json").stdout == "[]\n"
    earlier = tmp_path / "problems.csv"
    earlier.write_text("of an earlier night")
    assert night.run("verify", "-o", str(earlier)).exit_code == 0
    assert earlier.read_text() == "image_id,role,path,problem\n"
    moved = tmp_path / "moved"
    night.folder.rename(moved)
    lost = night.run("verify")
    assert (lost.exit_code, "problems of files: `ztfdb relocate` records" in lost.stderr) == (1, True)
    assert "stored rows" not in lost.stderr
    root = json.loads(night.run("status", "--format", "json").stdout)["roots"][0]["name"]
    assert night.run("relocate", root, str(moved)).exit_code == 0
    assert night.run("verify").exit_code == 0
    assert night.run("relocate", "nowhere", str(moved)).exit_code == 1
    ids = [row["image_id"] for row in night.rows("images", *POSITION)]
    plan = night.run("remove", "night", "20200924", "2020-09-24", "--dry-run")
    assert plan.stdout.split() == [ids[0]]
    assert "would remove 1 image with" in plan.stderr
    assert len(night.rows("images", *POSITION)) == 3
    assert night.run("remove", "night", "20200924").exit_code == 0
    assert night.run("remove", "image", ids[1]).exit_code == 0
    assert [row["image_id"] for row in night.rows("images", *POSITION)] == ids[2:]
    assert night.run("remove", "image", "5").exit_code == 1
    assert list(moved.iterdir())


def test_metadata_are_imported(night, tmp_path):
    table = tmp_path / "irsa.csv"
    table.write_text("pid,infobits,seeing,maglimit\n5,0,2.0,20.0\n")
    result = night.run("images", "import-metadata", str(table))
    assert (result.exit_code, "1 rows" in result.stdout) == (0, True)
    assert night.run("images", "import-metadata").exit_code == 2
    table.write_text("a,b\n1,2\n")
    assert night.run("images", "import-metadata", str(table)).exit_code == 1
