"""An archive behind a service, with the reading methods and the answers of `ztfdb.Archive`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, Unpack

import numpy as np
import pandas as pd

from ztfdb.arrays import IntArray
from ztfdb.client.answers import frame_in, joined, light_curves_in, number_in, stamps_in, with_ids
from ztfdb.client.transport import TIMEOUT_S, Transport
from ztfdb.client.words import part_words, path_words, query_words, star_words, target_words, words
from ztfdb.errors import ArchiveClosedError, ServiceRefusedError, warn_empty
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.options import (
    CatalogueName,
    CompletenessOptions,
    ConeOptions,
    ExplainOptions,
    HintOptions,
    LightCurveOptions,
    LightCurvesOptions,
    MatchedOptions,
    MotionOptions,
    PathLightCurveOptions,
    Phot,
    Service,
    StampOnImageOptions,
    StampsAtOptions,
    StampsOnImageOptions,
    StampsOnPathOptions,
    StampsOptions,
)
from ztfdb.query import targets as chunks
from ztfdb.query.answer import Answer, LightCurve
from ztfdb.query.cone_sql import cone_sql
from ztfdb.query.dataframes import columns_of
from ztfdb.query.detections import check_size
from ztfdb.query.explain import Explanation
from ztfdb.query.given import (
    MOTION,
    Angle,
    Position,
    PositionTable,
    Region,
    arcsec,
    position,
    position_table,
    region_of,
)
from ztfdb.query.periodogram import Periodogram
from ztfdb.query.readonly import SqlParts
from ztfdb.query.request import only_complete
from ztfdb.query.stamps import StampSeries, check_pixels
from ztfdb.query.tables import column_list, table_list
from ztfdb.query.targets import Targets, target_of, targets_of
from ztfdb.query.wire import unpack_attrs, unpack_columns, unpack_stamps
from ztfdb.sky.dates import night_of
from ztfdb.spelling import spelled
from ztfdb.stamps import ImageStamp
from ztfdb.stamps.cutout import DEFAULT_SIZE

POSITIONS_PER_REQUEST = 10_000
COMPLETE_PER_REQUEST = 1_000
"""Positions per request, the default limit of a service."""

NEED_THE_DATABASE = (
    "add_catalogue", "backup", "build_objects", "calibrate", "check_psf", "crossmatch", "cutout",
    "diff", "export_hats", "fetch_catalogue", "hint_of", "image_pixels", "images_meeting_box", "import_catalogue",
    "import_metadata", "ingest", "ingest_psfcat", "iter_region", "light_curve_parts",
    "measure_completeness", "object_position",
    "plot_calibration", "plot_psf_check", "plot_self_calibration", "product", "region", "related_files", "relocate",
    "remove", "remove_catalogue", "remove_matches", "remove_psf_checks", "storage_problems", "update_objects", "verify",
)  # fmt: skip
"""Methods of an archive that write, or need its database or its files."""


def open_remote(url: str, *, token: str = "", timeout_s: float = TIMEOUT_S) -> RemoteArchive:
    """Open an archive behind a service, and check that the service answers.

    Parameters
    ----------
    url : str
        The URL printed by ``ztfdb serve``, or that of a proxy for it.
    token : str
    timeout_s : float
        Seconds without any data until a request fails.

    Raises
    ------
    ConfigError
        If the URL is invalid.
    ServiceUnavailableError
        If the service cannot be reached.
    ServiceRefusedError
        If it requires a token, or refuses this one.
    RemoteError
        If the answer is not from a service of ztfdb.
    """
    archive = RemoteArchive(Transport(url, token, timeout_s))
    archive.ping()
    return archive


@spelled("archive")
class RemoteArchive:
    """An archive behind a service; made by ``ztfdb.open("https://…")``.

    The reading methods are those of `ztfdb.Archive` and give the same answers. Files are named without their folders.
    Methods that write, or need the database, raise `ztfdb.errors.ServiceRefusedError`.

    Parameters
    ----------
    transport : Transport

    Attributes
    ----------
    url : str
    settings : ExtractionSettings
        Fixed when the archive was made.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.url = transport.url
        self._closed = False

    def __enter__(self) -> RemoteArchive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<RemoteArchive {self.url}>"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in NEED_THE_DATABASE:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

        def refuse(*args: Any, **options: Any) -> Any:
            raise ServiceRefusedError(
                f"archive.{name}() works where the database is: {self.url} is served for reading only"
            )

        return refuse

    @functools.cached_property
    def settings(self) -> ExtractionSettings:
        """The settings of the archive, fixed when it was made."""
        return ExtractionSettings.from_dict(self.status()["archive"]["settings"])

    def close(self) -> None:
        """Close the archive; every later call raises `ztfdb.errors.ArchiveClosedError`."""
        self._closed = True

    def ping(self) -> None:
        """Check the service; an error gives the reason why it cannot be used."""
        self._get("/ping")

    def cone(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> pd.DataFrame:
        """Return all sources within `radius` of a position, nearest first; see `ztfdb.query.cone.cone`."""
        place = self._place(ra, dec, options, radius=arcsec(radius), phot=phot)
        return self._frame("/cone", place)

    def iter_cone(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of `cone` as one frame; the service limits the radius."""
        yield self.cone(ra, dec, radius, phot=phot, **options)

    def cone_answer(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> Answer:
        """Return the answer of `cone` as columns."""
        return Answer(columns_of(self.cone(ra, dec, radius, phot=phot, **options)), {})

    def cone_sql(
        self, ra: Position, dec: Angle | None = None, radius: Angle = 1.5, *, table: str = "source", where: str = ""
    ) -> str:
        """Return a SELECT for the rows of a table or view within a cone; see `ztfdb.query.cone_sql.cone_sql`."""
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
        """Return the light curve of a position; see `ztfdb.Archive.light_curve`."""
        only_complete("light_curve", complete, options)
        place = self._place(ra, dec, options, radius=arcsec(radius), complete=complete, phot=phot)
        return self._light_curve(self._get("/lightcurve", place))

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
        """Return the periodogram of a position's light curve; see `ztfdb.Archive.periodogram`."""
        only_complete("periodogram", complete, options)
        grid = {"min_period": min_period, "max_period": max_period, "oversampling": oversampling}
        place = self._place(ra, dec, options, radius=arcsec(radius), complete=complete, phot=phot, **grid)
        found = self._get("/periodogram", place)
        return Periodogram(self._unpacked(found), frame_in(found["peaks"]))

    def light_curves(
        self,
        positions: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurvesOptions],
    ) -> pd.DataFrame:
        """Return the light curves of many positions; see `ztfdb.Archive.light_curves`."""
        only_complete("light_curves", complete, options)
        targets, arguments = target_words(positions, options, radius=arcsec(radius), complete=complete, phot=phot)
        at_once = COMPLETE_PER_REQUEST if complete or targets.pmra is not None else POSITIONS_PER_REQUEST
        frames, hints = [], []
        for frame, hint in self._pieces(targets, arguments, at_once):
            frames.append(frame)
            hints += [hint] if hint else []
        check_size(sum(map(len, frames)))
        whole = joined(frames)
        if len(whole) == 0 and hints:
            warn_empty(hints[0])
        return whole

    def iter_light_curves(
        self,
        positions: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurvesOptions],
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of `light_curves` in parts of 1,000 positions."""
        only_complete("iter_light_curves", complete, options)
        targets, arguments = target_words(positions, options, radius=arcsec(radius), complete=complete, phot=phot)
        empty, hints = True, []
        for frame, hint in self._pieces(targets, arguments, chunks.POSITIONS_PER_CHUNK):
            empty = empty and frame.empty
            hints += [hint] if hint else []
            yield frame
        if empty and hints:
            warn_empty(hints[0])

    def light_curve_on_path(
        self,
        path: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = True,
        **options: Unpack[PathLightCurveOptions],
    ) -> LightCurve:
        """Return the light curve of a moving body; see `ztfdb.Archive.light_curve_on_path`."""
        only_complete("light_curve_on_path", complete, options)
        arguments = words({**options, "radius": arcsec(radius), "complete": complete})
        return self._light_curve(self._post("/lightcurve/path", {**path_words(path), **arguments}))

    def images(self, ra: Position, dec: Angle | None = None, **options: Unpack[MotionOptions]) -> pd.DataFrame:
        """Return the images whose pixels cover a position, exactly; see `ztfdb.query.coverage.images_covering`."""
        return self._frame("/images", self._place(ra, dec, options))

    def images_answer(self, ra: Position, dec: Angle | None = None, **options: Unpack[MotionOptions]) -> Answer:
        """Return the answer of `images` as columns."""
        return Answer(columns_of(self.images(ra, dec, **options)), {})

    def coverage_cells(self) -> IntArray:
        """Return the HEALPix cells (order 9, NESTED, ICRS) that images touch, ascending."""
        moc = self._get("/coverage.moc")
        parts = [np.zeros(0, np.int64)]
        for order, cells in moc.items():
            shift = 2 * (9 - int(order))
            parts.append((np.array(cells, np.int64)[:, None] * (1 << shift) + np.arange(1 << shift)).ravel())
        return np.sort(np.concatenate(parts))

    def coverage(self, order: int = 6) -> pd.DataFrame:
        """Return number and depth of images over the sky; see `ztfdb.query.coverage.coverage_map`."""
        return self._frame("/coverage", {"order": str(order)})

    def stamp(
        self, ra: Position, dec: Angle | None = None, *, image_id: int, **options: Unpack[StampOnImageOptions]
    ) -> ImageStamp:
        """Return the stamp of a position on one image; see `ztfdb.query.stamps.stamp`."""
        found = self._get(f"/stamp/{image_id}.json", self._place(ra, dec, options))
        return unpack_stamps(found["stamps"])[0]

    def stamps(self, ra: Position, dec: Angle | None = None, **options: Unpack[StampsOptions]) -> StampSeries:
        """Return the stamps of a position on every image that covers it; see `ztfdb.query.stamps.stamps`."""
        return stamps_in(self._get("/stamps.json", self._place(ra, dec, options)))

    def stamps_at(self, positions: PositionTable, **options: Unpack[StampsAtOptions]) -> StampSeries:
        """Return the stamps of many positions, one request each; see `ztfdb.query.stamps.stamps_at`."""
        arguments: dict[str, Any] = {**options}
        table = position_table(positions, arguments)
        motion = {name: arguments.pop(name) for name in list(MOTION & arguments.keys())}
        targets = targets_of(table, **motion)
        stamps: list[ImageStamp] = []
        hints: list[str] = []
        for k in range(len(targets)):
            one = targets.part(k, k + 1)
            place = {"ra": float(one.positions.ra[0]), "dec": float(one.positions.dec[0])}
            answer = self._get("/stamps.json", query_words({**place, **star_words(one), **arguments}))
            hints += [answer["hint"]] if answer["hint"] else []
            found = unpack_stamps(answer["stamps"])
            stamps += [replace(stamp, facts=(stamp.facts or {}) | {"position": k}) for stamp in found]
            check_pixels(len(stamps), arguments.get("size", DEFAULT_SIZE))
        if not stamps:
            warn_empty(hints[0] if hints else "the table has no positions")
        return StampSeries(stamps)

    def stamps_on_path(self, path: PositionTable, **options: Unpack[StampsOnPathOptions]) -> StampSeries:
        """Return the stamps of a moving body; see `ztfdb.query.stamps.stamps_on_path`."""
        return stamps_in(self._post("/stamps/path", {**path_words(path), **words({**options})}))

    def stamps_on_image(
        self, positions: PositionTable, *, image_id: int, **options: Unpack[StampsOnImageOptions]
    ) -> StampSeries:
        """Return the stamps of many positions on one image; see `ztfdb.query.stamps.stamps_on_image`."""
        targets, arguments = target_words(positions, options)
        return stamps_in(self._post(f"/stamps/image/{image_id}", {**part_words(targets, 0, len(targets)), **arguments}))

    def catalogues(self) -> pd.DataFrame:
        """Return the reference catalogues of the archive, one row per imported file."""
        return self._frame("/catalogues")

    def catalogue_cone(
        self, name: CatalogueName, ra: Position, dec: Angle | None = None, radius: Angle = 1.5
    ) -> pd.DataFrame:
        """Return a catalogue's rows within `radius`, nearest first; see `ztfdb.query.catalogue_cone.catalogue_cone`."""
        return self._frame(f"/catalogues/{name}/cone", self._place(ra, dec, {}, radius=arcsec(radius)))

    def catalogue_recipe(
        self, name: CatalogueName, service: Service = "vizier", *, everything: bool = False
    ) -> tuple[str, list[str]]:
        """Return a service's URL and its queries for a catalogue."""
        found = self._get(f"/catalogues/{name}/recipe", query_words({"service": service, "everything": everything}))
        return found["address"], found["queries"]

    def get_matched_entries(
        self,
        columns: Sequence[str],
        catin: CatalogueName,
        catref: CatalogueName,
        *,
        region: Region | None = None,
        **options: Unpack[MatchedOptions],
    ) -> pd.DataFrame:
        """Return sources next to the catalogue rows they match; see `ztfdb.query.matched.matched_entries`."""
        arguments: dict[str, Any] = {**options, "columns": columns, "catin": catin, "catref": catref}
        place = region_of(region)
        if place is not None:
            arguments |= dict(zip(("ra", "dec", "within"), place, strict=True))
        ids = arguments.get("image_id")
        if ids is not None:
            single = isinstance(ids, int)
            arguments |= {"image_id": [ids] if single else ids, "several": not single}
        return self._frame("/matched", query_words(arguments))

    def psf_checks(self, image_ids: Sequence[int] | None = None, *, warned: bool = False) -> pd.DataFrame:
        """Return the checks against ZTF's PSF catalogues, the worst first."""
        return self._frame("/psf-checks", query_words({"image_id": image_ids, "warned": warned}))

    def completeness(
        self, ra: Position, dec: Angle | None = None, **options: Unpack[CompletenessOptions]
    ) -> pd.DataFrame:
        """Return the probability of detecting a star on each image; see `ztfdb.query.completeness.completeness`."""
        place = dict(zip(("ra", "dec"), position(ra, dec), strict=True))
        return self._frame("/completeness", query_words({**place, **options}))

    def explain(self, source_id: int, **options: Unpack[ExplainOptions]) -> Explanation:
        """Return the provenance of a source, and measure it again; see `ztfdb.query.explain.explain`."""
        found = self._get(f"/explain/{source_id}", query_words({"measure": True, **options}))
        files, calibrations, values = (frame_in(found[name]) for name in ("files", "calibrations", "values"))
        for name in ("stored", "measured"):
            values[name] = pd.Series(
                [number_in("source", *one) for one in zip(values["column"], values[name], strict=True)], dtype=object
            )
        return Explanation(
            source_id=int(found["source_id"]),
            image={name: number_in("image", name, value) for name, value in found["image"].items()},
            files=files,
            cards=found["cards"],
            settings=found["settings"],
            versions=found["versions"],
            calibrations=calibrations,
            values=values,
            identical=found["identical"],
            same_software=found["same_software"],
            problem=found["problem"],
            caveats=tuple(found["caveats"]),
        )

    def images_of_night(self, night: Any) -> list[int]:
        """Return the ids of the images of one night (UTC date: 20200924, ``2020-09-24``, ``today``), ascending."""
        found = self._get(f"/night/{night_of(night)}")
        if found["hint"]:
            warn_empty(found["hint"])
        return [int(one) for one in found["image_id"]]

    def sql(self, statement: str, /, **options: Any) -> pd.DataFrame:
        """Refuse: a service only accepts ADQL, at its URL ``/tap``."""
        raise ServiceRefusedError(f"a service runs no SQL of its database: send ADQL to {self.url}/tap")

    def sql_csv(
        self,
        statement: str,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        force: bool = False,
    ) -> Iterator[tuple[bytes, int]]:
        """Refuse, as `sql`."""
        raise ServiceRefusedError(f"a service runs no SQL of its database: send ADQL to {self.url}/tap")

    def sql_parts(
        self,
        statement: str,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        force: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> SqlParts:
        """Refuse, as `sql`."""
        raise ServiceRefusedError(f"a service runs no SQL of its database: send ADQL to {self.url}/tap")

    def tables(self) -> pd.DataFrame:
        """Return every table and view with its description; see `ztfdb.query.tables.table_list`."""
        return table_list()

    def columns(self, table: str) -> pd.DataFrame:
        """Return the columns of a table or view with datatype, unit, UCD and description."""
        return column_list(table)

    def object(self, object_id: int) -> pd.DataFrame:
        """Return the statistics of an object, one row per filter."""
        return self._frame(f"/object/{object_id}")

    def object_oids(self, object_id: int) -> pd.DataFrame:
        """Return the ZTF reference sources of an object."""
        return self._frame(f"/object/{object_id}/oids")

    def status(self) -> dict[str, Any]:
        """Return a summary of the archive, without folders and without the errors of files."""
        found: dict[str, Any] = with_ids(self._get("/status"))
        return found

    def hint(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Phot = "aperture",
        **options: Unpack[HintOptions],
    ) -> str:
        """Return a hint for a light curve's position; see `ztfdb.Archive.hint`."""
        found = self._get("/hint", self._place(ra, dec, options, radius=arcsec(radius), phot=phot))
        return str(found["hint"])

    def _get(self, path: str, params: dict[str, Any] | None = None) -> Any:
        self._check_open()
        return self._transport.get(path, params)

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        self._check_open()
        return self._transport.post(path, body)

    def _check_open(self) -> None:
        if self._closed:
            raise ArchiveClosedError(f"{self.url} is closed: open it again")

    def _place(self, ra: Position, dec: Angle | None, options: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Return a position with its options, checked as the archive does, as parameters of a URL."""
        arguments = dict(options)
        place = dict(zip(("ra", "dec"), position(ra, dec, arguments), strict=True))
        motion = {name: arguments.pop(name) for name in list(MOTION & arguments.keys())}
        target = target_of(place["ra"], place["dec"], arguments.pop("color", None), **motion)
        return query_words({**place, **star_words(target), **more, **arguments})

    def _frame(self, path: str, params: dict[str, Any] | None = None) -> pd.DataFrame:
        return self._unpacked(self._get(path, params))

    def _light_curve(self, found: dict[str, Any]) -> LightCurve:
        if found["hint"]:
            warn_empty(found["hint"])
        return LightCurve(unpack_columns(found["columns"], found["data"]), unpack_attrs(found["attrs"]))

    def _unpacked(self, found: dict[str, Any]) -> pd.DataFrame:
        if found["hint"]:
            warn_empty(found["hint"])
        return frame_in(found)

    def _pieces(
        self, targets: Targets, arguments: dict[str, Any], at_once: int
    ) -> Iterator[tuple[pd.DataFrame, str | None]]:
        self._check_open()
        for start in range(0, max(1, len(targets)), at_once):
            body = {**part_words(targets, start, start + at_once), **arguments}
            yield light_curves_in(self._transport.lines("/lightcurves", body), start)
