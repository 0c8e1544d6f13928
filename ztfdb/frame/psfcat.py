"""ZTF's own PSF catalogues, ``psfcat.fits`` and ``refpsfcat.fits``, read without trusting the file.

FITS counts pixels from 1, the records from 0. Values are kept as in ZTF's file; this module does not calibrate.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from ztfdb.arrays import Columns, FloatArray
from ztfdb.errors import ImageError, PsfCatalogueError
from ztfdb.frame.cards import card_value, integer, number, text
from ztfdb.frame.filename import SUFFIXES, ZtfName, parse_name
from ztfdb.frame.fitsfile import FitsTable, RawFile, find_table, read_bytes
from ztfdb.frame.header import MAGZP_RANGE, header_cards
from ztfdb.frame.identity import REFERENCE_SHAPE, Exposure, Place, Window, image_id, read_exposure, read_place
from ztfdb.records import FileFacts, PsfCatalogueRecord, PsfTable
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.projection import sky_to_pixel
from ztfdb.wcs import WcsParameters

MAX_ROWS = 1 << 18
"""Maximum rows of a catalogue: the numbers that fit below the image's id in ``source_id``."""

MAX_WIDTH = 4096
"""Maximum bytes of a row; ZTF's have 58."""

COLUMNS = {
    "sourceid": ">i4", "xpos": ">f4", "ypos": ">f4", "ra": ">f8", "dec": ">f8", "flux": ">f4", "sigflux": ">f4",
    "mag": ">f4", "sigmag": ">f4", "snr": ">f4", "chi": ">f4", "sharp": ">f4", "flags": ">i2",
}  # fmt: skip
"""The columns of both catalogues, and their types."""

PRODUCTS = {"sciimg": "psfcat", "refimg": "refpsfcat"}
"""The catalogue's word in file names, by the image's."""

LARGEST_MISS = 5.0
"""Maximum median difference between the catalogue's positions and the image's WCS, pixels."""

MAGZP_TOLERANCE = 0.001
"""If the zero points of a catalogue and its image differ by more, they are from two processings, mag."""

MJD_TOLERANCE = 1e-6
SAMPLE = 200
"""Rows whose positions are compared with the WCS."""

_SIZES = {"L": 1, "B": 1, "I": 2, "J": 4, "K": 8, "A": 1, "E": 4, "D": 8, "C": 8, "M": 16, "P": 8, "Q": 16}
_CODES = {"J": ">i4", "E": ">f4", "D": ">f8", "I": ">i2"}


def psfcat_path_for(path: str | Path) -> Path | None:
    """Return the PSF catalogue beside an image, plain or ``.gz``; None if there is none.

    ``sciimg`` in the image's name becomes ``psfcat``, and ``refimg`` becomes ``refpsfcat``.
    """
    image = Path(path)
    candidates = (image.with_name(name) for name in psfcat_names_for(image.name))
    return next((catalogue for catalogue in candidates if catalogue.is_file()), None)


def psfcat_names_for(name: str) -> list[str]:
    """Return the possible names of an image's PSF catalogue, the preferred first; empty for other names."""
    names: list[str] = []
    for product, catalogue in PRODUCTS.items():
        stem, marker, ending = name.rpartition(product)
        if marker:
            names += (f"{stem}{catalogue}{one}" for one in dict.fromkeys((ending, *SUFFIXES)))
    return names


def image_path_for(path: str | Path) -> Path | None:
    """Return the image beside a PSF catalogue, None if there is none."""
    catalogue = Path(path)
    for product, name in sorted(PRODUCTS.items(), key=lambda item: -len(item[1])):
        stem, marker, ending = catalogue.name.rpartition(name)
        if not marker:
            continue
        for candidate in dict.fromkeys((ending, *SUFFIXES)):
            if (found := catalogue.with_name(f"{stem}{product}{candidate}")).is_file():
                return found
        return None
    return None


def is_psfcat_name(path: str | Path) -> bool:
    """Return whether a file name is that of a PSF catalogue."""
    name = parse_name(path)
    return name is not None and name.product in PRODUCTS.values()


