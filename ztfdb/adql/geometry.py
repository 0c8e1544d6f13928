"""ADQL's geometry: shapes in a statement, and the SQL of the geometry functions.

Distances are compared as haversines, so a circle needs no inverse function. Polygons and boxes are triangles of
constant great circles; a position is inside a triangle if it lies to the left of all three sides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sqlglot import exp

from ztfdb.adql import regions
from ztfdb.adql.functions import add, call, constant, double, either, kind_of, mul, of_kind, sub, when
from ztfdb.adql.regions import Region
from ztfdb.errors import QueryError
from ztfdb.sky.angles import unit_vector
from ztfdb.sky.polygon import box_corners, solid_angle, triangulate

RADIAN = math.pi / 180.0
FUNCTIONS = {"POINT", "CIRCLE", "BOX", "POLYGON", "CONTAINS", "INTERSECTS", "DISTANCE", "COORD1", "COORD2", "AREA"}
MAX_CORNERS = 100
FRAMES = {"", "ICRS", "FK5", "ICRS GEOCENTER", "ICRS BARYCENTER", "ICRS TOPOCENTER", "UNKNOWNFRAME"}


@dataclass(frozen=True)
class Point:
    """A position, deg."""

    lon: Any
    lat: Any

    @property
    def constants(self) -> tuple[float, float] | None:
        """Its coordinates if they are numbers, else None."""
        lon, lat = constant(self.lon), constant(self.lat)
        if lon is None or lat is None:
            return None
        if not (math.isfinite(lon) and abs(lat) <= 90.0):
            raise QueryError(f"POINT({lon:g}, {lat:g}): the second coordinate lies in -90..90")
        return lon % 360.0, lat


@dataclass(frozen=True)
class Circle:
    """A circle, deg."""

    centre: Point
    radius: Any

    @property
    def constant_radius(self) -> float | None:
        """Its radius if it is a number, deg, else None."""
        radius = constant(self.radius)
        if radius is not None and not 0.0 <= radius <= 180.0:
            raise QueryError(f"a circle of {radius:g} deg: expected a radius in 0..180")
        return radius


@dataclass(frozen=True)
class Polygon:
    """A polygon or box of constant corners: the unit vectors of its triangles and of its corners.

    Attributes
    ----------
    triangles : ndarray, shape (n, 3, 3)
    outline : ndarray, shape (n_corner, 3)
    """

    triangles: NDArray[np.float64]
    outline: NDArray[np.float64]

    @classmethod
    def of(cls, lon: ArrayLike, lat: ArrayLike) -> Polygon:
        """Make a polygon from its corners, deg."""
        triangles = triangulate(lon, lat)
        return cls(triangles, unit_vector(np.asarray(lon, float), np.asarray(lat, float)).T)


Shape = Point | Circle | Polygon | Region

FOOTPRINT = "footprint"
"""Marks columns that represent the footprint of a row."""


def is_geometry(node: exp.Expr) -> bool:
    """Return whether a node is a call of one of ADQL's geometry functions."""
    return isinstance(node, exp.Anonymous) and node.name.upper() in FUNCTIONS


def is_footprint(node: exp.Expr) -> bool:
    """Return whether a node is a column that represents the footprint of a row."""
    return isinstance(node, exp.Column) and bool(node.meta.get(FOOTPRINT))


def read_shape(node: exp.Expr) -> Shape:
    """Return the shape of a node.

    Raises
    ------
    QueryError
        If it is not a shape, or an invalid one.
    """
    if is_footprint(node):
        return Region(node.text("table"))
    name = node.name.upper() if isinstance(node, exp.Anonymous) else ""
    if name not in ("POINT", "CIRCLE", "BOX", "POLYGON"):
        raise QueryError("expected POINT, CIRCLE, BOX, POLYGON, or the column s_region of a table itself")
    args = _without_frame(list(node.expressions), name)
    try:
        if name == "POINT":
            return Point(*_exactly(args, 2, name))
        if name == "CIRCLE":
            return Circle(*_centre(args, 1, name))
        if name == "BOX":
            centre, width, height = _centre(args, 2, name)
            at = centre.constants or (math.nan, math.nan)
            return Polygon.of(*box_corners(at[0], at[1], _constant(width, name), _constant(height, name)))
        return Polygon.of(*_corners(args))
    except ValueError as exc:
        raise QueryError(f"{name}: {exc}") from exc


