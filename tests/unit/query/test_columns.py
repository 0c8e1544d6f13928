"""Columns of answers, one below the other."""

from __future__ import annotations

import numpy as np

from ztfdb.query.columns import MaskedIntegers, Stack, Texts, Words


def test_a_stack_has_the_rows_of_all_parts_and_changes_none_of_them():
    shared = np.arange(3.0)
    matrix = np.arange(6.0).reshape(2, 3)
    parts = [
        {
            "a": shared,
            "b": shared,
            "row": matrix[0],
            "n": np.array([1, 2, 3]),
            "w": Words(np.array([0, 1, -1], np.int8), ("x", "y")),
            "t": Texts(np.array(["p", None, "q"], object)),
        },
        {
            "a": np.array([7.0]),
            "b": np.array([8.0]),
            "row": matrix[1][:1],
            "n": MaskedIntegers(np.array([4]), np.array([True])),
            "w": Words(np.array([1], np.int8), ("x", "y")),
            "t": Texts(np.array(["r"], object)),
        },
    ]
    stack = Stack(["a", "b", "row", "n", "w", "t"])
    for part in (*parts, parts[0]):
        stack.add(part)
    made = stack.columns
    np.testing.assert_array_equal(made["a"], [0, 1, 2, 7, 0, 1, 2])
    np.testing.assert_array_equal(made["b"], [0, 1, 2, 8, 0, 1, 2])
    np.testing.assert_array_equal(made["row"], [0, 1, 2, 3, 0, 1, 2])
    assert made["n"].mask.tolist() == [False, False, False, True, False, False, False]
    assert made["n"].values[:3].tolist() == [1, 2, 3]
    assert made["w"].tolist() == ["x", "y", None, "y", "x", "y", None]
    assert made["t"].tolist() == ["p", None, "q", "r", "p", None, "q"]
    np.testing.assert_array_equal(shared, np.arange(3.0))
    np.testing.assert_array_equal(matrix, np.arange(6.0).reshape(2, 3))
