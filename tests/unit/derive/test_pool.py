"""Processes that measure: the signals of a terminal are for the process that started them."""

from __future__ import annotations

import errno
import os
import signal
from multiprocessing.resource_tracker import ensure_running

import pytest

from ztfdb.derive.pool import new_executor

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send_to_itself():
    for number in ENDING:
        os.kill(os.getpid(), number)
    return "measured"


def test_a_worker_finishes_its_image_whatever_the_terminal_sends():
    executor = new_executor(1)
    try:
        assert executor.submit(send_to_itself).result() == "measured"
        assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()) & set(ENDING)
    finally:
        executor.shutdown(kill_workers=True)


def test_a_process_that_cannot_be_started_says_why(monkeypatch):
    """loky raises an UnboundLocalError instead where the system refuses it a pipe."""
    executor = new_executor(1)
    refused = OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def pipe():
        raise refused

    try:
        ensure_running()  # before pipes are refused
        monkeypatch.setattr("os.pipe", pipe)
        with pytest.raises(OSError, match="Too many open files"):
            executor.submit(os.getpid)
    finally:
        monkeypatch.undo()
        executor.shutdown(kill_workers=True)


def test_a_process_of_an_export_begins_whatever_the_terminal_sends():
    pytest.importorskip("pyarrow", reason="the extra parquet is not installed")
    from ztfdb.hats.processes import Process

    other = Process()
    try:
        os.kill(other._running.pid, signal.SIGINT)  # while it imports
        assert other.call(os.getpid) == other._running.pid
    finally:
        other.close()
