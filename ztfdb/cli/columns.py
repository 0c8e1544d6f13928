"""Properties of columns by name: which are ids, their decimals, their VOTable systems; names that repeat."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from ztfdb.errors import OutputError

if TYPE_CHECKING:
    from ztfdb.schema import ColumnDescription

Words: TypeAlias = "Mapping[str, ColumnDescription]"
"""Descriptions of columns, by name; other columns have no unit, UCD or description."""

_ID_NAMES = frozenset({"oid", "number", "pid", "expid", "hpx29"})
_DECIMALS = (
    (re.compile(r"(input_)?(ra|dec)[1-4]?"), 6),  # 0.004 arcsec
    (re.compile(r"\w*(mjd|hjd|bjd)\w*"), 5),  # one second
    (re.compile(r"separation|\w*mag\w*|snr|seeing\w*|\w*limit|maglim|airmass|clr\w+|apcor\d|sky_noise\d"), 3),
    (re.compile(r"x|y|flux\w*|background\w*|peak|seconds|kron_radius|a|b|theta"), 2),
)

TIME_SYSTEMS = {
    "UTC": '<TIMESYS ID="UTC" timeorigin="MJD-origin" timescale="UTC" refposition="TOPOCENTER"/>',
    "HJD": '<TIMESYS ID="HJD" timeorigin="JD-origin" timescale="UTC" refposition="HELIOCENTER"/>',
    "BJD": '<TIMESYS ID="BJD" timeorigin="JD-origin" timescale="TDB" refposition="BARYCENTER"/>',
}
_TIME_COLUMNS = {"mjd": "UTC", "obsmjd": "UTC", "mjd_mid": "UTC", "hjd": "HJD", "bjd_tdb": "BJD"}


def is_id(name: str) -> bool:
    """Tell whether a column holds ids, which JSON shows as text: some exceed 2^53."""
    return name in _ID_NAMES or name.endswith("_id")


def decimals(name: str) -> int | None:
    """Return the decimals a column shows in a text table, or None for six significant digits."""
    return next((digits for pattern, digits in _DECIMALS if pattern.fullmatch(name)), None)


def vo_reference(name: str) -> str | None:
    """Return the ID of the coordinate or time system a VOTable column refers to."""
    return "ICRS" if name in ("ra", "dec") else _TIME_COLUMNS.get(name)


def check_names(names: Iterable[Any]) -> None:
    """Raise `OutputError` if two columns have one name."""
    if doubled := ", ".join(str(name) for name, n in Counter(names).items() if n > 1):
        raise OutputError(f"two columns are named {doubled}: name them with AS")
