"""Matches of sources with reference catalogues; all rows of an image are written and deleted together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import case, delete, func, insert, literal, select
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns, FloatArray, IntArray
from ztfdb.ids import source_id_range
from ztfdb.schema import (
    Base,
    Catalogue,
    CatalogueCell,
    CatalogueFile,
    Image,
    ImageCell,
    ImageMatch,
    SourceMatch,
)
from ztfdb.store.backends import backend
from ztfdb.store.catalogues import CatalogueInfo
from ztfdb.store.columns import python_values
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.image_files import among_rows
from ztfdb.store.select import rows

_TABLE = Base.metadata.tables["source_match"]


@dataclass(frozen=True)
class Astrometry:
    """Offsets between an image's sources and a catalogue.

    Attributes
    ----------
    n_astrometry : int
        Sources left after clipping.
    ra_offset, dec_offset : float
        Median of source minus catalogue, arcsec, along right ascension times cos dec; NaN without sources.
    ra_rms, dec_rms : float
        Scatter about the median, arcsec; NaN with fewer than two sources.
    warning : int
        0 none, 1 suspicious, 2 wrong.
    """

    n_astrometry: int
    ra_offset: float
    dec_offset: float
    ra_rms: float
    dec_rms: float
    warning: int


@dataclass(frozen=True)
class MatchTable:
    """The matches of one image with one catalogue: equal-length columns, ordered by (source_id, rank).

    Attributes
    ----------
    source_id, reference_id : ndarray of int64, shape (n_match,)
    rank : ndarray of int64, shape (n_match,)
        1 for the nearest.
    separation : ndarray of float64, shape (n_match,)
        arcsec.
    """

    source_id: IntArray
    rank: IntArray
    reference_id: IntArray
    separation: FloatArray

    def __len__(self) -> int:
        return len(self.source_id)


def store_matches(
    session: Session,
    image_id: int,
    catalogue: CatalogueInfo,
    matches: MatchTable,
    astrometry: Astrometry,
    *,
    mode: str,
    radius: float,
) -> None:
    """Replace an image's matches with a catalogue.

    Parameters
    ----------
    session : Session
    image_id : int
    catalogue : CatalogueInfo
    matches : MatchTable
        Of this image's sources only.
    astrometry : Astrometry
    mode : str
        One of `ztfdb.codes.MATCH_MODES`.
    radius : float
        arcsec.
    """
    delete_matches(session, image_id, catalogue.catalogue_id)
    n_match = len(matches)
    columns = {
        "source_id": matches.source_id,
        "catalogue_id": np.full(n_match, catalogue.catalogue_id, np.int64),
        "rank": matches.rank,
        "reference_id": matches.reference_id,
        "separation": matches.separation,
    }
    backend(session).copy_rows(_TABLE, columns)
    row = {
        "image_id": image_id,
        "catalogue_id": catalogue.catalogue_id,
        "mode": mode,
        "radius": radius,
        "last_file_id": _last_file(session, catalogue),
        "n_matched": int(np.count_nonzero(matches.rank == 1)),
        "n_match": n_match,
        **vars(astrometry),
        "matched": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
    session.execute(insert(ImageMatch), python_values(row))


def delete_matches(session: Session, image_id: int, catalogue_id: int | None = None) -> int:
    """Delete an image's matches, with one catalogue or with all, and return their number."""
    first, last = source_id_range(image_id)
    matches = delete(SourceMatch).where(SourceMatch.source_id >= first, SourceMatch.source_id < last)
    record = delete(ImageMatch).where(ImageMatch.image_id == int(image_id))
    if catalogue_id is not None:
        matches = matches.where(SourceMatch.catalogue_id == catalogue_id)
        record = record.where(ImageMatch.catalogue_id == catalogue_id)
    if not session.execute(record).rowcount:  # type: ignore[attr-defined]
        return 0
    return int(session.execute(matches).rowcount)  # type: ignore[attr-defined]


def count_matches(session: Session, catalogue_id: int, image_ids: Sequence[int] | None) -> int:
    """Return the number of matches of images, or of all images, with a catalogue."""
    statement = select(func.sum(ImageMatch.n_match)).where(ImageMatch.catalogue_id == catalogue_id)
    statement, params = among_rows(session, statement, ImageMatch.image_id, image_ids)
    return int(session.execute(statement, params).scalar_one() or 0)


