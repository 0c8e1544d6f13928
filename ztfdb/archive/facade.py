"""The entry point: ``ztfdb.open(url)`` returns an `Archive`, which takes positions in any common form."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING, Unpack, cast

from ztfdb.archive.areas import Areas
from ztfdb.archive.calibrations import Calibrations
from ztfdb.archive.catalogues import Catalogues
from ztfdb.archive.images import Images
from ztfdb.archive.light_curves import LightCurves
from ztfdb.archive.objects import Objects
from ztfdb.archive.upkeep import Upkeep
from ztfdb.errors import ConfigError, DatabaseUnavailableError, SchemaVersionError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.options import (
    DiffOptions,
)
from ztfdb.spelling import checked_as, spelled
from ztfdb.store.address import Address, address_of
from ztfdb.store.meta import MAGERR_SYS
from ztfdb.texts import failure, hide_secrets

if TYPE_CHECKING:
    from sqlalchemy import URL

    from ztfdb.client import RemoteArchive
    from ztfdb.query.diff import ArchiveDiff


MOST_MAGERR_SYS = 1.0
"""Largest systematic floor of ``magerr``, mag: every error would contain it for as long as the archive exists."""


@checked_as("ztfdb.open")
def open_archive(
    url: str | Path | URL | None = None,
    *,
    create: bool = False,
    settings: ExtractionSettings | None = None,
    magerr_sys: float = MAGERR_SYS,
    read_only: bool = False,
) -> Archive:
    """Open an archive.

    Parameters
    ----------
    url : str, Path or URL, optional
        ``sqlite:///night.db``, ``postgresql+psycopg://…`` or the path of a SQLite file. The default is ``ZTFDB_URL``,
        then the configuration file (`ztfdb.config`), else ``sqlite:///ztfdb.sqlite`` in the current folder. The URL of
        a service (``http://…``, ``https://…``) opens its archive as a `ztfdb.client.RemoteArchive`, with the reading
        methods of an `Archive`. Its token is ``token`` of the configuration, or ``ZTFDB_TOKEN``.
    create : bool
        Make the archive if there is none, and migrate an older schema.
    settings : ExtractionSettings, optional
        Fixed in a new archive; for an existing one they must equal the archive's own.
    magerr_sys : float
        Systematic floor of ``magerr``, mag, fixed in a new archive.
    read_only : bool
        Open such that the database itself refuses writes.

    Raises
    ------
    SchemaVersionError
        If there is no archive, or it is at another schema revision; the message names ``ztfdb init``.
    SettingsMismatchError
        If the archive was made with other settings.
    ValueError
        If an argument is of another kind, `magerr_sys` is no number from 0 to 1, or `create` and `read_only` are given.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        if create or settings is not None:
            raise ConfigError(f"{hide_secrets(url)} is a service: an archive is made where its database is")
        return cast("Archive", _open_remote(url))  # the same reading methods
    address = address_of(_configured() if url is None else url)
    if create and read_only:
        raise ValueError("an archive cannot be created read-only")
    if not 0.0 <= magerr_sys <= MOST_MAGERR_SYS:
        raise ValueError(f"magerr_sys {magerr_sys}: expected magnitudes from 0 to {MOST_MAGERR_SYS:g}")
    if address.is_file:  # SQLite would create an empty file
        _check_file(address, create=create)
    if create:
        from ztfdb.store.migrate import upgrade  # SQLAlchemy

        upgrade(address)
    return Archive(address, settings=settings, magerr_sys=magerr_sys, create=create, read_only=read_only)


def _check_file(address: Address, *, create: bool) -> None:
    path = address.database or ""
    try:
        mode = Path(path).stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        if create:
            return
        from ztfdb.config import DEFAULT_URL  # a reader of TOML

        other = ", or name another in ZTFDB_URL" if address.shown() == DEFAULT_URL else ""
        raise SchemaVersionError(f"there is no archive at {address.shown()}: run `ztfdb init`{other}") from None
    except OSError as exc:
        raise DatabaseUnavailableError(f"{path}: {failure(exc)}") from exc
    if not stat.S_ISREG(mode):
        what = "a folder" if stat.S_ISDIR(mode) else "no regular file"
        raise SchemaVersionError(f"{path} is {what}; expected the file of an archive")


def _configured() -> str:
    from ztfdb.config import load_config  # a reader of TOML

    return load_config().url


def _open_remote(url: str) -> RemoteArchive:
    from ztfdb.client import open_remote
    from ztfdb.config import load_config

    config = load_config()
    return open_remote(url, token=config.token, timeout_s=config.http_timeout_s)


@spelled("archive")
class Archive(LightCurves, Areas, Images, Catalogues, Calibrations, Objects, Upkeep):
    """One database and the image files it refers to; made by `open_archive`, closed by ``with`` or `close`.

    Positions are ICRS: two numbers in degrees, two Quantities, or one `~astropy.coordinates.SkyCoord` in any frame. The
    proper motion of a SkyCoord is applied from its ``obstime`` (like ``pmra``, ``pmdec`` and ``epoch``). Radii are
    arcseconds, or a Quantity. An empty answer has all columns, and an `~ztfdb.errors.EmptyAnswerWarning` describes what
    the archive has there.

    Attributes
    ----------
    url : str
        The URL of the archive, with the password hidden.
    settings : ExtractionSettings
        Fixed when the archive was made.
    """

    def diff(self, other: Archive, **options: Unpack[DiffOptions]) -> ArchiveDiff:
        """Compare this archive (A) with another (B) on the images that both have; see `ztfdb.query.diff`.

        Parameters
        ----------
        other : Archive
        **options
            Those of `ztfdb.query.diff.diff_archives`.

        Raises
        ------
        TypeError
            If `other` is not an archive with a database; a service does not provide whole images.
        """
        from ztfdb.query.diff import diff_archives

        if not isinstance(other, Archive):
            raise TypeError(f"{type(other).__name__}: expected an Archive, from ztfdb.open of a database")
        with self._sessions() as session, other._sessions() as session_b:
            return diff_archives(session, session_b, **options)
