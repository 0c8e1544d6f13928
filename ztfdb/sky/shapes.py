"""Shapes on the sky: circles, ranges of coordinates and polygons, with their rims as points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ztfdb.arrays import Float64Array
from ztfdb.sky.angles import separation, unit_vector
from ztfdb.sky.polygon import triangulate

RIM_POINTS = 720
"""Points of a rim, distributed evenly over its sides."""


@dataclass(frozen=True)
class SkyCircle:
    """All positions within a radius.

    Attributes
    ----------
    ra, dec, radius : float
        deg.
    """

    ra: float
    dec: float
    radius: float

    def rim(self) -> tuple[Float64Array, Float64Array]:
        """Return points of the rim, deg."""
        centre = unit_vector(np.array([self.ra]), np.array([self.dec]))[:, 0]
        lon, lat = np.radians([self.ra, self.dec])
        east = np.array([-np.sin(lon), np.cos(lon), 0.0])
        north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
        angle, radius = np.linspace(0.0, 2.0 * np.pi, RIM_POINTS, endpoint=False), np.radians(self.radius)
        side = np.outer(np.cos(angle), north) + np.outer(np.sin(angle), east)
        return _positions(np.cos(radius) * centre + np.sin(radius) * side)

    def contains(self, ra: Float64Array, dec: Float64Array) -> NDArray[np.bool_]:
        """Return which positions are inside, including the rim."""
        centre = unit_vector(np.array([self.ra]), np.array([self.dec]))
        chord = np.sum((unit_vector(ra, dec) - centre) ** 2, axis=0)
        return np.asarray(chord <= 4.0 * np.sin(0.5 * np.radians(self.radius)) ** 2)


@dataclass(frozen=True)
class SkyRange:
    """All positions between two meridians, eastward from the first, and two parallels.

    Attributes
    ----------
    ra1, ra2, dec1, dec2 : float
        deg; a difference of 360 or more between the meridians means the whole circle.
    """

    ra1: float
    ra2: float
    dec1: float
    dec2: float

    @property
    def width(self) -> float:
        """Degrees between the meridians, 0 to 360."""
        return 360.0 if self.ra2 - self.ra1 >= 360.0 else (self.ra2 - self.ra1) % 360.0

    def circle(self) -> SkyCircle | None:
        """Return a circle that contains all positions; None if the range is wider than half of the parallels.

        Within 90 deg of the middle meridian no position is farther from the centre than the farthest corner.
        """
        if self.width > 180.0:
            return None
        low, high = max(self.dec1, -90.0), min(self.dec2, 90.0)
        ra, dec = (self.ra1 + 0.5 * self.width) % 360.0, 0.5 * (low + high)
        radius = separation(ra, dec, np.full(2, self.ra1), np.array([low, high])).max() / 3600.0
        return SkyCircle(ra, dec, float(radius) * (1.0 + 1e-9))

    def rim(self) -> tuple[Float64Array, Float64Array]:
        """Return points of the rim, deg."""
        share = np.linspace(0.0, 1.0, RIM_POINTS // 4)
        ra, dec = self.ra1 + share * self.width, self.dec1 + share * (self.dec2 - self.dec1)
        lon = np.concatenate([ra, ra, np.full_like(dec, self.ra1), np.full_like(dec, self.ra1 + self.width)])
        lat = np.concatenate([np.full_like(ra, self.dec1), np.full_like(ra, self.dec2), dec, dec])
        return lon % 360.0, lat

    def contains(self, ra: Float64Array, dec: Float64Array) -> NDArray[np.bool_]:
        """Return which positions are inside, including the rim."""
        between = (np.asarray(ra) - self.ra1) % 360.0 <= self.width
        return np.asarray(between & (dec >= self.dec1) & (dec <= self.dec2))


@dataclass(frozen=True)
class SkyPolygon:
    """The smaller part of the sphere bounded by great circles between corners.

    Attributes
    ----------
    ra, dec : tuple of float
        Corners, deg, within 89 deg of their middle.
    """

    ra: tuple[float, ...]
    dec: tuple[float, ...]

    def __post_init__(self) -> None:
        triangulate(self.ra, self.dec)

    def rim(self) -> tuple[Float64Array, Float64Array]:
        """Return points of the rim, deg."""
        corner = unit_vector(np.array(self.ra), np.array(self.dec)).T
        share = np.linspace(0.0, 1.0, max(2, RIM_POINTS // len(corner)))[:, None]
        sides = zip(corner, np.roll(corner, -1, axis=0), strict=True)
        return _positions(np.concatenate([a + share * (b - a) for a, b in sides]))

    def contains(self, ra: Float64Array, dec: Float64Array) -> NDArray[np.bool_]:
        """Return which positions are inside, including the rim."""
        corners = triangulate(self.ra, self.dec)
        normals = np.cross(corners, np.roll(corners, -1, axis=1))
        inside = np.einsum("tsi,i...->ts...", normals, unit_vector(ra, dec)) >= -1e-16
        return np.asarray(inside.all(axis=1).any(axis=0))


SkyShape = SkyCircle | SkyRange | SkyPolygon


def _positions(vectors: Float64Array) -> tuple[Float64Array, Float64Array]:
    x, y, z = vectors.T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arctan2(z, np.hypot(x, y)))
