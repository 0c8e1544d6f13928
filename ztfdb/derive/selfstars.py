"""The stars that images share: clean isolated detections, joined by position, with catalogue magnitudes and colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray, Progress
from ztfdb.bits import UNCLEAN_LARGE
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.derive.calibrators import (
    BANDS,
    COLORS,
    NEIGHBOUR_GAP_PIX,
    PIXEL_SCALE,
    CalibrationSettings,
    clean_sources,
    good_objects,
    object_columns,
)
from ztfdb.derive.grouping import linked, repeated
from ztfdb.phot.survey import SelfSettings
from ztfdb.sky.angles import separation, unit_vector
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.match import match_all, match_nearest
from ztfdb.store.calibrations import sources_to_calibrate
from ztfdb.store.catalogue_rows import rows_in_ranges
from ztfdb.store.catalogues import CatalogueInfo
from ztfdb.store.self_calibrations import held_stars, usual_color_term
from ztfdb.store.zero_points import APERTURES

NEIGHBOUR_SHARE = 0.02
"""Neighbours below this fraction of a star's flux are ignored."""

FIDS = {band: fid for fid, band in BANDS.items()}

FAINTEST = 0.5
"""Fraction of the minimum S/N above which detections are kept until the S/N of their star is known."""


@dataclass(frozen=True)
class Detections:
    """Clean detections of some images, as columns.

    Attributes
    ----------
    image : ndarray of int64, shape (n,)
        Index of the image.
    hpx29 : ndarray of int64
    ra, dec, x, y : ndarray
    flux, flux_err : ndarray, shape (6, n)
        DN.
    clear : ndarray
        Distance of the nearest relevant neighbour, pixels.
    large : ndarray of bool
        Also good in the apertures of 10 and 14 px.
    """

    image: IntArray
    hpx29: IntArray
    ra: FloatArray
    dec: FloatArray
    x: FloatArray
    y: FloatArray
    flux: NDArray[np.float32]
    flux_err: NDArray[np.float32]
    clear: FloatArray
    large: BoolArray

    def __len__(self) -> int:
        return len(self.image)

    def good_in(self, aperture: int) -> BoolArray:
        """Return which detections have no neighbour that affects an aperture (1 to 6)."""
        k = aperture - 1
        lone = self.clear > APERTURE_DIAMETERS[k] / 2.0 + NEIGHBOUR_GAP_PIX
        lone &= (self.flux[k] > 0.0) & (self.flux_err[k] > 0.0)
        return np.asarray(lone & self.large if aperture >= 5 else lone)


def read_detections(
    session: Session, images: Columns, settings: SelfSettings, progress: Progress | None = None
) -> Detections:
    """Read the clean detections of images, in their order.

    Parameters
    ----------
    session : Session
    images : dict of ndarray
        From `ztfdb.store.self_calibrations.images_to_solve`.
    settings : SelfSettings
    progress : callable, optional
        Called with the number of images read and the total number.
    """
    parts = []
    n = len(images["image_id"])
    for at, (image_id, saturate) in enumerate(zip(images["image_id"], images["saturate"], strict=True)):
        parts.append(_of_image(session, at, int(image_id), float(saturate), settings))
        if progress is not None:
            progress(at + 1, n)
    if not parts:
        none = np.empty(0)
        return Detections(
            none.astype(np.int64), none.astype(np.int64), none, none, none, none,
            np.empty((6, 0), np.float32), np.empty((6, 0), np.float32), none, none.astype(bool),
        )  # fmt: skip
    names = list(Detections.__dataclass_fields__)
    return Detections(*(np.concatenate([getattr(part, name) for part in parts], axis=-1) for name in names))


def _of_image(session: Session, at: int, image_id: int, saturate: float, settings: SelfSettings) -> Detections:
    sources = sources_to_calibrate(session, image_id)
    with np.errstate(invalid="ignore", divide="ignore"):
        snr = sources["flux_aper4"] / sources["flux_aper4_err"]
        clean = clean_sources(sources, saturate, settings.peak_limit) & (snr >= FAINTEST * settings.min_snr)
    picked = np.flatnonzero(clean)
    reach = (APERTURE_DIAMETERS[-1] / 2.0 + NEIGHBOUR_GAP_PIX) * PIXEL_SCALE
    ra, dec, flux = sources["ra"], sources["dec"], sources["flux_aper4"]
    near = match_all(ra[picked], dec[picked], ra, dec, reach)
    counts = (near.index2 != picked[near.index1]) & (flux[near.index2] > NEIGHBOUR_SHARE * flux[picked[near.index1]])
    clear = np.full(len(picked), np.inf)
    np.minimum.at(clear, near.index1[counts], near.separation[counts] / PIXEL_SCALE)
    return Detections(
        image=np.full(len(picked), at, np.int64),
        **{name: sources[name][picked] for name in ("hpx29", "ra", "dec", "x", "y")},
        flux=np.array([sources[f"flux_aper{k}"][picked] for k in APERTURES], np.float32),
        flux_err=np.array([sources[f"flux_aper{k}_err"][picked] for k in APERTURES], np.float32),
        clear=clear,
        large=(sources["flags"][picked] & int(UNCLEAN_LARGE)) == 0,
    )


