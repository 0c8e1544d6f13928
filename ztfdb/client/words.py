"""Convert positions and options of a query for a service: to plain numbers, texts and lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ztfdb.errors import ServiceRefusedError
from ztfdb.query.given import MOTION, PositionTable, path_table, position_table
from ztfdb.query.request import checked_mag
from ztfdb.query.stamps import check_width
from ztfdb.query.targets import Targets, one_color, path_of, targets_of
from ztfdb.sky.columns import column_names
from ztfdb.sky.dates import mjd_of, mjds_of

HOW = ("jobs", "keep", "progress")
"""Options of how a complete light curve is measured, which the service decides."""


def words(options: dict[str, Any]) -> dict[str, Any]:
    """Return options, whose values `ztfdb.spelling` has converted, in the form of the service.

    Raises
    ------
    ServiceRefusedError
        For ``places``: the files are on the service's host.
    ValueError
        If a time, a colour, a magnitude or the size of a stamp is invalid.
    """
    given = {name: value for name, value in options.items() if value is not None and name not in HOW}
    if given.pop("places", None):
        raise ServiceRefusedError("places: a service uses its own folders")
    if "mag" in given:
        given["mag"] = checked_mag(given["mag"])
    if "size" in given:
        check_width(given["size"])
    if "color" in given:  # of a moving body; that of a position or a table is with its targets
        given["color"] = one_color(given["color"])
    if "mjd" in given:
        given |= _ends(given.pop("mjd"))
    return {name: _plain(value) for name, value in given.items()}


def query_words(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as parameters of a URL."""
    return {name: _texts(value) for name, value in words(options).items()}


def motion_words(targets: Targets) -> dict[str, Any]:
    """Return proper motions of many positions; null for a star without one."""
    if targets.pmra is None or targets.pmdec is None or targets.epoch is None:
        return {}
    return {name: nulls(getattr(targets, name)) for name in ("pmra", "pmdec", "epoch")}


def star_words(target: Targets) -> dict[str, float]:
    """Return the colour and the proper motion of one target; a motion with NaN counts as none."""
    found: dict[str, float] = {}
    if target.positions.color is not None:
        found["color"] = float(target.positions.color[0])
    if target.pmra is not None and target.pmdec is not None and target.epoch is not None:
        moving = np.isfinite(target.pmra[0]) and np.isfinite(target.pmdec[0])
        found["pmra"], found["pmdec"] = (float(pm[0]) if moving else 0.0 for pm in (target.pmra, target.pmdec))
        found["epoch"] = float(target.epoch[0])
    return found


def target_words(positions: PositionTable, options: Mapping[str, Any], **more: Any) -> tuple[Targets, dict[str, Any]]:
    """Return the positions of a table with their colours and motions, and the other options for the service."""
    arguments: dict[str, Any] = dict(options)
    table = position_table(positions, arguments)
    motion = {name: arguments.pop(name) for name in list(MOTION & arguments.keys())}
    targets = targets_of(table, arguments.pop("color", None), **motion)
    return targets, words({**arguments, **more})


def part_words(targets: Targets, start: int, stop: int) -> dict[str, Any]:
    """Return some of the positions with their colours and motions, as lists."""
    part = targets.part(start, stop)
    color = {} if part.positions.color is None else {"color": nulls(part.positions.color)}
    return {"ra": part.positions.ra.tolist(), "dec": part.positions.dec.tolist(), **color, **motion_words(part)}


def path_words(path: PositionTable) -> dict[str, Any]:
    """Return the checked table of a moving body as lists."""
    table = path_table(path)
    path_of(table)
    name = "time" if "time" in column_names(table) else "mjd"
    targets = targets_of(table)
    time = mjds_of(table[name], "time")
    return {"time": time.tolist(), "ra": targets.positions.ra.tolist(), "dec": targets.positions.dec.tolist()}


def nulls(values: Any) -> list[Any]:
    """Return numbers as a list, null where they are not finite."""
    return [value if np.isfinite(value) else None for value in np.asarray(values, np.float64).tolist()]


def _ends(mjd: Any) -> dict[str, str]:
    named = zip(("from", "to"), mjd, ("the first time", "the last time"), strict=True)
    return {name: repr(mjd_of(value, what)) for name, value, what in named if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | tuple | list | set | frozenset):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(one) for one in value] or [""]  # a list without elements, which is not the default
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