def translate_geometry(node: exp.Anonymous) -> exp.Expr:
    """Translate DISTANCE, CONTAINS, INTERSECTS, COORD1, COORD2 or AREA, whose coordinates are already translated."""
    name = node.name.upper()
    args = list(node.expressions)
    if name == "DISTANCE":
        return distance(*distance_points(args))
    if name in ("COORD1", "COORD2"):
        point = read_shape(*_exactly(args, 1, name))
        if not isinstance(point, Point):
            raise QueryError(f"{name} takes a POINT")
        return point.lon if name == "COORD1" else point.lat  # type: ignore[no-any-return]
    if name == "AREA":
        return _area(read_shape(*_exactly(args, 1, name)))
    if name in ("CONTAINS", "INTERSECTS"):
        first, second = (read_shape(one) for one in _exactly(args, 2, name))
        condition = contains(first, second) if name == "CONTAINS" else intersects(first, second)
        one, zero = exp.Literal.number("1"), exp.Literal.number("0")
        return when(condition, of_kind(one, exp.DType.INT), of_kind(zero, exp.DType.INT))
    raise QueryError(f"{name} is allowed only inside CONTAINS, INTERSECTS, DISTANCE, COORD1, COORD2 or AREA")


def distance_points(args: list[exp.Expr]) -> tuple[Point, Point]:
    """Return the two points of DISTANCE, written as points or as four coordinates."""
    if len(args) == 4:
        return Point(args[0], args[1]), Point(args[2], args[3])
    first, second = (read_shape(one) for one in _exactly(args, 2, "DISTANCE"))
    if not (isinstance(first, Point) and isinstance(second, Point)):
        raise QueryError("DISTANCE takes two points")
    return first, second


def distance(a: Point, b: Point) -> exp.Expr:
    """Return the great-circle distance, deg."""
    hav = haversine(a, b)
    arc = when(exp.LT(this=hav.copy(), expression=double(1.0)), call("asin", call("sqrt", hav)), double(math.pi / 2))
    return mul(arc, double(2.0 / RADIAN))


def haversine(a: Point, b: Point) -> exp.Expr:
    """Return sin² of half the distance."""
    dlat, dlon = _half_sine(a.lat, b.lat), _half_sine(a.lon, b.lon)
    both = mul(_cosine(a.lat), _cosine(b.lat))
    return add(mul(dlat, dlat.copy()), mul(both, mul(dlon, dlon.copy())))


def contains(first: Shape, second: Shape) -> exp.Expr:
    """Return the condition that the first shape lies in the second."""
    if isinstance(first, Point) and isinstance(second, Circle):
        return exp.LTE(this=haversine(first, second.centre), expression=_half_radius(second))
    if isinstance(first, Point) and isinstance(second, Polygon):
        return _in_triangles(_axes(first), second.triangles)
    if isinstance(first, Circle) and isinstance(second, Circle):
        room = sub(_degrees(second.radius), _degrees(first.radius))
        return exp.LTE(this=distance(first.centre, second.centre), expression=room)
    if isinstance(second, Region):
        if isinstance(first, Point):
            return regions.holds(second, _place(first))
        if isinstance(first, Circle):
            return regions.holds_circle(second, _place(first.centre), _radians(first))
    if isinstance(first, Region) and isinstance(second, Circle):
        return regions.lies_in_circle(first, _place(second.centre), _radians(second))
    if isinstance(first, Region) and isinstance(second, Polygon):
        return regions.lies_in_polygon(first, second.triangles, second.outline)
    raise QueryError(
        "CONTAINS takes a POINT in a CIRCLE, BOX, POLYGON or s_region, a CIRCLE in a CIRCLE or s_region, or "
        "s_region in a CIRCLE, BOX or POLYGON"
    )


def intersects(first: Shape, second: Shape) -> exp.Expr:
    """Return the condition that two shapes have a point in common."""
    if isinstance(first, Point):
        return contains(first, second)
    if isinstance(second, Point):
        return contains(second, first)
    if isinstance(first, Circle) and isinstance(second, Circle):
        reach = add(_degrees(first.radius), _degrees(second.radius))
        return exp.LTE(this=distance(first.centre, second.centre), expression=reach)
    if isinstance(second, Region):
        first, second = second, first
    if isinstance(first, Region) and isinstance(second, Circle):
        return regions.meets_circle(first, _place(second.centre), _radians(second))
    if isinstance(first, Region) and isinstance(second, Polygon):
        return regions.meets_polygon(first, second.triangles)
    raise QueryError("INTERSECTS takes a POINT and a shape, two CIRCLEs, or s_region and a shape")


def _radians(circle: Circle) -> float:
    radius = circle.constant_radius
    if radius is None:
        raise QueryError("the radius of a CIRCLE compared with s_region must be a number, not a column")
    return RADIAN * radius


def _degrees(node: Any) -> exp.Expr:
    value = constant(node)
    return double(value) if value is not None else node


def half_radius(radius: float) -> float:
    """Return sin² of half a radius in degrees."""
    return math.sin(0.5 * RADIAN * radius) ** 2


def latitude_cosine(lat: float) -> float:
    """Return the cosine of degrees."""
    return math.cos(RADIAN * lat)


