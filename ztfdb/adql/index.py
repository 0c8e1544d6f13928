"""Find the tables of a SELECT that can be restricted to cells of the sky, and these cells.

A conjunct of WHERE or ON with CONTAINS, INTERSECTS or DISTANCE on a table with ``hpx29``, or on the footprints of a
table, bounds the positions of all rows of that table that can be in the answer. The exact condition stays in place; the
ranges of cells only reduce the rows that are read. A conjunct that ties two tables carries the circle of one over to
the other. An OR restricts the tables that all of its sides restrict. `ztfdb.adql.keys` finds rows by their ids.
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
"""Ranges reach a little farther than the condition, which makes the final decision."""

Ranges = tuple[NDArray[np.int64], NDArray[np.int64]]

Positioned = Callable[[str], tuple[str, str] | None]
"""Returns, for the alias of a table, the columns of the position by which its rows are indexed."""


@dataclass(frozen=True)
class Near:
    """All rows of a table lie within `radius` degrees of a position."""

    lon: float
    lat: float
    radius: float


@dataclass(frozen=True)
class Tie:
    """Rows of two tables lie within `radius` degrees of each other; only `to` may be restricted by the other."""

    one: str
    to: str
    lon: str
    lat: str
    """Position columns of `one`."""
    radius: float


@dataclass
class Cuts:
    """Restrictions on the tables of a SELECT, by alias."""

    near: dict[str, Near] = field(default_factory=dict)
    ranges: dict[str, Ranges] = field(default_factory=dict)
    ties: list[Tie] = field(default_factory=list)

    def add_near(self, alias: str, near: Near) -> None:
        """Add a circle; the smallest of several is used."""
        if alias not in self.near or near.radius < self.near[alias].radius:
            self.near[alias] = near

    def carry(self) -> None:
        """Propagate circles along ties until nothing changes."""
        for _ in range(len(self.ties)):
            for tie in self.ties:
                known = self.near.get(tie.one)
                if known is not None:
                    reach = min(180.0, known.radius + tie.radius)
                    if tie.to not in self.near or reach < self.near[tie.to].radius:
                        self.near[tie.to] = Near(known.lon, known.lat, reach)

    def cells_around(self, alias: str, margin: float) -> Ranges | None:
        """Return the ranges of cells within a margin (deg) of the rows of a table, None if no circle restricts it."""
        near = self.near.get(alias)
        if near is None:
            return None
        _, lo, hi = cone_ranges(near.lon, near.lat, min(648000.0, (near.radius + margin) * SLACK * 3600.0))
        return lo, hi

    def cells(self, alias: str) -> Ranges | None:
        """Return the ranges of cells that contain the rows of a table, None if it is not restricted."""
        if alias in self.ranges:
            return self.ranges[alias]
        return self.cells_around(alias, 0.0)


def find_cuts(select: exp.Select, positioned: Positioned) -> Cuts:
    """Return the restrictions on the tables of a SELECT from its conjuncts.

    Parameters
    ----------
    select : Select
        Qualified, its conditions not translated yet.
    positioned : callable
        Returns the columns of an alias with the position of its cells.
    """
    cuts = Cuts()
    where = select.args.get("where")
    if where is not None:
        for one in conjuncts(where.this):
            _note(cuts, one, positioned, lambda alias: True)
    for join in select.args.get("joins") or ():
        condition, side = join.args.get("on"), join.side
        if condition is None or side in ("RIGHT", "FULL"):
            continue
        right = join.this.alias_or_name
        # a LEFT JOIN keeps all rows of its left side, whatever its condition
        allowed = (lambda alias: True) if side == "" else (lambda alias, right=right: alias == right)
        for one in conjuncts(condition):
            _note(cuts, one, positioned, allowed)
    cuts.carry()
    return cuts


def find_values(select: exp.Select) -> Iterator[tuple[str, str, list[str]]]:
    """Yield the values that conjuncts of WHERE demand of columns, by ``column = value`` or ``column IN (…)``.

    Parameters
    ----------
    select : Select
        Qualified, its conditions not translated yet.

    Yields
    ------
    alias, column : str
    values : list of str
        Texts or numbers as written, of which the column has one.
    """
    where = select.args.get("where")
    for node in conjuncts(where.this) if where is not None else ():
        pairs: list[tuple[exp.Expr, list[exp.Expr]]] = []
        if isinstance(node, exp.EQ):
            pairs = [(node.this, [node.expression]), (node.expression, [node.this])]
        elif isinstance(node, exp.In) and node.expressions:
            pairs = [(node.this, node.expressions)]
        for one, others in pairs:
            if isinstance(one, exp.Column) and all(isinstance(other, exp.Literal) for other in others):
                yield one.table, one.name, [str(other.this) for other in others]


def conjuncts(node: exp.Expr) -> Iterator[exp.Expr]:
    """Yield the conditions that AND joins."""
    if isinstance(node, exp.And):
        yield from conjuncts(node.this)
        yield from conjuncts(node.expression)
    elif isinstance(node, exp.Paren):
        yield from conjuncts(node.this)
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
    """Add that the rows of a table, or circles around them with a radius in degrees, overlap a shape."""
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
    """Add the union of the cells of all sides of an OR, for tables that every side restricts."""
    sides = []
    for side in node.flatten():
        own = Cuts()
        for one in conjuncts(side):
            _note(own, one, positioned, allowed)
        sides.append(own)
    for alias in set.intersection(*({*side.near, *side.ranges} for side in sides)):
        found = [cells for side in sides if (cells := side.cells(alias)) is not None]
        cuts.ranges.setdefault(alias, _merged(found))


def _merged(ranges: list[Ranges]) -> Ranges:
    """Return the union of ranges, ascending and disjoint."""
    lo, hi = (np.concatenate(parts) for parts in zip(*ranges, strict=True))
    order = np.argsort(lo, kind="stable")
    lo, reach = lo[order], np.maximum.accumulate(hi[order])
    first = np.flatnonzero(np.append(True, lo[1:] > reach[:-1]))
    return lo[first], reach[np.append(first[1:], len(lo)) - 1]


def _of_contains(node: exp.Expr) -> tuple[Shape, Shape] | None:
    """Return the two shapes of ``CONTAINS(…) = 1`` or of INTERSECTS, with either order of the comparison."""
    if not isinstance(node, exp.EQ):
        return None
    for call, value in ((node.this, node.expression), (node.expression, node.this)):
        if is_geometry(call) and call.name.upper() in ("CONTAINS", "INTERSECTS") and constant(value) == 1.0:
            shapes = [read_shape(one) for one in call.expressions]
            if len(shapes) == 2:
                return shapes[0], shapes[1]
    return None


def _of_distance(node: exp.Expr) -> tuple[Shape, Shape] | None:
    """Return point and circle of ``DISTANCE(…) < radius``, with either order of the comparison."""
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
    """Return the table whose position is the point, or the centre of the circle."""
    centre = shape.centre if isinstance(shape, Circle) else shape
    columns = _columns_of(centre) if isinstance(centre, Point) else None
    if columns is None or columns[1:] != positioned(columns[0]):
        return None
    return columns[0]


def _columns_of(point: Point) -> tuple[str, str, str] | None:
    """Return table and columns of a point that consists of two columns of one table."""
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
