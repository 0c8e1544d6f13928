"""Which files of a folder are images: by ZTF's names, and by the header where a name tells nothing."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ztfdb.frame.filename import SUFFIXES, parse_name
from ztfdb.frame.sniff import UNREADABLE, why_no_image
from ztfdb.product import BESIDE, IMAGES, other_product, product_in_name

UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".download", ".filepart")
"""Endings of files that another program is still writing, and will rename."""

NOT_FINISHED = "not finished by its name"
HIDDEN = "hidden"
COMPRESSED_COPY = "a compressed copy of a plain file beside it"

_WHOLE_IMAGES = frozenset(product + suffix for product in IMAGES for suffix in SUFFIXES)
_PACKED = tuple(enumerate(SUFFIXES))[1:]


@dataclass
class Headers:
    """What the headers of files said, so that a file is read again only after it changed.

    Attributes
    ----------
    verdicts : dict
        By path: size, mtime (ns) and why the file is no image, None where it is one.
    """

    verdicts: dict[str, tuple[int, int, str | None]] = field(default_factory=dict)

    def why_no_image(self, path: str) -> str | None:
        """Return `ztfdb.frame.sniff.why_no_image`, from memory where size and time are the same."""
        try:
            now = os.stat(path)  # noqa: PTH116 (twice as fast as a Path's, and every file comes by)
        except OSError:
            return UNREADABLE
        held = self.verdicts.get(path)
        if held is None or held[:2] != (now.st_size, now.st_mtime_ns):
            held = self.verdicts[path] = (now.st_size, now.st_mtime_ns, why_no_image(path))
        return held[2]


def sort_names(parent: str, names: Iterable[str], headers: Headers) -> tuple[list[str], Counter[str]]:
    """Return which files of a folder are images, one per image, and how many of the others there are.

    Parameters
    ----------
    parent : str
        The folder.
    names : iterable of str
        Its files.
    headers : Headers

    Returns
    -------
    images : list of str
        Ordered. Of a file and its compressed copies (``.fz``, ``.gz``) the plain one.
    left_out : Counter
        Number of files by reason; masks and PSF catalogues are among them if their image does not lie there.
    """
    chosen: dict[str, str] = {}
    beside: list[str] = []
    left_out: Counter[str] = Counter()
    for name in sorted(names, key=_order):
        why = why_left_out(os.path.join(parent, name), headers)  # noqa: PTH118 (a Path costs more than the rest)
        if why:
            left_out[why] += 1
        elif why == "":
            beside.append(name)
        elif chosen.setdefault(_base(name), name) != name:
            left_out[COMPRESSED_COPY] += 1
    stems = {_split(name)[0] for name in chosen}
    for stem, product in map(_split, beside):
        if stem not in stems:
            left_out[f"{BESIDE[product]} without its image"] += 1
    return sorted(chosen.values()), left_out


def why_left_out(path: str, headers: Headers) -> str | None:
    """Return why a file is no image, None where it is one; "" for what lies beside an image: its mask, its catalogue.

    A whole name of ZTF's is believed without reading: a damaged ``sciimg.fits`` is an image that fails.
    """
    name = os.path.basename(path)  # noqa: PTH119 (likewise)
    parsed = parse_name(name)
    if parsed is not None and parsed.suffix in _WHOLE_IMAGES:
        return None
    if name.startswith("."):
        return HIDDEN
    if name.lower().endswith(UNFINISHED):
        return NOT_FINISHED
    if product_in_name(name) in BESIDE:
        return ""
    return other_product(name) or headers.why_no_image(path)


def left_out_words(left_out: Mapping[str, int]) -> str:
    """Return how many files were left out and why, in one line."""
    reasons = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
    n = sum(left_out.values())
    return f"{n:,} file{'' if n == 1 else 's'} left out: " + ", ".join(f"{count:,} {why}" for why, count in reasons)


def _split(name: str) -> tuple[str, str]:
    """Return what precedes the product in a name, which an image and its mask have in common, and the product."""
    product = product_in_name(name) or ""
    return name[: name.lower().rfind(product)], product


def _order(name: str) -> tuple[int, str]:
    """Sort plain files before ``.fz`` before ``.gz``."""
    return next((k for k, suffix in _PACKED if name.endswith(suffix)), 0), name


def _base(name: str) -> str:
    for suffix in (".fits.fz", ".fits.gz", ".fits"):
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name
