"""The WCS of an image as numbers, as headers are parsed into and as the archive stores it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import FloatArray

N_PV = 17
"""Distortion coefficients kept per axis: PVi_0 … PVi_16, the fourth-order TPV that ZTF uses."""


@dataclass(frozen=True)
class WcsParameters:
    """A celestial WCS as numbers: TPV, with TAN as the case without distortion.

    Attributes
    ----------
    projection : str
        ``"TPV"`` or ``"TAN"``; headers with other projections are converted to TPV when they are read.
    crval, crpix : ndarray, shape (2,)
        Reference position (deg) and reference pixel (1-based, as in FITS).
    cd : ndarray, shape (2, 2)
        Linear transformation, deg per pixel.
    pv : ndarray, shape (2, 17)
        TPV polynomial coefficients of both axes; identity (PVi_1 = 1) for TAN.
    """

    projection: str
    crval: FloatArray
    crpix: FloatArray
    cd: FloatArray
    pv: FloatArray

    def to_array(self) -> FloatArray:
        """Return the 42 numbers in storage order: crval, crpix, cd row by row, pv axis by axis."""
        return np.concatenate([self.crval, self.crpix, self.cd.ravel(), self.pv.ravel()]).astype("<f8")

    @classmethod
    def from_array(cls, projection: str, values: FloatArray) -> WcsParameters:
        """Rebuild the parameters from the numbers of `to_array`."""
        v = np.asarray(values, dtype=float)
        return cls(projection, v[0:2], v[2:4], v[4:8].reshape(2, 2), v[8:].reshape(2, N_PV))
