"""A connection that was cut while it lay idle is replaced, and what was prepared on one is prepared again."""

import time

import pytest
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.curves import light_curve
from ztfdb.store.backends.connect_postgresql import PING_AFTER_S
from ztfdb.store.engine import make_engine, sessions


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
