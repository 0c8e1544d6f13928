"""DataFrames and stamps as JSON, and back: what a service sends and its client reads.

A frame is columns, not rows: ``columns`` says their names, dtypes and units, ``data`` their values, ``attrs`` what was
asked. Ids are texts, because many readers of JSON round whole numbers beyond 2^53; NaN and what is missing are null.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePath
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ztfdb import errors
from ztfdb.errors import ImageError
from ztfdb.query.frames import columns_of, data_frame, masked_integers
from ztfdb.query.stamps import StampSeries
from ztfdb.records import WcsParameters
from ztfdb.schema import describe_column
from ztfdb.stamps import ImageStamp

MOST_EXACT = 2**53
"""Whole numbers up to here are exact in every reader of JSON."""

_IDS = frozenset({"oid", "expid", "pid", "hpx29", "cell9"})
_ENDS = ("_id", "_index", "sourceid")


def is_id(name: str) -> bool:
    """Tell whether a column of whole numbers is written as texts."""
    return name in _IDS or name.endswith(_ENDS)


def pack_columns(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the name, dtype and unit of each column, and the words of those from a short list."""
    return [
        {"name": str(name), **_kind(dtype), **_described(str(name))}
        for name, dtype in zip(frame.columns, frame.dtypes, strict=True)
    ]


