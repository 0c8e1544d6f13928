"""Translate the SELECTs of a statement, the inner ones first: values, conditions, order and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from sqlglot import exp
from sqlglot.optimizer.scope import Scope

from ztfdb.adql import relations
from ztfdb.adql.exclusions import exclude, mark_ids
from ztfdb.adql.functions import AGGREGATES, kind_of, of_kind, ordered_as_bytes
from ztfdb.adql.geometry import FOOTPRINT
from ztfdb.adql.index import Cuts, Tie, find_cuts
from ztfdb.adql.keys import implied
from ztfdb.adql.of_images import conditions_on_images, name_images, rows_of_images
from ztfdb.adql.relations import Cells, Parameters
from ztfdb.adql.tables import SCHEMA, SQL_KINDS, Column, Table, Tables
from ztfdb.adql.uploads import SCHEMA as UPLOADS
from ztfdb.adql.uploads import Upload
from ztfdb.adql.values import SINGLE, ValueTranslator
from ztfdb.errors import QueryError

CELL_SLACK = 0.001
"""The middle of a cell is up to 0.3 mas from a position in it, arcsec."""

REGION = "s_region"
"""The column that is the footprint of a row."""

_DATATYPES = {
    exp.DType.SMALLINT: "short", exp.DType.INT: "int", exp.DType.BIGINT: "long", exp.DType.FLOAT: "double",
    exp.DType.DOUBLE: "double", exp.DType.TEXT: "unicodeChar", exp.DType.VARCHAR: "unicodeChar",
}  # fmt: skip


class SelectTranslator:
    """Translates the scopes of one statement in place.

    Parameters
    ----------
    tables : Tables
    parameters : Parameters
        Collects the parameter values of the statement.
    uploads : mapping of str to Upload

    Attributes
    ----------
    upload_join : bool
        Whether uploaded positions were joined by their cells.
    """

    def __init__(self, tables: Tables, parameters: Parameters, uploads: Mapping[str, Upload]) -> None:
        self._tables = tables
        self._parameters = parameters
        self._uploads = uploads
        self._columns: dict[int, tuple[Column, ...]] = {}
        self.upload_join = False

    def columns_of(self, scope: Scope) -> tuple[Column, ...]:
        """Return the columns of a translated scope."""
        return self._columns[id(scope.expression)]

    def translate_scope(self, scope: Scope) -> None:
        """Translate one SELECT, or record the columns of a set operation."""
        node = scope.expression
        if isinstance(node, exp.SetOperation):
            self._translate_set(node)
        elif isinstance(node, exp.Select):
            self._translate_select(node, scope)
        else:
            raise QueryError(f"{node.key.upper()} is not part of the supported ADQL")

    def finish(self, tree: exp.Query, scope: Scope) -> exp.Query:
        """Make the order of the answer unique: ties of ORDER BY are ordered by the key, or the other columns."""
        order = tree.args.get("order")
        if order is None:
            return tree
        grouped = isinstance(tree, exp.Select) and tree.args.get("group")
        if isinstance(tree, exp.SetOperation) or tree.args.get("distinct") or grouped:
            return self._ordered_outside(tree, scope)
        key = self._key_of(tree, scope)
        if key is None:
            for projection in tree.selects:
                self._append(order, projection.unalias().copy())
        elif not any(isinstance(one.this, exp.Column) and one.this.name == key.name for one in order.expressions):
            self._append(order, key)
        return tree

    def _key_of(self, tree: exp.Query, scope: Scope) -> exp.Column | None:
        """Return the key of the only table of a SELECT: no other column needs to be computed or compared in a sort."""
        source = tree.args.get("from_")
        if source is None or tree.args.get("joins"):
            return None
        alias = source.this.alias_or_name
        table = scope.sources.get(alias)
        name = self._tables.by_name[table.db, table.name].key if isinstance(table, exp.Table) else ""
        if not name:
            return None
        key = relations.column(name, alias)
        key.type = exp.DataType(this=exp.DType.BIGINT)
        return key

    def _ordered_outside(self, tree: exp.Query, scope: Scope) -> exp.Query:
        """Order DISTINCT rows, groups and set operations in an outer SELECT, by columns of the answer."""
        names = [column.name for column in self.columns_of(scope)]
        order, limit, offset = (tree.args.pop(key, None) for key in ("order", "limit", "offset"))
        made = {one.unalias().sql(): name for one, name in zip(tree.selects, names, strict=True)}
        with_ = tree.args.pop("with_", None)
        items = []
        hidden: list[exp.Expr] = []
        for item in order.expressions:
            key = item.this.this if isinstance(item.this, exp.Collate) else item.this
            name = made.get(key.sql()) or (key.name if isinstance(key, exp.Column) and key.name in names else None)
            if name is None and isinstance(tree, exp.Select) and not tree.args.get("distinct"):
                name = f"_order{len(hidden)}"
                hidden.append(exp.alias_(key.copy(), name, quoted=True))
            if name is None:
                raise QueryError("ORDER BY of DISTINCT rows or of a set operation must name columns of the answer")
            value: exp.Expr = relations.column(name, "_q")
            value.type = key.type
            items.append(_ordered(value, bool(item.args.get("desc"))))
        for one in hidden:
            tree.append("expressions", one)
        outer = exp.Select(expressions=[exp.alias_(relations.column(n, "_q"), n, quoted=True) for n in names])
        outer.set("from_", exp.From(this=relations.named(tree, "_q")))
        whole = exp.Order(expressions=items)
        for column in self.columns_of(scope):
            value = relations.column(column.name, "_q")
            value.type = exp.DataType(this=SQL_KINDS[column.datatype])
            self._append(whole, value)
        for name, part in (("order", whole), ("limit", limit), ("offset", offset), ("with_", with_)):
            outer.set(name, part)
        return outer

    def _append(self, order: exp.Order, value: exp.Expr) -> None:
        known = {item.this.sql() for item in order.expressions}
        item = _ordered(value, False)
        if item.this.sql() not in known and not isinstance(value, exp.Literal | exp.Null):
            order.append("expressions", item)

    def _translate_set(self, node: exp.SetOperation) -> None:
        if not node.args.get("distinct", True) and not isinstance(node, exp.Union):
            raise QueryError(f"{node.key.upper()} ALL is not supported")
        sides = [self._columns[id(side.unnest())] for side in (node.this, node.expression)]
        if len(sides[0]) != len(sides[1]):
            raise QueryError(f"the sides of {node.key.upper()} have {len(sides[0])} and {len(sides[1])} columns")
        self._columns[id(node)] = tuple(
            _common(*self._as_the_other(a, b, at, node)) for at, (a, b) in enumerate(zip(*sides, strict=True))
        )
        if _is_cut(node):
            node.meta[SINGLE] = True
        for key in ("this", "expression"):
            side = node.args[key]
            inner = side.unnest()
            bare = isinstance(inner, exp.Select) and not any(inner.args.get(k) for k in ("order", "limit", "offset"))
            if isinstance(side, exp.Subquery) or not (bare or isinstance(inner, exp.SetOperation)):
                node.set(key, self._wrapped(inner))
        order = node.args.get("order")
        if order is not None:
            for item in order.expressions:
                item.replace(_ordered(item.this.copy(), bool(item.args.get("desc"))))

    def _as_the_other(self, a: Column, b: Column, at: int, node: exp.SetOperation) -> tuple[Column, Column]:
        """Give a column that is NULL in all rows of one side the type that it has on the other."""
        first, second = (_nulls(node.args[key].unnest(), at) for key in ("this", "expression"))
        if bool(first) == bool(second):
            return a, b
        datatype = (b if first else a).datatype
        for null in first or second:
            null.replace(_null_of(datatype))
        return replace(a, datatype=datatype), replace(b, datatype=datatype)

    def _wrapped(self, query: exp.Query) -> exp.Query:
        """Return a SELECT from a query: SQLite allows nothing else in a set operation."""
        names = [column.name for column in self._columns[id(query)]]
        outer = exp.Select(expressions=[exp.alias_(relations.column(n, "_s"), n, quoted=True) for n in names])
        outer.set("from_", exp.From(this=relations.named(query, "_s")))
        return outer

    def _translate_select(self, select: exp.Select, scope: Scope) -> None:
        _expand_aliases(select)
        _check_groups(select)
        tables = {
            name: self._tables.by_name[source.db, source.name]
            for name, source in scope.sources.items()
            if isinstance(source, exp.Table)
        }
        if _is_single(select, tables):
            select.meta[SINGLE] = True
        mark_ids(select, tables)
        if self._parameters.engine == relations.POSTGRESQL:
            exclude(select, tables)
        self._mark_footprints(scope)
        cuts = find_cuts(select, lambda alias: tables[alias].position if alias in tables else None)
        further = list(implied(select, tables, self._parameters.engine, cuts, self._outer_tables(scope)))
        values = ValueTranslator(self._resolver(scope))
        chosen = {
            alias: [name_images(values.condition(node), tables) for node in nodes]
            for alias, nodes in conditions_on_images(select, tables).items()
        }
        select.set("expressions", [values.projection(one) for one in select.expressions])
        for key in ("where", "having"):
            if select.args.get(key) is not None:
                select.args[key].set("this", values.condition(select.args[key].this))
        for condition in further:
            select.where(condition, copy=False)
        for join in select.args.get("joins") or ():
            if join.args.get("on") is not None:
                join.set("on", values.condition(join.args["on"]))
        group = select.args.get("group")
        if group is not None:
            group.set("expressions", [_never_bare(values.value(one)) for one in group.expressions])
        order = select.args.get("order")
        if order is not None:
            items = [_ordered(values.value(one.this), bool(one.args.get("desc"))) for one in order.expressions]
            order.set("expressions", items)
        self._columns[id(select)] = tuple(self._described(one, scope) for one in select.expressions)
        self._place_tables(select, scope, tables, cuts, chosen)

    def _resolver(self, scope: Scope) -> Callable[[exp.Column], Column]:
        def resolve(node: exp.Column) -> Column:
            at: Scope | None = scope
            while at is not None:
                source = at.sources.get(node.table)
                if isinstance(source, exp.Table):
                    table = self._tables.by_name[source.db, source.name]
                    found = table.column(node.name)
                    if found is not None:
                        return found
                elif source is not None:
                    columns = self._columns.get(id(source.expression), ())
                    found = next((one for one in columns if one.name == node.name), None)
                    if found is not None:
                        return replace(found, datatype=found.published.datatype)
                at = at.parent
            raise QueryError(f"there is no column {node.name[:60]!r}")

        return resolve

    def _outer_tables(self, scope: Scope) -> Mapping[str, Table]:
        """Return the archive's own tables of the SELECTs around one, by alias, without names that it uses itself."""
        found: dict[str, Table | None] = dict.fromkeys(scope.sources)
        while scope.parent is not None:
            scope = scope.parent
            for name, source in scope.sources.items():
                own = self._tables.by_name[source.db, source.name] if isinstance(source, exp.Table) else None
                found.setdefault(name, own)
        return {name: one for name, one in found.items() if one is not None and one.schema == SCHEMA}

    def _mark_footprints(self, scope: Scope) -> None:
        """Mark the columns that represent the footprint of a table's row; through a subquery they are only text."""
        for node in scope.columns:
            at: Scope | None = scope
            while at is not None and node.table not in at.sources:
                at = at.parent
            source = at.sources[node.table] if at is not None else None
            if node.name == REGION and isinstance(source, exp.Table):
                node.meta[FOOTPRINT] = self._tables.by_name[source.db, source.name].footprints

    def _described(self, projection: exp.Expr, scope: Scope) -> Column:
        """Return the description of a column of the answer: a table's column, or a computed one."""
        value = projection.unalias()
        inner = (
            value.this if isinstance(value, exp.Cast) and kind_of(value.this) in (kind_of(value), "truth") else value
        )
        name = projection.alias_or_name
        if isinstance(inner, exp.Column):
            found = self._resolver(scope)(inner)
            return replace(found.published, name=name)
        if value.type is not None and value.type.this == exp.DType.BOOLEAN:
            raise QueryError(f"{name[:60]!r} is a truth value, which cannot be a column of an answer: use CASE")
        kind = value.type.this if value.type is not None else None
        return Column(name, "unicodeChar" if kind is None else _DATATYPES.get(kind, "double"))

    def _place_tables(
        self,
        select: exp.Select,
        scope: Scope,
        tables: Mapping[str, Table],
        cuts: Cuts,
        chosen: Mapping[str, list[exp.Expr]],
    ) -> None:
        from_ = select.args.get("from_")
        places = ([from_] if from_ is not None else []) + list(select.args.get("joins") or ())
        for place in places:
            node = place.this
            if not isinstance(node, exp.Table) or node.alias_or_name not in tables:
                continue
            alias = node.alias_or_name
            if scope.sources.get(alias) is not node and not isinstance(scope.sources.get(alias), exp.Table):
                continue
            # an inner SELECT may use the name for another table, with other columns
            used = {one.name for one in select.find_all(exp.Column) if one.table == alias}
            named = {name for name in used if tables[alias].column(name) is not None or name.startswith("_")}
            if select.args.get("order") is not None and tables[alias].key:
                named.add(tables[alias].key)
            columns = sorted(named)
            place.set("this", self._relation(tables[alias], alias, columns, tables, cuts, select, chosen))
        if self._parameters.engine != relations.POSTGRESQL:
            _put_first(select, [one for one in tables if tables[one].indexed and cuts.cells(one) is not None])

    def _relation(
        self,
        table: Table,
        alias: str,
        columns: list[str],
        tables: Mapping[str, Table],
        cuts: Cuts,
        select: exp.Select,
        chosen: Mapping[str, list[exp.Expr]],
    ) -> exp.Expr:
        if table.schema == UPLOADS:
            return relations.uploaded(self._uploads[table.name], alias, self._parameters)
        names = columns or [table.columns[0].name]
        margin = (relations.OBJECT_REACH + CELL_SLACK) / 3600.0 if table.of_objects else 0.0
        cells = None
        if table.position is not None:
            cells = cuts.cells_around(alias, margin) if table.of_objects else cuts.cells(alias)
        if cells is not None:
            return self._rows(table, alias, names, cells)
        for tie in cuts.ties:
            if tie.to == alias and tie.one in tables and tables[tie.one].schema == UPLOADS:
                ranges = self._uploads[tables[tie.one].name].ranges(tie.lon, tie.lat, tie.radius + margin)
                if ranges is not None:
                    self._tie_keys(alias, tie, select)
                    return self._rows(table, alias, names, ranges)
        if alias in chosen:
            return rows_of_images(table, alias, names, chosen[alias], self._parameters.engine)
        return self._rows(table, alias, columns if table.relation is not None else names, None)

    def _rows(self, table: Table, alias: str, columns: list[str], cells: Cells) -> exp.Expr:
        """Return a table, or its rows in ranges of cells, with the number of the upload's row if there are uploads."""
        parameters = self._parameters
        if table.relation is not None:
            return relations.named(table.relation(parameters, columns, cells), alias)
        if cells is None:
            return relations.physical(table.name, alias)
        if table.of_objects:
            return relations.objects_in_ranges(table.name, alias, columns, parameters, cells)
        if len(cells) == 3:
            return relations.in_keyed_ranges(table.name, alias, columns, parameters, cells)
        return relations.in_ranges(table.name, alias, columns, cells, parameters.engine)

    def _tie_keys(self, alias: str, tie: Tie, select: exp.Select) -> None:
        """Tie each row around an uploaded position to this position."""
        self.upload_join = True
        same = exp.EQ(this=relations.column(relations.KEY, alias), expression=relations.column(relations.KEY, tie.one))
        place = next((one for one in select.args.get("joins") or () if one.side == "LEFT" and one.this.alias_or_name == alias), None)  # fmt: skip  # noqa: E501
        if place is not None:
            place.set("on", exp.and_(place.args["on"], same, copy=False))
        else:
            select.where(same, copy=False)


