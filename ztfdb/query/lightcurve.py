"""Light curves of one position, or of ten thousand positions in one call.

A query is two values: the options, `ztfdb.query.request.LightCurveRequest`, and the targets,
`ztfdb.query.targets.Targets`: fixed stars, stars with proper motion, or one body on a path.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from ztfdb.query import detections
from ztfdb.query.answer import Answer, LightCurve, column_names
from ztfdb.query.columns import Stack, stacked
from ztfdb.query.detections import check_size, detected
from ztfdb.query.request import IRSA_PHOTS, Execution, LightCurveRequest
from ztfdb.query.targets import Targets
from ztfdb.store.backends import AnySession

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from ztfdb.store.connections import Transactions

Part = tuple[dict[str, Any], dict[str, Any]]
"""Columns of some targets, with ``position``, and what was done for them (for the ``attrs`` of the answer)."""

HERE = Execution()
"""Measure in this process, and keep the measurements."""


def light_curve(
    on: Transactions, target: Targets, request: LightCurveRequest, execution: Execution = HERE
) -> LightCurve:
    """Return the light curve of one target; see `ztfdb.Archive.light_curve`.

    Parameters
    ----------
    on : Transactions
        Of the archive.
    target : Targets
        One star, or one body on a path.
    request : LightCurveRequest
    execution : Execution
        How a complete light curve is measured.

    Returns
    -------
    LightCurve
        Ordered by (mjd, image_id, phot); an empty one has all columns.

    Raises
    ------
    QueryError
        For more than `ztfdb.query.detections.MOST_EPOCHS` epochs.
    """
    ((columns, done),) = _parts(on, target, request, execution, whole=False)
    names = column_names(request, labelled=_labelled(target, request))
    positions = target.positions
    color = None if positions.color is None else float(positions.color[0])
    place = {"ra": float(positions.ra[0]), "dec": float(positions.dec[0]), "color": color}
    return LightCurve({name: columns[name] for name in names}, place | request.attrs | done)


def light_curves(on: Transactions, targets: Targets, request: LightCurveRequest, execution: Execution = HERE) -> Answer:
    """Return the light curves of many targets; otherwise as `light_curve`.

    Returns
    -------
    Answer
        The columns of `light_curve`, with exactly its values, then ``position``: the row of the target, counted from
        0. Ordered by (position, mjd, image_id, phot); a target without epochs has no rows.
    """
    names = (*column_names(request, labelled=_labelled(targets, request)), "position")
    stack = Stack(names, detections.MOST_EPOCHS)
    done: dict[str, Any] = {}
    n_epoch = 0
    with closing(_parts(on, targets, request, execution, whole=True)) as coming:
        for columns, some in coming:
            check_size(n_epoch := n_epoch + len(columns["position"]))
            last = int(columns["position"][-1]) if len(columns["position"]) else -1
            stack.add(columns, (last + 1) / max(1, len(targets)))
            done = _together(done, some)
    return Answer(stack.columns, request.attrs | done)


def iter_light_curves(
    on: Transactions, targets: Targets, request: LightCurveRequest, execution: Execution = HERE
) -> Iterator[Answer]:
    """Yield what `light_curves` returns, `ztfdb.query.targets.POSITIONS_PER_CHUNK` targets at a time."""
    names = (*column_names(request, labelled=_labelled(targets, request)), "position")
    for columns, done in _parts(on, targets, request, execution, whole=False):
        yield Answer({name: columns[name] for name in names}, request.attrs | done)


def _labelled(targets: Targets, request: LightCurveRequest) -> bool:
    """Return whether there is an epoch for each image that covers a target, with labels."""
    return request.complete or targets.moving


def _parts(
    on: Transactions, targets: Targets, request: LightCurveRequest, execution: Execution, *, whole: bool
) -> Generator[Part, None, None]:
    """Yield the columns of some targets at a time: of `Targets.parts`, or with `whole` in parts of any size."""
    if _labelled(targets, request) and request.phot == "aperture":
        from ztfdb.query.complete import complete_parts  # imports what measures

        yield from complete_parts(on, targets, request, execution)
        return
    pieces = [(0, targets)] if whole else targets.parts()
    if request.complete:
        from ztfdb.query.merge import complete_psf

        for start, some in pieces:
            columns, done = complete_psf(on, some, request, execution)
            yield _moved(columns, start), done
        return
    opened = on.sessions()() if request.phot in IRSA_PHOTS else on.reading()
    with opened as session:
        for start, some in pieces:
            coming = _detections(session, some, request)
            for columns in coming if whole else [_joined(list(coming))]:
                yield _moved(columns, start), {}


def _detections(session: AnySession, targets: Targets, request: LightCurveRequest) -> Iterator[dict[str, Any]]:
    """Return the detections of fixed positions, with the photometry of ``request.phot``."""
    if request.phot == "aperture":
        return detected(session, targets.positions, request)
    if request.phot in IRSA_PHOTS:
        from ztfdb.query.irsa import published

        return published(cast("Session", session), targets.positions, request)
    from ztfdb.query.psf_catalogues import catalogued

    return catalogued(session, targets.positions, request)


def _joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    return stacked(parts, tuple(parts[0]))


def _moved(columns: dict[str, Any], start: int) -> dict[str, Any]:
    return columns | {"position": columns["position"] + start} if start else columns


def _together(done: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return what was done for two parts; the numbers of measurements are added."""
    if not done or "kept" not in more:
        return more
    return more | {"kept": done["kept"] and more["kept"], "n_measured": done["n_measured"] + more["n_measured"]}
