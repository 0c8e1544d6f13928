"""One SQL on two engines: the same statement gives the same rows, and what the engines do not share is listed."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import JSON

from tests.support.postgres import ENGINES
from ztfdb.errors import QueryError
from ztfdb.query.readonly import read_only_sql
from ztfdb.schema import describe_table
from ztfdb.schema.tables import Base
from ztfdb.schema.views import VIEWS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sql.md"
CORE = {"coalesce", "count", "min", "max", "sum", "avg", "abs", "round", "length", "lower", "upper", "like"}
"""Functions that every SQLite has; each of its readers brings a SQLite of its own."""


def file_of(generated):
    """The SQLite archive's path; its engine was opened read-only, by a URI."""
    return Path(unquote(generated.engines["sqlite"].url.database.removeprefix("file://")))


@pytest.fixture(scope="module")
def both(generated):
    """Asks both engines and returns the rows that they share."""
    urls = {name: engine.url for name, engine in generated.engines.items()}
    urls["sqlite"] = file_of(generated)

    def ask(statement, **params):
        frames = [read_only_sql(urls[name], statement, params, force=True) for name in ENGINES]
        pd.testing.assert_frame_equal(*frames, check_exact=True, obj=statement)
        return frames[0]

    ask.urls = urls
    return ask


@pytest.mark.parametrize("name", VIEWS)
def test_a_whole_view_is_the_same_to_the_last_digit(both, name):
    order = ", ".join(f"{column.name} nulls last" for column in describe_table(name).columns)
    rows = both(f"select * from {name} order by {order}")
    if name in ("light_curve_point", "image_summary"):
        assert len(rows) > 20


def test_views_use_no_function_that_common_readers_lack(generated):
    used = set()

    def authorize(action, _, name, *__):
        if action == sqlite3.SQLITE_FUNCTION:
            used.add(name.lower())
        return sqlite3.SQLITE_OK

    with sqlite3.connect(file_of(generated)) as connection:
        connection.set_authorizer(authorize)
        for name in VIEWS:
            connection.execute(f"select * from {name} limit 1").fetchall()
    connection.close()
    assert used <= CORE


OF_IMAGES = {
    "its id": ("{view} as p where p.image_id = {image}", "image_id == @image"),
    "ids": ("{view} as p where p.image_id in (select image_id from image where field = {field})", "field == @field"),
    "its exposure": ("{view} as p where p.expid = {expid}", "expid == @expid"),
    "its field as text": ("{view} as p where p.field = '{field}'", "field == @field"),
    "its field": ("{view} as p where p.field = {field}", "field == @field"),
    "a field and cells": ("{view} as p where p.field = {field} and p.hpx29 between {lo} and {hi}",
                          "field == @field and @lo <= hpx29 <= @hi"),
    "a joined image": ("image as i join {view} as p using (image_id) where i.field = {field}", "field == @field"),
    "a joined view of images": ("{view} as p join image_summary as i using (image_id) where i.field = {field}",
                                "field == @field"),
    "its range of ids": ("image as i join {view} as p on p.source_id between i.image_id * 262144 and "
                         "i.image_id * 262144 + 262143 where i.obsmjd between {mjd} and {mjd} + 2",
                         "@mjd <= mjd <= @mjd + 2"),
}  # fmt: skip


