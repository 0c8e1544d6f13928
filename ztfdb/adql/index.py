"""Which tables of a SELECT are narrowed to cells of the sky, and to which.

A conjunct of WHERE or ON that is CONTAINS, INTERSECTS or DISTANCE and names a table with ``hpx29``, or the footprints
of one that has them, says where all rows of that table lie that can be in the answer. The exact condition stays in its
place; reading fewer rows is all that these ranges do. A conjunct that ties two tables carries the circle of one over to
the other. A conjunct that is an OR says it of the tables that each of its sides speaks of.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from ztfdb.adql.functions import constant
from ztfdb.adql.geometry import Circle, Point, Polygon, Shape, distance_points, is_geometry, read_shape
from ztfdb.adql.regions import Region
from ztfdb.sky.cells import cone_ranges
from ztfdb.sky.cover import cover_triangles

SLACK = 1.0 + 1e-9
"""Ranges reach a little farther than the condition: what they keep, the condition decides."""

Ranges = tuple[NDArray[np.int64], NDArray[np.int64]]

Positioned = Callable[[str], tuple[str, str] | None]
"""Returns the columns of a table's position by which its rows are found, of its alias."""


@dataclass(frozen=True)
class Near:
    """All rows of a table lie within `radius` degrees of a position."""

    lon: float
    lat: float
    radius: float


@dataclass(frozen=True)
class Tie:
    """Rows of two tables lie within `radius` degrees of each other; only `to` may be narrowed by the other."""

    one: str
    to: str
    lon: str
    lat: str
    """Columns of `one` that hold its position."""
    radius: float


@dataclass
class Cuts:
    """What is known of the tables of a SELECT, by alias."""

    near: dict[str, Near] = field(default_factory=dict)
    ranges: dict[str, Ranges] = field(default_factory=dict)
    ties: list[Tie] = field(default_factory=list)

    def add_near(self, alias: str, near: Near) -> None:
        """Note a circle; of several the smallest is used."""
        if alias not in self.near or near.radius < self.near[alias].radius:
            self.near[alias] = near

    def carry(self) -> None:
        """Carry circles along ties until nothing new is known."""
        for _ in range(len(self.ties)):
            for tie in self.ties:
                known = self.near.get(tie.one)
                if known is not None:
                    reach = min(180.0, known.radius + tie.radius)
                    if tie.to not in self.near or reach < self.near[tie.to].radius:
                        self.near[tie.to] = Near(known.lon, known.lat, reach)

    def cells(self, alias: str) -> Ranges | None:
        """Return the ranges of cells that hold the rows of a table, None where nothing is known of them."""
        near = self.near.get(alias)
        if alias in self.ranges:
            return self.ranges[alias]
        if near is None:
            return None
        _, lo, hi = cone_ranges(near.lon, near.lat, min(648000.0, near.radius * SLACK * 3600.0))
        return lo, hi


def find_cuts(select: exp.Select, positioned: Positioned) -> Cuts:
    """Return what the conjuncts of a SELECT say of its tables.

    Parameters
    ----------
    select : Select
        Qualified, its conditions not translated yet.
    positioned : callable
        Returns the columns of an alias that hold the position of its cells.
    """
    cuts = Cuts()
    where = select.args.get("where")
    if where is not None:
        for one in _conjuncts(where.this):
            _note(cuts, one, positioned, lambda alias: True)
    for join in select.args.get("joins") or ():
        condition, side = join.args.get("on"), join.side
        if condition is None or side in ("RIGHT", "FULL"):
            continue
        right = join.this.alias_or_name
        # of a LEFT JOIN all rows of the left side stay, whatever the condition says of them
        allowed = (lambda alias: True) if side == "" else (lambda alias, right=right: alias == right)
        for one in _conjuncts(condition):
            _note(cuts, one, positioned, allowed)
    cuts.carry()
    return cuts


def _conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    if isinstance(node, exp.And):
        yield from _conjuncts(node.this)
        yield from _conjuncts(node.expression)
    elif isinstance(node, exp.Paren):
        yield from _conjuncts(node.this)
    else:
        yield node


def _note(cuts: Cuts, node: exp.Expr, positioned: Positioned, allowed: Callable[[str], bool]) -> None:
    if isinstance(node, exp.Or):
        _note_either(cuts, node, positioned, allowed)
        return
    found = _of_contains(node) or _of_distance(node)
    if found is None:
        return
    for one, other in (found, found[::-1]):
        alias = one.alias if isinstance(one, Region) else _table_of(one, positioned)
        own = one.constant_radius if isinstance(one, Circle) else 0.0
        if alias is not None and own is not None and allowed(alias):
            _note_one(cuts, alias, own, other)


