"""The check against PSF catalogues on both engines: what was put into them comes back, is kept, told and goes again."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from sqlalchemy import text

import ztfdb
from tests.support.measured import make_measured
from tests.support.psfchecks import OFFSETS, observe, write_catalogue
from tests.support.reference import make_image, open_sessions
from tests.support.references import make_catalogue
from ztfdb.cli.app import application
from ztfdb.derive.psf_checks import (
    PsfCheckSettings,
    check_psf,
    check_warning,
    compare_image,
    differences,
    remove_psf_checks,
)
from ztfdb.errors import UnknownImageError
from ztfdb.ingest.commit import commit_image
from ztfdb.ingest.psf_catalogues import ingest_psfcats
from ztfdb.store.engine import writing
from ztfdb.store.images import delete_image
from ztfdb.store.psf_catalogues import delete_psf

N_IMAGE = 16


@pytest.fixture(scope="module")
def observed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compared")
    rng = np.random.default_rng(3)
    scale = {"median": 0.2, "slope": 0.05, "x_gradient": 0.1, "y_gradient": 0.1}
    return [
        observe(folder, number, wild=0.05, **{name: rng.uniform(-size, size) for name, size in scale.items()})
        for number in range(N_IMAGE)
    ]


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    """An image that its catalogue agrees with."""
    return observe(tmp_path_factory.mktemp("fine"), 50)


@pytest.fixture
def maker(engine_url):
    with open_sessions(engine_url) as made:
        yield made


def checks(maker):
    with maker() as session:
        return [dict(row) for row in session.execute(text("select * from psf_check order by image_id")).mappings()]


def image_id_of(one):
    return one.measured.info.image_id


def test_offset_slope_and_gradients_come_back_within_their_errors(maker, observed):
    for one in observed:
        commit_image(maker, one.measured)
    found = {row["image_id"]: row for row in checks(maker)}
    pulls = []
    for one in observed:
        row = found[image_id_of(one)]
        with maker() as session:
            stars = differences(compare_image(session, image_id_of(one)))
        kept = stars[stars.kept]
        # stars are told apart by the mean of two magnitudes, of which one is off: that much steeper are the trends
        steeper = 1.0 / (1.0 - 0.5 * one.truth["slope"])
        off = one.truth["median"] + one.truth["slope"] * (kept.mag - 17.0) + _gradients(one, kept)
        expected = {name: value * steeper for name, value in one.truth.items()}
        # and what the median of these very stars is, by the truth: the trends move it
        expected["median"] = float(np.median(off)) * steeper
        pulls.append([(row[name] - expected[name]) / row[f"{name}_err"] for name in OFFSETS])
        assert row["failure"] is None and row["n_star"] > 100
        assert row["scatter"] < 0.03
    pulls = np.array(pulls)
    assert sum(row["n_clipped"] for row in found.values()) > 0.02 * sum(row["n_star"] for row in found.values())
    assert np.abs(pulls).max() < 3.5
    # 16 independent images: their spread is known to 18 %
    np.testing.assert_allclose(pulls.std(axis=0), 1.0, atol=0.5)


def _gradients(one, stars):
    ny, nx = one.image.exposure.shape
    along_x = one.truth["x_gradient"] * (stars.x - (nx - 1) / 2) / nx
    return along_x + one.truth["y_gradient"] * (stars.y - (ny - 1) / 2) / ny


def test_both_engines_say_the_same_from_memory_and_from_the_archive(both_urls, observed):
    tables = []
    for url in both_urls.values():
        with open_sessions(url) as maker:
            for one in observed[:4]:
                commit_image(maker, one.measured)
            tables.append([{k: v for k, v in row.items() if k not in ("checked", "settings")} for row in checks(maker)])
            assert len(check_psf(maker, again=True).rows) == 4
            tables.append([{k: v for k, v in row.items() if k not in ("checked", "settings")} for row in checks(maker)])
    assert tables[0] == tables[1] == tables[2] == tables[3]
    assert len(tables[0]) == 4


def test_an_image_that_agrees_has_no_warning_and_one_that_does_not_is_logged(maker, fine, observed, caplog):
    caplog.set_level(logging.WARNING, logger="ztfdb")
    commit_image(maker, fine.measured)
    (row,) = checks(maker)
    assert row["warning"] == 0 and 0 < row["severity"] < 1 and abs(row["median"]) < 0.01
    assert not caplog.records
    worst = max(observed, key=lambda one: abs(one.truth["median"]))
    commit_image(maker, worst.measured)
    (record,) = caplog.records
    assert "deserves a look" in record.message and record.level == 2
    assert record.median == pytest.approx(worst.truth["median"], abs=0.1)


def test_a_catalogue_that_comes_later_or_anew_is_checked_then(maker, fine):
    alone = replace(fine.measured, psfcat=None)
    commit_image(maker, alone)
    assert checks(maker) == []
    assert ingest_psfcats(maker, fine.psfcat).outcomes[0].n_psf
    (first,) = checks(maker)
    kept = fine.psfcat.read_bytes()
    try:
        write_catalogue(fine.image, np.random.default_rng(1), median=0.3, created="2021-01-01T01:00:00")
        ingest_psfcats(maker, fine.psfcat)
    finally:
        fine.psfcat.write_bytes(kept)
    (second,) = checks(maker)
    assert second["median"] - first["median"] == pytest.approx(0.3, abs=0.01)
    assert (first["warning"], second["warning"]) == (0, 2)


def test_a_check_goes_with_its_image_and_with_its_catalogue_and_comes_back(maker, fine):
    commit_image(maker, fine.measured)
    (row,) = checks(maker)
    # measured again, the catalogue stays: so does the check, made anew
    commit_image(maker, replace(fine.measured, psfcat=None), force=True)
    (again,) = checks(maker)
    assert again["checked"] > row["checked"] and again["median"] == row["median"]
    with writing(maker) as session:
        delete_psf(session, image_id_of(fine))
    assert checks(maker) == []
    assert check_psf(maker).n_without == 1
    ingest_psfcats(maker, fine.psfcat)
    assert len(checks(maker)) == 1
    with writing(maker) as session:
        delete_image(session, image_id_of(fine))
    assert checks(maker) == []


def test_only_what_is_not_checked_is_done_and_what_is_can_be_removed(maker, observed):
    for one in observed[:3]:
        commit_image(maker, one.measured)
    ids = [image_id_of(one) for one in observed[:3]]
    assert remove_psf_checks(maker, image_ids=ids[:2], dry_run=True) == 2
    assert len(checks(maker)) == 3
    assert remove_psf_checks(maker, image_ids=ids[:2]) == 2
    steps = []
    report = check_psf(maker, progress=lambda done, total: steps.append((done, total)))
    assert (len(report.rows), report.n_skipped, report.n_without) == (2, 1, 0)
    assert steps == [(1, 2), (2, 2)]
    assert check_psf(maker).rows == []
    assert len(check_psf(maker, again=True).rows) == 3
    with pytest.raises(UnknownImageError):
        check_psf(maker, image_ids=[5])


N = 30


def held(maker, *, sources=None, table=None, position=None, **info):
    """Store an image of 30 stars a magnitude step apart and its catalogue, and return its check's row."""
    ra, dec = 10 + 0.01 * np.arange(N), np.full(N, 5.0)
    mag = np.linspace(16, 18, N)
    flux = np.tile(10 ** (-0.4 * (mag - 26.25)), (6, 1)).astype("f4")
    rng = np.random.default_rng(2)
    x, y = rng.uniform(0, 3000, (2, N)) if position is None else position
    columns = {"x": x, "y": y, "flux_aper": flux, "flux_aper_err": flux / 100, "peak": np.full(N, 1e3, "f4")}
    measured = make_image(ra, dec, **({"saturate": 5e4, "apcor4": 0.0} | info))
    measured = replace(measured, sources=replace(measured.sources, **(columns | (sources or {}))))
    shifted = rng.normal(0, 0.01, N)
    record = make_catalogue(
        ra, dec, mag - 0.25 + shifted, field=655, fid=2, rcid=50, role="psfcat", table=table, magzp=26.25,
    )  # fmt: skip
    measured = replace(measured, psfcat=record)
    commit_image(maker, measured)
    return checks(maker)[-1]


