"""The service behind a real nginx, set up as ``docs/service.md`` shows."""

from __future__ import annotations

import io
import os
import re
import shutil
import socket
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

from tests.support.archives import Plan, build_archive  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/bin")
pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

WHOLE = """
{user} daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{ listen 127.0.0.1:{port}; {location} }}
}}
"""


LIMITS = {"ZTFDB_SERVE_SYNC_S": "5", "ZTFDB_SERVE_MAX_ROWS_SYNC": "20000000"}


def answers(base):
    try:
        return requests.get(f"{base}/healthz", timeout=10).ok
    except requests.ConnectionError:
        return False


@pytest.fixture(scope="module")
def base(databases, tmp_path_factory):
    """Address of the service as clients of nginx see it."""
    folder = tmp_path_factory.mktemp("nginx")
    made = databases.migrated("sqlite")
    build_archive(made, Plan(200, 20))
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    (location,) = re.findall(r"```nginx\n(.*?)```", page, re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with Serving(reader_url(made), "--root-path", "/ztf", "--proxies", "127.0.0.1", environ=LIMITS) as served:
        location = location.replace("http://127.0.0.1:8000", served.base)
        assert served.base in location
        user = "user root;" if os.geteuid() == 0 else ""  # who else cannot enter this folder
        config = folder / "nginx.conf"
        config.write_text(WHOLE.format(folder=folder, port=port, location=location, user=user))
        process = subprocess.Popen([NGINX, "-c", config], stderr=subprocess.PIPE, text=True)
        try:
            wait_until(lambda: answers(f"http://127.0.0.1:{port}/ztf"))
            yield f"http://127.0.0.1:{port}/ztf"
        finally:
            process.terminate()
            process.communicate()
    databases.drop(made)


def ask(base, statement, files=None, **params):
    data = {"LANG": "ADQL", "QUERY": statement, **params}
    return requests.post(f"{base}/tap/sync", data=data, files=files, stream=True, timeout=60)


def test_links_begin_with_the_address_of_nginx(base):
    assert f">{base}/tap<" in requests.get(f"{base}/tap/capabilities", timeout=60).text
    link = ask(base, "select top 1 access_url from ivoa.obscore", FORMAT="csv").text.split()[1]
    assert link.startswith(f"{base}/datalink/links?")
    assert requests.get(link, timeout=60).ok


def test_a_table_of_two_megabytes_is_sent(base):
    table = Table({"ra": np.linspace(179.9, 180.1, 60_000), "dec": np.full(60_000, 10.0)})
    stream = io.BytesIO()
    table.write(stream, format="votable")
    assert stream.tell() > 2_000_000
    answer = ask(
        base, "select count(*) as n from tap_upload.t", {"f": stream.getvalue()}, UPLOAD="t,param:f", FORMAT="csv"
    )
    assert answer.text.split() == ["n", "60000"]


def test_an_answer_that_was_cut_off_is_no_whole_one(base):
    """A file of csv has no place for an error, and nginx asks in HTTP/1.0, where the end of a connection is an end."""
    answer = ask(base, "select a.ra, b.dec from ztf.source a, ztf.source b", FORMAT="csv", MAXREC="20000000")
    assert answer.status_code == 200
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        list(answer.iter_content(1 << 20))
