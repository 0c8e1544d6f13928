"""The errors of ztfdb about data and the environment; wrong arguments raise a plain ValueError or TypeError."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType

from ztfdb.texts import hide_secrets


class ZtfdbError(Exception):
    """Base of every ztfdb error. Secrets of URLs in its message (passwords, tokens) are shown as ``***``.

    Attributes
    ----------
    retryable : bool
        True if the same call may succeed later with the same input.
    """

    retryable = False

    def __init__(self, *args: object) -> None:
        super().__init__(*(hide_secrets(one) if isinstance(one, str) else one for one in args))


class EmptyAnswerWarning(UserWarning):
    """A query found nothing; the message describes what the archive has there."""


def warn_empty(text: str) -> None:
    """Warn of an empty answer, at the line outside this package that made the query."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "ztfdb":
        frame, level = frame.f_back, level + 1
    warnings.warn(text, EmptyAnswerWarning, stacklevel=level)


class ConfigError(ZtfdbError):
    """A setting is missing, misspelt or out of range."""


class OptionError(ZtfdbError, TypeError):
    """A method has no such option, or it conflicts with the others; also a TypeError, as Python itself raises."""


class MissingExtraError(ZtfdbError):
    """An optional dependency is not installed; the message names the extra that installs it.

    Attributes
    ----------
    extra : str
        The extra to install, as in ``pip install 'ztfdb[extra]'``.
    """

    def __init__(self, feature: str, extra: str) -> None:
        self.feature = feature
        self.extra = extra
        super().__init__(f"{feature} needs an optional package: pip install 'ztfdb[{extra}]'")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.feature, self.extra)


class ImageError(ZtfdbError):
    """Something is wrong with one image file.

    Attributes
    ----------
    path : str
        The file.
    reason : str
        What was found and what was expected.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path = str(path)
        self.reason = hide_secrets(reason)
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.path, self.reason)


class ImageReadError(ImageError):
    """The file is missing, unreadable, truncated or not FITS."""

    retryable = True


class FileMissingError(ImageReadError):
    """A file of the archive is not at its path any more."""


class FileChangedError(ImageReadError):
    """A file of the archive has other content than at ingest; its pixels are not used."""

    retryable = False


class HeaderError(ImageError):
    """A header keyword is missing or has an impossible value.

    Attributes
    ----------
    keyword : str
        The keyword.
    """

    def __init__(self, path: str | Path, reason: str, keyword: str = "") -> None:
        self.keyword = keyword
        super().__init__(path, reason)

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.path, self.reason, self.keyword)


class ProductError(ImageError):
    """The file is another product of ZTF than a science or reference image, or derived from one."""


class WcsError(ImageError):
    """The world coordinate system is missing, singular or not celestial."""


class MaskError(ImageError):
    """The mask image does not belong to the science image (shape, type)."""


class ExtractionError(ImageError):
    """The sources of the image could not be measured."""


class MeasurementTimeout(ExtractionError):
    """The worker was stopped because it exceeded the time limit of one image."""

    retryable = True


class WorkerDied(ExtractionError):
    """The worker process ended while it measured this image."""

    retryable = True


class PsfFileError(ImageError):
    """The file is not a DAOPHOT ``.psf`` file, or is incomplete."""


class PsfCatalogueError(ImageError):
    """The file is not a complete ``psfcat`` or ``refpsfcat`` of ZTF, or not that of this image. The image is fine."""


class StampError(ImageError):
    """No stamp can be cut from this file at this position."""


class ClusterError(ZtfdbError):
    """A Dask cluster does not answer, or its workers cannot measure for this process.

    Attributes
    ----------
    scheduler : str
        The address of its scheduler.
    reason : str
        What was found.
    """

    def __init__(self, scheduler: str, reason: str) -> None:
        self.scheduler = scheduler
        self.reason = hide_secrets(reason)
        super().__init__(f"{scheduler}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.scheduler, self.reason)


class CatalogueFileError(ZtfdbError):
    """A file is missing or cannot be understood as a reference catalogue; nothing of it was stored.

    Attributes
    ----------
    path : str
        The file.
    reason : str
        What was found and what was expected.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path = str(path)
        self.reason = hide_secrets(reason)
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.path, self.reason)


class CatalogueServiceError(ZtfdbError):
    """A catalogue service cannot be reached, refused the query, or truncated its answer."""

    retryable = True


class StoreError(ZtfdbError):
    """Something is wrong with the archive's database."""


class DatabaseUnavailableError(StoreError):
    """The database cannot be reached, or is locked."""

    retryable = True


class StatementStoppedError(DatabaseUnavailableError):
    """The server stopped a statement: by its time limit for this role or database, or by an administrator."""


class DatabaseReadOnlyError(DatabaseUnavailableError):
    """The database does not accept writes here, or not now.

    It is a standby, a server or role set to read-only, or a SQLite file or folder without write permission.
    """


class ArchiveClosedError(StoreError):
    """The archive is used after it was closed."""


class LeaseLostError(StoreError):
    """A lost job of the ingest queue: the lease expired and another process claimed it, or its file changed."""


class SchemaVersionError(StoreError):
    """The archive's schema is missing or has another revision than this ztfdb."""


class SettingsMismatchError(StoreError):
    """The settings differ from those fixed when the archive was made."""


class UnknownImageError(StoreError):
    """No image with this id is in the archive."""


class UnknownObjectError(StoreError):
    """No object has or had this id."""


class UnknownSourceError(StoreError):
    """No source with this id is in the archive."""


class UnknownCatalogueError(StoreError):
    """No reference catalogue with this name is in the archive."""


class IdentityCollisionError(StoreError):
    """Two different exposures have the same ``image_id``."""


class TooManySourcesError(StoreError):
    """An image has more sources than its ids can number."""


class OlderVersionError(StoreError):
    """The archive has a newer processing of the same image; this one was refused."""


class QueryError(ZtfdbError):
    """The query was refused: not read-only, too long, or beyond a documented limit."""


class RemoteError(ZtfdbError):
    """A service (``ztfdb serve``) failed, or its URL is not that of a service."""


class ServiceRefusedError(RemoteError):
    """A service does not allow this: it requires a token, or cannot write."""


class ServiceUnavailableError(RemoteError):
    """A service cannot be reached, is busy, or its answer was incomplete."""

    retryable = True


class ExportError(ZtfdbError):
    """An export cannot be made, resumed or updated."""


class OutputError(ZtfdbError):
    """Rows or pictures cannot be written to the given file."""


class PositionTableError(ZtfdbError):
    """A table of positions cannot be read, or has no positions."""
