"""The kinds of arguments, by the annotation of their parameter."""

from __future__ import annotations

import decimal
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table

from ztfdb import options
from ztfdb.arguments import converter
from ztfdb.derive.psf_checks import PsfCheckSettings

MASKED = np.ma.array([3, 4], mask=[False, True])
RIGHT = [
    ("int", np.uint8(3), 3),
    ("int", 3.0, 3),
    ("int", np.array(3), 3),
    ("int", -(2**63), -(2**63)),
    ("Count", np.int64(1), 1),
    ("Aperture", np.int8(6), 6),
    ("float", np.float32(0.5), 0.5),
    ("float", decimal.Decimal("0.5"), 0.5),
    ("float", np.array(2), 2.0),
    ("Sequence[int]", 7, [7]),
    ("Sequence[int]", np.array([1, 2], "u8"), [1, 2]),
    ("Sequence[int]", np.array([1.0, 2.0]), [1, 2]),
    ("Sequence[int]", pd.Series([1, 2], index=[5, 5]), [1, 2]),
    ("Sequence[int]", pd.array([1, 2], dtype="Int64"), [1, 2]),
    ("Sequence[int]", Table({"a": [1, 2]})["a"], [1, 2]),
    ("Sequence[int]", (one for one in (1, 2)), [1, 2]),
    ("Sequence[int]", MASKED[:1], [3]),
    ("Sequence[int] | None", None, None),
    ("int | Iterable[int] | None", np.int32(7), 7),
    ("int | Iterable[int] | None", [7], [7]),
    ("Sequence[str]", np.array(["ra", "dec"]), ["ra", "dec"]),
    ("Sequence[str]", pd.Index(["ra"]), ["ra"]),
    ("Iterable[str | int] | str | int | None", "ZTF_g", ["zg"]),
    ("Iterable[str | int] | str | int | None", np.array([1, 3]), ["zg", "zi"]),
    ("Calibration", np.str_("ps1"), "ps1"),
    ("Literal['a', 'b']", "b", "b"),
    ("tuple[Moment, Moment] | None", np.array([1.0, 2.0]), (1.0, 2.0)),
    ("str | Path | Iterable[str | Path]", Path("a"), [Path("a")]),
]
WRONG = [
    *(("int", value) for value in (None, "3", True, np.True_, 2.5, np.nan, np.inf, 2**63, 2.0**60, 10**5000, 1j)),
    *(("int", value) for value in ([3], b"3")),
    *(("int", value) for value in (MASKED[1], pd.NA, pd.NaT, np.array([3]), np.timedelta64(3, "s"), object())),
    *(("Count", value) for value in (0, -1, None)),
    *(("Aperture", value) for value in (0, 7, 2.5, "4", None, [4])),
    *(("float", value) for value in (None, "1.5", True, b"1", 10**400, [1.0], np.ma.masked, pd.NA, object())),
    *(("Arcsec", value) for value in (-1.0, np.inf, np.nan, "3")),
    *(("Sequence[int]", value) for value in ("12", b"12", {1: 2}, [[1]], ["1"], [None], MASKED, [2**64], [True], 1.5)),
    ("Sequence[int]", np.array([[1, 2]])),
    ("Sequence[int]", pd.array([1, None], dtype="Int64")),
    *(("Sequence[str]", value) for value in ("ra", [1], ["ra", None], 5, {"ra": 1}, [b"ra"])),
    *(("Iterable[str | int] | str | int | None", value) for value in ("u", 4, [None], True, [True], [["g"]], 1.5)),
    *(("Calibration", value) for value in (None, "x", ["ps1"], np.array(["ps1", "self"]), 1)),
    *(("tuple[Moment, Moment] | None", value) for value in (1, "12", {1, 2}, {1: 2, 3: 4}, (1, 2, 3))),
    ("tuple[Moment, Moment] | None", np.array([[1, 2]])),
    *(("str", value) for value in (None, 1, b"x", "\udc80", ["x"])),
    *(("CatalogueName", value) for value in ("", "../x", "a b", "x" * 65, "ps1\n", 1)),
    *(("str | Path", value) for value in (None, 1, b"x", "a\0b")),
    *(("str | Path | Iterable[str | Path]", value) for value in (None, 1, b"x", [1])),
    *(("Places", value) for value in (1, "x", [("a", "b")], {1: "x"})),
    *(("Progress | None", value) for value in (1, "x")),
    *(("PsfCheckSettings | None", value) for value in (1, {}, PsfCheckSettings)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "value", "plain"), RIGHT, ids=range(len(RIGHT)))
def test_a_right_value_becomes_a_plain_one(kind, value, plain):
    convert = converter(kind, vars(options))
    assert convert is not None
    found = convert("it", value)
    assert found == plain
    assert type(found) is type(plain)
    for one in found if isinstance(found, list) else []:
        assert type(one) in (int, str) or isinstance(one, Path)


@pytest.mark.parametrize(("kind", "value"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_value_is_one_error_that_names_it_and_what_is_wanted(kind, value):
    convert = converter(kind, vars(options))
    assert convert is not None
    with pytest.raises(ValueError, match=r"(?s)\bit\b.*expected|filter .*expected") as told:
        convert("it", value)
    assert type(told.value) is ValueError
    assert len(str(told.value)) < 250
    assert not re.search(r"\n", str(told.value))


def test_settings_of_the_class_are_right():
    convert = converter("PsfCheckSettings | None", {})
    assert convert is not None
    assert convert("settings", None) is None
    assert convert("settings", PsfCheckSettings(aperture=5)).aperture == 5
