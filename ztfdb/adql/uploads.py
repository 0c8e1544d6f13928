"""Tables that come with a statement, in the schema ``tap_upload``."""

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
    values : mapping of str to list
        Python values by column, None where there is none.
    """

    name: str
    columns: tuple[Column, ...]
    values: Mapping[str, list[Any]]

    @property
    def n_row(self) -> int:
        """Rows."""
        return len(next(iter(self.values.values()), []))

    @property
    def table(self) -> Table:
        """What statements may name."""
        return Table(SCHEMA, self.name, "An uploaded table.", self.columns)

    def ranges(self, lon: str, lat: str, radius: float) -> tuple[NDArray[np.int64], ...] | None:
        """Return number of the row, start and end of the cells within `radius` degrees of each row's position.

        Rows without a position have none. None where the columns hold no numbers.
        """
        try:
            ra, dec = (np.array(self.values[name], dtype=np.float64) for name in (lon, lat))
        except (KeyError, TypeError, ValueError):
            return None
        good = np.flatnonzero(np.isfinite(ra) & (np.abs(dec) <= 90.0))
        k, lo, hi = cone_ranges(ra[good], dec[good], min(648000.0, radius * 3600.0 * (1.0 + 1e-9)))
        return good[k].astype(np.int64), lo, hi
