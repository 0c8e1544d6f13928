"""Objects: detections joined across epochs.

Revision: 20261122_objects
Follows: 20261122_forced
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_objects"
down_revision = "20261122_forced"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _object_tables()
    _filter_tables()
    _bookkeeping()


def downgrade() -> None:
    for name in ("state", "image", "alias", "curve", "filter", "source"):
        op.drop_table(f"object_{name}")
    op.drop_table("object")


def _object_tables() -> None:
    op.create_table(
        "object",
        _key("object_id"),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("ra", "dec", "reach")),
        sa.Column("crowded", sa.SmallInteger(), nullable=False),
        sa.Column("best_snr", sa.Double(), nullable=False),
        sa.Column("best_source_id", ID, nullable=False),
        sa.Column("first_source_id", ID, nullable=False),
        sa.Column("ps1_id", ID),
        sa.Column("ps1_separation", sa.Double()),
        sa.PrimaryKeyConstraint("object_id", name="pk_object"),
    )
    op.create_index("ix_object_reach", "object", ["reach"])
    op.create_table(
        "object_source",
        _key("source_id"),
        sa.Column("object_id", ID, nullable=False),
        *(sa.Column(name, sa.SmallInteger(), nullable=False) for name in ("kind", "conflict", "counted")),
        sa.Column("separation", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", name="pk_object_source"),
    )
    op.create_index("ix_object_source_object_id", "object_source", ["object_id", "source_id"])


def _filter_tables() -> None:
    known = ("first_mjd", "last_mjd", "min_mag", "max_mag", "median_mag", "mean_mag", "mean_mag_err")
    op.create_table(
        "object_filter",
        _key("object_id"),
        sa.Column("fid", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in known),
        *(sa.Column(name, sa.Double()) for name in ("scatter", "chi2", "stetson_j", "eta")),
        sa.PrimaryKeyConstraint("object_id", "fid", name="pk_object_filter"),
    )
    op.create_index("ix_object_filter_chi2", "object_filter", ["fid", "chi2", "n", "object_id"])
    op.create_table(
        "object_curve",
        _key("object_id"),
        sa.Column("fid", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("points", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("object_id", "fid", name="pk_object_curve"),
    )
    if op.get_bind().dialect.name == "postgresql":
        # noise does not compress, and trying costs more than all the rest of an update
        op.execute("alter table object_curve alter column points set storage external")


def _bookkeeping() -> None:
    op.create_table(
        "object_alias",
        _key("alias_id"),
        sa.Column("object_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("alias_id", name="pk_object_alias"),
    )
    op.create_index("ix_object_alias_object_id", "object_alias", ["object_id"])
    op.create_table(
        "object_image",
        _key("image_id"),
        sa.Column("fingerprint", ID, nullable=False),
        sa.PrimaryKeyConstraint("image_id", name="pk_object_image"),
    )
    op.create_table(
        "object_state",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", ID, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_object_state"),
    )


def _key(name: str) -> sa.Column[int]:
    return sa.Column(name, ID, autoincrement=False, nullable=False)
