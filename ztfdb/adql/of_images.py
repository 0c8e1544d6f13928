"""Sources of images that a statement chooses by their night, exposure or field.

``image_id`` has no index in tables of sources, and the engines would read them as a whole. The conditions on the images
are carried over to the sources: they come from the range of ``source_id`` of each image that fulfils them. All
conditions stay in place.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from sqlglot import exp

from ztfdb.adql import relations
from ztfdb.adql.index import conjuncts
from ztfdb.adql.tables import SCHEMA, Table
from ztfdb.ids import MAX_SOURCES

IMAGE = "image"

KEYS = {"source_id", "hpx29"}
"""Indexed columns of tables of sources: a statement about them finds the rows by itself."""

CHOOSING = {"obsmjd", "mjd_mid", "filefracday", "expid", "pid", "field"}
"""Columns of images of which one value, a list or a closed range chooses few images, so that a look at all sources
would read much more than these images have."""

_LOWER, _UPPER = (exp.GT, exp.GTE), (exp.LT, exp.LTE)
_PLAIN = (
    *(exp.EQ, exp.NEQ, *_LOWER, *_UPPER, exp.Between, exp.In, exp.And, exp.Or),
    *(exp.Paren, exp.Column, exp.Identifier, exp.Literal, exp.Neg),
)
"""Nodes of conditions that are carried over; none is true of NULL."""


def conditions_on_images(select: exp.Select, tables: Mapping[str, Table]) -> dict[str, list[exp.Expr]]:
    """Return conditions of WHERE that hold for the images of a table's rows, by the alias of each table of sources.

    Parameters
    ----------
    select : Select
        Qualified, its conditions not translated yet.
    tables : mapping of str to Table
        Its tables by alias.

    Returns
    -------
    dict of list
        Copies of conditions, for `rows_of_images` after their translation. Tables whose rows an index finds in another
        way, or in order, are left out.
    """
    found = _of_where(select)
    plain: dict[str, list[exp.Expr]] = {alias: [] for alias in tables}
    for node in found:
        owner = _owner(node, tables)
        if owner is not None:
            plain[owner].append(node)
    ties = same_image(select, tables)
    made = {}
    for alias, table in tables.items():
        if table.of_sources and table.key == "source_id" and not _has_own_way(select, alias):
            same = [alias, *(b for a, b in ties if a == alias)]
            conditions = [node.copy() for one in same for node in plain[one]]
            if _choose(conditions, tables):
                made[alias] = conditions
    return made


def rows_of_images(table: Table, alias: str, columns: list[str], conditions: list[exp.Expr], engine: str) -> exp.Expr:
    """Return the rows of a table of sources that belong to images which fulfil conditions.

    Parameters
    ----------
    table : Table
    alias : str
    columns : list of str
    conditions : list of Expr
        From `conditions_on_images`, translated.
    engine : str
    """
    dialect = relations.DIALECTS[engine]
    among = " and ".join(f"({node.sql(dialect=dialect)})" for node in conditions)
    own = [one for one in columns if one != "image_id"] or ["source_id"]
    shown = ", ".join(f'_t."{one}"' for one in own)
    first = f"_i.image_id * {MAX_SOURCES}"
    within = f"_t.source_id between {first} and {first} + {MAX_SOURCES - 1}"
    if engine == relations.POSTGRESQL:
        if table.kind == "view":  # whose image is then looked up, not joined to all sources
            within = f"{within} and _t.image_id = _i.image_id"
        rows = f'lateral (select {shown} from "{table.name}" as _t where {within} offset 0) as _t where {among}'
    else:
        rows = f'"{table.name}" as _t where {among} and {within}'
    return relations.named(exp.Var(this=f"select _i.image_id, {shown} from image as _i cross join {rows}"), alias)


def same_image(select: exp.Select, tables: Mapping[str, Table]) -> list[tuple[str, str]]:
    """Return pairs of aliases, in both orders, whose rows WHERE or ON requires to belong to the same image."""
    return list(dict.fromkeys([*_ties(_of_where(select), tables), *_joined(select, tables)]))


def name_images(condition: exp.Expr, tables: Mapping[str, Table]) -> exp.Expr:
    """Return a translated condition with its columns replaced by those of the image ``_i``."""
    for node in list(condition.find_all(exp.Column)):
        own = relations.column(_image_column(tables[node.table], node.name), "_i")
        node.set("this", own.this)
        node.set("table", own.args["table"])
    return condition


def _image_column(table: Table, name: str) -> str:
    """Return the column of ``image`` that a column is, empty if it is none."""
    column = table.column(name)
    owner, _, there = column.origin.partition(".") if column is not None else ("", "", "")
    return there if owner == IMAGE else ""


def _owner(node: exp.Expr, tables: Mapping[str, Table]) -> str | None:
    """Return the alias of the one table whose images a condition is about; None if it is about more, or not plain."""
    if not all(isinstance(one, _PLAIN) for one in node.walk()):
        return None
    columns = list(node.find_all(exp.Column))
    aliases = {one.table for one in columns}
    alias = next(iter(aliases), None)
    table = tables.get(alias or "")
    if len(aliases) != 1 or table is None or table.schema != SCHEMA:
        return None
    return alias if all(_image_column(table, one.name) for one in columns) else None


def _choose(conditions: list[exp.Expr], tables: Mapping[str, Table]) -> bool:
    """Return whether conditions choose few images."""
    bounded: dict[str, set[str]] = {}
    for node in conditions:
        left, right = node.this, node.expression
        column, turned = (left, False) if isinstance(left, exp.Column) else (right, True)
        if not isinstance(column, exp.Column):
            continue
        name = _image_column(tables[column.table], column.name)
        sides = bounded.setdefault(name, set())
        if isinstance(node, (exp.EQ, exp.In, exp.Between)):
            sides |= {"lower", "upper"}
        elif isinstance(node, _LOWER + _UPPER):
            sides.add("lower" if isinstance(node, _LOWER) != turned else "upper")
    return any(len(sides) == 2 for name, sides in bounded.items() if name in CHOOSING)


def _of_where(select: exp.Select) -> list[exp.Expr]:
    where = select.args.get("where")
    return list(conjuncts(where.this)) if where is not None else []


def _joined(select: exp.Select, tables: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    for join in select.args.get("joins") or ():
        if join.args.get("on") is not None and join.side in ("", "LEFT"):
            for pair in _ties(conjuncts(join.args["on"]), tables):
                # a row that LEFT JOIN keeps without its right side says nothing about the tables on its left
                if join.side == "" or join.this.alias_or_name in pair:
                    yield pair


def _ties(nodes: Iterable[exp.Expr], tables: Mapping[str, Table]) -> Iterator[tuple[str, str]]:
    """Yield pairs of aliases whose rows belong to the same image."""
    for node in nodes:
        if isinstance(node, exp.EQ) and all(isinstance(one, exp.Column) for one in (node.this, node.expression)):
            one, other = node.this, node.expression
            if one.name == other.name == "image_id" and one.table in tables and other.table in tables:
                yield one.table, other.table
                yield other.table, one.table


def _has_own_way(select: exp.Select, alias: str) -> bool:
    """Return whether rows of a table are found by an index, or are wanted in its order up to a number."""
    conditions = [select.args.get("where"), *(join.args.get("on") for join in select.args.get("joins") or ())]
    if select.args.get("limit") is not None:
        conditions.append(select.args.get("order"))
    used = (one for node in conditions if node is not None for one in node.find_all(exp.Column))
    return any(one.table == alias and one.name in KEYS for one in used)