@pytest.mark.parametrize(
    "spoiled",
    [
        {"sources": {"flags": 4}}, {"sources": {"mask_bits": 1 << 8}}, {"sources": {"peak": 4e4}},
        {"sources": {"flux_aper_err": 1e5}}, {"table": {"chi": 5.0}}, {"table": {"sharp": -0.8}},
        {"table": {"flags": 1 << 8}}, {"table": {"sigmag": 0.5}}, {"table": {"mag_inst": np.nan}},
    ],
    ids=lambda one: " ".join(next(iter(one.values()))),
)  # fmt: skip
def test_stars_that_are_not_clean_in_both_tables_are_left_out(maker, spoiled):
    assert held(maker)["n_star"] == N
    ((which, columns),) = spoiled.items()
    ((name, value),) = columns.items()
    base = {"flags": np.zeros(N, np.int32), "mask_bits": np.zeros(N, np.int32), "peak": np.full(N, 1e3, "f4"),
            "flux_aper_err": np.ones((6, N), "f4"), "chi": np.ones(N), "sharp": np.zeros(N),
            "sigmag": np.full(N, 0.01), "mag_inst": np.linspace(-9, -8, N)}[name].copy()  # fmt: skip
    if which == "table" and name == "flags":
        base = base.astype(np.int16)
    base[..., :5] = value
    row = held(maker, **{which: {name: base}}, expid=136243180)
    assert row["n_star"] + row["n_clipped"] == N - 5


