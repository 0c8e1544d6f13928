"""The processes of an export: one snapshot, their failures, their end, and what they import."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.hats_tasks import Die, Fail, Look, Modules, make_array
from tests.support.waiting import wait_until
from ztfdb.errors import DatabaseUnavailableError, ExportError
from ztfdb.hats import readers
from ztfdb.hats.processes import Process, processes
from ztfdb.hats.readers import Readers
from ztfdb.store.address import address_of
from ztfdb.store.engine import make_engine

LOOK = Look("select value from archive_meta where key = 'note' order by value")


@pytest.fixture
def url(engine_url):
    build_archive(engine_url, Plan(60, 2))
    return engine_url


@contextmanager
def opened_by(url, jobs):
    with processes(jobs - 1) as others, Readers(address_of(url), others, "header") as opened:
        yield opened


def write_note(url, text):
    engine = make_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("delete from archive_meta where key = 'note'")
        connection.exec_driver_sql(f"insert into archive_meta (key, value) values ('note', '\"{text}\"')")
    engine.dispose()


def test_every_process_reads_the_snapshot_of_the_first(url):
    write_note(url, "before")
    with opened_by(url, 3) as opened:
        for _ in range(2):
            found = list(opened.run([LOOK] * 30))
            assert len(found) == 30
            assert len({pid for pid, _, _ in found}) == 3 and os.getpid() in {pid for pid, _, _ in found}
            assert [answer for _, *answer in found] == [[2, [('"before"',)]]] * 30
            write_note(url, "after")
    with opened_by(url, 2) as opened:
        assert {str(rows) for _, _, rows in opened.run([LOOK] * 9)} == {str([('"after"',)])}


def committing(monkeypatch, url, times):
    """Commit after this process has opened its transaction, and before the others do, some times."""
    asked, left = readers.export_snapshot, iter(range(times))

    def export_snapshot(session):
        name = asked(session)
        if (number := next(left, None)) is not None:
            write_note(url, f"commit {number}")
        return name

    monkeypatch.setattr(readers, "export_snapshot", export_snapshot)


def test_a_commit_while_processes_open_parts_them_on_no_engine(url, monkeypatch):
    write_note(url, "before")
    committing(monkeypatch, url, 2)
    with opened_by(url, 2) as opened:
        answers = {str(rows) for _, _, rows in opened.run([LOOK] * 9)}
    assert answers == {str([('"commit 1"' if url.startswith("sqlite") else '"before"',)])}


def test_an_archive_that_is_written_to_all_the_time_needs_one_process(databases, monkeypatch):
    url = databases.migrated("sqlite")
    build_archive(url, Plan(60, 2))
    committing(monkeypatch, url, 99)
    with pytest.raises(DatabaseUnavailableError, match="try --jobs 1"):
        opened_by(url, 2).__enter__()
    with opened_by(url, 1) as opened:
        assert len(list(opened.run([LOOK] * 2))) == 2
    databases.drop(url)


def test_a_failure_in_another_process_is_raised_here(url):
    with opened_by(url, 2) as opened:
        with pytest.raises(ExportError, match="no room"):
            list(opened.run([Fail(os.getpid())] * 99))
        with pytest.raises(ExportError, match="run the command again to resume"):
            list(opened.run([Die(os.getpid())] * 99))


def test_other_processes_import_little(url):
    with opened_by(url, 2) as opened:
        ((_, modules),) = {pid: found for pid, found in opened.run([Modules()] * 9) if pid != os.getpid()}.items()
    assert {"numpy", "pyarrow"} <= modules
    assert not modules & {"sqlalchemy", "pandas", "astropy", "scipy", "loky"}


def test_pyarrow_in_another_process_does_without_pandas():
    process = Process()
    assert process.call(make_array) is False
    process.close()


def test_a_process_ends_in_the_middle_of_its_work_when_its_maker_does():
    code = """
import os, time
from ztfdb.hats.processes import Process, processes
process = Process()
print(process.call(os.getpid), flush=True)
process.begin(time.sleep, 600)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as maker:
        pid = int(maker.stdout.readline())
        os.kill(pid, 0)
        maker.send_signal(signal.SIGKILL)

    def is_gone():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] == "Z"  # not yet reaped by the process that inherits it

    wait_until(is_gone)


def test_an_export_imports_neither_sqlalchemy_nor_astropy(url, tmp_path):
    code = f"""
import sys, ztfdb
with ztfdb.open({url!r}) as archive:
    archive.export_hats({str(tmp_path / "hats")!r})
print(sorted(set(sys.modules) & {{"sqlalchemy", "astropy", "scipy"}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert ztfdb.__version__ in (tmp_path / "hats" / "detections" / "export.json").read_text()
