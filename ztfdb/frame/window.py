"""Read windows of an ingested image from its file: only the necessary bytes, and only pixels that were ingested.

From an uncompressed file the window's rows are read at the stored byte offset (23 rows in about 0.03 ms); for an image
of integers the header is searched once for the value that means "no value". In a tile-compressed file astropy unpacks
the tiles that the window touches (a few ms). A gzip file is unpacked whole (100 to 300 ms), and the image is cached for
further windows while the file is open.

A file must have the same size as at ingest. If its modification time is also the same, it is trusted; otherwise its
sha256 is compared and cached.
"""

from __future__ import annotations

import hashlib
import os
import stat
import warnings
from functools import lru_cache
from types import TracebackType
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztfdb.errors import FileChangedError, FileMissingError, ImageError, ImageReadError
from ztfdb.frame.fitsfile import BLOCK, DTYPES, GZIP_MAGIC, PRINTABLE, RawFile, blank_in, find_image, read_bytes
from ztfdb.frame.header import header_cards
from ztfdb.frame.read import mask_values, science_values
from ztfdb.frame.remote import NoRangesError, is_remote, open_remote
from ztfdb.records import FileFacts, StoredPixels

CONTIGUOUS_SHARE = 0.25
"""For windows of at least this fraction of the image's width, whole rows are read at once."""

CONTIGUOUS_BYTES = 65_536
"""Whole rows with up to this many bytes in total are always read at once, which is faster than 30 single reads."""

MOST_BLANKS = 100_000
"""Files of integers whose value for "no value" is cached in this process."""

_blanks: dict[tuple[str, int, int], int | None] = {}
"""BLANK by path, size and modification time."""


