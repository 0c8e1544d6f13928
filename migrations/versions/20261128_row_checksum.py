"""A checksum of the rows of each image and PSF catalogue; NULL for those that are stored already.

Revision: 20261128_row_checksum
Follows: 20261128_portable_views
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_row_checksum"
down_revision = "20261128_portable_views"
branch_labels = None
depends_on = None

TABLES = ("image", "psf_catalogue")


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("row_checksum", sa.BigInteger().with_variant(sa.Integer, "sqlite")))


def downgrade() -> None:
    for table in TABLES:
        op.drop_column(table, "row_checksum")