def pack_data(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the values of each column as JSON can hold them."""
    return {name: _values(name, column) for name, column in columns_of(frame).items()}


def pack_frame(frame: pd.DataFrame, hint: str | None = None) -> dict[str, Any]:
    """Return a DataFrame as JSON can hold it.

    Parameters
    ----------
    frame : DataFrame
        With a plain index from 0.
    hint : str, optional
        Words about an empty answer.

    Returns
    -------
    dict
        ``columns``, ``data``, ``attrs`` and ``hint``.
    """
    return {
        "columns": pack_columns(frame),
        "data": pack_data(frame),
        "attrs": plain(frame.attrs),
        "hint": hint,
    }


def unpack_frame(
    columns: Sequence[Mapping[str, Any]], data: Mapping[str, list[Any]], attrs: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return the DataFrame of `pack_frame`: the same values, dtypes and ``attrs``."""
    made = {one["name"]: _column(one, data[one["name"]]) for one in columns}
    if not made:
        return pd.DataFrame(index=pd.RangeIndex(0), columns=pd.RangeIndex(0))
    frame = data_frame(made)
    frame.attrs.update(_attrs(attrs or {}))
    return frame


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
    return None if value is pd.NA or value is pd.NaT else str(value)


def dumps(value: Any) -> bytes:
    """Return strict JSON, without blanks."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def pack_stamps(stamps: Sequence[ImageStamp]) -> list[dict[str, Any]]:
    """Return stamps as JSON can hold them: pixels and mask are base64 of little-endian numbers, row by row."""
    return [_pack_stamp(stamp) for stamp in stamps]


def unpack_stamps(stamps: Sequence[Mapping[str, Any]]) -> StampSeries:
    """Return the stamps of `pack_stamps`."""
    return StampSeries([_unpack_stamp(stamp) for stamp in stamps])


def pack_problem(problem: ImageError) -> dict[str, str]:
    """Return what is wrong with a file, without its folder."""
    name = PurePath(problem.path).name
    return {"error": type(problem).__name__, "file": name, "reason": problem.reason.replace(problem.path, name)}


def unpack_problem(told: Mapping[str, str]) -> ImageError:
    """Return the error of `pack_problem`; one of a kind that this version does not know is an `ImageError`."""
    kind = getattr(errors, told["error"], ImageError)
    made = (kind if issubclass(kind, ImageError) else ImageError)(told["file"], told["reason"])
    assert isinstance(made, ImageError)
    return made


def file_names(values: Any) -> Any:
    """Return paths without their folders, which are no business of a service's clients."""
    return pd.array([PurePath(value).name if isinstance(value, str) else None for value in values], dtype="str")


def _named(name: str, value: Any) -> Any:
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        number = int(value)
        return str(number) if is_id(name) or abs(number) > MOST_EXACT else number
    return plain(value)


def _kind(dtype: Any) -> dict[str, Any]:
    if isinstance(dtype, pd.CategoricalDtype):
        return {"dtype": "category", "categories": dtype.categories.tolist()}
    return {"dtype": _dtype_name(dtype)}


@lru_cache(maxsize=64)
def _dtype_name(dtype: Any) -> str:
    return str(dtype)


@lru_cache(maxsize=512)
def _described(name: str) -> dict[str, str]:
    described = describe_column(name)
    return {} if described is None else {"unit": described.unit}


def _values(name: str, column: Any) -> list[Any]:
    if isinstance(column, pd.Categorical):
        words = [*column.categories.tolist(), None]
        return [words[code] for code in column.codes.tolist()]
    kind = getattr(column.dtype, "kind", "O")
    if isinstance(column, np.ndarray) and kind == "f":
        return _with_null(column.tolist(), ~np.isfinite(column))
    if isinstance(column, np.ndarray) and kind == "b":
        flags: list[Any] = column.tolist()
        return flags
    if kind in "iu":
        missing = None if isinstance(column, np.ndarray) else column.isna()
        numbers = column if missing is None else column.to_numpy(np.int64, na_value=0)
        values: list[Any] = numbers.tolist()
        if is_id(name) or (len(numbers) and np.abs(numbers).max() > MOST_EXACT):
            values = list(map(str, values))
        return values if missing is None else _with_null(values, missing)
    if kind in "mM":
        return [None if pd.isna(one) else pd.Timestamp(one).isoformat() for one in column]
    return [_named(name, one) for one in column.tolist()]


def _with_null(values: list[Any], missing: NDArray[np.bool_]) -> list[Any]:
    for at in np.flatnonzero(missing).tolist():
        values[at] = None
    return values


def _column(described: Mapping[str, Any], values: list[Any]) -> Any:
    dtype = described["dtype"]
    if dtype == "category":
        return pd.Categorical(values, dtype=_words(tuple(described["categories"])))
    if dtype in _READERS:
        return _READERS[dtype](values)
    if dtype.startswith("datetime64"):
        return pd.to_datetime(pd.Series(values, dtype=object)).astype(dtype).array
    return _objects(values)


@lru_cache(maxsize=64)
def _words(categories: tuple[str, ...]) -> pd.CategoricalDtype:
    return pd.CategoricalDtype(list(categories))


def _floats(dtype: Any) -> Callable[[list[Any]], Any]:
    def read(values: list[Any]) -> Any:
        return np.array(values, dtype=np.float64).astype(dtype, copy=False)  # None becomes NaN

    return read


def _integers(dtype: Any) -> Callable[[list[Any]], Any]:
    return lambda values: np.array(list(map(int, values)), dtype=dtype)


def _nullable(values: list[Any]) -> Any:
    missing = np.array([value is None for value in values], bool)
    numbers = np.array([0 if value is None else int(value) for value in values], np.int64)
    return masked_integers(numbers, missing)


def _objects(values: list[Any]) -> NDArray[Any]:
    made = np.empty(len(values), object)
    made[:] = values
    return made


_READERS: dict[str, Callable[[list[Any]], Any]] = {
    **{name: _floats(name) for name in ("float32", "float64")},
    **{name: _integers(name) for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")},
    "bool": lambda values: np.array(values, bool),
    "boolean": lambda values: pd.array(values, dtype="boolean"),
    "Int64": _nullable,
    **{name: lambda values: pd.array(values, dtype="str") for name in ("str", "string")},
}


def _attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(attrs)
    if isinstance(made.get("mjd"), list):  # an open end is an infinite time, which JSON does not have
        first, last = made["mjd"]
        made["mjd"] = (-np.inf if first is None else first, np.inf if last is None else last)
    return made


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


def _unpack_array(packed: Mapping[str, Any]) -> NDArray[Any]:
    values = np.frombuffer(base64.b64decode(packed["base64"]), packed["dtype"]).reshape(packed["shape"])
    return values.astype(values.dtype.newbyteorder("="))  # a copy, which may be written to


def _unpack_stamp(packed: Mapping[str, Any]) -> ImageStamp:
    numbers: dict[str, Any] = {
        name: np.nan if packed[name] is None else packed[name] for name in ("ra", "dec", "x", "y", "x0", "y0", "radius")
    }
    facts = packed["facts"]
    return ImageStamp(
        image_id=int(packed["image_id"]),
        **numbers,
        data=_unpack_array(packed["data"]),
        mask=None if packed["mask"] is None else _unpack_array(packed["mask"]),
        parameters=WcsParameters.from_array(
            packed["wcs"]["projection"], np.array([np.nan if v is None else v for v in packed["wcs"]["values"]])
        ),
        status=packed["status"],
        problem=None if packed["problem"] is None else unpack_problem(packed["problem"]),
        facts=facts | {"mjd": np.nan if facts.get("mjd") is None else facts["mjd"]},
        north_up=packed["north_up"],
    )
