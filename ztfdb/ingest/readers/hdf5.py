"""The PS1 calibrator files: HDF5, one dataset of records per field (extra ``hdf5``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ztfdb.errors import CatalogueFileError, MissingExtraError
from ztfdb.surveys.blocks import ROWS, Block, Wanted, converted, sequence_rows


class Hdf5Reader:
    """All datasets of records that share the first one's columns, one after the other."""

    format = "hdf5"
    units: Mapping[str, str] = MappingProxyType({})

    def __init__(self, path: Path) -> None:
        try:
            import h5py
        except ImportError as exc:
            raise MissingExtraError("reading HDF5", "hdf5") from exc
        self._path = path
        found: dict[str, tuple[str, ...]] = {}

        def look(name: str, item: Any) -> None:
            if isinstance(item, h5py.Dataset) and item.dtype.names and item.ndim == 1:
                found[name] = item.dtype.names

        try:
            with h5py.File(path, "r") as file:
                file.visititems(look)
        except OSError as exc:
            raise CatalogueFileError(path, f"is no HDF5 file that can be read: {exc}") from exc
        if not found:
            raise CatalogueFileError(path, "is HDF5, but holds no dataset of records (FieldID_…)")
        self._keys = sorted(found)
        self.names = found[self._keys[0]]
        odd = [key for key in self._keys if set(found[key]) != set(self.names)]
        if odd:
            raise CatalogueFileError(path, f"its datasets {self._keys[0]} and {odd[0]} have different columns")

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield the rows; see `ztfdb.surveys.blocks.TableReader`."""
        import h5py

        first = 1
        with h5py.File(self._path, "r") as file:
            for key in self._keys:
                dataset = file[key]
                for start in range(0, len(dataset), ROWS):
                    rows = dataset[start : start + ROWS]
                    given = {name: (rows[name].astype(rows[name].dtype.newbyteorder("=")), None) for name in wanted}
                    yield converted(sequence_rows(first, len(rows)), given, wanted)
                    first += len(rows)
