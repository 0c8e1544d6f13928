"""What an export will do, what it has done, and what the last one left: small JSON files beside the catalogues.

``export.json`` describes the generation that readers see. While a generation is made, ``work_gN`` holds its plan and a
note of every task that is done. A run that was killed is taken up by the next one with the same plan.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

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
    """How a catalogue is made; an update keeps what the export was made with.

    Attributes
    ----------
    threshold : int
        Rows (epochs of objects) in a partition at most.
    margin : float
        Width of the margin, arcsec; 0 for none.
    calibration : str
        Whose zero points magnitudes have.
    level : int
        zstd.
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
    """A partition, what it is made of and what was written.

    Attributes
    ----------
    pixel : Pixel
    digest : str
        Changes when anything in it may have.
    files : tuple of File or None
        Oldest first; None until they are written.
    margin : tuple of File
        Of its margin.
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
        Versions and columns that decide the bytes.
    parts : tuple of Part
        By their place on the sky.
    """

    number: int
    settings: Settings
    made_by: str
    parts: tuple[Part, ...]

    def to_json(self) -> bytes:
        """Return it as a file."""
        values = {
            "format": FORMAT,
            "generation": self.number,
            "settings": vars(self.settings),
            "made_by": self.made_by,
            "partitions": [[*p.pixel, p.digest, p.files, p.margin] for p in self.parts],
        }
        return json.dumps(values, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes, path: str) -> Generation:
        """Read one.

        Raises
        ------
        ExportError
            If the file, at `path`, is not one of ours.
        """
        try:
            values = json.loads(text)
            if values["format"] != FORMAT:
                wrong = f"{path} has format {values['format']}; this version of ztfdb reads {FORMAT}"
                raise ExportError(f"{wrong}: remove the folder and export it anew")
            parts = tuple(_part(*row) for row in values["partitions"])
            settings = Settings(**values["settings"])
            return cls(values["generation"], settings, values["made_by"], parts)
        except (ValueError, KeyError, TypeError) as exc:
            raise ExportError(f"{path} is not the state of an export: {exc}") from exc


def _part(norder: int, npix: int, digest: str, files: list[list[int]] | None, margin: list[list[int]]) -> Part:
    held = None if files is None else tuple(File(*one) for one in files)
    return Part(Pixel(norder, npix), digest, held, tuple(File(*one) for one in margin))


def made_by(schema: pa.Schema) -> str:
    """Return what decides the bytes beside the rows: versions, and the columns with their metadata."""
    fields = [(f.name, str(f.type), sorted((f.metadata or {}).items())) for f in schema]
    digest = hashlib.blake2b(repr(fields).encode(), digest_size=8).hexdigest()
    return f"ztfdb {__version__}, pyarrow {pa.__version__}, columns {digest}, encoding {ENCODING}"


def read_state(place: Place) -> Generation | None:
    """Return the generation that readers see, None where there is none."""
    text = place.read(STATE)
    return None if text is None else Generation.from_json(text, f"{place}/{STATE}")


def write_state(place: Place, generation: Generation) -> None:
    """Say which generation readers see."""
    place.write(STATE, generation.to_json())


class Journal:
    """The plan of a generation in the making, and which of its tasks are done.

    Parameters
    ----------
    place : Place
        Folder ``work_gN``.
    plan : Generation
        Where the folder holds another one, it must be empty.
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
        """Where the rows of margins wait."""
        return self.place.below("spill")

    def add(self, done: Done) -> None:
        """Note that a task's file is whole."""
        self.done[done.stage, done.number] = done
        self.place.write(f"done/{done.stage}_{done.number}.json", json.dumps(vars(done)).encode())

    def _read(self) -> None:
        for path in self.place.files("done"):
            text = self.place.read(path)
            if text is not None and path.endswith(".json"):
                done = Done(**json.loads(text))
                self.done[done.stage, done.number] = done


def holds_plan(place: Place, plan: Generation) -> bool:
    """Tell whether a folder of work is of the same plan."""
    text = place.read("plan.json")
    try:
        return text is not None and Generation.from_json(text, f"{place}/plan.json") == plan
    except ExportError:
        return False


def completed(plan: Generation, journal: Journal, old: Generation | None) -> Generation:
    """Return the generation with what was written.

    Parameters
    ----------
    plan : Generation
    journal : Journal
    old : Generation or None
        The one before, whose files may have stayed.
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
