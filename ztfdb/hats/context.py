"""What the rows of every product need of the archive: its images as columns, and the values that images calibrate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.bits import BAD_BITS, CATFLAG_UNUSABLE, INFOBITS_USABLE_BELOW
from ztfdb.hats.contents import Prints
from ztfdb.phot.magnitudes import flux_to_mag, microjansky_per_dn, total_mag_err
from ztfdb.sky.times import hjd
from ztfdb.store import export as store
from ztfdb.store.calibrations import zeropoints
from ztfdb.store.columns import MISSING, MISSING_INT16, MISSING_INT32, NO_MASK
from ztfdb.store.meta import read_meta
from ztfdb.store.migrate import REVISION

IMAGE_FIELDS: dict[str, str] = {
    "mjd": "f8", "hjd": "f8", "kind": "O", "fid": "i2", "filtercode": "O", "field": "i4", "ccdid": "i2", "qid": "i2",
    "expid": "i8", "exptime": "f8", "limitmag": "f8",
}  # fmt: skip
"""What a row carries of its image, with the names of a light curve."""

_OF_IMAGE = {"mjd": "obsmjd", "limitmag": "maglim"}


@dataclass(frozen=True)
class Context:
    """One archive at one moment.

    Attributes
    ----------
    images : dict of ndarray
        All images by ``image_id``, then one that stands for an image that is not held, everything missing.
    n_image : int
        Without that one.
    magerr_sys : float
        Systematic floor of magnitudes, mag.
    prints : Prints
        Of the images.
    has_objects : bool
        Whether detections may belong to objects.
    calibration : str
        Whose zero points the magnitudes have.
    revision : str
        Of the archive's schema.
    """

    images: Columns
    n_image: int
    magerr_sys: float
    prints: Prints
    has_objects: bool
    calibration: str
    revision: str

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
        """Return where images stand in `images`; one that is not held, at the last."""
        ids = self.images["image_id"][:-1]
        at = np.minimum(np.searchsorted(ids, image_id), max(0, len(ids) - 1))
        return np.where(ids[at] == image_id, at, len(ids)) if len(ids) else np.zeros(len(image_id), np.intp)


def read_context(session: Session, calibration: str) -> Context:
    """Read what is needed of the images.

    Parameters
    ----------
    session : Session
    calibration : str
        ``header`` or another method of `ztfdb.store.calibrations.zeropoints`.
    """
    images = store.all_images(session)
    images["zeropoint"] = zeropoints(session, images["image_id"], calibration=calibration)["zeropoint"]
    for name in ("simulated", "has_mask"):
        images[name] = images[name].astype(bool)
    n_image = len(images["image_id"])
    missing = {name: np.array([_missing(values)], values.dtype) for name, values in images.items()}
    prints = store.content_prints(session)
    if calibration != "header":
        known = zip(images["image_id"].tolist(), images["zeropoint"].view(np.int64).tolist(), strict=True)
        prints |= {image_id: prints[image_id] ^ bits % (1 << 64) for image_id, bits in known}
    return Context(
        {name: np.concatenate([values, missing[name]]) for name, values in images.items()},
        n_image,
        float(read_meta(session)["magerr_sys"]),
        Prints(prints),
        store.has_rows(session, "object_source"),
        calibration,
        REVISION,
    )


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
    columns["hjd"] = hjd(images["mjd_mid"][at], sun, ra, dec)
    columns["simulated"] = images["simulated"][at]
    return columns


def calibrated(
    context: Context, at: IntArray, flux: NDArray[Any], flux_err: NDArray[Any], *, zeropoint: str = "zeropoint"
) -> Columns:
    """Return ``mag``, ``magerr``, ``flux_ujy`` and ``flux_ujy_err`` of fluxes (DN), in single precision.

    As in a light curve: NaN where there is no zero point, magnitudes also where the flux is not positive.
    """
    zero = context.images[zeropoint][at]
    flux, flux_err = flux.astype(np.float64), flux_err.astype(np.float64)
    mag, mag_err = flux_to_mag(flux, flux_err, zero)
    scale = microjansky_per_dn(zero)
    found = {
        "mag": mag,
        "magerr": total_mag_err(mag_err, context.magerr_sys),
        "flux_ujy": flux * scale,
        "flux_ujy_err": flux_err * scale,
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


def quality(context: Context, at: IntArray, mask_bits: IntArray, broken: BoolArray) -> Columns:
    """Return ``catflags`` (`MISSING_INT32` where unknown) and ``good``, as in a light curve.

    Parameters
    ----------
    context : Context
    at : ndarray of int64, shape (n_row,)
        Place of each row's image.
    mask_bits : ndarray of int64, shape (n_row,)
        `NO_MASK` where there was none.
    broken : ndarray of bool, shape (n_row,)
        True where the measurement itself is not whole.
    """
    unusable = context.images["infobits"][at] >= INFOBITS_USABLE_BELOW
    unknown = mask_bits == NO_MASK
    bits = np.where(unknown, 0, mask_bits)
    catflags = bits | np.where(unusable, int(CATFLAG_UNUSABLE), 0)
    return {
        "catflags": np.where(unknown & ~unusable, MISSING_INT32, catflags).astype(np.int32),
        "good": ~unusable & (bits & int(BAD_BITS) == 0) & ~broken,
    }
