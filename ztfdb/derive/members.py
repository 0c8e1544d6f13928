"""Convert rows of sources to detections for grouping, and grouped detections to rows to store."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray
from ztfdb.bits import APERTURE_BROKEN, BAD_BITS, INFOBITS_USABLE_BELOW, SourceFlag
from ztfdb.codes import MemberKind
from ztfdb.derive.grouping import Detections, Grouped
from ztfdb.derive.variability import POINT, statistics
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.phot.magnitudes import flux_to_mag, total_mag_err
from ztfdb.store.columns import NO_MASK
from ztfdb.store.image_table import REFERENCE_RANK, epoch_images, used_images, version_ranks

MIN_SNR = 7.0
"""Minimum S/N of a clean detection that can start an object."""

UNCERTAIN_PLACE = (
    SourceFlag.EDGE
    | SourceFlag.SATURATED
    | SourceFlag.APERTURE_TRUNCATED
    | SourceFlag.APERTURE_INCOMPLETE
    | SourceFlag.WINDOW_FAILED
)
"""Flags that make the position doubtful. Without `BLENDED`, which both stars of a resolved pair have."""


@dataclass(frozen=True)
class Images:
    """Properties of images for objects: columns ordered by ``image_id``.

    Attributes
    ----------
    image_id, fid : ndarray of int64
    mjd, zeropoint, floor : ndarray
        Start of the exposure; AB mag of 1 DN in the 6 px aperture; systematic error, mag. NaN where unknown.
    usable : ndarray of bool
    exposure : ndarray of int64
        Equal for images of the same exposure × quadrant.
    rank : ndarray of int64
        Among those the smallest counts, as in light curves.
    """

    image_id: IntArray
    fid: IntArray
    mjd: FloatArray
    zeropoint: FloatArray
    floor: FloatArray
    usable: BoolArray
    exposure: IntArray
    rank: IntArray


@dataclass(frozen=True)
class Sample:
    """Sources of known images, as detections and as points of light curves; equal-length columns.

    Attributes
    ----------
    found : Detections
    image : ndarray of int64
        Row of the source's image in `Images`.
    mag, mag_err : ndarray of float32
        Calibrated magnitude and total error.
    eligible : ndarray of bool
        Good (DESIGN section 3) and measured.
    """

    found: Detections
    image: IntArray
    mag: NDArray[np.float32]
    mag_err: NDArray[np.float32]
    eligible: BoolArray


def read_images(session: Session, image_id: IntArray) -> Images:
    """Return the properties of images; references and unknown ids are omitted."""
    table, at = epoch_images(session, image_id, 4)
    table, _ = used_images(table, at)
    table = table.take(np.flatnonzero(table["rank"] != REFERENCE_RANK))
    table = table.take(np.argsort(table["image_id"]))
    rank, which = np.zeros(len(table), np.int64), np.flatnonzero(table.shared)
    if len(which):
        rank[which] = version_ranks(session, table.take(which))
    return Images(
        table.integers("image_id"),
        table.integers("fid"),
        table["mjd"],
        table["zeropoint"],
        table["magerr_sys"],
        ~(table["infobits"] >= INFOBITS_USABLE_BELOW),
        table.exposure,
        rank,
    )


def make_sample(rows: Columns, images: Images) -> Sample:
    """Return the sources whose images are in `images`, ready for grouping.

    Parameters
    ----------
    rows : dict of ndarray
        `ztfdb.store.objects.DETECTION_COLUMNS`.
    images : Images
    """
    image_id = rows["source_id"] >> SOURCE_ID_SHIFT
    image = np.searchsorted(images.image_id, image_id)
    known = image < len(images.image_id)
    known[known] = images.image_id[image[known]] == image_id[known]
    rows = {name: values[known] for name, values in rows.items()}
    image, image_id = image[known], image_id[known]
    flux, flux_err = rows["flux_aper4"].astype(np.float64), rows["flux_aper4_err"].astype(np.float64)
    snr = np.divide(flux, flux_err, out=np.zeros(len(flux)), where=flux_err > 0.0)
    snr = np.where(np.isfinite(snr), snr, 0.0)
    unmasked = (rows["mask_bits"] == NO_MASK) | (rows["mask_bits"] & int(BAD_BITS) == 0)
    fit = images.usable[image] & unmasked
    clean = fit & (snr >= MIN_SNR) & (rows["flags"] & int(UNCERTAIN_PLACE) == 0)
    mag64, err64 = flux_to_mag(flux, flux_err, images.zeropoint[image])
    mag, mag_err = mag64.astype(np.float32), total_mag_err(err64, images.floor[image]).astype(np.float32)
    measured = np.isfinite(mag) & np.isfinite(mag_err) & (mag_err > 0) & np.isfinite(images.mjd[image])
    eligible = fit & measured & (rows["flags"] & int(APERTURE_BROKEN) == 0)
    found = Detections(
        rows["source_id"], image_id, rows["hpx29"], rows["ra"], rows["dec"], snr, images.mjd[image], clean
    )
    return Sample(found, image, mag, mag_err, eligible)


def counted_members(sample: Sample, images: Images, grouped: Grouped) -> BoolArray:
    """Return which members count: one per object and exposure × quadrant, if it is good and not a blend.

    As in light curves, first the image is chosen (`Images.rank`), then the nearest detection on it.
    """
    image, source_id = sample.image[grouped.row], sample.found.source_id[grouped.row]
    exposure = np.unique(images.exposure, return_inverse=True)[1]
    key = grouped.owner * (int(exposure.max(initial=0)) + 1) + exposure[image]
    order = np.argsort(key, kind="stable")
    same = np.diff(key[order]) == 0
    chosen = np.ones(len(key), bool)
    shared = order[np.r_[same, False] | np.r_[False, same]] if len(key) else order
    by = (source_id[shared], grouped.separation[shared], images.rank[image[shared]], key[shared])
    shared = shared[np.lexsort(by)]
    chosen[shared[1:][np.diff(key[shared]) == 0]] = False
    return np.asarray(chosen & sample.eligible[grouped.row] & (grouped.kind != MemberKind.ABSORBED))


def member_rows(sample: Sample, grouped: Grouped, counted: BoolArray) -> Columns:
    """Return the rows of ``object_source``, ordered by ``source_id``."""
    source_id = sample.found.source_id[grouped.row]
    rows = {
        "source_id": source_id,
        "object_id": grouped.objects["object_id"][grouped.owner],
        "kind": grouped.kind,
        "conflict": grouped.conflict.astype(np.int64),
        "counted": counted.astype(np.int64),
        "separation": grouped.separation,
    }
    order = np.argsort(source_id)
    return {name: values[order] for name, values in rows.items()}


def curve_rows(sample: Sample, images: Images, grouped: Grouped, counted: BoolArray) -> tuple[Columns, list[bytes]]:
    """Return the rows of ``object_filter``, ordered by object and filter, and their packed curves."""
    row, owner = grouped.row[counted], grouped.owner[counted]
    points = make_points(sample, images, row)
    fid = images.fid[sample.image[row]]
    order = np.lexsort((points["mag_err"], points["mag"], points["mjd"], fid, owner))
    points, owner, fid = points[order], owner[order], fid[order]
    start = np.flatnonzero((np.diff(owner, prepend=-1) != 0) | (np.diff(fid, prepend=-1) != 0))
    object_id = grouped.objects["object_id"][owner[start]]
    return {"object_id": object_id, "fid": fid[start], **statistics(points, start)}, packed(points, start)


def make_points(sample: Sample, images: Images, row: IntArray) -> NDArray[Any]:
    """Return some of the detections as points of light curves, in their order."""
    points = np.empty(len(row), POINT)
    points["mjd"] = images.mjd[sample.image[row]]
    points["mag"], points["mag_err"] = sample.mag[row], sample.mag_err[row]
    return points


def packed(points: NDArray[Any], start: IntArray) -> list[bytes]:
    """Return each curve's points as bytes."""
    whole = points.tobytes()
    size = POINT.itemsize
    edges = [*start.tolist(), len(points)] if len(start) else []
    return [whole[a * size : b * size] for a, b in pairwise(edges)]


def lengthened(curves: list[bytes], points: NDArray[Any]) -> tuple[NDArray[Any], IntArray]:
    """Insert one point into each packed curve in order of time; return all points and the start of each curve."""
    size = POINT.itemsize
    count = np.array([len(curve) // size for curve in curves], np.int64) + 1
    start = np.cumsum(count) - count
    one = points.tobytes()
    joined = b"".join(part for k, curve in enumerate(curves) for part in (curve, one[k * size : (k + 1) * size]))
    every = np.frombuffer(joined, POINT).copy()
    late = start + count - 1
    before = np.maximum(late - 1, start)
    early = np.flatnonzero((count > 1) & (every["mjd"][late] <= every["mjd"][before]))
    for k in early.tolist():  # older than the newest exposure: rare, as images mostly arrive in time order
        part = every[start[k] : start[k] + count[k]]
        every[start[k] : start[k] + count[k]] = part[np.lexsort((part["mag_err"], part["mag"], part["mjd"]))]
    return every, start