def _note_one(cuts: Cuts, alias: str, own: float, other: Shape) -> None:
    """Note that the rows of a table, or circles of so many degrees around them, have a point in common with a shape."""
    if isinstance(other, Polygon):
        if own == 0.0:
            cuts.ranges.setdefault(alias, cover_triangles(other.triangles))
        around = _around(other)
        cuts.add_near(alias, Near(around.lon, around.lat, around.radius + own))
    elif not isinstance(other, Region):
        centre, radius = (other, 0.0) if isinstance(other, Point) else (other.centre, other.constant_radius)
        if radius is None:
            return
        at, reach = centre.constants, min(180.0, radius + own)
        if at is not None:
            cuts.add_near(alias, Near(*at, reach))
        elif (columns := _columns_of(centre)) is not None and columns[0] != alias:
            cuts.ties.append(Tie(columns[0], alias, columns[1], columns[2], reach))


def _note_either(cuts: Cuts, node: exp.Or, positioned: Positioned, allowed: Callable[[str], bool]) -> None:
    """Note the cells of all sides of an OR, of the tables that each side narrows."""
    sides = []
    for side in node.flatten():
        own = Cuts()
        for one in _conjuncts(side):
            _note(own, one, positioned, allowed)
        sides.append(own)
    for alias in set.intersection(*({*side.near, *side.ranges} for side in sides)):
        found = [cells for side in sides if (cells := side.cells(alias)) is not None]
        cuts.ranges.setdefault(alias, _merged(found))


def _merged(ranges: list[Ranges]) -> Ranges:
    """Return the union of ranges, ascending and not touching."""
    lo, hi = (np.concatenate(parts) for parts in zip(*ranges, strict=True))
    order = np.argsort(lo, kind="stable")
    lo, reach = lo[order], np.maximum.accumulate(hi[order])
    first = np.flatnonzero(np.append(True, lo[1:] > reach[:-1]))
    return lo[first], reach[np.append(first[1:], len(lo)) - 1]


def _of_contains(node: exp.Expr) -> tuple[Shape, Shape] | None:
    """Return the two shapes of ``CONTAINS(…) = 1`` and INTERSECTS alike, either way round."""
    if not isinstance(node, exp.EQ):
        return None
    for call, value in ((node.this, node.expression), (node.expression, node.this)):
        if is_geometry(call) and call.name.upper() in ("CONTAINS", "INTERSECTS") and constant(value) == 1.0:
            shapes = [read_shape(one) for one in call.expressions]
            if len(shapes) == 2:
                return shapes[0], shapes[1]
    return None


def _of_distance(node: exp.Expr) -> tuple[Shape, Shape] | None:
    """Return point and circle of ``DISTANCE(…) < radius``, either way round."""
    if isinstance(node, exp.LT | exp.LTE):
        call, value = node.this, node.expression
    elif isinstance(node, exp.GT | exp.GTE):
        call, value = node.expression, node.this
    else:
        return None
    radius = constant(value)
    if radius is None or not (is_geometry(call) and call.name.upper() == "DISTANCE"):
        return None
    first, second = distance_points(list(call.expressions))
    return first, Circle(second, exp.Literal.number(repr(min(max(radius, 0.0), 180.0))))


def _table_of(shape: Shape, positioned: Positioned) -> str | None:
    """Return the table whose position a point, or the centre of a circle, is."""
    centre = shape.centre if isinstance(shape, Circle) else shape
    columns = _columns_of(centre) if isinstance(centre, Point) else None
    if columns is None or columns[1:] != positioned(columns[0]):
        return None
    return columns[0]


def _columns_of(point: Point) -> tuple[str, str, str] | None:
    """Return table and columns of a point that is two columns of one table."""
    lon, lat = point.lon, point.lat
    if isinstance(lon, exp.Column) and isinstance(lat, exp.Column) and lon.table == lat.table:
        return lon.table, lon.name, lat.name
    return None


def _around(polygon: Polygon) -> Near:
    corners = polygon.triangles.reshape(-1, 3)
    middle = corners.sum(axis=0)
    middle /= np.linalg.norm(middle)
    radius = float(np.degrees(np.arccos(np.clip(corners @ middle, -1.0, 1.0)).max()))
    lon = float(np.degrees(np.arctan2(middle[1], middle[0])) % 360.0)
    return Near(lon, float(np.degrees(np.arcsin(np.clip(middle[2], -1.0, 1.0)))), min(180.0, radius + 1e-6))
