"""Fixtures that every tier shares: archives on both engines, and real images."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import postgres
from tests.support.memory import place_in_memory, want_memory
from tests.support.postgres import ENGINES, Databases
from tests.support.quadrant import real_data, real_quadrant
from tests.support.waiting import let_children_be_interrupted

if TYPE_CHECKING:
    from ztfdb.archive import Archive
    from ztfdb.server import PostgresServer

STARTED = pytest.StashKey[int]()
TESTS_BYTES = 6_000_000_000
"""Room for the files of all tests but benchmarks (they use less than 1 GB)."""

# The same examples on every run: a failure seen once can be seen again, and a slow machine fails nothing.
hypothesis.settings.register_profile("ztfdb", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("ztfdb")

let_children_be_interrupted()
postgres.count_starts()


def pytest_configure(config: pytest.Config) -> None:
    """Let answers be empty, as only the tests of that warning look at it; choose where files lie."""
    config.addinivalue_line("filterwarnings", "ignore::ztfdb.errors.EmptyAnswerWarning")
    if config.option.markexpr == "not benchmark":
        want_memory()
    # pytest's folders: what is written safely waits for the disk, and a disk shared with others is slow.
    if place := place_in_memory(TESTS_BYTES):
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(place))


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add what runs the tests of PostgreSQL on another server without those that would only be repeated."""
    parser.addoption("--postgresql-only", action="store_true", help="only tests that may use a PostgreSQL server")


def may_use_postgresql(item: pytest.Item) -> bool:
    """Whether a test has the maker of databases among its fixtures, says that it starts a server, or is a benchmark."""
    marked = any(item.get_closest_marker(name) for name in ("postgresql", "benchmark"))
    return marked or "databases" in getattr(item, "fixturenames", ())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put files with slow tests first and quick ones last, so that no process ends long after the others."""
    if config.getoption("--postgresql-only"):
        others = [item for item in items if not may_use_postgresql(item)]
        if others:
            config.hook.pytest_deselected(items=others)
            items[:] = [item for item in items if may_use_postgresql(item)]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    n_test = Counter(item.path for item in items)
    unit = Path(__file__).parent / "unit"
    items.sort(key=lambda item: (item.path not in slow, item.path.is_relative_to(unit), -n_test[item.path]))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Remember how many servers there were before the test and its fixtures."""
    item.stash[STARTED] = postgres.n_started
    yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that starts a server while ``--postgresql-only`` would leave it out."""
    yield
    if postgres.n_started > item.stash[STARTED] and not may_use_postgresql(item):
        pytest.fail("this test starts PostgreSQL: mark it with postgresql")


@pytest.fixture(autouse=True)
def _no_figure_stays_open() -> Iterator[None]:
    """Close the figures that a test leaves: pyplot keeps them, and warns of the 21st in whatever test makes it."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Maker of databases on both engines."""
    made = Databases(tmp_path_factory.mktemp("databases"))
    yield made
    made.close()


@pytest.fixture
def postgres_server(databases: Databases) -> PostgresServer:
    """The session's PostgreSQL server, shared by all tests: start another one to stop it."""
    return databases.server


@pytest.fixture(params=ENGINES)
def empty_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """URL of a database without a schema, on each engine in turn."""
    url = databases.empty(request.param)
    yield url
    databases.drop(url)


@pytest.fixture(params=ENGINES)
def engine_url(request: pytest.FixtureRequest, databases: Databases) -> Iterator[str]:
    """URL of a fresh archive at the newest schema revision, on each engine in turn."""
    url = databases.migrated(request.param)
    yield url
    databases.drop(url)


@pytest.fixture
def both_urls(databases: Databases) -> Iterator[dict[str, str]]:
    """URLs of two fresh archives, by engine, whose answers are to be compared."""
    urls = {engine: databases.migrated(engine) for engine in ENGINES}
    yield urls
    for url in urls.values():
        databases.drop(url)


@pytest.fixture
def archive(engine_url: str) -> Iterator[Archive]:
    """A fresh open archive, on each engine in turn."""
    import ztfdb

    opened = ztfdb.open(engine_url, create=True)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def quadrant() -> tuple[Path, Path]:
    """The real quadrant: science image and mask."""
    return real_quadrant()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real files beside the checkout."""
    return real_data()
