"""ADQL's functions as nodes with the same meaning on both engines, also where the engines differ.

=====================  ==============================================  =========================================
where they differ      PostgreSQL, SQLite                              here
=====================  ==============================================  =========================================
division by zero       an error, NULL                                  NULL
root, log of < 0       an error, NULL                                  NULL
exp, power overflow    an error, Infinity                              NULL
round(x, n)            none for doubles, away from zero                floor and ceil: away from zero
mod                    none for doubles, of integers                   a - b trunc(a / b), with the sign of a
log                    to base 10, natural with some builds            ln
LIKE                   with case, without                              with case; ILIKE compares lower case
a text's order         the database's language, bytes                  bytes
lower, upper           the database's language, ASCII                  ASCII
avg of integers        numeric, double                                 double
0.1                    numeric, double                                 double
cast(1.7 as integer)   2, 1                                            1
=====================  ==============================================  =========================================
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from sqlglot import exp

from ztfdb.errors import QueryError

LARGEST_EXPONENT = 709.0
SMALLEST_EXPONENT = -700.0
MAX_DIGITS = 15

INTEGERS = {exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT}
REALS = {exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.DECIMAL}
TEXTS = {exp.DType.TEXT, exp.DType.VARCHAR, exp.DType.CHAR}
AGGREGATES = {"COUNT", "SUM", "AVG", "MIN", "MAX"}

Args = list[Any]


def kind_of(node: exp.Expr) -> str:
    """Return ``integer``, ``real``, ``text``, ``truth`` or ``unknown``."""
    kind = node.type.this if node.type is not None else None
    for word, kinds in (("integer", INTEGERS), ("real", REALS), ("text", TEXTS), ("truth", {exp.DType.BOOLEAN})):
        if kind in kinds:
            return word
    return "unknown"


def of_kind(node: exp.Expr, kind: exp.DType) -> exp.Expr:
    """Return the node with its type set."""
    node.type = exp.DataType(this=kind)
    return node


def double(value: float) -> exp.Expr:
    """Return a number as a double: PostgreSQL would parse the digits as numeric."""
    literal = exp.Literal.number(repr(abs(value)))
    made = exp.Cast(this=literal, to=exp.DataType(this=exp.DType.DOUBLE))
    return of_kind(exp.Paren(this=exp.Neg(this=made)) if value < 0 else made, exp.DType.DOUBLE)


def as_double(node: exp.Expr) -> exp.Expr:
    """Return the node as a double."""
    if node.type is not None and node.type.this == exp.DType.DOUBLE:
        return node
    return of_kind(exp.Cast(this=node, to=exp.DataType(this=exp.DType.DOUBLE)), exp.DType.DOUBLE)


def call(name: str, *args: exp.Expr) -> exp.Expr:
    """Return a call of a function that both engines have and that returns a double."""
    return of_kind(exp.Anonymous(this=name.lower(), expressions=list(args)), exp.DType.DOUBLE)


def floor(node: exp.Expr) -> exp.Expr:
    """Return the floor, computed with ceil: SQLAlchemy's floor on SQLite is limited to 64-bit integers."""
    return of_kind(exp.Paren(this=exp.Neg(this=call("ceil", exp.Neg(this=exp.Paren(this=node))))), exp.DType.DOUBLE)


def mul(a: exp.Expr, b: exp.Expr) -> exp.Expr:
    """Return a product of doubles."""
    return of_kind(exp.Mul(this=_wrapped(a), expression=_wrapped(b)), exp.DType.DOUBLE)


def add(a: exp.Expr, b: exp.Expr) -> exp.Expr:
    """Return a sum of doubles."""
    return of_kind(exp.Add(this=_wrapped(a), expression=_wrapped(b)), exp.DType.DOUBLE)


def sub(a: exp.Expr, b: exp.Expr) -> exp.Expr:
    """Return a difference of doubles."""
    return of_kind(exp.Sub(this=_wrapped(a), expression=_wrapped(b)), exp.DType.DOUBLE)


def _wrapped(node: exp.Expr) -> exp.Expr:
    return exp.Paren(this=node) if isinstance(node, exp.Binary | exp.Neg) else node