def read_psfcat(path: str | Path) -> PsfCatalogueRecord:
    """Read a ``psfcat`` or ``refpsfcat``, plain or gzipped.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    PsfCatalogueRecord
        Rows in the file's order. Non-finite numbers are kept, and stored as NULL.

    Raises
    ------
    PsfCatalogueError
        If the file is truncated, damaged, or not such a table: other columns or types, impossible positions, numbers
        that occur twice or do not fit into 18 bits, a number of rows other than NSOURCES, or no identity (no field,
        quadrant or filter, or no time).
    ImageReadError
        If it is missing or unreadable.
    """
    raw = read_bytes(path)
    try:
        found = find_table(raw, max_rows=MAX_ROWS, max_width=MAX_WIDTH)
        table = _table(found, raw.path)
        counted = integer(found.primary, "NSOURCES")
        if counted is not None and counted != len(table):
            raise PsfCatalogueError(path, f"NSOURCES is {counted}, the table has {len(table)} rows")
        return _record(found, raw, table)
    except PsfCatalogueError:
        raise
    except ImageError as exc:
        raise PsfCatalogueError(path, exc.reason) from exc


def reference_image_id(record: PsfCatalogueRecord) -> int:
    """Return the id of the whole reference image of a ``refpsfcat``, stored or not."""
    ny, nx = REFERENCE_SHAPE
    place = Place(record.field, record.rcid, record.fid)
    nothing = Exposure(None, None, None, None)
    return image_id(place, nothing, Window(0, 0, nx, ny, True), reference=True, simulated=record.simulated)


def of_image(record: PsfCatalogueRecord, image: Any, wcs: WcsParameters) -> PsfCatalogueRecord:
    """Return a catalogue for an image: for a cutout, the rows inside it in its own pixels.

    Parameters
    ----------
    record : PsfCatalogueRecord
        As read.
    image : ImageInfo, or a row of ``image``
        Its identity, window and zero point are used.
    wcs : WcsParameters
        WCS of the image.

    Raises
    ------
    PsfCatalogueError
        If it belongs to another exposure, quadrant, filter or processing, or its positions contradict the WCS.
    """
    _check_belongs(record, image)
    table = record.table
    if image.kind == "cutout" or (image.kind == "ref" and (image.ny, image.nx) != REFERENCE_SHAPE):
        x, y = table.x - image.x0, table.y - image.y0
        inside = (x >= -0.5) & (x < image.nx - 0.5) & (y >= -0.5) & (y < image.ny - 0.5)
        kept = {name: values[inside] for name, values in vars(replace(table, x=x, y=y)).items()}
        table = PsfTable(**kept)
    _check_positions(record.file.path, table, wcs)
    return replace(record, table=table)


