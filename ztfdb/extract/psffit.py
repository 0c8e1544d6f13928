"""PSF-fit photometry: the flux of stars at given positions, with DAOPHOT's chi and sharp."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag

import numpy as np

from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.dao.model import PsfModel
from ztfdb.frame.arrays import plain_array

FIT_RADIUS = 5.0
"""Default radius of the fitted pixels, pixels; it contains 99 % of the light of a ZTF star."""

MEAN_TO_SIGMA = 1.2533
"""Standard deviation over mean absolute deviation of a Gaussian, with DAOPHOT's digits."""

_ITERATIONS = 8
_CONVERGED = 1e-3
_MAX_STEP = 0.4
_MAX_SHIFT = 2.0


class PsfFlag(IntFlag):
    """Problems of a PSF fit."""

    TRUNCATED = 1 << 0
    """Fitted pixels lie outside the image."""
    INCOMPLETE = 1 << 1
    """Fitted pixels are masked or not finite, and were omitted."""
    NOT_CONVERGED = 1 << 2
    """The position did not converge, or moved away; the flux is that at the given position."""
    NO_DATA = 1 << 3
    """Too few pixels to fit; everything is NaN."""


@dataclass(frozen=True)
class PsfFluxes:
    """Fitted stars: equal-length columns.

    Attributes
    ----------
    x, y : ndarray, shape (n,)
        Position of the fit, zero-based pixels.
    flux, flux_err : ndarray, shape (n,)
        DN; the sum of the whole PSF, and its one-sigma error from sky and Poisson noise.
    sky : ndarray, shape (n,)
        Fitted constant under the star, DN; 0 if none was fitted.
    chi : ndarray, shape (n,)
        Scatter of the residuals over the expected one: 1 for a star with this PSF.
    sharp : ndarray, shape (n,)
        0 for a star, positive for sources wider than the PSF, negative for spikes.
    flags : ndarray of int64, shape (n,)
        `PsfFlag`.
    """

    x: FloatArray
    y: FloatArray
    flux: FloatArray
    flux_err: FloatArray
    sky: FloatArray
    chi: FloatArray
    sharp: FloatArray
    flags: IntArray


@dataclass(frozen=True)
class _Pixels:
    """The good pixels around one star: a block of columns and rows, their selection, and their values."""

    columns: FloatArray
    rows: FloatArray
    use: BoolArray
    data: FloatArray
    variance: FloatArray
    gain: float

    def offsets(self, x: float, y: float) -> tuple[FloatArray, FloatArray]:
        """Return the offsets of the good pixels from a position."""
        dx, dy = np.broadcast_arrays(self.columns[None, :] - x, self.rows[:, None] - y)
        return dx[self.use], dy[self.use]


def fit_psf_fluxes(
    data: FloatArray,
    rms: float | FloatArray,
    psf: PsfModel,
    x: FloatArray,
    y: FloatArray,
    *,
    bad: BoolArray | None = None,
    gain: float = np.inf,
    fit_position: bool = False,
    fit_sky: bool = True,
    radius: float = FIT_RADIUS,
    origin: tuple[int, int] = (0, 0),
) -> PsfFluxes:
    """Fit the PSF to stars one by one, by weighted least squares.

    The flux is linear; pixel variances are `rms`² plus the model's own Poisson noise, iterated. Variances from the data
    would favour low pixels and bias the flux.

    Parameters
    ----------
    data : ndarray, shape (ny, nx)
        Background-subtracted pixels, DN; non-finite ones are omitted.
    rms : float or ndarray, shape (ny, nx)
        Pixel noise of the sky, DN.
    psf : PsfModel
    x, y : ndarray, shape (n,)
        Positions, zero-based pixels.
    bad : ndarray of bool, shape (ny, nx), optional
        True for pixels to omit.
    gain : float
        e-/DN; infinite for no Poisson term.
    fit_position : bool
        Also fit the position (Gauss-Newton from the given one).
    fit_sky : bool
        Also fit a constant under the star: the local error of the background.
    radius : float
        Pixels whose centre lies within this distance of the given position are fitted.
    origin : tuple of int
        Quadrant pixel of the image's first pixel, because the PSF varies over the quadrant.

    Returns
    -------
    PsfFluxes
        NaN with `PsfFlag.NO_DATA` unless the pixels exceed the parameters by at least 4.

    Raises
    ------
    ValueError
        If shapes disagree or `radius` is not positive.

    References
    ----------
    Stetson 1987, PASP 99, 191 (chi and sharp).
    """
    x, y = (np.atleast_1d(np.asarray(v, dtype=float)) for v in (x, y))
    if x.shape != y.shape or x.ndim != 1:
        raise ValueError(f"x {x.shape} and y {y.shape} are not two columns of the same length")
    if not radius > 0:
        raise ValueError(f"a fit radius must be positive, not {radius}")
    data = plain_array(data)
    noise = np.broadcast_to(plain_array(rms, float) if np.ndim(rms) else float(rms), data.shape)
    good = np.isfinite(data) & np.isfinite(noise) & (noise > 0)
    if bad is not None:
        good &= ~plain_array(bad, bool)
    rows = [
        _fit_one(data, noise, good, psf, x[i], y[i], gain, fit_position, fit_sky, radius, origin) for i in range(len(x))
    ]
    px, py, flux, error, sky, chi, sharp, flags = np.array(rows, dtype=float).reshape(len(x), 8).T
    return PsfFluxes(px, py, flux, error, sky, chi, sharp, flags.astype(np.int64))


