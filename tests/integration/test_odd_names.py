"""Names of files and archives that are no text, no path, or somebody's secret."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import ztfdb
from ztfdb.cli.app import application
from ztfdb.config import Config
from ztfdb.daemon.service import Watching, serve
from ztfdb.errors import ConfigError, StoreError, ZtfdbError
from ztfdb.simulate import make_science_image

NAME = b"ztf_20200924431770_000655_zr_c13_o_q3_sciimg.fits"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_science_image(
        tmp_path_factory.mktemp("made"), n_star=5, seed=1, shape=(120, 130), obsmjd=59116.4317708, mask=False
    ).sci


@pytest.fixture
def night(tmp_path, made):
    """A folder of one good image, one in a folder whose name is not UTF-8, and one of such a name."""
    folder = tmp_path / "night"
    folder.mkdir()
    shutil.copy(made, folder / made.name)
    bad = os.fsencode(folder) + b"/\xe9t\xe9"
    Path(os.fsdecode(bad)).mkdir()
    shutil.copy(made, bad + b"/" + NAME.replace(b"431770", b"431771"))
    shutil.copy(made, os.fsencode(folder) + b"/\xff.fits")
    return folder


def test_a_name_that_is_not_utf8_costs_only_itself(archive, night):
    given = [night / os.fsdecode(b"\xff.fits"), night]
    for _ in range(2):
        report = archive.ingest(given)
        bad = [one for one in report.failures if "not UTF-8" in one.reason]
        assert len(bad) == 2
        assert report.found - report.failed == 1
    assert archive.status()["n_image"] == 1
    assert sum(archive.status()["queue"]["jobs"].values()) == 1


def test_the_daemon_works_beside_a_name_that_is_not_utf8(archive, night, engine_url, caplog):
    caplog.set_level("INFO", "ztfdb")
    serve(Config(url=engine_url), [night], Watching(settle_s=0.0, grace_s=0.0), once=True)
    assert archive.status()["n_image"] == 1
    left_out = [one for one in caplog.records if "not UTF-8" in str(getattr(one, "reason", ""))]
    assert left_out
    assert len({one.path for one in left_out}) == len(left_out)


def test_paths_from_stdin_are_bytes(archive, engine_url, night):
    paths = [os.fsencode(path) for path in sorted(night.iterdir())] + [b"a\0b", b"x\x85y.fits"]
    stdin = b"\n".join(paths) + b"\n"
    result = CliRunner().invoke(application, ["ingest", "-", "--db", engine_url], input=stdin)
    assert result.exit_code == 1
    assert archive.status()["n_image"] == 1
    assert "NUL" in result.stderr
    assert "x\\x85y.fits" in result.stderr


def test_an_outcome_of_such_a_name_is_written_exactly(archive, engine_url, night):
    bad = night / os.fsdecode(b"\xff.fits")
    for name in ("out.csv", "out.json"):
        out = night.parent / name
        result = CliRunner().invoke(application, ["ingest", str(bad), "--db", engine_url, "--report", str(out)])
        assert result.exit_code == 1
        written = out.read_bytes()
        assert os.fsencode(bad) in written or b"\\udcff.fits" in written


def test_other_texts_that_are_not_utf8_are_typed_errors(archive, night, tmp_path):
    text = os.fsdecode(b"\xff")
    table = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))
    table.write_text("id,ra,dec\n1,10,20\n")
    with pytest.raises(StoreError, match="not UTF-8"):
        archive.import_catalogue("mine", table)
    with pytest.raises(ZtfdbError, match="not UTF-8"):
        archive.sql("select :x as x", x=text, force=True)


@pytest.mark.parametrize("words", [["ingest"], ["ingest", "--psfcat"]])
@pytest.mark.parametrize(
    "url", ["https://irsa.ipac.caltech.edu/x/y_sciimg.fits", "s3://bucket/x.fits", "file:///x.fits"]
)
def test_a_url_given_to_ingest_is_one_line(archive, engine_url, words, url):
    result = CliRunner().invoke(application, [*words, url, "--db", engine_url])
    assert result.exit_code == 1
    assert "a URL; images are measured from files" in result.stderr
    assert url in result.stderr


@pytest.mark.parametrize("name", ["nosuch.fits", "nosuch/", "no*such", "C:\\data\\x.fits"])
def test_a_mistyped_name_leaves_nothing_behind(archive, engine_url, name):
    result = CliRunner().invoke(application, ["ingest", name, "--db", engine_url])
    assert result.exit_code == 1
    left = archive.sql("select (select count(*) from ingest_job) + (select count(*) from data_root) as n", force=True)
    assert left["n"].tolist() == [0]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite://night.db", "sqlite:///night.db"),
        ("sqlite://data/night.db", "sqlite:///data/night.db"),
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:night.db", "slashes"),
        ("postgresql:db", "slashes"),
        ("C:\\data\\night.db", "a Windows path"),
        ("sqlite:///C:\\data\\night.db", "a Windows path"),
        ("C:/data/night.db", "a Windows path"),
        ("\\\\server\\share\\night.db", "a Windows path"),
        ("file:///night.db", "not an engine"),
        ("https://night.db", "is a service"),
        ("", "no name"),
    ],
)
def test_what_is_no_archive_is_one_line(tmp_path, monkeypatch, url, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=words.replace(".", r"\.")):
        ztfdb.open(url, create=True)
    if url:
        result = CliRunner().invoke(application, ["init", "--db", url])
        assert (result.exit_code, result.stderr.count("\n")) == (1, 1)
    assert list(tmp_path.iterdir()) == []


def test_ingest_makes_a_new_sqlite_archive_and_no_other(tmp_path, made, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(application, ["ingest", "nosuch.fits", "--db", "sqlite:///new.db"])
    assert (result.exit_code, list(tmp_path.iterdir())) == (1, [])
    assert "nosuch.fits" in result.stderr
    result = CliRunner().invoke(application, ["ingest", str(made), "--db", "sqlite:///new.db"])
    assert result.exit_code == 0, result.stderr
    assert "made the archive sqlite:///new.db" in result.stderr
    with ztfdb.open("sqlite:///new.db") as archive:
        assert archive.status()["n_image"] == 1


def test_ingest_makes_nothing_of_a_file_or_database_that_is_there(empty_url, tmp_path, made):
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).touch()
    result = CliRunner().invoke(application, ["ingest", str(made), "--db", empty_url])
    assert result.exit_code == 1
    assert "ztfdb init" in result.stderr


@pytest.mark.parametrize("where", ["{}?password=s3cret&sslmode=disable", "{}?sslpassword=s3cret"])
def test_a_password_in_the_query_is_shown_nowhere(monkeypatch, caplog, where):
    url = where.format("postgresql://u@localhost:1/db")
    caplog.set_level("DEBUG")
    result = CliRunner().invoke(application, ["-vv", "status", "--db", url])
    assert result.exit_code == 1
    assert "s3cret" not in result.output + result.stderr + caplog.text
    from ztfdb.store.address import mask_password
    from ztfdb.store.engine import make_engine

    assert "s3cret" not in repr(make_engine(url)) + mask_password(url) + repr(Config(url=url)) + str(
        Config(url=url).describe()
    )
    assert "=***" in mask_password(url)


def test_a_password_in_the_query_reaches_the_server():
    from ztfdb.store.engine import make_engine

    engine = make_engine("postgresql://u@localhost:1/db?password=s3cret&connect_timeout=2")
    _, how = engine.dialect.create_connect_args(engine.url)
    given = {}

    def connect(*words, **kwargs):
        given.update(kwargs)
        raise ConnectionRefusedError

    engine.dialect.connect = connect
    with pytest.raises(ConnectionRefusedError):
        engine.raw_connection()
    assert given["password"] == "s3cret"
    assert "password" not in how
