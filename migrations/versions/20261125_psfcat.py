"""ZTF's own PSF catalogues.

Revision: 20261125_psfcat
Follows: 20261122_queue
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261125_psfcat"
down_revision = "20261122_queue"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LIGHT_CURVE_COLUMNS = [
    "source_id",
    "ra",
    "dec",
    "flux",
    "flux_err",
    "mag_inst",
    "sigmag",
    "chi",
    "sharp",
    "flags",
]
# As ``source``: vacuumed by the number of inserted rows, never by a share of the table.
APPEND_ONLY = {"autovacuum_vacuum_insert_threshold": 100000, "autovacuum_vacuum_insert_scale_factor": 0}


def upgrade() -> None:
    op.create_table(
        "psf_source",
        sa.Column("source_id", ID, autoincrement=False, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("hpx29", ID, nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in ("ra", "dec", "x", "y")),
        *(sa.Column(name, sa.REAL()) for name in ("flux", "flux_err", "mag_inst", "sigmag", "snr", "chi", "sharp")),
        sa.Column("flags", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("source_id", name="pk_psf_source"),
        postgresql_with=APPEND_ONLY,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_psf_source_light_curve", "psf_source", ["hpx29"], postgresql_include=LIGHT_CURVE_COLUMNS)
    else:
        op.create_index(
            "ix_psf_source_light_curve_key", "psf_source", ["hpx29", *LIGHT_CURVE_COLUMNS[1:]]
        )  # source_id is the row
    _catalogue_table()


def downgrade() -> None:
    op.drop_table("psf_catalogue")
    op.drop_table("psf_source")


def _catalogue_table() -> None:
    op.create_table(
        "psf_catalogue",
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("field", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.SmallInteger(), nullable=False) for name in ("ccdid", "qid", "rcid", "fid")),
        sa.Column("filtercode", sa.Text(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("expid", ID),
        sa.Column("obsmjd", sa.Double()),
        sa.Column("rfid", ID),
        sa.Column("n_source", sa.Integer(), nullable=False),
        sa.Column("magzp", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double()) for name in ("magzpunc", "magzprms")),
        sa.Column("nmatches", sa.Integer()),
        *(sa.Column(name, sa.Double()) for name in ("clrcoeff", "clrcounc")),
        sa.Column("pcolor", sa.Text()),
        sa.Column("infobits", ID),
        *(sa.Column(name, sa.Text()) for name in ("psfrunsw", "psfrunvn", "rundate", "inputimg", "inputpsf")),
        sa.Column("data_root_id", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        *(sa.Column(name, ID, nullable=False) for name in ("size", "mtime_ns")),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("sha256", "compression")),
        sa.Column("cards", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["data_root_id"], ["data_root.data_root_id"], name="fk_psf_catalogue_data_root_id_data_root"
        ),
        sa.PrimaryKeyConstraint("image_id", name="pk_psf_catalogue"),
    )
    op.create_index("ix_psf_catalogue_field", "psf_catalogue", ["field", "rcid", "fid", "role"])
    op.create_index("ix_psf_catalogue_path", "psf_catalogue", ["data_root_id", "path"])
