"""Calibration of images by the stars they share: solutions, their stars, and further terms of a calibration.

Revision: 20261129_self_calibration
Follows: 20261128_facts_checksum
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_self_calibration"
down_revision = "20261128_facts_checksum"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TERMS = ("x_gradient", "x_gradient_err", "y_gradient", "y_gradient_err", "map_xx", "map_xy", "map_yy", "magerr_sys")
COUNTS = ("n_image", "n_star", "n_epoch", "n_clipped", "n_variable")


def upgrade() -> None:
    with op.batch_alter_table("calibration") as table:
        table.alter_column("catalogue_id", existing_type=ID, nullable=True)
        table.add_column(sa.Column("solution_id", ID))
        for name in TERMS:
            table.add_column(sa.Column(name, sa.Double()))
    op.create_table(
        "self_solution",
        sa.Column("solution_id", ID, autoincrement=True, nullable=False),
        *(sa.Column(name, sa.SmallInteger(), nullable=False) for name in ("fid", "aperture")),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in COUNTS),
        sa.Column("tied_to", sa.Text(), nullable=False),
        sa.Column("n_tied", sa.Integer(), nullable=False),
        sa.Column("level_err", sa.Double(), nullable=False),
        sa.Column("color", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Double()) for name in ("color_pivot", "color_term")),
        sa.Column("n_round", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("noise", "settings", "versions")),
        sa.Column("solved", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("solution_id", name="pk_self_solution"),
    )
    op.create_table(
        "self_star",
        sa.Column("solution_id", ID, autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("hpx29", ID, nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("ra", "dec", "mag", "mag_err", "unrest")),
        sa.Column("color", sa.Double()),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("solution_id", "number", name="pk_self_star"),
    )
    op.create_index("ix_self_star_hpx29", "self_star", ["hpx29"])


def downgrade() -> None:
    op.drop_table("self_star")
    op.drop_table("self_solution")
    op.execute("delete from calibration where catalogue_id is null")
    with op.batch_alter_table("calibration") as table:
        for name in (*TERMS, "solution_id"):
            table.drop_column(name)
        table.alter_column("catalogue_id", existing_type=ID, nullable=False)
