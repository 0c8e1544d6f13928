"""Shared names for types: arrays, columns, callbacks and folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
"""Floats of either precision."""

IntArray = NDArray[np.integer[Any]]
"""Integers of any width."""

BoolArray = NDArray[np.bool_]
Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
Int64Array = NDArray[np.int64]

MaskArray = NDArray[np.uint16]
"""Bits of a mask image, `ztfdb.bits.MaskBit`."""

Columns = dict[str, NDArray[Any]]
"""Rows as equal-length arrays, by the names of their columns."""

AnyColumns = Mapping[str, NDArray[Any]]
"""`Columns` that are only read."""

Places = Mapping[str, str | Path] | None
"""Folders of this host by the name of their data root, in place of the archive's; None for none."""

Progress = Callable[[int, int], None]
"""Called with the number done and the total, of images unless the function says otherwise."""
