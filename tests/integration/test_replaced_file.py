"""A SQLite file that is replaced, as when a backup is restored, or removed, while it is in use."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, add_image, build_archive
from ztfdb.errors import DatabaseUnavailableError
from ztfdb.store.engine import make_engine, sessions

PLAN = Plan(40, 4, trouble=0.0)


@pytest.fixture
def used(databases):
    """An archive of four images, its stars, and its file."""
    url = databases.migrated("sqlite")
    stars = build_archive(url, PLAN)[0]
    yield url, stars, Path(url.removeprefix("sqlite:///"))
    databases.drop(url)


def put_in_place(copy, file):
    copy.replace(file)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_restored_copy_is_read_and_written(used, tmp_path, read_only):
    url, stars, file = used
    engine = make_engine(url)
    with ztfdb.open(url, read_only=read_only) as archive:
        archive.backup(copy := tmp_path / "copy.sqlite")
        add_image(sessions(engine), PLAN, stars, 4)
        assert len(archive.light_curve(stars.ra[0], stars.dec[0])) == 5
        assert archive.status()["n_image"] == 5
        put_in_place(copy, file)
        assert len(archive.light_curve(stars.ra[0], stars.dec[0])) == 4
        assert archive.status()["n_image"] == 4
        add_image(sessions(engine), PLAN, stars, 5)
        assert len(archive.light_curve(stars.ra[0], stars.dec[0])) == 5
    engine.dispose()
    with ztfdb.open(url) as anew:  # what was stored is in the file that has the name
        assert anew.status()["n_image"] == 5


def test_a_removed_file_is_told_and_not_made_anew(used, tmp_path):
    url, stars, file = used
    engine = make_engine(url)
    with ztfdb.open(url) as archive, engine.connect() as connection:
        archive.light_curve(stars.ra[0], stars.dec[0])
        archive.backup(copy := tmp_path / "copy.sqlite")
        connection.execute(text("select 1"))
        connection.close()
        for one in file.parent.glob(f"{file.name}*"):
            one.unlink()
        for ask in (lambda: archive.light_curve(stars.ra[0], stars.dec[0]), archive.status, engine.connect):
            with pytest.raises(DatabaseUnavailableError, match="unable to open database file"):
                ask()
        assert not file.exists()
        put_in_place(copy, file)
        assert archive.status()["n_image"] == len(archive.light_curve(stars.ra[0], stars.dec[0])) == 4
    engine.dispose()