def _is_cut(query: exp.Query) -> bool:
    """Return whether TOP leaves one row at most."""
    limit = query.args.get("limit")
    return limit is not None and int(limit.expression.this) <= 1


def _is_single(select: exp.Select, tables: Mapping[str, Table]) -> bool:
    """Return whether a SELECT, as it was written, can have no more than one row."""
    if _is_cut(select):
        return True
    having = select.args.get("having")
    parts = select.expressions if having is None else [having.this]
    if select.args.get("group") is None and any(_aggregates(one) for one in parts):
        return True
    where = select.args.get("where")
    if where is None or select.args.get("joins") or len(tables) != 1:
        return False
    ((alias, table),) = tables.items()
    for one in where.this.flatten() if isinstance(where.this, exp.And) else [where.this]:
        for this, other in ((one.left, one.right), (one.right, one.left)) if isinstance(one, exp.EQ) else ():
            own = isinstance(this, exp.Column) and (this.table, this.name) == (alias, table.key)
            if own and not any(column.table == alias for column in other.find_all(exp.Column)):
                return True
    return False


def _put_first(select: exp.Select, areas: list[str]) -> None:
    """Move tables within areas to the front of FROM: SQLite would read the area again for each row of those before."""
    joins = select.args.get("joins") or []
    if not areas or any(join.side for join in joins):
        return
    items = [select.args["from_"].this, *(join.this for join in joins)]
    if items[0].alias_or_name in areas:
        return
    for join in joins:
        if join.args.get("on") is not None:
            select.where(join.args["on"], copy=False)
    first, *others = sorted(items, key=lambda item: item.alias_or_name not in areas)
    select.set("from_", exp.From(this=first))
    select.set("joins", [exp.Join(this=item) for item in others])


