"""REST at /api/v1, and the Python client that speaks it: the archive's own answers, over HTTP, on both engines."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import re
import shutil
import subprocess
import threading
import time
import warnings
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from astropy.time import Time
from pandas.testing import assert_frame_equal
from PIL import Image

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("fastapi", reason="the extra serve is not installed")

import ztfdb  # noqa: E402
from tests.support.catalogues import bright_star, fill_archive, make_epochs  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from ztfdb.client import archive as client  # noqa: E402
from ztfdb.errors import (  # noqa: E402
    ArchiveClosedError,
    ConfigError,
    EmptyAnswerWarning,
    FileMissingError,
    OptionError,
    QueryError,
    RemoteError,
    ServiceRefusedError,
    ServiceUnavailableError,
    StampError,
    UnknownCatalogueError,
    UnknownImageError,
    UnknownObjectError,
    UnknownSourceError,
)
from ztfdb.query import stamps as query_stamps  # noqa: E402


@pytest.fixture(scope="module", params=ENGINES)
def held(request, databases, tmp_path_factory):
    """URL of an archive with images, ZTF's catalogues of them, PS1, matches and objects; and its brightest stars."""
    url = databases.migrated(request.param)
    yield reader_url(url), fill_archive(url, tmp_path_factory.mktemp("night"))
    databases.drop(url)


@pytest.fixture(scope="module")
def served(held):
    """A service of the archive."""
    with Serving(held[0], environ={"ZTFDB_SERVE_STAMPS_MPX": "1"}) as service:
        yield service


@pytest.fixture(scope="module")
def remote(served):
    """The same archive behind its service."""
    with ztfdb.open(served.base) as archive:
        yield archive


@pytest.fixture(scope="module")
def star(held):
    """Position of a bright star, deg."""
    return held[1][0]


def same(theirs: pd.DataFrame, ours: pd.DataFrame) -> None:
    """Both frames are the same to the bit; only folders are not sent."""
    ours = ours.copy()
    for name in {"path", "file"} & set(ours):
        ours[name] = pd.array([str(one).rsplit("/", 1)[-1] for one in ours[name]], dtype="str")
    assert_frame_equal(theirs, ours, check_exact=True)
    assert theirs.attrs == ours.attrs


def same_stamps(theirs, ours) -> None:
    """Both series are the same, pixel by pixel."""
    same(theirs.to_pandas(), ours.to_pandas())
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_array_equal(one.data, other.data)
        assert (one.mask is None) == (other.mask is None)
        if other.mask is not None:
            np.testing.assert_array_equal(one.mask, other.mask)
        np.testing.assert_array_equal(one.parameters.to_array(), other.parameters.to_array())
        assert one.data.dtype.newbyteorder("=") == other.data.dtype.newbyteorder("=")
        assert (one.radius, one.north_up, one.bad.tolist()) == (other.radius, other.north_up, other.bad.tolist())


NIGHT = 59116.43
PATH = {"time": [NIGHT - 1, NIGHT + 2, NIGHT + 5]}
CURVES = [
    {},
    {"radius": 3 * u.arcsec, "aperture": 5, "good": True, "filters": "zr"},
    {"filters": ["g", 2], "mjd": (NIGHT + 0.5, None), "all_versions": True, "color": 0.5},
    {"mjd": ("2020-09-24", Time(NIGHT + 2, format="mjd")), "fields": 655},
    {"phot": "psfcat"},
    {"phot": "both"},
    {"complete": True},
    {"complete": True, "mag": 19.5},
    {"complete": True, "measure": "forced", "bjd": True, "jobs": 1},
    {"complete": True, "phot": "both"},
    {"pmra": 20.0, "pmdec": -30.0, "epoch": 2019.0},
    {"calibration": "ps1"},
]


@pytest.mark.parametrize("options", CURVES, ids=str)
def test_a_light_curve_is_the_archives(remote, local, star, options):
    assert_curves(remote.light_curve(*star, **options), local.light_curve(*star, **options))


def assert_curves(theirs, ours) -> None:
    same(theirs.data, ours.data)
    assert repr(theirs) == repr(ours)
    assert theirs.to_table()["mag"].unit == ours.to_table()["mag"].unit


