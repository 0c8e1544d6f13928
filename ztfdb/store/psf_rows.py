"""Rows of ZTF's own PSF catalogues by position, and the dates of the catalogues."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ztfdb.arrays import Columns
from ztfdb.store.backends import AnySession, reads


def psf_catalogue_dates(session: AnySession, image_id: NDArray[Any]) -> Columns:
    """Return ``obsmjd``, ``filtercode``, ``role`` and ``magzp`` of catalogues, ordered by ``image_id``.

    Date and zero point are those of the image if it is in the archive, else those of the catalogue.
    """
    rows, params = reads(session).range_rows(id=image_id)
    statement = f"""
        select c.image_id, coalesce(image.obsmjd, c.obsmjd), c.filtercode, c.role, coalesce(image.magzp, c.magzp)
        from {rows} cross join psf_catalogue as c left join image on image.image_id = c.image_id
        where c.image_id = r.id order by c.image_id"""
    dtypes = {"image_id": "i8", "obsmjd": "f8", "filtercode": "O", "role": "O", "magzp": "f8"}
    return reads(session).by_index().read_columns(statement, params, dtypes)
