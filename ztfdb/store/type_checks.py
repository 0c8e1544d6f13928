"""What a SQLite file holds is of the type of its column, or a typed error.

SQLite keeps any value in any column, and hands out whatever a damaged page says. Every value passes one of two
places on its way out: SQLAlchemy's types (`check_types`), or `check_objects` on its way into numpy, which checks
numbers itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.errors import StoreError
from ztfdb.schema.shapes import BLOBS, TRUTHS

N_WCS = 42
"""Doubles of a stored WCS, see `ztfdb.records.WcsParameters.to_array`."""


def other_type(value: Any, wanted: str) -> StoreError:
    """Return the error for a value that its column cannot hold."""
    shown = repr(value)
    shown = shown if len(shown) <= 40 else f"{shown[:37]}..."
    return StoreError(f"SQLite: a stored value is of another type than its column: {shown} is no {wanted}")


def truth(value: Any) -> bool | None:
    """Return a truth value as SQLite keeps it, 0 or 1."""
    if value is None:
        return None
    if value in (0, 1) and isinstance(value, int):
        return bool(value)
    raise other_type(value, "truth value")


def check_objects(name: str, values: Iterable[Any], dtype: np.dtype[Any]) -> None:
    """Check what numpy takes as it comes: truth values, and objects, which are blobs by their name, or else texts.

    Raises
    ------
    StoreError
        If one is of another type. None is NULL, and fine.
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
        If it has another size.
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