def test_a_moving_star_as_one_coordinate(remote, local, star):
    motion = {"pm_ra_cosdec": 50 * u.mas / u.yr, "pm_dec": 5 * u.mas / u.yr, "obstime": Time("J2016.0")}
    moving = SkyCoord(star[0] * u.deg, star[1] * u.deg, distance=10 * u.pc, **motion)
    same(remote.light_curve(moving).data, local.light_curve(moving).data)
    same(remote.cone(moving, radius=3), local.cone(moving, radius=3))
    same(remote.images(moving), local.images(moving))


@pytest.mark.parametrize(
    "options", [{}, {"complete": True}, {"phot": "psfcat"}, {"color": "c", "pmra": "p", "pmdec": "p"}]
)
def test_many_light_curves_are_the_archives(remote, local, held, options, monkeypatch):
    ra, dec = np.array([*held[1], (10.0, 10.0), held[1][0]]).T
    table = pd.DataFrame({"ra": ra, "dec": dec, "c": np.arange(5) / 10, "p": np.arange(5.0)})
    truth = local.light_curves(table, 2.0, **options)
    assert len(truth)
    same(remote.light_curves(table, 2.0, **options), truth)
    monkeypatch.setattr(client, "COMPLETE_PER_REQUEST", 2)
    monkeypatch.setattr(client, "POSITIONS_PER_REQUEST", 2)
    same(remote.light_curves(table, 2.0, **options), truth)
    pieces, wanted = (list(one.iter_light_curves(table, 2.0, **options)) for one in (remote, local))
    for theirs, ours in zip(pieces, wanted, strict=True):
        same(theirs, ours)
    for one in (remote, local):
        with pytest.warns(ztfdb.EmptyAnswerWarning, match="no image covers"):
            list(one.iter_light_curves(table[3:4], **options))


def test_a_moving_body_is_followed(remote, local, star):
    path = pd.DataFrame(PATH | {"ra": star[0] + np.array([-1e-4, 0.0, 1e-4]), "dec": [star[1]] * 3})
    same(remote.light_curve_on_path(path).data, local.light_curve_on_path(path).data)
    same(remote.light_curve_on_path(path, complete=False).data, local.light_curve_on_path(path, complete=False).data)
    same_stamps(remote.stamps_on_path(path, size=9), local.stamps_on_path(path, size=9))
    table = {"ra": [star[0], star[0] + 0.003], "dec": [star[1]] * 2}
    for motion in ({}, {"pmra": [50.0, 0.0], "pmdec": -20.0, "epoch": 2018.0}):
        found = remote.stamps_at(table, size=9, **motion)
        same_stamps(found, local.stamps_at(table, size=9, **motion))
        assert found.to_pandas()["position"].nunique() == 2


def test_too_many_stamps_of_a_table_are_an_error_of_both(remote, local, star, monkeypatch):
    table = {"ra": [star[0], star[0] + 0.003], "dec": [star[1]] * 2}
    monkeypatch.setattr(query_stamps, "MOST_PIXELS", 9**2)
    for archive in (remote, local):
        with pytest.raises(QueryError, match="at most 81 pixels; give fewer positions"):
            archive.stamps_at(table, size=9)


def test_tables_are_the_archives(remote, local, star):
    same(remote.cone(*star, 20), local.cone(*star, 20))
    same(remote.cone(*star, 20, columns=["x", "hpx29"]), local.cone(*star, 20, columns=["x", "hpx29"]))
    same(remote.cone(*star, 20, phot="psfcat"), local.cone(*star, 20, phot="psfcat"))
    same(remote.images(*star), local.images(*star))
    same(remote.catalogues(), local.catalogues())
    assert len(local.catalogue_cone("ps1", *star, 60)) > 1
    same(remote.catalogue_cone("ps1", *star, 60), local.catalogue_cone("ps1", *star, 60))
    assert len(local.psf_checks())
    same(remote.psf_checks(), local.psf_checks())
    ids = local.images(*star)["image_id"][:2].tolist()
    same(remote.psf_checks(ids, warned=True), local.psf_checks(ids, warned=True))
    same(remote.tables(), local.tables())
    same(remote.columns("source"), local.columns("source"))
    assert remote.cone_sql(*star) == local.cone_sql(*star)
    assert remote.hint(*star) == local.hint(*star)
    assert remote.hint(0.0, 0.0, good=True) == local.hint(0.0, 0.0, good=True) != ""
    assert remote.images_of_night("2020-09-24") == local.images_of_night("2020-09-24") != []
    assert remote.catalogue_recipe("ps1") == local.catalogue_recipe("ps1")
    assert np.array_equal(remote.coverage_cells(), local.coverage_cells())
    for order in (0, 6, 9):
        assert len(local.coverage(order))
        same(remote.coverage(order), local.coverage(order))
    assert remote.settings == local.settings


