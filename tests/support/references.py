"""PSF catalogues made of columns, without files: of references, and of images that were measured by hand."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from tests.support.measured import make_file
from ztfdb.frame.psfcat import reference_image_id
from ztfdb.records import PsfCatalogueRecord, PsfTable
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.engine import writing
from ztfdb.store.psf_catalogues import store_psf

MAGZP = 26.0
_NOTHING: dict[str, Any] = dict.fromkeys(field.name for field in dataclasses.fields(PsfCatalogueRecord))


def make_catalogue(
    ra: Any,
    dec: Any,
    mag: Any = 17.0,
    *,
    field: int = 651,
    fid: int = 1,
    rcid: int = 0,
    role: str = "refpsfcat",
    content: str = "reference",
    table: dict[str, Any] | None = None,
    **facts: Any,
) -> PsfCatalogueRecord:
    """A catalogue of sources at these positions; `table` and `facts` replace columns of it and facts about it."""
    ra, dec = (np.atleast_1d(np.asarray(v, float)) for v in (ra, dec))
    n = len(ra)
    mag = np.broadcast_to(np.asarray(mag, float), n)
    flux = 10.0 ** (-0.4 * (mag - MAGZP))
    columns: dict[str, Any] = {
        "sourceid": np.arange(n, dtype=np.int64),
        "hpx29": sky_to_cell(ra, dec),
        "ra": ra,
        "dec": dec,
        "x": np.full(n, 100.0),
        "y": np.full(n, 100.0),
        "flux": flux,
        "flux_err": 0.01 * flux,
        "mag_inst": mag - MAGZP,
        "sigmag": np.full(n, 0.0108),
        "snr": np.full(n, 100.0),
        "chi": np.ones(n),
        "sharp": np.zeros(n),
        "flags": np.zeros(n, np.int16),
        **(table or {}),
    }
    single = ("flux", "flux_err", "mag_inst", "sigmag", "snr", "chi", "sharp")
    columns |= {name: np.asarray(columns[name]).astype("f4") for name in single}
    filtercode = ("zg", "zr", "zi")[fid - 1]
    values = _NOTHING | {
        "role": role, "field": field, "ccdid": rcid // 4 + 1, "qid": rcid % 4 + 1, "rcid": rcid, "fid": fid,
        "filtercode": filtercode, "simulated": False, "magzp": MAGZP, "cards": {}, "table": PsfTable(**columns),
        "file": make_file(f"/generated/{field}_{filtercode}_{rcid}_{role}.fits", content, role),
    }  # fmt: skip
    return PsfCatalogueRecord(**(values | facts))


def store_reference(maker, record: PsfCatalogueRecord) -> int:
    """Store a reference's catalogue as ingest would, and return the id of its image."""
    image_id = reference_image_id(record)
    with writing(maker) as session:
        store_psf(session, image_id, record)
    return image_id
