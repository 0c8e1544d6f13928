"""Tables uploaded with a statement, in the schema ``tap_upload``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.adql.tables import Column, Table
from ztfdb.sky.cells import cone_ranges

SCHEMA = "tap_upload"


@dataclass(frozen=True)
class Upload:
    """One uploaded table.

    Attributes
    ----------
    name : str
        Without its schema.
    columns : tuple of Column
        Their names are in lower case.
    values : mapping of str to list
        Python values by column; None if missing.
    spelled : frozenset of str
        Names of the columns as they were uploaded. A quoted name in a statement may be one of these.
    """

    name: str
    columns: tuple[Column, ...]
    values: Mapping[str, list[Any]]
    spelled: frozenset[str] = frozenset()

    @property
    def n_row(self) -> int:
        """Rows."""
        return len(next(iter(self.values.values()), []))

    @property
    def table(self) -> Table:
        """The table for statements."""
        return Table(SCHEMA, self.name, "An uploaded table.", self.columns)

    def ranges(self, lon: str, lat: str, radius: float) -> tuple[NDArray[np.int64], ...] | None:
        """Return row number, start and end of the cells within `radius` degrees of each row's position.

        Rows without a position have none. Returns None if the columns are not numeric.
        """
        try:
            ra, dec = (np.array(self.values[name], dtype=np.float64) for name in (lon, lat))
        except (KeyError, TypeError, ValueError):
            return None
        good = np.flatnonzero(np.isfinite(ra) & (np.abs(dec) <= 90.0))
        k, lo, hi = cone_ranges(ra[good], dec[good], min(648000.0, radius * 3600.0 * (1.0 + 1e-9)))
        return good[k].astype(np.int64), lo, hi
