"""A read-only statement with its parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Statement:
    """A statement with its parameters, as both backends take it.

    Attributes
    ----------
    text : str
        As written, parameters as ``:name``.
    numbered : str
        The same with ``$1``, ``$2``, … in the order of `values`.
    values : dict
        Python values by name.
    timeout_s : float
    max_rows : int
    """

    text: str
    numbered: str
    values: dict[str, Any]
    timeout_s: float
    max_rows: int
