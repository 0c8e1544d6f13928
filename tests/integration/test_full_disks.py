"""Commands whose files do not fit: one error that names the file, nothing left, and the next run completes."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
import time

import pytest
from click.testing import CliRunner

from tests.support.archives import Plan, build_archive
from tests.support.disks import small_disk
from tests.support.waiting import wait_until
from ztfdb.cli.app import application
from ztfdb.errors import DatabaseUnavailableError
from ztfdb.store.faults import typed_error
from ztfdb.store.readonly_stream import Reader
from ztfdb.store.tap_jobs import JobStore


@pytest.fixture(scope="module")
def url(databases):
    """An archive of some MB."""
    made = databases.migrated("sqlite")
    build_archive(made, Plan(3_000, 6, trouble=0.0))
    assert CliRunner().invoke(application, ["--db", made, "init"]).exit_code == 0
    yield made
    databases.drop(made)


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "small", megabytes=1):
        yield tmp_path / "small"


def run(url, *words):
    result = CliRunner().invoke(application, ["--db", url, *map(str, words)])
    return result.exit_code, result.stderr.strip()


def test_an_archive_on_a_full_disk(url, tmp_path):
    """SQLite needs room also for reading."""
    with small_disk(tmp_path / "small"):
        file = tmp_path / "small" / "archive.sqlite"
        assert run(url, "backup", file)[0] == 0
        filler = tmp_path / "small" / "filler"
        with filler.open("wb", buffering=0) as full, contextlib.suppress(OSError):
            while True:
                full.write(bytes(4096))
        code, told = run(f"sqlite:///{file}", "status")
        assert (code, f"error: {file}: the disk is full: " in told) == (1, True)
        filler.unlink()
        assert run(f"sqlite:///{file}", "status")[0] == 0


def test_a_backup(url, disk, tmp_path):
    copy = disk / "copy.sqlite"
    assert run(url, "backup", copy) == (1, f"error: {copy} cannot be written: No space left on device")
    assert list(disk.iterdir()) == []
    assert run(url, "backup", tmp_path / "copy.sqlite")[0] == 0


@pytest.mark.parametrize("suffix", ["csv", "parquet", "vot"])
def test_rows_of_a_statement(url, disk, tmp_path, monkeypatch, suffix):
    statement = "select * from source"
    code, told = run(url, "sql", statement, "-o", disk / f"rows.{suffix}")
    assert (code, "cannot be written: " in told or "no more rows fit" in told) == (1, True)
    assert list(disk.iterdir()) == []
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    code, told = run(url, "sql", statement, "-o", tmp_path / f"rows.{suffix}")
    assert (code, f"no more rows fit into {disk}: " in told) == (1, True)
    assert list(disk.iterdir()) == []
    monkeypatch.undo()
    assert run(url, "sql", statement, "-o", tmp_path / f"rows.{suffix}")[0] == 0


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_export(url, tmp_path, jobs):
    folder = tmp_path / "small"
    with small_disk(folder, megabytes=1):
        filler = folder / "filler"
        filler.write_bytes(bytes(900_000))
        code, told = run(url, "export", "hats", folder / "hats", "--jobs", jobs)
        assert (code, f"error: {folder}/hats/" in told, "cannot be written: " in told) == (1, True, True)
        assert list((folder / "hats").rglob("*.part")) == []
    code, told = run(url, "export", "hats", tmp_path / "small" / "hats", "--jobs", jobs)
    assert code == 0, told


def test_a_job_of_a_service(url, tmp_path):
    """It ends in error, for the reason, and nothing of its result stays; a new one is refused for now."""
    pytest.importorskip("starlette", reason="the extra serve is not installed")
    from ztfdb.serve.limits import Limits
    from ztfdb.serve.tap.jobs import JobRunner

    asked = [("LANG", "ADQL"), ("FORMAT", "csv"), ("QUERY", "select * from ztf.source")]
    with small_disk(tmp_path / "small", megabytes=1):
        store = JobStore(tmp_path / "small" / "state")
        runner = JobRunner(store, Reader(url), Limits())
        job = store.create(asked, days=1.0, duration=60.0)
        runner.submit(job)
        key = job.id
        wait_until(lambda: store.get(key).phase not in ("QUEUED", "EXECUTING"))
        assert (store.get(key).phase, store.get(key).error.partition(":")[0]) == (
            "ERROR",
            "the service has no space for this result now",
        )
        assert list(store.folder.glob("*.part")) == []
        filler = tmp_path / "small" / "filler"
        with filler.open("wb", buffering=0) as full, contextlib.suppress(OSError):
            while True:
                full.write(bytes(4096))
        with pytest.raises(DatabaseUnavailableError, match="disk"):
            store.create(asked, days=1.0, duration=60.0)
        filler.unlink()
        job = store.create([*asked[:2], ("QUERY", "select top 3 * from ztf.source")], days=1.0, duration=60.0)
        runner.submit(job)
        wait_until(lambda: store.get(job.id).phase == "COMPLETED")
        runner.close()


def test_jobs_can_be_seen_and_deleted_on_a_full_disk(url, tmp_path):
    """Else nobody could make room: the results fill it."""
    with small_disk(tmp_path / "small", megabytes=1):
        store = JobStore(tmp_path / "small" / "state")
        keys = [store.create([], days=1.0, duration=60.0).id for _ in range(2)]
        for key in keys:
            store.start(key)
            store.finish(key, "COMPLETED")
            store.result_path(key).write_bytes(bytes(65_536))
        filler = tmp_path / "small" / "filler"
        with filler.open("wb", buffering=0) as full, contextlib.suppress(OSError):
            while True:
                full.write(bytes(4096))
        assert [store.get(key).phase for key in keys] == ["COMPLETED", "COMPLETED"]
        store.delete(keys[0])
        assert [store.get(key) is None for key in keys] == [True, False]
        store.create([], days=1.0, duration=60.0)
        store.close()


def test_jobs_wait_while_the_disk_of_their_states_is_full(url, tmp_path):
    """The end of a job and the start of the next are recorded when there is room again."""
    pytest.importorskip("starlette", reason="the extra serve is not installed")
    from ztfdb.serve.limits import Limits
    from ztfdb.serve.tap.jobs import THREADS, JobRunner

    slow = "select count(*) as n from ztf.source a join ztf.source b on a.x < b.x and a.y > b.y"
    quick = "select top 3 source_id from ztf.source"
    with small_disk(tmp_path / "small", megabytes=1):
        store = JobStore(tmp_path / "small" / "state")
        runner = JobRunner(store, Reader(url), Limits())
        asked = [[("LANG", "ADQL"), ("FORMAT", "csv"), ("QUERY", text)] for text in (*[slow] * THREADS, quick)]
        jobs = [store.create(one, days=1.0, duration=1.0) for one in asked]
        assert all(runner.submit(job) for job in jobs)
        keys = [job.id for job in jobs]
        wait_until(lambda: [store.get(key).phase for key in keys] == [*["EXECUTING"] * THREADS, "QUEUED"])
        filler = tmp_path / "small" / "filler"
        with filler.open("wb", buffering=0) as full, contextlib.suppress(OSError):
            while True:
                full.write(bytes(4096))
        time.sleep(3.0)
        filler.unlink()
        wait_until(lambda: [store.get(key).phase for key in keys] == [*["ERROR"] * THREADS, "COMPLETED"])
        assert all("time limit of 1 s" in store.get(key).error for key in keys[:-1])
        runner.close()


def test_a_full_disk_of_temporary_files_is_named(monkeypatch, tmp_path):
    """SQLite says no more than that some disk is full."""
    monkeypatch.delenv("SQLITE_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("pragma max_page_count = 2")
        connection.execute("create table one (x)")
        with pytest.raises(sqlite3.OperationalError) as caught:
            connection.execute("insert into one values (zeroblob(100000))")
    told = f"a.sqlite: database or disk is full: its own, or that of temporary files, {tmp_path}"
    assert str(typed_error(caught.value, "a.sqlite")) == told
