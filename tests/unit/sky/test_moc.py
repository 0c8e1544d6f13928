"""A MOC has the cells it was made of, in each of its forms."""

import io
import json

import numpy as np
import pytest
from astropy.io import fits

from ztfdb.sky.moc import as_ascii, as_fits, as_json

N_CELL = 12 * 4**9
CELLS = {
    "none": [],
    "one": [5],
    "the whole sky": range(N_CELL),
    "its last": [N_CELL - 1],
    "of all orders": [*range(4**9), *range(2 * 4**9, 2 * 4**9 + 17), N_CELL - 2],
}


def cells_of(moc):
    """The cells of order 9 in cells by order."""
    return [cell for order, group in moc.items() for one in group for cell in children(int(order), int(one))]


def children(order, cell):
    n = 4 ** (9 - order)
    return range(cell * n, (cell + 1) * n)


def read_fits(content):
    """Cells by order, as MOC 2.0 numbers them."""
    with fits.open(io.BytesIO(content), checksum=True) as hdus:
        header, uniq = hdus[1].header, hdus[1].data["UNIQ"].astype("i8")
    assert [header[name] for name in ("MOCVERS", "MOCDIM", "ORDERING", "COORDSYS")] == ["2.0", "SPACE", "NUNIQ", "C"]
    assert header["MOCORD_S"] == header["MOCORDER"] == 9
    assert (np.diff(uniq) > 0).all()
    order = np.floor(np.log2(uniq / 4.0) / 2.0).astype(int)
    return {n: uniq[order == n] - 4 ** (n + 1) for n in set(order.tolist())}


@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS)
def test_each_form_holds_the_cells(cells):
    assert sorted(cells_of(json.loads(as_json(cells)))) == list(cells)
    assert sorted(cells_of(read_fits(as_fits(cells)))) == list(cells)


@pytest.mark.parametrize("cells", CELLS.values(), ids=CELLS)
def test_mocpy_reads_each_form_as_the_same(cells, tmp_path):
    mocpy = pytest.importorskip("mocpy", reason="mocpy, of the group oracles, is not installed")
    (tmp_path / "moc.fits").write_bytes(as_fits(cells))
    by_json = mocpy.MOC.from_string(as_json(cells).decode(), "json")
    assert mocpy.MOC.from_string(as_ascii(cells).decode(), "ascii") == by_json
    by_fits = mocpy.MOC.from_fits(tmp_path / "moc.fits")
    assert by_fits == by_json
    assert by_fits.max_order == by_json.max_order == 9
    assert by_fits.flatten().tolist() == list(cells)
