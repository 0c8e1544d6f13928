"""A daemon, its workers and its server are killed at random moments: every image is stored once and whole."""

from __future__ import annotations

import pytest

from tests.support.crash import CrashRun, content_of, pretend_files
from ztfdb.server import PostgresServer
from ztfdb.store.migrate import upgrade

N_KILL = 20
AT_ONCE = 3
"""Images that arrive before each kill, so that there is always something in hand."""


@pytest.fixture
def night(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    return folder


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_no_image_and_stores_none_twice(engine_url, night, databases):
    if engine_url.startswith("sqlite"):
        crash(engine_url, night, None, databases.migrated("sqlite"))
        return
    with PostgresServer(durable=True) as server:
        url, undisturbed = server.create_database("crash"), server.create_database("calm")
        upgrade(url)
        upgrade(undisturbed)
        crash(url, night, server, undisturbed)


def crash(url, night, server, undisturbed):
    stock = night.with_name("stock")
    stock.mkdir()
    waiting = pretend_files(stock, ["slow"] * AT_ONCE * (N_KILL + 1))
    n_image = len(waiting)

    def arrive():
        for _ in range(AT_ONCE):
            path = waiting.pop()
            path.rename(night / path.name)

    run = CrashRun(url, night, measure="pretend", jobs=2, server=server, seed=7)
    run.kill_often(N_KILL, arrive)
    assert sum(run.kills.values()) == N_KILL and run.kills["watcher"] >= 4
    run.finish(n_image)
    calm = CrashRun(undisturbed, night, measure="pretend", jobs=2)
    calm.start()
    calm.finish(n_image)
    assert content_of(url) == content_of(undisturbed)
