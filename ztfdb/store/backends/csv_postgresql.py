"""CSV written by PostgreSQL itself, with the same bytes as `ztfdb.store.csv_lines`."""

from __future__ import annotations

import json
import re
import select
import struct
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg.pq import ExecStatus

from ztfdb.store.csv_lines import field
from ztfdb.store.statement import quoted

BOOL, INT8, INT2, INT4, TEXT, FLOAT4, FLOAT8, BPCHAR, VARCHAR, NUMERIC = 16, 20, 21, 23, 25, 700, 701, 1042, 1043, 1700
"""OIDs of types in ``pg_type``."""

_AS_IT_IS = {INT8, INT2, INT4, TEXT, BPCHAR, VARCHAR}
_PLAIN = re.compile(r'[\w."]+')

_FLOAT = """case when {c} <> pg_catalog.trunc({c}) and pg_catalog.abs({c}) < 1e15 then {c}::text
when pg_catalog.abs({c}) < 1e15 then {c}::text || '.0'
else '{mark}' || pg_catalog.encode(pg_catalog.float8send({c}), 'hex') end"""
"""A double as by Python's ``repr``. Below 10^15 the server writes the same digits, the shortest that identify it, but
whole numbers lack the point. Other values are written as a mark and their bytes, for `copied`."""


def copy_statement(connection: psycopg.Connection[Any], body: str, types: list[int], mark: str) -> bytes | None:
    """Return the COPY whose output, with `copied`, is the CSV of a statement without parameters; None if impossible.

    Parameters
    ----------
    connection : psycopg.Connection
    body : str
        One statement without comments, parsed alone by the server.
    types : list of int
        Types of its columns, from the server.
    mark : str
        Letters and digits that occur in no text of the answer.
    """
    if not types or not set(types) <= {*_AS_IT_IS, BOOL, FLOAT4, FLOAT8, NUMERIC} or "/*" in body or "*/" in body:
        return None
    connection.pgconn.exec_(b"savepoint ztfdb_csv")
    plan = connection.pgconn.exec_(f"explain (verbose, costs off, format json) {body}".encode())
    if plan.status != ExecStatus.TUPLES_OK:  # SHOW and EXPLAIN have no plan
        connection.pgconn.exec_(b"rollback to savepoint ztfdb_csv")
        return None
    output = json.loads(plan.get_value(0, 0) or b"[{}]")[0].get("Plan", {}).get("Output", [""])
    plain = all(_PLAIN.fullmatch(one) for one in output)
    names = [f"c{k}" for k in range(len(types))]
    fields = ", ".join(_field(quoted(name), kind, mark) for name, kind in zip(names, types, strict=True))
    fence = "" if plain else " offset 0"  # else an expression is computed once per use of its column
    columns = ", ".join(map(quoted, names))
    query = f"select {fields} from (select * from ({body}) as q{fence}) as q({columns})"
    return f"copy ({query}) to stdout (format csv)".encode()


def _field(name: str, kind: int, mark: str) -> str:
    if kind in _AS_IT_IS:
        return name
    if kind == BOOL:
        return f"{name}::int"
    if kind == NUMERIC:
        whole = f"pg_catalog.scale({name}) = 0 and pg_catalog.abs({name}) < 9223372036854775808"
        return f"case when {whole} then {name}::text else {_FLOAT.format(c=f'{name}::float8', mark=mark)} end"
    return _FLOAT.format(c=f"{name}::float8" if kind == FLOAT4 else name, mark=mark)


def copied(
    connection: psycopg.Connection[Any], statement: bytes, mark: str, n_byte: int
) -> Iterator[tuple[bytes, int]]:
    """Yield the lines of a `copy_statement`, about `n_byte` at a time, and their number.

    This calls libpq directly: psycopg takes several times as long per row as the server.
    """
    pgconn = connection.pgconn
    result = pgconn.exec_(statement)
    if result.status != ExecStatus.COPY_OUT:
        raise psycopg.errors.error_from_result(result, encoding=connection.info.encoding)
    marked = re.compile(mark.encode() + b"([0-9a-f]{16})")
    lines: list[bytes] = []
    held = 0
    get = pgconn.get_copy_data
    while True:
        size, line = get(1)
        if size == 0:  # nothing has arrived
            select.select([pgconn.socket], [], [])
            pgconn.consume_input()
            continue
        if size < 0:
            break
        lines.append(bytes(line))  # views would be looked through by each garbage collection: ten times the time
        held += size
        if held >= n_byte:
            yield marked.sub(_unmarked, b"".join(lines)), len(lines)
            lines, held = [], 0
    if lines:
        yield marked.sub(_unmarked, b"".join(lines)), len(lines)
    while (ended := pgconn.get_result()) is not None:
        if ended.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(ended, encoding=connection.info.encoding)


def _unmarked(found: re.Match[bytes]) -> bytes:
    (value,) = struct.unpack(">d", bytes.fromhex(found[1].decode()))
    return field(value).encode()
