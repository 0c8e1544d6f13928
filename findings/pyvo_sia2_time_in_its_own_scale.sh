#!/bin/sh
# pyvo's SIA2 search asks 69 s beside the exposure for a time given in TDB, TT or TAI: it sends the MJD in the scale that the time has.
#
# `SIA2Service.search(time=…)` of pyvo 1.9.1 takes astropy's `Time`, which knows its scale, and sends `Time.mjd` without converting it. What comes back it
# reads as UTC: `record.t_min` is a `Time` in UTC. So the moment of a record, converted to TDB and asked for again, becomes another moment, 69.184 s later
# in 2020. Moments of light curves are often barycentric, in TDB, and exposures of surveys take 30 s: the search returns nothing, or the next exposure. An
# interval from TDB to UTC is sent as two MJD of two scales. "J2020.5" is a time in TT for astropy, and so is shifted too. Nothing is warned of.
# What follows: pass `time.utc`.
# A server on this machine notes the parameters that reach it, and answers with one row.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pyvo==1.9.1 astropy==8.0.2
cd "$work"
"$work/env/bin/python" -W ignore - <<'PY'
import io
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, HTTPServer

import astropy
import pyvo
from astropy.table import Table
from astropy.time import Time

START, END = 59000.25, 59000.25 + 30 / 86400
asked = []


class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        asked.append(urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query).get("TIME"))
        row = Table({"obs_id": ["one"], "t_min": [START], "t_max": [END]})
        text = io.BytesIO()
        row.write(text, format="votable")
        document = text.getvalue().replace(b'<RESOURCE type="results">', b'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>')
        self.send_response(200)
        self.send_header("Content-Type", "application/x-votable+xml")
        self.send_header("Content-Length", str(len(document)))
        self.end_headers()
        self.wfile.write(document)

    def log_message(self, *words):
        pass


server = HTTPServer(("127.0.0.1", 0), Answer)
threading.Thread(target=server.serve_forever, daemon=True).start()
print("pyvo", pyvo.__version__, "astropy", astropy.__version__)
service = pyvo.dal.SIA2Service(f"http://127.0.0.1:{server.server_port}/", check_baseurl=False)


def sent(time):
    asked.clear()
    found = service.search(time=time)
    return [float(word) for word in asked[0][0].split()], found


times, found = sent(Time(START, format="mjd", scale="utc"))
moment = found[0].t_min
print(f"t_min {found['t_min'][0]} is read as {moment.scale} and sent as {times[0]}")
assert moment.scale == "utc" and times[0] == START
for scale, late in (("tdb", 69.184), ("tt", 69.184), ("tai", 37.0)):
    same = getattr(moment, scale)
    assert abs((same - moment).sec) < 1e-6
    times, _ = sent(same)
    print(f"the same moment as {scale} is sent as {times[0]:.9f}, {(times[0] - START) * 86400:.3f} s later")
    assert abs((times[0] - START) * 86400 - late) < 0.01, "it is converted now"
    times, _ = sent(same.utc)
    assert abs(times[0] - START) * 86400 < 1e-3
times, _ = sent((moment, Time(END, format="mjd", scale="utc").tdb))
print(f"an exposure of 30 s from utc to tdb is sent as one of {(times[1] - times[0]) * 86400:.3f} s")
assert times[1] - times[0] > 90 / 86400
server.shutdown()
PY
echo "as described"
