"""Unpack the answers of a service into DataFrames, stamps and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from ztfdb.errors import ServiceUnavailableError, warn_empty
from ztfdb.query.columns import is_id
from ztfdb.query.stamps import StampSeries
from ztfdb.query.wire import unpack_frame, unpack_stamps
from ztfdb.schema import describe_column


def light_curves_in(lines: Iterator[Any], start: int) -> tuple[pd.DataFrame, str | None]:
    """Return the light curves in lines, whose positions count from `start`, and why there are none.

    Raises
    ------
    ServiceUnavailableError
        If the last line is missing.
    """
    columns = next(lines)["columns"]
    data: dict[str, list[Any]] = {one["name"]: [] for one in columns}
    for line in lines:
        if "done" in line:
            return frame_in({"columns": columns, "data": data, "attrs": line["attrs"]}), line["hint"]
        for name, values in line["data"].items():
            data[name] += values
        data["position"] += [line["position"] + start] * len(values)
    raise ServiceUnavailableError("the answer of the service ended before its last line")


def joined(frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Join the light curves of several requests; counts in their attrs are summed."""
    if len(frames) == 1:
        return frames[0]
    attrs = dict(frames[-1].attrs)
    if "n_measured" in attrs:
        attrs["n_measured"] = sum(one.attrs["n_measured"] for one in frames)
        attrs["kept"] = all(one.attrs["kept"] for one in frames)
    for one in frames:
        one.attrs = {}
    whole = pd.concat(frames, ignore_index=True)
    whole.attrs = attrs
    return whole


def frame_in(found: dict[str, Any]) -> pd.DataFrame:
    """Return the table in an answer."""
    return unpack_frame(found["columns"], found["data"], found["attrs"])


def stamps_in(found: dict[str, Any]) -> StampSeries:
    """Return the stamps in an answer; a warning says why there are none."""
    if found["hint"]:
        warn_empty(found["hint"])
    return unpack_stamps(found["stamps"])


def number_in(table: str, name: str, value: Any) -> Any:
    """Return a value of a table; a text becomes an integer if its column is one."""
    described = describe_column(name, table) if isinstance(value, str) else None
    return value if described is None or described.datatype != "long" else int(value)


def with_ids(value: Any) -> Any:
    """Convert the ids in lists and dicts, which are sent as texts, to integers."""
    if isinstance(value, dict):
        return {
            name: int(one) if isinstance(one, str) and is_id(name) else with_ids(one) for name, one in value.items()
        }
    return [with_ids(one) for one in value] if isinstance(value, list) else value
