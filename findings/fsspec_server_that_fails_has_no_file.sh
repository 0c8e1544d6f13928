#!/bin/sh
# A server that answers 503, or is off, has no such file: fsspec and pyarrow cannot be told from a file that is missing.
#
# fsspec 2026.9.0 (aiohttp 3.14.5): `info` and `open` of its HTTP file system turn every failure into FileNotFoundError, here of a 503 and of a port where nobody listens; `exists` and `isfile` say
# False, `glob` finds nothing. Only the error's `__cause__` says why. `cat_file` of the same URL raises the ClientResponseError with its status, or the ClientConnectorError. pyarrow 26.0.1
# asks `isfile` before it opens a file of an fsspec file system, so `parquet.read_table(url, filesystem=…)` raises a FileNotFoundError without a cause, and `get_file_info` says
# `FileType.NotFound` for a server that is only busy.
# What follows: "if it does not exist, make it anew" is wrong after `exists`. Read small files with `cat_file`, open others with `filesystem.open`, and look at the cause.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet fsspec==2026.9.0 aiohttp==3.14.5 pyarrow==26.0.1 numpy==2.4.6
cd "$work"
cat >run.py <<'PY'
import http.server
import socket
import threading

import aiohttp
import fsspec
from pyarrow import fs, parquet


class Busy(http.server.BaseHTTPRequestHandler):
    status = 503

    def do_GET(self):
        self.send_response(self.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_):
        pass


def error_of(function, *arguments, **options):
    try:
        function(*arguments, **options)
    except Exception as exc:
        return exc
    raise AssertionError("no error")


server = http.server.HTTPServer(("127.0.0.1", 0), Busy)
threading.Thread(target=server.serve_forever, daemon=True).start()
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    nobody = free.getsockname()[1]

files = fsspec.filesystem("http")
arrow = fs.PyFileSystem(fs.FSSpecHandler(files))
causes = {"busy": aiohttp.ClientResponseError, "off": aiohttp.ClientConnectorError}
for name, port in {"busy": server.server_address[1], "off": nobody}.items():
    url = f"http://127.0.0.1:{port}/table.parquet"
    opened = error_of(files.open, url)
    assert type(opened) is FileNotFoundError and isinstance(opened.__cause__, causes[name]), opened
    assert files.exists(url) is False and files.isfile(url) is False and files.glob(url) == []
    assert isinstance(error_of(files.cat_file, url), causes[name])
    read = error_of(parquet.read_table, url, filesystem=arrow)
    assert type(read) is FileNotFoundError and read.__cause__ is None, read
    assert arrow.get_file_info(url).type == fs.FileType.NotFound
    print(f"{name}: open {type(opened).__name__}, because of {opened.__cause__!s:.60}")
    print(f"{name}: exists {files.exists(url)}; pyarrow {type(read).__name__}: {str(read).replace(str(port), 'PORT')}")
server.shutdown()
PY
"$work/env/bin/python" -W ignore run.py
echo "as described"
