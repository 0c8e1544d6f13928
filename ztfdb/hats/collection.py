"""Write one product into its collection: find changes, run the tasks, publish the new generation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ztfdb.arrays import IntArray
from ztfdb.errors import ExportError
from ztfdb.hats import layout
from ztfdb.hats.contents import Contents, is_new, merged
from ztfdb.hats.context import Context
from ztfdb.hats.objects import Objects
from ztfdb.hats.parquet import LEVEL
from ztfdb.hats.places import Place
from ztfdb.hats.plan import Generation, Journal, Part, Settings, completed, holds_plan, made_by, read_state
from ztfdb.hats.products import Detections, Product
from ztfdb.hats.publish import Publisher, catalogue_name, generation_of, margin_name, read_parts, whole_parts
from ztfdb.hats.readers import Readers
from ztfdb.hats.tasks import (
    CountRows,
    Edge,
    ExtendPartition,
    Held,
    RereadPartition,
    Target,
    Task,
    WriteMargin,
    WritePartition,
)
from ztfdb.hats.tiling import Margins, Pixel, find_margins, tile
from ztfdb.sky.cells import HPX_ORDER

THRESHOLD = 500_000
"""Maximum rows (epochs of objects) of a partition: about 150 MB of memory while it is written."""

MARGIN = 10.0
"""Arcsec."""

COUNTS = 100
"""Largest number of tasks that count rows."""

Follow = Callable[[str, int, int], None]
"""Called with a product's name, the number of its files done, and the total number."""


@dataclass(frozen=True)
class Given:
    """The settings of a call; None if not given.

    Attributes
    ----------
    threshold, margin, calibration, layout
        As in `Settings`.
    held : Settings or None
        Settings of an existing product, as defaults for a new product of an update.
    """

    threshold: int | None
    margin: float | None
    calibration: str
    layout: str | None
    held: Settings | None = None


@dataclass(frozen=True)
class Changes:
    """Numbers of the partitions to write; the first two sets are disjoint, and so are the last two.

    Attributes
    ----------
    rewritten, extended : set of int
        Partitions written from the archive; partitions that get another file.
    margins_rewritten, margins_extended : set of int
        The same for their margins.
    """

    rewritten: set[int]
    extended: set[int]
    margins_rewritten: set[int]
    margins_extended: set[int]

    @property
    def changed(self) -> set[int]:
        """Partitions whose rows have changed."""
        return self.rewritten | self.extended


@dataclass(frozen=True)
class Written:
    """Result of a run.

    Attributes
    ----------
    generation : Generation
        The published generation.
    n_partition, n_row : int
        Partitions with new files, and rows in these files.
    """

    generation: Generation
    n_partition: int = 0
    n_row: int = 0


