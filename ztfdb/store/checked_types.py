"""SQLAlchemy types for SQLite that check the type of every value read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Dialect,
    Double,
    Float,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Text,
)

from ztfdb.store.type_checks import other_type, truth

Processor = Callable[[Any], Any]


def _checker(kinds: type | tuple[type, ...], wanted: str) -> Processor:
    def check(value: Any) -> Any:
        if value is None or isinstance(value, kinds):
            return value
        raise other_type(value, wanted)

    return check


_PROCESSORS: tuple[tuple[type[Any], Processor], ...] = (
    *((one, _checker(int, "integer")) for one in (Integer, SmallInteger, BigInteger)),
    *((one, _checker((int, float), "number")) for one in (Float, Double, REAL)),
    *((one, _checker(str, "text")) for one in (String, Text)),
    (LargeBinary, _checker(bytes, "blob")),
    (Boolean, truth),
)


def check_types(dialect: Dialect) -> None:
    """Make a SQLite dialect check the type of every value that SQLAlchemy reads."""
    checked = {
        one: type(f"Checked{one.__name__}", (one,), {"result_processor": lambda self, dialect, kind, _p=process: _p})
        for one, process in _PROCESSORS
    }
    dialect.colspecs = {**dialect.colspecs, **checked}
