"""Which of ZTF's products a file is: by its name, its header, its pixels.

Difference images, coverage and uncertainty maps carry the header of the exposure or reference that they were made
from. Their identity would be the science image's, so that the product must be known before an identity is.
The module lies below both halves: files are judged before they are measured, and stored ones when they are replaced
or verified.
"""

from __future__ import annotations

import re
from collections.abc import Container
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGES = ("sciimg", "refimg")
"""The products that an archive holds as images."""

BESIDE = {"mskimg": "a mask", "psfcat": "a PSF catalogue", "refpsfcat": "a PSF catalogue"}
"""The products that belong to an image and are found beside it."""

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
"""Products with unmistakable names, which are recognized also in names that are not ZTF's otherwise."""

DIFFERENCE_CARDS = ("DIFFIM", "CONVOL00", "KSUM00")
"""Cards that image subtraction (HOTPANTS) writes."""

COVERAGE_PIXELS = 64
"""Fewest pixels that tell a coverage map."""

SAMPLE = 200
"""Rows and columns that a look at the pixels takes at most."""

_NAME = re.compile(
    r"ztf_(?:\d{14}_)?\d{6,8}_(?:z[gri]|bi|dk|00|OO)_c\d{2}(?:_[a-z])?_q[1-4]_(?P<product>[A-Za-z]+)", re.IGNORECASE
)
_WORD = re.compile(r"(?<![a-z])(" + "|".join(sorted(OTHERS, key=len, reverse=True)) + r")(?![a-z])", re.IGNORECASE)


def product_in_name(name: str | Path) -> str | None:
    """Return the product that a file name spells, in lower case; None where it spells none.

    Parameters
    ----------
    name : str or Path
        Folders are ignored, and so is what follows the product (``sciimg_ra33.9.fits``, ``sciimg.fits?center=…``).
    """
    base = Path(name).name
    spelled = _NAME.search(base)
    if spelled is not None:
        return spelled["product"].lower()
    word = _WORD.search(base)
    return None if word is None else word[1].lower()


def other_product(name: str | Path, cards: Container[str] = (), filename: str | None = None) -> str | None:
    """Return why a file is no science or reference image, from its name and its header.

    Parameters
    ----------
    name : str or Path
        The file.
    cards : container of str
        Keywords of its header.
    filename : str, optional
        Its card FILENAME: that of ZTF's science images is the raw file's, which spells no product.

    Returns
    -------
    str or None
        One clause, such as ``"a difference image (scimrefdiffimg)"``; None where nothing speaks against it.
    """
    for spelled in (name, filename or ""):
        product = product_in_name(spelled)
        if product is not None and product not in IMAGES:
            return f"{(BESIDE | OTHERS).get(product, 'another product')} ({product})"
    written = next((card for card in DIFFERENCE_CARDS if card in cards), None)
    return None if written is None else f"a difference image (its header has {written})"


def without_sky(level: float, rms: float) -> str | None:
    """Return why pixels about zero are no science image; ZTF's have a sky of many times their noise.

    Parameters
    ----------
    level, rms : float
        Median of the pixels and their noise, DN.
    """
    if not abs(level) < rms:
        return None
    return f"a difference image or one without its sky (the median is {level:.3g} DN, the noise {rms:.3g} DN)"


def other_content(pixels: NDArray[Any], kind: str) -> str | None:
    """Return why pixels are no science or reference image.

    Parameters
    ----------
    pixels : ndarray, shape (ny, nx)
        DN; values that are not finite are left out.
    kind : str
        ``ref`` for what claims to be a reference, else ``sci`` or ``cutout``.

    Returns
    -------
    str or None
        One clause; None where nothing speaks against it. An uncertainty map under a ``refimg``'s name cannot be told
        from a faint reference.
    """
    ny, nx = pixels.shape
    sample = pixels[:: -(-ny // SAMPLE), :: -(-nx // SAMPLE)]
    values = sample[np.isfinite(sample)]
    if not values.size:
        return None
    if kind != "ref":
        # the lower side alone: in a small cutout the upper one is a star's
        low, middle = np.percentile(values, (15.87, 50.0)).tolist()
        return without_sky(middle, middle - low) if low < 0 else None
    counts = values.size >= COVERAGE_PIXELS and values.min() >= 0 and bool(np.all(values == np.rint(values)))
    return "the coverage map of a reference (all pixels are whole numbers)" if counts else None
