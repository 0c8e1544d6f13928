"""Images of an archive: those that cover a position, stamps and larger cutouts, files by ZTF's names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Unpack

from ztfdb.archive.base import OpenArchive
from ztfdb.options import (
    CutoutOptions,
    ExplainOptions,
    MotionOptions,
    PlacesOptions,
    StampOnImageOptions,
    StampsAtOptions,
    StampsOnImageOptions,
    StampsOnPathOptions,
    StampsOptions,
)
from ztfdb.query.given import (
    Angle,
    Position,
    PositionTable,
    path_table,
    position,
    position_table,
)

if TYPE_CHECKING:
    from datetime import date

    import pandas as pd
    from astropy.time import Time

    from ztfdb.arrays import IntArray
    from ztfdb.query.answer import Answer
    from ztfdb.query.explain import Explanation
    from ztfdb.query.products import Product, Related
    from ztfdb.query.stamps import StampSeries
    from ztfdb.records import StoredPixels
    from ztfdb.sky.shapes import SkyShape
    from ztfdb.stamps import Cutout, ImageStamp


Night: TypeAlias = "int | str | date | Time"


class Images(OpenArchive):
    """Images of an archive: those that cover a position, stamps and larger cutouts, files by ZTF's names."""

    def images(self, ra: Position, dec: Angle | None = None, **options: Unpack[MotionOptions]) -> pd.DataFrame:
        """Return the images whose pixels cover a position, exactly; see `ztfdb.query.coverage.images_covering`."""
        return self.images_answer(ra, dec, **options).to_pandas()

    def images_answer(self, ra: Position, dec: Angle | None = None, **options: Unpack[MotionOptions]) -> Answer:
        """Return the answer of `images` as columns; its method ``to_pandas`` makes the DataFrame."""
        from ztfdb.query.coverage import images_answer

        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        with self._connections.reading() as session:
            found = images_answer(session, *place, **arguments)
        return self._answer(found, place, None, arguments)

    def images_meeting_box(
        self, ra: Position, dec: Angle | None, width: float, height: float, *, intersect: str = "OVERLAPS"
    ) -> IntArray:
        """Return the images that meet a box (deg) along east and north; see `ztfdb.query.region.images_meeting_box`."""
        from ztfdb.query.region import images_meeting_box

        with self._sessions() as session:
            return images_meeting_box(session, *position(ra, dec), width, height, intersect)

    def product(self, name: str, *, places: Mapping[str, str | Path] | None = None) -> Product | None:
        """Return the file with one of ZTF's names, for cutting; see `ztfdb.query.products.find_product`."""
        from ztfdb.query.products import find_product

        with self._sessions() as session:
            return find_product(session, name, places=places)

    def related_files(
        self, image_id: Sequence[int], *, places: Mapping[str, str | Path] | None = None
    ) -> dict[int, Related]:
        """Return other files of images; see `ztfdb.query.products.related_files`."""
        from ztfdb.query.products import related_files

        with self._sessions() as session:
            return related_files(session, image_id, places=places)

    def coverage_cells(self) -> IntArray:
        """Return the HEALPix cells (order 9, NESTED, ICRS) that images touch, including references, ascending."""
        from ztfdb.store.image_cells import covered_cells

        with self._connections.reading() as session:
            return covered_cells(session)

    def coverage(self, order: int = 6) -> pd.DataFrame:
        """Return number and depth of images over the sky; see `ztfdb.query.coverage.coverage_map`."""
        from ztfdb.query.coverage import coverage_map

        with self._connections.reading() as session:
            return coverage_map(session, order=order)

    def stamp(
        self, ra: Position, dec: Angle | None = None, *, image_id: int, **options: Unpack[StampOnImageOptions]
    ) -> ImageStamp:
        """Return the stamp of a position on one image, cut from its file; see `ztfdb.query.stamps.stamp`."""
        from ztfdb.query.stamps import stamp

        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        with self._sessions() as session:
            return stamp(session, *place, image_id=image_id, **arguments)

    def stamps(self, ra: Position, dec: Angle | None = None, **options: Unpack[StampsOptions]) -> StampSeries:
        """Return the stamps of a position on every image that covers it, by time; see `ztfdb.query.stamps.stamps`."""
        from ztfdb.query.stamps import stamps

        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        with self._sessions() as session:
            series = stamps(session, *place, **arguments)
        return self._answer(series, place, None, arguments)

    def cutout(
        self, shape: SkyShape | None = None, *, image_id: int, **options: Unpack[CutoutOptions]
    ) -> Cutout | None:
        """Return the part of an image that contains a shape of any size; see `ztfdb.query.cutouts.cutout`."""
        from ztfdb.query.cutouts import cutout

        with self._sessions() as session:
            return cutout(session, shape, image_id=image_id, **options)

    def image_pixels(self, image_id: Iterable[int], **options: Unpack[PlacesOptions]) -> dict[int, StoredPixels]:
        """Return the files and projections of images, by ``image_id``; unknown ones are left out."""
        from ztfdb.query.cutouts import image_pixels

        with self._sessions() as session:
            return image_pixels(session, image_id, **options)

    def stamps_at(self, positions: PositionTable, **options: Unpack[StampsAtOptions]) -> StampSeries:
        """Return the stamps of many positions on every image that covers them; see `ztfdb.query.stamps.stamps_at`."""
        from ztfdb.query.stamps import stamps_at

        arguments: dict[str, Any] = {**options}
        table = position_table(positions, arguments)
        with self._sessions() as session:
            series = stamps_at(session, table, **arguments)
        return self._answer(series, table, None, arguments)

    def stamps_on_path(self, path: PositionTable, **options: Unpack[StampsOnPathOptions]) -> StampSeries:
        """Return the stamps of a moving body (``time``, ``ra``, ``dec``); see `ztfdb.query.stamps.stamps_on_path`."""
        from ztfdb.query.stamps import stamps_on_path
        from ztfdb.query.targets import path_of

        with self._sessions() as session:
            path = path_table(path)
            series = stamps_on_path(session, path, **options)
        return self._answer(series, path_of(path), None, {**options})

    def stamps_on_image(
        self, positions: PositionTable, *, image_id: int, **options: Unpack[StampsOnImageOptions]
    ) -> StampSeries:
        """Return the stamps of many positions on one image; see `ztfdb.query.stamps.stamps_on_image`."""
        from ztfdb.query.stamps import stamps_on_image

        arguments: dict[str, Any] = {**options}
        table = position_table(positions, arguments)
        with self._sessions() as session:
            return stamps_on_image(session, table, image_id=image_id, **arguments)

    def explain(self, source_id: int, **options: Unpack[ExplainOptions]) -> Explanation:
        """Return the provenance of a source, and measure it again; see `ztfdb.query.explain.explain`."""
        from ztfdb.query.explain import explain

        with self._sessions() as session:
            return explain(session, source_id, **options)

    def images_of_night(self, night: Night) -> list[int]:
        """Return the ids of the images of one night (UTC date: 20200924, ``2020-09-24``, ``today``), ascending."""
        from ztfdb.sky.dates import night_of
        from ztfdb.store.image_choice import images_of_night

        with self._sessions() as session:
            found = images_of_night(session, night_of(night))
            if not found:
                self._warn(
                    f"no image of the night {night_of(night)}; the archive holds {self._holdings(session).nights}"
                )
        return found
