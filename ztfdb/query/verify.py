"""Check that an archive and its files still agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Places, Progress
from ztfdb.errors import DatabaseUnavailableError, StoreError
from ztfdb.frame.window import check_file
from ztfdb.query.dataframes import data_frame
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.backends import backend
from ztfdb.store.consistency import forced_by_image, images_without, psf_disagreements, sources_by_image
from ztfdb.store.detections import OURS, rows_of_image
from ztfdb.store.facts_checksums import changed_facts
from ztfdb.store.image_files import OWN_ROLES, StoredFile, find_files, find_impostors
from ztfdb.store.image_rows import image_names
from ztfdb.store.psf_catalogues import find_psf, psf_catalogues_held
from ztfdb.store.row_checksums import kept_checksums, stored_checksum

IMAGES_AT_ONCE = 500
Problem = tuple[int | None, str, str, str]
"""``image_id`` (None: the whole archive), ``role``, ``path`` and what is wrong."""

LOST = {
    "image_file": "the names of its files are lost",
    "image_header": "its headers are lost",
    "image_cell": "its place on the sky is lost: no position finds it",
}
"""What an image without a row in a table lacks."""

COLUMNS = ("image_id", "role", "path", "problem")


def verify(
    sessions: sessionmaker[Session],
    *,
    hashes: bool = False,
    deep: bool = False,
    places: Places = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Check every file of the archive, and that its tables agree with each other.

    Parameters
    ----------
    sessions : sessionmaker
    hashes : bool
        Compute the sha256 of every file. By default size and modification time are compared, and a file is only read if
        they differ.
    deep : bool
        Read every page of a SQLite archive (its own ``integrity_check``), and every row of ``source``, ``psf_source``
        and of the tables of images. The cell of a source must be that of its position. The rows of an image, its own
        row, headers, files and cells must have the checksums stored with them. Unreadable data is then a problem, not
        an error.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    progress : callable, optional
        Called with the number of images done, and of all.

    Returns
    -------
    DataFrame
        One row per problem: ``image_id``, ``role`` and ``path`` (of a file), and ``problem``; empty when all is well.
        The counts are in ``attrs``: ``n_image``, ``n_file``, ``n_source``, and ``n_unknown``, the images and catalogues
        without a checksum of some of their rows, because these were stored before checksums existed.
    """
    counts = dict.fromkeys(("n_image", "n_file", "n_source", "n_unknown"), 0)
    problems = _of_storage(sessions) if deep else []
    try:
        for problem in _problems(sessions, counts, hashes, deep, places, progress):
            problems.append(problem)
    except StoreError as exc:
        if not deep or isinstance(exc, DatabaseUnavailableError):
            raise
        problems.append((None, "", "", f"cannot be read: {exc}"))
    problems.sort(key=lambda row: (row[0] or -1, row[1], row[3]))
    columns: dict[str, Any] = {name: [row[i] for row in problems] for i, name in enumerate(COLUMNS)}
    texts = {name: pd.array(columns[name], dtype="str") for name in COLUMNS[1:]}
    return data_frame({"image_id": pd.array(columns["image_id"], dtype="Int64"), **texts}, counts)


def _problems(
    sessions: sessionmaker[Session],
    counts: dict[str, int],
    hashes: bool,
    deep: bool,
    places: Places,
    progress: Progress | None,
) -> Iterator[Problem]:
    """Yield what is wrong with tables and files, and fill the counts."""
    with sessions() as session:
        images = image_names(session)
        counts |= {"n_image": len(images["image_id"]), "n_source": int(images["n_source"].sum())}
        yield from _of_tables(session, dict(zip(*(images[n].tolist() for n in ("image_id", "n_source")), strict=True)))
        ids = sorted({*images["image_id"].tolist(), *psf_catalogues_held(session)})
    for start in range(0, len(ids), IMAGES_AT_ONCE):
        some = ids[start : start + IMAGES_AT_ONCE]
        with sessions() as session:
            files: list[StoredFile] = [
                *find_files(session, some, places=places),
                *find_psf(session, some, places=places),
            ]
            impostors = find_impostors(session, some)
            if deep:
                yield from _of_sources(session, some)
                yield from _of_checksums(session, some, counts)
        for file in files:
            counts["n_file"] += 1
            if file.role in OWN_ROLES and file.image_id in impostors:
                yield file.image_id, file.role, file.absolute, _other_product(impostors[file.image_id])
            problem = check_file(file.facts, whole=hashes)
            if problem is not None:
                yield file.image_id, file.role, file.absolute, problem
        if progress is not None:
            progress(min(start + IMAGES_AT_ONCE, len(ids)), len(ids))


def _other_product(what: str) -> str:
    return f"{what}, not the image: ingest the science or reference image again, which replaces it"


def _of_storage(sessions: sessionmaker[Session]) -> list[Problem]:
    """Return what the engine's own check of its file finds."""
    with sessions() as session:
        return [(None, "", "", f"the database file: {problem}") for problem in backend(session).storage_problems()]


def _of_sources(session: Session, ids: list[int]) -> Iterator[Problem]:
    """Yield the images with sources outside of their stored cell."""
    for image_id in ids:
        rows = rows_of_image(session, OURS, image_id)
        cells = sky_to_cell(rows["ra"], rows["dec"])
        if n := int((cells != rows["hpx29"]).sum()):
            yield image_id, "", "", f"{n} sources whose cell is not that of their position"


def _of_checksums(session: Session, ids: list[int], counts: dict[str, int]) -> Iterator[Problem]:
    """Yield the images whose rows differ from those written, and count what has no checksum, each image once."""
    changed, without = changed_facts(session, ids)
    unknown = {("source", image_id) for image_id in without}
    for table, checksums in kept_checksums(session, ids).items():
        for image_id, kept in checksums.items():
            if kept is None:
                unknown.add((table, image_id))
            elif stored_checksum(session, table, image_id) != kept:
                yield image_id, "", "", f"rows of {table} differ from those that were written (checksum)"
    for image_id in changed:
        yield image_id, "", "", "the image's row, headers or files differ from those written (checksum)"
    counts["n_unknown"] += len(unknown)


def _of_tables(session: Session, images: dict[int, int]) -> list[Problem]:
    """Return where the tables disagree."""
    problems: list[Problem] = []
    found = sources_by_image(session)
    for image_id in sorted(images.keys() | found.keys()):
        stored, counted = images.get(image_id), found.get(image_id, 0)
        if stored is None:
            problems.append((image_id, "", "", f"{counted} sources without an image"))
        elif stored != counted:
            problems.append((image_id, "", "", f"{counted} sources, {stored} were stored"))
    for image_id, n in forced_by_image(session).items():
        if image_id not in images:
            problems.append((image_id, "", "", f"{n} forced measurements without an image"))
    problems += [(image_id, "", "", problem) for image_id, problem in psf_disagreements(session)]
    for table, what in LOST.items():
        problems += [(int(i), "", "", what) for i in images_without(session, table)]
    return problems