def test_completeness_is_the_archives(remote, local, star):
    assert local.completeness(*star)["limit50"].notna().any()
    same(remote.completeness(*star), local.completeness(*star))
    place = SkyCoord(*star, unit="deg")
    cuts = {"mag": 19.5, "filters": ["g", 2], "mjd": (NIGHT - 100, None), "all_versions": True}
    truth = local.completeness(place, **cuts)
    assert truth["p_detect"].notna().any()
    same(remote.completeness(place, **cuts), truth)


def test_objects_and_matches_are_the_archives(remote, local, star):
    object_id = int(local.sql("select object_id from object order by best_snr desc limit 1")["object_id"][0])
    same(remote.object(object_id), local.object(object_id))
    same(remote.object_oids(object_id), local.object_oids(object_id))
    ids = local.images(*star)["image_id"].tolist()
    for how in ({"image_id": ids[0]}, {"image_id": ids[:1]}, {"image_id": ids}, {"region": (*star, 60)}):
        truth = local.get_matched_entries(["ra", "dec", "x", "y", "mag"], "sources", "ps1cat", **how)
        assert len(truth)
        same(remote.get_matched_entries(["ra", "dec", "x", "y", "mag"], "sources", "ps1cat", **how), truth)


def test_stamps_are_the_archives(remote, local, star):
    same_stamps(remote.stamps(*star), local.stamps(*star))
    options = {"size": 31, "north_up": True, "filters": "zg", "aperture": 2}
    same_stamps(remote.stamps(*star, **options), local.stamps(*star, **options))
    image_id = int(local.images(*star)["image_id"][0])
    one, other = (archive.stamp(*star, image_id=image_id) for archive in (remote, local))
    np.testing.assert_array_equal(one.data, other.data)
    one.data[0, 0] = 0.0  # one's own
    table = {"ra": [star[0], star[0] + 1.0], "dec": [star[1]] * 2}
    same_stamps(*(archive.stamps_on_image(table, image_id=image_id, size=5) for archive in (remote, local)))
    assert [hdu.name for hdu in one.to_hdus()] == ["SCI", "MSK"]


def test_an_explanation_is_the_archives(remote, local, star):
    source_id = int(local.cone(*star)["source_id"][0])
    theirs, ours = remote.explain(source_id), local.explain(source_id)
    for field in dataclasses.fields(ours):
        one, other = getattr(theirs, field.name), getattr(ours, field.name)
        if isinstance(other, pd.DataFrame):
            same(one, other)
        else:
            assert one == other, field.name
    assert theirs.identical and theirs.values["identical"].all()
    for archive in (remote, local):
        told = archive.explain(source_id, measure=False)
        assert (told.problem, told.identical) == ("not asked for", None)
        assert told.values["identical"].isna().all() and told.values["stored"].notna().any()


def test_the_status_is_the_archives_without_folders(remote, local):
    ours = local.status()
    theirs = remote.status()
    assert theirs["url"] == remote.url
    assert {"path"} == {name for root in ours["roots"] for name in root} - {
        name for root in theirs["roots"] for name in root
    }
    for name in ("n_image", "n_source", "filters", "archive", "psf_check", "configs", "images"):
        assert theirs[name] == ours[name], name


def test_every_method_of_an_archive_is_there_or_refused(remote):
    public = {name for name in dir(ztfdb.Archive) if not name.startswith("_")}
    there = {name for name in dir(type(remote)) if not name.startswith("_")}
    assert public - there == set(client.NEED_THE_DATABASE)
    for name in client.NEED_THE_DATABASE:
        with pytest.raises(ServiceRefusedError, match=rf"archive.{name}\(\) works where the database is"):
            getattr(remote, name)()
    with pytest.raises(ServiceRefusedError, match="send ADQL to"):
        remote.sql("select 1")
    with pytest.raises(AttributeError):
        _ = remote.lightcurve


