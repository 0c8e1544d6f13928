"""ZTF's numbers of reference sources, against numbers that IRSA gave."""

from __future__ import annotations

import numpy as np
import pytest

from ztfdb.derive.object_oids import make_oid


@pytest.mark.parametrize(
    ("place", "sourceid", "oid"),
    [
        ((686, 1, 3, 4), 67717, 686103400067717),
        ((1837, 1, 2, 1), 18050, 1837102100018050),
        ((663, 2, 11, 2), 27544, 663211200027544),
    ],
)
def test_digits_are_those_of_irsa(place, sourceid, oid):
    found = make_oid(place, np.array([sourceid], np.int64))
    assert found.tolist() == [oid] and found.dtype == np.int64
    field, fid, ccdid, qid = (oid // 10**12, oid // 10**11 % 10, oid // 10**9 % 100, oid // 10**8 % 10)
    assert (field, fid, ccdid, qid, oid % 10**8) == (*place, sourceid)
