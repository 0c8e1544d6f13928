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

import numpy as np
from astropy.coordinates import Angle
from numpy.typing import NDArray
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.errors import CatalogueFileError, StoreError
from ztfdb.ingest.readers import BadRow, Block, TableReader, open_table
from ztfdb.ingest.readers.layouts import ID_COLUMNS, Plan, make_plan
from ztfdb.records import BoolArray, FloatArray
from ztfdb.schema.catalogue import MEAN_PHOTOMETRY, STACK_PHOTOMETRY
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.motion import DAYS_PER_YEAR, J2000_MJD
from ztfdb.store.backends import is_duplicate, settle_table
from ztfdb.store.catalogues import (
    KINDS,
    CatalogueInfo,
    Growth,
    add_rows,
    find_file,
    get_catalogue,
    indexed_afterwards,
    make_catalogue,
    record_file,
)
from ztfdb.store.engine import sessions, writing

SENTINEL = -999.0
"""What MAST writes for no value."""

INTEGERS = frozenset({"n_detection", "quality", "info_flag"})
MAX_INTEGER = 2**31 - 1

REPORTED_BAD_ROWS = 100
"""Bad rows that a report names; it counts all."""

LARGE_FILE = 10_000_000
"""Bytes from which on an empty table is indexed after it was filled."""

SETTLE_ROWS = 20_000
"""A table that grew by more is settled for index-only scans at once."""

Progress = Callable[[str, int], None]
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
    progress: Progress | None = None,
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
    _check_name(name, extra)
    maker = sessions(engine)
    done: list[FileImport] = []
    try:
        for path in paths:
            done.append(_import_file(maker, name, Path(path), columns, extra, epoch, progress))
    finally:
        if sum(one.n_row for one in done) > SETTLE_ROWS:
            with maker() as session:
                table = get_catalogue(session, name).table
            settle_table(engine, table)
    return done


def _check_name(name: str, extra: Sequence[str]) -> None:
    if not name.replace("_", "").replace("-", "").replace(".", "").isalnum() or name == "reference":
        raise ValueError(f"{name!r} cannot be the name of a catalogue: letters, digits, - _ and . make one")
    if extra and name in KINDS:
        raise ValueError(f"{name} keeps its own columns only; import under another name to keep {', '.join(extra)}")


def _import_file(
    maker: sessionmaker[Session],
    name: str,
    path: Path,
    columns: Mapping[str, str] | None,
    extra: Sequence[str],
    epoch: float | None,
    progress: Progress | None,
) -> FileImport:
    start = time.perf_counter()
    kind = name if name in KINDS else "reference"
    reader = open_table(path)
    try:
        plan = make_plan(kind, reader.names, columns)
        wanted = _wanted(plan, kind, reader.names, extra, sexagesimal=_is_sexagesimal(reader, plan))
    except ValueError as exc:
        raise CatalogueFileError(path, str(exc)) from exc
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    outcome = FileImport(str(path), layout=plan.layout.name)
    job = _Job(reader, plan, kind, wanted, extra, epoch, {"path": str(path.absolute()), "size": size, "sha256": sha256})
    indexed = size <= LARGE_FILE
    try:
        _fill(maker, name, job, outcome, progress, indexed=indexed)
    except StoreError as exc:
        if indexed or not is_duplicate(exc):
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
    facts: Mapping[str, Any]

    def parts(self) -> Iterator[_Part]:
        """Read the file from its start."""
        for block in self.reader.blocks(self.wanted):
            yield _part(block, self.plan, self.kind, self.extra, self.epoch)


def _fill(
    maker: sessionmaker[Session],
    name: str,
    job: _Job,
    outcome: FileImport,
    progress: Progress | None,
    *,
    indexed: bool,
) -> None:
    """Store a file in one transaction, with the indexes in place or made at the end."""
    with writing(maker) as session:
        catalogue = make_catalogue(session, name)
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


def _is_sexagesimal(reader: TableReader, plan: Plan) -> bool:
    """Tell whether the first right ascensions of a file are text such as 12:34:56.7, not numbers."""
    name = plan.sources["ra"]
    block = next(iter(reader.blocks({name: "O"})), None)
    first = [] if block is None else [value for value in block.columns[name][:100] if isinstance(value, str)]
    return any(_SEXAGESIMAL.fullmatch(text.strip()) for text in first)


_SEXAGESIMAL = re.compile(r"[+-]?\d{1,3}[:hd\s]\s*\d{1,2}\D.*")


def _angles(texts: NDArray[Any], unit: str) -> FloatArray:
    """Return degrees of sexagesimal texts, ``hourangle`` or ``deg``; NaN where one is none."""
    found = np.full(len(texts), np.nan)
    for row, text in enumerate(texts.tolist()):
        try:
            plain = _is_number(text)
            found[row] = float(text) if plain else Angle(str(text).replace("\u2212", "-"), unit=unit).deg
        except (ValueError, TypeError):
            continue
    return found


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def _wanted(
    plan: Plan, kind: str, names: Sequence[str], extra: Sequence[str], *, sexagesimal: bool = False
) -> dict[str, str]:
    """Return the columns to read of the file, with their kinds."""
    lacking = [name for name in extra if name not in names]
    if lacking:
        raise ValueError(f"has no column {', '.join(lacking)}; there are: {', '.join(names)}")
    wanted = dict.fromkeys(extra, "O")
    wanted |= {theirs: "i" if ours == ID_COLUMNS[kind] else "f" for ours, theirs in plan.sources.items()}
    if sexagesimal:
        wanted |= {plan.sources[ours]: "O" for ours in ("ra", "dec")}
    primary = plan.layout.primary
    if primary is not None:
        wanted |= {name: "f" for name in names if name.lower() == primary.lower()}
    return wanted


