"""Write the facts of a new archive, and the configurations of its measurements."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.orm import Session

from ztfdb import __version__
from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.records import MeasurementConfig
from ztfdb.schema import ArchiveMeta, Base, Config
from ztfdb.sky.cells import HPX_ORDER
from ztfdb.store.backends import backend
from ztfdb.store.meta import MAGERR_SYS, read_meta

_CONFIG = Base.metadata.tables["config"]
_CONFIG_OF = select(_CONFIG.c.config_id).where(_CONFIG.c.config_hash == bindparam("hash"))
"""Built once, because building a statement takes longer than running it, and it runs for every image."""

_META_LOCK = -1  # never an image id: those, the other keys of `lock_name`, are not negative


def create_meta(session: Session, settings: Mapping[str, Any], *, magerr_sys: float = MAGERR_SYS) -> dict[str, Any]:
    """Store the facts of a new archive and return them; existing ones are not changed.

    Parameters
    ----------
    session : Session
    settings : mapping
        The extraction settings as plain JSON values.
    magerr_sys : float
        Systematic floor of ``magerr``, mag.
    """
    backend(session).lock_name(_META_LOCK)  # two processes may open a new archive at the same time
    found = read_meta(session)
    if found:
        return found
    facts = {
        "healpix_order": HPX_ORDER,
        "aperture_diameters": list(APERTURE_DIAMETERS),
        "settings": dict(settings),
        "magerr_sys": magerr_sys,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "ztfdb_version": __version__,
    }
    rows = [{"key": key, "value": json.dumps(value, sort_keys=True)} for key, value in facts.items()]
    session.execute(insert(ArchiveMeta), rows)
    return read_meta(session)


def config_id(session: Session, config: MeasurementConfig) -> int:
    """Return the id of a measurement configuration, stored if it is new."""
    found = _find_config(session, config.config_hash)
    if found is not None:
        return found
    backend(session).lock_name(_META_LOCK)
    found = _find_config(session, config.config_hash)
    if found is not None:
        return found
    row = {"config_hash": config.config_hash, "settings": config.settings, "versions": config.versions}
    return session.execute(insert(Config).returning(Config.config_id), row).scalar_one()


def _find_config(session: Session, config_hash: str) -> int | None:
    found = session.execute(_CONFIG_OF, {"hash": config_hash}).scalar()
    return None if found is None else int(found)
