"""Reference catalogues, their matches with sources, and calibrations made from them.

Revision: 20261122_catalogues
Follows: 20261122_first
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261122_catalogues"
down_revision = "20261122_first"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
# As for source: matches are read by index-only scans, which want all-visible pages soon after rows arrive.
APPEND_ONLY = {"autovacuum_vacuum_insert_threshold": 100000, "autovacuum_vacuum_insert_scale_factor": 0}
POSITION = ["ra", "dec"]
MOVING_POSITION = ["ra", "dec", "epoch", "pmra", "pmdec"]


def upgrade() -> None:
    _catalogue_tables()
    _row_tables()
    _match_tables()
    _calibration_table()


def downgrade() -> None:
    for table in (
        "calibration",
        "image_match",
        "source_match",
        "reference_source",
        "gaia",
        "ps1",
        "catalogue_cell",
        "catalogue_file",
        "catalogue",
    ):
        op.drop_table(table)


def _catalogue_tables() -> None:
    op.create_table(
        "catalogue",
        sa.Column("catalogue_id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("n_row", ID, nullable=False),
        sa.Column("n_moving", ID, nullable=False),
        *_doubles("max_pm", nullable=False),
        *_doubles("min_epoch", "max_epoch"),
        sa.Column("match_mode", sa.Text(), nullable=False),
        *_doubles("match_radius", nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("catalogue_id", name="pk_catalogue"),
        sa.UniqueConstraint("name", name="uq_catalogue_name"),
    )
    op.create_table(
        "catalogue_file",
        sa.Column("catalogue_file_id", ID, autoincrement=True, nullable=False),
        sa.Column("catalogue_id", ID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size", ID, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("sha256", "format", "layout")),
        *(sa.Column(name, ID, nullable=False) for name in ("n_row", "n_known", "n_bad")),
        sa.Column("imported", sa.Text(), nullable=False),
        _of_catalogue("catalogue_file"),
        sa.PrimaryKeyConstraint("catalogue_file_id", name="pk_catalogue_file"),
    )
    op.create_index("ix_catalogue_file_sha256", "catalogue_file", ["catalogue_id", "sha256"])
    op.create_table(
        "catalogue_cell",
        sa.Column("cell9", ID, autoincrement=False, nullable=False),
        sa.Column("catalogue_id", ID, autoincrement=False, nullable=False),
        sa.Column("n_row", ID, nullable=False),
        sa.Column("last_file_id", ID, nullable=False),
        _of_catalogue("catalogue_cell"),
        sa.PrimaryKeyConstraint("cell9", "catalogue_id", name="pk_catalogue_cell"),
    )


def _row_tables() -> None:
    op.create_table(
        "ps1",
        *_ids("ps1_id", "hpx29"),
        *_doubles("ra", "dec", nullable=False),
        *_reals("ra_err", "dec_err"),
        *_doubles("epoch"),
        sa.Column("photometry", sa.SmallInteger(), nullable=False),
        *(sa.Column(name, sa.Integer()) for name in ("n_detection", "quality", "info_flag")),
        *_reals(*(f"{band}_{kind}" for band in "grizy" for kind in ("mag", "mag_err", "kron_mag"))),
        sa.PrimaryKeyConstraint("ps1_id", name="pk_ps1"),
        postgresql_with=APPEND_ONLY,
    )
    _sky_index("ps1", ["hpx29"], ["ps1_id", *POSITION])
    op.create_table(
        "gaia",
        *_ids("gaia_id", "hpx29"),
        *_doubles("ra", "dec", nullable=False),
        *_doubles("epoch", "pmra", "pmdec"),
        *_reals("parallax", "parallax_err", "ruwe"),
        *_reals(*(f"{band}_{kind}" for band in ("g", "bp", "rp") for kind in ("mag", "mag_err"))),
        sa.PrimaryKeyConstraint("gaia_id", name="pk_gaia"),
        postgresql_with=APPEND_ONLY,
    )
    _sky_index("gaia", ["hpx29"], ["gaia_id", *MOVING_POSITION])
    op.create_table(
        "reference_source",
        *_ids("catalogue_id", "reference_id", "hpx29"),
        *_doubles("ra", "dec", nullable=False),
        *_doubles("epoch", "pmra", "pmdec"),
        *_reals("mag", "mag_err"),
        sa.Column("extra", sa.JSON()),
        _of_catalogue("reference_source"),
        sa.PrimaryKeyConstraint("catalogue_id", "reference_id", name="pk_reference_source"),
        postgresql_with=APPEND_ONLY,
    )
    _sky_index("reference_source", ["catalogue_id", "hpx29"], ["reference_id", *MOVING_POSITION])


def _match_tables() -> None:
    op.create_table(
        "source_match",
        *_ids("source_id", "catalogue_id", "rank", "reference_id"),
        *_doubles("separation", nullable=False),
        sa.PrimaryKeyConstraint("source_id", "catalogue_id", "rank", name="pk_source_match"),
        postgresql_with=APPEND_ONLY,
    )
    op.create_table(
        "image_match",
        *_ids("image_id", "catalogue_id"),
        sa.Column("mode", sa.Text(), nullable=False),
        *_doubles("radius", nullable=False),
        sa.Column("last_file_id", ID, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_matched", "n_match", "n_astrometry")),
        *_doubles("ra_offset", "dec_offset", "ra_rms", "dec_rms"),
        sa.Column("warning", sa.SmallInteger(), nullable=False),
        sa.Column("matched", sa.Text(), nullable=False),
        _of_image("image_match"),
        _of_catalogue("image_match"),
        sa.PrimaryKeyConstraint("image_id", "catalogue_id", name="pk_image_match"),
    )
    op.create_index("ix_image_match_catalogue_id", "image_match", ["catalogue_id", "image_id"])


def _calibration_table() -> None:
    op.create_table(
        "calibration",
        *_ids("image_id"),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("aperture", sa.Integer(), autoincrement=False, nullable=False),
        *_ids("catalogue_id"),
        sa.Column("color", sa.Text(), nullable=False),
        *_doubles("zeropoint", "zeropoint_err", "color_term", "color_term_err", "covariance", "scatter", "rms"),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("n_star", "n_clipped")),
        *_doubles("color_min", "color_max", "apcor", "apcor_err"),
        sa.Column("n_apcor", sa.Integer(), nullable=False),
        sa.Column("failure", sa.Text()),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("calibrated", sa.Text(), nullable=False),
        _of_image("calibration"),
        _of_catalogue("calibration"),
        sa.PrimaryKeyConstraint("image_id", "method", "aperture", name="pk_calibration"),
    )


def _sky_index(table: str, keys: list[str], columns: list[str]) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.create_index(f"ix_{table}_sky", table, keys, postgresql_include=columns)
    else:
        op.create_index(f"ix_{table}_sky_key", table, [*keys, *columns])


def _ids(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, ID, autoincrement=False, nullable=False) for name in names]


def _doubles(*names: str, nullable: bool = True) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.Double(), nullable=nullable) for name in names]


def _reals(*names: str) -> list[sa.Column[float]]:
    return [sa.Column(name, sa.REAL()) for name in names]


def _of_catalogue(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["catalogue_id"],
        ["catalogue.catalogue_id"],
        name=f"fk_{table}_catalogue_id_catalogue",
        ondelete="CASCADE",
    )


def _of_image(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["image_id"], ["image.image_id"], name=f"fk_{table}_image_id_image", ondelete="CASCADE"
    )
