"""SIGTERM, SIGINT and SIGHUP as flags that the loop looks at between two images."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any


class Signals:
    """Remembers signals while it is entered.

    The first SIGTERM or SIGINT asks to finish what is in hand; a second SIGINT is an ordinary KeyboardInterrupt. Where
    this process was started with SIGINT ignored, as a shell without job control starts what runs in the background, it
    stays so: the Ctrl-C that ends another program of that terminal is not meant for this one.

    Attributes
    ----------
    stop : bool
        Finish and leave.
    number : int or None
        The signal that asked for it.
    """

    def __init__(self) -> None:
        self.stop = False
        self.number: int | None = None
        self._reload = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        wanted = {signal.SIGTERM: self._on_stop, signal.SIGINT: self._on_stop}
        if hasattr(signal, "SIGHUP"):
            wanted[signal.SIGHUP] = self._on_reload
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
            del wanted[signal.SIGINT]
        self._before = {number: signal.signal(number, handler) for number, handler in wanted.items()}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_reload(self) -> bool:
        """Return whether SIGHUP came since the last call."""
        asked, self._reload = self._reload, False
        return asked

    def _on_stop(self, number: int, frame: FrameType | None) -> None:
        if self.stop and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.stop = True
        self.number = number

    def _on_reload(self, number: int, frame: FrameType | None) -> None:
        self._reload = True
