"""The formulas of the views against Python's own functions, in a SQLite that has none."""

from __future__ import annotations

import math
import sqlite3

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ztfdb.schema.formulas import exact, hypot, log10, power10
from ztfdb.schema.views import VIEWS

FLOATS = st.floats(min_value=2.0**-149, max_value=float(np.finfo(np.float32).max), width=32)


@pytest.fixture(scope="module")
def ask():
    """One row of a SQLite without mathematical functions."""
    connection = sqlite3.connect(":memory:")
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_FUNCTION else 0)

    def answer(formula, **values):
        columns = ", ".join(f"cast(:{name} as double precision) as {name}" for name in values)
        return connection.execute(f"select {formula} from (select {columns}) as f", values).fetchone()[0]

    yield answer
    connection.close()


@given(x=FLOATS)
def test_log10(ask, x):
    assert ask(log10("f.a"), a=x) == pytest.approx(math.log10(x), rel=3e-16, abs=3e-16)


@pytest.mark.parametrize("k", [*range(-149, 128)])
def test_log10_at_powers_of_two(ask, k):
    assert ask(log10("f.a"), a=2.0**k) == pytest.approx(k * math.log10(2.0), rel=3e-16, abs=3e-16)


@given(x=st.floats(-38.0, 38.0))
def test_power10(ask, x):
    assert ask(power10("f.a"), a=x) == pytest.approx(
        10.0**x, rel=4e-15
    )  # that of the argument's last digit, 38 ln 10 eps


@pytest.mark.parametrize("k", range(-38, 39))
def test_power10_of_integers_and_halves(ask, k):
    assert ask(power10("f.a"), a=float(k)) == pytest.approx(float(f"1e{k}"), rel=3e-16)
    for half in (k - 0.5, math.nextafter(k - 0.5, 99.0)):
        assert ask(power10("f.a"), a=half) == pytest.approx(10.0**half, rel=1e-15)


def test_beyond_its_range_a_power_is_null(ask):
    assert ask(power10("f.a"), a=38.6) is None
    assert ask(power10("f.a"), a=-38.6) is None
    assert ask(power10("f.a"), a=None) is None


@given(x=st.floats(1e-30, 1e6), y=st.floats(0.0, 1.0))
def test_hypot(ask, x, y):
    for formula in (hypot("f.a", "f.b"), hypot("f.b", "f.a")):
        assert ask(formula, a=x, b=y) == pytest.approx(math.hypot(x, y), rel=7e-16)


def test_hypot_of_nothing(ask):
    assert ask(hypot("f.a", "f.b"), a=0.0, b=0.0) == 0.0
    assert ask(hypot("f.a", "f.b"), a=None, b=0.02) is None
    assert ask(hypot("f.a", "f.b"), a=0.02, b=None) is None


@given(x=st.floats(2.0**-60, 2.0**60))
def test_constants_are_read_exactly_or_refused(ask, x):
    try:
        text = exact(x)
    except ValueError:
        assert x.as_integer_ratio()[1] > 1 << 62
    else:
        assert ask(text, a=0.0) == x


@pytest.mark.parametrize("name", VIEWS)
def test_views_use_no_function_that_a_bare_sqlite_lacks(name):
    assert not {"log10(", "sqrt(", "power(", "ln(", "floor("} & set(VIEWS[name].replace("(", "( ").split())
