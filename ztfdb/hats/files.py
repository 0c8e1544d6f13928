"""Atomic and durable writing of files."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ztfdb.errors import ExportError
from ztfdb.texts import failure


def make_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file under a temporary name with `write`, sync it to disk and rename it.

    Parameters
    ----------
    path : Path
        Its folder is created if necessary.
    write : callable
        Takes the path to write to.

    Raises
    ------
    ExportError
        If it cannot be written.
    """
    waiting = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(waiting)
        with waiting.open("rb") as file:
            os.fsync(file.fileno())
        waiting.replace(path)
        sync_folder(path.parent)
    except OSError as exc:
        with suppress(OSError):
            waiting.unlink(missing_ok=True)
        raise ExportError(f"{path} cannot be written: {failure(exc)}") from exc


def sync_folder(folder: Path) -> None:
    """Sync the entries of a folder to disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_or_copy(source: Path, target: Path) -> None:
    """Hard-link a file, or copy it if the file system has no links."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        make_atomically(target, lambda waiting: shutil.copyfile(source, waiting))
