"""The words of `ztfdb.schema` reach PostgreSQL, and fit what both engines have."""

from __future__ import annotations

import pytest
from sqlalchemy import event, inspect, text

from ztfdb.schema import Base, describe_table, describe_tables
from ztfdb.schema.comments import write_comments
from ztfdb.store.engine import make_engine
from ztfdb.store.migrate import downgrade, upgrade

POSTGRESQL_TYPES = {
    "smallint": "short", "integer": "int", "bigint": "long", "real": "float", "double precision": "double",
    "boolean": "boolean", "text": "unicodeChar", "json": "unicodeChar", "bytea": "unsignedByte",
}  # fmt: skip
COMMENTS = """
select obj_description(cast(:table as regclass), 'pg_class') as "table", a.attname,
       col_description(a.attrelid, a.attnum)
from pg_attribute a where a.attrelid = cast(:table as regclass) and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""


@pytest.fixture
def engine(engine_url):
    engine = make_engine(engine_url)
    yield engine
    engine.dispose()


@pytest.fixture
def postgres(databases):
    url = databases.migrated("postgresql")
    engine = make_engine(url)
    yield engine
    engine.dispose()
    databases.drop(url)


def comments(engine, table):
    with engine.connect() as connection:
        return connection.execute(text(COMMENTS), {"table": table}).all()


@pytest.mark.parametrize("name", [table.name for table in describe_tables()])
def test_tables_have_the_columns_that_are_described(engine, name):
    described = [column.name for column in describe_table(name).columns]
    assert [column["name"] for column in inspect(engine).get_columns(name)] == described


def test_datatypes_are_those_of_postgresql(postgres):
    statement = (
        "select table_name, column_name, data_type from information_schema.columns where table_schema = 'public'"
    )
    with postgres.connect() as connection:
        found = {(table, column): kind for table, column, kind in connection.execute(text(statement))}
    for table in describe_tables():
        for column in table.columns:
            assert column.datatype == POSTGRESQL_TYPES[found[table.name, column.name]], (table.name, column.name)


def test_postgresql_has_a_comment_on_everything(postgres):
    for table in describe_tables():
        expected = [(table.description, column.name, column.comment) for column in table.columns]
        assert comments(postgres, table.name) == expected


def test_an_archive_that_is_up_to_date_is_left_alone(postgres):
    upgrade(postgres)
    written = []
    event.listen(postgres, "before_cursor_execute", lambda *args: written.append(args[2]))
    with postgres.begin() as connection:
        assert write_comments(connection) == 0
    assert not [statement for statement in written if statement.startswith("comment")]


def test_comments_follow_the_words(postgres):
    with postgres.begin() as connection:
        connection.execute(text("comment on column source.ra is 'Rektaszension'"))
        connection.execute(text("comment on column source.dec is null"))
        connection.execute(text("comment on view image_summary is 'mine'"))
        connection.execute(text("create table mine (k integer)"))
        connection.execute(text("comment on table mine is 'mine'"))
    with postgres.begin() as connection:
        assert write_comments(connection) == 3
    test_postgresql_has_a_comment_on_everything(postgres)
    with postgres.connect() as connection:
        assert connection.scalar(text("select obj_description(cast('mine' as regclass), 'pg_class')")) == "mine"


def test_a_downgrade_takes_them_away(postgres):
    downgrade(postgres, "20261126_source_index")
    for name in set(Base.metadata.tables) & set(inspect(postgres).get_table_names()):  # not all were there then
        assert {(table, column) for table, _, column in comments(postgres, name)} == {(None, None)}
    upgrade(postgres)
    test_postgresql_has_a_comment_on_everything(postgres)


def test_sqlite_has_no_comments_and_nothing_is_written(databases):
    url = databases.migrated("sqlite")
    engine = make_engine(url)
    with engine.connect() as connection:
        assert write_comments(connection) == 0
    engine.dispose()
    databases.drop(url)
