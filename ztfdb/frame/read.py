"""Read a science, cutout or reference image with its mask into memory, and check it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray

from ztfdb.arrays import FloatArray, MaskArray
from ztfdb.bits import NO_CAVEAT, Caveat
from ztfdb.errors import ExtractionError, MaskError, ProductError
from ztfdb.frame.cards import integer, number, text
from ztfdb.frame.caveats import image_caveats
from ztfdb.frame.filename import mask_path_for, parse_name
from ztfdb.frame.fitsfile import FitsImage, RawFile, find_image, read_bytes
from ztfdb.frame.header import image_info
from ztfdb.frame.wcs import wcs_parameters
from ztfdb.product import other_content, other_product
from ztfdb.records import FileFacts, ImageInfo
from ztfdb.wcs import WcsParameters

SENSELESS = 1e12
"""DN that exceeds any pixel and the sum of all pixels of a quadrant: full wells are about 10^5."""


@dataclass(frozen=True)
class Frame:
    """One image in memory.

    Attributes
    ----------
    path : str
        Absolute path of the image.
    data : ndarray of float32, shape (ny, nx)
        Pixels as delivered (sky included), DN, native byte order, C-contiguous; NaN for blank pixels.
    mask : ndarray of uint16, shape (ny, nx), or None
        `ztfdb.bits.MaskBit` of every pixel; None without a mask image.
    header, mask_header : astropy.io.fits.Header, Header or None
    info : ImageInfo
    wcs : WcsParameters
    headers : dict of dict
        The headers as strict JSON, by role.
    files : tuple of FileFacts
        The image's file, then the mask's.
    all_finite : bool
        True if all pixels are known to be finite.
    caveats : Caveat
        Caveats of the image.
    """

    path: str
    data: FloatArray
    mask: MaskArray | None
    header: fits.Header
    mask_header: fits.Header | None
    info: ImageInfo
    wcs: WcsParameters
    headers: dict[str, dict[str, Any]]
    files: tuple[FileFacts, ...]
    all_finite: bool = False
    caveats: Caveat = NO_CAVEAT

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.data.shape[0], self.data.shape[1]


def read_frame(
    path: str | Path,
    mask_path: str | Path | None = None,
    *,
    find_mask: bool = True,
    hash_files: bool = True,
) -> Frame:
    """Read an image and its mask.

    Plain FITS, ``.fits.gz``, ``.fits.fz`` and gzip data under a ``.fits`` name are recognised by content. The pixels
    are those of the first two-dimensional image. Bytes after it, and missing padding at the end, are ignored.

    Parameters
    ----------
    path : str or Path
        A science image, a cutout of one, or a reference.
    mask_path : str or Path, optional
        The mask; without it, the ``mskimg`` beside the image.
    find_mask : bool
        Whether to look for the mask if none is given.
    hash_files : bool
        Whether to compute the sha256 of the files (in parallel threads); otherwise it is "".

    Returns
    -------
    Frame

    Raises
    ------
    ImageReadError
        If a file is missing, unreadable, truncated, not FITS, or has no two-dimensional image of at most 20,000 pixels
        per side and 100 million in total.
    HeaderError, WcsError
        If the header lacks required values.
    ProductError
        If it is another product, by its name, its header or its pixels; see `ztfdb.product`.
    MaskError
        If the mask is not an integer image of the same pixels.
    ExtractionError
        If no pixel is finite.
    """
    if mask_path is None and find_mask:
        mask_path = mask_path_for(path)
    with ThreadPoolExecutor(max_workers=2, thread_name_prefix="read") as beside:
        mask_bytes = None if mask_path is None else beside.submit(read_bytes, mask_path)
        raw = read_bytes(path)
        digests = [_hashed(beside, raw, hash_files)]
        image = find_image(raw)
        _check_product(other_product(path, image.header, text(image.cards.values, "FILENAME")), path)
        name = parse_name(path)
        values = image.cards.values
        wcs = wcs_parameters(image.header, path, values=values)
        shape = (image.pixels.shape[0], image.pixels.shape[1])
        info = image_info(values, name, shape, path, wcs=wcs)
        role = "ref" if info.kind == "ref" else "sci"
        data, all_finite = _science_pixels(image, path, swap=not hash_files)
        _check_product(other_content(data, info.kind), path)
        found = [(role, raw, image)]
        if mask_bytes is not None:
            mask_raw = mask_bytes.result()
            digests.append(_hashed(beside, mask_raw, hash_files))
            found.append(("msk", mask_raw, find_image(mask_raw)))
        mask = _mask_pixels(found[1][2], image, found[1][1].path, swap=not hash_files) if len(found) > 1 else None
        return Frame(
            path=raw.path,
            data=data,
            mask=mask,
            header=image.header,
            mask_header=found[1][2].header if len(found) > 1 else None,
            info=info,
            wcs=wcs,
            headers={item: one.cards.as_json for item, _, one in found},
            files=tuple(_facts(*part, digest()) for part, digest in zip(found, digests, strict=True)),
            all_finite=all_finite,
            caveats=image_caveats(values, info, path, has_mask=mask is not None),
        )


def _check_product(found: str | None, path: str | Path) -> None:
    if found is not None:
        raise ProductError(path, f"{found}, not a science or reference image")


def science_values(pixels: NDArray[Any], bscale: float, bzero: float, blank: int | None = None) -> FloatArray:
    """Return stored pixels as native float32, scaled, C-contiguous (a view where nothing changes).

    Blank values become NaN, and also impossible values (`SENSELESS`), whose sums and squares would overflow.
    """
    return _checked_values(pixels, bscale, bzero, blank)[0]


def _checked_values(pixels: NDArray[Any], bscale: float, bzero: float, blank: int | None) -> tuple[FloatArray, bool]:
    """Return `science_values` and whether all are known to be finite."""
    with np.errstate(over="ignore", invalid="ignore"):
        if (bscale, bzero) == (1.0, 0.0):
            data = np.ascontiguousarray(pixels, dtype=np.float32)
        else:
            data = (pixels * bscale + bzero).astype(np.float32)
        if blank is not None:
            data = np.where(pixels == blank, np.float32(np.nan), data)
        # a finite, small sum proves that all pixels are finite, so the per-pixel check is rarely needed
        fine = bool(abs(data.sum()) < SENSELESS)
        return data if fine else np.where(np.abs(data) < SENSELESS, data, np.float32(np.nan)), fine


def mask_values(pixels: NDArray[Any], bscale: float, bzero: float, path: str) -> MaskArray:
    """Return stored mask pixels as unsigned bits.

    Raises
    ------
    MaskError
        If they are not integers of 16 bits.
    """
    if pixels.dtype.kind not in "iu" or bscale != 1.0 or not (bzero.is_integer() and abs(bzero) < 2**32):
        raise MaskError(path, f"the mask holds {pixels.dtype.name} scaled by {bscale} and {bzero}, not integers")
    if pixels.dtype.itemsize == 2 and bzero == 0.0:
        return pixels.astype(pixels.dtype.newbyteorder("="), copy=False).view(np.uint16)  # bit 15 is int16's sign
    values = pixels.astype(np.int64) + int(bzero)
    if values.size and (values.min() < -(1 << 15) or values.max() >= 1 << 16):
        raise MaskError(path, f"the mask holds values {values.min()}..{values.max()}, not 16 bits")
    return (values & 0xFFFF).astype(np.uint16)


def _native(pixels: NDArray[Any], swap: bool) -> NDArray[Any]:
    """Convert pixels to native byte order, in place if the file's bytes may be changed (half the memory of a copy)."""
    if not swap or pixels.dtype.isnative or not pixels.flags.writeable:
        return pixels
    return pixels.byteswap(inplace=True).view(pixels.dtype.newbyteorder("="))


