"""Sources of images that a statement chooses by their night, exposure or field, or by a subquery.

``image_id`` has no index in tables of sources, and the engines would read them as a whole. The conditions on the images
are carried over to the sources: they come from the range of ``source_id`` of each image that fulfils them. All
conditions stay in place. If all images fulfil them, SQLite takes no longer than for a scan, PostgreSQL twice as long.
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

IN_TIME = {"obsmjd", "mjd_mid", "filefracday", "expid", "pid"}
"""Columns that grow with time: a lower bound chooses the newest images."""

CHOOSING = {*IN_TIME, "field"}
"""Columns of images of which one value, a list or a closed range chooses few images, so that a look at all sources
would read much more than these images have."""

QUICK = {
    "image", "image_summary", "image_calibration", "image_cell", "image_match", "image_psf_check", "psf_check",
    "calibration", "self_solution", "detection_limit",
}  # fmt: skip
"""Tables of images: a subquery about them alone is run a second time at little cost."""

_LOWER, _UPPER = (exp.GT, exp.GTE), (exp.LT, exp.LTE)
_PLAIN = (
    *(exp.EQ, exp.NEQ, *_LOWER, *_UPPER, exp.Between, exp.In, exp.And, exp.Or),
    *(exp.Paren, exp.Column, exp.Identifier, exp.Literal, exp.Neg, exp.Add, exp.Sub, exp.Mul),
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
    among = list(_among_images(select, found))
    made = {}
    for alias, table in tables.items():
        if table.of_sources and table.key == "source_id" and not _has_own_way(select, alias):
            same = [alias, *(b for a, b in ties if a == alias)]
            conditions = [node.copy() for one in same for node in plain[one]]
            by_query = [node.copy() for one, node in among if one in same]
            if by_query or _choose(conditions, tables):
                made[alias] = conditions + by_query
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
    for node in [one for one in condition.find_all(exp.Column) if one.find_ancestor(exp.Select) is None]:
        own = relations.column(_image_column(tables[node.table], node.name) or node.name, "_i")
        node.set("this", own.this)
        node.set("table", own.args["table"])
    return condition


def _among_images(select: exp.Select, conditions: list[exp.Expr]) -> Iterator[tuple[str, exp.Expr]]:
    """Yield conditions that ``image_id`` of a table is one of those of a quick subquery, with the table's alias.

    The subquery is on the right of IN or ``=``, or is a derived table or a name of WITH that is joined by ``image_id``.
    """
    joins = [join for join in select.args.get("joins") or () if not join.side]
    made = {item.this.alias_or_name: item.this for item in (select.args.get("from_"), *joins) if item is not None}
    for node in [*conditions, *(one for join in joins for one in conjuncts(join.args.get("on") or exp.true()))]:
        if isinstance(node, exp.In) and node.args.get("query") is not None:
            if _is_id(node.this) and _is_quick(node.args["query"], select):
                yield node.this.table, node
        elif isinstance(node, exp.EQ):
            for one, other in ((node.this, node.expression), (node.expression, node.this)):
                if not _is_id(one):
                    continue
                if isinstance(other, exp.Subquery) and _is_quick(other, select):
                    yield one.table, node
                elif _is_id(other) and other.table in made and _is_quick(made[other.table], select):
                    rows = exp.Select(expressions=[other.copy()]).from_(made[other.table].copy())
                    yield one.table, exp.In(this=one.copy(), query=rows.subquery())


def _is_id(node: exp.Expr) -> bool:
    return isinstance(node, exp.Column) and node.name == "image_id"


def _is_quick(query: exp.Expr, select: exp.Select) -> bool:
    """Return whether a subquery, a derived table or a name of WITH is about tables of images alone.

    Parameters
    ----------
    query : Expr
        Translated.
    select : Select
        Its surroundings, of which it must not use columns.
    """
    if isinstance(query, exp.Table):
        cte = _named_query(query, select)
        return cte is not None and _is_quick(cte, select)
    if not isinstance(query.unnest(), exp.Query) or query.find(exp.Var) is not None:
        return False
    for table in query.find_all(exp.Table):
        named = _named_query(table, select)
        if table.name not in QUICK and (named is None or not _is_quick(named, select)):
            return False
    return all(_is_own(column, query) for column in query.find_all(exp.Column))


def _named_query(table: exp.Table, select: exp.Select) -> exp.Expr | None:
    """Return the query that WITH gives a table's name to."""
    at: exp.Expr | None = select
    while at is not None and not table.db:
        with_ = at.args.get("with_")
        for cte in with_.expressions if with_ is not None else ():
            if cte.alias == table.name:
                return cte.this  # type: ignore[no-any-return]
        at = at.parent
    return None


def _is_own(column: exp.Column, query: exp.Expr) -> bool:
    """Return whether a column is one of a table inside of a query."""
    at = column.find_ancestor(exp.Select)
    while at is not None:
        places = [at.args.get("from_"), *(at.args.get("joins") or ())]
        if not column.table or column.table in {one.this.alias_or_name for one in places if one is not None}:
            return True
        at = None if at is query.unnest() else at.find_ancestor(exp.Select)
    return False


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
    return any(
        len(sides) == 2 or (name in IN_TIME and "lower" in sides) for name, sides in bounded.items() if name in CHOOSING
    )


def _of_where(select: exp.Select) -> list[exp.Expr]:
    where = select.args.get("where")
    return list(conjuncts(where.this)) if where is not None else []


def outer_image(
    select: exp.Select, tables: Mapping[str, Table], outer: Mapping[str, Table]
) -> Iterator[tuple[str, str]]:
    """Yield aliases of a table of sources and of an outer table, whose rows WHERE requires to belong to one image."""
    for node in _of_where(select):
        if isinstance(node, exp.EQ) and _is_id(node.this) and _is_id(node.expression):
            for one, other in ((node.this.table, node.expression.table), (node.expression.table, node.this.table)):
                if one in tables and tables[one].of_sources and other in outer:
                    yield one, other


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
