"""Lists of operations carried out on fresh archives, whose contents are then compared."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ztfdb
from tests.support.contents import Content, content, differences
from tests.support.orders import (
    CATALOGUES,
    N_IMAGE,
    N_VERSION,
    ROLES,
    SHARED_IMAGE,
    Held,
    Operation,
    Pool,
    World,
    settle,
)
from tests.support.postgres import ENGINES, Databases
from ztfdb.archive import Archive

_serial = itertools.count(1)


@contextlib.contextmanager
def fresh(databases: Databases, engines: Sequence[str]) -> Iterator[list[Archive]]:
    """Empty archives on some engines."""
    urls = [databases.migrated(engine) for engine in engines]
    archives = [ztfdb.open(url, create=True) for url in urls]
    try:
        yield archives
    finally:
        for archive, url in zip(archives, urls, strict=True):
            archive.close()
            databases.drop(url)


@contextlib.contextmanager
def world_on(pool: Pool, folder: Path, archives: list[Archive], name: str = "") -> Iterator[World]:
    """A world in a folder of its own, which is gone afterwards."""
    place = folder / (name or f"world-{next(_serial)}")
    try:
        yield World(pool, place, archives)
    finally:
        shutil.rmtree(place)


def clean_content(databases: Databases, world: World) -> Content:
    """Return what one clean build of a world's final state holds and answers."""
    with fresh(databases, ENGINES[:1]) as (archive,):
        world.build_clean(archive)
        return content(archive, world.pool.positions)


def check_order(pool: Pool, databases: Databases, folder: Path, operations: Sequence[Operation]) -> None:
    """Carry out operations on both engines, and compare both archives with a clean build."""
    with fresh(databases, ENGINES) as archives, world_on(pool, folder, archives) as world:
        world.do(operations)
        check_final(databases, world)


def check_final(databases: Databases, world: World) -> None:
    """Compare what each archive of a world holds in the end with one clean build, and so with each other."""
    world.tidy()
    found = []
    for archive in world.archives:
        settle(archive, world.pool)
        found.append(content(archive, world.pool.positions))
    clean = clean_content(databases, world)
    for archive, one in zip(world.archives, found, strict=True):
        differing = differences(one, clean)
        assert not differing, f"{archive.url} differs from a clean build:\n" + "\n".join(differing)


# Two processes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """What one of two processes does: a copy of the world's files and models, on an archive of its own connections."""

    url: str
    pool: Pool
    folder: Path
    disk: dict[tuple[int, int, str], int]
    catalogues: dict[str, set[int]]
    operations: tuple[Operation, ...]


@contextlib.contextmanager
def two_processes() -> Iterator[ProcessPoolExecutor]:
    """Two processes that begin their parts together."""
    context = multiprocessing.get_context("spawn")
    together = context.Barrier(2)
    with ProcessPoolExecutor(2, context, _enter, (together,)) as executor:
        yield executor


def check_together(
    executor: ProcessPoolExecutor, pool: Pool, databases: Databases, folder: Path, engine: str, parts: Any
) -> None:
    """Carry out two lists of operations at once on one archive, and compare it with a clean build."""
    with fresh(databases, [engine]) as archives, world_on(pool, folder, archives) as world:
        for image, version, role in itertools.product(range(N_IMAGE), range(N_VERSION), ROLES):
            if (image + version) % 3 or role == "sciimg":  # some masks and PSF catalogues are not there
                world.put(image, version, version, role)
        for number in range(len(CATALOGUES)):
            world.catalogue(number)
        url = archives[0]._target.render_as_string(hide_password=False)
        shared = {"pool": pool, "folder": world.folder, "disk": world.disk, "catalogues": world.catalogues}
        both = [executor.submit(_act, Part(url, operations=tuple(one), **shared)) for one in parts]
        ends = [future.result() for future in both]
        for held in ends:
            for image, one in held.items():
                other = world.held.get(image)
                world.held[image] = one if other is None or one.version > other.version else other
        check_final(databases, world)


def _enter(together: Any) -> None:
    global _together
    _together = together


def _act(part: Part) -> dict[int, Held]:
    """Do one process's part, and return what must be held by its own account."""
    with ztfdb.open(part.url) as archive:
        world = World(part.pool, part.folder, [archive], dict(part.disk), catalogues=dict(part.catalogues))
        world.shared = frozenset({SHARED_IMAGE})
        _together.wait()
        world.do(part.operations)
        return world.held
