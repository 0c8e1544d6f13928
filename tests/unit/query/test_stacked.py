"""Columns of several answers one below the other, and frames of them: short or long, the same."""

import numpy as np
import pandas as pd
import pytest

from ztfdb.query import dataframes
from ztfdb.query.columns import masked_integers, stacked, words
from ztfdb.query.dataframes import data_frame

KINDS = ("a", "b")


def part(first):
    whole = np.arange(first, first + 3)
    return {
        "x": whole + 0.5,
        "n": whole,
        "ok": whole > 1,
        "id": masked_integers(whole, whole == first),
        "kind": words(whole % 2, KINDS),
        "y": -whole.astype(float),
    }


@pytest.mark.parametrize("few", [0, 10_000])
def test_stacked_parts_are_the_whole(monkeypatch, few):
    monkeypatch.setattr(dataframes, "FEW_ROWS", few)
    names = list(part(0))
    found = data_frame(stacked([part(0), part(3)], names), {"radius": 1.5})
    expected = pd.concat([data_frame(part(0)), data_frame(part(3))], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected)
    assert (list(found.columns), found.attrs) == (names, {"radius": 1.5})
    found.loc[0, "x"] = 9.0  # blocks are the frame's own
    assert found["y"].tolist() == expected["y"].tolist()
