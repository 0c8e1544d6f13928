"""`ztfdb init` on an archive that is there: nothing changes; an upgrade keeps rights and what others built on views."""

import contextlib

import pytest
from sqlalchemy import text

import ztfdb
from ztfdb.errors import StoreError
from ztfdb.schema.views import VIEWS
from ztfdb.store.engine import make_engine
from ztfdb.store.migrate import downgrade, upgrade

USERS_VIEW = "create view bright as select source_id, mag from light_curve_point where mag < 15"

NEWEST_COLUMNS = """, calibration.solution_id, calibration.x_gradient,
       calibration.y_gradient, calibration.map_xx, calibration.map_xy, calibration.map_yy"""
"""What the last revision adds to a view."""

NEWEST_VIEW = "self_light_curve_point"


@pytest.fixture
def engine(engine_url):
    engine = make_engine(engine_url)
    ztfdb.open(engine_url, create=True).close()
    yield engine
    engine.dispose()


@pytest.fixture
def reader(databases, engine):
    """Name of a role that may read two views and one column of a third (PostgreSQL)."""
    if engine.dialect.name == "sqlite":
        yield None
        return
    with databases.server.connect() as connection:
        connection.execute('create role "view Reader"')
    with engine.begin() as connection:
        connection.execute(text('grant select on light_curve_point, image_summary to "view Reader" with grant option'))
        connection.execute(text('grant select (source_id) on matched_source to "view Reader"'))
        connection.execute(text("grant select on object_summary to public"))
    yield "view Reader"
    with engine.begin() as connection:
        connection.execute(text('drop owned by "view Reader"'))
    with databases.server.connect() as connection:
        connection.execute('drop role "view Reader"')


def state(engine):
    """Return everything that a change of schema or of rows of ours would change."""
    with engine.connect() as connection:
        if engine.dialect.name == "sqlite":
            schema = connection.exec_driver_sql("select type, name, rootpage, sql from sqlite_master").all()
            return connection.exec_driver_sql("pragma schema_version").scalar_one(), schema
        return connection.exec_driver_sql(
            "select oid, relname, relowner, cast(relacl as text), xmin from pg_class"
            " where relnamespace = 'public'::regnamespace order by oid"
        ).all(), connection.exec_driver_sql("select xmin, key, value from archive_meta order by key").all()


def rights(engine):
    with engine.connect() as connection:
        tables = connection.exec_driver_sql(
            "select table_name, grantee, privilege_type, is_grantable from information_schema.table_privileges"
            " where table_schema = 'public' and table_name in (select viewname from pg_views)"
            " and grantee <> current_user order by 1, 2, 3"  # the owner's are there with each new view
        ).all()
        columns = connection.exec_driver_sql(
            "select table_name, column_name, grantee, privilege_type from information_schema.column_privileges"
            " where table_schema = 'public' and table_name in (select viewname from pg_views)"
            " and grantee <> current_user order by 1, 2, 3, 4"  # the owner may read new columns, too
        ).all()
    return tables, columns


def test_init_changes_nothing_where_nothing_is_to_do(engine, engine_url, reader):
    with engine.begin() as connection:
        connection.execute(text(USERS_VIEW))
    before = state(engine)
    for _ in range(2):
        upgrade(engine_url)
        ztfdb.open(engine_url, create=True).close()
    assert state(engine) == before


def test_init_waits_for_no_reader_and_no_writer(engine, engine_url):
    """An open transaction that has read a view holds a lock on it; a writer has SQLite's only write lock."""
    with contextlib.ExitStack() as stack:
        session = stack.enter_context(engine.execution_options(ztfdb_write=True).begin())
        session.execute(text("select count(*) from light_curve_point")).scalar_one()
        session.execute(text("update archive_meta set value = value"))
        url = engine_url if engine.dialect.name == "sqlite" else f"{engine_url}&options=-c%20lock_timeout%3D200"
        ztfdb.open(url, create=True).close()


def older(engine):
    """Take the archive one revision back, as an older ztfdb left it: with views, of its own text."""
    downgrade(engine, "-1")
    with engine.begin() as connection:
        for name, statement in VIEWS.items():
            if name != NEWEST_VIEW:
                connection.execute(text(statement.replace(NEWEST_COLUMNS, "")))


def test_an_upgrade_keeps_rights_and_the_views_of_others(engine, engine_url, reader):
    """The last revision changes an index: no view stands in its way."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("create table note (source_id integer)")
    older(engine)
    with engine.begin() as connection:
        connection.execute(text(USERS_VIEW))
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql(
                "create trigger noted instead of insert on bright begin insert into note values (new.source_id); end"
            )
        else:
            connection.execute(text('grant select on light_curve_point, image_summary to "view Reader"'))
            connection.execute(text('grant select (source_id) on matched_source to "view Reader"'))
    before = rights(engine) if reader else None
    upgrade(engine_url)
    with engine.begin() as connection:
        assert connection.execute(text("select count(*) from bright")).scalar_one() == 0
        if engine.dialect.name == "sqlite":
            connection.execute(text("insert into bright (source_id) values (5)"))
            assert connection.execute(text("select source_id from note")).scalars().all() == [5]
    if reader:
        assert rights(engine) == before


@pytest.mark.parametrize("change", ["same columns", "another column at the end", "a column less"])
def test_views_of_another_text_are_made_again(engine, engine_url, reader, change):
    """As an earlier ztfdb of the same revision left them: the fingerprint is another one."""
    name = "image_summary"
    then = {
        "same columns": VIEWS[name].replace("where", "where 1 = 1 and", 1) + " where image.n_source < 0",
        "another column at the end": VIEWS[name].replace(", config.config_hash\n", "\n"),
        "a column less": VIEWS[name].replace("select image.image_id", "select 1 as one, image.image_id"),
    }[change]
    assert then != VIEWS[name]
    own = rights(engine) if reader else None
    with engine.begin() as connection:
        connection.execute(text("update archive_meta set value = '\"older\"' where key = 'views'"))
        connection.execute(text(f"drop view {name}"))
        connection.execute(text(then))
        if reader:
            connection.execute(text('grant select on image_summary to "view Reader" with grant option'))
    assert not reader or rights(engine)[0] == own[0]
    upgrade(engine_url)
    with engine.connect() as connection:
        columns = list(connection.execute(text(f"select * from {name}")).keys())
    assert columns[0] == "image_id"
    assert columns[-1] == "config_hash"
    assert not reader or rights(engine) == own
    before = state(engine)
    upgrade(engine_url)
    assert state(engine) == before


def test_a_view_in_the_way_is_named(engine, engine_url):
    name = "image_summary"
    with engine.begin() as connection:
        connection.execute(text("update archive_meta set value = '\"older\"' where key = 'views'"))
        connection.execute(text(f"drop view {name}"))
        connection.execute(text(VIEWS[name].replace("select image.image_id", "select 1 as one, image.image_id")))
        connection.execute(text("create view mine as select one, image_id from image_summary"))
    before = state(engine)
    with pytest.raises(StoreError, match=r"\bmine stands? in the way|the view mine stands in the way"):
        upgrade(engine_url)
    assert state(engine) == before  # as it was
    with engine.begin() as connection:
        connection.execute(text("drop view mine"))
    upgrade(engine_url)


def test_a_view_that_somebody_dropped_comes_back(engine, engine_url):
    with engine.begin() as connection:
        connection.execute(text("drop view object_summary"))
    upgrade(engine_url)
    with engine.connect() as connection:
        assert connection.execute(text("select count(*) from object_summary")).scalar_one() == 0
