"""Queries that bring a reference catalogue for the archive's part of the sky, and running them (extra ``vo``)."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine
from sqlalchemy.orm import Session

from ztfdb.arrays import Progress
from ztfdb.codes import PS1_BANDS
from ztfdb.errors import CatalogueServiceError, MissingExtraError
from ztfdb.ingest.catalogue_import import FileImport, import_catalogue
from ztfdb.sky.angles import separation, unit_vector
from ztfdb.sky.cells import CELL_REACH, cell_to_sky
from ztfdb.sky.footprint import FOOTPRINT_ORDER
from ztfdb.store.catalogues import footprint_cells
from ztfdb.store.engine import sessions
from ztfdb.texts import one_line

GROUP_ORDER = 6
"""Cells of the footprint are asked for together by order-6 cell (0.9 deg): some 10^5 rows a query."""

MAST_URL = "https://catalogs.mast.stsci.edu/api/v0.1/panstarrs/dr2/mean.csv"
VIZIER_URL = "https://tapvizier.cds.unistra.fr/TAPVizieR/tap"

ADDRESSES = {"mast": MAST_URL, "vizier": VIZIER_URL}

MAST_COLUMNS = (
    "objID", "raMean", "decMean", "raMeanErr", "decMeanErr", "epochMean", "nDetections", "qualityFlag", "objInfoFlag",
    *(f"{band}{kind}" for band in PS1_BANDS for kind in ("MeanPSFMag", "MeanPSFMagErr", "MeanKronMag")),
)  # fmt: skip
VIZIER_TABLES = {
    "ps1": (
        "II/349/ps1",
        ("objID", "RAJ2000", "DEJ2000", "e_RAJ2000", "e_DEJ2000", "Epoch", "Nd", "Qual", "f_objID",
         *(f"{part.format(band)}" for band in PS1_BANDS for part in ("{}mag", "e_{}mag", "{}Kmag"))),
        "Nd > 1",
    ),
    "gaia": (
        "I/355/gaiadr3",
        ("Source", "RA_ICRS", "DE_ICRS", "pmRA", "pmDE", "Plx", "e_Plx", "RUWE", "Gmag", "e_Gmag", "BPmag", "e_BPmag",
         "RPmag", "e_RPmag"),
        "Gmag < 21",
    ),
}  # fmt: skip

MAX_ROWS = 3_000_000
"""Rows asked for in one query; an answer that was cut off is refused."""


@dataclass(frozen=True)
class Cone:
    """A part of the sky: deg, deg, deg."""

    ra: float
    dec: float
    radius: float


def footprint_cones(session: Session, name: str, *, everything: bool = False) -> list[Cone]:
    """Return cones that cover the archive's images, by default only where the catalogue has no rows yet.

    Parameters
    ----------
    session : Session
    name : str
        The catalogue.
    everything : bool
        Cover also what is held.
    """
    cells = footprint_cells(session, None if everything else name)
    groups, inverse = np.unique(cells >> 2 * (FOOTPRINT_ORDER - GROUP_ORDER), return_inverse=True)
    return [_cone_around(cells[inverse == k]) for k in range(len(groups))]


def recipe(name: str, cones: list[Cone], service: str) -> list[str]:
    """Return one query per cone, ready to be pasted.

    Parameters
    ----------
    name : str
        ``ps1`` or ``gaia``.
    cones : list of Cone
    service : str
        ``mast`` (an address that answers with CSV; PS1 only) or ``vizier`` (ADQL for `VIZIER_URL`).

    Raises
    ------
    ValueError
        If there is no such recipe.
    """
    if service == "mast" and name == "ps1":
        return [mast_address(cone) for cone in cones]
    if service == "vizier" and name in VIZIER_TABLES:
        return [vizier_query(name, cone) for cone in cones]
    raise ValueError(f"there is no recipe for {name!r} at {service!r}: ps1 at mast or vizier, gaia at vizier")


def mast_address(cone: Cone) -> str:
    """Return the address by which MAST answers with the PS1 objects of a cone."""
    asked = {
        "ra": f"{cone.ra:.6f}",
        "dec": f"{cone.dec:.6f}",
        "radius": f"{cone.radius:.6f}",
        "nDetections.gt": "1",
        "columns": f"[{','.join(MAST_COLUMNS)}]",
        "pagesize": str(MAX_ROWS),
    }
    return f"{MAST_URL}?{urlencode(asked, safe='[],')}"


def vizier_query(name: str, cone: Cone) -> str:
    """Return the ADQL of a cone."""
    table, columns, condition = VIZIER_TABLES[name]
    quoted = ", ".join(f'"{column}"' for column in columns)
    return (
        f"SELECT TOP {MAX_ROWS} {quoted} FROM \"{table}\" WHERE {condition} AND 1=CONTAINS(POINT('ICRS', "
        f'"{columns[1]}", "{columns[2]}"), CIRCLE(\'ICRS\', {cone.ra:.6f}, {cone.dec:.6f}, {cone.radius:.6f}))'
    )


def fetch_catalogue(
    engine: Engine,
    name: str,
    *,
    url: str = VIZIER_URL,
    folder: str | Path | None = None,
    everything: bool = False,
    progress: Progress | None = None,
) -> list[FileImport]:
    """Ask a TAP service for a catalogue where the archive's images are, and import the answers.

    Parameters
    ----------
    engine : Engine
    name : str
        ``ps1`` or ``gaia``.
    url : str
        A TAP service with VizieR's tables.
    folder : path, optional
        Where the answers are kept; by default they are not.
    everything : bool
        Ask also for what is held.
    progress : callable, optional
        Called with queries done and queries in all.

    Returns
    -------
    list of FileImport
        One per query.

    Raises
    ------
    MissingExtraError
        If pyvo is not installed.
    CatalogueServiceError
        If the service cannot be reached or refuses; answers before that stay imported.
    CatalogueFileError
        If an answer was cut short, or is no table of the catalogue.
    """
    with sessions(engine)() as session:
        cones = footprint_cones(session, name, everything=everything)
    queries = recipe(name, cones, "vizier")
    done: list[FileImport] = []
    with _folder(folder) as place:
        for k, query in enumerate(queries, start=1):
            path = place / f"{name}_{cones[k - 1].ra:.4f}_{cones[k - 1].dec:+.4f}.vot"
            _ask(url, query, path)
            done += import_catalogue(engine, name, [path])
            if progress is not None:
                progress(k, len(queries))
    return done


def _ask(url: str, query: str, path: Path) -> None:
    """Write a service's answer to a file, as it comes."""
    try:
        import pyvo
        import requests
    except ImportError as exc:
        raise MissingExtraError("fetching a catalogue", "vo") from exc
    try:
        with (
            requests.Session() as session,
            pyvo.dal.TAPQuery(url, query, maxrec=MAX_ROWS, session=session).submit() as answer,
            path.open("wb") as file,
        ):
            answer.raise_for_status()
            for data in answer.iter_content(1 << 20):
                file.write(data)
    except (pyvo.dal.DALAccessError, requests.RequestException, OSError) as exc:
        raise CatalogueServiceError(f"{url} did not answer: {one_line(exc)}") from exc


@contextmanager
def _folder(given: str | Path | None) -> Iterator[Path]:
    if given is not None:
        place = Path(given)
        place.mkdir(parents=True, exist_ok=True)
        yield place
        return
    with tempfile.TemporaryDirectory(prefix="ztfdb-catalogue-") as name:
        yield Path(name)


def _cone_around(cells: NDArray[np.int64]) -> Cone:
    """Return a cone that holds order-9 cells wholly."""
    ra, dec = cell_to_sky(cells, FOOTPRINT_ORDER)
    x, y, z = unit_vector(ra, dec).mean(axis=1)
    center = float(np.degrees(np.arctan2(y, x)) % 360.0), float(np.degrees(np.arctan2(z, np.hypot(x, y))))
    reach = float(separation(*center, ra, dec).max()) / 3600.0
    return Cone(*center, reach + float(np.degrees(CELL_REACH / 2**FOOTPRINT_ORDER)))
