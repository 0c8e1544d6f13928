"""Rows of detections, ours and those of ZTF's PSF catalogues: two tables, read in the same way.

`ztfdb.store.detection_rows` writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Columns, IntArray
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.columns import stand_ins, table_dtypes
from ztfdb.store.select import rows

POSITION = ("source_id", "hpx29", "ra", "dec")
"""Columns for cutting an area; the covering index has all of them."""

LEAST_GAP = 3
"""From this distance on, two wanted rows are read separately; below, the rows between them are read as well."""

ROWS_PER_RANGE = 8
"""From this mean number of rows on, PostgreSQL reads ranges of ids; below, it looks up cells, which lie together in
the index."""


@dataclass(frozen=True)
class SourceKind:
    """A table of detections: its rows have a ``source_id``, whose upper bits are the image, and a cell ``hpx29``.

    Attributes
    ----------
    name : str
        Of the table.
    owner : str
        The table with one row for each image that has rows in this table.
    light_curve : tuple of str
        The columns that a light curve reads; the covering index has all of them.
    """

    name: str
    owner: str
    light_curve: tuple[str, ...]

    @property
    def dtypes(self) -> dict[str, np.dtype[Any]]:
        """Dtypes of all columns, in the table's order."""
        return table_dtypes(self.name)

    @property
    def light_curve_dtypes(self) -> dict[str, np.dtype[Any]]:
        """Dtypes of the columns that a light curve reads."""
        return {name: self.dtypes[name] for name in self.light_curve}

    @property
    def position_dtypes(self) -> dict[str, np.dtype[Any]]:
        """Dtypes of the columns that `positions_in_ranges` reads."""
        return {name: self.dtypes[name] for name in POSITION}


OURS = SourceKind("source", "image", ("source_id", "ra", "dec", "flux_aper4", "flux_aper4_err", "flags", "mask_bits"))
ZTF_PSF = SourceKind(
    "psf_source",
    "psf_catalogue",
    ("source_id", "ra", "dec", "flux", "flux_err", "mag_inst", "sigmag", "chi", "sharp", "flags"),
)


def light_curve_rows(session: AnySession, kind: SourceKind, **ranges: IntArray) -> Columns:
    """Return the detections inside ranges, read from the covering index alone.

    Parameters
    ----------
    session : Session or Reading
    kind : SourceKind
    **ranges : ndarray of int64, each of shape (n_range,)
        ``lo`` and ``hi``, half-open ranges of ``hpx29``; for many positions also ``k``, the position of each range.

    Returns
    -------
    dict of ndarray
        `SourceKind.light_curve`, and ``k`` if it was given, in no particular order; ``mask_bits`` is `NO_MASK` where
        NULL. A detection inside the ranges of two positions is returned twice.
    """
    statement, params = light_curve_statement(session, kind, **ranges)
    dtypes, on = kind.light_curve_dtypes, reads(session)
    nulls = stand_ins({"mask_bits": dtypes["mask_bits"]} if "mask_bits" in dtypes else {})
    if "k" not in ranges:
        return on.read_few(statement, params, dtypes, nulls=nulls)
    return on.by_index().read_bulk(statement, params, {"k": np.dtype("i4"), **dtypes}, nulls=nulls)


def light_curve_statement(session: AnySession, kind: SourceKind, **ranges: IntArray) -> tuple[str, dict[str, Any]]:
    """Return the SQL text (and parameters) of `light_curve_rows`; a test checks its plan."""
    given, params = reads(session).range_rows(**ranges)
    fields = [*(["r.k"] if "k" in ranges else []), *(f"{kind.name}.{name}" for name in kind.light_curve)]
    inside = f"{kind.name}.hpx29 >= r.lo and {kind.name}.hpx29 < r.hi"
    return (
        f"select {', '.join(fields)} from {reads(session).joined(given, kind.name, kind.light_curve, inside)}",
        params,
    )


def positions_in_ranges(session: AnySession, kind: SourceKind, lo: IntArray, hi: IntArray, *, most: int) -> Columns:
    """Return `POSITION` of the detections inside ranges of cells, read from the covering index alone.

    Parameters
    ----------
    session : Session or Reading
    kind : SourceKind
    lo, hi : ndarray of int64, shape (n_range,)
        Half-open ranges of ``hpx29`` that do not overlap.
    most : int
        Largest number of rows to read.

    Returns
    -------
    dict of ndarray
        In no particular order; if there are more than `most` rows, an arbitrary selection of that size.
    """
    on = reads(session)
    given, params = on.range_rows(lo=lo, hi=hi)
    fields = ", ".join(f"{kind.name}.{name}" for name in POSITION)
    origin = on.joined(given, kind.name, POSITION, f"{kind.name}.hpx29 >= r.lo and {kind.name}.hpx29 < r.hi")
    return on.by_index().read_bulk(f"select {fields} from {origin} limit {int(most)}", params, kind.position_dtypes)


def rows_found(session: AnySession, kind: SourceKind, found: Columns, columns: Sequence[str]) -> Columns:
    """Return columns of detections that `positions_in_ranges` has found, ordered by ``source_id``.

    Parameters
    ----------
    session : Session or Reading
    kind : SourceKind
    found : dict of ndarray
        ``source_id``, ascending, and ``hpx29``; rows removed since are left out.
    columns : sequence of str
        With ``source_id``.
    """
    source_id, on = found["source_id"], reads(session)
    first = np.flatnonzero(np.diff(source_id, prepend=np.int64(-LEAST_GAP)) >= LEAST_GAP)
    dense = ROWS_PER_RANGE * len(first) <= len(source_id)
    if on.cheap_scans or (dense and kind is OURS):  # PostgreSQL has no index that finds single ids of PSF catalogues
        last = np.append(first, len(source_id))[1:] - 1
        read = rows(session, kind.name, columns, lo=source_id[first], hi=source_id[last] + 1, key="source_id")
    else:
        read = rows(session, kind.name, columns, ids=np.unique(found["hpx29"]), key="hpx29")
    if np.array_equal(read["source_id"], source_id):
        return read
    wanted = np.flatnonzero(np.isin(read["source_id"], source_id, assume_unique=True))
    return {name: values[wanted] for name, values in read.items()}


def rows_of_image(
    session: AnySession, kind: SourceKind, image_id: int, columns: Sequence[str] | None = None
) -> Columns:
    """Return an image's detections, ordered by ``source_id``; all columns by default."""
    return rows(session, kind.name, columns, image_id=image_id)


def aperture_fluxes(session: AnySession, source_id: IntArray, aperture: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return flux and error (DN) of one aperture for each source, in the given order; NaN where NULL.

    Parameters
    ----------
    session : Session or Reading
    source_id : ndarray of int64, shape (n_source,)
    aperture : int
        1 to 6.
    """
    names = (f"flux_aper{int(aperture)}", f"flux_aper{int(aperture)}_err")
    found = rows(session, "source", ("source_id", *names), ids=np.unique(source_id))
    at = np.searchsorted(found["source_id"], source_id)
    return found[names[0]][at], found[names[1]][at]
