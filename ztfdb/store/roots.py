"""Data roots: named folders that image paths are relative to, so that an archive can move with its files.

A file belongs to the deepest existing root that contains it. Else a new root is made: the folder above ``sci/`` or
``ref/`` if the file is in ZTF's own tree, else the folder given to ingest, else the file's own folder. A host may have
a root at another path than the archive (`places`); symbolic links in paths are never resolved.
"""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from ztfdb.arrays import Places
from ztfdb.errors import ConfigError
from ztfdb.schema import Base, DataRoot
from ztfdb.store.backends import backend

_ROOT_LOCK = -2  # never an image id: those, the other keys of `lock_name`, are not negative

_KEPT = "ztfdb_roots"
"""Key of a session's ``info``: a transaction, and the roots read in it."""

_ZTF_TREE = re.compile(r"(?P<root>.+?)/(?:sci/\d{4}/\d{4}/\d{6}|ref/\d{3}/field\d{6}/z[gri]/ccd\d\d/q[1-4])")
"""ZTF's folders below its base, as in IRSA and ``$ZTFDATA``."""


_TABLE = Base.metadata.tables["data_root"]
_ROOTS = select(_TABLE.c.data_root_id, _TABLE.c.name, _TABLE.c.path).order_by(_TABLE.c.data_root_id)
"""Built once, because building a statement takes longer than running it, and it runs for every image."""


@dataclass(frozen=True)
class Root:
    """One data root on this host.

    Attributes
    ----------
    data_root_id : int
    name : str
    path : str
        The folder on this host: from `places` if it has this name, else from the archive.
    """

    data_root_id: int
    name: str
    path: str


@dataclass(frozen=True)
class FilePlace:
    """The place of a file: a path relative to a root, with forward slashes."""

    data_root_id: int
    path: str


def read_roots(session: Session, places: Places = None, *, fresh: bool = False) -> list[Root]:
    """Return the data roots, ordered by id, as first read in this transaction.

    Parameters
    ----------
    session : Session
    places : mapping of str to path, optional
        Folders of this host by the name of their data root; they override the archive's.
    fresh : bool
        Read them again.
    """
    here = {name: str(path) for name, path in (places or {}).items()}
    transaction, rows = session.info.get(_KEPT, (None, None))
    if fresh or rows is None or transaction is not session.get_transaction():
        rows = session.execute(_ROOTS).all()
        session.info[_KEPT] = (session.get_transaction(), rows)
    return [Root(row.data_root_id, row.name, here.get(row.name, row.path)) for row in rows]


def find_places(roots: list[Root], path: str | Path) -> list[FilePlace]:
    """Return every place that a file may be stored under, the deepest root first."""
    absolute = os.path.abspath(path)  # noqa: PTH100 (resolve() would follow links to another mount's name)
    inside = [root for root in roots if _holds(root.path, absolute)]
    inside.sort(key=lambda root: len(root.path), reverse=True)
    return [FilePlace(root.data_root_id, _relative(root.path, absolute)) for root in inside]


def place_file(
    session: Session,
    path: str | Path,
    *,
    places: Places = None,
    given: str | Path | None = None,
) -> FilePlace:
    """Return the place of a file, making a root for it if no existing one contains it.

    Parameters
    ----------
    session : Session
        A writing one.
    path : str or Path
        The file.
    places : mapping of str to path, optional
        See `read_roots`.
    given : str or Path, optional
        The folder given to ingest.
    """
    found = find_places(read_roots(session, places), path)
    if not found:
        backend(session).lock_name(_ROOT_LOCK)
        found = find_places(read_roots(session, places, fresh=True), path)
    return found[0] if found else _new_place(session, path, places or {}, given)


def move_root(session: Session, name: str, path: str | Path) -> str:
    """Point a root to another folder, in one UPDATE, and return the previous one.

    Raises
    ------
    ConfigError
        If the archive has no root of this name.
    """
    before = session.scalar(select(DataRoot.path).where(DataRoot.name == name))
    if before is None:
        names = ", ".join(root.name for root in read_roots(session)) or "none"
        raise ConfigError(f"no data root is called {name!r}; this archive has: {names}")
    place = str(path).rstrip("/") if "://" in str(path) else _posix(path)
    session.execute(update(DataRoot).where(DataRoot.name == name).values(path=place))
    session.info.pop(_KEPT, None)
    return before


def absolute_path(root: str, relative: str) -> str:
    """Return the path of a file on this host."""
    return posixpath.join(root, relative)  # 10 times as fast as pathlib, and right for URLs


def _new_place(
    session: Session, path: str | Path, places: Mapping[str, str | Path], given: str | Path | None
) -> FilePlace:
    absolute = _posix(path)
    taken = {root.name for root in read_roots(session)}
    # A root with a name on this host that the archive does not have yet.
    configured = [(name, _posix(folder)) for name, folder in places.items() if _holds(_posix(folder), absolute)]
    if configured:
        name, folder = max(configured, key=lambda item: len(item[1]))
    else:
        folder = _new_folder(absolute, given)
        name = _free_name(PurePosixPath(folder).name or "root", taken | set(places))
    key = session.execute(insert(DataRoot).returning(DataRoot.data_root_id), {"name": name, "path": folder})
    session.info.pop(_KEPT)
    return FilePlace(key.scalar_one(), _relative(folder, absolute))


def _new_folder(absolute: str, given: str | Path | None) -> str:
    parent = str(PurePosixPath(absolute).parent)
    tree = _ZTF_TREE.fullmatch(parent)
    if tree:
        return tree["root"]
    if given is not None and _holds(_posix(given), absolute):
        return _posix(given)
    return parent


def _free_name(name: str, taken: set[str]) -> str:
    candidate, serial = name, 1
    while candidate in taken:
        serial += 1
        candidate = f"{name}-{serial}"
    return candidate


def _posix(path: str | Path) -> str:
    return Path(os.path.abspath(path)).as_posix()  # noqa: PTH100 (links are kept, see the module)


def _holds(folder: str, absolute: str) -> bool:
    folder, absolute = (os.path.abspath(path).rstrip("/") for path in (folder, absolute))  # noqa: PTH100 (as _posix)
    return absolute.startswith(f"{folder}/")


def _relative(folder: str, absolute: str) -> str:
    return PurePosixPath(_posix(absolute)).relative_to(_posix(folder)).as_posix()
