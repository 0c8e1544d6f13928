"""Operations on small archives in any order: files that come and go, a model of what must be held, and what is.

A `World` carries out one list of operations, on the files of one folder and on several archives, and knows from the
rules in the documentation what each must hold in the end. `settle` brings derived rows up to date, and `content` gives
all rows and answers in a form that depends on neither the engine nor the order: two archives that hold the same are
equal in it to the last bit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.support.tables import MAST_NAMES, object_ids, write_csv
from ztfdb.archive import Archive
from ztfdb.simulate import make_psfcat, make_science_image

N_IMAGE = 5
N_VERSION = 2
N_POSITION = 4
SHARED_IMAGE = 4
"""Image that both of two processes ingest; each of the others belongs to one of them."""
TRANSIENT_ON = (1, 4)
"""Images that show the star at position 1."""

RA, DEC = 57.9974, 35.7463
MTIME_NS = 1_600_000_000_000_000_000
CATALOGUES = (("ps1", "ps1_first.csv"), ("ps1", "ps1_second.csv"), ("gaia", "gaia.csv"))
ROLES = ("sciimg", "mskimg", "psfcat")

Operation = tuple[Any, ...]
"""A name, which is that of a method of `World`, and its arguments."""


@dataclass(frozen=True)
class Pool:
    """Files of all images in all versions, and of the catalogues; made once, and copied from here.

    Attributes
    ----------
    folder : Path
    positions : tuple of (ra, dec)
        Deg: a bright star, one that is not on all images, empty sky, and a place that few images cover.
    """

    folder: Path
    positions: tuple[tuple[float, float], ...]

    def path(self, image: int, version: int, role: str) -> Path:
        """Return the file of a role of one version of an image."""
        (found,) = (self.folder / f"{image}-{version}").glob(f"*_{role}.fits")
        return found


def make_pool(folder: Path) -> Pool:
    """Write the files: five exposures of forty stars on three nights, in two processings each, and catalogues."""
    rng = np.random.default_rng(17)
    n_star = 40
    ra = RA + rng.uniform(-0.03, 0.03, n_star) / np.cos(np.radians(DEC))
    dec = DEC + rng.uniform(-0.026, 0.026, n_star)
    mag = rng.uniform(15.0, 19.5, n_star)
    ra[0], dec[0], mag[0] = RA + 0.004, DEC + 0.003, 15.5
    ra[1], dec[1], mag[1] = RA - 0.006, DEC - 0.004, 17.0
    for image in range(N_IMAGE):
        for version in range(N_VERSION):
            _make_image(folder / f"{image}-{version}", image, version, (ra, dec, mag))
    _make_catalogues(folder, ra, dec, mag, rng)
    edge = (RA, DEC - 0.0225)
    return Pool(folder, ((ra[0], dec[0]), (ra[1], dec[1]), (RA + 0.0101, DEC - 0.0102), edge))


def _make_image(folder: Path, image: int, version: int, stars: tuple[Any, ...]) -> None:
    folder.mkdir(parents=True)
    ra, dec, mag = stars
    seen = np.arange(len(ra)) != 1 if image not in TRANSIENT_ON else np.ones(len(ra), bool)
    shift = 0.012 if image == 4 else 0.0
    made = make_science_image(
        folder,
        sky_stars=(ra[seen], dec[seen], mag[seen]),
        seed=10 * image + version,
        shape=(160, 170),
        ra=RA + shift,
        dec=DEC,
        obsmjd=59116.4 + (image // 2) + 0.01 * (image % 2),
        filtercode=("zg", "zr")[image % 2],
        magzp=26.2 + 0.02 * image + 0.005 * version,
        procvsn=version + 1,
        created=f"202{version}-10-0{image + 1}T00:00:00",
        infobits=1 << 25 if (image, version) == (2, 0) else 0,
        dead_pixels=40,
    )
    make_psfcat(made, seed=image)


def _make_catalogues(folder: Path, ra: Any, dec: Any, mag: Any, rng: np.random.Generator) -> None:
    color = rng.uniform(0.2, 1.0, len(ra))
    columns: dict[str, Any] = {name: np.full(len(ra), -999.0) for name in MAST_NAMES}
    columns |= {"objID": object_ids(ra, dec), "raMean": ra, "decMean": dec, "epochMean": np.full(len(ra), 56000.0)}
    columns |= {name: np.full(len(ra), 20) for name in ("nDetections", "qualityFlag", "objInfoFlag")}
    for band, value in {"g": mag + color, "r": mag, "i": mag - 0.4 * color}.items():
        columns |= {f"{band}MeanPSFMag": value, f"{band}MeanPSFMagErr": np.full(len(ra), 0.005)}
        columns[f"{band}MeanKronMag"] = value + 0.01
    first, second = np.arange(len(ra)) < 30, np.arange(len(ra)) >= 24
    write_csv(folder / "ps1_first.csv", {name: values[first] for name, values in columns.items()})
    write_csv(folder / "ps1_second.csv", {name: values[second] for name, values in columns.items()})
    gaia = {"source_id": 10**17 + np.arange(len(ra)), "ra": ra, "dec": dec, "ref_epoch": np.full(len(ra), 2016.0)}
    gaia |= {"pmra": rng.normal(0, 20, len(ra)), "pmdec": rng.normal(0, 20, len(ra)), "phot_g_mean_mag": mag}
    write_csv(folder / "gaia.csv", gaia)


@dataclass(frozen=True)
class Held:
    """What an archive must hold of an image.

    Attributes
    ----------
    slot : int
        The folder its file lies in.
    version : int
    mask : int or None
        Version of its mask.
    psf : int or None
        Folder of its PSF catalogue, which is of the same version.
    metadata : bool
        IRSA's values are filled in.
    """

    slot: int
    version: int
    mask: int | None
    psf: int | None
    metadata: bool = False


@dataclass
class World:
    """Some archives that get the same operations, the files they are of, and what must be held.

    Attributes
    ----------
    pool : Pool
    folder : Path
        Everything lies below it.
    archives : list of Archive
    disk : dict
        Version of the file by (image, slot, role): what lies on the disk now.
    held : dict
        By image.
    catalogues : dict
        Numbers of the files of each catalogue that is held.
    moves : int
        How often the files were moved.
    shared : frozenset of int
        Images that another process ingests as well: what becomes of them here is not known.
    """

    pool: Pool
    folder: Path
    archives: list[Archive]
    disk: dict[tuple[int, int, str], int] = field(default_factory=dict)
    held: dict[int, Held] = field(default_factory=dict)
    catalogues: dict[str, set[int]] = field(default_factory=dict)
    moves: int = 0
    shared: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True, exist_ok=True)

    @property
    def root(self) -> Path:
        """The folder of the images, which `relocate` moves."""
        return self.folder / f"place-{self.moves}"

    def do(self, operations: Iterable[Operation]) -> None:
        """Carry out operations in this order."""
        for name, *arguments in operations:
            getattr(self, name)(*arguments)

    # Files ----------------------------------------------------------------------------------------------------------

    def put(self, image: int, slot: int, version: int, role: str = "sciimg") -> None:
        """Write a version of an image, or of what lies beside it, into a folder; what lies there is written over."""
        source = self.pool.path(image, version, role)
        target = self.root / f"slot-{slot}" / source.name
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(source, target)
        moment = MTIME_NS + 1_000_000_000 * (10 * version + ROLES.index(role))
        os.utime(target, ns=(moment, moment))
        self.disk[image, slot, role] = version

    def mask(self, image: int, slot: int, version: int) -> None:
        """Write a mask beside where its image lies, or may lie later."""
        self.put(image, slot, version, "mskimg")

    def psfcat(self, image: int, slot: int, version: int) -> None:
        """Write a PSF catalogue, likewise."""
        self.put(image, slot, version, "psfcat")

    def bring(self, image: int, version: int) -> None:
        """Write all files of a version of an image into its own folder, and ingest them."""
        for role in ROLES:
            self.put(image, version, version, role)
        self.ingest_one(image, version)

    def relocate(self) -> None:
        """Move all files to another folder, and tell the archives."""
        before = self.root
        self.moves += 1
        before.rename(self.root)
        for archive in self.archives:
            roots = archive.sql("select name, path from data_root order by name", force=True)
            for name, path in zip(roots["name"], roots["path"], strict=True):
                archive.relocate(name, path.replace(str(before), str(self.root), 1))

    # Images ---------------------------------------------------------------------------------------------------------

    def ingest(self, *, force: bool = False) -> None:
        """Ingest the folder."""
        found = sorted((slot, image) for image, slot, role in self.disk if role == "sciimg")
        self._ingest([self.root], [(image, slot) for slot, image in found], force)

    def ingest_one(self, image: int, slot: int) -> None:
        """Ingest one file by its name, where it is there."""
        if (image, slot, "sciimg") in self.disk:
            self._ingest([self._file(image, slot, "sciimg")], [(image, slot)], False)

    def ingest_again(self) -> None:
        """Ingest the folder, and measure again what has not changed."""
        self.ingest(force=True)

    def _ingest(self, paths: list[Path], candidates: list[tuple[int, int]], force: bool) -> None:
        expected = [self._expect(image, slot, force) for image, slot in candidates]
        for archive in self.archives:
            report = archive.ingest(paths, force=force)
            if any(image in self.shared for image, _ in candidates):
                continue
            found = [outcome.outcome.value for outcome in report.outcomes]
            assert found == expected, (archive.url, found, expected, [one.reason for one in report.outcomes])

    def _expect(self, image: int, slot: int, force: bool) -> str:
        """Note what storing an image must come to."""
        version = self.disk[image, slot, "sciimg"]
        mask, psf = self.disk.get((image, slot, "mskimg")), self._psf(image, slot, version)
        held = self.held.get(image)
        if held is None or version > held.version:
            self.held[image] = Held(slot, version, mask, psf)
            return "stored" if held is None else "replaced"
        if version < held.version:
            return "failed"
        in_place = held.slot == slot
        new_mask = mask is not None and (held.mask != mask if in_place else held.mask is None)
        if force or new_mask:
            self.held[image] = replace(held, slot=slot, mask=mask, psf=held.psf if psf is None else psf)
            return "replaced"
        if in_place:
            self.held[image] = replace(held, psf=psf if held.psf is None else held.psf)
        return "unchanged" if in_place else "known copy"

    def _psf(self, image: int, slot: int, version: int) -> int | None:
        """Return the folder of an image's PSF catalogue, where one of the same processing lies there."""
        return slot if self.disk.get((image, slot, "psfcat")) == version else None

    def ingest_psfcat(self, image: int, slot: int) -> None:
        """Ingest a PSF catalogue by its name, where it is there; that of another processing is refused."""
        if (image, slot, "psfcat") not in self.disk:
            return
        held = self.held.get(image)
        psf = None if held is None else self._psf(image, slot, held.version)
        for archive in self.archives:
            report = archive.ingest_psfcat(self._file(image, slot, "psfcat"))
            assert report.failed == (psf is None), (archive.url, psf, report.outcomes)
        if held is not None:
            self.held[image] = replace(held, psf=psf if held.psf is None else held.psf)

    def remove(self, image: int) -> None:
        """Remove an image, where it is held."""
        if self.held.pop(image, None) is not None:
            for archive in self.archives:
                archive.remove(self.image_id(archive, image))

    def remove_night(self, night: int) -> None:
        """Remove a night, where images of it are held."""
        of_night = [image for image in self.held if image // 2 == night]
        for image in of_night:
            del self.held[image]
        for archive in self.archives if of_night else ():
            archive.remove(night=20200924 + night)

    def metadata(self) -> None:
        """Fill in what IRSA knows of the images that are held."""
        for archive in self.archives:
            self._fill_metadata(archive, self.held)
        self.held = {image: replace(held, metadata=True) for image, held in self.held.items()}

    def _fill_metadata(self, archive: Archive, images: Iterable[int]) -> None:
        pids = np.array([self.image_id(archive, image) for image in images], np.int64)
        if len(pids):
            columns = {"pid": pids, "infobits": pids * 0, "maglimit": pids % 7 + 14.5, "seeing": pids % 5 + 1.5}
            archive.import_metadata(write_csv(self.folder / "metadata.csv", columns))

    # Derived rows ---------------------------------------------------------------------------------------------------

    def catalogue(self, number: int) -> None:
        """Import a file of a catalogue."""
        name, file = CATALOGUES[number]
        for archive in self.archives:
            archive.import_catalogue(name, self.pool.folder / file)
        self.catalogues.setdefault(name, set()).add(number)

    def drop_catalogue(self, name: str) -> None:
        """Remove a catalogue, where it is held."""
        if self.catalogues.pop(name, None) is not None:
            for archive in self.archives:
                archive.remove_catalogue(name)

    def crossmatch(self, name: str) -> None:
        """Match all images with a catalogue, where it is held."""
        if name in self.catalogues:
            for archive in self.archives:
                archive.crossmatch(name)

    def drop_matches(self, name: str) -> None:
        """Remove all matches with a catalogue, where it is held."""
        if name in self.catalogues:
            for archive in self.archives:
                archive.remove_matches(name)

    def objects(self, build: bool) -> None:
        """Build or update the objects."""
        for archive in self.archives:
            archive.build_objects() if build else archive.update_objects()

    def calibrate(self) -> None:
        """Calibrate, where there is a catalogue for it."""
        if "ps1" in self.catalogues:
            for archive in self.archives:
                archive.calibrate()

    def curve(self, position: int, keep: bool = True) -> None:
        """Make the complete light curve of a position, and perhaps keep what was measured for it."""
        for archive in self.archives:
            archive.light_curve(*self.pool.positions[position], complete=True, keep=keep)

    # The end --------------------------------------------------------------------------------------------------------

    def tidy(self) -> None:
        """Leave those files on the disk that the archives must hold, and no others."""
        for path in self.root.glob("*/*"):
            path.unlink()
        self.disk.clear()
        for image, held in self.held.items():
            self.put(image, held.slot, held.version)
            if held.mask is not None:
                self.mask(image, held.slot, held.mask)
            if held.psf is not None:
                self.psfcat(image, held.psf, held.version)

    def build_clean(self, archive: Archive) -> None:
        """Build what must be held in an empty archive, in one obvious order; after `tidy`."""
        held = sorted(self.held.items())
        report = archive.ingest([self._file(image, one.slot, "sciimg") for image, one in held])
        assert report.stored == len(held), report
        for image, one in held:
            if one.psf not in (None, one.slot):
                archive.ingest_psfcat(self._file(image, one.psf, "psfcat"))
        self._fill_metadata(archive, [image for image, one in held if one.metadata])
        for numbers in self.catalogues.values():
            for number in sorted(numbers):
                name, file = CATALOGUES[number]
                archive.import_catalogue(name, self.pool.folder / file)
        archive.build_objects()
        settle(archive, self.pool)

    def image_id(self, archive: Archive, image: int) -> int:
        """Return the id of a held image."""
        night, filtercode = 59116 + image // 2, ("zg", "zr")[image % 2]
        statement = "select image_id from image where obsmjd > :first and obsmjd < :last and filtercode = :filtercode"
        found = archive.sql(statement, force=True, first=night, last=night + 1, filtercode=filtercode)["image_id"]
        return int(found.iloc[0])

    def _file(self, image: int, slot: int, role: str) -> Path:
        return self.root / f"slot-{slot}" / self.pool.path(image, 0, role).name


def settle(archive: Archive, pool: Pool) -> None:
    """Bring all derived rows up to date, and measure each position wherever nothing was detected."""
    held = sorted(set(archive.catalogues()["catalogue"]))
    for name in held:
        archive.crossmatch(name)
    archive.update_objects()
    if "ps1" in held:
        archive.calibrate()
    for position in pool.positions:
        archive.light_curve(*position, complete=True)


def operation(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[Operation]:
    """Operations of one name."""
    return st.tuples(st.just(name), *arguments)


def sequences(max_size: int = 14) -> st.SearchStrategy[list[Operation]]:
    """Lists of operations, of which those that bring and ingest images are the most frequent."""
    image, version = st.integers(0, N_IMAGE - 1), st.integers(0, N_VERSION - 1)
    often = [
        operation("put", image, version, version),
        operation("bring", image, version),
        operation("mask", image, version, version),
        operation("psfcat", image, version, version),
        operation("ingest"),
    ]
    name = st.sampled_from(["ps1", "gaia"])
    seldom = [
        operation("ingest_one", image, version),
        operation("ingest_again"),
        operation("ingest_psfcat", image, version),
        operation("remove", image),
        operation("remove_night", st.integers(0, N_IMAGE // 2)),
        operation("relocate"),
        operation("metadata"),
        operation("catalogue", st.integers(0, len(CATALOGUES) - 1)),
        operation("drop_catalogue", name),
        operation("crossmatch", name),
        operation("drop_matches", name),
        operation("objects", st.booleans()),
        operation("calibrate"),
        operation("curve", st.integers(0, N_POSITION - 1), st.booleans()),
    ]
    return st.lists(st.one_of(*often, *often, *seldom), max_size=max_size)


def parts(process: int, max_size: int = 10) -> st.SearchStrategy[list[Operation]]:
    """What one of two processes does: it alone ingests and removes every other image; both ingest `SHARED_IMAGE`."""
    own, version = st.sampled_from([process, process + 2]), st.integers(0, N_VERSION - 1)
    images = [
        operation("ingest_one", own, version),
        operation("ingest_one", st.just(SHARED_IMAGE), version),
        operation("remove", own),
    ]
    derived = [
        operation("crossmatch", st.sampled_from(["ps1", "gaia"])),
        operation("objects", st.booleans()),
        operation("calibrate"),
        operation("curve", st.integers(0, N_POSITION - 1)),
    ]
    return st.lists(st.one_of(*images, *images, *derived), min_size=1, max_size=max_size)
