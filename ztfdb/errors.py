"""The errors ztfdb raises about data and the world; a caller's own mistake is a plain ValueError or TypeError."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from types import FrameType

from ztfdb.texts import hide_secrets


class ZtfdbError(Exception):
    """Base of every ztfdb error. The secrets of URLs in its message (passwords, tokens) show as ``***``.

    Attributes
    ----------
    retryable : bool
        True where the same call may succeed later without anyone changing the input.
    """

    retryable = False

    def __init__(self, *args: object) -> None:
        super().__init__(*(hide_secrets(one) if isinstance(one, str) else one for one in args))


class EmptyAnswerWarning(UserWarning):
    """A question found nothing; the message says what the archive holds there."""


def warn_empty(told: str) -> None:
    """Warn of an empty answer, where code outside this package asked for it."""
    frame: FrameType | None = sys._getframe(1)
    level = 2
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] == "ztfdb":
        frame, level = frame.f_back, level + 1
    warnings.warn(told, EmptyAnswerWarning, stacklevel=level)


class ConfigError(ZtfdbError):
    """A setting is missing, misspelt or out of range."""


class OptionError(ZtfdbError, TypeError):
    """A method has no such option, or not together with the others; as a TypeError, which Python itself raises."""


class MissingExtraError(ZtfdbError):
    """An optional dependency is not installed; the message names the extra that brings it.

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
        What was found and what was wanted.
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
    """A file that the archive knows is not where it was."""


class FileChangedError(ImageReadError):
    """A file that the archive knows holds other content than was ingested; its pixels are not used."""

    retryable = False


class HeaderError(ImageError):
    """A header keyword is missing or has a value that cannot be right.

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
    """The file is another product of ZTF than a science or reference image, or made from one."""


class WcsError(ImageError):
    """The world coordinate system is missing, singular or not celestial."""


class MaskError(ImageError):
    """The mask image does not belong to the science image (shape, type)."""


class ExtractionError(ImageError):
    """The sources of the image could not be measured."""


class MeasurementTimeout(ExtractionError):
    """The worker was stopped: it took longer than the time allowed for one image."""

    retryable = True


class WorkerDied(ExtractionError):
    """The worker process ended while it measured this image."""

    retryable = True


class PsfFileError(ImageError):
    """The file is no DAOPHOT ``.psf`` file, or not a whole one."""


class PsfCatalogueError(ImageError):
    """The file is no whole ``psfcat`` or ``refpsfcat`` of ZTF, or not that of this image; the image itself is fine."""


class StampError(ImageError):
    """No stamp can be cut from this file at this position."""


class ClusterError(ZtfdbError):
    """A Dask cluster does not answer, or its workers cannot measure for this process.

    Attributes
    ----------
    scheduler : str
        Its address.
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
        What was found and what was wanted.
    """

    def __init__(self, path: str | Path, reason: str) -> None:
        self.path = str(path)
        self.reason = hide_secrets(reason)
        super().__init__(f"{self.path}: {reason}")

    def __reduce__(self) -> tuple[type, tuple[str, ...]]:
        return type(self), (self.path, self.reason)


class CatalogueServiceError(ZtfdbError):
    """A catalogue service cannot be reached, refused the query, or cut its answer short."""

    retryable = True


class StoreError(ZtfdbError):
    """Something is wrong with the archive's database."""


class DatabaseUnavailableError(StoreError):
    """The database cannot be reached, or is locked."""

    retryable = True


class DatabaseReadOnlyError(DatabaseUnavailableError):
    """The database takes no writes here, or not now.

    A standby, a server or role that is set to read only, a SQLite file or folder without the right to write.
    """


class ArchiveClosedError(StoreError):
    """The archive was closed, and is used again."""


class LeaseLostError(StoreError):
    """A job of the ingest queue is no longer ours: its lease ended and another process took it, or its file changed."""


class SchemaVersionError(StoreError):
    """The archive's schema is missing or at another revision than this ztfdb."""


class SettingsMismatchError(StoreError):
    """The settings differ from those frozen when the archive was made."""


class UnknownImageError(StoreError):
    """No image of this id is in the archive."""


class UnknownObjectError(StoreError):
    """No object has or had this id."""


class UnknownSourceError(StoreError):
    """No source of this id is in the archive."""


class UnknownCatalogueError(StoreError):
    """No reference catalogue of this name is in the archive."""


class IdentityCollisionError(StoreError):
    """Two different exposures came to the same ``image_id``."""


class TooManySourcesError(StoreError):
    """An image has more sources than its ids can number."""


class OlderVersionError(StoreError):
    """The archive holds a newer processing of the same image; this one was refused."""


class QueryError(ZtfdbError):
    """The question was refused: not read-only, too long, or beyond a documented limit."""


class RemoteError(ZtfdbError):
    """A service (``ztfdb serve``) failed, or what answers at its address is none."""


class ServiceRefusedError(RemoteError):
    """A service does not do this: it wants a token, or it is asked to write."""


class ServiceUnavailableError(RemoteError):
    """A service cannot be reached, is busy, or its answer ended too early."""

    retryable = True


class ExportError(ZtfdbError):
    """An export cannot be made, taken up again or brought up to date."""


class OutputError(ZtfdbError):
    """Rows or pictures cannot be written to the given file."""


class PositionTableError(ZtfdbError):
    """A table of positions cannot be read, or has no positions."""
