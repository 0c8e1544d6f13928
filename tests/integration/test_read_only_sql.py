"""Read-only SQL: questions are answered, and every way out of them is closed by the database itself."""

import contextlib
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psycopg
import pytest
from sqlalchemy import make_url

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.postgres import ENGINES
from tests.support.waiting import wait_until
from ztfdb.errors import DatabaseUnavailableError, QueryError
from ztfdb.query.readonly import read_only_sql
from ztfdb.store.readonly import parse, run_read_only

READER = "ztfdb_reader"
WRITER = "ztfdb_writer"


@pytest.fixture(scope="module")
def urls(databases):
    """A small archive on both engines; on PostgreSQL as a role that owns its tables but is no superuser."""
    made = {name: databases.migrated(name) for name in ENGINES}
    for url in made.values():
        build_archive(url, Plan(50, 4, trouble=0.0))
    admin = made["postgresql"]
    with connect(admin) as connection:
        for role in (READER, WRITER):
            connection.execute(
                f"do $$ begin create role {role} login; exception when duplicate_object then null; end $$"
            )
        connection.execute(f"grant select on all tables in schema public to {READER}")
        for (table,) in connection.execute("select tablename from pg_tables where schemaname = 'public'").fetchall():
            connection.execute(f"alter table {table} owner to {WRITER}")
        connection.execute(f"grant create on schema public to {WRITER}")
        connection.execute(f"grant select on all tables in schema public to {WRITER}")
    yield (
        made
        | {
            role: make_url(admin).set(username=role, password=None).render_as_string(hide_password=False)
            for role in (READER, WRITER)
        }
        | {"admin": admin}
    )
    for name in ENGINES:
        databases.drop(made[name])


def connect(url):
    parsed = make_url(url)
    return psycopg.connect(
        dbname=parsed.database, user=parsed.username, password=parsed.password, autocommit=True,
        host=parsed.query.get("host", parsed.host), port=parsed.query.get("port", parsed.port),
    )  # fmt: skip


@pytest.fixture(params=["sqlite", READER, WRITER])
def url(request, urls):
    """The SQLite archive; PostgreSQL as a reader; PostgreSQL as the owner of the tables."""
    return urls[request.param]


@pytest.fixture
def postgres_url(urls):
    """PostgreSQL as the owner of the tables, who could write."""
    return urls[WRITER]


def n_source(url):
    return int(read_only_sql(url, "select count(*) as n from source")["n"][0])


def test_a_question_is_answered_as_a_frame(url):
    statement = """
        select filtercode, count(*) as n, avg(mag) as mag, max(source_id) as id from light_curve_point
        where fid = :fid and mag < :faint group by filtercode"""
    frame = read_only_sql(url, statement, {"fid": np.int64(2), "faint": 30.0})
    assert list(frame.columns) == ["filtercode", "n", "mag", "id"]
    assert (frame["filtercode"][0], frame["n"][0]) == ("zr", 100)
    assert [str(t) for t in frame.dtypes] == ["str", "Int64", "float64", "Int64"]
    assert frame["id"][0] > 2**53


def test_both_engines_give_the_same_frame(urls):
    statement = "select * from light_curve_point order by mjd, source_id"
    frames = [read_only_sql(urls[name], statement) for name in ("sqlite", READER)]
    assert len(frames[0]) == 200
    pd.testing.assert_frame_equal(*frames, rtol=1e-13)  # their log10 and power come from different C libraries
    pd.testing.assert_series_equal(*(frame["magerr"] for frame in frames), check_exact=True)


def test_missing_values_keep_the_type_of_the_others(url):
    frame = read_only_sql(url, "select 1 as a, 'x' as b, 1.5e0 as c union all select null, null, null order by 1")
    assert [str(t) for t in frame.dtypes] == ["Int64", "str", "float64"]
    assert frame.isna().sum().tolist() == [1, 1, 1]


def test_an_empty_answer_keeps_its_columns(url):
    frame = read_only_sql(url, "select image_id, ra from image where image_id = -1")
    assert (list(frame.columns), len(frame)) == (["image_id", "ra"], 0)


def test_two_columns_may_have_one_name(url):
    frame = read_only_sql(url, "select 1 as a, 2 as a")
    assert (list(frame.columns), frame.iloc[0].tolist()) == (["a", "a"], [1, 2])


