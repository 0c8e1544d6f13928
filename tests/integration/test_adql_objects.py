"""ADQL finds objects around a position by their ids, the cells of their first detections."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

pytest.importorskip("sqlglot", reason="the extra serve is not installed")

import ztfdb
from tests.support.asked import TABLES, archive_on_both
from tests.support.plans import read_whole
from tests.support.postgres import ENGINES
from tests.support.references import make_catalogue, store_reference
from ztfdb.adql.tables import Column
from ztfdb.adql.translate import translate
from ztfdb.adql.uploads import Upload
from ztfdb.store.engine import writing

SHIFT = 4.0
"""arcsec that every fourth object is moved from its id, and twice that every twentieth."""


@pytest.fixture(scope="module")
def asked(databases):
    with archive_on_both(databases) as made:
        for url in made.made.values():
            with ztfdb.open(url) as archive:
                for stars, field in zip(made.stars, (651, 652, 1), strict=True):
                    for fid in (1, 2):
                        places = stars.ra[fid - 1 :], stars.dec[fid - 1 :]
                        store_reference(archive._sessions, make_catalogue(*places, field=field, fid=fid))
                archive.build_objects()
                with writing(archive._sessions) as session:
                    rank = "(select count(*) from object as o where o.object_id < object.object_id)"
                    for every, apart in ((4, SHIFT), (20, 2 * SHIFT)):
                        move = f"dec = dec - {apart} / 3600, reach = reach + {apart}"
                        session.execute(text(f"update object set {move} where {rank} % {every} = 3"))
        yield made


AREAS = [
    "1 = contains(point({ra}, {dec}), circle(180.1, 10.1, 0.1))",
    "distance(point({ra}, {dec}), point(180.05, 10.0)) < 0.2",
    "distance(point({ra}, {dec}), point(70.0, 90.0)) < 0.4",
    "1 = contains(point({ra}, {dec}), circle(0.0, -5.0, 0.2))",
    "1 = contains(point({ra}, {dec}), box(180.0, 10.0, 0.4, 0.2))",
    "1 = contains(point({ra}, {dec}), polygon(179.8, 9.8, 180.2, 9.8, 180.2, 10.2))",
    "(distance({ra}, {dec}, 0.0, -5.0) < 0.1 or distance({ra}, {dec}, 180, 10) < 0.1)",
]


@pytest.mark.parametrize("area", AREAS)
@pytest.mark.parametrize("table", ["object", "object_summary"])
def test_the_objects_of_an_area_are_those_of_a_look_at_all(asked, table, area):
    statement = "select object_id, ra, dec from {t} as o where {a} order by object_id, ra"
    rows, every = (
        asked.both(statement.format(t=f"ztf.{table}", a=area.format(ra=ra, dec="o.dec")))
        for ra in ("o.ra", "(o.ra + 0)")
    )
    assert rows == every
    assert rows


def test_objects_that_moved_away_from_their_id_are_found_where_they_are(asked):
    every = asked.both("select object_id, ra, dec, reach from ztf.object order by object_id")
    moved = [row for row in every if row[3] > SHIFT]
    assert len(moved) > 10 and sum(row[3] > 2 * SHIFT for row in moved) > 1
    for object_id, ra, dec, _ in [*moved, *every[::20]]:
        found = asked.both(f"select object_id from ztf.object where distance(ra, dec, {ra!r}, {dec!r}) < 1e-5")
        assert object_id in [row[0] for row in found]


@pytest.mark.parametrize("side", ["", "left "])
@pytest.mark.parametrize("table", ["object", "object_summary"])
def test_objects_around_uploaded_positions_are_those_of_a_look_at_all(asked, table, side):
    every = asked.both("select ra, dec from ztf.object order by object_id")
    places = {"k": list(range(len(every) + 1)), "ra": [row[0] for row in every], "dec": [row[1] for row in every]}
    places["ra"].append(None), places["dec"].append(0.0)
    columns = (Column("k", "int"), Column("ra", "double", "deg"), Column("dec", "double", "deg"))
    upload = Upload("mine", columns, places)
    statement = (
        f"select u.k, o.object_id, o.ra from tap_upload.mine as u {side}join ztf.{table} as o "
        "on distance({ra}, o.dec, u.ra, u.dec) < 0.003 order by u.k, o.object_id, o.ra"
    )
    rows = asked.both(statement.format(ra="o.ra"), [upload])
    assert rows == asked.both(statement.format(ra="(o.ra + 0)"), [upload])
    assert {row[0] for row in rows if row[1] is not None} == set(range(len(every)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("table", ["object", "object_summary"])
def test_only_objects_around_the_area_are_read(asked, engine, table):
    plan = asked.plan(engine, f"select * from ztf.{table} as o where {AREAS[1].format(ra='o.ra', dec='o.dec')}")
    if engine == "sqlite":
        scanned = set(re.findall(r"^SCAN (\w+)(?! VIRTUAL)", plan, re.MULTILINE))
        assert not scanned & {"o", "_t", "_o", "_w", "object", "object_filter"}, plan
    else:
        assert "Index Cond: ((object_id >=" in plan or "Index Cond: ((object.object_id >=" in plan, plan


OF_OID = [
    ("object_summary", "oid = {0}"),
    ("object_summary", "{0} = oid and n > 0"),
    ("object_summary", "oid in ({0}, {1}, 5)"),
    ("object_summary", "number = {0}"),
    ("object_oid_summary", "number in ({0}, {1})"),
    ("object_oid_summary", "oid = {0}"),
]


@pytest.mark.parametrize("condition", OF_OID)
def test_objects_of_an_oid_are_those_of_a_look_at_all(asked, condition):
    table, condition = condition
    oids = [row[0] for row in asked.both("select distinct oid from ztf.object_oid order by oid")]
    found = 0
    for first, second in zip(oids[::7], reversed(oids), strict=False):
        wanted = condition.format(first, second)
        every = re.sub(r"\b(oid|number)\b", r"(\1 + 0)", wanted)
        text = f"select * from ztf.{table} where {{}} order by object_id, oid"
        rows = asked.both(text.format(wanted))
        assert rows == asked.both(text.format(every))
        found += len(rows)
    assert found > 3
    assert asked.both(f"select * from ztf.{table} where {condition.format(-5, 10**18)}") == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("condition", OF_OID)
def test_only_objects_of_an_oid_are_read(asked, engine, condition):
    table, condition = condition
    oids = asked.both("select distinct top 2 oid from ztf.object_oid")
    text = f"select * from ztf.{table} where {condition.format(*(row[0] for row in oids))}"
    plan = asked.plan(engine, text, for_many=True)
    if engine == "sqlite":
        assert not read_whole(plan) & {"object", "object_filter", "object_oid", "psf_source"}, plan
    else:
        assert re.search(r"Index Cond: \(.*\boid = ", plan), plan


@pytest.mark.parametrize("engine", ENGINES)
def test_uploaded_positions_are_joined_by_their_cells(asked, engine):
    upload = Upload("mine", (Column("ra", "double"), Column("dec", "double")), {"ra": [180.1], "dec": [10.1]})
    text = "select o.ra from tap_upload.mine as u join ztf.object as o on distance(o.ra, o.dec, u.ra, u.dec) < 0.1"
    assert translate(text, TABLES, engine, 100, [upload]).upload_join
