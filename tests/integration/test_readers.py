"""Readers who may not write: every question has the answer that the writer gets; only what writes is refused."""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import pandas as pd
import psycopg
import pytest
from psycopg import sql

import ztfdb
from tests.support.archives import Plan, add_image, build_archive
from tests.support.children import in_a_child
from ztfdb.errors import DatabaseReadOnlyError
from ztfdb.server import DEBIAN_VERSIONS, PORT, SUPERUSER, PostgresServer, find_binaries
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions

RA, DEC = 57.9974, 35.7463
EMPTY = (RA + 0.004, DEC)
FORCED = "select count(*) as n from forced_source"


def fill(url, folder):
    """Ingest three exposures, and measure one position so that some light is kept."""
    for k, filtercode in enumerate(("zr", "zg", "zr")):
        how = {"obsmjd": 59116.25 + k, "filtercode": filtercode, "ra": RA, "dec": DEC, "shape": (120, 120)}
        make_science_image(folder, sky_stars=([RA], [DEC], [16.5]), seed=k, **how)
    with ztfdb.open(url, create=True) as archive:
        assert len(archive.ingest(folder).outcomes) == 3
        archive.build_objects()


def questions(archive):
    """Answer one of each kind, as text that can be compared."""
    image_id = int(archive.images(RA, DEC)["image_id"].iloc[0])
    complete = archive.light_curve(*EMPTY, complete=True)
    source_id = int(archive.cone(RA, DEC)["source_id"].iloc[0])
    answers = {
        "cone": archive.cone(RA, DEC, 30.0),
        "light curve": archive.light_curve(RA, DEC).to_pandas(),
        "complete": complete.to_pandas(),
        "complete, many": archive.light_curves({"ra": [RA, EMPTY[0]], "dec": [DEC, DEC]}, complete=True),
        "many": archive.light_curves({"ra": [RA, EMPTY[0]], "dec": [DEC, DEC]}),
        "images": archive.images(RA, DEC),
        "catalogues": archive.catalogues(),
        "verify": archive.verify(),
        "psf checks": archive.psf_checks(),
        "stamp": archive.stamp(RA, DEC, image_id=image_id).data.tolist(),
        "stamps": len(archive.stamps(RA, DEC)),
        "explain": str(archive.explain(source_id)),
        "status": [archive.status()[name] for name in sorted(archive.status()) if name != "url"],
    }
    return {name: value.to_csv() if isinstance(value, pd.DataFrame) else str(value) for name, value in answers.items()}


WRITES = {
    "ingest": lambda archive: archive.ingest(archive.folder, force=True),
    "remove": lambda archive: archive.remove(int(archive.images(RA, DEC)["image_id"].iloc[0])),
    "relocate": lambda archive: archive.relocate("images", "/"),
    "objects": lambda archive: archive.build_objects(),
}


def ask_and_try_to_write(url, folder):
    """Return the answers, whether anything was kept, and the error of each thing that writes."""
    with ztfdb.open(url) as archive, ztfdb.open(url, create=True):  # create: nothing is to do
        archive.folder = folder
        answers = questions(archive)
        kept = archive.light_curve(*EMPTY, complete=True).to_pandas().attrs["kept"]
        refused = {}
        for name, write in WRITES.items():
            try:
                write(archive)
                refused[name] = "written"
            except Exception as exc:
                refused[name] = type(exc).__name__
    return answers, kept, refused


ALL_REFUSED = dict.fromkeys(WRITES, DatabaseReadOnlyError.__name__)


