"""Parse ZTF file names, and find the mask of an image.

The header takes precedence over the name; the name only supplies values missing in the header. IRSA's cutouts and
reprocessed images have the name of the whole quadrant, and users rename files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

FILTERCODES = ("zg", "zr", "zi")
"""Filter codes by ``fid - 1``."""

SUFFIXES = (".fits", ".fits.fz", ".fits.gz")
"""File name endings of images and masks."""

_SCIENCE = re.compile(
    r"ztf_(?P<filefracday>\d{14})_(?P<field>\d{6})_(?P<filtercode>z[gri])_c(?P<ccdid>0[1-9]|1[0-6])"
    r"_(?P<imgtypecode>[a-z])(?:_q(?P<qid>[1-4])(?:_(?P<suffix>.+))?)?(?:\.fits(?:\.fz|\.gz)?)?"
)
_REFERENCE = re.compile(
    r"ztf_(?P<field>\d{6})_(?P<filtercode>z[gri])_c(?P<ccdid>0[1-9]|1[0-6])_q(?P<qid>[1-4])_(?P<suffix>.+)"
)


@dataclass(frozen=True)
class ZtfName:
    """The parts of a ZTF file name.

    Attributes
    ----------
    path : str
        The path as given.
    filefracday : int or None
        ``YYYYMMDDdddddd``, up to a minute before OBSMJD; None for references.
    field : int
    filtercode : str
        ``zg``, ``zr`` or ``zi``.
    ccdid : int
    imgtypecode : str or None
        ``o`` on sky, ``b`` bias, ``d`` dark, ``f`` flat, ``c`` focus, ``g`` guider; None for references.
    qid : int or None
        None for a raw file, which contains all 4 quadrants.
    suffix : str
        The part after the quadrant: ``sciimg.fits``, ``mskimg.fits.gz``, ``refimg.fits``; "" if nothing.
    """

    path: str
    filefracday: int | None
    field: int
    filtercode: str
    ccdid: int
    imgtypecode: str | None
    qid: int | None
    suffix: str

    @property
    def fid(self) -> int:
        """Filter id: 1 g, 2 r, 3 i."""
        return FILTERCODES.index(self.filtercode) + 1

    @property
    def rcid(self) -> int | None:
        """Readout channel 0..63; None if the name has no quadrant."""
        return None if self.qid is None else 4 * (self.ccdid - 1) + self.qid - 1

    @property
    def product(self) -> str:
        """First word of the suffix: ``sciimg``, ``mskimg``, ``refimg``, …; "" if none."""
        word = re.match(r"[a-z]*", self.suffix)
        return "" if word is None else word[0]


def parse_name(path: str | Path) -> ZtfName | None:
    """Read a ZTF science, reference or raw file name.

    Parameters
    ----------
    path : str or Path
        A path or a bare name; folders are ignored.

    Returns
    -------
    ZtfName or None
        None if it is not a ZTF name.
    """
    name = os.path.basename(path)  # noqa: PTH119 (a scan parses the name of every file; a Path costs more than this)
    match = _SCIENCE.fullmatch(name) or _REFERENCE.fullmatch(name)
    if match is None:
        return None
    part = match.groupdict()
    return ZtfName(
        path=str(path),
        filefracday=_integer(part.get("filefracday")),
        field=int(part["field"]),
        filtercode=part["filtercode"],
        ccdid=int(part["ccdid"]),
        imgtypecode=part.get("imgtypecode"),
        qid=_integer(part["qid"]),
        suffix=part["suffix"] or "",
    )


def mask_path_for(sci_path: str | Path) -> Path | None:
    """Return the mask that lies beside a science image.

    Parameters
    ----------
    sci_path : str or Path
        The image; ``sciimg`` in its name becomes ``mskimg``, whatever the rest of the name is.

    Returns
    -------
    Path or None
        The mask with the same ending if it exists, else plain, ``.fz`` or ``.gz``; None if none exists or the image is
        not a ``sciimg``.
    """
    return next((mask for mask in mask_paths_for(sci_path) if mask.is_file()), None)


def mask_paths_for(sci_path: str | Path) -> list[Path]:
    """Return the possible paths of a science image's mask, in the order of `mask_path_for`; empty for other names."""
    path = Path(sci_path)
    return [path.with_name(name) for name in mask_names_for(path.name)]


def mask_names_for(name: str) -> list[str]:
    """Return the names of `mask_paths_for`, from the image's name."""
    stem, marker, ending = name.rpartition("sciimg")
    return [f"{stem}mskimg{one}" for one in dict.fromkeys((ending, *SUFFIXES))] if marker else []


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)
