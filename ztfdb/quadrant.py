"""The real quadrant that the demo, the tests and the benchmarks measure.

Exposure 2020-09-24, field 655, r, CCD 13, quadrant 3: science image and mask. Both are part of the source distribution
of the Apache-2.0 package ``ztfimg`` 0.19.0, which pip fetches from its configured index.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ztfdb.errors import ZtfdbError
from ztfdb.texts import failure

REQUIREMENT = "ztfimg==0.19.0"
MEMBER_FOLDER = "ztfimg-0.19.0/ztfimg/data"
SCIENCE = "ztf_20200924431759_000655_zr_c13_o_q3_sciimg.fits"
MASK = "ztf_20200924431759_000655_zr_c13_o_q3_mskimg.fits"
SHA256 = {
    SCIENCE: "0884728fcf98cb81c95961987c940069b00fe496552030f7610f6d6390b4dee4",
    MASK: "dd636f16779a9aaadfab035243dadbed686ebaae8ffac157a60f5e30916ba8f2",
}
SIZES = {SCIENCE: 37_872_000, MASK: 18_941_760}
"""Bytes; enough to check that a cached file is complete, as it was hashed when it was fetched."""


class QuadrantError(ZtfdbError):
    """The real quadrant is not cached and could not be fetched, or is not the expected one."""

    retryable = True


def cache_folder() -> Path:
    """Return the user's cache folder for ztfdb: ``$XDG_CACHE_HOME/ztfdb``, else ``~/.cache/ztfdb``."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "ztfdb"


def find_quadrant(folder: str | Path | None = None) -> tuple[Path, Path] | None:
    """Look for the quadrant without fetching it.

    Parameters
    ----------
    folder : path, optional
        Where to look; `cache_folder` by default.

    Returns
    -------
    tuple of Path, or None
        Science image and mask; None unless both exist with the expected size.
    """
    place = Path(folder) if folder is not None else cache_folder()
    for name, size in SIZES.items():
        path = place / name
        if not path.is_file() or path.stat().st_size != size:
            return None
    return place / SCIENCE, place / MASK


def fetch_quadrant(folder: str | Path | None = None) -> tuple[Path, Path]:
    """Return the science image and the mask, fetched with pip if they are not cached yet.

    Parameters
    ----------
    folder : path, optional
        The cache; `cache_folder` by default. Concurrent processes wait for the first.

    Returns
    -------
    science, mask : Path
        The two files, with their sha256 checked when they were fetched.

    Raises
    ------
    QuadrantError
        If pip fails (no network, no pip), the cache cannot be written, or a file has another sha256.
    """
    place = Path(folder) if folder is not None else cache_folder()
    if (found := find_quadrant(place)) is not None:
        return found
    try:
        place.mkdir(parents=True, exist_ok=True)
        with _locked(place / "quadrant.lock"):
            if find_quadrant(place) is None:  # not if another process was faster
                with tempfile.TemporaryDirectory(prefix="fetch-", dir=place) as scratch:
                    _extract(_download(Path(scratch)), Path(scratch), place)
    except OSError as exc:
        raise QuadrantError(f"the real quadrant cannot be kept in {place}: {failure(exc)}") from exc
    return place / SCIENCE, place / MASK


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes; the system releases it if its holder dies."""
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _download(scratch: Path) -> Path:
    """Fetch the source distribution into `scratch`."""
    command = [sys.executable, "-m", "pip", "download", REQUIREMENT, "--no-deps", "--no-binary", ":all:"]
    command += ["--dest", str(scratch), "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    archives = list(scratch.glob("*.tar.gz"))
    if done.returncode != 0 or not archives:
        said = done.stderr.strip().splitlines()[-3:]
        raise QuadrantError(f"pip could not fetch {REQUIREMENT}, which holds the real quadrant: {' '.join(said)}")
    return archives[0]


def _extract(archive: Path, scratch: Path, place: Path) -> None:
    """Move the two files out of `archive` to `place`; a file appears complete and checked, or not at all."""
    try:
        with tarfile.open(archive) as tar:
            for name, wanted in SHA256.items():
                member = tar.extractfile(f"{MEMBER_FOLDER}/{name}")
                if member is None:
                    raise QuadrantError(f"{archive.name}: {name} is not a file")
                content = member.read()
                if (found := hashlib.sha256(content).hexdigest()) != wanted:
                    raise QuadrantError(f"{archive.name}: {name} has sha256 {found}, expected {wanted}")
                (scratch / name).write_bytes(content)
                (scratch / name).replace(place / name)
    except (tarfile.TarError, EOFError, KeyError) as exc:
        raise QuadrantError(f"{archive.name} is not the expected source distribution: {exc}") from exc
