"""Archives with images and reference catalogues made of columns, without pixels and without files."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from tests.support.measured import EXPID, make_measured, make_sources
from ztfdb.ingest.commit import commit_image
from ztfdb.sky.cells import sky_to_cell
from ztfdb.store.catalogue_import import Growth, add_rows, record_file
from ztfdb.store.catalogues import get_catalogue, make_catalogue
from ztfdb.store.engine import make_engine, sessions, writing

RCID = 50


@contextmanager
def open_sessions(url):
    """Sessions on the archive of a URL."""
    engine = make_engine(url)
    try:
        yield sessions(engine)
    finally:
        engine.dispose()


def make_image(ra, dec, *, seed=0, expid=EXPID, sources: dict[str, Any] | None = None, **info: Any):
    """A measured image whose sources are at these positions; clean and bright unless `sources` says otherwise."""
    ra, dec = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
    n = len(ra)
    table = make_sources(n, seed=seed)
    table = replace(
        table,
        ra=ra,
        dec=dec,
        hpx29=sky_to_cell(ra, dec),
        flags=np.zeros(n, np.int32),
        mask_bits=np.zeros(n, np.int32),
        flux_aper=np.full((6, n), 1e4, "f4"),
        flux_aper_err=np.full((6, n), 30, "f4"),
        **(sources or {}),
    )
    measured = make_measured(f"/data/ztf/{expid}_sciimg.fits", content=str(expid), seed=seed, expid=expid, **info)
    cells = np.unique(table.hpx29 >> 40)
    return replace(measured, sources=table, cells=cells)


def store_image(maker, ra, dec, **how) -> int:
    """Store such an image as ingest does, and return its id."""
    measured = make_image(ra, dec, **how)
    commit_image(maker, measured)
    return measured.info.image_id


def hold(maker, name, ids, ra, dec, **columns):
    """Put rows into a catalogue, as an import would."""
    with writing(maker) as session:
        catalogue = make_catalogue(session, name)
        growth = Growth()
        ids, ra, dec = np.asarray(ids, np.int64), np.asarray(ra, float), np.asarray(dec, float)
        rows = {catalogue.id_column: ids, "hpx29": sky_to_cell(ra, dec), "ra": ra, "dec": dec, **columns}
        if catalogue.kind == "ps1":
            rows.setdefault("photometry", np.ones(len(ids), np.int16))
        add_rows(session, catalogue, rows, growth)
        facts = {"path": f"{name}.csv", "size": 1, "format": "csv", "layout": "named"}
        record_file(session, catalogue, growth, n_bad=0, sha256=hashlib.sha256(ids.tobytes()).hexdigest(), **facts)
        return get_catalogue(session, name)