def _fit_one(
    data: FloatArray,
    noise: FloatArray,
    good: BoolArray,
    psf: PsfModel,
    x: float,
    y: float,
    gain: float,
    fit_position: bool,
    fit_sky: bool,
    radius: float,
    origin: tuple[int, int],
) -> tuple[float, ...]:
    """Fit one star: x, y, flux, error, sky, chi, sharp, flags."""
    pixels, flags = _pixels(data, noise, good, x, y, gain, radius)
    n_parameter = 1 + int(fit_sky) + 2 * int(fit_position)
    if len(pixels.data) < n_parameter + 4:
        return x, y, *([np.nan] * 5), float(flags | PsfFlag.NO_DATA)
    star = _Star(psf, x + origin[0], y + origin[1])
    px, py = x, y
    if fit_position:
        px, py, settled = _settle(pixels, star, x, y, fit_sky)
        flags |= PsfFlag(0) if settled else PsfFlag.NOT_CONVERGED
    shape = star.shape(pixels, px, py)
    flux, sky, error = _linear(pixels, shape, fit_sky)
    if fit_position and settled:
        error = _error_with_position(pixels, star, px, py, shape, flux, fit_sky)
    residual = pixels.data - flux * shape - sky
    sigma2 = _variance(pixels, flux * shape)
    n = len(residual)
    chi = MEAN_TO_SIGMA * np.sum(np.abs(residual) / np.sqrt(sigma2)) / np.sqrt(n * (n - n_parameter))
    return px, py, flux, error, sky, chi, _sharpness(pixels, psf, px, py, residual, sigma2, flux), float(flags)


class _Star:
    """The PSF at one position of the quadrant, normalised to unit sum."""

    def __init__(self, psf: PsfModel, x: float, y: float) -> None:
        self.psf, self.x, self.y = psf, x, y
        self.terms = psf.position_terms(x, y)
        reach = np.arange(-int(np.ceil(psf.radius)) - 1, int(np.ceil(psf.radius)) + 2)
        self.total = float(self._block(reach + np.floor(x + 0.5), reach + np.floor(y + 0.5), x, y).sum())

    def shape(self, pixels: _Pixels, x: float, y: float) -> FloatArray:
        """Return the fraction of the flux in each good pixel for a star at (x, y) of the image."""
        return self._block(pixels.columns, pixels.rows, x, y)[pixels.use] / self.total

    def slopes(self, pixels: _Pixels, x: float, y: float) -> tuple[FloatArray, FloatArray]:
        """Return the derivatives of `shape` with respect to the star's position."""
        h = 0.01
        along_x = (self.shape(pixels, x + h, y) - self.shape(pixels, x - h, y)) / (2 * h)
        along_y = (self.shape(pixels, x, y + h) - self.shape(pixels, x, y - h)) / (2 * h)
        return along_x, along_y

    def _block(self, columns: FloatArray, rows: FloatArray, x: float, y: float) -> FloatArray:
        if self.psf.n_frac:
            return self.psf.value(columns[None, :] - x, rows[:, None] - y, self.x, self.y)
        return self.psf.value_on_pixels(columns, rows, x, y, self.terms)


