"""Processes that others started: work in a forked one, of another user where wanted, and the children of one."""

import os
import pickle
import pwd
import signal
from pathlib import Path


def in_a_child(work, timeout_s=60, user=None):
    """Return what `work` gives in a forked process, or the text of its error; fail where it hangs.

    With `user`, and as root, the child is that user, whom modes of files and folders bind.
    """
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(timeout_s)  # ends the child
        try:
            if user is not None and os.geteuid() == 0:
                entry = pwd.getpwnam(user)
                os.setgroups([])
                os.setgid(entry.pw_gid)
                os.setuid(entry.pw_uid)
            answer = work()
        except BaseException as exc:
            answer = repr(exc)
        os.write(theirs, pickle.dumps(answer))
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(pid, 0)
    assert status == 0, f"the child was ended ({status}): it hung"
    return pickle.loads(told)


def children_of(pid: int) -> set[int]:
    """Return the processes that a process has started (Linux); none if it has ended."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return {int(child) for task in tasks for child in task.read_text().split()}
    except OSError:
        return set()
