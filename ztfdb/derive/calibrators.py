"""Select the calibration stars of an image: clean, isolated, and with magnitude and colour in PS1."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns
from ztfdb.bits import BAD_BITS, UNCLEAN, UNCLEAN_LARGE
from ztfdb.codes import APERTURE_DIAMETERS, MEAN_PHOTOMETRY
from ztfdb.derive.crossmatch import find_matches, near_sources, rank_matches
from ztfdb.phot.magnitudes import POGSON
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.match import match_all
from ztfdb.store.catalogue_rows import rows_by_id, rows_in_ranges
from ztfdb.store.catalogues import CatalogueInfo
from ztfdb.store.columns import MISSING_INT32, NO_MASK
from ztfdb.store.image_choice import image_mjd
from ztfdb.store.matches import MatchTable, find_image_match, matches_of_image

PIXEL_SCALE = 1.012
"""arcsec per pixel, valid to 0.3 % over the whole camera."""

COLORS = {1: ("g", "r"), 2: ("g", "r"), 3: ("r", "i")}
"""The PS1 colour of the colour term by filter id, bluer band first."""

BANDS = {1: "g", 2: "r", 3: "i"}

NEIGHBOUR_GAP_PIX = 5.0
"""A neighbour this far beyond an aperture's rim (2.5 times a typical FWHM) adds no flux to it."""


@dataclass(frozen=True)
class CalibrationSettings:
    """Selection of calibration stars, and parameters of the fit.

    Attributes
    ----------
    bright_limit, faint_limit : float
        PS1 magnitudes of the image's band and of both bands of the colour; PS1 saturates above 14.5.
    star_limit : float
        Objects with i_PSF - i_Kron below this are stars, mag; objects without a Kron magnitude pass.
    min_detection : int
        Minimum number of PS1 detections; objects without this number pass.
    mean_photometry : bool
        Use only magnitudes averaged over exposures, not those measured on stacks.
    color_range : tuple of float
        PS1 colour for which the colour term is a line.
    max_error : float
        Maximum combined error of PS1 and ztfdb for a star, mag.
    assumed_error : float
        Error of a PS1 magnitude without an error, mag.
    min_snr : float
        Smallest signal to noise in the aperture.
    peak_limit : float
        Maximum peak (with background) as a fraction of SATURATE.
    max_separation : float
        Maximum separation from the PS1 position, arcsec.
    neighbour_share : float
        Neighbours below this fraction of the star's flux are ignored.
    clip : float
        Clipping limit of the fit, sigma.
    min_star : int
        Minimum number of stars.
    apcor_snr : float
        Minimum S/N, in the smaller and the largest aperture, of stars for aperture corrections.
    """

    bright_limit: float = 14.5
    faint_limit: float = 20.5
    star_limit: float = 0.05
    min_detection: int = 2
    mean_photometry: bool = True
    color_range: tuple[float, float] = (-0.5, 1.5)
    max_error: float = 0.05
    assumed_error: float = 0.01
    min_snr: float = 20.0
    peak_limit: float = 0.7
    max_separation: float = 1.0
    neighbour_share: float = 0.02
    clip: float = 4.0
    min_star: int = 10
    apcor_snr: float = 50.0

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return {**asdict(self), "color_range": list(self.color_range)}


@dataclass(frozen=True)
class Stars:
    """Sources of one image that match PS1 stars: equal-length columns.

    Attributes
    ----------
    x, y : ndarray, shape (n_star,)
        Pixels.
    mag, mag_var : ndarray
        PS1 magnitude in the image's band and its squared error.
    color, color_var : ndarray
        PS1 colour and its squared error.
    covariance : ndarray
        Covariance of magnitude and colour, mag².
    clear : ndarray
        Distance of the nearest relevant neighbour, pixels; infinite without one.
    flags : ndarray of int
    flux, flux_err : ndarray, shape (6, n_star)
        DN.
    source_id : ndarray of int64
    """

    source_id: NDArray[np.int64]
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    mag: NDArray[np.float64]
    mag_var: NDArray[np.float64]
    color: NDArray[np.float64]
    color_var: NDArray[np.float64]
    covariance: NDArray[np.float64]
    clear: NDArray[np.float64]
    flags: NDArray[np.int32]
    flux: NDArray[np.float64]
    flux_err: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.source_id)


