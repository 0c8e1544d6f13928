"""Limits come from the file and the environment, and mistakes are told."""

from __future__ import annotations

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
        ({"sync_s": []}, "expected a number"),
        ({"threads": 16}, "at most 15"),
        ({"client_threads": 9}, "more than threads"),
    ],
)
def test_mistakes_are_told(table, message):
    with pytest.raises(ConfigError, match=message):
        load_limits(table, {})