def _record(found: FitsTable, raw: RawFile, table: PsfTable) -> PsfCatalogueRecord:
    header, path = found.primary, raw.path
    # INPUTIMG is the name of the measured image; unlike the file name, users do not change it
    own = text(header, "INPUTIMG")
    name = _known_name(own) or parse_name(path)
    place = read_place(header, name, path)
    reference = _is_reference(header, name)
    exposure = Exposure(None, None, None, None)
    if not reference and number(header, "OBSMJD", "OBSJD") is not None:
        exposure = read_exposure(header, name, place.rcid, path)
    expid = exposure.expid or integer(header, "EXPID", "DBEXPID")
    filefracday = exposure.filefracday or (None if name is None else name.filefracday)
    if not reference and expid is None and exposure.obsmjd is None and filefracday is None:
        raise PsfCatalogueError(path, "no EXPID, no OBSMJD and no ZTF file name that tell its exposure")
    magzp = number(header, "MAGZP")
    if magzp is not None and not MAGZP_RANGE[0] <= magzp <= MAGZP_RANGE[1]:
        raise PsfCatalogueError(path, f"the zero point MAGZP is {magzp}")
    day, moment = text(header, "RUNDATE"), text(header, "RUNTIME")
    return PsfCatalogueRecord(
        role="refpsfcat" if reference else "psfcat",
        field=place.field,
        ccdid=place.ccdid,
        qid=place.qid,
        rcid=place.rcid,
        fid=place.fid,
        filtercode=place.filtercode,
        simulated=card_value(header, "SIMULATE") is True,
        expid=None if reference else expid,
        obsmjd=exposure.obsmjd,
        filefracday=None if reference else filefracday,
        rfid=integer(header, "RFID"),
        magzp=magzp,
        magzpunc=number(header, "MAGZPUNC"),
        magzprms=number(header, "MAGZPRMS"),
        nmatches=_small(integer(header, "NMATCHES")),
        clrcoeff=number(header, "CLRCOEFF"),
        clrcounc=number(header, "CLRCOUNC"),
        pcolor=text(header, "PCOLOR"),
        infobits=integer(header, "INFOBITS"),
        psfrunsw=text(header, "PSFRUNSW"),
        psfrunvn=text(header, "PSFRUNVN"),
        rundate="T".join(part for part in (day, moment) if part) or None,
        inputimg=own,
        inputpsf=text(header, "INPUTPSF"),
        cards=header_cards(header),
        file=_facts("refpsfcat" if reference else "psfcat", found, raw),
        table=table,
    )


def _is_reference(header: fits.Header, name: ZtfName | None) -> bool:
    if integer(header, "EXPID", "DBEXPID", "DBPID") is not None or number(header, "OBSMJD", "OBSJD") is not None:
        return False
    named = name is not None and name.filefracday is None
    return named or integer(header, "RFID") is not None


def _known_name(name: str | None) -> ZtfName | None:
    return None if name is None else parse_name(name)


def _small(value: int | None) -> int | None:
    return value if value is not None and abs(value) < 1 << 31 else None


def _facts(role: str, found: FitsTable, raw: RawFile) -> FileFacts:
    return FileFacts(
        role=role,
        path=raw.path,
        size=len(raw.content),
        mtime_ns=raw.mtime_ns,
        sha256=hashlib.sha256(raw.content).hexdigest(),
        hdu=found.hdu,
        byte_offset=found.byte_offset,
        bitpix=8,
        bscale=1.0,
        bzero=0.0,
        compression=found.compression,
    )


def _table(found: FitsTable, path: str) -> PsfTable:
    rows = np.frombuffer(found.content, _row_dtype(found, path), count=found.n_row)
    native = {
        name: np.ascontiguousarray(rows[name], np.dtype(kind).newbyteorder("=")) for name, kind in COLUMNS.items()
    }
    _check_rows(native, path)
    return PsfTable(
        sourceid=native["sourceid"].astype(np.int64),
        hpx29=sky_to_cell(native["ra"], native["dec"]),
        ra=native["ra"],
        dec=native["dec"],
        x=native["xpos"].astype(np.float64) - 1.0,
        y=native["ypos"].astype(np.float64) - 1.0,
        flux=native["flux"],
        flux_err=native["sigflux"],
        mag_inst=native["mag"],
        sigmag=native["sigmag"],
        snr=native["snr"],
        chi=native["chi"],
        sharp=native["sharp"],
        flags=native["flags"],
    )


