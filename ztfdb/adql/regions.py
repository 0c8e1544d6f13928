"""SQL tests of footprints with four corners against points, circles and polygons.

A table with footprints has hidden columns of doubles: the unit vectors of the corners, ``_x1`` to ``_z4`` in their
order around the region, and the normals of the great circles of its sides, ``_u1`` to ``_w4``, with side k from corner
k to the next. A position inside has no negative product with any normal.

A test of a region consists of about 100 products. As separate nodes they would take 0.1 s per circle; therefore a test
is a single node, `RegionTest`: trusted text with placeholders for the columns and for a position written by a client.
"""

from __future__ import annotations

import math
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sqlglot import exp
from sqlglot.dialects.postgres import Postgres
from sqlglot.dialects.sqlite import SQLite
from sqlglot.generators.postgres import PostgresGenerator
from sqlglot.generators.sqlite import SQLiteGenerator

from ztfdb.adql.functions import of_kind

N_CORNER = 4
CORNERS = tuple((f"_x{k}", f"_y{k}", f"_z{k}") for k in range(1, N_CORNER + 1))
NORMALS = tuple((f"_u{k}", f"_v{k}", f"_w{k}") for k in range(1, N_CORNER + 1))
_POINT = ("p0", "p1", "p2")

Vector = tuple[str, str, str]
"""SQL of three numbers, with placeholders in braces for columns and the position."""

Place = Sequence[float] | list[Any]
"""A unit vector: numbers, or translated nodes."""


@dataclass(frozen=True)
class Region:
    """The footprints of a table, given by its alias."""

    alias: str


class RegionTest(exp.Expression, exp.Condition):
    """A condition on a region: text with placeholders for `columns` and for the nodes of a position, `point`."""

    arg_types: ClassVar = {"columns": True, "point": False, "text": True}


def _write(generator: Any, node: RegionTest) -> str:
    names = [column.name for column in node.args["columns"]]
    values = {name: generator.sql(column) for name, column in zip(names, node.args["columns"], strict=True)}
    point = node.args.get("point") or []
    values |= {name: generator.sql(one) for name, one in zip(_POINT, point, strict=bool(point))}
    return f"({node.args['text'].format_map(values)})"


def _write_cast(generator: Any, node: exp.Cast) -> str:
    """Write a cast to a plain type; sqlglot's own method for SQLite parses six type names for each cast."""
    to = node.args["to"]
    kind = to.this
    if to.expressions or kind == exp.DType.ARRAY:
        return str(generator.cast_sql(node))
    return f"CAST({generator.sql(node.this)} AS {generator.TYPE_MAPPING.get(kind, kind.value)})"


def _write_column(generator: Any, node: exp.Column) -> str:
    """Write a column with all parts quoted."""
    return ".".join(_write_identifier(generator, node.args[key]) for key in ("table", "this") if node.args.get(key))


def _write_identifier(generator: Any, node: exp.Expr) -> str:
    if isinstance(node, exp.Identifier) and node.args.get("quoted") and '"' not in node.this:
        return f'"{node.this}"'
    return str(generator.sql(node))


def _write_bare(generator: Any, node: exp.Collate) -> str:
    """Write a text without its collation: SQLite orders by bytes anyway."""
    return str(generator.sql(node.this))


_WRITERS: dict[type[exp.Expr], Callable[..., str]] = {
    RegionTest: _write,
    exp.Cast: _write_cast,
    exp.Column: _write_column,
}


class PostgresRegions(Postgres):
    """PostgreSQL's SQL with tests of regions."""

    class Generator(PostgresGenerator):
        """Writes the tests."""

        TRANSFORMS: ClassVar = {**PostgresGenerator.TRANSFORMS, **_WRITERS}


class SQLiteRegions(SQLite):
    """SQLite's SQL with tests of regions."""

    class Generator(SQLiteGenerator):
        """Writes the tests."""

        TRANSFORMS: ClassVar = {**SQLiteGenerator.TRANSFORMS, **_WRITERS, exp.Collate: _write_bare}


def holds(region: Region, point: Place) -> exp.Expr:
    """Return the condition that a point lies in the region."""
    return _test(region, point, _holds(_vector(point)))


def meets_circle(region: Region, centre: Place, radius: float) -> exp.Expr:
    """Return the condition that a circle overlaps the region; the radius is in radians."""
    return _test(region, centre, _meets_circle(_vector(centre), radius))


def holds_circle(region: Region, centre: Place, radius: float) -> exp.Expr:
    """Return the condition that a circle lies in the region."""
    if radius >= math.pi / 2:
        return _test(region, centre, "1 = 0")
    point = _vector(centre)
    reach = repr(math.sin(radius) ** 2)
    deep = [f"{_square(_dot(normal, point))} >= {reach} * ({_dot(normal, normal)})" for normal in _columns(NORMALS)]
    return _test(region, centre, _all([_holds(point), *deep]))


def lies_in_circle(region: Region, centre: Place, radius: float) -> exp.Expr:
    """Return the condition that the region lies in a circle."""
    point = _vector(centre)
    if radius > math.pi / 2:
        x, y, z = (f"(-{one})" for one in point)
        return _test(region, centre, f"not {_meets_circle((x, y, z), math.pi - radius)}")
    return _test(region, centre, _all([_within(point, corner, radius) for corner in _columns(CORNERS)]))


