"""Answers of queries: columns and the options of the query, made into a DataFrame or a table on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ztfdb.query.columns import Column, Texts
from ztfdb.query.request import LightCurveRequest
from ztfdb.texts import counted

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table
    from matplotlib.axes import Axes

IRSA_COLUMNS = (
    "oid", "expid", "hjd", "mjd", "mag", "magerr", "catflags", "filtercode", "ra", "dec", "chi", "sharp", "filefracday",
    "field", "ccdid", "qid", "limitmag", "magzp", "magzprms", "clrcoeff", "clrcounc", "exptime", "airmass", "programid",
)  # fmt: skip
"""IRSA's columns of a light curve, in IRSA's order; they come first."""

OUR_COLUMNS = (
    "kind", "flux_ujy", "flux_ujy_err", "snr", "magerr_sys", "aperture", "calibration", "color", "mask_bits", "flags",
    "separation", "n_within", "image_id", "source_id", "mjd_mid", "good", "simulated",
)  # fmt: skip
"""Our columns of a light curve; they follow IRSA's."""

COLUMNS = (*IRSA_COLUMNS, *OUR_COLUMNS)

FOUND_COLUMNS = ("p_detect", "limit50", "limit90")
"""Probability that an epoch's star was found, and the limits at its position; from artificial stars, only in complete
light curves."""

COMPLETE_COLUMNS = (
    *COLUMNS[: COLUMNS.index("kind") + 1], "reason", "flux_ujy", "flux_ujy_err", "snr", "upper_limit_mag",
    "upper_limit_nsigma", *COLUMNS[COLUMNS.index("snr") + 1 :], "blended", "contaminated", "x", "y",
    *FOUND_COLUMNS,
)  # fmt: skip
"""Columns of a complete light curve: those of every light curve, and the labels of its epochs."""

PSF_COLUMNS = (*COLUMNS, "phot")
"""Columns of a light curve with ZTF's photometry."""


def column_names(request: LightCurveRequest, *, labelled: bool) -> tuple[str, ...]:
    """Return the columns of the light curve of one position; `labelled` adds those of a complete one."""
    names = COMPLETE_COLUMNS if labelled else COLUMNS
    names += ("bjd_tdb",) if request.bjd else ()
    return (*names, "phot") if request.phot != "aperture" else names


class Answer:
    """Equal-length columns, and the options of the query.

    Parameters
    ----------
    arrays : mapping of str to Column
        See `ztfdb.query.columns`.
    meta : mapping
        The options of the query, and what was done for it.
    """

    def __init__(self, arrays: Mapping[str, Column], meta: Mapping[str, Any]) -> None:
        self.arrays = dict(arrays)
        self._meta = dict(meta)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(self.arrays)

    def only(self, names: Sequence[str]) -> Answer:
        """Return some columns, in this order."""
        return Answer({name: self.arrays[name] for name in names}, self._meta)

    @cached_property
    def data(self) -> pd.DataFrame:
        """The rows as a DataFrame, made on first access; ``attrs`` holds the options of the query."""
        from ztfdb.query.dataframes import data_frame  # imports pandas

        return data_frame(self.arrays, self._meta)

    @property
    def meta(self) -> dict[str, Any]:
        """The options of the query: position, radius, aperture, colour and cuts."""
        return dict(self._meta)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a DataFrame; ``attrs`` holds the options of the query."""
        return self.data


def answer_of(records: Sequence[Mapping[str, Any]]) -> Answer:
    """Return rows of plain values as columns.

    All integers give int64, numbers with fractions or missing values float64, anything else `Texts`.
    """
    return (
        Answer({name: _column([one[name] for one in records]) for name in records[0]}, {})
        if records
        else Answer({}, {})
    )


def _column(values: list[Any]) -> Column:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {int} and None not in values:
        return np.array(values, np.int64)
    if kinds and kinds <= {int, float}:
        return np.array([np.nan if value is None else value for value in values], np.float64)
    return Texts(np.array(values, object))


class LightCurve(Answer):
    """The epochs of one position.

    Indexing, ``len`` and ``columns`` are those of its DataFrame, ``data``.
    """

    def __getitem__(self, key: Any) -> Any:
        return self.data[key]

    def __repr__(self) -> str:
        meta = self._meta
        words = f"LightCurve of ({meta['ra']:.6f}, {meta['dec']:+.6f}) deg within {meta['radius']:g} arcsec"
        return f"<{words}: {counted(len(self), 'epoch')}>\n{self.data!r}"

    def _repr_html_(self) -> str:
        return self.data.to_html(max_rows=20, max_cols=30)

    @property
    def columns(self) -> pd.Index[str]:
        """The columns' names."""
        return self.data.columns

    def to_table(self) -> Table:
        """Return an astropy table with units, descriptions and UCDs; ``meta`` holds the options of the query."""
        from ztfdb.query.dataframes import astropy_table  # imports pandas

        return astropy_table(self.data, self.meta, "light_curve")

    def plot(self, ax: Axes | None = None, *, stamps: Sequence[Any] | None = None, **options: Any) -> Axes:
        """Draw the light curve; see `ztfdb.plot.draw_light_curve`.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; default a new figure.
        stamps : sequence of ImageStamp, optional
            Stamps of the same position (`Archive.stamps`), for a strip below, on a new figure.
        **options
            For `ztfdb.plot.draw_light_curve`, or `ztfdb.plot.draw_light_curve_with_stamps`.

        Raises
        ------
        MissingExtraError
            If matplotlib is not installed.
        ValueError
            If both Axes and stamps are given.
        """
        from ztfdb.plot import draw_light_curve, draw_light_curve_with_stamps  # drawing is an extra

        if stamps is None:
            return draw_light_curve(self.data, ax, **options)
        if ax is not None:
            raise ValueError("a light curve with stamps is a figure of its own: give no Axes")
        return draw_light_curve_with_stamps(self.data, stamps, **options).axes[0]
