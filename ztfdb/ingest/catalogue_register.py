"""Catalogues that are not imported: a HATS catalogue is noted and read where it lies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.catalogue_import import check_name
from ztfdb.store.catalogue_import import register
from ztfdb.store.catalogues import KINDS, LIGHT_CURVES
from ztfdb.store.engine import sessions, writing
from ztfdb.surveys.curves import nested_columns
from ztfdb.surveys.files import is_url
from ztfdb.surveys.hats import count_of
from ztfdb.surveys.registered import SCHEME, RegisteredCatalogue


@dataclass(frozen=True)
class Registered:
    """What was noted of a catalogue.

    Attributes
    ----------
    name, location : str
    layout : str
        Whose column names were recognised.
    n_row : int
    area : float
        Of its partitions, deg².
    known : bool
        It was noted before and has not changed.
    """

    name: str
    location: str
    layout: str
    n_row: int
    area: float
    known: bool


def add_catalogue(
    engine: Engine,
    name: str,
    location: str,
    *,
    columns: Mapping[str, str] | None = None,
    epoch: float | None = None,
) -> Registered:
    """Note a HATS catalogue without importing it; images are matched with it as with any other.

    Parameters
    ----------
    engine : Engine
        Of the archive.
    name : str
        ``ps1``, ``gaia``, ``irsa`` for ZTF's own light curves (`ztfdb.query.irsa.published`), or any name for
        another catalogue.
    location : str
        ``hats:`` and a folder or URL (extra ``remote``), of a catalogue or a collection. Everybody who matches images
        must find it there.
    columns : mapping of str to str, optional
        Name in the catalogue by column of ours, for catalogues of no known layout; see `import_catalogue`.
    epoch : float, optional
        Julian year of the positions where the catalogue does not say.

    Raises
    ------
    CatalogueFileError
        If there is no HATS catalogue, or its columns cannot be understood.
    ValueError
        If the name makes no sense, or the archive holds rows of a catalogue of this name.
    """
    check_name(name, (), imported=False)
    place = location.removeprefix(SCHEME)
    if place == location or not place:
        raise ValueError(f"{location!r}: expected {SCHEME}PATH or {SCHEME}URL; `catalog import` takes files")
    if not is_url(place):
        place = str(Path(place).expanduser().absolute())
    try:
        opened = RegisteredCatalogue(place, name if name in (*KINDS, LIGHT_CURVES) else "reference", columns, epoch)
        opened.check()
    except ValueError as exc:
        raise CatalogueFileError(place, str(exc)) from exc
    if name == LIGHT_CURVES:
        nested_columns(opened)
    table, motion = opened.table, opened.motion()
    n_row = table.n_row()
    reading = {"columns": dict(columns or {}), "epoch": epoch, "area": table.area, "digest": table.digest}
    facts = {
        "size": 1024 * (count_of(table.properties.get("hats_estsize")) or 0),
        "sha256": table.digest,
        "layout": opened.plan.layout.name,
    }
    with writing(sessions(engine)) as session:
        new = register(session, name, place, reading, motion, n_row=n_row, **facts)
    return Registered(name, place, opened.plan.layout.name, n_row, table.area, new is None)