def _expand_aliases(select: exp.Select) -> None:
    """Replace names in ORDER BY by their values."""
    order = select.args.get("order")
    named = {one.alias_or_name: one.unalias() for one in select.expressions}
    for item in order.expressions if order is not None else ():
        key = item.this
        inside = key.find_all(exp.Column) if not isinstance(key, exp.Column) else ()
        for column in [one for one in inside if not one.table and one.name in named]:
            column.replace(exp.Paren(this=named[column.name].copy()))
        if isinstance(key, exp.Column) and not key.table and key.name in named:
            item.set("this", named[key.name].copy())


def _ordered(value: exp.Expr, desc: bool) -> exp.Ordered:
    return exp.Ordered(this=ordered_as_bytes(_never_bare(value)), desc=desc, nulls_first=False)


def _never_bare(value: exp.Expr) -> exp.Expr:
    """Return a value for ORDER BY or GROUP BY, where PostgreSQL takes no bare NULL."""
    return _null_of("unicodeChar") if isinstance(value, exp.Null) else value


def _null_of(datatype: str) -> exp.Expr:
    kind = SQL_KINDS[datatype]
    return of_kind(exp.Cast(this=exp.Null(), to=exp.DataType(this=kind)), kind)


def _nulls(query: exp.Expr, at: int) -> list[exp.Expr]:
    """Return the NULLs of a column, if it is nothing else in any SELECT of a query."""
    if isinstance(query, exp.SetOperation):
        first, second = (_nulls(query.args[key].unnest(), at) for key in ("this", "expression"))
        return [*first, *second] if first and second else []
    value = query.selects[at].unalias() if isinstance(query, exp.Query) else query
    return [value] if isinstance(value, exp.Null) else []


