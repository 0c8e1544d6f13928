"""Processes that run functions for this one, without importing the main module of its caller.

This module imports little, so that they can start before this process imports pyarrow.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.abc import MetaPathFinder
from typing import Any

from ztfdb.derive.threads import ONE_THREAD
from ztfdb.errors import ExportError
from ztfdb.extract.process import without_signals

READERS = "ztfdb.hats.readers"
"""Imported by each process while it waits."""


@contextmanager
def processes(number: int) -> Iterator[list[Process]]:
    """Start processes, and end them at the end of the block."""
    with ExitStack() as stack:
        started = []
        for _ in range(number):
            started.append(Process())
            stack.callback(started[-1].close)
        yield started


class Process:
    """Another process; it ends with this one."""

    def __init__(self) -> None:
        code = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        with without_signals():  # this process ends the other one
            self._running = subprocess.Popen(
                [sys.executable, "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=os.environ | ONE_THREAD,
            )
        assert self._running.stdin is not None and self._running.stdout is not None
        self._requests, self._answers = self._running.stdin, self._running.stdout

    def begin(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Let the process call a function of a module; call `result` before the next one.

        Raises
        ------
        ExportError
            If the process has died.
        """
        try:
            pickle.dump((function, arguments), self._requests, pickle.HIGHEST_PROTOCOL)
            self._requests.flush()
        except OSError as exc:
            raise _died() from exc

    def result(self) -> Any:
        """Wait for the function, and return its result or raise its exception.

        Raises
        ------
        ExportError
            If the process has died.
        """
        try:
            failed, value = pickle.load(self._answers)
        except (EOFError, OSError, pickle.UnpicklingError) as exc:
            raise _died() from exc
        if failed:
            raise value
        return value

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function of a module in the process, and return its result."""
        self.begin(function, *arguments)
        return self.result()

    def close(self) -> None:
        """End the process, also in the middle of a function."""
        self._running.kill()
        self._running.wait()
        for stream in (self._requests, self._answers):
            with suppress(OSError):  # of a request that was not sent
                stream.close()


def _died() -> ExportError:
    return ExportError("a process of the export died; run the command again to resume")


def serve() -> None:
    """Run functions for the process that started this one, until that ends; standard output is for the results."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sys.meta_path.insert(0, _NoPandas())
    requests: queue.SimpleQueue[Any] = queue.SimpleQueue()
    with suppress(ImportError):  # reported by the first request
        import_module(READERS)
    threading.Thread(target=_receive, args=(requests,), daemon=True).start()
    while True:
        answers.write(_answer(requests.get()))
        answers.flush()


class _NoPandas(MetaPathFinder):
    """Hides pandas, which nothing here needs: pyarrow imports it for its first array, in 0.3 s."""

    def find_spec(self, name: str, *_: object) -> None:
        """Refuse it; leave all others to the next finder."""
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def _receive(requests: queue.SimpleQueue[Any]) -> None:
    """Receive requests, while a function runs too: it is not finished if the other process ends."""
    while True:
        try:
            requests.put(pickle.load(sys.stdin.buffer))
        except EOFError:
            os._exit(0)
        except Exception as exc:
            requests.put((_fail, (exc,)))


def _fail(exc: Exception) -> None:
    raise exc


def _answer(request: tuple[Callable[..., Any], tuple[Any, ...]]) -> bytes:
    """Return the packed result of a function, or its exception."""
    function, arguments = request
    try:
        return pickle.dumps((False, function(*arguments)), pickle.HIGHEST_PROTOCOL)
    except Exception as exc:
        exc.add_note(traceback.format_exc())
        try:
            packed = pickle.dumps((True, exc))
            pickle.loads(packed)  # some cannot be made again
        except Exception:
            packed = pickle.dumps((True, ExportError(f"a process of the export failed: {exc!r}")))
        return packed
