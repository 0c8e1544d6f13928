"""A cone as plain SQL: ranges of cells, which use the index, and an exact cut."""

from __future__ import annotations

import math

from ztfdb.query.cone import MAX_CONE_RADIUS
from ztfdb.query.request import check_radius
from ztfdb.schema import describe_table, describe_tables
from ztfdb.schema.formulas import haversine
from ztfdb.sky.angles import ARCSEC_PER_RADIAN, check_position
from ztfdb.sky.cells import cone_ranges

NEEDED = ("hpx29", "ra", "dec")


def cone_sql(ra: float, dec: float, radius: float, table: str = "source", where: str = "") -> str:
    """Return one SQL statement for the rows of a table or view within a cone; it runs on both engines.

    ``hpx29`` between the bounds of a few ranges uses the index. The separation is then cut exactly by plain arithmetic,
    so that the statement also runs on a SQLite without mathematical functions. Replace ``select *`` by the columns
    wanted.

    Parameters
    ----------
    ra, dec : float
        Centre, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_CONE_RADIUS`, inclusive within rounding.
    table : str
        A table or view with ``hpx29``, ``ra`` and ``dec``: ``source``, ``light_curve_point``, ``psf_source``, ….
    where : str
        A further condition, as ``good = 1``.

    Returns
    -------
    str
        A SELECT without ORDER BY.

    Raises
    ------
    ValueError
        If the position or the radius is not a number in range, or the table has no positions.
    QueryError
        If the radius is beyond the maximum.
    """
    centre_ra, centre_dec = (float(value) for value in check_position(ra, dec))
    check_radius(radius, MAX_CONE_RADIUS)
    names = {column.name for column in describe_table(table).columns}
    if not names.issuperset(NEEDED):
        those = ", ".join(one.name for one in describe_tables() if {c.name for c in one.columns}.issuperset(NEEDED))
        raise ValueError(f"{table} has no positions to search by; {those} have")
    _, lo, hi = cone_ranges(centre_ra, centre_dec, radius)
    ranges = "\n    or ".join(f"hpx29 between {a} and {b - 1}" for a, b in zip(lo.tolist(), hi.tolist(), strict=True))
    cut = haversine(_double(centre_ra % 360.0), _double(centre_dec), f"{table}.ra", f"{table}.dec")
    reach = math.sin(0.5 * radius / ARCSEC_PER_RADIAN) ** 2
    further = f"\n  and ({where})" if where else ""
    return f"select * from {table}\nwhere ({ranges})\n  and {cut}\n    <= {reach!r}{further}"


def _double(value: float) -> str:
    return f"cast({value!r} as double precision)"