def test_errors_are_the_archives(remote, local, star):
    image_id = int(local.images(*star)["image_id"][0])
    wrong = [
        lambda a: a.light_curve(*star, 601),
        lambda a: a.light_curve(*star, aperture=9),
        lambda a: a.light_curve(*star, filters="zu"),
        lambda a: a.light_curve(*star, calibration="none"),
        lambda a: a.light_curve(*star, jobs=2),
        lambda a: a.light_curve(*star, radios=2),
        lambda a: a.light_curve(0.0, 91.0),
        lambda a: a.light_curves({"ra": [0.0, 1.0], "dec": [0.0, 95.0]}),
        lambda a: a.stamp(*star, image_id=7),
        lambda a: a.stamp(star[0] + 1, star[1], image_id=image_id),
        lambda a: a.explain(7),
        lambda a: a.object(7),
        lambda a: a.get_matched_entries(["ra"], "sources", "none", image_id=image_id),
        lambda a: a.cone(*star, columns=["password"]),
        lambda a: a.cone(*star, -1),
        lambda a: a.completeness(*star, mag=np.nan),
        lambda a: a.completeness(*star, magnitude=20.0),
    ]
    kinds = set()
    for ask in wrong:
        with pytest.raises(Exception) as ours:  # noqa: PT011 - whatever it is, the other raises the same
            ask(local)
        with pytest.raises(type(ours.value)) as theirs:
            ask(remote)
        assert type(theirs.value) is type(ours.value)
        kinds.add(type(ours.value))
    known = {UnknownImageError, UnknownSourceError, UnknownObjectError, UnknownCatalogueError, QueryError, StampError}
    assert kinds == known | {ValueError, OptionError}


def test_limits_are_one_kind_of_error(remote, local, star):
    """Also where the service's are narrower: its cones reach 1 deg, its stamps 1,500 pixels."""
    words = "a radius of {} arcsec is beyond the maximum of {} arcsec"
    for archive, most in ((remote, 3600), (local, 36000)):
        for ask in (archive.cone, archive.iter_cone):
            with pytest.raises(QueryError) as told:
                list(ask(*star, radius=most + 1))
            assert str(told.value) == words.format(most + 1, most)
    with pytest.raises(QueryError) as told:
        remote.stamps(*star, size=1501)
    assert str(told.value) == "a stamp of 1501 px, at most 1500 px are cut"


def test_switches_are_one_kind_of_error(remote, local, star):
    told = set()
    for archive in (remote, local):
        with pytest.raises(OptionError) as one:
            archive.light_curve(*star, good="no")
        told.add(str(one.value))
    assert told == {"archive.light_curve(): good is 'no', expected True or False"}


PLACES = [(np.nan, 3.0), (10.0, np.nan), (np.inf, 1.0), (10.0, -np.inf), (10.0, 91.0), (10.0, -90.0001)]


@pytest.mark.parametrize("place", PLACES)
def test_wrong_positions_and_radii_are_told_in_the_archives_words(remote, local, star, place):
    questions = [
        lambda a: a.cone(*place),
        lambda a: a.light_curve(*place),
        lambda a: a.images(*place),
        lambda a: a.stamps(*place),
        lambda a: a.hint(*place),
        lambda a: a.completeness(*place),
        lambda a: a.periodogram(*place),
        lambda a: a.catalogue_cone("ps1", *place),
        lambda a: a.light_curves([star, place]),
        lambda a: a.light_curve(*star, pmra=1.0, pmdec=1.0, epoch=place[0]),
        *[lambda a, r=r: a.light_curve(*star, r) for r in (np.nan, np.inf, -1.0)],
        *[lambda a, r=r: a.cone(*star, r) for r in (np.nan, np.inf, -1.0)],
    ]
    for ask in questions:
        with pytest.raises(ValueError, match=r"is not a position|expected a number, 0 or more|epoch") as ours:
            ask(local)
        with pytest.raises(ValueError) as theirs:  # noqa: PT011 - the words are compared
            ask(remote)
        assert str(theirs.value) == str(ours.value)


