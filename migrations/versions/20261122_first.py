"""The first archive: images, their files, headers and cells, sources, and what the archive says about itself.

Revision: 20261122_first
Follows: nothing
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_first"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
LIGHT_CURVE_COLUMNS = [
    "source_id",
    "image_id",
    "ra",
    "dec",
    "flux_aper4",
    "flux_aper4_err",
    "flags",
    "mask_bits",
]
# A table that only grows is vacuumed (and its pages marked all-visible, which the index-only scan needs) by the
# number of inserted rows, never by a share of a table of 10^9.
APPEND_ONLY = {"autovacuum_vacuum_insert_threshold": 100000, "autovacuum_vacuum_insert_scale_factor": 0}


def upgrade() -> None:
    _archive_tables()
    _image_table()
    _image_parts()
    _source_table()


def downgrade() -> None:
    for table in ("source", "image_cell", "image_file", "image_header", "image", "data_root", "config", "archive_meta"):
        op.drop_table(table)


def _archive_tables() -> None:
    op.create_table(
        "archive_meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_archive_meta"),
    )
    op.create_table(
        "config",
        sa.Column("config_id", ID, autoincrement=True, nullable=False),
        sa.Column("config_hash", sa.Text(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("versions", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("config_id", name="pk_config"),
        sa.UniqueConstraint("config_hash", name="uq_config_config_hash"),
    )
    op.create_table(
        "data_root",
        sa.Column("data_root_id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("data_root_id", name="pk_data_root"),
        sa.UniqueConstraint("name", name="uq_data_root_name"),
    )


def _image_table() -> None:
    op.create_table(
        "image",
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("simulated", sa.Boolean(), nullable=False),
        sa.Column("filefracday", ID),
        sa.Column("field", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.SmallInteger(), nullable=False) for name in ("ccdid", "qid", "rcid", "fid")),
        sa.Column("filtercode", sa.Text(), nullable=False),
        sa.Column("expid", ID),
        sa.Column("pid", ID),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("x0", "y0", "nx", "ny")),
        *_doubles("obsmjd", "mjd_mid", "exptime", "seeing_pix", "maglim", "seeing", "maglimit"),
        *_doubles("magzp", nullable=False),
        *_doubles("magzpunc", "magzprms", "clrcoeff", "clrcounc"),
        *_doubles(*(f"apcor{k}" for k in range(1, 7))),
        *_doubles("gain", "readnoi", "saturate"),
        sa.Column("infobits", ID),
        sa.Column("infobits_source", sa.Text()),
        sa.Column("status", sa.SmallInteger()),
        *_doubles("airmass"),
        sa.Column("programid", sa.SmallInteger()),
        sa.Column("procvsn", sa.Integer()),
        sa.Column("created", sa.Text()),
        sa.Column("nframes", sa.Integer()),
        *_doubles("ra", "dec", "ra1", "dec1", "ra2", "dec2", "ra3", "dec3", "ra4", "dec4", nullable=False),
        *_doubles("sun_x", "sun_y", "sun_z", "ssb_x", "ssb_y", "ssb_z"),
        *_doubles("background", "background_rms", nullable=False),
        *_doubles(*(f"sky_noise{k}" for k in range(1, 7))),
        sa.Column("has_mask", sa.Boolean(), nullable=False),
        sa.Column("n_source", sa.Integer(), nullable=False),
        sa.Column("config_id", ID, nullable=False),
        sa.ForeignKeyConstraint(["config_id"], ["config.config_id"], name="fk_image_config_id_config"),
        sa.PrimaryKeyConstraint("image_id", name="pk_image"),
        sa.UniqueConstraint(
            "kind", "simulated", "expid", "field", "rcid", "fid", "x0", "y0", "nx", "ny", name="identity"
        ),
    )
    op.create_index("ix_image_obsmjd", "image", ["obsmjd", "image_id"])
    op.create_index("ix_image_field", "image", ["field", "rcid", "fid", "image_id"])
    op.create_index("ix_image_expid", "image", ["expid", "rcid"])


def _image_parts() -> None:
    op.create_table(
        "image_header",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("wcs_projection", sa.Text()),
        sa.Column("wcs", sa.LargeBinary()),
        *(sa.Column(name, sa.Integer()) for name in ("mesh_box_y", "mesh_box_x", "mesh_ny", "mesh_nx")),
        sa.Column("mesh_level", sa.LargeBinary()),
        sa.Column("mesh_rms", sa.LargeBinary()),
        sa.Column("cards", sa.JSON(), nullable=False),
        _of_image("image_header"),
        sa.PrimaryKeyConstraint("image_id", "role", name="pk_image_header"),
    )
    op.create_table(
        "image_file",
        sa.Column("image_id", ID, nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("data_root_id", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", ID, nullable=False),
        sa.Column("mtime_ns", ID, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("hdu", sa.SmallInteger(), nullable=False),
        sa.Column("byte_offset", ID),
        sa.Column("bitpix", sa.SmallInteger(), nullable=False),
        *_doubles("bscale", "bzero", nullable=False),
        sa.Column("compression", sa.Text(), nullable=False),
        _of_image("image_file"),
        sa.ForeignKeyConstraint(
            ["data_root_id"], ["data_root.data_root_id"], name="fk_image_file_data_root_id_data_root"
        ),
        sa.PrimaryKeyConstraint("image_id", "role", name="pk_image_file"),
    )
    op.create_index("ix_image_file_path", "image_file", ["data_root_id", "path"])
    op.create_index("ix_image_file_sha256", "image_file", ["sha256"])
    op.create_table(
        "image_cell",
        sa.Column("cell9", ID, autoincrement=False, nullable=False),
        sa.Column("image_id", ID, autoincrement=False, nullable=False),
        _of_image("image_cell"),
        sa.PrimaryKeyConstraint("cell9", "image_id", name="pk_image_cell"),
    )
    op.create_index("ix_image_cell_image_id", "image_cell", ["image_id"])


def _source_table() -> None:
    apertures = [f"flux_aper{k}{suffix}" for k in range(1, 7) for suffix in ("", "_err")]
    op.create_table(
        "source",
        sa.Column("source_id", ID, autoincrement=False, nullable=False),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("hpx29", ID, nullable=False),
        *_doubles("ra", "dec", "x", "y", nullable=False),
        *_reals("a", "b", "theta"),
        sa.Column("npix", sa.Integer(), nullable=False),
        *_reals("peak", "flux_auto", "flux_auto_err", "kron_radius", "flux_radius", *apertures),
        sa.Column("flags", sa.Integer(), nullable=False),
        sa.Column("mask_bits", sa.Integer()),
        *_reals("background", "background_rms"),
        sa.PrimaryKeyConstraint("source_id", name="pk_source"),
        postgresql_with=APPEND_ONLY,
    )
    if op.get_bind().dialect.name == "postgresql":
        op.create_index("ix_source_light_curve", "source", ["hpx29"], postgresql_include=LIGHT_CURVE_COLUMNS)
    else:
        op.create_index("ix_source_light_curve_key", "source", ["hpx29", *LIGHT_CURVE_COLUMNS])


def _doubles(*names: str, nullable: bool = True) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double(), nullable=nullable) for name in names]


def _reals(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.REAL()) for name in names]


def _of_image(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["image_id"], ["image.image_id"], name=f"fk_{table}_image_id_image", ondelete="CASCADE"
    )
