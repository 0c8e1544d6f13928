"""Files of partition folders: which are taken up by a new one."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("pyarrow")

import itertools

from ztfdb.hats.layout import File, n_staying, partition_path
from ztfdb.hats.remote import open_place
from ztfdb.hats.tiling import Pixel


def test_a_partition_is_a_file_or_a_folder_of_files() -> None:
    pixel = Pixel(9, 1_234_567)
    assert partition_path(pixel, "file", 3) == "dataset/Norder=9/Dir=1230000/Npix=1234567.parquet"
    assert partition_path(pixel, "directory", 3) == "dataset/Norder=9/Dir=1230000/Npix=1234567/part_g3.parquet"


@pytest.mark.parametrize(
    ("held", "added", "staying"), [([], 5, 0), ([100, 10], 5, 2), ([100, 10], 6, 1), ([19, 9], 5, 0)]
)
def test_files_below_twice_the_rows_of_a_new_one_are_taken_up(held: list[int], added: int, staying: int) -> None:
    assert n_staying([File(1, n, 1) for n in held], added) == staying


@pytest.mark.parametrize("nights", [np.full(2_000, 100), np.random.default_rng(1).integers(1, 300, 2_000)])
def test_files_are_as_few_and_rows_written_as_often_as_the_logarithm_of_the_nights(nights: np.ndarray) -> None:
    files: list[int] = []
    written = most = 0
    for n in nights.tolist():
        staying = n_staying([File(1, m, 1) for m in files], n)
        files = [*files[:staying], n + sum(files[staying:])]
        written += files[-1]
        most = max(most, len(files))
        assert all(older >= 2 * younger for older, younger in itertools.pairwise(files))
    assert sum(files) == nights.sum()
    assert most <= np.log2(nights.sum() / nights.min()) + 1
    assert written <= (np.log2(len(nights)) + 1) * nights.sum()


def test_an_empty_name_is_no_place() -> None:
    with pytest.raises(ValueError, match="'' is not the name of a folder"):
        open_place("")