def test_stars_with_neighbours_are_left_out(maker):
    ra, dec = np.append(10 + 0.01 * np.arange(25), [10.0, 10.01]), np.append(np.full(25, 5.0), [5.001, 5.001])
    mag = np.append(np.linspace(16, 17, 25), [16.5, 21.9])  # one that counts, one far too faint
    flux = np.tile(10 ** (-0.4 * (mag[:25] - 26.25)), (6, 1)).astype("f4")
    columns = {"flux_aper": flux, "flux_aper_err": flux / 100, "peak": np.full(25, 1e3, "f4")}
    measured = make_image(ra[:25], dec[:25], apcor4=0.0)
    record = make_catalogue(ra, dec, mag - 0.25, field=655, fid=2, rcid=50, role="psfcat", magzp=26.25)
    commit_image(maker, replace(measured, sources=replace(measured.sources, **columns), psfcat=record))
    (row,) = checks(maker)
    assert row["n_match"] == 25
    assert row["n_star"] + row["n_clipped"] == 24


def test_what_cannot_be_told_says_why(maker):
    missing = held(maker, apcor4=None)
    assert missing["failure"] == "no APCOR4 in the header" and missing["median"] is None
    few = held(maker, expid=136243181, sources={"flags": np.where(np.arange(N) < 15, 4, 0).astype(np.int32)})
    assert few["failure"] == "15 stars are too few, 20 are needed"
    assert few["warning"] == missing["warning"] == 1 and few["severity"] is None
    line = held(maker, expid=136243182, position=(np.full(N, 5.0), np.full(N, 5.0)))
    assert line["failure"] == "no trends: the terms cannot be separated"
    assert line["slope"] is None and abs(line["median"]) < 0.02 and line["warning"] == 0


def test_a_reference_is_not_checked(maker):
    measured = make_measured("/data/ztf/a_refimg.fits", mask=None, kind="ref", expid=1, obsmjd=None, mjd_mid=None)
    commit_image(maker, replace(measured, psfcat=make_catalogue([256.4], [33.4])))
    assert checks(maker) == []
    assert check_psf(maker).n_without == 1


def test_warnings_need_size_and_significance():
    settings = PsfCheckSettings()
    fine = {"median": 0.01, "median_err": 0.001, "scatter": 0.02} | {
        f"{name}{part}": 0.001 for name in ("slope", "x_gradient", "y_gradient") for part in ("", "_err")
    }
    assert check_warning(fine, settings)[1] == 0
    for name, value, level in (
        ("median", 0.04, 1), ("median", -0.2, 2), ("scatter", 0.06, 1), ("slope", -0.03, 1), ("y_gradient", 0.06, 1),
    ):  # fmt: skip
        severity, warning = check_warning(fine | {name: value}, settings)
        assert warning == level and severity > 1
        if name != "scatter":
            assert check_warning(fine | {name: value, f"{name}_err": 0.5 * abs(value)}, settings)[1] == 0


def test_the_command_and_status_show_the_worst_first(engine_url, observed, fine, tmp_path):
    pytest.importorskip("matplotlib")
    with ztfdb.open(engine_url, create=True) as archive:
        for one in (*observed[:5], fine):
            commit_image(archive._sessions, one.measured)
        frame = archive.psf_checks()
        status = archive.status()["psf_check"]
        night = archive.images_of_night(20200924)
    by_warning = frame.sort_values(["warning", "severity"], ascending=False, kind="stable")
    assert frame.image_id.tolist() == by_warning.image_id.tolist() and len(frame) == 6
    assert (status["n_image"], status["n_checked"]) == (6, 6)
    assert status["n_look"] + status["n_wrong"] == (frame.warning > 0).sum() == len(status["worst"]) == 5
    assert [one["image_id"] for one in status["worst"]] == frame.image_id[:5].tolist()
    assert len(night) > 0

    def run(*words):
        return CliRunner().invoke(application, ["--db", engine_url, *words])

    shown = run("psfcheck", "--format", "json")
    assert [row["image_id"] for row in json.loads(shown.stdout)] == [str(one) for one in frame.image_id]
    assert "0 images checked (0 deserve a look), 6 were already" in shown.stderr
    assert len(json.loads(run("psfcheck", "--warned", "--format", "json").stdout)) == 5
    assert len(json.loads(run("psfcheck", "--night", "20200924", "--format", "json").stdout)) == len(night)
    told = run("status")
    assert f"psfcat    6 images have one, 6 were checked against it: {status['n_look']} deserve a look" in told.stdout
    assert f"image {frame.image_id[0]} (" in told.stdout
    assert json.loads(run("status", "--format", "json").stdout)["psf_check"]["worst"]
    picture = tmp_path / "differences.png"
    drawn = run("psfcheck", "--image", str(frame.image_id[0]), "--again", "--plot", str(picture))
    assert drawn.exit_code == 0 and picture.stat().st_size > 20_000, drawn.output
    assert "would remove 6 checks" in run("psfcheck", "--remove", "--dry-run").stderr
    assert "removed 6 checks" in run("psfcheck", "--remove").stderr
    assert "0 were checked against it" in run("status").stdout
    for wrong in (("--plot", "a.png"), ("--dry-run",), ("--image", "5", "--night", "20200924")):
        assert run("psfcheck", *wrong).exit_code == 2
