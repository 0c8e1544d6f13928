"""Counts over an archive, from its images alone: the sources are not visited."""

from __future__ import annotations

from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ztfdb.bits import Caveat
from ztfdb.schema import Config, DataRoot, Image, ImageFile
from ztfdb.store.image_files import OWN_ROLES
from ztfdb.store.meta import read_meta


def archive_summary(session: Session) -> dict[str, Any]:
    """Return what the archive holds; see `ztfdb.query.status.status`."""
    total = select(func.count(), func.coalesce(func.sum(Image.n_source), 0), func.count(Image.field.distinct()))
    n_image, n_source, n_field = session.execute(total).one()
    simulated = session.scalar(select(func.count()).where(Image.simulated))
    kinds = session.execute(select(Image.kind, func.count()).group_by(Image.kind).order_by(Image.kind))
    return {
        "n_image": int(n_image),
        "n_source": int(n_source),
        "n_field": int(n_field),
        "n_simulated": int(simulated or 0),
        "images": {kind: int(n) for kind, n in kinds},
        "filters": _filters(session),
        "configs": _configs(session),
        "caveats": _caveats(session),
        "roots": _roots(session),
        "archive": read_meta(session),
    }


def coverage_summary(session: Session) -> dict[str, Any]:
    """Return where and when the images are; see `ztfdb.query.hint.Holdings`."""
    quadrants = select(Image.field, func.min(Image.ra), func.min(Image.dec)).group_by(Image.field, Image.rcid)
    rows = session.execute(quadrants).all()
    span = select(func.count(), func.min(Image.obsmjd), func.max(Image.obsmjd))
    n_image, first, last = session.execute(span).one()
    return {
        "n_image": int(n_image),
        "fields": tuple(sorted({int(row[0]) for row in rows})),
        "filters": {row["filtercode"]: int(row["n_image"]) for row in _filters(session)},
        "first": np.nan if first is None else float(first),
        "last": np.nan if last is None else float(last),
        "ra": np.array([row[1] for row in rows], dtype=np.float64),
        "dec": np.array([row[2] for row in rows], dtype=np.float64),
    }


def _filters(session: Session) -> list[dict[str, Any]]:
    statement = (
        select(
            Image.filtercode,
            func.count().label("n_image"),
            func.sum(Image.n_source).label("n_source"),
            func.min(Image.obsmjd).label("first_mjd"),
            func.max(Image.obsmjd).label("last_mjd"),
        )
        .group_by(Image.fid, Image.filtercode)
        .order_by(Image.fid, Image.filtercode)
    )
    return [dict(row) | {"n_source": int(row["n_source"])} for row in session.execute(statement).mappings()]


def _configs(session: Session) -> list[dict[str, Any]]:
    statement = (
        select(Config.config_hash, func.count(Image.image_id).label("n_image"), Config.config_id)
        .outerjoin(Image, Image.config_id == Config.config_id)
        .group_by(Config.config_id, Config.config_hash)
        .order_by(Config.config_id)
    )
    versions = {row.config_id: row.versions for row in session.execute(select(Config.config_id, Config.versions))}
    return [
        {"config_hash": row.config_hash, "n_image": int(row.n_image), "versions": versions[row.config_id]}
        for row in session.execute(statement)
    ]


def _caveats(session: Session) -> list[dict[str, Any]]:
    """Return how many images lack what, and the path of the first of each."""
    kinds = select(Image.caveats, func.count(), func.min(Image.image_id)).where(Image.caveats > 0)
    rows = session.execute(kinds.group_by(Image.caveats)).all()
    found = []
    for caveat in Caveat:
        having = [(n, first) for bits, n, first in rows if caveat in Caveat(bits or 0)]
        if having:
            own = (ImageFile.image_id == min(first for _, first in having), ImageFile.role.in_(OWN_ROLES))
            path = session.scalar(select(ImageFile.path).where(*own))
            found.append({"caveat": int(caveat), "n_image": sum(n for n, _ in having), "path": path})
    return found


def _roots(session: Session) -> list[dict[str, Any]]:
    statement = (
        select(DataRoot.name, DataRoot.path, func.count(ImageFile.image_id).label("n_image"))
        .outerjoin(ImageFile, (ImageFile.data_root_id == DataRoot.data_root_id) & ImageFile.role.in_(OWN_ROLES))
        .group_by(DataRoot.data_root_id, DataRoot.name, DataRoot.path)
        .order_by(DataRoot.name)
    )
    return [dict(row) for row in session.execute(statement).mappings()]
