"""Paths are relative to named roots, so that archive and files can move."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from tests.support.measured import make_measured
from ztfdb.errors import ConfigError
from ztfdb.schema import DataRoot, Image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.image_files import Stored, find_file_at, find_files
from ztfdb.store.images import store_image
from ztfdb.store.roots import find_places, move_root, place_file, read_roots


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    yield sessions(engine)
    engine.dispose()


def place(maker, path, **how):
    with writing(maker) as session:
        found = place_file(session, path, **how)
        names = {root.data_root_id: (root.name, root.path) for root in read_roots(session)}
    return *names[found.data_root_id], found.path


@pytest.mark.parametrize(
    ("path", "given", "expected"),
    [
        ("/d/night/a.fits", None, ("night", "/d/night", "a.fits")),
        ("/d/night/1/a.fits", "/d/night", ("night", "/d/night", "1/a.fits")),
        ("/d/night/1/a.fits", "/d/night/", ("night", "/d/night", "1/a.fits")),
        ("/d/night/a.fits", "/elsewhere", ("night", "/d/night", "a.fits")),
        ("/d/sci/2020/0924/431759/a.fits", "/d/sci/2020", ("d", "/d", "sci/2020/0924/431759/a.fits")),
        (
            "/d/ref/000/field000655/zr/ccd13/q3/a.fits",
            None,
            ("d", "/d", "ref/000/field000655/zr/ccd13/q3/a.fits"),
        ),
        ("/a.fits", None, ("root", "/", "a.fits")),
    ],
)
def test_a_new_root_is_chosen(maker, path, given, expected):
    assert place(maker, path, given=given) == expected


def test_a_known_root_is_used_and_the_deepest_wins(maker):
    place(maker, "/d/a.fits")
    assert place(maker, "/d/x/b.fits") == ("d", "/d", "x/b.fits")
    with writing(maker) as session:
        session.add(DataRoot(name="deep", path="/d/x"))
    assert place(maker, "/d/x/b.fits") == ("deep", "/d/x", "b.fits")
    assert place(maker, "/d/xy/b.fits") == ("d", "/d", "xy/b.fits")  # a name that only begins alike


def test_two_folders_of_one_name_are_two_roots(maker):
    assert place(maker, "/a/data/x.fits")[0] == "data"
    assert place(maker, "/b/data/x.fits")[0] == "data-2"


def test_this_host_may_name_its_folders(maker):
    assert place(maker, "/mnt/z/1/a.fits", places={"ztf": "/mnt/z"}) == ("ztf", "/mnt/z", "1/a.fits")
    assert place(maker, "/other/1/a.fits", places={"ztf": "/other"})[2] == "1/a.fits"
    with maker.begin() as session:
        assert session.scalar(select(func.count()).select_from(DataRoot)) == 1


def test_the_same_image_under_two_mounts_is_one_image(maker):
    with writing(maker) as session:
        store_image(session, make_measured("/mnt/a/1/x_sciimg.fits"), places={"ztf": "/mnt/a"})
    with writing(maker) as session:
        again = store_image(session, make_measured("/mnt/b/1/x_sciimg.fits"), places={"ztf": "/mnt/b"})
        assert again is Stored.UNCHANGED
        assert session.scalar(select(func.count()).select_from(Image)) == 1
        files = find_files(session, make_measured().info.image_id, places={"ztf": "/mnt/b"})
    assert [file.absolute for file in files] == ["/mnt/b/1/x_mskimg.fits", "/mnt/b/1/x_sciimg.fits"]


def test_relocating_moves_every_file_at_once(maker):
    measured = make_measured("/old/1/x_sciimg.fits")
    with writing(maker) as session:
        store_image(session, measured, given="/old")
    with writing(maker) as session:
        assert move_root(session, "old", "/new/place") == "/old"
    with maker.begin() as session:
        assert find_file_at(session, find_places(read_roots(session), "/old/1/x_sciimg.fits")) is None
        found = find_file_at(session, find_places(read_roots(session), "/new/place/1/x_sciimg.fits"))
    assert found is not None
    assert found.image_id == measured.info.image_id


def test_relocating_what_is_not_there_names_what_is(maker):
    place(maker, "/d/a.fits")
    with pytest.raises(ConfigError, match="no data root is called 'x'; this archive has: d"), writing(maker) as session:
        move_root(session, "x", "/new")
