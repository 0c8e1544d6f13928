"""Probability that a star is found on an image, as a small model fitted to artificial stars.

The probability of a star of magnitude m at a position is

    p = p_max / (1 + exp(-(a0 + a1 z + a2 z² + b ln(rms / median rms) + (c + d z) √(light / rms) + e near)))

with z = m - m5, m5 the magnitude of 5 times the sky noise of the 6 px aperture, rms the noise of a pixel of the local
background, `light` the light that known sources add to the pixel, and `near` 1 if a source is within 12 px, else 0.

Artificial stars next to sources show the square root: the limit is 0.2 mag brighter where the light is 5 % of the
noise, and 0.8 mag where it is 50 %. There p also falls more slowly with magnitude (d), and even the faintest wings of a
source reduce p (e). Without these two terms p was off by 0.03 to 0.07 in parts of crowded fields. Outside the
magnitudes of the artificial stars p is that of the nearest one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ztfdb.arrays import Float64Array, FloatArray

LIGHT_SIGMA = 2.0
"""Pixels: width of the Gaussian that spreads the light of a source to measure crowding, as a ZTF star's wings do."""

LIGHT_REACH = 12.0
"""Distance beyond which a source adds nothing, pixels."""

RIDGE = np.array([1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 0.02, 1.0])
"""Prior of the coefficients (inverse variances), so that a coefficient without any stars to constrain it is 0. The
widths of the last two, 7 and 1, are the largest values found: a small image has only a few stars next to sources."""

FLATTEST = 0.2
"""Least fraction of the slope a1 next to the brightest sources, where few artificial stars constrain it."""

FEWEST_STARS = 40
_TERMS = ("a0", "a1", "a2", "background", "crowding", "crowding_slope", "near")


