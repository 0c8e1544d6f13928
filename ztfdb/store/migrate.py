"""Migrate the schema of an archive to the revision of this ztfdb.

alembic is imported only if revisions are run.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from ztfdb.errors import DatabaseUnavailableError, SchemaVersionError, StoreError
from ztfdb.store.address import Address, mask_password
from ztfdb.store.backends import backend
from ztfdb.store.backends.reads import WRITE
from ztfdb.store.engine import make_engine
from ztfdb.store.revision import REVISION, VERSION, VERSIONS, known_revisions, migrations_folder
from ztfdb.store.views import replace_views, views_are_current
from ztfdb.texts import one_line

if TYPE_CHECKING:
    from alembic.config import Config


LOCK_WAIT_S = 60.0
"""Longest wait for tables that others use (PostgreSQL): meanwhile all others who want them wait, too."""

_LOCK = -4  # never an image id: those, the other keys of `lock_name`, are not negative
_LOCK_TIMEOUT = "55P03"
"""PostgreSQL's SQLSTATE of a lock that was not available in time."""


def current_revision(connection: Connection) -> str | None:
    """Return the revision of an archive; None if it has no schema yet."""
    if not inspect(connection).has_table(VERSIONS):
        return None
    found = connection.execute(text(VERSION)).scalar_one_or_none()
    return None if found is None else str(found)


def upgrade(url: str | Path | URL | Address | Engine, revision: str = "head") -> None:
    """Migrate an archive to `revision`, in one transaction; the database must exist (a SQLite file is created).

    An archive at that revision, with its views, is only read: without waiting for locks, and also on a standby or by a
    reader. Grants on the views are kept, and others' views on them if the columns allow it.

    Parameters
    ----------
    url : str, Path, URL or Engine
        The archive.
    revision : str
        ``head`` or the id of a revision.

    Raises
    ------
    SchemaVersionError
        If the archive is at a revision that this ztfdb does not know, because a newer one made it.
    StoreError
        If the database refuses: the role lacks rights, tables of those names exist already, or another view, which the
        message names, depends on the views.
    DatabaseUnavailableError
        If others use the tables for too long.
    """
    _run(url, revision, forward=True)


def downgrade(url: str | Path | URL | Address | Engine, revision: str) -> None:
    """Migrate an archive back to an earlier `revision`; ``base`` removes every table and all rows."""
    _run(url, revision, forward=False)


def alembic_config(connection: Connection) -> Config:
    """Return alembic's configuration for one connection, for its commands (``command.check(config)``)."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _run(url: str | Path | URL | Address | Engine, revision: str, *, forward: bool) -> None:
    engine = url if isinstance(url, Engine) else make_engine(url)
    try:
        if forward and revision in ("head", REVISION) and _is_current(engine):
            return
        from alembic import command

        with engine.execution_options(**{WRITE: True}).begin() as connection:
            locks = backend(Session(connection))
            locks.lock_name(_LOCK)
            locks.limit_lock_wait(LOCK_WAIT_S)
            _check_known(connection)
            if current_revision(connection) is None:
                locks.check_encoding()
            if forward and current_revision(connection) == REVISION:
                replace_views(connection)
                return
            (command.upgrade if forward else command.downgrade)(alembic_config(connection), revision)
    except DatabaseUnavailableError as exc:
        if getattr(exc.__cause__, "sqlstate", None) != _LOCK_TIMEOUT:
            raise
        raise DatabaseUnavailableError(
            f"{mask_password(engine.url)}: others use its tables for more than {LOCK_WAIT_S:g} s: end their long "
            "statements and transactions, stop daemons, then run `ztfdb init` again"
        ) from exc
    except DBAPIError as exc:
        reason = one_line(exc.orig)
        raise StoreError(f"{mask_password(engine.url)} cannot be brought to revision {revision}: {reason}") from exc
    finally:
        if engine is not url:
            engine.dispose()


def _is_current(engine: Engine) -> bool:
    with engine.connect() as connection:
        return current_revision(connection) == REVISION and views_are_current(connection)


def _check_known(connection: Connection) -> None:
    found = current_revision(connection)
    if found is not None and found not in known_revisions():
        raise SchemaVersionError(f"the archive is at schema revision {found}, unknown to this ztfdb: update it")
