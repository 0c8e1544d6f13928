"""How likely stars are found on images, by artificial stars.

Revision: 20261129_completeness
Follows: 20261129_self_calibration
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_completeness"
down_revision = "20261129_self_calibration"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "detection_limit",
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Double()) for name in ("limit50", "limit90")),
        sa.Column("psf", sa.Text()),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_star", "n_found")),
        sa.Column("n_false", sa.Integer()),
        sa.Column("n_source", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.JSON()) for name in ("model", "bins")),
        sa.Column("failure", sa.Text()),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("settings", "versions")),
        sa.Column("measured", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.image_id"], name="fk_detection_limit_image_id_image", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name="pk_detection_limit"),
    )


def downgrade() -> None:
    op.drop_table("detection_limit")
