#!/bin/sh
# A service that does not answer in time is three different errors of pyvo, and none that its name suggests.
#
# pyvo 1.9.1 has DALServiceError for services that fail. With a session that has a time limit, a search (TAP at once, cone) raises DALFormatError,
# as if the answer were a broken VOTable, because the request is sent while the answer is parsed. Creating a job, and reading the list of tables,
# raise requests' own ReadTimeout. Only waiting for a job raises DALServiceError. So `except DALServiceError` around a search never sees a timeout,
# and who repeats requests after errors of the service, but not after broken documents, gives up.
# What follows: catch (pyvo.dal.DALAccessError, requests.RequestException), and look at the text or `__cause__` for "timed out".
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/env"
"$work/env/bin/python" -m pip install --quiet pyvo==1.9.1 astropy==8.0.2 requests==2.34.2
cd "$work"
"$work/env/bin/python" - <<'PY'
import socket
import threading
import warnings

import pyvo
import requests

warnings.simplefilter("ignore")
JOB = b"""<?xml version="1.0"?><uws:job xmlns:uws="http://www.ivoa.net/xml/UWS/v1.0" version="1.1"><uws:jobId>1</uws:jobId>
<uws:phase>EXECUTING</uws:phase><uws:executionDuration>0</uws:executionDuration></uws:job>"""


def serve(connection):
    """Answer requests about a job that nobody waits for; all others never."""
    with connection:
        asked = connection.recv(65536)
        if b"/async/1 " in asked.split(b"\r\n")[0]:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
            connection.sendall(head % len(JOB) + JOB)
        else:
            connection.recv(65536)


def accept(listening):
    while True:
        threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()


class Impatient(requests.Session):
    def request(self, *args, **options):
        return super().request(*args, **options | {"timeout": 1})


listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=accept, args=(listening,), daemon=True).start()
base = f"http://127.0.0.1:{listening.getsockname()[1]}/tap"
service = pyvo.dal.TAPService(base, session=Impatient())
cone = pyvo.dal.SCSService(base, session=Impatient())
job = pyvo.dal.AsyncTAPJob(f"{base}/async/1", session=Impatient(), delete=False)
found = {}
for name, call in {
    "TAP search": lambda: service.search("select 1"),
    "cone search": lambda: cone.search(pos=(1, 2), radius=0.1),
    "creating a job": lambda: service.submit_job("select 1"),
    "list of tables": lambda: service.tables,
    "waiting for a job": lambda: job.wait(timeout=1),
}.items():
    try:
        call()
    except Exception as exc:
        assert "timed out" in str(exc), exc
        found[name] = type(exc).__name__
        print(f"{name}: {type(exc).__module__}.{type(exc).__name__}")
assert found == {
    "TAP search": "DALFormatError", "cone search": "DALFormatError", "creating a job": "ReadTimeout",
    "list of tables": "ReadTimeout", "waiting for a job": "DALServiceError",
}, found
PY
