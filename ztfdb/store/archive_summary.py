"""Counts over an archive, from its images alone: the tables of sources are not read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from ztfdb.bits import Caveat
from ztfdb.store.backends import AnySession, reads
from ztfdb.store.meta import read_meta
from ztfdb.store.select import records

_OWN_FILE = "image_file.role in ('sci', 'ref')"
"""An image's own file, not its mask: `ztfdb.store.image_files.OWN_ROLES`."""


def archive_summary(session: AnySession) -> dict[str, Any]:
    """Return what the archive holds; see `ztfdb.query.status.status`."""
    total = """
        select count(*) as n_image, cast(coalesce(sum(n_source), 0) as bigint) as n_source,
               count(distinct field) as n_field, count(case when simulated then 1 end) as n_simulated
        from image"""
    (counts,) = records(session, total, dict.fromkeys(("n_image", "n_source", "n_field", "n_simulated"), "i8"))
    kinds = "select kind, count(*) as n from image group by kind order by kind"
    return {
        **counts,
        "images": {row["kind"]: row["n"] for row in records(session, kinds, {"kind": "O", "n": "i8"})},
        "filters": _filters(session),
        "configs": _configs(session),
        "caveats": _caveats(session),
        "roots": _roots(session),
        "archive": read_meta(session),
    }


def coverage_summary(session: AnySession) -> dict[str, Any]:
    """Return where and when the images are; see `ztfdb.query.hint.Holdings`."""
    quadrants = "select field, min(ra) as ra, min(dec) as dec from image group by field, rcid"
    places = reads(session).read_columns(quadrants, {}, {"field": "i8", "ra": "f8", "dec": "f8"})
    span = "select count(*) as n_image, min(obsmjd) as first, max(obsmjd) as last from image"
    found = reads(session).read_columns(span, {}, {"n_image": "i8", "first": "f8", "last": "f8"})
    return {
        "n_image": int(found["n_image"][0]),
        "fields": tuple(np.unique(places["field"]).tolist()),
        "filters": {row["filtercode"]: row["n_image"] for row in _filters(session)},
        "first": float(found["first"][0]),
        "last": float(found["last"][0]),
        "ra": places["ra"],
        "dec": places["dec"],
    }


def _filters(session: AnySession) -> list[dict[str, Any]]:
    statement = """
        select filtercode, count(*) as n_image, cast(sum(n_source) as bigint) as n_source,
               min(obsmjd) as first_mjd, max(obsmjd) as last_mjd
        from image group by fid, filtercode order by fid, filtercode"""
    dtypes = {"filtercode": "O", "n_image": "i8", "n_source": "i8", "first_mjd": "f8", "last_mjd": "f8"}
    return records(session, statement, dtypes)


def _configs(session: AnySession) -> list[dict[str, Any]]:
    statement = """
        select config.config_hash, count(image.image_id) as n_image, cast(config.versions as text) as versions
        from config left join image on image.config_id = config.config_id
        group by config.config_id, config.config_hash, cast(config.versions as text) order by config.config_id"""
    rows = records(session, statement, {"config_hash": "O", "n_image": "i8", "versions": "O"})
    return [row | {"versions": json.loads(row["versions"])} for row in rows]


def _caveats(session: AnySession) -> list[dict[str, Any]]:
    """Return the number of images with each caveat, and the path of the first."""
    kinds = "select caveats, count(*) as n, min(image_id) as first from image where caveats > 0 group by caveats"
    rows = records(session, kinds, {"caveats": "i8", "n": "i8", "first": "i8"})
    found = []
    for caveat in Caveat:
        having = [row for row in rows if caveat in Caveat(row["caveats"])]
        if having:
            own = f"select path from image_file where image_id = :first and {_OWN_FILE}"
            paths = records(session, own, {"path": "O"}, {"first": min(row["first"] for row in having)})
            path = paths[0]["path"] if paths else None
            found.append({"caveat": int(caveat), "n_image": sum(row["n"] for row in having), "path": path})
    return found


def _roots(session: AnySession) -> list[dict[str, Any]]:
    statement = f"""
        select data_root.name, data_root.path, count(image_file.image_id) as n_image
        from data_root
        left join image_file on image_file.data_root_id = data_root.data_root_id and {_OWN_FILE}
        group by data_root.data_root_id, data_root.name, data_root.path order by data_root.name"""
    return records(session, statement, {"name": "O", "path": "O", "n_image": "i8"})