def test_a_motion_with_nan_counts_as_none(remote, local, star):
    options = {"pmra": np.nan, "pmdec": 5.0, "epoch": 2016.0}
    ours = local.light_curve(*star, **options).data
    assert_frame_equal(remote.light_curve(*star, **options).data, ours, check_exact=True)


def test_tables_of_positions_are_read_as_the_archive_reads_them(remote, local, held):
    ra, dec = np.array(held[1]).T
    stars = SkyCoord(ra * u.deg, dec * u.deg)
    wanted = local.light_curves({"ra": ra, "dec": dec})
    for table in (pd.DataFrame({"RAJ2000": ra, "DEJ2000": dec}), QTable({"name": ["a", "b", "c"], "place": stars})):
        for archive in (local, remote):
            same(archive.light_curves(table), wanted)
            assert len(archive.stamps_at(table)) == len(wanted)


def test_an_empty_answer_says_why_at_the_callers_line(remote, local):
    asked = [
        lambda a: a.light_curve(0.0, 0.0),
        lambda a: a.images(0.0, 0.0),
        lambda a: a.stamps(0.0, 0.0),
        lambda a: a.light_curves({"ra": [0.0], "dec": [0.0]}),
        lambda a: a.images_of_night(20200101),
    ]
    for ask in asked:
        told = []
        for archive in (local, remote):
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                ask(archive)
            (one,) = [each for each in seen if each.category is EmptyAnswerWarning]
            told.append((str(one.message), one.filename))
        assert told[0] == told[1]
        assert told[0][1] == __file__


def test_a_closed_archive_and_no_service_are_told(served, monkeypatch):
    archive = ztfdb.open(served.base)
    archive.close()
    with pytest.raises(ArchiveClosedError):
        archive.status()
    with pytest.raises(ServiceUnavailableError, match="cannot be reached"):
        ztfdb.open("http://127.0.0.1:1")
    with pytest.raises(RemoteError, match="status 404"):
        ztfdb.open(served.base + "/tap")
    for url in ("http://user:secret@127.0.0.1/", "http://", "http://host/?q=1"):
        with pytest.raises(ConfigError) as told:
            ztfdb.open(url)
        assert "secret" not in str(told.value)
    with pytest.raises(ConfigError, match="made where its database is"):
        ztfdb.open(served.base, create=True)
    monkeypatch.setenv("ZTFDB_TOKEN", "a b")
    with pytest.raises(ConfigError, match="ZTFDB_TOKEN"):
        ztfdb.open(served.base)


def test_other_servers_are_no_services(monkeypatch):
    class Answers(BaseHTTPRequestHandler):
        seen: list = []  # noqa: RUF012

        def do_GET(self) -> None:
            self.seen.append(self.headers.get("Authorization"))
            kind = self.path.split("/")[1]
            if kind == "slow":
                time.sleep(1.0)
            self.send_response({"moved": 302, "token": 401, "busy": 503}.get(kind, 200))
            self.send_header("Location", "http://elsewhere.example/")
            self.end_headers()
            with contextlib.suppress(BrokenPipeError):  # the client that was kept waiting
                self.wfile.write(b'{"error": "no entry"}' if kind == "token" else b"<html>")

        def log_message(self, *words) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        base = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("ZTFDB_TOKEN", "t0ken")
        monkeypatch.setenv("ZTFDB_HTTP_TIMEOUT_S", "0.3")
        try:
            for kind, error, words in (
                ("moved", RemoteError, "points to http://elsewhere.example/"),
                ("token", ServiceRefusedError, "no entry; a token goes into ZTFDB_TOKEN"),
                ("busy", ServiceUnavailableError, "status 503"),
                ("page", RemoteError, "does not answer as a service"),
                ("slow", ServiceUnavailableError, "timed out"),
            ):
                with pytest.raises(error, match=words):
                    ztfdb.open(f"{base}/{kind}")
        finally:
            server.shutdown()
            thread.join()
    assert set(Answers.seen) == {"Bearer t0ken"}


def get(served, path, **params):
    """One answer of the REST interface."""
    return requests.get(f"{served.base}/api/v1{path}", params=params, timeout=60)


