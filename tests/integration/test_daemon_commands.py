"""``ztfdb watch``, ``retry`` and ``quarantine`` as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from ztfdb.simulate import make_science_image


def ztfdb(url, *words):
    done = subprocess.run(
        [sys.executable, "-c", "from ztfdb.cli import main; main()", *words, "--db", url],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return done.returncode, done.stdout, done.stderr


def test_watch_stores_sets_aside_and_says_so(engine_url, tmp_path):
    make_science_image(tmp_path, shape=(160, 160), n_star=10, seed=1)
    bad = tmp_path / "ztf_20200924000001_000655_zr_c13_o_q3_sciimg.fits"
    bad.write_text("no FITS file at all")
    how = ("--once", "--settle", "0", "--mask-grace", "0", "--attempts", "1", "--log-format", "json")
    status, _, log = ztfdb(engine_url, "watch", str(tmp_path), *how)
    assert status == 0, log
    lines = [json.loads(line) for line in log.splitlines()]
    outcomes = {line["path"]: line["outcome"] for line in lines if "outcome" in line}
    assert sorted(outcomes.values()) == ["failed", "stored"]
    assert outcomes[str(bad)] == "failed"

    _, text, _ = ztfdb(engine_url, "status")
    assert "1 done, 1 quarantined" in text
    _, listed, _ = ztfdb(engine_url, "quarantine", "list")
    assert bad.name in listed and "not a FITS file" in listed
    number = listed.split()[0]
    _, shown, _ = ztfdb(engine_url, "quarantine", "show", number)
    assert "Traceback" in shown or "ImageReadError" in shown
    assert ztfdb(engine_url, "quarantine", "release")[0] == 2
    assert ztfdb(engine_url, "quarantine", "show", "999")[0] == 2
    assert "1 images released" in ztfdb(engine_url, "quarantine", "release", number)[2]
    assert "0 images" in ztfdb(engine_url, "retry")[2]
