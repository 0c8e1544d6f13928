#!/bin/sh
# polars cannot read the CSV answer of a query from its URL, and runs the query three or four times before it says so.
#
# A TAP service answers `…/sync?QUERY=…&FORMAT=csv` with rows as they come: the body is chunked, without a length. `pandas.read_csv(url)` asks once and reads it. polars 2.1.0 treats
# any http address as an object of a store: `read_csv` and `scan_csv` ask HEAD, then GET for the first four bytes, and both again. Each of them is the whole
# query for the service. They end with "Content-Length Header missing from response", and where a length is given and ranges are not served (status 200, as HTTP allows), with "Range request not supported".
# What follows: read the bytes first, `polars.read_csv(urllib.request.urlopen(url).read())`; a service of computed answers gains nothing by a length alone.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet polars==2.1.0 pandas==3.1.1 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pandas as pd
import polars as pl

ROWS = b"id,ra\n" + b"".join(b"%d,%d.5\n" % (2**60 + k, k) for k in range(5))
asked = []


class Service(BaseHTTPRequestHandler):
    """Answers each request with the same rows: chunked, or with their length where the path says so."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        asked.append((self.command, self.headers.get("Range")))
        self.send_response(200)
        self.send_header("Content-Type", "text/csv")
        if self.path.startswith("/length"):
            self.send_header("Content-Length", str(len(ROWS)))
        else:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        if self.path.startswith("/length"):
            self.wfile.write(ROWS)
        else:
            self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(ROWS), ROWS))

    def log_message(self, *words):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
threading.Thread(target=server.serve_forever, daemon=True).start()
for path, words in (("chunked", "Content-Length Header missing"), ("length", "Range request not supported")):
    url = f"http://127.0.0.1:{server.server_port}/{path}/sync?QUERY=select+id,ra+from+star&FORMAT=csv"
    asked.clear()
    assert pd.read_csv(url).shape == (5, 2) and asked == [("GET", None)]
    with urllib.request.urlopen(url) as answer:
        assert pl.read_csv(answer.read())["id"].to_list() == [2**60 + k for k in range(5)]
    for name, read in (("read_csv", pl.read_csv), ("scan_csv", lambda where: pl.scan_csv(where).collect())):
        asked.clear()
        try:
            read(url)
        except OSError as error:
            print(f"{path}: {name} asked {asked}: {str(error).split(' (')[0]}")
            assert words in str(error)
        else:
            raise SystemExit(f"{name} reads it now")
        assert len(asked) >= 3 and asked[0][0] == "HEAD"
PY
echo "as described"
