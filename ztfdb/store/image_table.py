"""Facts about images for light curves, as one table: dates, zero points, the preferred version of an exposure.

Ids are passed as parameters and not through temporary tables, which a reader (a read-only transaction, a standby)
cannot create.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import BoolArray, IntArray
from ztfdb.phot.zeropoint import aperture_zeropoint
from ztfdb.schema.shapes import EPOCH_COLUMNS
from ztfdb.sky.cells import distinct
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.columns import MISSING
from ztfdb.store.select import rows

REFERENCE_RANK = 2

MOST_REMEMBERED = 50_000
"""Images whose epoch fields are cached on a connection: 11 MB."""

EPOCH_FIELDS = {
    **{
        name: f"image.{name}"
        for name in (
            "image_id",
            "filefracday",
            "field",
            "ccdid",
            "qid",
            "rcid",
            "fid",
            "expid",
            "programid",
            "infobits",
        )
    },
    "rank": f"case image.kind when 'sci' then 0 when 'ref' then {REFERENCE_RANK} else 1 end",
    "simulated": "case when image.simulated then 1 else 0 end",
    "mjd": "image.obsmjd",
    "limitmag": "image.maglim",
    **{
        name: f"image.{name}" for name in ("mjd_mid", "exptime", "magzp", "magzprms", "clrcoeff", "clrcounc", "airmass")
    },
    "apcor": "image.apcorK",
    **{name: f"image.{name}" for name in ("sun_x", "sun_y", "sun_z")},
    "magerr_sys": "(select cast(value as double precision) from archive_meta where key = 'magerr_sys')",
}
"""Facts of an epoch's image, by IRSA's names; ``rank``: 0 whole quadrant, 1 cutout, 2 reference."""

ZEROPOINT, COLOR_TERM = len(EPOCH_FIELDS), len(EPOCH_FIELDS) + 1
"""Rows of an `ImageTable` that follow from the others: those of the selected calibration."""

EPOCH_ROWS = {name: row for row, name in enumerate((*EPOCH_FIELDS, "zeropoint", "color_term"))}


@dataclass(frozen=True)
class ImageTable:
    """Facts of the images of epochs, as one matrix of doubles (exact: ids and counts are below 2^53).

    Attributes
    ----------
    values : ndarray, shape (n_field, n_image)
        One row per name of `EPOCH_ROWS`; NULL is NaN.
    """

    values: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.values.shape[1])

    def __getitem__(self, name: str) -> NDArray[np.float64]:
        return cast("NDArray[np.float64]", self.values[EPOCH_ROWS[name]])  # quoted: evaluating the type costs 2 µs

    def integers(self, name: str) -> NDArray[np.int64]:
        """Return a field as integers, `MISSING` where NULL."""
        values = self[name]
        return np.where(np.isnan(values), MISSING, values).astype(np.int64)

    def places(self, image_id: IntArray) -> IntArray:
        """Return the indices of images by their ids, -1 if absent."""
        order, ids = self._by_id
        if not len(ids):
            return np.full(len(image_id), -1)
        at = ids.searchsorted(image_id)
        order = order.take(at, mode="clip")
        return np.where(ids.take(at, mode="clip") == image_id, order, -1)

    @cached_property
    def exposure(self) -> IntArray:
        """An integer per image for its exposure × quadrant; an image of an unknown exposure has its own."""
        expid = self.integers("expid")
        known = (expid * 64 + self.integers("rcid")) * 2 + self.integers("simulated")
        return np.where(expid == MISSING, -1 - self.integers("image_id"), known)

    @cached_property
    def exposure_code(self) -> IntArray:
        """`exposure`, renumbered from 0."""
        return np.unique(self.exposure, return_inverse=True)[1]

    @cached_property
    def shared(self) -> BoolArray:
        """True for images that share their exposure × quadrant with another image of this table."""
        return (np.bincount(self.exposure_code) > 1)[self.exposure_code]

    @cached_property
    def of_whole_stars(self) -> ImageTable:
        """The images with MAGZP as zero point, without aperture correction, for fluxes of whole stars."""
        values = self.values.copy()
        values[EPOCH_ROWS["apcor"]] = 0.0
        values[ZEROPOINT] = values[EPOCH_ROWS["magzp"]]
        return ImageTable(values)

    def take(self, images: IntArray) -> ImageTable:
        """Return the images at these indices, which may repeat."""
        return ImageTable(self.values.take(images, axis=1))

    def joined(self, other: ImageTable) -> ImageTable:
        """Return the images of both, which must be disjoint, ordered by (mjd, image_id)."""
        both = ImageTable(np.hstack([self.values, other.values]))
        return both.take(np.lexsort((both["image_id"], both["mjd"])))

    @cached_property
    def _by_id(self) -> tuple[IntArray, IntArray]:
        ids = self["image_id"].astype(np.int64)
        order = np.argsort(ids)
        return order, ids[order]


def epoch_images(session: AnySession, image_id: IntArray, aperture: int) -> tuple[ImageTable, IntArray]:
    """Return the facts of the images of rows.

    Parameters
    ----------
    session : Session or Reading
    image_id : ndarray of int64, shape (n_row,)
        Image of each row.
    aperture : int
        1 to 6; ``apcor`` is its correction. ``zeropoint`` and ``color_term`` are the header's.

    Returns
    -------
    images : ImageTable
        Those images, and others cached on the connection, ordered by (mjd, image_id).
    at : ndarray of int64, shape (n_row,)
        Index of each row's image, -1 if unknown.
    """
    cache = reads(session).memory()
    images: ImageTable = cache.get(f"images{aperture}", _NO_IMAGES)
    at = images.places(image_id)
    if (at < 0).any():
        missing = distinct(image_id[at < 0])
        if len(images) + len(missing) > MOST_REMEMBERED:
            images, missing = _NO_IMAGES, distinct(image_id)
        found = _read_images(session, missing, aperture)
        if len(found):  # ids of references that have only a catalogue find nothing: the cache stays unchanged
            images = cache[f"images{aperture}"] = images.joined(found)
            at = images.places(image_id)
    return images, at


def used_images(images: ImageTable, at: IntArray) -> tuple[ImageTable, IntArray]:
    """Return the images that rows use, in their order, and each row's index in them (-1 stays)."""
    used = np.zeros(len(images), dtype=bool)
    used[at[at >= 0]] = True
    place = np.append(np.cumsum(used) - 1, -1)  # the last item is for index -1
    return images.take(np.flatnonzero(used)), place[at]


