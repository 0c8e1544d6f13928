"""Signals that end a command.

Ctrl-C, SIGTERM and SIGHUP are a `KeyboardInterrupt`, so that no half of a file stays. Commands that run until they are
ended, and programs that are started with a signal ignored, have their own way.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import CodeType, FrameType  # nothing more: until `end_in_order`, Ctrl-C is a traceback

AGAIN_S = 0.1
"""Seconds until it is checked whether a command heeds a signal."""

LATER_S = 0.01
"""Seconds until that is tried again which would be lost at this moment."""

_NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

_received: list[signal.Signals] = []
"""The signals that came."""

_LOST_IN = frozenset(("__del__", "_close_connection", "_finalize_fairy"))
"""Functions, two of them of SQLAlchemy, that report an exception and go on."""

_main: CodeType | None = None
"""The function that runs the command; None before, where there are only imports."""


def end_in_order() -> None:
    """Let signals end this process; until `started`, they end it at once."""
    atexit.register(_end_by_signal)  # as the first, so that it is called as the last
    for number in _NUMBERS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _on_signal)


def started(main: CodeType) -> None:
    """Note that the command begins, in this function: from now on a signal is a `KeyboardInterrupt`."""
    global _main
    _main = main


def is_ended() -> bool:
    """Return whether a signal has come that ends the command."""
    return bool(_received)


def how_ended() -> tuple[str, int]:
    """Return how the command was ended, in words and as an exit status."""
    number = _received[0] if _received else signal.SIGINT
    return "interrupted" if number == signal.SIGINT else f"ended by {number.name}", 128 + number


def let_signals_end_the_process() -> None:
    """Leave signals to the system: the command is done, and only the interpreter has to end."""
    if _received:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
    for number in _NUMBERS:
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, signal.SIG_DFL)


def _end_by_signal() -> None:
    """Let the signal end the process: a shell's loop ends with it, and for systemd it is a clean end."""
    if _received:
        os.kill(os.getpid(), _received[0])  # whose handler is the default by now


def _on_signal(number: int, frame: FrameType | None) -> None:
    _received.append(signal.Signals(number))
    if _main is None:  # nothing has to be put in order, and imports would report the exception in their own ways
        let_signals_end_the_process()
        os.write(2, f"{how_ended()[0]}\n".encode())
        os.kill(os.getpid(), number)
    if len(_received) == 1:
        signal.signal(signal.SIGALRM, _check)
        _interrupt(frame)
    elif number == signal.SIGINT:
        raise KeyboardInterrupt
    else:
        let_signals_end_the_process()
        os.kill(os.getpid(), number)


def _check(number: int, frame: FrameType | None) -> None:
    """Interrupt again unless that is on its way: callbacks of C code let exceptions go.

    Where a command has handlers of its own by now, it gets the signal.
    """
    if signal.getsignal(_received[0]) is not _on_signal:
        os.kill(os.getpid(), _received.pop())
        return
    raised = sys.exc_info()[1]
    while raised is not None and not isinstance(raised, KeyboardInterrupt):
        raised = raised.__context__
    if raised is None:
        _interrupt(frame)
    else:
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)


def _interrupt(frame: FrameType | None) -> None:
    """Raise KeyboardInterrupt; in an import, and where it would be lost, do so a moment later."""
    while frame is not None and frame.f_code is not _main:
        if frame.f_code.co_name in _LOST_IN or frame.f_code.co_filename.startswith("<frozen importlib"):
            signal.setitimer(signal.ITIMER_REAL, LATER_S)
            return
        frame = frame.f_back
    signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
    raise KeyboardInterrupt
