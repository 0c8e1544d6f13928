"""An ingested image measured again at given positions, from its stored files: what a worker process runs.

This module and all it imports know neither SQLAlchemy nor pandas.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ztfdb.errors import ImageError
from ztfdb.extract.forced import FEW, ForcedFluxes, joined, measure_window, window_for
from ztfdb.frame.window import PixelFile, open_pixels
from ztfdb.records import FloatArray, IntArray, StoredImage


@dataclass(frozen=True, eq=False)
class Revisit:
    """Positions to be measured on one image.

    Attributes
    ----------
    image : StoredImage
    row : ndarray of int64, shape (n,)
        The caller's own numbers of the positions.
    x, y : ndarray, shape (n,)
        Zero-based pixels, on the image.
    """

    image: StoredImage
    row: IntArray
    x: FloatArray
    y: FloatArray


@dataclass(frozen=True, eq=False)
class Revisited:
    """What became of a `Revisit`.

    Attributes
    ----------
    image_id : int
    row : ndarray of int64, shape (n,)
        As in the `Revisit`.
    fluxes : ForcedFluxes or None
        None where the files could not be used.
    problem : ImageError or None
        Why not.
    accepted : tuple of (str, int)
        Role and new modification time of files that were touched but hold what was ingested.
    """

    image_id: int
    row: IntArray
    fluxes: ForcedFluxes | None
    problem: ImageError | None = None
    accepted: tuple[tuple[str, int], ...] = ()


def revisit_images(revisits: Iterable[Revisit]) -> list[Revisited]:
    """Measure positions on several images, one after the other."""
    return [revisit_image(one) for one in revisits]


def revisit_image(revisit: Revisit) -> Revisited:
    """Measure positions on one image; each of its files is opened once.

    The background is the one of ingest, so a position at which a source was detected gets the source's fluxes.

    Returns
    -------
    Revisited
        With the problem, instead of an exception, where a file is missing, changed or unreadable.
    """
    image = revisit.image
    try:
        with ExitStack() as stack:
            pixels = stack.enter_context(open_pixels(image, image.own))
            mask = stack.enter_context(open_pixels(image, image.mask)) if image.mask is not None else None
            fluxes = _measure(revisit, pixels, mask)
            times = [(image.own, pixels.mtime_ns)]
            if image.mask is not None and mask is not None:
                times.append((image.mask, mask.mtime_ns))
    except ImageError as exc:
        return Revisited(image.image_id, revisit.row, None, exc)
    accepted = tuple((file.role, now) for file, now in times if now != file.mtime_ns)
    return Revisited(image.image_id, revisit.row, fluxes, None, accepted)


def _measure(revisit: Revisit, pixels: PixelFile, mask: PixelFile | None) -> ForcedFluxes:
    image, x, y = revisit.image, revisit.x, revisit.y
    if len(x) > FEW:
        return _measure_in(image, pixels, mask, slice(0, image.shape[0]), slice(0, image.shape[1]), x, y)
    return joined(
        [
            _measure_in(image, pixels, mask, *window_for(image.shape, *at), *(np.array([v]) for v in at))
            for at in zip(x.tolist(), y.tolist(), strict=True)
        ]
    )


def _measure_in(
    image: StoredImage,
    pixels: PixelFile,
    mask: PixelFile | None,
    rows: slice,
    cols: slice,
    x: FloatArray,
    y: FloatArray,
) -> ForcedFluxes:
    return measure_window(
        pixels.read(rows, cols),
        None if mask is None else mask.read(rows, cols),
        image.mesh,
        x,
        y,
        image.sky_noise,
        gain=image.gain,
        origin=(cols.start, rows.start),
    )
