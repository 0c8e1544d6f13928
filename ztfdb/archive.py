"""The front door: ``ztfdb.open(url)`` gives an `Archive`, which takes positions as people write them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, Unpack, cast

from ztfdb.config import load_config
from ztfdb.errors import ArchiveClosedError, ConfigError, MissingExtraError, SchemaVersionError, warn_empty
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.options import (
    AddCatalogueOptions,
    CalibrateOptions,
    CheckPsfOptions,
    CompletenessOptions,
    ConeOptions,
    CrossmatchOptions,
    CutoutOptions,
    DiffOptions,
    ExplainOptions,
    FetchCatalogueOptions,
    HintOptions,
    ImportCatalogueOptions,
    IngestLimits,
    IngestPsfcatOptions,
    InjectionOptions,
    LightCurveOptions,
    LightCurvesOptions,
    MatchedOptions,
    MotionOptions,
    PathLightCurveOptions,
    Phot,
    PlacesOptions,
    ProgressOptions,
    RemoveImagesOptions,
    RemoveOptions,
    StampOnImageOptions,
    StampsOnImageOptions,
    StampsOnPathOptions,
    StampsOptions,
    VerifyOptions,
)
from ztfdb.query.given import (
    MOTION,
    Angle,
    Position,
    PositionTable,
    arcsec,
    path_table,
    position,
    position_table,
    region_of,
)
from ztfdb.query.request import only_complete, requested
from ztfdb.spelling import checked_as, spelled
from ztfdb.store.address import Address, address_of
from ztfdb.store.connections import Connections
from ztfdb.store.meta import MAGERR_SYS, check_settings, read_meta
from ztfdb.store.revision import check_revision
from ztfdb.texts import hide_secrets

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from astropy.time import Time
    from sqlalchemy import URL, Engine
    from sqlalchemy.orm import Session, sessionmaker

    from ztfdb.arrays import IntArray, Progress
    from ztfdb.client import RemoteArchive
    from ztfdb.derive.calibrate import CalibrationReport
    from ztfdb.derive.completeness import CompletenessReport
    from ztfdb.derive.crossmatch import CrossmatchReport
    from ztfdb.derive.objects import ObjectsReport
    from ztfdb.derive.psfcheck import PsfCheckReport
    from ztfdb.hats import HatsReport
    from ztfdb.ingest.catalogue_import import FileImport
    from ztfdb.ingest.catalogue_register import Registered
    from ztfdb.ingest.irsa_metadata import MetadataReport
    from ztfdb.ingest.remove import Removal
    from ztfdb.ingest.report import IngestProgress, IngestReport
    from ztfdb.query.answer import Answer, LightCurve
    from ztfdb.query.diff import ArchiveDiff
    from ztfdb.query.explain import Explanation
    from ztfdb.query.hint import Holdings
    from ztfdb.query.lightcurve import Sessions
    from ztfdb.query.periodogram import Periodogram
    from ztfdb.query.products import Product, Related
    from ztfdb.query.request import Execution, LightCurveRequest
    from ztfdb.query.stamps import StampSeries
    from ztfdb.query.targets import Targets
    from ztfdb.records import StoredPixels
    from ztfdb.sky.shapes import SkyShape
    from ztfdb.stamps import Cutout, ImageStamp

T = TypeVar("T", bound=Sized)

HOLDINGS_KEPT_S = 60.0
"""How long the words about empty answers may be old."""

Night: TypeAlias = "int | str | date | Time"

_OF_THIS_PROCESS = frozenset({"_connections", "_engine", "_sessions"})
"""Attributes of an `Archive` that another process makes anew."""

_KEPT: ContextVar[list[str] | None] = ContextVar("words about empty answers", default=None)


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
        ``sqlite:///night.db``, ``postgresql+psycopg://…`` or the path of a SQLite file; by default what ``ZTFDB_URL``
        names, then the configuration file (`ztfdb.config`), else ``sqlite:///ztfdb.sqlite`` in the current folder.
        The address of a service (``http://…``, ``https://…``) opens its archive: a `ztfdb.client.RemoteArchive`, with
        the reading methods of an `Archive`. Its token is ``token`` of the configuration, or ``ZTFDB_TOKEN``.
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
    if isinstance(url, str) and url.startswith(("http://", "https://")):
        if create or settings is not None:
            raise ConfigError(f"{hide_secrets(url)} is a service: an archive is made where its database is")
        return cast("Archive", _open_remote(url))  # the same reading methods
    address = address_of(load_config().url if url is None else url)
    if create and read_only:
        raise ValueError("an archive cannot be created read-only")
    if create:
        from ztfdb.store.migrate import upgrade  # SQLAlchemy

        upgrade(address)
    elif address.is_file and not Path(address.database or "").is_file():
        # SQLite would make an empty file of any name it is asked to open.
        raise SchemaVersionError(f"there is no archive at {address.shown()}: run `ztfdb init`")
    return Archive(address, settings=settings, magerr_sys=magerr_sys, create=create, read_only=read_only)


def _open_remote(url: str) -> RemoteArchive:
    from ztfdb.client import open_remote

    config = load_config()
    return open_remote(url, token=config.token, timeout_s=config.http_timeout_s)


@spelled("archive")
class Archive:
    """One database and the image files it points to; made by `open_archive`, closed by ``with`` or `close`.

    Positions are ICRS: two numbers in degrees, two Quantities, or one `~astropy.coordinates.SkyCoord` in any frame,
    whose proper motion is followed from its ``obstime`` (as ``pmra``, ``pmdec`` and ``epoch`` are). Radii are
    arcseconds, or a Quantity. An empty answer keeps its columns, and an `~ztfdb.errors.EmptyAnswerWarning` says what
    the archive holds there.

    Attributes
    ----------
    url : str
        Where it is, the password hidden.
    settings : ExtractionSettings
        Frozen when it was made.
    """

    _closed = False

    def __init__(
        self,
        address: Address,
        *,
        settings: ExtractionSettings | None,
        magerr_sys: float,
        create: bool,
        read_only: bool,
    ) -> None:

        self._address = address
        self.url = address.shown()
        self._read_only = read_only
        self._held: tuple[float, Holdings] | None = None
        self._connect()
        try:
            with self._connections.reading() as session:
                check_revision(session, self.url)
                facts = read_meta(session)
            if create and not facts:  # those that are there are only read
                facts = self._create(settings, magerr_sys)
            self.settings = self._frozen_settings(facts, settings)
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

    def __getstate__(self) -> dict[str, Any]:
        """Return what opens the archive in another process: connections do not travel."""
        return {name: value for name, value in self.__dict__.items() if name not in _OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close every connection; every later call raises `ztfdb.errors.ArchiveClosedError`."""
        self._closed = True
        self._connections.close()
        if "_engine" in self.__dict__:
            from ztfdb.store.engine import close_for_good

            close_for_good(self._engine)

    def _check_open(self) -> None:
        if self._closed:
            raise ArchiveClosedError(f"{self.url} is closed: open it again")

    def _connect(self) -> None:
        self._connections = Connections(self._address, read_only=self._read_only)

    @property
    def _target(self) -> URL:
        """The URL as SQLAlchemy has it."""
        from ztfdb.store.engine import normalise_url

        return normalise_url(self._address)

    @cached_property
    def _engine(self) -> Engine:
        """The engine of everything that writes, or asks in SQLAlchemy's expressions: made when first used."""
        from ztfdb.store.engine import close_for_good, make_engine

        engine = make_engine(self._address, read_only=self._read_only)
        if self._closed:
            close_for_good(engine)
        return engine

    @cached_property
    def _sessions(self) -> sessionmaker[Session]:
        from ztfdb.store.engine import sessions

        return sessions(self._engine)

    def ping(self) -> None:
        """Ask the database for nothing; `DatabaseUnavailableError` where it does not answer."""
        with self._connections.reading() as session:
            read_meta(session)

    def ingest(
        self,
        paths: str | Path | Iterable[str | Path],
        *,
        jobs: int = 1,
        mask: str | Path | None = None,
        psfcat: str | Path | None = None,
        force: bool = False,
        progress: IngestProgress | None = None,
        **limits: Unpack[IngestLimits],
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
        psfcat : path, optional
            ZTF's PSF catalogue of the one image given, likewise.
        force : bool
            Measure again what has not changed.
        progress : IngestProgress, optional
            Called for each image when it ends.
        **limits
            ``timeout_s`` and ``memory_mb`` of one image in a worker, ``scheduler``, the address of a Dask cluster, and
            ``completeness``, to judge each image by artificial stars; see `ztfdb.ingest.run.ingest_paths`.

        Returns
        -------
        IngestReport
            One outcome per image; ``found = stored + unchanged + known copies + failed``. A bad file is an outcome,
            not an exception.
        """
        from ztfdb.ingest.run import ingest_paths

        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return ingest_paths(
            self._sessions,
            given,
            jobs=jobs,
            mask=mask,
            psfcat=psfcat,
            settings=self.settings,
            force=force,
            progress=progress,
            **limits,
        )

    def ingest_psfcat(
        self, paths: str | Path | Iterable[str | Path], **options: Unpack[IngestPsfcatOptions]
    ) -> IngestReport:
        """Store PSF catalogues of held images and references; see `ztfdb.ingest.psf_catalogues.ingest_psfcats`."""
        from ztfdb.ingest.psf_catalogues import ingest_psfcats

        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return ingest_psfcats(self._sessions, given, **options)

    def cone(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> pd.DataFrame:
        """Return all sources within `radius` of a position, nearest first; see `ztfdb.query.cone.cone`.

        With ``phot="psfcat"`` the rows of ZTF's own PSF catalogues: `ztfdb.query.psfcat.psf_cone`.
        """
        return self.cone_answer(ra, dec, radius, phot=phot, **options).to_pandas()

    def cone_answer(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> Answer:
        """Return what `cone` does as columns, which become a DataFrame when they are asked for one."""
        if phot not in ("aperture", "psfcat"):
            raise ValueError(f"phot {phot!r}: a cone is of our sources ('aperture') or of ZTF's ('psfcat')")
        from ztfdb.query.cones import cone_of

        asked: dict[str, Any] = {**options}
        place = position(ra, dec, asked)
        with self._connections.reading() as session:
            found = cone_of(phot, session, *place, arcsec(radius), **asked)
        return self._answer(found, place, radius, asked | {"phot": phot})

    def cone_sql(
        self, ra: Position, dec: Angle | None = None, radius: Angle = 1.5, *, table: str = "source", where: str = ""
    ) -> str:
        """Return a SELECT for the rows of a table or view within a cone, which uses the index; see `cone_sql`.

        It can be run by `sql` and by any other client, on both engines.
        """
        from ztfdb.query.conesql import cone_sql

        return cone_sql(*position(ra, dec), arcsec(radius), table, where)

    def light_curve(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurveOptions],
    ) -> LightCurve:
        """Return the light curve of a position: on each image the nearest source within a radius.

        Parameters
        ----------
        ra, dec
            Position.
        radius
            Match radius, 0 to 600 arcsec.
        complete : bool
            One epoch for every exposure × quadrant whose pixels cover the position, each of one ``kind``:
            ``detection``, the nearest source within the radius; without one the light in the aperture at the position,
            which is ``forced`` from a signal-to-noise ratio of 3 on and below a ``limit`` whose ``upper_limit_mag`` is
            5 times the error, aperture correction included (``upper_limit_nsigma``); or ``unavailable`` with its
            ``reason``. By default the detections alone.
        phot : str
            ``aperture``, our own photometry; ``psfcat``, that of ZTF's PSF catalogues; ``both``, beside each other; see
            `ztfdb.query.psfcat.catalogue_epochs` and `ztfdb.query.merge.complete_psf`. ``irsa``, the light curves of
            ZTF's data releases, ``irsa-both``, beside our own photometry: `ztfdb.query.irsa.published`.
        aperture : int
            1 to 6, of the diameters 2, 3, 4, 6, 10, 14 px. The fourth, the default, is answered from the index alone.
        color : float, optional
            PS1 colour of the star, mag (the one header PCOLOR names: g − r for g and r, r − i for i). Adds
            CLRCOEFF · color to the magnitudes; by default there is no colour term.
        good : bool
            Keep only epochs without known trouble: infobits < 2^25, no bad mask bit in the 6 px aperture, aperture not
            truncated. Where an image has no mask, or no infobits, nothing is known against it.
        filters : str, int or iterable of them, optional
            ``zg``, ``zr``, ``zi`` (or g, r, i; ZTF_g, ZTF_r, ZTF_i; 1, 2, 3).
        mjd : tuple of float, str, date or Time, optional
            ``(first, last)``: exposures that start in ``first <= mjd < last``; None leaves an end open. Each is an MJD,
            an ISO date or another form of `ztfdb.sky.dates.mjd_of`, which refuses times outside ZTF's years.
        fields : int or iterable of int, optional
            ZTF fields.
        all_versions : bool
            Keep every image. By default an exposure × quadrant gives one epoch: from the whole quadrant before a cutout
            of it, then from the newest processing.
        calibration : str
            ``header`` (MAGZP + APCOR, CLRCOEFF), ``ps1`` (fitted to stars of PS1: `ztfdb.derive.calibrate`) or ``self``
            (by the stars that images share, with gradients over the quadrant: `ztfdb.derive.selfcal`; ``magerr_sys`` is
            then the floor of the image and the error of its zero point). Of our apertures only.
        pmra, pmdec : float, optional
            Proper motion, mas / yr, `pmra` with cos dec: the position is propagated to each exposure. With
            ``phot="aperture"`` only.
        epoch : float, optional
            Julian year of the position, 2016.0 by default.
        measure : str
            With ``complete`` and ``phot="aperture"``. ``auto`` as above; ``forced`` measures every epoch at the
            position, also where there is a detection; ``psf`` does so by fitting the exposure's own PSF, for which its
            ``sciimgdao.psf`` must lie beside the image (``chi`` and ``sharp`` are there then, and no aperture
            correction); ``none`` measures nothing, and gives the detections alone.
        bjd : bool
            With ``complete``. Add ``bjd_tdb``, the barycentric Julian date (TDB) of mid-exposure.
        mag : float, optional
            With ``complete``. Total AB magnitude for which ``p_detect`` is told; by default that of the star: of the
            median flux of its epochs in the filter.
        jobs : int
            With ``complete``. Processes that measure; 1, the default, measures in this one.
        keep : bool
            With ``complete``. Write what is measured to the archive, the default where it can be written.
        places : mapping of str to path, optional
            With ``complete``. Folders of this host by the name of their data root.
        progress : callable, optional
            With ``complete``. Called with the number of images that are measured, and of all.

        Returns
        -------
        LightCurve
            Ordered by (mjd, image_id, phot); references are never epochs; an empty one has all columns. IRSA's 24
            columns come first, in IRSA's order and units:

            ``oid`` is negative: minus the number made of field, fid, ccdid (2 digits), qid and the 8 digits of
            `ztfdb.query.epochs.oid_digits`, so that it groups like IRSA's, one star per field, filter and quadrant, and
            is never mistaken for one. ``mjd`` is the start and ``hjd`` the middle of the exposure. ``mag`` (AB) and its
            error are NaN where the flux is not positive, or where ``calibration`` is ``none``: the header has no APCOR
            (or no CLRCOEFF, where a colour was given), or the image was not calibrated so. ``mag`` holds measurements
            only, never a limit. ``magerr`` holds the archive's systematic floor (``magerr_sys``) in quadrature.
            ``catflags`` is ``mask_bits``, plus 32768 on an unusable image; <NA> without a mask. ``limitmag`` is header
            MAGLIM. ``chi`` and ``sharp`` are NaN where nothing is fitted.

            Then ours: ``flux_ujy`` and its error (µJy, statistical only, also where negative), ``snr``, ``flags``
            (`ztfdb.bits.SourceFlag`), ``separation`` (arcsec) from the position that was asked for, ``n_within``, the
            number of sources of that image within the radius, and the ids of image and source. A complete one has also
            ``kind``, ``reason``, ``blended`` (several sources within the radius, or a deblended detection),
            ``contaminated`` (a source outside the radius is nearer than the aperture's diameter), ``x`` and ``y``;
            where there is no detection, ``ra`` and ``dec`` are those of the position. ``limit50`` and ``limit90`` are
            the magnitudes at which half and nine tenths of the stars at the place are found, ``p_detect`` is the
            probability that this one was; NaN on images that were not judged by artificial stars, ``p_detect`` also
            where the star has no magnitude. ``meta["kept"]`` tells whether what was measured is in the archive now,
            ``meta["n_measured"]`` how much was.

        Raises
        ------
        ValueError
            If a position, radius or option is not one, or options do not go together.
        OptionError
            If there is no such option, or only with ``complete``.
        QueryError
            If the radius is beyond the maximum.
        """
        only_complete("light_curve", complete, options)
        asked: dict[str, Any] = {**options}
        place = position(ra, dec, asked)
        curve = self._light_curve("light_curve", place, radius, asked, complete=complete, phot=phot)
        return self._answer(curve, place, radius, asked | {"phot": phot})

    def _light_curve(
        self, asked_by: str, place: tuple[float, float], radius: Angle, options: Mapping[str, Any], **more: Any
    ) -> LightCurve:
        from ztfdb.query.lightcurve import light_curve
        from ztfdb.query.targets import target_of

        request, execution, where = self._requested(asked_by, radius, options, **more)
        target = target_of(*place, **where)
        return light_curve(self._readers(target, request), target, request, execution)

    def periodogram(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        min_period: float = 0.1,
        max_period: float | None = None,
        oversampling: float = 5.0,
        **options: Unpack[LightCurveOptions],
    ) -> Periodogram:
        """Return the periodogram of a position's light curve; see `ztfdb.query.periodogram.periodogram`.

        Parameters
        ----------
        ra, dec, radius, complete, phot, **options
            As in `light_curve`; ``filters="zr"`` for one filter, ``complete=True`` for forced magnitudes, too. `phot`
            is one photometry.
        min_period, max_period, oversampling : float
            The grid; see there.
        """
        from ztfdb.query.periodogram import periodogram

        only_complete("periodogram", complete, options)
        asked: dict[str, Any] = {**options}
        place = position(ra, dec, asked)
        curve = self._light_curve("periodogram", place, radius, asked, complete=complete, phot=phot)
        found = self._answer(curve, place, radius, asked | {"phot": phot}).data
        return periodogram(found, min_period=min_period, max_period=max_period, oversampling=oversampling)

    def light_curves(
        self,
        positions: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurvesOptions],
    ) -> pd.DataFrame:
        """Return the light curves of many positions in one call.

        Parameters
        ----------
        positions : DataFrame, astropy Table, SkyCoord, mapping, or array_like of shape (n, 2)
            Columns ``ra`` and ``dec``, deg, ICRS, or Quantities.
        radius, complete, phot, **options
            As in `light_curve`. `color`, `pmra`, `pmdec` and `epoch` may have a value for each position, or name a
            column of `positions`.

        Returns
        -------
        DataFrame
            The columns of `light_curve`, with exactly its values, then ``position``: the row of `positions`, counted
            from 0. Ordered by (position, mjd, image_id, phot); a position without epochs has no rows. Each file is
            opened once for all positions on it (of every `ztfdb.query.complete.EPOCHS_HELD` epochs).

        Raises
        ------
        ValueError, OptionError, QueryError
            As `light_curve`, the message names the row; QueryError also for more than
            `ztfdb.query.detections.MOST_EPOCHS` epochs.
        """
        from ztfdb.query.lightcurve import light_curves
        from ztfdb.query.targets import targets_of

        asked: dict[str, Any] = {**options}
        table = position_table(positions, asked)
        request, execution, where = self._requested("light_curves", radius, asked, complete=complete, phot=phot)
        targets = targets_of(table, **where)
        curves = light_curves(self._readers(targets, request), targets, request, execution).to_pandas()
        return self._answer(curves, table, radius, asked | {"phot": phot})

    def iter_light_curves(
        self,
        positions: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurvesOptions],
    ) -> Iterator[pd.DataFrame]:
        """Yield what `light_curves` returns in pieces of a thousand positions, in bounded memory.

        For answers beyond `ztfdb.query.detections.MOST_EPOCHS`, which `light_curves` refuses.
        """
        from ztfdb.query.lightcurve import iter_light_curves
        from ztfdb.query.targets import targets_of

        asked: dict[str, Any] = {**options}
        table = position_table(positions, asked)
        request, execution, where = self._requested("iter_light_curves", radius, asked, complete=complete, phot=phot)
        targets = targets_of(table, **where)
        for answer in iter_light_curves(self._readers(targets, request), targets, request, execution):
            yield answer.to_pandas()

    def light_curve_on_path(
        self,
        path: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = True,
        **options: Unpack[PathLightCurveOptions],
    ) -> LightCurve:
        """Return the light curve of a moving body.

        Parameters
        ----------
        path : DataFrame, astropy Table, SkyCoord or mapping
            Columns ``time`` (MJD, UTC), ``ra``, ``dec`` (deg): where it is seen from Palomar. A spline gives the place
            at mid-exposure; exposures before the first and after the last time have no epoch.
        radius, complete, **options
            As in `light_curve`; without `complete`, the detections alone.
        """
        from ztfdb.query.lightcurve import light_curve
        from ztfdb.query.targets import path_of

        request, execution, where = self._requested("light_curve_on_path", radius, options, complete=complete)
        target = path_of(path_table(path), **where)
        curve = light_curve(self._sessions, target, request, execution)
        return self._answer(curve, target, radius, {**options})

    def images(self, ra: Position, dec: Angle | None = None, **options: Unpack[MotionOptions]) -> pd.DataFrame:
        """Return the images whose pixels cover a position, exactly; see `ztfdb.query.coverage.images_covering`."""
        return self.images_answer(ra, dec, **options).to_pandas()

    def images_answer(self, ra: Position, dec: Angle | None = None, **options: Unpack[MotionOptions]) -> Answer:
        """Return what `images` does as columns, which become a DataFrame when they are asked for one."""
        from ztfdb.query.coverage import images_answer

        asked: dict[str, Any] = {**options}
        place = position(ra, dec, asked)
        with self._connections.reading() as session:
            found = images_answer(session, *place, **asked)
        return self._answer(found, place, None, asked)

    def images_meeting_box(
        self, ra: Position, dec: Angle | None, width: float, height: float, *, intersect: str = "OVERLAPS"
    ) -> IntArray:
        """Return the images that meet a box (deg) along east and north; see `ztfdb.query.region.images_meeting_box`."""
        from ztfdb.query.region import images_meeting_box

        with self._sessions() as session:
            return images_meeting_box(session, *position(ra, dec), width, height, intersect)

    def product(self, name: str, *, places: Mapping[str, str | Path] | None = None) -> Product | None:
        """Return the file that has one of ZTF's names, and what cuts it; see `ztfdb.query.products.find_product`."""
        from ztfdb.query.products import find_product

        with self._sessions() as session:
            return find_product(session, name, places=places)

    def related_files(
        self, image_id: Sequence[int], *, places: Mapping[str, str | Path] | None = None
    ) -> dict[int, Related]:
        """Return what else is held of images; see `ztfdb.query.products.related_files`."""
        from ztfdb.query.products import related_files

        with self._sessions() as session:
            return related_files(session, image_id, places=places)

    def object_position(self, oid: int) -> tuple[float, float, bool]:
        """Return where an object or an ``oid`` is (deg), and whether it is an object's own id.

        Raises
        ------
        UnknownObjectError
            If no object has this id, and no reference catalogue and no image has this ``oid``.
        """
        from ztfdb.derive.objects import summarise
        from ztfdb.query.oids import position_of_oid

        with self._sessions() as session:
            if oid < 0:
                return *position_of_oid(session, oid), False
            known = summarise(session, oid).iloc[0]
        return float(known["ra"]), float(known["dec"]), int(known["object_id"]) == oid

    def coverage_cells(self) -> IntArray:
        """Return the HEALPix cells (order 9, NESTED, ICRS) that images touch, references among them, ascending."""
        from ztfdb.store.image_cells import covered_cells

        with self._connections.reading() as session:
            return covered_cells(session)

    def coverage(self, order: int = 6) -> pd.DataFrame:
        """Return how often and how deep images cover the sky; see `ztfdb.query.coverage.coverage_map`."""
        from ztfdb.query.coverage import coverage_map

        with self._connections.reading() as session:
            return coverage_map(session, order=order)

    def stamp(
        self, ra: Position, dec: Angle | None = None, *, image_id: int, **options: Unpack[StampOnImageOptions]
    ) -> ImageStamp:
        """Return the stamp of a position on one image, cut from its file; see `ztfdb.query.stamps.stamp`."""
        from ztfdb.query.stamps import stamp

        asked: dict[str, Any] = {**options}
        place = position(ra, dec, asked)
        with self._sessions() as session:
            return stamp(session, *place, image_id=image_id, **asked)

    def stamps(self, ra: Position, dec: Angle | None = None, **options: Unpack[StampsOptions]) -> StampSeries:
        """Return the stamps of a position on every image that covers it, by time; see `ztfdb.query.stamps.stamps`."""
        from ztfdb.query.stamps import stamps

        asked: dict[str, Any] = {**options}
        place = position(ra, dec, asked)
        with self._sessions() as session:
            series = stamps(session, *place, **asked)
        return self._answer(series, place, None, asked)

    def cutout(
        self, shape: SkyShape | None = None, *, image_id: int, **options: Unpack[CutoutOptions]
    ) -> Cutout | None:
        """Return the part of an image that holds a shape on the sky, of any size; see `ztfdb.query.cutouts.cutout`."""
        from ztfdb.query.cutouts import cutout

        with self._sessions() as session:
            return cutout(session, shape, image_id=image_id, **options)

    def image_pixels(self, image_id: Iterable[int], **options: Unpack[PlacesOptions]) -> dict[int, StoredPixels]:
        """Return where the files of images are and how they see the sky, by ``image_id``; unknown ones are left out."""
        from ztfdb.query.cutouts import image_pixels

        with self._sessions() as session:
            return image_pixels(session, image_id, **options)

    def stamps_on_path(self, path: PositionTable, **options: Unpack[StampsOnPathOptions]) -> StampSeries:
        """Return the stamps of a moving body (``time``, ``ra``, ``dec``); see `ztfdb.query.stamps.stamps_on_path`."""
        from ztfdb.query.stamps import stamps_on_path
        from ztfdb.query.targets import path_of

        with self._sessions() as session:
            path = path_table(path)
            series = stamps_on_path(session, path, **options)
        return self._answer(series, path_of(path), None, {**options})

    def stamps_on_image(
        self, positions: PositionTable, *, image_id: int, **options: Unpack[StampsOnImageOptions]
    ) -> StampSeries:
        """Return the stamps of many positions on one image; see `ztfdb.query.stamps.stamps_on_image`."""
        from ztfdb.query.stamps import stamps_on_image

        asked: dict[str, Any] = {**options}
        table = position_table(positions, asked)
        with self._sessions() as session:
            return stamps_on_image(session, table, image_id=image_id, **asked)

    def import_catalogue(
        self, name: str, paths: str | Path | Iterable[str | Path], **options: Unpack[ImportCatalogueOptions]
    ) -> list[FileImport]:
        """Import files of a reference catalogue; see `ztfdb.ingest.catalogue_import.import_catalogue`."""
        from ztfdb.ingest.catalogue_import import import_catalogue

        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return import_catalogue(self._engine, name, given, **options)

    def add_catalogue(self, name: str, location: str, **options: Unpack[AddCatalogueOptions]) -> Registered:
        """Read a HATS catalogue in place, as a reference; see `ztfdb.ingest.catalogue_register.add_catalogue`."""
        from ztfdb.ingest.catalogue_register import add_catalogue

        return add_catalogue(self._engine, name, location, **options)

    def catalogue_cone(self, name: str, ra: Position, dec: Angle | None = None, radius: Angle = 1.5) -> pd.DataFrame:
        """Return a catalogue's rows within `radius`, nearest first; see `ztfdb.query.catcone.catalogue_cone`."""
        from ztfdb.query.catcone import catalogue_cone

        with self._sessions() as session:
            return catalogue_cone(session, name, *position(ra, dec), arcsec(radius))

    def catalogues(self) -> pd.DataFrame:
        """Return the reference catalogues that are held, a row per imported file."""
        from ztfdb.query.matched import catalogues

        with self._sessions() as session:
            return catalogues(session)

    def catalogue_recipe(
        self, name: str, service: str = "vizier", *, everything: bool = False
    ) -> tuple[str, list[str]]:
        """Return a service's address and its queries for a catalogue; see `ztfdb.ingest.catalogue_services.recipe`."""
        from ztfdb.ingest import catalogue_services

        with self._sessions() as session:
            cones = catalogue_services.footprint_cones(session, name, everything=everything)
        return catalogue_services.ADDRESSES[service], catalogue_services.recipe(name, cones, service)

    def fetch_catalogue(
        self, name: str, *, url: str | None = None, **options: Unpack[FetchCatalogueOptions]
    ) -> list[FileImport]:
        """Ask VizieR (or another TAP service) and import; see `ztfdb.ingest.catalogue_services.fetch_catalogue`."""
        from ztfdb.ingest import catalogue_services

        return catalogue_services.fetch_catalogue(
            self._engine, name, url=url or catalogue_services.VIZIER_URL, **options
        )

    def remove_catalogue(self, name: str, *, dry_run: bool = False) -> int:
        """Remove a catalogue with its rows, matches and calibrations; return how many rows the archive holds of it."""
        from ztfdb.store.catalogues import get_catalogue, remove_catalogue
        from ztfdb.store.engine import writing

        with self._sessions() as session:
            held = get_catalogue(session, name)
        if dry_run:
            return held.n_row if held.location is None else 0
        with writing(self._sessions) as session:
            return remove_catalogue(session, held)

    def crossmatch(
        self, name: str, *, region: tuple[Any, ...] | None = None, **options: Unpack[CrossmatchOptions]
    ) -> CrossmatchReport:
        """Match images with a catalogue, those not matched yet; see `ztfdb.derive.crossmatch.crossmatch`.

        `region` is (ra, dec, radius) or (SkyCoord, radius).
        """
        from ztfdb.derive.crossmatch import crossmatch

        return crossmatch(self._sessions, name, region=region_of(region), **options)

    def remove_matches(self, name: str, **options: Unpack[RemoveOptions]) -> int:
        """Remove stored matches with a catalogue; see `ztfdb.derive.crossmatch.remove_matches`."""
        from ztfdb.derive.crossmatch import remove_matches

        return remove_matches(self._sessions, name, **options)

    def get_matched_entries(
        self,
        columns: Sequence[str],
        catin: str,
        catref: str,
        *,
        region: tuple[Any, ...] | None = None,
        **options: Unpack[MatchedOptions],
    ) -> pd.DataFrame:
        """Return sources beside the catalogue rows they match; see `ztfdb.query.matched.matched_entries`.

        `region` is (ra, dec, radius) or (SkyCoord, radius).
        """
        from ztfdb.query.matched import matched_entries

        with self._sessions() as session:
            return matched_entries(session, columns, catin, catref, region=region_of(region), **options)

    def calibrate(self, **options: Unpack[CalibrateOptions]) -> CalibrationReport:
        """Calibrate images by stars of PS1 or by those that they share (`method`); see `ztfdb.derive.calibrate`."""
        from ztfdb.derive import calibrate

        return calibrate.calibrate(self._sessions, **options)

    def plot_calibration(self, image_id: int, *, aperture: int = 4, catalogue: str = "ps1") -> Any:
        """Draw the residuals of an image's calibration; return the first of its three Axes.

        See `ztfdb.plot.draw_calibration`.
        """
        from ztfdb.derive import calibrate
        from ztfdb.plot import draw_calibration
        from ztfdb.store.catalogues import get_catalogue

        with self._sessions() as session:
            done = calibrate.calibrate_image(session, image_id, get_catalogue(session, catalogue))
        return draw_calibration(calibrate.residuals(done, aperture))[0]

    def plot_self_calibration(self, image_ids: Sequence[int] | None = None, *, aperture: int = 4) -> Any:
        """Draw the residuals of a calibration by shared stars, by default of all images; return the first of its Axes.

        See `ztfdb.plot.draw_self_calibration`.
        """
        from ztfdb.derive.selfresiduals import self_residuals
        from ztfdb.plot import draw_self_calibration
        from ztfdb.store.image_choice import chosen_images

        with self._sessions() as session:
            left = self_residuals(session, chosen_images(session, image_ids), aperture=aperture)
        return draw_self_calibration(left)[0]

    def measure_completeness(self, **options: Unpack[InjectionOptions]) -> CompletenessReport:
        """Put artificial stars into images that were not judged yet; see `ztfdb.derive.completeness`."""
        from ztfdb.derive.completeness import measure_completeness

        return measure_completeness(self._sessions, **options)

    def completeness(
        self, ra: Position, dec: Angle | None = None, **options: Unpack[CompletenessOptions]
    ) -> pd.DataFrame:
        """Return how likely a star was to be found on each image; see `ztfdb.query.completeness.completeness`."""
        from ztfdb.query.completeness import completeness

        with self._sessions() as session:
            return completeness(session, *position(ra, dec), **options)

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
            If `other` is not an archive with a database of its own: a service shows no whole images.
        """
        from ztfdb.query.diff import diff_archives

        if not isinstance(other, Archive):
            raise TypeError(f"{type(other).__name__}: expected an Archive, from ztfdb.open of a database")
        with self._sessions() as session, other._sessions() as session_b:
            return diff_archives(session, session_b, **options)

    def check_psf(self, **options: Unpack[CheckPsfOptions]) -> PsfCheckReport:
        """Check images against ZTF's PSF catalogues, those not checked yet; see `ztfdb.derive.psfcheck.check_psf`."""
        from ztfdb.derive import psfcheck

        return psfcheck.check_psf(self._sessions, **options)

    def psf_checks(self, image_ids: Sequence[int] | None = None, *, warned: bool = False) -> pd.DataFrame:
        """Return what the checks against PSF catalogues say, worst first; see `ztfdb.query.psfcheck.psf_checks`."""
        from ztfdb.query.psfcheck import psf_checks

        with self._sessions() as session:
            return psf_checks(session, image_ids, warned=warned)

    def remove_psf_checks(self, **options: Unpack[RemoveOptions]) -> int:
        """Remove stored checks; see `ztfdb.derive.psfcheck.remove_psf_checks`."""
        from ztfdb.derive import psfcheck

        return psfcheck.remove_psf_checks(self._sessions, **options)

    def plot_psf_check(self, image_id: int) -> Any:
        """Draw the stars of an image's check; return the first of its four Axes. See `ztfdb.plot.draw_psf_check`."""
        from ztfdb.derive import psfcheck
        from ztfdb.plot import draw_psf_check

        with self._sessions() as session:
            done = psfcheck.compare_image(session, image_id)
        return draw_psf_check(psfcheck.differences(done))[0]

    def explain(self, source_id: int, **options: Unpack[ExplainOptions]) -> Explanation:
        """Return all behind one source, and measure it again from its file; see `ztfdb.query.explain.explain`."""
        from ztfdb.query.explain import explain

        with self._sessions() as session:
            return explain(session, source_id, **options)

    def import_metadata(self, path: str | Path) -> MetadataReport:
        """Fill infobits, maglimit and seeing from IRSA's metadata; see `ztfdb.ingest.irsa_metadata.import_metadata`."""
        from ztfdb.ingest.irsa_metadata import import_metadata

        return import_metadata(self._sessions, path)

    def relocate(self, name: str, path: str | Path) -> str:
        """Point the data root `name` at another folder or URL, and return where it pointed before.

        Raises
        ------
        ConfigError
            If the archive has no root of this name, or there is no such folder here.
        """
        from ztfdb.store.engine import writing
        from ztfdb.store.roots import move_root

        if "://" not in str(path) and not Path(path).is_dir():
            raise ConfigError(f"there is no folder {path}: {name} stays where it is")
        with writing(self._sessions) as session:
            return move_root(session, name, path)

    def verify(self, **options: Unpack[VerifyOptions]) -> pd.DataFrame:
        """Return what is wrong with files and tables, nothing when all is well; see `ztfdb.query.verify.verify`."""
        from ztfdb.query.verify import verify

        return verify(self._sessions, **options)

    def storage_problems(self) -> list[str]:
        """Return what SQLite's own ``integrity_check`` finds wrong; it reads the whole file. Empty for PostgreSQL."""
        from ztfdb.store.backends import reads

        with self._connections.reading() as session:
            return reads(session).storage_problems()

    def backup(self, file: str | Path, *, progress: Progress | None = None) -> Path:
        """Copy a SQLite archive to `file` while it is in use; see `ztfdb.store.backup.backup`."""
        from ztfdb.store.backup import backup

        self._check_open()
        return backup(self._target, file, progress=progress)

    def remove(
        self,
        image_id: int | Iterable[int] | None = None,
        *,
        night: Night | None = None,
        **options: Unpack[RemoveImagesOptions],
    ) -> Removal:
        """Remove images, or a night's; see `ztfdb.ingest.remove.remove_images`.

        `night` is a UTC date: 20200924, ``2020-09-24`` or ``today``.
        """
        from ztfdb.ingest.remove import remove_images
        from ztfdb.sky.dates import night_of
        from ztfdb.store.image_choice import images_of_night

        if (image_id is None) == (night is None):
            raise TypeError("remove takes ids of images or a night")
        if night is not None:
            with self._sessions() as session:
                wanted: Iterable[int] = images_of_night(session, night_of(night))
            if not wanted:
                self._warn(f"no image of the night {night_of(night)}; the archive holds {self._holdings().nights}")
        else:
            wanted = image_id if isinstance(image_id, Iterable) else [int(image_id or 0)]
        return remove_images(self._sessions, wanted, **options)

    def images_of_night(self, night: Night) -> list[int]:
        """Return the ids of the images of one night (UTC date: 20200924, ``2020-09-24``, ``today``), ascending."""
        from ztfdb.sky.dates import night_of
        from ztfdb.store.image_choice import images_of_night

        with self._sessions() as session:
            found = images_of_night(session, night_of(night))
        if not found:
            self._warn(f"no image of the night {night_of(night)}; the archive holds {self._holdings().nights}")
        return found

    def sql(
        self, statement: str, /, *, timeout_s: float | None = None, force: bool = False, **params: Any
    ) -> pd.DataFrame:
        """Run one read-only SQL statement with ``:name`` parameters; see `ztfdb.query.readonly.read_only_sql`."""
        from ztfdb.query.readonly import read_only_sql

        if self._closed:
            raise ArchiveClosedError(f"{self.url} is closed: open it again")
        options = {} if timeout_s is None else {"timeout_s": timeout_s}
        return read_only_sql(self._target, statement, params, force=force, **options)

    def tables(self) -> pd.DataFrame:
        """Return every table and view with its description; see `ztfdb.query.tables.table_list`."""
        from ztfdb.query.tables import table_list

        return table_list()

    def columns(self, table: str) -> pd.DataFrame:
        """Return the columns of a table or view with datatype, unit, UCD and description; see `column_list`."""
        from ztfdb.query.tables import column_list

        return column_list(table)

    def build_objects(self, **options: Unpack[ProgressOptions]) -> ObjectsReport:
        """Join all detections to objects; see `ztfdb.derive.objects.build_objects`."""
        from ztfdb.derive.objects import build_objects

        return build_objects(self._sessions, **options)

    def update_objects(self, **options: Unpack[ProgressOptions]) -> ObjectsReport:
        """Bring the objects up to date with the images; see `ztfdb.derive.objects.update_objects`."""
        from ztfdb.derive.objects import update_objects

        return update_objects(self._sessions, **options)

    def object(self, object_id: int) -> pd.DataFrame:
        """Return the statistics of an object, one row per filter; see `ztfdb.derive.objects.summarise`."""
        from ztfdb.derive.objects import summarise

        with self._sessions() as session:
            return summarise(session, object_id)

    def object_oids(self, object_id: int) -> pd.DataFrame:
        """Return ZTF's reference sources that an object is; see `ztfdb.derive.objects.object_oids`."""
        from ztfdb.derive.objects import object_oids

        with self._sessions() as session:
            return object_oids(session, object_id)

    def export_hats(
        self,
        folder: str | Path,
        *,
        update: bool = False,
        products: Sequence[str] | None = None,
        threshold: int | None = None,
        margin: float | None = None,
        calibration: str | None = None,
        layout: str | None = None,
        jobs: int = 1,
        progress: Callable[[str, int, int], None] | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> HatsReport:
        """Write the archive as HATS collections below `folder`; see `ztfdb.hats.export_hats`.

        Raises
        ------
        MissingExtraError
            Without pyarrow, which the extra ``parquet`` brings.
        """
        try:
            from ztfdb.hats import export_hats
        except ImportError as exc:
            raise MissingExtraError("a HATS export", "parquet") from exc
        return export_hats(
            self._target,
            folder,
            update=update,
            products=products,
            threshold=threshold,
            margin=margin,
            calibration=calibration,
            layout=layout,
            jobs=jobs,
            progress=progress,
            tell=tell,
        )

    def status(self) -> dict[str, Any]:
        """Return what the archive holds: rows, span, filters, configurations; see `ztfdb.query.status.status`."""
        from ztfdb.query.status import status

        with self._connections.reading() as session:
            return {"url": self.url, **status(session)}

    def hint(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Phot = "aperture",
        **options: Unpack[HintOptions],
    ) -> str:
        """Return words about a light curve's position: which images cover it, how many have a detection.

        Of an empty answer, `EmptyAnswerWarning` says the same.

        Parameters
        ----------
        ra, dec, radius, phot, **options
            As in `light_curve`, without `complete`.

        Returns
        -------
        str
            Empty where every image has a detection.
        """
        asked: dict[str, Any] = {**options}
        place = position(ra, dec, asked)
        curve = self._light_curve("hint", place, radius, asked, phot=phot)
        return self._hint(place, radius, len(curve), asked | {"phot": phot})

    def hint_of(self, positions: PositionTable, options: dict[str, Any]) -> str:
        """Return the words about many positions without an epoch; `options` are those of `light_curves`."""
        return self._hint(positions, options.get("radius", 1.5), 0, {"phot": "aperture", **options})

    def _answer(self, answer: T, where: Any, radius: Angle | None, options: dict[str, Any]) -> T:
        """Return an answer; where it is empty, warn with what there is."""
        if not len(answer) and (told := self._hint(where, radius, 0, options)):
            self._warn(told)
        return answer

    def _warn(self, told: str) -> None:
        kept = _KEPT.get()
        if kept is not None:
            kept.append(told)
        else:
            warn_empty(told)

    def _hint(self, where: Any, radius: Angle | None, n_found: int, options: dict[str, Any]) -> str:
        """Return the words about a position, a table, or a path."""
        from ztfdb.query import hint as hints
        from ztfdb.query.targets import Targets, targets_of

        table = dict(zip(("ra", "dec"), where, strict=True)) if isinstance(where, tuple) else where
        motion = {name: options[name] for name in MOTION & options.keys()}
        targets = table if isinstance(table, Targets) else targets_of(table, **motion)
        known = {name: options[name] for name in (*hints.CUTS, "good", "phot") if name in options}
        if len(targets) == 0:
            return "the table has no positions"
        with self._connections.reading() as session:
            within = None if radius is None else arcsec(radius)
            return hints.hint(session, targets, within, n_found, held=self._holdings, **known)

    def _holdings(self) -> Holdings:
        """Return where and when images are; counted once in `HOLDINGS_KEPT_S`, as it reads all images."""
        from ztfdb.query import hint as hints

        now = time.monotonic()
        if self._held is None or now - self._held[0] > HOLDINGS_KEPT_S:
            with self._connections.reading() as session:
                self._held = now, hints.holdings(session)
        return self._held[1]

    def _readers(self, targets: Targets, request: LightCurveRequest) -> Sessions:
        """Return what makes the transactions of light curves: sessions only where those are needed."""
        from ztfdb.query.lightcurve import only_reads

        return self._connections.reading if only_reads(targets, request) else self._sessions

    def _requested(
        self, asked_by: str, radius: Angle, options: Mapping[str, Any], **more: Any
    ) -> tuple[LightCurveRequest, Execution, dict[str, Any]]:
        """Return what is asked for, how it is measured, and the options that belong to the positions."""
        where = {name: options[name] for name in ("color", *MOTION) if name in options}
        what = {name: value for name, value in options.items() if name not in where}
        motion = MOTION & where.keys()
        request, execution = requested(asked_by, what, radius=arcsec(radius), motion=motion, **more)
        return request, replace(execution, keep=False) if self._read_only else execution, where

    def _create(self, settings: ExtractionSettings | None, magerr_sys: float) -> dict[str, Any]:
        from ztfdb.store.engine import writing
        from ztfdb.store.meta_rows import create_meta

        with writing(self._sessions) as session:
            return create_meta(session, (settings or ExtractionSettings()).to_dict(), magerr_sys=magerr_sys)

    def _frozen_settings(self, facts: Mapping[str, Any], wanted: ExtractionSettings | None) -> ExtractionSettings:
        if not facts:
            raise SchemaVersionError(f"{self.url} has tables but no archive in them yet: run `ztfdb init`")
        if wanted is not None:
            check_settings(facts["settings"], wanted.to_dict())
        return ExtractionSettings.from_dict(facts["settings"])


@contextmanager
def words_kept() -> Iterator[list[str]]:
    """Keep what an `EmptyAnswerWarning` would say in a list, for this thread: warnings themselves are the process's."""
    words: list[str] = []
    token = _KEPT.set(words)
    try:
        yield words
    finally:
        _KEPT.reset(token)


__all__ = ["Archive", "open_archive", "words_kept"]
