"""The queue of images to ingest: jobs are enqueued, claimed with a lease, and marked with their outcome.

A claim sets a new token. Its owner must renew the lease (`beat`) before it ends; after that, anyone may claim the job
again. All changes of an image in the archive are in one transaction that begins with `hold`: if the token of the row
is no longer the owner's, somebody else has the job, and everything is rolled back. On SQLite every function that writes
needs a transaction of `ztfdb.store.engine.writing`, whose BEGIN IMMEDIATE is the lock; PostgreSQL locks the rows.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    RowMapping,
    Select,
    Update,
    and_,
    bindparam,
    false,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session

from ztfdb.codes import JobState
from ztfdb.errors import LeaseLostError
from ztfdb.schema import Base, IngestJob
from ztfdb.store.backends import backend
from ztfdb.texts import hide_secrets

Place = tuple[int, str]
"""``data_root_id`` and ``path`` of a job's file."""

CHUNK = 1_000
"""Jobs enqueued per statement."""

MAX_DETAIL = 20_000
"""Longest error text stored, characters; a traceback has a few thousand."""


@dataclass(frozen=True)
class JobFile:
    """An image file at the time it was enqueued.

    Attributes
    ----------
    data_root_id : int
    path : str
        Relative to the root, with forward slashes.
    size, mtime_ns : int
        Bytes, and nanoseconds since 1970.
    mask_size, mask_mtime_ns : int or None
        Of its mask; None if it has none (yet).
    reason : str or None
        What the job waits for, if it is enqueued before it can be claimed.
    """

    data_root_id: int
    path: str
    size: int
    mtime_ns: int
    mask_size: int | None = None
    mask_mtime_ns: int | None = None
    reason: str | None = None


@dataclass(frozen=True)
class Job:
    """A job of this process, claimed under a lease.

    Attributes
    ----------
    job_id : int
    token : int
        New with every claim.
    attempts : int
        Failures before this one.
    file : JobFile
    """

    job_id: int
    token: int
    attempts: int
    file: JobFile


class Again(Enum):
    """Which unchanged files are enqueued again."""

    NONE = "none"
    UNLESS_LEASED = "unless leased"
    """Files given by name: their earlier outcome does not matter, but leased jobs are left alone."""
    ALL = "all"
    """Files to measure again: current leases are revoked."""


def enqueue(
    session: Session, files: Iterable[tuple[JobFile, float]], *, now: float, again: Again = Again.NONE
) -> dict[Place, int]:
    """Enqueue files, and return the jobs that are new or whose file has changed.

    If the file of a leased job changes, its lease is revoked.

    Parameters
    ----------
    session : Session
        A writing one.
    files : iterable of (JobFile, float)
        Each with the time from which it may be claimed.
    now : float
        See `read_clock`.
    again : Again

    Returns
    -------
    dict
        ``job_id`` by (``data_root_id``, ``path``).
    """
    # Ordered, so that two processes that enqueue the same folder cannot deadlock.
    rows = sorted(
        (asdict(file) | {"due": due} for file, due in files), key=lambda row: (row["data_root_id"], row["path"])
    )
    statement = _upsert(session, now, again)
    jobs: dict[Place, int] = {}
    for start in range(0, len(rows), CHUNK):
        written = session.execute(statement, rows[start : start + CHUNK])
        jobs |= {(row.data_root_id, row.path): row.job_id for row in written}
    return jobs


def find_job_ids(session: Session, places: Iterable[Place]) -> dict[Place, int]:
    """Return the ids of the jobs of files; files without a job are left out."""
    return {place: int(row[1]) for place, row in _of_places(session, places, (_JOB.c.job_id,))}


def find_stamps(session: Session, places: Iterable[Place]) -> dict[Place, tuple[int, int, int | None, int | None]]:
    """Return the size and mtime of files and of their masks as last enqueued; files without a job are left out."""
    columns = (_JOB.c.size, _JOB.c.mtime_ns, _JOB.c.mask_size, _JOB.c.mask_mtime_ns)
    return {place: (row[1], row[2], row[3], row[4]) for place, row in _of_places(session, places, columns)}


def _of_places(
    session: Session, places: Iterable[Place], columns: Sequence[ColumnElement[Any]]
) -> Iterator[tuple[Place, Sequence[Any]]]:
    """Yield the rows of files in the queue: the path, then `columns`."""
    wanted: dict[int, list[str]] = {}
    for root, path in places:
        wanted.setdefault(root, []).append(path)
    for root, paths in sorted(wanted.items()):
        for start in range(0, len(paths), CHUNK):
            which = (_JOB.c.data_root_id == root, _JOB.c.path.in_(paths[start : start + CHUNK]))
            for row in session.execute(select(_JOB.c.path, *columns).where(*which)):
                yield (root, row[0]), row


