"""The page that walks through ztfimg's README runs, snippet by snippet, on a real image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.support.quadrant import real_data, real_quadrant
from ztfdb import image
from ztfdb.dao import PsfModel, write_psf
from ztfdb.phot.magnitudes import flux_to_mag
from ztfdb.records import Stamp

matplotlib = pytest.importorskip("matplotlib")
h5py = pytest.importorskip("h5py")
matplotlib.use("Agg")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "seed_readme.md"
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
README_LINES = """
z = image.ScienceImage(sciimg, mask)
z.load_source_background()
z.show()
z.extract_sources(data="dataclean", setmag=True)
z.sources
z.get_mask( tracks=True, ghosts=True, spillage=True, spikes=True,
            dead=True, nan=True, saturated=True, brightstarhalo=True,
            lowresponsivity=True, highresponsivity=True, noisy=True,
            sexsources=False, psfsources=False)
x, y = z.coords_to_pixels(RA, Dec)
mag, magerr = z.get_aperture(x, y, 5, unit="mag")
z.catalogs.get_matched_entries(["ra", "dec", "x", "y", "mag"], "sources", "ps1cat")
stamp = z.get_stamp(x, y, dx=23, dy=23)
stamp.show()
stampdata = z.get_stamp(x, y, dx=23, dy=23, asarray=True)
d = dao.DAOPhotReader(psffile)
d.show()
psf = d.get_psf(1, [0.1, 0.1, 0.1])
"""
PAIRS = [f"{label}_{key}" for key in ("ra", "dec", "x", "y", "mag") for label in ("ps1cat", "sources")]
COLUMNS = ["ps1cat_index", "sources_index", "angsep_arcsec", *PAIRS]


def real_pair() -> tuple[Path, Path]:
    """The real quadrant; where it cannot be had, the crop of it beside the checkout."""
    try:
        return real_quadrant()
    except pytest.skip.Exception:
        crop = real_data() / "crop512"
        return next(crop.glob("*sciimg.fits")), next(crop.glob("*mskimg.fits"))


def stand_in_calibrators(sci: Path, msk: Path, root: Path) -> None:
    """Write bright stars of the image in the layout of a PS1 calibrator file, which itself is private."""
    z = image.ScienceImage(sci, msk)
    table = z.extract_sources(thresh=20, update=False)
    assert table is not None
    stars = table[(table["flag"] == 0) & table["peak"].between(2_000, 30_000) & (table["a"] < 1.6)]
    counts, error = z.get_aperture(stars["x"], stars["y"], 5, apcor=True)
    mag, mag_err = flux_to_mag(counts, error, z.magzp)
    records = pd.DataFrame({"ra": stars["ra"], "dec": stars["dec"], "rmag": mag, "e_rmag": mag_err}).to_records(False)
    path = root / "calibrator" / f"PS1cal_v2_rc{z.rcid:02d}.hdf5"
    path.parent.mkdir(parents=True)
    with h5py.File(path, "w") as file:
        file[f"FieldID_{z.fieldid:06d}"] = np.asarray(records)


def a_psf(folder: Path) -> None:
    """A real .psf file where there is one, else one that ztfdb writes."""
    path = folder / "ztf_20200924431759_000655_zr_c13_o_q3_sciimgdao.psf"
    try:
        path.symlink_to(next(real_data().glob("psf/r_*/psf.psf")))
    except pytest.skip.Exception:
        tables = np.zeros((3, 47, 47))
        write_psf(PsfModel("GAUSSIAN", 13.7, 5700.0, 1535.5, 1539.5, np.array([0.8, 0.8]), tables, 3, 0), path)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Everything the page's names hold after its code has run."""
    import matplotlib.pyplot as plt

    sci, msk = real_pair()
    folder = tmp_path_factory.mktemp("page")
    stand_in_calibrators(sci, msk, folder)
    for path in (sci, msk):
        (folder / path.name).symlink_to(path)
    a_psf(folder)
    names: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("ZTFDATA", str(folder))
        for snippet in SNIPPETS:
            exec(compile(snippet, str(PAGE), "exec"), names)  # the page's own code
    plt.close("all")
    return names


def test_the_page_holds_every_line_of_the_readme() -> None:
    lines = {line.strip() for snippet in SNIPPETS for line in snippet.splitlines()}
    assert {line.strip() for line in README_LINES.strip().splitlines()} <= lines
    pictures = re.findall(r"\((images/[^)]+\.png)\)", PAGE.read_text(encoding="utf-8"))
    assert len(pictures) == 4
    assert all((PAGE.parent / picture).stat().st_size > 5_000 for picture in pictures)


@pytest.mark.slow
def test_image_and_masks(ran: dict[str, Any]) -> None:
    z = ran["z"]
    assert z.filtername == "ZTF_r"
    assert z.magzp == 26.285139
    assert abs(np.nanmedian(z.dataclean)) < 1
    assert np.isnan(z.dataclean).sum() == z.get_mask().sum() > 0
    assert sum(z.get_mask(getflags=True)) == 6141


def test_matched_entries_are_the_readmes_table(ran: dict[str, Any]) -> None:
    table = ran["z"].catalogs.get_matched_entries(["ra", "dec", "x", "y", "mag"], "sources", "ps1cat")
    assert list(table) == COLUMNS
    # a star beside a bright one may have been taken to pieces by the fainter threshold
    assert len(table) >= 0.99 * len(ran["z"].ps1calibrators) > 20
    assert table["angsep_arcsec"].median() < 0.15
    # isophotal magnitudes of bright stars are a few hundredths fainter than the total
    assert 0 < (table["sources_mag"] - table["ps1cat_mag"]).median() < 0.1


def test_apertures_stamps_and_psf(ran: dict[str, Any]) -> None:
    assert isinstance(ran["stamp"], Stamp)
    assert ran["stampdata"].shape == (23, 23)
    np.testing.assert_array_equal(ran["stampdata"], ran["stamp"].data)
    assert ran["counts"].shape == ran["flag"].shape == (3, len(ran["stars"]))
    good = (ran["flag"] == 0).all(axis=0)
    assert np.all(np.diff(ran["counts"][:, good], axis=0).mean(axis=1) > 0)
    assert ran["mag"].shape == (len(ran["stars"]),)
    assert ran["psf"].data.sum() == pytest.approx(1)