def test_colons_in_texts_names_comments_and_casts_are_no_parameters(url):
    frame = read_only_sql(url, """select ':a ''q'' :b' as "x:y", /* :c */ :value as v -- :d
                                  where '12:30' <> ':e'""", {"value": "v:1"})  # fmt: skip
    assert frame.columns[0] == "x:y"
    assert frame.iloc[0].tolist() == [":a 'q' :b", "v:1"]


def test_postgresql_casts_and_dollar_quotes(urls):
    frame = read_only_sql(urls[READER], "select :a::bigint + 1 as a, $q$ :b $q$ as b, E'\\':c' as c", {"a": 41})
    assert frame.iloc[0].tolist() == [42, " :b ", "':c"]


def test_parameters_and_values_must_fit(url):
    with pytest.raises(ValueError, match="no value for :fid"):
        read_only_sql(url, "select :fid", {})
    with pytest.raises(ValueError, match="no parameter :fild"):
        read_only_sql(url, "select :fid", {"fid": 1, "fild": 2})


@pytest.mark.parametrize("statement", ["select nothing from image", "select * from (", "select 'open", "select 1 +"])
def test_a_wrong_statement_is_a_query_error(url, statement):
    with pytest.raises(QueryError, match=r"\w"):
        read_only_sql(url, statement)


ESCAPES = {
    "insert": "insert into archive_meta (key, value) values ('x', 'y')",
    "update": "update image set magzp = 0",
    "delete": "delete from source",
    "drop": "drop table source",
    "create": "create table mine (a integer)",
    "temporary table": "create temporary table mine (a integer)",
    "two statements": "select 1; drop table source",
    "commit first": "commit; drop table source",
    "commit hidden": "select 1; commit; delete from source",
    "rollback hidden": "select 1; rollback; begin; delete from source; commit",
    "comment first": "/* select */ delete from source",
    "with insert": "with a as (select 'x' as k) insert into archive_meta (key, value) select k, k from a",
    "with delete": "with a as (select 1) delete from source where source_id in (select * from a)",
    "explain delete": "explain delete from source; delete from source",
    "begin": "begin immediate",
    "savepoint": "savepoint a",
    "empty": "  -- nothing",
    "vacuum": "vacuum",
    "analyze": "analyze",
    "reindex": "reindex table source",
}


@pytest.mark.parametrize("escape", list(ESCAPES))
def test_nothing_can_be_written(url, escape):
    before = n_source(url)
    with pytest.raises(QueryError):
        read_only_sql(url, ESCAPES[escape])
    assert n_source(url) == before == 200
    assert read_only_sql(url, "select count(*) as n from archive_meta where key = 'x'")["n"][0] == 0


POSTGRESQL_ESCAPES = {
    "writing with": "with gone as (delete from source returning 1) select * from gone",
    "explain analyze": "explain analyze delete from source",
    "select into": "select * into mine from image",
    "for update": "select * from image for update",
    "set role": "set role postgres",
    "set session": "set session authorization postgres",
    "set read write": "set transaction read write",
    "set config": "select set_config('transaction_read_only', 'off', false)",
    "set config, then write": "select set_config('transaction_read_only', 'off', true), "
    "query_to_xml('delete from source', true, true, '')",
    "sql from xml": "select query_to_xml('delete from source', true, true, '')",
    "sequence": "select nextval(pg_get_serial_sequence('config', 'config_id'))",
    "do": "do $$ begin delete from source; end $$",
    "do after a comment": "/* */ do $$ begin loop begin perform pg_sleep(9); exception when others then end; end loop;"
    " end $$",
    "call": "call nothing()",
    "prepare": "prepare a as delete from source",
    "copy to program": "copy (select 1) to program 'touch /tmp/ztfdb_escaped'",
    "copy to file": "copy image to '/tmp/ztfdb_escaped'",
    "copy from": "copy archive_meta from stdin",
    "copy to stdout": "copy image to stdout",
    "large object from file": "select lo_import('/etc/passwd')",
    "large object to file": "select lo_export(1, '/tmp/ztfdb_escaped')",
    "read file": "select pg_read_file('/etc/passwd')",
    "dblink": "select dblink_exec('dbname=postgres', 'drop table source')",
    "function": "create function f() returns int language sql as 'select 1'",
    "extension": "create extension dblink",
    "listen": "listen a",
    "lock": "lock table image",
    "grant": "grant all on image to public",
    "reload": "select pg_reload_conf()",
}


