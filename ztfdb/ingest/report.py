"""What an ingest came to: one outcome per image, and a report whose numbers add up."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from ztfdb.bits import NO_CAVEAT, Caveat
from ztfdb.errors import ImageError, ZtfdbError
from ztfdb.texts import one_line

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)


class Outcome(Enum):
    """What became of one image."""

    STORED = "stored"
    """New in the archive."""
    REPLACED = "replaced"
    """Measured again and put in place of what was stored: a newer processing, a late or changed mask, or forced."""
    UNCHANGED = "unchanged"
    """Stored already, from this very path; nothing was written."""
    KNOWN_COPY = "known copy"
    """Stored already, with the same content under another path; nothing was written."""
    MOVED = "moved"
    """Stored already from another path, where it lies no more; the archive has the new path now."""
    FAILED = "failed"
    """Refused or broken; `ImageOutcome.reason` says why. Nothing was written."""


@dataclass(frozen=True)
class ImageOutcome:
    """What became of one image.

    Attributes
    ----------
    path : str
        Absolute path of the image.
    outcome : Outcome
    image_id : int or None
        None where it failed.
    n_source : int or None
        Sources stored; None where nothing was measured.
    seconds : float
        From taking the image up to its outcome, waiting for the writer included.
    reason : str
        Why it failed, in one line; empty otherwise.
    error : str
        Name of the error's class; empty otherwise.
    retryable : bool
        True where the same file may succeed later.
    n_psf : int or None
        Rows of ZTF's PSF catalogue that were written; None where none was. A catalogue that came late or changed is
        taken also where the image itself is unchanged.
    psfcat_reason : str
        Why the image's PSF catalogue was refused, in one line; empty otherwise. The image does not suffer.
    caveats : Caveat
        What the image lacks, where it was stored.
    """

    path: str
    outcome: Outcome
    image_id: int | None = None
    n_source: int | None = None
    seconds: float = 0.0
    reason: str = ""
    error: str = ""
    retryable: bool = False
    n_psf: int | None = None
    psfcat_reason: str = ""
    caveats: Caveat = NO_CAVEAT


@dataclass(frozen=True)
class IngestReport:
    """All outcomes of one ingest, in the order in which the images were found.

    ``found = stored + unchanged + known_copies + moved + failed``; `replaced` images are among the stored ones.

    Attributes
    ----------
    outcomes : tuple of ImageOutcome
    seconds : float
        Wall time.
    left_out : dict of int
        Files of folders that are no images: how many for which reason.
    """

    outcomes: tuple[ImageOutcome, ...]
    seconds: float
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def found(self) -> int:
        """Images found, and paths given that turned out to be none."""
        return len(self.outcomes)

    @property
    def stored(self) -> int:
        """Images whose rows were written, new and replaced."""
        return self._count(Outcome.STORED, Outcome.REPLACED)

    @property
    def replaced(self) -> int:
        """Of the stored ones, those that replaced what was there."""
        return self._count(Outcome.REPLACED)

    @property
    def unchanged(self) -> int:
        """Images that are in the archive as they are."""
        return self._count(Outcome.UNCHANGED)

    @property
    def known_copies(self) -> int:
        """Copies of images that are in the archive."""
        return self._count(Outcome.KNOWN_COPY)

    @property
    def moved(self) -> int:
        """Images whose files were moved or renamed, and whose paths followed."""
        return self._count(Outcome.MOVED)

    @property
    def failed(self) -> int:
        """Images that were refused or broken."""
        return self._count(Outcome.FAILED)

    @property
    def failures(self) -> tuple[ImageOutcome, ...]:
        """The outcomes of the failed images."""
        return tuple(one for one in self.outcomes if one.outcome is Outcome.FAILED)

    @property
    def n_source(self) -> int:
        """Sources written."""
        return sum(one.n_source or 0 for one in self.outcomes)

    @property
    def n_psf(self) -> int:
        """Rows of PSF catalogues written."""
        return sum(one.n_psf or 0 for one in self.outcomes)

    @property
    def psfcat_refusals(self) -> tuple[ImageOutcome, ...]:
        """The outcomes of images whose PSF catalogue was refused."""
        return tuple(one for one in self.outcomes if one.psfcat_reason)

    @property
    def caveats(self) -> dict[Caveat, tuple[str, ...]]:
        """Paths of the stored images that lack something, by what that is."""
        found = {one: tuple(image.path for image in self.outcomes if one in image.caveats) for one in Caveat}
        return {one: paths for one, paths in found.items() if paths}

    def __str__(self) -> str:
        moved = f"{self.moved} moved + " if self.moved else ""
        return (
            f"{self.found} found = {self.stored} stored + {self.unchanged} unchanged + "
            f"{self.known_copies} known copies + {moved}{self.failed} failed"
        )

    def to_pandas(self) -> pd.DataFrame:
        """Return the outcomes as a table; ids and counts are ``Int64``."""
        import pandas as pd

        rows = [asdict(one) | {"outcome": one.outcome.value, "caveats": int(one.caveats)} for one in self.outcomes]
        names = [f.name for f in fields(ImageOutcome)]
        try:
            table = pd.DataFrame(rows, columns=names)
        except UnicodeEncodeError:  # a name of bytes that are no UTF-8, which only Python's own texts hold
            table = pd.DataFrame(rows, columns=names, dtype=object).astype({"seconds": float, "retryable": bool})
        return table.astype({"image_id": "Int64", "n_source": "Int64", "n_psf": "Int64"})

    def _count(self, *kinds: Outcome) -> int:
        return sum(one.outcome in kinds for one in self.outcomes)


@dataclass(frozen=True)
class IngestStep:
    """What a progress callback is called with: once before the first image, then after each.

    Attributes
    ----------
    done, found : int
        Images that have an outcome, and all of them.
    outcome : ImageOutcome or None
        The last outcome; None before the first image.
    """

    done: int
    found: int
    outcome: ImageOutcome | None


class IngestProgress(Protocol):
    """Called in the parent process, between transactions; what it raises ends the ingest."""

    def __call__(self, step: IngestStep, /) -> None:
        """Take one step of the ingest."""


def report(
    outcomes: Iterable[ImageOutcome], order: dict[str, int], seconds: float, left_out: Mapping[str, int] | None = None
) -> IngestReport:
    """Return the report, the outcomes in the order in which their paths were found."""
    return IngestReport(tuple(sorted(outcomes, key=lambda one: order[one.path])), seconds, dict(left_out or {}))


def refused(path: str, exc: ZtfdbError, seconds: float) -> ImageOutcome:
    """Return the outcome of an image that an error ended."""
    reason = exc.reason if isinstance(exc, ImageError) and exc.path == path else str(exc)
    return ImageOutcome(
        path,
        Outcome.FAILED,
        seconds=seconds,
        reason=one_line(reason),
        error=type(exc).__name__,
        retryable=exc.retryable,
    )


def log_outcome(outcome: ImageOutcome) -> None:
    """Write the one log line of an image."""
    facts = {
        "path": outcome.path,
        "outcome": outcome.outcome.value,
        "image_id": outcome.image_id,
        "n_source": outcome.n_source,
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.n_psf is not None:
        facts["n_psf"] = outcome.n_psf
    if outcome.caveats:
        facts["caveats"] = outcome.caveats.name
    if outcome.psfcat_reason:
        logger.warning("PSF catalogue refused", extra=facts | {"reason": outcome.psfcat_reason})
    if outcome.outcome is Outcome.FAILED:
        logger.warning("image failed", extra=facts | {"error": outcome.error, "reason": outcome.reason})
    else:
        logger.info("image ingested", extra=facts)
