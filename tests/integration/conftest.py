"""Generated archives that several integration tests ask, filled once, the same rows on both engines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import Engine
from sqlalchemy.orm import Session, sessionmaker

import ztfdb
from tests.support import browsing
from tests.support.archives import Plan, Stars, build_archive
from tests.support.postgres import ENGINES, Databases
from tests.support.serving import Serving
from ztfdb.archive import Archive
from ztfdb.store.engine import make_engine, sessions

PLANS = (
    Plan(2_000, 12, seed=1, centre=(180.0, 10.0), field=651),
    Plan(2_000, 6, seed=2, centre=(0.0, -5.0), field=402, first_epoch=100),
    Plan(1_000, 5, seed=3, centre=(40.0, 89.9), field=880, first_epoch=200),
    Plan(1_000, 5, seed=4, centre=(300.0, -89.8), field=1, first_epoch=300),
)
"""Ordinary sky, across RA 0, around both poles."""


@dataclass(frozen=True)
class Generated:
    """The same archive on both engines, and the stars that fill it, plan by plan."""

    engines: dict[str, Engine]
    makers: dict[str, sessionmaker[Session]]
    stars: list[Stars]


@pytest.fixture(scope="session")
def generated(databases: Databases) -> Iterator[Generated]:
    """Four fields of generated stars, on both engines."""
    urls = {name: databases.migrated(name) for name in ENGINES}
    engines = {name: make_engine(url, read_only=True) for name, url in urls.items()}
    stars, _ = (build_archive(url, *PLANS) for url in urls.values())
    yield Generated(engines, {name: sessions(engine) for name, engine in engines.items()}, stars)
    for name, engine in engines.items():
        engine.dispose()
        databases.drop(urls[name])


@pytest.fixture(params=ENGINES)
def generated_maker(request: pytest.FixtureRequest, generated: Generated) -> sessionmaker[Session]:
    """Maker of sessions on the generated archive, on each engine in turn."""
    return generated.makers[request.param]


@pytest.fixture(scope="module")
def served(held: Sequence[Any]) -> Iterator[Serving]:
    """A service of a module's own archive, of which `held` begins with the URL."""
    with Serving(held[0]) as service:
        yield service


@pytest.fixture(scope="module")
def local(held: Sequence[Any]) -> Iterator[Archive]:
    """The same archive without a service."""
    with ztfdb.open(held[0], read_only=True) as archive:
        yield archive


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser."""
    with browsing.chromium() as opened:
        yield opened


@pytest.fixture
def page(browser: Any, served: Serving) -> Iterator[Any]:
    """A fresh page of it; see `browsing.fresh_page`."""
    with browsing.fresh_page(browser, served.base) as opened:
        yield opened