@pytest.mark.parametrize("escape", list(POSTGRESQL_ESCAPES))
def test_postgresql_lets_nothing_out(postgres_url, escape):
    with pytest.raises(QueryError):
        read_only_sql(postgres_url, POSTGRESQL_ESCAPES[escape])
    assert n_source(postgres_url) == 200
    assert not Path("/tmp/ztfdb_escaped").exists()


def test_what_a_statement_does_to_its_session_or_transaction_is_undone(postgres_url, urls):
    with contextlib.suppress(QueryError):  # PostgreSQL 15 allows this in READ ONLY, hence the rollback
        read_only_sql(postgres_url, "select lo_create(987654)")
    read_only_sql(
        postgres_url, "select set_config('search_path', 'nowhere', false), set_config('statement_timeout', '0', false)"
    )
    assert n_source(postgres_url) == 200
    with connect(urls["admin"]) as connection:
        assert connection.execute("select count(*) from pg_largeobject_metadata").fetchone() == (0,)


@pytest.mark.parametrize("role", ["pg_execute_server_program", "pg_write_server_files"])
def test_a_role_that_reaches_the_servers_files_is_refused_unless_forced(urls, role):
    with connect(urls["admin"]) as connection:
        connection.execute(f"grant {role} to {WRITER}")
        try:
            with pytest.raises(QueryError, match="write files or run programs"):
                read_only_sql(urls[WRITER], "select 1")
        finally:
            connection.execute(f"revoke {role} from {WRITER}")
    assert n_source(urls[WRITER]) == 200


def test_a_superuser_is_refused_unless_forced(urls):
    with pytest.raises(QueryError, match="superuser"):
        read_only_sql(urls["admin"], "select 1")
    assert read_only_sql(urls["admin"], "select count(*) as n from source", force=True)["n"][0] == 200
    with pytest.raises(QueryError):
        read_only_sql(urls["admin"], "delete from source", force=True)
    with pytest.raises(QueryError):
        read_only_sql(urls["admin"], "with a as (delete from source returning 1) select * from a", force=True)


SQLITE_ESCAPES = {
    "attach": "attach database '{folder}/mine.db' as mine",
    "attach hidden": "select 1; attach database '{folder}/mine.db' as mine",
    "detach": "detach database main",
    "writable schema": "pragma writable_schema = on",
    "journal mode": "pragma journal_mode = delete",
    "pragma function": "select * from pragma_journal_mode",
    "schema": "update sqlite_master set sql = ''",
    "load extension": "select load_extension('mod_spatialite')",
    "vacuum into": "vacuum into '{folder}/copy.db'",
    "write file": "select writefile('{folder}/mine.txt', 'x')",
    "tokenizer": "select fts3_tokenizer('a', 'b')",
    "virtual table": "create virtual table mine using fts5(a)",
    "replace": "replace into archive_meta (key, value) values ('x', 'y')",
    "trigger": "create temp trigger t after insert on image begin delete from source; end",
    "returning": "delete from source returning 1",
    "huge value": "select length(randomblob(2000000000))",
    "huge text": "select length(replace(hex(zeroblob(8000000)), '0', 'aaaaaaaaaa'))",
}


@pytest.mark.parametrize("escape", list(SQLITE_ESCAPES))
def test_sqlite_lets_nothing_out(urls, tmp_path, escape):
    with pytest.raises(QueryError):
        read_only_sql(urls["sqlite"], SQLITE_ESCAPES[escape].format(folder=tmp_path))
    assert list(tmp_path.iterdir()) == []
    assert n_source(urls["sqlite"]) == 200


def test_a_sqlite_archive_that_is_not_there_is_not_made(tmp_path):
    with pytest.raises(DatabaseUnavailableError):
        read_only_sql(f"sqlite:///{tmp_path}/none.db", "select 1")
    assert list(tmp_path.iterdir()) == []