def when(condition: exp.Expr, value: exp.Expr, otherwise: exp.Expr | None = None) -> exp.Expr:
    """Return CASE WHEN condition THEN value [ELSE otherwise] END, of the value's type."""
    made = exp.Case(ifs=[exp.If(this=condition, true=value)], default=otherwise)
    made.type = value.type
    return made


def either(*conditions: exp.Expr) -> exp.Expr:
    """Return whether any condition holds."""
    return exp.Paren(this=exp.or_(*conditions, copy=False)) if len(conditions) > 1 else conditions[0]


def translate_call(node: exp.Anonymous) -> exp.Expr:
    """Return the translation of a function call, whose arguments are already translated and typed.

    Raises
    ------
    QueryError
        If ADQL has no such function, or the arguments are invalid.
    """
    name = node.name.upper()
    args: Args = list(node.expressions)
    if name in AGGREGATES:
        return _aggregate(name, args)
    if name not in FUNCTIONS:
        raise QueryError(f"there is no function {node.name.upper()[:40]}")
    numbers, make = FUNCTIONS[name]
    if len(args) not in numbers:
        wanted = " or ".join(map(str, numbers))
        raise QueryError(f"{name} has {len(args)} arguments, expected {wanted}")
    return make(*args)


def _aggregate(name: str, args: Args) -> exp.Expr:
    if len(args) != 1:
        raise QueryError(f"{name} has {len(args)} arguments, expected 1")
    (argument,) = args
    if any(isinstance(one, exp.AggFunc) for one in argument.walk(prune=lambda node: isinstance(node, exp.Subquery))):
        raise QueryError(f"{name} of an aggregate function")
    if name == "COUNT":
        return of_kind(exp.Count(this=argument), exp.DType.BIGINT)
    if isinstance(argument, exp.Star):
        raise QueryError(f"{name}(*) is not part of ADQL")
    inner = argument.expressions[0] if isinstance(argument, exp.Distinct) else argument
    if name in ("MIN", "MAX"):
        made: Any = (exp.Min if name == "MIN" else exp.Max)(this=ordered_as_bytes(argument))
        made.type = inner.type
        return made  # type: ignore[no-any-return]
    if kind_of(inner) == "text":
        raise QueryError(f"{name} takes numbers, not text")
    if name == "SUM" and kind_of(inner) == "integer":
        return of_kind(exp.Cast(this=exp.Sum(this=argument), to=exp.DataType(this=exp.DType.BIGINT)), exp.DType.BIGINT)
    cast = as_double(inner)
    if isinstance(argument, exp.Distinct):
        cast = exp.Distinct(expressions=[cast])
    return of_kind((exp.Sum if name == "SUM" else exp.Avg)(this=cast), exp.DType.DOUBLE)


def ordered_as_bytes(node: exp.Expr) -> exp.Expr:
    """Return a text with a bytewise collation (SQLite's default); other nodes are unchanged."""
    if kind_of(node) != "text":
        return node
    return of_kind(exp.Collate(this=node, expression=exp.to_identifier("C", quoted=True)), exp.DType.TEXT)


def _number(node: exp.Expr, name: str) -> exp.Expr:
    if kind_of(node) in ("text", "truth"):
        raise QueryError(f"{name} takes numbers, not text")
    return as_double(node)


def _plain(name: str) -> Callable[..., exp.Expr]:
    return lambda x: call(name, _number(x, name.upper()))


def _guarded(name: str, condition: Callable[[Any], exp.Expr]) -> Callable[..., exp.Expr]:
    def make(x: Any) -> exp.Expr:
        value = _number(x, name.upper())
        return when(condition(value.copy()), call(name, value))

    return make


def _at_least(x: Any, bound: float) -> exp.Expr:
    return exp.GTE(this=x, expression=double(bound))


def _within_one(x: Any) -> exp.Expr:
    return exp.Between(this=x, low=double(-1.0), high=double(1.0))


def _exp(x: Any) -> exp.Expr:
    value = _number(x, "EXP")
    low = exp.LT(this=value.copy(), expression=double(SMALLEST_EXPONENT))
    made = when(low, double(0.0))
    made.set("ifs", [*made.args["ifs"], exp.If(this=exp.LTE(this=value.copy(), expression=double(LARGEST_EXPONENT)),
                                               true=call("exp", value))])  # fmt: skip
    return made


