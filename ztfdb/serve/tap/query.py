"""A TAP query: read from parameters, translated, run, written in the requested format."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ztfdb.adql.translate import Translation, translate
from ztfdb.adql.uploads import Upload
from ztfdb.errors import QueryError, ZtfdbError
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.limits import Limits
from ztfdb.serve.params import Parameters, shown
from ztfdb.serve.tap.formats import Format, find_format, make_writer
from ztfdb.serve.tap.schema import published
from ztfdb.serve.tap.upload import Results, read_uploads, rowsets
from ztfdb.store.readonly_stream import Reader

LANGUAGES = ("ADQL", "ADQL-2.0", "ADQL-2.1")


@dataclass(frozen=True)
class TapQuery:
    """A query of a client.

    Attributes
    ----------
    text : str
        The statement.
    form : Format
    max_rows : int
    uploads : tuple of Upload
    """

    text: str
    form: Format
    max_rows: int
    uploads: tuple[Upload, ...] = ()


@dataclass(frozen=True)
class Written:
    """What was written of an answer.

    Attributes
    ----------
    n_row : int
    overflow : bool
        It was truncated at the limit of rows.
    """

    n_row: int
    overflow: bool = False


def read_query(params: Parameters, limits: Limits, hard_limit: int, results: Results) -> TapQuery:
    """Return the query in the parameters.

    Raises
    ------
    ServiceError
        If a parameter is missing or invalid.
    """
    request = params.one("REQUEST", "doQuery") or ""
    if request.lower() != "doquery":
        raise ServiceError(f"REQUEST is {shown(request)}, expected doQuery")
    language = params.one("LANG", "ADQL") or ""
    if language.upper() not in LANGUAGES:
        raise ServiceError(f"LANG is {shown(language)}, expected one of {', '.join(LANGUAGES)}")
    text = params.one("QUERY")
    if text is None:
        raise ServiceError("QUERY is missing: expected a statement in ADQL")
    word = params.one("RESPONSEFORMAT") or params.one("FORMAT")
    max_rows = params.integer("MAXREC", limits.max_rows)
    uploads = tuple(read_uploads(params, limits, results))
    return TapQuery(text, find_format(word), min(max_rows or 0, hard_limit), uploads)


def translated(query: TapQuery, reader: Reader, limits: Limits, base: str) -> Translation:
    """Return the statement for the engine in use; links in its answer begin with the address `base`."""
    longest = limits.query_kb * 1024
    return translate(
        query.text, published(), reader.engine, query.max_rows, query.uploads, max_characters=longest, base=base
    )


def write_answer(
    query: TapQuery,
    translation: Translation,
    reader: Reader,
    put: Callable[[bytes], None],
    *,
    strict: bool = False,
    extra: str = "",
) -> Written:
    """Run a statement and pass on the answer in batches.

    Errors before the first byte are raised; later errors are written into the answer if its format allows it. With
    `strict` they are always raised. `extra` follows the table of a VOTable.
    """
    writer = make_writer(query.form, translation.columns, translation.base, extra)
    left, overflow, headed, begun = translation.limit, False, False, False
    integers = [at for at, one in enumerate(translation.columns) if one.datatype in ("short", "int", "long")]

    def pass_on(pieces: Iterable[bytes]) -> None:
        nonlocal begun
        for piece in pieces:
            if piece:
                begun = True
                put(piece)

    try:
        sql, values, join = translation.sql, translation.values, translation.upload_join
        for rows in reader.pieces(sql, values, rowsets(query.uploads), upload_join=join):
            _check_integers(rows, integers)
            if not headed:
                pass_on([writer.head()])
                headed = True
            overflow = len(rows) > left
            pass_on([writer.rows(rows[:left] if overflow else rows)])
            left -= min(left, len(rows))
            if overflow:
                break
    except (ZtfdbError, ServiceError) as exc:
        if strict or not begun:
            raise
        pass_on(writer.tail(error=str(exc) if isinstance(exc, QueryError | ServiceError) else "the database failed"))
        return Written(translation.limit - left)
    if not headed:
        pass_on([writer.head()])
    pass_on(writer.tail(overflow))
    return Written(translation.limit - left, overflow)


def _check_integers(rows: Sequence[Sequence[Any]], columns: Sequence[int]) -> None:
    """Raise `QueryError` where SQLite went on with a float after an integer overflow; PostgreSQL has raised it."""
    for row in rows:
        for at in columns:
            if isinstance(row[at], float):
                raise QueryError("the database refused the statement: a whole number is out of range of 64 bits")
