"""Simple Cone Search: the archive's own cone, in the standard's words."""

from __future__ import annotations

import io
import shutil
import subprocess

import numpy as np
import pytest
from astropy.io.votable import parse

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pyvo = pytest.importorskip("pyvo", reason="the extra vo is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

import ztfdb  # noqa: E402
from tests.support.archives import Plan, build_archive  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, reader_url  # noqa: E402

POOLS = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""pyvo leaves its connections to the garbage collector."""


@pytest.fixture(scope="module", params=ENGINES)
def url(request, databases):
    """A small archive that crosses RA 0, as a role that may only read."""
    made = databases.migrated(request.param)
    build_archive(made, Plan(100, 6, centre=(0.0, -5.0)))
    yield reader_url(made)
    databases.drop(made)


@pytest.fixture(scope="module")
def served(url):
    """A service of the archive."""
    with Serving(url) as service:
        yield service


@POOLS
def test_a_cone_is_the_archives_cone(served, url, tmp_path):
    with ztfdb.open(url, read_only=True) as archive:
        truth = archive.cone(359.99, -5.0, 0.3 * 3600)
    assert len(truth) > 20
    found = pyvo.dal.SCSService(f"{served.base}/scs").search(pos=(359.99, -5.0), radius=0.3, verbosity=3)
    assert [record.id for record in found] == truth["source_id"].astype(str).tolist()
    assert [record.pos.ra.deg for record in found] == truth["ra"].tolist()
    table = found.to_table()
    assert table.colnames == list(truth.columns)
    assert np.array_equal(table["flux_aper4"].filled(np.nan), truth["flux_aper4"].to_numpy("f4"), equal_nan=True)
    mask = truth["mask_bits"].isna()
    assert mask.any() and not mask.all()
    assert [value is np.ma.masked for value in table["mask_bits"]] == mask.tolist()
    assert table["mask_bits"][~mask.to_numpy()].tolist() == truth["mask_bits"][~mask].tolist()
    for verb in (1, 2, 3):
        content = requests.get(f"{served.base}/scs?RA=359.99&DEC=-5&SR=0.3&VERB={verb}", timeout=30).content
        parse(io.BytesIO(content), verify="exception")
        if shutil.which("stilts"):
            path = tmp_path / "cone.vot"
            path.write_bytes(content)
            done = subprocess.run(["stilts", "votlint", str(path)], capture_output=True, text=True, timeout=120)
            assert (done.returncode, done.stdout.strip()) == (0, "")


def test_a_radius_of_nothing_asks_for_the_columns(served):
    for words in ("SR=0", "SR=0.3&MAXREC=0"):
        content = requests.get(f"{served.base}/scs?ra=0&dec=-5&{words}", timeout=30).content
        table = parse(io.BytesIO(content), verify="exception").get_first_table()
        assert len(table.array) == 0
        assert [one.ucd for one in table.fields][:3] == ["ID_MAIN", "POS_EQ_RA_MAIN", "POS_EQ_DEC_MAIN"]


def test_a_cut_answer_is_the_nearest_rows_and_says_so(served, url):
    with ztfdb.open(url, read_only=True) as archive:
        truth = archive.cone(0.0, -5.0, 0.3 * 3600)["source_id"].astype(str).tolist()[:5]
    content = requests.get(f"{served.base}/scs?RA=0&DEC=-5&SR=0.3&MAXREC=5", timeout=30).content
    table = parse(io.BytesIO(content), verify="exception").get_first_table()
    assert table.array["source_id"].tolist() == truth
    assert b'value="OVERFLOW"' in content


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("RA=0&DEC=0", "SR is missing"),
        ("RA=x&DEC=0&SR=1", "RA is 'x', expected a number"),
        ("RA=0&DEC=91&SR=1", "DEC is '91'"),
        ("RA=0&DEC=0&SR=-1", "SR is '-1'"),
        ("RA=0&DEC=0&SR=20", "at most 1 deg"),
        ("RA=nan&DEC=0&SR=1", "RA is 'nan'"),
        ("RA=0&DEC=0&SR=1&VERB=7", "VERB is 7, expected 1..3"),
        ("RA=0&RA=1&DEC=0&SR=1", "given 2 times"),
    ],
)
def test_a_mistake_is_an_info_named_error(served, query, words):
    answer = requests.get(f"{served.base}/scs?{query}", timeout=30)
    assert answer.status_code == 200
    (info,) = [one for one in parse(io.BytesIO(answer.content), verify="exception").infos if one.name == "Error"]
    assert words in info.value
