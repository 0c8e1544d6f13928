"""IRSA's own table of images: INFOBITS with the bits that older headers lack, limiting magnitude and seeing."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import IntArray
from ztfdb.errors import CatalogueFileError
from ztfdb.ingest.readers import BadRow, open_table
from ztfdb.store.engine import writing
from ztfdb.store.image_metadata import METADATA, image_pids, set_metadata


@dataclass
class MetadataReport:
    """What a table of metadata came to.

    Attributes
    ----------
    n_row : int
        Rows of the table.
    n_image : int
        Images that were filled.
    unmatched : list of int
        Pids of the table of which the archive has no image.
    n_without : int
        Images of the archive of which the table has no row.
    columns : tuple of str
        What was filled.
    bad : list of BadRow
        Rows that could not be read.
    """

    n_row: int = 0
    n_image: int = 0
    unmatched: list[int] = field(default_factory=list)
    n_without: int = 0
    columns: tuple[str, ...] = ()
    bad: list[BadRow] = field(default_factory=list)

    def __str__(self) -> str:
        what = ", ".join(self.columns)
        return (
            f"{self.n_row} rows: filled {what} of {self.n_image} images; {len(self.unmatched)} rows of images that are "
            f"not in the archive, {self.n_without} images without a row, {len(self.bad)} bad rows"
        )


def import_metadata(sessions: sessionmaker[Session], path: str | Path) -> MetadataReport:
    """Fill ``infobits``, ``maglimit`` and ``seeing`` (arcsec) of images from IRSA's metadata, by pid.

    Header INFOBITS of files before some 2022 lack bit 25, by which IRSA marks images of bad photometric quality.
    Afterwards ``infobits_source`` is ``irsa``.

    Parameters
    ----------
    sessions : sessionmaker
    path : str or Path
        IRSA's answer to a search of ``ztf.sci`` (CSV, IPAC, VOTable, FITS, …) with a column ``pid`` and some of the
        three.

    Returns
    -------
    MetadataReport

    Raises
    ------
    CatalogueFileError
        If it cannot be read, has no such columns, or no row that can be used. Nothing is changed then.
    """
    reader = open_table(path)
    columns = tuple(name for name in METADATA if name in reader.names)
    if "pid" not in reader.names or not columns:
        raise CatalogueFileError(path, f"has no column pid beside one of {', '.join(METADATA)}")
    report = MetadataReport(columns=columns)
    n_without_pid = 0
    with writing(sessions) as session:
        images = image_pids(session)
        filled = np.zeros(len(images["pid"]), bool)
        for block in reader.blocks({"pid": "i", **dict.fromkeys(columns, "f")}):
            report.n_row += len(block) + len(block.bad)
            report.bad += block.bad
            pid = np.where(block.missing.get("pid", False), -1, block.columns["pid"])
            n_without_pid += int((pid == -1).sum())
            row, image = _pairs(pid, images["pid"])
            set_metadata(session, images["image_id"][image], {name: block.columns[name][row] for name in columns})
            filled[image] = True
            report.unmatched += pid[~np.isin(np.arange(len(pid)), row)].tolist()
        if len(report.bad) + n_without_pid == report.n_row:
            why = f"; the first, line {report.bad[0].line}: {report.bad[0].reason}" if report.bad else ""
            raise CatalogueFileError(path, f"none of its {report.n_row} rows can be used{why}")
    report.n_image = int(filled.sum())
    report.n_without = int((~filled).sum())
    return report


def _pairs(pid: IntArray, known: IntArray) -> tuple[IntArray, IntArray]:
    """Return row and image of every row whose pid is known; several images (cutouts) may share one."""
    first, last = np.searchsorted(known, pid), np.searchsorted(known, pid, side="right")
    n = last - first
    row = np.repeat(np.arange(len(pid)), n)
    image = np.arange(len(row)) - np.repeat(np.cumsum(n) - n, n) + np.repeat(first, n)
    return row, image
