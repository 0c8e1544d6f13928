"""Input and output of a solution: epochs of stars on images that share them, and the terms of the images."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ztfdb.arrays import Float64Array, IntArray


@dataclass(frozen=True)
class SelfSettings:
    """Settings of the calibration of images by their own stars.

    Attributes
    ----------
    min_snr : float
        Smallest signal to noise of a star's median epoch.
    min_star : int
        Fewest stars that tie an image.
    peak_limit : float
        Largest peak (with background) as a fraction of SATURATE.
    radius : float
        Largest distance of a detection from its star, arcsec.
    clip : float
        Sigmas at which an epoch is left out.
    unrest : float
        A star is taken for variable if its median squared residual is too large by this many of its errors.
    gradient_sigma, color_sigma, map_sigma : float
        Usual sizes of gradients (mag from the middle to the edge), colour terms (mag per mag) and maps (mag). Terms
        that stars do not constrain stay near 0, or near the headers' colour term.
    map_images, map_epochs : int
        Fewest images and epochs for a map of a detector.
    map_days : float
        Days covered by a map.
    catalogue_scatter : float
        Difference between PS1 and ZTF beyond the errors, mag.
    gradient, color, maps : bool
        Solve for these terms.
    """

    min_snr: float = 20.0
    min_star: int = 10
    peak_limit: float = 0.7
    radius: float = 1.0
    clip: float = 4.0
    unrest: float = 5.0
    gradient_sigma: float = 0.05
    color_sigma: float = 0.1
    map_sigma: float = 0.03
    map_images: int = 10
    map_epochs: int = 2000
    map_days: float = 180.0
    catalogue_scatter: float = 0.015
    gradient: bool = True
    color: bool = True
    maps: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True)
class Survey:
    """Epochs of stars on images that share them.

    Attributes
    ----------
    star, image : ndarray of int64, shape (n_epoch,)
        From 0; a star has at most one epoch on an image.
    mag : ndarray, shape (n_epoch,)
        -2.5 log10 of the flux in DN.
    flux_err : ndarray, shape (n_epoch,)
        DN.
    u, v : ndarray, shape (n_epoch,)
        Position on the image, -1 to 1 from edge to edge.
    detector : ndarray of int64, shape (n_image,)
        Index of an image's map, from 0; -1 for none.
    color : ndarray, shape (n_star,)
        mag; NaN if unknown.
    known_mag, known_err : ndarray, shape (n_star,)
        Magnitude of a star of this colour, if known; else NaN.
    header_zeropoint : ndarray, shape (n_image,)
        Of a star of colour 0, AB mag of 1 DN; NaN if there is none.
    header_color_term : float
        The usual colour term of headers; 0 if there is none.
    pointing : ndarray of int64, shape (n_image,), optional
        Number of the field and quadrant, from 0; it speeds up large surveys, without changing the result.
    """

    star: IntArray
    image: IntArray
    mag: Float64Array
    flux_err: Float64Array
    u: Float64Array
    v: Float64Array
    detector: IntArray
    color: Float64Array
    known_mag: Float64Array
    known_err: Float64Array
    header_zeropoint: Float64Array
    header_color_term: float = 0.0
    pointing: IntArray | None = None

    @property
    def n_image(self) -> int:
        """Number of images."""
        return len(self.detector)

    @property
    def n_star(self) -> int:
        """Number of stars."""
        return len(self.color)


@dataclass(frozen=True)
class Solution:
    """The solution: ``mag = zeropoint + color_term (colour - pivot) + gradient + map - 2.5 log10(flux)``.

    Attributes
    ----------
    zeropoint : ndarray, shape (n_image,)
        Of a star of colour `pivot` in the middle of the image, mag.
    gradient : ndarray, shape (n_image, 2)
        Along u and v, mag from the middle to the edge.
    color_term : ndarray, shape (n_image,) or None
        mag per mag; None if no colours are known.
    pivot : float
        Median colour of the stars; 0 without colours.
    maps : ndarray, shape (n_detector, 3)
        Terms of `ztfdb.phot.surface.map_basis`.
    covariance : ndarray, shape (n_image, n_term, n_term)
        Of zero point, gradient and colour term. Without any prior magnitude they are relative to the mean of the zero
        points.
    floor, rms : ndarray, shape (n_image,)
        Scatter not explained by errors, and standard deviation of all kept residuals, mag.
    n_kept, n_clipped : ndarray of int64, shape (n_image,)
    star_mag, star_err : ndarray, shape (n_star,)
        Mean magnitude at its own colour, and its error (without those of the images' terms).
    star_unrest : ndarray, shape (n_star,)
        Scatter beyond errors and floors, mag; 0 for a star taken for constant.
    residual, weight : ndarray, shape (n_epoch,)
        Magnitude minus mean, and the inverse variance used as weight, 0 if it was left out.
    known_weight : ndarray, shape (n_star,)
        Inverse variances used as weights of prior magnitudes.
    tied : bool
        Tied to prior magnitudes; else to the headers.
    level_err : float
        Error of the common level of all images if it is that of the headers, mag; else 0, as it is in `covariance`.
    n_round : int
    """

    zeropoint: Float64Array
    gradient: Float64Array
    color_term: Float64Array | None
    pivot: float
    maps: Float64Array
    covariance: Float64Array
    floor: Float64Array
    rms: Float64Array
    n_kept: IntArray
    n_clipped: IntArray
    star_mag: Float64Array
    star_err: Float64Array
    star_unrest: Float64Array
    residual: Float64Array
    weight: Float64Array
    known_weight: Float64Array
    tied: bool
    level_err: float
    n_round: int
