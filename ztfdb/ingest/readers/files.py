"""Open files of tables, which may be compressed by gzip."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import BinaryIO, cast


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file; one that is compressed by gzip, whatever its name, is unpacked while it is read."""
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")
