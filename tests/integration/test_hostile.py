"""A service among clients that mean it no good: bounded memory, no failure, nothing written, nothing told."""

from __future__ import annotations

import contextlib
import json
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path
from urllib.parse import urlsplit

import pytest

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

import ztfdb  # noqa: E402
from tests.support.archives import Plan, build_archive  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402

MOST_OPEN = 60
LIMITS = {
    "ZTFDB_SERVE_SYNC_S": "3",
    "ZTFDB_SERVE_BODY_S": "5",
    "ZTFDB_SERVE_CONNECTIONS": str(MOST_OPEN),
    "ZTFDB_SERVE_BODY_MB": "12",
}
MEMORY_MB = 250
"""What all of these together may add to the memory of the service: a body of 12 MB is there in several forms."""


@pytest.fixture(scope="module", params=ENGINES)
def url(request, databases):
    """A small archive, as a role that may only read."""
    made = databases.migrated(request.param)
    build_archive(made, Plan(800, 6))
    yield reader_url(made)
    databases.drop(made)


@pytest.fixture(scope="module")
def served(url):
    """A service with tight limits. At its end, it has not failed once, has kept its memory, and has written nothing."""
    before = content_of(url)
    with Serving(url, "--log-format", "json", environ=LIMITS) as service:
        assert requests.get(f"{service.base}/api/v1/status", timeout=60).ok  # warm
        memory = memory_mb(service.pid)
        yield service
        assert requests.get(f"{service.base}/healthz", timeout=60).ok
        assert memory_mb(service.pid) < memory + MEMORY_MB
        lines = [json.loads(line) for line in service.log if line.startswith("{")]
        assert {line["status"] for line in lines if "status" in line} & set(range(500, 600)) <= {503}
    assert content_of(url) == before


def content_of(url: str) -> list:
    """Rows of every table, counted, and the newest ids."""
    with ztfdb.open(url, read_only=True) as archive:
        tables = ("image", "source", "image_file", "forced_source", "object", "archive_meta")
        return [int(archive.sql(f"select count(*) as n from {name}")["n"][0]) for name in tables]


def memory_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024.0


def refused(answer) -> None:
    """The answer says no, in words, and shows nothing of the machine."""
    assert 400 <= answer.status_code < 500, (answer.status_code, answer.text[:300])
    for secret in ("root:", "/tmp/", "Traceback", "sqlite:///", "ztfdb_reader"):
        assert secret not in answer.text


def adql(served, text: str, **params):
    """Ask a statement."""
    return requests.post(f"{served.base}/tap/sync", data={"LANG": "ADQL", "QUERY": text, **params}, timeout=60)


@pytest.mark.parametrize(
    "text",
    [
        f"select {'(' * 20_000}1{')' * 20_000} from ztf.image",
        f"select * from ztf.image where {'not ' * 15_000}1=1",
        "select " + "+".join(["1"] * 30_000) + " from ztf.image",
        "select 1 from " + "(select * from " * 3_000 + "ztf.image" + ")" * 3_000,
        "select '" + "x" * 10_000_000 + "' from ztf.image",
    ],
    ids=["parentheses", "not", "sum", "subqueries", "ten megabytes"],
)
def test_deep_and_long_statements_are_refused(served, text):
    refused(adql(served, text))


def test_deep_and_large_json_is_refused(served):
    path = f"{served.base}/api/v1/lightcurves"
    head = {"Content-Type": "application/json"}
    refused(requests.post(path, data='{"ra": ' + "[" * 200_000, headers=head, timeout=60))
    refused(requests.post(path, data='{"ra": ' + "[" * 50_000 + "]" * 50_000 + "}", headers=head, timeout=60))
    refused(requests.post(path, data=b"[" + b"1," * 8_000_000 + b"1]", headers=head, timeout=60))
    refused(requests.post(path, data=b'{"ra": [1e999], "dec": [0]}', headers=head, timeout=60))
    refused(requests.post(path, data=b"\xff\xfe\x00", headers=head, timeout=60))


