"""Parse a statement into a tree of allowed nodes; anything else is a specific error.

The grammar is sqlglot's without its functions: a call is a name with arguments until `ztfdb.adql.functions` or
`ztfdb.adql.geometry` translates it.
"""

from __future__ import annotations

import re
from typing import ClassVar

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError, TokenError
from sqlglot.parser import Parser as BaseParser
from sqlglot.tokens import Tokenizer as BaseTokenizer
from sqlglot.tokens import TokenType  # type: ignore[attr-defined]

from ztfdb.errors import QueryError

MAX_CHARACTERS = 65_536
MAX_NESTING = 60
"""Maximum nesting of parentheses and CASEs."""

MAX_DEPTH = 150
"""Maximum depth of the tree, also of a chain of operators, which Python walks recursively."""

MAX_NODES = 20_000

_TOKEN = re.compile(
    r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|[()]|\b(?:case|end|not)\b|[^'"()\w]|\w+""", re.IGNORECASE
)

ALLOWED: tuple[type[exp.Expr], ...] = (
    exp.Select, exp.Union, exp.Except, exp.Intersect, exp.Subquery, exp.With, exp.CTE, exp.From, exp.Join, exp.Table,
    exp.TableAlias, exp.Alias, exp.Star, exp.Column, exp.Identifier, exp.Literal, exp.Null, exp.Distinct, exp.Where,
    exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset, exp.And, exp.Or, exp.Not, exp.Paren, exp.EQ,
    exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Between, exp.In, exp.Exists, exp.Is, exp.Like, exp.ILike, exp.Add,
    exp.Sub, exp.Mul, exp.Div, exp.Neg, exp.DPipe, exp.Case, exp.If, exp.Cast, exp.DataType, exp.DataTypeParam,
    exp.Anonymous, exp.Tuple,
)  # fmt: skip
"""Nodes that are allowed in a statement."""


class Adql(Dialect):
    """ADQL 2.0 and 2.1."""

    class Tokenizer(BaseTokenizer):
        """Adds TOP."""

        KEYWORDS: ClassVar = {**BaseTokenizer.KEYWORDS, "TOP": TokenType.TOP}

    class Parser(BaseParser):
        """Removes all functions except CAST."""

        FUNCTIONS: ClassVar = {}
        NO_PAREN_FUNCTIONS: ClassVar = {}
        FUNCTION_PARSERS: ClassVar = {"CAST": BaseParser.FUNCTION_PARSERS["CAST"]}


def parse(text: str, max_characters: int = MAX_CHARACTERS) -> exp.Query:
    """Return the tree of one statement.

    Raises
    ------
    QueryError
        If it is too long or too deeply nested, not ADQL, not a single statement that returns rows, or uses something
        that is not allowed.
    """
    _check_size(text, max_characters)
    try:
        statements = Adql().parse(text)
    except (ParseError, TokenError) as exc:
        raise QueryError(f"this is not ADQL: {_place(exc)}") from exc
    except RecursionError as exc:
        raise QueryError("the statement is nested too deeply") from exc
    statements = [one for one in statements if one is not None]
    if len(statements) != 1:
        raise QueryError(f"{len(statements)} statements, expected one")
    tree = statements[0]
    if isinstance(tree, exp.Subquery):
        tree = tree.unnest()
    if not isinstance(tree, exp.Select | exp.SetOperation):
        raise QueryError("expected a statement that begins with SELECT or WITH")
    _take_out_of_parentheses(tree)
    _check_nodes(tree)
    return tree


def _check_size(text: str, max_characters: int) -> None:
    if len(text) > max_characters:
        raise QueryError(f"the statement has {len(text):,} characters, at most {max_characters:,} are taken")
    if "\0" in text:
        raise QueryError("the statement holds a NUL character")
    depth = negations = 0
    for match in _TOKEN.finditer(text):
        token = match[0].lower()
        negations = negations + 1 if token == "not" else negations if token.isspace() or token == "(" else 0
        depth += (token in ("(", "case")) - (token in (")", "end"))
        if depth > MAX_NESTING or negations > MAX_NESTING:
            raise QueryError(f"the statement is nested more than {MAX_NESTING} deep")


def _take_out_of_parentheses(tree: exp.Query) -> None:
    """Join the tables of parentheses in FROM one after the other: `a join (b join c on p) on q` as ADQL allows."""
    for select in list(tree.find_all(exp.Select)):
        from_ = select.args.get("from_")
        if from_ is None:
            continue
        first, joins = _out_of_parentheses(from_.this)
        for join in select.args.get("joins") or ():
            table, further = _out_of_parentheses(join.this)
            join.set("this", table)
            condition = join.args.get("on") if further else None
            sides = ("",) if condition is not None else ("", "LEFT")
            inner = all(one.side in sides and one.args.get("on") is not None for one in further)
            if further and not (inner and not join.side and not join.args.get("using")):
                raise QueryError("a join in parentheses on the right of another must be an inner one; both take ON")
            if condition is not None:  # it may name all the tables
                join.set("on", None)
                join.set("kind", "CROSS")
                last = further[-1]
                last.set("on", exp.and_(last.args["on"], condition, copy=False))
            joins += [join, *further]
        from_.set("this", first)
        select.set("joins", joins)


def _out_of_parentheses(node: exp.Expr) -> tuple[exp.Expr, list[exp.Join]]:
    """Return the first table of an item of FROM, and the joins that follow it in parentheses."""
    joins: list[exp.Join] = []
    while isinstance(node, exp.Subquery) and isinstance(node.this, exp.Table | exp.Subquery):
        if node.args.get("alias") is not None:
            raise QueryError("tables in parentheses take no name")
        joins = [*(node.args.pop("joins", None) or ()), *joins]
        node = node.this
    if isinstance(node, exp.Table | exp.Subquery):
        joins = [*(node.args.pop("joins", None) or ()), *joins]
    return node, joins


def _check_nodes(tree: exp.Query) -> None:
    stack: list[tuple[exp.Expr, int]] = [(tree, 1)]
    count = 0
    while stack:
        node, depth = stack.pop()
        count += 1
        if depth > MAX_DEPTH:
            raise QueryError(f"the statement is nested more than {MAX_DEPTH} deep: shorten chains of operators, use IN")
        if count > MAX_NODES:
            raise QueryError(f"the statement has more than {MAX_NODES:,} parts")
        _check_node(node)
        stack += [(child, depth + 1) for child in node.iter_expressions()]


def _check_node(node: exp.Expr) -> None:
    if not isinstance(node, ALLOWED) or type(node) not in ALLOWED:
        raise QueryError(f"{node.key.upper()} is not part of the supported ADQL")
    if isinstance(node, exp.Select):
        _only(node, "SELECT", {"with_", "expressions", "distinct", "from_", "joins", "where", "group", "having",
                               "order", "limit", "offset"})  # fmt: skip
        if not node.expressions:
            raise QueryError("SELECT must be followed by columns or *")
    elif isinstance(node, exp.Table):
        if not isinstance(node.this, exp.Identifier) or node.catalog:
            raise QueryError(f"{_shown(node)} is not the name of a table")
        _only(node, "a table", {"this", "alias", "db"})
        if node.alias_column_names:
            raise QueryError(f"the name of {_shown(node)} takes no names of columns")
    elif isinstance(node, exp.Star):
        _only(node, "*", set())
    elif isinstance(node, exp.Group):
        _only(node, "GROUP BY", {"expressions"})
    elif isinstance(node, exp.With):
        _only(node, "WITH", {"expressions"})
    elif isinstance(node, exp.Join):
        _only(node, "JOIN", {"this", "on", "using", "side", "kind", "method"})
        if node.kind not in ("", "INNER", "OUTER", "CROSS") or node.method not in ("", "NATURAL"):
            raise QueryError(f"{node.method or node.kind} JOIN is not part of ADQL")
    elif isinstance(node, exp.Literal) and not node.is_string:
        _check_number(node)
    elif isinstance(node, exp.Distinct) and node.args.get("on"):
        raise QueryError("DISTINCT ON is not part of ADQL")
    elif isinstance(node, exp.Cast):
        _only(node, "CAST", {"this", "to"})
    elif isinstance(node, exp.In):
        _only(node, "IN", {"this", "expressions", "query"})
        if not node.expressions and node.args.get("query") is None:
            raise QueryError("IN () has no values")
    elif isinstance(node, exp.Limit) and not (isinstance(node.expression, exp.Literal) and node.expression.is_int):
        raise QueryError("TOP must be followed by a whole number")
    elif isinstance(node, exp.Offset) and not (isinstance(node.expression, exp.Literal) and node.expression.is_int):
        raise QueryError("OFFSET must be followed by a whole number")
    elif isinstance(node, exp.Tuple) and not isinstance(node.parent, exp.In):
        raise QueryError("a list in parentheses is allowed only after IN")


def _only(node: exp.Expr, what: str, known: set[str]) -> None:
    for name, value in node.args.items():
        if value and name not in known and name != "comments":
            raise QueryError(f"{name.strip('_').upper()} of {what} is not part of the supported ADQL")


def _check_number(node: exp.Literal) -> None:
    try:
        value = float(node.this)
    except ValueError:
        raise QueryError(f"{node.this} is not a number") from None
    if abs(value) == float("inf") or (node.is_int and int(node.this) > 2**63 - 1):
        raise QueryError(f"the number {node.this[:40]} is too large")


def _place(exc: Exception) -> str:
    """Return the error and its place, without sqlglot's copy of the statement."""
    errors = getattr(exc, "errors", None)
    if errors:
        first = errors[0]
        near = str(first.get("highlight") or "")[:40]
        return f"{_described(first['description'])} (line {first['line']}, column {first['col']}, at {near!r})"
    return "a text or a quoted name does not end" if isinstance(exc, TokenError) else str(exc).splitlines()[0]


def _described(words: str) -> str:
    """Return the words of sqlglot without the names of its classes."""
    missing = re.match(r"Required keyword: .* missing for <class '(?:\w+\.)*(\w+)'>", words)
    if missing:
        return f"{missing[1].upper()} is not complete"
    return re.sub(r" but got <Token .*", "", words, flags=re.DOTALL)


def _shown(node: exp.Expr) -> str:
    return repr(node.sql()[:60])
