"""The descriptions of tables, views and columns as comments in PostgreSQL, where clients show them."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, text

from ztfdb.schema.describe import describe_tables
from ztfdb.schema.described import TableDescription

_HELD = """
select c.relname, coalesce(a.attname, ''), d.description
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace and n.nspname = current_schema()
join pg_catalog.pg_description d on d.objoid = c.oid and d.classoid = cast('pg_catalog.pg_class' as regclass)
left join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = d.objsubid and d.objsubid > 0
where c.relkind in ('r', 'p', 'v')
"""


def write_comments(connection: Connection) -> int:
    """Update the comments of an archive to the descriptions of this ztfdb; return how many were written.

    If they are the same already, nothing is written and no lock taken. SQLite has no comments.
    """
    if not connection.dialect.supports_comments:
        return 0
    held = {(table, column): comment for table, column, comment in connection.execute(text(_HELD))}
    new = [one for table in describe_tables() for one in _comments(table) if held.get(one[1:3]) != one[3]]
    for kind, table, column, comment in new:
        _comment(connection, kind, table, column, comment)
    return len(new)


def remove_comments(connection: Connection) -> None:
    """Remove the comments of all tables; those of views are dropped with the views."""
    if not connection.dialect.supports_comments:
        return
    own = {(table.name, column): kind for table in describe_tables() for kind, _, column, _ in _comments(table)}
    for table, column, _ in connection.execute(text(_HELD)).all():
        if own.get((table, column)) == "table":
            _comment(connection, "table", table, column, None)


def _comments(table: TableDescription) -> Iterator[tuple[str, str, str, str]]:
    """Yield kind, table, column (empty for the table itself) and comment."""
    yield table.kind, table.name, "", table.description
    for column in table.columns:
        yield table.kind, table.name, column.name, column.comment


def _comment(connection: Connection, kind: str, table: str, column: str, comment: str | None) -> None:
    quoted = "null" if comment is None else "'" + comment.replace("'", "''") + "'"
    name = f'column "{table}"."{column}"' if column else f'{kind} "{table}"'
    connection.exec_driver_sql(f"comment on {name} is {quoted}")