def find_stars(
    session: Session,
    image_id: int,
    catalogue: CatalogueInfo,
    image: dict[str, Any],
    sources: Columns,
    settings: CalibrationSettings,
) -> Stars:
    """Return the clean sources of an image that match PS1 stars with good magnitudes.

    Parameters
    ----------
    session : Session
    image_id : int
    catalogue : CatalogueInfo
        PS1.
    image : dict
        From `ztfdb.store.calibrations.image_to_calibrate`.
    sources : dict of ndarray
        From `ztfdb.store.calibrations.sources_to_calibrate`.
    settings : CalibrationSettings
    """
    table = _matches(session, image_id, catalogue)
    usable = (table.rank == 1) & (table.separation <= settings.max_separation)
    row = np.searchsorted(sources["source_id"], table.source_id)
    usable &= clean_sources(sources, image["saturate"], settings.peak_limit)[row]
    ids, counts = np.unique(table.reference_id[table.rank == 1], return_counts=True)
    usable &= ~np.isin(table.reference_id, ids[counts > 1])  # a star that was split into several sources is not usable
    band, (blue, red) = BANDS[image["fid"]], COLORS[image["fid"]]
    names = object_columns(band, blue, red)
    mjd = image_mjd(session, image_id)
    near = near_sources(catalogue, mjd, sources["hpx29"][row[usable]], table.separation[usable])
    objects = rows_by_id(session, catalogue, table.reference_id[usable], names, near=near)
    at = np.searchsorted(objects["reference_id"], table.reference_id[usable])
    objects = {name: values[at] for name, values in objects.items()}
    good = good_objects(objects, band, blue, red, settings)
    picked, reference = row[usable][good], table.reference_id[usable][good]
    objects = {name: values[good].astype(np.float64) for name, values in objects.items() if name != "reference_id"}
    clear = _clearance(session, catalogue, sources, picked, reference, objects[f"{band}_mag"], band, settings)
    return _stars(sources, picked, objects, clear, band, blue, red, settings)


def alone(stars: Stars, aperture: int) -> BoolArray:
    """Return the stars without a neighbour that affects an aperture (1 to 6)."""
    radius = APERTURE_DIAMETERS[aperture - 1] / 2.0
    lone = stars.clear > radius + NEIGHBOUR_GAP_PIX
    return lone & ((stars.flags & int(UNCLEAN_LARGE)) == 0) if aperture >= 5 else lone


def _matches(session: Session, image_id: int, catalogue: CatalogueInfo) -> MatchTable:
    """Return the stored matches, else temporary ones."""
    if find_image_match(session, image_id, catalogue.catalogue_id) is not None:
        return matches_of_image(session, image_id, catalogue.catalogue_id)
    sources, rows, match = find_matches(
        session, image_id, catalogue, mode=catalogue.match_mode, radius=catalogue.match_radius
    )
    return rank_matches(sources["source_id"], rows["reference_id"], match)


def clean_sources(sources: Columns, saturate: float | None, peak_limit: float) -> BoolArray:
    """Return which sources have no flag of `UNCLEAN`, no bad pixel, and a peak well below saturation.

    Parameters
    ----------
    sources : dict of ndarray
        From `ztfdb.store.calibrations.sources_to_calibrate`.
    saturate : float or None
        DN; None, or NaN, if the header has none.
    peak_limit : float
        Maximum peak (with background) as a fraction of `saturate`.
    """
    mask = sources["mask_bits"]
    clean = ((sources["flags"] & int(UNCLEAN)) == 0) & ((mask == NO_MASK) | ((mask & int(BAD_BITS)) == 0))
    if saturate is not None and not np.isnan(saturate):
        clean &= sources["peak"] + sources["background"] <= peak_limit * saturate
    return np.asarray(clean)


def object_columns(band: str, blue: str, red: str) -> tuple[str, ...]:
    """Return the PS1 columns that `good_objects` needs, with the errors of the magnitudes."""
    return tuple(dict.fromkeys(("photometry", "n_detection", "i_mag", "i_kron_mag", *_mags(band, blue, red))))


def _mags(*bands: str) -> list[str]:
    return [f"{band}_{part}" for band in dict.fromkeys(bands) for part in ("mag", "mag_err")]


def good_objects(objects: Columns, band: str, blue: str, red: str, settings: CalibrationSettings) -> BoolArray:
    """Return which PS1 objects are stars with good magnitudes in a band and a colour."""
    good = np.ones(len(objects["reference_id"]), dtype=bool)
    if settings.mean_photometry:
        good &= objects["photometry"] == MEAN_PHOTOMETRY
    n_detection = objects["n_detection"]
    good &= (n_detection >= settings.min_detection) | (n_detection == MISSING_INT32)
    with np.errstate(invalid="ignore"):
        good &= ~(objects["i_mag"] - objects["i_kron_mag"] >= settings.star_limit)
        for name in {band, blue, red}:
            mag = objects[f"{name}_mag"]
            good &= (mag >= settings.bright_limit) & (mag <= settings.faint_limit)
        color = objects[f"{blue}_mag"].astype(np.float64) - objects[f"{red}_mag"]
        good &= (color >= settings.color_range[0]) & (color <= settings.color_range[1])
    return np.asarray(good)


