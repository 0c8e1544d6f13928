"""The daemon as a process: an archive, its folders, signals, and settings that can be read again."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ztfdb.config import Config
from ztfdb.daemon.inbox import Inbox
from ztfdb.daemon.metrics import Metrics
from ztfdb.daemon.signals import Signals
from ztfdb.daemon.watch import Watcher
from ztfdb.errors import ZtfdbError
from ztfdb.extract.measure import measure_image
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.executors import Executor, Measure, WorkerProcesses
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.ingest.run import frozen_settings, measuring
from ztfdb.ingest.worker_limits import Limits
from ztfdb.logs import set_up_logs, warnings_logged
from ztfdb.store.address import mask_password
from ztfdb.store.engine import make_engine, sessions
from ztfdb.store.revision import check_revision

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Watching:
    """How folders are watched; see `ztfdb.daemon.watch.Watcher`, `ztfdb.ingest.loop.Operating`."""

    settle_s: float = 2.0
    grace_s: float = 600.0
    scan_s: float = 60.0
    events: bool = True
    lease_s: float = 120.0
    retry_s: float = 60.0
    attempts: int = 6
    metrics_port: int | None = None
    metrics_host: str = "127.0.0.1"
    completeness: bool = False


def serve(
    config: Config,
    folders: Sequence[str | Path],
    watching: Watching,
    *,
    once: bool = False,
    reload: Callable[[], Config] | None = None,
) -> int:
    """Watch folders and work on the queue until SIGTERM or SIGINT.

    Parameters
    ----------
    config : Config
    folders : sequence of path
        None: only work on what others put into the queue.
    watching : Watching
    once : bool
        Leave when everything that is there has been dealt with. A signal that asks to leave earlier then comes again at
        the end, so that nobody takes it for done.
    reload : callable, optional
        Reads the configuration again, on SIGHUP. Workers, limits, data roots and logs follow it; the archive and its
        extraction settings do not.

    Returns
    -------
    int
        Images that failed, or whose PSF catalogue was refused, and paths that cannot be images. A file that is waited
        for is none of them.

    Raises
    ------
    SchemaVersionError
        If there is no archive of this revision.
    MissingExtraError
        If `watching` asks for events and ``watchdog`` is not installed, or for metrics and ``prometheus_client``.
    ConfigError
        If the port of the metrics cannot be listened on.
    """
    engine = make_engine(config.url)
    watcher = metrics = None
    try:
        maker = sessions(engine)
        with maker() as session:
            check_revision(session, mask_password(config.url))
        settings = frozen_settings(maker, None)
        watcher = Watcher(
            folders,
            settle_s=watching.settle_s,
            grace_s=watching.grace_s,
            scan_s=watching.scan_s,
            events=watching.events and not once,
        )
        if watching.metrics_port is not None:
            metrics = Metrics(maker, watching.metrics_port, watching.metrics_host)
        measure = measuring(completeness=watching.completeness)
        inbox = Inbox(maker, watcher, config.roots, None if metrics is None else metrics.count)
        loop = Loop(maker, inbox, _operating(config, watching), executor_maker(settings, measure))
        with Signals() as signals, warnings_logged():
            started = {"archive": mask_password(config.url), "folders": [str(one) for one in folders]}
            logger.info("watching", extra=started | {"jobs": config.jobs})

            def tick() -> None:
                if reload is not None and signals.take_reload():
                    _reload(loop, inbox, reload, watching, config.url)
                if metrics is not None:
                    metrics.follow(loop)

            loop.run(lambda: signals.stop, once=once, tick=tick)
    finally:
        if watcher is not None:
            watcher.stop()
        if metrics is not None:
            metrics.stop()
        engine.dispose()
    if once and signals.number is not None:
        os.kill(os.getpid(), signals.number)  # what was there is not all done: the signal ends the command
    return inbox.n_failed


def executor_maker(settings: ExtractionSettings, measure: Measure = measure_image) -> Callable[[Operating], Executor]:
    """Return what makes the daemon's executor: processes even where it is one, so that the parent can renew leases."""
    return lambda operating: WorkerProcesses(operating.jobs, settings, operating.limits, measure)


def _operating(config: Config, watching: Watching) -> Operating:
    return Operating(
        jobs=config.jobs,
        limits=Limits(config.timeout_s, config.memory_mb),
        lease_s=watching.lease_s,
        attempts=watching.attempts,
        retry_s=watching.retry_s,
        places=config.roots,
    )


def _reload(loop: Loop, inbox: Inbox, reload: Callable[[], Config], watching: Watching, url: str) -> None:
    try:
        config = reload()
    except ZtfdbError as exc:
        logger.warning("the configuration was not read again", extra={"reason": str(exc)})
        return
    set_up_logs(config.log_level, config.log_format)
    if config.url != url:
        logger.warning("the archive stays: another one needs a new start", extra={"archive": mask_password(url)})
    inbox.places = config.roots
    loop.change(_operating(config, watching))
    logger.info("configuration read again", extra={"jobs": config.jobs, "timeout_s": config.timeout_s})
