"""A file of a reference catalogue into the archive: one file, one transaction, block after block.

A thread reads ahead while the database takes the rows before; neither ever holds more than some blocks. A large file
into an empty table is indexed at the end.
"""

from __future__ import annotations

import hashlib
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import CatalogueFileError, StoreError
from ztfdb.ingest.readers import BadRow, TableReader, open_table
from ztfdb.sky.given import unit_factor
from ztfdb.store.backends import backend, engine_class
from ztfdb.store.catalogue_import import Growth, add_rows, indexed_afterwards, record_file
from ztfdb.store.catalogues import KINDS, LIGHT_CURVES, CatalogueInfo, find_file, get_catalogue, make_catalogue
from ztfdb.store.engine import sessions, writing
from ztfdb.surveys.layouts import Plan, make_plan
from ztfdb.surveys.rows import Part, part_of, wanted_columns

REPORTED_BAD_ROWS = 100
"""Bad rows that a report names; it counts all."""

LARGE_FILE = 10_000_000
"""Bytes from which on an empty table is indexed after it was filled."""

SETTLE_ROWS = 20_000
"""A table that grew by more is settled for index-only scans at once."""

FileProgress = Callable[[str, int], None]
"""Called with the file and the rows of it that were read so far."""

log = logging.getLogger(__name__)


@dataclass
class FileImport:
    """What became of one file.

    Attributes
    ----------
    path : str
    known : bool
        A file of this content was imported before: nothing was done.
    layout : str
    n_row, n_known, n_bad : int
        Rows added, left out because their ids were held, left out because they could not be read.
    bad : list of BadRow
        The first bad rows.
    seconds : float
    """

    path: str
    known: bool = False
    layout: str = ""
    n_row: int = 0
    n_known: int = 0
    n_bad: int = 0
    bad: list[BadRow] = field(default_factory=list)
    seconds: float = 0.0


def import_catalogue(
    engine: Engine,
    name: str,
    paths: Sequence[str | Path],
    *,
    columns: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
    epoch: float | None = None,
    progress: FileProgress | None = None,
) -> list[FileImport]:
    """Import files into a catalogue, each in a transaction of its own; a file imported before adds nothing.

    Parameters
    ----------
    engine : Engine
        Of the archive, see `ztfdb.store.engine.make_engine`.
    name : str
        ``ps1``, ``gaia``, or any name for another catalogue.
    paths : sequence of path
    columns : mapping of str to str, optional
        Name in the file by column of ours (``id``, ``ra``, ``dec``, ``mag``, …), for files of no known layout.
    extra : sequence of str, optional
        Further columns of the file to keep as JSON; not for ``ps1`` and ``gaia``.
    epoch : float, optional
        Julian year of the positions where the file does not say.
    progress : callable, optional

    Returns
    -------
    list of FileImport
        One per path.

    Raises
    ------
    CatalogueFileError
        If a file cannot be understood; nothing of it was stored, files before it stay.
    ValueError
        If the name, or the columns asked for, make no sense.
    """
    check_name(name, extra)
    maker = sessions(engine)
    done: list[FileImport] = []
    try:
        for path in paths:
            done.append(_import_file(maker, name, Path(path), columns, extra, epoch, progress))
    finally:
        if sum(one.n_row for one in done) > SETTLE_ROWS:
            with maker() as session:
                table = get_catalogue(session, name).table
            engine_class(engine).settle_table(engine, table)
    return done


def check_name(name: str, extra: Sequence[str], *, imported: bool = True) -> None:
    """Raise ValueError where a name cannot be that of a catalogue, or one that keeps no further columns gets some."""
    if not name.replace("_", "").replace("-", "").replace(".", "").isalnum() or name == "reference":
        raise ValueError(f"{name!r} cannot be the name of a catalogue: letters, digits, - _ and . make one")
    if name == LIGHT_CURVES and imported:
        raise ValueError(f"{name} is for light curves that are read in place: `ztfdb catalog add {name} hats:PATH`")
    if extra and name in KINDS:
        raise ValueError(f"{name} keeps its own columns only; import under another name to keep {', '.join(extra)}")


def _import_file(
    maker: sessionmaker[Session],
    name: str,
    path: Path,
    columns: Mapping[str, str] | None,
    extra: Sequence[str],
    epoch: float | None,
    progress: FileProgress | None,
) -> FileImport:
    start = time.perf_counter()
    kind = name if name in KINDS else "reference"
    reader = open_table(path)
    try:
        plan = make_plan(kind, reader.names, columns)
        sexagesimal = _is_sexagesimal(reader, plan)
        wanted = wanted_columns(plan, kind, reader.names, extra, sexagesimal=sexagesimal)
        factors = {} if sexagesimal else _factors(reader, plan)
    except ValueError as exc:
        raise CatalogueFileError(path, str(exc)) from exc
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    outcome = FileImport(str(path), layout=plan.layout.name)
    facts = {"path": str(path.absolute()), "size": size, "sha256": sha256}
    job = _Job(reader, plan, kind, wanted, extra, epoch, factors, facts)
    indexed = size <= LARGE_FILE
    try:
        _fill(maker, name, job, outcome, progress, indexed=indexed)
    except StoreError as exc:
        with maker() as session:
            if indexed or not backend(session).is_duplicate(exc):
                raise
        # some id came twice, which only the key tells: from the start again, with the key in place
        outcome = FileImport(str(path), layout=plan.layout.name)
        _fill(maker, name, job, outcome, progress, indexed=True)
    outcome.seconds = time.perf_counter() - start
    if not outcome.known:
        log.info("catalogue file imported", extra={"path": str(path), "catalogue": name, "n_row": outcome.n_row})
    return outcome