def meets_polygon(region: Region, triangles: NDArray[np.float64]) -> exp.Expr:
    """Return the condition that a polygon overlaps the region."""
    return _test(region, (), _any([_meets_convex(triangle) for triangle in triangles]))


def lies_in_polygon(region: Region, triangles: NDArray[np.float64], outline: NDArray[np.float64]) -> exp.Expr:
    """Return the condition that the region lies in a polygon: all its corners do, and no side of the polygon enters it.

    Parameters
    ----------
    region : Region
    triangles, outline : ndarray, shape (n, 3, 3) and (n_corner, 3)
        Unit vectors of the corners of the polygon's triangles and of its own.
    """
    inside = [_any([_in_triangle(corner, triangle) for triangle in triangles]) for corner in _columns(CORNERS)]
    sides = zip(outline, np.roll(outline, -1, axis=0), strict=True)
    return _test(region, (), _all([*inside, *(f"not {_meets_convex(np.array(side))}" for side in sides)]))


def _test(region: Region, point: Place, text: str) -> exp.Expr:
    used = {name for _, name, _, _ in string.Formatter().parse(text) if name}
    names = [name for group in (*CORNERS, *NORMALS) for name in group if name in used]
    table, *names_ = (exp.to_identifier(name, quoted=True) for name in (region.alias, *names))
    columns = [exp.Column(this=name, table=table.copy()) for name in names_]
    nodes = [one for one in point if isinstance(one, exp.Expr)]
    return of_kind(RegionTest(columns=columns, point=nodes, text=text), exp.DType.BOOLEAN)


def _columns(groups: Sequence[tuple[str, str, str]]) -> list[Vector]:
    return [(f"{{{a}}}", f"{{{b}}}", f"{{{c}}}") for a, b, c in groups]


def _vector(point: Place) -> Vector:
    x, y, z = (
        f"({{{name}}})" if isinstance(one, exp.Expr) else _number(one) for name, one in zip(_POINT, point, strict=True)
    )
    return x, y, z


def _number(value: float) -> str:
    return f"({value!r})" if value < 0 else repr(float(value))


def _constant(vector: NDArray[np.float64]) -> Vector:
    x, y, z = (_number(value) for value in vector.tolist())
    return x, y, z


def _dot(a: Vector, b: Vector) -> str:
    return f"{a[0]} * {b[0]} + {a[1]} * {b[1]} + {a[2]} * {b[2]}"


def _holds(point: Vector) -> str:
    return _all([f"{_dot(normal, point)} >= 0" for normal in _columns(NORMALS)])


def _meets_circle(point: Vector, radius: float) -> str:
    corners = _columns(CORNERS)
    near = [_within(point, corner, radius) for corner in corners]
    if radius >= math.pi / 2:  # the rest of the sphere is convex: it contains the region if it contains its corners
        return _any(near)
    sides = [
        _near_side(normal, corners[k], corners[(k + 1) % N_CORNER], point, radius)
        for k, normal in enumerate(_columns(NORMALS))
    ]
    return _any([_holds(point), *near, *sides])


def _near_side(normal: Vector, a: Vector, b: Vector, point: Vector, radius: float) -> str:
    """Return the condition that a point projects onto a side and lies within the radius of it."""
    to_a, to_b, cosine = _dot(point, a), _dot(point, b), _dot(a, b)
    reach = repr(math.sin(radius) ** 2)
    return _all(
        [
            f"{to_b} >= ({to_a}) * ({cosine})",
            f"{to_a} >= ({to_b}) * ({cosine})",
            f"{_square(_dot(normal, point))} <= {reach} * ({_dot(normal, normal)})",
        ]
    )


def _meets_convex(corners: NDArray[np.float64]) -> str:
    """Return the condition that a triangle (counter-clockwise from outside), or a side, overlaps the region.

    The two are disjoint if the great circle of a side of one of them separates them.
    """
    own = [_constant(corner) for corner in corners]
    reached = [_any([f"{_dot(normal, one)} >= 0" for one in own]) for normal in _columns(NORMALS)]
    reached += [_any([f"{_dot(normal, corner)} >= 0" for corner in _columns(CORNERS)]) for normal in _normals(corners)]
    return _all(reached)


def _in_triangle(point: Vector, corners: NDArray[np.float64]) -> str:
    return _all([f"{_dot(normal, point)} >= 0" for normal in _normals(corners)])


def _normals(corners: NDArray[np.float64]) -> list[Vector]:
    normals = np.cross(corners, np.roll(corners, -1, axis=0))
    return [_constant(normal) for normal in normals / np.max(np.abs(normals), axis=1, keepdims=True)]


def _within(a: Vector, b: Vector, radius: float) -> str:
    """Return the condition that two points lie within the radius of each other, tested by their chord."""
    chord = " + ".join(_square(f"{one} - {other}") for one, other in zip(a, b, strict=True))
    return f"{chord} <= {4.0 * math.sin(0.5 * radius) ** 2!r}"


def _square(text: str) -> str:
    return f"({text}) * ({text})"


def _all(conditions: list[str]) -> str:
    return f"({' and '.join(conditions)})"


def _any(conditions: list[str]) -> str:
    return f"({' or '.join(conditions)})"
