"""Raise a typed error if a value in a SQLite file has another type than its column.

SQLite stores any value in any column, and returns whatever a damaged page contains. Every value read passes one of two
checks: SQLAlchemy's types (`check_types`), or `check_objects` on its way into numpy, which checks numbers itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.errors import StoreError
from ztfdb.schema.shapes import BLOBS, TRUTHS

N_WCS = 42
"""Doubles of a stored WCS, see `ztfdb.wcs.WcsParameters.to_array`."""


def other_type(value: Any, wanted: str) -> StoreError:
    """Return the error for a value of another type than its column."""
    shown = repr(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return StoreError(f"SQLite: a stored value is of another type than its column: expected {wanted}, found {shown}")


def truth(value: Any) -> bool | None:
    """Return a boolean from the 0 or 1 that SQLite stores."""
    if value is None:
        return None
    if value in (0, 1) and isinstance(value, int):
        return bool(value)
    raise other_type(value, "boolean")


def check_objects(name: str, values: Iterable[Any], dtype: np.dtype[Any]) -> None:
    """Check what numpy accepts unchecked: booleans, and objects, which are blobs or texts depending on the name.

    Raises
    ------
    StoreError
        If a value has another type; None (NULL) is allowed.
    """
    if dtype.kind == "b" or name in TRUTHS:
        for one in values:
            truth(one)
    elif dtype.kind == "O":
        kind, wanted = (bytes, "blob") if name in BLOBS else (str, "text")
        bad = next((one for one in values if one is not None and not isinstance(one, kind)), None)
        if bad is not None:
            raise other_type(bad, wanted)


def array_of(blob: bytes | None, dtype: str, *shape: int) -> NDArray[Any]:
    """Return a stored array.

    Raises
    ------
    StoreError
        If its size is wrong.
    """
    content, wanted = blob or b"", int(np.prod(shape)) * np.dtype(dtype).itemsize
    if len(content) != wanted:
        raise StoreError(
            f"a stored array has {len(content):,} bytes, {wanted:,} were expected: the database is damaged"
        )
    return np.frombuffer(content, dtype).reshape(shape)


def arrays_of(blobs: Sequence[bytes | None] | NDArray[Any], dtype: str, n: int) -> NDArray[Any]:
    """Return stored arrays of one size as one, shape (n_blob, n); see `array_of`."""
    if all(blob is not None and len(blob) == n * np.dtype(dtype).itemsize for blob in blobs):
        return array_of(b"".join(blob or b"" for blob in blobs), dtype, len(blobs), n)
    return np.stack([array_of(blob, dtype, n) for blob in blobs])
