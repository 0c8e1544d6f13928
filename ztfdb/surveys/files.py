"""Access to the files of a catalogue: a local folder, or a URL through fsspec (extra ``remote``)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ztfdb.errors import CatalogueFileError, MissingExtraError

if TYPE_CHECKING:
    from pyarrow import fs, parquet


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
    """

    def __init__(self, location: str) -> None:
        self.location = location.rstrip("/") or "/"
        self._files, self._base = filesystem(self.location)

    def below(self, name: str) -> Folder:
        """Return a folder by its name in this one, or by an absolute path or URL on the same host."""
        if not is_whole(name):
            return Folder(f"{self.location}/{name.removeprefix('./')}")
        if urlsplit(name)[:2] != urlsplit(self.location)[:2]:
            raise CatalogueFileError(self.location, f"its table lies elsewhere, in {name}: name that place")
        return Folder(name)

    def text(self, name: str) -> str | None:
        """Return the text of a file, None if it does not exist."""
        try:
            with self._files.open_input_stream(f"{self._base}/{name}") as stream:
                return bytes(stream.read()).decode("utf-8", "replace")
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._unreadable(name, exc) from exc

    @contextmanager
    def open(self, name: str, metadata: parquet.FileMetaData | None = None) -> Iterator[parquet.ParquetFile]:
        """Open a Parquet file; with its `metadata` the footer is not read again."""
        import pyarrow
        from pyarrow import parquet

        try:
            with self._files.open_input_file(f"{self._base}/{name}") as source:
                yield parquet.ParquetFile(source, metadata=metadata, pre_buffer=True)
        except (OSError, pyarrow.ArrowException) as exc:
            raise self._unreadable(name, exc) from exc

    def names(self, name: str, suffix: str) -> list[str]:
        """Return the files at any depth below a folder with this suffix, sorted; hidden ones are skipped."""
        from pyarrow import fs

        try:
            found = self._files.get_file_info(fs.FileSelector(f"{self._base}/{name}", recursive=True))
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise self._unreadable(name, exc) from exc
        paths = [one.path for one in found if one.is_file and one.base_name.endswith(suffix)]
        return sorted(path.removeprefix(self._base).lstrip("/") for path in paths if not _is_hidden(path))

    def changed(self) -> Any:
        """Return a value that changes with the folder's properties; None for a URL, to avoid a request each time."""
        if is_url(self.location):
            return None
        stats = [path.stat() for path in sorted(Path(self.location).glob("*.properties"))]
        return [(one.st_mtime_ns, one.st_size, one.st_ino) for one in stats]

    def _unreadable(self, name: str, exc: Exception) -> CatalogueFileError:
        return CatalogueFileError(f"{self.location}/{name}", f"cannot be read: {exc}")


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
    except (ImportError, ValueError) as exc:
        raise CatalogueFileError(location, f"fsspec does not open it: {exc}") from exc
    return fs.PyFileSystem(fs.FSSpecHandler(found)), str(base).rstrip("/")
