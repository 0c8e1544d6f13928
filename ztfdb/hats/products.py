"""The products of an export, each a HATS catalogue: definition of its rows, and reading them from the archive."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

import numpy as np
import pyarrow as pa

from ztfdb.arrays import Columns, IntArray
from ztfdb.bits import APERTURE_BROKEN
from ztfdb.codes import ForcedMethod
from ztfdb.hats.contents import Contents, blend, counted, is_new, merged, mix
from ztfdb.hats.context import IMAGE_FIELDS, Context, aperture_photometry, calibrated, image_columns, quality
from ztfdb.hats.fields import HEALPIX_COLUMN, arrow_table, arrow_type, field, take
from ztfdb.hats.rounding import NOTES, rounded
from ztfdb.hats.tiling import Pixel
from ztfdb.phot.magnitudes import total_mag_err
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store import export as store
from ztfdb.store.backends import AnySession
from ztfdb.store.columns import MISSING, MISSING_INT32, NO_MASK, stand_ins, table_dtypes

CALIBRATED = {"mag": "f4", "magerr": "f4", "flux_ujy": "f4", "flux_ujy_err": "f4"}
QUALITY = {"catflags": "i4", "good": "b1", "simulated": "b1"}
NULLS = {"expid": MISSING, "object_id": MISSING, "mask_bits": NO_MASK, "catflags": MISSING_INT32}


class Product(ABC):
    """One product.

    Attributes
    ----------
    name : str
        Name of the collection.
    description : str
        Description of a row.
    kind : str
        HATS's ``dataproduct_type``.
    default : tuple of str
        Columns that readers get by default. One is text: pandas refuses rows of frames that have only large integers
        and doubles.
    id_column : str
        The unique key.
    order : tuple of str
        Columns that rows are sorted by.
    grows : bool
        Whether later images only add rows.
    stamped : bool
        Whether rows change with the archive's stamp alone; see `ztfdb.store.export.stamp`.
    """

    name: ClassVar[str]
    description: ClassVar[str]
    kind: ClassVar[str] = "source"
    default: ClassVar[tuple[str, ...]]
    id_column: ClassVar[str] = "source_id"
    order: ClassVar[tuple[str, ...]] = (HEALPIX_COLUMN, "source_id")
    grows: ClassVar[bool] = False
    stamped: ClassVar[bool] = True

    @abstractmethod
    def schema(self) -> pa.Schema:
        """Return the fields of a row, with their metadata."""

    @abstractmethod
    def slices(self, session: AnySession) -> Iterable[tuple[int, int]]:
        """Return disjoint ranges of ``hpx29`` with all rows, each of whole order-10 cells."""

    @abstractmethod
    def count(self, session: AnySession, context: Context, lo: int, hi: int, known: IntArray | None = None) -> Contents:
        """Return number and digest of the rows of each cell in a slice; rows of parts outside `known` are new."""

    def whole(self, contents: Contents, detections: Callable[[], Contents]) -> Contents:
        """Return the contents of the product from those of all its slices, and if needed from those of detections."""
        return contents

    @abstractmethod
    def rows(self, session: AnySession, context: Context, pixel: Pixel, only: IntArray | None = None) -> pa.Table:
        """Return the rows of a partition, ordered by cell and key; if the product grows, optionally of some parts."""


class _Measured(Product):
    """Rows of one table, with columns of their images."""

    where: ClassVar[store.Positions]
    extra: ClassVar[Mapping[str, str]] = {}
    grows = True

    def schema(self) -> pa.Schema:
        """Return the columns of the table, of the image, and the calibrated values."""
        table = self.where.table
        own = {name: dtype for name, dtype in table_dtypes(table).items() if name != "hpx29"}
        fields = [field(table, "hpx29", pa.int64(), name=HEALPIX_COLUMN)]
        fields += [field(table, name, arrow_type(dtype)) for name, dtype in own.items()]
        more = {**IMAGE_FIELDS, **self.extra}
        fields += [field("light_curve", name, arrow_type(dtype), note=NOTES.get(name)) for name, dtype in more.items()]
        return pa.schema(fields)

    def slices(self, session: AnySession) -> Iterable[tuple[int, int]]:
        """Divide the sky by the number of rows."""
        return store.slices(session, {self.where.table: "hpx29"})

    def count(self, session: AnySession, context: Context, lo: int, hi: int, known: IntArray | None = None) -> Contents:
        """Count the rows of each image in each cell."""
        return self.count_rows(session, context, lo, hi, known)

    def count_rows(
        self, session: AnySession, context: Context, lo: int, hi: int, known: IntArray | None = None
    ) -> Contents:
        """Count the rows of each image in each cell."""
        counts = store.cell_counts(session, self.where, lo, hi)
        part = counts["part"]
        digest = mix(part, context.prints.of(self._image_of(part)), counts["n"])
        return counted(counts["cell"], counts["n"], digest, is_new(part, known), part)

    def _image_of(self, part: IntArray) -> IntArray:
        return part

    def rows(self, session: AnySession, context: Context, pixel: Pixel, only: IntArray | None = None) -> pa.Table:
        """Read the rows, add columns of their images, and sort them."""
        joins = self._joins(context)
        found = store.rows_in_range(session, self.where, pixel.lo, pixel.hi, only=only, objects=joins)
        found[HEALPIX_COLUMN] = found.pop("hpx29")
        found = take(found, np.lexsort([found[name] for name in reversed(self.order)]))
        at = context.places(found["image_id"])
        found |= image_columns(context, at, found["ra"], found["dec"])
        found |= self._derived(context, at, found)
        return arrow_table(found, self.schema(), NULLS)

    def _joins(self, context: Context) -> bool:
        return False

    @abstractmethod
    def _derived(self, context: Context, at: IntArray, rows: Columns) -> Columns:
        """Return the columns of `extra`."""


class Detections(_Measured):
    """Every row of ``source``."""

    name = "detections"
    description = "Detections on ZTF images, one row each"
    where = store.SOURCES
    default = (HEALPIX_COLUMN, "source_id", "ra", "dec", "mjd", "filtercode", "mag", "magerr", "catflags", "good")
    extra = CALIBRATED | QUALITY | {"object_id": "i8"}

    def count(self, session: AnySession, context: Context, lo: int, hi: int, known: IntArray | None = None) -> Contents:
        """Count the rows of each image in each cell; the digest includes their objects."""
        rows = self.count_rows(session, context, lo, hi, known)
        if not context.has_objects:
            return rows
        counts = store.member_counts(session, lo, hi, int(rows.weight.sum()), by_part=known is not None)
        digest = blend(counts["n"], counts["sum0"], counts["sum1"])
        members = counted(counts["cell"], np.zeros_like(counts["n"]), digest, is_new(counts["part"], known))
        return merged([rows, replace(members, n_member=counts["n"])])

    def _joins(self, context: Context) -> bool:
        return context.has_objects

    def _derived(self, context: Context, at: IntArray, rows: Columns) -> Columns:
        derived: Columns = {**rounded(aperture_photometry(context, at, rows))}
        derived |= quality(context, at, rows["mask_bits"], rows["flags"] & int(APERTURE_BROKEN) != 0)
        if not context.has_objects:
            derived["object_id"] = np.full(len(at), MISSING)
        return derived


class PsfSources(_Measured):
    """Every row of the stored PSF catalogues, including references."""

    name = "psf_sources"
    description = "Rows of ZTF's own PSF catalogues (psfcat, refpsfcat)"
    where = store.PSF_SOURCES
    default = (HEALPIX_COLUMN, "source_id", "ra", "dec", "mjd", "filtercode", "mag", "magerr", "catflags", "good")
    extra = CALIBRATED | QUALITY

    def _derived(self, context: Context, at: IntArray, rows: Columns) -> Columns:
        zero = context.images["magzp"][at]
        values = calibrated(rows["flux"], rows["flux_err"], zero, context.magerr_sys)
        values["mag"] = zero + rows["mag_inst"].astype(np.float64)
        magerr = total_mag_err(rows["sigmag"], context.magerr_sys)
        values["magerr"] = np.where(np.isnan(values["mag"]), np.nan, magerr)
        bits = rows["flags"].astype(np.int64) & 0xFFFF
        return {**rounded(values)} | quality(context, at, bits, np.zeros(len(at), bool))


class Forced(_Measured):
    """Every stored forced measurement. No magnitudes, because most measure undetected sources."""

    name = "forced"
    description = "Forced measurements at given positions"
    where = store.FORCED
    stamped = False
    id_column = HEALPIX_COLUMN
    order = (HEALPIX_COLUMN, "image_id", "method", "config_id")
    default = (HEALPIX_COLUMN, "image_id", "ra", "dec", "mjd", "filtercode", "flux_ujy", "flux_ujy_err", "good")
    extra: ClassVar[Mapping[str, str]] = {"flux_ujy": "f4", "flux_ujy_err": "f4", **QUALITY}

    def _image_of(self, part: IntArray) -> IntArray:
        return part >> 3

    def _derived(self, context: Context, at: IntArray, rows: Columns) -> Columns:
        fitted = rows["method"] == int(ForcedMethod.PSF)
        aperture = aperture_photometry(context, at, rows)
        zero = context.images["magzp"][at]
        star = calibrated(rows["flux_psf"], rows["flux_psf_err"], zero, context.magerr_sys)
        values = {name: np.where(fitted, star[name], aperture[name]) for name in ("flux_ujy", "flux_ujy_err")}
        broken = rows["flags"] & int(APERTURE_BROKEN) != 0
        return {**rounded(values)} | quality(context, at, rows["mask_bits"].astype(np.int64), broken)


class Images(Product):
    """Every image, at its centre."""

    name = "images"
    stamped = False
    description = "ZTF images, at their centres"
    kind = "object"
    id_column = "image_id"
    order = (HEALPIX_COLUMN, "image_id")
    default = (HEALPIX_COLUMN, "image_id", "ra", "dec", "obsmjd", "filtercode", "field", "maglim", "n_source", "path")

    def schema(self) -> pa.Schema:
        """Return the columns of ``image``, and those that name its file and configuration."""
        fields = [field("source", "hpx29", pa.int64(), name=HEALPIX_COLUMN)]
        for name, dtype in store.image_columns().items():
            kind = pa.bool_() if name in ("simulated", "has_mask") else pa.string()
            fields.append(field("image", name, kind if dtype is None else arrow_type(dtype)))
        fields += [field(None, name, pa.string()) for name in ("config_hash", "data_root", "path", "sha256")]
        return pa.schema(fields)

    def slices(self, session: AnySession) -> Iterable[tuple[int, int]]:
        """Return the whole sky."""
        return [(0, store.N_CELL)]

    def count(self, session: AnySession, context: Context, lo: int, hi: int, known: IntArray | None = None) -> Contents:
        """Count the images."""
        image_id, cell = context.images["image_id"][:-1], self._cells(context)
        files = (context.images[name][:-1].tolist() for name in ("data_root", "path"))
        files_prints = np.array([store.fact_print([*one]) for one in zip(*files, strict=True)], np.uint64)
        digest = mix(image_id, context.prints.of(image_id), files_prints.view(np.int64))
        return counted(cell >> store.CELL_SHIFT, np.ones(len(cell), np.int64), digest, is_new(image_id, known))

    def rows(self, session: AnySession, context: Context, pixel: Pixel, only: IntArray | None = None) -> pa.Table:
        """Return the images whose centre lies in a partition."""
        cell = self._cells(context)
        inside = np.flatnonzero((cell >= pixel.lo) & (cell < pixel.hi))
        inside = inside[np.lexsort((context.images["image_id"][inside], cell[inside]))]
        found: Columns = take(context.images, inside) | {HEALPIX_COLUMN: cell[inside]}
        dtypes = {name: values.dtype for name, values in found.items() if name != HEALPIX_COLUMN}
        return arrow_table(found, self.schema(), stand_ins(dtypes))

    def _cells(self, context: Context) -> IntArray:
        """Return the cells of the centres; images have none in the archive."""
        return sky_to_cell(context.images["ra"][:-1], context.images["dec"][:-1])
