"""The front door: ``ztfdb.open(url)`` gives an `Archive`, which takes positions as people write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from sqlalchemy import URL

from ztfdb import query
from ztfdb.config import load_config
from ztfdb.derive.objects import build_objects, summarise, update_objects
from ztfdb.errors import SchemaVersionError
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest import ingest_paths
from ztfdb.store.engine import make_engine, mask_password, normalise_url, sessions, writing
from ztfdb.store.meta import MAGERR_SYS, check_settings, create_meta, read_meta
from ztfdb.store.migrate import check_revision, upgrade

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table

    from ztfdb.derive.objects import ObjectsReport
    from ztfdb.ingest import IngestReport, Progress
    from ztfdb.query import LightCurve

Angle: TypeAlias = "float | u.Quantity"
Position: TypeAlias = "float | u.Quantity | SkyCoord"


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
        ``sqlite:///night.db``, ``postgresql+psycopg://…`` or the path of a SQLite file; by default what ``ZTFDB_URL``
        names, then the configuration file (`ztfdb.config`), else ``sqlite:///ztfdb.sqlite`` in the current folder.
    create : bool
        Make the archive where there is none, and bring an older schema up to date.
    settings : ExtractionSettings, optional
        Frozen into a new archive; with an existing one they must be the archive's own.
    magerr_sys : float
        Systematic floor of ``magerr`` frozen into a new archive, mag.
    read_only : bool
        Open so that the database itself refuses to write.

    Raises
    ------
    SchemaVersionError
        If there is no archive, or it is at another schema revision; the message names ``ztfdb init``.
    SettingsMismatchError
        If the archive was made with other settings.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    parsed = normalise_url(load_config().url if url is None else url)
    if create and read_only:
        raise ValueError("an archive cannot be created read-only")
    if create:
        upgrade(parsed)
    elif parsed.get_backend_name() == "sqlite" and not Path(parsed.database or "").is_file():
        # SQLite would make an empty file of any name it is asked to open.
        raise SchemaVersionError(f"there is no archive at {mask_password(parsed)}: run `ztfdb init`")
    return Archive(parsed, settings=settings, magerr_sys=magerr_sys, create=create, read_only=read_only)


class Archive:
    """One database and the image files it points to; made by `open_archive`, closed by ``with`` or `close`.

    Positions are ICRS: two numbers in degrees, two Quantities, or one `~astropy.coordinates.SkyCoord`. Radii are
    arcseconds, or a Quantity. An empty answer keeps its columns.

    Attributes
    ----------
    url : str
        Where it is, the password hidden.
    settings : ExtractionSettings
        Frozen when it was made.
    """

    def __init__(
        self,
        url: URL,
        *,
        settings: ExtractionSettings | None,
        magerr_sys: float,
        create: bool,
        read_only: bool,
    ) -> None:
        self._target = url
        self.url = mask_password(url)
        self._read_only = read_only
        self._engine = make_engine(url, read_only=read_only)
        self._sessions = sessions(self._engine)
        try:
            check_revision(self._engine)
            if create:
                with writing(self._sessions) as session:
                    create_meta(session, (settings or ExtractionSettings()).to_dict(), magerr_sys=magerr_sys)
            self.settings = self._frozen_settings(settings)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Archive {self.url}>"

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def ingest(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        jobs: int = 1,
        mask: str | Path | None = None,
        force: bool = False,
        progress: Progress | None = None,
        **limits: Any,
    ) -> IngestReport:
        """Measure images and store them, one transaction each.

        Parameters
        ----------
        paths : path or iterable of paths
            Files, folders (searched below) and globs.
        jobs : int
            Processes that measure; 1 measures in this one.
        mask : path, optional
            The mask of the one image given, where it does not lie beside it under ZTF's name.
        force : bool
            Measure again what has not changed.
        progress : Progress, optional
            Told about every image as it ends.
        **limits
            ``timeout_s`` and ``memory_mb`` of one image in a worker; see `ztfdb.ingest.ingest_paths`.

        Returns
        -------
        IngestReport
            One outcome per image; ``found = stored + unchanged + known copies + failed``. A bad file is an outcome,
            not an exception.
        """
        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return ingest_paths(
            self._sessions,
            given,
            jobs=jobs,
            mask=mask,
            settings=self.settings,
            force=force,
            progress=progress,
            **limits,
        )

    def cone(self, ra: Position, dec: Angle | None = None, radius: Angle = 1.5, **options: Any) -> pd.DataFrame:
        """Return all sources within `radius` of a position, nearest first; see `ztfdb.query.cone`."""
        with self._sessions() as session:
            return query.cone(session, *_position(ra, dec), _arcsec(radius), **options)

    def light_curve(
        self, ra: Position, dec: Angle | None = None, radius: Angle = 1.5, *, complete: bool = False, **options: Any
    ) -> LightCurve:
        """Return the light curve of a position.

        Parameters
        ----------
        ra, dec, radius
            Position and match radius.
        complete : bool
            One labelled epoch for every exposure that covers the position: a detection, a forced measurement, an upper
            limit, or the reason why there is none. By default the detections alone.
        **options
            See `ztfdb.query.light_curve`; with ``complete`` (or with a proper motion, ``pmra``, ``pmdec``, ``epoch``)
            `ztfdb.query.complete_light_curve`, and ``jobs``, ``keep`` and ``progress`` of `ztfdb.query.How`.

        Returns
        -------
        LightCurve
        """
        position = _position(ra, dec)
        if complete or "pmra" in options or "pmdec" in options:
            how, rest = self._how(complete, options)
            return query.complete_light_curve(self._sessions, *position, _arcsec(radius), how=how, **rest)
        with self._sessions() as session:
            return query.light_curve(session, *position, _arcsec(radius), **options)

    def light_curves(
        self,
        positions: pd.DataFrame | Table | SkyCoord | Mapping[str, Any],
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        **options: Any,
    ) -> pd.DataFrame:
        """Return the light curves of many positions in one call.

        As `light_curve`, see `ztfdb.query.light_curves` and `ztfdb.query.complete_light_curves`: each image file is
        opened once for all positions on it.
        """
        table = _positions(positions)
        if complete or "pmra" in options or "pmdec" in options:
            how, rest = self._how(complete, options)
            return query.complete_light_curves(self._sessions, table, _arcsec(radius), how=how, **rest)
        with self._sessions() as session:
            return query.light_curves(session, table, _arcsec(radius), **options)

    def light_curve_on_path(
        self,
        path: pd.DataFrame | Table | Mapping[str, Any],
        radius: Angle = 1.5,
        *,
        complete: bool = True,
        **options: Any,
    ) -> LightCurve:
        """Return the light curve of a moving body from a table of ``time`` (MJD), ``ra`` and ``dec``.

        See `ztfdb.query.complete_light_curve_on_path`; without ``complete``, the detections alone.
        """
        how, rest = self._how(complete, options)
        return query.complete_light_curve_on_path(self._sessions, path, _arcsec(radius), how=how, **rest)

    def images(self, ra: Position, dec: Angle | None = None, **options: Any) -> pd.DataFrame:
        """Return the images whose pixels cover a position, exactly; see `ztfdb.query.images_covering`."""
        with self._sessions() as session:
            return query.images_covering(session, *_position(ra, dec), **options)

    def sql(
        self, statement: str, /, *, timeout_s: float | None = None, force: bool = False, **params: Any
    ) -> pd.DataFrame:
        """Run one read-only SQL statement with ``:name`` parameters; see `ztfdb.query.read_only_sql`."""
        options = {} if timeout_s is None else {"timeout_s": timeout_s}
        return query.read_only_sql(self._target, statement, params, force=force, **options)

    def build_objects(self, **options: Any) -> ObjectsReport:
        """Join all detections to objects; see `ztfdb.derive.objects.build_objects`."""
        return build_objects(self._sessions, **options)

    def update_objects(self, **options: Any) -> ObjectsReport:
        """Bring the objects up to date with the images; see `ztfdb.derive.objects.update_objects`."""
        return update_objects(self._sessions, **options)

    def object(self, object_id: int) -> pd.DataFrame:
        """Return the statistics of an object, one row per filter; see `ztfdb.derive.objects.summarise`."""
        with self._sessions() as session:
            return summarise(session, object_id)

    def status(self) -> dict[str, Any]:
        """Return what the archive holds: rows, span, filters, measurement configurations; see `ztfdb.query.status`."""
        with self._sessions() as session:
            return {"url": self.url, **query.status(session)}

    def _how(self, complete: bool, options: dict[str, Any]) -> tuple[query.How, dict[str, Any]]:
        """Divide the options of a complete light curve into how and what."""
        how = {name: options[name] for name in ("jobs", "keep", "places", "progress") if name in options}
        if self._read_only:
            how["keep"] = False
        rest = {name: value for name, value in options.items() if name not in how}
        return query.How(**how), rest if complete else {**rest, "measure": "none"}

    def _frozen_settings(self, wanted: ExtractionSettings | None) -> ExtractionSettings:
        with self._sessions() as session:
            facts = read_meta(session)
            if not facts:
                raise SchemaVersionError(f"{self.url} has tables but no archive in them yet: run `ztfdb init`")
            if wanted is not None:
                check_settings(session, wanted.to_dict())
        return ExtractionSettings.from_dict(facts["settings"])


def _position(ra: Position, dec: Angle | None) -> tuple[float, float]:
    """Return one position in degrees, whatever it was written as."""
    if isinstance(ra, SkyCoord):
        if dec is not None:
            raise TypeError("a SkyCoord holds both coordinates: dec must not be given with it")
        if not ra.isscalar:
            raise ValueError("one position is wanted here; light_curves takes many")
        return float(ra.icrs.ra.deg), float(ra.icrs.dec.deg)
    if dec is None:
        raise TypeError("dec is missing: give ra and dec, or one SkyCoord")
    return _degrees(ra, "ra"), _degrees(dec, "dec")


def _degrees(value: Angle, name: str) -> float:
    angle = value.to_value(u.deg) if isinstance(value, u.Quantity) else value
    if np.ndim(angle) != 0:
        raise ValueError(f"{name} has {np.size(angle)} values, one position is wanted here; light_curves takes many")
    return float(angle)


def _arcsec(radius: Angle) -> float:
    return float(radius.to_value(u.arcsec) if isinstance(radius, u.Quantity) else radius)


def _positions(table: pd.DataFrame | Table | SkyCoord | Mapping[str, Any]) -> Any:
    """Return a table of positions with ``ra`` and ``dec`` columns in degrees."""
    if isinstance(table, SkyCoord):
        return {"ra": np.atleast_1d(table.icrs.ra.deg), "dec": np.atleast_1d(table.icrs.dec.deg)}
    return table


__all__ = ["Archive", "open_archive"]
