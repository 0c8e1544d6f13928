"""What ``ztfdb serve`` costs: processor time a request, first byte, memory, two processes against one, its start."""

from __future__ import annotations

import io
import itertools
import os
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from astropy.table import Table

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.catalogues import bright_star, make_epochs
from tests.support.postgres import ENGINES
from tests.support.serving import Serving, reader_url
from ztfdb.adql.translate import translate, translate_afresh
from ztfdb.serve.tap.schema import published
from ztfdb.store.readonly_stream import Reader

requests = pytest.importorskip("requests")
pytestmark = pytest.mark.benchmark

N_REQUEST = 200
LOAD_S = int(os.environ.get("ZTFDB_BENCHMARK_SECONDS", "300"))
"""Of mixed load."""

TICKS = os.sysconf("SC_CLK_TCK")


@pytest.fixture(scope="module", params=ENGINES)
def url(request, databases):
    """2,000 stars, seen 60 times."""
    made = databases.migrated(request.param)
    build_archive(made, Plan(2_000, 60))
    yield reader_url(made)
    databases.drop(made)


@pytest.fixture(scope="module")
def star(url):
    """Position of a star with every epoch, deg."""
    with ztfdb.open(url, read_only=True) as archive:
        found = archive.sql("select ra, dec from source where image_id = (select min(image_id) from image) limit 1")
    return float(found["ra"][0]), float(found["dec"][0])


@pytest.fixture(scope="module")
def served(url):
    """A service of one process."""
    with Serving(url, "--log-format", "json", environ={"ZTFDB_SERVE_CLIENT_THREADS": "8"}) as service:
        yield service