def test_json_has_ids_as_texts_and_null_for_nan(served, local, star):
    found = get(served, "/lightcurve", ra=star[0], dec=star[1]).json()
    truth = local.light_curve(*star).data
    assert found["data"]["source_id"] == truth["source_id"].astype(str).tolist()
    assert found["data"]["oid"] == truth["oid"].astype(str).tolist()
    assert set(found["data"]["chi"]) == {None}
    assert found["data"]["mag"] == truth["mag"].tolist()
    assert {one["name"]: one.get("unit") for one in found["columns"]}["flux_ujy"] == "uJy"


def test_ten_thousand_positions_come_as_lines(served, local, held):
    ra, dec = np.array(held[1]).T
    n = 10_000
    body = {"ra": np.resize(ra, n).tolist(), "dec": np.resize(dec, n).tolist()}
    with requests.post(f"{served.base}/api/v1/lightcurves", json=body, stream=True, timeout=120) as answer:
        assert answer.headers["Content-Type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in answer.iter_lines()]
    assert lines[-1]["done"] == {"n_position": n, "n_epoch": sum(len(one["data"]["mjd"]) for one in lines[1:-1])}
    assert [one["position"] for one in lines[1:-1]] == list(range(n))
    truth = local.light_curve(*held[1][1]).data
    assert lines[2]["data"]["image_id"] == truth["image_id"].astype(str).tolist()
    body["ra"].append(0.0)
    body["dec"].append(0.0)
    answer = requests.post(f"{served.base}/api/v1/lightcurves", json=body, timeout=60)
    assert answer.status_code == 413
    assert answer.json()["detail"] == "10001 positions, at most 10000 are answered at once"


def test_a_picture_is_the_stamp(served, local, star):
    image_id = int(local.images(*star)["image_id"][0])
    one = local.stamp(*star, image_id=image_id, size=23)
    answer = get(served, f"/stamp/{image_id}.png", ra=star[0], dec=star[1], vmin=0, vmax=1000, scale=2)
    assert answer.headers["Content-Type"] == "image/png"
    picture = np.asarray(Image.open(io.BytesIO(answer.content)))
    assert picture.shape == (46, 46, 2)
    grey = 255.0 * (1.0 - np.clip(one.data / 1000.0, 0.0, 1.0))
    np.testing.assert_array_equal(picture[::2, ::2, 0][::-1], np.rint(grey))
    assert (picture[..., 1] == 255).all()
    sheet = np.asarray(Image.open(io.BytesIO(get(served, "/stamps.png", ra=star[0], dec=star[1], columns=3).content)))
    assert sheet.shape == (2 * 23, 3 * 23, 2)
    assert (sheet[23:, 23:, 1] == 0).all()  # four stamps: two places are empty


def test_stamps_as_fits_have_their_own_wcs(served, local, star):
    content = get(served, "/stamps.fits", ra=star[0], dec=star[1]).content
    with fits.open(io.BytesIO(content)) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for one, hdu in zip(local.stamps(*star), [h for h in hdus if h.name == "SCI"], strict=True):
            np.testing.assert_array_equal(hdu.data, one.data)
            assert hdu.header["IMAGEID"] == one.image_id


def test_the_description_lists_the_words_of_options(served):
    paths = requests.get(f"{served.base}/api/v1/openapi.json", timeout=60).json()["paths"]

    def words(path, name):
        (schema,) = (one["schema"] for one in paths[path]["get"]["parameters"] if one["name"] == name)
        return schema.get("enum") or schema["anyOf"][0]["enum"]

    assert words("/lightcurve", "phot") == ["aperture", "psfcat", "both", "irsa", "irsa-both"]
    assert words("/lightcurve", "measure") == ["auto", "forced", "psf", "none"]
    assert words("/lightcurve", "calibration") == ["header", "ps1", "self"]
    assert words("/cone", "phot") == ["aperture", "psfcat"]
    assert words("/matched", "mode") == ["nearest", "mutual", "all"]


def test_coverage_is_a_moc(served, local, tmp_path):
    moc = get(served, "/coverage.moc").json()
    cells = {cell * 4 ** (9 - int(order)) + k for order, group in moc.items() for cell in group
             for k in range(4 ** (9 - int(order)))}  # fmt: skip
    assert cells == set(local.coverage_cells().tolist())
    text = get(served, "/coverage.moc", format="ascii").text
    mocpy = pytest.importorskip("mocpy", reason="mocpy is not installed")
    assert mocpy.MOC.from_string(text, "ascii") == mocpy.MOC.from_json(moc)
    answer = get(served, "/coverage.moc", format="fits")
    assert answer.headers["Content-Type"] == "application/fits"
    (tmp_path / "moc.fits").write_bytes(answer.content)
    assert mocpy.MOC.from_fits(tmp_path / "moc.fits") == mocpy.MOC.from_json(moc)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/lightcurve?ra=1", 422, "dec: Field required"),
        ("/cone?ra=1&dec=91&radius=5", 422, "dec: Input should be less than or equal to 90, found '91'"),
        ("/lightcurve?ra=1&dec=2&radios=3", 422, "radios: Extra inputs"),
        ("/lightcurve?ra=nan&dec=2", 422, "ra: "),
        ("/lightcurve?ra=1&dec=2&radius=700", 400, "beyond the maximum of 600"),
        ("/cone?ra=1&dec=2&radius=7000", 400, "maximum of 3600 arcsec"),
        ("/stamp/1.png?ra=1&dec=2&size=2000", 400, "at most 1500 px"),
        ("/stamps.json?ra={ra}&dec={dec}&size=1000", 400, "at most 1 million pixels"),
        ("/stamps.png?ra=1&dec=2", 404, "no image covers"),
        ("/object/99999999999999999999", 422, "object_id: "),
        ("/object/5", 404, "no object 5"),
        ("/nothing", 404, "Not Found"),
        ("/stamp/..%2f..%2fetc%2fpasswd.png?ra=1&dec=2", 404, "Not Found"),
        ("/night/someday", 400, "someday"),
        ("/catalogues/..%00/recipe", 422, "name: "),
    ],
)
def test_errors_are_problem_documents(served, star, path, status, words):
    answer = requests.get(f"{served.base}/api/v1{path.format(ra=star[0], dec=star[1])}", timeout=60)
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    told = answer.json()
    assert words in told["detail"]
    assert (told["status"], told["request_id"]) == (status, answer.headers["X-Request-Id"])


