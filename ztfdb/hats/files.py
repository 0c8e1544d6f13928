"""Files that appear when they are whole, and stay when the machine goes down."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path


def make_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under another name, bring it to the disk and rename it.

    Parameters
    ----------
    path : Path
        Its folder is made where there is none.
    write : callable
        Takes the path to write to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    waiting = path.with_name(f".{path.name}.part")
    write(waiting)
    with waiting.open("rb") as file:
        os.fsync(file.fileno())
    waiting.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; a copy where the file system cannot."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:
        make_atomically(target, lambda waiting: shutil.copyfile(source, waiting))
