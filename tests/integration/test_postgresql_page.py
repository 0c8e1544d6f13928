"""What docs/postgresql.md tells an administrator to type works, and its reader can ask but not write."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner
from sqlalchemy import URL, make_url

from tests.support.postgres import Databases
from ztfdb.cli.app import application
from ztfdb.simulate import make_science_image

PAGE = Path(__file__).resolve().parents[2] / "docs/postgresql.md"
NAMES = {"ztf_reader": "page_reader", "ztf": "page_owner"}
DATABASE = "page_owner"


@pytest.fixture(scope="module")
def administrator(databases: Databases) -> Iterator[URL]:
    """URL of the maintenance database as superuser, after the page's statements."""
    url = make_url(databases.server.create_database("page_start")).set(drivername="postgresql")
    create, grant, again = (renamed(block) for block in re.findall(r"```sql\n(.*?)```", PAGE.read_text(), re.DOTALL))
    execute(url, create)
    execute(url.set(database=DATABASE), grant)
    execute(url.set(database=DATABASE), again)
    yield url
    databases.server.drop_database(DATABASE)
    execute(url, "drop role page_reader; drop role page_owner")
    databases.server.drop_database("page_start")


def renamed(text: str) -> str:
    return re.sub(r"\bztf(_reader)?\b", lambda match: NAMES[match[0]], text)


def execute(url: URL, text: str) -> None:
    with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
        for statement in filter(str.strip, text.split(";")):
            connection.execute(statement)


def test_the_owner_fills_and_the_reader_asks(administrator, tmp_path):
    image = make_science_image(tmp_path, n_star=20, shape=(128, 128), seed=1).sci
    owner = administrator.set(database=DATABASE, username="page_owner").render_as_string(hide_password=False)
    reader = administrator.set(database=DATABASE, username="page_reader").render_as_string(hide_password=False)

    def run(url, *words):
        return CliRunner().invoke(application, ["--db", url, *words])

    assert run(owner, "init").exit_code == 0
    assert run(owner, "ingest", str(image)).exit_code == 0
    for block in re.findall(r"^ztfdb (lightcurve .*|sql .*)$", PAGE.read_text(), re.MULTILINE):
        assert run(reader, *shlex.split(block)).exit_code == 0
    assert "simulated" in run(reader, "status").stdout
    assert run(reader, "init").exit_code == 0  # there is nothing to do
    for words in (("ingest", str(image), "--force"), ("sql", "delete from source")):
        result = run(reader, *words)
        assert (result.exit_code, result.stdout) == (1, "")
        assert isinstance(result.exception, SystemExit), result.exception
        assert "Traceback" not in result.stderr
    assert run(reader, "sql", "select count(*) as n from image", "--format", "csv").stdout == "n\n1\n"
