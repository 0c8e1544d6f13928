"""Which images a list of files, folders and globs means, and which mask belongs to each."""

from __future__ import annotations

import glob
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ztfdb.errors import ImageError, ImageReadError, MaskError, ProductError, PsfCatalogueError
from ztfdb.frame.filename import SUFFIXES, mask_names_for, mask_path_for
from ztfdb.frame.psfcat import image_path_for, is_psfcat_name, psfcat_names_for, psfcat_path_for
from ztfdb.ingest.folders import Headers, sort_names, why_left_out
from ztfdb.product import BESIDE, other_product, product_in_name

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")


FileStamp = tuple[int, int, int | None, int | None]
"""Size and mtime (ns) of an image and of its mask, None where it has none: another where a file was written again."""


@dataclass(frozen=True)
class FoundImage:
    """The files of one image, as they lie on this host.

    Attributes
    ----------
    path : str
        Absolute path of the image; symbolic links are kept.
    mask : str or None
        Absolute path of its mask.
    folder : str or None
        The folder it was found under, None for a file given by itself.
    psfcat : str or None
        Absolute path of ZTF's PSF catalogue of it.
    stamp : FileStamp or None
        From the last look at it; None before the first.
    wait_s : float
        How long the file may still take to be whole, or its mask to arrive, seconds; 0 where nothing is missing, or
        is not to be expected.
    reason : str
        What it waits for, in one line; empty where it does not.
    """

    path: str
    mask: str | None = None
    folder: str | None = None
    psfcat: str | None = None
    stamp: FileStamp | None = None
    wait_s: float = 0.0
    reason: str = ""


@dataclass
class Discovery:
    """What was found.

    Attributes
    ----------
    images : list of FoundImage
        Each image once, in the order given, folders in the order of their names.
    problems : list of ImageError
        Paths that are no image, one error each.
    left_out : Counter
        Files of folders that are no image, their number by reason.
    """

    images: list[FoundImage] = field(default_factory=list)
    problems: list[ImageError] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def discover(
    paths: str | Path | Iterable[str | Path],
    *,
    mask: str | Path | None = None,
    psfcat: str | Path | None = None,
) -> Discovery:
    """Find the images of files, folders and globs.

    A folder is searched below for ZTF's science and reference images, known by their names or else by their headers;
    where one lies there both plain and compressed, the plain file is taken. A file given by itself, or by a glob, is
    taken whatever its name, unless that spells another product; a ``mskimg`` or a ``psfcat`` stands for its image.
    Masks and PSF catalogues are looked for beside their image.

    Parameters
    ----------
    paths : str, Path or iterable of them
    mask, psfcat : str or Path, optional
        The mask and the PSF catalogue of the one image that `paths` mean.

    Returns
    -------
    Discovery

    Raises
    ------
    ValueError
        If `mask` or `psfcat` is given and `paths` do not mean exactly one image.
    """
    found = Discovery()
    seen: set[str] = set()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for item in map(_storable, _expand(path, found.left_out)):
            if item.path in seen:
                continue
            seen.add(item.path)
            if isinstance(item, ImageError):
                found.problems.append(item)
            else:
                found.images.append(item)
    if mask is not None:
        if len(found.images) != 1:
            raise ValueError(f"a mask belongs to one image, these paths are {len(found.images)}")
        _replace_only(found, replace(found.images[0], mask=_absolute(mask)))
    if psfcat is not None:
        if len(found.images) != 1:
            raise ValueError(f"a PSF catalogue belongs to one image, these paths are {len(found.images)}")
        _replace_only(found, replace(found.images[0], psfcat=_absolute(psfcat)))
    return found


def _replace_only(found: Discovery, image: FoundImage) -> None:
    one = _storable(image)
    if isinstance(one, ImageError):
        found.images.clear()
        found.problems.append(one)
    else:
        found.images[0] = one


