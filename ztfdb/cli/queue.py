"""``ztfdb retry`` and ``ztfdb quarantine``: inspect and retry failed images."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from ztfdb.cli.options import Command, shared_options
from ztfdb.cli.session import configuration
from ztfdb.cli.terminal import say
from ztfdb.texts import counted

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ztfdb.store.queue_reports import JobReport


BY = " by ztfdb watch, or by ztfdb ingest of the files"
"""What tries images: the queue alone does not."""


@click.command(cls=Command, examples=("ztfdb retry",))
@shared_options
@click.pass_context
def retry(ctx: click.Context) -> None:
    """Retry the failed images at once, without waiting for their next attempt."""
    from ztfdb.codes import JobState
    from ztfdb.store.ingest_queue import retry_failed
    from ztfdb.store.queue_reports import count_jobs, read_clock

    with _writing(ctx) as session:
        n = retry_failed(session, now=read_clock(session))
        n_aside = count_jobs(session)[JobState.QUARANTINED.value]
    aside = f"; {counted(n_aside, 'image')} set aside: see ztfdb quarantine list" if n_aside else ""
    click.echo(f"{counted(n, 'image')} will be tried again{BY if n else ''}{aside}", err=True)


@click.command(
    cls=Command,
    examples=("ztfdb quarantine list", "ztfdb quarantine show 17", "ztfdb quarantine release --all"),
)
@click.argument("action", type=click.Choice(("list", "show", "release")))
@click.argument("job_ids", nargs=-1, type=int, metavar="[JOB…]")
@click.option("--all", "all_", is_flag=True, help="Release every image.")
@shared_options
@click.pass_context
def quarantine(ctx: click.Context, action: str, job_ids: tuple[int, ...], all_: bool) -> None:
    """List, show or release the images that were set aside.

    list prints a line for each, show the full error of some, release retries them from the start. A file that changes
    is released automatically.
    """
    if action == "release":
        _release(ctx, job_ids, all_)
        return
    if action == "show" and not job_ids:
        raise click.UsageError("show needs the number of a job, see `ztfdb quarantine list`")
    from ztfdb.codes import JobState
    from ztfdb.store.queue_reports import find_jobs

    with _writing(ctx) as session:
        jobs = find_jobs(session, (JobState.QUARANTINED,), job_ids=job_ids or None)
    missing = sorted(set(job_ids) - {job.job_id for job in jobs})
    if missing:
        raise click.UsageError(f"not in quarantine: {', '.join(map(str, missing))}")
    for job in jobs:
        for line in full_lines(job) if action == "show" else [short_line(job)]:
            say(line)


def _release(ctx: click.Context, job_ids: tuple[int, ...], all_: bool) -> None:
    if bool(job_ids) == all_:
        raise click.UsageError("release needs either the numbers of jobs or --all")
    from ztfdb.store.ingest_queue import release_quarantined
    from ztfdb.store.queue_reports import read_clock

    with _writing(ctx) as session:
        n = release_quarantined(session, None if all_ else job_ids, now=read_clock(session))
    click.echo(f"{counted(n, 'image')} released{', to be tried again' + BY if n else ''}", err=True)


def short_line(job: JobReport) -> str:
    """Return a quarantined job as one line."""
    return f"{job.job_id:>8}  {_time(job.ended)}  {job.root}:{job.path}  {job.error}: {job.reason}"


def full_lines(job: JobReport) -> Iterator[str]:
    """Yield all stored details of a quarantined job."""
    yield f"job       {job.job_id}"
    yield f"file      {job.root}:{job.path}"
    yield f"queued    {_time(job.queued)}"
    yield f"ended     {_time(job.ended)}, after {job.attempts} attempts"
    yield f"error     {job.error}: {job.reason}"
    yield from (job.detail or "").splitlines()


def _time(seconds: float | None) -> str:
    return "-" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


@contextmanager
def _writing(ctx: click.Context) -> Iterator[Session]:
    from ztfdb.store.address import mask_password
    from ztfdb.store.engine import make_engine, sessions, writing
    from ztfdb.store.revision import check_revision

    url = configuration(ctx).url
    engine = make_engine(url)
    try:
        with writing(sessions(engine)) as session:
            check_revision(session, mask_password(url))
            yield session
    finally:
        engine.dispose()
