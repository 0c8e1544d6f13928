"""Convert the options of a query for a service: to plain numbers, texts and lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from ztfdb.codes import FILTERS
from ztfdb.errors import ServiceRefusedError
from ztfdb.query.request import fid_of
from ztfdb.query.targets import Targets
from ztfdb.sky.dates import mjd_of

HOW = ("jobs", "keep", "progress")
"""Options of how a complete light curve is measured, which the service decides."""


def words(options: dict[str, Any]) -> dict[str, Any]:
    """Return options in the form of the service.

    Raises
    ------
    ServiceRefusedError
        For ``places``: the files are on the service's host.
    ValueError
        If a filter or a time is invalid.
    """
    given = {name: value for name, value in options.items() if value is not None and name not in HOW}
    if "places" in given:
        raise ServiceRefusedError("places: a service uses its own folders")
    if "filters" in given:
        filters = given["filters"]
        names: list[Any] = [filters] if isinstance(filters, str | int | np.integer) else list(filters)
        given["filters"] = [FILTERS[fid_of(name)] for name in names]
    if "fields" in given:
        given["fields"] = [int(one) for one in np.atleast_1d(_listed(given["fields"]))]
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


def nulls(values: Any) -> list[Any]:
    """Return numbers as a list, null where they are not finite."""
    return [value if np.isfinite(value) else None for value in np.asarray(values, np.float64).tolist()]


def _ends(mjd: Any) -> dict[str, float]:
    if isinstance(mjd, str) or not hasattr(mjd, "__len__") or len(mjd) != 2:
        raise ValueError(f"mjd {mjd!r}: expected (first, last), two MJDs or dates; None leaves an end open")
    named = zip(("from", "to"), mjd, ("the first time", "the last time"), strict=True)
    return {name: mjd_of(value, what) for name, value, what in named if value is not None}


def _listed(value: Any) -> Any:
    return value if isinstance(value, int | np.integer) else list(value)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | tuple | list | set | frozenset):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(one) for one in value]
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)
