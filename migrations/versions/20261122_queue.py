"""The queue of images to ingest.

Revision: 20261122_queue
Follows: 20261122_objects
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_queue"
down_revision = "20261122_objects"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Every job is updated several times and its `due` moves on: dead index entries at the front of the queue slow each
# claim until they are vacuumed, so that comes early; the room lets rows be updated on their own page.
STORAGE = "fillfactor = 70, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.02"


def upgrade() -> None:
    op.create_table(
        "ingest_job",
        sa.Column("job_id", ID, autoincrement=True, nullable=False),
        sa.Column("data_root_id", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        *(sa.Column(name, ID, nullable=False) for name in ("size", "mtime_ns")),
        *(sa.Column(name, ID) for name in ("mask_size", "mask_mtime_ns")),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("queued", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double()) for name in ("due", "ended")),
        sa.Column("owner", sa.Text()),
        sa.Column("token", ID),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("image_id", ID),
        *(sa.Column(name, sa.Text()) for name in ("outcome", "error", "reason", "detail")),
        sa.PrimaryKeyConstraint("job_id", name="pk_ingest_job"),
        sa.ForeignKeyConstraint(
            ["data_root_id"], ["data_root.data_root_id"], name="fk_ingest_job_data_root_id_data_root"
        ),
    )
    op.create_index("uq_ingest_job_place", "ingest_job", ["data_root_id", "path"], unique=True)
    op.create_index("ix_ingest_job_due", "ingest_job", ["data_root_id", "due", "job_id"])
    op.create_index("ix_ingest_job_state", "ingest_job", ["state", "ended"])
    if op.get_bind().dialect.name == "postgresql":
        op.execute(f"alter table ingest_job set ({STORAGE})")


def downgrade() -> None:
    op.drop_table("ingest_job")
