"""Exports to object stores: the files of a local export, the generation shown last, runs that were stopped taken up."""

from __future__ import annotations

import hashlib
import importlib
import uuid

import pytest
from click.testing import CliRunner

import ztfdb
from tests.support.archives import Plan, add_image, build_archive, stars_of
from tests.support.hats_exports import Killed, recalibrate, tree
from ztfdb.cli.app import application
from ztfdb.derive.objects import build_objects
from ztfdb.errors import ExportError, MissingExtraError
from ztfdb.hats.plan import read_state, write_state
from ztfdb.hats.remote import RemotePlace, open_place
from ztfdb.store.engine import make_engine, sessions

fsspec = pytest.importorskip("fsspec")
pytest.importorskip("pyarrow")

pytestmark = [pytest.mark.filterwarnings("ignore")]  # of the packages around S3, about one another

SMALL = Plan(200, 3, seed=2, centre=(0.0, -5.0), field=402)
OPTIONS = {"threshold": 400, "products": ["detections", "objects", "images"]}


@pytest.fixture(scope="module")
def s3():
    """A server with S3's interface, which keeps objects in memory."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        fsspec.filesystem("s3").mkdir("s3://ztf")
        yield
    server.stop()


@pytest.fixture(params=["memory", "s3"])
def url(request):
    if request.param == "s3":
        request.getfixturevalue("s3")
    return f"{request.param}://ztf/{uuid.uuid4().hex}"


@pytest.fixture
def archive_url(databases):
    made = databases.migrated("sqlite")
    build_archive(made, SMALL)
    engine = make_engine(made)
    build_objects(sessions(engine))
    engine.dispose()
    yield made
    databases.drop(made)


def objects_at(url: str) -> dict[str, str]:
    """All objects below a URL with their checksums."""
    files, base = fsspec.core.url_to_fs(url)
    files.invalidate_cache()
    start = base.strip("/") + "/"
    return {
        path.strip("/").removeprefix(start): hashlib.sha256(files.cat_file(path)).hexdigest()
        for path in files.find(base)
    }


def local(folder):
    return {name: digest for name, digest in tree(folder).items() if name != ".lock"}


@pytest.mark.parametrize("layout", ["file", "directory"])
def test_a_store_gets_the_files_of_a_local_export(archive_url, url, tmp_path, layout):
    engine = make_engine(archive_url)
    with ztfdb.open(archive_url) as archive:
        for where in (url, tmp_path):
            archive.export_hats(where, layout=layout, **OPTIONS)
        assert objects_at(url) == local(tmp_path)
        add_image(sessions(engine), SMALL, stars_of(SMALL), 150)
        reports = [archive.export_hats(where, update=True, products=OPTIONS["products"]) for where in (url, tmp_path)]
        assert reports[0].products == reports[1].products
        assert objects_at(url) == local(tmp_path)
        archive.export_hats(url, update=True)
    engine.dispose()


def test_several_processes_send_to_a_store(archive_url, s3, tmp_path):
    url = f"s3://ztf/{uuid.uuid4().hex}"
    with ztfdb.open(archive_url, read_only=True) as archive:
        archive.export_hats(url, jobs=2, **OPTIONS)
        archive.export_hats(tmp_path, **OPTIONS)
        with pytest.raises(ExportError, match="no other process sees memory://"):
            archive.export_hats("memory://ztf/two", jobs=2)
    assert objects_at(url) == local(tmp_path)


def test_a_run_killed_at_any_object_goes_on_to_the_same_bytes(archive_url, url, monkeypatch):
    real, sent, stop = RemotePlace.make, [], {"at": -1, "after": False}

    def counted(place, path, write):
        sent.append(path)
        killed = len(sent) == stop["at"]
        if killed and not stop["after"]:
            raise Killed
        size = real(place, path, write)
        if killed:
            raise Killed
        return size

    monkeypatch.setattr(RemotePlace, "make", counted)
    options = {**OPTIONS, "products": ["detections"]}
    with ztfdb.open(archive_url, read_only=True) as archive:
        archive.export_hats(f"{url}/whole", **options)
        n_sent = len(sent)
        for k, at in enumerate((1, 3, n_sent // 2, n_sent - 1, n_sent)):
            sent.clear()
            stop |= {"at": at, "after": k % 2 == 0}
            with pytest.raises(Killed):
                archive.export_hats(f"{url}/{k}", **options)
            stop["at"] = -1
            archive.export_hats(f"{url}/{k}", **options)
            assert objects_at(f"{url}/{k}") == objects_at(f"{url}/whole")


def test_an_update_sends_the_objects_again_that_are_gone(archive_url, url):
    files, base = fsspec.core.url_to_fs(url)
    with ztfdb.open(archive_url, read_only=True) as archive:
        archive.export_hats(url, **OPTIONS)
        before = objects_at(url)
        gone = [
            name for name in before if "images_g1/dataset/Norder" in name or name == "objects/collection.properties"
        ]
        for name in gone:
            files.rm(f"{base}/{name}")
        generations = [one.generation for one in archive.export_hats(url, update=True).products]
    assert len(gone) == 2 and generations == [1, 1, 2]
    after = objects_at(url)
    assert {name: after[name] for name in before if name.startswith("objects/")} == {
        name: digest for name, digest in before.items() if name.startswith("objects/")
    }
    assert after[gone[-1].replace("_g1", "_g2")] == before[gone[-1]]


@pytest.mark.parametrize("exc", [PermissionError("Forbidden"), ConnectionError("gone"), RuntimeError("503 Slow Down")])
def test_a_state_that_cannot_be_read_is_not_a_missing_one(archive_url, monkeypatch, exc):
    """A full export begins with generation 1, and removes what a stopped run left of it."""
    url = f"memory://ztf/{uuid.uuid4().hex}"
    files, _ = fsspec.core.url_to_fs(url)
    from fsspec.spec import AbstractFileSystem

    def refused(real):
        def opened(path, *args, **kwargs):
            if path.endswith("images/export.json"):
                raise exc
            return real(path, *args, **kwargs)

        return opened

    with ztfdb.open(archive_url, read_only=True) as archive:
        archive.export_hats(url, products=["images"])
        before = objects_at(url)
        for method in ("cat_file", "info", "open"):
            monkeypatch.setattr(files, method, refused(getattr(files, method)))
        monkeypatch.setattr(files, "isfile", lambda path: AbstractFileSystem.isfile(files, path))
        for update in (True, False):
            with pytest.raises(ExportError, match=rf"export\.json: {type(exc).__name__}: {exc}"):
                archive.export_hats(url, products=["images"], update=update)
        monkeypatch.undo()
        assert {path: digest for path, digest in objects_at(url).items() if path != "unfinished.json"} == before


def test_readers_are_pointed_at_a_generation_when_all_of_it_is_there(archive_url, url, monkeypatch):
    """Whoever opens the collection before any object that an update sends finds every file of one generation."""
    engine = make_engine(archive_url)
    real, seen = RemotePlace.make, []

    def watched(place, path, write):
        check(f"{url}/detections")
        return real(place, path, write)

    def check(collection):
        held = set(objects_at(collection))
        text = read_text(f"{collection}/collection.properties")
        folders = [
            line.partition("=")[2] for line in text.splitlines() if line.startswith(("hats_primary", "all_marg"))
        ]
        for folder in folders:
            pixels = read_text(f"{collection}/{folder}/partition_info.csv").split()[1:]
            for order, npix in (map(int, pixel.split(",")) for pixel in pixels):
                path = f"{folder}/dataset/Norder={order}/Dir={npix // 10_000 * 10_000}/Npix={npix}.parquet"
                assert path in held
        seen.append(folders[0])

    with ztfdb.open(archive_url) as archive:
        archive.export_hats(url, **{**OPTIONS, "products": ["detections"]})
        recalibrate(sessions(engine))
        monkeypatch.setattr(RemotePlace, "make", watched)
        archive.export_hats(url, update=True, products=["detections"])
        check(f"{url}/detections")
    engine.dispose()
    assert set(seen) == {"detections_g1", "detections_g2"} and seen == sorted(seen)


def read_text(url):
    files, path = fsspec.core.url_to_fs(url)
    return files.cat_file(path).decode()


def test_an_export_that_another_one_overtook_shows_nothing(archive_url, url):
    place = open_place(f"{url}/images")

    def overtaken(name, done, total):
        state = read_state(place)
        if done == 1 and state is not None and state.number == 1:
            object.__setattr__(state, "number", 2)
            write_state(place, state)

    with ztfdb.open(archive_url, read_only=True) as archive:
        archive.export_hats(url, products=["images"])
        before = read_text(f"{url}/images/collection.properties")
        with pytest.raises(ExportError, match="another export has written"):
            archive.export_hats(url, products=["images"], margin=5.0, progress=overtaken)
        assert read_text(f"{url}/images/collection.properties") == before


def test_lsdb_and_the_archive_read_the_store(archive_url, url):
    lsdb = pytest.importorskip("lsdb")
    with ztfdb.open(archive_url) as archive:
        archive.export_hats(url, layout="directory", **OPTIONS)
        wanted = sorted(archive.cone(0.0, -5.0, 300.0).source_id)
        where = importlib.import_module("upath").UPath(f"{url}/detections", **({"anon": False} if "s3:" in url else {}))
        found = lsdb.open_catalog(where, columns="all").cone_search(0.0, -5.0, 300.0).compute()
        assert sorted(found["source_id"].astype("int64")) == wanted and wanted
        archive.add_catalogue("own", f"hats:{url}/detections", columns={"id": "source_id"})
        assert sorted(archive.catalogue_cone("own", 0.0, -5.0, 300.0).reference_id) == wanted


def test_what_a_store_refuses_names_the_object(archive_url, s3):
    done = CliRunner().invoke(application, ["export", "hats", "s3://nowhere/hats", "--db", archive_url])
    assert done.exit_code == 1
    assert "s3://nowhere/hats/" in done.stderr and "Traceback" not in done.stderr
    unknown = CliRunner().invoke(application, ["export", "hats", "nothing://a/b", "--db", archive_url])
    assert unknown.exit_code == 1
    assert "nothing://a/b" in unknown.stderr and "Traceback" not in unknown.stderr


def test_without_fsspec_the_extra_is_named(archive_url, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "fsspec", None)
    with ztfdb.open(archive_url, read_only=True) as archive, pytest.raises(MissingExtraError, match=r"ztfdb\[remote\]"):
        archive.export_hats("s3://ztf/never")


def test_a_url_without_a_folder_is_named(archive_url):
    with (
        ztfdb.open(archive_url, read_only=True) as archive,
        pytest.raises(ExportError, match="s3:// names no folder"),
    ):
        archive.export_hats("s3://")


def test_a_file_url_is_a_folder(archive_url, tmp_path):
    with ztfdb.open(archive_url, read_only=True) as archive:
        archive.export_hats(f"file://{tmp_path / 'hats'}", products=["images"])
    assert (tmp_path / "hats" / "images" / "collection.properties").exists()
