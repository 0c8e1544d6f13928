"""A checksum of what is known of each image beside its rows; NULL for those that are stored already.

Revision: 20261128_facts_checksum
Follows: 20261128_caveats
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_facts_checksum"
down_revision = "20261128_caveats"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("image", sa.Column("facts_checksum", sa.BigInteger().with_variant(sa.Integer, "sqlite")))


def downgrade() -> None:
    op.drop_column("image", "facts_checksum")
