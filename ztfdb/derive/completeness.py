"""Measure detection probabilities on stored images with artificial stars."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import Places, Progress
from ztfdb.derive.pool import new_executor
from ztfdb.errors import WorkerDied
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.records import StoredImage
from ztfdb.simulate.inject import Injected, Injection, InjectionSettings, inject_image, make_injection
from ztfdb.store import completeness as store
from ztfdb.store.calibrations import sources_to_calibrate
from ztfdb.store.engine import writing
from ztfdb.store.image_choice import chosen_images
from ztfdb.store.image_pixels import stored_images
from ztfdb.store.images import hold_image
from ztfdb.store.provenance import settings_of

if TYPE_CHECKING:
    import pandas as pd


log = logging.getLogger(__name__)


@dataclass
class CompletenessReport:
    """Result of a run.

    Attributes
    ----------
    n_image, n_failed, n_skipped : int
        Images processed, those of them without a model, and those skipped because they have one.
    rows : list of dict
        `ztfdb.store.completeness.ROW_COLUMNS`, one per image.
    """

    n_image: int = 0
    n_failed: int = 0
    n_skipped: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per image."""
        import pandas as pd

        return pd.DataFrame(self.rows, columns=list(store.ROW_COLUMNS))


def measure_completeness(
    sessions: sessionmaker[Session],
    *,
    image_ids: Sequence[int] | None = None,
    again: bool = False,
    passes: int = 1,
    seed: int = 0,
    jobs: int = 1,
    settings: InjectionSettings | None = None,
    places: Places = None,
    progress: Progress | None = None,
) -> CompletenessReport:
    """Add artificial stars to images without a result, and store the detection probabilities.

    The pixels come from the files, and the extraction uses the image's own configuration; one transaction per image.

    Parameters
    ----------
    sessions : sessionmaker
    image_ids : sequence of int, optional
        These images; by default all.
    again : bool
        Also process images that have a model.
    passes : int
        Extractions per image, each with stars at other places: 600 stars give probabilities to 0.02.
    seed : int
        Seed of the positions and magnitudes, together with the image's id.
    jobs : int
        Processes.
    settings : InjectionSettings, optional
        Instead of `passes` and `seed`.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    progress : callable, optional
        Called with the number of images done and the total number.

    Raises
    ------
    UnknownImageError
        If one is not in the archive.
    ValueError
        If jobs or passes are less than 1.
    """
    for name, value in (("jobs", jobs), ("passes", passes)):
        if value < 1:
            raise ValueError(f"{name} {value!r}: expected at least 1")
    chosen = settings or InjectionSettings(passes=passes, seed=seed)
    with sessions() as session:
        wanted = chosen_images(session, image_ids)
        todo = wanted if again else store.images_without(session, None if image_ids is None else wanted)
        images = {image.image_id: image for image in stored_images(session, todo, places=places)}
    todo = [image_id for image_id in todo if image_id in images]
    report = CompletenessReport(n_skipped=len(wanted) - len(todo))

    def tasks() -> Iterator[Injection]:
        for image_id in todo:
            with writing(sessions) as session:
                task = _task(session, images[image_id], chosen) if hold_image(session, image_id) else None
            if task is not None:
                yield task

    for done, (result, n_source) in enumerate(_results(tasks(), jobs), start=1):
        row = result.to_row(n_source, chosen)
        with writing(sessions) as session:
            there = hold_image(session, result.image_id)
            if there:
                store.store_completeness(session, row)
        if there:
            report.rows.append({name: row[name] for name in store.ROW_COLUMNS})
            report.n_image += 1
            report.n_failed += result.failure is not None
            if result.failure is not None:
                log.info("no artificial stars", extra={"image_id": result.image_id, "reason": result.failure})
        if progress is not None:
            progress(done, len(todo))
    return report


def _task(session: Session, image: StoredImage, settings: InjectionSettings) -> Injection:
    own, _, _ = settings_of(session, image.image_id)
    sources = sources_to_calibrate(session, image.image_id)
    zeropoint = store.zeropoint_of(session, image.image_id)
    return make_injection(image, zeropoint, sources, ExtractionSettings.from_dict(own), settings)


def _results(tasks: Iterator[Injection], jobs: int) -> Iterator[tuple[Injected, int]]:
    """Yield the results of tasks in order; a few run concurrently."""
    if jobs == 1:
        for task in tasks:
            yield inject_image(task), len(task.x)
        return
    executor = new_executor(jobs)
    try:
        waiting: list[tuple[Injection, Any]] = []
        for task in tasks:
            waiting.append((task, executor.submit(inject_image, task)))
            if len(waiting) > 2 * jobs:
                yield _result(*waiting.pop(0))
        while waiting:
            yield _result(*waiting.pop(0))
    finally:
        executor.shutdown(wait=True, kill_workers=True)


def _result(task: Injection, future: Any) -> tuple[Injected, int]:
    try:
        result: Injected = future.result()
    except BrokenProcessPool:  # caused by this task or a concurrent one: run it alone to find out
        alone = new_executor(1)
        try:
            result = alone.submit(inject_image, task).result()
        except BrokenProcessPool:
            died = WorkerDied(task.image.own.path, "the worker process died 2 times while it searched this image")
            result = Injected(task.image.image_id, failure=str(died))
        finally:
            alone.shutdown(wait=True, kill_workers=True)
    return result, len(task.x)