def _half_radius(circle: Circle) -> exp.Expr:
    """Return sin² of half the radius."""
    radius = circle.constant_radius
    if radius is not None:
        return double(half_radius(radius))
    half = call("sin", mul(circle.radius, double(0.5 * RADIAN)))
    return mul(half, half.copy())


def _half_sine(a: Any, b: Any) -> exp.Expr:
    x, y = constant(a), constant(b)
    if x is not None and y is not None:
        return double(math.sin(0.5 * RADIAN * (x - y)))
    return call("sin", mul(sub(_degrees(a).copy(), _degrees(b).copy()), double(0.5 * RADIAN)))


def _cosine(node: Any) -> exp.Expr:
    value = constant(node)
    if value is not None:
        return double(latitude_cosine(value))
    return call("cos", mul(node.copy(), double(RADIAN)))


def _place(point: Point) -> regions.Place:
    """Return the unit vector of a point for the tests of regions."""
    known = point.constants
    return _axes(point) if known is None else _vector(*known)


def _axes(point: Point) -> list[Any]:
    """Return the unit vector of a point."""
    known = point.constants
    if known is not None:
        return [double(value) for value in _vector(*known)]
    lon, lat = mul(_degrees(point.lon).copy(), double(RADIAN)), mul(_degrees(point.lat).copy(), double(RADIAN))
    cosine = call("cos", lat)
    return [mul(cosine, call("cos", lon)), mul(cosine.copy(), call("sin", lon.copy())), call("sin", lat.copy())]


def _in_triangles(axes: list[Any], triangles: NDArray[np.float64]) -> exp.Expr:
    return either(*(_in_triangle(axes, corners) for corners in triangles))


def _in_triangle(axes: list[Any], corners: NDArray[np.float64]) -> exp.Expr:
    sides = []
    for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        normal = np.cross(a, b)
        normal /= np.max(np.abs(normal))
        terms = [mul(axis.copy(), double(float(n))) for axis, n in zip(axes, normal, strict=True)]
        sides.append(exp.GTE(this=add(add(terms[0], terms[1]), terms[2]), expression=double(0.0)))
    return exp.Paren(this=exp.and_(*sides, copy=False))


def _vector(lon: float, lat: float) -> tuple[float, float, float]:
    a, d = RADIAN * lon, RADIAN * lat
    return math.cos(d) * math.cos(a), math.cos(d) * math.sin(a), math.sin(d)


def _area(shape: Shape) -> exp.Expr:
    if isinstance(shape, Point):
        return double(0.0)
    if isinstance(shape, Region):
        raise QueryError("AREA takes a CIRCLE, BOX or POLYGON")
    if isinstance(shape, Polygon):
        return double(solid_angle(shape.triangles) / RADIAN**2)
    return mul(_half_radius(shape), double(4.0 * math.pi / RADIAN**2))


def _without_frame(args: list[exp.Expr], name: str) -> list[exp.Expr]:
    if args and isinstance(args[0], exp.Literal) and args[0].is_string:
        if args[0].this.upper().strip() not in FRAMES:
            raise QueryError(f"{name} in {args[0].this[:40]!r}: positions are ICRS here")
        return args[1:]
    return args


def _exactly(args: list[exp.Expr], n: int, name: str) -> list[Any]:
    if len(args) != n:
        raise QueryError(f"{name} has {len(args)} arguments, expected {n}")
    for one in args:
        if kind_of(one) == "text":
            raise QueryError(f"the coordinates of {name} must be numbers")
    return args


def _centre(args: list[exp.Expr], n_more: int, name: str) -> list[Any]:
    """Return centre and sizes; the centre may be a point or two coordinates."""
    if len(args) == 1 + n_more:
        centre = read_shape(args[0])
        if not isinstance(centre, Point):
            raise QueryError(f"the centre of {name} must be a POINT")
        return [centre, *args[1:]]
    values = _exactly(args, 2 + n_more, name)
    return [Point(values[0], values[1]), *values[2:]]


def _corners(args: list[exp.Expr]) -> tuple[list[float], list[float]]:
    if args and all(is_geometry(one) for one in args):
        points = [read_shape(one) for one in args]
        args = [value for one in points if isinstance(one, Point) for value in (one.lon, one.lat)]
    if len(args) < 6 or len(args) % 2 or len(args) > 2 * MAX_CORNERS:
        raise QueryError(f"POLYGON has {len(args)} coordinates, expected pairs, of 3 to {MAX_CORNERS} corners")
    values = [_constant(one, "POLYGON") for one in args]
    return values[::2], values[1::2]


def _constant(node: Any, name: str) -> float:
    value = constant(node)
    if value is None:
        raise QueryError(f"{name} takes numbers, not columns: only CIRCLE may have its centre in columns")
    return value
