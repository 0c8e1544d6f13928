"""Limits come from the file and the environment, and mistakes are told."""

from __future__ import annotations

import math

import pytest

from ztfdb.errors import ConfigError
from ztfdb.serve.limits import Limits, load_limits


def test_variables_win_over_the_file_and_the_file_over_defaults():
    limits = load_limits({"max_rows": 5, "sync_s": 2}, {"ZTFDB_SERVE_MAX_ROWS": "7"})
    assert (limits.max_rows, limits.sync_s, limits.threads) == (7, 2.0, Limits().threads)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rows": 5}, "unknown setting rows; known are max_rows"),
        ({"max_rows": "many"}, "max_rows is 'many', expected a whole number"),
        ({"max_rows": 2.5}, "expected a whole number"),
        ({"max_rows": True}, "expected a whole number"),
        ({"max_rows": 0}, "more than 0"),
        ({"sync_s": math.nan}, "sync_s is nan, expected more than 0"),
        ({"sync_s": []}, "expected a number"),
        ({"threads": 16}, "at most 15"),
        ({"client_threads": 9}, "more than threads"),
    ],
)
def test_mistakes_are_told(table, message):
    with pytest.raises(ConfigError, match=message):
        load_limits(table, {})


def test_a_mistake_in_a_variable_names_the_variable():
    with pytest.raises(ConfigError, match="ZTFDB_SERVE_MAX_ROWS is 'many', expected a whole number"):
        load_limits({"max_rows": 5}, {"ZTFDB_SERVE_MAX_ROWS": "many"})
    with pytest.raises(ConfigError, match="body_s is nan, expected more than 0"):
        load_limits({}, {"ZTFDB_SERVE_BODY_S": "nan"})
