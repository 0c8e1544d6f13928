"""The schema's revision: that of this ztfdb, and that of an archive.

Opening an archive only compares them; `ztfdb.store.migrate` changes the archive's.
"""

from __future__ import annotations

from pathlib import Path

import ztfdb
from ztfdb.errors import SchemaVersionError
from ztfdb.store.backends import AnySession, reads

REVISION = "20261129_completeness"
"""The revision of this ztfdb: the last of ``migrations/versions``, as a test checks."""

VERSIONS = "alembic_version"
"""alembic's table."""

VERSION = f"select version_num from {VERSIONS}"


def check_revision(session: AnySession, url: str) -> None:
    """Check that the archive is at this ztfdb's revision.

    Parameters
    ----------
    session : Session or Reading
    url : str
        The archive's URL for messages, without secrets.

    Raises
    ------
    SchemaVersionError
        If it is at another one or has none; the message names the command that helps.
    DatabaseUnavailableError
        If it cannot be reached.
    """
    rows = reads(session).read_rows(VERSION) if reads(session).has_table(VERSIONS) else []
    found = str(rows[0][0]) if rows else None
    if found == REVISION:
        return
    if found is None:
        raise SchemaVersionError(f"{url} holds no archive yet: run `ztfdb init`")
    is_known = found in known_revisions()
    help_ = "run `ztfdb init`" if is_known else "it was made by another ztfdb; update this one, then run `ztfdb init`"
    raise SchemaVersionError(f"{url} is at schema revision {found}, this ztfdb works with {REVISION}: {help_}")


def known_revisions() -> set[str]:
    """Return the revisions that this ztfdb knows."""
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(migrations_folder())).walk_revisions()}


def migrations_folder() -> Path:
    """Return the folder of the revisions: packaged with the wheel, else the repository's.

    Raises
    ------
    SchemaVersionError
        If neither exists: the installation is broken.
    """
    package = Path(ztfdb.__file__).parent
    for folder in (package / "_migrations", package.parent / "migrations"):
        if (folder / "env.py").is_file():
            return folder
    raise SchemaVersionError(f"the schema's revisions are missing from this installation of ztfdb ({package})")
