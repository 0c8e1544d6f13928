from __future__ import annotations

import signal

import pytest

from ztfdb.daemon.signals import Signals


@pytest.fixture
def disposition():
    """Set what happens on SIGINT, and put it back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda how: signal.signal(signal.SIGINT, how)
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_asks_to_stop_and_the_second_interrupts(disposition):
    disposition(signal.default_int_handler)
    with Signals() as signals:
        signal.raise_signal(signal.SIGINT)
        assert signals.stop
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_that_was_ignored_stays_so_and_sigterm_stops(disposition):
    disposition(signal.SIG_IGN)
    with Signals() as signals:
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        signal.raise_signal(signal.SIGINT)
        assert not signals.stop
        signal.raise_signal(signal.SIGTERM)
        assert signals.stop
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
