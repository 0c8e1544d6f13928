"""NOT IN as NOT EXISTS, where neither side has NULL and both are therefore the same.

PostgreSQL reads the rows of NOT IN again for each row, if they exceed its memory; NOT EXISTS is a join.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from ztfdb.adql import relations
from ztfdb.adql.tables import Table
from ztfdb.adql.uploads import SCHEMA as UPLOADS

IDS = {"source_id", "image_id", "object_id"}
"""Columns that have a value in every row of every table that has them."""

NEVER_NULL = "never null"
"""Mark of a SELECT of one such column."""


def mark_ids(select: exp.Select, tables: Mapping[str, Table]) -> None:
    """Mark a SELECT, as it was written, of one column without NULL."""
    if len(select.expressions) == 1 and _is_never_null(select.expressions[0].unalias(), select, tables):
        select.meta[NEVER_NULL] = True


def exclude(select: exp.Select, tables: Mapping[str, Table]) -> None:
    """Replace NOT IN of columns without NULL by NOT EXISTS; the SELECTs in it have been marked."""
    where = select.args.get("where")
    for node in list(where.find_all(exp.Not)) if where is not None else ():
        inner = node.this.unnest()
        query = inner.args.get("query") if isinstance(inner, exp.In) else None
        if query is None or node.find_ancestor(exp.Select) is not select or NEVER_NULL not in query.unnest().meta:
            continue
        if _is_never_null(inner.this, select, tables):
            name = query.unnest().selects[0].alias_or_name
            rows = exp.Select(expressions=[relations.number(1)]).from_(relations.named(query.unnest().copy(), "_n"))
            same = exp.EQ(this=relations.column(name, "_n"), expression=inner.this.copy())
            node.set("this", exp.Exists(this=rows.where(same)))


def _is_never_null(value: exp.Expr, select: exp.Select, tables: Mapping[str, Table]) -> bool:
    """Return whether a value of a SELECT, as it was written, is a column without NULL, also after all joins."""
    if not isinstance(value, exp.Column) or any(join.side for join in select.args.get("joins") or ()):
        return False
    return value.name in IDS and value.table in tables and tables[value.table].schema != UPLOADS