def _upsert(session: Session, now: float, again: Again) -> Any:
    new = (
        backend(session)
        .insert(Base.metadata.tables["ingest_job"])
        .values(state=JobState.PENDING.value, queued=now, attempts=0)
    )
    come = new.excluded
    facts = ("size", "mtime_ns", "mask_size", "mask_mtime_ns")
    repeated = {
        Again.NONE: false(),
        Again.UNLESS_LEASED: IngestJob.state != JobState.LEASED.value,
        Again.ALL: true(),
    }[again]
    written = new.on_conflict_do_update(
        index_elements=["data_root_id", "path"],
        set_={name: come[name] for name in (*facts, "state", "queued", "due")} | _FRESH | {"reason": come.reason},
        where=or_(
            repeated,
            IngestJob.size != come.size,
            IngestJob.mtime_ns != come.mtime_ns,
            # a missing mask is no reason to measure again
            and_(
                come.mask_size.is_not(None),
                or_(
                    IngestJob.mask_size.is_distinct_from(come.mask_size),
                    IngestJob.mask_mtime_ns.is_distinct_from(come.mask_mtime_ns),
                ),
            ),
        ),
    )
    return written.returning(IngestJob.data_root_id, IngestJob.path, IngestJob.job_id)  # only for rows written


def _due(which: ColumnElement[bool]) -> Select[Any]:
    names = ("job_id", "attempts", "data_root_id", "path", "size", "mtime_ns", "mask_size", "mask_mtime_ns")
    return (
        select(*(_JOB.c[name] for name in names))
        .where(which, _JOB.c.due <= bindparam("now"))
        .order_by(_JOB.c.due, _JOB.c.job_id)
        .limit(bindparam("n"))
        .with_for_update(skip_locked=True)  # no effect on SQLite, where the transaction has the only lock
    )


_JOB = Base.metadata.tables["ingest_job"]
_LEASED = JobState.LEASED.value

# Statements for every image are built once: building one takes longer than running it.
_DUE_OF_ROOT = _due(_JOB.c.data_root_id == bindparam("root"))
_DUE_OF_THESE = _due(_JOB.c.job_id.in_(bindparam("ids", expanding=True)))
_LEASE = (
    update(_JOB)
    .where(_JOB.c.job_id.in_(bindparam("ids", expanding=True)))
    .values(state=_LEASED, due=bindparam("until"), owner=bindparam("by"), token=bindparam("new_token"))
)
_NOBODY: dict[str, Any] = {"owner": None, "token": None}
_NO_ERROR: dict[str, Any] = {"error": None, "reason": None, "detail": None}
_FRESH: dict[str, Any] = {"attempts": 0, "ended": None, **_NOBODY, **_NO_ERROR}


def claim_jobs(session: Session, roots: Sequence[int], *, owner: str, n: int, lease_s: float, now: float) -> list[Job]:
    """Claim up to `n` jobs that are due, the longest due first, root by root.

    Jobs with an expired lease are due, too.

    Parameters
    ----------
    session : Session
        A writing one; commit it before the work begins.
    roots : sequence of int
        The data roots with files on this host.
    owner : str
        The claiming process, see `ztfdb.ingest.lease_owner`.
    n : int
    lease_s : float
        Seconds until the next call of `beat` is needed.
    now : float
        See `read_clock`.
    """
    rows: list[RowMapping] = []
    for root in roots:
        if len(rows) < n:
            params = {"root": int(root), "now": now, "n": n - len(rows)}
            rows += session.execute(_DUE_OF_ROOT, params).mappings()
    return _lease(session, rows, owner, now + lease_s)


def claim_these(
    session: Session, job_ids: Sequence[int], *, owner: str, n: int, lease_s: float, now: float
) -> list[Job]:
    """Claim up to `n` of these jobs that are due; otherwise as `claim_jobs`."""
    rows = session.execute(_DUE_OF_THESE, {"ids": [int(one) for one in job_ids], "now": now, "n": n}).mappings()
    return _lease(session, list(rows), owner, now + lease_s)


def _lease(session: Session, rows: Sequence[RowMapping], owner: str, until: float) -> list[Job]:
    token = secrets.randbits(62)
    taken = [_job(row, token) for row in rows]
    if taken:
        ids = [job.job_id for job in taken]
        session.execute(_LEASE, {"ids": ids, "until": until, "by": owner, "new_token": token})
    return taken


def _job(row: Mapping[Any, Any], token: int) -> Job:
    facts = {str(name): value for name, value in row.items()}
    return Job(facts.pop("job_id"), token, facts.pop("attempts"), JobFile(**facts))


