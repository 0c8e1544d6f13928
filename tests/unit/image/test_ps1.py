"""PS1 calibrator files in both layouts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ztfdb import image
from ztfdb.errors import CatalogueFileError
from ztfdb.simulate import SimulatedImage


def table(simulated: SimulatedImage) -> pd.DataFrame:
    """The stars, with PS1's columns and 64-bit ids, and one star far outside."""
    t = simulated.truth
    columns = {"ra": np.append(t.ra, t.ra[0] + 1), "dec": np.append(t.dec, t.dec[0])}
    mag = np.append(t.mag, 15.0)
    for i, band in enumerate("griz"):
        columns[f"{band}mag"], columns[f"e_{band}mag"] = mag + 0.1 * i, np.full(len(mag), 0.01 * (i + 1))
    return pd.DataFrame(columns).assign(objid=170_000_000_000_000_001 + np.arange(len(mag)))


def write_hdf5(path: Path, data: pd.DataFrame, dtype: str = ">f8") -> None:
    h5py = pytest.importorskip("h5py")
    path.parent.mkdir(parents=True, exist_ok=True)
    types = [(name, dtype if data[name].dtype.kind == "f" else ">i8") for name in data]
    with h5py.File(path, "w") as file:
        file["FieldID_000655"] = np.array([tuple(row) for row in data.itertuples(index=False)], dtype=types)


@pytest.mark.parametrize("place", ["calibrator/PS1cal_v2_rc50.hdf5", "calibrator/ps1/PS1cal_v2_rc50.hdf5"])
def test_hdf5_layouts(z: image.ScienceImage, simulated: SimulatedImage, tmp_path: Path, place: str) -> None:
    write_hdf5(tmp_path / place, table(simulated))
    ps1 = z.load_ps1_calibrators(tmp_path)
    assert len(ps1) == 100  # the star far outside is left out
    np.testing.assert_allclose(ps1["mag"], simulated.truth.mag + 0.1)
    np.testing.assert_allclose(ps1["e_mag"], 0.02)
    np.testing.assert_allclose(ps1["x"], simulated.truth.x, atol=1e-5)
    assert ps1["objid"].iloc[0] == 170_000_000_000_000_001


def test_parquet_layout_and_ztfdata(
    z: image.ScienceImage, simulated: SimulatedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    path = tmp_path / "calibrator/ps1/50/ps1_rc50_000655.parquet"
    path.parent.mkdir(parents=True)
    table(simulated).to_parquet(path)
    monkeypatch.setenv("ZTFDATA", str(tmp_path))
    assert len(z.ps1calibrators) == 100
    z.extract_sources(thresh=3)
    entries = z.catalogs.get_matched_entries(["mag"], "sources", "ps1cat")
    assert len(entries) == 100
    with_plot = pytest.importorskip("matplotlib")
    with_plot.use("Agg")
    assert len(z.show(show_ps1cal=True).collections) == 1
    import matplotlib.pyplot as plt

    plt.close("all")


def test_what_is_missing_is_told(
    z: image.ScienceImage, simulated: SimulatedImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ZTFDATA", raising=False)
    with pytest.raises(CatalogueFileError, match="set ZTFDATA"):
        _ = z.ps1calibrators
    with pytest.raises(CatalogueFileError, match=r"PS1cal_v2_rc50\.hdf5"):
        z.load_ps1_calibrators(tmp_path)
    write_hdf5(tmp_path / "a/calibrator/PS1cal_v2_rc50.hdf5", table(simulated).drop(columns="rmag"))
    with pytest.raises(CatalogueFileError, match="no column rmag"):
        z.load_ps1_calibrators(tmp_path / "a")
    bad = tmp_path / "b/calibrator/PS1cal_v2_rc50.hdf5"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"no HDF5")
    with pytest.raises(CatalogueFileError, match="not a readable HDF5"):
        z.load_ps1_calibrators(tmp_path / "b")
    h5py = pytest.importorskip("h5py")
    with h5py.File(bad, "w") as file:
        file["FieldID_000001"] = np.zeros(3)
    with pytest.raises(CatalogueFileError, match="FieldID_000655"):
        z.load_ps1_calibrators(tmp_path / "b")
    assert "ps1cat" not in z.catalogs
