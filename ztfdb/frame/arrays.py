"""Convert arrays of any layout for C code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray


def plain_array(values: ArrayLike, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return an array of `dtype` in C order, native byte order, aligned and writeable.

    `sep` refuses or misreads anything else: FITS data are big-endian, transposed images are in Fortran order, memory
    maps and pandas' columns are read-only.

    Parameters
    ----------
    values : array_like
        Of any layout. Masked elements of a `numpy.ma.MaskedArray` become NaN, in an array of bool True.
    dtype : dtype
        Floating point or bool.

    Returns
    -------
    ndarray
        `values` itself if nothing has to change, else a copy.
    """
    if isinstance(values, np.ma.MaskedArray):
        kind = np.dtype(dtype)
        values = np.ma.filled(values.astype(kind), True if kind.kind == "b" else np.nan)
    return np.require(values, dtype, ["C", "A", "W", "E"])
