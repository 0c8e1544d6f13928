"""The check of an image against its PSF catalogue: our aperture magnitudes minus ZTF's PSF magnitudes.

Both come from the same pixels and have the same zero point, so a difference points at the aperture correction, the
background, the shape of the PSF, or an error. Each image has one row, made when image and catalogue are both stored.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray, Progress
from ztfdb.bits import BAD_BITS, UNCLEAN, UNCLEAN_LARGE
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.derive.calibrators import NEIGHBOUR_GAP_PIX, PIXEL_SCALE
from ztfdb.derive.silent import warn_of_silent
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.magnitudes import POGSON, flux_to_mag
from ztfdb.phot.trend import TrendFit, fit_trend, robust_scatter
from ztfdb.phot.zeropoint import aperture_zeropoint
from ztfdb.records import MeasuredImage, PsfCatalogueRecord
from ztfdb.sky.match import match_all, match_mutual
from ztfdb.store.calibrations import sources_to_calibrate
from ztfdb.store.columns import NO_MASK
from ztfdb.store.engine import writing
from ztfdb.store.image_choice import chosen_images
from ztfdb.store.images import hold_image
from ztfdb.store.psf_checks import (
    checked_images,
    delete_psf_check,
    has_psf_catalogue,
    image_to_check,
    images_with_psf,
    psf_sources_to_check,
    store_psf_check,
)

if TYPE_CHECKING:
    import pandas as pd

MEDIAN_ERROR = 1.2533
"""Ratio of the standard errors of median and mean for Gaussian values."""

NUMBERS = (
    "median", "median_err", "scatter", "slope", "slope_err", "x_gradient", "x_gradient_err", "y_gradient",
    "y_gradient_err", "bright_limit", "faint_limit",
)  # fmt: skip

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PsfCheckSettings:
    """Selection of stars, and limits for warnings.

    Attributes
    ----------
    aperture : int
        1 to 6; 4 is the default of light curves.
    max_separation : float
        Maximum separation of the two positions, arcsec.
    min_snr : float
        Minimum S/N, as the geometric mean of both measurements (a limit on one alone would prefer stars that its noise
        made brighter).
    peak_limit : float
        Maximum peak (with background) as a fraction of SATURATE.
    max_chi, max_sharp : float
        Limits on the PSF fit; for ``sharp`` on its absolute value.
    neighbour_share : float
        Neighbours in either table below this fraction of the star's flux are ignored.
    error_floor : float
        Minimum error of a difference, mag: it limits the weight of the brightest stars.
    clip : float
        Clipping limit, robust sigma.
    min_star : int
        Minimum number of stars.
    warn_median, warn_scatter, warn_slope, warn_gradient : float
        Beyond it the warning is 1: mag, mag, mag per mag, mag across the image. ZTF's own floor is 0.013 to 0.03 mag.
    wrong_median : float
        mag; beyond it the warning is 2.
    significance : float
        Medians, slopes and gradients below this many of their errors give no warning.
    """

    aperture: int = 4
    max_separation: float = 1.0
    min_snr: float = 30.0
    peak_limit: float = 0.7
    max_chi: float = 3.0
    max_sharp: float = 0.5
    neighbour_share: float = 0.02
    error_floor: float = 0.01
    clip: float = 4.0
    min_star: int = 20
    warn_median: float = 0.03
    wrong_median: float = 0.1
    warn_scatter: float = 0.05
    warn_slope: float = 0.02
    warn_gradient: float = 0.05
    significance: float = 4.0


@dataclass(frozen=True)
class ImageChecked:
    """The check of one image.

    Attributes
    ----------
    image_id : int
    filtercode : str
    row : dict
        As in table ``psf_check``.
    stars : dict of ndarray
        ``source_id``, ``psf_source_id``, ``x``, ``y`` (pixels), ``mag`` (mean of the two), ``difference`` (ours minus
        ZTF's), ``error`` (of the difference, if the two were independent) and ``kept``.
    """

    image_id: int
    filtercode: str
    row: dict[str, Any]
    stars: Columns


@dataclass
class PsfCheckReport:
    """Result of a run of checks.

    Attributes
    ----------
    n_skipped : int
        Selected images that were checked before.
    n_without : int
        Selected images without a PSF catalogue.
    rows : list of dict
        One per checked image, as in table ``psf_check``.
    """

    n_skipped: int = 0
    n_without: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    @property
    def n_warned(self) -> int:
        """Number of images with a warning."""
        return sum(row["warning"] > 0 for row in self.rows)


def check_psf(
    sessions: sessionmaker[Session],
    *,
    image_ids: Sequence[int] | None = None,
    settings: PsfCheckSettings | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> PsfCheckReport:
    """Check images that are not checked yet against their PSF catalogues; one transaction per image.

    Parameters
    ----------
    sessions : sessionmaker
    image_ids : sequence of int, optional
        These images; by default all that have a catalogue.
    settings : PsfCheckSettings, optional
    again : bool
        Also repeat existing checks.
    progress : callable, optional

    Raises
    ------
    UnknownImageError
        If one is not in the archive.
    """
    with sessions() as session:
        wanted = chosen_images(session, image_ids)
        among = None if image_ids is None else wanted
        held = set(images_with_psf(session, among))
        known = set() if again else set(checked_images(session, among))
    able = [one for one in wanted if one in held]
    todo = [one for one in able if one not in known]
    report = PsfCheckReport(len(able) - len(todo), len(wanted) - len(able))
    for done, image_id in enumerate(todo, start=1):
        with writing(sessions) as session:
            if hold_image(session, image_id) and has_psf_catalogue(session, image_id):
                report.rows.append(store_check(session, compare_image(session, image_id, settings)))
        if progress is not None:
            progress(done, len(todo))
    warn_of_silent(sessions, todo)
    return report


def remove_psf_checks(
    sessions: sessionmaker[Session], *, image_ids: Sequence[int] | None = None, dry_run: bool = False
) -> int:
    """Remove the checks of images (by default all), and return their number; with `dry_run` only count them."""
    with sessions() as session:
        held = checked_images(session, None if image_ids is None else chosen_images(session, image_ids))
    if not dry_run and held:
        with writing(sessions) as session:
            for one in held:
                delete_psf_check(session, one)
    return len(held)


def compare_measured(measured: MeasuredImage) -> ImageChecked | None:
    """Compare an image that is about to be stored with its PSF catalogue; None without a catalogue.

    The numbers are rounded as the archive stores them.
    """
    record = measured.psfcat
    if measured.info.kind == "ref" or not isinstance(record, PsfCatalogueRecord):
        return None
    info, table, rows = measured.info, measured.sources, record.table
    first = info.image_id << SOURCE_ID_SHIFT
    apertures: FloatArray = table.flux_aper
    sources: Columns = {
        "source_id": first + table.number,
        **{name: getattr(table, name) for name in ("ra", "dec", "x", "y", "peak", "flags", "background")},
        "mask_bits": np.full(len(table), NO_MASK) if table.mask_bits is None else table.mask_bits,
        **{f"flux_aper{k}": apertures[k - 1] for k in range(1, len(apertures) + 1)},
        **{f"flux_aper{k}_err": table.flux_aper_err[k - 1] for k in range(1, len(apertures) + 1)},
    }
    order = np.argsort(rows.sourceid, kind="stable")
    psf: Columns = {
        "source_id": (first + rows.sourceid)[order],
        **{name: getattr(rows, name)[order] for name in ("ra", "dec", "flux", "mag_inst", "sigmag", "chi", "sharp")},
        "flags": rows.flags[order],
    }
    psf["flux"] = np.where(np.isfinite(psf["flux"]), psf["flux"], np.nan)  # as it is stored
    image = {name: getattr(info, name) for name in ("kind", "filtercode", "nx", "ny", "magzp", "saturate")}
    image |= {f"apcor{k}": getattr(info, f"apcor{k}") for k in range(1, 7)}
    return compare(info.image_id, image, sources, psf)


def check_new_image(session: Session, image_id: int, kind: str, done: ImageChecked | None) -> None:
    """Store the check of an image that was just stored, in the caller's transaction.

    If its catalogue did not come with it (`done` is None) but was stored before, this compares it.
    """
    if done is not None:
        store_check(session, done)
    elif kind != "ref" and has_psf_catalogue(session, image_id):
        store_check(session, compare_image(session, image_id))


def check_held_image(session: Session, image_id: int) -> None:
    """Check an image whose PSF catalogue was just stored, in the caller's transaction; a reference is not checked."""
    if image_to_check(session, image_id)["kind"] != "ref":
        store_check(session, compare_image(session, image_id))


def compare_image(session: Session, image_id: int, settings: PsfCheckSettings | None = None) -> ImageChecked:
    """Compare a stored image with its PSF catalogue, without storing anything.

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    image = image_to_check(session, image_id)
    sources = sources_to_calibrate(session, image_id)
    return compare(image_id, image, sources, psf_sources_to_check(session, image_id), settings)


def store_check(session: Session, done: ImageChecked) -> dict[str, Any]:
    """Store a check, log its result, and return its row."""
    store_psf_check(session, done.row)
    told = {"image_id": done.image_id, **{name: done.row[name] for name in ("n_star", *NUMBERS, "failure")}}
    if done.row["warning"] and done.row["failure"] is None:  # see `warn_of_silent`
        log.warning("photometry of an image deserves a look", extra={**told, "level": done.row["warning"]})
    else:
        log.debug("image compared with its PSF catalogue", extra=told)
    return done.row


def compare(
    image_id: int, image: dict[str, Any], sources: Columns, psf: Columns, settings: PsfCheckSettings | None = None
) -> ImageChecked:
    """Compare the sources of an image with the rows of its PSF catalogue.

    Parameters
    ----------
    image_id : int
    image : dict
        From `ztfdb.store.psf_checks.image_to_check`.
    sources, psf : dict of ndarray
        From `ztfdb.store.calibrations.sources_to_calibrate` and `ztfdb.store.psf_checks.psf_sources_to_check`, ordered
        by ``source_id``.
    settings : PsfCheckSettings, optional
    """
    chosen = settings or PsfCheckSettings()
    start = time.perf_counter()
    i, j = _pairs(image, sources, psf, chosen)
    stars = _stars(image, sources, psf, i, j, chosen)
    values: dict[str, Any] = dict.fromkeys(NUMBERS)
    n_star, failure = len(stars["mag"]), None
    if image[f"apcor{chosen.aperture}"] is None:
        failure = f"no APCOR{chosen.aperture} in the header"
    elif n_star < chosen.min_star:
        failure = f"{n_star} stars are too few, {chosen.min_star} are needed"
    else:
        failure = _summarise(stars, image, chosen, values)
    severity, warning = check_warning(values, chosen)
    n_kept = int(stars["kept"].sum())
    row = {
        "image_id": int(image_id),
        "aperture": chosen.aperture,
        "n_match": len(i),
        "n_star": n_kept,
        "n_clipped": n_star - n_kept,
        **values,
        "severity": severity,
        "warning": warning,
        "failure": failure,
        "settings": asdict(chosen),
        "checked": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    log.debug("compared", extra={"image_id": int(image_id), "seconds": time.perf_counter() - start})
    return ImageChecked(int(image_id), image["filtercode"], row, stars)


def check_warning(values: dict[str, Any], settings: PsfCheckSettings) -> tuple[float | None, int]:
    """Return the severity of an image (above 1 gives a warning), and the level: 0 none, 1 look at it, 2 wrong.

    Without a median the level is 1.
    """
    if values["median"] is None:
        return None, 1
    limits = {
        "median": settings.warn_median,
        "slope": settings.warn_slope,
        "x_gradient": settings.warn_gradient,
        "y_gradient": settings.warn_gradient,
    }
    told = {
        name: abs(values[name])
        for name in limits
        if values[name] is not None and abs(values[name]) > settings.significance * values[f"{name}_err"]
    }
    severity = max([values["scatter"] / settings.warn_scatter, *(told[name] / limits[name] for name in told)])
    return float(severity), 2 if told.get("median", 0.0) > settings.wrong_median else int(severity > 1.0)


def differences(done: ImageChecked) -> pd.DataFrame:
    """Return the stars of a check, with `ImageChecked.row` as ``attrs``."""
    import pandas as pd

    frame = pd.DataFrame(done.stars)
    frame.attrs.update(done.row, filtercode=done.filtercode)
    return frame


def _summarise(stars: Columns, image: dict[str, Any], settings: PsfCheckSettings, values: dict[str, Any]) -> str | None:
    """Fill in the numbers of a check and mark the kept stars; return the reason of a failure, else None."""
    mag, difference = stars["mag"], stars["difference"]
    variance = stars["error"] ** 2 + settings.error_floor**2
    flat = np.ones(len(mag))
    place = [(stars[axis] - (image[size] - 1) / 2.0) / image[size] for axis, size in (("x", "nx"), ("y", "ny"))]
    failure = None
    try:
        fit = fit_trend(
            difference, np.stack([flat, mag - np.median(mag), *place], axis=1), variance, clip=settings.clip
        )
    except ValueError as exc:
        failure = f"no trends: {exc}"
        fit = fit_trend(difference, flat[:, None], variance, clip=settings.clip)
    stars["kept"] = fit.kept
    kept = difference[fit.kept]
    values["median"] = float(np.median(kept))
    values["median_err"] = MEDIAN_ERROR * robust_scatter(kept) / float(np.sqrt(len(kept)))
    values["scatter"] = fit.scatter
    values["bright_limit"], values["faint_limit"] = float(mag[fit.kept].min()), float(mag[fit.kept].max())
    if failure is None:
        values |= _trends(fit)
    return failure


def _trends(fit: TrendFit) -> dict[str, float]:
    names = ("slope", "x_gradient", "y_gradient")
    found = dict(zip(names, fit.coefficients[1:].tolist(), strict=True))
    return found | {f"{name}_err": error for name, error in zip(names, fit.errors[1:].tolist(), strict=True)}


def _pairs(
    image: dict[str, Any], sources: Columns, psf: Columns, settings: PsfCheckSettings
) -> tuple[IntArray, IntArray]:
    """Return the rows of clean sources and PSF rows that are each other's nearest, without faint ones."""
    flux, flux_err = (sources[f"flux_aper{settings.aperture}{part}"] for part in ("", "_err"))
    with np.errstate(invalid="ignore"):
        able = _clean(image, sources, settings) & (flux >= 0.5 * settings.min_snr * flux_err)
    match = match_mutual(sources["ra"], sources["dec"], psf["ra"], psf["dec"], settings.max_separation)
    kept = able[match.index1]
    return match.index1[kept], match.index2[kept]


def _stars(
    image: dict[str, Any],
    sources: Columns,
    psf: Columns,
    i: IntArray,
    j: IntArray,
    settings: PsfCheckSettings,
) -> Columns:
    """Return the pairs (rows `i` and `j`) that are bright in both tables, clean in the second, and isolated."""
    apcor = image[f"apcor{settings.aperture}"]
    zeropoint = aperture_zeropoint(image["magzp"], apcor)
    flux, flux_err = (sources[f"flux_aper{settings.aperture}{part}"][i].astype(np.float64) for part in ("", "_err"))
    mag, mag_err = flux_to_mag(flux, flux_err, zeropoint)
    psf_mag, psf_err = (psf[name][j].astype(np.float64) for name in ("mag_inst", "sigmag"))
    psf_mag = psf_mag + image["magzp"]
    difference = mag - psf_mag
    with np.errstate(invalid="ignore", divide="ignore"):
        # a sigmag of 0 (rounded to 0.001) passes any limit
        bright = settings.min_snr**2 * (POGSON * flux_err / flux) * psf_err <= POGSON**2
        good = bright & (flux > 0) & (flux_err > 0) & (psf_err >= 0)
    good &= _clean_fit(psf, j, settings)
    good &= np.isfinite(difference) if apcor is not None else np.isfinite(psf_mag)
    good[good] = _alone(sources, psf, i[good], j[good], settings)
    return {
        "source_id": sources["source_id"][i[good]],
        "psf_source_id": psf["source_id"][j[good]],
        "x": sources["x"][i[good]],
        "y": sources["y"][i[good]],
        "mag": 0.5 * (mag + psf_mag)[good],
        "difference": difference[good],
        "error": np.hypot(mag_err, psf_err)[good],
        "kept": np.ones(int(good.sum()), dtype=bool),
    }


def _clean(image: dict[str, Any], sources: Columns, settings: PsfCheckSettings) -> BoolArray:
    mask = sources["mask_bits"]
    unclean = UNCLEAN | UNCLEAN_LARGE if settings.aperture >= 5 else UNCLEAN
    clean = (sources["flags"] & int(unclean)) == 0
    clean &= (mask == NO_MASK) | ((mask & int(BAD_BITS)) == 0)
    if image["saturate"] is not None:
        clean &= sources["peak"] + sources["background"] <= settings.peak_limit * image["saturate"]
    return np.asarray(clean)


def _clean_fit(psf: Columns, j: IntArray, settings: PsfCheckSettings) -> BoolArray:
    clean = (psf["flags"][j].astype(np.int64) & int(BAD_BITS)) == 0
    # without chi or sharp in the catalogue, stars pass
    clean &= ~(psf["chi"][j] > settings.max_chi) & ~(np.abs(psf["sharp"][j]) > settings.max_sharp)
    return np.asarray(clean)


def _alone(sources: Columns, psf: Columns, i: IntArray, j: IntArray, settings: PsfCheckSettings) -> BoolArray:
    reach = (APERTURE_DIAMETERS[settings.aperture - 1] / 2.0 + NEIGHBOUR_GAP_PIX) * PIXEL_SCALE
    lone = np.ones(len(i), dtype=bool)
    for table, own, name in ((sources, i, f"flux_aper{settings.aperture}"), (psf, j, "flux")):
        ra, dec, flux = table["ra"], table["dec"], table[name]
        near = match_all(ra[own], dec[own], ra, dec, reach)
        with np.errstate(invalid="ignore"):
            counts = flux[near.index2] > settings.neighbour_share * flux[own[near.index1]]
        lone[near.index1[counts & (near.index2 != own[near.index1])]] = False
    return lone