@pytest.mark.parametrize("view", ["light_curve_point", "psf_light_curve_point", "self_light_curve_point"])
@pytest.mark.parametrize("what", OF_IMAGES)
def test_sources_of_images_are_read_once(both, view, what):
    """SQLite read all sources for each of a few images: 17 s, not 0.9, for one of three fields of 3 million sources."""
    every = both("select * from light_curve_point order by source_id")
    one = every.iloc[len(every) // 2]
    image, field, expid, mjd = (one[name].item() for name in ("image_id", "field", "expid", "mjd"))
    lo, hi = int(one["hpx29"]) - (1 << 44), int(one["hpx29"]) + (1 << 44)
    statement, wanted = OF_IMAGES[what]
    values = {"image": image, "field": field, "expid": expid, "mjd": mjd, "lo": lo, "hi": hi}
    origin = statement.format(view=view, **values)
    if view == "light_curve_point":
        found = both(f"select p.source_id from {origin} order by p.source_id")
        expected = every.query(wanted, local_dict=values)["source_id"]
        assert found["source_id"].tolist() == expected.tolist()
        assert 0 < len(found) < len(every)
    steps = read_only_sql(both.urls["sqlite"], f"explain query plan select count(*) from {origin}", {})["detail"]
    steps = [step for step in steps if step.startswith(("SCAN", "SEARCH"))]
    whole = [k for k, step in enumerate(steps) if step.startswith(("SCAN source", "SCAN psf_source"))]
    assert whole in ([], [0]), steps
    if what not in ("its field", "its field as text", "a field and cells"):
        assert not whole or view == "self_light_curve_point", steps
    if what == "a field and cells":
        assert not whole and "source" in steps[0], steps


SHARED = {
    "like is about case": ("select count(*) as n from image where filtercode like 'Z%'", 0),
    "like": ("select count(*) > 9 as n from image where filtercode like 'z%'", 1),
    "a parameter that is true": ("select count(*) as n from light_curve_point where good = :yes and good = 0", 0),
    "a true column of a table": ("select count(*) as n from image where simulated = :yes", 0),
    "true and false": ("select true as n", 1),
    "a comparison": ("select 1 = 2 as n", 0),
    "division of integers": ("select -7 / 2 as n", -3),
    "remainder of integers": ("select -7 % 3 as n", -1),
    "average of integers": ("select avg(fid) as n from (select 1 as fid union all select 2) as a", 1.5),
    "sum of large integers": ("select sum(k) as n from (select 4000000000 as k union all select 1) as a", 4000000001),
    "decimals": ("select 0.1 + 0.2 > 0.29 as n", 1),
    "nulls where said": (
        "select k as n from (select 1 as k union all select null) as a order by k nulls first limit 1", None),
    "order of text": (
        "select k as n from (select 'b' as k union all select 'C' union all select 'a') as a "
        'order by k collate "C" limit 1', "C"),
}  # fmt: skip


@pytest.mark.parametrize("name", SHARED)
def test_what_the_engines_share(both, name):
    statement, expected = SHARED[name]
    params = {"yes": True} if ":yes" in statement else {}
    value = both(statement, **params)["n"][0]
    assert (pd.isna(value) and expected is None) or value == expected


JSON_COLUMNS = [
    (name, column.name)
    for name, table in Base.metadata.tables.items()
    for column in table.columns
    if isinstance(column.type, JSON)
]


@pytest.mark.parametrize(("table", "column"), JSON_COLUMNS)
def test_json_is_the_stored_text(both, table, column):
    """From PostgreSQL it was the ``repr`` of a dict in CSV and in every other format."""
    key = ", ".join(one.name for one in Base.metadata.tables[table].primary_key)
    for text in both(f"select {column} from {table} order by {key}")[column].dropna():
        assert isinstance(text, str) and json.loads(text) is not None


APART = {
    "NULL": ("select k as n from (select 1 as k union all select null) as a order by k limit 1", None, 1),
    "Text": ("select 'a' < 'B' as n", 0, None),
    "Truth": ("select count(*) as n from light_curve_point where good = true and mjd < 0", 0, "1 or 0 in the views"),
    "Casts": ("select cast(2.5 as integer) as n", 2, 3),
    "Rounding": ("select round(cast(2.5 as double precision)) as n", 3.0, 2.0),
    "Zero": ("select 1 / 0 as n", None, "division by zero"),
    "Quotes": ('select "zr" as n', "zr", "does not exist"),
    "Remainders": ("select 7.5 % cast(2 as double precision) as n", 1.0, "operator does not exist"),
    "Single precision": (
        "select flux_aper4 * flux_aper4 = cast(flux_aper4 as double precision) * flux_aper4 as n from source "
        "where source_id = (select min(source_id) from source)", 1, 0),
    "JSON": ("select value as n from json_each('[5]')", 5, "deconstruct an array"),
    "Escapes": (r"select 'a\_' like 'a\_' as n", 1, 0),
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_what_the_engines_do_not_share_is_listed(both, name):
    statement, sqlite, postgresql = APART[name]
    assert f"**{name}**" in PAGE.read_text(encoding="utf-8")
    for engine, expected in (("sqlite", sqlite), ("postgresql", postgresql)):
        if isinstance(expected, str) and engine == "postgresql":
            with pytest.raises(QueryError, match=expected):
                read_only_sql(both.urls[engine], statement, force=True)
        elif expected is not None or engine == "sqlite":
            value = read_only_sql(both.urls[engine], statement, force=True)["n"][0]
            assert (pd.isna(value) and expected is None) or value == expected


TRUTH = {
    "where good": ("select count(*) as n from light_curve_point where good and mjd < 0", 0, "1 or 0 in the views"),
    "simulated = 1": ("select count(*) as n from image where simulated = 1", 0, "true or false in the tables"),
    "has_mask = 1": ("select count(*) as n from image where has_mask = 1 and nx < 0", 0, "true or false in the tables"),
    "good = 1": ("select count(*) as n from light_curve_point where good = 1 and mjd < 0", 0, 0),
}


@pytest.mark.parametrize("words", TRUTH)
def test_truth_is_as_the_list_says(both, words):
    statement, sqlite, postgresql = TRUTH[words]
    assert read_only_sql(both.urls["sqlite"], statement, force=True)["n"][0] == sqlite
    if isinstance(postgresql, str):
        with pytest.raises(QueryError, match=postgresql):
            read_only_sql(both.urls["postgresql"], statement, force=True)
    else:
        assert read_only_sql(both.urls["postgresql"], statement, force=True)["n"][0] == postgresql


def test_sums_of_doubles_differ_in_their_last_digits_alone(both):
    statement = "select sum(mag) as s, avg(mag) as a from light_curve_point"
    one, other = (read_only_sql(url, statement, force=True) for url in both.urls.values())
    np.testing.assert_allclose(one.to_numpy(float), other.to_numpy(float), rtol=1e-12)  # 53 bits, some 1,000 rows


def test_the_list_has_nothing_that_is_not_tested():
    listed = PAGE.read_text(encoding="utf-8").partition("## What the engines do not share")[2]
    assert set(re.findall(r"^\* \*\*(.*?)\*\*", listed, re.MULTILINE)) == {*APART, "Sums of doubles"}


def test_a_statement_without_rows_runs_once(generated, both):
    url = generated.engines["postgresql"].url
    frame = read_only_sql(url, "select ra, mag from light_curve_point where mjd < :a", {"a": 0.0}, force=True)
    assert (list(frame.columns), len(frame)) == (["ra", "mag"], 0)
    slow = "select 1 as n from (select pg_sleep(0.6)) as a where pg_sleep is null"
    read_only_sql(url, slow, timeout_s=1.0, force=True)  # twice would be beyond the limit


# ---- random SELECTs ----

WHOLE = ("field", "ccdid", "qid", "fid", "flags", "mask_bits", "catflags", "good", "simulated")
REAL = ("mjd", "ra", "dec", "mag", "magerr", "snr", "flux", "flux_ujy", "limitmag")
COLUMN = st.sampled_from(WHOLE + REAL)
NUMBER = st.sampled_from(("0", "1", "2", "7", "1.5", "18.25", "-3"))
WHOLE_EXPRESSION = st.one_of(
    st.sampled_from(WHOLE),
    st.builds("({} {} {})".format, st.sampled_from(WHOLE), st.sampled_from("+-*"), st.sampled_from(("2", "3", "-5"))),
    st.builds("({} {} {})".format, st.sampled_from(WHOLE), st.sampled_from("/%&|"), st.sampled_from(("2", "7", "256"))),
    st.builds("coalesce({}, {})".format, st.sampled_from(WHOLE), st.sampled_from(WHOLE)),
)
REAL_EXPRESSION = st.one_of(
    st.sampled_from(REAL),
    st.builds("({} {} {})".format, st.sampled_from(REAL), st.sampled_from("+-*"), COLUMN),
    st.builds("({} {} {})".format, st.sampled_from(REAL), st.sampled_from("+-*/"), st.sampled_from(("2", "1.5", "7"))),
    st.builds("abs({})".format, st.sampled_from(REAL)),
    st.builds("-{}".format, st.sampled_from(REAL)),
)
EXPRESSION = st.one_of(WHOLE_EXPRESSION, REAL_EXPRESSION)
COMPARED = st.sampled_from(("=", "<>", "<", ">="))
CONDITION = st.recursive(
    st.one_of(
        st.builds("{} {} {}".format, EXPRESSION, COMPARED, st.one_of(EXPRESSION, NUMBER)),
        st.builds("{} is {}null".format, EXPRESSION, st.sampled_from(("", "not "))),
        st.builds("{} between {} and {}".format, COLUMN, NUMBER, NUMBER),
        st.builds("{} in (1, 2, 256)".format, st.sampled_from(WHOLE)),
        st.builds("filtercode {} '{}'".format, st.sampled_from(("like", "=", "not like")),
                  st.sampled_from(("z%", "Z%", "zr", "%G", "_g"))),
    ),
    lambda one: st.one_of(
        st.builds("({} {} {})".format, one, st.sampled_from(("and", "or")), one), st.builds("not ({})".format, one)
    ),
    max_leaves=4,
)  # fmt: skip
AGGREGATE = st.one_of(
    st.just("count(*)"),
    st.builds("{}({})".format, st.sampled_from(("min", "max", "count", "count")), EXPRESSION),
    st.builds("sum({})".format, WHOLE_EXPRESSION),
    st.builds("avg({})".format, st.sampled_from(WHOLE)),
    st.builds("count(distinct {})".format, st.sampled_from(WHOLE)),
)


@st.composite
def statements(draw):
    """A SELECT over a view: rows with a key, or groups; with a condition, an order that is complete, a limit."""
    where = draw(st.one_of(st.just(""), st.builds(" where {}".format, CONDITION)))
    limit = draw(st.sampled_from(("", " limit 5", " limit 20 offset 3")))
    if draw(st.booleans()):
        case = st.builds("case when {} then {} end".format, CONDITION, EXPRESSION)
        columns = draw(st.lists(st.one_of(EXPRESSION, case), min_size=1, max_size=4))
        listed = ", ".join(f"{column} as c{k}" for k, column in enumerate(columns))
        nulls = draw(st.sampled_from(("nulls first", "nulls last", "desc nulls last")))
        return f"select source_id, {listed} from light_curve_point{where} order by c0 {nulls}, source_id{limit}"
    keys = draw(st.lists(st.sampled_from((*WHOLE, "filtercode")), min_size=1, max_size=2, unique=True))
    made = ", ".join(f"{one} as a{k}" for k, one in enumerate(draw(st.lists(AGGREGATE, min_size=1, max_size=3))))
    having = draw(st.sampled_from(("", " having count(*) > 3")))
    order = ", ".join(f"{key} nulls last" for key in keys)
    return (
        f"select {', '.join(keys)}, {made} from light_curve_point{where} group by {', '.join(keys)}{having} "
        f"order by {order}{limit}"
    )


@settings(max_examples=60)
@given(statement=statements())
def test_random_statements_give_the_same_rows(both, statement):
    both(statement)