class PixelFile:
    """One file of an ingested image, open for reading windows; use it in a ``with`` block.

    Parameters
    ----------
    facts : FileFacts
        The file as it was ingested.
    shape : tuple of int
        ``(ny, nx)`` of the image.

    Attributes
    ----------
    mtime_ns : int
        Current modification time. It differs from that of the facts if the file was touched but is unchanged.

    Raises
    ------
    FileMissingError
        If there is no such file.
    FileChangedError
        If its content has changed.
    ImageReadError
        If it cannot be read.
    """

    def __init__(self, facts: FileFacts, shape: tuple[int, int]) -> None:
        self._facts = facts
        self._shape = shape
        self._whole: NDArray[Any] | None = None
        self._tiles: fits.HDUList | None = None
        self._descriptor = _open(facts)
        try:
            self._status = os.fstat(self._descriptor)
            self.mtime_ns = self._status.st_mtime_ns
            _check(facts, self._status)
        except BaseException:
            os.close(self._descriptor)
            raise

    def __enter__(self) -> PixelFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        if self._tiles is not None:
            self._tiles.close()

    def read(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Return the pixels of a window that lies inside the image.

        Parameters
        ----------
        rows, cols : slice
            Step 1, ``0 <= start < stop``.

        Returns
        -------
        ndarray, shape (height, width)
            float32 as `ztfdb.frame.read.Frame.data`, or the mask's uint16, an array of its own.

        Raises
        ------
        FileChangedError
            If the file changed while it was read.
        ImageReadError
            If it ends before the window, or cannot be unpacked.
        """
        if self._whole is not None:
            return self._whole[rows, cols].copy()
        if self._is_plain():
            window = self._convert(self._stored(rows, cols))
        elif self._facts.compression in ("none", "gzip") or self._begins_with(GZIP_MAGIC):
            window = self._read_whole()[rows, cols].copy()
        else:
            window = self._convert(self._section(rows, cols))
        self._check_unchanged()
        return window

    def _check_unchanged(self) -> None:
        now = os.fstat(self._descriptor)
        if (now.st_mtime_ns, now.st_size) != (self._status.st_mtime_ns, self._status.st_size):
            raise FileChangedError(self._facts.path, "the file changed while it was read")

    def _is_plain(self) -> bool:
        return self._facts.byte_offset is not None

    def _blank(self) -> int | None:
        """Return the stored value that means "no value"; the header of an unchanged file is read once."""
        key = (self._facts.path, self._status.st_size, self._status.st_mtime_ns)
        if key not in _blanks:
            blank = blank_in(self._head(), self._facts.path)
            self._check_unchanged()
            if len(_blanks) >= MOST_BLANKS:
                _blanks.clear()
            _blanks[key] = blank
        return _blanks[key]

    def _head(self) -> bytes:
        """Return the image's own header, which ends where the pixels start."""
        start = self._facts.byte_offset or 0
        if self._facts.hdu == 0:
            return self._bytes(0, start)
        head = b""
        while start > 0 and not head.startswith(b"XTENSION"):
            start -= BLOCK
            head = self._bytes(start, BLOCK) + head
        return head

    def _stored(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Return the window's stored values, big-endian."""
        dtype = np.dtype(DTYPES[self._facts.bitpix])
        nx, size = self._shape[1], dtype.itemsize
        first = (self._facts.byte_offset or 0) + rows.start * nx * size
        height, width = rows.stop - rows.start, cols.stop - cols.start
        if width > CONTIGUOUS_SHARE * nx or height * nx * size <= CONTIGUOUS_BYTES:
            block = self._bytes(first, height * nx * size)
            return np.frombuffer(block, dtype).reshape(height, nx)[:, cols]
        first += cols.start * size
        content = self._row_parts(first, width * size, nx * size, height)
        if len(content) < height * width * size:
            raise ImageReadError(self._facts.path, "the file ends before the image does")
        return np.frombuffer(content, dtype).reshape(height, width)

    def _row_parts(self, first: int, n: int, step: int, height: int) -> bytes:
        """Return `n` bytes every `step` bytes, `height` times."""
        pread, descriptor = os.pread, self._descriptor
        return b"".join([pread(descriptor, n, at) for at in range(first, first + height * step, step)])

    def _bytes(self, offset: int, n: int) -> bytes:
        parts = []
        while n > 0:
            part = os.pread(self._descriptor, n, offset)
            if not part:
                raise ImageReadError(self._facts.path, "the file ends before the image does")
            parts.append(part)
            offset, n = offset + len(part), n - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _begins_with(self, magic: bytes) -> bool:
        return os.pread(self._descriptor, len(magic), 0) == magic

    def _raw(self) -> RawFile:
        return read_bytes(self._facts.path)

    def _read_whole(self) -> NDArray[Any]:
        image = find_image(self._raw())
        if image.pixels.shape != self._shape:
            raise FileChangedError(self._facts.path, f"an image of {image.pixels.shape}, {self._shape} was ingested")
        if self._facts.role == "msk":
            self._whole = mask_values(image.pixels, image.bscale, image.bzero, self._facts.path)
        else:
            self._whole = science_values(image.pixels, image.bscale, image.bzero, image.blank)
        return self._whole

    def _section(self, rows: slice, cols: slice) -> NDArray[Any]:
        """Return a window of a tile-compressed image; its cards were checked when it was ingested."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                if self._tiles is None:
                    self._tiles = fits.open(self._facts.path, memmap=False, lazy_load_hdus=True)
                return np.asarray(self._tiles[self._facts.hdu].section[rows, cols])
        except Exception as exc:  # a damaged stream can make astropy raise nearly anything
            raise ImageReadError(self._facts.path, f"the tiles cannot be unpacked: {exc}") from exc

    def _convert(self, stored: NDArray[Any]) -> NDArray[Any]:
        scaled = self._facts.byte_offset is None  # astropy has scaled what it unpacked
        bscale, bzero = (1.0, 0.0) if scaled else (self._facts.bscale, self._facts.bzero)
        if self._facts.role == "msk":
            return mask_values(stored, bscale, bzero, self._facts.path)
        blank = self._blank() if stored.dtype.kind in "iu" and not scaled else None
        return science_values(stored, bscale, bzero, blank)


class RemotePixelFile(PixelFile):
    """A file behind a URL, read by byte ranges: one request for the rows of a window.

    There is no modification time to compare. The file must have the same size and the same header cards as at ingest; a
    compressed file is fetched whole, and its sha256 is compared.

    Parameters
    ----------
    facts : FileFacts
    shape : tuple of int
    cards : dict
        The file's header as it was ingested.
    """

    def __init__(self, facts: FileFacts, shape: tuple[int, int], cards: dict[str, Any]) -> None:
        self._facts, self._shape = facts, shape
        self._whole = self._tiles = None
        self._content: memoryview | None = None
        self.mtime_ns = facts.mtime_ns
        self._remote = open_remote(facts.path)
        self._first = head = self._remote.read(0, facts.byte_offset) if facts.byte_offset is not None else b""
        if self._remote.size() != facts.size:
            raise FileChangedError(facts.path, f"{self._remote.size()} bytes, {facts.size} were ingested")
        if facts.byte_offset is not None and facts.hdu == 0 and not _same_header(head, cards):
            raise FileChangedError(facts.path, "the header is not the one that was ingested")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing: no connection is kept."""

    def _is_plain(self) -> bool:
        return super()._is_plain() and self._facts.hdu == 0  # otherwise the header is not at the beginning

    def _blank(self) -> int | None:
        return blank_in(self._first, self._facts.path)

    def _row_parts(self, first: int, n: int, step: int, height: int) -> bytes:
        block = self._bytes(first, (height - 1) * step + n)
        return b"".join([block[at : at + n] for at in range(0, height * step, step)])

    def _bytes(self, offset: int, n: int) -> bytes:
        try:
            content = self._remote.read(offset, n) if self._content is None else self._content[offset : offset + n]
        except NoRangesError:  # then fetch the whole file once; its size is known
            self._content = self._raw().content
            content = self._content[offset : offset + n]
        content = bytes(content)
        if len(content) < n:
            raise ImageReadError(self._facts.path, "the file ends before the image does")
        return content

    def _section(self, rows: slice, cols: slice) -> NDArray[Any]:
        return self._read_whole()[rows, cols].copy()

    def _convert(self, stored: NDArray[Any]) -> NDArray[Any]:
        return stored if self._whole is not None else super()._convert(stored)

    def _begins_with(self, magic: bytes) -> bool:
        return False  # compressed files are fetched whole

    def _check_unchanged(self) -> None:
        """Do nothing: requests are independent."""

    def _raw(self) -> RawFile:
        if self._content is not None:
            return RawFile(self._facts.path, self._content, self._facts.mtime_ns)
        content = self._remote.read(0, self._facts.size)
        if hashlib.sha256(content).hexdigest() != self._facts.sha256:
            raise FileChangedError(self._facts.path, "the content is not what was ingested (sha256)")
        return RawFile(self._facts.path, memoryview(content), self._facts.mtime_ns)


def open_pixels(image: StoredPixels, facts: FileFacts) -> PixelFile:
    """Open one file of an ingested image, local or remote; see `PixelFile` and `RemotePixelFile`."""
    if is_remote(facts.path):
        return RemotePixelFile(facts, image.shape, (image.cards or {}).get(facts.role, {}))
    return PixelFile(facts, image.shape)


def _same_header(head: bytes, cards: dict[str, Any]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return header_cards(fits.Header.fromstring(head.translate(PRINTABLE).decode("ascii"))) == cards


def file_status(problem: ImageError) -> str:
    """Return the status of a file with a problem, in two words."""
    if isinstance(problem, FileMissingError):
        return "file missing"
    return "file changed" if isinstance(problem, FileChangedError) else "file unreadable"


def check_file(facts: FileFacts, *, whole: bool = False) -> str | None:
    """Check a file of the archive, and return its problem.

    Parameters
    ----------
    facts : FileFacts
        The file as it was ingested.
    whole : bool
        Compute the sha256 even if size and modification time are unchanged.

    Returns
    -------
    str or None
        ``file missing``, ``file changed`` or ``file unreadable``; None if it is unchanged.
    """
    try:
        if is_remote(facts.path):
            return _check_remote(facts, whole=whole)
        descriptor = _open(facts)
        try:
            status = os.fstat(descriptor)
            _check(facts, status)
        finally:
            os.close(descriptor)
        if whole and _digest(facts.path) != facts.sha256:
            return "file changed"
    except ImageError as exc:
        return file_status(exc)
    except OSError:
        return "file unreadable"
    return None


def _check_remote(facts: FileFacts, *, whole: bool) -> str | None:
    remote = open_remote(facts.path)
    same = remote.size() == facts.size
    if same and whole:
        same = hashlib.sha256(remote.read(0, facts.size)).hexdigest() == facts.sha256
    return None if same else "file changed"


def _open(facts: FileFacts) -> int:
    try:
        # O_NONBLOCK: opening a named pipe would wait for its other end forever.
        return os.open(facts.path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileMissingError(facts.path, "there is no such file") from exc
    except (OSError, ValueError) as exc:  # ValueError: a NUL in the path
        raise ImageReadError(facts.path, f"cannot be read: {getattr(exc, 'strerror', None) or exc}") from exc


def _check(facts: FileFacts, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ImageReadError(facts.path, "not a regular file")
    if status.st_size != facts.size:
        raise FileChangedError(facts.path, f"{status.st_size} bytes, {facts.size} were ingested")
    if status.st_mtime_ns != facts.mtime_ns and _sha256(facts.path, status.st_size, status.st_mtime_ns) != facts.sha256:
        raise FileChangedError(facts.path, "the content is not what was ingested (sha256)")


@lru_cache(maxsize=100_000)
def _sha256(path: str, size: int, mtime_ns: int) -> str:
    """Return the cached digest of a file; a change of size or time invalidates it."""
    return _digest(path)


def _digest(path: str) -> str:
    with open(path, "rb") as stream:  # noqa: PTH123 (hashlib wants the file object)
        return hashlib.file_digest(stream, "sha256").hexdigest()
