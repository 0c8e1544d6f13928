from __future__ import annotations

import numpy as np
import pandas as pd

from ztfdb.cli.table import fitting, text_table

UNITS = {"ra": "deg", "mag": "mag"}


def frame():
    return pd.DataFrame(
        {
            "ra": [1.23456789, 359.5],
            "mag": [18.12345, np.nan],
            "id": pd.array([1 << 60, None], dtype="Int64"),
            "name": ["a", None],
            "good": [True, False],
        }
    )


def test_rows_are_aligned_under_names_and_units():
    assert list(text_table(frame(), UNITS)) == [
        "        ra     mag                   id  name  good",
        "       deg     mag",
        "  1.234568  18.123  1152921504606846976  a      yes",
        "359.500000       -                    -  -       no",
    ]


def test_without_units_there_is_no_line_for_them():
    assert len(list(text_table(frame(), {}))) == 3


def test_an_empty_answer_is_its_header():
    assert list(text_table(frame().iloc[:0], {})) == ["ra  mag  id  name  good"]


def test_every_row_has_every_cell():
    lines = list(text_table(frame(), UNITS))
    assert [len(line.split()) for line in lines[2:]] == [5, 5]


def test_a_wide_table_comes_in_blocks_that_fit():
    lines = list(text_table(frame(), UNITS, width=40))
    assert max(map(len, lines)) <= 40
    assert lines.count("") == 1
    assert [line.split()[0] for line in lines if line.startswith(("  1.23", "359.5"))] == ["1.234568", "359.500000"] * 2


def test_fitting_counts_leading_columns():
    assert [fitting(frame(), width) for width in (5, 10, 18, 39, 200)] == [1, 1, 2, 3, 5]


def test_tiny_and_huge_numbers_keep_their_digits():
    text = "\n".join(text_table(pd.DataFrame({"flux": [1e-5], "ra": [1e15]}), {}))
    assert "1e-05" in text
    assert "1e+15" in text


def test_columns_that_are_not_ours_show_ten_digits():
    assert list(text_table(pd.DataFrame({"mag": [1.23456789012]}), {}, known=False)) == ["       mag", "1.23456789"]


def test_a_table_of_no_columns_is_nothing():
    assert list(text_table(pd.DataFrame(), {})) == []
