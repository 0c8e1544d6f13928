"""``archive.export_hats``: every product as a HATS collection of its own, whole or brought up to date."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import URL

from ztfdb.errors import ExportError
from ztfdb.hats import layout
from ztfdb.hats.contents import Contents
from ztfdb.hats.context import Context
from ztfdb.hats.fields import HEALPIX_COLUMN
from ztfdb.hats.files import link_or_copy, make_atomically, write_atomically
from ztfdb.hats.objects import Objects
from ztfdb.hats.parquet import LEVEL, write_common_metadata, write_rows
from ztfdb.hats.plan import Generation, Journal, Part, Settings, completed, holds_plan, made_by, read_state, write_state
from ztfdb.hats.products import Detections, Forced, Images, Product, PsfSources
from ztfdb.hats.readers import Readers
from ztfdb.hats.tasks import Edge, RereadPartition, Task, WriteMargin, WritePartition
from ztfdb.hats.tiling import Margins, Pixel, find_margins, margin_order, tile
from ztfdb.sky.cells import HPX_ORDER

PRODUCTS: dict[str, type[Product]] = {kind.name: kind for kind in (Detections, Objects, PsfSources, Forced, Images)}

UNFINISHED = "unfinished.json"
"""Names the generation of each product that a whole export has begun; it goes when all are finished."""

THRESHOLD = 500_000
"""Rows (epochs of objects) in a partition: some 150 MB in memory while it is made."""

MARGIN = 10.0
"""Arcsec."""

Follow = Callable[[str, int, int], None]
"""Called with a product's name, how many of its files are done, and how many there are."""


@dataclass
class ProductReport:
    """What was done for one product.

    Attributes
    ----------
    name : str
    n_row : int
        In all partitions.
    n_partition, n_written : int
        Partitions, and those of them that were written anew.
    rows_written : int
        Rows in these.
    size : int
        Bytes of all partitions.
    generation : int
        Which version of the catalogue readers see now.
    """

    name: str
    n_row: int
    n_partition: int
    n_written: int
    rows_written: int
    size: int
    generation: int

    def __str__(self) -> str:
        written = f"{self.n_written} of {self.n_partition} partitions written ({self.rows_written} rows)"
        return f"{self.name}: {self.n_row} rows, {self.size / 1e6:.1f} MB, {written}, generation {self.generation}"


@dataclass
class HatsReport:
    """What an export did, product by product."""

    folder: str
    products: list[ProductReport] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(map(str, self.products)) or "nothing to export: the archive is empty"


def export_hats(
    url: URL,
    folder: str | Path,
    *,
    update: bool = False,
    products: Sequence[str] | None = None,
    threshold: int | None = None,
    margin: float | None = None,
    calibration: str | None = None,
    jobs: int = 1,
    progress: Follow | None = None,
    tell: Callable[[str], None] | None = None,
) -> HatsReport:
    """Write an archive as HATS collections, one below `folder` for each product.

    Parameters
    ----------
    url : URL
        Of the archive, with its password.
    folder : path
        Made where there is none.
    update : bool
        Write only the partitions whose rows have changed since the last export into `folder`, which must be there.
        Otherwise everything is written. Readers see the last export until the new one is whole.
    products : sequence of str, optional
        Some of ``detections``, ``objects``, ``psf_sources``, ``forced``, ``images``; by default those that the archive
        has rows of.
    threshold : int, optional
        Rows in a partition at most, epochs for ``objects``; by default 500,000. One cell of order 10 may hold more.
    margin : float, optional
        Width of the margin caches, arcsec; 0 for none; by default 10.
    calibration : str, optional
        ``header`` (by default) or ``ps1``: whose zero points ``mag`` and ``flux_ujy`` have.
    jobs : int
        Processes.
    progress, tell : callable, optional
        Called as files are done, and with a line that says how much is written before anything is.

    Returns
    -------
    HatsReport

    Raises
    ------
    ExportError
        If another export writes to `folder`, there is nothing to update, or an update is wanted with other settings
        than the export has.
    ValueError
        If a product, a threshold or a margin is not one.
    """
    wanted = _checked(products, threshold, margin, jobs)
    root, report = Path(folder), HatsReport(str(folder))
    root.mkdir(parents=True, exist_ok=True)
    if update and not any(read_state(root / name) for name in PRODUCTS):
        raise ExportError(f"{root} holds no export to bring up to date: leave --update away")
    kind = calibration or _held_calibration(root, update)
    with _alone(root), Readers(url, jobs, kind) as readers:
        begun = {} if update else _begun(root)
        for name in wanted:
            given = _Given(threshold, margin, kind)
            one = _Export(readers, PRODUCTS[name](), root / name, given, update, progress, tell)
            if not update and name not in begun:
                begun[name] = one.next_number
                write_atomically(root / UNFINISHED, json.dumps(begun).encode())
            done = one.run(always=products is not None, begun=begun.get(name))
            if done is not None:
                report.products.append(done)
        (root / UNFINISHED).unlink(missing_ok=True)
    return report


