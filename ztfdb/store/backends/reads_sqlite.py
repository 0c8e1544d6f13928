"""SQLite, as far as it reads: the standard library's own driver (a second SQLite library corrupts the file)."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.errors import StoreError
from ztfdb.store.backends.reads import Dtypes, Reads, SqlText
from ztfdb.store.columns import numpy_columns
from ztfdb.store.type_checks import check_objects

MOST_PROBLEMS = 100
"""Lines of ``integrity_check`` that are shown: a file with more is as damaged as one with these."""


class SqliteReads(Reads):
    """SQLite."""

    concurrent_readers = 1
    """It reads in this process: two would wait for each other at every row."""

    def read_columns(
        self, statement: SqlText, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read all rows."""
        text, values = self._text_and_values(statement, params)
        with self._errors():
            rows = self._driver().execute(text, values).fetchall()
        for k, (name, dtype) in enumerate(dtypes.items()):
            if (kind := np.dtype(dtype)).kind in "Ob":
                check_objects(name, (row[k] for row in rows), kind)
        with _numbers():
            return numpy_columns(rows, dtypes, nulls or {})

    def read_bulk(
        self, statement: str, params: Mapping[str, Any], dtypes: Dtypes, *, nulls: Mapping[str, int] | None = None
    ) -> Columns:
        """Read into one structured array."""
        nulls = nulls or {}
        fields = ", ".join(f"coalesce(q.{n}, {int(nulls[n])})" if n in nulls else f"q.{n}" for n in dtypes)
        record = np.dtype([(name, np.dtype(dtype)) for name, dtype in dtypes.items()])
        with self._errors():
            cursor = self._driver().execute(f"select {fields} from ({statement}) as q", params)
            with _numbers():
                rows = np.fromiter(cursor, record)  # turns None into NaN in the float fields
        return {name: np.ascontiguousarray(rows[name]) for name in dtypes}

    def read_doubles(self, statement: str, params: Mapping[str, Any], names: tuple[str, ...]) -> NDArray[np.float64]:
        """Read into one array."""
        with self._errors():
            cursor = self._driver().execute(statement, params)
            with _numbers():
                values = np.fromiter(chain.from_iterable(cursor), np.float64)  # None becomes NaN
        return np.ascontiguousarray(values.reshape(-1, len(names)).T)

    def memory(self) -> dict[str, Any]:
        """Return the connection's memory, emptied by any commit since."""
        if self._writes:
            return {}  # what is written here may yet be rolled back
        driver, info = self._driver(), self._info
        # the first number changes with every commit of others that this transaction sees, the second with own changes
        version = (driver.execute("PRAGMA data_version").fetchone()[0], driver.total_changes)
        kept: tuple[tuple[int, int], dict[str, Any]] | None = info.get("ztfdb")
        if kept is None or kept[0] != version:
            kept = info["ztfdb"] = (version, {})
        return kept[1]

    def range_rows(self, **columns: IntArray) -> tuple[str, dict[str, Any]]:
        """Return ``json_each`` of an array of rows."""
        lists = {name: values.tolist() for name, values in columns.items()}
        if len(lists) == 1:  # twice as fast as rows of one
            ((name, values),) = lists.items()
            return f"(select j.value as {name} from json_each(:r_rows) as j) as r", {"r_rows": json.dumps(values)}
        if len(lists) == 2:  # twice as fast too: the first is the name of the second, names may come again
            (first, keys), (second, values) = lists.items()
            members = ",".join([f'"{key}":{value}' for key, value in zip(keys, values, strict=True)])
            fields = f"cast(j.key as integer) as {first}, j.value as {second}"
            return f"(select {fields} from json_each(:r_rows) as j) as r", {"r_rows": f"{{{members}}}"}
        fields = ", ".join(f"json_extract(j.value, '$[{k}]') as {name}" for k, name in enumerate(columns))
        rows = json.dumps(list(zip(*lists.values(), strict=True)), separators=(",", ":"))
        return f"(select {fields} from json_each(:r_rows) as j) as r", {"r_rows": rows}

    def joined(self, rows: str, table: str, columns: Sequence[str], condition: str, *, alias: str | None = None) -> str:
        """Return a CROSS JOIN, whose order is that of its loops."""
        return f"{rows} cross join {table} as {alias or table} on {condition}"

    def storage_problems(self) -> list[str]:
        """Return what ``integrity_check`` finds."""
        try:
            rows = self._driver().execute(f"pragma integrity_check({MOST_PROBLEMS})").fetchall()
        except sqlite3.DatabaseError as exc:
            if type(exc) is not sqlite3.DatabaseError:  # a lock, a disk: nothing that the file says
                with self._errors():
                    raise
            return [str(exc)]
        return [] if rows == [("ok",)] else [line for (text,) in rows for line in str(text).splitlines()]

    def has_table(self, name: str) -> bool:
        """Look into the file's own list."""
        with self._errors():
            found = self._driver().execute("select 1 from sqlite_master where name = ?", (name,)).fetchone()
        return found is not None

    def read_rows(self, statement: str, params: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Read all rows."""
        with self._errors():
            rows: list[tuple[Any, ...]] = self._driver().execute(statement, params or {}).fetchall()
        return rows

    def _text_and_values(self, statement: SqlText, params: Mapping[str, Any]) -> tuple[str, Any]:
        if not isinstance(statement, str):
            raise TypeError("an expression of SQLAlchemy needs a session")
        return statement, params


@contextmanager
def _numbers() -> Iterator[None]:
    """Turn what numpy says of a value of another type into a typed error: SQLite stores any value in any column.

    A number too large for a column of single precision is one of them, as in a damaged file.
    """
    try:
        with np.errstate(over="raise"):
            yield
    except (ValueError, TypeError, OverflowError, FloatingPointError) as exc:
        raise StoreError(f"SQLite: a stored value is of another type than its column: {exc}") from exc
