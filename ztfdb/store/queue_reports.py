"""Reports about the queue of images: jobs, counts, what waits and what failed."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ztfdb.codes import JobState
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.select import records


@dataclass(frozen=True)
class JobReport:
    """A job for display; the columns of `ztfdb.schema.IngestJob`."""

    job_id: int
    root: str
    path: str
    state: str
    attempts: int
    queued: float
    due: float | None
    ended: float | None
    owner: str | None
    image_id: int | None
    outcome: str | None
    error: str | None
    reason: str | None
    detail: str | None


def read_clock(session: AnySession, clock: Callable[[], float] = time.time) -> float:
    """Return the time that leases use, seconds since 1970: PostgreSQL's own, else the host's.

    Parameters
    ----------
    session : Session or Reading
    clock : callable
        The host's clock.
    """
    return reads(session).clock(clock)


def find_jobs(
    session: AnySession,
    states: Collection[JobState],
    *,
    job_ids: Collection[int] | None = None,
    limit: int | None = None,
) -> list[JobReport]:
    """Return jobs in these states, those that ended last first."""
    origin, params = "ingest_job as job", _bound(states)
    if job_ids is not None:
        rows, ids = reads(session).range_rows(id=np.array(sorted({int(one) for one in job_ids}), np.int64))
        origin, params = f"{rows} join ingest_job as job on job.job_id = r.id", params | ids
    fields = ", ".join("data_root.name as root" if name == "root" else f"job.{name}" for name in _REPORT)
    statement = f"""
        select {fields} from {origin} join data_root on data_root.data_root_id = job.data_root_id
        where job.state in ({_names(states)}) order by job.ended desc nulls last, job.job_id"""
    if limit is not None:
        statement += f" limit {int(limit)}"
    return [JobReport(**row) for row in records(session, statement, _REPORT, params)]


def count_jobs(session: AnySession, roots: Sequence[int] | None = None) -> dict[str, int]:
    """Return the number of jobs in each state, including 0.

    Parameters
    ----------
    session : Session or Reading
    roots : sequence of int, optional
        Only jobs of these data roots.
    """
    origin, params = "ingest_job", dict[str, Any]()
    if roots is not None:
        rows, params = reads(session).range_rows(id=np.array(sorted({int(root) for root in roots}), np.int64))
        origin = f"{rows} join ingest_job on ingest_job.data_root_id = r.id"
    statement = f"select ingest_job.state, count(*) as n from {origin} group by ingest_job.state"
    found = {row["state"]: row["n"] for row in records(session, statement, {"state": "O", "n": "i8"}, params)}
    return {state.value: found.get(state.value, 0) for state in JobState}


def queue_summary(session: AnySession, *, now: float, n_error: int = 5, rate_s: float = 3600.0) -> dict[str, Any]:
    """Return a summary of the queue.

    Returns
    -------
    dict
        ``jobs``, their number by state; ``rate_per_hour``, the rate of images done in the last `rate_s` seconds;
        ``oldest_waiting_s``, how long the oldest job that is due has waited, None without one; ``n_waiting``, the
        number of files that wait for something, and ``waiting``, ``path``, ``reason`` and ``due_in_s`` of the first
        `n_error` of them; ``last_errors``, a list of ``path``, ``state``, ``attempts``, ``error`` and ``reason``.
    """
    failed = (JobState.FAILED, JobState.QUARANTINED)
    shown = ("path", "state", "attempts", "error", "reason")
    return {
        "jobs": count_jobs(session),
        "rate_per_hour": _n_done(session, now - rate_s) * 3600.0 / rate_s,
        "oldest_waiting_s": _oldest_waiting(session, now),
        **_waited_for(session, now, n_error),
        "last_errors": [
            {name: getattr(job, name) for name in shown} for job in find_jobs(session, failed, limit=n_error)
        ],
    }


_REPORT = {
    "job_id": "i8", "root": "O", "path": "O", "state": "O", "attempts": "i8", "queued": "f8", "due": "f8",
    "ended": "f8", "owner": "O", "image_id": "i8", "outcome": "O", "error": "O", "reason": "O", "detail": "O",
}  # fmt: skip
"""Columns of a `JobReport`."""


def _names(states: Collection[JobState]) -> str:
    """Return the parameters of `_bound`."""
    return ", ".join(f":{state.name.lower()}" for state in states)


def _bound(states: Collection[JobState]) -> dict[str, Any]:
    return {state.name.lower(): state.value for state in states}


def _n_done(session: AnySession, since: float) -> int:
    statement = "select count(*) as n from ingest_job where state = :done and ended > :since"
    ((n,),) = reads(session).read_rows(statement, {"done": JobState.DONE.value, "since": since})
    return int(n)


def _oldest_waiting(session: AnySession, now: float) -> float | None:
    """Return how long (s) the oldest job that is due has waited."""
    waiting = (JobState.PENDING, JobState.FAILED)
    statement = f"select min(queued) as queued from ingest_job where state in ({_names(waiting)}) and due <= :now"
    (row,) = records(session, statement, {"queued": "f8"}, {**_bound(waiting), "now": now})
    return None if row["queued"] is None else now - row["queued"]


def _waited_for(session: AnySession, now: float, n: int) -> dict[str, Any]:
    """Return the files that are incomplete, or lack the mask that is expected."""
    which = "from ingest_job where state = :pending and due > :now and reason is not null"
    params = {**_bound([JobState.PENDING]), "now": now}
    statement = f"select path, reason, due {which} order by due, job_id limit {int(n)}"
    rows = records(session, statement, {"path": "O", "reason": "O", "due": "f8"}, params)
    ((n_waiting,),) = reads(session).read_rows(f"select count(*) as n {which}", params)
    return {
        "n_waiting": int(n_waiting),
        "waiting": [{"path": row["path"], "reason": row["reason"], "due_in_s": row["due"] - now} for row in rows],
    }
