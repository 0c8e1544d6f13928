"""Paths that cannot be: one typed error that names the path and says why, no wait, and nothing left behind."""

from __future__ import annotations

import os
import sqlite3

import pytest

import ztfdb
from tests.support.children import in_a_child
from ztfdb.errors import DatabaseUnavailableError, ExportError, SchemaVersionError, StoreError
from ztfdb.ingest.report import Outcome

LONG = "n" * 300


@pytest.fixture
def places(tmp_path, monkeypatch):
    """A folder with one of each."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("text")
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere/file")
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    yield tmp_path
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize(
    ("path", "kind", "reason"),
    [
        ("folder", SchemaVersionError, "folder is a folder; expected the file of an archive"),
        ("pipe", SchemaVersionError, "pipe is no regular file; expected the file of an archive"),
        ("/dev/null", SchemaVersionError, "/dev/null is no regular file; expected the file of an archive"),
        ("loop", DatabaseUnavailableError, "loop: Too many levels of symbolic links"),
        (LONG, DatabaseUnavailableError, f"{LONG}: File name too long"),
        (f"{LONG}/x", DatabaseUnavailableError, f"{LONG}/x: File name too long"),
        ("file", StoreError, "file: file is not a database"),
        ("a\0b", ztfdb.errors.ConfigError, "the file of an archive cannot be called a\\x00b"),
    ],
)
def test_an_archive_that_cannot_be_opened_or_made(places, path, kind, reason, create):
    with pytest.raises(kind) as told:
        ztfdb.open(path, create=create)
    assert (type(told.value), str(told.value).removeprefix(f"{places}/")) == (kind, reason)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere/file", "there is no folder {}/nowhere"),
        ("dangling", "there is no folder {}/nowhere"),
        ("file/x", "it cannot be opened: Not a directory"),
        ("/proc/x", "it cannot be created: "),
    ],
)
def test_an_archive_that_cannot_be_made_says_why(places, path, reason):
    """SQLite's own words are "unable to open database file"."""
    with pytest.raises(DatabaseUnavailableError) as told:
        ztfdb.open(path, create=True)
    assert str(told.value).startswith(f"{path}: {reason.format(places)}")


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
def test_an_archive_in_a_folder_of_someone_else(places, tmp_path):
    (tmp_path / "folder").chmod(0o700)
    sqlite3.connect(tmp_path / "folder" / "there").close()
    (tmp_path / "folder" / "there").unlink()
    os.chmod(tmp_path, 0o755)  # noqa: PTH101

    def make(path):
        return in_a_child(lambda: ztfdb.open(path, create=True), user="nobody")

    import ztfdb.store.migrate  # nobody may not be able to read the modules

    for parent in tmp_path.parents:
        parent.chmod(parent.stat().st_mode | 0o011)
    assert make("folder/x") == "DatabaseUnavailableError('folder/x: Permission denied')"
    assert make("x") == "DatabaseUnavailableError('x: it cannot be created: Permission denied')"


@pytest.mark.parametrize("update", [False, True])
@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("file", "file is not a folder"),
        ("pipe", "pipe is not a folder"),
        ("/dev/null", "/dev/null is not a folder"),
        ("file/x", "file/x cannot be written: Not a directory"),
        ("loop", "loop cannot be written: Too many levels of symbolic links"),
        (LONG, f"{LONG} cannot be written: File name too long"),
    ],
)
def test_an_export(archive, places, path, reason, update):
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    with pytest.raises(ExportError) as told:
        archive.export_hats(path, update=update)
    assert str(told.value) == reason


def test_an_export_where_no_folder_can_be_made(archive, places):
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    with pytest.raises(ExportError, match=r"^/proc/nowhere cannot be written: "):
        archive.export_hats("/proc/nowhere")


@pytest.mark.parametrize("path", [LONG, "/proc/copy"])
def test_a_backup(databases, places, path):
    with (
        ztfdb.open(databases.migrated("sqlite"), create=True) as archive,
        pytest.raises(StoreError, match=f"{path} cannot be written: "),
    ):
        archive.backup(path)


def test_pipes_and_devices_as_images(archive, places):
    """Each would be read forever: a pipe has no other end, ``/dev/full`` none at all."""
    ended = in_a_child(lambda: [one.outcome for one in archive.ingest(["pipe", "/dev/full"]).outcomes], timeout_s=30)
    assert ended == [Outcome.FAILED, Outcome.FAILED]


@pytest.mark.parametrize("path", [LONG, f"{LONG}/x"])
def test_a_name_that_is_too_long(archive, places, path):
    assert [one.outcome for one in archive.ingest_psfcat(path).outcomes] == [Outcome.FAILED]
    with pytest.raises(ztfdb.errors.ConfigError, match="there is no folder"):
        archive.relocate("images", path)


@pytest.mark.parametrize("url", [5, 1.5, True, b"a.sqlite", ["a.sqlite"], {}, object()])
def test_what_is_no_address_is_one_error(places, url):
    with pytest.raises(ztfdb.errors.ConfigError, match="expected the address of an archive"):
        ztfdb.open(url)


@pytest.mark.parametrize("floor", [float("nan"), float("inf"), -0.01, 1.5, "0.01", None, True])
def test_an_archive_is_not_made_with_a_floor_of_errors_that_is_none(places, floor):
    """It is fixed when the archive is made."""
    with pytest.raises(ValueError, match=f"magerr_sys .*{floor}.*: expected"):
        ztfdb.open("a.sqlite", create=True, magerr_sys=floor)