def test_a_sqlite_archive_is_asked_while_another_writes(urls):
    with sqlite3.connect(make_url(urls["sqlite"]).database, isolation_level=None) as writer:
        writer.execute("begin immediate")
        writer.execute("delete from source")
        assert n_source(urls["sqlite"]) == 200
        writer.execute("rollback")
    writer.close()


ENDLESS = {
    "sqlite": [
        "with recursive c(x) as (select 1 union all select x + 1 from c) select count(*) from c",
        "select count(*) from source a, source b, source c, source d",
    ],
    WRITER: [
        "with recursive c(x) as (select 1::bigint union all select x + 1 from c) select count(*) from c",
        "select pg_sleep(60)",
        "select set_config('statement_timeout', '0', true), pg_sleep(60)",
        "select count(*) from generate_series(1, 1000000000000)",
    ],
}


@pytest.mark.parametrize(("name", "statement"), [(name, one) for name, several in ENDLESS.items() for one in several])
def test_the_time_limit_stops_what_never_ends(urls, name, statement):
    start = time.monotonic()
    with pytest.raises(QueryError, match=r"time limit of 0\.3 s"):
        read_only_sql(urls[name], statement, timeout_s=0.3)
    assert time.monotonic() - start < 50.0  # the sleeps last for 60 s, the others for ever


def test_a_statement_on_the_server_ends_with_the_process_that_asked(urls):
    """Killed without a word: the server would count until the time limit."""
    endless = "select count(*) from generate_series(1, 1000000000000) as killed"
    asked = f"{urls[WRITER]!r}, {endless!r}, timeout_s=3600.0"
    asks = f"from ztfdb.query.readonly import read_only_sql; read_only_sql({asked})"

    def runs():
        with connect(urls["admin"]) as connection:
            found = connection.execute(
                "select count(*) from pg_stat_activity where usename = %s and state = 'active' and query like %s",
                [WRITER, f"{endless}%"],
            ).fetchone()
        return found != (0,)

    with subprocess.Popen([sys.executable, "-c", asks]) as process:
        wait_until(runs)
        process.kill()
    wait_until(lambda: not runs(), 60.0)


@pytest.mark.parametrize(
    ("name", "statement"),
    [
        ("sqlite", "with recursive c(x) as (select 1 union all select x + 1 from c) select x from c"),
        (WRITER, "select generate_series(1, 1000000000000)"),
    ],
)
def test_rows_without_end_are_refused_loudly(urls, name, statement):
    with pytest.raises(QueryError, match="more than 1,000 rows"):
        run_read_only(urls[name], statement, {}, timeout_s=30.0, max_rows=1_000)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, np.nan])
def test_a_time_limit_is_a_positive_number(url, timeout_s):
    with pytest.raises(ValueError, match="time limit"):
        read_only_sql(url, "select 1", timeout_s=timeout_s)


@pytest.mark.parametrize(
    "word", ["select", "WITH a as (select 1) select", "( select", "/* a */ -- b\n Values", "explain", "show"]
)
def test_statements_that_return_rows_are_recognised(word):
    assert parse(f"{word} 1", {}, 1.0).text.startswith(word)


def test_a_parameter_used_twice_is_one_value():
    statement = parse("select :a + :b + :a", {"a": np.float32(0.5), "b": np.nan}, 1.0)
    assert statement.numbered == "select $1 + $2 + $1"
    assert statement.values == {"a": 0.5, "b": None}


@pytest.mark.parametrize(
    "value", [[1, 2], np.array([1]), np.array(1), pd.NA, object(), {"a": 1}, 1j, {1}, bytearray(b"x")]
)
def test_a_value_of_another_kind_is_one_error(url, value):
    """SQLite compared with the bytes in memory of an array, and found nothing."""
    with pytest.raises(ValueError, match=r"the value of :a is .*, expected a number, a text or None"):
        read_only_sql(url, "select count(*) as n from image where image_id = :a", {"a": value})


def test_values_are_options_or_a_mapping(urls):
    for url in (urls["sqlite"], urls[READER]):
        with ztfdb.open(url, read_only=True) as archive:
            assert archive.sql("select cast(:a as integer) as x", a=np.int64(3))["x"].tolist() == [3]
            assert archive.sql("select cast(:a as integer) as x", params={"a": 3})["x"].tolist() == [3]
            assert archive.sql("select cast(:force as integer) as x", params={"force": 3})["x"].tolist() == [3]
