"""Translating many statements: what is kept of them, and with which sqlglot."""

from __future__ import annotations

import gc
import sys
from importlib import invalidate_caches
from importlib.machinery import EXTENSION_SUFFIXES

import pytest

pytest.importorskip("sqlglot")

from sqlglot import exp

from ztfdb.adql.installed import check_parser
from ztfdb.adql.tables import KEYS, Tables, archive_tables
from ztfdb.adql.translate import translate
from ztfdb.errors import ConfigError
from ztfdb.schema import Base

CONE = "select ra, dec from ztf.source where 1 = contains(point('ICRS', ra, dec), circle('ICRS', {}, 5, 0.1))"


def test_no_statement_is_kept():
    tables = Tables.of(list(archive_tables()))
    for number in range(20):
        translate(CONE.format(number), tables, "sqlite", 10)
    gc.collect()
    before = sum(isinstance(one, exp.Select) for one in gc.get_objects())
    for number in range(20, 60):
        translate(CONE.format(number), tables, "sqlite", 10)
    gc.collect()
    assert sum(isinstance(one, exp.Select) for one in gc.get_objects()) <= before


def test_comments_of_a_client_do_not_reach_the_database():
    made = translate("select /* who reads this */ ra -- and this\nfrom ztf.source", _tables(), "postgresql", 10)
    assert "who" not in made.sql and "this" not in made.sql


def test_a_compiled_sqlglot_is_told_when_the_service_starts(monkeypatch, tmp_path):
    """It is installed as sqlglotc installs it: compiled modules beside those of sqlglot."""
    check_parser()
    package = tmp_path / "sqlglot"
    package.mkdir()
    for name in ("__init__.py", "parser.py"):
        (package / name).touch()
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "sqlglot"]:
        monkeypatch.delitem(sys.modules, name)
    check_parser()
    (package / f"parser{EXTENSION_SUFFIXES[0]}").touch()
    invalidate_caches()
    with pytest.raises(ConfigError, match="pip uninstall sqlglotc"):
        check_parser()
    assert "sqlglot" not in sys.modules


def _tables() -> Tables:
    return Tables.of(list(archive_tables()))


def test_a_column_with_another_value_in_every_row_is_the_primary_key():
    tables = {name: [column.name for column in table.primary_key] for name, table in Base.metadata.tables.items()}
    assert {name: [key] for name, key in KEYS.items() if name in tables}.items() <= tables.items()
    assert {name for name in KEYS if name not in tables} == {"light_curve_point", "psf_light_curve_point"}
