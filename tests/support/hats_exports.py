"""Archives that exports are made of, and what exports hold, read with pyarrow alone."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from scipy.spatial import KDTree
from sqlalchemy import delete, text, update

from tests.support.archives import Plan, Stars, build_archive, store_source_rows
from ztfdb.derive.objects import build_objects
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.schema import ForcedSource, Image, PsfSource, Source
from ztfdb.sky.angles import ARCSEC_PER_RADIAN, separation, unit_vector
from ztfdb.sky.cells import CELL_REACH, cell_boundary, cell_to_sky, sky_to_cell
from ztfdb.store.backends import backend
from ztfdb.store.columns import table_dtypes
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.images import delete_image

PLANS = (
    Plan(600, 5, seed=1, centre=(180.0, 10.0), field=651),
    Plan(300, 3, seed=2, centre=(0.0, -5.0), field=402, first_epoch=100),
    Plan(100, 2, seed=3, centre=(40.0, 89.9), field=880, first_epoch=200),
    Plan(100, 2, seed=4, centre=(300.0, -89.8), field=1, first_epoch=300),
)
THRESHOLD = 600
N_PSF, N_FORCED = 400, 300
EDGE_ORDERS = (0, 3, 5, 8)


def fill(url: str) -> list[Stars]:
    """Generated stars, rows planted on edges of cells and at the poles, PSF and forced rows, objects."""
    stars = build_archive(url, *PLANS)
    engine = make_engine(url)
    maker = sessions(engine)
    with writing(maker) as session:
        first = session.scalar(text("select min(image_id) from image"))
        store_source_rows(session, planted(int(first)))
        add_psf_and_forced(session)
        session.execute(update(Image).where(Image.image_id == first).values(infobits=1 << 25))
    build_objects(maker)
    engine.dispose()
    return stars


def add_psf_and_forced(session) -> None:
    """Rows of both kinds where there are detections."""
    source = rows_of(session, "source", "source_id")
    backend(session).copy_rows(PsfSource.__table__, psf_rows(source), {})
    nulls = {"mask_bits": np.arange(N_FORCED) % 3 == 0}
    backend(session).copy_rows(ForcedSource.__table__, forced_rows(source), nulls)


def planted(image_id: int) -> dict[str, np.ndarray]:
    """Sources on the edges of cells of some orders, beside RA 0 and at both poles."""
    ra, dec = [0.0, 359.9999999, 0.0, 123.0], [3.0, 3.0, 90.0, -90.0]
    for order in EDGE_ORDERS:
        edge_ra, edge_dec = cell_boundary(np.arange(0, 12 * 4**order, max(1, 4**order // 3)), order, 3)
        ra += edge_ra.ravel().tolist()
        dec += edge_dec.ravel().tolist()
    n = len(ra)
    columns = {name: np.full(n, 1.5) for name, kind in table_dtypes(Source.__table__).items() if kind.kind == "f"}
    columns |= {"ra": np.array(ra), "dec": np.array(dec)}
    columns["hpx29"] = sky_to_cell(columns["ra"], columns["dec"])
    columns["source_id"] = (image_id << SOURCE_ID_SHIFT) + 200_000 + np.arange(n)
    columns["image_id"] = np.full(n, image_id)
    columns |= {"npix": np.full(n, 5), "flags": np.zeros(n, int), "mask_bits": np.zeros(n, int)}
    return columns | {"has_mask": np.arange(n) % 2 == 0}


def psf_rows(source: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    which = rng.choice(len(source["source_id"]), N_PSF, replace=False)
    columns = {name: source[name][which] for name in ("source_id", "image_id", "hpx29", "ra", "dec", "x", "y")}
    for name in ("flux", "flux_err", "mag_inst", "sigmag", "snr", "chi", "sharp"):
        columns[name] = np.where(rng.random(N_PSF) < 0.1, np.nan, rng.uniform(0.1, 9.0, N_PSF))
    return columns | {"flags": rng.integers(-30_000, 30_000, N_PSF)}


def forced_rows(source: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    which = rng.choice(len(source["source_id"]), N_FORCED, replace=False)
    columns = {name: source[name][which] for name in ("image_id", "hpx29", "ra", "dec", "x", "y")}
    columns |= {"method": rng.integers(1, 3, N_FORCED), "config_id": np.ones(N_FORCED, int)}
    columns |= {"flags": rng.integers(0, 4, N_FORCED), "mask_bits": rng.integers(0, 99, N_FORCED)}
    for name, kind in table_dtypes(ForcedSource.__table__).items():
        if kind == np.dtype("f4"):
            columns[name] = np.where(rng.random(N_FORCED) < 0.1, np.nan, rng.normal(50.0, 90.0, N_FORCED))
    return columns


def rows_of(session, table: str, order: str) -> dict[str, np.ndarray]:
    """All rows of a table as plain SQL gives them, NULL as None."""
    result = session.execute(text(f"select * from {table} order by {order}"))
    rows = result.fetchall()
    return {name: np.array([row[k] for row in rows]) for k, name in enumerate(result.keys())}


def assert_rounded(found, exact) -> None:
    """Calibrated columns are off by 1/64 of their errors at most (magnitudes by 1/128), these by 1/256 of themselves.

    To both comes half of the last place of a single.
    """
    for name, err in {"mag": "magerr", "flux_ujy": "flux_ujy_err"}.items():
        if name not in found:
            continue
        value, wanted = (np.asarray(one[name], float) for one in (found, exact))
        value_err, wanted_err = (np.asarray(one[err], float) for one in (found, exact))
        np.testing.assert_array_equal(np.isnan(value), np.isnan(wanted))
        np.testing.assert_array_equal(np.isnan(value_err), np.isnan(wanted_err))
        known = np.isfinite(wanted) & np.isfinite(wanted_err)
        coarsest = 1 / 128 if name == "mag" else np.inf
        most = np.minimum(np.maximum(wanted_err[known], 0.0) / 64, coarsest) + np.abs(wanted[known]) * 2.0**-24
        assert (np.abs(value - wanted)[known] <= most).all(), name
        with np.errstate(invalid="ignore"):
            assert (np.abs(value_err - wanted_err)[known] <= np.abs(wanted_err[known]) * (1 / 256 + 2.0**-24)).all(), (
                err
            )


def properties(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines())


def catalogue(collection: Path) -> Path:
    return collection / properties(collection / "collection.properties")["hats_primary_table_url"]


def margin_of(collection: Path) -> Path:
    return collection / properties(collection / "collection.properties")["all_margins"]


def files(folder: Path) -> dict[tuple[int, int], list[Path]]:
    """Files of each partition of a catalogue by order and pixel, as its own list has them."""
    lines = (folder / "partition_info.csv").read_text().split()
    assert lines[0] == "Norder,Npix"
    pixels = [tuple(map(int, line.split(","))) for line in lines[1:]]
    directories = properties(folder / "hats.properties")["hats_npix_suffix"] == "/"
    found = {}
    for k, n in pixels:
        path = folder / "dataset" / f"Norder={k}" / f"Dir={n // 10_000 * 10_000}" / f"Npix={n}.parquet"
        found[k, n] = sorted(path.with_suffix("").glob("*.parquet")) if directories else [path]
    assert all(found.values())
    held = sorted(path for path in (folder / "dataset").rglob("*.parquet"))
    assert sorted(path for paths in found.values() for path in paths) == held
    return found


def rows_in(paths: list[Path]):
    """All rows of a partition, file after file."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in paths])


