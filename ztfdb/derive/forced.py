"""Forced measurements on stored images: each file is opened once, each result is stored once."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

import loky
import numpy as np
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Columns, IntArray, Places, Progress
from ztfdb.codes import N_APERTURE, ForcedMethod
from ztfdb.derive.pool import new_executor
from ztfdb.errors import ImageError, PsfFileError, StoreError, WorkerDied
from ztfdb.extract.measure import measurement_config
from ztfdb.extract.revisit import Revisit, Revisited, revisit_image, revisit_images
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.frame.window import file_status
from ztfdb.records import StoredImage
from ztfdb.store.columns import NO_MASK
from ztfdb.store.engine import writing
from ztfdb.store.forced import FORCED_DTYPES, Contents, store_forced
from ztfdb.store.image_files import accept_mtimes
from ztfdb.store.image_pixels import stored_images
from ztfdb.store.interrupt import check_work
from ztfdb.store.meta import read_meta
from ztfdb.store.meta_rows import config_id
from ztfdb.texts import one_line

IMAGES_PER_TRANSACTION = 100
"""Images whose measurements are stored in one transaction."""

IMAGES_PER_TASK = 8
"""Images per task of a worker process."""

REQUEST = ("hpx29", "image_id", "ra", "dec", "x", "y")
"""Columns of a request: position, image and pixel."""

logger = logging.getLogger(__name__)


@dataclass
class Forced:
    """Result of forced measurements.

    Attributes
    ----------
    kept : bool
        True if they are stored. False if the archive is not writable; `rows` then has them.
    rows : list of dict of ndarray
        Measurements that are not stored: `ztfdb.store.forced.FORCED_DTYPES`.
    problems : dict of int to str
        By ``image_id``: why an image could not be measured.
    n_measured : int
    """

    kept: bool = True
    rows: list[Columns] = field(default_factory=list)
    problems: dict[int, str] = field(default_factory=dict)
    n_measured: int = 0


def measure_forced(
    sessions: sessionmaker[Session],
    wanted: Columns,
    *,
    method: ForcedMethod = ForcedMethod.APERTURE,
    jobs: int = 1,
    keep: bool = True,
    places: Places = None,
    progress: Progress | None = None,
) -> Forced:
    """Measure positions on ingested images and store the results.

    Parameters
    ----------
    sessions : sessionmaker
    wanted : dict of ndarray, each of shape (n,)
        `REQUEST`; each pair of cell and image once.
    method : ForcedMethod
        ``PSF`` also fits the exposure's own PSF.
    jobs : int
        Processes that measure; 1 measures in this one.
    keep : bool
        Write them to ``forced_source``; if the archive is not writable, they are returned instead.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    progress : callable, optional
        Called with the number of images done and the total number.

    Returns
    -------
    Forced
    """
    done = Forced(kept=keep)
    order = np.argsort(wanted["image_id"], kind="stable")
    ids, first = np.unique(wanted["image_id"][order], return_index=True)
    groups = np.split(order, first[1:])
    crew = _Crew(jobs, len(ids))
    try:
        for start in range(0, len(ids), IMAGES_PER_TRANSACTION):
            some = slice(start, start + IMAGES_PER_TRANSACTION)
            with sessions() as session:
                images = stored_images(session, ids[some], places=places)
            revisits = _revisits(images, dict(zip(ids[some].tolist(), groups[some], strict=True)), wanted, method)
            results = []
            for result in crew.measure(revisits):
                check_work()
                results.append(result)
                if progress is not None:
                    progress(start + len(results), len(ids))
            _finish(sessions, images, results, wanted, method, done)
    finally:
        crew.stop()
    return done


def _revisits(
    images: Sequence[StoredImage], groups: Mapping[int, IntArray], wanted: Columns, method: ForcedMethod
) -> list[Revisit]:
    psf = method == ForcedMethod.PSF
    return [
        Revisit(image, rows := groups[image.image_id], wanted["x"][rows], wanted["y"][rows], psf) for image in images
    ]


def _finish(
    sessions: sessionmaker[Session],
    images: Sequence[StoredImage],
    results: Sequence[Revisited],
    wanted: Columns,
    method: ForcedMethod,
    done: Forced,
) -> None:
    """Store the measurements of some images, or collect them if the archive is not writable."""
    for result in results:
        if result.problem is not None:
            done.problems[result.image_id] = reason_of(result.problem)
            logger.info("no forced measurement", extra={"image_id": result.image_id, "reason": str(result.problem)})
    measured = [result for result in results if result.fluxes is not None]
    if not measured:
        return
    columns = _columns(measured, wanted, method)
    done.n_measured += len(columns["image_id"])
    accepted = [(one.image_id, role, now) for one in measured for role, now in one.accepted]
    contents = {image.image_id: {file.role: file.sha256 for file in image.files} for image in images}
    if done.kept:
        done.kept = _kept(sessions, columns, contents, accepted)
    if not done.kept:
        done.rows.append(columns)


def _kept(
    sessions: sessionmaker[Session],
    columns: Columns,
    contents: Mapping[int, Contents],
    accepted: Sequence[tuple[int, str, int]],
) -> bool:
    """Write measurements; return False if the archive refuses, because the caller gets them anyway."""
    try:
        with writing(sessions) as session:
            settings = ExtractionSettings.from_dict(read_meta(session)["settings"])
            columns["config_id"][:] = config_id(session, measurement_config(settings))
            store_forced(session, columns, contents)
            accept_mtimes(session, accepted)
    except (StoreError, SQLAlchemyError) as exc:
        logger.info("forced measurements are not kept", extra={"reason": one_line(exc)[:200]})
        return False
    return True


def reason_of(problem: ImageError) -> str:
    """Return in a few words why an image could not be measured."""
    return "no PSF file" if isinstance(problem, PsfFileError) else file_status(problem)


def _columns(measured: Sequence[Revisited], wanted: Columns, method: ForcedMethod) -> Columns:
    """Return measurements as columns of ``forced_source``."""
    rows = np.concatenate([one.row for one in measured])
    columns: Columns = {name: np.full(len(rows), np.nan, np.float32) for name in FORCED_DTYPES}
    columns |= {name: wanted[name][rows] for name in REQUEST}
    columns["method"] = np.full(len(rows), int(method), np.int16)
    columns["config_id"] = np.zeros(len(rows), np.int64)
    fluxes = [one.fluxes for one in measured if one.fluxes is not None]
    for k in range(N_APERTURE):
        columns[f"flux_aper{k + 1}"] = np.concatenate([one.flux_aper[k] for one in fluxes])
        columns[f"flux_aper{k + 1}_err"] = np.concatenate([one.flux_aper_err[k] for one in fluxes])
    for name in ("flags", "background", "background_rms"):
        columns[name] = np.concatenate([getattr(one, name) for one in fluxes])
    stars = [one.stars for one in measured if one.stars is not None]
    if stars:
        for name, ours in (("flux", "flux_psf"), ("flux_err", "flux_psf_err"), ("chi", "chi"), ("sharp", "sharp")):
            columns[ours] = np.concatenate([getattr(one, name) for one in stars]).astype(np.float32)
    no_mask = [np.full(len(one.flags), NO_MASK, np.int32) for one in fluxes]
    bits = [one.mask_bits if one.mask_bits is not None else none for one, none in zip(fluxes, no_mask, strict=True)]
    columns["mask_bits"] = np.concatenate(bits)
    return columns


class _Crew:
    """Worker processes, started on first use; with one job this process measures itself."""

    def __init__(self, jobs: int, n_image: int) -> None:
        self._jobs = max(1, min(jobs, -(-n_image // IMAGES_PER_TASK)))
        self._executor: loky.ProcessPoolExecutor | None = None

    def measure(self, revisits: Sequence[Revisit]) -> Iterator[Revisited]:
        """Measure on images; if a worker process dies, its images are tried once more, one by one."""
        if self._jobs == 1:
            yield from map(revisit_image, revisits)
            return
        if self._executor is None:
            self._executor = new_executor(self._jobs)
        tasks = [revisits[i : i + IMAGES_PER_TASK] for i in range(0, len(revisits), IMAGES_PER_TASK)]
        futures = [self._executor.submit(revisit_images, task) for task in tasks]
        for task, future in zip(tasks, futures, strict=True):
            try:
                yield from future.result()
            except BrokenProcessPool:
                self.stop()
                yield from map(_alone, task)

    def stop(self) -> None:
        """End the worker processes."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)
            self._executor = None


def _alone(revisit: Revisit) -> Revisited:
    executor = new_executor(1)
    try:
        result: Revisited = executor.submit(revisit_image, revisit).result()
    except BrokenProcessPool:
        problem = WorkerDied(revisit.image.own.path, "the worker process died 2 times while it measured this image")
        return Revisited(revisit.image.image_id, revisit.row, None, None, problem)
    finally:
        executor.shutdown(wait=True, kill_workers=True)
    return result