def _expand(path: str | Path, left_out: Counter[str]) -> Iterator[FoundImage | ImageError]:
    text = os.path.expanduser(path)  # noqa: PTH111 (a glob is no Path yet)
    if "\0" in text or (is_url(text) and not os.path.lexists(text)):
        yield ImageReadError(text, str(name_fault(text)))
    elif os.path.isdir(text):  # noqa: PTH112
        yield from search_folder(_absolute(text), left_out=left_out)
    elif os.path.lexists(text) or not glob.has_magic(text):
        yield _from_file(_absolute(text))
    else:
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute patterns)
        if not matches:
            yield ImageReadError(text, "no file matches")
        for match in matches:
            yield from _expand(match, left_out)


def search_folder(
    folder: str, *, headers: Headers | None = None, left_out: Counter[str] | None = None
) -> Iterator[FoundImage | ImageError]:
    """Yield ZTF's images below a folder as they are met, and at the end an error for each folder that is closed.

    Parameters
    ----------
    folder : str
        Absolute path.
    headers : Headers, optional
        What is known of the files' headers, for who searches again and again.
    left_out : Counter, optional
        Where the files that are no images are counted by reason.
    """
    headers = Headers() if headers is None else headers
    errors: list[ImageError] = []
    walk = os.walk(folder, onerror=lambda exc: errors.append(_unreadable(exc)))
    for parent, folders, names in walk:
        folders.sort()
        images, others = sort_names(parent, names, headers)
        if left_out is not None:
            left_out.update(others)
        listed = frozenset(names)
        for name in images:
            mask = _listed_file(parent, mask_names_for(name), listed)
            psfcat = _listed_file(parent, psfcat_names_for(name), listed)
            yield _storable(FoundImage(os.path.join(parent, name), mask, folder, psfcat))  # noqa: PTH118 (as above)
    yield from errors


def search_psfcats(folder: str) -> Iterator[str | ImageError]:
    """Yield ZTF's PSF catalogues below a folder, whether or not their image lies there, and errors as `search_folder`.

    Parameters
    ----------
    folder : str
        Absolute path.
    """
    errors: list[ImageError] = []
    for parent, folders, names in os.walk(folder, onerror=lambda exc: errors.append(_unreadable(exc))):
        folders.sort()
        chosen: dict[str, str] = {}
        for name in sorted(filter(is_psfcat_name, names), key=len):  # the plain file before its compressed copy
            chosen.setdefault(name.removesuffix(".gz"), name)
        for name in sorted(chosen.values()):
            path = str(Path(parent) / name)
            fault = name_fault(path)
            yield path if fault is None else PsfCatalogueError(path, fault)
    yield from errors


def discover_psfcats(paths: str | Path | Iterable[str | Path]) -> list[tuple[str, str | None] | ImageError]:
    """Find the PSF catalogues of files, folders and globs.

    A file given by itself, or by a glob, is taken whatever its name.

    Returns
    -------
    list of (str, str or None), or ImageError
        Absolute path and the folder it was found under; an error for a path that is none.
    """
    found: dict[str, tuple[str, str | None] | ImageError] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        text = os.path.expanduser(path)  # noqa: PTH111 (a glob is no Path yet)
        if fault := name_fault(text):
            found.setdefault(text, PsfCatalogueError(text, fault))
            continue
        globbed = glob.has_magic(text) and not os.path.lexists(text)
        matches = sorted(glob.glob(text, recursive=True)) if globbed else [text]  # noqa: PTH207
        if not matches:
            found.setdefault(text, ImageReadError(text, "no file matches"))
        for match in map(_absolute, matches):
            if not os.path.isdir(match):  # noqa: PTH112 (a name that cannot be is no error here)
                found.setdefault(match, (match, None))
                continue
            for one in search_psfcats(match):
                found.setdefault(str(one), one if isinstance(one, ImageError) else (one, match))
    return list(found.values())


