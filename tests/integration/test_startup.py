"""What commands that answer a question, and a service, load: a module that is not needed costs more than the answer."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.postgres import ENGINES
from tests.support.serving import reader_url

HEAVY = {
    "alembic", "astropy", "erfa", "loky", "matplotlib", "pandas", "psycopg", "pyarrow", "rich", "scipy", "sep",
    "sqlalchemy",
}  # fmt: skip

SCRIPT = """
import sys
from ztfdb.cli import main
try:
    main()
finally:
    print(*(name for name in sys.modules if "." not in name), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def archive_of_one_star(databases):
    url = databases.migrated("sqlite")
    ztfdb.open(url, create=True).close()
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    yield url, [str(stars.ra[0]), str(stars.dec[0])]
    databases.drop(url)


@pytest.mark.parametrize(
    "command",
    [
        ["lightcurve", "--format", "csv"],
        ["lightcurve"],
        ["lightcurve", "--filter", "zr", "--good", "--format", "json"],
        ["cone", "2", "--format", "csv"],
        ["cone", "2", "--phot", "psfcat"],
        ["images", "--format", "csv"],
        ["status"],
        ["sql", "select count(*) as n from image", "--format", "csv"],
    ],
    ids=" ".join,
)
def test_a_question_from_the_shell_loads_only_what_it_needs(archive_of_one_star, command):
    url, place = archive_of_one_star
    first, *rest = command
    if first in ("lightcurve", "cone", "images"):
        rest = [*place, *rest]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--db", url, first, *rest], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
    loaded = set(done.stderr.splitlines()[-1].split())
    assert loaded >= {"ztfdb", "numpy"}
    assert loaded & HEAVY == set()


FRAME = """
import sys, ztfdb
print(len(ztfdb.open(sys.argv[1]).light_curve(float(sys.argv[2]), float(sys.argv[3])).to_pandas()))
print(*sys.modules)
"""

NOT_FOR_A_FRAME = {
    "difflib", "tomllib", "ztfdb.config", "ztfdb.frame", "ztfdb.records", "ztfdb.schema.described",
    "ztfdb.schema.words",
    "ztfdb.store.backends.sqlite_drain", "ztfdb.store.backends.sqlite_feed", "ztfdb.store.engine", "ztfdb.surveys",
}  # fmt: skip
"""Our own modules, and those of the standard library that pandas does without."""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_script_that_asks_for_a_frame_loads_only_what_it_needs(databases, engine):
    url = databases.migrated(engine)
    ztfdb.open(url, create=True).close()
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    words = [url, str(stars.ra[0]), str(stars.dec[0])]
    done = subprocess.run([sys.executable, "-c", FRAME, *words], capture_output=True, text=True, check=False)
    databases.drop(url)
    assert done.returncode == 0, done.stderr
    n_epoch, names = done.stdout.splitlines()
    assert int(n_epoch) > 0
    loaded = set(names.split())
    assert loaded & NOT_FOR_A_FRAME == set()
    of_pandas = {"pandas", "pyarrow"} | ({"psycopg"} if engine == "postgresql" else set())
    assert loaded & HEAVY <= of_pandas


def test_a_command_ends_without_a_search_for_cycles(archive_of_one_star):
    url, _ = archive_of_one_star
    code = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count())); from ztfdb.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--db", url, "status"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) > 10_000


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted by Linux")
@pytest.mark.parametrize(("given", "n_thread"), [(None, 1), ("2", 2)])
def test_a_command_starts_no_threads_for_linear_algebra(archive_of_one_star, given, n_thread):
    url, _ = archive_of_one_star
    code = (
        "import atexit, os; atexit.register(lambda: print(len(os.listdir('/proc/self/task')))); "
        "from ztfdb.cli import main; main()"
    )
    env = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code, "--db", url, "status"], capture_output=True, text=True, check=False,
        env=env if given is None else env | {"OPENBLAS_NUM_THREADS": given},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) == n_thread


OF_SERVICE = HEAVY | {"fastapi", "prometheus_client", "pydantic", "sqlglot"}

SERVICE = """
import sys, threading
from ztfdb.cli import main

def answer():
    for _ in sys.stdin:
        print("loaded", *(name for name in list(sys.modules) if "." not in name), flush=True)

threading.Thread(target=answer, daemon=True).start()
main()
"""


@contextmanager
def service(url, folder):
    """Its address, and a function that returns which packages it has imported."""
    words = ["serve", "--port", "0", "--state", str(folder), "--db", url]
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE, *words], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    def loaded():
        process.stdin.write("\n")
        process.stdin.flush()
        return set(process.stdout.readline().split()[1:])

    with process:
        try:
            yield process.stdout.readline().split()[-1].rstrip("/"), loaded
        finally:
            process.terminate()


@pytest.mark.parametrize("engine", ENGINES)
def test_a_service_loads_what_its_requests_need(databases, tmp_path, engine):
    pytest.importorskip("fastapi", reason="the extra serve is not installed")
    url = databases.migrated(engine)
    ztfdb.open(url, create=True).close()
    stars = build_archive(url, Plan(40, 6, trouble=0.0))[0]
    place = f"ra={stars.ra[0]}&dec={stars.dec[0]}"
    driver = {"psycopg"} if engine == "postgresql" else set()
    with service(reader_url(url), tmp_path / "state") as (base, loaded):
        for path in ("/healthz", "/", "/metrics"):
            urlopen(base + path, timeout=60).close()
        assert loaded() & OF_SERVICE == driver | {"prometheus_client"}
        with urlopen(f"{base}/api/v1/lightcurve?{place}", timeout=60) as answer:
            assert b"mjd" in answer.read()
        assert loaded() & OF_SERVICE == driver | {"prometheus_client", "fastapi", "pydantic"}
        with urlopen(f"{base}/tap/sync?LANG=ADQL&QUERY=select+count(*)+from+ztf.source", timeout=60) as answer:
            assert b"VOTABLE" in answer.read()
        assert "sqlglot" in loaded()
        assert loaded() & {"astropy", "pandas", "scipy", "sep"} == set()
    databases.drop(url)