def matches_of_image(session: Session, image_id: int, catalogue_id: int) -> MatchTable:
    """Return an image's stored matches with a catalogue, ordered by (source_id, rank)."""
    first, last = source_id_range(image_id)
    found = backend(session).read_columns(
        "select source_id, rank, reference_id, separation from source_match "
        "where source_id >= :first and source_id < :last and catalogue_id = :catalogue_id order by source_id, rank",
        {"first": first, "last": last, "catalogue_id": int(catalogue_id)},
        {"source_id": "i8", "rank": "i8", "reference_id": "i8", "separation": "f8"},
    )
    return MatchTable(**found)


def matches_of_sources(session: Session, source_id: IntArray, catalogue_id: int) -> MatchTable:
    """Return the stored matches of some sources with a catalogue, ordered by (source_id, rank)."""
    names = ("source_id", "catalogue_id", "rank", "reference_id", "separation")
    found = rows(session, "source_match", names, ids=source_id, key="source_id")
    own = found.pop("catalogue_id") == catalogue_id
    return MatchTable(**{name: values[own] for name, values in found.items()})


def find_image_match(session: Session, image_id: int, catalogue_id: int) -> ImageMatch | None:
    """Return the record of an image's match with a catalogue, None if it was not matched."""
    found = session.get(ImageMatch, (int(image_id), int(catalogue_id)))
    if found is not None:
        session.expunge(found)
    return found


def matched_in_vain(session: Session, image_ids: Sequence[int]) -> dict[str, list[int]]:
    """Return the images without any match, ascending, by the name of the catalogue."""
    statement = (
        select(Catalogue.name, ImageMatch.image_id)
        .join(Catalogue, Catalogue.catalogue_id == ImageMatch.catalogue_id)
        .where(ImageMatch.n_match == 0)
        .order_by(Catalogue.name, ImageMatch.image_id)
    )
    statement, params = among_rows(session, statement, ImageMatch.image_id, image_ids)
    found: dict[str, list[int]] = {}
    for name, image_id in session.execute(statement, params):
        found.setdefault(name, []).append(int(image_id))
    return found


def unmatched_images(
    session: Session, catalogue: CatalogueInfo, *, mode: str, radius: float, among: Sequence[int] | None = None
) -> list[int]:
    """Return the images whose matches are missing or out of date.

    They were never matched, or matched in another way, or the catalogue has new rows in one of their cells.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    mode : str
    radius : float
        arcsec.
    among : sequence of int, optional
        Only these images.

    Returns
    -------
    list of int
        Ascending ids.
    """
    imported = literal(_last_file(session, catalogue))
    newest = (
        select(func.max(CatalogueCell.last_file_id))
        .join(ImageCell, ImageCell.cell9 == CatalogueCell.cell9)
        .where(ImageCell.image_id == Image.image_id, CatalogueCell.catalogue_id == catalogue.catalogue_id)
        .scalar_subquery()
    )
    if catalogue.location is not None:  # changes of a catalogue read in place are not known by cell
        newest = select(imported).scalar_subquery()
    last = case((ImageMatch.last_file_id < imported, newest))  # cells are searched only after an import
    own = (ImageMatch.image_id == Image.image_id) & (ImageMatch.catalogue_id == catalogue.catalogue_id)
    statement = (
        select(Image.image_id, ImageMatch.mode, ImageMatch.radius, ImageMatch.last_file_id, last)
        .outerjoin(ImageMatch, own)
        .order_by(Image.image_id)
    )
    statement, params = among_rows(session, statement, Image.image_id, among)
    return [
        image_id
        for image_id, was_mode, was_radius, seen, last in session.execute(statement, params)
        if was_mode != mode or was_radius != float(radius) or seen < (last or 0)
    ]


def sources_to_match(session: Session, image_id: int) -> Columns:
    """Return the columns of an image's sources that a match needs, ordered by ``source_id``.

    Returns
    -------
    dict of ndarray
        ``source_id``, ``hpx29``, ``ra``, ``dec``, and ``clean_snr``, the flux of the 6 px aperture over its error, NaN
        for flagged sources.
    """
    names = ("source_id", "hpx29", "ra", "dec", "flags", "flux_aper4", "flux_aper4_err")
    found = rows_of_image(session, OURS, image_id, names)
    flags, flux, error = found.pop("flags"), *(found.pop(one).astype(np.float64) for one in names[-2:])
    clean = (flags == 0) & (error != 0.0)
    return found | {"clean_snr": np.divide(flux, error, out=np.full(len(flux), np.nan), where=clean)}


def _last_file(session: Session, catalogue: CatalogueInfo) -> int:
    statement = select(func.max(CatalogueFile.catalogue_file_id)).where(
        CatalogueFile.catalogue_id == catalogue.catalogue_id
    )
    return session.execute(statement).scalar_one() or 0
