"""The statement of a cone: the rows of `Archive.cone`, through the index, on both engines."""

from __future__ import annotations

import numpy as np
import pytest
from sqlalchemy import text

from tests.support.postgres import ENGINES
from ztfdb.errors import QueryError
from ztfdb.query.cone import cone
from ztfdb.query.cone_sql import cone_sql
from ztfdb.schema import describe_table
from ztfdb.sky.angles import separation

CENTRES = [(180.0, 10.0), (0.0, -5.0), (359.99, -5.02), (0.01, -4.98), (40.0, 89.9), (220.0, 89.99), (300.0, -89.8),
           (12.0, 90.0), (0.0, -90.0)]  # fmt: skip
RADII = (0.0, 2.0, 60.0, 900.0)
SEARCHED = ("source", "light_curve_point", "psf_source", "psf_light_curve_point", "matched_source", "ps1", "gaia")


@pytest.mark.parametrize("centre", CENTRES, ids=str)
def test_the_statement_has_the_rows_of_the_cone(generated_maker, centre):
    with generated_maker() as session:
        for radius in RADII:
            wanted = cone(session, *centre, radius)
            rows = session.execute(text(cone_sql(*centre, radius))).mappings().all()
            assert sorted(row["source_id"] for row in rows) == sorted(wanted["source_id"])
            seen = session.execute(text(cone_sql(*centre, radius, "light_curve_point"))).mappings().all()
            assert {row["source_id"] for row in seen} <= set(wanted["source_id"])
    assert len(wanted) > 20


def test_the_cut_is_exact_at_the_rim(generated_maker):
    with generated_maker() as session:
        near = cone(session, 180.0, 10.0, 300.0)
        for row in near.iloc[[3, len(near) // 2, -1]].itertuples():
            for radius, inside in ((row.separation * (1 + 1e-9), True), (row.separation * (1 - 1e-9), False)):
                found = session.execute(text(cone_sql(180.0, 10.0, radius))).mappings().all()
                assert (row.source_id in {one["source_id"] for one in found}) is inside


@pytest.mark.parametrize("where", ["good = 1", "mag < 18 or mag > 20"])
def test_a_further_condition_holds_for_all_ranges(generated_maker, where):
    with generated_maker() as session:
        every = session.execute(text(cone_sql(180.0, 10.0, 200.0, "light_curve_point"))).mappings().all()
        some = session.execute(text(cone_sql(180.0, 10.0, 200.0, "light_curve_point", where))).mappings().all()
    namespace = [dict(row) for row in every]
    test = {"good = 1": lambda r: r["good"] == 1}.get(
        where, lambda r: r["mag"] is not None and (r["mag"] < 18 or r["mag"] > 20)
    )
    assert {row["source_id"] for row in some} == {row["source_id"] for row in namespace if test(row)}
    assert len(some) < len(every)


@pytest.mark.parametrize("table", SEARCHED)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_index_answers(generated, engine, table):
    explain = "explain query plan " if engine == "sqlite" else "explain "
    with generated.makers[engine]() as session:
        if engine == "postgresql":
            session.execute(text("set local enable_seqscan = off"))  # small tables are faster read as a whole
        plan = "\n".join(str(row[-1]) for row in session.execute(text(explain + cone_sql(180.0, 10.0, 5.0, table))))
    if engine == "sqlite":
        assert "SEARCH" in plan
        assert "hpx29>? AND hpx29<?" in plan or "PRIMARY KEY" in plan
    else:
        searched = {"light_curve_point": "source", "psf_light_curve_point": "psf_source", "matched_source": "source"}
        assert f"Seq Scan on {searched.get(table, table)}" not in plan
        assert "Index" in plan
        assert "hpx29 >= " in plan


def test_the_separation_is_that_of_numpy(generated_maker):
    rng = np.random.default_rng(1)
    with generated_maker() as session:
        for _ in range(20):
            ra, dec, radius = rng.uniform(0.0, 360.0), rng.choice([89.95, -89.9, 89.8]), rng.uniform(1.0, 1500.0)
            rows = session.execute(text(cone_sql(ra, dec, radius))).mappings().all()
            apart = separation(ra, dec, [row["ra"] for row in rows], [row["dec"] for row in rows])
            assert (apart <= radius * (1 + 1e-12)).all()


def test_what_has_no_positions_is_refused():
    with pytest.raises(ValueError, match=r"config has no positions to search by; .*light_curve_point"):
        cone_sql(10.0, 20.0, 5.0, "config")
    with pytest.raises(ValueError, match="no table"):
        cone_sql(10.0, 20.0, 5.0, "source; drop table source")
    with pytest.raises(QueryError, match="maximum"):
        cone_sql(10.0, 20.0, 40_000.0)
    with pytest.raises(ValueError, match="radius"):
        cone_sql(10.0, 20.0, -1.0)
    assert {"hpx29", "ra", "dec"} <= {column.name for column in describe_table("source").columns}
