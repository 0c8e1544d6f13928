"""Exports to an object store: each object appears whole, and the collection is pointed at a generation last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from ztfdb.errors import CatalogueFileError, ExportError, ZtfdbError
from ztfdb.hats.places import LocalPlace, Place
from ztfdb.surveys.files import filesystem, is_url

CONNECTIONS = 8
"""Requests at a time, where many small ones are made."""

ONE_PROCESS = ("memory://",)
"""What no other process sees."""


def open_place(location: str | Path) -> Place:
    """Return the place that a path or a URL names; ``file://`` is a path."""
    text = str(location)
    if text.startswith("file://"):
        return LocalPlace(text.removeprefix("file://"))
    return RemotePlace(text) if is_url(text) else LocalPlace(text)


class RemotePlace(Place):
    """A URL that fsspec knows.

    A file is made on this machine and sent; it must be whole when it appears, as in object stores. There are no links
    and no locks: unchanged files of a generation are copied by the store, and who exports twice at a time is found out
    only before the result is shown.

    Raises
    ------
    MissingExtraError
        If fsspec is not installed.
    ExportError
        If fsspec does not know such URLs or the store refuses.
    """

    @property
    def is_shared(self) -> bool:
        """Whether other processes see what is written."""
        return not self.location.startswith(ONE_PROCESS)

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        try:
            return filesystem(self.location)
        except CatalogueFileError as exc:
            raise ExportError(str(exc)) from exc

    @property
    def _store(self) -> Any:
        return self._opened[0].handler.fs

    @contextmanager
    def open(self, path: str) -> Iterator[pa.NativeFile]:
        """Open an object for reading at any position."""
        with self._failures(path), super().open(path) as source:
            yield source

    def footers(self, paths: Sequence[str]) -> Iterator[pq.FileMetaData]:
        """Yield the footers of Parquet files, in their order."""
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="hats-footers") as pool:
            yield from pool.map(self.footer, paths)

    def make(self, path: str, write: Callable[[Path], object]) -> int:
        """Make a file here and send it."""
        with tempfile.TemporaryDirectory(prefix="ztfdb-") as folder:
            waiting = Path(folder) / "file"
            write(waiting)
            with self._failures(path, absent=False):
                self._store.put_file(str(waiting), self._whole(path))
            return waiting.stat().st_size

    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Let the store copy objects."""

        def one(pair: tuple[str, str]) -> None:
            with self._failures(pair[0], absent=False):
                self._store.cp_file(*map(self._whole, pair))

        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="hats-copies") as pool:
            list(pool.map(one, pairs))

    def remove(self, path: str) -> None:
        """Remove all objects below a path."""
        with self._failures(path):
            self._store.invalidate_cache()
            if self._store.exists(self._whole(path)):
                self._store.rm(self._whole(path), recursive=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Do nothing: there are no locks."""
        yield

    def _listed(self, folder: str, kind: fs.FileType) -> list[str]:
        wanted = "file" if kind == fs.FileType.File else "directory"
        whole = self._whole(folder).rstrip("/")
        try:
            with self._failures(folder):
                self._store.invalidate_cache()
                found = self._store.ls(whole, detail=True)
        except FileNotFoundError:
            return []
        paths = [one["name"].rstrip("/") for one in found if one["type"] == wanted]
        names = sorted(path.rpartition("/")[2] for path in paths if path.strip("/") != whole.strip("/"))
        return [f"{folder}/{name}".lstrip("/") for name in names]

    def _whole(self, path: str) -> str:
        return f"{self._opened[1]}/{path}"

    @contextmanager
    def _failures(self, path: str, *, absent: bool = True) -> Iterator[None]:
        """Name the object in what the store refuses; packages for fsspec raise errors of their own kinds.

        With `absent`, that there is no such object is no failure but a `FileNotFoundError`.
        """
        try:
            yield
        except (ZtfdbError, pa.ArrowException):
            raise
        except Exception as exc:
            if absent and isinstance(exc, FileNotFoundError):
                raise
            raise ExportError(f"{self.location}/{path}: {type(exc).__name__}: {exc}") from exc
