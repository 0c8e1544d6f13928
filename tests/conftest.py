"""Fixtures that every tier shares: archives on both engines, and real images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support.postgres import ENGINES, Databases
from tests.support.quadrant import real_data, real_quadrant
from tests.support.waiting import let_children_be_interrupted

if TYPE_CHECKING:
    from ztfdb.archive import Archive
    from ztfdb.server import PostgresServer

# The same examples on every run: a failure seen once can be seen again, and a slow machine fails nothing.
hypothesis.settings.register_profile("ztfdb", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("ztfdb")

let_children_be_interrupted()


def pytest_configure(config: pytest.Config) -> None:
    """Let answers be empty: only the tests of that warning look at it."""
    config.addinivalue_line("filterwarnings", "ignore::ztfdb.errors.EmptyAnswerWarning")


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
