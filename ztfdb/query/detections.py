"""Rows inside cones, ours or ZTF's, and the epochs made of our own."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.arrays import Columns
from ztfdb.errors import QueryError
from ztfdb.query import targets
from ztfdb.query.epochs import Positions, epoch_parts
from ztfdb.query.positions import chunk
from ztfdb.query.request import LightCurveRequest
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.connections import beside
from ztfdb.store.detections import OURS, SourceKind, light_curve_rows

if TYPE_CHECKING:
    from concurrent.futures import Future

MOST_EPOCHS = 20_000_000
"""Largest number of epochs in one answer: 6 GB as a DataFrame."""

ROWS_READ = 50_000
"""Rows of many positions that are read at once: 3 MB, and several times as much while they are read."""


def detected(
    session: AnySession, positions: Positions, request: LightCurveRequest
) -> Generator[dict[str, Any], None, None]:
    """Yield the epochs of positions from our own detections, `ztfdb.query.epochs.ROWS_AT_ONCE` at a time."""
    with closing(cone_rows(session, positions, request.radius, n_row=ROWS_READ)) as coming:  # frees its connections
        for start, part, rows in coming:
            for columns in epoch_parts(session, rows, part, request):
                if start:
                    columns["position"] += start
                yield columns
            del rows, columns  # before the next are awaited


def check_size(n_epoch: int) -> None:
    """Raise QueryError if an answer exceeds `MOST_EPOCHS`, long before it fills the memory."""
    if n_epoch > MOST_EPOCHS:
        raise QueryError(
            f"more than {MOST_EPOCHS:,} epochs in one answer: take them in pieces (iter_light_curves, or "
            "`ztfdb lightcurve TABLE -o FILE.csv`), or ask for fewer positions"
        )


def cone_rows(
    session: AnySession, positions: Positions, radius: float, kind: SourceKind = OURS, *, n_row: int = 0
) -> Generator[tuple[int, Positions, Columns], None, None]:
    """Yield the rows around some positions at a time, with these positions and the index of the first.

    While one part is processed, the database reads the next ones, each on a connection of its own, where it may have
    further ones.

    Parameters
    ----------
    session : Session or Reading
        Used itself if there is only one part, or no further connection.
    positions : Positions
    radius : float
        arcsec.
    kind : SourceKind
    n_row : int, optional
        About how many rows to read at once; the default is `ztfdb.query.targets.POSITIONS_PER_CHUNK` positions, which
        is also the most.

    Yields
    ------
    start : int
    part : Positions
    rows : dict of ndarray
        Those inside the cones, with ``k``, the index in `part`, and ``separation`` (arcsec).
    """
    if len(positions.ra) <= targets.POSITIONS_PER_CHUNK:
        yield 0, positions, _read(session, kind, positions, radius)
        return
    from concurrent.futures import ThreadPoolExecutor  # one light curve does without

    n_reader = reads(session).concurrent_readers
    sizes = _Sizes(n_row)
    start = 0
    if not n_reader:
        while start < len(positions.ra):
            part = chunk(positions, start, start + sizes.next)
            yield start, part, sizes.seen(part, _read(session, kind, part, radius))
            start += len(part.ra)
        return

    def answer(part: Positions) -> Columns:
        with beside(session) as own:
            rows = _read(own, kind, part, radius)
            reads(own).free_pages()
        return sizes.seen(part, rows)

    with ThreadPoolExecutor(n_reader, thread_name_prefix="light-curves") as readers:
        pending: deque[tuple[int, Positions, Future[Columns]]] = deque()
        while start < len(positions.ra) or pending:
            while start < len(positions.ra) and len(pending) <= n_reader:
                part = chunk(positions, start, start + sizes.next)
                pending.append((start, part, readers.submit(answer, part)))
                start += len(part.ra)
            first, part, future = pending.popleft()
            yield first, part, future.result()
            del future  # and with it the rows


class _Sizes:
    """How many positions to read at once, from the number of rows around those before.

    Parameters
    ----------
    n_row : int
        Wanted number of rows; 0 for as many positions as possible.
    """

    def __init__(self, n_row: int) -> None:
        self._wanted = n_row
        self._n_position = self._n_row = 0
        self._lock = Lock()

    def seen(self, part: Positions, rows: Columns) -> Columns:
        """Count rows, and return them."""
        with self._lock:
            self._n_position += len(part.ra)
            self._n_row += len(rows["k"])
        return rows

    @property
    def next(self) -> int:
        """The number of positions of the next part."""
        most = targets.POSITIONS_PER_CHUNK
        if not self._wanted:
            return most
        if not self._n_position:
            return max(1, most // 4)
        return max(1, min(most, self._wanted * self._n_position // max(1, self._n_row)))


def _read(session: AnySession, kind: SourceKind, positions: Positions, radius: float) -> Columns:
    """Return the rows inside cones, by the exact great circle, with ``k`` and ``separation``."""
    k, lo, hi = cone_ranges(positions.ra, positions.dec, radius)
    if len(positions.ra) == 1:
        rows = light_curve_rows(session, kind, lo=lo, hi=hi)
        rows["k"] = np.zeros(len(rows["source_id"]), np.int32)
    else:
        rows = light_curve_rows(session, kind, k=k, lo=lo, hi=hi)
    k = rows["k"]
    rows["separation"] = separation(positions.ra[k], positions.dec[k], rows["ra"], rows["dec"])
    inside = np.flatnonzero(rows["separation"] <= radius)
    return {name: rows.pop(name)[inside] for name in list(rows)}
