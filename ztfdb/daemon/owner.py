"""Who holds a lease: a process of a host, named so that another can tell whether it still runs."""

from __future__ import annotations

import os
import socket
from pathlib import Path

SEPARATOR = " "


def own_name() -> str:
    """Return the name of this process: host, boot, namespace of process ids, process id, start time.

    A process id alone comes again after a while, after a restart of the host at once, and in every container; the
    start time, the boot's id and the namespace tell these apart.
    """
    return SEPARATOR.join((*_place(), str(os.getpid()), _start_time(os.getpid())))


def is_dead(owner: str) -> bool:
    """Tell whether an owner was a process of this host that runs no more; False for what cannot be told from here."""
    parts = owner.split(SEPARATOR)
    if len(parts) != 5:
        return False
    host, boot, space, pid, started = parts
    here = _place()
    if host != here[0] or "?" in (boot, here[1]):
        return False
    if boot != here[1]:
        return True  # the host was started again since
    return space == here[2] and started not in ("?", _start_time(int(pid)))


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
