"""Photometric calibration of images with PS1 stars: a zero point and a colour term for each aperture.

`ztfdb.derive.selfcal` is the other method, with the stars that images share.

The header's calibration is kept: the reader of magnitudes chooses the calibration, and stored fluxes do not change.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import BoolArray, Progress
from ztfdb.derive.calibrators import (
    BANDS,
    COLORS,
    CalibrationSettings,
    Stars,
    alone,
    expected_noise,
    find_stars,
    instrumental,
)
from ztfdb.derive.selfcal import calibrate_self
from ztfdb.phot.calibration import LineFit, clipped_mean, fit_line
from ztfdb.phot.survey import SelfSettings
from ztfdb.store.calibrations import (
    image_to_calibrate,
    sources_to_calibrate,
    store_calibration,
    uncalibrated_images,
)
from ztfdb.store.catalogues import CatalogueInfo, get_catalogue
from ztfdb.store.engine import writing
from ztfdb.store.image_choice import chosen_images
from ztfdb.store.images import hold_image
from ztfdb.store.zero_points import APERTURES

if TYPE_CHECKING:
    import pandas as pd

METHOD = "ps1"
METHODS = ("ps1", "self")
"""Methods of calibration: with PS1 stars, or with the stars that images share."""


log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ApertureCalibration:
    """Calibration of one aperture of one image, with the stars used.

    Attributes
    ----------
    aperture : int
        1 to 6.
    fit : LineFit or None
        None if there is no fit.
    failure : str or None
        The reason for that.
    used : ndarray of int64
        Stars used in the fit, as rows of the image's `Stars`.
    apcor, apcor_err : float
        Aperture correction to the largest aperture, mag; NaN with too few stars.
    n_apcor : int
    """

    aperture: int
    fit: LineFit | None
    failure: str | None
    used: NDArray[np.int64]
    apcor: float
    apcor_err: float
    n_apcor: int


@dataclass(frozen=True)
class ImageCalibrated:
    """Calibration of one image.

    Attributes
    ----------
    image_id : int
    filtercode : str
    color : str
        ``g-r`` or ``r-i``.
    stars : Stars
        Candidates; each aperture uses those that are good in it.
    apertures : tuple of ApertureCalibration
    seconds : float
    """

    image_id: int
    filtercode: str
    color: str
    stars: Stars
    apertures: tuple[ApertureCalibration, ...]
    seconds: float


@dataclass
class CalibrationReport:
    """Result of a calibration: one row per image and aperture.

    Attributes
    ----------
    catalogue : str
    n_skipped : int
        Selected images that were calibrated before.
    n_image, n_failed : int
        Images calibrated now, and those without a zero point in the 6 px aperture.
    rows : list of dict
    """

    catalogue: str
    n_skipped: int = 0
    n_image: int = 0
    n_failed: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per image and aperture; the last columns are empty for a calibration with PS1."""
        import pandas as pd

        names = ["image_id", "aperture", *_FITTED, "n_star", "n_clipped", *_CORRECTED, "failure", *_OF_SOLUTION]
        return pd.DataFrame(self.rows, columns=names)


_FITTED = ("zeropoint", "zeropoint_err", "color_term", "color_term_err", "covariance", "scatter", "rms")
_CORRECTED = ("apcor", "apcor_err", "n_apcor")
_OF_SOLUTION = ("solution_id", "x_gradient", "y_gradient", "magerr_sys")
"""Additional columns of a calibration with shared stars."""


