"""Whether a file has the content that was stored."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ztfdb.records import FileFacts


def same_content(path: str, stored: FileFacts) -> bool:
    """Tell whether a file is as it was stored: by size and modification time, else by its sha256."""
    try:
        now = Path(path).stat()
        if now.st_size != stored.size:
            return False
        return now.st_mtime_ns == stored.mtime_ns or sha256_of(path) == stored.sha256
    except OSError:
        return False


def sha256_of(path: str) -> str:
    """Return the checksum of a file, in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
