"""One digest for each answer of an archive, so that two versions of ztfdb can be compared by ``diff``.

``python -m tests.support.digests`` prints them for generated archives on both engines, and for the real quadrant where
``$ZTFDB_QUADRANT_DIR`` (or the cache) has it. It uses the public methods of an archive alone.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import ztfdb
from tests.support.archives import Plan, build_archive
from tests.support.catalogues import make_epochs
from tests.support.postgres import ENGINES, Databases
from ztfdb.quadrant import QuadrantError, fetch_quadrant
from ztfdb.query.stamps import StampSeries

PLANS = (
    Plan(600, 9, seed=1, centre=(180.0, 10.0)),
    Plan(400, 5, seed=2, centre=(0.0, -5.0), field=402, first_epoch=100),
)
PHOTS = ("aperture", "psfcat", "both")
KINDS = ("one", "many", "iter")
OPTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"good": True, "filters": "zr"},
    {"color": 0.7, "all_versions": True, "radius": 3.0},
    {"aperture": 2, "fields": (651, 402, 655)},
    {"calibration": "ps1"},
    {"bjd": True},
    {"measure": "forced"},
    {"measure": "none"},
    {"pmra": 30.0, "pmdec": -20.0, "epoch": 2018.0},
    {"apertur": 3},
)
"""Options that are tried with each kind of light curve; a refusal has its digest, too."""


def digest(answer: Any) -> str:
    """Return a digest of values, dtypes, order of columns and attrs."""
    told = hashlib.sha256()
    for part in _parts(answer):
        told.update(part)
        told.update(b"\0")
    return told.hexdigest()[:16]


def _parts(answer: Any) -> Iterator[bytes]:
    if isinstance(answer, StampSeries):
        yield from _parts(answer.to_pandas().drop(columns="path"))
        answer = answer.stamps
    if hasattr(answer, "to_pandas"):
        answer = answer.to_pandas()
    if isinstance(answer, pd.DataFrame):
        yield repr(sorted((str(name), repr(value)) for name, value in answer.attrs.items())).encode()
        yield repr([(str(name), str(dtype)) for name, dtype in answer.dtypes.items()]).encode()
        for name in answer.columns:
            yield _bytes(answer[name])
    elif isinstance(answer, Iterable) and not isinstance(answer, str | bytes | np.ndarray):
        for one in answer:
            yield from _parts(one)
    elif hasattr(answer, "image_id") and hasattr(answer, "data"):
        yield repr((answer.image_id, answer.ra, answer.dec, answer.x, answer.y, answer.status)).encode()
        yield np.ascontiguousarray(answer.data).tobytes()
        yield b"" if answer.mask is None else np.ascontiguousarray(answer.mask).tobytes()
    else:
        yield repr(answer).encode()


def _bytes(column: pd.Series[Any]) -> bytes:
    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "fiub":
        return np.ascontiguousarray(column.to_numpy()).tobytes()
    return repr([None if pd.isna(value) else value for value in column.tolist()]).encode()


def told(ask: Callable[[], Any]) -> str:
    """Return the digest and the number of rows of an answer, or the error in its place."""
    try:
        found = ask()
        size = len(found) if hasattr(found, "__len__") else "-"
        return f"{digest(found)} {size}"
    except Exception as exc:  # whatever a slip of options raises is compared
        return f"{type(exc).__name__}: {exc}"


def light_curves(archive: Any, place: tuple[float, float], table: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield a name and a digest for each kind of light curve, with each set of options."""

    def ask(kind: str, **options: Any) -> Any:
        if kind == "one":
            return archive.light_curve(*place, **options)
        if kind == "many":
            return archive.light_curves(table, **options)
        return list(archive.iter_light_curves(table, **options))

    for phot in PHOTS:
        for complete in (False, True):
            for kind in KINDS:
                for options in OPTIONS:
                    asked = options | ({"phot": phot} if phot != "aperture" else {})
                    asked |= {"complete": True} if complete else {}
                    words = " ".join(f"{name}={value}" for name, value in options.items())
                    yield (
                        f"{kind} {phot} {'complete' if complete else 'plain'} {words}".strip(),
                        told(
                            lambda kind=kind, asked=asked: ask(kind, **asked)  # type: ignore[misc]
                        ),
                    )


