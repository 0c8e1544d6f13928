"""Items of FROM: a table, its rows within ranges of cells, or rows that are sent with the statement."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp, parse_one

from ztfdb.adql.regions import PostgresRegions, SQLiteRegions
from ztfdb.adql.uploads import Upload
from ztfdb.schema.views import view_over

POSTGRESQL = "postgresql"
OBJECT_REACH = 5.0
"""Objects with a smaller ``reach`` (arcsec) are found by their cell; the others are a few stars with proper motion."""

FEW = "{cell} * 0 = _r.lo * 0 and {cell} % 1 = _r.hi % 1"
"""Always true. PostgreSQL takes a range between columns for 0.5 % of a table, which is too much by far in a large one;
it takes an equality of expressions for 0.5 % of that."""

KEY = "_k"
"""Column with the number of an uploaded row, also in the ranges around it."""

Cells = tuple[NDArray[np.int64], ...] | None
"""Starts and ends of ranges of cells; with uploads, preceded by the number of the uploaded row of each range. None
without a restriction."""

DIALECTS = {"postgresql": PostgresRegions, "sqlite": SQLiteRegions}


def quoted(name: str) -> exp.Identifier:
    """Return a quoted name."""
    return exp.to_identifier(name, quoted=True)


def column(name: str, table: str | None = None) -> exp.Column:
    """Return a column."""
    return exp.Column(this=quoted(name), table=quoted(table) if table else None)


def number(value: int) -> exp.Expr:
    """Return a whole number."""
    return exp.Literal.number(str(int(value)))


def named(node: exp.Expr, alias: str) -> exp.Expr:
    """Return a table, a subquery, or a trusted text, under an alias."""
    made: exp.Expr = exp.Subquery(this=node) if isinstance(node, exp.Query | exp.Var) else node
    made.set("alias", exp.TableAlias(this=quoted(alias)))
    return made


def physical(name: str, alias: str) -> exp.Expr:
    """Return a table of the database."""
    return exp.Table(this=quoted(name), alias=exp.TableAlias(this=quoted(alias)))


def in_ranges(
    name: str, alias: str, columns: Sequence[str], cells: Sequence[NDArray[np.int64]], engine: str, cell: str = "hpx29"
) -> exp.Expr:
    """Return the rows of a table whose cell lies in ranges, each row once.

    On PostgreSQL each range is a literal, for which the histogram gives the number of rows and the plan scans the index
    once per range. A view would be planned once per range, too, so the ranges are those of its own table. SQLite scans
    the index for each range of a JSON text.
    """
    lo, hi = cells
    if engine == POSTGRESQL:

        def union(table: str, fields: Sequence[str]) -> exp.Query:
            return _union(table, fields, lo.tolist(), hi.tolist(), cell)

        view = view_over(name, columns, lambda table, fields: union(table, fields).sql(dialect=DIALECTS[engine]))
        return named(union(name, columns) if view is None else exp.Var(this=view), alias)
    text = exp.Literal.string(ranges_text(list(zip(lo.tolist(), hi.tolist(), strict=True))))
    ranges = exp.Table(
        this=exp.Anonymous(this="json_each", expressions=[text]), alias=exp.TableAlias(this=quoted("_r"))
    )
    # the plus hides the column's indexes: SQLite would begin with joined images, and read the area again for each
    shown = [exp.Var(this=f'+_t."{one}" as "{one}"') if one == "image_id" else column(one, "_t") for one in columns]
    inner = exp.Select(expressions=shown)
    inner.set("from_", exp.From(this=ranges))
    inner.set("joins", [exp.Join(this=physical(name, "_t"), kind="CROSS")])
    inner.set("where", exp.Where(this=exp.and_(*_between(cell, _element(0), _element(1)), copy=False)))
    return named(inner, alias)


def objects_in_ranges(
    name: str, alias: str, columns: Sequence[str], parameters: Parameters, cells: Sequence[NDArray[np.int64]]
) -> exp.Expr:
    """Return the rows of a table of objects that may be in an area, each once; in numbered areas, once for each.

    Parameters
    ----------
    name, alias : str
    columns : sequence of str
    parameters : Parameters
    cells : sequence of ndarray
        Ranges that reach `OBJECT_REACH` beyond the area: they have the first detection of every object in the area
        except those whose detections lie farther apart. Those few, of stars that move, are all returned. Three arrays
        if the areas are numbered: the number of each range comes first, and is returned as ``_k``.
    """
    own, engine, every = sorted({*columns, "object_id"}), parameters.engine, f'"{name}" as _o'
    if len(cells) == 3:
        near = in_keyed_ranges(name, "_n", own, parameters, cells, "object_id").sql(dialect=DIALECTS[engine])
        numbers = np.unique(cells[0]).tolist()
        if engine == POSTGRESQL:
            every += f" cross join unnest({parameters.add(numbers)}::bigint[]) as _r({KEY})"
        else:
            every += f" cross join (select value as {KEY} from json_each({parameters.add(json.dumps(numbers))})) as _r"
    else:
        near = in_ranges(name, "_n", own, cells, engine, "object_id").sql(dialect=DIALECTS[engine])
    wide = f"select _w.object_id from object as _w where _w.reach > {OBJECT_REACH}"
    both = [", ".join(f'{table}."{one}"' for one in columns) for table in ("_n", "_o")]
    if len(cells) == 3:
        both = [f"{both[0]}, _n.{KEY}", f"{both[1]}, _r.{KEY}"]
    sql = (
        f"select {both[0]} from {near} where _n.object_id not in ({wide}) union all "
        f"select {both[1]} from {every} where _o.object_id in ({wide})"
    )
    return named(exp.Var(this=sql), alias)


def ranges_text(ranges: Sequence[tuple[int, int]]) -> str:
    """Return ranges of cells in the form for SQLite."""
    return json.dumps(ranges, separators=(",", ":"))


def _union(name: str, columns: Sequence[str], lo: list[int], hi: list[int], cell: str) -> exp.Query:
    parts: list[exp.Query] = []
    for low, high in zip(lo, hi, strict=True):
        part = exp.Select(expressions=[column(one, "_t") for one in columns])
        part.set("from_", exp.From(this=physical(name, "_t")))
        part.set("where", exp.Where(this=exp.and_(*_between(cell, number(low), number(high)), copy=False)))
        parts.append(part)
    # a balanced tree: a chain would be as deep as it is long
    while len(parts) > 1:
        parts = [
            exp.Union(this=parts[at], expression=parts[at + 1], distinct=False) if at + 1 < len(parts) else parts[at]
            for at in range(0, len(parts), 2)
        ]
    return parts[0]


def _between(cell: str, low: exp.Expr, high: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    return exp.GTE(this=column(cell, "_t"), expression=low), exp.LT(this=column(cell, "_t"), expression=high)


def _element(at: int) -> exp.Expr:
    return exp.Anonymous(this="json_extract", expressions=[column("value", "_r"), exp.Literal.string(f"$[{at}]")])


def in_keyed_ranges(
    name: str,
    alias: str,
    columns: Sequence[str],
    parameters: Parameters,
    ranges: Sequence[NDArray[np.int64]],
    cell: str = "hpx29",
) -> exp.Expr:
    """Return the rows of a table within ranges of numbered rows, with that number as ``_k``.

    Each range is looked up by the index. PostgreSQL would compare all rows with a few hundred ranges, and join them to
    all rows of other tables of a view: see `FEW`.
    """
    shown = ", ".join(f'_t."{one}"' for one in columns)
    if parameters.engine == POSTGRESQL:
        places = ", ".join(f"{parameters.add(one.tolist())}::bigint[]" for one in ranges)
        inside = f"_t.{cell} >= _r.lo and _t.{cell} < _r.hi and {FEW.format(cell=f'_t.{cell}')}"
        sql = (
            f"select {shown}, _r.{KEY} from unnest({places}) as _r({KEY}, lo, hi) "
            f'cross join lateral (select {shown} from "{name}" as _t where {inside} offset 0) as _t'
        )
    else:
        text = json.dumps(np.column_stack(ranges).tolist(), separators=(",", ":"))
        key, low, high = (f"json_extract(_r.value, '$[{at}]')" for at in range(3))
        sql = (
            f'select {shown}, {key} as {KEY} from json_each({parameters.add(text)}) as _r cross join "{name}" as _t '
            f"where _t.{cell} >= {low} and _t.{cell} < {high}"
        )
    return named(parse_own(sql, parameters.engine), alias)


def parse_own(sql: str, engine: str) -> exp.Query:
    """Parse ztfdb's own SQL, never a client's."""
    made = parse_one(sql, read=DIALECTS[engine])
    assert isinstance(made, exp.Query)
    return made


class Parameters:
    """The parameter values of a statement.

    Attributes
    ----------
    engine : str
    base : str
        Address of the service, without a trailing slash.
    values : list
    """

    def __init__(self, engine: str, base: str = "") -> None:
        self.engine = engine
        self.base = base
        self.values: list[Any] = []

    def add(self, value: Any) -> str:
        """Add a value and return its placeholder."""
        self.values.append(value)
        return f"${len(self.values)}" if self.engine == POSTGRESQL else f":p{len(self.values)}"

    def bound(self) -> Any:
        """Return the values in the driver's form."""
        if self.engine == POSTGRESQL:
            return self.values
        return {f"p{at}": value for at, value in enumerate(self.values, 1)}


def uploaded(upload: Upload, alias: str, parameters: Parameters) -> exp.Expr:
    """Return the rows of an uploaded table, numbered by ``_k``.

    SQLite reads them from a temporary table that `ztfdb.store` makes; PostgreSQL gets them as arrays, because a
    read-only transaction cannot create a table.
    """
    if parameters.engine != POSTGRESQL:
        return physical(f"_upload_{upload.name}", alias)
    kinds = [_POSTGRESQL_TYPES[column.datatype] for column in upload.columns]
    places = [f"{parameters.add(list(range(upload.n_row)))}::bigint[]"]
    places += [
        f"{parameters.add(upload.values[one.name])}::{kind}[]" for one, kind in zip(upload.columns, kinds, strict=True)
    ]
    names = ", ".join(f'"{one.name}"' for one in upload.columns)
    sql = f"select _u.* from unnest({', '.join(places)}) as _u({KEY}, {names})"
    return named(parse_own(sql, parameters.engine), alias)


_POSTGRESQL_TYPES = {
    "short": "smallint", "int": "integer", "long": "bigint", "float": "real", "double": "double precision",
    "boolean": "boolean", "char": "text", "unicodeChar": "text",
}  # fmt: skip
