"""Names of processes: the living are told from the dead, and what cannot be told is left alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ztfdb.ingest.lease_owner import is_dead, own_name


@pytest.fixture
def name():
    with own_name() as name:
        yield name


def test_work_under_way_lives(name):
    assert not is_dead(name)


def test_work_that_ended_in_this_process_is_dead_whatever_else_it_does(name):
    with own_name() as other:
        assert other != name
    assert is_dead(other)
    assert not is_dead(name)


def test_a_process_that_ended_is_dead():
    code = "from ztfdb.ingest.lease_owner import own_name; print(own_name().__enter__())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert is_dead(done.stdout.strip())


def test_another_process_with_its_number_does_not_hide_its_death(name):
    host, boot, space, pid, started, serial = name.split()
    assert is_dead(" ".join((host, boot, space, pid, str(int(started) - 1), serial)))


def test_a_boot_before_this_one_is_dead(name):
    host, _, space, pid, started, serial = name.split()
    assert is_dead(" ".join((host, "another-boot", space, pid, started, serial)))


def test_other_hosts_and_containers_are_not_judged(name):
    host, boot, space, *_ = name.split()
    assert not is_dead(f"elsewhere {boot} {space} 999999999 1 1")
    assert not is_dead(f"{host} {boot} pid:[1] 999999999 1 1")
    assert not is_dead(f"{host} ? {space} 999999999 1 1")
    assert not is_dead("what is this")
