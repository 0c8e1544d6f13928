"""Rows inside cones, ours or ZTF's, and the epochs made of our own."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np

from ztfdb.arrays import Columns
from ztfdb.errors import QueryError
from ztfdb.query import targets
from ztfdb.query.epochs import Positions, epochs
from ztfdb.query.positions import chunk
from ztfdb.query.request import LightCurveRequest
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.connections import beside
from ztfdb.store.detections import OURS, SourceKind, light_curve_rows

MOST_EPOCHS = 20_000_000
"""Largest number of epochs in one answer: 8 GB as a DataFrame."""


def detected(
    session: AnySession, positions: Positions, request: LightCurveRequest
) -> Generator[dict[str, Any], None, None]:
    """Yield the epochs of `ztfdb.query.targets.POSITIONS_PER_CHUNK` positions at a time, from our own detections."""
    with closing(cone_rows(session, positions, request.radius)) as coming:  # frees its connections on an early exit
        for start, part, rows in coming:
            columns = epochs(session, rows, part, request)
            if start:
                columns["position"] += start
            yield columns


def check_size(n_epoch: int) -> None:
    """Raise QueryError if an answer exceeds `MOST_EPOCHS`, long before it fills the memory."""
    if n_epoch > MOST_EPOCHS:
        raise QueryError(
            f"more than {MOST_EPOCHS:,} epochs in one answer: take them in pieces (iter_light_curves, or "
            "`ztfdb lightcurve TABLE -o FILE.csv`), or ask for fewer positions"
        )


def cone_rows(
    session: AnySession, positions: Positions, radius: float, kind: SourceKind = OURS
) -> Generator[tuple[int, Positions, Columns], None, None]:
    """Yield the rows around some positions at a time, with these positions and the index of the first.

    While one part is processed, the database reads the next ones, each on a connection of its own.

    Parameters
    ----------
    session : Session or Reading
        Used itself if there is only one part.
    positions : Positions
    radius : float
        arcsec.
    kind : SourceKind

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
    n_reader = reads(session).concurrent_readers

    def answer(part: Positions) -> Columns:
        with beside(session) as own:
            return _read(own, kind, part, radius)

    with ThreadPoolExecutor(n_reader, thread_name_prefix="light-curves") as readers:
        pending: deque[tuple[int, Positions, Future[Columns]]] = deque()
        for start in range(0, len(positions.ra), targets.POSITIONS_PER_CHUNK):
            part = chunk(positions, start, start + targets.POSITIONS_PER_CHUNK)
            pending.append((start, part, readers.submit(answer, part)))
            if len(pending) > n_reader:
                first, before, rows = pending.popleft()
                yield first, before, rows.result()
        while pending:
            first, before, rows = pending.popleft()
            yield first, before, rows.result()


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
    return {name: values[inside] for name, values in rows.items()}
