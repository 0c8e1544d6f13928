from __future__ import annotations

import re
import subprocess
import sys

import pytest
from alembic import command
from alembic.util import CommandError
from sqlalchemy import inspect, text

from ztfdb.errors import DatabaseUnavailableError, SchemaVersionError, StoreError
from ztfdb.schema import LIGHT_CURVE_COLUMNS, PSF_LIGHT_CURVE_COLUMNS, Base
from ztfdb.schema.image import EPOCH_COLUMNS, POSTGRESQL_EPOCH_INDEX
from ztfdb.schema.psf import POSTGRESQL_PSF_IMAGE_INDEX, POSTGRESQL_PSF_INDEX, SQLITE_PSF_INDEX
from ztfdb.schema.source import POSTGRESQL_LIGHT_CURVE_INDEX, SQLITE_LIGHT_CURVE_INDEX
from ztfdb.schema.views import VIEWS
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.image_table import EPOCH_FIELDS
from ztfdb.store.migrate import alembic_config, current_revision, downgrade, upgrade
from ztfdb.store.revision import REVISION, check_revision

TABLES = set(Base.metadata.tables)


@pytest.fixture
def empty_engine(empty_url):
    engine = make_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine(engine_url):
    engine = make_engine(engine_url)
    yield engine
    engine.dispose()


def tables_and_views(engine):
    found = inspect(engine)
    return set(found.get_table_names()) - {"alembic_version"}, set(found.get_view_names())


def check(engine):
    with sessions(engine)() as session:
        check_revision(session, "the archive")


def test_empty_to_head_to_base_and_back(empty_engine):
    for _ in range(2):
        upgrade(empty_engine)
        assert tables_and_views(empty_engine) == (TABLES, set(VIEWS))
        check(empty_engine)
        downgrade(empty_engine, "base")
        assert tables_and_views(empty_engine) == (set(), set())


def test_upgrade_by_url_twice_changes_nothing(empty_url):
    upgrade(empty_url)
    upgrade(empty_url)
    engine = make_engine(empty_url)
    with engine.connect() as connection:
        assert current_revision(connection) == REVISION
    engine.dispose()


def test_several_hosts_make_or_upgrade_an_archive_at_the_same_time(empty_url):
    """As a deployment does that runs `ztfdb init` everywhere."""
    for earlier in (None, "20261126_source_index"):
        if earlier is not None:
            downgrade(empty_url, earlier)
        command = [sys.executable, "-m", "ztfdb", "--db", empty_url, "init"]
        running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
        told = [one.communicate(timeout=120)[1] for one in running]
        assert [one.returncode for one in running] == [0, 0, 0], told
    engine = make_engine(empty_url)
    check(engine)
    assert tables_and_views(engine) == (TABLES, set(VIEWS))
    engine.dispose()


def test_an_upgrade_does_not_wait_for_long_while_others_wait_behind_it(databases, monkeypatch):
    monkeypatch.setattr("ztfdb.store.migrate.LOCK_WAIT_S", 0.3)
    url = databases.migrated("postgresql")
    downgrade(url, "20261128_portable_views")
    reader = make_engine(url)
    with reader.connect() as connection:
        connection.execute(text("select count(*) from image"))  # its transaction stays open
        with pytest.raises(DatabaseUnavailableError, match=r"others use its tables for more than 0\.3 s.*`ztfdb init`"):
            upgrade(url)
        assert current_revision(connection) == "20261128_portable_views"
    upgrade(url)
    check(reader)
    reader.dispose()
    databases.drop(url)


def test_revisions_and_schema_module_agree(engine):
    with engine.connect() as connection:
        command.check(alembic_config(connection))


def test_a_forgotten_column_would_be_noticed(engine):
    with engine.begin() as connection:
        for view in VIEWS:
            connection.execute(text(f"drop view {view}"))
        connection.execute(text("alter table image drop column readnoi"))
        with pytest.raises(CommandError, match="New upgrade operations"):
            command.check(alembic_config(connection))


def test_empty_database_is_told_from_an_archive(empty_engine):
    with pytest.raises(SchemaVersionError, match=r"holds no archive yet.*`ztfdb init`"):
        check(empty_engine)


def test_an_unknown_revision_is_an_error_that_says_what_helps(engine):
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '20190101_older'"))
    with pytest.raises(SchemaVersionError, match=r"20190101_older.*update this one.*`ztfdb init`"):
        check(engine)


def test_an_older_revision_is_an_error_that_names_the_command(engine):
    downgrade(engine, "base")
    upgrade(engine, "+1")
    with pytest.raises(
        SchemaVersionError, match=r"is at schema revision .*, this ztfdb works with .*: run `ztfdb init`"
    ):
        check(engine)


