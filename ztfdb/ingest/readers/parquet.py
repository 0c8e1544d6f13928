"""Parquet, batch by batch (extra ``parquet``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ztfdb.errors import CatalogueFileError, MissingExtraError
from ztfdb.surveys.blocks import ROWS, Block, Wanted, converted, sequence_rows


class ParquetReader:
    """A Parquet file."""

    format = "parquet"
    units: Mapping[str, str] = MappingProxyType({})

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow
            from pyarrow import parquet
        except ImportError as exc:
            raise MissingExtraError("reading Parquet", "parquet") from exc
        try:
            self._file = parquet.ParquetFile(path)
        except (pyarrow.ArrowException, OSError) as exc:
            raise CatalogueFileError(path, f"is no Parquet file that can be read: {exc}") from exc
        self.names = tuple(self._file.schema_arrow.names)

    @property
    def n_byte(self) -> int:
        """Bytes of its values in memory, where repeated values take eight bytes each, in the file next to none."""
        facts = self._file.metadata
        stored = sum(facts.row_group(k).total_byte_size for k in range(facts.num_row_groups))
        return max(int(stored), 8 * int(facts.num_rows) * int(facts.num_columns))

    def blocks(self, wanted: Wanted) -> Iterator[Block]:
        """Yield the rows; see `ztfdb.surveys.blocks.TableReader`."""
        first = 1
        for batch in self._file.iter_batches(ROWS, columns=list(wanted)):
            given = {name: arrow_values(batch.column(name)) for name in wanted}
            yield converted(sequence_rows(first, batch.num_rows), given, wanted)
            first += batch.num_rows


def arrow_values(column: Any) -> tuple[Any, Any]:
    """Return an Arrow array as numpy values and the mask of its nulls, None without any; integers stay integers."""
    import pyarrow as pa

    if not column.null_count:
        return column.to_numpy(zero_copy_only=False), None
    missing = np.asarray(column.is_null().to_numpy(zero_copy_only=False), dtype=bool)
    if pa.types.is_integer(column.type):
        column = column.fill_null(0)
    return column.to_numpy(zero_copy_only=False), missing
