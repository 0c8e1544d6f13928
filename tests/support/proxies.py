"""A reverse proxy that shows a service under a prefix, which it takes off."""

from __future__ import annotations

import http.client
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import urlsplit


class Proxy:
    """One proxy, on a port of its own.

    Parameters
    ----------
    base : str
        Address of the service.
    prefix : str
        Such as ``/ztf``.

    Attributes
    ----------
    base : str
        The service's address behind it, without a slash at the end.
    """

    def __init__(self, base: str, prefix: str) -> None:
        target = urlsplit(base)

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                if not self.path.startswith(prefix):
                    self.send_error(404)
                    return
                left = self.path[len(prefix) :]
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with closing(http.client.HTTPConnection(str(target.hostname), target.port, timeout=60)) as onward:
                    onward.request(self.command, left if left.startswith("/") else "/" + left, body, dict(self.headers))
                    found = onward.getresponse()
                    content = found.read()
                self.send_response(found.status)
                for name, value in found.getheaders():
                    if name.lower() not in ("transfer-encoding", "content-length", "connection", "date", "server"):
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self._server.server_port}{prefix}"

    def __enter__(self) -> Proxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
