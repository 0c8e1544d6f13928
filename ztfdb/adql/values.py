"""Translate values and conditions of one SELECT into nodes with the same meaning on both engines."""

from __future__ import annotations

from collections.abc import Callable

from sqlglot import exp

from ztfdb.adql.functions import (
    INTEGERS,
    alike,
    as_double,
    call,
    double,
    floor,
    kind_of,
    not_zero,
    of_kind,
    ordered_as_bytes,
    translate_call,
    when,
    widest,
)
from ztfdb.adql.geometry import is_footprint, is_geometry, translate_geometry
from ztfdb.adql.tables import SQL_KINDS, Column
from ztfdb.errors import QueryError

SINGLE = "single"
"""Mark of a query that can have no more than one row."""

_SHAPES = {"POINT", "CIRCLE", "BOX", "POLYGON"}


class ValueTranslator:
    """Translates the values of one SELECT, whose inner SELECTs are already translated.

    Parameters
    ----------
    resolve : callable
        Returns the `Column` of a qualified column node.
    """

    def __init__(self, resolve: Callable[[exp.Column], Column]) -> None:
        self._resolve = resolve

    def projection(self, node: exp.Expr) -> exp.Expr:
        """Return a column of the answer under its name."""
        name = exp.to_identifier(node.alias_or_name or "expr", quoted=True)
        value = self.value(node.unalias())
        if isinstance(value, exp.Subquery):  # its own name, which sqlglot gives it
            value.set("alias", None)
        made = exp.Alias(this=value, alias=name)
        made.type = value.type
        return made

    def condition(self, node: exp.Expr) -> exp.Expr:
        """Return a condition.

        Raises
        ------
        QueryError
            If the node is a value.
        """
        made = self.value(node)
        if kind_of(made) != "truth":
            raise QueryError("WHERE, ON and HAVING take a condition: compare CONTAINS and INTERSECTS with 1")
        return made

    def value(self, node: exp.Expr) -> exp.Expr:
        """Return a value with its type set."""
        make = getattr(self, f"_{type(node).__name__.lower()}", None)
        if make is None:
            raise QueryError(f"{node.key.upper()} is not part of the supported ADQL")
        return make(node)  # type: ignore[no-any-return]

    def _column(self, node: exp.Column) -> exp.Expr:
        found = self._resolve(node)
        of_kind(node, SQL_KINDS[found.datatype])
        if found.datatype == "float":
            return as_double(node)
        if found.datatype == "boolean":
            return of_kind(exp.Cast(this=node, to=exp.DataType(this=exp.DType.INT)), exp.DType.INT)
        return node

    def _coalesce(self, node: exp.Coalesce) -> exp.Expr:
        """Return a column of USING of an outer join; the COALESCE of a client is a call."""
        values = [self.value(one) for one in (node.this, *node.expressions)]
        kind = values[0].type
        assert kind is not None
        return of_kind(exp.Coalesce(this=values[0], expressions=values[1:]), kind.this)

    def _literal(self, node: exp.Literal) -> exp.Expr:
        if node.is_string:
            return of_kind(node, exp.DType.TEXT)
        if node.is_int:
            return of_kind(node, exp.DType.BIGINT)
        return double(float(node.this))

    def _null(self, node: exp.Null) -> exp.Expr:
        return node

    def _star(self, node: exp.Star) -> exp.Expr:
        return node

    def _paren(self, node: exp.Paren) -> exp.Expr:
        inner = self.value(node.this)
        return of_type(exp.Paren(this=inner), inner)

    def _neg(self, node: exp.Neg) -> exp.Expr:
        inner = self._numeric(node.this, "-")
        return of_type(exp.Neg(this=exp.Paren(this=inner) if isinstance(inner, exp.Neg) else inner), inner)

    def _add(self, node: exp.Add) -> exp.Expr:
        return self._arithmetic(node)

    def _sub(self, node: exp.Sub) -> exp.Expr:
        return self._arithmetic(node)

    def _mul(self, node: exp.Mul) -> exp.Expr:
        return self._arithmetic(node)

    def _div(self, node: exp.Div) -> exp.Expr:
        return self._arithmetic(node)

    def _arithmetic(self, node: exp.Binary) -> exp.Expr:
        sign = {"add": "+", "sub": "-", "mul": "*", "div": "/"}[node.key]
        a, b = self._numeric(node.this, sign), self._numeric(node.expression, sign)
        if kind_of(a) == kind_of(b) == "integer":
            kind = exp.DType.BIGINT
            a = _big(a)
        else:
            kind = exp.DType.DOUBLE
            a, b = as_double(a), as_double(b)
        if isinstance(node, exp.Div):
            divisor = b if isinstance(b, exp.Literal) and b.this != "0" else not_zero(b)
            return of_kind(exp.Div(this=a, expression=divisor, typed=True, safe=False), kind)
        return of_kind(type(node)(this=a, expression=b), kind)

    def _numeric(self, node: exp.Expr, sign: str) -> exp.Expr:
        made = self.value(node)
        if kind_of(made) in ("text", "truth"):
            raise QueryError(f"{sign} takes numbers")
        return made

    def _dpipe(self, node: exp.DPipe) -> exp.Expr:
        a, b = self.value(node.this), self.value(node.expression)
        if {kind_of(a), kind_of(b)} - {"text", "unknown"}:
            raise QueryError("|| joins texts: CAST numbers to VARCHAR")
        return of_kind(exp.DPipe(this=a, expression=b, safe=False), exp.DType.TEXT)

    def _and(self, node: exp.And) -> exp.Expr:
        return _truth(exp.And(this=self.condition(node.this), expression=self.condition(node.expression)))

    def _or(self, node: exp.Or) -> exp.Expr:
        return _truth(exp.Or(this=self.condition(node.this), expression=self.condition(node.expression)))

    def _not(self, node: exp.Not) -> exp.Expr:
        inner = self.condition(node.this)
        return _truth(exp.Not(this=inner if isinstance(inner, exp.Paren) else exp.Paren(this=inner)))

    def _eq(self, node: exp.EQ) -> exp.Expr:
        return self._comparison(node)

    def _neq(self, node: exp.NEQ) -> exp.Expr:
        return self._comparison(node)

    def _lt(self, node: exp.LT) -> exp.Expr:
        return self._comparison(node)

    def _lte(self, node: exp.LTE) -> exp.Expr:
        return self._comparison(node)

    def _gt(self, node: exp.GT) -> exp.Expr:
        return self._comparison(node)

    def _gte(self, node: exp.GTE) -> exp.Expr:
        return self._comparison(node)

    def _comparison(self, node: exp.Binary) -> exp.Expr:
        a, b = self.value(node.this), self.value(node.expression)
        _check_alike(a, b)
        return _truth(type(node)(this=ordered_as_bytes(a), expression=b))

    def _between(self, node: exp.Between) -> exp.Expr:
        this, low, high = (self.value(node.args[key]) for key in ("this", "low", "high"))
        _check_alike(this, low)
        _check_alike(this, high)
        return _truth(exp.Between(this=ordered_as_bytes(this), low=low, high=high))

    def _is(self, node: exp.Is) -> exp.Expr:
        inner = node.expression
        if not isinstance(inner, exp.Null) and not (isinstance(inner, exp.Not) and isinstance(inner.this, exp.Null)):
            raise QueryError("IS must be followed by NULL or NOT NULL")
        return _truth(exp.Is(this=self.value(node.this), expression=inner))

    def _in(self, node: exp.In) -> exp.Expr:
        this = self.value(node.this)
        query = node.args.get("query")
        if query is not None:
            _check_alike(this, _one_column(query))
            return _truth(exp.In(this=this, query=query))
        items = [self.value(one) for one in node.expressions]
        for one in items:
            _check_alike(this, one)
        return _truth(exp.In(this=this, expressions=items))

    def _exists(self, node: exp.Exists) -> exp.Expr:
        return _truth(node)

    def _like(self, node: exp.Like) -> exp.Expr:
        return self._likeness(node, lambda x: x)

    def _ilike(self, node: exp.ILike) -> exp.Expr:
        def lower(x: exp.Expr) -> exp.Expr:
            return of_kind(exp.Anonymous(this="lower", expressions=[ordered_as_bytes(x)]), exp.DType.TEXT)

        return self._likeness(node, lower)

    def _likeness(self, node: exp.Binary, form: Callable[[exp.Expr], exp.Expr]) -> exp.Expr:
        a, b = self.value(node.this), self.value(node.expression)
        if {kind_of(a), kind_of(b)} - {"text", "unknown"}:
            raise QueryError("LIKE takes texts")
        made = exp.Like(this=form(a), expression=form(b))
        # turn off escaping: the engines' defaults differ
        return _truth(exp.Escape(this=made, expression=exp.Literal.string("\x01")))

    def _case(self, node: exp.Case) -> exp.Expr:
        given = node.this
        tests = [
            self.condition(one.this)
            if given is None
            else self._comparison(exp.EQ(this=given.copy(), expression=one.this))
            for one in node.args["ifs"]
        ]
        values = [self.value(one.args["true"]) for one in node.args["ifs"]]
        default = None if node.args.get("default") is None else self.value(node.args["default"])
        every = [*values, *([] if default is None else [default])]
        every = alike(every, "CASE")
        ifs = [exp.If(this=test, true=value) for test, value in zip(tests, every, strict=False)]
        made: exp.Expr = exp.Case(ifs=ifs, default=None if default is None else every[-1])
        made.type = widest(every)
        return made

    def _cast(self, node: exp.Cast) -> exp.Expr:
        value, kind = self.value(node.this), node.to.this
        source = kind_of(value)
        if kind in INTEGERS and source in ("integer", "real", "unknown"):
            whole = value
            if source == "real":  # one engine rounds, the other truncates
                whole = when(exp.GTE(this=value.copy(), expression=double(0.0)), floor(value), call("ceil", value.copy()))  # fmt: skip  # noqa: E501
            made = of_kind(exp.Cast(this=whole, to=exp.DataType(this=kind)), kind)
            return made if _fits(value, kind) else when(_within(value, kind), made)
        if kind in (exp.DType.FLOAT, exp.DType.DOUBLE) and source in ("integer", "real", "unknown"):
            return as_double(value)
        if kind in (exp.DType.VARCHAR, exp.DType.CHAR, exp.DType.TEXT) and source in ("integer", "text", "unknown"):
            made = of_kind(exp.Cast(this=value, to=exp.DataType(this=exp.DType.TEXT)), exp.DType.TEXT)
            if not node.to.expressions:
                return made
            length = node.to.expressions[0].this
            if not (isinstance(length, exp.Literal) and length.is_int):
                raise QueryError(f"the length of {node.to.sql()[:40]} is not a whole number")
            return of_kind(
                exp.Anonymous(this="substr", expressions=[made, exp.Literal.number("1"), length.copy()]), exp.DType.TEXT
            )
        raise QueryError(f"CAST of {source} to {node.to.sql()[:40]} is not supported")

    def _subquery(self, node: exp.Expr) -> exp.Expr:
        made = _one_column(node)
        if not node.unnest().meta.get(SINGLE):  # SQLite would take any of its rows, PostgreSQL fails at the second
            wanted = "an aggregate function, TOP 1, or = for the key of its table"
            raise QueryError(f"a subquery used as a value may have several rows, expected {wanted}")
        return made

    def _distinct(self, node: exp.Distinct) -> exp.Expr:
        values = [self.value(one) for one in node.expressions]
        if len(values) != 1:
            raise QueryError("DISTINCT in a function takes one value")
        return of_type(exp.Distinct(expressions=values), values[0])

    def _anonymous(self, node: exp.Anonymous) -> exp.Expr:
        name = node.name.upper()
        if is_geometry(node):
            return translate_geometry(self._shaped(node))
        if name in ("ROUND", "TRUNCATE") and len(node.expressions) == 2:
            node.set("expressions", [self.value(node.expressions[0]), node.expressions[1]])
            return translate_call(node)
        node.set("expressions", [self.value(one) for one in node.expressions])
        return translate_call(node)

    def _shaped(self, node: exp.Anonymous) -> exp.Anonymous:
        """Translate the coordinates of nested shapes; numbers stay as written."""
        made: list[exp.Expr] = []
        name = node.name.upper()
        for at, one in enumerate(node.expressions):
            if isinstance(one, exp.Anonymous) and one.name.upper() in _SHAPES:
                made.append(self._shaped(one))
            elif is_footprint(one):
                made.append(one)
            elif isinstance(one, exp.Literal):
                made.append(of_kind(one, exp.DType.TEXT if one.is_string else exp.DType.DOUBLE))
            else:
                made.append(self.value(one))
            frame = at == 0 and name in _SHAPES and isinstance(one, exp.Literal)
            if name in (*_SHAPES, "DISTANCE") and not frame and kind_of(made[-1]) in ("text", "truth"):
                raise QueryError(f"{name} takes numbers, not text")
        node.set("expressions", made)
        return node


