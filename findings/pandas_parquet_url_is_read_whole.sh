#!/bin/sh
# pandas.read_parquet of one column at a URL fetches the whole file; `columns` saves memory and no traffic.
#
# Parquet is made for reading one column of many by byte ranges, and pandas' documentation says of `columns` that only these are read from the file. pandas 3.1.1, given an
# http(s) address, fetches the file from its first byte to its last into memory, without a request for a range, and picks the columns there: 20 MB where the column has 1 MB. That is so
# with fsspec and aiohttp installed as well. `filters` do not help either. polars 2.1.0 asks for two ranges, and takes little more than the column.
# What follows: read partitions of catalogues that lie on web servers by polars, `polars.scan_parquet(url).select(columns).collect().to_pandas()`.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pandas==3.1.1 pyarrow==26.0.1 polars==2.1.0 fsspec==2026.9.0 aiohttp==3.14.5 numpy==2.4.6
cd "$work"
"$work/env/bin/python" - <<'PY'
import http.server
import re
import threading

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

rng = np.random.default_rng(1)
pq.write_table(pa.table({f"c{k:02}": rng.normal(size=100_000) for k in range(20)}), "wide.parquet")
with open("wide.parquet", "rb") as file:
    DATA = file.read()
COLUMN = pq.read_metadata("wide.parquet").row_group(0).column(3).total_compressed_size
sent, ranges = 0, 0


class Server(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *ignored):
        """Say nothing."""

    def do_HEAD(self):
        self.answer()

    def do_GET(self):
        global sent
        part = self.answer()
        sent += len(part)
        try:
            self.wfile.write(part)
        except ConnectionError:  # a client that has seen enough
            self.close_connection = True

    def answer(self):
        """Send the head of an answer; return its bytes."""
        global ranges
        first, last = 0, len(DATA) - 1
        wanted = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if wanted:
            ranges += 1
            start, end = wanted.groups()
            first, last = (int(start), min(last, int(end or last))) if start else (len(DATA) - int(end), last)
        self.send_response(206 if wanted else 200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(last + 1 - first))
        if wanted:
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(DATA)}")
        self.end_headers()
        return DATA[first : last + 1]


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}/wide.parquet"


def fetched(name, call):
    global sent, ranges
    sent = ranges = 0
    call()
    print(f"{name:22} {sent / 1e6:5.1f} MB, {ranges} ranges")
    return sent, ranges


print(f"the file has {len(DATA) / 1e6:.1f} MB, the column {COLUMN / 1e6:.1f} MB")
plain = fetched("pandas", lambda: pd.read_parquet(url, columns=["c03"]))
filtered = fetched("pandas with filters", lambda: pd.read_parquet(url, columns=["c03"], filters=[("c03", ">", 99)]))
polars = fetched("polars", lambda: pl.scan_parquet(url).select("c03").collect().to_pandas())
assert plain == filtered == (len(DATA), 0), "ranges are asked for now"
assert COLUMN <= polars[0] < 2 * COLUMN
PY
echo "as described"
