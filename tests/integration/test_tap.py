"""TAP as clients use it: every format, overflow, errors, jobs, a client that goes away, a server that is killed."""

from __future__ import annotations

import csv
import gc
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import parse
from astropy.table import MaskedColumn, Table

requests = pytest.importorskip("requests", reason="the extra vo, which brings requests, is not installed")
pyvo = pytest.importorskip("pyvo", reason="the extra vo is not installed")
pytest.importorskip("starlette", reason="the extra serve is not installed")

import ztfdb  # noqa: E402
from tests.support.archives import Plan, build_archive  # noqa: E402
from tests.support.postgres import ENGINES  # noqa: E402
from tests.support.serving import Serving, connect, reader_url  # noqa: E402
from tests.support.waiting import wait_until  # noqa: E402
from ztfdb.serve.tap.jobs import THREADS  # noqa: E402
from ztfdb.store.service_tokens import TokenStore  # noqa: E402
from ztfdb.store.tap_jobs import JobStore  # noqa: E402

SLOW = (
    "select count(*) as n from ztf.source as a, ztf.source as b, ztf.source as c, ztf.source as d "
    "where a.ra + b.ra + c.ra + d.ra < 0"
)
STAGES = "TMV TME TMS TMC CPV CAP AVV QGE QPO QAS UWS MDQ OBS LOC UPL EXA"
"""What taplint runs where nobody chooses: all that it has."""


