"""Conditions on indexed columns that follow from conditions of WHERE on columns without an index.

``image_id`` of a source is in its ``source_id``, ``obs_publisher_did`` contains an ``image_id``, and views compute the
``oid`` of an object from all that it has. The condition itself stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlglot import exp

from ztfdb.adql import relations
from ztfdb.adql.index import Cuts, find_values
from ztfdb.adql.of_images import outer_image, same_image
from ztfdb.adql.tables import Table
from ztfdb.ids import MAX_SOURCES, SOURCE_ID_SHIFT, source_id_range

MOST_IMAGE_ID = 1 << (63 - SOURCE_ID_SHIFT)
"""From this id on, those of an image's sources would exceed 64 bits."""

MOST_IMAGES = 100
"""Most images that are given as ranges of ids; SQLite takes a condition of a thousand alternatives for too deep."""

DIGITS = 18
"""Longest whole number that is looked up: it fits 64 bits."""

OIDS = {"object_summary": ("oid", "number"), "object_oid_summary": ("number",)}
"""Columns that the views of objects compute: one of the object's rows in ``object_oid`` has that ``oid``."""


def implied(
    select: exp.Select, tables: Mapping[str, Table], engine: str, cuts: Cuts, outer: Mapping[str, Table]
) -> Iterator[exp.Expr]:
    """Yield conditions that follow from those of a SELECT, and that an index answers.

    Parameters
    ----------
    select : Select
        Qualified, its conditions not translated yet.
    tables : mapping of str to Table
        Its tables by alias.
    engine : str
    cuts : Cuts
        The areas of its tables.
    outer : mapping of str to Table
        Tables of the SELECTs around it, by alias.
    """
    for alias, other in outer_image(select, tables, outer):
        # else both engines read all sources for each row of the outer table, if they do not hash them
        yield _sources_of(alias, other, hidden=cuts.cells(alias) is not None)
    if engine != relations.POSTGRESQL and not any(join.side for join in select.args.get("joins") or ()):
        # else it reads all sources for each row of a table that an index has restricted
        for alias, other in same_image(select, tables):
            if tables[alias].of_sources:
                yield _sources_of(alias, other, hidden=cuts.cells(alias) is not None)
    for alias, name, values in find_values(select):
        table = tables.get(alias)
        if table is None:
            continue
        by_publisher = bool(table.did) and name == "obs_publisher_did"
        if by_publisher:
            values = [one.removeprefix(table.did) if one.startswith(table.did) else "" for one in values]
        if not all(one.isascii() and one.isdigit() and len(one) <= DIGITS for one in values):
            continue
        wanted = list(map(int, values))
        if by_publisher:
            yield _among(alias, "image_id", wanted)
        elif table.of_sources and name == "image_id":
            if len(wanted) <= MOST_IMAGES and max(wanted) < MOST_IMAGE_ID:
                yield exp.or_(*(_sources(alias, one) for one in wanted), copy=False)
        elif table.relation is None and name in OIDS.get(table.name, ()):
            own = f"select object_id from object_oid where oid in ({', '.join(map(str, wanted))})"
            yield exp.In(this=relations.column("object_id", alias), query=relations.parse_own(own, engine).subquery())


def _among(alias: str, name: str, values: list[int]) -> exp.Expr:
    return exp.In(this=relations.column(name, alias), expressions=[relations.number(one) for one in values])


def _sources_of(alias: str, other: str, *, hidden: bool) -> exp.Expr:
    """Return that rows are sources of the image of another table's row.

    Sources in an area are found by their cells. With a condition on ``source_id`` that it can look up, SQLite would
    begin with the images of a view and read all sources of each; a sum hides the index, and it begins with the area.
    """
    first = exp.Mul(this=relations.column("image_id", other), expression=relations.number(MAX_SOURCES))
    last = exp.Add(this=first.copy(), expression=relations.number(MAX_SOURCES - 1))
    own: exp.Expr = relations.column("source_id", alias)
    if hidden:
        own = exp.Add(this=own, expression=relations.number(0))
    return exp.Between(this=own, low=first, high=last)


def _sources(alias: str, image_id: int) -> exp.Expr:
    first, last = (relations.number(one) for one in source_id_range(image_id))
    source_id = relations.column("source_id", alias)
    return exp.and_(
        exp.GTE(this=source_id, expression=first), exp.LTE(this=source_id.copy(), expression=last), copy=False
    )
