"""What a ZTF file name says, and which mask belongs to which image.

A name is a witness, never the judge: IRSA's cutouts and reprocessed images carry the name of the whole quadrant, and
users rename files. The header decides; the name fills what the header leaves out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FILTERCODES = ("zg", "zr", "zi")
"""Filter codes by ``fid - 1``."""

SUFFIXES = (".fits", ".fits.fz", ".fits.gz")
"""Endings under which images and masks are found."""

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
        None for a raw file, which holds all four quadrants.
    suffix : str
        What follows the quadrant, ending included: ``sciimg.fits``, ``mskimg.fits.gz``, ``refimg.fits``; "" if nothing.
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
        """Readout channel 0..63; None where the name has no quadrant."""
        return None if self.qid is None else 4 * (self.ccdid - 1) + self.qid - 1

    @property
    def product(self) -> str:
        """The word that the suffix begins with: ``sciimg``, ``mskimg``, ``refimg``, …; "" if none."""
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
        None where the name is not one of ZTF's.
    """
    name = Path(path).name
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
        The mask with the same ending where there is one, else plain, ``.fz`` or ``.gz``; None where none lies there
        or the image is not a ``sciimg``.
    """
    return next((mask for mask in mask_paths_for(sci_path) if mask.is_file()), None)


def mask_paths_for(sci_path: str | Path) -> list[Path]:
    """Return where the mask of a science image may lie, in the order of `mask_path_for`; empty for other names."""
    path = Path(sci_path)
    stem, marker, ending = path.name.rpartition("sciimg")
    endings = dict.fromkeys((ending, *SUFFIXES)) if marker else ()
    return [path.with_name(f"{stem}mskimg{one}") for one in endings]


def _integer(text: str | None) -> int | None:
    return None if text is None else int(text)
