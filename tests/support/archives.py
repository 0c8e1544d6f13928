"""Big archives without images: stars seen again and again, loaded in bulk in the order a survey would bring them.

The same arguments give the same rows on every engine. Nothing here goes through the questions under test.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Engine, insert
from sqlalchemy.orm import Session, sessionmaker

from tests.support.headers import PV_A
from tests.support.postgres import ENGINES, Databases
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.schema import Config, DataRoot, Image, ImageCell, ImageFile, ImageHeader, Source
from ztfdb.sky.cells import sky_to_cell
from ztfdb.sky.footprint import corners, image_cells
from ztfdb.sky.projection import pixel_to_sky
from ztfdb.sky.times import light_time_vectors
from ztfdb.store.backends import backend
from ztfdb.store.engine import make_engine, sessions, writing
from ztfdb.store.meta_rows import create_meta
from ztfdb.wcs import N_PV, WcsParameters

NX, NY = 3072, 3080
STARS_PER_QUADRANT = 12_000
ROWS_PER_TRANSACTION = 100_000
QUADRANT_SPACING = 0.88
"""Degrees between the centres of neighbouring quadrants: a little more than their width."""

CD = np.array([[-2.812466e-4, 1.3666e-6], [-1.3362e-6, -2.812619e-4]])
APCOR = (-1.0536, -0.5172, -0.2744, -0.0960, -0.0138, 0.0053)
ENCLOSED = 10.0 ** (0.4 * np.array(APCOR))
"""Fraction of a star's light inside each aperture: what APCOR puts right."""


@dataclass(frozen=True)
class Plan:
    """What an archive is to hold.

    Attributes
    ----------
    n_star, n_epoch : int
        Each epoch is one exposure of as many quadrants as the stars need.
    seed : int
    centre : tuple of float
        Middle of the first quadrant, deg.
    field : int
    trouble : float
        Share of images and of rows with something wrong: no mask, no APCOR, bad INFOBITS; masked, truncated, not
        positive or not measured.
    first_epoch : int
        Number of the first exposure, so that a second plan can go on where another ended.
    """

    n_star: int
    n_epoch: int
    seed: int = 1
    centre: tuple[float, float] = (180.0, 10.0)
    field: int = 651
    trouble: float = 0.05
    first_epoch: int = 0

    @property
    def n_quadrant(self) -> int:
        """Quadrants that hold the stars."""
        return math.ceil(self.n_star / STARS_PER_QUADRANT)


@dataclass(frozen=True)
class Stars:
    """Where the stars of an archive are (deg), which quadrant each is on, and how bright (mag)."""

    ra: NDArray[np.float64]
    dec: NDArray[np.float64]
    quadrant: NDArray[np.int64]
    mag: NDArray[np.float64]


@dataclass(frozen=True)
class Quadrant:
    """One quadrant of the camera, which looks at the same sky in every exposure."""

    rcid: int
    wcs: WcsParameters
    cells: NDArray[np.int64]
    outline: tuple[float, ...]
    centre: tuple[float, float]


def build_archive(target: str | Engine, *plans: Plan) -> list[Stars]:
    """Fill an archive that is at the newest schema revision; return the stars of each plan."""
    engine = target if isinstance(target, Engine) else make_engine(target)
    maker = sessions(engine)
    try:
        with writing(maker) as session:
            create_meta(session, ExtractionSettings().to_dict())
            store_places(session)
        return [_build(maker, plan) for plan in plans]
    finally:
        if engine is not target:
            engine.dispose()


def same_archives(databases: Databases, plan: Plan) -> Iterator[dict[str, str]]:
    """Yield the URLs of the same archive on both engines, by engine, and remove them."""
    made = {name: databases.migrated(name) for name in ENGINES}
    for url in made.values():
        build_archive(url, plan)
    yield made
    for url in made.values():
        databases.drop(url)


