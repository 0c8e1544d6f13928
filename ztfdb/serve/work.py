"""Requests that use the database: a limited number of threads, a fair queue, cancellation if the client disconnects."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from ztfdb.serve.errors import Busy, ClientGone, TimeLimit
from ztfdb.serve.limits import Limits
from ztfdb.store.interrupt import Work

T = TypeVar("T")

PIECES = 4
"""Pieces of an answer that are buffered for a slow client."""

STOP_AGAIN_S = 0.05
"""Seconds until stopped work is stopped again, in case it was between two statements."""

ALONE_S = 0.01
"""Seconds in which work runs before the next is started. Threads that compute at the same time fight for Python's lock:
short queries then take up to twice the processor time, and fewer are answered."""

WATCH_AFTER_S = 0.05
"""Seconds before work is watched: most work ends earlier, and a watch costs as much as a short query."""

Put = Callable[[bytes], None]
"""Sends a piece of an answer to the client; blocks while the client is slow, raises if it has disconnected."""


class Workers:
    """The threads of a service.

    Parameters
    ----------
    limits : Limits
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="ztfdb-serve")
        self._turns = asyncio.Semaphore(limits.threads)
        self._alone = asyncio.Semaphore(1)
        self._shares: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(limits.client_threads)
        )
        self._pending: Counter[str] = Counter()

    async def run(
        self, request: Request, function: Callable[..., T], *args: Any, timeout_s: float | None = None, **options: Any
    ) -> T:
        """Call a function in a thread and return its result.

        When the time is up or the client closes its connection, statements are stopped and the function ends. The
        request's body must have been read before.

        Parameters
        ----------
        request : Request
        function : callable
            May use the archive freely.
        *args, **options
            Passed on.
        timeout_s : float, optional
            By default the limit of synchronous requests.

        Raises
        ------
        Busy
            If too many requests are waiting.
        TimeLimit
            If it took too long.
        """
        work = Work()

        def call() -> T:
            with work.running():
                return function(*args, **options)

        async with self._turn(request):
            return await self._watched(request, work, call, timeout_s or self._limits.sync_s)

    async def stream(
        self, request: Request, produce: Callable[[Put], None], *, timeout_s: float | None = None
    ) -> AsyncGenerator[bytes, None]:
        """Call a function in a thread that produces its answer in pieces.

        This method awaits the first piece, so that an earlier error is raised and not sent.

        Parameters
        ----------
        request : Request
        produce : callable
            Takes a function `Put`, which it calls with bytes.
        timeout_s : float, optional
            Time for the whole answer, by default the limit of synchronous requests.

        Returns
        -------
        async generator of bytes
            For a `Streamed` response.
        """
        pieces = self._pieces(request, produce, timeout_s or self._limits.sync_s)
        try:
            first = await anext(pieces)
        except StopAsyncIteration:
            first = b""
        return _before(first, pieces)

    async def close(self) -> None:
        """Wait for the threads, which may wait for this loop to take their pieces."""
        await asyncio.to_thread(self._pool.shutdown)

    async def _watched(self, request: Request, work: Work, call: Callable[[], T], timeout_s: float) -> T:
        future = await self._started(call)
        watch = _Watch(request, timeout_s, work, future)
        try:
            await asyncio.wait((future,))
            return future.result()
        except asyncio.CancelledError:
            await _stopped(work, ClientGone(), future)
            raise
        finally:
            watch.end()

    async def _started(self, call: Callable[[], T]) -> asyncio.Future[T]:
        """Start work in a thread, once the work before has ended or has run for `ALONE_S`."""
        loop = asyncio.get_running_loop()
        await self._alone.acquire()
        is_alone = True

        def let_next(*_: object) -> None:
            nonlocal is_alone
            if is_alone:
                is_alone = False
                later.cancel()
                self._alone.release()

        later = loop.call_later(ALONE_S, let_next)
        future = loop.run_in_executor(self._pool, call)
        future.add_done_callback(let_next)
        return future

    async def _pieces(
        self, request: Request, produce: Callable[[Put], None], timeout_s: float
    ) -> AsyncGenerator[bytes, None]:
        loop = asyncio.get_running_loop()
        queue: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES)
        work = Work()

        def put(piece: bytes) -> None:
            if isinstance(work.reason, ClientGone):  # after the time limit, the answer may still report it
                raise work.reason
            asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()

        def call() -> None:
            try:
                with work.running():
                    produce(put)
            finally:
                asyncio.run_coroutine_threadsafe(_finish(queue, work), loop)

        async with self._turn(request):
            future = await self._started(call)
            watch = _Watch(request, timeout_s, work, future)
            try:
                while (piece := await queue.get()) is not None:
                    yield piece
                await future
            finally:
                watch.end()
                if not future.done():
                    drain = loop.create_task(_drain(queue))
                    await _stopped(work, ClientGone(), future)
                    drain.cancel()

    @contextlib.asynccontextmanager
    async def _turn(self, request: Request) -> AsyncIterator[None]:
        client = request.client.host if request.client else ""
        waiting = self._pending[client] - self._limits.client_threads
        if waiting >= self._limits.client_queue or self._pending.total() >= self._limits.queue + self._limits.threads:
            raise Busy("too many requests are waiting: try again in a moment")
        self._pending[client] += 1
        must_wait = self._shares[client].locked() or self._turns.locked()
        try:
            async with self._shares[client], self._turns:
                if must_wait and await request.is_disconnected():
                    raise ClientGone
                yield
        finally:
            self._pending[client] -= 1
            if not self._pending[client]:
                del self._pending[client], self._shares[client]


