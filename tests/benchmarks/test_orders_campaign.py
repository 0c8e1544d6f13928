"""Hundreds of random orders of operations, each compared with one clean build.

``ZTFDB_ORDERS`` (300) sequences are carried out on both engines, and on each a quarter as many pairs of them by two
processes at once. Another ``ZTFDB_ORDERS_SEED`` tries others.
"""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.support.ordered import check_order, check_together, two_processes
from tests.support.orders import make_pool, parts, sequences
from tests.support.postgres import ENGINES

pytestmark = [pytest.mark.benchmark, pytest.mark.filterwarnings("ignore::ztfdb.errors.EmptyAnswerWarning")]

ORDERS = int(os.environ.get("ZTFDB_ORDERS", "300"))
SEED = int(os.environ.get("ZTFDB_ORDERS_SEED", "1"))
MANY = settings(max_examples=ORDERS, derandomize=False, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return make_pool(tmp_path_factory.mktemp("pool"))


def test_orders_end_in_what_one_clean_build_gives(pool, databases, tmp_path):
    lengths: list[int] = []

    @seed(SEED)
    @MANY
    @given(operations=sequences())
    def check(operations):
        check_order(pool, databases, tmp_path, operations)
        lengths.append(len(operations))

    started = time.process_time()
    check()
    seconds = time.process_time() - started
    print(f"\n{len(lengths)} sequences of {sum(lengths)} operations, each on both engines: {seconds:.0f} s of CPU")
    assert len(lengths) >= ORDERS


@pytest.mark.parametrize("engine", ENGINES)
def test_two_processes_end_in_what_one_clean_build_gives(pool, databases, tmp_path, engine):
    lengths: list[int] = []
    with two_processes() as executor:

        @seed(SEED)
        @settings(MANY, max_examples=ORDERS // 4)
        @given(first=parts(0), second=parts(1))
        def check(first, second):
            check_together(executor, pool, databases, tmp_path, engine, (first, second))
            lengths.append(len(first) + len(second))

        check()
    print(f"\n{engine}: {len(lengths)} pairs of sequences of {sum(lengths)} operations by two processes at once")
    assert len(lengths) >= ORDERS // 4
