"""Commands whose files do not fit: one error that names the file, nothing left, and the next run completes."""

from __future__ import annotations

import tempfile

import pytest
from click.testing import CliRunner

from tests.support.archives import Plan, build_archive
from tests.support.disks import small_disk
from ztfdb.cli.app import application


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