async def until_gone(request: Request) -> None:
    """Wait until the client of a request, whose body was read, closes its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _finish(queue: asyncio.Queue[bytes | None], work: Work) -> None:
    while isinstance(work.reason, ClientGone) and not queue.empty():  # discard unread pieces to make room for the end
        queue.get_nowait()
    await queue.put(None)


class _Watch:
    """Stops work when its client disconnects, or its time is up.

    Parameters
    ----------
    request : Request
        Its body must have been read.
    timeout_s : float
    work : Work
    future : awaitable
        Future of the working thread.
    """

    def __init__(self, request: Request, timeout_s: float, work: Work, future: Awaitable[Any]) -> None:
        self._what = (request, work, future)
        self._timeout_s = timeout_s
        self._task: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._later = self._loop.call_later(min(WATCH_AFTER_S, timeout_s), self._begin)

    def end(self) -> None:
        """Stop watching."""
        self._later.cancel()
        if self._task is not None:
            self._task.cancel()

    def _begin(self) -> None:
        self._task = self._loop.create_task(self._watch(*self._what))

    async def _watch(self, request: Request, work: Work, future: Awaitable[Any]) -> None:
        gone = asyncio.ensure_future(until_gone(request))
        try:
            await asyncio.wait({gone}, timeout=max(0.0, self._began + self._timeout_s - self._loop.time()))
            await _stopped(work, ClientGone() if gone.done() else TimeLimit(self._timeout_s), future)
        finally:
            gone.cancel()


async def _drain(queue: asyncio.Queue[bytes | None]) -> None:
    while True:
        await queue.get()


async def _stopped(work: Work, reason: Exception, future: Awaitable[Any]) -> None:
    """Stop work and wait until its thread has ended, ignoring its exceptions."""
    waiting = asyncio.ensure_future(future)
    while not waiting.done():
        await asyncio.shield(asyncio.to_thread(work.stop, reason))
        await asyncio.wait({waiting}, timeout=STOP_AGAIN_S)


async def _before(first: bytes, pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(pieces) as rest:
        yield first
        async for piece in rest:
            yield piece


class Streamed(StreamingResponse):
    """A response of pieces made in a thread; if the response ends early, its generator is closed at once."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces; `Workers.stream` already watches for a client that disconnects."""
        await self.stream_response(send)

    async def stream_response(self, send: Send) -> None:
        """Send the pieces."""
        try:
            await super().stream_response(send)
        finally:
            close = getattr(self.body_iterator, "aclose", None)
            if close is not None:
                await close()
