"""Names of processes: the living are told from the dead, and what cannot be told is left alone."""

from __future__ import annotations

import subprocess
import sys

from ztfdb.daemon.owner import is_dead, own_name


def test_this_process_lives():
    assert not is_dead(own_name())


def test_a_process_that_ended_is_dead():
    code = "from ztfdb.daemon.owner import own_name; print(own_name())"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )
    assert is_dead(done.stdout.strip())


def test_another_process_with_its_number_does_not_hide_its_death():
    host, boot, space, pid, started = own_name().split()
    assert is_dead(" ".join((host, boot, space, pid, str(int(started) - 1))))


def test_a_boot_before_this_one_is_dead():
    host, _, space, pid, started = own_name().split()
    assert is_dead(" ".join((host, "another-boot", space, pid, started)))


def test_other_hosts_and_containers_are_not_judged():
    host, boot, space, _, _ = own_name().split()
    assert not is_dead(f"elsewhere {boot} {space} 999999999 1")
    assert not is_dead(f"{host} {boot} pid:[1] 999999999 1")
    assert not is_dead(f"{host} ? {space} 999999999 1")
    assert not is_dead("what is this")
