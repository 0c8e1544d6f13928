"""Which index answers a statement in ADQL, on both engines: positions, ids, images, uploads."""

from __future__ import annotations

import re

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

pytest.importorskip("sqlglot", reason="the extra serve is not installed")

from tests.support.asked import TABLES, archive_on_both, assert_same
from tests.support.plans import read_whole
from tests.support.postgres import ENGINES
from ztfdb.adql.exclusions import IDS
from ztfdb.adql.tables import Column, archive_tables
from ztfdb.adql.translate import translate
from ztfdb.adql.uploads import Upload
from ztfdb.schema.views import VIEWS, view_columns
from ztfdb.store.columns import shape


@pytest.fixture(scope="module")
def asked(databases):
    with archive_on_both(databases) as made:
        yield made


CIRCLE = "CIRCLE('ICRS', 180.1, 10.1, 0.2)"
CONJUNCTIVE = [
    f"select * from {{t}} where 1=CONTAINS(POINT('ICRS', ra, dec), {CIRCLE})",
    f"select top 5 * from {{t}} where CONTAINS(POINT(ra, dec), {CIRCLE})=1 order by source_id",
    f"select ra from {{t}} where 1=CONTAINS(POINT(ra, dec), {CIRCLE}) and ra > 3 order by ra",
    "select count(*) as n from {t} where DISTANCE(POINT(ra, dec), POINT(180.1, 10.1)) < 0.1",
    "select * from {t} where 0.1 >= DISTANCE(ra, dec, 180.1, 10.1)",
    "select * from {t} where 1=CONTAINS(POINT(ra, dec), POLYGON(180, 10, 180.2, 10, 180.2, 10.2))",
    "select * from {t} where 1=CONTAINS(POINT(ra, dec), BOX(180.1, 10.1, 0.3, 0.3))",
    f"select s.ra, i.obsmjd from {{t}} as s join image as i on i.image_id = s.image_id where 1=CONTAINS(POINT(s.ra, s.dec), {CIRCLE})",  # noqa: E501
    f"select i.obsmjd, s.ra from image as i left join {{t}} as s on i.image_id = s.image_id and 1=CONTAINS(POINT(s.ra, s.dec), {CIRCLE})",  # noqa: E501
    f"select a.source_id, b.source_id as other from {{t}} a join {{t}} b on DISTANCE(POINT(a.ra, a.dec), POINT(b.ra, b.dec)) < 0.0003 where 1=CONTAINS(POINT(a.ra, a.dec), {CIRCLE})",  # noqa: E501
    f"with c as (select * from {{t}} where 1=CONTAINS(POINT(ra, dec), {CIRCLE})) select count(*) as n from c",
    f"select * from {{t}} where ra > 3 and (1=CONTAINS(POINT(ra, dec), {CIRCLE}) or DISTANCE(ra, dec, 0, -5) < 0.2)",
    "select * from {t} where INTERSECTS(CIRCLE(180.1, 10.1, 0.1), CIRCLE(ra, dec, 0.1)) = 1",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("table", ["source", "light_curve_point"])
@pytest.mark.parametrize("text", CONJUNCTIVE)
def test_the_light_curve_index_answers_what_is_conjunctive(asked, engine, table, text):
    plan = asked.plan(engine, text.format(t=f"ztf.{table}"))
    assert "ix_source_light_curve" in plan, plan
    assert "Seq Scan on source" not in plan
    assert "SCAN _t\n" not in plan and "SCAN source" not in plan


@pytest.mark.parametrize("table", ["light_curve_point", "psf_light_curve_point", "matched_source"])
def test_postgresql_plans_a_view_once_not_for_each_range(asked, table):
    """A cone of nine ranges of the view took 127 ms to plan, and 3 ms to run."""
    text = f"select * from {table} where 1 = CONTAINS(POINT('ICRS', ra, dec), {CIRCLE})"
    plan = asked.plan("postgresql", text)
    assert len(re.findall(r"Index .*hpx29|Index Cond: \(\(hpx29", plan)) > 1, plan
    joined = "source_match" if table == "matched_source" else "image"
    assert len(re.findall(rf"(?:on|using \w+ on) {joined}\b", plan)) == 1, plan


@pytest.mark.parametrize("n", [100, 101, 3_000])
def test_many_images_may_be_named(asked, n):
    """Beyond a thousand of them SQLite would refuse a range of ids for each: conditions may not be as deep."""
    image_id = asked.both("select max(image_id) from image")[0][0]
    named = ", ".join(map(str, range(image_id + 1 - n, image_id + 1)))
    wanted = asked.both(f"select source_id from source where image_id = {image_id} order by source_id")
    found = asked.both(f"select source_id, image_id from source where image_id in ({named}) order by source_id")
    assert [(row[0],) for row in found if row[1] == image_id] == wanted
    assert wanted


OF_IMAGE = [
    "select source_id, ra from {t} where image_id = {i} order by source_id",
    "select count(*) as n from {t} as s join image as i on i.image_id = s.image_id where {i} = s.image_id and s.ra > 3",
    "select i.obsmjd, s.ra from image as i left join {t} as s using (image_id) where s.image_id = {i} order by s.ra",
    "with s as (select * from {t} where image_id = {i}) select min(flags) as a, max(ra) as b from s",
    "select source_id from {t} where image_id in ({i}, 7) order by source_id",
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("table", ["source", "light_curve_point"])
@pytest.mark.parametrize("text", OF_IMAGE)
def test_the_rows_of_an_image_are_found_by_their_ids(asked, engine, table, text):
    plan = asked.plan(engine, text.format(t=f"ztf.{table}", i=asked.both("select max(image_id) from image")[0][0]))
    if engine == "sqlite":
        assert "SEARCH source USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan or "SEARCH s " in plan, plan
        assert "SCAN source" not in plan and "SCAN s" not in plan.splitlines()
    else:
        assert re.search(r"pk_source.*\n.*Index Cond: \(.*source_id >= ", plan), plan
        assert "Seq Scan on source" not in plan


@pytest.mark.parametrize("text", OF_IMAGE)
def test_the_rows_of_an_image_are_those_of_its_id(asked, text):
    image_id = asked.both("select max(image_id) from image")[0][0]
    for table in ("source", "light_curve_point"):
        rows = asked.both(text.format(t=f"ztf.{table}", i=image_id))
        assert rows
        for other in (f"({image_id} + 0)", f"cast({image_id} as bigint)"):  # not numbers as they are
            assert asked.both(text.format(t=f"ztf.{table}", i=other)) == rows
        for beyond in (
            (1 << 45) - 1,
            1 << 45,
            (1 << 63) - 1,
        ):  # the last ids with a range of sources, and the first without
            asked.both(text.format(t=f"ztf.{table}", i=beyond))


@pytest.mark.parametrize("side", ["", "left ", "right ", "full "])
def test_columns_of_using_need_no_table(asked, side):
    """They were refused: the parser makes COALESCE of them."""
    a, b = "(select * from image where field = 651)", "(select * from image where fid <> 2)"
    using = f"{a} as a {side}join {b} as b using (image_id)"
    text = f"select image_id, count(a.fid) as n, max(b.field) as m from {using} where image_id > 5 group by image_id"
    rows = asked.both(f"{text} order by image_id")
    left = {row[0] for row in asked.both(f"select image_id from {a} as a order by 1")}
    right = {row[0] for row in asked.both(f"select image_id from {b} as b order by 1")}
    wanted = {"": left & right, "left ": left, "right ": right, "full ": left | right}[side]
    assert [row[0] for row in rows] == sorted(wanted)
    assert [row[1:] for row in rows] == [(int(i in left), r) for (i, _, r) in rows]
    everything = asked.both(f"select * from {using} order by image_id")
    assert [row[0] for row in everything] == sorted(wanted)


NIGHT = "between 58301 and 58303"
OF_CHOSEN_IMAGES = [
    f"select count(*) as n from source as s join image as i on i.image_id = s.image_id where i.obsmjd {NIGHT}",
    f"select s.source_id, s.ra, i.field from image as i join source as s using (image_id) where i.obsmjd {NIGHT} and i.filtercode = 'zr' order by s.ra",  # noqa: E501
    f"select i.filtercode, s.image_id, count(*) as n, max(s.x) as x from source as s join image as i on s.image_id = i.image_id where i.field = 651 and i.obsmjd {NIGHT} group by i.filtercode, s.image_id order by n desc",  # noqa: E501
    "select s.source_id from source as s, image_summary as i where s.image_id = i.image_id and 58303 >= i.obsmjd and i.obsmjd > 58301 and s.npix > 9",  # noqa: E501
    f"select count(*) as n, avg(mag) as mag from light_curve_point where mjd {NIGHT} and (filtercode = 'zr' or fid = 1)",  # noqa: E501
    f"select source_id, mag, image_id from light_curve_point as p where p.mjd {NIGHT} and field in (651, 7) order by source_id",  # noqa: E501
    f"select top 3 source_id, mjd from light_curve_point where mjd_mid {NIGHT} order by mag",
    f"select count(*) as n from psf_light_curve_point where mjd {NIGHT}",
    f"select i.image_id, s.x from image as i left join source as s on i.image_id = s.image_id and s.x > 1500 where i.obsmjd {NIGHT} order by 1, 2",  # noqa: E501
    f"with p as (select * from light_curve_point where mjd {NIGHT}) select count(*) as n from p where p.snr > 5",
    "select count(*) as n, max(mag) as mag from light_curve_point where mjd between 58301 and 58301 + 1.5",
    "select count(*) as n from source as s join image as i using (image_id) where i.obsmjd > 58310 - 0.5 * 2",
]
OF_IMAGES_OF_QUERIES = [
    f"select source_id, x from {{t}} as s where s.image_id in (select image_id from image where obsmjd {NIGHT}) order by 1",  # noqa: E501
    "select count(*) as n from {t} as s where s.image_id = (select max(image_id) from image as s where s.field = 651)",
    "select s.source_id from {t} as s join (select top 2 image_id from image order by obsmjd desc) as l on l.image_id = s.image_id order by 1",  # noqa: E501
    f"with g as (select * from image_summary as i where obsmjd {NIGHT}) select s.source_id, g.field from {{t}} as s, g where s.image_id = g.image_id order by 1",  # noqa: E501
    "with g as (select image_id from image where seeing_pix < 2), h as (select * from g) select s.source_id from {t} as s where s.image_id in (select image_id from h) order by 1",  # noqa: E501
    "select j.fid, s.source_id from image as j left join {t} as s on s.image_id = j.image_id where s.image_id in (select i.image_id from image as i where exists (select 1 from image_cell as c where c.image_id = i.image_id) and i.fid = 1 union select image_id from image where fid = 2) order by 2",  # noqa: E501
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", [*OF_CHOSEN_IMAGES, *(one.format(t="source") for one in OF_IMAGES_OF_QUERIES)])
def test_sources_of_chosen_images_are_found_by_their_ids(asked, engine, text):
    plan = asked.plan(engine, text, for_many=True)
    if engine == "sqlite":
        assert "(rowid>? AND rowid<?)" in plan, plan
        assert not re.search(r"SCAN (_t|s|source|psf_source)\b(?! LEFT-JOIN)", plan), plan
    else:
        assert re.search(r"Index Cond: .*source_id >= \(\w+\.image_id \* 262144\)", plan), plan


@pytest.mark.parametrize("text", OF_CHOSEN_IMAGES)
def test_sources_of_chosen_images_are_those_of_the_conditions(asked, text):
    """Beside the same conditions as sums, which are not carried over to other tables."""
    plain = re.sub(r"([a-z.]*\b(mjd|mjd_mid|obsmjd|field))(?= (between|=|in|>|order))", r"(\1 + 0)", text)
    plain = plain.replace("58303 >= i.obsmjd", "58303 >= (i.obsmjd + 0)").replace("(field + 0) order", "field order")
    assert plain != text
    assert asked.both(text) == [pytest.approx(row) for row in asked.both(plain)]


@pytest.mark.parametrize("text", OF_IMAGES_OF_QUERIES)
def test_sources_of_images_of_queries_are_those_of_the_same_sums(asked, text):
    for table in ("source", "psf_source", "light_curve_point"):
        one = text.format(t=table).replace("source_id, x", "source_id, ra")
        rows = asked.both(one)
        assert rows or table == "psf_source"
        assert asked.both(re.sub(r"\bs\.image_id(?= (in|=))|(?<== )s\.image_id", "(s.image_id + 0)", one)) == rows


OF_JOINED_IMAGES = [
    "select count(*) as n from image_cell as c join source as s on c.image_id = s.image_id where c.cell9 = {cell}",
    "select count(*) as n from source as s, image_cell as c where s.image_id = c.image_id and c.cell9 = {cell} and s.x > 9",  # noqa: E501
    "select count(*) as n from forced_source as f join psf_source as p on f.image_id = p.image_id where f.hpx29 = 7",
    "select count(*) as n from source as s join psf_source as p on p.image_id = s.image_id where s.source_id = {source}",  # noqa: E501
    "select count(*) as n from source as s left join image_cell as c on s.image_id = c.image_id where c.cell9 = {cell}",
]


@pytest.mark.parametrize("text", OF_JOINED_IMAGES)
def test_sqlite_reads_no_source_again_for_each_joined_row(asked, text):
    ids = "select top 1 c.cell9, s.source_id from image_cell as c join source as s using (image_id) order by 2, 1"
    cell, source = asked.both(ids)[0]
    text = text.format(cell=cell, source=source)
    steps = [one for one in asked.plan("sqlite", text).splitlines() if one.startswith(("SCAN", "SEARCH"))]
    assert not any(re.match(r"SCAN (s|p)\b", one) for one in steps[1:]), steps
    if "left join" not in text:
        assert not steps[0].startswith("SCAN"), steps
    assert asked.both(text) == asked.both(text.replace(".image_id = ", ".image_id + 0 = "))


def test_ids_of_an_upload_are_those_of_the_client(asked):
    """Rows whose source_id was not one of their image_id were left out."""
    columns = (Column("source_id", "long"), Column("image_id", "long"))
    mine = Upload("mine", columns, {"source_id": [1, 2, 3], "image_id": [5, 6, 5]})
    assert asked.both("select source_id from tap_upload.mine where image_id = 5 order by source_id", [mine]) == [
        (1,),
        (3,),
    ]
    text = "select m.source_id, i.kind from tap_upload.mine as m left join image as i using (image_id) order by 1"
    assert asked.both(text, [mine]) == [(1, None), (2, None), (3, None)]


LATEST = [
    "select top 3 * from ivoa.obscore order by t_min desc",
    "select top 3 obs_id, s_fov from ivoa.obscore order by t_min desc",
    "select top 3 obsmjd, field from image order by obsmjd desc",
]


@pytest.mark.parametrize("text", LATEST)
def test_the_latest_images_are_found_without_a_look_at_all(asked, text):
    """All columns of all images were computed and sorted: 1.6 s for 10^5 images."""
    plan = asked.plan("sqlite", text)
    assert "USING INDEX ix_image_obsmjd" in plan or "COVERING INDEX ix_image_obsmjd" in plan, plan
    assert "TEMP B-TREE FOR ORDER BY" not in plan
    assert re.search("Sort Key: .*obsmjd DESC NULLS LAST, .*image_id$", asked.plan("postgresql", text), re.MULTILINE)
    asked.both(text)


def test_ties_are_in_the_order_of_the_key(asked):
    for text in (
        "select image_id, filtercode from image order by filtercode desc",
        "select image_id, em_min from ivoa.obscore order by em_min desc",
    ):
        rows = asked.both(text)
        assert rows == sorted(sorted(rows), key=lambda row: row[1], reverse=True)
        without = text.replace("image_id, ", "")
        assert asked.both(without) == [row[1:] for row in rows]


NOT_BY_IMAGES = [
    "select count(*) as n from source as s join image as i using (image_id) where i.filtercode = 'zr'",
    "select count(*) as n from light_curve_point where mjd < 58301",
    "select count(*) as n from source as s where s.image_id in (select image_id from image as i where i.nx = s.npix)",
    "select count(*) as n from source as s where s.image_id in (select i.image_id from image as i where i.fid in (select j.fid from image as j where j.nx > s.x))",  # noqa: E501
    "select count(*) as n from source where image_id in (select image_id from source where npix > 70)",
    "select count(*) as n from source where image_id not in (select image_id from image where fid = 1)",
    "select count(*) as n from source where image_id in (select image_id from image where fid = 1) or npix > 70",
    "select count(*) as n from image as i left join source as s on s.image_id in (select image_id from image where fid = 1)",  # noqa: E501
    f"select top 2 source_id from light_curve_point where mjd {NIGHT} order by source_id",
    f"select count(*) as n from light_curve_point join object_source using (source_id) where object_id = 5 and mjd {NIGHT}",  # noqa: E501
    f"select s.ra from image as i left join source as s on i.image_id + 0 = s.image_id where i.obsmjd {NIGHT} order by s.ra",  # noqa: E501
    f"select s.ra from source as s join image as i on i.field > 7 left join catalogue as c on s.image_id = i.image_id where i.obsmjd {NIGHT} order by s.ra",  # noqa: E501
    f"select s.ra from source as s join image as i on s.image_id = i.image_id or i.field = 651 where i.obsmjd {NIGHT} order by s.ra",  # noqa: E501
]


@pytest.mark.parametrize("text", NOT_BY_IMAGES)
def test_other_sources_are_read_as_before(asked, text):
    for engine in ENGINES:
        assert " as _i" not in translate(text, TABLES, engine, 10).sql
    asked.both(text)


@pytest.mark.parametrize("text", [
    "select s.source_id from {t} as s join image as i using (image_id) where {c} and i.field = 651 order by s.source_id",  # noqa: E501
    "select s.source_id from image as i join {t} as s on s.image_id = i.image_id where i.field = 651 and {c} order by s.source_id",  # noqa: E501
    "select s.source_id from {t} as s where s.image_id in (select image_id from image where field = 651) and {c} order by 1",  # noqa: E501
])  # fmt: skip
def test_an_area_is_read_once_not_for_each_image(asked, text):
    """SQLite began with the images of the field: 120 times 70 s of a cone instead of 0.6 s."""
    inside = f"1 = CONTAINS(POINT(s.ra, s.dec), {CIRCLE})"
    alone = asked.both(f"select s.source_id from source as s where {inside} order by s.source_id")
    for table in ("source", "light_curve_point"):
        assert asked.both(text.format(t=table, c=inside)) == alone
        steps = [one for one in asked.plan("sqlite", text.format(t=table, c=inside)).splitlines() if one[0] == "S"]
        assert steps[0].startswith("SCAN _r"), steps


def test_an_area_joined_with_a_view_of_images_is_read_once(asked):
    """In no order: SQLite began with the images of the field, and read all sources of each."""
    inside = f"1 = CONTAINS(POINT(s.ra, s.dec), {CIRCLE})"
    alone = asked.both(f"select s.source_id from source as s where {inside} order by s.source_id")
    for text in (
        f"select s.source_id from source as s join image_summary as i using (image_id) where {inside} and field = 651",
        f"select s.source_id from image_summary i, source s where {inside} and s.image_id = i.image_id and field = 651",
    ):
        for engine in ENGINES:
            assert sorted(asked.rows(engine, text)) == alone
        steps = [one for one in asked.plan("sqlite", text).splitlines() if one[0] == "S"]
        assert steps[0].startswith("SCAN _r"), steps
        counted = text.replace("s.source_id from", "count(*) as n from")  # which names no column of the area's rows
        assert asked.both(counted) == [(len(alone),)]


@pytest.mark.parametrize("engine", ENGINES)
def test_an_image_is_found_by_its_publisher_did(asked, engine):
    (first, did), (second, other) = asked.both("select top 2 image_id, obs_publisher_did from ivoa.obscore order by 1")
    text = "select image_id from ivoa.obscore where {} order by image_id"
    for condition, found in (
        (f"obs_publisher_did = '{did}'", [first]),
        (f"'{other}' = obs_publisher_did", [second]),
        (f"obs_publisher_did in ('{did}', '{other}', 'ivo://ztfdb/image?7')", [first, second]),
        (f"obs_publisher_did = '{did.replace('?', '?0')}'", []),
        (f"obs_publisher_did in ('{did}', 'ivo://ztfdb/image?{10**30}')", [first]),
        ("obs_publisher_did = ''", []),
    ):
        assert [row[0] for row in asked.both(text.format(condition))] == found, condition
    plan = asked.plan(engine, text.format(f"obs_publisher_did = '{did}'"), for_many=True)
    assert "Index Cond: (image_id =" in plan or "SEARCH _i USING INTEGER PRIMARY KEY" in plan, plan


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "text",
    [
        "select top 3 * from image order by obsmjd, image_id",
        "select top 3 * from ivoa.obscore order by t_min, image_id",
    ],
)
def test_rows_in_the_order_of_their_key_are_not_ordered_by_all_their_columns(asked, engine, text):
    every = asked.both(text.replace("top 3 ", ""))
    assert asked.both(text) == every[:3]
    plan = asked.plan(engine, text)
    if engine == "sqlite":
        assert "USING INDEX ix_image_obsmjd" in plan, plan
    else:
        (keys,) = re.findall("Sort Key: (.*)", plan) or ["obsmjd, image_id"]
        assert re.fullmatch(r"(\w+\.)?obsmjd, (\w+\.)?image_id", keys), plan


def test_a_subquery_may_use_the_name_of_an_outer_table(asked):
    """The columns of its table were read from the outer one: the database refused the statement."""
    text = f"select source_id from source as s where 1=CONTAINS(POINT(s.ra, s.dec), {CIRCLE}) and s.image_id in ({{}})"
    rows = asked.both(text.format("select image_id from image as s where s.field = 651") + " order by 1")
    assert rows == asked.both(text.format("select image_id from image where field = 651") + " order by 1")


@pytest.mark.parametrize("text", CONJUNCTIVE)
def test_ranges_change_no_answer(asked, text):
    for table in ("source", "light_curve_point"):
        whole = text.format(t=table)
        if "order by" not in whole and "count" not in whole:
            whole += " order by 1"
        found = asked.both(whole)
        slow = whole.replace("1=CONTAINS", "1=1*CONTAINS").replace(")=1", ")*1=1")
        slow = slow.replace("DISTANCE(", "1.0*DISTANCE(").replace("INTERSECTS(", "1*INTERSECTS(")
        assert_same(found, asked.both(slow), text)


def test_uploaded_positions_are_joined_by_their_cells(asked):
    ids, sky = asked.sources()
    rng = np.random.default_rng(1)
    pick = rng.choice(len(ids), 50, replace=False)
    ra = [*((sky.ra.deg[pick] + 1e-5) % 360).tolist(), None, 10.0]
    dec = [*sky.dec.deg[pick].tolist(), 5.0, -80.0]
    columns = (Column("name", "unicodeChar"), Column("ra", "double", "deg"), Column("dec", "double", "deg"))
    upload = Upload("mine", columns, {"name": [f"n{i}" for i in range(52)], "ra": ra, "dec": dec})
    text = (
        "select u.name, s.source_id from tap_upload.mine as u {join} source as s on "
        "1=contains(point(s.ra, s.dec), circle(u.ra, u.dec, 0.0002)) order by u.name, s.source_id"
    )
    rows = asked.both(text.format(join="join"), [upload])
    at = SkyCoord(ra[:50], dec[:50], unit="deg")
    truth = sorted((f"n{k}", int(one)) for k in range(50) for one in ids[sky.separation(at[k]).deg <= 0.0002].tolist())
    assert rows == truth
    assert len(rows) >= 50
    left = asked.both(text.format(join="left join"), [upload])
    assert [row for row in left if row[1] is not None] == truth
    assert {row[0] for row in left if row[1] is None} == {"n50", "n51"}
    for engine in ENGINES:
        assert translate(text.format(join="join"), TABLES, engine, 100, [upload]).upload_join


@pytest.mark.parametrize("n", [3, 300, 3000])
@pytest.mark.parametrize(
    "table", ["source", "psf_source", "light_curve_point", "psf_light_curve_point", "matched_source", "ps1"]
)
def test_of_each_table_only_the_rows_around_uploaded_positions_are_read(asked, table, n):
    columns = (Column("ra", "double"), Column("dec", "double"))
    upload = Upload("mine", columns, {"ra": np.linspace(179.9, 180.1, n).tolist(), "dec": [10.1] * n})
    text = f"select s.* from tap_upload.mine as u join {table} as s on distance(s.ra, s.dec, u.ra, u.dec) < 0.001"
    for engine in ENGINES:
        plan = asked.plan(engine, text, [upload], for_many=True)
        assert not read_whole(plan) & {"_t", "source", "psf_source", "source_match", "image", "ps1"}, plan
        if engine == "postgresql":  # it must expect few rows of a range, or it reads other tables of a view as a whole
            (expected,) = re.findall(r" on (?:source|psf_source|ps1)(?: _t)?  \(cost=\S+ rows=(\d+)", plan)
            assert int(expected) == 1 and "Index Cond: ((hpx29 >= _r.lo) AND (hpx29 < _r.hi))" in plan


OF_IDS = [
    "select s.ra from tap_upload.mine as u join source as s on s.source_id = u.id",
    "select s.mag from tap_upload.mine as u join light_curve_point as s on s.source_id = u.id",
    "select s.mag from tap_upload.mine as u join object_source as o on o.object_id = u.id "
    "join light_curve_point as s on s.source_id = o.source_id",
    "select o.n from tap_upload.mine as u join object_oid as d on d.oid = u.id "
    "join object_summary as o on o.object_id = d.object_id",
    "select i.obsmjd from image as i join tap_upload.mine as u on i.image_id = u.id",
]


@pytest.mark.parametrize("n", [0, 1, 1000])
@pytest.mark.parametrize("text", OF_IDS)
def test_rows_of_uploaded_ids_are_looked_up_on_sqlite(asked, text, n):
    upload = Upload("mine", (Column("id", "long"),), {"id": list(range(n))})
    plan = asked.plan("sqlite", text, [upload])
    every = {"source", "s", "o", "d", "i", "image", "object", "object_filter", "object_source", "object_oid"}
    assert not read_whole(plan) & every, plan
    assert asked.both(text, [upload]) == []
    with asked.readers["sqlite"]._connections.reading() as session:  # nothing is left in the connection
        assert session.driver.execute("select count(*) from temp.sqlite_schema").fetchone() == (0,)


OTHERS = [
    "select s.source_id from source as s where s.flags = 0 and s.source_id not in (select source_id from object_source) order by 1",  # noqa: E501
    "select source_id from source as s where not (source_id in (select p.source_id from source as p where p.npix > 40 and p.x > s.y)) order by 1",  # noqa: E501
    "select image_id from image where (fid = 1 or image_id not in (select distinct i.image_id from image_cell as i)) order by 1",  # noqa: E501
    "select i.image_id, count(*) as n from image as i where i.image_id not in (select image_id from source where npix > 78) group by i.image_id having count(*) > 0 order by 1",  # noqa: E501
]
WITH_NULL = [
    "select source_id from source where source_id not in (select mask_bits from source) order by 1",
    "select count(*) as n from source where mask_bits not in (select npix from source)",
    "select i.image_id, s.source_id from image as i left join source as s on s.image_id = i.image_id and s.npix > 78 where s.image_id not in (select image_id from image where fid = 1) order by 1, 2",  # noqa: E501
    "select count(*) as n from source where image_id not in (select s.image_id from image as i left join source as s on s.image_id = i.image_id + 1)",  # noqa: E501
]


@pytest.mark.parametrize("text", [*OTHERS, *WITH_NULL])
def test_rows_that_are_not_in_a_subquery(asked, text):
    """PostgreSQL read a subquery that exceeds its memory again for each row."""
    sql = translate(text, TABLES, "postgresql", 10).sql
    assert (
        ("NOT (EXISTS(SELECT" in sql) == ("NOT IN" not in sql and " IN (SELECT" not in sql) == (text not in WITH_NULL)
    )
    assert asked.both(text) == asked.both(re.sub(r"(\b[a-z.]*_id|mask_bits) (not )?in", r"(\1 + 0) \2in", text))


def test_ids_are_never_null():
    for table in archive_tables():
        ids = IDS & {c.name for c in table.columns}
        if table.kind == "table":
            assert not ids & shape(table.name).nullable, table.name
        elif ids:  # the columns of such a table, which no outer join fills with NULL
            owners = {dict(view_columns(table.name))[name].partition(".")[0] for name in ids}
            assert not owners & set(re.findall(r"left join (\w+)", VIEWS[table.name])), table.name


OF_OUTER_IMAGES = [
    "select i.image_id from image as i where not exists (select 1 from source as s where s.image_id = i.image_id and s.npix > 77) order by 1",  # noqa: E501
    "select i.image_id, (select count(*) from source as s where i.image_id = s.image_id and s.x > 1500) as n from image as i order by 1",  # noqa: E501
    "select o.image_id from image as o where exists (select 1 from image as i where i.fid = o.fid and (select max(s.x) from source as s where s.image_id = o.image_id) > i.nx - 300) order by 1",  # noqa: E501
]


@pytest.mark.parametrize("text", OF_OUTER_IMAGES)
def test_sources_of_an_outer_image_are_found_by_their_ids(asked, text):
    """All sources were read for each image: more than 30 s for 180 images of 12,000 sources."""
    for engine in ENGINES:
        plan = asked.plan(engine, text, for_many=True)
        if engine == "sqlite":
            assert "SEARCH s USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in plan, plan
        else:
            assert re.search(r"pk_source.*\n.*Index Cond: .*source_id >= \(\w+\.image_id \* 262144\)", plan), plan
    rows = asked.both(text)
    assert rows and asked.both(text.replace("s.image_id", "(s.image_id + 0)")) == rows


def test_an_inner_table_with_the_name_of_an_outer_one_is_not_that_one(asked):
    text = "select count(*) as n from image as i where exists (select 1 from source as s join {} as i on i.image_id = s.image_id)"  # noqa: E501
    upload = Upload("mine", (Column("image_id", "long"),), {"image_id": [(1 << 63) - 1]})
    assert asked.both(text.format("tap_upload.mine"), [upload]) == [(0,)]
    outer = "select count(*) as n from tap_upload.mine as m where exists (select 1 from source as s where s.image_id = m.image_id)"  # noqa: E501
    assert asked.both(outer, [upload]) == [(0,)]