def test_a_missing_file_is_told_by_its_name_alone(databases, tmp_path):
    url = databases.migrated("sqlite")
    (made,) = make_epochs(tmp_path / "images", 1)
    with ztfdb.open(url, create=True) as archive:
        archive.ingest(tmp_path / "images")
    star = bright_star(made)[:2]
    made.sci.unlink()
    with ztfdb.open(url, read_only=True) as ours, Serving(url) as service, ztfdb.open(service.base) as theirs:
        image_id = int(ours.images(*star)["image_id"][0])
        with pytest.raises(FileMissingError) as told:
            theirs.stamp(*star, image_id=image_id)
        assert told.value.path == made.sci.name
        (one,) = theirs.stamps(*star)
        assert (one.status, one.problem.path) == ("file missing", made.sci.name)
        assert theirs.light_curve(*star, complete=True, measure="forced")["reason"].tolist() == ["file missing"]
        explained = theirs.explain(int(ours.cone(*star)["source_id"][0]))
        assert made.sci.name in explained.problem and str(tmp_path) not in explained.problem
        for path in (f"/stamps.json?ra={star[0]}&dec={star[1]}", f"/images?ra={star[0]}&dec={star[1]}", "/status"):
            assert str(tmp_path) not in requests.get(f"{service.base}/api/v1{path}", timeout=30).text
    databases.drop(url)


