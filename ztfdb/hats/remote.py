"""Exports to an object store: objects are written atomically, and the collection points to a generation last."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from ztfdb.errors import CatalogueFileError, ExportError, ZtfdbError
from ztfdb.hats.places import LocalPlace, Place
from ztfdb.surveys.files import filesystem, is_missing, is_url

CONNECTIONS = 8
"""Concurrent small requests."""

ONE_PROCESS = ("memory://",)
"""Protocols that other processes cannot see."""


def open_place(location: str | Path) -> Place:
    """Return the place of a path or a URL; ``file://`` is a path, an empty text a ValueError, ``s3://`` an error."""
    text = str(location)
    if not text:
        raise ValueError("'' is not the name of a folder")
    if text.startswith("file://"):
        return LocalPlace(text.removeprefix("file://"))
    if is_url(text) and not text.partition("://")[2].strip("/"):
        raise ExportError(f"{text} names no folder")
    return RemotePlace(text) if is_url(text) else LocalPlace(text)


class RemotePlace(Place):
    """A URL that fsspec supports.

    Files are written locally and uploaded; the store must publish them atomically, as object stores do. There are no
    links and no locks: the store copies unchanged files of a generation, and concurrent exports are detected only
    before the result is published.

    Raises
    ------
    MissingExtraError
        If fsspec is not installed.
    ExportError
        If fsspec does not support such URLs or the store refuses.
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

    def reading(self, path: str) -> AbstractContextManager[None]:
        """Return a context in which errors of the store name the object at `path`."""
        return self._failures(path)

    def footers(self, paths: Sequence[str]) -> Iterator[pq.FileMetaData]:
        """Yield the footers of Parquet files, in their order."""
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="hats-footers") as pool:
            yield from pool.map(self.footer, paths)

    def make(self, path: str, write: Callable[[Path], object]) -> int:
        """Write a local file and upload it."""
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

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all objects below, in bytes."""
        base = self._opened[1].strip("/")
        with self._failures(""):
            self._store.invalidate_cache()
            found = self._store.find(self._opened[1], detail=True)
        return {name.strip("/").removeprefix(f"{base}/"): int(one["size"]) for name, one in found.items()}

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
        """Convert errors of the store, which each fsspec package defines itself, to an error that names the object.

        With `absent`, a missing object raises `FileNotFoundError` instead.
        """
        try:
            yield
        except (ZtfdbError, pa.ArrowException):
            raise
        except Exception as exc:
            if absent and is_missing(exc):
                raise
            raise ExportError(f"{self.location}/{path}: {type(exc).__name__}: {exc}") from exc