def _power(x: Any, y: Any) -> exp.Expr:
    base, exponent = _number(x, "POWER"), _number(y, "POWER")
    whole = exp.EQ(this=floor(exponent.copy()), expression=exponent.copy())
    positive = exp.GT(this=base.copy(), expression=double(0.0))
    negative = exp.and_(exp.LT(this=base.copy(), expression=double(0.0)), whole, copy=False)
    zero = exp.and_(
        exp.EQ(this=base.copy(), expression=double(0.0)),
        exp.GTE(this=exponent.copy(), expression=double(0.0)),
        copy=False,
    )
    size = call("ln", call("abs", when(exp.NEQ(this=base.copy(), expression=double(0.0)), base.copy(), double(1.0))))
    fits = exp.Between(this=mul(exponent.copy(), size), low=double(SMALLEST_EXPONENT), high=double(LARGEST_EXPONENT))
    return when(exp.and_(either(positive, negative, zero), fits, copy=False), call("power", base, exponent))


def _to_digits(x: Any, digits: Any, up: str) -> exp.Expr:
    """Return a number rounded away from zero (`up` is ``half``), or truncated, to some digits."""
    name = "ROUND" if up == "half" else "TRUNCATE"
    n = constant(digits) if digits is not None else 0.0
    if n is None or n != int(n) or abs(n) > MAX_DIGITS:
        raise QueryError(f"the digits of {name} must be a whole number, -{MAX_DIGITS}..{MAX_DIGITS}")
    value, scale = _number(x, name), 10.0 ** abs(int(n))
    scaled = value if n == 0 else mul(value, double(scale)) if n > 0 else _quotient(value, scale)
    half = 0.5 if up == "half" else 0.0
    positive = exp.GTE(this=value.copy(), expression=double(0.0))
    above = floor(add(scaled.copy(), double(half)) if half else scaled.copy())
    below = call("ceil", sub(scaled.copy(), double(half)) if half else scaled.copy())
    whole = when(positive, above, below)
    return whole if n == 0 else _quotient(whole, scale) if n > 0 else mul(whole, double(scale))


def _quotient(a: exp.Expr, b: float) -> exp.Expr:
    return _over(a, double(b))


def _over(a: exp.Expr, b: exp.Expr) -> exp.Expr:
    return of_kind(exp.Div(this=_wrapped(a), expression=b, typed=True), exp.DType.DOUBLE)


def _mod(x: Any, y: Any) -> exp.Expr:
    if kind_of(x) == kind_of(y) == "integer":
        return of_kind(exp.Mod(this=exp.Paren(this=x), expression=not_zero(y)), exp.DType.BIGINT)
    a, b = _number(x, "MOD"), _number(y, "MOD")
    ratio = _over(a.copy(), not_zero(b.copy()))
    return sub(a, mul(b, _to_digits(ratio, None, "cut")))


def not_zero(node: exp.Expr) -> exp.Expr:
    """Return a divisor that is NULL instead of zero."""
    zero = exp.Literal.number("0") if kind_of(node) == "integer" else double(0.0)
    made = exp.Anonymous(this="nullif", expressions=[node, zero])
    made.type = node.type
    return made


def _abs(x: Any) -> exp.Expr:
    if kind_of(x) == "integer":
        return of_kind(exp.Anonymous(this="abs", expressions=[x]), exp.DType.BIGINT)
    return call("abs", _number(x, "ABS"))


def _text(name: str) -> Callable[..., exp.Expr]:
    def make(x: Any) -> exp.Expr:
        if kind_of(x) not in ("text", "unknown"):
            raise QueryError(f"{name.upper()} takes text")
        return of_kind(exp.Anonymous(this=name, expressions=[ordered_as_bytes(x)]), exp.DType.TEXT)

    return make


