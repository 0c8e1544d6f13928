"""PostgreSQL as others have set it up: settings of databases, encodings, environments, poolers."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from psycopg import sql

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.waiting import wait_until
from ztfdb.archive import words_kept
from ztfdb.errors import DatabaseReadOnlyError, DatabaseUnavailableError, StatementStoppedError, StoreError
from ztfdb.query import targets
from ztfdb.server import PORT
from ztfdb.simulate import make_science_image
from ztfdb.store.backends import connect_postgresql
from ztfdb.store.engine import make_engine, sessions, writing

RA, DEC = 57.9974, 35.7463
ROWS = "select source_id, ra, dec, flux, mag, magerr from light_curve_point order by source_id"
ODD = {
    "extra_float_digits": "0",
    "default_transaction_isolation": "serializable",
    "standard_conforming_strings": "off",
    "bytea_output": "escape",
    "datestyle": "SQL, DMY",
    "timezone": "Asia/Kathmandu",
    "quote_all_identifiers": "on",
    "transform_null_equals": "on",
}


def name_of(url):
    return url.partition("?")[0].rpartition("/")[2]


def fill(url, folder):
    """Ingest an image, in a folder whose name is not ASCII; return the rows of its light curves and its path."""
    make_science_image(folder / "ä€", sky_stars=([RA], [DEC], [16.5]), shape=(120, 120))
    with ztfdb.open(url, create=True) as archive:
        assert archive.ingest(folder).stored == 1
        assert archive.verify(deep=True).empty
        paths = archive.sql("select path from image_summary", force=True)
        return archive.sql(ROWS, force=True).to_csv(), paths["path"].tolist()


@pytest.fixture
def made(databases):
    """A function that makes a database of these words of CREATE DATABASE."""
    urls = []

    def make(name, words):
        with databases.server.connect() as connection:
            connection.execute(sql.SQL(f"create database {name} template template0 {words}"))
        urls.append(databases.server.url(name))
        return urls[-1]

    yield make
    for url in urls:
        databases.drop(url)


def test_settings_of_a_database_change_no_number(databases, made, tmp_path):
    plain = databases.migrated("sqlite")
    rows, _ = fill(plain, tmp_path / "plain")
    url = made("odd_settings", "encoding 'UTF8'")
    with databases.server.connect() as connection:
        for name, value in ODD.items():
            connection.execute(sql.SQL(f"alter database odd_settings set {name} = '{value}'"))
    assert fill(url, tmp_path / "odd")[0] == rows
    engine = make_engine(url)
    with writing(sessions(engine)) as session:
        level = session.connection().exec_driver_sql("show transaction_isolation").scalar_one()
    engine.dispose()
    databases.drop(plain)
    assert level == "read committed"


@pytest.mark.parametrize("client", [None, "LATIN1", "SQL_ASCII"])
@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
def test_paths_are_kept_whatever_the_encodings(made, tmp_path, monkeypatch, encoding, client):
    """A cluster made in the locale C has SQL_ASCII, in which psycopg returns texts as bytes."""
    if client is not None:
        monkeypatch.setenv("PGCLIENTENCODING", client)
    (path,) = fill(made("odd_encoding", f"encoding '{encoding}' locale 'C'"), tmp_path)[1]
    assert path.startswith("ä€/")


def test_a_statement_that_the_server_stops_condemns_no_image(databases, made, tmp_path):
    """As where a table is locked for longer than the role's statements may take."""
    url = made("short_statements", "encoding 'UTF8'")
    make_science_image(tmp_path, n_star=5, shape=(64, 64))
    with ztfdb.open(url, create=True) as archive, databases.server.connect("short_statements") as other:
        other.execute("alter database short_statements set statement_timeout = '300ms'")
        archive._engine.dispose()
        with other.transaction():
            other.execute("lock table image")
            for ask in (lambda: archive.ingest(tmp_path), archive.build_objects, lambda: archive.verify(deep=True)):
                with pytest.raises(StatementStoppedError, match=r"statement_timeout or an administrator: cancel"):
                    ask()
        assert archive.ingest(tmp_path).stored == 1


def test_an_encoding_of_some_letters_only_is_refused(databases, made, tmp_path):
    url = made("few_letters", "encoding 'LATIN1' locale 'C'")
    with pytest.raises(StoreError, match=r"few_letters has the encoding LATIN1.*createdb --encoding=UTF8"):
        ztfdb.open(url, create=True)
    engine = make_engine(url)
    with engine.connect() as connection, pytest.raises(StoreError, match="its encoding is not UTF8"):
        connection.exec_driver_sql("select %(text)s", {"text": "€"})
    engine.dispose()


def test_the_folder_of_a_socket_may_be_quoted_as_the_host(databases):
    """As libpq writes it."""
    url = databases.migrated("postgresql")
    folder = quote(str(databases.server.home), safe="")
    quoted = f"postgresql://ztfdb@{folder}:{PORT}/{name_of(url)}"
    with ztfdb.open(quoted, create=True) as archive:
        assert (archive.url, archive.status()["n_image"]) == (quoted, 0)
        archive.build_objects()
    databases.drop(url)


