"""Coverage of the sky as a Multi-Order Coverage map (IVOA MOC 2.0)."""

from __future__ import annotations

import io
import json

import numpy as np

from ztfdb.arrays import IntArray
from ztfdb.sky.footprint import FOOTPRINT_ORDER


def cells_by_order(cells: IntArray, order: int = FOOTPRINT_ORDER) -> dict[int, list[int]]:
    """Return cells by order; four that make up a coarser cell are replaced by it.

    Parameters
    ----------
    cells : ndarray of int64
        HEALPix cells, NESTED.
    order : int
        Their order.
    """
    found: dict[int, list[int]] = {}
    left = np.unique(np.asarray(cells, np.int64))
    for level in range(order, 0, -1):
        coarse, count = np.unique(left >> 2, return_counts=True)
        whole = coarse[count == 4]
        rest = left[~np.isin(left >> 2, whole)]
        if len(rest) or level == order:
            found[level] = rest.tolist()
        left = whole
    if len(left):
        found[0] = left.tolist()
    return dict(sorted(found.items()))


def as_json(cells: IntArray) -> bytes:
    """Return a MOC in its JSON form; the deepest order is included even without cells."""
    return json.dumps({str(order): values for order, values in cells_by_order(cells).items()}).encode()


def as_ascii(cells: IntArray) -> bytes:
    """Return a MOC in its ASCII form, with adjacent cells as ranges."""
    return " ".join(f"{order}/{' '.join(_ranges(values))}" for order, values in cells_by_order(cells).items()).encode()


def as_fits(cells: IntArray) -> bytes:
    """Return a MOC as a FITS file: cells of all orders as NUNIQ numbers (section 4.3.1 of MOC 2.0), ascending."""
    from astropy.io import fits  # 0.3 s, for this form only

    found = cells_by_order(cells)
    numbers = [4 ** (order + 1) + np.array(values, np.int64) for order, values in found.items()]
    uniq = np.sort(np.concatenate(numbers)) if numbers else np.empty(0, np.int64)
    table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "1K", array=uniq)])
    table.header.update(
        MOCVERS=("2.0", "version of MOC"),
        MOCDIM=("SPACE", "it is of the sky alone"),
        ORDERING=("NUNIQ", "how cells are numbered"),
        COORDSYS=("C", "ICRS"),
        MOCORD_S=(max(found, default=FOOTPRINT_ORDER), "deepest order"),
        MOCORDER=(max(found, default=FOOTPRINT_ORDER), "deepest order, as MOC 1.1 writes it"),
        PIXTYPE=("HEALPIX", "HEALPix, NESTED"),
    )
    stream = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(stream, checksum=True)
    return stream.getvalue()


def _ranges(values: list[int]) -> list[str]:
    if not values:
        return []
    numbers = np.array(values)
    starts = np.flatnonzero(np.diff(numbers, prepend=numbers[0] - 2) != 1)
    stops = [*(starts[1:] - 1).tolist(), len(numbers) - 1]
    return [
        str(values[a]) if a == b else f"{values[a]}-{values[b]}" for a, b in zip(starts.tolist(), stops, strict=True)
    ]
