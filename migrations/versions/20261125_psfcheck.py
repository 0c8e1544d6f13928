"""Objects beside ZTF's reference sources, and the check of aperture against PSF magnitudes.

Revision: 20261125_psfcheck
Follows: 20261125_psfcat
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261125_psfcheck"
down_revision = "20261125_psfcat"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NUMBERS = (
    "median", "median_err", "scatter", "slope", "slope_err", "x_gradient", "x_gradient_err", "y_gradient",
    "y_gradient_err", "bright_limit", "faint_limit", "severity",
)  # fmt: skip


def upgrade() -> None:
    op.create_table(
        "object_oid",
        sa.Column("source_id", ID, autoincrement=False, nullable=False),
        *(sa.Column(name, ID, nullable=False) for name in ("object_id", "oid")),
        sa.Column("separation", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", name="pk_object_oid"),
    )
    op.create_index("ix_object_oid_object_id", "object_oid", ["object_id", "oid"])
    op.create_index("ix_object_oid_oid", "object_oid", ["oid"])
    op.create_table(
        "object_reference",
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("fingerprint", ID, nullable=False),
        sa.PrimaryKeyConstraint("image_id", name="pk_object_reference"),
    )
    op.create_table(
        "psf_check",
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("aperture", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_match", "n_star", "n_clipped")),
        *(sa.Column(name, sa.Double()) for name in NUMBERS),
        sa.Column("warning", sa.SmallInteger(), nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("checked", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["image_id"], ["image.image_id"], name="fk_psf_check_image_id_image", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("image_id", name="pk_psf_check"),
    )
    op.create_index("ix_psf_check_warning", "psf_check", ["warning", "severity", "image_id"])


def downgrade() -> None:
    for table in ("psf_check", "object_reference", "object_oid"):
        op.drop_table(table)
