"""Plan, progress and result of an export, as small JSON files next to the catalogues.

``export.json`` describes the published generation. While a generation is written, ``work_gN`` contains its plan and a
record of every finished task. The next run with the same plan resumes a killed run.
"""

from __future__ import annotations

import hashlib
import json
import operator
from dataclasses import dataclass, field, replace

import pyarrow as pa

from ztfdb import __version__
from ztfdb.errors import ExportError
from ztfdb.hats.layout import FILES, File
from ztfdb.hats.parquet import ENCODING
from ztfdb.hats.places import Place
from ztfdb.hats.tasks import Done
from ztfdb.hats.tiling import Pixel

STATE = "export.json"
FORMAT = 2


@dataclass(frozen=True)
class Settings:
    """Settings of a catalogue; an update keeps those of the export.

    Attributes
    ----------
    threshold : int
        Maximum rows (epochs of objects) of a partition.
    margin : float
        Width of the margin, arcsec; 0 for none.
    calibration : str
        Calibration of the magnitudes.
    level : int
        zstd level.
    layout : str
        ``file``: a file for each partition; ``directory``: a folder of files.
    """

    threshold: int
    margin: float
    calibration: str
    level: int
    layout: str = FILES


@dataclass(frozen=True)
class Part:
    """A partition with its digest and files.

    Attributes
    ----------
    pixel : Pixel
    digest : str
        Changes when its contents may have changed.
    files : tuple of File or None
        Oldest first; None until they are written.
    margin : tuple of File
        Files of its margin.
    """

    pixel: Pixel
    digest: str
    files: tuple[File, ...] | None = None
    margin: tuple[File, ...] = ()

    @property
    def n_row(self) -> int:
        """Rows in all files."""
        return sum(file.n_row for file in self.files or ())

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files or ())


@dataclass(frozen=True)
class Generation:
    """One version of a catalogue.

    Attributes
    ----------
    number : int
    settings : Settings
    made_by : str
        Versions and columns that determine the bytes.
    parts : tuple of Part
        In order of position on the sky.
    stamp : str
        See `ztfdb.store.export.stamp`; empty if it does not cover the rows.
    """

    number: int
    settings: Settings
    made_by: str
    parts: tuple[Part, ...]
    stamp: str = field(default="", compare=False)

    def to_json(self) -> bytes:
        """Return the content of its file."""
        values = {
            "format": FORMAT,
            "generation": self.number,
            "settings": vars(self.settings),
            "made_by": self.made_by,
            "stamp": self.stamp,
            "partitions": [[*p.pixel, p.digest, p.files, p.margin] for p in self.parts],
        }
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes, path: str) -> Generation:
        """Parse the content of a file.

        Raises
        ------
        ExportError
            If the file at `path` was not written by an export.
        """
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                wrong = f"{path} has format {values['format']}; this version of ztfdb reads {FORMAT}"
                raise ExportError(f"{wrong}: remove the folder and export it anew")
            parts = tuple(_part(*row) for row in values["partitions"])
            settings = Settings(**values["settings"])
            number, by = operator.index(values["generation"]), values["made_by"]
            return cls(number, settings, by, parts, values.get("stamp", ""))  # earlier versions wrote none
        except (ValueError, KeyError, TypeError) as exc:
            wrong = f"{path} is not the state of an export ({exc})"
            raise ExportError(f"{wrong}: remove the folder and export it anew") from exc


def _part(norder: int, npix: int, digest: str, files: list[list[int]] | None, margin: list[list[int]]) -> Part:
    held = None if files is None else tuple(File(*one) for one in files)
    return Part(Pixel(norder, npix), digest, held, tuple(File(*one) for one in margin))


def made_by(schema: pa.Schema) -> str:
    """Return what else determines the bytes besides the rows: versions, and the columns with their metadata."""
    fields = [(f.name, str(f.type), sorted((f.metadata or {}).items())) for f in schema]
    digest = hashlib.blake2b(repr(fields).encode(), digest_size=8).hexdigest()
    return f"ztfdb {__version__}, pyarrow {pa.__version__}, columns {digest}, encoding {ENCODING}"


def read_state(place: Place) -> Generation | None:
    """Return the published generation, None if there is none."""
    text = place.read(STATE)
    return None if text is None else Generation.from_json(text, f"{place}/{STATE}")


def write_state(place: Place, generation: Generation) -> None:
    """Record the published generation."""
    place.write(STATE, generation.to_json())


class Journal:
    """The plan of an unfinished generation, and its finished tasks.

    Parameters
    ----------
    place : Place
        Folder ``work_gN``.
    plan : Generation
        If the folder has another plan, it must be emptied first.
    """

    def __init__(self, place: Place, plan: Generation) -> None:
        self.place = place
        self.done: dict[tuple[str, int], Done] = {}
        if holds_plan(place, plan):
            self._read()
        else:
            place.write("plan.json", plan.to_json())

    @property
    def spill(self) -> Place:
        """Folder for spilled rows of margins."""
        return self.place.below("spill")

    def add(self, done: Done) -> None:
        """Record that a task's file is complete."""
        self.done[done.stage, done.number] = done
        self.place.write(f"finished/{done.stage}_{done.number}.json", json.dumps(vars(done)).encode())

    def _read(self) -> None:
        for path in self.place.files("finished"):
            text = self.place.read(path)
            if text is not None and path.endswith(".json"):
                done = Done(**json.loads(text))
                self.done[done.stage, done.number] = done


def holds_plan(place: Place, plan: Generation) -> bool:
    """Return whether a work folder has the same plan."""
    text = place.read("plan.json")
    try:
        return text is not None and Generation.from_json(text, f"{place}/plan.json") == plan
    except ExportError:
        return False


def completed(plan: Generation, journal: Journal, old: Generation | None) -> Generation:
    """Return the generation with its written files.

    Parameters
    ----------
    plan : Generation
    journal : Journal
    old : Generation or None
        The previous generation, whose files may have stayed.
    """
    held = {part.pixel: part for part in old.parts} if old is not None else {}
    parts = []
    for number, part in enumerate(plan.parts):
        before = held.get(part.pixel, part)
        done, margin = journal.done.get(("partition", number)), journal.done.get(("margin", number))
        if part.files is None:
            assert done is not None
            part = replace(part, files=done.files(plan.number, before.files or ()))
        if margin is not None:
            part = replace(part, margin=margin.files(plan.number, before.margin))
        elif before.pixel == part.pixel:
            part = replace(part, margin=before.margin)
        parts.append(part)
    return replace(plan, parts=tuple(parts))