def _science_pixels(image: FitsImage, path: str | Path, *, swap: bool) -> tuple[FloatArray, bool]:
    """Return the pixels as an unshared native float32 array, and whether all are known to be finite."""
    data, all_finite = _checked_values(_native(image.pixels, swap), image.bscale, image.bzero, image.blank)
    if not data.flags.writeable or (data.base is not None and not swap):
        data = data.copy()
    # Testing a few rows suffices for nearly every image.
    if not (all_finite or np.isfinite(data[::97]).any() or np.isfinite(data).any()):
        raise ExtractionError(path, "the image has no finite pixel")
    return data, all_finite


def _mask_pixels(mask: FitsImage, image: FitsImage, path: str, *, swap: bool) -> MaskArray:
    """Return the mask as unsigned bits, after checking that it is the image's."""
    if mask.pixels.shape != image.pixels.shape:
        raise MaskError(path, f"the mask has shape {mask.pixels.shape}, the image {image.pixels.shape}")
    values = mask_values(_native(mask.pixels, swap), mask.bscale, mask.bzero, path)
    _check_same_exposure(mask, image, path)
    return values


def _check_same_exposure(mask: FitsImage, image: FitsImage, path: str) -> None:
    """Refuse the mask of another exposure, detector or window; cards missing in either header are not compared."""
    for keyword, tolerance in (("OBSMJD", 1e-6), ("CRPIX1", 0.01), ("CRPIX2", 0.01)):
        ours, theirs = number(image.cards.values, keyword), number(mask.cards.values, keyword)
        if ours is not None and theirs is not None and abs(ours - theirs) > tolerance:
            raise MaskError(path, f"{keyword} of the mask is {theirs}, of the image {ours}")
    for keyword in ("CCD_ID", "AMP_ID", "CCDID", "QID", "RCID", "EXPID"):
        detector, other = integer(image.cards.values, keyword), integer(mask.cards.values, keyword)
        if None not in (detector, other) and detector != other:
            raise MaskError(path, f"{keyword} of the mask is {other}, of the image {detector}")


def _hashed(beside: ThreadPoolExecutor, raw: RawFile, wanted: bool) -> Callable[[], str]:
    """Start the digest of a file's bytes in a thread (hashlib releases the GIL); call the result to wait for it."""
    if not wanted:
        return str
    digest: Future[str] = beside.submit(lambda: hashlib.sha256(raw.content).hexdigest())
    return digest.result


def _facts(role: str, raw: RawFile, image: FitsImage, sha256: str) -> FileFacts:
    return FileFacts(
        role=role,
        path=raw.path,
        size=len(raw.content),
        mtime_ns=raw.mtime_ns,
        sha256=sha256,
        hdu=image.hdu,
        byte_offset=image.byte_offset,
        bitpix=image.bitpix,
        bscale=image.bscale,
        bzero=image.bzero,
        compression=image.compression,
    )
