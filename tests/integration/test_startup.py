"""What the commands that answer a question load: a module that is not needed costs more than the answer."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ztfdb
from tests.support.archives import Plan, build_archive

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
