"""``ztfdb watch``, ``retry`` and ``quarantine`` as a person types them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.support.waiting import DEADLINE_S, wait_until
from ztfdb.simulate import make_science_image


def ztfdb(url, *words):
    done = subprocess.run(
        [sys.executable, "-c", "from ztfdb.cli import main; main()", *words, "--db", url],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.slow
def test_watch_stores_sets_aside_and_says_so(engine_url, tmp_path):
    make_science_image(tmp_path, shape=(160, 160), n_star=10, seed=1)
    bad = tmp_path / "ztf_20200924000001_000655_zr_c13_o_q3_sciimg.fits"
    bad.write_text("no FITS file at all")
    how = ("--once", "--settle", "0", "--mask-grace", "0", "--attempts", "1", "--log-format", "json")
    status, _, log = ztfdb(engine_url, "watch", str(tmp_path), *how)
    assert status == 1, log
    lines = [json.loads(line) for line in log.splitlines()]
    outcomes = {line["path"]: line["outcome"] for line in lines if "outcome" in line}
    assert sorted(outcomes.values()) == ["failed", "stored"]
    assert outcomes[str(bad)] == "failed"

    _, text, _ = ztfdb(engine_url, "status")
    assert "1 done, 1 quarantined" in text
    _, listed, _ = ztfdb(engine_url, "quarantine", "list")
    assert bad.name in listed and "not a FITS file" in listed
    number = listed.split()[0]
    _, shown, _ = ztfdb(engine_url, "quarantine", "show", number)
    assert "Traceback" in shown or "ImageReadError" in shown
    assert ztfdb(engine_url, "quarantine", "release")[0] == 2
    assert ztfdb(engine_url, "quarantine", "show", "999")[0] == 2
    assert "0 images will be tried again; 1 image set aside: see ztfdb quarantine list" in ztfdb(engine_url, "retry")[2]
    assert "1 image released, to be tried again by ztfdb watch" in ztfdb(engine_url, "quarantine", "release", number)[2]
    assert "0 images" in ztfdb(engine_url, "retry")[2]


def test_what_is_waited_for_is_in_status_and_log_at_once_and_is_no_failure(engine_url, tmp_path):
    whole = make_science_image(tmp_path, shape=(160, 160), n_star=10, seed=1, obsmjd=59116.4)
    alone = make_science_image(tmp_path, shape=(160, 160), n_star=10, seed=2, obsmjd=59117.4)
    alone.msk.unlink()
    short = make_science_image(tmp_path, shape=(160, 160), n_star=10, seed=3, obsmjd=59118.4)
    short.sci.write_bytes(short.sci.read_bytes()[:5760])
    status, _, log = ztfdb(engine_url, "watch", str(tmp_path), "--once", "--settle", "0", "--log-format", "json")
    lines = [json.loads(line) for line in log.splitlines()]
    waits = {line["path"]: line["reason"] for line in lines if line["message"] == "image waits"}
    assert status == 0, log
    assert [line["path"] for line in lines if line.get("outcome") == "stored"] == [str(whole.sci)]
    assert waits[str(alone.sci)] == "its mask is not there yet"
    assert waits[str(short.sci)].startswith("the image is cut short: ")
    assert len(waits) == sum(line["message"] == "image waits" for line in lines) == 2

    _, text, _ = ztfdb(engine_url, "status")
    assert "2 wait for what is missing" in text
    assert f"{alone.sci.name}: its mask is not there yet" in text
    queue = json.loads(ztfdb(engine_url, "status", "--format", "json")[1])["queue"]
    assert (queue["n_waiting"], queue["jobs"]["pending"]) == (2, 2)
    assert all(0 < one["due_in_s"] <= 600 for one in queue["waiting"])

    now = ("--once", "--settle", "0", "--mask-grace", "0")
    alone.sci.touch()
    status, _, log = ztfdb(engine_url, "watch", str(tmp_path), *now)
    assert status == 0, log
    assert json.loads(ztfdb(engine_url, "status", "--format", "json")[1])["queue"]["n_waiting"] == 1


def test_a_folder_that_is_not_there_is_a_failure_of_once(engine_url, tmp_path):
    status, _, log = ztfdb(engine_url, "watch", str(tmp_path / "nowhere"), "--once")
    assert status == 1
    assert "left out" in log


def test_metrics_tell_what_was_done_and_how_the_queue_stands(engine_url, tmp_path):
    prometheus = pytest.importorskip("prometheus_client.parser", reason="the extra metrics is not installed")
    make_science_image(tmp_path, shape=(160, 160), n_star=10, seed=1)
    bad = tmp_path / "ztf_20200924000001_000655_zr_c13_o_q3_sciimg.fits"
    bad.write_text("no FITS file at all")
    how = ("--settle", "0", "--mask-grace", "0", "--attempts", "1", "--log-format", "json", "--metrics-port", "0")
    with running(engine_url, "watch", str(tmp_path), *how) as process:
        address = next(line["address"] for line in json_lines(process) if line["message"] == "metrics")
        wait_until(lambda: metric(prometheus, address, "ztfdb_queue_jobs", state="done") == 1)
        wait_until(lambda: metric(prometheus, address, "ztfdb_queue_jobs", state="quarantined") == 1)
        wait_until(lambda: metric(prometheus, address, "ztfdb_images_total", outcome="failed") == 1)
        assert metric(prometheus, address, "ztfdb_images_total", outcome="stored") == 1
        assert metric(prometheus, address, "ztfdb_images_total", outcome="known_copy") == 0
        assert metric(prometheus, address, "ztfdb_sources_total") > 3
        assert metric(prometheus, address, "ztfdb_image_seconds_count") == 2
        assert metric(prometheus, address, "ztfdb_queue_oldest_waiting_seconds") == 0
        assert metric(prometheus, address, "ztfdb_workers") == 1
        assert metric(prometheus, address, "ztfdb_database_up") == 1
        assert metric(prometheus, address, "process_resident_memory_bytes") > 1e7
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=DEADLINE_S) == 0


def metric(prometheus, address, name, **labels):
    with urllib.request.urlopen(address, timeout=DEADLINE_S) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        text = answer.read().decode()
    found = [
        sample.value
        for family in prometheus.text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name and sample.labels == labels
    ]
    assert len(found) == 1, (name, labels, text)
    return found[0]


def test_a_port_that_is_taken_is_one_line(databases, tmp_path):
    pytest.importorskip("prometheus_client", reason="the extra metrics is not installed")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        status, _, log = ztfdb(databases.migrated("sqlite"), "watch", str(tmp_path), "--once", "--metrics-port", port)
    assert status == 1
    assert f"no metrics on 127.0.0.1:{port}" in log
    assert "Traceback" not in log


def test_sighup_reads_the_operating_settings_again_and_nothing_else(engine_url, tmp_path):
    night = tmp_path / "night"
    night.mkdir()
    config = tmp_path / "ztfdb.toml"
    config.write_text('jobs = 1\nlog_format = "json"\n[extraction]\nthreshold = 1.5\n')
    how = ("watch", str(night), "--settle", "0", "--mask-grace", "0", "--config", str(config))
    with running(engine_url, *how) as process:
        lines = json_lines(process)
        next(line for line in lines if line["message"] == "watching")
        config.write_text('jobs = 2\nlog_format = "json"\ntimeout_s = 77.0\n[extraction]\nthreshold = 9.0\n')
        process.send_signal(signal.SIGHUP)
        again = next(line for line in lines if line["message"] == "configuration read again")
        assert (again["jobs"], again["timeout_s"]) == (2, 77.0)
        config.write_text("jobs = [what]\n")
        process.send_signal(signal.SIGHUP)
        refused = next(line for line in lines if line["message"] == "the configuration was not read again")
        assert "cannot be read" in refused["reason"]
        make_science_image(night, shape=(160, 160), n_star=10, seed=1)
        stored = next(line for line in lines if line.get("outcome") == "stored")
        assert stored["n_source"] > 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=DEADLINE_S) == 0
    _, shown, _ = ztfdb(engine_url, "status", "--format", "json")
    assert json.loads(shown)["archive"]["settings"]["threshold"] == 1.5


def test_sighup_with_another_archive_says_that_it_stays(databases, tmp_path):
    config = tmp_path / "ztfdb.toml"
    config.write_text(f'log_format = "json"\nurl = "{databases.migrated("sqlite")}"\n')
    with running(None, "watch", str(tmp_path), "--config", str(config)) as process:
        lines = json_lines(process)
        started = next(line for line in lines if line["message"] == "watching")
        config.write_text(f'log_format = "json"\nurl = "sqlite:///{tmp_path}/other.sqlite"\n')
        process.send_signal(signal.SIGHUP)
        told = next(line for line in lines if line["level"] == "WARNING")
        assert (told["message"], told["archive"]) == (
            "the archive stays: another one needs a new start",
            started["archive"],
        )
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=DEADLINE_S) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_once_that_was_ended_is_not_done(engine_url, tmp_path, number):
    """A script goes on with its next step after a status of 0."""
    make_science_image(tmp_path, shape=(160, 160), n_star=10, seed=1)
    with running(engine_url, "watch", str(tmp_path), "--once", "--settle", "600", "--log-format", "json") as process:
        assert next(json_lines(process))["message"] == "watching"
        process.send_signal(number)
        assert process.wait(timeout=DEADLINE_S) == -number


@contextlib.contextmanager
def running(url, *words):
    """The command as a process; without a `url` its configuration names the archive."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from ztfdb.cli import main; main()", *words, *(["--db", url] if url else [])],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def json_lines(process):
    for line in process.stderr:
        assert line.startswith("{"), line + process.stderr.read()
        yield json.loads(line)
