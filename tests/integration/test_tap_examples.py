"""The examples that TAP offers are about the archive at hand: each of them finds rows."""

from __future__ import annotations

import pytest
from astropy.table import Table
from sqlalchemy import text

pyvo = pytest.importorskip("pyvo", reason="the extra vo is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

import ztfdb  # noqa: E402
from tests.support.archives import Plan, build_archive  # noqa: E402
from tests.support.catalogues import make_epochs  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402
from ztfdb.serve.tap.examples import EXAMPLES  # noqa: E402
from ztfdb.store.engine import make_engine  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""pyvo leaves its connections to the garbage collector."""


@pytest.fixture(params=ENGINES)
def empty(request, databases):
    made = databases.migrated(request.param)
    yield made
    databases.drop(made)


def statements_and_rows(url):
    """What each example is, and its rows; the table that one of them wants has the star of another."""
    with Serving(reader_url(url)) as served:
        service = pyvo.dal.TAPService(f"{served.base}/tap")
        statements, found = [example["QUERY"] for example in service.examples], []
        for statement in statements:
            uploads = {}
            if "tap_upload" in statement:
                uploads = {"t1": Table({"name": ["star"], "ra": found[0]["ra"][:1], "dec": found[0]["dec"][:1]})}
            found.append(service.search(statement, uploads=uploads))
        return statements, found


PLANS = {
    "sky": Plan(40, 3),
    "ra 0": Plan(40, 2, centre=(0.002, -5.0)),
    "pole": Plan(60, 2, centre=(70.0, 89.7), field=1),
}


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_each_finds_rows(empty, plan):
    build_archive(empty, plan)
    statements, found = statements_and_rows(empty)
    assert len(statements) == len(EXAMPLES)
    assert all(len(rows) for rows in found)
    assert "ztf.light_curve_point" in statements[0]
    assert len(set(found[0]["mjd"])) == plan.n_epoch


def test_where_only_psf_catalogues_have_rows_they_are_shown(empty, tmp_path):
    make_epochs(tmp_path, 2)
    with ztfdb.open(empty, create=True) as archive:
        archive.ingest(tmp_path)
    engine = make_engine(empty)
    with engine.begin() as connection:
        connection.execute(text("delete from source"))
    engine.dispose()
    statements, found = statements_and_rows(empty)
    assert all(len(rows) for rows in found)
    assert "ztf.psf_light_curve_point" in statements[0]


def test_an_archive_without_images_has_them_too(empty):
    ztfdb.open(empty, create=True).close()
    with Serving(reader_url(empty)) as served:
        service = pyvo.dal.TAPService(f"{served.base}/tap")
        assert [len(service.search(example["QUERY"])) > 0 for example in service.examples[:4]] == [False] * 3 + [True]