POOLS = pytest.mark.filterwarnings(
    "ignore:unclosed <socket:ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
"""pyvo leaves its connections to the garbage collector."""


@pytest.fixture(scope="module", params=ENGINES)
def url(request, databases):
    """A small archive, as a role that may only read."""
    made = databases.migrated(request.param)
    build_archive(made, Plan(100, 6))
    yield reader_url(made)
    databases.drop(made)


@pytest.fixture(scope="module")
def served(url):
    """A service of the archive."""
    with Serving(url, "--log-format", "json", environ={"ZTFDB_SERVE_SYNC_S": "5"}) as service:
        yield service


@pytest.fixture(scope="module")
def truth(url):
    """What the archive itself says."""
    with ztfdb.open(url, read_only=True) as archive:
        return archive.sql("select source_id, ra, flux_aper4, mask_bits from source order by source_id")


TEXT = "select source_id, ra, flux_aper4, mask_bits from ztf.source order by source_id"


def ask(served, text, **params):
    return requests.post(f"{served.base}/tap/sync", data={"LANG": "ADQL", "QUERY": text, **params}, timeout=60)


def read_votable(content):
    return parse(io.BytesIO(content), verify="exception").get_first_table()


@pytest.mark.parametrize("form", ["votable", "votable/b2", "text/xml"])
def test_a_votable_is_the_archives_rows(served, truth, form):
    answer = ask(served, TEXT, FORMAT=form)
    assert answer.headers["Content-Type"].startswith("application/x-votable+xml")
    found = read_votable(answer.content)
    assert [field.unit for field in found.fields][1] == "deg"
    array = found.array
    assert array["source_id"].tolist() == truth["source_id"].tolist()
    assert array["ra"].tolist() == truth["ra"].tolist()
    assert array["flux_aper4"].dtype == np.float32
    assert np.array_equal(array["flux_aper4"].filled(np.nan), truth["flux_aper4"].astype("f4"), equal_nan=True)
    assert array["mask_bits"].mask.tolist() == truth["mask_bits"].isna().tolist()


def test_the_other_formats_are_the_same_rows(served, truth, tmp_path):
    ids = truth["source_id"].tolist()
    rows = list(csv.DictReader(io.StringIO(ask(served, TEXT, FORMAT="csv").text)))
    assert [int(row["source_id"]) for row in rows] == ids
    assert [row["mask_bits"] == "" for row in rows] == truth["mask_bits"].isna().tolist()
    assert [float(row["ra"]) for row in rows] == truth["ra"].tolist()
    tabs = list(csv.DictReader(io.StringIO(ask(served, TEXT, FORMAT="tsv").text), delimiter="\t"))
    assert tabs == rows
    whole = json.loads(ask(served, TEXT, FORMAT="json").text)
    assert [int(row[0]) for row in whole["data"]] == ids
    assert isinstance(whole["data"][0][0], str)
    assert whole["metadata"][1]["unit"] == "deg" and whole["overflow"] is False
    path = tmp_path / "rows.fits"
    path.write_bytes(ask(served, TEXT, FORMAT="fits").content)
    with fits.open(path) as hdus:
        assert hdus[1].data["source_id"].tolist() == ids
        assert hdus[1].columns["ra"].unit == "deg"
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra parquet is not installed")
    table = parquet.read_table(io.BytesIO(ask(served, TEXT, FORMAT="parquet").content))
    assert table["source_id"].to_pylist() == ids
    assert table["mask_bits"].null_count == truth["mask_bits"].isna().sum()


def test_an_answer_that_was_cut_says_so(served):
    answer = ask(served, "select ra from ztf.source", MAXREC="5")
    found = read_votable(answer.content)
    assert len(found.array) == 5
    assert b'value="OVERFLOW"' in answer.content
    assert b"OVERFLOW" not in ask(served, "select top 5 ra from ztf.source", MAXREC="5").content
    assert len(read_votable(ask(served, "select ra from ztf.source", MAXREC="0").content).array) == 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"QUERY": "select ra from ztf.nothing"}, "there is no table"),
        ({"QUERY": "select ra from"}, "not ADQL"),
        ({"QUERY": "select ra from ztf.source", "FORMAT": "pdf"}, "expected one of votable"),
        ({"QUERY": "select ra, ra from ztf.source", "FORMAT": "fits"}, "2 columns have the name 'ra'"),
        ({"QUERY": 'select ra as "é" from ztf.source', "FORMAT": "fits"}, "has no name for FITS"),
        ({"QUERY": "select top 3 source_id * 1000 as a from ztf.source"}, "out of range"),
        ({"QUERY": "select top 3 source_id * 1000 as a from ztf.source", "FORMAT": "csv"}, "out of range"),
        ({"QUERY": "select ra from ztf.source", "LANG": "SQL"}, "expected one of ADQL"),
        ({"QUERY": "select ra from ztf.source", "MAXREC": "many"}, "expected a whole number"),
        ({"LANG": "ADQL"}, "QUERY is missing"),
        ({"REQUEST": "doIt", "QUERY": "select 1 as a from ztf.image"}, "expected doQuery"),
    ],
)
def test_a_mistake_is_a_document_of_dali(served, params, words):
    answer = requests.get(f"{served.base}/tap/sync", params={"LANG": "ADQL", **params}, timeout=30)
    assert answer.status_code == 400
    assert words in answer.text.replace("&lt;", "<")
    document = parse(io.BytesIO(answer.content))
    (status,) = [one for one in document.resources[0].infos if one.name == "QUERY_STATUS"]
    assert status.value == "ERROR" or words in str(status.content or status.value)


def test_a_statement_that_takes_too_long_is_stopped_and_others_are_answered(served):
    began = time.monotonic()
    answer = ask(served, SLOW)
    assert answer.status_code == 400
    assert "time limit of 5 s" in answer.text
    assert time.monotonic() - began < 30
    assert ask(served, "select top 1 ra from ztf.source").ok


