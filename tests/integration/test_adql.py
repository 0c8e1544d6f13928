"""ADQL has one answer on both engines, its geometry is astropy's, and the light-curve index answers it."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

pytest.importorskip("sqlglot", reason="the extra serve is not installed")

from tests.support.asked import TABLES, archive_on_both, in_polygon
from tests.support.postgres import ENGINES
from tests.support.statements import PLACES, random_statements
from ztfdb.adql.translate import translate
from ztfdb.errors import QueryError


@pytest.fixture(scope="module")
def asked(databases):
    with archive_on_both(databases) as made:
        yield made


@pytest.fixture(scope="module")
def sources(asked):
    return asked.sources()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("radius", [0.0, 0.05, 0.5, 3.0, 120.0])
def test_a_cone_is_astropys(asked, sources, place, radius):
    ids, sky = sources
    inside = sky.separation(SkyCoord(*place, unit="deg")).deg <= radius
    ra, dec = place
    for condition in (
        f"1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', {ra}, {dec}, {radius}))",
        f"DISTANCE(POINT({ra}, {dec}), POINT(ra, dec)) <= {radius}",
        f"INTERSECTS(CIRCLE({ra}, {dec}, {radius}), POINT(ra, dec)) = 1",
    ):
        found = asked.both(f"select source_id from source where {condition} order by source_id")
        assert [row[0] for row in found] == ids[inside].tolist()


def test_distances_are_astropys(asked, sources):
    _, sky = sources
    for ra, dec in PLACES:
        rows = asked.both(f"select distance(point(ra, dec), point({ra}, {dec})) as d, source_id from source order by 2")
        found = np.array([row[0] for row in rows])
        # a haversine near 1, that is near 180 deg, holds half of the digits
        assert found == pytest.approx(sky.separation(SkyCoord(ra, dec, unit="deg")).deg, rel=1e-11, abs=1e-12)


@pytest.mark.parametrize(
    ("ra", "dec"),
    [
        ([179.8, 180.4, 180.3, 179.7], [9.8, 9.9, 10.4, 10.3]),
        ([179.6, 180.5, 180.5, 180.0, 179.6], [9.6, 9.6, 10.5, 9.9, 10.5]),  # concave
        ([359.6, 0.5, 0.3], [-5.4, -5.3, -4.6]),
        ([0.0, 90.0, 180.0, 270.0], [89.0, 89.2, 89.1, 89.4]),  # around the pole
    ],
)
def test_a_polygon_is_that_of_its_great_circles(asked, sources, ra, dec):
    ids, sky = sources
    inside = in_polygon(sky, ra, dec)
    assert 0 < inside.sum() < len(ids)
    words = ", ".join(f"{a}, {d}" for a, d in zip(ra, dec, strict=True))
    backwards = ", ".join(f"{a}, {d}" for a, d in zip(ra[::-1], dec[::-1], strict=True))
    for corners in (words, backwards):
        rows = asked.both(
            f"select source_id from source where contains(point(ra, dec), polygon('ICRS', {corners})) = 1 order by 1"
        )
        assert [row[0] for row in rows] == ids[inside].tolist()


@pytest.mark.parametrize("place", [(180.0, 10.0), (0.0, -5.0), (70.0, 89.7)])
def test_a_box_is_two_arms_and_four_great_circles(asked, sources, place):
    ids, sky = sources
    centre = SkyCoord(*place, unit="deg")
    offset = sky.transform_to(centre.skyoffset_frame())
    x = np.degrees(np.arctan2(np.sin(offset.lon.rad) * np.cos(offset.lat.rad), np.cos(offset.lon.rad) * np.cos(offset.lat.rad)))  # fmt: skip  # noqa: E501
    y = np.degrees(np.arctan2(np.sin(offset.lat.rad), np.cos(offset.lon.rad) * np.cos(offset.lat.rad)))
    inside = (np.abs(x) <= 0.3) & (np.abs(y) <= 0.2)
    rows = asked.both(
        f"select source_id from source where 1=contains(point(ra, dec), box({place[0]}, {place[1]}, 0.6, 0.4)) "
        "order by 1"
    )
    assert [row[0] for row in rows] == ids[inside].tolist()
    assert rows


def test_areas_and_coordinates(asked):
    (row,) = asked.both(
        "select area(circle(10, 20, 1)) as c, area(box(0, 0, 1, 1)) as b, coord1(point(3, 4)) as x, "
        "coord2(point('ICRS', 3, 4)) as y from archive_one".replace("archive_one", "catalogue")
        + " where 1 = 0"
        " union all select area(circle(10, 20, 1)), area(polygon(0, 0, 90, 0, 0, 89.99999)), 3, 4 from image "
        "where image_id = (select min(image_id) from image)"
    )
    assert row[0] == pytest.approx(2 * math.pi * (1 - math.cos(math.radians(1))) * math.degrees(1) ** 2)
    assert row[1] == pytest.approx(math.degrees(1) ** 2 * math.pi / 2, rel=1e-6)  # an eighth of the sphere, nearly


def test_random_statements_have_one_answer(asked):
    found = sum(bool(asked.both(text, uploads)) for text, uploads in random_statements(30))
    assert found > 20


def test_values_of_the_answer_are_sorted_by(asked):
    rows = asked.both("select ra, dec from source order by abs(ra - 180) + dec, ra")
    every = asked.both("select ra, dec from source order by source_id")
    assert rows == sorted(every, key=lambda row: (abs(row[0] - 180.0) + row[1], row[0]))
    rows = asked.both("select ra - 180 as x, source_id from source order by x * x, source_id")
    assert rows == sorted(
        asked.both("select ra - 180, source_id from source order by 2"), key=lambda row: (row[0] ** 2, row[1])
    )
    found = asked.both("select top 5 source_id, ra, dec from source order by distance(ra, dec, 180, 10)")
    same = asked.both("select top 5 source_id, ra, dec, distance(ra, dec, 180, 10) as d from source order by d")
    assert found == [row[:3] for row in same]
    by_number = asked.both("select filtercode, count(*) as n from image group by filtercode order by -n, filtercode")
    assert by_number == sorted(by_number, key=lambda row: (-row[1], row[0])) and len({n for _, n in by_number}) > 1


def test_subqueries_see_the_keys_of_groups(asked):
    images = asked.both("select field, fid from image order by 1, 2")
    found = asked.both(
        "select i.field, (select count(*) from image as i where i.fid = 1) as a, (select max(fid) from image as j "
        "where j.field = i.field) as b, max((select min(j.fid) from image as j where j.fid >= i.fid)) as c "
        "from image as i group by i.field having exists (select 1 from image as j where j.field = i.field) order by 1"
    )
    bluest = sum(fid == 1 for _, fid in images)
    last = {field: max(fid for other, fid in images if other == field) for field, _ in images}
    assert found == [(field, bluest, fid, fid) for field, fid in sorted(last.items())]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("(select max(j.expid) from image as j where j.field = i.field)", lambda i, j: j["field"] == i["field"]),
        ("(select j.expid from image as j where j.image_id = i.image_id)", lambda i, j: j is i),
        (
            "(select j.expid from image as j where j.fid > 1 and (i.image_id = j.image_id))",
            lambda i, j: j is i and j["fid"] > 1,
        ),
        ("(select top 1 j.expid from image as j order by j.expid desc)", lambda i, j: True),
        (
            "(select j.expid from image as j where j.image_id = (select max(k.image_id) from image as k))",
            lambda i, j: j["last"],
        ),
        ("(select max(j.expid) from image as j having count(*) < 2)", lambda i, j: False),
        ("(select top 1 a.expid from (select expid from image) as a order by a.expid desc)", lambda i, j: True),
    ],
)
def test_a_subquery_of_one_row_is_a_value(asked, value, expected):
    names = ("image_id", "expid", "field", "fid")
    images = [
        dict(zip(names, row, strict=True)) for row in asked.both(f"select {', '.join(names)} from image order by 1")
    ]
    for image in images:
        image["last"] = image["image_id"] == max(one["image_id"] for one in images)
    found = dict(asked.both(f"select i.image_id, {value} as v from image as i order by 1"))
    rows = {i["image_id"]: [j["expid"] for j in images if expected(i, j)] for i in images}
    assert found == {image_id: max(ones, default=None) for image_id, ones in rows.items()}
    named = asked.both(f"select distinct {value} as v from image as i order by v")
    assert {v for (v,) in named} == set(found.values())


@pytest.mark.parametrize(
    ("value", "datatype", "expected"),
    [
        ("coalesce(cast(null as integer), 0.5)", "double", 0.5),
        ("coalesce(cast(null as integer), 0.5) + 1", "double", 1.5),
        ("coalesce(cast(null as smallint), 3000000000)", "long", 3_000_000_000),
        ("case when 1 = 0 then cast(1 as smallint) else 3000000000 end", "long", 3_000_000_000),
        ("cast(image_id as varchar)", "unicodeChar", "{image_id}"),
        ("cast(filtercode as varchar(1))", "unicodeChar", "z"),
        ("cast(12345 as char(3))", "unicodeChar", "123"),
        ("cast(fid as double precision)", "double", "{fid}"),
        ("cast(image_id as smallint) - 1", "long", None),
        ("cast(2147483647.9 as integer)", "int", 2**31 - 1),
        ("cast(2147483648 as integer)", "int", None),
        ("cast(-2147483648.9 as integer)", "int", -(2**31)),
        ("cast(-2147483649 as integer)", "int", None),
        ("cast(32768 as smallint)", "short", None),
        ("cast(-9.223372036854775808e18 as bigint)", "long", -(2**63)),
        ("cast(9.2233720368547748e18 as bigint)", "long", 9_223_372_036_854_774_784),
        ("cast(9.223372036854775807e18 as bigint)", "long", None),
        ("cast(1e300 as bigint)", "long", None),
        ("cot(0.5)", "double", 1.0 / math.tan(0.5)),
        ("cot(0)", "double", None),
        ("(select max(field) from image)", "int", 651),
    ],
)
def test_an_answer_has_the_type_that_is_told(asked, value, datatype, expected):
    text = f"select top 1 {value}, image_id, fid from image order by image_id"
    ((found, image_id, fid),) = asked.both(text)
    if isinstance(expected, str):
        expected = expected.format(image_id=image_id, fid=fid)
    assert found == (pytest.approx(float(expected), rel=1e-15) if datatype == "double" and expected else expected)
    for engine in ENGINES:
        assert translate(text, TABLES, engine, 10).columns[0].datatype == datatype


@pytest.mark.parametrize(
    ("within", "without"),
    [
        ("(source s join image i on s.image_id = i.image_id)", "source s join image i on s.image_id = i.image_id"),
        ("((source s join image i using (image_id)))", "source s join image i using (image_id)"),
        ("(image i)", "image i"),
        (
            "image i join (source s join image j on s.image_id = j.image_id) on s.image_id = i.image_id",
            "image i, source s, image j where s.image_id = j.image_id and s.image_id = i.image_id",
        ),
        (
            "image k, (source s left join image i on s.image_id = i.image_id and i.fid = 1)",
            "image k cross join source s left join image i on s.image_id = i.image_id and i.fid = 1",
        ),
    ],
)
def test_joins_may_stand_in_parentheses(asked, within, without):
    ((n,),) = asked.both(f"select count(*) from {within}")
    assert ((n,),) == tuple(asked.both(f"select count(*) from {without}"))
    assert n > 0


def test_nulls_have_the_type_of_the_other_side(asked):
    rows = asked.both("select ra, null as f from source union all select null, filtercode from image order by 1, 2")
    codes = [row[0] for row in asked.both("select filtercode from image order by 1")]
    assert [f for ra, f in rows if ra is None] == codes
    rows = asked.both(
        "select null as n from image union select null from source union select field from image order by n"
    )
    assert rows == [(1,), (651,), (None,)]
    assert asked.both("select null as n, count(*) as k from image group by n order by null") == [(None, 13)]


def test_the_limit_is_one_row_more(asked):
    for engine in ENGINES:
        assert len(asked.rows(engine, "select ra from source", max_rows=3)) == 4
        assert len(asked.rows(engine, "select top 2 ra from source", max_rows=3)) == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 statements"),
        ("delete from source", "begins with SELECT"),
        ("select 1 from source; select 2 from source", "2 statements"),
        ("select pg_sleep(10) from source", "no function PG_SLEEP"),
        ("select load_extension('x') from source", "no function LOAD_EXTENSION"),
        ("select * from pg_catalog.pg_authid", "no table 'pg_catalog.pg_authid'"),
        ("select * from sqlite_master", "no table 'sqlite_master'"),
        ("select * from ingest_job", "no table"),
        ("select path from image_summary", "path"),
        ("select * from pg_read_file('/etc/passwd')", "not the name of a table"),
        ("select ra::text from source", "TEXT"),
        ("select ra from source for update", "not ADQL|not part of the supported ADQL"),
        ("select ra into outfile from source", "not part of the supported ADQL"),
        ("select nothing from source", "nothing"),
        ("select ra from source where ra = 'x'", "a text can be compared only with a text"),
        ("select ra, count(*) from source", "neither in GROUP BY"),
        ("select ra from source where contains(point(ra, dec), circle(1, 2, 3))", "compare CONTAINS and INTERSECTS"),
        ("select contains(point(ra, dec), circle(1, 2, 400)) from source", "radius in 0..180"),
        ("select contains(point(ra, dec), polygon(0, 0, 1, 1, 1, 0, 0, 1)) from source", "crosses itself"),
        ("select contains(point(ra, dec), circle('GALACTIC', 1, 2, 3)) from source", "ICRS here"),
        ("select point(ra, dec) from source", "is allowed only inside"),
        ("select 99999999999999999999 from source", "too large"),
        ("select ra from source where " + "(" * 100 + "1=1" + ")" * 100, "nested"),
        ("select ra from source where " + "not " * 300 + "1=1", "nested"),
        ("select " + "-" * 0 + "+".join(["ra"] * 400) + " from source", "nested"),
        ("select ra from source where ra in (" + ",".join(["1"] * 40_000) + ")", "characters"),
        ("select 'unfinished from source", "does not end"),
        ("select from source", "columns or"),
        ("select top 5 from source", "columns or"),
        ("select count(*) from source where exists (select from image)", "columns or"),
        ("select * except (ra) from source", "EXCEPT of"),
        ("select s.x from source as s(x)", "takes no names of columns"),
        ("select count(*) from (image) as t", "take no name"),
        (
            "select 1 from image i left join (source s join image j on 1 = 1) on 1 = 1",
            "must be an inner one; both take ON",
        ),
        ("select ra from source where ra in ()", "has no values"),
        ("select ra from source where ra in (select ra, dec from source)", "2 columns, expected one"),
        ("select (select field from image) as f from image", "may have several rows, expected an aggregate function"),
        ("select ra from source where ra = (select ra from source)", "may have several rows"),
        ("select (select max(fid) from image group by field) as f from image", "may have several rows"),
        ("select (select top 2 fid from image) as f from image", "may have several rows"),
        ("select (select 1 from image union select 2 from image) as f from image", "may have several rows"),
        ("select (select i.fid from image i where i.image_id > 0) as f from image", "may have several rows"),
        ("select (select i.fid from image i where i.image_id = i.fid) as f from image", "may have several rows"),
        ("select (select i.fid from image i join image j on 1=1 where i.image_id = 1) as f from image", "several rows"),
        ("select ra from source where source_id in (select filtercode from image)", "only with a number"),
        ("select ra from source where count(*) > 1", "WHERE takes no aggregate"),
        ("select count(*) from image a join image b on count(*) > 1", "ON takes no aggregate"),
        ("select count(*) as n from image group by 1", "GROUP BY takes no aggregate"),
        ("select max(count(*)) from image", "MAX of an aggregate"),
        (
            "select field, (select count(*) from image j where j.fid = i.fid) as n from image i group by field",
            "column 'fid' stands neither in GROUP BY",
        ),
        (
            "select field from image i group by field having 1 < (select sum(j.fid + i.fid) from image j)",
            "column 'fid' stands neither in GROUP BY",
        ),
        (
            "select max(fid) from image i having exists (select 1 from image j where j.field = i.field)",
            "column 'field' stands neither in GROUP BY",
        ),
        ("select coalesce(filtercode, 3) from image", "all numbers or all texts"),
        ("select ra from source where 1 = contains(point('ICRS', 'a', dec), circle(1, 2, 3))", "POINT takes numbers"),
        ("select distance('a', 1, 2, 3) from source", "DISTANCE takes numbers"),
        ("select ra from source where", r"not ADQL: WHERE is not complete \("),
        ("select ra from", r"not ADQL: Expected table name \("),
    ],
)
def test_what_is_no_adql_is_told(asked, text, message):
    for engine in ENGINES:
        with pytest.raises(QueryError, match=message):
            asked.rows(engine, text)


def test_a_text_cannot_imitate_sql(asked):
    for word in ("'; drop table source; --", "$1", ":p1", "%s %(x)s", "\\", '"', "[[1,2]]", "é\u2603"):
        quoted = word.replace("'", "''")
        (row,) = asked.both(
            f"select '{quoted}' as w from image order by 1, obsmjd offset 0".replace("select", "select top 1")
        )
        assert row[0] == word


def test_ranges_are_data_not_words(asked):
    rows = asked.both(
        "select top 1 '[[0,9]]' as w, source_id from source where distance(ra, dec, 180.1, 10.1) < 0.2 order by 2"
    )
    assert rows[0][0] == "[[0,9]]"
    assert json.loads(rows[0][0]) == [[0, 9]]
