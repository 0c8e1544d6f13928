"""Which images a list of files, folders and globs means, and which mask belongs to each."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from ztfdb.errors import ImageError, ImageReadError, MaskError
from ztfdb.frame.filename import SUFFIXES, mask_path_for, parse_name

PRODUCTS = ("sciimg", "refimg")
"""The ZTF products that are taken from folders; a file named by itself may have any name."""


@dataclass(frozen=True)
class Candidate:
    """One image to look at.

    Attributes
    ----------
    path : str
        Absolute path of the image; symbolic links are kept.
    mask : str or None
        Absolute path of its mask.
    given : str or None
        The folder it was found under, None for a file given by itself.
    """

    path: str
    mask: str | None
    given: str | None = None


@dataclass
class Discovery:
    """What was found.

    Attributes
    ----------
    candidates : list of Candidate
        Each image once, in the order given, folders in the order of their names.
    problems : list of ImageError
        Paths that are no image, one error each.
    """

    candidates: list[Candidate] = field(default_factory=list)
    problems: list[ImageError] = field(default_factory=list)


def discover(paths: str | Path | Iterable[str | Path], *, mask: str | Path | None = None) -> Discovery:
    """Find the images of files, folders and globs.

    A folder is searched below for ZTF's science and reference images; where one lies there both plain and compressed,
    the plain file is taken. A file given by itself, or by a glob, is taken whatever its name; a ``mskimg`` stands for
    its image. Masks are looked for beside their image.

    Parameters
    ----------
    paths : str, Path or iterable of them
    mask : str or Path, optional
        The mask of the one image that `paths` mean.

    Returns
    -------
    Discovery

    Raises
    ------
    ValueError
        If `mask` is given and `paths` do not mean exactly one image.
    """
    found = Discovery()
    seen: set[str] = set()
    for path in [paths] if isinstance(paths, str | Path) else paths:
        for item in _expand(path):
            if isinstance(item, ImageError):
                found.problems.append(item)
            elif item.path not in seen:
                seen.add(item.path)
                found.candidates.append(item)
    if mask is not None:
        if len(found.candidates) != 1:
            raise ValueError(f"a mask belongs to one image, these paths are {len(found.candidates)}")
        found.candidates[0] = replace(found.candidates[0], mask=_absolute(mask))
    return found


def _expand(path: str | Path) -> Iterator[Candidate | ImageError]:
    text = os.path.expanduser(path)  # noqa: PTH111 (a glob is no Path yet)
    if os.path.isdir(text):  # noqa: PTH112
        yield from search_folder(_absolute(text))
    elif os.path.lexists(text) or not glob.has_magic(text):
        yield _from_file(_absolute(text))
    else:
        matches = sorted(glob.glob(text, recursive=True))  # noqa: PTH207 (Path.glob takes no absolute patterns)
        if not matches:
            yield ImageReadError(text, "no file matches")
        for match in matches:
            yield from _expand(match)


def search_folder(folder: str) -> Iterator[Candidate | ImageError]:
    """Yield ZTF's images below a folder as they are met, and at the end an error for each folder that is closed.

    Parameters
    ----------
    folder : str
        Absolute path.
    """
    errors: list[ImageError] = []
    walk = os.walk(folder, onerror=lambda exc: errors.append(_unreadable(exc)))
    for parent, folders, names in walk:
        folders.sort()
        for name in _images_in(names):
            path = Path(parent) / name
            yield Candidate(str(path), _mask_of(path), folder)
    yield from errors


def _images_in(names: list[str]) -> list[str]:
    """Return the names of images, one per image: the plain file before its compressed copies."""
    chosen: dict[str, str] = {}
    for suffix in SUFFIXES:
        for name in names:
            parsed = parse_name(name)
            if parsed is not None and any(parsed.suffix == product + suffix for product in PRODUCTS):
                chosen.setdefault(name.removesuffix(suffix), name)
    return sorted(chosen.values())


def image_of(path: str, folder: str | None) -> Candidate | None:
    """Return the image that a file of a folder is, or whose mask it is; None for files that `search_folder` passes by.

    Parameters
    ----------
    path : str
        Absolute path.
    folder : str or None
        The folder it was found under.
    """
    found = _from_file(path)
    if isinstance(found, ImageError) or not _images_in([Path(found.path).name]):
        return None
    return replace(found, given=folder)


def _from_file(path: str) -> Candidate | ImageError:
    name = Path(path).name
    before, marker, ending = name.rpartition("mskimg")
    if not marker:
        return Candidate(path, _mask_of(Path(path)))
    for suffix in dict.fromkeys((ending, *SUFFIXES)):
        image = Path(path).with_name(f"{before}sciimg{suffix}")
        if image.is_file():
            return Candidate(str(image), path)
    return MaskError(path, "a mask whose image does not lie beside it")


def _mask_of(path: Path) -> str | None:
    mask = mask_path_for(path)
    return None if mask is None else str(mask)


def _absolute(path: str | Path) -> str:
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 (links are kept)


def _unreadable(exc: OSError) -> ImageReadError:
    return ImageReadError(str(exc.filename), f"the folder cannot be read: {exc.strerror}")
