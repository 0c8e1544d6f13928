"""What an operator counts on: no room on the disk, several hosts, dead processes, roles, and secrets that stay so."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import event, make_url, text

from tests.support.crash import CrashRun, content_of, pretend_files
from tests.support.disks import small_disk
from tests.support.pretend import gate_of, pretend_to_measure
from tests.support.waiting import wait_until
from ztfdb.daemon.inbox import Inbox
from ztfdb.daemon.service import executor_maker
from ztfdb.daemon.watch import Watcher
from ztfdb.errors import SchemaVersionError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.ingest.run import ingest_paths
from ztfdb.server import PostgresServer
from ztfdb.simulate import make_science_image
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.migrate import upgrade
from ztfdb.store.queue_reports import count_jobs

DAEMON_PAGE = Path(__file__).resolve().parents[2] / "docs/daemon.md"
POSTGRESQL_PAGE = DAEMON_PAGE.with_name("postgresql.md")
PASSWORD = "hunter2-is-secret"
LATER = "update alembic_version set version_num = '20990101_later'"


@pytest.fixture
def night(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    return folder


def counts(maker):
    with maker() as session:
        return {state: n for state, n in count_jobs(session).items() if n}


def work(maker, night, sleep):
    watcher = Watcher([night], settle_s=0.0, scan_s=0.1, grace_s=0.0, events=False)
    executor_of = executor_maker(ExtractionSettings(), pretend_to_measure)
    Loop(maker, Inbox(maker, watcher), Operating(idle_s=0.02), executor_of, sleep=sleep).run(lambda: False, once=True)


class Relief:
    """A sleep that makes room again after the daemon has waited for a while."""

    def __init__(self, make_room, caplog):
        self.n, self._make_room, self._caplog = 0, make_room, caplog

    def __call__(self, seconds):
        if "the database is not available" in self._caplog.text:
            self.n += 1
            if self.n == 3:
                self._make_room()


def waits(caplog):
    return [record.reason for record in caplog.records if record.message == "the database is not available"]


def test_a_full_disk_is_waited_for_and_said(databases, night, caplog):
    pretend_files(night, ["star"] * 3)
    engine = make_engine(databases.migrated("sqlite"))
    maker, full = sessions(engine), [False]

    @event.listens_for(engine, "checkout")
    def limit(connection, record, proxy):
        used = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count={used if full[0] else 2**30}")

    ingest_paths(maker, [])
    full[0] = True
    work(maker, night, Relief(lambda: full.__setitem__(0, False), caplog))
    assert counts(maker) == {"done": 3}
    assert waits(caplog)
    assert all("full" in reason for reason in waits(caplog))
    engine.dispose()


@pytest.mark.postgresql
def test_a_full_disk_of_the_server_is_waited_for_and_said(night, caplog):
    pretend_files(night, ["star"] * 40)
    # below the server's own folder: its user must be able to get there
    with PostgresServer() as server, small_disk(server.home / "small"):
        space, filler = server.home / "small" / "space", server.home / "small" / "filler"
        space.mkdir()
        if server.user:
            os.chown(space, server.user["user"], server.user["group"])
        url = server.create_database("full")
        upgrade(url)
        engine = make_engine(url)
        maker = sessions(engine)
        ingest_paths(maker, [])
        connection = server.connect("full")
        connection.execute(f"create tablespace small location '{space}'")
        connection.execute("alter table source set tablespace small")
        connection.close()
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        work(maker, night, Relief(filler.unlink, caplog))
        assert counts(maker) == {"done": 40}
        assert waits(caplog)
        assert all("No space left on device" in reason for reason in waits(caplog))
        engine.dispose()
        server.stop(immediate=True)


class Upgraded(Inbox):
    """An inbox whose archive another ztfdb upgrades after some images were begun."""

    def __init__(self, watcher, maker, after, statements):
        super().__init__(maker, watcher)
        self._maker, self._after, self._statements = maker, after, statements

    def files_of(self, session, job):
        found = super().files_of(session, job)
        session.rollback()
        self._after -= 1
        if self._after == 0:
            with writing(self._maker) as other:
                for statement in self._statements:
                    other.execute(text(statement))
        return found


@pytest.mark.parametrize(
    ("after", "statements", "n_done"),
    [
        (2, [LATER], 2),  # what was begun is stored
        (1, [LATER, "alter table image rename column n_source to n_later"], 0),  # the archive refuses what was begun
    ],
)
def test_a_daemon_ends_when_another_ztfdb_upgrades_its_archive(engine_url, night, after, statements, n_done):
    """It does not store rows as they were before, or set images aside that the new tables refuse."""
    pretend_files(night, ["star"] * 5)
    made = make_engine(engine_url)
    maker = sessions(made)
    ingest_paths(maker, [])
    watcher = Watcher([night], settle_s=0.0, scan_s=0.1, grace_s=0.0, events=False)
    inbox = Upgraded(watcher, maker, after, statements)
    loop = Loop(maker, inbox, Operating(idle_s=0.02), executor_maker(ExtractionSettings(), pretend_to_measure))
    with pytest.raises(SchemaVersionError, match=r"20990101_later.*update this one"):
        loop.run(lambda: False, once=True)
    assert counts(maker) == {"done": n_done, "pending": 5 - n_done} if n_done else {"pending": 5}
    made.dispose()


def test_two_hosts_share_one_archive_and_each_image_is_stored_once(engine_url, night):
    """On SQLite two containers of one host."""
    n_image = 24
    engine = make_engine(engine_url)
    runs = [CrashRun(engine_url, night, measure="pretend", jobs=1, host=host) for host in ("mauna", "kea")]
    for run in runs:
        run.start()
    for run in runs:
        run.wait_until_up()
    pretend_files(night, ["slow"] * n_image)
    wait_until(lambda: counts(sessions(engine)) == {"done": n_image})
    assert [run.end(signal.SIGTERM) for run in runs] == [0, 0]
    told = [run.reported() for run in runs]
    engine.dispose()
    assert all(len(one) > 0 for one in told)
    assert sum(told[0].values()) + sum(told[1].values()) == n_image
    assert not told[0].keys() & told[1].keys()
    runs[0].check_reported()


def test_a_host_that_is_lost_keeps_its_images_no_longer_than_its_lease(engine_url, night):
    files = pretend_files(night, ["star"] * 2 + ["gate"] * 8)
    engine = make_engine(engine_url)
    maker = sessions(engine)
    lost = CrashRun(engine_url, night, measure="pretend", jobs=2, host="mauna", lease_s=4.0)
    lost.start()
    wait_until(lambda: counts(maker).get("leased", 0) > 0 and counts(maker).get("done", 0) == 2)
    lost.end(signal.SIGKILL)
    gate_of(files[0]).touch()
    other = CrashRun(engine_url, night, measure="pretend", jobs=1, host="kea", lease_s=4.0)
    other.start()
    other.finish(10)
    engine.dispose()


def test_what_a_killed_daemon_held_is_taken_back_at_once_on_its_host(engine_url, night):
    files = pretend_files(night, ["star"] * 2 + ["gate"] * 8)
    engine = make_engine(engine_url)
    maker = sessions(engine)
    run = CrashRun(engine_url, night, measure="pretend", jobs=2, lease_s=10_000.0)
    run.start()
    wait_until(lambda: counts(maker).get("leased", 0) > 0 and counts(maker).get("done", 0) == 2)
    run.end(signal.SIGKILL)
    gate_of(files[0]).touch()
    run.start()
    run.finish(10)
    engine.dispose()


def ztfdb(url, *words, **environ):
    done = subprocess.run(
        [sys.executable, "-c", "from ztfdb.cli import main; main()", *words],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "ZTFDB_URL": url} | environ,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_password_is_never_printed_or_logged(databases, night):
    make_science_image(night, shape=(160, 160), n_star=10, seed=1)
    bad = night / "ztf_20200924000001_000655_zr_c13_o_q3_sciimg.fits"
    bad.write_text("no FITS file at all")
    url = make_url(databases.migrated("postgresql")).set(password=PASSWORD)
    secret = url.render_as_string(hide_password=False)
    assert PASSWORD in secret
    away = url.set(query={"host": "/nowhere", "port": "5432"}).render_as_string(hide_password=False)
    watch = ("watch", str(night), "--once", "--settle", "0", "--mask-grace", "0", "--attempts", "1", "-vv")
    told = ""
    for words, archive, status in (
        ((*watch, "--log-format", "json"), secret, 1),
        (watch, secret, 0),
        (("ingest", str(night), "--list", "-vv", "--force"), secret, 1),
        (("status",), secret, 0),
        (("status", "--format", "json"), secret, 0),
        (("quarantine", "list"), secret, 0),
        (("quarantine", "show", "1"), secret, None),
        (("quarantine", "show", "2"), secret, None),
        (("retry",), secret, 0),
        (("status",), away, 1),
        (watch, away, 1),
        (("ingest", str(night)), away, 1),
        (("ingest", str(night)), f"postgresql://ztf:{PASSWORD}@[nonsense/ztf", 1),
        (("ingest", str(night)), f"oracle://ztf:{PASSWORD}@host/ztf", 1),
    ):
        found, text = ztfdb(archive, *words)
        assert status in (None, found), text
        told += text
    assert "***" in told
    assert PASSWORD not in told
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)) as connection:
        (kept,) = connection.execute("select json_agg(ingest_job)::text from ingest_job").fetchone()
    assert len(json.loads(kept)) == 2
    assert PASSWORD not in kept


def execute(url, text):
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        for statement in filter(str.strip, text.split(";")):
            connection.execute(statement)


@pytest.fixture
def roles(databases):
    """URLs of an archive as its owner, its daemon and its reader, after what the two pages say."""
    names = {"ztf": "night_owner", "ztf_reader": "night_reader", "ztf_daemon": "night_daemon"}

    def blocks(page):
        text = re.sub(r"\bztf(_reader|_daemon)?\b", lambda match: names[match[0]], page.read_text())
        return re.findall(r"```sql\n(.*?)```", text, re.DOTALL)

    start = make_url(databases.server.create_database("roles_start")).set(drivername="postgresql")
    create, grant, _ = blocks(POSTGRESQL_PAGE)
    execute(start, create)
    superuser = start.set(database="night_owner")
    execute(superuser, grant)
    owner = superuser.set(username="night_owner")
    upgrade(owner.set(drivername="postgresql+psycopg").render_as_string(hide_password=False))
    (daemon,) = blocks(DAEMON_PAGE)
    execute(superuser, daemon)
    yield {role: superuser.set(username=f"night_{role}") for role in ("owner", "daemon", "reader")}
    databases.server.drop_database("night_owner")
    execute(start, "drop role night_daemon; drop role night_reader; drop role night_owner")
    databases.server.drop_database("roles_start")


def test_the_daemon_s_role_ingests_and_can_neither_drop_nor_change_a_table(roles, night):
    make_science_image(night, shape=(160, 160), n_star=10, seed=1)
    as_daemon = roles["daemon"].render_as_string(hide_password=False)
    assert ztfdb(as_daemon, "watch", str(night), "--once", "--settle", "0", "--mask-grace", "0")[0] == 0
    status, told = ztfdb(as_daemon, "status")
    assert (status, "1 done" in told) == (0, True), told
    assert ztfdb(as_daemon, "ingest", str(night), "--force")[0] == 0
    for statement in (
        "drop table source",
        "drop view light_curve_point",
        "drop index ix_ingest_job_state",
        "alter table image add column more integer",
        "truncate source",
        "create table more (i integer)",
        "drop database night_owner",
        "drop schema public cascade",
        "alter role night_daemon superuser",
        "grant night_owner to night_daemon",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(roles["daemon"], statement)
    # a reader asks and cannot write
    status, told = ztfdb(roles["reader"].render_as_string(hide_password=False), "status")
    assert (status, "1 done" in told) == (0, True), told
    for statement in (
        "insert into data_root (name, path) values ('x', '/x')",
        "update ingest_job set state = 'pending'",
        "delete from source",
        "drop table source",
        "create table more (i integer)",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            execute(roles["reader"], statement)


def test_what_two_daemons_store_is_what_one_would_have(databases, night):
    pretend_files(night, ["star"] * 10)
    held = []
    for n in (1, 2):
        url = databases.migrated("sqlite")
        runs = [CrashRun(url, night, measure="pretend", jobs=1, host=f"host{k}") for k in range(n)]
        for run in runs:
            run.start()
        for run in runs:  # before, it may not hear a signal
            run.wait_until_up()
        wait_until(lambda run=runs[0]: run.states() == {"done": 10})
        assert [run.end(signal.SIGTERM) for run in runs] == [0] * n
        held.append(content_of(url))
    assert held[0] == held[1]
