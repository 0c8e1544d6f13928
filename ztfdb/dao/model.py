"""A DAOPHOT point-spread function: an analytic profile plus half-pixel tables that vary across the quadrant."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ztfdb.arrays import FloatArray, IntArray
from ztfdb.dao.profiles import profile_value

DAOPHOT_ZEROPOINT = 25.0
"""DAOPHOT's instrumental magnitude of a star of 1 DN."""

EXPANSION_TERMS = (0, 1, 3, 6, 10)
"""Numbers of position-dependent tables that mean none, constant, linear, quadratic and cubic variation."""


@dataclass(frozen=True, eq=False)
class PsfModel:
    """The content of one ``.psf`` file.

    Attributes
    ----------
    label : str
        Name of the analytic profile.
    psfmag : float
        DAOPHOT magnitude of a star as bright as the model.
    bright : float
        Factor of the analytic profile, DN.
    xpsf, ypsf : float
        Centre of the quadrant, zero-based pixels (half of columns - 1 and rows - 1).
    parameters : ndarray, shape (n_parameter,)
    tables : ndarray, shape (n_exp + n_frac, n, n)
        Corrections to the profile in DN every half pixel, ``[table, y, x]``, centred at index (n - 1)/2.
    n_exp : int
        Tables that vary with position: 1, or 3 (linear), 6 (quadratic), 10 (cubic); 0 for none.
    n_frac : int
        Tables that vary with the subpixel phase (0 or 5).
    """

    label: str
    psfmag: float
    bright: float
    xpsf: float
    ypsf: float
    parameters: FloatArray
    tables: FloatArray
    n_exp: int
    n_frac: int

    @property
    def radius(self) -> float:
        """Radius (pixels) beyond which the PSF is zero."""
        return float((self.tables.shape[1] - 1) / 2.0 - 1.0) / 2.0

    @property
    def flux_scale(self) -> float:
        """Flux (DN) of the model itself on DAOPHOT's scale: ``10^(0.4 (25 - PSFMAG))``."""
        return float(10.0 ** (0.4 * (DAOPHOT_ZEROPOINT - self.psfmag)))

    def position_terms(self, x: float, y: float) -> FloatArray:
        """Return the weights of the ``n_exp`` tables at a position of the quadrant.

        Parameters
        ----------
        x, y : float
            Zero-based pixels of the whole quadrant.
        """
        u, v = x / self.xpsf - 1.0, y / self.ypsf - 1.0
        p2, q2 = 1.5 * u**2 - 0.5, 1.5 * v**2 - 0.5
        cubic = (u * (5.0 * p2 - 2.0) / 3.0, v * p2, u * q2, v * (5.0 * q2 - 2.0) / 3.0)
        return np.array([1.0, u, v, p2, u * v, q2, *cubic][: self.n_exp])

    def value(self, dx: ArrayLike, dy: ArrayLike, x: float, y: float) -> FloatArray:
        """Evaluate the PSF in pixels at given offsets from a star.

        Parameters
        ----------
        dx, dy : array_like, broadcastable
            Pixel centre minus star position, pixels.
        x, y : float
            Position of the star on the whole quadrant, zero-based pixels; only used for the weights of the tables.

        Returns
        -------
        ndarray
            DN in the pixel for the PSF star (magnitude PSFMAG); 0 beyond the PSF radius, as DAOPHOT adds and
            subtracts stars.

        References
        ----------
        DAOPHOT II, functions USEPSF and BICUBC.
        """
        dx, dy = np.broadcast_arrays(np.asarray(dx, dtype=float), np.asarray(dy, dtype=float))
        inside = dx**2 + dy**2 < self.radius**2 if len(self.tables) else np.ones(dx.shape, dtype=bool)
        out = np.zeros(dx.shape)
        out[inside] = self.bright * profile_value(self.label, self.parameters, dx[inside], dy[inside])
        if len(self.tables):
            corrections = self._table_values(dx[inside], dy[inside])
            out[inside] += self.position_terms(x, y) @ corrections[: self.n_exp]
            if self.n_frac:
                out[inside] += np.sum(_phase_terms(dx[inside], dy[inside]) * corrections[self.n_exp :], axis=0)
        return out

    def value_on_pixels(
        self, columns: FloatArray, rows: FloatArray, px: float, py: float, terms: FloatArray
    ) -> FloatArray:
        """Evaluate the PSF on a block of whole pixels; the same values as `value`, many times faster.

        All pixels of a star have the same subpixel offset, so the interpolation is one small product per axis.

        Parameters
        ----------
        columns, rows : ndarray, shape (nx,), (ny,)
            Pixels, in the frame of (px, py).
        px, py : float
            Position of the star.
        terms : ndarray, shape (n_exp,)
            `position_terms` of the star.

        Returns
        -------
        ndarray, shape (ny, nx)
            As `value`.

        Raises
        ------
        ValueError
            If the model has tables that vary with the subpixel phase.
        """
        if self.n_frac:
            raise ValueError("tables that vary with the subpixel phase need PsfModel.value")
        dx, dy = columns - px, rows - py
        out = self.bright * profile_value(self.label, self.parameters, dx[None, :], dy[:, None])
        if len(self.tables):
            table = np.tensordot(terms, self.tables, axes=1)
            last = table.shape[0] - 1
            middle = last / 2.0
            column, wx = _cubic_weights(2.0 * dx + middle)
            row, wy = _cubic_weights(2.0 * dy + middle)
            along_y = sum(wy[j][:, None] * table[np.clip(row + j - 1, 0, last)] for j in range(4))
            out += sum(wx[i] * along_y[:, np.clip(column + i - 1, 0, last)] for i in range(4))
            out[dx[None, :] ** 2 + dy[:, None] ** 2 >= self.radius**2] = 0.0
        return np.asarray(out)

    def _table_values(self, dx: FloatArray, dy: FloatArray) -> FloatArray:
        """All tables at the offsets, by DAOPHOT's bicubic interpolation: (n_table, n_point)."""
        middle = (self.tables.shape[1] - 1) / 2.0
        column, wx = _cubic_weights(2.0 * dx + middle)
        row, wy = _cubic_weights(2.0 * dy + middle)
        out = np.zeros((len(self.tables), dx.size))
        for j in range(4):
            for i in range(4):
                out += self.tables[:, row + j - 1, column + i - 1] * (wy[j] * wx[i])
        return out


def _cubic_weights(position: FloatArray) -> tuple[IntArray, FloatArray]:
    """First of the two central grid points, and the weights of the four points around a position."""
    cell = np.floor(position).astype(np.int64)
    t = position - cell
    weights = (
        0.5 * (-t + 2.0 * t**2 - t**3),
        0.5 * (2.0 - 5.0 * t**2 + 3.0 * t**3),
        0.5 * (t + 4.0 * t**2 - 3.0 * t**3),
        0.5 * (t**3 - t**2),
    )
    return cell, np.array(weights)


def _phase_terms(dx: FloatArray, dy: FloatArray) -> FloatArray:
    """Weights of the five tables that follow the subpixel phase."""
    u, v = -2.0 * (dx - np.rint(dx)), -2.0 * (dy - np.rint(dy))
    return np.array([u, v, 1.5 * u**2 - 0.5, u * v, 1.5 * v**2 - 0.5])
