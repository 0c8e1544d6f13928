"""Translate an ADQL statement into a SQL statement of an engine, with descriptions of its columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlglot import ErrorLevel, exp
from sqlglot.errors import OptimizeError, SqlglotError, UnsupportedError
from sqlglot.optimizer.qualify import qualify
from sqlglot.optimizer.scope import traverse_scope

from ztfdb.adql.grammar import Adql, parse
from ztfdb.adql.relations import DIALECTS, Parameters
from ztfdb.adql.selects import SelectTranslator
from ztfdb.adql.shapes import Template, learn
from ztfdb.adql.slots import shape_of
from ztfdb.adql.tables import Column, Tables
from ztfdb.adql.uploads import Upload
from ztfdb.errors import QueryError

LONGEST_SHAPE = 8_000
"""Maximum characters of a statement whose shape is determined."""

SEEN = "seen once"
"""Cached for a shape seen once: deriving a template takes three translations, so it waits for the second time."""

WITHOUT_TEMPLATE = "translated each time"


@dataclass(frozen=True)
class Translation:
    """A statement for an engine.

    Attributes
    ----------
    sql : str
    values : list or dict
        Its parameters, in the driver's form.
    columns : tuple of Column
        Columns of the answer.
    limit : int
        Rows that the client gets; the statement requests one more, to detect truncation.
    upload_join : bool
        Whether uploaded positions are joined by their cells.
    base : str
        Address of the service.
    """

    sql: str
    values: Any
    columns: tuple[Column, ...]
    limit: int
    upload_join: bool
    base: str = ""


@dataclass(frozen=True)
class Learned:
    """The template of a shape, and a translation of one of its statements."""

    template: Template
    made: Translation


def translate(
    text: str,
    tables: Tables,
    engine: str,
    max_rows: int,
    uploads: Sequence[Upload] = (),
    *,
    max_characters: int = 65_536,
    base: str = "",
) -> Translation:
    """Translate a statement, using the cached template of its shape if there is one (`ztfdb.adql.shapes`).

    Parameters
    ----------
    text : str
        ADQL 2.0 or 2.1.
    tables : Tables
        The tables that it may use.
    engine : str
        ``sqlite`` or ``postgresql``.
    max_rows : int
        Maximum rows of the answer.
    uploads : sequence of Upload
        Uploaded tables, in the schema ``tap_upload``.
    max_characters : int
    base : str
        Address of the service, for links in the answer.

    Returns
    -------
    Translation

    Raises
    ------
    QueryError
        If it is not ADQL, uses unknown names, or is invalid.
    """

    def afresh(text: str) -> Translation:
        return translate_afresh(text, tables, engine, max_rows, uploads, max_characters=max_characters, base=base)

    shape = None if uploads or len(text) > min(LONGEST_SHAPE, max_characters) else shape_of(text)
    if shape is None:
        return afresh(text)
    key = (shape.key, engine, max_rows, base)
    known = tables.templates.get(key)
    if isinstance(known, Learned) and (sql := known.template.filled(shape.values)) is not None:
        return replace(known.made, sql=sql)
    made = afresh(text)
    if known is None:
        tables.templates.put(key, SEEN)
    elif known is SEEN:
        found = learn(shape, engine, afresh, made)
        tables.templates.put(key, WITHOUT_TEMPLATE if found is None else Learned(found, made))
    return made


def translate_afresh(
    text: str,
    tables: Tables,
    engine: str,
    max_rows: int,
    uploads: Sequence[Upload] = (),
    *,
    max_characters: int = 65_536,
    base: str = "",
) -> Translation:
    """Translate a statement without the cache; otherwise as `translate`."""
    tree = parse(text, max_characters)
    known = tables.with_more([one.table for one in uploads])
    parameters = Parameters(engine, base)
    try:
        _name_tables(tree, known)
        _name_columns(tree, uploads)
        tree = qualify(tree, schema=known.schema, dialect=Adql, quote_identifiers=True)
        _name_joined(tree)
        translator = SelectTranslator(known, parameters, {one.name: one for one in uploads})
        scopes = traverse_scope(tree)
        for scope in scopes:
            translator.translate_scope(scope)
        columns = translator.columns_of(scopes[-1])
        tree = translator.finish(tree, scopes[-1])
        tree = _limited(tree, max_rows)
        sql = tree.sql(dialect=DIALECTS[engine], unsupported_level=ErrorLevel.RAISE, copy=False, comments=False)
    except (OptimizeError, UnsupportedError) as exc:
        raise QueryError(_plain(exc)) from exc
    except SqlglotError as exc:
        raise QueryError("the statement cannot be understood") from exc
    except RecursionError as exc:
        raise QueryError("the statement is nested too deeply") from exc
    return Translation(sql, parameters.bound(), columns, max_rows, translator.upload_join, base)


def _name_tables(tree: exp.Query, tables: Tables) -> None:
    """Add the schema to every table, except names defined by WITH."""
    made = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    for node in tree.find_all(exp.Table):
        name = node.name if node.this.quoted else node.name.lower()
        schema = node.db.lower()
        if not schema and name in made:
            continue
        found = tables.find(name, schema)
        if found is None:
            shown = f"{schema}.{name}" if schema else name
            raise QueryError(f"there is no table {shown[:80]!r}; tap_schema.tables lists the tables")
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(name))
        node.set("this", exp.to_identifier(found.name, quoted=True))
        node.set("db", exp.to_identifier(found.schema, quoted=True))
        node.set("alias", alias)
    for join in tree.find_all(exp.Join):
        if join.method == "NATURAL":
            raise QueryError("NATURAL JOIN is not supported: name the columns with USING")


def _name_columns(tree: exp.Query, uploads: Sequence[Upload]) -> None:
    """Write quoted names of uploaded columns as the database has them; names that the statement makes stay."""
    spelled = {name for one in uploads for name in one.spelled}
    spelled -= {node.alias for node in tree.find_all(exp.Alias)}
    for node in tree.find_all(exp.Column) if spelled else ():
        if isinstance(node.this, exp.Identifier) and node.this.quoted and node.name in spelled:
            node.this.set("this", node.name.lower())


def _name_joined(tree: exp.Query) -> None:
    """Replace columns of USING, which sqlglot makes COALESCE of both sides, by the left one, if no row lacks that."""
    for node in list(tree.find_all(exp.Coalesce)):
        select = node.find_ancestor(exp.Select)
        assert select is not None
        if not any(join.side in ("RIGHT", "FULL") for join in select.args.get("joins") or ()):
            node.replace(node.this)


def _limited(tree: exp.Query, max_rows: int) -> exp.Query:
    limit = tree.args.get("limit")
    if limit is None or int(limit.expression.this) > max_rows:
        tree.set("limit", exp.Limit(expression=exp.Literal.number(max_rows + 1)))
    return tree


def _plain(exc: Exception) -> str:
    """Return sqlglot's error in ztfdb's wording, without its quotes of the statement."""
    text = str(exc).splitlines()[0]
    return text.split(". Line")[0].split(" for tables")[0]