def test_a_client_that_goes_away_stops_its_statement(served):
    host, port = urlsplit(served.base).netloc.split(":")
    before = len(served.log)
    with socket.create_connection((host, int(port))) as client:
        query = urlencode({"LANG": "ADQL", "QUERY": SLOW})
        client.sendall(f"GET /tap/sync?{query} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        time.sleep(0.5)
    line = json.loads(wait_for_line(served, before, '"status": 499'))
    assert line["ms"] < 4500  # well before its time limit


@POOLS
def test_pyvo_asks_at_once_and_by_a_job(served, truth):
    service = pyvo.dal.TAPService(f"{served.base}/tap")
    assert service.search(TEXT).to_table()["source_id"].tolist() == truth["source_id"].tolist()
    assert service.run_async(TEXT).to_table()["source_id"].tolist() == truth["source_id"].tolist()
    assert "ztf.light_curve_point" in service.tables
    assert service.tables["ztf.source"].columns[1].name == "image_id"
    with pytest.raises(pyvo.dal.DALQueryError, match="there is no table"):
        service.search("select ra from ztf.nothing")
    with pytest.raises(pyvo.dal.DALQueryError, match="there is no table"):
        service.run_async("select ra from ztf.nothing")


@POOLS
def test_values_have_the_types_that_are_told(served):
    service = pyvo.dal.TAPService(f"{served.base}/tap")
    for words in ("votable", "votable/b2"):
        for text, expected in (("coalesce(cast(null as integer), 0.5)", 0.5), ("cast(fid as varchar)", "2")):
            query = f"select top 1 {text} as v from ztf.image where fid = 2"
            (value,) = service.search(query, responseformat=words)["v"]
            assert value == expected


@POOLS
def test_pyvo_is_told_of_time_limits(served):
    service = pyvo.dal.TAPService(f"{served.base}/tap")
    with pytest.raises(pyvo.dal.DALQueryError, match="time limit of 5 s"):
        service.search(SLOW)
    job = service.submit_job(SLOW)
    job.execution_duration = 1
    job.run().wait(timeout=60)
    with pytest.raises(pyvo.dal.DALQueryError, match="time limit of 1 s"):
        job.raise_if_error()
    job.delete()
    del service, job
    gc.collect()


@POOLS
def test_pyvos_own_time_limits_leave_nothing_behind(served):
    image = pytest.importorskip("pyvo.discover.image", reason="an older pyvo")
    before = len(served.log)
    impatient = pyvo.dal.TAPService(f"{served.base}/tap", session=image.SessionWithTimeout(default_timeout=1))
    began = time.monotonic()
    with pytest.raises(pyvo.dal.DALAccessError, match="timed out"):
        impatient.search(SLOW)
    assert time.monotonic() - began < 4.5  # before the service's own limit
    wait_for_line(served, before, '"status": 499')  # its statement is stopped
    job = pyvo.dal.TAPService(f"{served.base}/tap").submit_job(SLOW)
    job.run()
    with pytest.raises(pyvo.dal.DALAccessError, match="timed out"):
        job.wait(timeout=1)
    assert job.phase in ("QUEUED", "EXECUTING")  # the job goes on without who waited for it
    job.abort()
    assert job.phase == "ABORTED"
    job.delete()
    del job
    gc.collect()


def wait_for_line(served, before, words):
    deadline = time.monotonic() + 20
    while not any(words in line for line in served.log[before:]):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return next(line for line in served.log[before:] if words in line)


@POOLS
def test_an_uploaded_table_is_joined_by_position(served, url):
    with ztfdb.open(url, read_only=True) as archive:
        rows = archive.sql("select source_id, ra, dec from source order by source_id").iloc[::37]
    keys = [f"k{i}" for i in range(len(rows))]
    mine = Table({"key": keys, "RA": rows["ra"].to_numpy(), "Dec": rows["dec"].to_numpy()})
    service = pyvo.dal.TAPService(f"{served.base}/tap")
    text = (
        "select u.key, s.source_id from tap_upload.mine as u join ztf.source as s on "
        "1 = contains(point('ICRS', s.ra, s.dec), circle('ICRS', u.ra, u.dec, 0.000001)) order by s.source_id"
    )
    for found in (service.search(text, uploads={"mine": mine}), service.run_async(text, uploads={"mine": mine})):
        assert found.to_table()["source_id"].tolist() == rows["source_id"].tolist()
        assert sorted(found.to_table()["key"].tolist()) == sorted(mine["key"].tolist())


@POOLS
@pytest.mark.filterwarnings("ignore:.*W03")  # an ID is made of "2MASS id"
def test_a_table_of_vizier_or_gaia_is_uploaded_as_it_is(served):
    """astropy writes booleans as ``bit``; VizieR has names that ADQL must quote."""
    mine = Table(
        {
            "_RAJ2000": [10.5, 359.25],
            "B-V": np.array([0.5, 1.25], dtype=np.float32),
            "2MASS id": ["a'b", "c:p1 $1 %s"],
            "variable": MaskedColumn([True, False], mask=[False, True]),
        }
    )
    mine["RA"] = mine["_RAJ2000"]
    text = (
        'select u."_RAJ2000" as ra2000, u."B-V" as bv, u."2MASS id" as name, u.variable, _raj2000, '
        'u."RA" + u.ra as twice from tap_upload.mine as u where "B-V" > 0.1 order by u."B-V"'
    )
    found = pyvo.dal.TAPService(f"{served.base}/tap").search(text, uploads={"mine": mine}).to_table()
    assert found.colnames == ["ra2000", "bv", "name", "variable", "_raj2000", "twice"]
    for column, wanted in (("ra2000", "_RAJ2000"), ("bv", "B-V"), ("name", "2MASS id"), ("_raj2000", "RA")):
        assert found[column].tolist() == mine[wanted].tolist()
    assert found["twice"].tolist() == [21.0, 718.5]
    assert found["variable"].tolist() == [1, None]
    cut = pyvo.dal.TAPService(f"{served.base}/tap").search(
        "select count(*) as n from tap_upload.mine where variable = 1", uploads={"mine": mine}
    )
    assert cut.to_table()["n"].tolist() == [1]


@pytest.mark.parametrize(
    ("column", "words"),
    [("_k", "rename it"), ("x" * 64, "63 bytes"), ("é" * 32, "63 bytes"), ("RA", "differ in case alone")],
)
@POOLS
@pytest.mark.filterwarnings("ignore:.*W03")
def test_a_column_that_is_not_taken_is_told(served, column, words):
    mine = Table({"ra": [1.0], column: [2.0]})
    with pytest.raises(pyvo.dal.DALQueryError, match=words):
        pyvo.dal.TAPService(f"{served.base}/tap").search("select * from tap_upload.mine", uploads={"mine": mine})


@pytest.mark.parametrize(
    ("upload", "words"),
    [
        ("mine,http://127.0.0.1:1/secret", "not fetched"),
        ("mine,http://169.254.169.254/latest", "not fetched"),
        ("mine,file:///etc/passwd", "not fetched"),
        ("mine,param:other", "no such file"),
        ('m"x,param:mine', "expected letters"),
        ("mine,param:mine", "not a readable VOTable"),
    ],
)
def test_an_upload_that_is_not_taken_is_told(served, upload, words):
    bomb = (
        b'<!DOCTYPE a [<!ENTITY b "'
        + b"x" * 1000
        + b'">'
        + b"".join(b'<!ENTITY c%d "%s">' % (i, (b"&c%d;" % (i - 1) if i else b"&b;") * 10) for i in range(9))
        + b"]><VOTABLE>&c8;</VOTABLE>"
    )
    began = time.monotonic()
    answer = requests.post(
        f"{served.base}/tap/sync",
        data={"LANG": "ADQL", "QUERY": "select * from tap_upload.mine", "UPLOAD": upload},
        files={"mine": ("mine.xml", bomb)},
        timeout=60,
    )
    assert answer.status_code == 400
    assert words in answer.text
    assert "/etc" not in answer.text or "file:///etc" in upload
    assert time.monotonic() - began < 20


def make_job(served, text, **params):
    data = {"LANG": "ADQL", "QUERY": text, **params}
    answer = requests.post(f"{served.base}/tap/async", data=data, allow_redirects=False, timeout=30)
    assert answer.status_code == 303
    return answer.headers["Location"]


def phase(job, caller=requests):
    return caller.get(f"{job}/phase", timeout=30).text


def wait_for(job, *phases, caller=requests):
    deadline = time.monotonic() + 40
    while (now := phase(job, caller)) not in phases:
        assert time.monotonic() < deadline, now
        time.sleep(0.1)
    return now


def test_a_job_runs_when_it_is_told_to(served):
    job = make_job(served, TEXT)
    assert phase(job) == "PENDING"
    requests.post(f"{job}/parameters", data={"MAXREC": "3"}, timeout=30)
    requests.post(f"{job}/phase", data={"PHASE": "RUN"}, timeout=30)
    for _ in range(3):  # each ends with a change of the phase
        waited = requests.get(job, params={"WAIT": "20"}, timeout=60).text
    assert "<uws:phase>COMPLETED</uws:phase>" in waited
    result = requests.get(f"{job}/results/result", timeout=30)
    assert len(read_votable(result.content).array) == 3
    assert requests.delete(job, timeout=30).ok
    assert requests.get(job, timeout=30).status_code == 404


@pytest.mark.parametrize("end", ["abort", "delete"])
def test_a_job_that_its_client_ends_is_ended_in_the_database(served, url, end):
    job = make_job(served, SLOW, PHASE="RUN")
    wait_for(job, "EXECUTING")
    deadline = time.monotonic() + 20
    while not works(served, url):
        assert time.monotonic() < deadline
    began = time.monotonic()
    if end == "abort":
        requests.post(f"{job}/phase", data={"PHASE": "ABORT"}, timeout=30)
        assert wait_for(job, "ABORTED")
        assert requests.get(f"{job}/results/result", timeout=30).status_code == 404
    else:
        assert requests.delete(job, timeout=30).ok
        assert requests.get(job, timeout=30).status_code == 404
    assert time.monotonic() - began < 15
    assert not works(served, url)


def works(served, url):
    """Whether a statement runs in the database: as PostgreSQL says it, as the time of the process shows it."""
    if url.startswith("postgresql"):
        with connect(url) as connection:
            (n,) = connection.execute(
                "select count(*) from pg_stat_activity where state = 'active' and pid <> pg_backend_pid() "
                "and datname = current_database()"
            ).fetchone()
        return n > 0
    before = cpu_s(served.pid)
    time.sleep(1.0)
    return cpu_s(served.pid) - before > 0.15  # a scan takes what it gets of a processor, a service at rest nothing


def cpu_s(pid):
    """Seconds of processor that a process has used (Linux)."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def test_a_job_ends_when_its_time_is_up(served):
    job = make_job(served, SLOW)
    requests.post(f"{job}/executionduration", data={"EXECUTIONDURATION": "1"}, timeout=30)
    assert requests.get(f"{job}/executionduration", timeout=30).text == "1"
    requests.post(f"{job}/phase", data={"PHASE": "RUN"}, timeout=30)
    wait_for(job, "ERROR")
    assert "time limit of 1 s" in requests.get(f"{job}/error", timeout=30).text


def test_a_running_job_obeys_a_shorter_time(served):
    job = make_job(served, SLOW, PHASE="RUN")
    wait_for(job, "EXECUTING")
    requests.post(f"{job}/executionduration", data={"EXECUTIONDURATION": "1"}, timeout=30)
    wait_for(job, "ERROR")
    assert "time limit of 1 s" in requests.get(f"{job}/error", timeout=30).text


@pytest.mark.parametrize("when", ["2001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_a_running_job_whose_time_of_removal_comes_is_stopped_and_gone(served, url, when):
    job = make_job(served, SLOW, PHASE="RUN")
    wait_for(job, "EXECUTING")
    requests.post(f"{job}/destruction", data={"DESTRUCTION": when}, allow_redirects=False, timeout=30)
    wait_until(lambda: requests.get(job, timeout=30).status_code == 404)
    assert not works(served, url)


def test_a_job_is_run_once(served):
    job = make_job(served, SLOW, PHASE="RUN")
    again = requests.post(f"{job}/phase", data={"PHASE": "RUN"}, timeout=30)
    assert (again.status_code, "only one that is PENDING can be run" in again.text) == (400, True)
    requests.delete(job, timeout=30)


def test_nobody_waits_for_a_client_that_is_gone(served):
    job = make_job(served, SLOW, PHASE="RUN")
    wait_for(job, "EXECUTING")
    with pytest.raises(requests.ReadTimeout):
        requests.get(job, params={"WAIT": "60"}, timeout=1)
    path = job.removeprefix(served.base)
    wait_until(lambda: any(path in line and '"status": 499' in line for line in served.log), 20.0)
    requests.delete(job, timeout=30)


def test_nobody_sees_the_jobs_of_others(served):
    make_job(served, TEXT)
    assert "jobref" not in requests.get(f"{served.base}/tap/async", timeout=30).text
    assert requests.get(f"{served.base}/tap/async/{'0' * 32}", timeout=30).status_code == 404
    assert requests.get(f"{served.base}/tap/async/..%2fjobs.sqlite/results/result", timeout=30).status_code == 404


def test_a_job_of_a_killed_service_is_in_a_true_state(url, tmp_path):
    words = ("--state", str(tmp_path))
    with Serving(url, *words) as service:
        done = make_job(service, TEXT, PHASE="RUN")
        wait_for(done, "COMPLETED")
        running = [make_job(service, SLOW, PHASE="RUN") for _ in range(THREADS)]
        for job in running:
            wait_for(job, "EXECUTING")
        queued, aborted, waiting = (make_job(service, TEXT, PHASE=phase) for phase in ("RUN", "RUN", ""))
        assert phase(queued) == "QUEUED"
        requests.post(f"{aborted}/phase", data={"PHASE": "ABORT"}, timeout=30)
        service.stop(signal.SIGKILL)
        old = service.base
    with Serving(url, *words) as service:

        def now(job):
            return job.replace(old, service.base)

        assert phase(now(done)) == "COMPLETED"
        assert len(read_votable(requests.get(f"{now(done)}/results/result", timeout=30).content).array) == 600
        for job in (*running, queued):
            assert phase(now(job)) == "ERROR"
            assert "ended" in requests.get(f"{now(job)}/error", timeout=30).text
        assert phase(now(aborted)) == "ABORTED"
        assert phase(now(waiting)) == "PENDING"
        requests.post(f"{now(waiting)}/phase", data={"PHASE": "RUN"}, timeout=30)
        wait_for(now(waiting), "COMPLETED")


def test_a_service_that_ends_well_leaves_no_job_behind(url, tmp_path):
    words = ("--state", str(tmp_path))
    with Serving(url, *words) as service:
        jobs = [make_job(service, SLOW, PHASE="RUN") for _ in range(THREADS + 1)]
        wait_for(jobs[0], "EXECUTING")
        assert service.stop() == 0
    store = JobStore(tmp_path)
    found = [store.get(job.rpartition("/")[2]) for job in jobs]
    assert [(job.phase, "ended before" in job.error) for job in found] == [("ERROR", True)] * (THREADS + 1)
    assert not list(tmp_path.glob("*.part"))


@pytest.fixture(scope="module")
def two_callers(databases, tmp_path_factory):
    """A service that wants tokens, and sessions of two who have one."""
    made, state = databases.migrated("sqlite"), tmp_path_factory.mktemp("tokens")
    build_archive(made, Plan(100, 6))
    sessions = []
    for name in ("anna", "boris"):
        sessions.append(requests.Session())
        sessions[-1].headers["Authorization"] = f"Bearer {TokenStore(state).add(name)}"
    with Serving(made, "--tokens", "--state", str(state)) as service:
        yield service, *sessions
    for one in sessions:
        one.close()
    databases.drop(made)


def made_by(caller, service, **params):
    data = {"LANG": "ADQL", "QUERY": TEXT, **params}
    answer = caller.post(f"{service.base}/tap/async", data=data, allow_redirects=False, timeout=30)
    return answer.headers["Location"]


@POOLS
def test_the_list_of_jobs_is_the_callers_own(two_callers):
    service, anna, boris = two_callers
    address = f"{service.base}/tap/async"
    first = made_by(anna, service, PHASE="RUN", RUNID="<one>")
    wait_for(first, "COMPLETED", caller=anna)
    second, other = made_by(anna, service), made_by(boris, service)

    def listed(caller, **params):
        jobs = caller.get(address, params=params, timeout=30)
        assert jobs.ok, jobs.text
        return re.findall(r'xlink:href="([^"]+)"', jobs.text)

    assert listed(anna) == [first, second]
    assert listed(boris) == [other]
    assert listed(anna, PHASE="COMPLETED") == [first]
    assert listed(anna, PHASE=["COMPLETED", "PENDING"], LAST="1") == [second]
    assert listed(anna, PHASE="HELD") == []
    created = re.search(r"<uws:creationTime>(.*?)</", anna.get(second, timeout=30).text)[1]
    assert listed(anna, AFTER="2020-01-01T00:00:00Z") == [first, second]
    assert second not in listed(anna, AFTER=created.replace("20", "21", 1))
    for wrong in ({"PHASE": "BORED"}, {"AFTER": "soon"}, {"LAST": "0"}):
        assert anna.get(address, params=wrong, timeout=30).status_code == 400
    text = anna.get(address, timeout=30).text
    assert "<uws:runId>&lt;one&gt;</uws:runId>" in text and "<uws:ownerId>anna</uws:ownerId>" in text
    assert anna.get(f"{first}/owner", timeout=30).text == "anna"

    found = pyvo.dal.TAPService(f"{service.base}/tap", session=anna).get_job_list(phases=["COMPLETED", "PENDING"])
    assert [(job.jobid, job.phase, job.ownerid) for job in found] == [
        (first.rpartition("/")[2], "COMPLETED", "anna"), (second.rpartition("/")[2], "PENDING", "anna"),
    ]  # fmt: skip


def test_a_job_of_another_is_not_there(two_callers):
    service, anna, boris = two_callers
    job = made_by(anna, service, PHASE="RUN", FORMAT="votable")
    wait_for(job, "COMPLETED", caller=anna)
    for part in ("", "/phase", "/results", "/results/result", "/parameters", "/owner", "/error"):
        assert boris.get(job + part, timeout=30).status_code == 404
    assert boris.post(f"{job}/phase", data={"PHASE": "ABORT"}, timeout=30).status_code == 404
    assert boris.post(job, data={"ACTION": "DELETE"}, timeout=30).status_code == 404
    assert boris.delete(job, timeout=30).status_code == 404
    again = {"LANG": "ADQL", "QUERY": "select count(*) as n from tap_upload.mine", "FORMAT": "csv"}
    again["UPLOAD"] = f"mine,{job}/results/result"
    refused = boris.post(f"{service.base}/tap/sync", data=again, timeout=30)
    assert (refused.status_code, "has no result" in refused.text) == (400, True)
    assert anna.post(f"{service.base}/tap/sync", data=again, timeout=30).text.split() == ["n", "600"]
    his = made_by(boris, service, PHASE="RUN", **again)
    wait_for(his, "ERROR", caller=boris)
    hers = made_by(anna, service, PHASE="RUN", **again)
    wait_for(hers, "COMPLETED", caller=anna)


@pytest.mark.slow
def test_taplint_finds_nothing(served):
    stilts = shutil.which("stilts")
    if stilts is None:
        pytest.skip("stilts is not installed")
    done = subprocess.run(
        [stilts, "taplint", f"tapurl={served.base}/tap"],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    last = done.stdout.strip().splitlines()[-1]
    assert set(STAGES.split()) <= set(re.findall(r"^Section (\w+):", done.stdout, re.MULTILINE))
    assert "Errors: 0" in last and "Warnings: 0" in last and "Failures: 0" in last, done.stdout


def test_votlint_finds_nothing(served, tmp_path):
    stilts = shutil.which("stilts")
    if stilts is None:
        pytest.skip("stilts is not installed")
    for form in ("votable", "votable/b2"):
        path = tmp_path / "rows.vot"
        path.write_bytes(ask(served, "select top 20 * from ztf.light_curve_point", FORMAT=form).content)
        done = subprocess.run([stilts, "votlint", str(path)], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0
        assert done.stdout.strip() == ""
        assert len(Table.read(path, format="votable")) == 20


@POOLS
def test_the_examples_of_the_page_run(served):
    page = (Path(__file__).parents[2] / "docs" / "service.md").read_text(encoding="utf-8")
    page = page.replace("http://127.0.0.1:8000", served.base)
    page = "".join(part for part in page.split("\n## ") if part.startswith(("TAP", "Simple Cone Search")))
    (python,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(python, names)
    assert names["curve"].colnames == ["mjd", "filtercode", "mag", "magerr"]
    curls = [one for one in re.findall(r"```sh\n(.*?)```", page, re.DOTALL) if one.startswith("curl")]
    assert curls
    for words in curls:
        if shutil.which("curl"):
            done = subprocess.run(
                ["sh", "-c", words.replace("curl ", "curl -s ")], capture_output=True, text=True, timeout=60
            )
            assert done.returncode == 0
            assert done.stdout and 'value="ERROR"' not in done.stdout and 'name="Error"' not in done.stdout
