"""``ztfdb serve`` as a process: it starts, answers, keeps its bounds, and ends when it is told to."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

import ztfdb  # noqa: E402
from tests.support.archives import Plan, build_archive  # noqa: E402
from tests.support.children import children_of  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402
from ztfdb.cli.app import application  # noqa: E402
from ztfdb.cli.serve import IMPORTED_LATER  # noqa: E402
from ztfdb.errors import ConfigError, QueryError, SchemaVersionError, ServiceRefusedError  # noqa: E402
from ztfdb.serve.api.models import Problem  # noqa: E402
from ztfdb.serve.app import Settings  # noqa: E402
from ztfdb.serve.limits import Limits  # noqa: E402
from ztfdb.serve.run import Listening, serve  # noqa: E402


@pytest.fixture(scope="module", params=ENGINES)
def url(request, databases):
    """A small archive, as a role that may only read."""
    made = databases.migrated(request.param)
    build_archive(made, Plan(50, 4))
    yield reader_url(made)
    databases.drop(made)


@pytest.fixture(scope="module")
def sqlite_url(databases):
    """A small archive in SQLite."""
    made = databases.migrated("sqlite")
    build_archive(made, Plan(50, 4))
    yield made
    databases.drop(made)


@pytest.fixture(scope="module")
def served(url):
    """A service of the archive."""
    with Serving(url, "--log-format", "json", environ={"ZTFDB_SERVE_BODY_S": "2"}) as service:
        yield service


def test_one_line_is_printed_and_sigterm_ends_it_well(url):
    with Serving(url) as service:
        assert requests.get(service.base + "/healthz", timeout=10).json()["status"] == "ok"
        assert service.stop() == 0
    assert len(service.out) == 1
    assert re.fullmatch(r"listening on http://127\.0\.0\.1:[1-9]\d*/\n", service.out[0])


@pytest.mark.slow
def test_an_answer_that_nobody_reads_is_cut_off_at_the_end_without_a_traceback(url):
    with Serving(url) as service, socket.socket() as client:
        host, port = service.base.removeprefix("http://").split(":")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect((host, int(port)))
        query = "select+*+from+ztf.source+as+a,ztf.source+as+b"
        client.sendall(f"GET /tap/sync?LANG=ADQL&FORMAT=csv&QUERY={query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client.recv(12) == b"HTTP/1.1 200"
        assert service.stop() == 0
    log = "".join(service.log)
    assert "cut off: the service ends" in log
    assert "Traceback" not in log


def test_several_processes_answer_and_a_dead_one_is_replaced(sqlite_url):
    with Serving(sqlite_url, "--workers", "2") as service:
        children = sorted(children_of(service.pid))
        assert len(children) >= 2
        assert requests.get(service.base + "/healthz", timeout=10).ok
        for n, killed in enumerate([pid for pid in children if "spawn_main" in command_of(pid)], start=1):
            os.kill(killed, signal.SIGKILL)
            wait_until(lambda n=n: sum("replaced" in line for line in service.log) == n)
        wait_until(lambda: answers(service), 60.0)  # both are new
        assert sum("replaced" in line for line in service.log) == 2
        assert service.stop(signal.SIGINT) == 0
    assert len(service.out) == 1


def answers(service):
    try:
        return requests.get(service.base + "/healthz", timeout=10).ok
    except requests.ConnectionError:
        return False


def test_every_answer_has_an_id_that_the_log_knows(served):
    answer = requests.get(served.base + "/healthz", timeout=10)
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    line = logged(served, answer.headers["X-Request-Id"])
    assert (line["status"], line["method"], line["path"]) == (200, "GET", "/healthz")


def test_an_empty_answer_is_no_line_of_its_own_in_the_log(served):
    """Its client is told; a bare line, with a path of Python, would break a log of JSON."""
    questions = (
        "/scs?RA=10&DEC=-60&SR=0.001",
        "/lightcurve?POS=CIRCLE 10 -60 0.0004",
        "/cgi-bin/ZTF/nph_light_curves?POS=CIRCLE 10 -60 0.0004",
        "/api/v1/cone?ra=10&dec=-60&radius=2",
        "/ibe/search/ztf/products/sci?POS=10,-60",
    )
    for question in questions:
        answer = requests.get(served.base + question, timeout=30)
        assert answer.status_code == 200, answer.text
        logged(served, answer.headers["X-Request-Id"])
    assert not [line for line in served.log if "EmptyAnswerWarning" in line]


def test_what_is_not_there_is_told_and_shows_nothing(served):
    answer = requests.get(served.base + "/no/../such/%2e%2e/path", timeout=10)
    assert answer.status_code == 404
    assert answer.json() == {"error": "Not Found"}
    assert requests.delete(served.base + "/healthz", timeout=10).status_code == 405


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/healthz",
        "/api/v1/lightcurve?ra=180&dec=10",
        "/api/v1/images?ra=180&dec=10",
        "/api/v1/lightcurve?ra=x&dec=10",
        "/api/v1/status",
        "/api/v1/coverage",
        "/api/v1/coverage.moc?format=fits",
        "/api/v1/openapi.json",
        "/api/v1/nothing",
        "/scs?RA=180&DEC=10&SR=0.001",
    ],
)
def test_head_is_get_without_the_body(served, path):
    head, get = (requests.request(method, served.base + path, timeout=30) for method in ("HEAD", "GET"))
    assert head.status_code == get.status_code
    assert head.content == b""
    for name in ("Content-Type", "Content-Length", "X-Content-Type-Options"):
        assert (name, head.headers.get(name)) == (name, get.headers.get(name))


def test_a_long_address_is_refused(served):
    answer = requests.get(served.base + "/healthz?q=" + "x" * 40_000, timeout=10)
    assert answer.status_code == 414
    assert "POST" in Problem(**answer.json()).detail


def test_browsers_of_other_pages_may_ask(served):
    answer = requests.options(served.base + "/healthz", timeout=10)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, POST, OPTIONS"
    assert "Access-Control-Allow-Credentials" not in answer.headers


FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 100"


def test_a_client_that_leaves_before_its_body_has_arrived_is_no_failure(served):
    host, port = urlsplit(served.base).netloc.split(":")
    with closing(socket.create_connection((host, int(port)))) as leaving:
        leaving.sendall(b"POST /scs HTTP/1.1\r\nHost: x\r\n" + FORM + b"\r\n\r\nabc")
        time.sleep(0.2)
    asked = ("POST", "/scs")
    deadline = time.monotonic() + 20
    while not (found := [x for x in map(json.loads, served.log) if (x.get("method"), x.get("path")) == asked]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert [line["status"] for line in found] == [499]


def test_a_slow_client_is_let_go(served):
    host, port = urlsplit(served.base).netloc.split(":")
    with closing(socket.create_connection((host, int(port)))) as slow:
        slow.sendall(b"POST /healthz HTTP/1.1\r\nHost: x\r\n" + FORM + b"\r\n\r\nabc")
        slow.settimeout(20)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
    assert requests.get(served.base + "/healthz", timeout=10).ok


def test_a_client_that_takes_nothing_of_its_answer_is_let_go(served):
    host, port = urlsplit(served.base).netloc.split(":")
    query = "select+*+from+light_curve_point+as+a+cross+join+source+as+b"  # 40,000 rows: more than sockets hold
    before = len(served.log)
    with closing(socket.socket()) as idle:
        idle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        idle.connect((host, int(port)))
        idle.sendall(b"GET /tap/sync?LANG=ADQL&QUERY=%b HTTP/1.1\r\nHost: x\r\n\r\n" % query.encode())
        deadline = time.monotonic() + 30
        while not (lines := [json.loads(line) for line in served.log[before:] if '"/tap/sync"' in line]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert [line["status"] for line in lines] == [499]
    assert 2000 < lines[0]["ms"] < 20_000


def test_an_address_that_other_machines_reach_must_be_meant(url, tmp_path):
    with pytest.raises(ConfigError, match="add --public"):
        serve(Settings(url, Limits(), tmp_path), Listening(host="0.0.0.0", port=0))


def test_an_address_in_use_is_told(url, tmp_path):
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match="cannot listen on 127"):
            serve(Settings(url, Limits(), tmp_path), Listening(port=taken.getsockname()[1]))


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("files", [12, 20, 100])
def test_too_few_open_files_are_told(sqlite_url, files, workers):
    """uvicorn showed tracebacks, of different libraries."""
    words = [sys.executable, "-m", "ztfdb.cli", "--db", sqlite_url, "serve", "--port", "0", "--workers", workers]
    done = subprocess.run(
        ["/bin/bash", "-c", f'ulimit -n {files}; exec "$@"', "bash", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    words = f"error: a service needs 128 open files or more, and may open {files}: ulimit -n\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", words)


@pytest.mark.parametrize("package", IMPORTED_LATER)
def test_a_package_that_is_not_installed_is_told_at_the_start(monkeypatch, sqlite_url, package):
    monkeypatch.setattr("ztfdb.cli.serve.find_spec", lambda name: None if name == package else find_spec(name))
    result = CliRunner().invoke(application, ["--db", sqlite_url, "serve", "--port", "0"])
    assert result.exit_code == 1
    assert "pip install 'ztfdb[serve]'" in result.stderr


def test_no_archive_is_told(tmp_path):
    with pytest.raises(SchemaVersionError, match="there is no archive"):
        serve(Settings(f"sqlite:///{tmp_path}/none.sqlite", Limits(), tmp_path), Listening(port=0))


def test_a_folder_of_the_state_that_cannot_be_used_is_told(sqlite_url, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"state, .*file/state, cannot be used: Not a directory"):
        serve(Settings(sqlite_url, Limits(), tmp_path / "file" / "state"), Listening(port=0))
    result = CliRunner().invoke(application, ["token", "add", "anna", "--state", str(tmp_path / "file" / "state")])
    assert (result.exit_code, "cannot be used: Not a directory" in result.stderr) == (1, True)


@pytest.mark.parametrize("words", [("list",), ("remove", "anna")])
def test_tokens_of_a_folder_that_is_not_there_are_an_error(tmp_path, words):
    mistyped = tmp_path / "stat"
    result = CliRunner().invoke(application, ["token", *words, "--state", str(mistyped)])
    assert (result.exit_code, f"--state {mistyped}: there is no such folder" in result.stderr) == (1, True)
    assert not mistyped.exists()


def test_a_superuser_is_refused(databases, tmp_path):
    made = databases.empty("postgresql")
    ztfdb.open(made, create=True).close()
    try:
        with pytest.raises(QueryError, match="is a superuser"):
            serve(Settings(made, Limits(), tmp_path), Listening(port=0))
    finally:
        databases.drop(made)


def test_limits_come_from_the_file_and_mistakes_are_told(tmp_path):
    config = tmp_path / "serve.toml"
    config.write_text("[serve]\nmax_rowz = 3\n")
    result = CliRunner().invoke(application, ["serve", "--config", str(config)])
    assert result.exit_code == 1
    assert "unknown setting max_rowz" in result.output


@pytest.fixture(scope="module")
def guarded(sqlite_url, tmp_path_factory):
    """A service for holders of a token, behind a proxy, of two processes; and the folder of its state."""
    state = tmp_path_factory.mktemp("state")
    words = ("--tokens", "--workers", "2", "--root-path", "/ztf", "--proxies", "127.0.0.1", "--state", str(state))
    with Serving(sqlite_url, *words) as service:
        yield service, str(state)


def token(*words: str) -> str:
    """What ``ztfdb token`` prints."""
    result = CliRunner().invoke(application, ["token", *words])
    assert result.exit_code == 0, result.output
    return result.output.strip()


def test_only_who_has_a_token_is_answered_until_it_is_removed(guarded, monkeypatch):
    service, state = guarded
    made = token("add", "anna", "--state", state)
    old = token("add", "old", "--days", "0.000000001", "--state", state)
    assert requests.get(f"{service.base}/healthz", timeout=30).ok
    for path in ("/api/v1/status", "/tap/capabilities", "/scs", "/metrics", "/no/such"):
        for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Bearer {old}"}, {"Authorization": made}):
            answer = requests.get(service.base + path, headers=headers, timeout=30)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Bearer")
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert Problem(**answer.json()).request_id == answer.headers["X-Request-Id"]
    time.sleep(2.1)
    with pytest.raises(ServiceRefusedError, match="a token is needed"):
        ztfdb.open(service.base)
    monkeypatch.setenv("ZTFDB_TOKEN", made)
    with ztfdb.open(service.base) as archive:
        assert archive.status()["n_image"] == 4
        listed = token("list", "--state", state)
        assert "anna" in listed
        assert made not in listed
        assert made.encode() not in (Path(state) / "tokens.sqlite").read_bytes()
        token("remove", "anna", "--state", state)
        time.sleep(2.1)
        with pytest.raises(ServiceRefusedError):
            archive.ping()


def test_processes_share_a_port_with_no_other_service(guarded, sqlite_url):
    service, _ = guarded
    other = Serving(sqlite_url, "--workers", "2", "--port", service.base.rpartition(":")[2])
    with pytest.raises(RuntimeError, match="cannot listen"), other:
        pass


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("serve", "--host", "0.0.0.0", "--proxies", "caddy"), "--proxies caddy: expected addresses such as 127.0.0.1"),
        (
            ("serve", "--host", "0.0.0.0", "--proxies", "127.0.0.1, 10.0.0.1/8"),
            "--proxies 10.0.0.1/8: expected addresses",
        ),
        (("serve", "--host", "0.0.0.0", "--root-path", "/a b"), "--root-path /a b: expected a path such as /ztf"),
        (("token", "add", "anna", "--days", "nan"), "nan is not a number"),
        (("token", "add", "anna", "--days", "1e9"), "1000000000.0 is not in the range 0<x<=36500"),
    ],
)
def test_values_that_would_not_do_what_they_say_are_wrong_usage(sqlite_url, tmp_path, words, told):
    """A proxy's name was never the address of a request, a token for nan days was one for good."""
    result = CliRunner().invoke(application, ["--db", sqlite_url, *words, "--state", str(tmp_path / "state")])
    assert result.exit_code == 2, result.output
    assert told in result.output
    assert not list(tmp_path.iterdir())