def _begun(root: Path) -> dict[str, int]:
    """Return the generation of each product that a whole export, stopped before its end, was to make."""
    path = root / UNFINISHED
    return dict(json.loads(path.read_text())) if path.exists() else {}


@dataclass(frozen=True)
class _Given:
    """The settings of a call, None where it has none."""

    threshold: int | None
    margin: float | None
    calibration: str


def _checked(products: Sequence[str] | None, threshold: int | None, margin: float | None, jobs: int) -> list[str]:
    unknown = [name for name in products or () if name not in PRODUCTS]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: the products are {', '.join(PRODUCTS)}")
    if threshold is not None and threshold < 1:
        raise ValueError(f"threshold {threshold}: a partition holds at least one row")
    if margin:
        margin_order(margin)
    if jobs < 1:
        raise ValueError(f"jobs {jobs}: at least one process is needed")
    return [name for name in PRODUCTS if products is None or name in products]


def _held_calibration(root: Path, update: bool) -> str:
    """Return the calibration of the export that is brought up to date, else the header's."""
    if update:
        for name in PRODUCTS:
            if (state := read_state(root / name)) is not None:
                return state.settings.calibration
    return "header"


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Keep other exports out of a folder."""
    with (root / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            raise ExportError(f"another export is writing to {root}") from exc
        yield


class _Export:
    """One product on its way into one collection."""

    def __init__(
        self,
        readers: Readers,
        product: Product,
        folder: Path,
        given: _Given,
        update: bool,
        progress: Follow | None,
        tell: Callable[[str], None] | None,
    ) -> None:
        self._readers, self._product, self._folder, self._given = readers, product, folder, given
        self._follow, self._tell = progress or (lambda *_: None), tell or (lambda _: None)
        self._visible = read_state(folder)
        self._old = self._visible if update else None
        self._schema = product.schema()

    @property
    def _context(self) -> Context:
        return self._readers.own.context

    @property
    def next_number(self) -> int:
        """The generation after the one that readers see."""
        return 1 if self._visible is None else self._visible.number + 1

    def run(self, *, always: bool, begun: int | None) -> ProductReport | None:
        """Write what has changed and show it to readers; None where there are no rows and none were asked for.

        Parameters
        ----------
        always : bool
            Also without rows.
        begun : int or None
            The generation that a whole export was to make. Where readers see it already, a run was stopped after that:
            if it is still what would be written, it stays.
        """
        contents = self._product.contents(self._readers.own.session, self._context)
        if not len(contents.cell) and not always and self._visible is None:
            return None
        plan = self._plan(contents)
        seen = self._visible
        if seen is not None and (self._old is not None or seen.number == begun) and _is_same(plan, seen):
            shutil.rmtree(self._work(seen.number), ignore_errors=True)  # of a run that was stopped at its very end
            return self._report(seen, 0, 0)
        margins = find_margins([p.pixel for p in plan.parts], plan.settings.margin) if plan.settings.margin else None
        changed, redone = self._changes(plan, margins)
        self._announce(plan, changed, contents)
        journal = self._journal(plan)
        try:
            self._write(plan, journal, margins, changed, redone)
            new = completed(plan, journal)
            written = sum(max(0, new.parts[place].n_row) for place in changed)
            self._show(new)
        finally:
            journal.close()
        shutil.rmtree(journal.folder)
        self._clean(new.number)
        return self._report(new, len(changed), written)

    def _plan(self, contents: Contents) -> Generation:
        settings, by = self._settings(), made_by(self._schema)
        number = self.next_number
        held = [part.pixel for part in self._old.parts] if self._old is not None else []
        pixels = tile(contents.cell, contents.weight, settings.threshold, held)
        parts = tuple(Part(pixel, f"{contents.of(pixel)[1]:016x}") for pixel in pixels)
        known = self._known(by)
        parts = tuple(known.get((part.pixel, part.digest), part) for part in parts)
        return Generation(number, settings, by, parts)

    def _settings(self) -> Settings:
        given = self._given
        if self._old is None:
            margin = MARGIN if given.margin is None else given.margin
            return Settings(given.threshold or THRESHOLD, margin, given.calibration, LEVEL)
        held = self._old.settings
        for name, value in (("threshold", given.threshold), ("margin", given.margin)):
            if value is not None and value != getattr(held, name):
                was = f"{self._folder} was made with a {name} of {getattr(held, name):g}"
                raise ExportError(f"{was}: leave --update away to change it")
        if given.calibration != held.calibration:
            raise ExportError(
                f"{self._folder} has magnitudes calibrated by {held.calibration!r}: leave --update away to change that"
            )
        return held

    def _known(self, by: str) -> dict[tuple[Pixel, str], Part]:
        """Return the partitions that are written already, by what they are made of."""
        if self._old is None or self._old.made_by != by:
            return {}
        return {(part.pixel, part.digest): part for part in self._old.parts}

    def _changes(self, plan: Generation, margins: Margins | None) -> tuple[set[int], set[int]]:
        """Return the places of partitions to write, and of those whose margins are to be written."""
        changed = {place for place, part in enumerate(plan.parts) if part.n_row < 0}
        if margins is None:
            return changed, set()
        redone = changed | margins.near(changed)
        if self._old is not None:
            redone |= self._bereft(plan, self._old)
        return changed, redone

    def _bereft(self, plan: Generation, old: Generation) -> set[int]:
        """Return the places of partitions whose margins held rows of one that is gone."""
        pixels, now = [part.pixel for part in old.parts], {part.pixel: k for k, part in enumerate(plan.parts)}
        gone = {k for k, pixel in enumerate(pixels) if pixel not in now}
        if not gone:
            return set()
        near = find_margins(pixels, old.settings.margin).near(gone)
        return {now[pixels[k]] for k in near if pixels[k] in now}

    def _announce(self, plan: Generation, changed: set[int], contents: Contents) -> None:
        if self._old is None:
            return
        rows = sum(contents.of(plan.parts[place].pixel)[0] for place in changed)
        before = sum(part.n_row for part in self._old.parts)
        new = int(contents.weight.sum()) - before
        what = "epochs" if isinstance(self._product, Objects) else "rows"
        self._tell(
            f"{self._product.name}: {len(changed)} of {len(plan.parts)} partitions have changed, "
            f"{rows} {what} are written" + (f" for {new} new ones" if what == "rows" and new > 0 else "")
        )

    def _journal(self, plan: Generation) -> Journal:
        """Take up the work of a run that was killed, or begin afresh."""
        work = self._work(plan.number)
        if not holds_plan(work, plan):
            for folder in self._folders(plan.number):
                shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True, exist_ok=True)
        return Journal(work, plan)

    def _write(
        self, plan: Generation, journal: Journal, margins: Margins | None, changed: set[int], redone: set[int]
    ) -> None:
        first = [*self._partition_tasks(plan, journal, margins, changed, redone)]
        second = [] if margins is None else [k for k in sorted(redone) if ("margin", k) not in journal.done]
        n, total = 0, len(first) + len(second)
        self._follow(self._product.name, 0, total)
        margin = self._margin_folder(plan)
        later = (
            WriteMargin(
                self._product,
                k,
                margin / layout.partition_path(plan.parts[k].pixel),
                plan.settings.level,
                journal.spill,
            )
            for k in second
        )
        for tasks in (first, later):
            for done in self._readers.run(tasks):
                journal.add(done)
                n += 1
                self._follow(self._product.name, n, total)
        self._link_unchanged(plan, changed, redone)

    def _partition_tasks(
        self, plan: Generation, journal: Journal, margins: Margins | None, changed: set[int], redone: set[int]
    ) -> Iterator[Task]:
        folder = self._catalogue_folder(plan)
        for place, part in enumerate(plan.parts):
            if ("partition", place) in journal.done:
                continue
            edge = None if margins is None else self._edge(place, margins, redone, journal.spill)
            path = layout.partition_path(part.pixel)
            if place in changed:
                yield WritePartition(self._product, part.pixel, place, folder / path, plan.settings.level, edge)
            elif edge is not None and part.n_row:
                assert self._old is not None
                yield RereadPartition(place, self._catalogue_folder(self._old) / path, edge)

    def _edge(self, place: int, margins: Margins, redone: set[int], spill: Path) -> Edge | None:
        cell, margin_of = margins.of(place)
        wanted = np.isin(margin_of, list(redone))
        if not wanted.any():
            return None
        return Edge(2 * (HPX_ORDER - margins.order), cell[wanted], margin_of[wanted], spill)

    def _link_unchanged(self, plan: Generation, changed: set[int], redone: set[int]) -> None:
        if self._old is None:
            return
        for place, part in enumerate(plan.parts):
            path = layout.partition_path(part.pixel)
            if place not in changed and part.n_row > 0:
                link_or_copy(self._catalogue_folder(self._old) / path, self._catalogue_folder(plan) / path)
            if plan.settings.margin and place not in redone and part.margin_rows > 0:
                link_or_copy(self._margin_folder(self._old) / path, self._margin_folder(plan) / path)

    def _work(self, number: int) -> Path:
        return self._folder / f"work_g{number}"

    def _catalogue_folder(self, plan: Generation) -> Path:
        return self._folder / f"{self._product.name}_g{plan.number}"

    def _margin_folder(self, plan: Generation) -> Path:
        return self._folder / f"{layout.margin_name(self._product.name, plan.settings.margin)}_g{plan.number}"

    def _index_folder(self, plan: Generation) -> Path:
        return self._folder / f"{layout.index_name(self._product.name, self._product.id_column)}_g{plan.number}"

    def _folders(self, number: int) -> list[Path]:
        return [path for path in self._folder.glob(f"*_g{number}") if path.is_dir()] if self._folder.exists() else []

    def _show(self, new: Generation) -> None:
        """Write the small files of the new generation and point the collection at it."""
        margin, name = new.settings.margin, self._product.name
        catalogue = self._catalogue_folder(new)
        self._describe(catalogue, name, self._product.kind, [(p.pixel, p.n_row, p.size) for p in new.parts], new, {})
        collection: dict[str, object] = {"obs_collection": name, "hats_primary_table_url": catalogue.name}
        if margin:
            folder = self._margin_folder(new)
            of_margin = [(p.pixel, p.margin_rows, p.margin_size) for p in new.parts]
            more: dict[str, object] = {"hats_primary_table_url": catalogue.name, "hats_margin_threshold": f"{margin:g}"}
            self._describe(folder, layout.margin_name(name, margin), "margin", of_margin, new, more)
            collection |= {"all_margins": folder.name, "default_margin": folder.name}
        if isinstance(self._product, Objects):
            folder = self._index_folder(new)
            self._write_index(folder, new)
            column = self._product.id_column
            collection |= {"all_indexes": f"{column} {folder.name}", "default_index": column}
        layout.write_properties(self._folder, layout.COLLECTION, collection)
        write_state(self._folder, new)

    def _describe(
        self,
        folder: Path,
        name: str,
        kind: str,
        parts: list[tuple[Pixel, int, int]],
        new: Generation,
        more: dict[str, object],
    ) -> None:
        held = [(pixel, n_row, size) for pixel, n_row, size in parts if n_row > 0]
        pixels, size = [pixel for pixel, *_ in held], sum(size for *_, size in held)
        (folder / layout.DATASET).mkdir(parents=True, exist_ok=True)
        write_common_metadata(folder / layout.DATASET / "_common_metadata", self._schema, name)
        n_row = layout.write_metadata(folder, pixels, self._schema)
        if n_row != sum(n for _, n, _ in held):
            raise ExportError(f"{folder} holds {n_row} rows, not the {sum(n for _, n, _ in held)} that were written")
        layout.write_partition_info(folder, pixels)
        facts = {**more, "hats_max_rows": max((n for _, n, _ in held), default=0), **self._provenance(new)}
        default = self._product.default
        values = layout.catalogue_properties(name, kind, pixels, n_row, size, default=default, more=facts)
        layout.write_properties(folder, layout.PROPERTIES, values)

    def _provenance(self, new: Generation) -> dict[str, object]:
        facts: dict[str, object] = {
            "hats_builder": new.made_by.partition(", columns")[0],
            "hats_cols_sort": " ".join(self._product.order),
            "hats_creator": "ztfdb",
            "obs_title": f"ztfdb {self._product.name}",
            "obs_description": self._product.description,
            "ztfdb_revision": self._context.revision,
            "ztfdb_configurations": " ".join(self._context.configurations),
            "ztfdb_calibration": new.settings.calibration,
            "ztfdb_generation": new.number,
        }
        first, last = self._context.span
        if np.isfinite(first):
            facts |= {"t_min": repr(first), "t_max": repr(last)}
        return facts

    def _write_index(self, folder: Path, new: Generation) -> None:
        """Write which partition each id lies in, ordered by id."""
        column, pieces = self._product.id_column, []
        for part in new.parts:
            if part.n_row <= 0:
                continue
            path = self._catalogue_folder(new) / layout.partition_path(part.pixel)
            rows = pq.read_table(path, columns=[column, HEALPIX_COLUMN], partitioning=None)
            n, (norder, npix) = rows.num_rows, part.pixel
            places = {"Norder": norder, "Dir": npix // 10_000 * 10_000, "Npix": npix}
            kinds = {"Norder": np.uint8, "Dir": np.uint64, "Npix": np.uint64}
            for name, value in places.items():
                rows = rows.append_column(name, pa.array(np.full(n, value, kinds[name])))
            pieces.append(rows)
        schema = pa.schema([(column, pa.int64()), (HEALPIX_COLUMN, pa.int64()), ("Norder", pa.uint8()),
                            ("Dir", pa.uint64()), ("Npix", pa.uint64())])  # fmt: skip
        table = pa.concat_tables([p.cast(schema) for p in pieces]) if pieces else schema.empty_table()
        table = table.sort_by([(column, "ascending")])
        relative = Path("index") / "part.0.parquet"
        write_rows(folder / layout.DATASET / relative, table, [column])
        footer = pq.read_metadata(folder / layout.DATASET / relative)
        footer.set_file_path(str(relative))
        make_atomically(folder / layout.DATASET / "_metadata", lambda path: footer.write_metadata_file(path))
        make_atomically(folder / layout.DATASET / "_common_metadata", lambda path: pq.write_metadata(schema, path))
        facts = {
            "obs_collection": layout.index_name(self._product.name, column),
            "dataproduct_type": "index",
            "hats_nrows": table.num_rows,
            "hats_index_column": column,
            "hats_primary_table_url": self._catalogue_folder(new).name,
            "hats_version": "v1.0",
            **self._provenance(new),
        }
        layout.write_properties(folder, layout.PROPERTIES, facts)

    def _clean(self, number: int) -> None:
        """Remove generations but the one that readers see and the one before, which some may still read."""
        for path in self._folder.iterdir():
            ending = path.name.rpartition("_g")[2]
            if path.is_dir() and ending.isdigit() and int(ending) < number - 1:
                shutil.rmtree(path)

    def _report(self, new: Generation, n_written: int, rows_written: int) -> ProductReport:
        held = [part for part in new.parts if part.n_row > 0]
        n_row, size = sum(part.n_row for part in held), sum(part.size for part in held)
        return ProductReport(self._product.name, n_row, len(held), n_written, rows_written, size, new.number)


def _is_same(plan: Generation, held: Generation) -> bool:
    """Tell whether a plan would write what is there."""
    wanted, there = ([(part.pixel, part.digest) for part in one.parts] for one in (plan, held))
    return wanted == there and plan.made_by == held.made_by and plan.settings == held.settings
