from __future__ import annotations

import pytest
from astropy import units
from sqlalchemy import REAL, Double, Float

from ztfdb.schema import Base, PsfSource, Source
from ztfdb.schema.base import NAMING_CONVENTION
from ztfdb.schema.views import VIEWS

COLUMNS = [column for table in Base.metadata.sorted_tables for column in table.columns]
FLOATS = [column for column in COLUMNS if isinstance(column.type, Float)]
LEGIBLE = {"DN": units.adu}  # astropy's word for what ZTF calls a data number


@pytest.mark.parametrize("column", FLOATS, ids=str)
def test_every_measured_column_has_a_unit_astropy_reads(column):
    unit = column.info["unit"]
    assert isinstance(unit, str)
    units.Unit(unit)


@pytest.mark.parametrize("column", FLOATS, ids=str)
def test_floats_say_their_precision(column):
    assert isinstance(column.type, Double | REAL)


@pytest.mark.parametrize("column", FLOATS, ids=str)
def test_positions_and_times_are_double(column):
    if column.info["unit"] in ("deg", "d", "s"):
        assert isinstance(column.type, Double)


def test_fluxes_and_shapes_of_sources_are_single():
    singles = {column.name for column in Source.__table__.columns if isinstance(column.type, REAL)}
    doubles = {column.name for column in Source.__table__.columns if isinstance(column.type, Double)}
    assert doubles == {"ra", "dec", "x", "y"}
    assert {name for name in singles if name.startswith("flux")} == {
        "flux_auto",
        "flux_auto_err",
        "flux_radius",
        *(f"flux_aper{k}{suffix}" for k in range(1, 7) for suffix in ("", "_err")),
    }


def test_names_are_lower_snake_case_and_singular():
    for table in Base.metadata.sorted_tables:
        assert table.name == table.name.lower()
        assert not table.name.endswith("s") or table.name.endswith("alias")
        assert table.metadata.naming_convention.items() >= NAMING_CONVENTION.items()


@pytest.mark.parametrize("table", [Source.__table__, PsfSource.__table__], ids=str)
def test_no_foreign_key_leaves_source_or_points_at_it(table):
    assert not table.foreign_keys
    assert not [key for column in COLUMNS for key in column.foreign_keys if key.column.table is table]


def test_unique_keys_are_never_measured_floats():
    for table in Base.metadata.sorted_tables:
        keys = [table.primary_key, *(c for c in table.constraints if c.__class__.__name__ == "UniqueConstraint")]
        assert not [column for key in keys for column in key.columns if isinstance(column.type, Float)]


def test_every_view_is_a_select_without_a_star():
    for name, statement in VIEWS.items():
        assert statement.split()[:3] == ["create", "view", name]
        assert "*," not in statement