def test_a_question_may_be_asked_of_a_server_that_takes_writes(databases):
    """libpq takes a server whose transactions only read by default for one that takes none."""
    url = databases.migrated("postgresql") + "&target_session_attrs=read-write"
    ztfdb.open(url, create=True).close()
    with ztfdb.open(url, read_only=True) as archive:
        assert archive.status()["n_image"] == 0
        engine = archive._engine
        with pytest.raises(DatabaseReadOnlyError), engine.begin() as connection:
            connection.exec_driver_sql("create table t (k integer)")
    databases.drop(url)


def test_behind_a_pooler_no_statement_is_prepared(databases, monkeypatch):
    """Another transaction may be on another connection to the server, where a name is another statement."""
    url = databases.migrated("postgresql")
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    ztfdb.open(url, create=True).close()
    found = {}
    for pooled in (False, True):
        if pooled:
            monkeypatch.setattr(connect_postgresql, "_is_pooled", lambda _: True)
        with ztfdb.open(url) as archive:
            for _ in range(8):
                assert len(archive.light_curve(stars.ra[0], stars.dec[0])) == 6
                archive.status()
            with archive._connections.reading() as session:
                found[pooled] = session.driver.execute("select count(*) from pg_prepared_statements").fetchone()[0]
    databases.drop(url)
    assert found[True] == 0 < found[False]


PGBOUNCER = """
[databases]
{name} = host={host} port={port} user=ztfdb
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
query_wait_timeout = 20
logfile =
pidfile =
{more}
"""


@contextlib.contextmanager
def pooler(url, home, mode, more="ignore_startup_parameters = options", size=20):
    """PgBouncer before a database; yields the URL of that through it."""
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("PgBouncer is not installed")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        own = free.getsockname()[1]
    name = name_of(url)
    user = {"user": pwd.getpwnam("postgres").pw_uid} if os.geteuid() == 0 else {}
    with tempfile.TemporaryDirectory(prefix="ztfdb-pooler-") as made, (Path(made) / "log").open("wb") as log:
        Path(made).chmod(0o755)
        file = Path(made) / "pgbouncer.ini"
        file.write_text(PGBOUNCER.format(name=name, host=home, port=PORT, own=own, mode=mode, more=more, size=size))
        process = subprocess.Popen([program, file], stdout=log, stderr=log, cwd="/", **user)
        try:
            wait_until(lambda: _is_open(own) or process.poll() is not None)
            assert process.poll() is None, (Path(made) / "log").read_text()
            yield f"postgresql://ztfdb@127.0.0.1:{own}/{name}"
        finally:
            process.terminate()
            process.wait()


def _is_open(port):
    with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port))):
        return True
    return False


@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_pgbouncer(databases, mode):
    """Six threads, whose statements differ, share the connections to the server."""
    url = databases.migrated("postgresql")
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    ztfdb.open(url, create=True).close()
    wrong = []

    def ask(archive, right, k):
        try:
            for aperture in range(1, 7):
                curves = [
                    one.light_curve(stars.ra[k], stars.dec[k], aperture=aperture).to_pandas()
                    for one in (archive, right)
                ]
                assert curves[0].equals(curves[1])
                assert len(archive.cone(stars.ra[k], stars.dec[k], 5.0)) == 6
                assert archive.sql("select count(*) as n from source", force=True)["n"][0] == 240
        except Exception as exc:
            wrong.append(exc)

    with pooler(url, databases.server.home, mode) as pooled, ztfdb.open(pooled) as archive, ztfdb.open(url) as right:
        threads = [threading.Thread(target=ask, args=(archive, right, k)) for k in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        archive.build_objects()
        assert len(right.sql("select object_id from object", force=True)) > 1
        reads = archive._connections
        with reads.reading() as session, pytest.raises(DatabaseReadOnlyError), reads.errors():
            session.driver.execute("delete from image")
    databases.drop(url)
    assert wrong == []


def test_a_question_takes_one_connection_of_a_pooler(databases, monkeypatch):
    """Six threads would wait for each other, if each of three held one connection and wanted another."""
    monkeypatch.setattr(targets, "POSITIONS_PER_CHUNK", 7)
    url = databases.migrated("postgresql")
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    table = {"ra": stars.ra, "dec": stars.dec}
    ztfdb.open(url, create=True).close()
    start, wrong = threading.Barrier(6), []

    def ask(archive, right):
        try:
            start.wait()
            for _ in range(5):
                assert archive.light_curves(table, phot="both").equals(right)
                archive._held = None  # where images are is read again
                with words_kept() as words:
                    archive.light_curve(10.0, 10.0)
                assert words[0].startswith("no image covers")
        except Exception as exc:
            wrong.append(exc)

    with ztfdb.open(url) as archive:
        right = archive.light_curves(table, phot="both")
    with (
        pooler(url, databases.server.home, "transaction", size=3) as pooled,
        ztfdb.open(pooled) as archive,
    ):
        threads = [threading.Thread(target=ask, args=(archive, right)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    databases.drop(url)
    assert wrong == []


def test_pgbouncer_without_its_setting_is_told_which(databases):
    url = databases.migrated("postgresql")
    with (
        pooler(url, databases.server.home, "session", "") as pooled,
        pytest.raises(DatabaseUnavailableError, match="ignore_startup_parameters = options"),
    ):
        ztfdb.open(pooled)
    databases.drop(url)
