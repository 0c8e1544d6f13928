"""Forced measurements at given positions.

Revision: 20261122_forced
Follows: 20261122_catalogues
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_forced"
down_revision = "20261122_catalogues"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
FLUXES = [f"flux_aper{k}{suffix}" for k in range(1, 7) for suffix in ("", "_err")]


def upgrade() -> None:
    op.create_table(
        "forced_source",
        sa.Column("hpx29", ID, autoincrement=False, nullable=False),
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("method", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("config_id", ID, autoincrement=False, nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("ra", "dec", "x", "y")),
        *(sa.Column(name, sa.REAL()) for name in (*FLUXES, "flux_psf", "flux_psf_err", "chi", "sharp")),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("mask_bits", sa.Integer()),
        *(sa.Column(name, sa.REAL()) for name in ("background", "background_rms")),
        sa.PrimaryKeyConstraint("hpx29", "image_id", "method", "config_id", name="pk_forced_source"),
    )
    op.create_index("ix_forced_source_image_id", "forced_source", ["image_id"])


def downgrade() -> None:
    op.drop_table("forced_source")
