"""Every table, view, column and answer has words, and they are words that others understand."""

from __future__ import annotations

import subprocess
import sys

import pytest
from astropy import units
from astropy.io.votable.ucd import check_ucd
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import SetColumnComment

from ztfdb.query.answer import COLUMNS, COMPLETE_COLUMNS, PSF_COLUMNS
from ztfdb.schema import Base, describe_column, describe_table, describe_tables
from ztfdb.schema.views import VIEWS
from ztfdb.schema.words import GENERAL, PARTICULAR, TABLES

EVERY = [(where, name, facts) for where, of in [("", GENERAL), *PARTICULAR.items()] for name, facts in of.items()]
NO_VOUNIT = {"electron"}  # VOUnits 1.1 has it, astropy's copy of the standard does not
VOTABLE = {"short", "int", "long", "float", "double", "boolean", "unicodeChar", "unsignedByte"}


@pytest.mark.parametrize(("where", "name", "facts"), EVERY)
def test_words_are_a_unit_a_ucd_and_a_sentence(where, name, facts):
    unit, ucd, description = facts
    units.Unit(unit)
    assert check_ucd(ucd, check_controlled_vocabulary=True)
    assert description[-1] == "."
    assert "%" not in description  # a driver would take it for a parameter


@pytest.mark.parametrize("unit", sorted({facts[0] for _, _, facts in EVERY}))
def test_every_unit_has_a_vounit(unit):
    vounit = next(describe_column(name) for name, facts in GENERAL.items() if facts[0] == unit).vounit
    if not NO_VOUNIT & set(unit.split()):
        assert units.Unit(vounit, format="vounit") == units.Unit(unit.replace("DN", "adu"))


def test_every_table_and_view_is_described_with_all_columns():
    assert {one.name for one in describe_tables()} == set(TABLES) == set(VIEWS) | set(Base.metadata.tables)
    for table in Base.metadata.tables.values():
        assert table.info["description"] == table.comment == TABLES[table.name]
        for column in table.columns:
            described = describe_column(column.name, table.name)
            assert column.info == {
                "unit": described.unit, "ucd": described.ucd, "description": described.description
            }  # fmt: skip
            assert column.comment == described.comment
            assert described.datatype in VOTABLE


def test_no_word_is_left_of_a_column_that_there_is_not():
    answers = {"bjd_tdb", "path", "n_reference", "seconds", "problem", "file", "file_rows", "coverage_deg2", "error"}
    answers |= {"angsep_arcsec", *COMPLETE_COLUMNS, *PSF_COLUMNS}
    known = {column.name for table in describe_tables() for column in table.columns} | answers
    assert set(GENERAL) <= known
    for where, facts in PARTICULAR.items():
        columns = {column.name for column in describe_table(where).columns} if where in TABLES else known
        if where not in ("object", "object_filter", "object_summary"):  # these share their words
            assert set(facts) <= columns


@pytest.mark.parametrize("name", sorted({*COLUMNS, *COMPLETE_COLUMNS, *PSF_COLUMNS, "bjd_tdb"}))
def test_every_column_of_a_light_curve_is_described(name):
    assert describe_column(name, "light_curve").description


def test_a_column_means_what_its_table_says():
    assert "centre" in describe_column("ra", "image").description
    assert "centre" not in describe_column("ra", "source").description
    assert describe_column("color", "light_curve").unit == "mag"
    assert describe_column("color", "calibration").datatype == "unicodeChar"
    assert describe_column("mag", "light_curve_point").datatype == "double"
    assert describe_column("flux_aper4", "source").datatype == "float"
    assert describe_column("flux_aper4").datatype is None


def test_what_is_not_there():
    assert describe_column("colour") is None
    assert describe_column("mag", "source") is None  # ztfdb has a mag, this table has not
    with pytest.raises(ValueError, match=r"no table 'sources'; there are .*source"):
        describe_table("sources")


def test_comments_are_one_text_with_quotes():
    column = Base.metadata.tables["object"].columns["ra"]
    assert column.comment.endswith("clean detection, ICRS. [deg] (pos.eq.ra;meta.main)")
    assert "object''s best" in str(SetColumnComment(column).compile(dialect=postgresql.dialect()))


def test_words_are_looked_up_without_pandas():
    code = "import sys; from ztfdb.schema import describe_column as c; print(c('mag').unit, 'pandas' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mag", "False"]
