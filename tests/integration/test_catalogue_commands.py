"""Import, calibration and their pictures by command and by method."""

from __future__ import annotations

import json

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from click.testing import CliRunner

import ztfdb
from tests.support.campaign import hold_stars, observe
from tests.support.reference import open_sessions
from tests.support.tables import mast_columns, write_csv
from ztfdb.cli.app import application
from ztfdb.derive.calibrate import calibrate_image, residuals
from ztfdb.ingest.commit import commit_image
from ztfdb.plot import draw_calibration
from ztfdb.store.catalogues import get_catalogue


@pytest.fixture
def run(engine_url):
    with ztfdb.open(engine_url, create=True):
        pass
    return lambda *words: CliRunner().invoke(application, [*words, "--db", engine_url])


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    return observe(tmp_path_factory.mktemp("image"), 2)


def test_import_tells_what_became_of_each_file(run, tmp_path):
    path = write_csv(tmp_path / "ps1.csv", mast_columns(30))
    bad = tmp_path / "bad.csv"
    bad.write_text(path.read_text() + "1,400,5\n")
    first = run("catalog", "import", "ps1", str(path), str(bad))
    assert first.exit_code == 0
    assert "30 rows added (mast-mean" in first.stderr
    assert "line 32: 3 fields instead of 24" in first.stderr
    assert "0 rows added, 30 held already, 1 could not be read" in first.stderr
    assert "imported before" in run("catalog", "import", "ps1", str(path)).stderr
    unknown = tmp_path / "unknown.csv"
    unknown.write_text("a,b\n1,2\n")
    refused = run("catalog", "import", "ps1", str(unknown))
    assert refused.exit_code == 1 and "none of the layouts" in refused.stderr


def test_wrong_usage_of_import(run, tmp_path):
    path = write_csv(tmp_path / "t.csv", mast_columns(3))
    assert run("catalog", "import", "ps1", str(path), "-c", "ra").exit_code == 2
    assert run("catalog", "import", "ps1", str(path), "--extra", "x").exit_code == 2
    assert run("calibrate", "--plot", "a.png").exit_code == 2
    assert run("crossmatch", "ps1", "--dry-run").exit_code == 2


def test_calibrate_prints_and_draws(run, engine_url, one, tmp_path):
    with open_sessions(engine_url) as maker:
        hold_stars(maker, [one])
        commit_image(maker, one.measured)
    image_id = one.measured.info.image_id
    words = ("--image", str(image_id), "--aperture", "4", "--format", "csv", "--plot", str(tmp_path / "p.png"))
    done = run("calibrate", *words)
    assert done.exit_code == 0 and "1 image calibrated, 0 were calibrated already" in done.stderr
    row = dict(zip(*(line.split(",") for line in done.stdout.splitlines()), strict=True))
    assert abs(float(row["zeropoint"]) - one.zeropoint[3]) < 4 * float(row["zeropoint_err"])
    assert (tmp_path / "p.png").stat().st_size > 10_000


def test_calibrate_counts_what_could_not_be_calibrated(run, engine_url, one, tmp_path):
    elsewhere = write_csv(tmp_path / "ps1.csv", mast_columns(30))
    assert "30 rows added" in run("catalog", "import", "ps1", str(elsewhere)).stderr
    with open_sessions(engine_url) as maker:
        commit_image(maker, one.measured)
    done = run("calibrate", "--format", "json")
    assert "0 images calibrated, 1 could not be (the column failure says why)" in done.stderr
    assert all(row["failure"] for row in json.loads(done.stdout))


def test_the_same_by_method(engine_url, one):
    with ztfdb.open(engine_url, create=True) as archive, open_sessions(engine_url) as maker:
        hold_stars(maker, [one])
        commit_image(maker, one.measured)
        image_id = one.measured.info.image_id
        assert archive.calibrate().n_image == 1
        assert len(archive.crossmatch("ps1", again=True).images) == 1
        info = one.measured.info
        here = archive.get_matched_entries(
            ["ra"], "sources", "ps1cat", region=(SkyCoord(info.ra, info.dec, unit="deg"), 60)
        )
        everything = archive.get_matched_entries(["ra"], "sources", "ps1cat", image_id=image_id)
        assert 0 < len(here) < len(everything)
        assert archive.catalogues().catalogue.tolist() == ["ps1"]
        assert archive.remove_catalogue("ps1") == len(one.stars["ra"])


def test_residuals_are_those_of_the_fit(databases, one):
    with open_sessions(databases.migrated("sqlite")) as maker:
        hold_stars(maker, [one], outliers=0.1)
        commit_image(maker, one.measured)
        with maker() as session:
            done = calibrate_image(session, one.measured.info.image_id, get_catalogue(session, "ps1"))
    stars = residuals(done, 4)
    kept = stars[stars.kept]
    fit = done.apertures[3].fit
    assert len(kept) == fit.kept.sum() and (~stars.kept).sum() > 0
    assert np.sqrt((kept.residual**2).sum() / (len(kept) - 2)) == pytest.approx(fit.rms, rel=1e-9)
    panels = draw_calibration(stars)
    assert [panel.get_xlabel() for panel in panels] == ["PS1 i", "PS1 r − i", "x (pixels)"]
    assert f"{fit.zeropoint:.4f}" in panels[0].figure.get_suptitle()
    shown = panels[0].lines[1].get_xdata()
    assert len(shown) == (~stars.kept).sum() or len(panels[0].lines) == 3
    with pytest.raises(ValueError, match="no column kept"):
        draw_calibration(stars.drop(columns="kept"))


def test_a_failed_calibration_is_drawn_as_such(databases, one):
    with open_sessions(databases.migrated("sqlite")) as maker:
        hold_stars(maker, [observe_nothing(one)])
        commit_image(maker, one.measured)
        with maker() as session:
            done = calibrate_image(session, one.measured.info.image_id, get_catalogue(session, "ps1"))
    stars = residuals(done, 4)
    assert stars.empty
    assert "too few" in draw_calibration(stars)[0].figure.get_suptitle()


def observe_nothing(one):
    """The image with its first three stars only."""
    from dataclasses import replace

    return replace(one, stars={name: values[:3] for name, values in one.stars.items()})
