"""Targets of an export: a local folder, or a URL opened by `ztfdb.hats.remote`.

Paths below a place are relative, with slashes. A place can be sent to another process.
"""

from __future__ import annotations

import fcntl
import shutil
import stat
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from ztfdb.errors import ExportError
from ztfdb.hats.files import link_or_copy, make_atomically
from ztfdb.surveys.files import content_of, filesystem, source_of
from ztfdb.texts import failure


class Place(ABC):
    """A folder and its contents.

    Parameters
    ----------
    location : str
        Path or URL.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/") or "/"

    def __reduce__(self) -> tuple[type[Place], tuple[str]]:
        return type(self), (self.location,)

    def __str__(self) -> str:
        return self.location

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Place) and self.location == other.location

    def __hash__(self) -> int:
        return hash(self.location)

    def below(self, name: str) -> Place:
        """Return a subfolder, which need not exist."""
        return type(self)(f"{self.location}/{name}")

    @property
    def is_shared(self) -> bool:
        """Whether other processes see written files."""
        return True

    @cached_property
    def _opened(self) -> tuple[fs.FileSystem, str]:
        return filesystem(self.location)

    def read(self, path: str) -> bytes | None:
        """Return the content of a file, None if it does not exist."""
        files, base = self._opened
        try:
            with self.reading(path):
                return content_of(files, f"{base}/{path}")
        except FileNotFoundError:
            return None

    @contextmanager
    def open(self, path: str) -> Iterator[pa.NativeFile]:
        """Open a file for reading at any position.

        Raises
        ------
        FileNotFoundError
            If it does not exist.
        """
        files, base = self._opened
        with self.reading(path), source_of(files, f"{base}/{path}") as source:
            yield source

    def reading(self, path: str) -> AbstractContextManager[None]:
        """Return a context in which errors of a store name the object at `path`; a missing one is FileNotFoundError."""
        return nullcontext()

    def footer(self, path: str) -> pq.FileMetaData:
        """Return the footer of a Parquet file."""
        with self.open(path) as source:
            return pq.read_metadata(source)

    def footers(self, paths: Sequence[str]) -> Iterator[pq.FileMetaData]:
        """Yield the footers of Parquet files, in their order."""
        yield from map(self.footer, paths)

    def table(self, path: str, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows of a Parquet file."""
        with self.open(path) as source:
            return pq.ParquetFile(source).read(columns=None if columns is None else list(columns))

    def write(self, path: str, content: bytes) -> None:
        """Write a file atomically."""
        self.make(path, lambda waiting: waiting.write_bytes(content))

    def files(self, folder: str) -> list[str]:
        """Return the files directly in a folder, sorted; empty if there is no folder."""
        return self._listed(folder, fs.FileType.File)

    def folders(self) -> list[str]:
        """Return the names of the direct subfolders, sorted."""
        return [path.rpartition("/")[2] for path in self._listed("", fs.FileType.Directory)]

    def sizes(self) -> dict[str, int]:
        """Return the sizes of all files below, at any depth, in bytes."""
        files, base = self._opened
        found = files.get_file_info(fs.FileSelector(base, recursive=True, allow_not_found=True))
        return {one.path.removeprefix(f"{base}/"): one.size for one in found if one.type == fs.FileType.File}

    def _listed(self, folder: str, kind: fs.FileType) -> list[str]:
        files, base = self._opened
        where = fs.FileSelector(f"{base}/{folder}".rstrip("/"), allow_not_found=True)
        names = sorted(one.base_name for one in files.get_file_info(where) if one.type == kind)
        return [f"{folder}/{name}".lstrip("/") for name in names]

    @abstractmethod
    def make(self, path: str, write: Callable[[Path], object]) -> int:
        """Write a local file with `write`, publish it at `path` when it is complete, and return its size."""

    @abstractmethod
    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Copy or link files; each pair is an existing path and a new one."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file, or a folder with its contents, if it exists."""

    @abstractmethod
    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock out other exports, if possible.

        Raises
        ------
        ExportError
            If another one is running.
        """
        yield


class LocalPlace(Place):
    """A local folder."""

    def __init__(self, location: str) -> None:
        super().__init__(location)
        self.path = Path(self.location)

    def check(self) -> None:
        """Raise `ExportError` if this is something else than a folder, or cannot be looked at."""
        try:
            if not stat.S_ISDIR(self.path.stat().st_mode):
                raise ExportError(f"{self.path} is not a folder")
        except FileNotFoundError:
            pass
        except OSError as exc:
            raise ExportError(f"{self.path} cannot be written: {failure(exc)}") from exc

    def make(self, path: str, write: Callable[[Path], object]) -> int:
        """Write under a temporary name, sync to disk and rename."""
        target = self.path / path
        make_atomically(target, write)
        return target.stat().st_size

    def copy(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Hard-link files, or copy them if the file system has no links."""
        for source, target in pairs:
            link_or_copy(self.path / source, self.path / target)

    def remove(self, path: str) -> None:
        """Remove a file or a folder."""
        target = self.path / path
        if target.is_dir():
            shutil.rmtree(target, ignore_errors=True)
        else:
            target.unlink(missing_ok=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Lock the folder."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with (self.path / ".lock").open("w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError as exc:
                    raise ExportError(f"another export is writing to {self.path}") from exc
                except OSError as exc:
                    raise ExportError(f"{self.path} cannot be locked: {exc.strerror}") from exc
                yield
        except OSError as exc:
            raise ExportError(f"{exc.filename or self.path} cannot be written: {failure(exc)}") from exc
