"""DataFrames and stamps as JSON, as `ztfdb.query.wire` reads them.

Columns of numbers stay arrays until `dumps` writes them: lists of Python numbers are several times slower.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
from numpy.typing import NDArray

from ztfdb.errors import ImageError
from ztfdb.query.answer import Answer
from ztfdb.query.columns import MaskedIntegers, Words, is_id
from ztfdb.schema import describe_column

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.stamps import ImageStamp

MOST_EXACT = 2**53
"""Whole numbers up to here are exact in every reader of JSON."""


def dumps(value: Any) -> bytes:
    """Return strict JSON, without blanks: a NaN, an infinite number and a missing value are null."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def pack_columns(frame: pd.DataFrame) -> orjson.Fragment:
    """Return the name, dtype and unit of each column, and the words of categorical columns."""
    return _described(_columns(_arrays(frame)))


def pack_data(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the values of each column as `dumps` takes them."""
    return _valued(_columns(_arrays(frame)))


def pack_answer(answer: Answer, hint: str | None = None) -> dict[str, Any]:
    """Return the same as `pack_frame` for the DataFrame of an answer, without making the DataFrame."""
    return _packed(answer.arrays, answer.meta, hint)


def pack_frame(frame: pd.DataFrame, hint: str | None = None) -> dict[str, Any]:
    """Return a DataFrame as `dumps` takes it.

    Parameters
    ----------
    frame : DataFrame
        With a plain index from 0.
    hint : str, optional
        The reason for an empty answer.

    Returns
    -------
    dict
        ``columns``, ``data``, ``attrs`` and ``hint``.
    """
    return _packed(_arrays(frame), frame.attrs, hint)


def _arrays(frame: pd.DataFrame) -> Mapping[str, Any]:
    from ztfdb.query.dataframes import columns_of  # imports pandas, which a light curve does not need

    return columns_of(frame)


def _packed(arrays: Mapping[str, Any], attrs: Mapping[Any, Any], hint: str | None) -> dict[str, Any]:
    columns = _columns(arrays)
    return {"columns": _described(columns), "data": _valued(columns), "attrs": plain(attrs), "hint": hint}


def plain(value: Any) -> Any:
    """Return a value of dicts, lists and numbers as strict JSON can hold it: no NaN, no numpy, ids as texts."""
    if isinstance(value, Mapping):
        return {str(name): _named(str(name), one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray | set | frozenset):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | str | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    pandas = sys.modules.get("pandas")  # if it is not imported, there are no missing values of it
    return None if pandas is not None and (value is pandas.NA or value is pandas.NaT) else str(value)


def pack_stamps(stamps: Sequence[ImageStamp]) -> list[dict[str, Any]]:
    """Return stamps as JSON can hold them: pixels and mask are base64 of little-endian numbers, row by row."""
    return [_pack_stamp(stamp) for stamp in stamps]


def pack_problem(problem: ImageError) -> dict[str, str]:
    """Return the problem of a file, without its folder."""
    name = PurePath(problem.path).name
    return {"error": type(problem).__name__, "file": name, "reason": problem.reason.replace(problem.path, name)}


def file_names(values: Any) -> Any:
    """Return paths without their folders, which clients of a service must not see."""
    import pandas as pd

    return pd.array([PurePath(value).name if isinstance(value, str) else None for value in values], dtype="str")


def without_folders(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with file names without folders."""
    for name in ("path", "file"):
        if name in frame:
            attrs, frame = frame.attrs, frame.assign(**{name: file_names(frame[name])})
            frame.attrs = attrs
    return frame


def _columns(arrays: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """Return the name of each column, its kind (its dtype, or the words of a category), and its values."""
    return [(name, _made_of(column), column) for name, column in arrays.items()]


def _made_of(column: Any) -> Any:
    if isinstance(column, Words):
        return column.words
    return "Int64" if isinstance(column, MaskedIntegers) else column.dtype


def _described(columns: list[tuple[str, Any, Any]]) -> orjson.Fragment:
    return _header(tuple((name, kind) for name, kind, _ in columns))


def _valued(columns: list[tuple[str, Any, Any]]) -> dict[str, Any]:
    return {name: _values(name, column) for name, _, column in columns}


@lru_cache(maxsize=64)
def _header(kinds: tuple[tuple[str, Any], ...]) -> orjson.Fragment:
    columns = [{"name": name, **_kind(kind), **_unit(name)} for name, kind in kinds]
    return orjson.Fragment(orjson.dumps(columns))


def _kind(kind: Any) -> dict[str, Any]:
    return {"dtype": "category", "categories": kind} if isinstance(kind, tuple) else {"dtype": str(kind)}


def _unit(name: str) -> dict[str, str]:
    described = describe_column(name)
    return {} if described is None else {"unit": described.unit}


def _values(name: str, column: Any) -> Any:
    if isinstance(column, Words):
        return column.tolist()
    if isinstance(column, MaskedIntegers):
        return _masked(name, column)
    kind = getattr(column.dtype, "kind", "O")
    if isinstance(column, np.ndarray) and kind == "f":
        return np.ascontiguousarray(column, np.float64)
    if isinstance(column, np.ndarray) and kind == "b":
        return np.ascontiguousarray(column)
    if kind in "iu":
        return _integers(name, column)
    if kind in "mM":
        import pandas as pd

        return [None if pd.isna(one) else pd.Timestamp(one).isoformat() for one in column]
    return [_named(name, one) for one in column.tolist()]


def _integers(name: str, column: Any) -> Any:
    if isinstance(column, np.ndarray):
        return list(map(str, column.tolist())) if _as_texts(name, column) else np.ascontiguousarray(column)
    return _masked(name, MaskedIntegers(column.to_numpy(np.int64, na_value=0), column.isna()))


def _masked(name: str, column: MaskedIntegers) -> Any:
    missing = np.flatnonzero(column.mask)
    numbers = column.filled(0) if len(missing) else column.values
    as_texts = _as_texts(name, numbers)
    if not len(missing) and not as_texts:
        return np.ascontiguousarray(numbers)
    values: list[Any] = numbers.tolist()
    if as_texts:
        values = list(map(str, values))
    for at in missing.tolist():
        values[at] = None
    return values


def _as_texts(name: str, numbers: NDArray[Any]) -> bool:
    if is_id(name) or numbers.itemsize < 8 or not len(numbers):
        return is_id(name)
    return bool(numbers.max() > MOST_EXACT or numbers.min() < -MOST_EXACT)


def _named(name: str, value: Any) -> Any:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
        return str(number) if is_id(name) or abs(number) > MOST_EXACT else number
    return plain(value)


def _pack_stamp(stamp: ImageStamp) -> dict[str, Any]:
    facts = dict(stamp.facts or {})
    if facts.get("path") is not None:
        facts["path"] = PurePath(facts["path"]).name
    return {
        "image_id": str(stamp.image_id),
        **{name: plain(getattr(stamp, name)) for name in ("ra", "dec", "x", "y", "x0", "y0", "radius", "status")},
        "north_up": stamp.north_up,
        "facts": plain(facts),
        "problem": None if stamp.problem is None else pack_problem(stamp.problem),
        "wcs": {"projection": stamp.parameters.projection, "values": plain(stamp.parameters.to_array())},
        "data": _pack_array(stamp.data),
        "mask": None if stamp.mask is None else _pack_array(stamp.mask),
    }


def _pack_array(values: NDArray[Any]) -> dict[str, Any]:
    little = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    encoded = base64.b64encode(little.tobytes()).decode()
    return {"dtype": little.dtype.str, "shape": list(values.shape), "base64": encoded}