def read(collection: Path):
    """All rows of a catalogue, partition after partition."""
    return rows_in([path for paths in files(catalogue(collection)).values() for path in paths])


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def near_boundary(norder, npix, ra, dec, arcsec):
    """Tell the positions within `arcsec` of the boundary of a pixel: by coarse points, then by fine ones."""
    centre = cell_to_sky(np.array([npix]), norder)
    reach = CELL_REACH / 2**norder * ARCSEC_PER_RADIAN + arcsec
    near = np.zeros(len(ra), bool)
    around = np.flatnonzero(separation(ra, dec, *centre) <= reach)
    edge_ra, edge_dec = (v[0] for v in cell_boundary(np.array([npix]), norder, 500))
    step = 2.0 * CELL_REACH / 2**norder * ARCSEC_PER_RADIAN / 500  # no side is longer than the pixel is wide
    _, nearest = KDTree(unit_vector(edge_ra, edge_dec).T).query(unit_vector(ra[around], dec[around]).T)
    distance = separation(ra[around], dec[around], edge_ra[nearest], edge_dec[nearest])
    near[around] = distance <= arcsec  # the boundary is no farther than a point of it
    for k in np.flatnonzero((distance > arcsec) & (distance <= arcsec + step)):
        at = around[k]
        near[at] = fine_distance(norder, npix, int(nearest[k]), ra[at], dec[at]) <= arcsec
    return near


def fine_distance(norder, npix, nearest, ra, dec):
    """Distance (arcsec) from a position to a pixel's boundary around one of its 2,000 points."""
    from astropy_healpix import HEALPix

    t = (nearest + np.linspace(-1.5, 1.5, 4_001)) % 2_000 / 500
    side, along = t.astype(int) % 4, t % 1.0
    zero, one = np.zeros_like(t), np.ones_like(t)
    dx = np.choose(side, [along, one, 1.0 - along, zero])
    dy = np.choose(side, [zero, along, one, 1.0 - along])
    lon, lat = HEALPix(2**norder, "nested").healpix_to_lonlat(np.full(len(t), npix), dx=dx, dy=dy)
    return float(separation(ra, dec, lon.deg, lat.deg).min())


def remove(maker, plan):
    with writing(maker) as session:
        image_id = session.scalar(text(f"select max(image_id) from image where field = {plan.field}"))
        session.execute(delete(PsfSource).where(PsfSource.image_id == image_id))
        session.execute(delete(ForcedSource).where(ForcedSource.image_id == image_id))
        delete_image(session, image_id)


def recalibrate(maker):
    with writing(maker) as session:
        image_id = session.scalar(text("select min(image_id) from image where field = 402"))
        session.execute(update(Image).where(Image.image_id == image_id).values(infobits=1 << 25, magzp=25.0))


def assert_same_rows(collection: Path, other: Path) -> None:
    mine, theirs = read(collection), read(other)
    keys = [(name, "ascending") for name in ("_healpix_29", "source_id", "image_id", "object_id", "method")]
    keys = [key for key in keys if key[0] in mine.column_names]
    assert mine.sort_by(keys).equals(theirs.sort_by(keys))


class Killed(BaseException):
    """Ends a run as a signal would: nothing below catches it."""
