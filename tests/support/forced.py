"""Forced photometry on an image in memory: `ztfdb.extract.forced` on its windows, as a revisit reads them."""

from __future__ import annotations

import numpy as np

from ztfdb.arrays import FloatArray
from ztfdb.extract.forced import FEW, ForcedFluxes, joined, measure_window, window_for
from ztfdb.frame.read import Frame
from ztfdb.records import BackgroundMesh


def measure_at(frame: Frame, mesh: BackgroundMesh, x: FloatArray, y: FloatArray, sky_noise: FloatArray) -> ForcedFluxes:
    """Measure positions (zero-based pixels): up to `FEW` in a window each, more on the whole image."""
    x, y = np.atleast_1d(np.asarray(x, dtype=float)), np.atleast_1d(np.asarray(y, dtype=float))
    if len(x) > FEW or not len(x):
        return measure_window(frame.data, frame.mask, mesh, x, y, sky_noise, gain=frame.info.gain)
    return joined([_measure_one(frame, mesh, x[i : i + 1], y[i : i + 1], sky_noise) for i in range(len(x))])


def _measure_one(
    frame: Frame, mesh: BackgroundMesh, x: FloatArray, y: FloatArray, sky_noise: FloatArray
) -> ForcedFluxes:
    known = bool(np.isfinite(x[0]) and np.isfinite(y[0]))
    rows, cols = window_for(frame.shape, float(x[0]) if known else 0.0, float(y[0]) if known else 0.0)
    mask = None if frame.mask is None else frame.mask[rows, cols]
    origin = (cols.start, rows.start)
    data = np.ascontiguousarray(frame.data[rows, cols])
    return measure_window(data, mask, mesh, x, y, sky_noise, gain=frame.info.gain, origin=origin)
