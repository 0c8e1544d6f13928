"""Footprints of four corners in SQL: which points, circles and polygons lie in one, or touch it.

A table with footprints has hidden columns, doubles: the unit vectors of the corners, ``_x1`` to ``_z4`` in their order
around the region, and the normals of the great circles of its sides, ``_u1`` to ``_w4``, side k from corner k to the
next; a position inside has no negative product with any of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp

from ztfdb.adql.functions import add, double, either, mul, of_kind, sub

N_CORNER = 4
CORNERS = tuple((f"_x{k}", f"_y{k}", f"_z{k}") for k in range(1, N_CORNER + 1))
NORMALS = tuple((f"_u{k}", f"_v{k}", f"_w{k}") for k in range(1, N_CORNER + 1))

Vector = list[Any]
"""Three nodes."""


@dataclass(frozen=True)
class Region:
    """The footprint of each row of a table, named by its alias."""

    alias: str

    def corners(self) -> list[Vector]:
        """Return the unit vectors of the corners."""
        return [self._columns(names) for names in CORNERS]

    def normals(self) -> list[Vector]:
        """Return the inward normals of the sides."""
        return [self._columns(names) for names in NORMALS]

    def _columns(self, names: tuple[str, ...]) -> Vector:
        table, *names_ = (exp.to_identifier(name, quoted=True) for name in (self.alias, *names))
        return [of_kind(exp.Column(this=name, table=table.copy()), exp.DType.DOUBLE) for name in names_]


def constants(vector: NDArray[np.float64]) -> Vector:
    """Return a constant vector; beside the columns of a region, which are doubles, its digits are read as doubles."""
    return [_plain(float(value)) for value in vector]


def _plain(value: float) -> exp.Expr:
    literal = of_kind(exp.Literal.number(repr(abs(value))), exp.DType.DOUBLE)
    return of_kind(exp.Paren(this=exp.Neg(this=literal)), exp.DType.DOUBLE) if value < 0 else literal


def dot(a: Vector, b: Vector) -> exp.Expr:
    """Return the product of two vectors."""
    x, y, z = (mul(one.copy(), other.copy()) for one, other in zip(a, b, strict=True))  # a node has one place
    return add(add(x, y), z)


def holds(region: Region, point: Vector) -> exp.Expr:
    """Return the condition that a point lies in the region."""
    return _all([_at_least_zero(dot(normal, point)) for normal in region.normals()])


def meets_circle(region: Region, centre: Vector, radius: float) -> exp.Expr:
    """Return the condition that a circle has a point in common with the region; the radius in radians."""
    corners = region.corners()
    near = [_within(centre, corner, radius) for corner in corners]
    if radius >= math.pi / 2:  # what is left of the sphere is convex: the region is in it where its corners are
        return either(*near)
    sides = [
        _near_side(normal, corners[k], corners[(k + 1) % N_CORNER], centre, radius)
        for k, normal in enumerate(region.normals())
    ]
    return either(holds(region, centre), *near, *sides)


def holds_circle(region: Region, centre: Vector, radius: float) -> exp.Expr:
    """Return the condition that a circle lies in the region."""
    if radius >= math.pi / 2:
        return exp.EQ(this=double(0.0), expression=double(1.0))
    reach = double(math.sin(radius) ** 2)
    deep = [
        exp.GTE(this=_square(dot(normal, centre)), expression=mul(reach.copy(), dot(normal, normal)))
        for normal in region.normals()
    ]
    return _all([holds(region, centre), *deep])


def lies_in_circle(region: Region, centre: Vector, radius: float) -> exp.Expr:
    """Return the condition that the region lies in a circle."""
    if radius > math.pi / 2:
        away = [_negative(one) for one in centre]
        return exp.Not(this=exp.Paren(this=meets_circle(region, away, math.pi - radius)))
    return _all([_within(centre, corner, radius) for corner in region.corners()])


def meets_convex(region: Region, corners: NDArray[np.float64]) -> exp.Expr:
    """Return the condition that a triangle, or a side, has a point in common with the region.

    They are apart where the great circle of one side of either has the other on its far side.

    Parameters
    ----------
    corners : ndarray, shape (3 or 2, 3)
        Unit vectors, of a triangle counter-clockwise as seen from outside the sphere.
    """
    own = [constants(corner) for corner in corners]
    reached = [either(*(_at_least_zero(dot(normal, point)) for point in own)) for normal in region.normals()]
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    normals /= np.max(np.abs(normals), axis=1, keepdims=True)
    reached += [
        either(*(_at_least_zero(dot(constants(normal), corner)) for corner in region.corners())) for normal in normals
    ]
    return _all(reached)


def meets_polygon(region: Region, triangles: NDArray[np.float64]) -> exp.Expr:
    """Return the condition that a polygon has a point in common with the region."""
    return either(*(meets_convex(region, triangle) for triangle in triangles))


def lies_in_polygon(
    region: Region, triangles: NDArray[np.float64], outline: NDArray[np.float64], inside: Any
) -> exp.Expr:
    """Return the condition that the region lies in a polygon: its corners do, and no side of the polygon enters it.

    Parameters
    ----------
    region : Region
    triangles, outline : ndarray, shape (n, 3, 3) and (n_corner, 3)
    inside : callable
        Returns the condition that a vector lies in the polygon.
    """
    sides = zip(outline, np.roll(outline, -1, axis=0), strict=True)
    crossed = [exp.Not(this=exp.Paren(this=meets_convex(region, np.array(side)))) for side in sides]
    return _all([*(inside(corner) for corner in region.corners()), *crossed])


def _near_side(normal: Vector, a: Vector, b: Vector, point: Vector, radius: float) -> exp.Expr:
    """Return the condition that a point lies beside a side, and no farther from it than the radius."""
    to_a, to_b, cosine = dot(point, a), dot(point, b), dot(a, b)
    beside = [
        exp.GTE(this=to_b.copy(), expression=mul(to_a.copy(), cosine.copy())),
        exp.GTE(this=to_a, expression=mul(to_b, cosine)),
    ]
    reach = mul(double(math.sin(radius) ** 2), dot(normal, normal))
    return _all([*beside, exp.LTE(this=_square(dot(normal, point)), expression=reach)])


def _within(a: Vector, b: Vector, radius: float) -> exp.Expr:
    """Return the condition that two points are no farther apart than the radius: by their chord."""
    chord = [sub(one.copy(), other.copy()) for one, other in zip(a, b, strict=True)]
    return exp.LTE(this=dot(chord, chord), expression=double(4.0 * math.sin(0.5 * radius) ** 2))


def _square(node: exp.Expr) -> exp.Expr:
    return mul(node, node.copy())


def _negative(node: Any) -> exp.Expr:
    return of_kind(exp.Paren(this=exp.Neg(this=exp.Paren(this=node.copy()))), exp.DType.DOUBLE)


def _at_least_zero(node: exp.Expr) -> exp.Expr:
    return exp.GTE(this=node, expression=exp.Literal.number("0"))


def _all(conditions: list[exp.Expr]) -> exp.Expr:
    return exp.Paren(this=exp.and_(*conditions, copy=False))
