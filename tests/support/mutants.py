"""Image files that something went wrong with: cut off, flipped, with headers that lie, and good ones among them."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from astropy.io import fits
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from tests.support.crash import workers_of
from ztfdb.codes import JobState
from ztfdb.daemon.inbox import Inbox
from ztfdb.daemon.service import executor_maker
from ztfdb.daemon.watch import Watcher
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.ingest.loop import Loop, Operating
from ztfdb.ingest.report import ImageOutcome, Outcome
from ztfdb.ingest.worker_limits import Limits
from ztfdb.schema import Image
from ztfdb.simulate import make_science_image
from ztfdb.simulate.exposure import Exposure
from ztfdb.simulate.header import mask_header, science_header
from ztfdb.store.detection_rows import count_orphans
from ztfdb.store.detections import OURS
from ztfdb.store.queue_reports import find_jobs

BLOCK = 2880
CARD = 80
SHAPE = (128, 140)
NIGHT = 58500.2
EVERY_GOOD = 5
"""Every so many files one is left as it is."""

HOSTILE = {
    "SIMPLE": ["F", "'T'", ""],
    "BITPIX": ["0", "7", "-8", "8", "16", "64", "-64", "-128", "2147483648", "'-32'", "1.5"],
    "NAXIS": ["-1", "0", "1", "3", "999", "1000000000", "'2'"],
    "NAXIS1": ["-1", "0", "1", "2", "139", "3072", "2147483647", "1099511627776", "99999999999999999999", "'x'", "1.5"],
    "NAXIS2": ["-1", "0", "1", "2", "129", "3080", "2147483647", "1099511627776", "99999999999999999999", "'x'", "NaN"],
    "EXPTIME": ["0", "-30", "1E300", "'x'"],
    "OBSMJD": ["-1", "0", "1E30", "'x'"],
    "FIELDID": ["-1", "0", "99999999999", "'x'"],
    "FILTERID": ["0", "4", "-1", "'x'"],
    "CCDID": ["0", "17", "99", "'x'"],
    "CRVAL1": ["-1E300", "720", "'x'"],
    "CRVAL2": ["91", "-1000", "'x'"],
    "CRPIX1": ["1E300", "'x'"],
    "CD1_1": ["0", "1E300", "-1E-300", "'x'"],
    "CTYPE1": ["'RA---AIT'", "'GLON-TAN'", "'LINEAR'", "5"],
    "GAIN": ["0", "-6", "1E300", "'x'"],
    "MAGZP": ["'x'", "1E300", "-99"],
    "SEEING": ["0", "-2", "1E9", "'x'"],
    "SATURATE": ["-1", "0", "1E300", "'x'"],
    "BSCALE": ["0", "1E300", "'x'"],
    "BZERO": ["1E300", "32768", "'x'"],
    "PCOUNT": ["1099511627776", "-1"],
    "GCOUNT": ["0", "1099511627776", "-1"],
    "BLANK": ["0", "'x'"],
    "END": [""],
}
"""Values that are put in place of a card's own, or where another card was."""


@dataclass
class Pack:
    """A folder of files.

    Attributes
    ----------
    good : set of str
        Names of those that must be stored.
    kinds : Counter
        How many were spoilt in which way.
    """

    folder: Path
    good: set[str] = field(default_factory=set)
    kinds: Counter[str] = field(default_factory=Counter)

    def __len__(self) -> int:
        return len(self.good) + self.kinds.total()


