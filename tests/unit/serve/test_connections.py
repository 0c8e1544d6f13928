"""Connections of a service whose loop was busy."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

uvicorn = pytest.importorskip("uvicorn", reason="the extra serve is not installed")
uvloop = pytest.importorskip("uvloop", reason="the extra serve is not installed")

from uvicorn.server import ServerState  # noqa: E402

from ztfdb.serve.connections import Connection  # noqa: E402

BUSY_S = 1.3
"""Longer than a refused connection waits for its request."""


class Refusing(Connection):
    """More connections than these are refused at once."""

    most = 0
    head_s = taken_s = 5.0


class Busy(asyncio.Protocol):
    """Keeps the loop busy where it reads, after `client` has sent a request."""

    def __init__(self, client, busy_s):
        self.client, self.busy_s = client, busy_s

    def data_received(self, data):
        self.client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(self.busy_s)


async def unused(scope, receive, send):
    """The application, which no refused connection reaches."""


async def answer_after(busy_s: float) -> bytes:
    """What a client gets that sends its request while the loop is busy."""
    loop = asyncio.get_running_loop()
    config, state = uvicorn.Config(unused, log_config=None), ServerState()
    config.load()
    server = await loop.create_server(lambda: Refusing(config=config, server_state=state, app_state={}), "127.0.0.1", 0)
    with socket.create_connection(server.sockets[0].getsockname(), timeout=5) as client:
        while not state.connections:
            await asyncio.sleep(0.01)
        other, wakes = socket.socketpair()
        await loop.create_connection(lambda: Busy(client, busy_s), sock=other)
        wakes.send(b"x")
        got = await loop.run_in_executor(None, client.recv, 4000)
        wakes.close()
    server.close()
    return got


@pytest.mark.parametrize("busy_s", [0.0, BUSY_S])
def test_a_refusal_is_told_though_the_loop_was_busy(busy_s):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(answer_after(busy_s)).startswith(b"HTTP/1.1 503")
