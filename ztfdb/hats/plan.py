"""What an export will do, what it has done, and what the last one left: three small JSON files beside the catalogues.

``export.json`` describes the generation that readers see. While a generation is made, ``work_gN`` holds its plan and a
journal with one line per file that is whole. A run that was killed is taken up by the next one with the same plan.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from ztfdb import __version__
from ztfdb.errors import ExportError
from ztfdb.hats.files import write_atomically
from ztfdb.hats.parquet import ENCODING
from ztfdb.hats.tasks import Done
from ztfdb.hats.tiling import Pixel

STATE = "export.json"
FORMAT = 1


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
    """

    threshold: int
    margin: float
    calibration: str
    level: int


@dataclass(frozen=True)
class Part:
    """A partition, what it is made of and what was written.

    Attributes
    ----------
    pixel : Pixel
    digest : str
        Changes when anything in it may have.
    n_row, size : int
        -1 until it is written.
    margin_rows, margin_size : int
        Of its margin.
    """

    pixel: Pixel
    digest: str
    n_row: int = -1
    size: int = -1
    margin_rows: int = 0
    margin_size: int = 0


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

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        parts = [[*p.pixel, p.digest, p.n_row, p.size, p.margin_rows, p.margin_size] for p in self.parts]
        return {
            "format": FORMAT,
            "generation": self.number,
            "settings": vars(self.settings),
            "made_by": self.made_by,
            "partitions": parts,
        }

    @classmethod
    def from_json(cls, path: Path) -> Generation:
        """Read one.

        Raises
        ------
        ExportError
            If the file is not one of ours.
        """
        try:
            values = json.loads(path.read_text())
            if values["format"] != FORMAT:
                raise ExportError(f"{path} has format {values['format']}; this version of ztfdb reads {FORMAT}")
            parts = tuple(Part(Pixel(*row[:2]), *row[2:]) for row in values["partitions"])
            return cls(values["generation"], Settings(**values["settings"]), values["made_by"], parts)
        except (ValueError, KeyError, TypeError) as exc:
            raise ExportError(f"{path} is not the state of an export: {exc}") from exc


def made_by(schema: pa.Schema) -> str:
    """Return what decides the bytes beside the rows: versions, and the columns with their metadata."""
    fields = [(f.name, str(f.type), sorted((f.metadata or {}).items())) for f in schema]
    digest = hashlib.blake2b(repr(fields).encode(), digest_size=8).hexdigest()
    return f"ztfdb {__version__}, pyarrow {pa.__version__}, columns {digest}, encoding {ENCODING}"


def read_state(folder: Path) -> Generation | None:
    """Return the generation that readers see, None where there is none."""
    path = folder / STATE
    return Generation.from_json(path) if path.exists() else None


def write_state(folder: Path, generation: Generation) -> None:
    """Say which generation readers see."""
    write_atomically(folder / STATE, json.dumps(generation.to_json(), separators=(",", ":")).encode())


class Journal:
    """The plan of a generation in the making, and which of its files are whole.

    Parameters
    ----------
    folder : Path
        ``work_gN``.
    plan : Generation
    """

    def __init__(self, folder: Path, plan: Generation) -> None:
        self.folder = folder
        self.resumed = self._same(plan)
        self.done: dict[tuple[str, int], Done] = {}
        if self.resumed:
            self._read()
        else:
            write_atomically(folder / "plan.json", json.dumps(plan.to_json()).encode())
        self._file = (folder / "journal.jsonl").open("a", encoding="ascii")

    @property
    def spill(self) -> Path:
        """Where the rows of margins wait."""
        return self.folder / "spill"

    def add(self, done: Done) -> None:
        """Note that a task's file is whole."""
        self.done[done.stage, done.place] = done
        self._file.write(json.dumps(vars(done)) + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _same(self, plan: Generation) -> bool:
        return holds_plan(self.folder, plan)

    def _read(self) -> None:
        path = self.folder / "journal.jsonl"
        if not path.exists():
            return
        whole = path.read_text().rpartition("\n")[0]  # a last line without its end was cut off
        path.write_text(f"{whole}\n" if whole else "")
        for line in whole.splitlines():
            done = Done(**json.loads(line))
            self.done[done.stage, done.place] = done


def holds_plan(folder: Path, plan: Generation) -> bool:
    """Tell whether a folder of work is of the same plan."""
    path = folder / "plan.json"
    try:
        return path.exists() and Generation.from_json(path) == plan
    except ExportError:
        return False


def completed(plan: Generation, journal: Journal) -> Generation:
    """Return the generation with what was written."""
    parts = []
    for place, part in enumerate(plan.parts):
        done, margin = journal.done.get(("partition", place)), journal.done.get(("margin", place))
        if done is not None:
            part = replace(part, n_row=done.n_row, size=done.size)
        if margin is not None:
            part = replace(part, margin_rows=margin.n_row, margin_size=margin.size)
        parts.append(part)
    return replace(plan, parts=tuple(parts))
