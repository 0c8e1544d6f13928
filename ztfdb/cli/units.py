"""The unit of every column by its name, which has one meaning in all answers: the schema's, and a light curve's."""

from __future__ import annotations

from ztfdb.query.lightcurve import UNITS as LIGHT_CURVE_UNITS
from ztfdb.schema import Base

UNITS: dict[str, str] = {
    column.name: column.info["unit"]
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if column.info.get("unit")
} | LIGHT_CURVE_UNITS
