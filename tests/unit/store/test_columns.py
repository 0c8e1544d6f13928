from __future__ import annotations

import numpy as np
import pytest

from ztfdb.schema import Source
from ztfdb.store.columns import numpy_columns, python_ints, python_value, python_values, sql_columns, table_dtypes

SOURCE = Source.__table__


def one(name, values, null=None):
    (column,) = sql_columns(SOURCE, {name: np.asarray(values)}, {} if null is None else {name: np.asarray(null)})
    return column


def test_dtypes_follow_the_table():
    dtypes = table_dtypes(SOURCE)
    assert dtypes["source_id"] == "<i8"
    assert dtypes["npix"] == "<i4"
    assert dtypes["ra"] == "<f8"
    assert dtypes["flux_auto"] == "<f4"
    assert list(dtypes) == [column.name for column in SOURCE.columns]


def test_nan_becomes_none():
    assert one("ra", [1.0, np.nan]).to_list() == [1.0, None]


def test_reals_are_rounded_before_they_are_bound():
    assert one("flux_auto", [0.1]).to_list() == [float(np.float32(0.1))]


def test_null_rows_of_integers():
    column = one("mask_bits", [5, 7], [False, True])
    assert column.to_list() == [5, None]
    assert column.values.dtype == "<i4"


def test_a_null_may_hide_any_number():
    assert one("mask_bits", [5, 2**40], [False, True]).to_list() == [5, None]


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("npix", [2**31], "does not fit 4 bytes"),
        ("npix", [1.5], "holds integers"),
        ("colour", [1], "not a numeric column"),
        ("npix", [[1]], "one value per row"),
    ],
)
def test_what_does_not_fit_is_refused(name, values, message):
    with pytest.raises(ValueError, match=message):
        one(name, values)


def test_python_values_are_plain():
    plain = python_values({"id": np.int64(2**60), "x": np.float32(0.5), "gap": np.nan, "flag": np.True_, "s": "zg"})
    assert plain == {"id": 2**60, "x": 0.5, "gap": None, "flag": True, "s": "zg"}
    assert [type(value) for value in plain.values()] == [int, float, type(None), bool, str]
    assert python_value(None) is None
    assert [type(v) for v in python_ints(np.arange(2))] == [int, int]


def test_rows_become_columns():
    found = numpy_columns([(1, None, None), (2, 0.5, 7)], {"id": "i8", "x": "f4", "n": "i4"}, {"n": -1})
    assert found["id"].tolist() == [1, 2]
    np.testing.assert_array_equal(found["x"], np.array([np.nan, 0.5], "f4"))
    assert found["n"].tolist() == [-1, 7]


def test_no_rows_become_empty_columns():
    found = numpy_columns([], {"id": "i8", "x": "f4"})
    assert found["id"].dtype == "i8"
    assert found["x"].shape == (0,)
