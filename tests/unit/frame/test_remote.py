"""Files behind servers that do as they like: each ends in a typed error, soon, and with little read."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import tracemalloc

import pytest

from ztfdb.errors import FileMissingError, ImageReadError
from ztfdb.frame import remote
from ztfdb.frame.remote import NoRangesError, open_remote

CONTENT = bytes(range(256)) * 64
MB = 1 << 20


class Server:
    """Answers each connection by hand; counts what it could send."""

    def __init__(self, answer):
        self._answer = answer
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/x.fits"
        self.sent = 0
        self.requests = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        with contextlib.suppress(OSError), connection:  # the client may be gone at any step
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            self.requests.append(connection.recv(65536).decode())
            for piece in self._answer(self):
                connection.sendall(piece)
                self.sent += len(piece)

    def close(self):
        self._listening.close()


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr(remote, "TIMEOUT_S", 2.0)
    monkeypatch.setattr(remote, "WHOLE_S", 3.0)
    servers = []

    def start(answer):
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def head(status="206 Partial Content", **fields):
    lines = [f"HTTP/1.1 {status}", *(f"{name.replace('_', '-')}: {value}" for name, value in fields.items())]
    return ("\r\n".join([*lines, "Connection: close"]) + "\r\n\r\n").encode()


TOTAL = len(CONTENT)


def part(first=100, last=199, *, total=TOTAL, length=None, body=None):
    length = last - first + 1 if length is None else length
    body = CONTENT[first : last + 1] if body is None else body
    return [head(Content_Range=f"bytes {first}-{last}/{total}", Content_Length=length), body]


def endless(first):
    def answer(server):
        yield first
        while server.sent < 400 * MB:
            yield b"x" * 65536

    return answer


def slowly(first):
    def answer(server):
        yield first
        while True:
            time.sleep(0.1)
            yield b"x"

    return answer


def silent(_):
    time.sleep(20)
    return []


def test_the_range_that_was_asked_for(serve):
    server = serve(lambda _: part())
    file = open_remote(server.url)
    assert file.read(100, 100) == CONTENT[100:200]
    assert file.size() == len(CONTENT)
    assert "Range: bytes=100-199" in server.requests[0]
    assert "Accept-Encoding: identity" in server.requests[0]


def test_the_end_of_a_file_is_shorter(serve):
    n = len(CONTENT)
    server = serve(lambda _: part(n - 50, n - 1))
    assert open_remote(server.url).read(n - 50, 100) == CONTENT[-50:]


def test_a_server_without_ranges_serves_the_beginning(serve):
    server = serve(lambda _: [head("200 OK", Content_Length=len(CONTENT)), CONTENT])
    file = open_remote(server.url)
    assert file.read(100, 100) == CONTENT[100:200]
    assert file.size() == len(CONTENT)


def test_a_server_without_ranges_is_not_read_to_a_far_place(serve):
    server = serve(endless(head("200 OK", Content_Length=400 * MB)))
    with pytest.raises(NoRangesError, match="no byte ranges"):
        open_remote(server.url).read(200 * MB, 100)
    assert server.sent < 8 * MB  # what fits into the buffers of both sockets


ANSWERS = {
    "another range": (lambda _: part(0, 99), "asked for bytes 100-199, the server sends bytes 0-99"),
    "a longer range": (lambda _: part(100, 299), "asked for bytes"),
    "a shorter range": (lambda _: part(100, 149), "asked for bytes"),
    "no range": (lambda _: [head(Content_Length=100), CONTENT[:100]], "sends others"),
    "a range that is none": (lambda _: [head(Content_Range="bytes 1-x/y"), b"x"], "asked for bytes"),
    "a short body": (lambda _: part(body=CONTENT[100:150]), "ends after 50 of 100|IncompleteRead|more expected"),
    "a long body": (lambda _: part(length=300, body=CONTENT[:300]), "announces 300"),
    "a false length": (lambda _: part(length=10**12), "announces 1000000000000"),
    "a length that is none": (lambda _: part(length="many"), "announces many"),
    "an endless body": (endless(head(Content_Range=f"bytes 100-199/{len(CONTENT)}")), "more than the 100 bytes"),
    "an endless whole": (endless(head("200 OK")), None),
    "an endless header": (endless(b"HTTP/1.1 206 Partial Content\r\nX: "), "cannot be read"),
    "endless headers": (
        lambda server: [b"HTTP/1.1 206 x\r\n", *(b"X-A: b\r\n" for _ in range(10**5))], "cannot be read"),
    "no HTTP": (lambda _: [b"220 ready for FTP\r\n"], "cannot be read"),
    "nothing": (lambda _: [], "cannot be read"),
    "silence": (silent, "cannot be read: timed out"),
    "a slow body": (slowly(part(body=b"")[0]), "not whole after 3 s"),
    "a slow header": (slowly(b"HTTP/1.1 206 Partial Content\r\nX: "), "not whole after 3 s"),
    "another scheme": (lambda _: [head("302 Found", Location="ftp://127.0.0.1/x", Content_Length=0)], "ftp|cannot"),
    "a file": (lambda _: [head("302 Found", Location="file:///etc/passwd", Content_Length=0)], "file|302"),
    "another host": (lambda _: [head("302 Found", Location="http://localhost:1/x", Content_Length=0)], "sends us to"),
    "another port": (lambda _: [head("301 x", Location="http://127.0.0.1:1/x", Content_Length=0)], "sends us to"),
    "a circle": (lambda _: [head("302 Found", Location="/x.fits", Content_Length=0)], "redirect|302"),
    "a packed body": (
        lambda _: [head(Content_Range="bytes 100-199/16384", Content_Encoding="gzip"), b"x"], "sends packed"),
    "no content": (lambda _: [head("204 No Content")], "204"),
    "an error": (lambda _: [head("503 Away", Content_Length=0)], "503 Away"),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_a_server_that_does_as_it_likes_is_a_typed_error_soon(serve, name):
    answer, words = ANSWERS[name]
    server = serve(answer)
    tracemalloc.start()
    started = time.monotonic()
    try:
        if words is None:
            assert len(open_remote(server.url).read(100, 100)) == 100
        else:
            with pytest.raises(ImageReadError, match=words):
                open_remote(server.url).read(100, 100)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.monotonic() - started < 15.0  # 3 s, and a machine that does much else
    assert peak < 8 * MB
    assert server.sent < 8 * MB  # asked for: 100 bytes; the rest are buffers of both sockets


def test_what_is_not_there_says_so(serve):
    server = serve(lambda _: [head("404 Not Found", Content_Length=0)])
    with pytest.raises(FileMissingError, match="404"):
        open_remote(server.url).read(0, 10)


def test_a_redirect_within_the_host_is_followed(serve):
    def answer(server):
        moved = len(server.requests) == 1
        return [head("302 Found", Location="/y.fits", Content_Length=0)] if moved else part()

    server = serve(answer)
    assert open_remote(server.url).read(100, 100) == CONTENT[100:200]
    assert server.requests[1].startswith("GET /y.fits")


def test_the_password_of_a_url_is_not_in_the_error(serve):
    server = serve(lambda _: [head("503 Away", Content_Length=0)])
    url = server.url.replace("http://", "http://user:s3cret@") + "?token=s3cret"
    with pytest.raises(ImageReadError) as raised:
        open_remote(url).read(0, 10)
    assert "s3cret" not in str(raised.value)
