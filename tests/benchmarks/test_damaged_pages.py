"""Of 120 pages of a SQLite archive damaged one by one, `verify --deep` misses none that changes anything."""

import pytest

from tests.support.pages import check_pages, fill


@pytest.mark.benchmark
def test_of_120_damaged_pages_none_goes_unnoticed(databases, tmp_path):
    content, size = fill(databases.migrated("sqlite"), n_image=8)
    counts = check_pages(content, size, tmp_path, 120)
    print(counts)
    assert counts["noticed"] > 60 and counts["other"] == 0
