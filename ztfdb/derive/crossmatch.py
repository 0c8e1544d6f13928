"""Matching the sources of images with reference catalogues.

Each image is matched in one transaction: read its sources and the catalogue's rows in the cells around them (from the
covering index), match them with two k-d trees, and write the matches in bulk.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import BoolArray, Columns, FloatArray, Progress
from ztfdb.codes import MATCH_MODES
from ztfdb.derive.astrometry import AstrometrySettings, check_astrometry
from ztfdb.derive.silent import warn_of_silent
from ztfdb.errors import CatalogueFileError
from ztfdb.records import Match
from ztfdb.sky.cells import cone_ranges
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.footprint import CELL_DIVISOR
from ztfdb.sky.match import match_all, match_mutual, match_nearest
from ztfdb.sky.motion import julian_year, move
from ztfdb.store.catalogue_rows import positions_in_ranges
from ztfdb.store.catalogues import LIGHT_CURVES, CatalogueInfo, get_catalogue, held_catalogues, set_match
from ztfdb.store.engine import writing
from ztfdb.store.image_cells import images_on_cells
from ztfdb.store.image_choice import chosen_images, image_mjd
from ztfdb.store.images import hold_image
from ztfdb.store.matches import (
    Astrometry,
    MatchTable,
    count_matches,
    delete_matches,
    sources_to_match,
    store_matches,
    unmatched_images,
)

if TYPE_CHECKING:
    import pandas as pd

MAX_RADIUS = 60.0
"""arcsec; matches at larger separations are meaningless."""

_MATCHERS = {"nearest": match_nearest, "mutual": match_mutual, "all": match_all}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ImageMatched:
    """Result of matching one image with one catalogue.

    Attributes
    ----------
    image_id : int
    catalogue : str
    n_source, n_reference : int
        Sources of the image, and rows of the catalogue around them.
    n_matched, n_match : int
        Sources with a match, and matches.
    astrometry : Astrometry
    seconds : float
    """

    image_id: int
    catalogue: str
    n_source: int
    n_reference: int
    n_matched: int
    n_match: int
    astrometry: Astrometry
    seconds: float


@dataclass
class CrossmatchReport:
    """Result of a cross-match.

    Attributes
    ----------
    catalogue, mode : str
    radius : float
        arcsec.
    n_skipped : int
        Selected images that were matched before.
    images : list of ImageMatched
    """

    catalogue: str
    mode: str
    radius: float
    n_skipped: int = 0
    images: list[ImageMatched] = field(default_factory=list)

    def to_pandas(self) -> pd.DataFrame:
        """One row per image that was matched."""
        import pandas as pd

        rows = [{**vars(one), **vars(one.astrometry)} for one in self.images]
        names = [*ImageMatched.__dataclass_fields__, *Astrometry.__dataclass_fields__]
        return pd.DataFrame(rows, columns=[name for name in names if name != "astrometry"])


def crossmatch(
    sessions: sessionmaker[Session],
    name: str,
    *,
    image_ids: Sequence[int] | None = None,
    region: tuple[float, float, float] | None = None,
    mode: str | None = None,
    radius: float | None = None,
    again: bool = False,
    progress: Progress | None = None,
) -> CrossmatchReport:
    """Match images that are not matched yet with a catalogue; one transaction per image.

    Parameters
    ----------
    sessions : sessionmaker
    name : str
        A stored catalogue.
    image_ids : sequence of int, optional
        These images; by default all of the archive. A `mode` or `radius` given for all is stored with the catalogue,
        and used for images ingested later.
    region : tuple of float, optional
        The images of a region instead of `image_ids`: (ra, dec, radius) in deg, deg and arcsec.
    mode : str, optional
        ``nearest`` (the nearest row to each source), ``mutual`` (if that source is also the row's nearest) or ``all``
        (every row within the radius, ranked); the catalogue's own by default.
    radius : float, optional
        arcsec, up to 60; the catalogue's own by default.
    again : bool
        Also repeat existing matches.
    progress : callable, optional

    Raises
    ------
    UnknownCatalogueError, UnknownImageError
        If one is not in the archive.
    ValueError
        If mode or radius are out of range.
    """
    with writing(sessions) as session:
        catalogue = get_catalogue(session, name)
        chosen_mode, chosen_radius = _chosen(catalogue, mode, radius)
        if region is not None:
            image_ids = images_in_region(session, *region)
        if image_ids is None:
            set_match(session, catalogue.catalogue_id, mode=chosen_mode, radius=chosen_radius)
        wanted = chosen_images(session, image_ids)
        among = None if image_ids is None else wanted
        todo = (
            wanted
            if again
            else unmatched_images(session, catalogue, mode=chosen_mode, radius=chosen_radius, among=among)
        )
    report = CrossmatchReport(name, chosen_mode, chosen_radius, n_skipped=len(wanted) - len(todo))
    for done, image_id in enumerate(todo, start=1):
        with writing(sessions) as session:
            if hold_image(session, image_id):
                report.images.append(match_image(session, image_id, catalogue, mode=chosen_mode, radius=chosen_radius))
        if progress is not None:
            progress(done, len(todo))
    warn_of_silent(sessions, todo)
    return report


def match_new_image(session: Session, image_id: int) -> list[ImageMatched]:
    """Match an image that was just stored with every stored catalogue, in the caller's transaction.

    If a catalogue that is read in place cannot be read, the image stays unmatched until the next `crossmatch`.
    """
    done = []
    for catalogue in held_catalogues(session):
        if catalogue.kind == LIGHT_CURVES:
            continue
        try:
            done.append(match_image(session, image_id, catalogue))
        except CatalogueFileError as exc:
            log.warning(
                "image not matched: a catalogue cannot be read",
                extra={"image_id": image_id, "catalogue": catalogue.name, "error": str(exc)},
            )
    return done


def match_image(
    session: Session,
    image_id: int,
    catalogue: CatalogueInfo,
    *,
    mode: str | None = None,
    radius: float | None = None,
    astrometry: AstrometrySettings | None = None,
) -> ImageMatched:
    """Match one image with a catalogue and replace its stored matches.

    Parameters
    ----------
    session : Session
        A writing session; nothing is committed.
    image_id : int
    catalogue : CatalogueInfo
    mode, radius : optional
        As in `crossmatch`; the catalogue's own by default.
    astrometry : AstrometrySettings, optional

    Raises
    ------
    UnknownImageError
        If the archive has no such image.
    """
    start = time.perf_counter()
    chosen_mode, chosen_radius = _chosen(catalogue, mode, radius)
    sources, rows, match = find_matches(session, image_id, catalogue, mode=chosen_mode, radius=chosen_radius)
    table = rank_matches(sources["source_id"], rows["reference_id"], match)
    settings = astrometry or AstrometrySettings()
    checked = _check(sources, rows, match, table.rank == 1, settings)
    store_matches(session, image_id, catalogue, table, checked, mode=chosen_mode, radius=chosen_radius)
    n_matched = int(np.count_nonzero(table.rank == 1))
    seconds = time.perf_counter() - start
    log.debug(
        "image matched",
        extra={"image_id": image_id, "catalogue": catalogue.name, "n_match": len(table), "seconds": seconds},
    )
    # `warn_of_silent` logs one line for all images without a match; a catalogue with few stars there cannot judge
    if checked.warning and n_matched and len(rows["reference_id"]) >= settings.min_star:
        log.warning(
            "astrometry of an image deserves a look",
            extra={"image_id": image_id, "catalogue": catalogue.name, **vars(checked)},
        )
    n_source, n_reference = len(sources["source_id"]), len(rows["reference_id"])
    return ImageMatched(image_id, catalogue.name, n_source, n_reference, n_matched, len(table), checked, seconds)


def find_matches(
    session: Session,
    image_id: int,
    catalogue: CatalogueInfo,
    *,
    mode: str,
    radius: float,
    sources: Columns | None = None,
) -> tuple[Columns, Columns, Match]:
    """Match one image with a catalogue without storing anything.

    Parameters
    ----------
    session : Session
    image_id : int
    catalogue : CatalogueInfo
    mode : str
    radius : float
        arcsec.
    sources : dict of ndarray, optional
        Some of the image's sources, by ascending id; by default all. A match depends on the sources within two radii.

    Returns
    -------
    sources : dict of ndarray
        Those given, or ``source_id``, ``hpx29``, ``ra``, ``dec``, and ``clean_snr`` (NaN for flagged sources), by
        ascending id.
    rows : dict of ndarray
        The catalogue's rows around them by ascending ``reference_id``; ``ra`` and ``dec`` at the image's epoch.
    match : Match
        ``index1`` refers to `sources`, ``index2`` to `rows`; ordered by source, separation and reference id.
    """
    mjd = image_mjd(session, image_id)
    epoch = None if mjd is None else julian_year(mjd)
    if sources is None:
        sources = sources_to_match(session, image_id)
    rows = rows_around(session, catalogue, sources["hpx29"], radius, epoch)
    match = _MATCHERS[mode](sources["ra"], sources["dec"], rows["ra"], rows["dec"], radius)
    if mode == "all":
        order = np.lexsort((match.index2, match.separation, match.index1))
        match = Match(match.index1[order], match.index2[order], match.separation[order])
    return sources, rows, match


def rows_around(
    session: Session, catalogue: CatalogueInfo, hpx29: NDArray[np.int64], radius: float, epoch: float | None
) -> Columns:
    """Return a catalogue's rows that may lie within `radius` of positions at an epoch, propagated to that epoch.

    Parameters
    ----------
    session : Session
    catalogue : CatalogueInfo
    hpx29 : ndarray of int64, shape (n,)
        Cells of the positions.
    radius : float
        arcsec.
    epoch : float or None
        Julian year; None keeps the catalogue's positions (a coadd has no epoch).

    Returns
    -------
    dict of ndarray
        ``reference_id``, ``ra``, ``dec``, ordered by id.
    """
    lo, hi = cover_positions(hpx29, radius + farthest_move(catalogue, epoch))
    rows = positions_in_ranges(session, catalogue, lo, hi)
    if epoch is not None and "pmra" in rows:
        ra, dec = move(rows["ra"], rows["dec"], rows["pmra"], rows["pmdec"], epoch - rows["epoch"])
        rows = {**rows, "ra": ra, "dec": dec}
    return {name: rows[name] for name in ("reference_id", "ra", "dec")}


def near_sources(
    catalogue: CatalogueInfo, mjd: float | None, hpx29: NDArray[np.int64], separation: FloatArray
) -> tuple[NDArray[np.int64], float]:
    """Return the search area for the matches of an image's sources in a catalogue, for `rows_by_id`.

    Parameters
    ----------
    catalogue : CatalogueInfo
    mjd : float or None
        Mid-exposure; None for a coadd.
    hpx29 : ndarray of int64, shape (n,)
        Cells of the sources.
    separation : ndarray of float64
        Separations of their matches, arcsec.
    """
    farthest = float(separation.max(initial=0.0)) * (1.0 + 1e-9) + 1e-6  # include rows on the rim
    return hpx29, farthest + farthest_move(catalogue, None if mjd is None else julian_year(mjd))


def rank_matches(source_id: NDArray[np.int64], reference_id: NDArray[np.int64], match: Match) -> MatchTable:
    """Return matches as rows to store, each with its rank among the matches of its source.

    Parameters
    ----------
    source_id, reference_id : ndarray of int64
        Ids of the two tables that `match` refers to, each ascending.
    match : Match
        In the order of `find_matches`.
    """
    starts = np.flatnonzero(np.diff(match.index1, prepend=-1))
    n_match = len(match.index1)
    rank = np.arange(n_match) - np.repeat(starts, np.diff(starts, append=n_match)) + 1
    return MatchTable(source_id[match.index1], rank, reference_id[match.index2], match.separation)


def images_in_region(session: Session, ra: float, dec: float, radius: float) -> list[int]:
    """Return the images that touch an order-9 cell (6.9 arcmin) of a region (deg, deg, arcsec), ascending."""
    _, lo, hi = cone_ranges(ra, dec, radius)
    cells = [np.arange(a, b + 1) for a, b in zip(lo // CELL_DIVISOR, (hi - 1) // CELL_DIVISOR, strict=True)]
    found = images_on_cells(session, np.unique(np.concatenate(cells)))
    return [int(one) for one in np.unique(found["image_id"])]


def remove_matches(
    sessions: sessionmaker[Session], name: str, *, image_ids: Sequence[int] | None = None, dry_run: bool = False
) -> int:
    """Remove the stored matches of images (by default all) with a catalogue, and return their number.

    With `dry_run` nothing is removed.
    """
    if dry_run:
        with sessions() as session:
            catalogue = get_catalogue(session, name)
            chosen = None if image_ids is None else chosen_images(session, image_ids)
            return count_matches(session, catalogue.catalogue_id, chosen)
    with writing(sessions) as session:
        catalogue = get_catalogue(session, name)
        return sum(delete_matches(session, one, catalogue.catalogue_id) for one in chosen_images(session, image_ids))


def offsets(
    ra: FloatArray, dec: FloatArray, reference_ra: FloatArray, reference_dec: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return position minus reference position towards east (times cos dec) and north, arcsec."""
    dra = np.mod(ra - reference_ra + 180.0, 360.0) - 180.0
    return dra * np.cos(np.radians(reference_dec)) * 3600.0, (dec - reference_dec) * 3600.0


def _chosen(catalogue: CatalogueInfo, mode: str | None, radius: float | None) -> tuple[str, float]:
    """Return mode and radius, by default the catalogue's own."""
    if catalogue.kind == LIGHT_CURVES:
        raise ValueError(f"{catalogue.name} holds light curves, which cannot be matched with images")
    mode = catalogue.match_mode if mode is None else mode
    radius = catalogue.match_radius if radius is None else radius
    if mode not in MATCH_MODES:
        raise ValueError(f"mode {mode!r}: expected one of {', '.join(MATCH_MODES)}")
    if not 0.0 < radius <= MAX_RADIUS:
        raise ValueError(f"radius {radius}: expected a number between 0 and {MAX_RADIUS:.0f} arcsec")
    return mode, float(radius)


def farthest_move(catalogue: CatalogueInfo, epoch: float | None) -> float:
    """Return the maximum motion of a row until the epoch, arcsec."""
    if epoch is None or catalogue.min_epoch is None or catalogue.max_epoch is None:
        return 0.0
    years = max(abs(epoch - catalogue.min_epoch), abs(epoch - catalogue.max_epoch))
    return 1.001 * years * catalogue.max_pm / 1000.0


def _check(
    sources: Columns, rows: Columns, match: Match, nearest: BoolArray, settings: AstrometrySettings
) -> Astrometry:
    i, j = match.index1[nearest], match.index2[nearest]
    east, north = offsets(sources["ra"][i], sources["dec"][i], rows["ra"][j], rows["dec"][j])
    return check_astrometry(east, north, sources["clean_snr"][i] > settings.min_snr, settings)
