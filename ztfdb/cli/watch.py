"""``ztfdb watch``: ingest files as they arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ztfdb.cli.options import Command, Number, shared, shared_options
from ztfdb.cli.session import configuration

if TYPE_CHECKING:
    from ztfdb.config import Config

POSITIVE = Number(min=0, min_open=True)


@click.command(
    cls=Command,
    examples=(
        "ztfdb watch /data/ztf --jobs 2",
        "ztfdb watch /data/ztf --once",
        "ztfdb watch --jobs 8 --metrics-port 9187",
    ),
)
@click.argument("folders", nargs=-1, metavar="[DIR…]", type=click.Path(file_okay=False))
@click.option("-j", "--jobs", type=click.IntRange(min=1), help="Worker processes.  [default: 1]")
@click.option("--once", is_flag=True, help="Exit when all files present have been processed.")
@click.option("--mask-grace", "grace_s", type=Number(min=0), default=600.0, help="Seconds for a late mask.")
@click.option("--settle", "settle_s", type=Number(min=0), default=2.0, help="Seconds without change.")
@click.option("--scan", "scan_s", type=POSITIVE, default=60.0, help="Seconds between two scans of the folders.")
@click.option("--no-events", is_flag=True, help="Scan only, without file-system events.")
@click.option("--lease", "lease_s", type=POSITIVE, default=120.0, help="Seconds until a dead process loses its jobs.")
@click.option("--retry", "retry_s", type=POSITIVE, default=60.0, help="Seconds before the second attempt.")
@click.option("--attempts", type=click.IntRange(min=1), default=6, help="Failures before an image is set aside.")
@click.option("--timeout", "timeout_s", type=POSITIVE, help="Seconds per image.")
@click.option("--memory", "memory_mb", type=click.IntRange(min=1), help="Megabytes per image.")
@click.option("--completeness", is_flag=True, help="Also add artificial stars to each image: 3 times as slow.")
@click.option("--log-format", type=click.Choice(("text", "json")), help="json: one object per line.")
@click.option("--metrics-port", type=click.IntRange(0, 65535), help="Serve metrics for Prometheus.")
@click.option("--metrics-host", help="Address for the metrics.  [default: 127.0.0.1]")
@shared_options
@click.pass_context
def watch(
    ctx: click.Context,
    /,
    folders: tuple[str, ...],
    once: bool,
    no_events: bool,
    grace_s: float,
    settle_s: float,
    scan_s: float,
    lease_s: float,
    retry_s: float,
    attempts: int,
    completeness: bool,
    jobs: int | None,
    timeout_s: float | None,
    memory_mb: int | None,
    log_format: str | None,
    metrics_port: int | None,
    metrics_host: str | None,
) -> None:
    """Ingest files as they arrive in folders.

    Runs until SIGTERM or Ctrl-C, and then finishes the images being measured; SIGHUP reloads the configuration.
    Without DIR it only works on jobs that others enqueue: several processes may share one archive, with PostgreSQL on
    several hosts. Every image is a line in the log on stderr. With --once the exit status is 1 if an image failed, a
    PSF catalogue was refused or a path could not be read; an incomplete file (too short, or its mask is missing) stays
    in the queue and does not count as a failure.
    """
    from ztfdb.daemon.service import Watching, serve

    if metrics_host is not None and metrics_port is None:
        raise click.UsageError("--metrics-host goes with --metrics-port")
    shared(ctx).verbose = max(shared(ctx).verbose, 1)  # always show the log

    def read() -> Config:
        return configuration(ctx, jobs=jobs, timeout_s=timeout_s, memory_mb=memory_mb, log_format=log_format)

    watching = Watching(
        settle_s=settle_s,
        grace_s=grace_s,
        scan_s=scan_s,
        events=not no_events,
        lease_s=lease_s,
        retry_s=retry_s,
        attempts=attempts,
        metrics_port=metrics_port,
        metrics_host=metrics_host or "127.0.0.1",
        completeness=completeness,
    )
    n_failed = serve(read(), folders, watching, once=once, reload=read)
    ctx.exit(1 if once and n_failed else 0)