def stars_of(plan: Plan) -> Stars:
    """The stars of a plan, scattered evenly over its quadrants."""
    rng = np.random.default_rng([plan.seed, 0])
    quadrant = np.arange(plan.n_star) % plan.n_quadrant
    x, y = rng.uniform(-0.5, NX - 0.5, plan.n_star), rng.uniform(-0.5, NY - 0.5, plan.n_star)
    ra, dec = np.empty(plan.n_star), np.empty(plan.n_star)
    for number in range(plan.n_quadrant):
        on = quadrant == number
        ra[on], dec[on] = pixel_to_sky(quadrant_wcs(plan, number), x[on], y[on])
    mag = 21.0 - rng.exponential(1.2, plan.n_star)
    return Stars(ra, dec, quadrant, mag)


def quadrant_wcs(plan: Plan, number: int) -> WcsParameters:
    """The projection of a quadrant: TPV about a centre on a grid around the plan's."""
    column, row = number % 8, number // 8
    dec = plan.centre[1] - row * QUADRANT_SPACING * math.copysign(1.0, plan.centre[1])
    ra = (plan.centre[0] + column * QUADRANT_SPACING / max(math.cos(math.radians(dec)), 0.02)) % 360.0
    pv = np.array([[PV_A.get(f"PV{axis}_{j}", 0.0) for j in range(N_PV)] for axis in (1, 2)])
    return WcsParameters("TPV", np.array([ra, dec]), np.array([1536.5, 1540.5]), CD, pv)


def _build(maker: sessionmaker[Session], plan: Plan) -> Stars:
    stars = stars_of(plan)
    quadrants = [quadrant_of(plan, number) for number in range(plan.n_quadrant)]
    members = [np.flatnonzero(stars.quadrant == number) for number in range(plan.n_quadrant)]
    waiting: list[dict[str, NDArray[Any]]] = []
    images: list[tuple[dict[str, Any], Quadrant]] = []
    for epoch in range(plan.first_epoch, plan.first_epoch + plan.n_epoch):
        for number, quadrant in enumerate(quadrants):
            rng = np.random.default_rng([plan.seed, 1, epoch, number])
            image = image_row(plan, epoch, quadrant, len(members[number]), rng)
            images.append((image, quadrant))
            waiting.append(_sources(image, quadrant, stars, members[number], plan.trouble, rng))
            if sum(len(rows["source_id"]) for rows in waiting) >= ROWS_PER_TRANSACTION:
                _store(maker, images, waiting)
    _store(maker, images, waiting)
    return stars


def add_image(maker: sessionmaker[Session], plan: Plan, stars: Stars, epoch: int, number: int = 0) -> int:
    """Store one more image of an archive's stars, that of one quadrant, and return its id."""
    quadrant, member = quadrant_of(plan, number), np.flatnonzero(stars.quadrant == number)
    rng = np.random.default_rng([plan.seed, 1, epoch, number])
    image = image_row(plan, epoch, quadrant, len(member), rng)
    _store(maker, [(image, quadrant)], [_sources(image, quadrant, stars, member, plan.trouble, rng)])
    return int(image["image_id"])


def quadrant_of(plan: Plan, number: int) -> Quadrant:
    """One quadrant of a plan."""
    wcs = quadrant_wcs(plan, number)
    ra, dec = pixel_to_sky(wcs, (NX - 1) / 2, (NY - 1) / 2)
    return Quadrant(number, wcs, image_cells(wcs, NX, NY), corners(wcs, NX, NY), (float(ra), float(dec)))