@pytest.fixture
def place():
    """A folder that every user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="ztfdb-readers-"))
    folder.chmod(0o755)
    (folder / "images").mkdir()
    yield folder
    for one in (folder, *folder.rglob("*")):
        if one.is_dir():
            one.chmod(0o755)
    shutil.rmtree(folder)


def right_answers(url):
    """Return what a writer gets, nothing kept, so that the readers still have to measure."""
    with ztfdb.open(url, read_only=True) as archive:
        return questions(archive)


@pytest.mark.parametrize("writer", [False, True])
def test_sqlite_in_a_folder_without_the_right_to_write(place, writer):
    """Alone, and beside a process that has the archive open."""
    folder = place / "archive"
    folder.mkdir()
    url = f"sqlite:///{folder / 'night.sqlite'}"
    fill(url, place / "images")
    right = right_answers(url)
    held = ztfdb.open(url) if writer else None
    if held is not None:
        held.relocate("images", place / "images")  # so that there is a log
    for one in folder.iterdir():
        one.chmod(0o444)
    folder.chmod(0o555)
    answers, kept, refused = in_a_child(lambda: ask_and_try_to_write(url, place / "images"), 120, "nobody")
    assert answers == right
    assert not kept
    assert refused == ALL_REFUSED
    if held is not None:
        held.close()


def test_a_log_that_a_killed_writer_left_is_told_to_who_may_not_write(place):
    """Its index has to be made in the same folder, as on a disk that is mounted to read."""
    folder = place / "archive"
    folder.mkdir()
    file = folder / "night.sqlite"
    url = f"sqlite:///{file}"
    ztfdb.open(url, create=True).close()

    def write_and_die():
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("create view mine as select 1 as k")
        os.kill(os.getpid(), signal.SIGKILL)

    pid = os.fork()
    if pid == 0:
        write_and_die()
    os.waitpid(pid, 0)
    file.with_name("night.sqlite-shm").unlink()
    folder.chmod(0o555)

    def ask():
        with ztfdb.open(url, read_only=True) as archive:
            return archive.sql("select k from mine")["k"].tolist()

    assert re.search(r"night\.sqlite: its log, .*night\.sqlite-wal, .*`ztfdb init`", in_a_child(ask, 60, "nobody"))
    folder.chmod(0o755)
    ztfdb.open(url, create=True).close()
    folder.chmod(0o555)
    assert in_a_child(ask, 60, "nobody") == [1]


def test_a_reader_sees_what_is_stored_after_it_began(place):
    """It opened the file as unchanging, which it is no more."""
    folder = place / "archive"
    folder.mkdir()
    url = f"sqlite:///{folder / 'night.sqlite'}"
    ztfdb.open(url, create=True).close()
    plan = Plan(40, 6, trouble=0.0)
    stars = build_archive(url, plan)[0]
    folder.chmod(0o555)
    go, gone = os.pipe()
    done, ready = os.pipe()

    def read():
        with ztfdb.open(url) as archive:
            before = len(archive.light_curve(stars.ra[0], stars.dec[0]))
            os.write(ready, b"x")
            os.read(go, 1)
            return before, len(archive.light_curve(stars.ra[0], stars.dec[0]))

    if os.fork() == 0:  # the writer, who is root or owns the folder
        try:
            os.read(done, 1)
            folder.chmod(0o755)
            engine = make_engine(url)
            add_image(sessions(engine), plan, stars, 6)
            engine.dispose()
            folder.chmod(0o555)
        finally:
            os.write(gone, b"x")
            os._exit(0)
    assert in_a_child(read, 60, "nobody") == (6, 7)
    os.wait()


def test_a_role_that_is_set_to_read_only(databases, place):
    url = databases.migrated("postgresql")
    name = url.partition("?")[0].rpartition("/")[2]
    fill(url, place / "images")
    right = right_answers(url)
    with databases.server.connect() as connection:
        connection.execute(
            sql.SQL("alter database {} set default_transaction_read_only = on").format(sql.Identifier(name))
        )
    answers, kept, refused = ask_and_try_to_write(url, place / "images")
    assert (answers, refused) == (right, ALL_REFUSED)
    assert not kept
    databases.drop(url)


class Standby(PostgresServer):
    """A streaming standby of another server, and that server once it is promoted."""

    def __init__(self, primary):
        super().__init__()
        self._primary = primary

    def _initdb(self):
        command = [self._binaries / "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "-c", "fast"]
        command += ["-h", self._primary.home, "-p", str(PORT), "-U", SUPERUSER]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self.home, **self.user)
        assert done.returncode == 0, done.stderr

    def catch_up(self):
        """Wait until what the primary has written, flushed or not, is here."""
        with self._primary.connect() as connection:
            (wanted,) = connection.execute("select pg_current_wal_insert_lsn()").fetchone()
        end = time.monotonic() + 30
        with self.connect() as connection:
            while not connection.execute("select pg_last_wal_replay_lsn() >= %s", [wanted]).fetchone()[0]:
                assert time.monotonic() < end
                time.sleep(0.02)


@pytest.fixture
def servers(monkeypatch):
    """A primary and a standby that is not started yet, of binaries that can copy a server."""
    if not (find_binaries() / "pg_basebackup").exists():
        whole = [one for one in DEBIAN_VERSIONS.glob("*/bin") if (one / "pg_basebackup").exists()]
        if not whole:
            pytest.skip("no pg_basebackup here")
        monkeypatch.setenv("ZTFDB_PG_BIN", str(max(whole)))
    with PostgresServer() as primary:
        standby = Standby(primary)
        yield primary, standby
        standby.close()


@pytest.mark.postgresql
def test_a_standby_answers_and_is_a_primary_once_it_is_promoted(servers, place):
    primary, standby = servers
    url = primary.create_database("ztf")
    fill(url, place / "images")
    right = right_answers(url)
    standby.start()
    standby.catch_up()
    there = standby.url("ztf")
    answers, kept, refused = ask_and_try_to_write(there, place / "images")
    assert (answers, refused) == (right, ALL_REFUSED)
    assert not kept
    with ztfdb.open(there) as archive:
        with pytest.raises(DatabaseReadOnlyError):
            archive.relocate("images", place / "images")
        with standby.connect() as connection:
            connection.execute("select pg_promote()")
        archive.relocate("images", place / "images")


@pytest.mark.postgresql
def test_what_a_standby_remembers_is_what_is_there(servers, place):
    """Its snapshots look the same before and after a commit, where an older transaction is open."""
    primary, standby = servers
    url = primary.create_database("ztf")
    plan = Plan(40, 6, trouble=0.0)
    ztfdb.open(url, create=True).close()
    stars = build_archive(url, plan)[0]
    standby.start()
    with (
        psycopg.connect(host=str(primary.home), user=SUPERUSER, dbname="ztf") as oldest,
        psycopg.connect(host=str(primary.home), user=SUPERUSER, dbname="ztf") as change,
        ztfdb.open(standby.url("ztf")) as archive,
    ):
        oldest.execute("select pg_current_xact_id()")
        oldest.execute("update archive_meta set value = value where key = 'created'")
        change.execute("update image set exptime = 77")
        with primary.connect() as third:
            third.execute("create table later (k integer)")
        standby.catch_up()
        before = archive.light_curve(stars.ra[0], stars.dec[0])["exptime"].tolist()
        assert 77 not in before
        change.commit()
        standby.catch_up()
        assert archive.light_curve(stars.ra[0], stars.dec[0])["exptime"].tolist() == [77] * len(before)
