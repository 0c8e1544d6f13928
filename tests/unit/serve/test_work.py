"""Requests take turns on threads, and end when their client or their time does."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time

import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")

from starlette.requests import Request

from tests.support.children import in_a_child
from ztfdb.serve import work
from ztfdb.serve.errors import Busy, ClientGone, TimeLimit
from ztfdb.serve.limits import Limits
from ztfdb.serve.work import Workers
from ztfdb.store.engine import make_engine


class Client:
    """A client that can go away."""

    def __init__(self, host: str = "192.0.2.1") -> None:
        self.gone = asyncio.Event()
        scope = {"type": "http", "client": (host, 1), "headers": [], "method": "GET", "path": "/"}
        self.request = Request(scope, self._receive)

    async def _receive(self):
        await self.gone.wait()
        return {"type": "http.disconnect"}


def in_loop(function, **limits):
    """Run a coroutine function with workers, and close them."""

    async def run():
        workers = Workers(Limits(**limits))
        try:
            return await asyncio.wait_for(function(workers), 30)
        finally:
            await workers.close()

    return asyncio.run(run())


ENDLESS = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n"


def endless(url):
    engine = make_engine(url)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(ENDLESS).fetchall()
    finally:
        engine.dispose()


def test_a_statement_stops_when_its_time_is_up(empty_url):
    async def ask(workers):
        with pytest.raises(TimeLimit, match=r"after the time limit of 0\.3 s"):
            await workers.run(Client().request, endless, empty_url, timeout_s=0.3)

    began = time.monotonic()
    in_loop(ask)
    assert time.monotonic() - began < 20


def test_a_statement_stops_when_its_client_goes(empty_url):
    async def ask(workers):
        client = Client()
        asyncio.get_running_loop().call_later(0.3, client.gone.set)
        with pytest.raises(ClientGone):
            await workers.run(client.request, endless, empty_url)

    in_loop(ask)


def test_a_stream_stops_its_statement_when_the_reader_leaves(empty_url):
    ended = threading.Event()

    def produce(put):
        put(b"first")
        try:
            endless(empty_url)
        finally:
            ended.set()

    async def ask(workers):
        pieces = await workers.stream(Client().request, produce)
        assert await anext(pieces) == b"first"
        await pieces.aclose()
        assert ended.is_set()

    in_loop(ask)


def test_pieces_come_in_order_and_a_late_error_is_raised():
    def produce(put):
        for number in range(20):
            put(b"%d" % number)
        raise ValueError("at the end")

    async def ask(workers):
        found = []
        pieces = await workers.stream(Client().request, produce)

        async def read():
            async for piece in pieces:
                found.append(piece)

        with pytest.raises(ValueError, match="at the end"):
            await read()
        assert found == [b"%d" % number for number in range(20)]

    in_loop(ask)


def test_an_error_before_the_first_piece_is_raised_before_the_answer():
    def produce(put):
        raise ValueError("at once")

    async def ask(workers):
        with pytest.raises(ValueError, match="at once"):
            await workers.stream(Client().request, produce)

    in_loop(ask)


def test_a_piece_after_the_time_limit_still_arrives(empty_url):
    def produce(put):
        put(b"rows")
        try:
            endless(empty_url)
        except Exception:
            put(b"cut short")

    async def ask(workers):
        pieces = await workers.stream(Client().request, produce, timeout_s=0.3)
        assert [piece async for piece in pieces] == [b"rows", b"cut short"]

    in_loop(ask)


def test_a_service_ends_though_a_client_does_not_read():
    """Uvicorn cancels the requests, and ends the application before they have ended."""

    def produce(put):
        while True:
            put(b"rows")

    async def ask(workers):
        async def answer():
            async with contextlib.aclosing(await workers.stream(Client().request, produce)) as pieces:
                async for _ in pieces:
                    await asyncio.Event().wait()

        answering = asyncio.create_task(answer())
        await asyncio.sleep(0.3)
        answering.cancel()
        await workers.close()
        await asyncio.wait({answering})
        return answering.cancelled()

    assert in_a_child(lambda: in_loop(ask)) is True


def test_one_client_cannot_take_all_threads_nor_the_whole_queue():
    release = threading.Event()

    async def ask(workers):
        hungry = Client("192.0.2.9").request
        tasks = [asyncio.create_task(workers.run(hungry, release.wait)) for _ in range(4)]
        await asyncio.sleep(0.1)
        with pytest.raises(Busy) as caught:
            await workers.run(hungry, release.wait)
        assert caught.value.retry_after
        assert await workers.run(Client().request, lambda: "answered") == "answered"
        release.set()
        await asyncio.gather(*tasks)

    in_loop(ask, threads=3, client_threads=2, client_queue=2)


def overlap(workers, calls):
    """Run functions at the same time, and return their results and how many ran at once at most."""
    running, most, lock = 0, 0, threading.Lock()

    def watched(function):
        def call():
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            try:
                return function()
            finally:
                with lock:
                    running -= 1

        return call

    async def ask():
        tasks = [workers.run(Client(f"192.0.2.{k}").request, watched(function)) for k, function in enumerate(calls)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    return ask, lambda: most


def test_short_work_runs_one_after_the_other(monkeypatch):
    monkeypatch.setattr(work, "ALONE_S", 60.0)  # a busy machine must not make it long

    async def ask(workers):
        run, most = overlap(workers, [lambda k=k: sum(range(1_000)) + k for k in range(40)])
        assert await run() == [499_500 + k for k in range(40)]
        return most()

    assert in_loop(ask, threads=8) == 1


def test_long_work_lets_others_begin():
    meeting = threading.Barrier(8)  # all eight must run at once to pass

    async def ask(workers):
        run, most = overlap(workers, [lambda: meeting.wait(20)] * 8)
        assert sorted(await run()) == list(range(8))
        return most()

    assert in_loop(ask, threads=8) == 8


def test_work_that_fails_lets_the_next_begin():
    def failing():
        raise ValueError("no such thing")

    async def ask(workers):
        run, _ = overlap(workers, [failing, lambda: 1, failing, lambda: 2])
        return [str(one) for one in await run()]

    assert in_loop(ask, threads=8) == ["no such thing", "1", "no such thing", "2"]


def test_streams_wait_for_their_turn_too(monkeypatch):
    monkeypatch.setattr(work, "ALONE_S", 60.0)
    running = []

    def produce(put, k):
        running.append(k)
        time.sleep(0.002)
        assert running == [k]
        running.remove(k)
        put(b"%d" % k)

    async def ask(workers):
        async def all_of(k):
            pieces = await workers.stream(Client(f"192.0.2.{k}").request, lambda put: produce(put, k))
            return b"".join([piece async for piece in pieces])

        return await asyncio.gather(*map(all_of, range(20)))

    assert in_loop(ask, threads=8) == [b"%d" % k for k in range(20)]