def image_row(
    plan: Plan, epoch: int, quadrant: Quadrant, n_source: int, rng: np.random.Generator, **other: Any
) -> dict[str, Any]:
    """One row of ``image`` as ingest would write it; `other` replaces some of its values."""
    mjd = round(58300.1 + 0.731 * epoch, 5)
    expid = (int(mjd) - 57754) * 100_000 + int(mjd % 1 * 1e5 + 0.5)
    fid = 1 + epoch % 2 if epoch % 9 else 3
    apcor: list[float | None] = list(APCOR)
    if rng.random() < plan.trouble:
        apcor = [None] * 6
    row: dict[str, Any] = {
        "image_id": expid * 10_000 + quadrant.rcid * 100 + 15,
        "kind": "sci", "simulated": False, "filefracday": 20180000000000 + epoch, "field": plan.field,
        "ccdid": quadrant.rcid // 4 + 1, "qid": quadrant.rcid % 4 + 1, "rcid": quadrant.rcid, "fid": fid,
        "filtercode": ("zg", "zr", "zi")[fid - 1], "expid": expid,
        "pid": expid * 10_000 + quadrant.rcid * 100 + 15, "x0": 0, "y0": 0, "nx": NX, "ny": NY,
        "obsmjd": mjd, "mjd_mid": mjd + 15.0 / 86400.0, "exptime": 30.0, "seeing_pix": rng.uniform(1.6, 3.0),
        "maglim": rng.uniform(19.5, 21.2), "magzp": rng.uniform(25.6, 26.4), "magzpunc": 1.2e-5,
        "magzprms": rng.uniform(0.02, 0.05), "clrcoeff": rng.uniform(-0.06, 0.19), "clrcounc": 2e-5,
        "gain": 6.2, "readnoi": 9.5, "saturate": 5e4,
        "infobits": None if rng.random() < plan.trouble else (1 << 25) * int(rng.random() < plan.trouble),
        "status": 1, "airmass": rng.uniform(1.0, 2.2), "programid": int(rng.integers(1, 4)), "procvsn": 1,
        "created": "2018-01-01T00:00:00", "ra": quadrant.centre[0], "dec": quadrant.centre[1],
        "background": 110.0, "background_rms": 11.0, "has_mask": bool(rng.random() >= plan.trouble),
        "n_source": n_source, "config_id": 1,
    }  # fmt: skip
    row |= {f"apcor{k + 1}": value for k, value in enumerate(apcor)}
    row |= {f"sky_noise{k + 1}": 1.0 + 0.05 * k for k in range(6)}
    row |= dict(zip(("ra1", "dec1", "ra2", "dec2", "ra3", "dec3", "ra4", "dec4"), quadrant.outline, strict=True))
    sun, ssb = light_time_vectors(row["mjd_mid"])
    row |= dict(
        zip(("sun_x", "sun_y", "sun_z", "ssb_x", "ssb_y", "ssb_z"), [*sun[0].tolist(), *ssb[0].tolist()], strict=True)
    )
    return row | other


def _sources(
    image: dict[str, Any],
    quadrant: Quadrant,
    stars: Stars,
    member: NDArray[np.int64],
    trouble: float,
    rng: np.random.Generator,
) -> dict[str, NDArray[Any]]:
    """The rows of ``source`` of one image, in an order of its own."""
    star = rng.permutation(member)
    n = len(star)
    scale = 0.05 / 3600.0
    dec = np.clip(stars.dec[star] + rng.normal(0.0, scale, n), -90.0, 90.0)
    ra = (stars.ra[star] + rng.normal(0.0, scale, n) / np.cos(np.radians(dec))) % 360.0
    zeropoint = image["magzp"]
    light = 10.0 ** (-0.4 * (stars.mag[star] - zeropoint))
    columns: dict[str, NDArray[Any]] = {
        "source_id": (image["image_id"] << SOURCE_ID_SHIFT) + np.arange(n, dtype=np.int64),
        "image_id": np.full(n, image["image_id"], np.int64),
        "hpx29": sky_to_cell(ra, dec),
        "ra": ra,
        "dec": dec,
        "x": rng.uniform(0.0, NX - 1.0, n),
        "y": rng.uniform(0.0, NY - 1.0, n),
        "npix": rng.integers(5, 80, n),
        "flags": np.where(rng.random(n) < trouble, 1 << rng.integers(0, 12, n), 0),
        "mask_bits": np.where(rng.random(n) < trouble, 1 << rng.integers(0, 13, n), 0) & ~2050,
        "background": rng.normal(110.0, 1.0, n),
        "background_rms": rng.normal(11.0, 0.1, n),
    }
    noise = rng.standard_normal(n)
    for k, part in enumerate(ENCLOSED):
        error = np.sqrt(400.0 * (k + 1) + part * light / image["gain"])
        flux = part * light + noise * error
        columns[f"flux_aper{k + 1}"] = np.where(rng.random(n) < trouble / 10, -flux, flux)
        columns[f"flux_aper{k + 1}_err"] = error
    lost = rng.random(n) < trouble / 10
    for name in ("flux_aper4", "flux_aper4_err"):
        columns[name] = np.where(lost, np.nan, columns[name])
    for name in ("a", "b", "theta", "peak", "flux_auto", "flux_auto_err", "kron_radius", "flux_radius"):
        columns[name] = rng.uniform(0.5, 3.0, n)
    columns["has_mask"] = np.full(n, image["has_mask"])
    return columns


