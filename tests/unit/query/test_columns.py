"""Columns of answers, one below the other."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

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


@pytest.mark.parametrize("most", [0, 50_000, 10**9])
@pytest.mark.parametrize("sizes", [[1_000] * 50, [20_000, *[10] * 49], [0, 0, 10, *[1_000] * 47], [1] * 49 + [60_000]])
def test_a_stack_takes_little_more_than_its_rows(sizes, most):
    """Even or not: more rows at the beginning than later, or fewer; whatever was expected."""
    rng = np.random.default_rng(7)
    parts = [{"a": rng.random(n), "n": rng.integers(9, size=n)} for n in sizes]
    stack = Stack(["a", "n"], most)
    for done, part in enumerate(parts, 1):
        stack.add(part, done / len(parts))
    made = stack.columns
    for name, column in made.items():
        np.testing.assert_array_equal(column, np.concatenate([part[name] for part in parts]))
        assert column.flags.owndata


def test_the_room_of_a_stack_is_that_of_its_rows():
    parts = [{str(k): np.full(1_000, float(k)) for k in range(20)} for _ in range(100)]
    stack = Stack(list(parts[0]), 10**9)
    tracemalloc.start()
    try:
        for done, part in enumerate(parts, 1):
            stack.add(part, done / len(parts))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    n_byte = sum(column.nbytes for column in stack.columns.values())
    assert peak <= 1.03 * n_byte
