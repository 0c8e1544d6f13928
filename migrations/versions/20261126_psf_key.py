"""One index of `psf_source` in place of two: the primary key answers light curves (PostgreSQL).

Revision: 20261126_psf_key
Follows: 20261125_image_epoch
"""

from __future__ import annotations

from alembic import op

revision = "20261126_psf_key"
down_revision = "20261125_image_epoch"
branch_labels = None
depends_on = None

COLUMNS = "ra, dec, flux, flux_err, mag_inst, sigmag, chi, sharp, flags"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("drop index ix_psf_source_light_curve")
        op.execute(
            "alter table psf_source drop constraint pk_psf_source, "
            f"add constraint pk_psf_source primary key (hpx29, source_id) include ({COLUMNS})"
        )
        op.execute("create index ix_psf_source_image on psf_source using brin (source_id) with (autosummarize = on)")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("drop index ix_psf_source_image")
        op.execute(
            "alter table psf_source drop constraint pk_psf_source, add constraint pk_psf_source primary key (source_id)"
        )
        op.execute(f"create index ix_psf_source_light_curve on psf_source (hpx29) include (source_id, {COLUMNS})")