def others(archive: Any, place: tuple[float, float]) -> Iterator[tuple[str, str]]:
    """Yield a name and a digest for cones, stamps, images, coverage and matched entries."""
    table = {"ra": [place[0]], "dec": [place[1]]}
    first = {"time": [58300.0, 61000.0], "ra": [place[0]] * 2, "dec": [place[1]] * 2}
    asked: dict[str, Callable[[], Any]] = {
        "cone": lambda: archive.cone(*place, 30.0),
        "cone psfcat": lambda: archive.cone(*place, 30.0, phot="psfcat"),
        "cone columns": lambda: archive.cone(*place, 30.0, columns=["flux_aper4", "ra"]),
        "cone moving": lambda: archive.cone(*place, 30.0, pmra=50.0, pmdec=20.0),
        "path": lambda: archive.light_curve_on_path(first),
        "path detections": lambda: archive.light_curve_on_path(first, complete=False),
        "images": lambda: archive.images(*place).drop(columns=["path", "mask_path"], errors="ignore"),
        "coverage": lambda: archive.coverage(order=9),
        "stamps": lambda: archive.stamps(*place, size=15),
        "stamps on path": lambda: archive.stamps_on_path(first, size=11),
        "stamps on image": lambda: archive.stamps_on_image(table, image_id=int(archive.images(*place).image_id[0])),
        "matched": lambda: archive.get_matched_entries(
            ["ra", "flux_aper4", "mag"], "sources", "ps1", region=(*place, 100.0)
        ),
        "periodogram": lambda: archive.periodogram(*place).data,
    }
    for name, ask in asked.items():
        yield name, told(ask)


def generated(url: str) -> Iterator[tuple[str, str]]:
    """Yield digests of archives without files: whatever is not stored is unavailable."""
    stars = build_archive(url, *PLANS)
    table = {"ra": np.concatenate([s.ra[:40] for s in stars]), "dec": np.concatenate([s.dec[:40] for s in stars])}
    with ztfdb.open(url) as archive:
        place = float(stars[0].ra[3]), float(stars[0].dec[3])
        yield from light_curves(archive, place, table)
        yield from others(archive, place)


def from_files(url: str, folder: Path) -> Iterator[tuple[str, str]]:
    """Yield digests of exposures whose files can be measured; the brightest sources stand in for PS1."""
    with ztfdb.open(url, create=True) as archive:
        archive.ingest(folder, jobs=1)
        archive.import_catalogue("ps1", _stars(archive, folder.parent / "ps1.csv"))
        archive.crossmatch("ps1")
        archive.calibrate()
        image = archive.sql("select min(image_id) as i from image", force=True)["i"][0]
        bright = archive.sql(
            "select ra, dec from source where image_id = :i order by flux_aper4 desc limit 9", i=int(image), force=True
        )
        place = float(bright["ra"][4]), float(bright["dec"][4])
        table = {"ra": [*bright["ra"], place[0] + 0.002], "dec": [*bright["dec"], place[1] + 0.002]}
        yield from light_curves(archive, place, table)
        yield from others(archive, place)


def _stars(archive: Any, path: Path) -> Path:
    """Write the sources of the first image as rows of PS1."""
    found = archive.sql(
        "select ra, dec, flux_aper4 from source where image_id = (select min(image_id) from image) "
        "and flux_aper4 > 500 order by source_id",
        force=True,
    )
    mag = 26.0 - 2.5 * np.log10(found["flux_aper4"].to_numpy(float))
    color = 0.4 + 0.01 * (np.arange(len(found)) % 50)
    rows = {"objID": np.arange(1, len(found) + 1), "raMean": found["ra"], "decMean": found["dec"]}
    rows |= {f"{band}MeanPSFMag": mag - k * color for k, band in enumerate("gri")}
    rows |= {f"{band}MeanPSFMagErr": np.full(len(found), 0.01) for band in "gri"}
    rows |= {f"{band}MeanKronMag": mag - k * color for k, band in enumerate("gri")}
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def main() -> None:
    """Print a line for each answer: archive, engine, question, digest."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("generated", "simulated", "quadrant"), help="one archive")
    only = parser.parse_args().only
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        databases = Databases(home)
        try:
            for engine in ENGINES:
                for archive, lines in _archives(databases, engine, home, only):
                    for question, found in lines:
                        print(f"{archive}\t{engine}\t{question}\t{found.replace(str(home), '')}", flush=True)
        finally:
            databases.close()


def _archives(
    databases: Databases, engine: str, home: Path, only: str | None
) -> Iterator[tuple[str, Iterator[tuple[str, str]]]]:
    """Yield the name of each archive and its digests."""
    if only in (None, "generated"):
        yield "generated", generated(databases.migrated(engine))
    if only in (None, "simulated"):
        folder = home / "images"
        if not folder.exists():
            make_epochs(folder, 5)
        yield "simulated", from_files(databases.migrated(engine), folder)
    if only in (None, "quadrant"):
        try:
            found = fetch_quadrant()
        except QuadrantError as exc:
            print(f"no real quadrant: {exc}", file=sys.stderr)
            return
        real = home / "real"
        real.mkdir(exist_ok=True)
        for path in found:
            shutil.copyfile(path, real / path.name)
        yield "quadrant", from_files(databases.migrated(engine), real)


if __name__ == "__main__":
    main()
