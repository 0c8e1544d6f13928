"""What a type checker knows of ztfdb in the code of those who use it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy")

EXAMPLES = """
from __future__ import annotations

from pathlib import Path

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord

import ztfdb

archive: ztfdb.Archive = ztfdb.open("night.sqlite", create=True)
report = archive.ingest([Path("a.fits"), "b.fits"], jobs=2, timeout_s=60.0)
print(report.stored + report.failed)
curve = archive.light_curve(58.0, 35.7, 2.0, aperture=3, filters="zr", mjd=(58000, "2020-09-24"), color=0.5)
print(len(curve), curve.meta["radius"], curve.to_pandas()["mag"].mean())
archive.light_curve(np.float64(58.0), np.float32(35.7), 2 * u.arcsec, complete=True, measure="psf", jobs=4)
archive.light_curve(SkyCoord(58.0, 35.7, unit="deg"), radius=1.0, phot="both", calibration="header")
table = archive.light_curves({"ra": [58.0], "dec": [35.7]}, good=True, color="gr", pmra=[1.0], pmdec="pmdec")
print(table["mag"].mean())
for piece in archive.iter_light_curves(np.zeros((3, 2)), complete=True, keep=False):
    print(len(piece))
for stamp in archive.stamps(58.0, 35.7, size=31, north_up=True, filters=["zg", 2]):
    print(stamp.status, stamp.data.shape)
print(archive.cone(58.0, 35.7, 10.0, columns=["ra", "dec"]).shape)
print(archive.images(58.0, 35.7, pmra=3.0, pmdec=1.0, epoch=2016.0).shape)
print(archive.sql("select :n as n", n=3).shape, archive.coverage(order=7).shape)
archive.crossmatch("ps1", region=(58.0, 35.7, 60.0), again=True)
print(archive.calibrate(method="self").to_pandas().shape)
archive.get_matched_entries(["ra"], "sources", "ps1", image_id=3, calibration="ps1")
archive.verify(deep=True)
archive.remove(night="2020-09-24", dry_run=True)
with ztfdb.open("https://example.org/ztf") as remote:
    remote.light_curve_on_path({"time": [1.0, 2.0], "ra": [1.0, 1.1], "dec": [1.0, 1.1]}, complete=False)
archive.close()
"""

WRONG = (
    "archive.light_curve(58.0, 35.7, apertur=3)",
    "archive.light_curve(58.0, 35.7, aperture='4')",
    "archive.light_curve('58.0', 35.7)",
    "archive.light_curve(58.0, 35.7, radius='2')",
    "archive.light_curve(58.0, 35.7, phot='psf')",
    "archive.light_curve(58.0, 35.7, filters=2.5)",
    "archive.light_curve(58.0, 35.7, mjd=58000)",
    "archive.light_curve(58.0, 35.7, color='gr')",
    "archive.light_curve(58.0, 35.7, calibration='gaia')",
    "archive.light_curve(58.0, 35.7, measure='forcd', complete=True)",
    "archive.light_curve(58.0, 35.7, n_position=3)",
    "archive.light_curves('stars.csv')",
    "archive.light_curves({'ra': [1.0], 'dec': [1.0]}, job=2)",
    "archive.light_curv(58.0, 35.7)",
    "archive.stamps(58.0, 35.7, sizes=3)",
    "archive.stamps(58.0, 35.7, good=True)",
    "archive.stamp(58.0, 35.7)",
    "archive.cone(58.0, 35.7, 3.0, phot='both')",
    "archive.crossmatch('ps1', agian=True)",
    "archive.calibrate(method='gaia')",
    "archive.calibrate(image_ids='12')",
    "archive.verify(hash=True)",
    "archive.remove(3, dryrun=True)",
    "archive.light_curve(58.0, 35.7).to_panda()",
    "ztfdb.open('night.sqlite', creat=True)",
    "ztfdb.open('night.sqlite', read_only='yes')",
    "ztfdb.opne('night.sqlite')",
)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """Lines with an error, of the page of examples and of that of wrong calls."""
    folder = tmp_path_factory.mktemp("typed")
    (folder / "examples.py").write_text(EXAMPLES)
    (folder / "wrong.py").write_text("\n".join(["import ztfdb", "archive = ztfdb.open()", *WRONG]) + "\n")
    # as a user has it: astropy has no types, and ztfdb those of its wheel; the rest as for ztfdb itself, so that the
    # check of its modules is not repeated where the cache has it
    options = "strict = True\nwarn_unreachable = True\npython_version = 3.11\n"
    (folder / "mypy.ini").write_text(f"[mypy]\n{options}[mypy-astropy.*]\nignore_missing_imports = True\n")
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(root / ".mypy_cache"), "examples.py", "wrong.py"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, check=False, env={**os.environ, "MYPYPATH": ""}
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines: dict[str, set[int]] = {"examples.py": set(), "wrong.py": set()}
    for line in done.stdout.splitlines():
        if ": error: " in line:
            name, number, _ = line.split(":", 2)
            lines[name].add(int(number))
            print(line)
    return lines


def test_a_page_of_examples_passes_a_strict_check(found):
    assert found["examples.py"] == set()


def test_each_wrong_call_is_caught(found):
    assert {WRONG[line - 3] for line in found["wrong.py"]} == set(WRONG)