def calibrate(
    sessions: sessionmaker[Session],
    *,
    catalogue: str = "ps1",
    method: str = METHOD,
    image_ids: Sequence[int] | None = None,
    settings: CalibrationSettings | SelfSettings | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> CalibrationReport:
    """Calibrate images with PS1 (those not calibrated since they were matched), or with the stars they share.

    Parameters
    ----------
    sessions : sessionmaker
    catalogue : str
        ``ps1``, the only catalogue with magnitudes in the bands of ZTF's colour terms. The method ``self`` takes its
        level and colours from it if it is stored.
    method : str
        ``ps1``, with one transaction per image; or ``self``: see `ztfdb.derive.selfcal.calibrate_self`.
    image_ids : sequence of int, optional
        These images; by default all.
    settings : CalibrationSettings or SelfSettings, optional
        Settings of the method.
    again : bool
        Also repeat existing calibrations. With ``self`` and no `image_ids`, everything is solved again.
    progress : callable, optional
        Called with the number of images done and the total number.

    Raises
    ------
    UnknownCatalogueError, UnknownImageError
        If one is not in the archive.
    ValueError
        If the catalogue is not PS1, or the method or its settings are invalid.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r}: expected {' or '.join(METHODS)}")
    if method == "self":
        return _by_own_stars(sessions, catalogue, image_ids, settings, again, progress)
    if isinstance(settings, SelfSettings):
        raise ValueError("SelfSettings belong to method 'self': expected CalibrationSettings")
    with sessions() as session:
        held = get_catalogue(session, catalogue)
        if held.kind != METHOD:
            raise ValueError(f"{catalogue} has no magnitudes in g, r and i: calibrate against ps1")
        wanted = chosen_images(session, image_ids)
        among = None if image_ids is None else wanted
        todo = wanted if again else uncalibrated_images(session, METHOD, held.catalogue_id, among)
    report = CalibrationReport(catalogue, n_skipped=len(wanted) - len(todo))
    for done, image_id in enumerate(todo, start=1):
        with writing(sessions) as session:
            there = hold_image(session, image_id)
            if there:
                rows = calibration_rows(calibrate_image(session, image_id, held, settings), held, settings)
                store_calibration(session, image_id, METHOD, rows)
        if there:
            report.rows += rows
            report.n_image += 1
            report.n_failed += rows[3]["failure"] is not None
        if progress is not None:
            progress(done, len(todo))
    return report


def _by_own_stars(
    sessions: sessionmaker[Session],
    catalogue: str,
    image_ids: Sequence[int] | None,
    settings: CalibrationSettings | SelfSettings | None,
    again: bool,
    progress: Progress | None,
) -> CalibrationReport:
    if isinstance(settings, CalibrationSettings):
        raise ValueError("CalibrationSettings belong to method 'ps1': expected SelfSettings")
    done = calibrate_self(
        sessions, catalogue=catalogue, image_ids=image_ids, settings=settings, again=again, progress=progress
    )
    return CalibrationReport(catalogue, done.n_skipped, done.n_image, done.n_failed, done.rows)


def calibrate_image(
    session: Session, image_id: int, catalogue: CatalogueInfo, settings: CalibrationSettings | None = None
) -> ImageCalibrated:
    """Calibrate one image without storing anything.

    Parameters
    ----------
    session : Session
    image_id : int
    catalogue : CatalogueInfo
    settings : CalibrationSettings, optional

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    start = time.perf_counter()
    chosen = settings or CalibrationSettings()
    image = image_to_calibrate(session, image_id)
    sources = sources_to_calibrate(session, image_id)
    stars = find_stars(session, image_id, catalogue, image, sources, chosen)
    apertures = tuple(calibrate_aperture(stars, k, chosen) for k in APERTURES)
    seconds = time.perf_counter() - start
    fit = apertures[3].fit
    log.info(
        "image calibrated",
        extra={"image_id": image_id, "n_star": 0 if fit is None else int(fit.kept.sum()), "seconds": seconds},
    )
    return ImageCalibrated(image_id, image["filtercode"], "-".join(COLORS[image["fid"]]), stars, apertures, seconds)


def calibrate_aperture(stars: Stars, aperture: int, settings: CalibrationSettings) -> ApertureCalibration:
    """Fit zero point and colour term of one aperture (1 to 6), and its correction to the largest aperture."""
    mag, variance, snr = expected_noise(stars, aperture, settings.min_snr)
    total = stars.mag_var + variance
    with np.errstate(invalid="ignore"):
        good = alone(stars, aperture) & (snr >= settings.min_snr) & (total <= settings.max_error**2)
    used = np.flatnonzero(good & np.isfinite(mag))
    fit, failure = None, None
    try:
        fit = fit_line(
            (stars.mag - mag)[used],
            stars.color[used],
            total[used],
            stars.color_var[used],
            stars.covariance[used],
            clip=settings.clip,
            min_star=settings.min_star,
        )
    except ValueError as exc:
        failure = str(exc)
    return ApertureCalibration(aperture, fit, failure, used, *_correction(stars, aperture, settings))


def residuals(done: ImageCalibrated, aperture: int = 4, *, min_snr: float = 20.0) -> pd.DataFrame:
    """Return the stars of one aperture with their residuals.

    Parameters
    ----------
    done : ImageCalibrated
    aperture : int
        1 to 6.
    min_snr : float
        As in the calibration's settings.

    Returns
    -------
    DataFrame
        ``source_id``, ``x``, ``y`` (pixels), ``mag``, ``color`` (PS1), ``residual`` (PS1 minus calibrated magnitude),
        ``error`` (of the residual, without the intrinsic scatter) and ``kept``; ``attrs`` has the image, the aperture
        and the fit. No rows without a fit.
    """
    import pandas as pd

    one, stars = done.apertures[aperture - 1], done.stars
    used = one.used if one.fit is not None else one.used[:0]
    mag, variance, _ = expected_noise(stars, aperture, min_snr)
    zeropoint, slope = (one.fit.zeropoint, one.fit.color_term) if one.fit is not None else (np.nan, np.nan)
    left = stars.mag - mag - zeropoint - slope * stars.color
    total = stars.mag_var + variance + slope**2 * stars.color_var - 2.0 * slope * stars.covariance
    columns = {
        "source_id": stars.source_id[used],
        "x": stars.x[used],
        "y": stars.y[used],
        "mag": stars.mag[used],
        "color": stars.color[used],
        "residual": left[used],
        "error": np.sqrt(total[used]),
        "kept": one.fit.kept if one.fit is not None else np.empty(0, dtype=bool),
    }
    frame = pd.DataFrame(columns)
    frame.attrs.update(image_id=done.image_id, filtercode=done.filtercode, band=band_of(done.filtercode))
    frame.attrs.update(color=done.color, **_fit_values(one, stars))
    return frame


def calibration_rows(
    done: ImageCalibrated, catalogue: CatalogueInfo, settings: CalibrationSettings | None = None
) -> list[dict[str, Any]]:
    """Return a calibration as rows of the table ``calibration``."""
    shared = {
        "image_id": done.image_id,
        "method": METHOD,
        "catalogue_id": catalogue.catalogue_id,
        "color": done.color,
        "settings": (settings or CalibrationSettings()).to_dict(),
        "calibrated": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    return [{**shared, **_fit_values(one, done.stars)} for one in done.apertures]


def band_of(filtercode: str) -> str:
    """Return the PS1 band of a ZTF filter code."""
    return {"zg": BANDS[1], "zr": BANDS[2], "zi": BANDS[3]}[filtercode]


def _fit_values(one: ApertureCalibration, stars: Stars) -> dict[str, Any]:
    fit = one.fit
    values: dict[str, Any] = {name: None if fit is None else getattr(fit, name) for name in _FITTED}
    colors = stars.color[one.used[fit.kept]] if fit is not None else np.empty(0)
    return values | {
        "aperture": one.aperture,
        "n_star": 0 if fit is None else int(fit.kept.sum()),
        "n_clipped": 0 if fit is None else int((~fit.kept).sum()),
        "color_min": float(colors.min()) if len(colors) else None,
        "color_max": float(colors.max()) if len(colors) else None,
        "apcor": one.apcor,
        "apcor_err": one.apcor_err,
        "n_apcor": one.n_apcor,
        "failure": one.failure,
    }


def _correction(stars: Stars, aperture: int, settings: CalibrationSettings) -> tuple[float, float, int]:
    """Return magnitude in the largest aperture minus magnitude in this one, from bright isolated stars."""
    largest = APERTURES[-1]
    mag, variance, snr = instrumental(stars, aperture)
    mag_all, variance_all, snr_all = instrumental(stars, largest)
    lone: BoolArray = alone(stars, largest)
    with np.errstate(invalid="ignore"):
        lone = lone & (snr >= settings.apcor_snr) & (snr_all >= settings.apcor_snr)
    if lone.sum() < 3:
        return np.nan, np.nan, int(lone.sum())
    if aperture == largest:
        return 0.0, 0.0, int(lone.sum())
    # both include the flux of the smaller aperture: only the noise of the ring between them counts
    ring = np.maximum(variance_all[lone] - variance[lone], 0.0) + 1e-10
    mean, error, n = clipped_mean((mag_all - mag)[lone], ring, clip=settings.clip)
    return mean, error, n