def test_tables_of_others_are_left_alone(empty_engine):
    with empty_engine.begin() as connection:
        connection.execute(text("create table image (k integer)"))
    with pytest.raises(StoreError, match=r"cannot be brought to revision head: .*image.* already exists"):
        upgrade(empty_engine)
    assert tables_and_views(empty_engine)[0] == {"image"}


def test_archive_of_a_newer_ztfdb_is_left_alone(engine):
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '29990101_newer'"))
    with pytest.raises(SchemaVersionError, match="unknown to this ztfdb"):
        upgrade(engine)


def test_a_failing_upgrade_leaves_nothing_behind(empty_engine, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("no views today")

    monkeypatch.setattr("ztfdb.store.views.create_view", fail)
    with pytest.raises(RuntimeError, match="no views today"):
        upgrade(empty_engine)
    assert tables_and_views(empty_engine) == (set(), set())


def test_an_index_covers_what_epochs_read_of_images_on_postgresql(engine):
    names = {index["name"] for index in inspect(engine).get_indexes("image")}
    if engine.dialect.name == "sqlite":
        assert POSTGRESQL_EPOCH_INDEX not in names
        return
    with engine.connect() as connection:
        definition = connection.scalar(
            text("select pg_get_indexdef(cast(:name as regclass))"), {"name": POSTGRESQL_EPOCH_INDEX}
        )
    assert definition.endswith(f"(image_id) INCLUDE ({', '.join(EPOCH_COLUMNS)})")
    read = " ".join(expression for expression in EPOCH_FIELDS.values() if "select" not in expression)
    for aperture in range(1, 7):
        wanted = set(re.findall(r"image\.(\w+)", read.replace("apcorK", f"apcor{aperture}")))
        assert wanted <= {"image_id", *EPOCH_COLUMNS}


COVERING = pytest.mark.parametrize(
    ("table", "columns", "indexes"),
    [
        ("source", LIGHT_CURVE_COLUMNS, (POSTGRESQL_LIGHT_CURVE_INDEX, SQLITE_LIGHT_CURVE_INDEX)),
        ("psf_source", PSF_LIGHT_CURVE_COLUMNS, (POSTGRESQL_PSF_INDEX, SQLITE_PSF_INDEX)),
    ],
    ids=["source", "psf_source"],
)


@COVERING
def test_light_curve_index_covers_what_a_light_curve_reads(engine, table, columns, indexes):
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            definition = connection.scalar(
                text("select pg_get_indexdef(cast(:name as regclass))"), {"name": indexes[0]}
            )
            key = "hpx29, source_id" if table == "psf_source" else "hpx29"
            included = ", ".join(columns[table == "psf_source" :])
            assert definition.replace('"', "").endswith(f"USING btree ({key}) INCLUDE ({included})")
        else:
            rows = connection.execute(text(f"pragma index_info({indexes[1]})")).all()
            # the number of a row is in every index of SQLite's
            assert [name for _, _, name in rows] == ["hpx29", *columns[1:]]
    names = {index["name"] for index in inspect(engine).get_indexes(table)}
    beside = {"psf_source": POSTGRESQL_PSF_IMAGE_INDEX}.get(table, indexes[0])  # beside the primary key
    assert names == {beside if engine.dialect.name == "postgresql" else indexes[1]}  # and none of the other engine's


@COVERING
def test_sqlite_answers_a_light_curve_from_the_index_alone(databases, table, columns, indexes):
    engine = make_engine(databases.migrated("sqlite"))
    with engine.connect() as connection:
        plan = connection.execute(
            text(f"explain query plan select hpx29, {', '.join(columns)} from {table} where hpx29 >= 1 and hpx29 < 9")
        ).all()
    engine.dispose()
    assert f"USING COVERING INDEX {indexes[1]}" in plan[0][-1]


@pytest.mark.parametrize("table", ["source", "psf_source"])
def test_source_is_vacuumed_by_inserted_rows(databases, table):
    engine = make_engine(databases.migrated("postgresql"))
    with engine.connect() as connection:
        options = connection.scalar(text(f"select reloptions from pg_class where relname = '{table}'"))
    engine.dispose()
    assert set(options) == {"autovacuum_vacuum_insert_threshold=100000", "autovacuum_vacuum_insert_scale_factor=0"}


def test_storage_types_keep_eight_bytes_for_positions_and_four_for_fluxes(databases):
    engine = make_engine(databases.migrated("postgresql"))
    with engine.connect() as connection:
        rows = connection.execute(
            text("select column_name, data_type from information_schema.columns where table_name = 'source'")
        )
        types = dict(rows.all())
    engine.dispose()
    assert {types[name] for name in ("source_id", "image_id", "hpx29")} == {"bigint"}
    assert {types[name] for name in ("ra", "dec", "x", "y")} == {"double precision"}
    assert {kind for name, kind in types.items() if name.startswith("flux_")} == {"real"}
