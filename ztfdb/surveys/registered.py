"""A HATS catalogue with the columns of ztfdb's tables, read by `ztfdb.store.catalogues` instead of imported rows."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.errors import CatalogueFileError
from ztfdb.sky.cells import HPX_ORDER, sky_to_cell
from ztfdb.surveys.blocks import Block
from ztfdb.surveys.hats import HatsTable
from ztfdb.surveys.layouts import ID_COLUMNS, Plan, make_plan
from ztfdb.surveys.rows import part_of, wanted_columns

SCHEME = "hats:"

MOTION = ("epoch", "pmra", "pmdec")

EVERYWHERE = np.array([0]), np.array([12 << 2 * HPX_ORDER])
"""The range of all cells."""

COMPARED_ORDER = 12
"""Order at which libraries nearly always put a position into the same cell."""

OPEN_AT_ONCE = 8
"""Maximum open catalogues of a process."""


@dataclass(frozen=True)
class Motion:
    """Bounds of the proper motions of a catalogue.

    Attributes
    ----------
    n_moving : int
        Rows that may have an epoch and a proper motion.
    max_pm : float
        Upper bound, mas / yr.
    epochs : tuple of float, or None
        Earliest and latest, Julian years.
    """

    n_moving: int
    max_pm: float
    epochs: tuple[float, float] | None


class RegisteredCatalogue:
    """A HATS catalogue read as one of ztfdb's kinds.

    Parameters
    ----------
    location : str
        Folder or URL.
    kind : str
        ``ps1``, ``gaia`` or ``reference``.
    columns : mapping of str to str, optional
        Name in the catalogue by ztfdb column, for unknown layouts.
    epoch : float, optional
        Julian year of the positions if the catalogue has none.

    Raises
    ------
    CatalogueFileError
        If there is no HATS catalogue.
    ValueError
        If its layout is unknown and no names were given, or given names are wrong.
    """

    def __init__(
        self, location: str, kind: str, columns: Mapping[str, str] | None = None, epoch: float | None = None
    ) -> None:
        given = columns or {}
        self.table = HatsTable(location, ra=given.get("ra"), dec=given.get("dec"))
        self._kind, self._epoch = kind, epoch
        self.plan = self._plan(given)

    def _plan(self, given: Mapping[str, str]) -> Plan:
        """Return the mapping of columns; positions are those used for the catalogue's partitions."""
        own, names = {"ra": self.table.ra, "dec": self.table.dec}, self.table.names
        if given:
            plan = make_plan(self._kind, names, {**own, **given})
        else:  # other catalogues may use any names for positions: take them from the properties
            plan = make_plan(self._kind, [*names, *own] if self._kind == "reference" else names)
        return Plan(plan.layout, {**plan.sources, **own})

    def motion(self) -> Motion:
        """Return the bounds of proper motions, from the statistics of all files."""
        sources = self.plan.sources
        if not {"pmra", "pmdec"} <= sources.keys():
            return Motion(0, 0.0, None)
        names = [sources[name] for name in ("pmra", "pmdec", "epoch") if name in sources]
        pmra, pmdec, *epoch = self.table.extremes(names)
        default = self.plan.layout.default_epoch if self._epoch is None else self._epoch
        epochs = [one for one in (default, *(epoch[0] if epoch else ())) if one is not None and math.isfinite(one)]
        speed = math.hypot(*(max(map(abs, bounds)) for bounds in (pmra, pmdec)))
        if not epochs or not math.isfinite(speed):
            return Motion(0, 0.0, None)
        return Motion(self.table.n_row(), speed, (min(epochs), max(epochs)))

    def check(self) -> None:
        """Read the first rows.

        Raises
        ------
        CatalogueFileError
            If none of them is valid, they cannot be read, or their spatial index is not what the properties say.
        """
        index = {} if self.table.index is None else {self.table.index[0]: "i"}
        wanted = wanted_columns(self.plan, self._kind, self.table.names, ())
        block = next(self.table.blocks(*EVERYWHERE, {**wanted, **index}), None)
        if block is None:
            return
        part = part_of(block, self.plan, self._kind, (), self._epoch)
        if part.bad and not len(part.columns["hpx29"]):
            raise CatalogueFileError(self.table.location, f"no row can be read; the first: {part.bad[0].reason}")
        if self.table.index is not None and not self._has_index(block, *self.table.index):
            name, order = self.table.index
            raise CatalogueFileError(
                self.table.location, f"its column {name} has no HEALPix cells of order {order}, as its properties say"
            )

    def _has_index(self, block: Block, name: str, order: int) -> bool:
        """Return whether a column has the cells of most rows, compared where libraries agree."""
        ra, dec = (block.columns[self.plan.sources[one]] for one in ("ra", "dec"))
        coarse = min(order, COMPARED_ORDER)
        cell = sky_to_cell(np.mod(ra, 360.0), dec, coarse)
        return bool(np.mean(cell == block.columns[name] >> 2 * (order - coarse)) > 0.5)

    def rows(self, lo: IntArray, hi: IntArray, dtypes: Mapping[str, np.dtype[Any]], missing: int) -> Columns:
        """Return columns of the rows inside ranges of cells, ordered by id; the first of equal ids counts.

        Parameters
        ----------
        lo, hi : ndarray of int64, shape (n_range,)
            Half-open disjoint ranges of order-29 cells, ascending.
        dtypes : mapping of str to dtype
            ztfdb columns; columns missing in the catalogue are NaN, or `missing` for integers.
        missing : int

        Returns
        -------
        dict of ndarray
            ``reference_id`` and the columns of `dtypes`.
        """
        plan = self._plan_of(dtypes)
        wanted = wanted_columns(plan, self._kind, self.table.names, ())
        id_column = ID_COLUMNS[self._kind]
        parts = []
        for block in self.table.blocks(lo, hi, wanted):
            part = part_of(block, plan, self._kind, (), self._epoch)
            for name, null in part.nulls.items():
                part.columns[name] = np.where(null, missing, part.columns[name])
            n = len(part.columns["hpx29"])
            nothing = {name: _nothing(n, dtype, missing) for name, dtype in dtypes.items() if name not in part.columns}
            parts.append({**part.columns, **nothing})
        names = {id_column: np.dtype(np.int64), **dtypes}
        joined = {
            name: np.concatenate([np.empty(0, dtype), *(part[name].astype(dtype) for part in parts)])
            for name, dtype in names.items()
        }
        ids, first = np.unique(joined[id_column], return_index=True)
        return {"reference_id": ids, **{name: joined[name][first] for name in dtypes}}

    def _plan_of(self, names: Sequence[str] | Mapping[str, Any]) -> Plan:
        """Return the plan of some columns; the columns for the epoch of a row are kept together."""
        needed = {ID_COLUMNS[self._kind], "ra", "dec", *names}
        if needed & set(MOTION):
            needed |= set(MOTION)
        return Plan(self.plan.layout, {ours: theirs for ours, theirs in self.plan.sources.items() if ours in needed})


def _nothing(n: int, dtype: np.dtype[Any], missing: int) -> NDArray[Any]:
    return np.full(n, np.nan if dtype.kind == "f" else missing, dtype)


_open: dict[tuple[Any, ...], RegisteredCatalogue] = {}
_lock = threading.Lock()


def open_registered(
    location: str, kind: str, columns: Mapping[str, str] | None, epoch: float | None, digest: str | None = None
) -> RegisteredCatalogue:
    """Return a cached open catalogue; see `RegisteredCatalogue`.

    It is reopened if its properties change, or `digest`, that of the last time it was added: at a URL they are not
    compared each time.
    """
    key = (location, kind, tuple(sorted((columns or {}).items())), epoch, digest)
    with _lock:
        found = _open.get(key)
        if found is None or found.table.is_stale():
            found = RegisteredCatalogue(location, kind, columns, epoch)
            _open.pop(key, None)
            _open[key] = found
            while len(_open) > OPEN_AT_ONCE:
                _open.pop(next(iter(_open)))
        return found
