"""Read the PS1 calibrator files of ``ztfimg`` in their layouts.

The files themselves are private to their authors, but users may write tables with the same layout.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd

from ztfdb.errors import CatalogueFileError, MissingExtraError


def read_ps1_calibrators(field: int, rcid: int, band: str, root: str | Path | None = None) -> pd.DataFrame:
    """Read the calibrators of one field and readout channel.

    Files are searched below ``root/calibrator/``: ``PS1cal_v2_rc{rcid:02d}.hdf5`` (one record array per field, named
    ``FieldID_{field:06d}``), the same under ``ps1/``, and ``ps1/{rcid:02d}/ps1_rc{rcid:02d}_{field:06d}.parquet``.

    Parameters
    ----------
    field, rcid : int
    band : str
        ``g``, ``r`` or ``i``: its ``{band}mag, e_{band}mag`` become ``mag, e_mag``.
    root : str or Path, optional
        Default ``$ZTFDATA``.

    Returns
    -------
    DataFrame
        The file's columns (``ra, dec`` deg; ``gmag, e_gmag, …`` AB mag) and ``mag, e_mag``. Integers stay integers.

    Raises
    ------
    CatalogueFileError
        If no root is known, no file is found, or it lacks the field or a column.
    MissingExtraError
        If h5py (extra ``hdf5``) or pyarrow (extra ``parquet``) is needed and not installed.
    """
    given = root if root is not None else os.environ.get("ZTFDATA")
    if not given:
        raise CatalogueFileError("PS1 calibrators", "give their root folder, or set ZTFDATA")
    folder = Path(given) / "calibrator"
    tables = [folder / f"PS1cal_v2_rc{rcid:02d}.hdf5", folder / "ps1" / f"PS1cal_v2_rc{rcid:02d}.hdf5"]
    parquet = folder / "ps1" / f"{rcid:02d}" / f"ps1_rc{rcid:02d}_{field:06d}.parquet"
    for path in tables:
        if path.exists():
            table = _read_hdf5(path, f"FieldID_{field:06d}")
            break
    else:
        path = parquet
        if not path.exists():
            raise CatalogueFileError(folder, f"no {tables[0].name} and no {parquet.name} there")
        table = _read_parquet(path)
    wanted = ("ra", "dec", f"{band}mag", f"e_{band}mag")
    missing = [name for name in wanted if name not in table]
    if missing:
        raise CatalogueFileError(path, f"the table has no column {', '.join(missing)}")
    return table.assign(mag=table[wanted[2]], e_mag=table[wanted[3]])


def _read_hdf5(path: Path, key: str) -> pd.DataFrame:
    try:
        import h5py
    except ImportError as exc:
        raise MissingExtraError("reading PS1 calibrators from HDF5", "hdf5") from exc
    try:
        with h5py.File(path, "r") as file:
            if key not in file:
                raise CatalogueFileError(path, f"there is no dataset {key}")
            records = file[key][()]
    except OSError as exc:
        raise CatalogueFileError(path, f"it is not a readable HDF5 file: {exc}") from exc
    if not isinstance(records, np.ndarray) or records.dtype.names is None:
        raise CatalogueFileError(path, f"{key} is no table of named columns")
    # convert each column: fields of a record array may be big-endian, which pandas refuses
    native = {n: records[n].astype(records[n].dtype.newbyteorder("="), copy=False) for n in records.dtype.names}
    return pd.DataFrame(native)


def _read_parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except ImportError as exc:
        raise MissingExtraError("reading PS1 calibrators from Parquet", "parquet") from exc
    except Exception as exc:
        raise CatalogueFileError(path, f"it is not a readable Parquet file: {exc}") from exc