class Mutator:
    """Writes files, each an exposure of its own, spoilt by a seeded hand.

    Parameters
    ----------
    folder : Path
    seed : int
    """

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.pack = Pack(folder)
        self._random = random.Random(seed)
        folder.mkdir(parents=True)
        base = make_science_image(folder, shape=SHAPE, n_star=20, seed=1)
        assert base.msk is not None
        self._data, self._bits = fits.getdata(base.sci), fits.getdata(base.msk)
        base.sci.unlink()
        base.msk.unlink()
        self._n = 0

    def write(self, n: int) -> Pack:
        """Write `n` files, the ways of spoiling in turn."""
        ways = self._ways()
        while len(self.pack) < n:
            if self._n % EVERY_GOOD == 0:
                self.pack.good.add(self._new()[0].name)
                continue
            kind, spoil = next(ways)
            spoil(*self._new())
            self.pack.kinds[kind] += 1
        return self.pack

    def cut_at_every_block(self) -> None:
        """Write one file, and one mask, cut off at each of its blocks."""
        n_block = [-(-path.stat().st_size // BLOCK) for path in self._new(good=True)]
        for which, n in enumerate(n_block):
            for block in range(n):
                path = self._new()[which]
                path.write_bytes(path.read_bytes()[: block * BLOCK])
                self.pack.kinds[f"cut at a block of the {('image', 'mask')[which]}"] += 1

    def _new(self, *, good: bool = False) -> tuple[Path, Path]:
        exposure = replace(Exposure(shape=SHAPE), obsmjd=NIGHT + 0.01 * self._n)
        self._n += 1
        sci = self.pack.folder / f"{exposure.stem}_sciimg.fits"
        msk = self.pack.folder / f"{exposure.stem}_mskimg.fits"
        fits.PrimaryHDU(self._data, science_header(exposure)).writeto(sci)
        fits.PrimaryHDU(self._bits, mask_header(exposure)).writeto(msk)
        if good:
            self.pack.good.add(sci.name)
        return sci, msk

    def _ways(self) -> Iterator[tuple[str, Callable[[Path, Path], None]]]:
        ways: list[tuple[str, Callable[[Path, Path], None]]] = [
            ("cut anywhere", self._cut),
            ("bytes flipped in the header", lambda sci, msk: self._flip(sci, header=True)),
            ("bytes flipped in the pixels", lambda sci, msk: self._flip(sci, header=False)),
            ("a hostile card", lambda sci, msk: self._lie(sci)),
            ("not a number, or infinite", self._not_finite),
            ("another mask", self._other_mask),
            ("a hostile card of the mask", lambda sci, msk: self._lie(msk)),
            ("bytes flipped in the mask", lambda sci, msk: self._flip(msk, header=self._random.random() < 0.5)),
            ("compressed and spoilt", self._compressed),
            ("no image at all", self._nonsense),
        ]
        while True:
            yield from ways

    def _cut(self, sci: Path, msk: Path) -> None:
        whole = sci.read_bytes()
        sci.write_bytes(whole[: self._random.randrange(len(whole))])

    def _flip(self, path: Path, *, header: bool) -> None:
        content = bytearray(path.read_bytes())
        size = content.index(b"END" + b" " * 77) + CARD
        first, last = (0, size) if header else (size, len(content))
        for _ in range(self._random.choice([1, 3, 20, 300])):
            content[self._random.randrange(first, last)] = self._random.randrange(256)
        path.write_bytes(content)

    def _lie(self, path: Path) -> None:
        content = bytearray(path.read_bytes())
        n_card = content.index(b"END" + b" " * 77) // CARD
        name, values = self._random.choice(list(HOSTILE.items()))
        value = self._random.choice(values)
        text = "END" if name == "END" else f"{name:<8}= {value:>20}"
        places = [k for k in range(n_card) if content[k * CARD : k * CARD + 8].rstrip().decode() == name]
        place = places[0] if places else self._random.randrange(5, n_card)
        content[place * CARD : (place + 1) * CARD] = text.ljust(CARD)[:CARD].encode()
        path.write_bytes(content)

    def _not_finite(self, sci: Path, msk: Path) -> None:
        with fits.open(sci, mode="update", memmap=False) as hdus:
            data = hdus[0].data
            value = self._random.choice([np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0])
            where = self._random.choice(["all", "half", "rows", "some", "corner"])
            if where == "all":
                data[:] = value
            elif where == "half":
                data[:, : SHAPE[1] // 2] = value
            elif where == "rows":
                data[:: self._random.choice([2, 3, 7])] = value
            elif where == "corner":
                data[:3, :3] = value
            else:
                for _ in range(200):
                    data[self._random.randrange(SHAPE[0]), self._random.randrange(SHAPE[1])] = value

    def _other_mask(self, sci: Path, msk: Path) -> None:
        kind = self._random.choice(["shape", "float", "all", "empty", "text", "image", "cut", "cube", "negative"])
        header = fits.getheader(msk)
        if kind == "empty":
            msk.write_bytes(b"")
        elif kind == "text":
            msk.write_text("<html>404 not found</html>" * 200)
        elif kind == "image":
            shutil.copy(sci, msk)
        elif kind == "cut":
            msk.write_bytes(msk.read_bytes()[: self._random.randrange(msk.stat().st_size)])
        else:
            other = {
                "shape": np.zeros((SHAPE[0] + 1, SHAPE[1]), ">i2"),
                "float": np.full(SHAPE, np.nan, ">f4"),
                "all": np.full(SHAPE, 2**15 - 1, ">i2"),
                "cube": np.zeros((2, *SHAPE), ">i2"),
                "negative": np.full(SHAPE, -1, ">i2"),
            }[kind]
            fits.PrimaryHDU(other, header).writeto(msk, overwrite=True)

    def _compressed(self, sci: Path, msk: Path) -> None:
        kind = self._random.choice(["gz", "fz"])
        target = sci.with_name(f"{sci.name}.{kind}")
        if kind == "gz":
            target.write_bytes(gzip.compress(sci.read_bytes(), 1))
        else:
            fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(self._data, fits.getheader(sci))]).writeto(target)
        sci.unlink()
        content = bytearray(target.read_bytes())
        if self._random.random() < 0.3:
            content = content[: self._random.randrange(len(content))]
        else:
            for _ in range(self._random.choice([1, 5, 50])):
                content[self._random.randrange(len(content))] = self._random.randrange(256)
        target.write_bytes(content)

    def _nonsense(self, sci: Path, msk: Path) -> None:
        kind = self._random.choice(["empty", "text", "random", "zeros", "header alone", "twice"])
        content = sci.read_bytes()
        sci.write_bytes(
            {
                "empty": b"",
                "text": b"<html>503 service unavailable</html>" * 100,
                "random": self._random.randbytes(50_000),
                "zeros": bytes(50_000),
                "header alone": content[: -(-(content.index(b"END" + b" " * 77) + CARD) // BLOCK) * BLOCK],
                "twice": content + content,
            }[kind]
        )


def write_bomb(folder: Path, megabytes: int) -> Path:
    """Write a small ``.gz`` file that holds a small image and then zeros without end."""
    made = make_science_image(folder, shape=SHAPE, n_star=20, seed=1, mask=False, obsmjd=NIGHT - 1)
    path = made.sci.with_name(f"{made.sci.name}.gz")
    with gzip.open(path, "wb", compresslevel=1) as stream:
        stream.write(made.sci.read_bytes())
        for _ in range(megabytes):
            stream.write(bytes(2**20))
    made.sci.unlink()
    return path


@dataclass
class Result:
    """What became of a pack in a daemon."""

    outcomes: list[ImageOutcome]
    states: Counter[str]
    errors: Counter[str]
    unexpected: list[str]
    peak_mb: float
    seconds: float


def run_daemon(maker: sessionmaker[Session], pack: Pack, *, jobs: int = 2, limits: Limits | None = None) -> Result:
    """Let a daemon work until every file is stored or set aside, and check that it is so."""
    outcomes: list[ImageOutcome] = []
    watcher = Watcher([pack.folder], settle_s=0.0, patience_s=0.0, grace_s=0.0, scan_s=0.1, events=False)
    operating = Operating(
        jobs=jobs, limits=limits or Limits(), attempts=2, retry_s=0.01, longest_retry_s=0.01, idle_s=0.02
    )
    peaks: dict[int, float] = {}
    over = threading.Event()
    spy = threading.Thread(target=_spy, args=(peaks, over))
    spy.start()
    started = time.perf_counter()
    try:
        work = Inbox(maker, watcher, on_outcome=outcomes.append)
        loop = Loop(maker, work, operating, executor_maker(ExtractionSettings()))
        for _ in range(3):  # once for the second attempts, and once more for certain
            loop.run(lambda: False, once=True)
            time.sleep(0.05)
    finally:
        over.set()
        spy.join()
    with maker() as session:
        jobs_ended = find_jobs(session, tuple(JobState))
        n_image = len(session.scalars(select(Image.image_id)).all())
        assert count_orphans(session, OURS) == 0
    states = Counter(job.state for job in jobs_ended)
    assert len(jobs_ended) == len(pack), (len(jobs_ended), len(pack))
    assert set(states) <= {JobState.DONE.value, JobState.QUARANTINED.value}, states
    kinds = Counter(outcome.outcome for outcome in outcomes)
    assert n_image == kinds[Outcome.STORED]
    assert n_image + kinds[Outcome.KNOWN_COPY] == states["done"]
    lost = {job.path for job in jobs_ended if job.path in pack.good and job.state != JobState.DONE}
    assert lost == set()
    set_aside = [job for job in jobs_ended if job.state == JobState.QUARANTINED]
    assert all(job.error and job.reason and job.detail for job in set_aside)
    unexpected = sorted(f"{job.path}: {job.reason}" for job in set_aside if "unexpected" in str(job.reason))
    errors = Counter(str(job.error) for job in set_aside)
    seconds = time.perf_counter() - started
    return Result(outcomes, states, errors, unexpected, max(peaks.values(), default=0.0), seconds)


def _spy(peaks: dict[int, float], over: threading.Event) -> None:
    """Note the largest memory that each worker of this process has ever had, MB."""
    while not over.wait(0.05):
        for pid in workers_of(os.getpid()):
            try:
                lines = Path(f"/proc/{pid}/status").read_text().splitlines()
                peaks[pid] = max(float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM"))
            except (OSError, ValueError):
                continue
