"""Commands run on a real terminal (a pseudo-terminal), or with streams closed."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

COMMAND = (sys.executable, "-m", "ztfdb.cli")


def on_terminal(words: Sequence[str | bytes], cwd: Path) -> tuple[int, bytes]:
    """Run a command whose three streams are one terminal; return its exit status and what the terminal got."""
    leader, follower = pty.openpty()
    environ = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        [*COMMAND, *words], stdin=follower, stdout=follower, stderr=follower, cwd=cwd, env=environ
    ) as process:
        os.close(follower)
        got = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the last process has closed its end
                break
            if not piece:
                break
            got += piece
    os.close(leader)
    return process.returncode, got


def in_shell(line: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a line of shell, in which ``$ZTFDB`` is the command."""
    environ = {**os.environ, "ZTFDB": " ".join(COMMAND)}
    return subprocess.run(["/bin/bash", "-c", line], capture_output=True, text=True, cwd=cwd, env=environ, check=False)
