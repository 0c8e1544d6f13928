"""ZTF's PSF catalogues of images that are held already, and of references that are not.

A catalogue is read in the calling process: that takes some hundredths of a second, and nothing is measured.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Places
from ztfdb.derive.psf_checks import check_held_image
from ztfdb.errors import (
    DatabaseUnavailableError,
    ImageError,
    OlderVersionError,
    PsfCatalogueError,
    StoreError,
    UnknownImageError,
    ZtfdbError,
)
from ztfdb.frame.psfcat import of_image, read_psfcat, reference_image_id
from ztfdb.ingest.already_stored import find_stored_psf, follow_files, is_gone
from ztfdb.ingest.discover import FoundImage, discover_psfcats
from ztfdb.ingest.report import (
    ImageOutcome,
    IngestProgress,
    IngestReport,
    IngestStep,
    Outcome,
    log_outcome,
    refused,
    report,
)
from ztfdb.records import MeasuredImage, PsfCatalogueRecord
from ztfdb.store.backends import backend
from ztfdb.store.engine import writing
from ztfdb.store.image_files import Stored, StoredFile, stored_as
from ztfdb.store.psf_catalogues import (
    find_psf,
    images_of_psf,
    move_psf,
    psf_catalogue,
    store_psf,
)
from ztfdb.store.roots import find_places, place_file, read_roots
from ztfdb.texts import one_line
from ztfdb.wcs import WcsParameters


def ingest_psfcats(
    sessions: sessionmaker[Session],
    paths: str | Path | Iterable[str | Path],
    *,
    force: bool = False,
    progress: IngestProgress | None = None,
    places: Places = None,
) -> IngestReport:
    """Store PSF catalogues, one transaction each; the images they are of are not measured again.

    Parameters
    ----------
    sessions : sessionmaker
    paths : str, Path or iterable of them
        Files (of any name), folders and globs.
    force : bool
        Store again what has not changed.
    progress : IngestProgress, optional
        Called for every file.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.

    Returns
    -------
    IngestReport
        One outcome per file, with ``n_psf``. A catalogue goes to every image of its exposure and quadrant: the whole
        one and cutouts. A ``refpsfcat`` is stored also where its reference image is not held, under that image's id.

    Raises
    ------
    DatabaseUnavailableError
        If the database goes away; what was stored before is stored whole.
    """
    started = time.perf_counter()
    found = discover_psfcats(paths)
    outcomes: list[ImageOutcome] = []
    if progress is not None:
        progress(IngestStep(0, len(found), None))
    for one in found:
        if isinstance(one, ImageError):
            outcome = refused(one.path, one, 0.0)
        else:
            outcome = _outcome(sessions, *one, force=force, places=places)
        outcomes.append(outcome)
        log_outcome(outcome)
        if progress is not None:
            progress(IngestStep(len(outcomes), len(found), outcome))
    order = {one.path: k for k, one in enumerate(outcomes)}
    return report(outcomes, order, time.perf_counter() - started)


def take_late(
    sessions: sessionmaker[Session],
    image_id: int,
    path: str,
    *,
    given: str | None = None,
    force: bool = False,
    places: Places = None,
) -> tuple[int | None, str]:
    """Store the catalogue that lies beside a held image, if it is new or has changed.

    Returns
    -------
    n_psf : int or None
        Rows written.
    reason : str
        Why it was refused; empty otherwise.
    """
    try:
        return _take(sessions, path, image_id=image_id, given=given, force=force, places=places)[2], ""
    except DatabaseUnavailableError:
        raise
    except ZtfdbError as exc:
        return None, psfcat_reason(exc)


def outcome_of_stored(
    sessions: sessionmaker[Session],
    image: FoundImage,
    known: tuple[int, Stored],
    *,
    places: Places = None,
    started: float = 0.0,
    finish_job: Callable[[Session], bool] | None = None,
) -> ImageOutcome | None:
    """Return the outcome of an image that is stored already, after following its files and taking its PSF catalogue.

    Parameters
    ----------
    sessions : sessionmaker
    image : FoundImage
    known : tuple of int and Stored
        What `ztfdb.ingest.already_stored.find_stored` found.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    started : float
        The `time.perf_counter` from which its seconds count; 0 for none.
    finish_job : callable, optional
        Marks the image's job as done; False where the job is no longer ours.

    Returns
    -------
    ImageOutcome or None
        None where the job is no longer ours.
    """
    image_id, how = known
    if how is Stored.MOVED or finish_job is not None:
        with writing(sessions) as session:
            if how is Stored.MOVED:
                follow_files(session, image_id, image, places=places)
            ours = finish_job is None or finish_job(session)
        if not ours:
            return None
    n_psf, reason = None, ""
    if image.psfcat is not None and how is not Stored.KNOWN_COPY:
        n_psf, reason = take_late(sessions, image_id, image.psfcat, given=image.folder, places=places)
    seconds = time.perf_counter() - started if started else 0.0
    return ImageOutcome(image.path, Outcome(how.value), image_id, seconds=seconds, n_psf=n_psf, psfcat_reason=reason)


def psf_part(measured: MeasuredImage, *, written: bool) -> tuple[int | None, str]:
    """Return how many rows of an image's PSF catalogue were stored with it, and why it was refused."""
    psfcat = measured.psfcat
    if isinstance(psfcat, ImageError):
        return None, psfcat_reason(psfcat)
    return (None if psfcat is None or not written else len(psfcat.table)), ""


