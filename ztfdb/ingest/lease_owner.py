"""Who holds a lease: a process of a host, named so that another can tell whether it still runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

SEPARATOR = " "

_serial = count(1)
_running: set[str] = set()
"""Names under which this process works now: it may ingest in several threads, and again after an interrupt."""


@contextmanager
def own_name() -> Iterator[str]:
    """Yield a name for one piece of work of this process: host, boot, namespace of process ids, id, start time, serial.

    A process id alone comes again after a while, after a restart of the host at once, and in every container; the
    start time, the boot's id and the namespace tell these apart.
    """
    pid = os.getpid()
    name = SEPARATOR.join((*_place(), str(pid), _start_time(pid), str(next(_serial))))
    _running.add(name)
    try:
        yield name
    finally:
        _running.discard(name)


def is_dead(owner: str) -> bool:
    """Tell whether an owner was work of this host that runs no more; False for what cannot be told from here."""
    parts = owner.split(SEPARATOR)
    if len(parts) != 6:
        return False
    host, boot, space, pid, started, _ = parts
    here = _place()
    if host != here[0] or "?" in (boot, here[1]):
        return False
    if boot != here[1]:
        return True  # the host was started again since
    if space != here[2] or started == "?":
        return False
    if started != _start_time(int(pid)):
        return True
    return int(pid) == os.getpid() and owner not in _running


def _place() -> tuple[str, str, str]:
    host = socket.gethostname().replace(SEPARATOR, "-") or "?"
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 (its target is a name, not a path)
    except OSError:
        return host, "?", "?"  # no Linux: leases of the dead end by themselves
    return host, boot, space


def _start_time(pid: int) -> str:
    """Return when a process began, in clock ticks since the boot; empty where there is none, ``?`` where unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    except OSError:
        return "?"
    fields = stat.rpartition(")")[2].split()  # the name before it may hold anything
    return "" if fields[0] in "ZX" else fields[19]
