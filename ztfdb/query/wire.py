"""Unpack DataFrames and stamps from the JSON of a service; `ztfdb.serve.api.wire` writes it.

A frame is columns, not rows: ``columns`` has their names, dtypes and units, ``data`` their values, ``attrs`` the
options of the query. Ids are texts, because many JSON readers round integers beyond 2^53; NaN and missing values are
null.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ztfdb import errors
from ztfdb.errors import ImageError
from ztfdb.query.columns import masked_integers, words
from ztfdb.query.dataframes import data_frame
from ztfdb.query.stamps import StampSeries
from ztfdb.stamps import ImageStamp
from ztfdb.wcs import WcsParameters

_NUMBERS = {"zeropoint"}
"""Optional facts of a stamp that are numbers."""


def unpack_frame(
    columns: Sequence[Mapping[str, Any]], data: Mapping[str, list[Any]], attrs: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return the DataFrame of `ztfdb.serve.api.wire.pack_frame`: the same values, dtypes and ``attrs``."""
    made = unpack_columns(columns, data)
    if not made:
        return pd.DataFrame(index=pd.RangeIndex(0), columns=pd.RangeIndex(0))
    return data_frame(made, unpack_attrs(attrs or {}))


def unpack_columns(columns: Sequence[Mapping[str, Any]], data: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return the columns of `ztfdb.serve.api.wire.pack_columns` and their values; see `ztfdb.query.columns`."""
    return {one["name"]: _column(one, data[one["name"]]) for one in columns}


def unpack_stamps(stamps: Sequence[Mapping[str, Any]]) -> StampSeries:
    """Return the stamps of `ztfdb.serve.api.wire.pack_stamps`."""
    return StampSeries([_unpack_stamp(stamp) for stamp in stamps])


def unpack_problem(problem: Mapping[str, str]) -> ImageError:
    """Return the error that was sent; a kind that this version does not have becomes an `ImageError`."""
    kind = getattr(errors, problem["error"], ImageError)
    made = (kind if issubclass(kind, ImageError) else ImageError)(problem["file"], problem["reason"])
    assert isinstance(made, ImageError)
    return made


def _column(described: Mapping[str, Any], values: list[Any]) -> Any:
    dtype = described["dtype"]
    if dtype == "category":
        of = tuple(described["categories"])
        code = {word: number for number, word in enumerate(of)}
        return words(np.array([code.get(value, -1) for value in values], np.int8), of)
    if dtype in _READERS:
        return _READERS[dtype](values)
    if dtype.startswith("datetime64"):
        return pd.to_datetime(pd.Series(values, dtype=object)).astype(dtype).array
    return _objects(values)


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


def unpack_attrs(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of the query, as the archive had them."""
    made = dict(attrs)
    if isinstance(made.get("mjd"), list):  # an open end is infinite, which JSON does not have
        first, last = made["mjd"]
        made["mjd"] = (-np.inf if first is None else first, np.inf if last is None else last)
    return made


def _unpack_array(packed: Mapping[str, Any]) -> NDArray[Any]:
    values = np.frombuffer(base64.b64decode(packed["base64"]), packed["dtype"]).reshape(packed["shape"])
    return values.astype(values.dtype.newbyteorder("="))  # a writable copy


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
        facts=facts | {name: np.nan for name in ("mjd", *_NUMBERS & facts.keys()) if facts.get(name) is None},
        north_up=packed["north_up"],
    )
