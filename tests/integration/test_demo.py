"""The demo on a small simulated quadrant; ``scripts/demo`` runs it on the real one."""

from __future__ import annotations

import contextlib
import io
import shlex
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from astropy.io import fits
from click.testing import CliRunner

import ztfdb
from tests.support.serving import Serving
from ztfdb.cli.app import application
from ztfdb.cli.demo import run_demo
from ztfdb.demo import SIMULATED_EPOCHS, build_demo
from ztfdb.demo.epochs import AMPLITUDE, DemoError, cepheid, mask_of, variable_mag
from ztfdb.simulate import make_science_image

SHAPE = (400, 380)


@pytest.fixture(scope="module")
def quadrant(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A window of a quadrant with stars well apart, the brightest 7 to 10 mag above the zero point."""
    folder = tmp_path_factory.mktemp("quadrant")
    y, x = np.mgrid[20 : SHAPE[0] - 20 : 24, 20 : SHAPE[1] - 20 : 24].reshape(2, -1)
    flux = 10.0 ** np.random.default_rng(4).uniform(2.8, 4.0, x.size)
    made = make_science_image(folder, stars=(x, y, flux), seed=3, shape=SHAPE, fwhm=2.0)
    with fits.open(made.sci, mode="update", memmap=False) as image:
        del image[0].header["SIMULATE"]  # it plays the real one
    return made.sci


@pytest.fixture(scope="module")
def demo(quadrant: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("demo")
    return folder, run(folder, quadrant)


def run(folder: Path, science: Path) -> str:
    """Run what ``ztfdb demo`` runs once it has the real quadrant; return what it printed."""
    raw = io.BytesIO()
    with io.TextIOWrapper(raw, write_through=True) as out, contextlib.redirect_stdout(out):
        run_demo(folder, science, jobs=2)
        return raw.getvalue().decode()


def test_it_makes_one_real_and_some_simulated_epochs_of_a_star_that_varies(demo):
    folder, _ = demo
    with ztfdb.open(f"sqlite:///{folder / 'demo.sqlite'}") as archive:
        images = archive.sql("select simulated, count(*) as n from image group by simulated order by simulated")
        ra, dec = position(demo)
        curve = archive.light_curve(ra, dec).to_pandas()
    assert images["n"].tolist() == [1, len(SIMULATED_EPOCHS)]
    assert len(curve) == 1 + len(SIMULATED_EPOCHS)
    real = curve[~curve["simulated"].astype(bool)].iloc[0]
    expected = [
        variable_mag(t, f, real["mjd"], real["mag"]) for t, f in zip(curve["mjd"], curve["filtercode"], strict=True)
    ]
    pull = (curve["mag"] - expected) / np.hypot(curve["magerr"], real["magerr"])
    assert np.abs(pull).max() < 4.0
    for code, amplitude in AMPLITUDE.items():
        assert np.ptp(curve.loc[curve["filtercode"] == code, "mag"]) > 0.6 * amplitude


def position(demo: tuple[Path, str]) -> tuple[float, float]:
    words = next(line for line in demo[1].splitlines() if line.startswith("Images that cover")).split()
    return float(words[3]), float(words[4])


def test_simulated_images_say_so_in_their_headers(demo):
    paths = sorted((demo[0] / "simulated").iterdir())
    assert len(paths) == 2 * len(SIMULATED_EPOCHS)
    for path in paths:
        if "sciimg" in path.name:
            assert fits.getheader(path)["SIMULATE"] is True
            assert mask_of(path).exists()


def test_it_prints_images_a_cone_a_light_curve_and_where_things_lie(demo):
    folder, text = demo
    for words in ("Images that cover", "Detections within", "Its light curve", str(folder / "demo.sqlite")):
        assert words in text
    assert (folder / "lightcurve.png").read_bytes().startswith(b"\x89PNG")
    assert text.count(" yes ") >= len(SIMULATED_EPOCHS)


def test_the_commands_it_proposes_work(demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = demo[1].partition("Next:\n")[2].split("\n")
    commands = [shlex.split(line, comments=True) for line in lines if line.strip()]
    assert commands.pop() == ["ztfdb", "serve"]  # see below
    assert commands[0][0] == "export"
    name, _, value = commands[0][1].partition("=")
    for words in commands[1:]:
        assert words[0] == "ztfdb"
        result = CliRunner().invoke(application, words[1:], env={name: value})
        assert (result.exit_code, "no rows" in result.stderr) == (0, False), result.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["field.vot", "star.csv"]


def test_the_page_it_proposes_shows_the_star(demo):
    requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    line = demo[1].rstrip().splitlines()[-1]
    asked = parse_qs(urlsplit(line.split()[-1]).query)["q"][0]
    with Serving(f"sqlite:///{demo[0] / 'demo.sqlite'}") as service:
        assert "ztfdb: light curves" in requests.get(f"{service.base}/?q={asked}", timeout=60).text
        found = requests.get(service.base + "/api/v1/resolve", {"q": asked}, timeout=60).json()
    assert (round(found["ra"], 6), round(found["dec"], 6)) == position(demo)


def test_a_second_run_makes_nothing_again(demo, quadrant, capsys):
    folder, text = demo
    before = {path: path.stat().st_mtime_ns for path in (folder / "simulated").iterdir()}
    capsys.readouterr()
    again = run(folder, quadrant)
    assert "8 found = 0 stored + 8 unchanged" in capsys.readouterr().err
    assert again == text
    assert {path: path.stat().st_mtime_ns for path in (folder / "simulated").iterdir()} == before


def test_an_image_without_a_usable_star_is_one_error(tmp_path):
    empty = make_science_image(tmp_path / "empty", seed=1, shape=(64, 64)).sci
    with pytest.raises(DemoError, match=r"star|sources"):
        build_demo(tmp_path / "demo", empty, jobs=1)
    broken = tmp_path / "broken_sciimg.fits"
    broken.write_bytes(b"nothing")
    with pytest.raises(DemoError, match="cannot be measured"):
        build_demo(tmp_path / "demo", broken, jobs=1)


def test_the_quadrant_is_looked_for_where_one_says(tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.quadrant.subprocess.run", lambda *_, **__: pytest.fail("nothing is to be fetched here"))
    result = CliRunner().invoke(application, ["demo", str(tmp_path / "a"), "--quadrant-dir", "/proc/nowhere"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("error: ")


def test_the_curve_is_continuous_and_of_unit_range():
    values = np.array([cepheid(phase) for phase in np.linspace(0.0, 2.0, 2001)])
    assert (values.min(), values.max()) == (-0.5, 0.5)
    assert np.abs(np.diff(values)).max() < 0.01
    assert cepheid(7.35) == pytest.approx(cepheid(0.35))