def _clearance(
    session: Session,
    catalogue: CatalogueInfo,
    sources: Columns,
    picked: NDArray[np.int64],
    reference: NDArray[np.int64],
    mag: NDArray[np.float64],
    band: str,
    settings: CalibrationSettings,
) -> NDArray[np.float64]:
    """Return the distance of the nearest relevant neighbour among the sources and all PS1 objects, pixels."""
    reach = (APERTURE_DIAMETERS[-1] / 2.0 + NEIGHBOUR_GAP_PIX) * PIXEL_SCALE
    clear = np.full(len(picked), np.inf)
    if not len(picked):
        return clear
    ra, dec, flux = sources["ra"], sources["dec"], sources["flux_aper4"]
    near = match_all(ra[picked], dec[picked], ra, dec, reach)
    other = near.index2 != picked[near.index1]
    counts = other & (flux[near.index2] > settings.neighbour_share * flux[picked[near.index1]])
    np.minimum.at(clear, near.index1[counts], near.separation[counts])
    lo, hi = cover_positions(sources["hpx29"][picked], reach)
    rows = rows_in_ranges(session, catalogue, lo, hi, ("ra", "dec", f"{band}_mag"))
    near = match_all(ra[picked], dec[picked], rows["ra"], rows["dec"], reach)
    other = rows["reference_id"][near.index2] != reference[near.index1]
    faintest = mag[near.index1] - 2.5 * np.log10(settings.neighbour_share)
    with np.errstate(invalid="ignore"):
        counts = other & (rows[f"{band}_mag"][near.index2] < faintest)
    np.minimum.at(clear, near.index1[counts], near.separation[counts])
    return clear / PIXEL_SCALE


def _stars(
    sources: Columns,
    picked: NDArray[np.int64],
    objects: Columns,
    clear: NDArray[np.float64],
    band: str,
    blue: str,
    red: str,
    settings: CalibrationSettings,
) -> Stars:
    variance = {}
    for name in {band, blue, red}:
        error = objects[f"{name}_mag_err"]
        variance[name] = np.where(error > 0, error, settings.assumed_error) ** 2
    # the band's error also enters its colour, with its sign; a band outside of it is independent
    sign = {blue: 1.0, red: -1.0}.get(band, 0.0)
    flux = np.array([sources[f"flux_aper{k}"][picked] for k in range(1, 7)], dtype=np.float64)
    flux_err = np.array([sources[f"flux_aper{k}_err"][picked] for k in range(1, 7)], dtype=np.float64)
    return Stars(
        source_id=sources["source_id"][picked],
        x=sources["x"][picked],
        y=sources["y"][picked],
        mag=objects[f"{band}_mag"],
        mag_var=variance[band],
        color=objects[f"{blue}_mag"] - objects[f"{red}_mag"],
        color_var=variance[blue] + variance[red],
        covariance=sign * variance[band],
        clear=clear,
        flags=sources["flags"][picked],
        flux=flux,
        flux_err=flux_err,
    )


def instrumental(stars: Stars, aperture: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return instrumental magnitudes of an aperture, their squared errors, and signal to noise; NaN without flux."""
    flux, flux_err = stars.flux[aperture - 1], stars.flux_err[aperture - 1]
    with np.errstate(invalid="ignore", divide="ignore"):
        positive = np.where((flux > 0) & (flux_err > 0), flux, np.nan)
        return -POGSON * np.log(positive), (POGSON * flux_err / positive) ** 2, positive / flux_err


def expected_noise(
    stars: Stars, aperture: int, min_snr: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return instrumental magnitudes, with squared errors and S/N of the flux expected from PS1.

    With the measured flux, a star that noise made brighter would pass the S/N limit more easily and get more weight
    than one that it made fainter; both would raise the zero point. Therefore the noise refers to the catalogue's flux.
    """
    mag, variance, snr = instrumental(stars, aperture)
    with np.errstate(invalid="ignore"):
        bright = np.flatnonzero(snr >= min_snr)
    if not len(bright):
        return mag, variance, snr
    expected = 10.0 ** (-0.4 * (stars.mag - np.median((stars.mag - mag)[bright])))
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = expected / np.where(stars.flux_err[aperture - 1] > 0, stars.flux_err[aperture - 1], np.nan)
    return mag, (POGSON / snr) ** 2, snr
