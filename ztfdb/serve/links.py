"""Identifiers of images, and the service descriptors for links and cutouts in an answer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ztfdb.adql.obscore import PUBLISHER
from ztfdb.adql.tables import Column
from ztfdb.serve.votable import attribute, param

DATALINK_STANDARD = "ivo://ivoa.net/std/DataLink#links-1.1"
SODA_STANDARD = "ivo://ivoa.net/std/SODA#sync-1.0"
REFERENCE = "obs_publisher_did"
"""XML ID of the column of identifiers if its name is not a valid ID."""

PUBLISHER_UTYPE = "obscore:Curation.publisherDID"
_XML_ID = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_ID = re.compile(re.escape(PUBLISHER) + r"(\d{1,18})", re.IGNORECASE)


def identifier(image_id: int) -> str:
    """Return the identifier of an image."""
    return f"{PUBLISHER}{image_id}"


def image_of(text: str) -> int | None:
    """Return the image of an identifier, None if it does not belong to this service."""
    found = _ID.fullmatch(text.strip())
    return int(found[1]) if found else None


def descriptors(columns: Sequence[Column], base: str) -> tuple[int, str, str] | None:
    """Return the index of the column of identifiers, its XML ID, and the descriptors to write after the table.

    The XML ID is the column's name, because some readers use the ID as the name. None without identifiers.
    """
    at = next((at for at, column in enumerate(columns) if column.utype == PUBLISHER_UTYPE), None)
    if at is None or not base:
        return None
    key = columns[at].name if _XML_ID.fullmatch(columns[at].name) else REFERENCE
    return at, key, links_descriptor(base, key) + soda_descriptor(base, key)


def links_descriptor(base: str, ref: str) -> str:
    """Return the descriptor of the links service, for identifiers in the column of an XML ID."""
    inputs = param(Column("ID", "char", ucd="meta.id;meta.main"), "", ref=ref)
    return descriptor("datalink", DATALINK_STANDARD, f"{base}/datalink/links", inputs)


def soda_descriptor(base: str, ref: str) -> str:
    """Return the descriptor of the cutout service, for identifiers in the column of an XML ID."""
    inputs = "".join(
        [
            param(Column("ID", "char", ucd="meta.id;meta.main", description="Identifier of the image."), "", ref=ref),
            param(
                Column("CIRCLE", "double", "deg", "pos.outline;obs", "Centre and radius.", xtype="circle"), "", size="3"
            ),
            param(Column("POLYGON", "double", "deg", "pos.outline;obs", "Corners.", xtype="polygon"), "", size="*"),
            param(Column("POS", "char", "", "pos.outline;obs", "CIRCLE, RANGE or POLYGON and its numbers, deg."), ""),
            param(Column("BAND", "double", "m", "em.wl", "Wavelengths, low and high.", xtype="interval"), "", size="2"),
            param(
                Column(
                    "TIME", "double", "d", "time.interval;obs.exposure", "MJD, UTC, first and last.", xtype="interval"
                ),
                "",
                size="2",
            ),
            param(Column("MASK", "int", "", "meta.code", "1: the mask follows as an extension."), "0"),
        ]
    )
    return descriptor("soda", SODA_STANDARD, f"{base}/soda/sync", inputs)


def descriptor(name: str, standard: str, url: str, inputs: str) -> str:
    """Return a service descriptor."""
    return (
        f'<RESOURCE type="meta" utype="adhoc:service" ID={attribute(name)}>\n'
        f"{param(Column('standardID', 'char'), standard)}{param(Column('accessURL', 'char'), url)}"
        f'<GROUP name="inputParams">\n{inputs}</GROUP>\n</RESOURCE>\n'
    )
