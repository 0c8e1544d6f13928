"""Translating many statements: what is kept of them, and with which sqlglot."""

from __future__ import annotations

import gc

import pytest

pytest.importorskip("sqlglot")

from sqlglot import exp

from ztfdb.adql import grammar
from ztfdb.adql.tables import Tables, archive_tables
from ztfdb.adql.translate import translate
from ztfdb.errors import ConfigError

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


def test_a_compiled_sqlglot_is_told_when_the_service_starts(monkeypatch):
    grammar.check_parser()

    def refuse(*args: object, **options: object) -> None:
        raise TypeError("interpreted classes cannot inherit from compiled")

    monkeypatch.setattr(grammar.Adql, "parser", refuse)
    with pytest.raises(ConfigError, match="pip uninstall sqlglotc"):
        grammar.check_parser()


def _tables() -> Tables:
    return Tables.of(list(archive_tables()))
