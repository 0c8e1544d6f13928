"""The light-curve index of `source` without what its other columns tell: image_id, and SQLite's own number of a row.

Revision: 20261126_source_index
Follows: 20261126_psf_key
"""

from __future__ import annotations

from alembic import op

revision = "20261126_source_index"
down_revision = "20261126_psf_key"
branch_labels = None
depends_on = None

COLUMNS = ["ra", "dec", "flux_aper4", "flux_aper4_err", "flags", "mask_bits"]


def upgrade() -> None:
    _replace(postgresql=["source_id", *COLUMNS], sqlite=COLUMNS)


def downgrade() -> None:
    before = ["source_id", "image_id", *COLUMNS]
    _replace(postgresql=before, sqlite=before)


def _replace(postgresql: list[str], sqlite: list[str]) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("ix_source_light_curve", "source")
        op.create_index("ix_source_light_curve", "source", ["hpx29"], postgresql_include=postgresql)
    else:
        op.drop_index("ix_source_light_curve_key", "source")
        op.create_index("ix_source_light_curve_key", "source", ["hpx29", *sqlite])
