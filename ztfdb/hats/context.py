"""Data of the archive that all products need: image columns, and values calibrated per image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.bits import BAD_BITS, CATFLAG_UNUSABLE, INFOBITS_USABLE_BELOW
from ztfdb.hats.contents import Prints, mix
from ztfdb.hats.rounding import to_days
from ztfdb.phot.magnitudes import flux_to_mag, microjansky_per_dn, total_mag_err
from ztfdb.phot.surface import quadrant_places, surface_at
from ztfdb.sky.times import hjd
from ztfdb.store import export as store
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import MISSING, MISSING_INT16, MISSING_INT32, NO_MASK
from ztfdb.store.meta import read_meta
from ztfdb.store.revision import REVISION
from ztfdb.store.self_terms import self_terms
from ztfdb.store.zero_points import zeropoints

IMAGE_FIELDS: dict[str, str] = {
    "mjd": "f8", "hjd": "f8", "kind": "O", "fid": "i2", "filtercode": "O", "field": "i4", "ccdid": "i2", "qid": "i2",
    "expid": "i8", "exptime": "f8", "limitmag": "f8",
}  # fmt: skip
"""Columns of a row that come from its image, named as in a light curve."""

_OF_IMAGE = {"mjd": "obsmjd", "limitmag": "maglim"}

APERTURE = 4
"""Aperture of the magnitudes."""

SURFACE = ("x_gradient", "y_gradient", "map_xx", "map_xy", "map_yy")
"""Position-dependent terms of a calibration with shared stars; see `ztfdb.phot.surface.surface_at`."""


@dataclass(frozen=True)
class Context:
    """A snapshot of one archive.

    Attributes
    ----------
    images : dict of ndarray
        All images by ``image_id``, then one with only missing values, for images that are not stored.
    n_image : int
        Without the last one.
    magerr_sys : float
        Systematic floor of magnitudes, mag; `images` has it per image if the calibration has its own.
    prints : Prints
        Prints of the images.
    has_objects : bool
        Whether detections may belong to objects.
    calibration : str
        Calibration of the magnitudes.
    revision : str
        Revision of the archive's schema.
    stamp : str
        See `ztfdb.store.export.stamp`.
    """

    images: Columns
    n_image: int
    magerr_sys: float
    prints: Prints
    has_objects: bool
    calibration: str
    revision: str
    stamp: str

    @property
    def configurations(self) -> list[str]:
        """The hashes of all configurations that measured images, in order."""
        return sorted(set(self.images["config_hash"][:-1].tolist()))

    @property
    def span(self) -> tuple[float, float]:
        """First and last start of an exposure, MJD; NaN without images."""
        mjd = self.images["obsmjd"]
        return (float(np.nanmin(mjd)), float(np.nanmax(mjd))) if np.isfinite(mjd).any() else (np.nan, np.nan)

    def places(self, image_id: IntArray) -> IntArray:
        """Return indices of images in `images`; the last index for images that are not stored."""
        ids = self.images["image_id"][:-1]
        at = np.minimum(np.searchsorted(ids, image_id), max(0, len(ids) - 1))
        return np.where(ids[at] == image_id, at, len(ids)) if len(ids) else np.zeros(len(image_id), np.intp)

    @property
    def has_surface(self) -> bool:
        """Whether the zero point varies over an image."""
        return self.calibration == "self"

    def zeropoint(self, at: IntArray, rows: Columns) -> FloatArray:
        """Return the zero point of the aperture's flux of each row, AB mag of 1 DN; NaN if there is none.

        Parameters
        ----------
        at : ndarray of int64, shape (n_row,)
            Index of each row's image.
        rows : dict of ndarray
            ``x`` and ``y``, pixels, if `has_surface`.
        """
        images = self.images
        zero: FloatArray = images["zeropoint"][at]
        if not self.has_surface:
            return zero
        u, v = quadrant_places(rows["x"], rows["y"], images["nx"][at], images["ny"][at])
        return np.asarray(zero + surface_at(u, v, {name: images[name][at] for name in SURFACE}))


def read_context(session: AnySession, calibration: str) -> Context:
    """Read the image data for an export.

    Parameters
    ----------
    session : Session or Reading
    calibration : str
        One of `ztfdb.store.zero_points.METHODS`.
    """
    images, floor = store.all_images(session), float(read_meta(session)["magerr_sys"])
    terms = _terms(session, images["image_id"], calibration, floor)
    images |= terms
    for name in ("simulated", "has_mask"):
        images[name] = images[name].astype(bool)
    n_image = len(images["image_id"])
    missing = {name: np.array([_missing(values)], values.dtype) for name, values in images.items()}
    prints = store.content_prints(session)
    if calibration != "header":
        known = mix(*(values.view(np.int64) for values in terms.values()))
        pairs = zip(images["image_id"].tolist(), known.tolist(), strict=True)
        prints |= {image_id: prints[image_id] ^ bits for image_id, bits in pairs}
    return Context(
        {name: np.concatenate([values, missing[name]]) for name, values in images.items()},
        n_image,
        floor,
        Prints(prints),
        store.has_rows(session, "object_source"),
        calibration,
        REVISION,
        store.stamp(session, prints),
    )


def _terms(session: AnySession, image_id: IntArray, calibration: str, floor: float) -> Columns:
    """Return the zero points of images (``zeropoint``) and systematic errors (``magerr_sys``), and the surface."""
    if calibration != "self":
        zero = zeropoints(session, image_id, aperture=APERTURE, calibration=calibration)["zeropoint"]
        return {"zeropoint": zero, "magerr_sys": np.full(len(zero), floor)}
    found = self_terms(session, image_id, APERTURE)
    terms: Columns = {"zeropoint": found["plain"], "magerr_sys": found["magerr_sys"]}
    return terms | {name: found[name] for name in SURFACE}


def _missing(values: NDArray[Any]) -> Any:
    if values.dtype.kind == "f":
        return np.nan
    if values.dtype.kind == "i":
        return {8: MISSING, 4: MISSING_INT32, 2: MISSING_INT16}[values.dtype.itemsize]
    return False if values.dtype.kind == "b" else None


def image_columns(context: Context, at: IntArray, ra: FloatArray, dec: FloatArray) -> Columns:
    """Return `IMAGE_FIELDS` of the image of each row, and whether it is ``simulated``."""
    images = context.images
    columns: Columns = {name: images[_OF_IMAGE.get(name, name)][at] for name in IMAGE_FIELDS if name not in ("hjd",)}
    sun = np.stack([images[name][at] for name in ("sun_x", "sun_y", "sun_z")], axis=-1)
    columns["hjd"] = to_days(hjd(images["mjd_mid"][at], sun, ra, dec))
    columns["simulated"] = images["simulated"][at]
    return columns


def calibrated(flux: NDArray[Any], flux_err: NDArray[Any], zeropoint: FloatArray, magerr_sys: Any) -> Columns:
    """Return ``mag``, ``magerr``, ``flux_ujy`` and ``flux_ujy_err`` of fluxes (DN), not rounded.

    As in a light curve: NaN without a zero point; magnitudes are also NaN if the flux is not positive.
    """
    flux, flux_err = flux.astype(np.float64), flux_err.astype(np.float64)
    mag, mag_err = flux_to_mag(flux, flux_err, zeropoint)
    scale = microjansky_per_dn(zeropoint)
    return {
        "mag": mag,
        "magerr": total_mag_err(mag_err, magerr_sys),
        "flux_ujy": flux * scale,
        "flux_ujy_err": flux_err * scale,
    }


def aperture_photometry(context: Context, at: IntArray, rows: Columns) -> Columns:
    """Return the same for aperture fluxes, with the export's calibration; see `Context.zeropoint`."""
    zero = context.zeropoint(at, rows)
    return calibrated(rows["flux_aper4"], rows["flux_aper4_err"], zero, context.images["magerr_sys"][at])


def quality(context: Context, at: IntArray, mask_bits: IntArray, broken: BoolArray) -> Columns:
    """Return ``catflags`` (`MISSING_INT32` if unknown) and ``good``, as in a light curve.

    Parameters
    ----------
    context : Context
    at : ndarray of int64, shape (n_row,)
        Index of each row's image.
    mask_bits : ndarray of int64, shape (n_row,)
        `NO_MASK` without a mask.
    broken : ndarray of bool, shape (n_row,)
        True if the measurement itself is incomplete.
    """
    unusable = context.images["infobits"][at] >= INFOBITS_USABLE_BELOW
    unknown = mask_bits == NO_MASK
    bits = np.where(unknown, 0, mask_bits)
    catflags = bits | np.where(unusable, int(CATFLAG_UNUSABLE), 0)
    return {
        "catflags": np.where(unknown & ~unusable, MISSING_INT32, catflags).astype(np.int32),
        "good": ~unusable & (bits & int(BAD_BITS) == 0) & ~broken,
    }