def _store(
    maker: sessionmaker[Session], images: list[tuple[dict[str, Any], Quadrant]], waiting: list[dict[str, NDArray[Any]]]
) -> None:
    if not images:
        return
    with writing(maker) as session:
        store_images(session, images)
        columns = {name: np.concatenate([rows[name] for rows in waiting]) for name in waiting[0]}
        store_source_rows(session, columns)
    images.clear()
    waiting.clear()


def store_images(session: Session, images: list[tuple[dict[str, Any], Quadrant]]) -> None:
    """Insert images with their headers, files and cells."""
    session.execute(insert(Image), [row for row, _ in images])
    session.execute(insert(ImageHeader), [_header(row, quadrant) for row, quadrant in images])
    session.execute(insert(ImageFile), [_file(row) for row, _ in images])
    cells = {
        "cell9": np.concatenate([quadrant.cells for _, quadrant in images]),
        "image_id": np.concatenate([np.full(len(q.cells), row["image_id"], np.int64) for row, q in images]),
    }
    backend(session).copy_rows(ImageCell.__table__, cells)


def store_source_rows(session: Session, columns: dict[str, NDArray[Any]]) -> None:
    """Append rows of ``source``; ``has_mask`` says where ``mask_bits`` is not NULL."""
    columns = dict(columns)
    nulls = {"mask_bits": ~columns.pop("has_mask")}
    backend(session).copy_rows(Source.__table__, {c.name: columns[c.name] for c in Source.__table__.columns}, nulls)


def _header(row: dict[str, Any], quadrant: Quadrant) -> dict[str, Any]:
    role = "ref" if row["kind"] == "ref" else "sci"
    return {
        "image_id": row["image_id"],
        "role": role,
        "wcs_projection": quadrant.wcs.projection,
        "wcs": quadrant.wcs.to_array().tobytes(),
        "cards": {"NAXIS1": row["nx"], "NAXIS2": row["ny"], "FILLER": "x" * 4000},
    }


def _file(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "image_id": row["image_id"],
        "role": "ref" if row["kind"] == "ref" else "sci",
        "data_root_id": 1,
        "path": f"{row['image_id']}.fits",
        "size": 1, "mtime_ns": 1, "sha256": f"{row['image_id']:064x}",
        "hdu": 0, "byte_offset": 2880, "bitpix": -32, "bscale": 1.0, "bzero": 0.0, "compression": "none",
    }  # fmt: skip


def store_places(session: Session) -> None:
    """Insert the configuration and the folder that generated images point to."""
    if session.get(Config, 1) is None:
        session.execute(insert(Config), {"config_id": 1, "config_hash": "0" * 64, "settings": {}, "versions": {}})
        session.execute(insert(DataRoot), {"data_root_id": 1, "name": "generated", "path": "/generated"})
