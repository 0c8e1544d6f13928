"""Comments on every table, view and column of PostgreSQL: description, unit and UCD.

The comments themselves are those of `ztfdb.schema.describe`; ``env.py`` writes them at the head, so that they are never
a revision behind. This revision has ``ztfdb init`` run on the archives that have none.

Revision: 20261128_descriptions
Follows: 20261126_source_index
"""

from __future__ import annotations

from alembic import op

from ztfdb.schema.comments import remove_comments

revision = "20261128_descriptions"
down_revision = "20261126_source_index"
branch_labels = None
depends_on = None


def upgrade() -> None:
    pass


def downgrade() -> None:
    remove_comments(op.get_bind())
