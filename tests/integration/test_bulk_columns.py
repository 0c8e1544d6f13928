"""Columns into both engines and out again: what comes back is what went in, and the same from both."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from ztfdb.errors import StoreError
from ztfdb.schema import Source
from ztfdb.store.backends import backend
from ztfdb.store.backends.reads_postgresql import PREPARED, TABLE_ORDER
from ztfdb.store.columns import table_dtypes
from ztfdb.store.engine import make_engine, sessions, writing

SOURCE = Source.__table__
DTYPES = table_dtypes(SOURCE)
PAIR = {"source_id": "i8", "ra": "f8"}
IMAGE_ID = 3621738008150  # beyond 2^41: the source ids are beyond 2^53


@pytest.fixture
def maker(engine_url):
    engine = make_engine(engine_url)
    yield sessions(engine)
    engine.dispose()


def random_sources(n, seed=0):
    rng = np.random.default_rng(seed)
    columns = {
        name: rng.normal(scale=1000, size=n) if dtype.kind == "f" else rng.integers(0, 2**15, n)
        for name, dtype in DTYPES.items()
    }
    columns["image_id"] = np.full(n, IMAGE_ID)
    columns["source_id"] = (IMAGE_ID << 18) + np.arange(n)
    columns["hpx29"] = 2**61 + rng.permutation(n)
    return columns


def read_all(session, reader="read_bulk"):
    text_ = f"select {', '.join(DTYPES)} from source"
    found = getattr(backend(session), reader)(text_, {}, DTYPES, nulls={"mask_bits": -1})
    order = np.argsort(found["source_id"])
    return {name: values[order] for name, values in found.items()}


@pytest.mark.parametrize("reader", ["read_bulk", "read_few", "read_columns"])
@pytest.mark.parametrize("n", [1, 7, 300, 5_000])
def test_every_column_comes_back_bit_by_bit(maker, reader, n):
    columns = random_sources(n)
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, columns)
    with maker.begin() as session:
        found = read_all(session, reader)
    for name, dtype in DTYPES.items():
        assert found[name].dtype == dtype
        np.testing.assert_array_equal(found[name], columns[name].astype(dtype), err_msg=name)


READS = {
    "by index": lambda on: on.by_index().read_columns("select 1 as a", {}, {"a": "i8"}),
    "in table order": lambda on: on.in_table_order().read_bulk("select 1 as a", {}, {"a": "i8"}),
    "few": lambda on: on.read_few("select 1 as a", {}, {"a": "i8"}),
    "doubles": lambda on: on.by_index().read_doubles("select 1 as a", {}, ("a",)),
}


@pytest.mark.parametrize("how", list(READS))
def test_how_a_statement_is_planned_ends_with_it(databases, how):
    url = databases.migrated("postgresql")
    settings = f"select name, setting from pg_settings where name in {tuple(PREPARED.names | TABLE_ORDER.names)}"
    engine = make_engine(f"{url}&options=-c%20enable_memoize%3Doff")  # a user's own choice is not lost
    with sessions(engine)() as session:
        on = backend(session)
        before = dict(on.read_rows(settings))
        during = [dict(one.read_rows(settings)) for one in (on.by_index(), on.in_table_order())]
        READS[how](on)
        assert dict(session.execute(text(settings)).all()) == before
    engine.dispose()
    databases.drop(url)
    assert before["enable_memoize"] == "off" and before["enable_bitmapscan"] == before["jit"] == "on"
    assert [one["enable_bitmapscan"] for one in during] == ["off", "on"]
    assert {one["enable_seqscan"] for one in during} == {"off"}


def test_a_statement_that_fails_says_why(maker):
    with maker() as session:
        for on in (backend(session).by_index(), backend(session)):
            with pytest.raises((StoreError, ProgrammingError, OperationalError), match="nothing"):
                on.read_columns("select nothing as a", {}, {"a": "i8"})
            session.rollback()


def test_more_rows_than_one_chunk(maker):
    columns = random_sources(60_001)
    columns["flux_auto"][::3] = np.nan
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, columns)
        assert session.scalar(select(func.count(Source.source_id))) == 60_001
        assert session.scalar(select(func.count(Source.flux_auto))) == 40_000


def test_nan_is_stored_as_null_and_comes_back_as_nan(maker):
    columns = random_sources(6)
    columns["flux_aper4"][[0, 5]] = np.nan
    columns["a"][:] = np.nan
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, columns, {"mask_bits": np.array([True, False, True, False, False, True])})
    with maker.begin() as session:
        rows = session.execute(text("select count(flux_aper4), count(a), count(mask_bits), count(*) from source"))
        assert rows.one() == (4, 0, 3, 6)
        for reader in ("read_bulk", "read_few", "read_columns"):
            found = read_all(session, reader)
            np.testing.assert_array_equal(np.isnan(found["flux_aper4"]), [1, 0, 0, 0, 0, 1])
            assert np.isnan(found["a"]).all()
            np.testing.assert_array_equal(found["mask_bits"] == -1, [1, 0, 1, 0, 0, 1])


def test_infinity_and_extremes_survive(maker):
    columns = random_sources(4)
    columns["peak"] = np.array([np.inf, -np.inf, 1e300, np.float32(1e-40)])
    columns["hpx29"] = np.array([2**63 - 1, 2**53 + 1, 0, -1])
    columns["ra"] = np.array([0.1, np.nextafter(360.0, 0), 1 / 3, 5e-324])
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, columns)
    with maker.begin() as session:
        found = read_all(session)
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(found["peak"], columns["peak"].astype("f4"))
    np.testing.assert_array_equal(found["hpx29"], columns["hpx29"])
    np.testing.assert_array_equal(found["ra"], columns["ra"])


def test_both_engines_round_to_the_same_single(both_urls):
    columns = random_sources(500, seed=3)
    answers = {}
    for name, url in both_urls.items():
        engine = make_engine(url)
        with writing(sessions(engine)) as session:
            backend(session).copy_rows(SOURCE, columns)
        with engine.connect() as connection:
            rows = connection.execute(text("select cast(flux_auto as double precision) from source order by source_id"))
            answers[name] = [value for (value,) in rows]
        engine.dispose()
    assert answers["sqlite"] == answers["postgresql"] == columns["flux_auto"].astype("f4").tolist()


def test_no_rows_keep_their_columns(maker):
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, {name: np.empty(0, dtype) for name, dtype in DTYPES.items()})
        for reader in ("read_bulk", "read_few", "read_columns"):
            found = read_all(session, reader)
            assert {name: values.dtype for name, values in found.items()} == DTYPES
            assert all(len(values) == 0 for values in found.values())


@pytest.mark.parametrize("n", [5, 5_000])
def test_refused_rows_are_a_store_error_and_roll_back(maker, n):
    columns = random_sources(n)
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, columns)
    with pytest.raises(StoreError), writing(maker) as session:
        backend(session).copy_rows(SOURCE, random_sources(n + 4))
    with maker.begin() as session:
        assert session.scalar(select(func.count(Source.source_id))) == n
    late = random_sources(n)
    late["source_id"] += n
    with writing(maker) as session:  # on a connection like new
        backend(session).copy_rows(SOURCE, late)
        assert session.scalar(select(func.count(Source.source_id))) == 2 * n


def test_any_number_of_bulk_writes_in_one_transaction(maker):
    n, n_write = 1_500, 12  # SQLite attaches ten databases at most
    for start in (0, n_write * n):
        with writing(maker) as session:
            for number in range(n_write):
                columns = random_sources(n, seed=number)
                columns["source_id"] += start + number * n
                backend(session).copy_rows(SOURCE, columns)
            session.execute(text("delete from source where source_id % 2 = 1"))
    with maker() as session:
        assert session.scalar(select(func.count(Source.source_id))) == n_write * n
        if session.get_bind().dialect.name == "sqlite":  # what rows came by is gone with its transaction
            names = [row[1] for row in session.execute(text("pragma database_list"))]
            assert names == ["main"]


def test_unnamed_null_of_an_integer_column_is_an_error(maker):
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, random_sources(2), {"mask_bits": np.array([True, False])})
        with pytest.raises((ValueError, StoreError), match="mask_bits contains NULL"):
            backend(session).read_columns("select mask_bits from source", {}, {"mask_bits": "i4"})
        for reader in ("read_bulk", "read_few"):
            with pytest.raises((StoreError, TypeError)):
                getattr(backend(session), reader)("select mask_bits from source", {}, {"mask_bits": "i4"})


def test_named_parameters_and_percent_signs(maker):
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, random_sources(9))
        found = backend(session).read_columns(
            "select source_id, source_id % 7 from source where source_id >= :least order by source_id",
            {"least": (IMAGE_ID << 18) + 4},
            {"source_id": "i8", "rest": "i8"},
        )
    np.testing.assert_array_equal(found["source_id"], (IMAGE_ID << 18) + np.arange(4, 9))
    np.testing.assert_array_equal(found["rest"], found["source_id"] % 7)


def test_expressions_are_read_too(maker):
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, random_sources(9))
        wanted = [(IMAGE_ID << 18) + 3, (IMAGE_ID << 18) + 5]
        statement = select(Source.source_id).where(Source.source_id.in_(wanted), Source.image_id == IMAGE_ID)
        found = backend(session).read_columns(statement.order_by(Source.source_id), {}, {"source_id": "i8"})
    np.testing.assert_array_equal(found["source_id"], wanted)


def test_ranges_join_in_both_ways(maker):
    rng = np.random.default_rng(5)
    columns = random_sources(200)
    lo = 2**61 + rng.integers(0, 200, 20)
    hi = lo + rng.integers(0, 5, 20)
    inside = (columns["hpx29"] >= lo[:, None]) & (columns["hpx29"] < hi[:, None])
    k, row = np.nonzero(inside)
    expected = np.stack([k, columns["source_id"][row]])
    condition = "cross join source where source.hpx29 >= r.lo and source.hpx29 < r.hi"
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, columns)
        ranges, params = backend(session).range_rows(k=np.arange(20), lo=lo, hi=hi)
        small = backend(session).read_columns(
            f"select r.k, source_id from {ranges} {condition}", params, {"k": "i8", "source_id": "i8"}
        )
        for _ in range(2):  # a second load replaces the first
            backend(session).load_temporary("cone_range", {"k": np.arange(20), "lo": lo, "hi": hi})
        big = backend(session).read_bulk(
            f"select r.k, source_id from cone_range as r {condition}", {}, {"k": "i8", "source_id": "i8"}
        )
    for found in (small, big):
        pairs = np.stack([found["k"], found["source_id"]])
        np.testing.assert_array_equal(pairs[:, np.lexsort(pairs[::-1])], expected[:, np.lexsort(expected[::-1])])


def test_pages_of_many_rows_are_given_back(databases):
    """What was read before does not make a later answer slow: `serialize` copies all pages, also unused ones."""
    url = databases.migrated("sqlite")
    engine = make_engine(url)
    maker = sessions(engine)
    with writing(maker) as session:
        backend(session).copy_rows(SOURCE, random_sources(60_000))
    with maker() as session:
        driver = session.connection().connection.driver_connection
        held = []
        for condition in ("1 = 1", "source_id & 31 = 0", "1 = 1", "source_id & 15 = 0"):
            found = backend(session).read_bulk(f"select source_id, ra from source where {condition}", {}, PAIR)
            assert len(found["ra"]) == session.scalar(text(f"select count(*) from source where {condition}"))
            ((n_page,),) = driver.execute("pragma drain2.page_count")
            held.append(n_page)
    engine.dispose()
    databases.drop(url)
    assert max(held) <= 4  # of 64 KB; 60,000 rows take 20