def test_mistakes_about_tokens_are_told(guarded):
    _, state = guarded
    token("add", "twice", "--state", state)
    for words, told in (
        (("add", "twice"), "already"),
        (("add", "a b"), "not a name"),
        (("remove", "none"), "no token"),
    ):
        result = CliRunner().invoke(application, ["token", *words, "--state", state])
        assert result.exit_code == 1
        assert told in result.output


def test_processes_count_together_and_believe_their_proxy(guarded, monkeypatch):
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    service, state = guarded
    headers = {"Authorization": f"Bearer {token('add', 'scraper', '--state', state)}"}
    time.sleep(2.1)
    for _ in range(8):  # each on a connection of its own, which any process takes
        assert requests.get(f"{service.base}/tap/availability", headers=headers, timeout=30).ok
    assert requests.get(f"{service.base}/no/such", timeout=30).status_code == 401
    text = requests.get(f"{service.base}/metrics", headers=headers, timeout=30).text
    assert 'ztfdb_http_requests_total{method="GET",protocol="tap",status="200"} 8.0' in text
    assert 'protocol="other",status="401"' in text
    assert "no/such" not in text
    forwarded = {**headers, "X-Forwarded-Proto": "https", "Host": "archive.example"}
    text = requests.get(f"{service.base}/tap/capabilities", headers=forwarded, timeout=30).text
    assert "https://archive.example/ztf/tap" in text


def test_a_proxy_that_was_not_named_is_not_believed(served):
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "10.9.8.7"}
    answer = requests.get(f"{served.base}/tap/capabilities", headers=headers, timeout=30)
    assert "https://127" not in answer.text
    assert logged(served, answer.headers["X-Request-Id"])["client"] == "127.0.0.1"
    assert requests.get(f"{served.base}/metrics", timeout=30).text.count("ztfdb_http_seconds_bucket") > 5


def test_the_unit_of_the_page_starts(sqlite_url):
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"^ExecStart=\S+/ztfdb (serve .*)$", page, re.MULTILINE)
    command, words = application.get_command(None, "serve"), line.split()[1:]
    context = command.make_context("serve", words)
    assert context.params["tokens"] and context.params["proxies"] == "127.0.0.1"


def logged(service: Serving, request_id: str) -> dict:
    """The line of the access log about a request."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in service.log:
            if request_id in line:
                return json.loads(line)
        time.sleep(0.05)
    raise AssertionError(f"{request_id} is not in the log")


def command_of(pid: int) -> str:
    """The command line of a process (Linux)."""
    with open(f"/proc/{pid}/cmdline", "rb") as stream:  # noqa: PTH123
        return stream.read().replace(b"\0", b" ").decode()