@dataclass(frozen=True)
class DetectionModel:
    """Detection probability of one image.

    Attributes
    ----------
    a0, a1, a2, background, crowding, crowding_slope, near : float
        Coefficients a0, a1, a2, b, c, d and e; the last two are 0 in models of earlier versions.
    p_max : float
        Probability of a bright star.
    mag5 : float
        m5, AB mag.
    rms : float
        Median noise of a pixel of the background, DN.
    bright, faint : float
        Range of z of the artificial stars.
    n_star, n_found : int
        Artificial stars.
    """

    a0: float
    a1: float
    a2: float
    background: float
    crowding: float
    p_max: float
    mag5: float
    rms: float
    bright: float
    faint: float
    n_star: int
    n_found: int
    crowding_slope: float = 0.0
    near: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the model as plain numbers."""
        return asdict(self)

    def probability(self, mag: ArrayLike, rms: ArrayLike, light: ArrayLike = 0.0) -> Float64Array:
        """Return the probability that a star is found.

        Parameters
        ----------
        mag : array_like
            Total AB mag.
        rms : array_like
            Noise of a pixel of the local background, DN.
        light : array_like
            Light of other sources in the pixel, DN: `crowding_light`.
        """
        z = np.clip(np.asarray(mag, np.float64) - self.mag5, self.bright, self.faint)
        rms, light = np.asarray(rms, np.float64), np.maximum(np.asarray(light, np.float64), 0.0)
        root = np.sqrt(light / rms)
        # p never rises with magnitude: the derivative, slope + 2 a2 z, is largest at an end
        flat = min(FLATTEST * self.a1, -2.0 * self.a2 * self.bright, -2.0 * self.a2 * self.faint)
        slope = np.minimum(self.a1 + self.crowding_slope * root, max(self.a1, flat))
        place = self.background * np.log(rms / self.rms) + self.crowding * root + self.near * (light > 0.0)
        power = np.clip(self.a0 + slope * z + self.a2 * z**2 + place, -40.0, 40.0)
        return np.asarray(self.p_max / (1.0 + np.exp(-power)))

    def limit(self, share: float, rms: ArrayLike, light: ArrayLike = 0.0) -> Float64Array:
        """Return the magnitude at which a fraction of the stars is found.

        NaN if fewer of the brightest artificial stars are found, or more of the faintest.

        Parameters
        ----------
        share : float
            0 to 1.
        rms, light : array_like
            As in `probability`.
        """
        rms, light = np.broadcast_arrays(np.asarray(rms, np.float64), np.asarray(light, np.float64))
        steps = np.linspace(self.bright, self.faint, 512)
        p = self.probability(self.mag5 + steps, rms[..., None], light[..., None])
        above = p >= share
        # the faintest magnitude with this fraction: p falls from there on
        last = above.shape[-1] - 1 - np.argmax(above[..., ::-1], axis=-1)
        inside = above.any(axis=-1) & ~above[..., -1]
        after = np.minimum(last + 1, len(steps) - 1)
        p0, p1 = (np.take_along_axis(p, at[..., None], axis=-1)[..., 0] for at in (last, after))
        part = np.divide(p0 - share, p0 - p1, out=np.zeros_like(p0), where=p0 > p1)
        return np.where(inside, self.mag5 + steps[last] + part * (steps[1] - steps[0]), np.nan)


def crowding_light(
    x: FloatArray, y: FloatArray, sources: tuple[FloatArray, FloatArray, FloatArray], own: float = 0.0
) -> Float64Array:
    """Return the light that sources add to the pixel at positions, DN.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Pixels.
    sources : tuple of ndarray (x, y, flux)
        Pixels and DN.
    own : float
        Sources within this distance are the star itself, pixels.
    """
    from scipy.spatial import cKDTree

    sx, sy, flux = (np.asarray(values, np.float64) for values in sources)
    bright = np.flatnonzero(flux > 0.0)
    if not len(bright) or not len(x):
        return np.zeros(len(x))
    tree = cKDTree(np.stack([sx[bright], sy[bright]], axis=-1))
    near: list[list[int]] = tree.query_ball_point(np.stack([x, y], axis=-1), LIGHT_REACH).tolist()
    which = bright[np.array([one for some in near for one in some], np.int64)]
    at = np.repeat(np.arange(len(x)), [len(some) for some in near])
    square = (sx[which] - np.asarray(x)[at]) ** 2 + (sy[which] - np.asarray(y)[at]) ** 2
    shape = np.exp(-0.5 * square / LIGHT_SIGMA**2) / (2.0 * np.pi * LIGHT_SIGMA**2)
    return np.asarray(np.bincount(at, np.where(square > own**2, flux[which] * shape, 0.0), len(x)), np.float64)


def fit_detection(
    mag: Float64Array,
    found: NDArray[np.bool_],
    rms: Float64Array,
    light: Float64Array,
    *,
    mag5: float,
    median_rms: float,
) -> DetectionModel:
    """Fit the model to artificial stars by maximum likelihood.

    Parameters
    ----------
    mag : ndarray, shape (n,)
        Total AB magnitudes.
    found : ndarray of bool, shape (n,)
    rms, light : ndarray, shape (n,)
        See `DetectionModel.probability`.
    mag5, median_rms : float

    Raises
    ------
    ValueError
        If there are fewer than `FEWEST_STARS`, or all or none are found.
    """
    from scipy.optimize import minimize

    n, n_found = len(mag), int(found.sum())
    if n < FEWEST_STARS:
        raise ValueError(f"{n} artificial stars are too few, {FEWEST_STARS} are needed")
    if n_found in (0, n):
        raise ValueError(f"{n_found} of {n} artificial stars were found: there is no limit")
    z = mag - mag5
    crowded = np.sqrt(np.maximum(light, 0.0) / rms)
    terms = [np.ones(n), z, z**2, np.log(rms / median_rms), crowded, crowded * z, np.where(light > 0.0, 1.0, 0.0)]
    design = np.stack(terms, axis=-1)

    def loss(values: Float64Array) -> tuple[float, Float64Array]:
        top = 1.0 / (1.0 + np.exp(-values[-1]))
        s = 1.0 / (1.0 + np.exp(-np.clip(design @ values[:-1], -40.0, 40.0)))
        p = np.clip(top * s, 1e-9, 1.0 - 1e-9)
        value = -np.where(found, np.log(p), np.log1p(-p)).sum() + 0.5 * float(RIDGE @ values[:-1] ** 2)
        by_p = np.where(found, -1.0 / p, 1.0 / (1.0 - p))
        slope = np.append(design.T @ (by_p * top * s * (1.0 - s)) + RIDGE * values[:-1], (by_p * p * (1.0 - top)).sum())
        return value, slope

    done = minimize(loss, np.array([0.0, -3.0, *[0.0] * (len(terms) - 2), 4.0]), jac=True, method="L-BFGS-B",
                    bounds=[(None, None)] * len(terms) + [(0.0, 9.0)])  # fmt: skip
    values = done.x
    return DetectionModel(
        **dict(zip(_TERMS, values[:-1].tolist(), strict=True)),
        p_max=float(1.0 / (1.0 + np.exp(-values[-1]))),
        mag5=float(mag5),
        rms=float(median_rms),
        bright=float(z.min()),
        faint=float(z.max()),
        n_star=n,
        n_found=n_found,
    )
