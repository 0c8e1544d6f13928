"""Run the revisions on the connection that `ztfdb.store.migrate` hands over, else on the archive ZTFDB_URL names."""

from __future__ import annotations

import os
from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from ztfdb.schema import Base
from ztfdb.schema.catalogue import ONE_ENGINE_INDEXES
from ztfdb.schema.comments import write_comments
from ztfdb.schema.image import POSTGRESQL_EPOCH_INDEX
from ztfdb.schema.psf import POSTGRESQL_PSF_IMAGE_INDEX, SQLITE_PSF_INDEX
from ztfdb.schema.source import POSTGRESQL_LIGHT_CURVE_INDEX, SQLITE_LIGHT_CURVE_INDEX
from ztfdb.store.engine import WRITE, make_engine
from ztfdb.store.views import blamed, drop_all_views, put_views_back, set_views_aside

FOREIGN_INDEXES = {
    "postgresql": ONE_ENGINE_INDEXES["sqlite"] | {SQLITE_LIGHT_CURVE_INDEX, SQLITE_PSF_INDEX},
    "sqlite": ONE_ENGINE_INDEXES["postgresql"]
    | {POSTGRESQL_LIGHT_CURVE_INDEX, POSTGRESQL_EPOCH_INDEX, POSTGRESQL_PSF_IMAGE_INDEX},
}
"""The indexes that the other engine has in place of this one's: alembic's comparison does not see ``ddl_if``."""


def include_object(item: Any, name: str | None, kind: str, reflected: bool, compare_to: Any) -> bool:
    """Leave the other dialect's index out of comparisons."""
    return not (kind == "index" and name in FOREIGN_INDEXES[context.get_context().dialect.name])


def run(connection: Connection) -> None:
    """Run the migrations in one transaction on `connection`."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_object=include_object,
        render_as_batch=True,
        compare_type=True,
    )
    with context.begin_transaction():
        if not is_migration():
            context.run_migrations()
            return
        # The views always fit this ztfdb's tables: they go first, and come back where those tables now are.
        aside = set_views_aside(connection)
        try:
            context.run_migrations()
        except DBAPIError as exc:
            raise blamed(aside, exc) or exc from exc
        if context.get_context().get_current_revision() == context.get_head_revision():
            put_views_back(connection, aside)
            write_comments(connection)
        else:
            drop_all_views(connection, aside)


def is_migration() -> bool:
    """Tell an upgrade or downgrade from a command that only compares (`check`, `revision --autogenerate`)."""
    try:
        context.get_revision_argument()
    except KeyError:
        return False
    return True


def main() -> None:
    """Find the connection and run."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
        return
    engine = make_engine(os.environ.get("ZTFDB_URL", "sqlite:///ztfdb.sqlite")).execution_options(**{WRITE: True})
    with engine.connect() as connection:
        run(connection)
        connection.commit()


if context.is_offline_mode():
    raise SystemExit("ztfdb's revisions look at the database they change: run them online")
main()
