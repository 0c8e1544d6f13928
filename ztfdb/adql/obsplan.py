"""``ivoa.obsplan``: times and positions of the exposures as ObsLocTAP 1.0.

An archive has no plans, only past exposures, which the standard calls performed. Clients that search all observatories
for observations of a position at some time find them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache, partial

from ztfdb.adql import obscore
from ztfdb.adql.obscore import View, image_rows
from ztfdb.adql.tables import Column, Table
from ztfdb.schema.formulas import exact
from ztfdb.sky.times import SECONDS_PER_DAY

NAME = "obsplan"
MODEL = "ivo://ivoa.net/std/obsloctap#table-1.0"

_OF_OBSCORE = (
    "target_name", "obs_id", "obs_collection", "s_ra", "s_dec", "s_fov", "s_region", "s_resolution", "t_min", "t_max",
    "t_exptime", "t_resolution", "em_min", "em_max", "em_res_power", "o_ucd", "pol_states", "pol_xel", "facility_name",
    "instrument_name",
)  # fmt: skip
_KNOWN = {one.name: replace(one, utype=one.utype.removeprefix("obscore:")) for one in obscore.COLUMNS}
"""ObsLocTAP uses the utypes of ObsCore without their prefix."""

COLUMNS: tuple[Column, ...] = (
    Column("t_planning", "double", "d", description="When it was last changed, MJD, UTC: when the exposure ended."),
    *(_KNOWN[name] for name in _OF_OBSCORE),
    replace(_KNOWN["t_exptime"], name="t_plan_exptime", description="Exposure time, as it was made."),
    Column("category", "char", description="Fixed: not to be moved."),
    Column("priority", "int", description="0: it was made."),
    Column("execution_status", "char", description="Performed."),
    Column("tracking_type", "char", description="Sidereal."),
    _KNOWN["image_id"],
)

_VIEW = View(
    more={
        "t_planning": f"_i.obsmjd + _i.exptime / {exact(SECONDS_PER_DAY)}",
        "t_plan_exptime": "_i.exptime",
        "category": "'Fixed'",
        "priority": "0",
        "execution_status": "'Performed'",
        "tracking_type": "'Sidereal'",
    },
    where="_i.obsmjd is not null and _i.exptime is not null and _i.kind <> 'ref'",
)


@cache
def obsplan_table() -> Table:
    """Return the table as statements may name it."""
    words = "Exposures of the archive, each with the pixels of one quadrant, in the words of ObsLocTAP 1.0."
    relation = partial(image_rows, _VIEW)
    return Table(obscore.SCHEMA, NAME, words, COLUMNS, "view", relation, MODEL, footprints=True)
