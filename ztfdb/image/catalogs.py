"""Catalogues of an image and the matches between them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from ztfdb.arrays import FloatArray
from ztfdb.records import Match
from ztfdb.sky.match import match_all, match_mutual, match_nearest

DEFAULT_SEPLIMIT = 1.0
"""Largest separation of a match, arcsec."""

METHODS = ("nearest", "mutual", "all")


class CatalogCollection:
    """Tables by label, matched on the sky.

    A table needs columns ``ra`` and ``dec`` (deg, ICRS) for a match. Tables are copied on input and output, so the
    caller's frames are never changed.
    """

    def __init__(self) -> None:
        self._catalogs: dict[str, pd.DataFrame] = {}
        self._matches: dict[tuple[str, str, float, str], Match] = {}

    @property
    def labels(self) -> list[str]:
        """Labels of the tables, in the order of their addition."""
        return list(self._catalogs)

    @property
    def catalogs(self) -> dict[str, pd.DataFrame]:
        """The tables by label (copies)."""
        return {label: table.copy() for label, table in self._catalogs.items()}

    def __contains__(self, label: object) -> bool:
        return label in self._catalogs

    def __len__(self) -> int:
        return len(self._catalogs)

    def set_catalog(self, table: pd.DataFrame, label: str) -> None:
        """Store a copy of a table under a label; cached matches with an earlier table of this label are dropped."""
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"a catalogue is a pandas DataFrame, not {type(table).__name__}")
        self._catalogs[label] = table.copy()
        self._matches = {key: match for key, match in self._matches.items() if label not in key[:2]}

    def get_catalog(self, label: str) -> pd.DataFrame:
        """Return a copy of a table.

        Raises
        ------
        ValueError
            If there is no table with this label.
        """
        return self._table(label).copy()

    def match(
        self, catin: str, catref: str, seplimit: float = DEFAULT_SEPLIMIT, method: str = "nearest"
    ) -> pd.DataFrame:
        """Match two tables on the sky.

        Parameters
        ----------
        catin, catref : str
            Labels.
        seplimit : float
            Largest separation, arcsec.
        method : str
            ``"nearest"`` (default): each row of `catref` with its nearest row of `catin`, so a row of `catin` may occur
            twice. ``"mutual"``: pairs that are each other's nearest. ``"all"``: every pair, as the original returned.

        Returns
        -------
        DataFrame
            ``{catref}_index``, ``{catin}_index`` (the tables' own index labels) and ``angsep_arcsec``, in the order of
            `catref`; empty, with its columns, if nothing matches.

        Raises
        ------
        ValueError
            If a label, the method or a separation is invalid, or a table lacks ``ra``, ``dec``.
        """
        pairs = self._pairs(catin, catref, seplimit, method)
        columns = {
            f"{catref}_index": self._table(catref).index[pairs.index1],
            f"{catin}_index": self._table(catin).index[pairs.index2],
            "angsep_arcsec": pairs.separation,
        }
        return pd.DataFrame(columns)

    def get_matched_entries(
        self,
        keys: Sequence[str],
        catin: str,
        catref: str,
        seplimit: float = DEFAULT_SEPLIMIT,
        method: str = "nearest",
    ) -> pd.DataFrame:
        """Return columns of two matched tables side by side.

        Parameters
        ----------
        keys : sequence of str
            Columns that both tables have.
        catin, catref : str
            Labels.
        seplimit, method
            As for `match`.

        Returns
        -------
        DataFrame
            ``{catref}_index``, ``{catin}_index``, ``angsep_arcsec``, then for each key ``{catref}_{key}`` and
            ``{catin}_{key}``, rows in the order of `catref`. Columns keep their type: 64-bit ids stay integers (the
            original cast everything to float).

        Raises
        ------
        ValueError
            As for `match`, and if a table lacks a key.
        """
        keys = [keys] if isinstance(keys, str) else list(keys)
        tables = {label: self._table(label) for label in (catref, catin)}
        for label, table in tables.items():
            missing = [key for key in keys if key not in table]
            if missing:
                raise ValueError(f"catalogue {label!r} has no column {', '.join(missing)}")
        pairs = self._pairs(catin, catref, seplimit, method)
        entries = self.match(catin, catref, seplimit, method)
        for key in keys:
            entries[f"{catref}_{key}"] = tables[catref][key].to_numpy()[pairs.index1]
            entries[f"{catin}_{key}"] = tables[catin][key].to_numpy()[pairs.index2]
        return entries

    def get_matched_index(
        self, index: object, catin: str, catref: str, seplimit: float = DEFAULT_SEPLIMIT
    ) -> pd.Series:
        """Return the rows of `catref` that match given rows of `catin`.

        Parameters
        ----------
        index : label or sequence of labels
            Index labels of `catin`.
        catin, catref : str
            Labels of the tables.
        seplimit : float
            Largest separation, arcsec.

        Returns
        -------
        Series
            Index label of the nearest row of `catref`, by index label of `catin`; ``<NA>`` if there is none.

        Raises
        ------
        ValueError
            If an index label is not in `catin`, or as for `match`.
        """
        labels = list(index) if isinstance(index, Iterable) and not isinstance(index, str) else [index]
        table = self._table(catin)
        unknown = [label for label in labels if label not in table.index]
        if unknown:
            raise ValueError(f"catalogue {catin!r} has no row {unknown[0]!r}")
        # swapped roles: each row of catin with its nearest row of catref
        pairs = self._pairs(catref, catin, seplimit, "nearest")
        found = pd.Series(
            self._table(catref).index.to_numpy()[pairs.index2], index=table.index[pairs.index1], name=f"{catref}_index"
        )
        if pd.api.types.is_integer_dtype(found.dtype):
            found = found.astype("Int64")
        return found.reindex(labels)

    def get_isolated(self, catalog: str, isolation: float = 20.0) -> pd.DataFrame:
        """Return the rows without another row of the same table within `isolation` arcsec."""
        table = self._table(catalog)
        ra, dec = self._position(catalog)
        pairs = match_all(ra, dec, ra, dec, isolation)
        others = np.bincount(pairs.index1, minlength=len(table))
        isolated: pd.DataFrame = table[others == 1].copy()
        return isolated

    def _pairs(self, catin: str, catref: str, seplimit: float, method: str) -> Match:
        """Return the cached pairs (row of catref, row of catin)."""
        if method not in METHODS:
            raise ValueError(f"matching method {method!r} is none of {', '.join(METHODS)}")
        key = (catin, catref, float(seplimit), method)
        if key not in self._matches:
            run = {"nearest": match_nearest, "mutual": match_mutual, "all": match_all}[method]
            self._matches[key] = run(*self._position(catref), *self._position(catin), float(seplimit))
        return self._matches[key]

    def _position(self, label: str) -> tuple[FloatArray, FloatArray]:
        table = self._table(label)
        missing = [name for name in ("ra", "dec") if name not in table]
        if missing:
            raise ValueError(f"catalogue {label!r} has no column {', '.join(missing)}")
        return table["ra"].to_numpy(dtype=float), table["dec"].to_numpy(dtype=float)

    def _table(self, label: str) -> pd.DataFrame:
        if label not in self._catalogs:
            known = ", ".join(self._catalogs) or "none"
            raise ValueError(f"no catalogue {label!r}; there is: {known}")
        return self._catalogs[label]