@pytest.mark.parametrize("engine", ENGINES)
def test_files_are_looked_for_where_the_configuration_of_the_host_says(databases, tmp_path, engine):
    """A service on another host than the archive's: its folders have other names there."""
    url = databases.migrated(engine)
    (made,) = make_epochs(tmp_path / "there", 1)
    star = bright_star(made)[:2]
    with ztfdb.open(url, create=True) as archive:
        archive.ingest(tmp_path / "there")
        image_id = int(archive.images(*star)["image_id"][0])
        source_id = int(archive.cone(*star)["source_id"][0])
        (root,) = archive.status()["roots"]
        forced = archive.light_curve(*star, complete=True, measure="forced", keep=False).data
    (tmp_path / "there").rename(tmp_path / "here")
    config = tmp_path / "ztfdb.toml"
    here = root["path"].replace(f"{tmp_path}/there", f"{tmp_path}/here")
    config.write_text(f'[roots]\n{root["name"]} = "{here}"\n')
    with Serving(reader_url(url), "--config", str(config)) as service, ztfdb.open(service.base) as theirs:
        options = {"complete": True, "measure": "forced"}
        for curve in (
            theirs.light_curve(*star, **options),
            theirs.light_curves({"ra": star[:1], "dec": star[1:]}, **options),
        ):
            assert curve["reason"].isna().all()
            assert curve["flux_ujy"].tolist() == forced["flux_ujy"].tolist()
        assert theirs.stamp(*star, image_id=image_id, size=31).data.shape == (31, 31)
        assert [one.status for one in theirs.stamps(*star)] == ["ok"]
        assert theirs.explain(source_id).identical
        name = f"ibe/data/ztf/products/sci/2020/0924/0/{made.sci.name}"
        content = (tmp_path / "here" / made.sci.name).read_bytes()
        for path in (f"files/{image_id}/sci", name):
            assert requests.get(f"{service.base}/{path}", timeout=60).content == content, path
        for path in (
            f"preview/{image_id}.png",
            f"soda/sync?ID=ivo://ztfdb/image?{image_id}",
            f"{name}?center=9,9&size=9pix",
        ):
            answer = requests.get(f"{service.base}/{path}", timeout=60)
            assert answer.ok or "lies outside" in answer.text, path
        series = requests.get(
            f"{service.base}/lightcurve?RA={star[0]}&DEC={star[1]}&COMPLETE=1&MEASURE=forced", timeout=60
        )
        assert b"file missing" not in series.content
        links = requests.get(f"{service.base}/datalink/links?ID=ivo://ztfdb/image?{image_id}", timeout=60)
        assert b"NotFoundFault" not in links.content
    databases.drop(url)


def test_the_description_names_every_path(served):
    described = get(served, "/openapi.json").json()
    assert described["openapi"].startswith("3.1")
    wanted = {
        "/lightcurve", "/lightcurves", "/images", "/cone", "/stamp/{image_id}.{form}", "/stamps.{form}", "/status",
        "/object/{object_id}", "/explain/{source_id}", "/matched", "/coverage.moc",
    }  # fmt: skip
    assert wanted <= set(described["paths"])
    operations = [one for path in described["paths"].values() for one in path.values()]
    names = {one["operationId"] for one in operations}  # generators of clients name their functions and types by them
    assert len(names) == len(operations) and {"cone", "images", "lightcurve", "lightcurves", "stamps"} <= names
    errors = {
        shape["$ref"]
        for one in operations
        for status, answer in one["responses"].items() if status != "200"
        for shape in (kind["schema"] for kind in answer["content"].values())
    }  # fmt: skip
    assert errors == {"#/components/schemas/Problem"}
    assert all("401" in one["responses"] for one in operations)
    json_only = [one for one in operations if "as JSON" in one["description"]]
    assert {tuple(one["responses"]["200"]["content"]) for one in json_only} == {("application/json",)}
    assert set(get(served, "/cone", ra="x", dec="1").json()) == set(
        described["components"]["schemas"]["Problem"]["properties"]
    )
    assert get(served, "/docs").status_code == 404


def test_the_examples_of_the_page_run(served, star, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    (page,) = [part for part in page.split("\n## ") if part.startswith("REST and Python")]
    page = page.replace("http://127.0.0.1:8000", served.base)
    page = page.replace("58.0029", str(star[0])).replace("35.7365", str(star[1]))
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(python, names)
    assert len(names["curve"]) == 4
    assert set(names["many"]["position"]) == {0}
    (shell,) = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    if not shutil.which("curl"):
        pytest.skip("no curl here")
    done = subprocess.run(["sh", "-ec", shell], capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["data"]["mjd"]) == 4
    with Image.open(tmp_path / "stamps.png") as sheet:
        assert sheet.size == (4 * 31 * 4, 31 * 4)
