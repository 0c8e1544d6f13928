"""Measure an ingested image again at given positions, from its files; worker processes run this.

This module imports neither SQLAlchemy nor pandas, directly or indirectly.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from ztfdb.arrays import FloatArray, IntArray
from ztfdb.bits import SourceFlag
from ztfdb.dao.psffile import read_psf
from ztfdb.errors import ImageError, PsfFileError
from ztfdb.extract.forced import FEW, ForcedFluxes, joined, measure_window, window_for
from ztfdb.extract.prepare import excluded_pixels, flagged_pixels, subtracted_window
from ztfdb.extract.psffit import PsfFluxes, fit_psf_fluxes
from ztfdb.frame.background import background_surface
from ztfdb.frame.window import PixelFile, open_pixels
from ztfdb.records import StoredImage

_SCIENCE = re.compile(r"(.*)sciimg\.fits(?:\.gz|\.fz)?")


@dataclass(frozen=True, eq=False)
class Revisit:
    """Positions to measure on one image.

    Attributes
    ----------
    image : StoredImage
    row : ndarray of int64, shape (n,)
        The caller's own numbers of the positions.
    x, y : ndarray, shape (n,)
        Zero-based pixels, on the image.
    psf : bool
        Also fit the exposure's PSF, from the ``sciimgdao.psf`` beside the image.
    """

    image: StoredImage
    row: IntArray
    x: FloatArray
    y: FloatArray
    psf: bool = False


@dataclass(frozen=True, eq=False)
class Revisited:
    """Result of a `Revisit`.

    Attributes
    ----------
    image_id : int
    row : ndarray of int64, shape (n,)
        As in the `Revisit`.
    fluxes : ForcedFluxes or None
        None if the files could not be used.
    stars : PsfFluxes or None
        Results of the requested PSF fits.
    problem : ImageError or None
        The reason of a failure.
    accepted : tuple of (str, int)
        Role and new modification time of files that were touched but have the ingested content.
    """

    image_id: int
    row: IntArray
    fluxes: ForcedFluxes | None
    stars: PsfFluxes | None = None
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
        Has the problem, instead of raising it, if a file is missing, changed or unreadable.
    """
    image = revisit.image
    try:
        with ExitStack() as stack:
            pixels = stack.enter_context(open_pixels(image, image.own))
            mask = stack.enter_context(open_pixels(image, image.mask)) if image.mask is not None else None
            fluxes = _measure(revisit, pixels, mask)
            stars = _fit(revisit, pixels, mask) if revisit.psf else None
            times = [(image.own, pixels.mtime_ns)]
            if image.mask is not None and mask is not None:
                times.append((image.mask, mask.mtime_ns))
    except ImageError as exc:
        return Revisited(image.image_id, revisit.row, None, None, exc)
    accepted = tuple((file.role, now) for file, now in times if now != file.mtime_ns)
    return Revisited(image.image_id, revisit.row, fluxes, stars, None, accepted)


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
    fluxes = measure_window(
        pixels.read(rows, cols),
        None if mask is None else mask.read(rows, cols),
        image.mesh,
        x,
        y,
        image.sky_noise,
        gain=image.gain,
        origin=(cols.start, rows.start),
    )
    if image.sky_biased:
        fluxes.flags[:] |= np.int32(SourceFlag.SKY_BIASED)
    return fluxes


def psf_path(path: str) -> str:
    """Return the path of a science image's PSF: beside it, under ZTF's name.

    Raises
    ------
    PsfFileError
        If the image does not have a ZTF name.
    """
    found = _SCIENCE.fullmatch(path)
    if found is None:
        raise PsfFileError(path, "a file of another name than sciimg.fits has no sciimgdao.psf beside it")
    return f"{found[1]}sciimgdao.psf"


def _fit(revisit: Revisit, pixels: PixelFile, mask: PixelFile | None) -> PsfFluxes:
    """Fit the PSF at each position, each in its own window."""
    image = revisit.image
    path = psf_path(image.own.path)
    try:
        psf = read_psf(path)
    except ImageError as exc:
        raise PsfFileError(path, exc.reason) from exc
    fits = []
    for x, y in zip(revisit.x.tolist(), revisit.y.tolist(), strict=True):
        rows, cols = window_for(image.shape, x, y)
        data, bits = pixels.read(rows, cols), None if mask is None else mask.read(rows, cols)
        excluded = excluded_pixels(data, None if bits is None else flagged_pixels(bits))
        sky_free = subtracted_window(data, image.mesh, excluded, (cols.start, rows.start))
        rms = background_surface(image.mesh, rows, cols, rms=True)
        at = np.array([x - cols.start]), np.array([y - rows.start])
        corner = image.window[0] + cols.start, image.window[1] + rows.start
        gain = image.gain if image.gain else np.inf
        fits.append(fit_psf_fluxes(sky_free, rms, psf, *at, bad=excluded, gain=gain, origin=corner))
    names = [field.name for field in dataclasses.fields(PsfFluxes)]
    return PsfFluxes(*(np.concatenate([getattr(one, name) for one in fits]) for name in names))