def _common(a: Column, b: Column) -> Column:
    """Return the common description of a column of both sides of a set operation."""
    if a.datatype == b.datatype:
        return a
    order = ["short", "int", "long", "float", "double"]
    if a.datatype in order and b.datatype in order:
        return replace(a, datatype=order[max(order.index(a.datatype), order.index(b.datatype))])
    raise QueryError(
        f"column {a.name[:60]!r} is {a.datatype} on one side of the set operation, {b.datatype} on the other"
    )


def _check_groups(select: exp.Select) -> None:
    """Refuse columns that a group does not determine, for which the engines would differ."""
    group = select.args.get("group")
    where, joins = select.args.get("where"), select.args.get("joins") or ()
    for word, ones in (
        ("WHERE", [where.this] if where is not None else []),
        ("ON", [join.args["on"] for join in joins if join.args.get("on") is not None]),
        ("GROUP BY", group.expressions if group is not None else []),
    ):
        if any(_aggregates(one) for one in ones):
            raise QueryError(f"{word} takes no aggregate functions")
    parts = [one.unalias() for one in select.expressions]
    having, order = select.args.get("having"), select.args.get("order")
    parts += [having.this] if having is not None else []
    parts += [one.this for one in order.expressions] if order is not None else []
    if group is None and having is None and not any(_aggregates(one) for one in parts):
        return
    keys = {one.sql() for one in group.expressions} if group is not None else set()
    own = _aliases(select)
    stack: list[tuple[exp.Expr, frozenset[str] | None]] = [(part, None) for part in parts]
    while stack:
        node, hidden = stack.pop()  # names that inner SELECTs give to their own tables
        if node.sql() in keys or (hidden is None and _is_aggregate(node)):
            continue
        if isinstance(node, exp.Select):
            hidden = (hidden or frozenset()) | _aliases(node)
        if isinstance(node, exp.Column) and (hidden is None or node.table in own - hidden):
            raise QueryError(f"column {node.name!r} stands neither in GROUP BY nor in an aggregate function")
        stack += [(one, hidden) for one in node.iter_expressions()]


def _aliases(select: exp.Select) -> frozenset[str]:
    """Return the names of the tables of a SELECT."""
    from_ = select.args.get("from_")
    places = [*([from_] if from_ is not None else []), *(select.args.get("joins") or ())]
    return frozenset(place.this.alias_or_name for place in places)


def _is_aggregate(node: exp.Expr) -> bool:
    return isinstance(node, exp.Anonymous) and node.name.upper() in AGGREGATES


def _aggregates(node: exp.Expr) -> bool:
    return any(_is_aggregate(one) for one in node.walk(prune=lambda n: isinstance(n, exp.Subquery)))