def _row_dtype(found: FitsTable, path: str) -> np.dtype[Any]:
    """Return the dtype of a row with the required columns only; refuse a table without all of them."""
    header, offset = found.header, 0
    offsets: dict[str, int] = {}
    n_field = integer(header, "TFIELDS") or 0
    if not 0 < n_field <= 999:
        raise PsfCatalogueError(path, f"a table of {n_field} columns, not {', '.join(COLUMNS)}")
    for k in range(1, n_field + 1):
        name, form = (text(header, f"{key}{k}") or "" for key in ("TTYPE", "TFORM"))
        match = re.match(r"(\d{0,6})([LXBIJKAEDCMPQ])", form)
        if match is None:
            raise PsfCatalogueError(path, f"column {name or k} is of an unknown format, {form!r}")
        repeat, code = int(match[1] or 1), match[2]
        wanted = COLUMNS.get(name.lower())
        if wanted is not None:
            scaled = number(header, f"TSCAL{k}") not in (None, 1.0) or number(header, f"TZERO{k}") not in (None, 0.0)
            if repeat != 1 or _CODES.get(code) != wanted or scaled:
                raise PsfCatalogueError(path, f"column {name} is of format {form}{' scaled' if scaled else ''}")
            offsets.setdefault(name.lower(), offset)
        offset += -(-repeat // 8) if code == "X" else repeat * _SIZES[code]
    missing = [name for name in COLUMNS if name not in offsets]
    if missing:
        raise PsfCatalogueError(path, f"not a PSF catalogue: no column {', '.join(missing)}")
    if offset != found.width:
        raise PsfCatalogueError(path, f"the columns take {offset} bytes, a row has {found.width}")
    return np.dtype(
        {
            "names": list(COLUMNS),
            "formats": list(COLUMNS.values()),
            "offsets": [offsets[name] for name in COLUMNS],
            "itemsize": found.width,
        }
    )


def _check_rows(columns: Columns, path: str) -> None:
    number_of = columns["sourceid"]
    for name, low, high in (
        ("ra", 0.0, np.nextafter(360.0, 0.0)), ("dec", -90.0, 90.0), ("xpos", -1e5, 1e5), ("ypos", -1e5, 1e5),
        ("sourceid", 0, MAX_ROWS - 1),
    ):  # fmt: skip
        wrong = np.flatnonzero(~((columns[name] >= low) & (columns[name] <= high)))
        if len(wrong):
            raise PsfCatalogueError(path, f"{name} is {columns[name][wrong[0]]} in row {wrong[0]}")
    if not (np.diff(np.sort(number_of)) > 0).all():
        raise PsfCatalogueError(path, "a sourceid occurs twice")


def _check_belongs(record: PsfCatalogueRecord, image: Any) -> None:
    path = record.file.path
    if (record.role == "refpsfcat") != (image.kind == "ref"):
        raise PsfCatalogueError(path, f"a {record.role} does not belong to a {image.kind} image")
    for name in ("simulated", "field", "rcid", "fid", "expid"):
        ours, theirs = getattr(image, name), getattr(record, name)
        if None not in (ours, theirs) and ours != theirs:
            raise PsfCatalogueError(path, f"{name} of the catalogue is {theirs}, of the image {ours}")
    if None not in (record.obsmjd, image.obsmjd) and not math.isclose(
        record.obsmjd or 0.0, image.obsmjd, rel_tol=0.0, abs_tol=MJD_TOLERANCE
    ):
        raise PsfCatalogueError(path, f"OBSMJD of the catalogue is {record.obsmjd}, of the image {image.obsmjd}")
    known = record.expid is None and None not in (record.filefracday, image.filefracday)
    if known and record.filefracday != image.filefracday:
        raise PsfCatalogueError(path, f"the catalogue is of {record.filefracday}, the image of {image.filefracday}")
    if record.magzp is not None and abs(record.magzp - image.magzp) > MAGZP_TOLERANCE:
        raise PsfCatalogueError(
            path, f"MAGZP of the catalogue is {record.magzp}, of the image {image.magzp}: another processing"
        )


def _check_positions(path: str, table: PsfTable, wcs: WcsParameters) -> None:
    if not len(table):
        return
    some = np.unique(np.linspace(0, len(table) - 1, SAMPLE).astype(np.int64))
    x, y = sky_to_pixel(wcs, table.ra[some], table.dec[some])
    miss: FloatArray = np.hypot(x - table.x[some], y - table.y[some])
    median = float(np.median(np.where(np.isfinite(miss), miss, np.inf)))
    if median > LARGEST_MISS:
        raise PsfCatalogueError(
            path, f"its positions lie {median:.3g} pixels (median) from where the image's WCS puts them"
        )