def _pixels(
    data: FloatArray, noise: FloatArray, good: BoolArray, x: float, y: float, gain: float, radius: float
) -> tuple[_Pixels, PsfFlag]:
    """Collect the good pixels within the radius."""
    ny, nx = data.shape
    empty = np.empty(0)
    if not (np.isfinite(x) and np.isfinite(y)) or not (-radius < x < nx + radius and -radius < y < ny + radius):
        return _Pixels(empty, empty, np.empty((0, 0), dtype=bool), empty, empty, gain), PsfFlag.TRUNCATED
    first_x, first_y = int(np.ceil(x - radius)), int(np.ceil(y - radius))
    last_x, last_y = int(np.floor(x + radius)), int(np.floor(y + radius))
    columns = np.arange(max(first_x, 0), min(last_x, nx - 1) + 1)
    rows = np.arange(max(first_y, 0), min(last_y, ny - 1) + 1)
    near = (columns[None, :] - x) ** 2 + (rows[:, None] - y) ** 2 <= radius**2
    block = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)) if near.size else (slice(0), slice(0))
    use = near & good[block]
    whole = first_x >= 0 and first_y >= 0 and last_x < nx and last_y < ny
    flags = PsfFlag(0) if whole else PsfFlag.TRUNCATED
    flags |= PsfFlag(0) if use.sum() == near.sum() else PsfFlag.INCOMPLETE
    values, variance = data[block][use].astype(float), noise[block][use] ** 2
    return _Pixels(columns.astype(float), rows.astype(float), use, values, variance, gain), flags


def _variance(pixels: _Pixels, model: FloatArray) -> FloatArray:
    return np.asarray(pixels.variance + np.maximum(model, 0.0) / pixels.gain)


def _inverse(matrix: FloatArray) -> FloatArray:
    """Invert normal equations; NaN if they are singular."""
    try:
        return np.asarray(np.linalg.inv(matrix))
    except np.linalg.LinAlgError:
        return np.full(matrix.shape, np.nan)


def _linear(pixels: _Pixels, shape: FloatArray, fit_sky: bool) -> tuple[float, float, float]:
    """Return flux, sky and flux error at a fixed position; the Poisson weights converge in 3 iterations."""
    columns = [shape, np.ones_like(shape)] if fit_sky else [shape]
    design = np.stack(columns, axis=1)
    flux, sky, error = 0.0, 0.0, np.nan
    for _ in range(3):
        weight = 1.0 / _variance(pixels, flux * shape)
        covariance = _inverse((design.T * weight) @ design)
        solution = covariance @ ((design.T * weight) @ pixels.data)
        flux, error = float(solution[0]), float(np.sqrt(covariance[0, 0]))
        sky = float(solution[1]) if fit_sky else 0.0
    return flux, sky, error


def _settle(pixels: _Pixels, star: _Star, x: float, y: float, fit_sky: bool) -> tuple[float, float, bool]:
    """Move the position by Gauss-Newton steps until it converges; return to the start if it does not."""
    px, py = x, y
    for _ in range(_ITERATIONS):
        shape = star.shape(pixels, px, py)
        flux, sky, error = _linear(pixels, shape, fit_sky)
        if not flux > 0 or not np.isfinite(error):
            return x, y, False
        design = np.stack([shape, *(flux * s for s in star.slopes(pixels, px, py))], axis=1)
        weight = 1.0 / _variance(pixels, flux * shape)
        step = _inverse((design.T * weight) @ design) @ ((design.T * weight) @ (pixels.data - sky - flux * shape))
        dx, dy = np.clip(step[1:], -_MAX_STEP, _MAX_STEP)
        px, py = px + float(dx), py + float(dy)
        if not np.hypot(px - x, py - y) <= _MAX_SHIFT:
            return x, y, False
        if np.hypot(dx, dy) < _CONVERGED:
            return px, py, True
    return x, y, False


def _error_with_position(
    pixels: _Pixels, star: _Star, x: float, y: float, shape: FloatArray, flux: float, fit_sky: bool
) -> float:
    """Return the flux error of a fit with free position."""
    columns = [shape, *(flux * s for s in star.slopes(pixels, x, y))]
    design = np.stack([*columns, np.ones_like(shape)] if fit_sky else columns, axis=1)
    covariance = _inverse((design.T / _variance(pixels, flux * shape)) @ design)
    return float(np.sqrt(covariance[0, 0]))


def _sharpness(
    pixels: _Pixels, psf: PsfModel, x: float, y: float, residual: FloatArray, sigma2: FloatArray, flux: float
) -> float:
    """Return DAOPHOT's sharp, the excess width over the PSF: projection of the residuals on d(Gaussian)/d(width)."""
    p1, p2 = psf.parameters[:2]
    dx, dy = pixels.offsets(x, y)
    rho = np.log(2.0) * ((dx / p1) ** 2 + (dy / p2) ** 2)
    slope = np.exp(-rho) * (rho - 1.0)
    peak = flux * np.log(2.0) / (np.pi * p1 * p2)
    norm = peak * np.sum(slope**2 / sigma2)
    return float(p1 * p2 / np.log(2.0) * np.sum(residual * slope / sigma2) / norm) if norm > 0 else np.nan
