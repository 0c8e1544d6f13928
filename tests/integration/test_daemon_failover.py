"""A daemon outlives a server that takes no writes, ends its connections or restarts, and stores every image once."""

import signal

import pytest

from tests.support.crash import CrashRun, pretend_files
from tests.support.waiting import wait_until
from ztfdb.errors import DatabaseUnavailableError
from ztfdb.ingest.run import ingest_paths
from ztfdb.server import PostgresServer
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.migrate import upgrade
from ztfdb.store.queue_reports import count_jobs

N_BATCH = 6


@pytest.fixture
def server():
    with PostgresServer(durable=True) as running:  # a crash may take nothing back that was committed
        yield running


def done(maker):
    try:
        with maker() as session:
            return {state: n for state, n in count_jobs(session).items() if n}
    except DatabaseUnavailableError:
        return {}  # the test's own connection was ended as well


def switch_to_read_only(server, how):
    with server.connect() as connection:
        connection.autocommit = True
        connection.execute("set default_transaction_read_only = off")  # else it could not be taken back
        connection.execute(how)
        connection.execute("select pg_reload_conf()")


def end_connections(server):
    with server.connect() as connection:
        return connection.execute(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where pid <> pg_backend_pid() and datname = 'failover'"
        ).fetchone()[0]


@pytest.mark.postgresql
def test_failovers_cost_no_image_and_show_no_traceback(server, tmp_path, capfd):
    url = server.create_database("failover")
    upgrade(url)
    engine = make_engine(url)
    maker = sessions(engine)
    ingest_paths(maker, [])
    night, staging = tmp_path / "night", tmp_path / "staging"
    night.mkdir()
    staging.mkdir()
    files = pretend_files(staging, ["slow"] * 4 * N_BATCH)
    run = CrashRun(url, night, measure="pretend", jobs=2)
    run.start()
    run.wait_until_up()

    def arrive():
        for file in files[:N_BATCH]:
            file.rename(night / file.name)
        del files[:N_BATCH]

    def waits_for(words):
        return run.log.read_text().count(words)

    arrive()
    wait_until(lambda: done(maker).get("done", 0) > 0)
    switch_to_read_only(server, "alter system set default_transaction_read_only = on")
    arrive()
    wait_until(lambda: waits_for("the database takes no writes now") > 0)
    switch_to_read_only(server, "alter system reset default_transaction_read_only")
    wait_until(lambda: done(maker) == {"done": 2 * N_BATCH})

    switch_to_read_only(server, "alter database failover set default_transaction_read_only = on")
    before = waits_for("the database takes no writes now")
    assert end_connections(server) > 0  # a server that comes back as a standby takes no session along
    arrive()
    wait_until(lambda: waits_for("the database takes no writes now") > before)
    switch_to_read_only(server, "alter database failover reset default_transaction_read_only")
    end_connections(server)
    wait_until(lambda: done(maker).get("done", 0) > 2 * N_BATCH)
    end_connections(server)
    wait_until(lambda: done(maker) == {"done": 3 * N_BATCH})

    arrive()
    wait_until(lambda: done(maker).get("leased", 0) > 0)
    before = waits_for("the database is not available")
    server.stop(immediate=True)
    wait_until(lambda: waits_for("the database is not available") > before)
    server.start()
    wait_until(lambda: done(maker) == {"done": 4 * N_BATCH})

    assert run.end(signal.SIGTERM) == 0
    with maker() as session:
        assert count_orphans(session, OURS) == 0
    told = run.reported()
    engine.dispose()
    assert sum(told.values()) == 4 * N_BATCH
    assert "Traceback" not in capfd.readouterr().err
    assert "Traceback" not in run.log.read_text()
