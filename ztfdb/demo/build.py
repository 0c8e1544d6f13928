"""Build the demo's archive: ingest the real quadrant and simulated images of its field on other nights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ztfdb.archive import open_archive
from ztfdb.arrays import Progress
from ztfdb.demo.epochs import SIMULATED_EPOCHS, DemoError, choose_star, field_stars, simulate_epochs
from ztfdb.frame.fitsfile import find_image, read_bytes
from ztfdb.ids import SOURCE_ID_SHIFT

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.archive import Archive
    from ztfdb.ingest.report import IngestProgress, IngestReport

DATABASE = "demo.sqlite"
SIMULATED = "simulated"
"""Folder of the simulated images, below the demo's."""

_SOURCES = """
select source.x, source.y, source.ra, source.dec, source.flux_aper4, source.flags, source.mask_bits,
       image.magzp, image.apcor4, image.nx, image.ny
from source join image on image.image_id = source.image_id
where source.source_id >= :first and source.source_id < :last
order by source.source_id
"""


@dataclass(frozen=True)
class Demo:
    """Result of `build_demo`.

    Attributes
    ----------
    database : Path
        The SQLite archive.
    ra, dec : float
        Position of the variable star, deg.
    reports : tuple of IngestReport
        Reports on the real image and on the simulated ones.
    """

    database: Path
    ra: float
    dec: float
    reports: tuple[IngestReport, IngestReport]


def build_demo(
    folder: Path,
    science: Path,
    *,
    jobs: int = 2,
    measured: IngestProgress | None = None,
    painted: Progress | None = None,
) -> Demo:
    """Create the demo's archive in `folder`; existing parts are kept.

    Parameters
    ----------
    folder : Path
        Created if it does not exist.
    science : Path
        A real science image, its mask beside it.
    jobs : int
        Processes that measure the simulated images.
    measured : IngestProgress, optional
        Called for every ingested image.
    painted : callable, optional
        Called with the number of simulated images done and the total number.

    Returns
    -------
    Demo

    Raises
    ------
    DemoError
        If the real image could not be measured, or has no suitable star.
    """
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / DATABASE
    with open_archive(f"sqlite:///{database}", create=True) as archive:
        real = archive.ingest(science, progress=measured)
        sources = _sources(archive, real)
        stars = field_stars(sources)
        star = choose_star(stars, (int(sources["ny"].iloc[0]), int(sources["nx"].iloc[0])))
        epochs = []
        for path in simulate_epochs(find_image(read_bytes(science)).header, stars, star, folder / SIMULATED):
            epochs.append(path)
            if painted is not None:
                painted(len(epochs), len(SIMULATED_EPOCHS))
        simulated = archive.ingest(epochs, jobs=jobs, progress=measured)
    return Demo(database, star.ra, star.dec, (real, simulated))


def _sources(archive: Archive, real: IngestReport) -> pd.DataFrame:
    """Return the sources of the real image with its calibration."""
    outcome = real.outcomes[0]
    if outcome.image_id is None:
        raise DemoError(f"the demo's image cannot be measured: {outcome.reason}")
    first = outcome.image_id << SOURCE_ID_SHIFT
    sources = archive.sql(_SOURCES, first=first, last=first + (1 << SOURCE_ID_SHIFT))
    if sources.empty:
        raise DemoError("the demo's image has no sources")
    return sources