def version_ranks(session: AnySession, images: ImageTable) -> IntArray:
    """Rank the images of an exposure × quadrant by preference, from 0.

    A whole quadrant comes before its cutouts, then the newest processing (PROCVSN, CREATED), then the smallest id.
    """
    ids = images.integers("image_id")
    versions = rows(session, "image", {"image_id": "i8", "procvsn": "i8", "created": "O"}, ids=ids)
    at = np.searchsorted(versions["image_id"], ids)
    texts = ["" if one is None else one for one in versions["created"].tolist()]
    _, created = np.unique(np.array(texts, dtype=str), return_inverse=True)
    order = np.lexsort((ids, -created[at], -versions["procvsn"][at], images["rank"]))
    rank = np.empty(len(ids), np.int64)
    rank[order] = np.arange(len(ids))
    return rank


def _read_images(session: AnySession, image_id: IntArray, aperture: int) -> ImageTable:
    given, params = reads(session).range_rows(id=image_id)
    origin = reads(session).joined(given, "image", ("image_id", *EPOCH_COLUMNS), "image.image_id = r.id")
    read = reads(session).by_index().read_doubles(_epoch_statement(origin, int(aperture)), params, tuple(EPOCH_FIELDS))
    magzp, apcor, clrcoeff = (read[EPOCH_ROWS[name]] for name in ("magzp", "apcor", "clrcoeff"))
    return ImageTable(np.vstack([read, aperture_zeropoint(magzp, apcor), clrcoeff]))


_NO_IMAGES = ImageTable(np.empty((len(EPOCH_ROWS), 0)))


@lru_cache
def _epoch_statement(origin: str, aperture: int) -> str:
    fields = ", ".join(f"{expression} as {name}" for name, expression in EPOCH_FIELDS.items())
    return f"select {fields} from {origin}".replace("apcorK", f"apcor{aperture}")
