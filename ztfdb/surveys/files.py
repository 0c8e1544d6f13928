"""Access to the files of a catalogue: a local folder, or a URL through fsspec (extra ``remote``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ztfdb.errors import CatalogueFileError, MissingExtraError, ZtfdbError
from ztfdb.texts import failure

if TYPE_CHECKING:
    from pyarrow import NativeFile, fs, parquet

DESCRIBING = ("collection.properties", "hats.properties", "properties", "partition_info.csv")
"""Files that change when a catalogue is written again."""

NO_SUCH_FILE, FORBIDDEN = (404, 410), 403
"""Status codes of HTTP."""


class Folder:
    """A folder and its contents.

    Parameters
    ----------
    location : str
        A path, or a URL such as ``s3://bucket/gaia``.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed, or fsspec for a URL.
    CatalogueFileError
        If fsspec does not support such URLs.

    Attributes
    ----------
    denied : str
        Why a store refused a file that `text` then took as missing, empty if it did not.
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/") or "/"
        self.denied = ""
        self._files, self._base = filesystem(self.location)

    def below(self, name: str) -> Folder:
        """Return a folder by its name in this one, or by an absolute path or URL on the same host."""
        if not is_whole(name):
            return Folder(f"{self.location}/{name.removeprefix('./')}")
        if urlsplit(name)[:2] != urlsplit(self.location)[:2]:
            raise CatalogueFileError(self.location, f"its table lies elsewhere, in {name}: name that place")
        return Folder(name)

    def text(self, name: str) -> str | None:
        """Return the text of a file, None if it does not exist.

        S3 forbids a missing file to readers who may not list the bucket, so a forbidden one counts as missing.
        """
        try:
            with self._failures(name):
                return content_of(self._files, f"{self._base}/{name}").decode("utf-8-sig", "replace")
        except FileNotFoundError:
            return None
        except CatalogueFileError as exc:
            if not (is_url(self.location) and _is_denied(exc.__cause__)):
                raise
            self.denied = exc.reason
            return None

    @contextmanager
    def open(self, name: str, metadata: parquet.FileMetaData | None = None) -> Iterator[parquet.ParquetFile]:
        """Open a Parquet file; with its `metadata` the footer is not read again."""
        from pyarrow import parquet

        try:
            with self._failures(name), source_of(self._files, f"{self._base}/{name}") as source:
                yield parquet.ParquetFile(source, metadata=metadata, pre_buffer=True)
        except FileNotFoundError as exc:
            raise self._unreadable(name, exc) from exc

    def names(self, name: str, suffix: str) -> list[str]:
        """Return the files at any depth below a folder with this suffix, sorted; hidden ones are skipped."""
        from pyarrow import fs

        try:
            with self._failures(name):
                found = self._files.get_file_info(fs.FileSelector(f"{self._base}/{name}", recursive=True))
        except FileNotFoundError:
            return []
        paths = [one.path for one in found if one.is_file and one.base_name.endswith(suffix)]
        return sorted(path.removeprefix(self._base).lstrip("/") for path in paths if not _is_hidden(path))

    def changed(self) -> Any:
        """Return a value that changes with the files that describe the folder; None for a URL, to avoid requests."""
        if is_url(self.location):
            return None
        stats = [path.stat() for path in map(Path(self.location).joinpath, DESCRIBING) if path.exists()]
        return [(one.st_mtime_ns, one.st_size, one.st_ino) for one in stats]

    def stats(self, name: str) -> list[str]:
        """Return names, sizes and times of the files at any depth below a folder; none for a URL, as in `changed`."""
        if is_url(self.location):
            return []
        from pyarrow import fs

        with self._failures(name):
            found = self._files.get_file_info(fs.FileSelector(f"{self._base}/{name}", recursive=True))
        return sorted(f"{one.path.removeprefix(self._base)} {one.size} {one.mtime_ns}" for one in found if one.is_file)

    @contextmanager
    def _failures(self, name: str) -> Iterator[None]:
        """Convert errors, which each fsspec package defines itself, to one that names the file.

        A missing file raises `FileNotFoundError`.
        """
        import pyarrow

        try:
            yield
        except ZtfdbError:
            raise
        except Exception as exc:
            if is_missing(exc):
                raise
            if is_url(self.location) or isinstance(exc, OSError | pyarrow.ArrowException):
                raise self._unreadable(name, exc) from exc
            raise

    def _unreadable(self, name: str, exc: Exception) -> CatalogueFileError:
        cause = exc.__cause__ if isinstance(exc, FileNotFoundError) else None
        said = cause if isinstance(cause, Exception) else exc
        return CatalogueFileError(
            f"{self.location}/{name}", f"cannot be read: {str(failure(said)) or type(said).__name__}"
        )


def _status(exc: BaseException | None) -> int | None:
    """Return the status code of an error of HTTP; fsspec takes every failure to open a file for a missing one."""
    cause = exc.__cause__ if isinstance(exc, FileNotFoundError) else exc
    return getattr(cause, "status", None)


def is_missing(exc: Exception) -> bool:
    """Return whether a file could not be opened because it does not exist."""
    return isinstance(exc, FileNotFoundError) and _status(exc) in (None, *NO_SUCH_FILE)


def content_of(files: fs.FileSystem, path: str) -> bytes:
    """Return the content of a file; see `source_of`."""
    from pyarrow import fs

    if isinstance(files, fs.PyFileSystem):
        return bytes(files.handler.fs.cat_file(path))
    with files.open_input_stream(path) as stream:
        return bytes(stream.read())


def source_of(files: fs.FileSystem, path: str) -> NativeFile:
    """Open a file for reading at any position.

    pyarrow first asks fsspec whether a path is a file, which it is not where a server refuses or fails: what is opened
    by fsspec itself says why.
    """
    import pyarrow
    from pyarrow import fs

    if isinstance(files, fs.PyFileSystem):
        return pyarrow.PythonFile(files.handler.fs.open(path, "rb"), mode="r")
    return files.open_input_file(path)


def _is_denied(exc: BaseException | None) -> bool:
    return isinstance(exc, PermissionError) or _status(exc) == FORBIDDEN


def is_url(location: str) -> bool:
    """Return whether a location is a URL."""
    return "://" in location


def is_whole(name: str) -> bool:
    """Return whether a name is a URL or an absolute path."""
    return is_url(name) or name.startswith("/")


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith(("_", "."))


def filesystem(location: str) -> tuple[fs.FileSystem, str]:
    """Return the file system of a path or URL, and the path in it.

    Raises
    ------
    MissingExtraError
        If pyarrow is not installed, or fsspec for a URL.
    CatalogueFileError
        If fsspec does not know such URLs.
    """
    try:
        from pyarrow import fs
    except ImportError as exc:
        raise MissingExtraError("reading HATS catalogues", "parquet") from exc
    if not is_url(location):
        return fs.LocalFileSystem(), str(Path(location).absolute())
    try:
        import fsspec
    except ImportError as exc:
        raise MissingExtraError(location, "remote") from exc
    try:
        found, base = fsspec.core.url_to_fs(location)
    except Exception as exc:  # each package has its own
        raise CatalogueFileError(location, f"fsspec does not open it: {failure(exc)}") from exc
    return fs.PyFileSystem(fs.FSSpecHandler(found)), str(base).rstrip("/")