def beat(session: Session, jobs: Collection[Job], *, lease_s: float, now: float) -> set[int]:
    """Renew the leases of jobs, and return the ids of those that are still ours.

    A claim that the server committed before it died, but never returned, is not ours: its lease must expire.
    """
    own = (
        IngestJob.job_id.in_([job.job_id for job in jobs]),
        IngestJob.token.in_({job.token for job in jobs}),
        IngestJob.state == JobState.LEASED.value,
    )
    rows = session.execute(update(IngestJob).where(*own).values(due=now + lease_s).returning(IngestJob.job_id))
    return {int(job_id) for (job_id,) in rows}


def hold(session: Session, job: Job, *, lease_s: float, now: float) -> None:
    """Check that the job is still ours, and lock it until the transaction ends.

    Raises
    ------
    LeaseLostError
        If it is not: the lease expired and somebody claimed the job, or its file changed. Roll back then.
    """
    if not _mark(session, job, {"due": now + lease_s}):
        raise LeaseLostError(f"the job of {job.file.path} was taken over, or its file has changed")


def finish(session: Session, job: Job, *, outcome: str, image_id: int, now: float) -> bool:
    """Mark a job as done; return False if it is no longer ours."""
    return _mark(
        session,
        job,
        {"state": JobState.DONE.value, "due": None, "ended": now, "outcome": outcome, "image_id": int(image_id)}
        | _NOBODY
        | _NO_ERROR,
    )


def fail(
    session: Session, job: Job, *, error: str, reason: str, detail: str, retry_at: float | None, now: float
) -> bool:
    """Mark a job as failed until `retry_at`, or as quarantined if that is None; return False if it is not ours."""
    state = JobState.QUARANTINED if retry_at is None else JobState.FAILED
    values = {"state": state.value, "due": retry_at, "ended": now, "attempts": job.attempts + 1}
    # PostgreSQL texts cannot contain NUL, which occurs in damaged headers
    texts = {"error": error, "reason": hide_secrets(reason), "detail": hide_secrets(detail)[-MAX_DETAIL:]}
    return _mark(session, job, values | _NOBODY | {name: text.replace("\0", "\\0") for name, text in texts.items()})


def put_back(session: Session, job: Job, *, due: float, reason: str | None = None) -> bool:
    """Release a job without counting an attempt; return False if it is no longer ours."""
    return _mark(session, job, {"state": JobState.PENDING.value, "due": due, "reason": reason} | _NOBODY)


def _mark(session: Session, job: Job, values: Mapping[str, Any]) -> bool:
    own = {"of_job": job.job_id, "of_token": job.token}
    return _n_row(session.execute(_marking(tuple(values)), {**own, **values})) == 1


@lru_cache
def _marking(names: tuple[str, ...]) -> Update:
    """Return the statement that sets these columns of a job if it is still ours."""
    own = (_JOB.c.job_id == bindparam("of_job"), _JOB.c.token == bindparam("of_token"), _JOB.c.state == _LEASED)
    return update(_JOB).where(*own).values({name: bindparam(name) for name in names})


def find_owners(session: Session) -> list[str]:
    """Return the owners of leases."""
    leased = select(IngestJob.owner).where(IngestJob.state == JobState.LEASED.value).distinct()
    return sorted(owner for owner in session.scalars(leased) if owner is not None)


def take_back(session: Session, owners: Collection[str], *, now: float) -> int:
    """Release all jobs of these owners, and return their number."""
    if not owners:
        return 0
    theirs = (IngestJob.state == JobState.LEASED.value, IngestJob.owner.in_(sorted(owners)))
    pending = {"state": JobState.PENDING.value, "due": now}
    return _n_row(session.execute(update(IngestJob).where(*theirs).values(**pending, **_NOBODY)))


def retry_failed(session: Session, *, now: float) -> int:
    """Make the failed jobs due at once, and return their number."""
    failed = IngestJob.state == JobState.FAILED.value
    return _n_row(session.execute(update(IngestJob).where(failed).values(due=now)))


def release_quarantined(session: Session, job_ids: Collection[int] | None = None, *, now: float) -> int:
    """Return quarantined jobs to the queue with no attempts counted, and return their number.

    Parameters
    ----------
    session : Session
        A writing one.
    job_ids : collection of int, optional
        Jobs to release; by default all.
    now : float
    """
    which = [IngestJob.state == JobState.QUARANTINED.value]
    if job_ids is not None:
        which.append(IngestJob.job_id.in_([int(one) for one in job_ids]))
    values = {"state": JobState.PENDING.value, "due": now, "attempts": 0}
    return _n_row(session.execute(update(IngestJob).where(*which).values(**values)))


def _n_row(result: Any) -> int:
    assert isinstance(result, CursorResult)
    return int(result.rowcount)
