"""Detections of an archive inside areas of any size: polygons, boxes, and cones in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, Unpack

from ztfdb.archive.base import OpenArchive
from ztfdb.options import ConeOptions, RegionOptions
from ztfdb.query.given import Angle, Position, arcsec, position

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike


class Areas(OpenArchive):
    """Detections of an archive inside areas of any size: polygons, boxes, and cones in parts."""

    def iter_cone(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of `cone` in parts, in bounded memory and not nearest first.

        At least one frame; see `ztfdb.query.areas.iter_cone`.
        """
        from ztfdb.query.areas import iter_cone

        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        empty = True
        with self._connections.reading() as session:
            for part in iter_cone(session, *place, arcsec(radius), phot=phot, **arguments):
                empty = empty and part.empty
                yield part
        if empty and (text := self._hint(place, radius, 0, arguments | {"phot": phot})):
            self._warn(text)

    def region(
        self, polygon: ArrayLike | None = None, *, box: Sequence[float] | None = None, **options: Unpack[RegionOptions]
    ) -> pd.DataFrame:
        """Return all sources inside a polygon or a box, ordered by ``source_id``; see `ztfdb.query.areas.region`.

        Parameters
        ----------
        polygon : array_like, shape (n_corner, 2)
            Corners (ra, dec), deg, ICRS, clockwise or not, convex or concave, within 89 deg of their centre. Sides are
            great circles; the region is the smaller part of the sphere.
        box : sequence of float
            ``(ra, dec, width, height)``, deg, instead: ADQL's BOX, whose sides are great circles
            (`ztfdb.sky.polygon.box_corners`).
        **options
            ``phot``: ``aperture``, our sources, or ``psfcat``, the rows of ZTF's own PSF catalogues. ``columns``:
            those of the table to return, by default all.
        """
        from ztfdb.query.areas import polygon_of, region

        area = polygon_of(polygon, box)
        with self._connections.reading() as session:
            return region(session, area, **options)

    def iter_region(
        self, polygon: ArrayLike | None = None, *, box: Sequence[float] | None = None, **options: Unpack[RegionOptions]
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of `region` in parts, in bounded memory; at least one frame."""
        from ztfdb.query.areas import iter_region, polygon_of

        area = polygon_of(polygon, box)
        with self._connections.reading() as session:
            yield from iter_region(session, area, **options)
