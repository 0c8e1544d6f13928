"""The ZTF product of a file, by its name, its header and its pixels.

Difference images, coverage and uncertainty maps have the header of the exposure or reference that they were made from,
so they would get the identity of the science image. Therefore the product is determined before the identity. This
module is below both halves of ztfdb: files are checked before they are measured, and stored ones when they are
replaced or verified.
"""

from __future__ import annotations

import os
import re
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGES = ("sciimg", "refimg")
"""The products that an archive stores as images."""

BESIDE = {"mskimg": "a mask", "psfcat": "a PSF catalogue", "refpsfcat": "a PSF catalogue"}
"""The products that belong to an image and are next to it."""

OTHERS = {
    "scimrefdiffimg": "a difference image",
    "diffimgpsf": "the PSF of a difference image",
    "sciimgdao": "a PSF model",
    "sciimgdaopsfcent": "the picture of a PSF",
    "refdao": "a PSF model",
    "sexcat": "a SExtractor catalogue",
    "refsexcat": "a SExtractor catalogue",
    "refcov": "the coverage map of a reference",
    "refunc": "the uncertainty map of a reference",
    "refdepth": "the depth map of a reference",
    "rawimg": "a raw image",
    "diffimg": "a difference image",
}
"""Products with unmistakable names, also recognized in names that are otherwise not ZTF's."""

DIFFERENCE_CARDS = ("DIFFIM", "CONVOL00", "KSUM00")
"""Cards that image subtraction (HOTPANTS) writes."""

COVERAGE_PIXELS = 64
"""Fewest pixels for recognizing a coverage map."""

SAMPLE = 200
"""Largest number of rows and columns sampled."""

_NAME = re.compile(
    r"ztf_(?:\d{14}_)?\d{6,8}_(?:z[gri]|bi|dk|00|OO)_c\d{2}(?:_[a-z])?_q[1-4]_(?P<product>[A-Za-z]+)", re.IGNORECASE
)
_WORD = re.compile(r"(?<![a-z])(" + "|".join(sorted(OTHERS, key=len, reverse=True)) + r")(?![a-z])", re.IGNORECASE)


def product_in_name(name: str | Path) -> str | None:
    """Return the product in a file name, in lower case; None if there is none.

    Parameters
    ----------
    name : str or Path
        Folders are ignored, and so is the part after the product (``sciimg_ra33.9.fits``, ``sciimg.fits?center=…``).
    """
    base = os.path.basename(name)  # noqa: PTH119 (a scan asks for every file; a Path costs more than this)
    spelled = _NAME.search(base)
    if spelled is not None:
        return spelled["product"].lower()
    word = _WORD.search(base)
    return None if word is None else word[1].lower()


def other_product(name: str | Path, cards: Container[str] = (), filename: str | None = None) -> str | None:
    """Return why a file is not a science or reference image, from its name and its header.

    Parameters
    ----------
    name : str or Path
        The file.
    cards : container of str
        Keywords of its header.
    filename : str, optional
        Its card FILENAME; that of ZTF's science images is the raw file's, which contains no product.

    Returns
    -------
    str or None
        One clause, such as ``"a difference image (scimrefdiffimg)"``; None if there is no reason.
    """
    for spelled in (name, filename or ""):
        product = product_in_name(spelled)
        if product is not None and product not in IMAGES:
            return f"{(BESIDE | OTHERS).get(product, 'another product')} ({product})"
    written = next((card for card in DIFFERENCE_CARDS if card in cards), None)
    return None if written is None else f"a difference image (its header has {written})"


def without_sky(level: float, rms: float) -> str | None:
    """Return why pixels around zero are not a science image: ZTF's have a sky many times above their noise.

    Parameters
    ----------
    level, rms : float
        Median of the pixels and their noise, DN.
    """
    if not abs(level) < rms:
        return None
    return f"a difference image or one without its sky (the median is {level:.3g} DN, the noise {rms:.3g} DN)"


def other_content(pixels: NDArray[Any], kind: str) -> str | None:
    """Return why pixels are not a science or reference image.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        DN; values that are not finite are left out.
    kind : str
        ``ref`` for an alleged reference, else ``sci`` or ``cutout``.

    Returns
    -------
    str or None
        One clause; None if there is no reason. An uncertainty map with a ``refimg``'s name cannot be distinguished from
        a faint reference.
    """
    ny, nx = pixels.shape
    sample = pixels[:: -(-ny // SAMPLE), :: -(-nx // SAMPLE)]
    values = sample[np.isfinite(sample)]
    if not values.size:
        return None
    if kind != "ref":
        # only the lower side: in a small cutout the upper one may be a star's
        low, middle = np.percentile(values, (15.87, 50.0)).tolist()
        return without_sky(middle, middle - low) if low < 0 else None
    counts = values.size >= COVERAGE_PIXELS and values.min() >= 0 and bool(np.all(values == np.rint(values)))
    return "the coverage map of a reference (all pixels are whole numbers)" if counts else None
