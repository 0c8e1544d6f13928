"""Check from its headers whether a FITS file is complete, without reading pixels."""

from __future__ import annotations

import warnings
from pathlib import Path

from astropy.io import fits

from ztfdb.frame.fitsfile import BLOCK, GZIP_MAGIC


def missing_bytes(path: str | Path) -> int:
    """Return the minimum number of bytes missing in a file according to its headers.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    int
        0 for a file that is complete, except for its final padding. Also 0 for gzip streams and bytes that are not FITS
        headers, which are only checked when the file is read.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with Path(path).open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd cards are checked when the image is read
        size = file.seek(0, 2)
        end = 0
        while end < size:
            file.seek(end)
            head = file.read(8)
            if head.startswith(GZIP_MAGIC) and not end:
                return 0
            if len(head) == 8 and head != (b"XTENSION" if end else b"SIMPLE  "):
                return 0
            file.seek(end)
            try:
                header = fits.Header.fromfile(file)
            except (OSError, EOFError, ValueError):
                return BLOCK  # the header itself is incomplete
            try:
                claimed = int(header.data_size)
            except (ValueError, TypeError, KeyError, IndexError, OverflowError, fits.VerifyError):
                return 0
            if claimed < 0:
                return 0
            if file.tell() + claimed > size:
                return file.tell() + claimed - size
            end = file.tell() + -(-claimed // BLOCK) * BLOCK
    return 0 if size else BLOCK
