"""Transactions that read, on connections of the drivers, on both engines."""

from __future__ import annotations

import os
import pickle
import sqlite3
import threading

import numpy as np
import psycopg
import pytest

import ztfdb
from tests.support.archives import Plan, build_archive
from ztfdb.errors import ArchiveClosedError, DatabaseUnavailableError, StoreError
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.address import address_of
from ztfdb.store.backends import reads
from ztfdb.store.connections import MOST_IDLE, Connections, beside
from ztfdb.store.detections import OURS, light_curve_rows
from ztfdb.store.interrupt import Work


@pytest.fixture
def connections(engine_url):
    ztfdb.open(engine_url, create=True).close()
    made = Connections(address_of(engine_url), read_only=False)
    yield made
    made.close()


def test_a_connection_is_used_again_and_no_more_than_some_are_kept(connections):
    with connections.reading() as one:
        first = one.driver
    with connections.reading() as one:
        assert one.driver is first
        with connections.reading() as two:
            assert two.driver is not first
    others = [connections.reading() for _ in range(MOST_IDLE + 2)]
    for one in others:
        one.__enter__()
    for one in others:
        one.__exit__(None, None, None)
    assert len(connections._idle) == MOST_IDLE


def test_a_transaction_cannot_write(connections):
    refused = (sqlite3.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
    with connections.reading() as session, pytest.raises(refused):
        session.driver.execute("delete from archive_meta")
    with connections.reading() as session:  # and the connection is as good as before
        assert reads(session).read_rows("select count(*) from archive_meta")[0][0] > 0


def test_a_statement_that_fails_is_a_typed_error_and_leaves_a_good_connection(connections):
    with pytest.raises(StoreError, match="nowhere"), connections.reading() as session:
        reads(session).read_rows("select 1 from nowhere")
    with connections.reading() as session:
        assert reads(session).read_rows("select 1 as one") == [(1,)]
        assert reads(session).has_table("image")
        assert not reads(session).has_table("nowhere")


def test_a_transaction_beside_another_sees_what_was_committed(connections):
    with connections.reading() as session, beside(session) as other:
        assert other.driver is not session.driver
        assert reads(other).read_rows("select count(*) from image") == [(0,)]


def test_no_connection_is_opened_after_the_end(connections):
    with connections.reading() as session:
        connections.close()
        assert reads(session).read_rows("select 1 as one") == [(1,)]  # what is begun is ended
    assert connections._idle == []
    with pytest.raises(ArchiveClosedError), connections.reading():
        pass


def test_work_in_another_thread_stops_a_statement(connections):
    work, started, raised = Work(), threading.Event(), []
    endless = "with recursive t(k) as (select 1 union all select k + 1 from t) select max(k) from t"

    def ask():
        try:
            with work.running(), connections.reading() as session:
                started.set()
                reads(session).read_rows(endless)
        except RuntimeError as exc:
            raised.append(str(exc))

    thread = threading.Thread(target=ask)
    thread.start()
    assert started.wait(30)
    while thread.is_alive():
        work.stop(RuntimeError("nobody waits"))
        thread.join(0.1)
    assert raised == ["nobody waits"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_process_has_connections_of_its_own(engine_url):
    with ztfdb.open(engine_url, create=True) as archive:
        (stars,) = build_archive(engine_url, Plan(40, 6, trouble=0.0))
        place = stars.ra[0], stars.dec[0]
        before = archive.light_curve(*place)["mag"].to_numpy()
        child = os.fork()
        if child == 0:
            same = np.array_equal(archive.light_curve(*place)["mag"].to_numpy(), before)
            os._exit(0 if same else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert np.array_equal(archive.light_curve(*place)["mag"].to_numpy(), before)
        travelled = pickle.loads(pickle.dumps(archive))
        assert np.array_equal(travelled.light_curve(*place)["mag"].to_numpy(), before)
        travelled.close()


def test_other_threads_run_while_postgresql_answers(databases):
    """Also those that hold what the answer waits for: a lock, or the last connection of a pooler."""
    url = databases.migrated("postgresql")
    stars = build_archive(url, Plan(20, 3, trouble=0.0))[0]
    ztfdb.open(url, create=True).close()
    with ztfdb.open(url) as archive, psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute("set idle_in_transaction_session_timeout = '20s'")
        other.execute("lock table source in access exclusive mode")
        found = []
        asking = threading.Thread(target=lambda: found.append(archive.light_curve(stars.ra[0], stars.dec[0])))
        asking.start()
        asking.join(0.5)
        assert found == []
        other.rollback()  # this thread runs
        asking.join()
    databases.drop(url)
    assert len(found[0]) == 3


def test_a_connection_lost_in_a_pipeline_is_one_error(databases, caplog):
    url = databases.migrated("postgresql")
    stars = build_archive(url, Plan(20, 3, trouble=0.0))[0]
    ztfdb.open(url, create=True).close()
    k, low, high = cone_ranges(stars.ra, stars.dec, 1.0)
    with (
        ztfdb.open(url) as archive,
        psycopg.connect(url.replace("+psycopg", "")) as other,
        archive._connections.reading() as one,
    ):
        pid = reads(one).read_rows("select pg_backend_pid()")[0][0]
        other.execute("select pg_terminate_backend(%s, 10000)", [pid])
        with pytest.raises(DatabaseUnavailableError, match="was lost"):
            light_curve_rows(one, OURS, k=k, lo=low, hi=high)
    databases.drop(url)
    assert caplog.messages == []
