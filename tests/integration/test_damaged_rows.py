"""A SQLite file with a value that its column should not hold: every command ends in one line, none in a traceback."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner

import ztfdb
from tests.support.catalogues import make_epochs
from ztfdb.cli.app import application

DAMAGE = {
    "text for a flux": "update source set flux_aper4 = 'x'",
    "text for an id of an image": "update source set hpx29 = 'x' where rowid in (select rowid from source limit 1)",
    "text for a date": "update image set obsmjd = 'x'",
    "text for a zero point": "update image set magzp = 'x'",
    "text for a boolean": "update image set has_mask = 'x'",
    "text for a count": "update image set n_source = 'x'",
    "a blob for a filter": "update image set filtercode = x'ff00'",
    "no JSON": "update image_header set cards = '{'",
    "short WCS": "update image_header set wcs = x'00' where wcs is not null",
    "bytes that are no text": "update image_file set path = cast(x'fffe' as text)",
    "text for a size": "update image_file set size = 'x'",
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sound")
    (folder / "night").mkdir()
    make_epochs(folder / "night", 2)
    file = folder / "sound.sqlite"
    with ztfdb.open(f"sqlite:///{file}", create=True) as archive:
        archive.ingest(folder / "night")
        first = archive.sql("select source_id, ra, dec, image_id from source order by source_id limit 1").iloc[0]
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("pragma wal_checkpoint(truncate)")
    return file, first


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_value_of_another_type_is_one_line(sound, damage, tmp_path):
    file, first = sound
    damaged = Path(shutil.copy(file, tmp_path / "damaged.sqlite"))
    with contextlib.closing(sqlite3.connect(damaged)) as connection, connection:
        connection.execute(DAMAGE[damage])
    position = (
        (f"{first['ra']}", "--", f"{first['dec']}") if first["dec"] < 0 else (f"{first['ra']}", f"{first['dec']}")
    )
    n_told = 0
    for words in (
        ("status",),
        ("cone", *position, "5"),
        ("lightcurve", *position, "--complete"),
        ("images", *position),
        ("sql", "select * from light_curve_point"),
        ("explain", "source", f"{int(first['source_id'])}"),
        ("verify", "--deep"),
        ("ingest", str(file.parent / "night"), "--force", "--jobs", "1"),
    ):
        result = CliRunner().invoke(application, ["--db", f"sqlite:///{damaged}", *words])
        assert result.exception is None or isinstance(result.exception, SystemExit), (words, result.exc_info)
        assert result.exit_code in (0, 1), (words, result.output)
        assert "Traceback" not in result.output, words
        if result.exit_code == 1 and words[0] != "verify":
            assert result.stderr.startswith("failed: " if words[0] == "ingest" else "error: "), (words, result.output)
        n_told += result.exit_code == 1
    assert n_told > 0
