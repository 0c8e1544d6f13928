"""A worker of a cluster that stores what it has measured: PostgreSQL takes many writers, one process stores no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from sqlalchemy import URL
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.bits import NO_CAVEAT
from ztfdb.errors import ZtfdbError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.commit import Lease, commit_image
from ztfdb.ingest.discover import Candidate
from ztfdb.ingest.executors import Measure, StoredThere, psfcat_option
from ztfdb.ingest.psf_catalogues import psf_part
from ztfdb.records import MeasuredImage
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.images import Stored
from ztfdb.store.ingest_queue import Claim, hold, read_clock


@dataclass(frozen=True)
class Storing:
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
    told = url if scheduler.startswith("tls://") else url._replace(password=None)  # `set` keeps what is None
    return told.render_as_string(hide_password=False)


def reach_archive(url: str) -> str | None:
    """Return why a worker cannot reach the archive, None where it can."""
    try:
        with _sessions(url)() as session:
            read_clock(session, float)
    except ZtfdbError as exc:
        return str(exc)
    return None


def measure_and_store(
    measure: Measure, candidate: Candidate, settings: ExtractionSettings, claim: Claim, storing: Storing
) -> StoredThere | ZtfdbError:
    """Measure an image and store it under its lease, in a worker.

    Run again, because a worker ended before its answer came, it stores nothing twice: the job is done by then, and
    the lease lost.
    """
    maker = _sessions(storing.url)
    lease = Lease(claim, storing.lease_s)
    try:
        with writing(maker) as session:
            hold(session, claim, lease_s=lease.seconds, now=read_clock(session, lease.clock))
        measured = measure(candidate.path, candidate.mask, settings, find_mask=False, **psfcat_option(candidate))
        how = commit_image(
            maker, measured, places=storing.places, given=candidate.given, force=storing.force, lease=lease
        )
    except ZtfdbError as exc:
        return exc
    return stored_there(measured, how)


def stored_there(measured: MeasuredImage, how: Stored) -> StoredThere:
    """Return what is told of a stored image."""
    written = how in (Stored.STORED, Stored.REPLACED)
    n_psf, reason = psf_part(measured, written=written)
    n_source, caveats = (len(measured.sources), measured.caveats) if written else (None, NO_CAVEAT)
    return StoredThere(measured.info.image_id, how.value, n_source, n_psf, reason, caveats)


@lru_cache(maxsize=4)
def _sessions(url: str) -> sessionmaker[Session]:
    """Return the sessions of an archive, whose connections a worker keeps."""
    return sessions(make_engine(url))
