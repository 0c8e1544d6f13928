"""An index of `image` that holds what light curves read (PostgreSQL).

Revision: 20261125_image_epoch
Follows: 20261125_psfcheck
"""

from __future__ import annotations

from alembic import op

revision = "20261125_image_epoch"
down_revision = "20261125_psfcheck"
branch_labels = None
depends_on = None

COLUMNS = [
    "kind", "simulated", "filefracday", "field", "ccdid", "qid", "rcid", "fid", "expid", "programid", "infobits",
    "obsmjd", "mjd_mid", "exptime", "maglim", "magzp", "magzprms", "clrcoeff", "clrcounc", "airmass",
    "apcor1", "apcor2", "apcor3", "apcor4", "apcor5", "apcor6", "sun_x", "sun_y", "sun_z",
]  # fmt: skip


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_image_epoch", "image", ["image_id"], postgresql_include=COLUMNS)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_image_epoch", "image")
