"""A worker of a cluster that stores what it has measured: PostgreSQL takes many writers, one process stores no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import URL
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import ZtfdbError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.commit import commit_image, outcome_of_commit
from ztfdb.ingest.discover import FoundImage
from ztfdb.ingest.executors import Measure, run_measure
from ztfdb.ingest.report import ImageOutcome
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.ingest_queue import Job, hold
from ztfdb.store.queue_reports import read_clock


@dataclass(frozen=True)
class WorkerStorage:
    """What a worker needs beside the image.

    Attributes
    ----------
    url : str
        Of the archive, as workers reach it.
    lease_s : float
    force : bool
        Store also what has not changed.
    places : mapping of str to str
        Folders by the name of their data root.
    """

    url: str = field(repr=False)
    lease_s: float
    force: bool
    places: Mapping[str, str]


def url_for_workers(url: URL, scheduler: str) -> str | None:
    """Return the address under which workers store, None where they cannot: SQLite has one writer.

    The password goes along where the scheduler's connections are encrypted; otherwise workers take theirs from
    ``PGPASSWORD`` or ``~/.pgpass``, as all clients of PostgreSQL do.
    """
    if url.get_backend_name() != "postgresql":
        return None
    address = url if scheduler.startswith("tls://") else url._replace(password=None)  # `set` keeps what is None
    return address.render_as_string(hide_password=False)


def reach_archive(url: str) -> str | None:
    """Return why a worker cannot reach the archive, None where it can."""
    try:
        with _sessions(url)() as session:
            read_clock(session, float)
    except ZtfdbError as exc:
        return str(exc)
    return None


def measure_and_store(
    measure: Measure, image: FoundImage, settings: ExtractionSettings, job: Job, storage: WorkerStorage
) -> ImageOutcome | ZtfdbError:
    """Measure an image and store it under its lease, in a worker.

    Run again, because a worker ended before its answer came, it stores nothing twice: the job is done by then, and
    the lease lost.
    """
    maker = _sessions(storage.url)
    try:
        with writing(maker) as session:
            hold(session, job, lease_s=storage.lease_s, now=read_clock(session))
        measured = run_measure(measure, image, settings)
        stored = commit_image(
            maker,
            measured,
            places=storage.places,
            given=image.folder,
            force=storage.force,
            job=job,
            lease_s=storage.lease_s,
        )
    except ZtfdbError as exc:
        return exc
    return outcome_of_commit(image.path, measured, stored)


@lru_cache(maxsize=4)
def _sessions(url: str) -> sessionmaker[Session]:
    """Return the sessions of an archive, whose connections a worker keeps."""
    return sessions(make_engine(url))
