from __future__ import annotations

import contextlib
import sqlite3

import psycopg
import pytest
from sqlalchemy import text

from ztfdb.errors import ConfigError, DatabaseUnavailableError, StoreError
from ztfdb.store.address import mask_password
from ztfdb.store.engine import make_engine, normalise_url, sessions, writing
from ztfdb.store.faults import unavailable


@pytest.mark.parametrize(
    ("given", "drivername", "database"),
    [
        ("sqlite:///night.db", "sqlite+pysqlite", "night.db"),
        ("night.db", "sqlite+pysqlite", "night.db"),
        ("postgresql://u@h/ztf", "postgresql+psycopg", "ztf"),
        ("postgres://u@h/ztf", "postgresql+psycopg", "ztf"),
        ("postgresql+psycopg2://u@h/ztf", "postgresql+psycopg", "ztf"),
    ],
)
def test_urls_are_understood(given, drivername, database):
    url = normalise_url(given)
    assert (url.drivername, url.database) == (drivername, database)


@pytest.mark.parametrize("bad", ["mysql://u@h/ztf", "://", "postgresql://u@h:port/ztf"])
def test_other_urls_are_refused(bad):
    with pytest.raises(ConfigError):
        normalise_url(bad)


def test_passwords_are_never_shown():
    shown = mask_password("postgresql://reader:s3cret@h/ztf")
    assert "s3cret" not in shown
    assert "reader:***@h" in shown


@pytest.mark.parametrize("password", ["s3@cret", "@s3cret@", "s3/c@ret", "s3cret"])
def test_a_password_may_contain_an_at_sign(password):
    """Else a part of it would be the name of the host, and shown."""
    url = normalise_url(f"postgresql://u:{password}@h:5433/ztf?options=-c%20a=b@c")
    assert (url.password, url.host, url.port, url.database) == (password, "h", 5433, "ztf")


@pytest.mark.parametrize("words", ["host=h dbname=ztf user=u password=s3cret", "password = s3cret", "service=ztf"])
def test_words_of_libpq_are_refused_and_not_shown(words):
    with pytest.raises(ConfigError, match="expected postgresql://") as caught:
        normalise_url(words)
    assert "s3cret" not in str(caught.value)


def test_a_refused_url_does_not_show_its_password():
    with pytest.raises(ConfigError) as caught:
        normalise_url("postgresql://u:s3cret@h:port/ztf")
    assert "s3cret" not in str(caught.value)


def test_sqlite_habits(tmp_path):
    engine = make_engine(tmp_path / "a.sqlite")
    with engine.connect() as connection:
        assert connection.scalar(text("pragma foreign_keys")) == 1
        assert connection.scalar(text("pragma journal_mode")) == "wal"
        assert connection.scalar(text("pragma busy_timeout")) > 1000
    engine.dispose()


def test_writing_takes_the_lock_at_once_and_reading_does_not(tmp_path, monkeypatch):
    monkeypatch.setattr("ztfdb.store.backends.connect_sqlite.BUSY_TIMEOUT_S", 0.05)
    engine = make_engine(tmp_path / "a.sqlite")
    other = make_engine(tmp_path / "a.sqlite")
    with writing(sessions(engine)):
        with pytest.raises(DatabaseUnavailableError, match="locked"), writing(sessions(other)):
            pass
        with sessions(other).begin() as session:
            assert session.scalar(text("select 1")) == 1
    engine.dispose()
    other.dispose()


def test_writing_rolls_back_what_fails(tmp_path):
    engine = make_engine(tmp_path / "a.sqlite")
    maker = sessions(engine)
    with writing(maker) as session:
        session.execute(text("create table t (k integer)"))
    with contextlib.suppress(RuntimeError), writing(maker) as session:
        session.execute(text("insert into t values (1)"))
        raise RuntimeError
    with maker.begin() as session:
        assert session.scalar(text("select count(*) from t")) == 0
    engine.dispose()


def test_read_only_sqlite_refuses_to_write_and_makes_no_file(tmp_path):
    path = tmp_path / "a b#.sqlite"
    with pytest.raises(DatabaseUnavailableError), make_engine(path, read_only=True).connect():
        pass
    assert not path.exists()
    writer = make_engine(path)
    with writer.begin() as connection:
        connection.execute(text("create table t (k integer)"))
    engine = make_engine(path, read_only=True)
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from t")) == 0
        with pytest.raises(DatabaseUnavailableError, match="readonly"):
            connection.execute(text("insert into t values (1)"))
    engine.dispose()
    writer.dispose()


def test_trouble_with_a_file_names_it(tmp_path):
    path = tmp_path / "note s.txt"
    path.write_text("no database " * 100)
    with pytest.raises(StoreError, match=r"note s\.txt: file is not a database"), make_engine(path).connect():
        pass
    engine = make_engine(path, read_only=True)
    with pytest.raises(StoreError, match=r"note s\.txt: file is not a database"), engine.connect() as connection:
        connection.execute(text("select * from sqlite_master"))
    assert mask_password(engine.url) == f"sqlite:///{path}"


def test_an_archive_in_a_folder_of_others_can_be_read(tmp_path, monkeypatch):
    path = tmp_path / "night.sqlite"
    writer = make_engine(path)
    with writer.begin() as connection:
        connection.execute(text("create table t (k integer)"))
    writer.dispose()
    monkeypatch.setattr("ztfdb.store.engine.os.access", lambda *_: False)  # root may write everywhere
    engine = make_engine(path, read_only=True)
    with engine.connect() as connection:
        assert connection.scalar(text("select count(*) from t")) == 0
    engine.dispose()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["night.sqlite"]
    path.with_name("night.sqlite-wal").touch()
    assert "immutable" not in make_engine(path, read_only=True).url.query


def test_unreachable_server_is_typed(tmp_path):
    engine = make_engine(f"postgresql://u:s3cret@/ztf?host={tmp_path}")
    with pytest.raises(DatabaseUnavailableError) as caught, engine.connect():
        pass
    assert caught.value.retryable
    assert "s3cret" not in str(caught.value)


def test_only_trouble_that_passes_is_retryable():
    assert isinstance(unavailable(sqlite3.OperationalError("database is locked")), DatabaseUnavailableError)
    assert unavailable(sqlite3.OperationalError("no such table: source")) is None
    assert isinstance(unavailable(psycopg.OperationalError("connection refused")), DatabaseUnavailableError)
    assert isinstance(unavailable(psycopg.errors.DeadlockDetected("x")), DatabaseUnavailableError)
    assert unavailable(psycopg.errors.QueryCanceled("x")) is None
    assert unavailable(psycopg.errors.UniqueViolation("x")) is None
    assert unavailable(None) is None