def alike(values: Sequence[exp.Expr], what: str) -> list[exp.Expr]:
    """Return the alternatives of one value with one type: doubles, if any is one.

    Raises
    ------
    QueryError
        If they are not all numbers or all texts.
    """
    kinds = {kind_of(one) for one in values} - {"unknown"}
    if kinds == {"integer", "real"}:
        return [one if kind_of(one) == "unknown" else as_double(one) for one in values]
    if len(kinds) > 1:
        raise QueryError(f"the values of {what} must be all numbers or all texts")
    return list(values)


def widest(values: Sequence[exp.Expr]) -> exp.DataType | None:
    """Return the type that takes all of some values which are alike."""
    types = [one.type for one in values if one.type is not None and kind_of(one) != "unknown"]
    order = [exp.DType.SMALLINT, exp.DType.INT, exp.DType.BIGINT]
    return max(types, key=lambda one: order.index(one.this) if one.this in order else 0, default=None)


def _coalesce(*args: Any) -> exp.Expr:
    values = alike(args, "COALESCE")
    made: Any = exp.Coalesce(this=values[0], expressions=values[1:])
    made.type = widest(values)
    return made  # type: ignore[no-any-return]


def _cot(x: Any) -> exp.Expr:
    value = _number(x, "COT")
    return _over(call("cos", value), not_zero(call("sin", value.copy())))


def _atan2(y: Any, x: Any) -> exp.Expr:
    return call("atan2", _number(y, "ATAN2"), _number(x, "ATAN2"))


FUNCTIONS: dict[str, tuple[range | tuple[int, ...], Callable[..., exp.Expr]]] = {
    "ABS": ((1,), _abs),
    "CEILING": ((1,), _plain("ceil")),
    "FLOOR": ((1,), lambda x: floor(_number(x, "FLOOR"))),
    "DEGREES": ((1,), lambda x: mul(_number(x, "DEGREES"), double(180.0 / math.pi))),
    "RADIANS": ((1,), lambda x: mul(_number(x, "RADIANS"), double(math.pi / 180.0))),
    "PI": ((0,), lambda: double(math.pi)),
    "EXP": ((1,), _exp),
    "LOG": ((1,), _guarded("ln", lambda x: exp.GT(this=x, expression=double(0.0)))),
    "LOG10": ((1,), _guarded("log10", lambda x: exp.GT(this=x, expression=double(0.0)))),
    "POWER": ((2,), _power),
    "SQRT": ((1,), _guarded("sqrt", lambda x: _at_least(x, 0.0))),
    "MOD": ((2,), _mod),
    "ROUND": ((1, 2), lambda x, n=None: _to_digits(x, n, "half")),
    "TRUNCATE": ((1, 2), lambda x, n=None: _to_digits(x, n, "cut")),
    "SIN": ((1,), _plain("sin")),
    "COS": ((1,), _plain("cos")),
    "TAN": ((1,), _plain("tan")),
    "COT": ((1,), _cot),
    "ASIN": ((1,), _guarded("asin", _within_one)),
    "ACOS": ((1,), _guarded("acos", _within_one)),
    "ATAN": ((1,), _plain("atan")),
    "ATAN2": ((2,), _atan2),
    "LOWER": ((1,), _text("lower")),
    "UPPER": ((1,), _text("upper")),
    "COALESCE": (range(1, 20), _coalesce),
}
"""Number of arguments, and the function that makes the node."""


def constant(node: exp.Expr | None) -> float | None:
    """Return the value of numbers and arithmetic on them, None for anything else."""
    if isinstance(node, exp.Literal) and not node.is_string:
        return float(node.this)
    if isinstance(node, exp.Paren | exp.Cast):
        return constant(node.this)
    if isinstance(node, exp.Neg):
        value = constant(node.this)
        return None if value is None else -value
    if isinstance(node, exp.Add | exp.Sub | exp.Mul | exp.Div):
        a, b = constant(node.this), constant(node.expression)
        if a is None or b is None:
            return None
        if isinstance(node, exp.Div):
            whole = all(isinstance(one, exp.Literal) and one.is_int for one in (node.this, node.expression))
            return None if b == 0.0 else float(int(a / b)) if whole else a / b
        return a + b if isinstance(node, exp.Add) else a - b if isinstance(node, exp.Sub) else a * b
    return None