def _one_column(query: exp.Expr) -> exp.Expr:
    """Return a subquery with the type of its only column."""
    inner = query.unnest()
    projections = inner.selects if isinstance(inner, exp.Query) else []
    if len(projections) != 1:
        raise QueryError(f"a subquery used as a value has {len(projections)} columns, expected one")
    return of_type(query, projections[0])


def of_type(node: exp.Expr, like: exp.Expr) -> exp.Expr:
    """Return a node with the type of another."""
    node.type = like.type
    return node


def _truth(node: exp.Expr) -> exp.Expr:
    return of_kind(node, exp.DType.BOOLEAN)


def _big(node: exp.Expr) -> exp.Expr:
    """Return 64-bit integers: PostgreSQL would overflow at 32 bits, SQLite would not."""
    if isinstance(node, exp.Literal):
        return node
    return of_kind(exp.Cast(this=node, to=exp.DataType(this=exp.DType.BIGINT)), exp.DType.BIGINT)


_BITS = {exp.DType.SMALLINT: 15, exp.DType.INT: 31, exp.DType.BIGINT: 63}


def _fits(value: exp.Expr, kind: exp.DType) -> bool:
    """Return whether every value of a node is one of a type of integers, so that the cast needs no look."""
    if isinstance(value, exp.Literal) and value.is_int:
        return int(value.this) < 1 << _BITS[kind]
    bits: int = _BITS.get(value.type.this, 64) if value.type is not None else 0
    return bits <= _BITS[kind]


def _within(value: exp.Expr, kind: exp.DType) -> exp.Expr:
    """Return whether the whole part of a number is a value of a type: one engine refuses others, one changes them."""
    end = 1 << _BITS[kind]
    if kind_of(value) == "integer":
        low = exp.Neg(this=exp.Literal.number(str(end)))
        return exp.Between(this=value.copy(), low=low, high=exp.Literal.number(str(end - 1)))
    # of a double of 2^63 only the bound itself is exact
    big = kind == exp.DType.BIGINT
    above = (exp.GTE if big else exp.GT)(this=value.copy(), expression=double(-end - (0.0 if big else 1.0)))
    return exp.and_(above, exp.LT(this=value.copy(), expression=double(float(end))), copy=False)


def _check_alike(a: exp.Expr, b: exp.Expr) -> None:
    kinds = {kind_of(a), kind_of(b)} - {"unknown"}
    if "truth" in kinds or ("text" in kinds and len(kinds) > 1):
        raise QueryError("a text can be compared only with a text, a number only with a number")
