"""A connection that was cut while it lay idle is replaced, and what was prepared on one is prepared again."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import psycopg
import pytest
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.curves import light_curve
from tests.support.waiting import wait_until
from ztfdb.schema import ImageCell
from ztfdb.store import interrupt
from ztfdb.store.backends import backend, connect_postgresql
from ztfdb.store.backends.connect_postgresql import PING_AFTER_S
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.faults import LOST, unavailable


@pytest.fixture
def url(databases):
    made = databases.migrated("postgresql")
    yield made
    databases.drop(made)


def cut_others(url):
    """Cut all connections to this database but the own one, as a restarted server does."""
    engine = make_engine(url)
    with engine.connect() as connection:
        cut = connection.exec_driver_sql(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        ).scalar_one()
    engine.dispose()
    return cut


@pytest.mark.parametrize("idle_s", [0.02, PING_AFTER_S + 0.1])
def test_a_question_after_the_connection_was_cut_is_answered(url, idle_s):
    """The server says that it ends a connection; one that was idle for long is tried in any case."""
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    with ztfdb.open(url) as archive:
        before = archive.light_curve(stars.ra[0], stars.dec[0]).to_pandas()
        assert len(before) == 6
        for _ in range(2):
            assert cut_others(url) >= 1
            time.sleep(idle_s)
            assert archive.light_curve(stars.ra[0], stars.dec[0]).to_pandas().equals(before)


@pytest.mark.parametrize("idle", [False, True])
def test_a_connection_is_tried_where_it_lay_idle(url, monkeypatch, idle):
    monkeypatch.setattr("ztfdb.store.backends.connect_postgresql.PING_AFTER_S", 0.0 if idle else 60.0)
    monkeypatch.setattr("ztfdb.store.backends.connect_postgresql.has_spoken", lambda socket: False)
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    with ztfdb.open(url) as archive:
        archive.light_curve(stars.ra[0], stars.dec[0])
        cut_others(url)
        if not idle:  # nobody looks: the cut is told as what it is, and the next question takes a new connection
            with pytest.raises(ztfdb.errors.DatabaseUnavailableError):
                archive.light_curve(stars.ra[0], stars.dec[0])
        assert len(archive.light_curve(stars.ra[0], stars.dec[0])) == 6


def test_a_connection_that_is_cut_at_work_is_one_clear_error(url):
    """The driver says it in many ways, such as "consuming input failed: server closed the connection unexpectedly"."""
    said = set()
    with ztfdb.open(url, create=True) as archive:
        for statement in ("select pg_sleep(60)", "select count(*) from generate_series(1, 1000000000)"):
            cutter = threading.Timer(0.5, lambda: wait_until(lambda: cut_others(url) > 0))
            cutter.start()
            with pytest.raises(ztfdb.errors.DatabaseUnavailableError) as told:
                archive.sql(statement, force=True)
            cutter.join()
            said.add(str(told.value))
            assert archive.sql("select 1 as one", force=True)["one"][0] == 1
    assert said == {LOST}


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        ("consuming input failed: server closed the connection unexpectedly", True),
        ("consuming input failed: SSL connection has been closed unexpectedly", True),
        ("the connection is lost", True),
        ("the connection is closed", True),
        ("sending query failed: no connection to the server", True),
        ("sending query failed: another command is already in progress", False),
        ('connection failed: connection to server at "db", port 5432 failed: Connection refused', False),
        ("connection failed: server closed the connection unexpectedly", False),
        ("connection timeout expired", False),
    ],
)
def test_a_connection_that_was_lost_is_told_from_one_that_cannot_be_made(words, lost):
    told = unavailable(psycopg.OperationalError(words))
    assert (type(told), str(told)) == (ztfdb.errors.DatabaseUnavailableError, LOST if lost else words)


def test_a_new_connection_that_is_lost_at_once_is_the_same_error(url, monkeypatch):
    """After two tries SQLAlchemy's pool gives up with an InvalidRequestError of its own."""
    engine = make_engine(url)
    monkeypatch.setattr("ztfdb.store.backends.connect_postgresql.is_alive", lambda *_: False)
    with pytest.raises(ztfdb.errors.DatabaseUnavailableError, match=LOST):
        engine.connect()
    monkeypatch.undo()
    with engine.connect() as connection:
        assert connection.exec_driver_sql("select 1").scalar_one() == 1
    engine.dispose()


def test_prepared_statements_that_the_server_forgot_are_prepared_again(url):
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    engine = make_engine(url)
    maker = sessions(engine)

    def ask(session):
        return len(light_curve(session, stars.ra[0], stars.dec[0]))

    with maker() as session:
        assert [ask(session), ask(session)] == [6, 6]  # prepared; then inside of a transaction
    with maker() as session:
        session.execute(text("deallocate all"))
        session.commit()
        assert ask(session) == 6
        session.execute(text("deallocate all"))
        assert ask(session) == 6
    engine.dispose()


def test_ctrl_c_while_a_copy_begins_is_ctrl_c(url, monkeypatch, caplog):
    """psycopg cancels the statement, but the server had begun to wait for rows already, and goes on waiting."""
    engine = make_engine(url)
    maker = sessions(engine)
    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Copy, "__enter__", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt), writing(maker) as session:
            backend(session).copy_rows(ImageCell.__table__, {"cell9": np.arange(3), "image_id": np.full(3, 7)})
    with writing(maker) as session:
        assert session.execute(text("select count(*) from image_cell")).scalar_one() == 0
    engine.dispose()
    assert caplog.records == []


@contextlib.contextmanager
def silent(server):
    """A server that does not answer, as one whose host is gone: for some seconds, or hours, nobody is told."""
    pid = server._process.pid
    processes = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
    for one in processes:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in processes:
            os.kill(one, signal.SIGCONT)


def test_work_is_stopped_whose_server_does_not_answer(databases, url, monkeypatch):
    monkeypatch.setattr(interrupt, "CANCEL_TIMEOUT_S", 0.2)
    work, ended = interrupt.Work(), []

    def ask(archive):
        try:
            with work.running():
                archive.sql("select pg_sleep(60)", force=True)
        except Exception as exc:
            ended.append(exc)

    with ztfdb.open(url, create=True) as archive:
        thread = threading.Thread(target=ask, args=(archive,), daemon=True)
        thread.start()
        wait_until(lambda: work._connections)
        time.sleep(0.3)
        with silent(databases.server):
            reason = TimeoutError("enough")
            work.stop(reason)
            thread.join(10.0)
            assert ended == [reason]
        assert archive.sql("select 1 as one", force=True)["one"][0] == 1


def test_a_server_that_does_not_answer_is_unavailable(databases, url, monkeypatch):
    monkeypatch.setattr(connect_postgresql, "PING_TIMEOUT_S", 0.2)
    stars = build_archive(url, Plan(5, 6, trouble=0.0))[0]
    with ztfdb.open(f"{url}&connect_timeout=2") as archive:
        assert archive.status()["n_image"] == 6
        archive.light_curve(stars.ra[0], stars.dec[0])
        time.sleep(PING_AFTER_S + 0.1)
        with silent(databases.server), pytest.raises(ztfdb.errors.DatabaseUnavailableError, match="timeout"):
            archive.light_curve(stars.ra[0], stars.dec[0])
        assert len(archive.light_curve(stars.ra[0], stars.dec[0])) == 6
