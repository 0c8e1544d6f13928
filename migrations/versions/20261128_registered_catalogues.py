"""Catalogues that are read where they lie: the place of a HATS catalogue, and how it is read.

Revision: 20261128_registered_catalogues
Follows: 20261128_row_checksum
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261128_registered_catalogues"
down_revision = "20261128_row_checksum"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("catalogue", sa.Column("location", sa.Text))
    op.add_column("catalogue", sa.Column("reading", sa.JSON))


def downgrade() -> None:
    op.drop_column("catalogue", "reading")
    op.drop_column("catalogue", "location")