@dataclass
class _Part:
    """Rows ready to be stored."""

    columns: dict[str, NDArray[Any]]
    nulls: dict[str, BoolArray]
    extra: list[dict[str, Any] | None] | None
    bad: list[BadRow]


def _part(block: Block, plan: Plan, kind: str, extra: Sequence[str], epoch: float | None) -> _Part:
    """Turn what a file says into the columns of our table; rows without a place on the sky or an id are bad."""
    columns = {ours: _number(block.columns[theirs]) for ours, theirs in plan.sources.items()}
    for ours, unit in (("ra", "hourangle"), ("dec", "deg")):
        if columns[ours].dtype == object:
            columns[ours] = _angles(columns[ours], unit)
    reasons = _faults(columns, block, plan, kind)
    good = reasons == ""
    bad = [*block.bad, *(BadRow(int(block.line[k]), str(reasons[k])) for k in np.flatnonzero(~good))]
    keep = np.flatnonzero(good & _is_primary(block, plan))
    ra, dec = np.mod(columns["ra"][keep], 360.0), columns["dec"][keep]
    cells = sky_to_cell(ra, dec)
    # in a file without ids an object's number is made of its place: the same place is the same object
    ids = columns[ID_COLUMNS[kind]][keep] if ID_COLUMNS[kind] in columns else -1 - cells
    # Ids of surveys follow the sky: in their order, rows that are near each other share the pages of both indexes,
    # which halves the work of PostgreSQL.
    order = np.argsort(ids, kind="stable")
    keep = keep[order]
    kept = {ours: values[keep] for ours, values in columns.items()}
    kept |= {ID_COLUMNS[kind]: ids[order], "ra": ra[order], "hpx29": cells[order]}
    _fill_epoch(kept, plan, kind, epoch)
    nulls = _to_integers(kept)
    if kind == "ps1":
        kept["photometry"] = np.full(len(keep), STACK_PHOTOMETRY if plan.layout.stack else MEAN_PHOTOMETRY, np.int16)
    texts = [_extra_of(block, int(k), extra) for k in keep] if extra else None
    return _Part(kept, nulls, texts, sorted(bad, key=lambda row: row.line))


def _number(values: NDArray[Any]) -> NDArray[Any]:
    """Return a column with NaN wherever it has no value."""
    if values.dtype.kind != "f":
        return values
    none = (values == SENTINEL) | np.isinf(values)
    return np.where(none, np.nan, values) if none.any() else values


def _faults(columns: Mapping[str, NDArray[Any]], block: Block, plan: Plan, kind: str) -> NDArray[Any]:
    reasons = np.full(len(block), "", dtype=object)
    ra, dec = columns["ra"], columns["dec"]
    with np.errstate(invalid="ignore"):
        reasons[~(np.abs(dec) <= 90.0)] = "dec lies outside -90..90 deg"
        reasons[~((ra >= -360.0) & (ra <= 360.0))] = "ra lies outside -360..360 deg"
    reasons[np.isnan(ra) | np.isnan(dec)] = "no position"
    theirs = plan.sources.get(ID_COLUMNS[kind])
    if theirs is not None:
        none = block.missing.get(theirs)
        if none is not None:
            reasons[none & (reasons == "")] = f"{theirs} is no 64-bit integer"
    return reasons


def _is_primary(block: Block, plan: Plan) -> BoolArray:
    """Return the rows to keep where a survey lists an object more than once."""
    marked = plan.layout.primary
    name = next((n for n in block.columns if marked is not None and n.lower() == marked.lower()), None)
    return np.ones(len(block), bool) if name is None else np.asarray(block.columns[name] == 1)


def _fill_epoch(kept: dict[str, NDArray[Any]], plan: Plan, kind: str, epoch: float | None) -> None:
    """Bring epochs to Julian years."""
    if "epoch" in kept and plan.layout.epoch == "mjd":
        kept["epoch"] = 2000.0 + (kept["epoch"] - J2000_MJD) / DAYS_PER_YEAR
    default = plan.layout.default_epoch if epoch is None else epoch
    if default is not None and ("pmra" in kept or kind == "ps1"):
        have = kept.get("epoch", np.full(len(kept["ra"]), np.nan))
        kept["epoch"] = np.where(np.isnan(have), default, have)


def _to_integers(kept: dict[str, NDArray[Any]]) -> dict[str, BoolArray]:
    """Turn counts and flags, read as numbers, into integers with nulls."""
    nulls = {}
    for name in INTEGERS & kept.keys():
        with np.errstate(invalid="ignore"):
            nulls[name] = ~(np.abs(kept[name]) <= MAX_INTEGER)
        kept[name] = np.where(nulls[name], 0, kept[name]).astype(np.int64)
    return nulls


def _extra_of(block: Block, row: int, extra: Sequence[str]) -> dict[str, Any] | None:
    values = {name: _plain(block.columns[name][row]) for name in extra}
    return values if any(value is not None for value in values.values()) else None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; text that is a number becomes one."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, str):
        for kind in (int, float):
            try:
                value = kind(value)
                break
            except ValueError:
                continue
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _add(session: Session, catalogue: CatalogueInfo, part: _Part, growth: Growth, outcome: FileImport) -> None:
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


def _ahead(parts: Iterator[_Part]) -> Iterator[_Part]:
    """Read ahead in a thread by one part: the parser and the database work at the same time."""
    ready: queue.Queue[_Part | _Failed | None] = queue.Queue(maxsize=1)
    stop = threading.Event()

    def hand_over(item: _Part | _Failed | None) -> None:
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
