"""Columns become DataFrames and tables whose types say what is missing."""

from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from astropy import units as u

from ztfdb.query.columns import masked_integers, nullable, words
from ztfdb.query.dataframes import astropy_table, columns_of, data_frame, from_values

COLOURS = ("red", "green")


def test_missing_integers_stay_integers():
    column = data_frame({"x": nullable(np.array([2**60 + 1, -1, 3]), missing=-1)})["x"]
    assert column.dtype == "Int64"
    assert column[0] == 2**60 + 1
    assert list(column.isna()) == [False, True, False]


def test_words_compare_and_group_as_text():
    column = data_frame({"x": words(np.array([1, 0, -1, 1]), COLOURS)})["x"]
    assert list(column == "green") == [True, False, False, True]
    assert column.isna().sum() == 1
    assert column.value_counts()["red"] == 1


def test_a_table_has_units_and_masks_only_what_is_missing():
    frame = data_frame({
        "id": masked_integers(np.array([2**60 + 1, 0]), np.array([False, True])),
        "n": masked_integers(np.array([1, 2]), np.array([False, False])),
        "colour": words(np.array([1, -1]), COLOURS),
        "mag": np.array([20.0, np.nan]),
        "name": pd.array(["a", None], dtype="str"),
        "good": np.array([True, False]),
    })  # fmt: skip
    table = astropy_table(frame, {"asked": 1})
    assert table["mag"].unit == u.mag
    assert table["id"][0] == 2**60 + 1
    assert [list(table[name].mask) for name in ("id", "colour", "name")] == [[False, True]] * 3
    assert not hasattr(table["n"], "mask")
    assert (table["n"].dtype, table["good"].dtype) == (np.int64, np.bool_)
    assert np.isnan(table["mag"][1])
    assert table.meta == {"asked": 1}


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, None, 2**62], "Int64"),
        ([1.5, None], "float64"),
        ([1, 2.5], "float64"),
        ([Decimal("1.25"), None], "float64"),
        (["a", None], "str"),
        ([True, None], "boolean"),
        ([None, None], "object"),
        ([], "object"),
        ([b"x", "y"], "object"),
    ],
)
def test_the_type_of_an_sql_column_follows_from_its_values(values, dtype):
    frame = from_values(["a"], [values])
    assert frame["a"].dtype == dtype
    assert len(frame) == len(values)
    assert list(frame["a"].isna()) == [value is None for value in values]


def test_no_columns_make_an_empty_frame():
    assert from_values([], []).shape == (0, 0)


def test_texts_without_pyarrow_stay_texts():
    texts = pd.array(["a", None], dtype=pd.StringDtype("python", na_value=np.nan))
    for part in (texts, texts[:0]):
        assert columns_of(pd.DataFrame({"x": part}))["x"].dtype == texts.dtype
