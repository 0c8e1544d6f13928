"""Add artificial stars to the pixels of an image, repeat the whole extraction, and see which stars it finds.

Worker processes run this module; it imports neither SQLAlchemy nor pandas, directly or indirectly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from ztfdb.arrays import FloatArray
from ztfdb.bits import UNCLEAN, UNCLEAN_LARGE
from ztfdb.codes import APERTURE_DIAMETERS, N_APERTURE
from ztfdb.errors import ImageError
from ztfdb.extract.measure import measure_frame, software_versions
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.background import background_at
from ztfdb.frame.read import Frame, read_frame
from ztfdb.frame.window import check_file
from ztfdb.phot.completeness import DetectionModel, crowding_light, fit_detection
from ztfdb.phot.limits import LIMIT_SIGMA, aperture_sky_noise
from ztfdb.records import StoredImage
from ztfdb.simulate.painter import Paint, painter

MATCH_PIX = 1.5
"""A star counts as found if a source lies this near to it, and nearer to it than to any earlier source."""

CLEAR_PIX = 3.0
"""Places nearer than this to a source are not used, because the two could not be separated."""

MARGIN_PIX = 5.0
MOST_PASSES = 10
"""Maximum passes for an image so small that a pass has few stars."""

BIN_MAG = 0.25
NEAR, NEAR_SHARE = (-1.0, 0.4), 0.75
"""Magnitude range in which probabilities usually fall from 1 to 0, and the fraction of stars in it."""

GROWTH_SNR = 100.0


@dataclass(frozen=True)
class InjectionSettings:
    """Settings for adding artificial stars to an image.

    Attributes
    ----------
    spacing : float
        Side of the cell of each star, pixels; the star lies at random in the middle half of its cell.
    passes : int
        Extractions, each with stars at other places.
    fewest : int
        Minimum number of stars; a small image gets further passes, up to `MOST_PASSES`, until it has had this many.
    brightest, faintest : float
        Magnitude range, relative to 5 times the sky noise of the 6 px aperture; most of the stars are in `NEAR`.
    seed : int
        Seed, used together with the image's id.
    negative : bool
        Also search the negative image for false detections.
    """

    spacing: float = 40.0
    passes: int = 1
    fewest: int = 100
    brightest: float = -2.5
    faintest: float = 1.5
    seed: int = 0
    negative: bool = True

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Injection:
    """An image for artificial stars, with its stored sources.

    Attributes
    ----------
    image : StoredImage
    magzp, apcor : float
        Zero point of total fluxes, AB mag, and correction of the 6 px aperture; NaN if the header has none.
    x, y, flux : ndarray, shape (n_source,)
        Pixels, and flux in the 6 px aperture (DN).
    growth : ndarray, shape (n_bright, 6)
        Fluxes of clean bright sources in all apertures.
    extraction : ExtractionSettings
        Settings with which the image was measured.
    settings : InjectionSettings
    """

    image: StoredImage
    magzp: float
    apcor: float
    x: FloatArray
    y: FloatArray
    flux: FloatArray
    growth: FloatArray
    extraction: ExtractionSettings
    settings: InjectionSettings


def make_injection(
    image: StoredImage,
    zeropoint: tuple[float, float],
    sources: Mapping[str, NDArray[Any]],
    extraction: ExtractionSettings,
    settings: InjectionSettings,
) -> Injection:
    """Return the task of an image.

    Parameters
    ----------
    image : StoredImage
    zeropoint : tuple of float
        MAGZP and APCOR4; NaN if the header has none.
    sources : mapping of ndarray
        ``x``, ``y``, ``flags``, ``flux_aper1`` to ``flux_aper6`` and ``flux_aper4_err`` of its sources.
    extraction : ExtractionSettings
    settings : InjectionSettings
    """
    fluxes = np.array([sources[f"flux_aper{k}"] for k in range(1, N_APERTURE + 1)], np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        bright = fluxes[3] >= GROWTH_SNR * sources["flux_aper4_err"]
        clean = bright & ((sources["flags"] & int(UNCLEAN | UNCLEAN_LARGE)) == 0) & (fluxes > 0).all(axis=0)
    return Injection(
        image=image,
        magzp=zeropoint[0],
        apcor=zeropoint[1],
        x=sources["x"],
        y=sources["y"],
        flux=np.nan_to_num(fluxes[3]),
        growth=fluxes[:, clean].T,
        extraction=extraction,
        settings=settings,
    )


@dataclass(frozen=True, eq=False)
class Injected:
    """Result of an `Injection`; if it failed, all attributes except the first and the last are None.

    Attributes
    ----------
    image_id : int
    psf : str
        ``dao`` (the exposure's own file) or ``moffat`` (from the growth of its stars).
    model : DetectionModel
    bins : dict
        By magnitude: ``mag``, ``n``, ``n_found``, ``bias`` (measured minus true, of total magnitudes by the 6 px
        aperture) and ``scatter``.
    n_false : int
        Sources of the negative image; -1 if it was not searched.
    failure : str
    """

    image_id: int
    psf: str | None = None
    model: DetectionModel | None = None
    bins: dict[str, list[float]] | None = None
    n_false: int = -1
    failure: str | None = None

    def to_row(self, n_source: int, settings: InjectionSettings) -> dict[str, Any]:
        """Return the row of ``detection_limit``, for an image with this number of sources."""
        model = self.model
        limits = {
            name: None if model is None else float(model.limit(share, model.rms))
            for name, share in (("limit50", 0.5), ("limit90", 0.9))
        }
        return {
            "image_id": self.image_id,
            **limits,
            "psf": self.psf,
            "n_star": 0 if model is None else model.n_star,
            "n_found": 0 if model is None else model.n_found,
            "n_false": None if self.n_false < 0 else self.n_false,
            "n_source": n_source,
            "model": None if model is None else model.to_dict(),
            "bins": None if self.bins is None else _without_nan(self.bins),
            "failure": self.failure,
            "settings": settings.to_dict(),
            "versions": software_versions(),
            "measured": datetime.now(UTC).isoformat(timespec="microseconds"),
        }


def _without_nan(bins: dict[str, list[float]]) -> dict[str, list[float | None]]:
    return {name: [None if value != value else value for value in values] for name, values in bins.items()}


def inject_image(task: Injection) -> Injected:
    """Add artificial stars to an image, extract its sources again, and fit the detection probability.

    Unusable files, and images without a measurable limit, give a result with a failure, not an exception.
    """
    try:
        return _inject(task)
    except (ImageError, ValueError) as exc:
        return Injected(task.image.image_id, failure=str(exc))


def _inject(task: Injection) -> Injected:
    image, how = task.image, task.settings
    for file in image.files[:2]:
        problem = check_file(file)
        if problem is not None:
            raise ValueError(problem)
    mask = None if image.mask is None else image.mask.path
    frame = read_frame(image.own.path, mask, find_mask=False, hash_files=False)
    psf, paint, share = painter(image.own.path, image.window, task.growth, task.apcor)
    rng = np.random.default_rng([how.seed, image.image_id])
    noise = float(np.nanmedian(aperture_sky_noise(np.median(image.mesh.rms), APERTURE_DIAMETERS[3], _ratio(image))))
    mag5 = task.magzp - 2.5 * np.log10(LIMIT_SIGMA * noise / share)
    parts: list[tuple[Any, ...]] = []
    n_star = 0
    while len(parts) < how.passes or (n_star < how.fewest and len(parts) < MOST_PASSES):
        parts.append(_one_pass(task, frame, paint, share, mag5, rng))
        n_star += len(parts[-1][0])
    x, y, mag, found, measured = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    rms = background_at(image.mesh, x, y)[1].astype(np.float64)
    light = crowding_light(x, y, (task.x, task.y, task.flux))
    model = fit_detection(mag, found, rms, light, mag5=mag5, median_rms=float(np.median(image.mesh.rms)))
    n_false = _false_detections(frame, task.extraction) if how.negative else -1
    return Injected(image.image_id, psf, model, _bins(mag, found, measured), n_false)


def _ratio(image: StoredImage) -> float:
    ratio = float(image.sky_noise[3])
    return ratio if np.isfinite(ratio) else 1.0


def _one_pass(
    task: Injection, frame: Frame, paint: Paint, share: float, mag5: float, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray, FloatArray, NDArray[np.bool_], FloatArray]:
    """Return positions, magnitudes, detection and measured magnitudes of the stars of one extraction."""
    x, y = _places(task, frame, rng)
    n = len(x)
    wide = rng.uniform(task.settings.brightest, task.settings.faintest, n)
    mag = mag5 + np.where(rng.uniform(size=n) < NEAR_SHARE, rng.uniform(*NEAR, n), wide)
    light = paint(frame.shape, x, y, 10.0 ** (0.4 * (task.magzp - mag)))
    sources = measure_frame(_with_light(frame, light, task.image.gain, rng), task.extraction).sources
    found, at = _recovered(task, x, y, sources.x, sources.y)
    flux = np.full(n, np.nan)
    flux[found] = sources.flux_aper[3][at[found]] / share
    with np.errstate(invalid="ignore"):
        measured = task.magzp - 2.5 * np.log10(np.where(flux > 0.0, flux, np.nan))
    return x, y, mag, found, measured


def _with_light(frame: Frame, light: FloatArray, gain: float | None, rng: np.random.Generator) -> Frame:
    """Return a copy of an image with added light and its photon noise."""
    data = frame.data.copy()
    lit = np.flatnonzero(light)
    more = light.ravel()[lit]
    if gain:
        more = rng.poisson(np.maximum(more, 0.0) * gain) / gain
    data.ravel()[lit] += more.astype(data.dtype)
    return replace(frame, data=data)


def _places(task: Injection, frame: Frame, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Return a random place in each cell of a grid, without unusable places and places on a source."""
    ny, nx = frame.shape
    step = task.settings.spacing
    columns, rows = max(1, int((nx - 2 * MARGIN_PIX) // step)), max(1, int((ny - 2 * MARGIN_PIX) // step))
    i, j = (grid.ravel() for grid in np.meshgrid(np.arange(columns), np.arange(rows)))
    shift = rng.uniform(0.0, step, 2)  # random position of the grid
    x, y = (
        MARGIN_PIX + (step * index + shift[axis] + step * rng.uniform(0.25, 0.75, len(i))) % (size - 2 * MARGIN_PIX)
        for axis, (index, size) in enumerate(((i, nx), (j, ny)))
    )
    good = np.isfinite(frame.data[np.floor(y + 0.5).astype(int), np.floor(x + 0.5).astype(int)])
    if len(task.x):
        good &= cKDTree(np.stack([task.x, task.y], axis=-1)).query(np.stack([x, y], axis=-1))[0] > CLEAR_PIX
    return x[good], y[good]


def _recovered(
    task: Injection, x: FloatArray, y: FloatArray, sx: FloatArray, sy: FloatArray
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    if not len(sx) or not len(x):
        return np.zeros(len(x), bool), np.zeros(len(x), np.int64)
    points = np.stack([sx, sy], axis=-1)
    distance, at = cKDTree(points).query(np.stack([x, y], axis=-1))
    found = distance <= MATCH_PIX
    if len(task.x):
        before = cKDTree(np.stack([task.x, task.y], axis=-1)).query(points[at])[0]
        found &= distance < before
    return np.asarray(found, bool), np.asarray(at, np.int64)


def _false_detections(frame: Frame, extraction: ExtractionSettings) -> int:
    """Return the number of sources on the negative image, which come from noise because stars are positive."""
    negative = replace(frame, data=-frame.data)
    return len(measure_frame(negative, extraction).sources)


def _bins(mag: FloatArray, found: NDArray[np.bool_], measured: FloatArray) -> dict[str, list[float]]:
    number = np.floor(mag / BIN_MAG).astype(np.int64)
    table: dict[str, list[float]] = {"mag": [], "n": [], "n_found": [], "bias": [], "scatter": []}
    for one in np.unique(number).tolist():
        own = number == one
        off = (measured - mag)[own & np.isfinite(measured)]
        table["mag"].append((one + 0.5) * BIN_MAG)
        table["n"].append(int(own.sum()))
        table["n_found"].append(int((own & found).sum()))
        middle = float(np.median(off)) if len(off) else np.nan
        table["bias"].append(middle)
        table["scatter"].append(1.4826 * float(np.median(np.abs(off - middle))) if len(off) > 2 else np.nan)
    return table