def psfcat_reason(exc: ZtfdbError) -> str:
    """Return in one line why a catalogue was refused."""
    return one_line(exc)


def _outcome(
    sessions: sessionmaker[Session], path: str, given: str | None, *, force: bool, places: Places
) -> ImageOutcome:
    started = time.perf_counter()
    try:
        how, image_id, n_psf = _take(sessions, path, image_id=None, given=given, force=force, places=places)
    except DatabaseUnavailableError:
        raise
    except ZtfdbError as exc:
        return refused(path, exc, time.perf_counter() - started)
    return ImageOutcome(path, Outcome(how.value), image_id, seconds=time.perf_counter() - started, n_psf=n_psf)


def _take(
    sessions: sessionmaker[Session], path: str, *, image_id: int | None, given: str | None, force: bool, places: Places
) -> tuple[Stored, int, int | None]:
    """Store one catalogue; return what that came to, the (first) image and how many rows were written."""
    if not force:
        with sessions() as session:
            known = find_stored_psf(session, path, image_id, places=places)
        if known is not None:
            return Stored.UNCHANGED, known, None
    record = read_psfcat(path)
    try:
        with writing(sessions) as session:
            return _store(session, record, image_id=image_id, given=given, force=force, places=places)
    except (SQLAlchemyError, ValueError, OverflowError) as exc:
        cause = exc.__cause__ if isinstance(exc, SQLAlchemyError) and exc.__cause__ else exc
        raise StoreError(f"{path} was refused: {one_line(cause)}") from exc


def _store(
    session: Session,
    record: PsfCatalogueRecord,
    *,
    image_id: int | None,
    given: str | None,
    force: bool,
    places: Places,
) -> tuple[Stored, int, int | None]:
    written: list[int] = []
    how: list[Stored] = []
    targets = _targets(session, record, image_id)
    for one, row, wcs in targets:
        backend(session).lock_name(one)
        held = next(iter(find_psf(session, one, places=places)), None)
        how.append(_what(session, record, held, force=force, places=places))
        if how[-1] is Stored.MOVED:
            place = place_file(session, record.file.path, places=places, given=given)
            move_psf(session, one, place, record.file.mtime_ns)
        if how[-1] not in (Stored.STORED, Stored.REPLACED):
            continue
        own = record if row is None or wcs is None else of_image(record, row, wcs)
        magzp = None if row is None else row.magzp
        written.append(store_psf(session, one, own, magzp=magzp, places=places, given=given))
        if row is not None:
            check_held_image(session, one)
    most = min(how, key=(Stored.STORED, Stored.REPLACED, Stored.MOVED, Stored.UNCHANGED, Stored.KNOWN_COPY).index)
    return most, targets[0][0], sum(written) if written else None


def _targets(
    session: Session, record: PsfCatalogueRecord, image_id: int | None
) -> list[tuple[int, Any, WcsParameters | None]]:
    """Return the images that the catalogue goes to: id, row and WCS; the latter None for a reference not held."""
    images: list[tuple[int, Any, WcsParameters | None]] = [
        (int(row.image_id), row, wcs)
        for row, wcs in images_of_psf(session, record)
        if image_id in (None, int(row.image_id))
    ]
    if image_id is not None and not images:
        raise PsfCatalogueError(record.file.path, f"the catalogue of another exposure than image {image_id}")
    if not images and record.role == "psfcat":
        what = record.expid if record.expid is not None else record.filefracday
        raise UnknownImageError(
            f"no image of exposure {what}, rcid {record.rcid} in this archive, of which {record.file.path} is"
        )
    if record.role == "refpsfcat" and image_id is None:
        whole = reference_image_id(record)
        if all(one != whole for one, _, _ in images):
            if record.magzp is None:
                raise PsfCatalogueError(record.file.path, "no zero point MAGZP, and the reference image is not held")
            images.insert(0, (whole, None, None))
    return images


def _what(
    session: Session, record: PsfCatalogueRecord, held: StoredFile | None, *, force: bool, places: Places
) -> Stored:
    """Tell what storing a catalogue comes to: of two files the newer is kept, so that copies never take turns.

    Raises
    ------
    OlderVersionError
        If the archive holds a newer one.
    """
    if held is None:
        return Stored.STORED
    in_place = held.place in find_places(read_roots(session, places), record.file.path)
    if force:
        return Stored.REPLACED
    if held.facts.sha256 == record.file.sha256:
        return stored_as(in_place=in_place, gone=not in_place and is_gone(held.absolute))
    known = psf_catalogue(session, held.image_id) or {}
    if in_place or (record.rundate or "") > (known.get("rundate") or ""):
        return Stored.REPLACED
    raise OlderVersionError(
        f"{record.file.path} was made {record.rundate or 'at an unknown time'}; the archive keeps {held.absolute} "
        f"({known.get('rundate') or 'unknown'})"
    )
