"""The facts of an archive, fixed when it was made; `ztfdb.store.meta_rows` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ztfdb.errors import SettingsMismatchError
from ztfdb.store.backends import AnySession
from ztfdb.store.select import records

MAGERR_SYS = 0.015
"""Default systematic floor of ``magerr``, mag (IRSA's own is 0.013 to 0.030)."""

FINGERPRINT = "views"
"""Key of the fingerprint of `ztfdb.store.views`; not a fact of the archive."""


def read_meta(session: AnySession) -> dict[str, Any]:
    """Return the fixed facts; empty if the archive has a schema but was never opened for writing.

    The keys are ``healpix_order``, ``aperture_diameters``, ``settings``, ``magerr_sys``, ``created`` and
    ``ztfdb_version``.
    """
    statement = "select key, value from archive_meta where key <> :views order by key"
    rows = records(session, statement, {"key": "O", "value": "O"}, {"views": FINGERPRINT})
    return {row["key"]: json.loads(row["value"]) for row in rows}


def check_settings(frozen: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Check that `settings` equal the `frozen` ones of the archive.

    Raises
    ------
    SettingsMismatchError
        If not; the message names each setting that differs. Other settings need another archive.
    """
    wanted = json.loads(json.dumps(dict(settings)))  # as JSON has them: tuples become lists
    differing = [
        f"{name} is {frozen.get(name)!r} in the archive and {wanted.get(name)!r} here"
        for name in sorted(frozen.keys() | wanted.keys())
        if frozen.get(name) != wanted.get(name)
    ]
    if differing:
        raise SettingsMismatchError(
            "these settings are not the archive's: " + "; ".join(differing) + "; make a second archive to compare"
        )