def image_of(path: str, folder: str | None, headers: Headers | None = None) -> FoundImage | None:
    """Return the image that a file of a folder is, or whose mask or PSF catalogue it is.

    None for files that `search_folder` passes by.

    Parameters
    ----------
    path : str
        Absolute path.
    folder : str or None
        The folder it was found under.
    headers : Headers, optional
        As for `search_folder`.
    """
    found = _storable(_from_file(path))
    if isinstance(found, ImageError) or why_left_out(found.path, headers or Headers()) is not None:
        return None
    return replace(found, folder=folder)


def look_at(image: FoundImage) -> FoundImage | None:
    """Return the image with the stamp of its files now; None where one of them is not there."""
    try:
        own = os.stat(image.path)  # noqa: PTH116 (twice as fast as a Path's, and every file comes by)
        mask = None if image.mask is None else os.stat(image.mask)  # noqa: PTH116 (likewise)
    except OSError:
        return None
    of_mask = (None, None) if mask is None else (mask.st_size, mask.st_mtime_ns)
    return replace(image, stamp=(own.st_size, own.st_mtime_ns, *of_mask))


def is_url(text: str) -> bool:
    """Tell a URL from a path."""
    return _URL.match(text) is not None


def name_fault(path: str) -> str | None:
    """Return why a file of this name cannot be in an archive, whose texts are UTF-8; None where it can."""
    if "\0" in path:
        return "the name holds a NUL: paths from stdin stand one to a line"
    if is_url(path):
        return "a URL; images are measured from files: fetch it first, or name the folder where it is mounted"
    try:
        path.encode()
    except UnicodeEncodeError:
        return "the name is not UTF-8, and the archive's are: rename it"
    return None


def _storable(found: FoundImage | ImageError) -> FoundImage | ImageError:
    """Return what was found, or an error in place of an image whose files have names that no archive can hold."""
    if isinstance(found, FoundImage):
        for path in (found.path, found.mask, found.psfcat):
            if path is not None and (fault := name_fault(path)) is not None:
                return ImageReadError(found.path, fault if path == found.path else f"{path}: {fault}")
    return found


def _from_file(path: str) -> FoundImage | ImageError:
    name = Path(path).name
    if is_psfcat_name(path):
        own = image_path_for(path)
        if own is None:
            return PsfCatalogueError(
                path, "a PSF catalogue whose image does not lie beside it: `ztfdb ingest --psfcat`"
            )
        return FoundImage(str(own), _mask_of(own), psfcat=path)
    before, marker, ending = name.rpartition("mskimg")
    other = None if product_in_name(name) in BESIDE else other_product(name)
    if other is not None:
        return ProductError(path, f"{other}, not a science or reference image")
    if not marker:
        return FoundImage(path, _mask_of(Path(path)), psfcat=_psfcat_of(Path(path)))
    for suffix in dict.fromkeys((ending, *SUFFIXES)):
        image = Path(path).with_name(f"{before}sciimg{suffix}")
        if image.is_file():
            return FoundImage(str(image), path, psfcat=_psfcat_of(image))
    return MaskError(path, "a mask whose image does not lie beside it")


def _listed_file(parent: str, candidates: Iterable[str], listed: frozenset[str]) -> str | None:
    """Return the first candidate that is a file; what the folder does not list costs no look at the disk."""
    paths = (os.path.join(parent, name) for name in candidates if name in listed)  # noqa: PTH118 (a Path costs more)
    return next((path for path in paths if os.path.isfile(path)), None)  # noqa: PTH113 (likewise)


def _mask_of(path: Path) -> str | None:
    mask = mask_path_for(path)
    return None if mask is None else str(mask)


def _psfcat_of(path: Path) -> str | None:
    psfcat = psfcat_path_for(path)
    return None if psfcat is None else str(psfcat)


def _absolute(path: str | Path) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 (links are kept)


def _unreadable(exc: OSError) -> ImageReadError:
    return ImageReadError(str(exc.filename), f"the folder cannot be read: {exc.strerror}")