def cpu_s(pid: int) -> float:
    """Processor time of a process so far (Linux)."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def memory_mb(pid: int) -> float:
    """Resident memory of a process (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024.0


def cpu_per_request(service: Serving, path: str, n: int = N_REQUEST) -> float:
    """Milliseconds of processor time that the service spends on one request."""
    with requests.Session() as session:
        for _ in range(20):
            assert session.get(service.base + path, timeout=60).ok
        before = cpu_s(service.pid)
        for _ in range(n):
            assert session.get(service.base + path, timeout=60).ok
        return 1e3 * (cpu_s(service.pid) - before) / n


def own_cpu(work, n: int = N_REQUEST) -> float:
    """Milliseconds of processor time that a call takes here."""
    for _ in range(20):
        work()
    before = time.process_time()
    for _ in range(n):
        work()
    return 1e3 * (time.process_time() - before) / n


def wrk(base: str, seconds: int, script: Path, *, connections: int = 16) -> tuple[float, int]:
    """Requests a second by Debian's wrk, and how many of them were no success."""
    words = [f"-t{min(2, connections)}", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", str(script)]
    done = subprocess.run(["wrk", *words, base], capture_output=True, text=True, check=True)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    lost = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", done.stdout)
    assert rate is not None, done.stdout
    n_lost = sum(map(int, lost.groups())) if lost else 0
    return float(rate[1]), n_lost + (int(failed[1]) if failed else 0)


def paths_script(folder: Path, paths: list[str]) -> Path:
    """A script for wrk that asks these paths by turns."""
    listed = ", ".join(f'"{path}"' for path in paths)
    script = folder / "paths.lua"
    script.write_text(
        f"local paths = {{{listed}}}\nlocal at = 0\n"
        'request = function()\n  at = at % #paths + 1\n  return wrk.format("GET", paths[at])\nend\n'
    )
    return script


LOAD = pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed")


def test_a_light_curve_costs_little_more_than_the_question(served, url, star):
    """In turn, so that both begin with cold caches, as questions do that come one by one; and without pauses."""
    address = f"{served.base}/api/v1/lightcurve?ra={star[0]}&dec={star[1]}"
    ours = 0.0
    with ztfdb.open(url, read_only=True) as archive, requests.Session() as session:
        assert len(archive.light_curve(*star)) >= 55
        warm = own_cpu(lambda: archive.light_curve(*star))
        for _ in range(20):
            assert session.get(address, timeout=60).ok
        before = cpu_s(served.pid)
        for _ in range(N_REQUEST):
            assert session.get(address, timeout=60).ok
            start = time.process_time()
            archive.light_curve(*star)
            ours += time.process_time() - start
        theirs = 1e3 * (cpu_s(served.pid) - before) / N_REQUEST
    ours *= 1e3 / N_REQUEST
    print(
        f"\nlight_curve() {ours:.2f} ms ({warm:.2f} ms without pauses), as JSON served {theirs:.2f} ms: "
        f"{theirs / ours:.2f} times ({theirs / warm:.2f})"
    )
    assert theirs <= 1.5 * ours


@LOAD
def test_many_clients_cost_no_more_each_than_one(served, star, tmp_path):
    """Threads that compute at the same time fight for Python's lock."""
    script = paths_script(tmp_path, [f"/api/v1/lightcurve?ra={star[0]}&dec={star[1]}"])
    cost = {1: [], 8: []}
    for _ in range(5):
        for connections, found in cost.items():
            wrk(served.base, 1, script, connections=connections)
            before = cpu_s(served.pid)
            rate, failed = wrk(served.base, 3, script, connections=connections)
            assert failed == 0
            found.append(1e3 * (cpu_s(served.pid) - before) / (3 * rate))
    one, eight = map(statistics.median, cost.values())
    print(
        f"\nlight curve as JSON: {one:.2f} ms for one client, {eight:.2f} ms for each of eight: {eight / one:.2f} times"
    )
    assert eight <= 1.25 * one


def test_a_cone_in_adql_is_translated_and_run(url):
    columns = "source_id, ra, dec, flux_aper4"
    with ztfdb.open(url, read_only=True) as archive:
        stars = archive.sql("select ra, dec from source where image_id = (select min(image_id) from image)")
    texts = itertools.cycle(
        f"select {columns} from ztf.source where 1 = contains(point('ICRS', ra, dec), circle('ICRS', {ra!r}, {dec!r}, "
        "0.001))"
        for ra, dec in zip(stars["ra"].tolist(), stars["dec"].tolist(), strict=True)
    )  # each at another position: the same statement again would be no question
    reader = Reader(url)
    try:

        def work() -> int:
            made = translate(next(texts), published(), reader.engine, 20_000)
            return sum(map(len, reader.pieces(made.sql, made.values, [])))

        assert work() >= 45
        anew = own_cpu(lambda: translate_afresh(next(texts), published(), reader.engine, 20_000))
        alone = own_cpu(lambda: translate(next(texts), published(), reader.engine, 20_000))
        both = own_cpu(work)
    finally:
        reader.close()
    print(f"\nADQL cone: translation {alone:.2f} ms (a new shape {anew:.2f} ms), with its run {both:.2f} ms")
    assert both <= 4.0


def test_a_picture_of_a_stamp(databases, tmp_path):
    made = databases.migrated("sqlite")
    epochs = make_epochs(tmp_path / "images", 2, catalogues=False)
    place = bright_star(epochs[0])[:2]
    with ztfdb.open(made, create=True) as archive:
        archive.ingest(tmp_path / "images")
        image_id = int(archive.images(*place)["image_id"][0])
    with Serving(made) as service:
        cost = cpu_per_request(service, f"/api/v1/stamp/{image_id}.png?ra={place[0]}&dec={place[1]}&size=31")
    databases.drop(made)
    print(f"\nstamp of 31 px as PNG: {cost:.2f} ms")
    assert cost <= 2.0


def test_many_rows_as_votable_in_flat_memory(served):
    n = 100_000
    columns = "source_id, image_id, ra, dec, flux_aper4, flux_aper4_err, flags, mask_bits"
    data = {"LANG": "ADQL", "QUERY": f"select {columns} from ztf.source", "MAXREC": str(n)}
    address = f"{served.base}/tap/sync"
    requests.post(address, data={**data, "MAXREC": "10"}, timeout=120)
    firsts, before, memory = [], cpu_s(served.pid), memory_mb(served.pid)
    for _ in range(3):
        start = time.perf_counter()
        with requests.post(address, data=data, stream=True, timeout=120) as answer:
            pieces = answer.iter_content(65_536)
            content = [next(pieces)]
            firsts.append(time.perf_counter() - start)
            content += pieces
    ours = (cpu_s(served.pid) - before) / 3
    table = Table.read(io.BytesIO(b"".join(content)), format="votable")
    assert len(table) == n
    start = time.process_time()
    table.write(io.BytesIO(), format="votable")
    theirs = time.process_time() - start
    grown = memory_mb(served.pid) - memory
    print(
        f"\n{n} rows: served {ours:.2f} s of processor time, astropy writes them in {theirs:.2f} s "
        f"({theirs / ours:.1f} times); first byte after {statistics.median(firsts):.3f} s; {grown:.0f} MB more"
    )
    assert theirs >= 3.0 * ours
    assert statistics.median(firsts) <= 0.2
    assert grown < 50


@LOAD
def test_two_processes_answer_nearly_twice_as_much(url, star, tmp_path):
    script = paths_script(tmp_path, [f"/api/v1/lightcurve?ra={star[0]}&dec={star[1]}"])
    rates = {}
    for workers in (1, 2, 1, 2):
        environ = {"ZTFDB_SERVE_CLIENT_THREADS": "8"}
        with Serving(url, "--workers", str(workers), "--log-format", "json", environ=environ) as service:
            wrk(service.base, 2, script)
            rate, failed = wrk(service.base, 8, script)
        assert failed == 0
        rates[workers] = max(rate, rates.get(workers, 0.0))
    print(f"\none process {rates[1]:.0f}/s, two {rates[2]:.0f}/s: {rates[2] / rates[1]:.2f} times")
    assert rates[2] >= 1.7 * rates[1]


@LOAD
def test_mixed_load_meets_no_error_and_flat_memory(served, star, tmp_path):
    place = f"ra={star[0]}&dec={star[1]}"
    query = (
        "select+count(*)+from+ztf.source+where+1=contains(point('ICRS',ra,dec),"
        f"circle('ICRS',{star[0]},{star[1]},0.01))"
    )
    script = paths_script(
        tmp_path,
        [
            f"/api/v1/lightcurve?{place}", f"/api/v1/cone?{place}&radius=10", f"/api/v1/images?{place}",
            f"/scs?RA={star[0]}&DEC={star[1]}&SR=0.001", f"/tap/sync?LANG=ADQL&FORMAT=csv&QUERY={query}",
            f"/cgi-bin/ZTF/nph_light_curves?CIRCLE={star[0]}+{star[1]}+0.0004&FORMAT=csv", "/healthz",
            f"/ibe/search/ztf/products/sci?POS={star[0]},{star[1]}&ct=csv",
        ],
    )  # fmt: skip
    wrk(served.base, max(LOAD_S // 10, 5), script)
    before = memory_mb(served.pid)
    rate, failed = wrk(served.base, LOAD_S, script)
    grown = memory_mb(served.pid) - before
    print(f"\nmixed load of {LOAD_S} s: {rate:.0f}/s, {failed} errors, {grown:+.0f} MB")
    assert failed == 0
    assert grown < 30


def test_the_start_costs_little_more_than_a_command(url, star):
    starts, commands = [], []
    for _ in range(5):
        with Serving(url) as service:
            starts.append(cpu_s(service.pid))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        words = [sys.executable, "-m", "ztfdb", "lightcurve", str(star[0]), str(star[1]), "--db", url]
        subprocess.run(words, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        commands.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    serve, command = min(starts), min(commands)
    print(f"\nstart {serve:.2f} s, ztfdb lightcurve {command:.2f} s of processor time: {serve / command:.2f} times")
    assert serve <= 1.5 * command