def join_stars(found: Detections, settings: SelfSettings) -> tuple[IntArray, FloatArray, FloatArray]:
    """Join detections to stars.

    Returns
    -------
    star : ndarray of int64, shape (n_detection,)
        From 0; -1 for a detection that is far from the others of its star, or not the only one of its star on its
        image.
    ra, dec : ndarray, shape (n_star,)
        Mean positions, deg.
    """
    if not len(found):
        return np.empty(0, np.int64), np.empty(0), np.empty(0)
    vector = np.array(unit_vector(found.ra, found.dec)).T
    star = linked(found.hpx29, vector)
    n_star = int(star.max()) + 1
    n = np.bincount(star, minlength=n_star)
    middle = np.stack([np.bincount(star, part, n_star) for part in vector.T], axis=-1) / n[:, None]
    ra = np.degrees(np.arctan2(middle[:, 1], middle[:, 0])) % 360.0
    dec = np.degrees(np.arctan2(middle[:, 2], np.hypot(middle[:, 0], middle[:, 1])))
    apart = separation(found.ra, found.dec, ra[star], dec[star])
    off = (apart > settings.radius) | repeated(star, found.image)
    return np.where(off, -1, star), ra, dec


@dataclass(frozen=True)
class KnownStars:
    """Prior magnitude, error and colour of stars; NaN if unknown."""

    mag: FloatArray
    err: FloatArray
    color: FloatArray


def known_stars(
    session: Session, catalogue: CatalogueInfo | None, fid: int, ra: FloatArray, dec: FloatArray, settings: SelfSettings
) -> KnownStars:
    """Return PS1 magnitudes and colours of stars; other colours come from stored stars of the colour's two filters.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo or None
        PS1, if it is stored.
    fid : int
    ra, dec : ndarray, shape (n_star,)
    settings : SelfSettings
    """
    known = KnownStars(*(np.full(len(ra), np.nan) for _ in range(3)))
    if catalogue is not None and len(ra):
        _of_catalogue(session, catalogue, fid, ra, dec, settings, known)
    if len(ra) and np.isnan(known.color).any():
        _own_colors(session, fid, ra, dec, settings, known)
    return known


def _of_catalogue(
    session: Session,
    catalogue: CatalogueInfo,
    fid: int,
    ra: FloatArray,
    dec: FloatArray,
    settings: SelfSettings,
    known: KnownStars,
) -> None:
    band, (blue, red) = BANDS[fid], COLORS[fid]
    lo, hi = cover_positions(sky_to_cell(ra, dec), settings.radius)
    names = ("ra", "dec", *object_columns(band, blue, red))
    rows = rows_in_ranges(session, catalogue, lo, hi, names)
    good = good_objects(rows, band, blue, red, CalibrationSettings())
    match = match_nearest(ra, dec, rows["ra"], rows["dec"], settings.radius)
    usable = good[match.index2]
    star, at = match.index1[usable], match.index2[usable]
    error = rows[f"{band}_mag_err"][at].astype(np.float64)
    known.mag[star] = rows[f"{band}_mag"][at]
    known.err[star] = np.where(error > 0.0, error, CalibrationSettings().assumed_error)
    known.color[star] = rows[f"{blue}_mag"][at].astype(np.float64) - rows[f"{red}_mag"][at]


def _own_colors(
    session: Session, fid: int, ra: FloatArray, dec: FloatArray, settings: SelfSettings, known: KnownStars
) -> None:
    """Fill in colours from stored stars of both filters.

    Magnitudes of a solution without colour terms need the headers' terms (the survey's mean), which for g and r refer
    to the same colour: ``g - r = (difference) / (1 - term of g + term of r)``; for r - i only the term of i is known.
    """
    lo, hi = cover_positions(sky_to_cell(ra, dec), settings.radius)
    mags, scale = [], np.ones(len(ra))
    for band, sign in zip(COLORS[fid], (-1.0, 1.0), strict=True):
        own = FIDS[band]
        held = held_stars(session, lo, hi, own, 4)
        match = match_nearest(ra, dec, held["ra"], held["dec"], settings.radius)
        mag, plain = np.full(len(ra), np.nan), np.zeros(len(ra), bool)
        mag[match.index1] = held["mag"][match.index2]
        plain[match.index1] = np.isnan(held["term"][match.index2])
        mags.append(mag)
        if COLORS[own] == COLORS[fid] and plain.any():
            scale[plain] += sign * usual_color_term(session, own)
    color = (mags[0] - mags[1]) / scale
    missing = np.isnan(known.color)
    known.color[missing] = color[missing]
