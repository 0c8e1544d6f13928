"""``/metrics``: number, time and size of requests for Prometheus, summed over all processes."""

from __future__ import annotations

import os
from functools import cached_property
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from ztfdb import __version__
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.params import Parameters
from ztfdb.serve.service import Service, route

PROTOCOLS = ("api", "cgi-bin", "datalink", "files", "healthz", "ibe", "lightcurve", "metrics", "preview", "scs", "sia2",
             "soda", "tap")  # fmt: skip
"""First segments of paths; all others count as ``other``, so that clients cannot create new series."""

MULTIPROCESS = "PROMETHEUS_MULTIPROC_DIR"
"""Variable with the folder that several processes share for counting; prometheus_client reads it at import."""

BUCKETS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 600.0)


class Meters:
    """Counters of one process; they do nothing without prometheus_client, which the first request imports."""

    @cached_property
    def _series(self) -> _Series | None:
        try:
            import prometheus_client
        except ImportError:
            return None
        return _Series(prometheus_client)

    def opened(self, number: int) -> None:
        """Set the number of open requests."""
        if self._series is not None:
            self._series.open.set(number)

    def answered(self, path: str, method: str, status: int, seconds: float, sent: int) -> None:
        """Count a request."""
        if self._series is None:
            return
        word = path.lstrip("/").partition("/")[0]
        protocol = word if word in PROTOCOLS else "other"
        method = method if method in ("GET", "POST", "HEAD", "OPTIONS", "DELETE") else "other"
        requests, took, given = self._series.of(protocol, method, str(status))
        requests.inc()
        took.observe(seconds)
        given.inc(sent)

    def text(self) -> tuple[bytes, str]:
        """Return all metrics, and their content type.

        Raises
        ------
        ServiceError
            If prometheus_client is not installed.
        """
        if self._series is None:
            raise ServiceError("metrics are not available here: the extra metrics is not installed", 404)
        return self._series.text()


class _Series:
    """The series of `Meters`, made with the module prometheus_client.

    Attributes
    ----------
    open : prometheus_client.Gauge
        Requests that are open.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._of: dict[tuple[str, ...], tuple[Any, Any, Any]] = {}
        self._registry = client.CollectorRegistry()
        own: dict[str, Any] = {"registry": self._registry}
        labels = ["protocol", "method", "status"]
        self._requests = client.Counter("ztfdb_http_requests", "Requests answered.", labels, **own)
        self._seconds = client.Histogram(
            "ztfdb_http_seconds", "Time until a request was answered.", ["protocol"], buckets=BUCKETS, **own
        )
        self._bytes = client.Counter("ztfdb_http_sent_bytes", "Bytes of answers.", ["protocol"], **own)
        self.open = client.Gauge("ztfdb_http_open", "Requests that are open.", multiprocess_mode="livesum", **own)
        build = client.Gauge("ztfdb_build_info", "1, with the version.", ["version"], multiprocess_mode="max", **own)
        build.labels(__version__).set(1)
        if MULTIPROCESS not in os.environ:
            client.ProcessCollector(registry=self._registry)

    def of(self, *labels: str) -> tuple[Any, Any, Any]:
        """Return the cached series of some labels; prometheus_client's look-up takes as long as a small request."""
        if labels not in self._of:
            protocol = labels[0]
            made = self._requests.labels(*labels), self._seconds.labels(protocol), self._bytes.labels(protocol)
            self._of[labels] = made
        return self._of[labels]

    def text(self) -> tuple[bytes, str]:
        """Return all metrics, and their content type."""
        registry = self._registry
        if MULTIPROCESS in os.environ:
            from prometheus_client import multiprocess

            registry = self._client.CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return self._client.generate_latest(registry), self._client.CONTENT_TYPE_LATEST


async def metrics(request: Request, service: Service, params: Parameters) -> Response:
    """Return all metrics."""
    content, media_type = request.state.meters.text()
    return Response(content, headers={"Content-Type": media_type, "Cache-Control": "no-store"})


def routes() -> list[BaseRoute]:
    """Return the route."""
    return [route("/metrics", metrics, methods=("GET",))]
