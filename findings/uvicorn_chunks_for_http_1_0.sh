#!/bin/sh
# uvicorn answers a request in HTTP/1.0 with chunks, which HTTP/1.0 does not have, if httptools parses it; with h11 it does not.
#
# uvicorn 0.54.0 uses httptools 0.9.0 where that is installed (its extra `standard`), else h11 0.16.0. An answer without Content-Length, such as any stream, then begins with
# `transfer-encoding: chunked` also for a client that asked in HTTP/1.0, and the body has the sizes of the chunks between its lines. RFC 9112 (section 6.1) forbids that, as such
# clients may take all up to the end of the connection as the body. curl --http1.0 decodes the chunks all the same; a client that reads until the end does not.
# What follows: a table that is streamed to a simple client (a socket of IDL or of a script) has lines as `4` and `0` in it, and counts them as rows. The same application with
# `--http h11` sends it whole. The other way round is of use: nginx, which asks in HTTP/1.0 unless told otherwise, does decode chunks, and sees from them that an answer was cut off;
# with h11 a cut answer and a whole one look alike to it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
cd "$work"
"$work/env/bin/python" - <<'PY'
import socket
import threading
import time

import uvicorn


async def table(scope, receive, send):
    """Stream a table of two lines, in two pieces."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/csv")]})
    await send({"type": "http.response.body", "body": b"id,mag\n", "more_body": True})
    await send({"type": "http.response.body", "body": b"1,17.5\n"})


def answer(parser, version):
    """The body as a client sees it that reads until the connection ends."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(table, http=parser, log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.05)
        with socket.create_connection(listening.getsockname(), timeout=10) as client:
            client.sendall(f"GET / HTTP/{version}\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
            found = b""
            while piece := client.recv(4096):
                found += piece
        server.should_exit = True
        thread.join()
    head, _, body = found.partition(b"\r\n\r\n")
    return b"transfer-encoding: chunked" in head.lower(), body


PLAIN, CHUNKS = b"id,mag\n1,17.5\n", b"7\r\nid,mag\n\r\n7\r\n1,17.5\n\r\n0\r\n\r\n"
for parser, version, wanted in (
    ("httptools", "1.0", (True, CHUNKS)), ("h11", "1.0", (False, PLAIN)),
    ("httptools", "1.1", (True, CHUNKS)), ("h11", "1.1", (True, CHUNKS)),
):
    found = answer(parser, version)
    print(f"{parser}, HTTP/{version}: chunked {found[0]}, body {found[1]!r}")
    assert found == wanted, found
print("as described")
PY
