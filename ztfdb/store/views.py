"""The archive's views around a migration: made again only if they changed, keeping their grants and dependent views.

A dependent view of somebody else stays. If it prevents a revision, the error names it.
"""

from __future__ import annotations

import hashlib
import json

from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from ztfdb.errors import StoreError
from ztfdb.schema.comments import write_comments
from ztfdb.schema.describe import describe_tables
from ztfdb.schema.views import VIEWS, create_view, drop_view, view_statement
from ztfdb.store.backends import engine_class
from ztfdb.store.meta import FINGERPRINT
from ztfdb.store.statement import SetAside, quoted
from ztfdb.texts import one_line

_CHANGED_COLUMNS = "42P16"
"""PostgreSQL's SQLSTATE if CREATE OR REPLACE VIEW would drop or change columns."""


def fingerprint() -> str:
    """Return a hash that changes with the SQL of a view, on either engine, or the description of a table."""
    words = [repr(table) for table in describe_tables()]
    views = [view_statement(name, hints=hints) for hints in (False, True) for name in VIEWS]
    return hashlib.sha256("\n".join([*views, *words]).encode()).hexdigest()


def views_are_current(connection: Connection) -> bool:
    """Return whether an archive at this ztfdb's revision has its views; this only reads."""
    if not set(VIEWS) <= set(inspect(connection).get_view_names()):
        return False
    found = connection.execute(text("select value from archive_meta where key = :key"), {"key": FINGERPRINT}).scalar()
    return found == json.dumps(fingerprint())


def set_views_aside(connection: Connection) -> SetAside:
    """Drop the views where possible, before revisions run; return the state for `put_views_back`."""
    aside = engine_class(connection).views_aside(connection, list(VIEWS))
    for name in reversed(VIEWS):
        if name not in aside.in_use:
            drop_view(connection, name)
    return aside


def put_views_back(connection: Connection, aside: SetAside) -> None:
    """Make the views, with their rights, after revisions have run.

    Raises
    ------
    StoreError
        If a view of somebody else, which the message names, prevents it.
    """
    for name in VIEWS:
        if name in aside.in_use:
            _replace_in_use(connection, name, aside.in_use[name])
        else:
            _create(connection, name)
    _finish(connection, aside)


def replace_views(connection: Connection) -> None:
    """Make changed views, if no revision has to run; on PostgreSQL in place, with everything that depends on them.

    Raises
    ------
    StoreError
        If a view of somebody else, which the message names, prevents it.
    """
    if not engine_class(connection).replaces_views:
        put_views_back(connection, set_views_aside(connection))
        return
    for name in VIEWS:
        if _replaced(connection, name):
            continue
        aside = engine_class(connection).views_aside(connection, [name])
        if name in aside.in_use:
            raise _in_the_way(name, aside.in_use[name])
        drop_view(connection, name)
        _create(connection, name)
        _restore(connection, aside)
    write_comments(connection)
    _note(connection)


def drop_all_views(connection: Connection, aside: SetAside) -> None:
    """Also drop the views in use, when an archive goes back to an earlier revision.

    Raises
    ------
    StoreError
        If there are any.
    """
    for name, others in aside.in_use.items():
        raise _in_the_way(name, others)
    for name in reversed(VIEWS):
        drop_view(connection, name)


def blamed(aside: SetAside, exc: DBAPIError) -> StoreError | None:
    """Return the error that names the views that prevent a revision; None without any."""
    if not aside.in_use:
        return None
    name, others = next(iter(aside.in_use.items()))
    reason = one_line(exc.orig)
    return StoreError(f"{_in_the_way(name, others)} ({reason})")


def _in_the_way(name: str, others: list[str]) -> StoreError:
    return StoreError(
        f"{', '.join(others)} stands in the way: it uses the view {name}, whose columns change; drop it, run "
        "`ztfdb init`, and make it again"
    )


def _create(connection: Connection, name: str, *, replace: bool = False) -> None:
    create_view(connection, name, hints=engine_class(connection).view_hints, replace=replace)


def _replace_in_use(connection: Connection, name: str, others: list[str]) -> None:
    if not _replaced(connection, name):
        raise _in_the_way(name, others)


def _replaced(connection: Connection, name: str) -> bool:
    """Replace a view in place; return False if its columns do not allow that."""
    try:
        with connection.begin_nested():
            _create(connection, name, replace=True)
    except DBAPIError as exc:
        if getattr(exc.orig, "sqlstate", None) != _CHANGED_COLUMNS:
            raise
        return False
    return True


def _finish(connection: Connection, aside: SetAside) -> None:
    _restore(connection, aside)
    for name in aside.others:
        try:
            connection.exec_driver_sql(f"select * from {quoted(name)} limit 0")
        except DBAPIError as exc:
            raise StoreError(
                f"the view {name} stands in the way, it would not work any more ({one_line(exc.orig)}); "
                "drop it, run `ztfdb init`, and make it again"
            ) from exc
    _note(connection)


def _restore(connection: Connection, aside: SetAside) -> None:
    for statement in aside.statements:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})  # else "%" would be one


def _note(connection: Connection) -> None:
    """Store the fingerprint of the current views."""
    connection.execute(text("delete from archive_meta where key = :key"), {"key": FINGERPRINT})
    row = {"key": FINGERPRINT, "value": json.dumps(fingerprint())}
    connection.execute(text("insert into archive_meta (key, value) values (:key, :value)"), row)
