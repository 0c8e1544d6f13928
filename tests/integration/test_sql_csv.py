"""Rows of SQL as CSV: the same bytes on both engines, every value as it was."""

from __future__ import annotations

import csv
import io
import math
import struct

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import text

import ztfdb
from tests.support.archives import Plan, same_archives
from ztfdb.errors import QueryError
from ztfdb.store.backends import readonly_sqlite
from ztfdb.store.engine import make_engine
from ztfdb.store.readonly import run_read_only

EDGES = [
    0.0, 1.0, -1.0, 100.0, 0.1, 1 / 3, 1e-4, 9.9999e-5, 1e-5, 1.5e-7, 5e-324, 2.2250738585072014e-308,
    123456789012345.6, 999999999999999.0, 999999999999999.9, 1e15, 1e15 + 0.125, 1234567890123456.0, 2.0**53,
    9007199254740993.0, 9999999999999998.0, 1e16, 1.5e16, 1e17, 1e22, 1.7976931348623157e308, -2.5e15, -1e15 - 0.5,
]  # fmt: skip


@pytest.fixture(scope="module")
def urls(databases):
    """The same archive on both engines."""
    yield from same_archives(databases, Plan(300, 20, trouble=0.2))


def answer(url, statement, **params):
    """The whole CSV of a statement, and its rows as counted."""
    with ztfdb.open(url, read_only=True) as archive:
        pieces = list(archive.sql_csv(statement, force=True, params=params))
    return b"".join(content for content, _ in pieces).decode(), sum(n for _, n in pieces)


def both(urls, statement, **params):
    """The CSV of both engines, which is the same."""
    found = {name: answer(url, statement, **params) for name, url in urls.items()}
    assert found["sqlite"] == found["postgresql"]
    return found["sqlite"]


def test_every_double_is_written_as_python_writes_it(urls):
    rng = np.random.default_rng(3)
    bits = struct.unpack("<400d", rng.integers(0, 256, 3200, np.uint8).tobytes())
    more = np.concatenate([bits, 10.0 ** rng.uniform(-8, 18, 400), rng.uniform(1e15, 1e16, 100)])
    values = [v for v in (*EDGES, *more.tolist()) if math.isfinite(v)]
    for url in urls.values():  # bound, because SQLite reads some decimals as a neighbouring double
        ids = answer(url, "select source_id from source order by source_id")[0].split()[1:]
        pairs = [{"v": value, "k": int(number)} for value, number in zip(values, ids, strict=False)]
        engine = make_engine(url)
        with engine.begin() as connection:
            connection.execute(text("update source set x = :v where source_id = :k"), pairs)
        engine.dispose()
    found, _ = both(urls, f"select x, x as again from source order by source_id limit {len(values)}")
    assert [row.split(",")[0] for row in found.splitlines()[1:]] == [repr(v) for v in values]
    assert [float(row.split(",")[1]) for row in found.splitlines()[1:]] == values


def test_a_negative_zero_keeps_its_sign(urls):
    assert answer(urls["postgresql"], "select '-0'::float8 as a")[0] == "a\n-0.0\n"


def test_ids_nulls_and_single_precision_are_exact(urls):
    columns = "source_id, hpx29, ra, flux_aper4, mask_bits, kron_radius, flags"
    found, n_row = both(urls, f"select {columns} from source order by source_id")
    with ztfdb.open(urls["sqlite"]) as archive:
        frame = archive.sql(f"select {columns} from source order by source_id", force=True)
    rows = list(csv.reader(io.StringIO(found)))
    assert rows[0] == list(frame.columns)
    assert n_row == len(frame) == 6000
    assert frame["mask_bits"].isna().any()
    assert frame["flux_aper4"].isna().any()
    for k, name in enumerate(frame.columns):
        wanted = [
            "" if v is None or v != v else repr(v) for v in frame[name].astype(object).where(frame[name].notna(), None)
        ]
        assert [row[k] for row in rows[1:]] == wanted, name


def test_texts_are_quoted_where_they_must_be_and_an_empty_one_is_no_null(urls):
    found, _ = both(
        urls,
        "select 'zr' as a, 'a,b' as b, 'say \"x\"' as c, '' as d, cast(null as text) as e, 'None' as f, '(1, 2)' as g",
    )
    assert found == 'a,b,c,d,e,f,g\nzr,"a,b","say ""x""","",,None,"(1, 2)"\n'
    assert both(urls, "select 'two\nlines' as a, 1 as b")[0] == 'a,b\n"two\nlines",1\n'


@pytest.mark.parametrize(
    ("statement", "params", "wanted"),
    [
        ("select 1 as a where 1 = 0", {}, "a\n"),
        ("select 1 as a", {}, "a\n1\n"),
        ("select cast(null as integer) as a", {}, "a\n\n"),
        ("select :x as a, :y as b", {"x": 2, "y": "it's"}, "a,b\n2,it's\n"),
        ("select 1 as a, 2 as a;", {}, "a,a\n1,2\n"),
        ("select 1 as a -- and a word", {}, "a\n1\n"),
        ("-- first\nselect 1 as a, '--;' as b; -- done; /* and */", {}, "a,b\n1,--;\n"),
        ("select /* one */ 1 as a /* two; */ ;", {}, "a\n1\n"),
        ('select 1 as "x,y"', {}, '"x,y"\n1\n'),
        ("select count(*) as n, sum(flags) - sum(flags) as s, avg(1.5) as m from source", {}, "n,s,m\n6000,0,1.5\n"),
        (
            "select filtercode, has_mask from image where has_mask order by image_id limit 1",
            {},
            "filtercode,has_mask\nzi,1\n",
        ),
    ],
)
def test_small_answers(urls, statement, params, wanted):
    assert both(urls, statement, **params)[0] == wanted


