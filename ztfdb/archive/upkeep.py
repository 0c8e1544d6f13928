"""Ingest and remove images, and the archive as a whole: verify, backup, status, SQL, exports."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from ztfdb.archive.base import OpenArchive
from ztfdb.archive.images import Night
from ztfdb.errors import ArchiveClosedError, ConfigError, MissingExtraError
from ztfdb.options import (
    IngestLimits,
    IngestPsfcatOptions,
    RemoveImagesOptions,
    VerifyOptions,
)

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.arrays import Progress
    from ztfdb.hats import HatsReport
    from ztfdb.ingest.irsa_metadata import MetadataReport
    from ztfdb.ingest.remove import Removal
    from ztfdb.ingest.report import IngestProgress, IngestReport
    from ztfdb.query.readonly import SqlParts


class Upkeep(OpenArchive):
    """Ingest and remove images, and the archive as a whole: verify, backup, status, SQL, exports."""

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
            Files, folders (searched recursively) and globs.
        jobs : int
            Processes that measure; 1 measures in this process.
        mask : path, optional
            The mask of the single given image, if it is not next to it under ZTF's name.
        psfcat : path, optional
            ZTF's PSF catalogue of the single given image, likewise.
        force : bool
            Measure unchanged images again.
        progress : IngestProgress, optional
            Called for each image at its end.
        **limits
            ``timeout_s`` and ``memory_mb`` of one image in a worker, ``scheduler``, the address of a Dask cluster, and
            ``completeness``, to test each image with artificial stars; see `ztfdb.ingest.run.ingest_paths`.

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
        """Store PSF catalogues of stored images and references; see `ztfdb.ingest.psf_catalogues.ingest_psfcats`."""
        from ztfdb.ingest.psf_catalogues import ingest_psfcats

        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return ingest_psfcats(self._sessions, given, **options)

    def import_metadata(self, path: str | Path) -> MetadataReport:
        """Fill infobits, maglimit and seeing from IRSA's metadata; see `ztfdb.ingest.irsa_metadata.import_metadata`."""
        from ztfdb.ingest.irsa_metadata import import_metadata

        return import_metadata(self._sessions, path)

    def relocate(self, name: str, path: str | Path) -> str:
        """Point the data root `name` to another folder or URL, and return the previous one.

        Raises
        ------
        ConfigError
            If the archive has no root of this name, or there is no such folder here.
        """
        from ztfdb.store.engine import writing
        from ztfdb.store.roots import move_root

        if not str(path) or ("://" not in str(path) and not os.path.isdir(path)):  # noqa: PTH112
            raise ConfigError(f"there is no folder {str(path)!r}: {name} is unchanged")
        with writing(self._sessions) as session:
            return move_root(session, name, path)

    def verify(self, **options: Unpack[VerifyOptions]) -> pd.DataFrame:
        """Return the problems of files and tables, empty if there are none; see `ztfdb.query.verify.verify`."""
        from ztfdb.query.verify import verify

        return verify(self._sessions, **options)

    def storage_problems(self) -> list[str]:
        """Return problems found by SQLite's ``integrity_check``, which reads the whole file; none for PostgreSQL."""
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
                    nights = self._holdings(session).nights
                    self._warn(f"no image of the night {night_of(night)}; the archive holds {nights}")
        else:
            wanted = image_id if isinstance(image_id, Iterable) else [int(image_id or 0)]
        return remove_images(self._sessions, wanted, **options)

    def sql(
        self,
        statement: str,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        force: bool = False,
        **values: Any,
    ) -> pd.DataFrame:
        """Run one read-only SQL statement with ``:name`` parameters; see `ztfdb.query.readonly.read_only_sql`.

        Their values are options, or are in `params`, as of `sql_parts`.
        """
        from ztfdb.query.readonly import read_only_sql

        if self._closed:
            raise ArchiveClosedError(f"{self.url} is closed: open it again")
        options = {} if timeout_s is None else {"timeout_s": timeout_s}
        return read_only_sql(self._address, statement, {**(params or {}), **values}, force=force, **options)

    def sql_csv(
        self,
        statement: str,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        timeout_s: float | None = None,
        force: bool = False,
    ) -> Iterator[tuple[bytes, int]]:
        """Yield the rows of a read-only statement as CSV in parts, any number of rows.

        Each part comes with the number of its rows: first the header line, with 0. The bytes are the same on both
        engines; see `ztfdb.query.readonly_csv.read_only_csv`.
        """
        from ztfdb.query.readonly_csv import read_only_csv

        if self._closed:
            raise ArchiveClosedError(f"{self.url} is closed: open it again")
        options = {} if timeout_s is None else {"timeout_s": timeout_s}
        return read_only_csv(self._address, statement, params, force=force, **options)

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
        """Return the rows of a read-only statement as DataFrames in parts, any number of rows in bounded memory.

        Each part has the dtypes of the whole answer; see `ztfdb.query.readonly.read_only_parts`.
        """
        from ztfdb.query.readonly import read_only_parts

        if self._closed:
            raise ArchiveClosedError(f"{self.url} is closed: open it again")
        options = {} if timeout_s is None else {"timeout_s": timeout_s}
        return read_only_parts(self._address, statement, params, force=force, progress=progress, **options)

    def tables(self) -> pd.DataFrame:
        """Return every table and view with its description; see `ztfdb.query.tables.table_list`."""
        from ztfdb.query.tables import table_list

        return table_list()

    def columns(self, table: str) -> pd.DataFrame:
        """Return the columns of a table or view with datatype, unit, UCD and description; see `column_list`."""
        from ztfdb.query.tables import column_list

        return column_list(table)

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

        With `jobs` above 1, as many processes write, of which this one is the first.

        Raises
        ------
        MissingExtraError
            Without pyarrow, which the extra ``parquet`` brings.
        ValueError
            If `jobs` is less than 1.
        """
        from ztfdb.hats.processes import processes

        if jobs < 1:
            raise ValueError(f"jobs {jobs}: at least one process is needed")
        with processes(jobs - 1) as others:  # they import while this process does
            try:
                from ztfdb.hats import export_hats
            except ImportError as exc:
                raise MissingExtraError("a HATS export", "parquet") from exc
            return export_hats(
                self._address,
                folder,
                update=update,
                products=products,
                threshold=threshold,
                margin=margin,
                calibration=calibration,
                layout=layout,
                others=others,
                progress=progress,
                tell=tell,
            )

    def status(self) -> dict[str, Any]:
        """Return a summary of the archive: rows, span, filters, configurations; see `ztfdb.query.status.status`."""
        from ztfdb.query.status import status

        with self._connections.reading() as session:
            return {"url": self.url, **status(session)}