class Collection:
    """One product in one place.

    Parameters
    ----------
    readers : Readers
    product : Product
    place : Place
    given : Given
    update : bool
        Write only what has changed since the published generation.
    follow : callable
        See `Follow`.
    say : callable
        Called with a line about the amount of data to be written.
    counts : dict of Contents
        What was counted of detections, for objects, which take it: to look up the members takes most of the time.
    """

    def __init__(
        self,
        readers: Readers,
        product: Product,
        place: Place,
        given: Given,
        update: bool,
        follow: Follow,
        say: Callable[[str], None],
        counts: dict[str, Contents],
    ) -> None:
        self._readers, self._product, self._place, self._given = readers, product, place, given
        self._follow, self._say, self._counts = follow, say, counts
        self._visible = read_state(place)
        self._old = self._visible if update else None
        self._new_parts: IntArray = np.empty(0, np.int64)

    @property
    def _context(self) -> Context:
        return self._readers.own.context

    @cached_property
    def _sizes(self) -> dict[str, int]:
        return self._place.sizes()

    @cached_property
    def _old_parts(self) -> dict[Pixel, Part]:
        """The partitions of the last generation of an update; those with files that are gone are written again."""
        return {} if self._old is None else whole_parts(self._product, self._old, self._sizes)

    @property
    def next_number(self) -> int:
        """The number after the published generation."""
        return 1 if self._visible is None else self._visible.number + 1

    def run(self, *, always: bool, begun: int | None) -> Written | None:
        """Write what has changed and publish it; return None if there are no rows and the product was not requested.

        Parameters
        ----------
        always : bool
            Also publish without rows.
        begun : int or None
            The generation of an unfinished full export. If it is already published, the earlier run stopped after
            that; it is kept if it is still up to date.
        """
        seen, publisher = self._visible, Publisher(self._place, self._product, self._context)
        kept = seen if seen is not None and (self._old is not None or seen.number == begun) else None
        if kept is not None and self._is_stamped(kept) and publisher.is_shown(kept, self._sizes):
            self._place.remove(f"work_g{kept.number}")
            return Written(kept)
        known = self._known_parts()
        contents = self._contents(known)
        self._new_parts = contents.parts[is_new(contents.parts, known)]
        if not len(contents.cell) and not always and seen is None:
            return None
        plan = self._plan(contents)
        if kept is not None and self._is_same(plan, kept):
            if not publisher.is_shown(kept, self._sizes):
                publisher.show(kept, contents.parts)
            self._place.remove(f"work_g{kept.number}")  # left by a run that stopped at its very end
            return Written(kept)
        return self._make(plan, contents, publisher)

    def _is_stamped(self, held: Generation) -> bool:
        """Return whether nothing has changed since the existing generation, without counting any rows."""
        plan = self._plan_of(held.parts)
        return plan.stamp == held.stamp != "" and self._is_same(plan, held)

    def _is_same(self, plan: Generation, held: Generation) -> bool:
        """Return whether a plan equals the existing generation, all files of which are there."""
        wanted, there = ([(part.pixel, part.digest) for part in one.parts] for one in (plan, held))
        same = wanted == there and plan.made_by == held.made_by and plan.settings == held.settings
        return same and len(whole_parts(self._product, held, self._sizes)) == len(held.parts)

    def _make(self, plan: Generation, contents: Contents, publisher: Publisher) -> Written:
        margins = find_margins([p.pixel for p in plan.parts], plan.settings.margin) if plan.settings.margin else None
        changes = self._changes(plan, margins, contents)
        self._announce(plan, changes, contents)
        journal = self._journal(plan)
        self._write(plan, journal, margins, changes, contents)
        new = completed(plan, journal, self._old)
        self._copy_unchanged(new)
        self._still_ours()
        publisher.show(new, contents.parts)
        self._place.remove(f"work_g{plan.number}")
        self._clean(new.number)
        files = [file for number in changes.changed for file in new.parts[number].files or ()]
        n_row = sum(file.n_row for file in files if file.generation == new.number)
        return Written(new, len(changes.changed), n_row)

    def _contents(self, known: IntArray | None) -> Contents:
        contents = self._count(self._product, known)
        if isinstance(self._product, Detections):
            self._counts[Detections.name] = contents
        kept = self._counts
        return self._product.whole(contents, lambda: kept.pop(Detections.name, None) or self._count(Detections()))

    def _count(self, product: Product, known: IntArray | None = None) -> Contents:
        slices = [*product.slices(self._readers.own.session)]
        step = math.ceil(len(slices) / COUNTS) or 1
        tasks = [CountRows(product, slices[k : k + step], known) for k in range(0, len(slices), step)]
        return merged(self._readers.run(tasks))

    # What is to be done ---------------------------------------------------------------------------------------------

    def _plan(self, contents: Contents) -> Generation:
        empty = self._plan_of(())
        held = [part.pixel for part in self._old.parts] if self._old is not None else []
        pixels = tile(contents.cell, contents.weight, empty.settings.threshold, held)
        known = self._known(empty.made_by)
        parts = []
        for pixel in pixels:
            part = Part(pixel, contents.of(pixel)[1])
            before = known.get(pixel)
            parts.append(before if before is not None and before.digest == part.digest else part)
        return replace(empty, parts=tuple(parts))

    def _plan_of(self, parts: tuple[Part, ...]) -> Generation:
        """Return a generation of this archive with these partitions."""
        stamp = self._context.stamp if self._product.stamped else ""
        return Generation(self.next_number, self._settings(), made_by(self._product.schema()), parts, stamp)

    def _settings(self) -> Settings:
        given = self._given
        if self._old is None:
            usual = given.held or Settings(THRESHOLD, MARGIN, given.calibration, LEVEL)
            margin = usual.margin if given.margin is None else given.margin
            kind = given.layout or usual.layout
            return Settings(given.threshold or usual.threshold, margin, given.calibration, LEVEL, kind)
        held = self._old.settings
        for name in ("threshold", "margin", "layout"):
            value, was = getattr(given, name), getattr(held, name)
            if value is not None and value != was:
                shown = was if isinstance(was, str) else f"{was:g}"
                raise ExportError(f"{self._place} was made with a {name} of {shown}: leave --update away to change it")
        if given.calibration != held.calibration:
            raise ExportError(
                f"{self._place} has magnitudes calibrated by {held.calibration!r}: leave --update away to change that"
            )
        return held

    def _known(self, by: str) -> dict[Pixel, Part]:
        """Return the existing partitions, empty if other versions wrote them."""
        return self._old_parts if self._old is not None and self._old.made_by == by else {}

    def _changes(self, plan: Generation, margins: Margins | None, contents: Contents) -> Changes:
        changed = {number for number, part in enumerate(plan.parts) if part.files is None}
        extended = {number for number in changed if self._is_extension(plan, plan.parts[number].pixel, contents)}
        rewritten = changed - extended
        if margins is None:
            return Changes(rewritten, extended, set(), set())
        anew = rewritten | margins.near(rewritten)
        if self._old is not None:
            anew |= self._bereft(plan, self._old)
        return Changes(rewritten, extended, anew, margins.near(extended) - anew)

    def _is_extension(self, plan: Generation, pixel: Pixel, contents: Contents) -> bool:
        """Return whether rows were added to a partition and its other rows are unchanged."""
        if plan.settings.layout == layout.FILES or not self._product.grows:
            return False
        before = self._known(plan.made_by).get(pixel)
        return before is not None and before.digest == contents.added(pixel)[1]

    def _bereft(self, plan: Generation, old: Generation) -> set[int]:
        """Return the numbers of partitions whose margins have rows of a removed partition."""
        pixels, now = [part.pixel for part in old.parts], {part.pixel: k for k, part in enumerate(plan.parts)}
        gone = {k for k, pixel in enumerate(pixels) if pixel not in now}
        if not gone or not old.settings.margin:
            return set()
        near = find_margins(pixels, old.settings.margin).near(gone)
        return {now[pixels[k]] for k in near if pixels[k] in now}

    def _announce(self, plan: Generation, changes: Changes, contents: Contents) -> None:
        """Report the number of rows to write and the number of new rows."""
        if self._old is None:
            return
        rows = sum(contents.of(plan.parts[number].pixel)[0] for number in changes.rewritten)
        for number in changes.extended:
            pixel = plan.parts[number].pixel
            n_row, files = contents.added(pixel)[0], self._old_parts[pixel].files or ()
            rows += n_row + sum(file.n_row for file in files[layout.n_staying(files, n_row) :])
        new = int(contents.weight.sum()) - sum(part.n_row for part in self._old.parts)
        what = "epochs" if isinstance(self._product, Objects) else "rows"
        self._say(
            f"{self._product.name}: {len(changes.changed)} of {len(plan.parts)} partitions have changed, "
            f"{rows} {what} are written" + (f" for {new} new ones" if what == "rows" and new > 0 else "")
        )

    # Tasks ----------------------------------------------------------------------------------------------------------

    def _journal(self, plan: Generation) -> Journal:
        """Resume the work of a killed run, or start again."""
        work = self._place.below(f"work_g{plan.number}")
        if not (holds_plan(work, plan) and self._has_done(plan, Journal(work, plan))):
            for name in self._place.folders():
                if generation_of(self._product, name) == plan.number:
                    self._place.remove(name)
        return Journal(work, plan)

    def _has_done(self, plan: Generation, journal: Journal) -> bool:
        """Return whether the files of finished tasks are there, and the rows for margins that they left."""
        names = {"partition": catalogue_name(self._product, plan.number)}
        names["margin"] = margin_name(self._product, plan.settings.margin, plan.number)
        sizes = {
            f"{names[stage]}/{self._path(plan, plan.parts[number].pixel)}": done.size
            for (stage, number), done in journal.done.items()
            if done.n_row
        }
        work = f"work_g{plan.number}/spill"
        sizes |= {f"{work}/{done.number}.arrow": done.spilled for done in journal.done.values() if done.spilled}
        return sizes.items() <= self._sizes.items()

    def _path(self, plan: Generation, pixel: Pixel) -> str:
        return layout.partition_path(pixel, plan.settings.layout, plan.number)

    def _write(
        self, plan: Generation, journal: Journal, margins: Margins | None, changes: Changes, contents: Contents
    ) -> None:
        """Run the tasks, those of many rows first, so that all processes end at about the same time."""
        numbers = sorted(range(len(plan.parts)), key=lambda number: -contents.of(plan.parts[number].pixel)[0])
        first = [*self._partition_tasks(plan, journal, margins, changes, numbers)]
        second = [*self._margin_tasks(plan, journal, margins, changes)]
        n, total = 0, len(first) + len(second)
        self._follow(self._product.name, 0, total)
        for tasks in (first, second):  # margins need the spilled rows of all partitions
            for done in self._readers.run(tasks):
                journal.add(done)
                n += 1
                self._follow(self._product.name, n, total)

    def _partition_tasks(
        self, plan: Generation, journal: Journal, margins: Margins | None, changes: Changes, numbers: Sequence[int]
    ) -> Iterator[Task]:
        for number in numbers:
            part = plan.parts[number]
            if ("partition", number) in journal.done:
                continue
            edge = None if margins is None else _edge(number, margins, journal.spill)
            anew = edge and edge.only(changes.margins_rewritten)
            target = self._target(plan, part.pixel, catalogue_name(self._product, plan.number))
            if number in changes.extended:
                more = edge and edge.only(changes.margins_extended)
                only, held = self._new_parts, self._held(part.pixel)
                yield ExtendPartition(self._product, part.pixel, number, only, held, target, more, anew)
            elif number in changes.rewritten:
                both = edge and edge.only(changes.margins_rewritten | changes.margins_extended)
                yield WritePartition(self._product, part.pixel, number, target, both)
            elif anew is not None and part.n_row:
                yield RereadPartition(number, self._held(part.pixel), anew)

    def _margin_tasks(
        self, plan: Generation, journal: Journal, margins: Margins | None, changes: Changes
    ) -> Iterator[Task]:
        sources = {} if margins is None else margins.sources()
        for number in sorted(changes.margins_rewritten | changes.margins_extended):
            if ("margin", number) in journal.done:
                continue
            pixel = plan.parts[number].pixel
            target = self._target(plan, pixel, margin_name(self._product, plan.settings.margin, plan.number))
            held = self._held_margin(pixel) if number in changes.margins_extended else Held(target.place, (), ())
            yield WriteMargin(number, held, target, journal.spill, sources.get(number, ()))

    def _target(self, plan: Generation, pixel: Pixel, name: str) -> Target:
        return Target(self._place.below(name), self._path(plan, pixel), self._product.order, plan.settings.level)

    # The last generation --------------------------------------------------------------------------------------------

    def _known_parts(self) -> IntArray | None:
        """Return the parts (images or measurements) of the last generation, None if they are not needed."""
        if self._old is None or self._old.settings.layout == layout.FILES:
            return None
        return read_parts(self._place.below(catalogue_name(self._product, self._old.number)))

    def _held(self, pixel: Pixel) -> Held:
        assert self._old is not None
        name = catalogue_name(self._product, self._old.number)
        return self._of_old(self._old, pixel, name, self._old_parts[pixel].files or ())

    def _held_margin(self, pixel: Pixel) -> Held:
        assert self._old is not None
        name = margin_name(self._product, self._old.settings.margin, self._old.number)
        return self._of_old(self._old, pixel, name, self._old_parts[pixel].margin)

    def _of_old(self, old: Generation, pixel: Pixel, name: str, files: tuple[layout.File, ...]) -> Held:
        paths = tuple(layout.partition_path(pixel, old.settings.layout, file.generation) for file in files)
        return Held(self._place.below(name), paths, files)

    def _copy_unchanged(self, new: Generation) -> None:
        """Link the unchanged files of the last generation into the new one."""
        if self._old is None:
            return
        numbers, margin = (self._old.number, new.number), new.settings.margin
        names = [catalogue_name(self._product, number) for number in numbers]
        margins = [margin_name(self._product, margin, number) for number in numbers]
        pairs = []
        for part in new.parts:
            for (source, target), files in ((names, part.files or ()), (margins, part.margin)):
                for file in files:
                    if file.generation != new.number:
                        path = layout.partition_path(part.pixel, new.settings.layout, file.generation)
                        pairs.append((f"{source}/{path}", f"{target}/{path}"))
        self._place.copy(pairs)

    def _still_ours(self) -> None:
        """Raise if another export has published a generation meanwhile, which only locks could prevent."""
        now = read_state(self._place)
        if (now and now.number) != (self._visible and self._visible.number):
            raise ExportError(f"another export has written to {self._place} meanwhile")

    def _clean(self, number: int) -> None:
        """Remove all generations except the published one and the previous one, which some may still read."""
        for name in self._place.folders():
            generation = generation_of(self._product, name)
            if generation is not None and generation < number - 1:
                self._place.remove(name)


def _edge(number: int, margins: Margins, spill: Place) -> Edge | None:
    cell, margin_of = margins.of(number)
    return Edge(2 * (HPX_ORDER - margins.order), cell, margin_of, spill) if len(cell) else None