MANY = f"""with recursive t(n) as (select 1 union all select n + 1 from t where n < {{n}})
select n, n * 100000000000 as big, cast(n as double precision) / 3 as third, cast(n as double precision) as whole,
    cast(n as double precision) / 1e9 as small, cast(2.5 as double precision) as same,
    case when n % 7 > 0 then n end as sometimes, case when n % 7 > 0 then cast(n as double precision) / 7 end as part,
    cast(null as integer) as never, case when n > 15000 then n * 0.5 else n end as mixed,
    case n % 3 when 0 then 'zr' when 1 then 'zg' end as word,
    case when n % 5000 = 0 then 'a, "b"' when n % 5001 = 0 then '' else 'x' end as awkward,
    case when n % 4999 = 0 then '{"long " * 30}' else 'é' end as long_text, -n as below
from t order by n"""
"""Many rows of everything that changes its form on the way."""


@pytest.mark.parametrize("n", [1_999, 2_000, 2_001, 30_000])
def test_many_rows_of_every_kind(urls, n):
    found, n_row = both(urls, MANY.format(n=n))
    assert n_row == n
    rows = list(csv.DictReader(io.StringIO(found)))
    for k in (1, 7, n // 2, n):
        row = rows[k - 1]
        assert row["n"] == str(k)
        assert row["below"] == str(-k)
        assert row["big"] == str(k * 100_000_000_000)
        assert [row[name] for name in ("third", "whole", "small", "same")] == [
            repr(k / 3),
            repr(float(k)),
            repr(k / 1e9),
            "2.5",
        ]
        assert row["sometimes"] == (str(k) if k % 7 else "")
        assert row["part"] == (repr(k / 7) if k % 7 else "")
        assert row["never"] == ""
        assert row["word"] == ("zr", "zg", "")[k % 3]
    if n == 30_000:
        assert rows[4_999]["awkward"] == 'a, "b"'
        assert rows[4_998]["long_text"] == "long " * 30


def test_pyarrow_changes_no_byte(urls, monkeypatch):
    with_it = answer(urls["sqlite"], MANY.format(n=30_000))
    monkeypatch.setattr(readonly_sqlite, "_arrow_lines", lambda: None)
    assert answer(urls["sqlite"], MANY.format(n=30_000)) == with_it


def test_many_rows_are_the_same_frame_by_pages_and_one_by_one(urls, monkeypatch):
    frames = []
    for few in (100, 10**9):
        monkeypatch.setattr(readonly_sqlite, "MOST_FETCHED", few)
        with ztfdb.open(urls["sqlite"], read_only=True) as archive:
            frames.append(archive.sql(MANY.format(n=30_000)))
    with ztfdb.open(urls["postgresql"], read_only=True) as archive:
        frames.append(archive.sql(MANY.format(n=30_000), force=True))
    for other in frames[1:]:
        pd.testing.assert_frame_equal(frames[0], other)


def test_a_comment_or_a_semicolon_at_the_end_is_no_matter_of_length(urls):
    statement = (
        "with recursive t(n) as (select 1 union all select n + 1 from t where n < 20000) select n from t order by -n"
    )
    with ztfdb.open(urls["sqlite"], read_only=True) as archive:
        for end in ("", ";", " -- backwards", "; ", "; -- done;", " /* ; */ ;\n-- x"):
            found = archive.sql(statement + end)
            np.testing.assert_array_equal(found["n"], np.arange(20_000, 0, -1))


def test_too_many_rows_are_refused_whichever_way_they_come(urls):
    endless = "with recursive t(n) as (select 1 union all select n + 1 from t) select n from t"
    for most in (999, 9_999, 10_000, 30_000):
        with pytest.raises(QueryError, match=f"more than {most:,} rows"):
            run_read_only(urls["sqlite"], endless, {}, timeout_s=60.0, max_rows=most)


def test_views_are_the_same(urls):
    found, n_row = both(
        urls, "select source_id, mjd, mag, magerr, flux_ujy, filtercode, good from light_curve_point order by 1"
    )
    assert n_row == 6000
    assert ",," in found


@pytest.mark.parametrize(
    "statement",
    [
        "select 1); drop table source; --",
        "select 1; select 2",
        "delete from source",
        "select nope from source",
        "select 1 returning 1",
    ],
)
def test_what_sql_refuses_is_refused(urls, statement):
    for url in urls.values():
        with pytest.raises(QueryError):
            answer(url, statement)


def test_a_statement_that_fails_on_the_way_is_a_typed_error(urls):
    endless = "with recursive t(n) as (select 1 union all select n + 1 from t) select n from t"
    for url in urls.values():
        with ztfdb.open(url, read_only=True) as archive, pytest.raises(QueryError, match="time limit"):
            for _ in archive.sql_csv(endless, timeout_s=0.5, force=True):
                pass


def test_explain_and_odd_types_come_too(urls):
    assert answer(urls["postgresql"], "explain select 1 as a")[1] >= 1
    assert answer(urls["postgresql"], "select date '2020-09-24' as day")[0] == "day\n2020-09-24\n"
    assert answer(urls["sqlite"], "select x'00ff' as b, 1e999 as c")[0] == "b,c\n00ff,inf\n"
    assert answer(urls["postgresql"], "select '\\x00ff'::bytea as b, 'Infinity'::float8 as c")[0] == "b,c\n00ff,inf\n"
    assert answer(urls["postgresql"], "select 'NaN'::float8 as a, 2.50 as b, 3::numeric as c")[0] == "a,b,c\n,2.5,3\n"