@dataclass(frozen=True)
class _Job:
    """A file that is to be imported: how to read it, and the facts that are kept of it."""

    reader: TableReader
    plan: Plan
    kind: str
    wanted: Mapping[str, str]
    extra: Sequence[str]
    epoch: float | None
    factors: Mapping[str, float]
    facts: Mapping[str, Any]

    def parts(self) -> Iterator[Part]:
        """Read the file from its start."""
        for block in self.reader.blocks(self.wanted):
            for name, factor in self.factors.items():
                block.columns[name] = block.columns[name] * factor
            yield part_of(block, self.plan, self.kind, self.extra, self.epoch)


def _fill(
    maker: sessionmaker[Session],
    name: str,
    job: _Job,
    outcome: FileImport,
    progress: FileProgress | None,
    *,
    indexed: bool,
) -> None:
    """Store a file in one transaction, with the indexes in place or made at the end."""
    with writing(maker) as session:
        catalogue = make_catalogue(session, name)
        if catalogue.location is not None:
            raise ValueError(f"{name} is read in place, from {catalogue.location}: remove it, or take another name")
        if find_file(session, catalogue.catalogue_id, job.facts["sha256"]) is not None:
            outcome.known = True
            return
        growth = Growth()
        with nullcontext() if indexed else indexed_afterwards(session, catalogue, growth):
            for part in _ahead(job.parts()):
                _add(session, catalogue, part, growth, outcome)
                _check_understood(Path(outcome.path), growth, outcome)
                if progress is not None:
                    progress(outcome.path, growth.n_row + growth.n_known + outcome.n_bad)
        outcome.n_row, outcome.n_known = growth.n_row, growth.n_known
        file = {**job.facts, "format": job.reader.format, "layout": outcome.layout}
        record_file(session, catalogue, growth, n_bad=outcome.n_bad, **file)


_UNITS = {"ra": "deg", "dec": "deg", "pmra": "mas / yr", "pmdec": "mas / yr"}


def _factors(reader: TableReader, plan: Plan) -> dict[str, float]:
    """Return by what the positions and proper motions of a file are multiplied: those with another unit than ours."""
    ours = {plan.sources[name]: unit for name, unit in _UNITS.items() if name in plan.sources}
    factors = {name: unit_factor(reader.units[name], unit, name) for name, unit in ours.items() if name in reader.units}
    return {name: factor for name, factor in factors.items() if factor != 1.0}


def _is_sexagesimal(reader: TableReader, plan: Plan) -> bool:
    """Tell whether the first right ascensions of a file are text such as 12:34:56.7, not numbers."""
    name = plan.sources["ra"]
    block = next(iter(reader.blocks({name: "O"})), None)
    first = [] if block is None else [value for value in block.columns[name][:100] if isinstance(value, str)]
    return any(_SEXAGESIMAL.fullmatch(text.strip()) for text in first)


_SEXAGESIMAL = re.compile(r"[+-]?\d{1,3}[:hd\s]\s*\d{1,2}\D.*")


def _add(session: Session, catalogue: CatalogueInfo, part: Part, growth: Growth, outcome: FileImport) -> None:
    outcome.n_bad += len(part.bad)
    outcome.bad += part.bad[: REPORTED_BAD_ROWS - len(outcome.bad)]
    if len(part.columns["hpx29"]):
        add_rows(session, catalogue, part.columns, growth, nulls=part.nulls, extra=part.extra)


def _check_understood(path: Path, growth: Growth, outcome: FileImport) -> None:
    """Refuse a file of whose first block no row could be read: its columns are not what they seem."""
    if outcome.n_bad and not (growth.n_row or growth.n_known):
        first = outcome.bad[0]
        raise CatalogueFileError(path, f"no row can be read; the first, line {first.line}: {first.reason}")


class _Failed:
    """What a reading thread raised, handed over to the thread that stores."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _ahead(parts: Iterator[Part]) -> Iterator[Part]:
    """Read ahead in a thread by one part: the parser and the database work at the same time."""
    ready: queue.Queue[Part | _Failed | None] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def hand_over(item: Part | _Failed | None) -> None:
        while not stop.is_set():
            try:
                ready.put(item, timeout=0.1)
                return
            except queue.Full:
                continue

    def read() -> None:
        try:
            for part in parts:
                hand_over(part)
                if stop.is_set():
                    return
            hand_over(None)
        except BaseException as exc:  # it is raised again by the thread that waits
            hand_over(_Failed(exc))

    thread = threading.Thread(target=read, name="catalogue-reader", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if item is None:
                return
            if isinstance(item, _Failed):
                raise item.error
            yield item
    finally:
        stop.set()
        thread.join()