def test_a_cross_join_is_stopped_while_others_are_answered(served):
    found = []

    def cross() -> None:
        found.append(adql(served, "select count(*) from ztf.source a, ztf.source b, ztf.source c"))

    threads = [threading.Thread(target=cross) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    while any(thread.is_alive() for thread in threads):
        assert requests.get(f"{served.base}/scs?RA=180&DEC=10&SR=0.001", timeout=30).ok
    for answer in found:
        refused(answer)
        assert "time limit of 3 s" in answer.text


def raw(served, request: bytes, timeout: float = 30.0) -> bytes:
    """What the service answers to bytes."""
    host, port = urlsplit(served.base).netloc.split(":")
    with socket.create_connection((host, int(port)), timeout=timeout) as connection:
        connection.sendall(request)
        parts = []
        with contextlib.suppress(TimeoutError, ConnectionResetError):
            while piece := connection.recv(65_536):
                parts.append(piece)
                if b"\r\n\r\n" in b"".join(parts) and b"connection: close" not in request.lower():
                    break
        return b"".join(parts)


def test_vanished_and_slow_clients_leave_the_service_as_it_was(served):
    host, port = urlsplit(served.base).netloc.split(":")
    body = b"LANG=ADQL&QUERY=select+count(*)+from+ztf.source+a,ztf.source+b,ztf.source+c"
    head = b"POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    for _ in range(10):
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    slow = [socket.create_connection((host, int(port))) for _ in range(20)]
    for one in slow:
        one.sendall(head + b"Content-Length: 1000\r\n\r\nLANG")
    assert requests.get(f"{served.base}/healthz", timeout=30).ok
    deadline = time.monotonic() + 30
    for one in slow:  # each is let go within the limit of five seconds
        one.settimeout(max(deadline - time.monotonic(), 0.1))
        assert one.recv(100).startswith(b"HTTP/1.1 408")
        one.close()


def test_more_requests_than_may_be_open_are_told_to_come_again(served):
    host, port = urlsplit(served.base).netloc.split(":")
    head = (
        b"POST /scs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 9\r\n\r\n"
    )
    held = [socket.create_connection((host, int(port))) for _ in range(MOST_OPEN)]
    for one in held:
        one.sendall(head)
    time.sleep(1.0)
    answer = requests.get(f"{served.base}/healthz", timeout=30)
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    for one in held:
        one.close()
    deadline = time.monotonic() + 20
    while not requests.get(f"{served.base}/healthz", timeout=30).ok:
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_a_head_that_never_ends_is_refused_before_it_fills_the_memory(served):
    host, port = urlsplit(served.base).netloc.split(":")
    before = memory_mb(served.pid)
    with socket.create_connection((host, int(port)), timeout=30) as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 500_000_000:
                endless.sendall(b"X-Padding: " + b"a" * 60_000 + b"\r\n")
                sent += 60_000
        assert sent < 20_000_000  # what lies in the sockets' buffers when the service has had enough
    assert memory_mb(served.pid) < before + 20


def test_a_head_that_does_not_come_is_not_awaited_for_ever(served):
    host, port = urlsplit(served.base).netloc.split(":")
    for begin, end in ((b"", b""), (b"GET /heal", b"HTTP/1.1 408"), (b"GET / HTTP/1.1\r\nX: ", b"HTTP/1.1 408")):
        with socket.create_connection((host, int(port)), timeout=30) as slow:
            slow.sendall(begin)
            began = time.monotonic()
            assert slow.recv(100)[:12] == end
            assert time.monotonic() - began < 20
    with socket.create_connection((host, int(port)), timeout=30) as kept:  # also the second head of a connection
        kept.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += kept.recv(4000).rstrip()
        assert answer.startswith(b"HTTP/1.1 200")
        kept.sendall(b"GET /heal")
        assert b"408" in kept.recv(4000)[:20]


def connected(served, n, source="127.0.0.2", says=b""):
    """So many connections of another client, which says the same on each at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n + 500:
        if hard != resource.RLIM_INFINITY and hard < n + 500:
            pytest.skip(f"the system allows {hard} files")
        resource.setrlimit(resource.RLIMIT_NOFILE, (n + 500, hard))
    host, port = urlsplit(served.base).netloc.split(":")
    opened = []
    for _ in range(n):
        opened.append(socket.create_connection((host, int(port)), timeout=60, source_address=(source, 0)))
        with contextlib.suppress(ConnectionError):
            opened[-1].sendall(says)
    return opened


def test_a_thousand_requests_at_once_are_answered_or_told_to_come_again(served):
    # a connection too many that says nothing is closed after a second, which 1,000 of them may take on a busy machine
    opened = connected(
        served, 1_000, says=b"GET /scs?RA=180&DEC=10&SR=0.001 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    answers = []
    for one in opened:
        parts = []
        with contextlib.suppress(ConnectionResetError):
            while piece := one.recv(65_536):
                parts.append(piece)
        answers.append(b"".join(parts))
        one.close()
    statuses = [answer[9:12] for answer in answers]
    assert set(statuses) <= {b"200", b"503"}
    assert statuses.count(b"200") > 0 and statuses.count(b"503") > 0
    assert all(b"\r\nretry-after: " in answer.lower() for answer in answers if answer[9:12] == b"503")
    deadline = time.monotonic() + 20
    while not requests.get(f"{served.base}/healthz", timeout=30).ok:
        assert time.monotonic() < deadline


def seconds(served, n=30):
    """Half of so many requests take less than this."""
    took = []
    for _ in range(n):
        began = time.perf_counter()
        assert requests.get(f"{served.base}/scs?RA=180&DEC=10&SR=0.001", timeout=30).ok
        took.append(time.perf_counter() - began)
    return statistics.median(took)


def test_a_thousand_slow_silent_and_vanished_clients_do_not_slow_others(url):
    """More than half of them hold a request open; a few hundred come and go."""
    with Serving(url, "--log-format", "json", environ=LIMITS | {"ZTFDB_SERVE_CONNECTIONS": "1000"}) as service:
        seconds(service)
        usual, memory = seconds(service), memory_mb(service.pid)
        opened = connected(service, 1_000)
        head = b"POST /tap/sync HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        for number, one in enumerate(opened):
            if number % 4 == 1:
                one.sendall(b"GET /tap/sync?QUERY=select")
            elif number % 4 > 1:
                one.sendall(head + b"Content-Length: 1000\r\n\r\nLANG")
        took = []
        for _ in range(3):  # and others go before they are answered
            gone = connected(service, 100, "127.0.0.3")
            for one in gone:
                one.sendall(head + b"Content-Length: %d\r\n\r\n" % len(CROSS) + CROSS)
                one.close()
            took.append(seconds(service, 10))
        assert min(took) < 2 * usual + 0.02, (took, usual)  # the best: the machine has other work, too
        assert memory_mb(service.pid) < memory + 100
        for one in opened:
            with contextlib.suppress(ConnectionResetError):
                assert one.recv(100)[:12] in (b"", b"HTTP/1.1 408")
            one.close()
        lines = [json.loads(line) for line in service.log if line.startswith("{")]
        assert {line["status"] for line in lines if "status" in line} & set(range(500, 600)) <= {503}
        assert service.stop() == 0


CROSS = b"LANG=ADQL&QUERY=select+count(*)+from+ztf.source+a,ztf.source+b,ztf.source"


@pytest.mark.parametrize(
    "path",
    [
        "/../../../../etc/passwd", "/files/../../etc/passwd", "/files/%2e%2e%2f%2e%2e%2fetc/passwd/sci", "//etc/passwd",
        "/ibe/data/ztf/products/sci/..%2f..%2f..%2f..%2fetc%2fpasswd", "/ibe/data/ztf/products//etc/passwd",
        "/api/v1/stamp/1.png/../../../etc/passwd", "/tap/async/..%2f..%2fetc%2fpasswd", "/tap/tables/..%2f%00",
        "/api/v1/night/%00", "/api/v1/object/1%00", "/datalink/links?ID=../../etc/passwd", "/soda/sync?ID=/etc/passwd",
        "/cgi-bin/ZTF/../../etc/passwd", "http://127.0.0.1:1/etc/passwd", "/%ff%fe",
    ],
)  # fmt: skip
def test_paths_lead_nowhere(served, path):
    answer = raw(served, f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert b"root:" not in answer
    assert answer.split()[1][:1] in (b"2", b"4"), answer[:200]
    if path.startswith(("/datalink", "/soda")):
        return  # told in a document of their own
    assert answer.split()[1].startswith(b"4"), answer[:200]


@pytest.mark.parametrize(
    "address",
    [
        "{base}/healthz", "http://localhost:{port}/healthz", "http://[::1]:{port}/", "http://0/", "http://2130706433/",
        "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "ftp://127.0.0.1/", "gopher://127.0.0.1/",
        "{base}@127.0.0.1/", "{base}/tap/async/../../healthz",
    ],
)  # fmt: skip
def test_uploads_by_address_are_refused_and_never_fetched(served, address):
    address = address.format(base=served.base, port=urlsplit(served.base).port)
    n_line = len(served.log)
    refused(adql(served, "select * from tap_upload.mine", UPLOAD=f"mine,{address}"))
    time.sleep(0.2)
    assert sum('"path": "/healthz"' in line for line in served.log[n_line:]) == 0


TABLE = """<VOTABLE version="1.4"><RESOURCE><TABLE><FIELD name="ra" datatype="char" arraysize="*"/>
<DATA><TABLEDATA><TR><TD>&{entity};</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"""
LETTERS = "abcdefghij"
ENTITIES = '<!ENTITY a "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa">' + "".join(
    f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in pairwise(LETTERS)
)
BOMB = f'<?xml version="1.0"?><!DOCTYPE x [{ENTITIES}]>{TABLE.format(entity="j")}'
OUTSIDE = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>{TABLE.format(entity="a")}'


def test_bombs_of_xml_are_refused_and_no_file_is_read(served):
    data = {"LANG": "ADQL", "QUERY": "select * from tap_upload.mine", "UPLOAD": "mine,param:file"}
    for document in (BOMB, "<VOTABLE>" * 50_000):
        files = {"file": ("mine.vot", document.encode())}
        refused(requests.post(f"{served.base}/tap/sync", data=data, files=files, timeout=60))
    files = {"file": ("mine.vot", OUTSIDE.encode())}
    answer = requests.post(f"{served.base}/tap/sync", data=data, files=files, timeout=60)
    assert "<TD></TD>" in answer.text or answer.status_code == 400  # an entity from outside is nothing
    assert "root:" not in answer.text


def test_jobs_do_not_fill_the_disk(url):
    """One megabyte of room: statements and tables that are sent with jobs count, whether these run or not."""
    path = {"LANG": "ADQL", "QUERY": "select * from tap_upload.mine", "UPLOAD": "mine,param:file"}
    with Serving(url, environ=LIMITS | {"ZTFDB_SERVE_SPOOL_MB": "1"}) as service:
        address = f"{service.base}/tap/async"
        refused(requests.post(address, data={**path, "QUERY": "select " + "1," * 5_000_000 + "1"}, timeout=60))
        refused(requests.post(address, data={**path, "OTHER": "x" * 200_000}, timeout=60))
        statuses, made = [], []
        for _ in range(5):
            files = {"file": ("mine.vot", b" " * 400_000)}
            answer = requests.post(address, data=path, files=files, timeout=60, allow_redirects=False)
            statuses.append(answer.status_code)
            made.append(answer.headers.get("Location"))
        assert statuses == [303, 303, 503, 503, 503]
        assert int(answer.headers["Retry-After"]) > 0
        refused(requests.post(f"{made[0]}/parameters", data={"QUERY": "x" * 200_000}, timeout=60))
        assert requests.post(address, data={"QUERY": "select 1 from image"}, timeout=60).ok  # without a table
        assert requests.delete(made[0], timeout=60).ok
        again = requests.post(address, data=path, files=files, timeout=60, allow_redirects=False)
        assert again.status_code == 303


def test_headers_are_not_made_by_clients(served):
    for path in ("/ibe/data/ztf/products/x%0d%0aSet-Cookie:%20a=b", "/tap/sync?FORMAT=csv%0d%0aSet-Cookie:%20a=b",
                 "/api/v1/lightcurve?ra=1&dec=2%0d%0aSet-Cookie:%20a=b", "/%0d%0aSet-Cookie:a=b"):  # fmt: skip
        answer = requests.get(served.base + path, timeout=30)
        assert "Set-Cookie" not in answer.headers
        refused(answer)
    answer = raw(served, b'GET /tap/capabilities HTTP/1.1\r\nHost: x"><script>\r\nConnection: close\r\n\r\n')
    assert b"<script>" not in answer
    large = raw(served, b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n")
    assert large[:10] in (b"", b"HTTP/1.1 4")
    for text in (b"\x16\x03\x01\x02\x00\x01", b"GET\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"):
        assert raw(served, text, 3.0)[:12] in (b"", b"HTTP/1.1 400")


def test_schemathesis_finds_no_failure(served, tmp_path):
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists() and shutil.which("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    done = subprocess.run(
        [str(program), "run", f"{served.base}/api/v1/openapi.json", "--checks", "not_a_server_error", "--phases",
         "examples,fuzzing", "--max-examples", "5", "--seed", "1", "--request-timeout", "60", "--no-color"],
        capture_output=True, text=True, timeout=500, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
