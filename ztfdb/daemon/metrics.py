"""What the daemon tells Prometheus: counters of what it did, gauges of how the queue stands when it is asked."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from threading import Thread
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import Session, sessionmaker

from ztfdb import __version__
from ztfdb.errors import ConfigError, MissingExtraError, StoreError
from ztfdb.ingest.report import ImageOutcome, Outcome
from ztfdb.store.queue_reports import queue_summary, read_clock

if TYPE_CHECKING:
    from ztfdb.ingest.loop import Loop

SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Upper ends of the histogram's bins: a quadrant takes one second, a crowded one three."""

logger = logging.getLogger(__name__)


class Metrics:
    """An endpoint ``http://host:port/metrics``, served by a thread.

    Parameters
    ----------
    sessions : sessionmaker
        Asked for the state of the queue at every scrape.
    port : int
        0 takes a free one, see `port`.
    host : str
        Address to listen on; by default this host alone.

    Attributes
    ----------
    port : int

    Raises
    ------
    MissingExtraError
        If the package ``prometheus_client`` is not installed.
    ConfigError
        If the port cannot be listened on.
    """

    def __init__(self, sessions: sessionmaker[Session], port: int, host: str = "127.0.0.1") -> None:
        try:
            import prometheus_client
        except ImportError as exc:
            raise MissingExtraError("the metrics endpoint", "metrics") from exc
        registry = prometheus_client.CollectorRegistry()
        self._images = prometheus_client.Counter(
            "ztfdb_images", "Images that came to an outcome.", ["outcome"], registry=registry
        )
        for outcome in Outcome:
            self._images.labels(_label(outcome))  # a counter that is not there yet cannot be told from one at 0
        self._sources = prometheus_client.Counter("ztfdb_sources", "Sources written.", registry=registry)
        self._seconds = prometheus_client.Histogram(
            "ztfdb_image_seconds", "Time to measure and store an image.", buckets=SECONDS, registry=registry
        )
        self._workers = prometheus_client.Gauge("ztfdb_workers", "Worker processes.", registry=registry)
        self._busy = prometheus_client.Gauge("ztfdb_workers_busy", "Workers that measure.", registry=registry)
        build = prometheus_client.Gauge("ztfdb_build_info", "1, with the version.", ["version"], registry=registry)
        build.labels(__version__).set(1)
        prometheus_client.ProcessCollector(registry=registry)
        registry.register(_Queue(sessions))
        try:
            self._server, self._thread = prometheus_client.start_http_server(port, host, registry)
        except OSError as exc:
            raise ConfigError(f"no metrics on {host}:{port}: {exc.strerror or exc}") from exc
        self.port = int(self._server.server_port)
        logger.info("metrics", extra={"address": f"http://{host}:{self.port}/metrics"})

    def count(self, outcome: ImageOutcome) -> None:
        """Count one outcome."""
        self._images.labels(_label(outcome.outcome)).inc()
        self._sources.inc(outcome.n_source or 0)
        if outcome.seconds > 0:
            self._seconds.observe(outcome.seconds)

    def follow(self, loop: Loop) -> None:
        """Note how busy the workers are."""
        self._workers.set(loop.operating.jobs)
        self._busy.set(loop.n_measuring)

    def stop(self) -> None:
        """Listen no more."""
        self._server.shutdown()
        self._server.server_close()
        thread: Thread = self._thread
        thread.join()


class _Queue:
    """The gauges of the queue, asked for at every scrape; an archive that is away is a metric, too."""

    def __init__(self, sessions: sessionmaker[Session]) -> None:
        self._sessions = sessions

    def describe(self) -> list[Any]:
        """Name nothing in advance: registering must not ask the database."""
        return []

    def collect(self) -> Iterator[Any]:
        """Yield the gauges."""
        from prometheus_client.core import GaugeMetricFamily

        try:
            with self._sessions() as session:
                facts = queue_summary(session, now=read_clock(session), n_error=0)
        except StoreError:
            facts = None
        yield GaugeMetricFamily("ztfdb_database_up", "Whether the archive answers.", value=float(facts is not None))
        if facts is None:
            return
        jobs = GaugeMetricFamily("ztfdb_queue_jobs", "Jobs in the archive's queue.", labels=["state"])
        for state, n in facts["jobs"].items():
            jobs.add_metric([state], n)
        yield jobs
        oldest = facts["oldest_waiting_s"] or 0.0
        help_ = "Since when the oldest job that is due waits; 0 without one."
        yield GaugeMetricFamily("ztfdb_queue_oldest_waiting_seconds", help_, value=oldest)


def _label(outcome: Outcome) -> str:
    return outcome.value.replace(" ", "_")
