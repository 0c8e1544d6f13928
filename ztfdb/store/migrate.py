"""The schema's revisions: bring an archive to this ztfdb's, and say clearly when it is at another.

alembic is imported only where revisions are run: to open an archive, its number is all that is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL, Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

import ztfdb
from ztfdb.errors import SchemaVersionError, StoreError
from ztfdb.store.engine import WRITE, make_engine, mask_password
from ztfdb.store.views import replace_views, views_are_current
from ztfdb.texts import one_line

if TYPE_CHECKING:
    from alembic.config import Config

REVISION = "20261129_completeness"
"""The revision that this ztfdb works with: the last of ``migrations/versions``, as a test makes sure."""


def migrations_folder() -> Path:
    """Return the folder of the revisions: packaged with the wheel, else the repository's.

    Raises
    ------
    SchemaVersionError
        If neither is there: the installation is broken.
    """
    package = Path(ztfdb.__file__).parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise SchemaVersionError(f"the schema's revisions are missing from this installation of ztfdb ({package})")


def current_revision(connection: Connection) -> str | None:
    """Return the revision an archive is at; None where it has no schema yet."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.execute(text("select version_num from alembic_version")).scalar_one_or_none()
    return None if found is None else str(found)


def check_revision(engine: Engine) -> None:
    """Do nothing if the archive is at this ztfdb's revision.

    Raises
    ------
    SchemaVersionError
        If it is at another or has none; the message names the command that helps.
    DatabaseUnavailableError
        If it cannot be reached.
    """
    with engine.connect() as connection:
        found = current_revision(connection)
    if found != REVISION:
        state = "holds no archive yet" if found is None else f"is at schema revision {found}"
        known = found is None or found in _known_revisions()
        help_ = "run `ztfdb init`" if known else "it was made by another ztfdb; update this one, then run `ztfdb init`"
        raise SchemaVersionError(f"{mask_password(engine.url)} {state}, this ztfdb works with {REVISION}: {help_}")


def upgrade(url: str | Path | URL | Engine, revision: str = "head") -> None:
    """Bring an archive to `revision`, in one transaction; the database must exist (a SQLite file is made).

    One that is there, with its views, is only read: no lock is waited for, and a standby or a reader may ask for it.
    Grants on the views are kept, and views of others on them where the columns allow.

    Parameters
    ----------
    url : str, Path, URL or Engine
        The archive.
    revision : str
        ``head`` or the id of a revision.

    Raises
    ------
    SchemaVersionError
        If the archive is at a revision that this ztfdb does not know: made by a newer one.
    StoreError
        If the database refuses, for want of rights, because tables of those names are there already, or because a view
        of somebody else stands in the way, which the message names.
    """
    _run(url, revision, forward=True)


def downgrade(url: str | Path | URL | Engine, revision: str) -> None:
    """Take an archive back to an earlier `revision`; ``base`` removes every table and all rows."""
    _run(url, revision, forward=False)


def alembic_config(connection: Connection) -> Config:
    """Return alembic's configuration for one connection, for its commands (``command.check(config)``)."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(migrations_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _run(url: str | Path | URL | Engine, revision: str, *, forward: bool) -> None:
    engine = url if isinstance(url, Engine) else make_engine(url)
    try:
        if forward and revision in ("head", REVISION) and _is_current(engine):
            return
        from alembic import command

        with engine.execution_options(**{WRITE: True}).begin() as connection:
            _check_known(connection)
            if forward and current_revision(connection) == REVISION:
                replace_views(connection)
                return
            (command.upgrade if forward else command.downgrade)(alembic_config(connection), revision)
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
    if found is not None and found not in _known_revisions():
        raise SchemaVersionError(f"the archive is at schema revision {found}, unknown to this ztfdb: update it")


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(migrations_folder())).walk_revisions()}
