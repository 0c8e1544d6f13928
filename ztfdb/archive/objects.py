"""Objects of an archive: detections joined across epochs, fields and filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from ztfdb.archive.base import OpenArchive
from ztfdb.options import (
    ProgressOptions,
)

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.derive.objects import ObjectsReport


class Objects(OpenArchive):
    """Objects of an archive: detections joined across epochs, fields and filters."""

    def object_position(self, oid: int) -> tuple[float, float, bool]:
        """Return the position (deg) of an object or an ``oid``, and whether the number is the object's own id.

        Raises
        ------
        UnknownObjectError
            If no object has this id, and no reference catalogue and no image has this ``oid``.
        """
        from ztfdb.derive.objects import summarise
        from ztfdb.query.oids import position_of_oid

        with self._sessions() as session:
            if oid < 0:
                return *position_of_oid(session, oid), False
            known = summarise(session, oid).iloc[0]
        return float(known["ra"]), float(known["dec"]), int(known["object_id"]) == oid

    def build_objects(self, **options: Unpack[ProgressOptions]) -> ObjectsReport:
        """Join all detections to objects; see `ztfdb.derive.objects.build_objects`."""
        from ztfdb.derive.objects import build_objects

        return build_objects(self._sessions, **options)

    def update_objects(self, **options: Unpack[ProgressOptions]) -> ObjectsReport:
        """Update the objects to the current images; see `ztfdb.derive.objects.update_objects`."""
        from ztfdb.derive.objects import update_objects

        return update_objects(self._sessions, **options)

    def object(self, object_id: int) -> pd.DataFrame:
        """Return the statistics of an object, one row per filter; see `ztfdb.derive.objects.summarise`."""
        from ztfdb.derive.objects import summarise

        with self._sessions() as session:
            return summarise(session, object_id)

    def object_oids(self, object_id: int) -> pd.DataFrame:
        """Return the ZTF reference sources of an object; see `ztfdb.derive.objects.object_oids`."""
        from ztfdb.derive.objects import object_oids

        with self._sessions() as session:
            return object_oids(session, object_id)
