"""The light curve of a position, and of ten thousand positions in one call."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.arrays import Columns
from ztfdb.errors import QueryError
from ztfdb.query.choice import Choice, Moment, choice
from ztfdb.query.cone import check_radius
from ztfdb.query.epochs import IRSA_COLUMNS, Positions, epochs
from ztfdb.query.frames import astropy_table, data_frame, stacked
from ztfdb.query.positions import Color, chunk, position_of, positions_of
from ztfdb.sky.angles import separation
from ztfdb.sky.cells import cone_ranges
from ztfdb.store.backends import backend
from ztfdb.store.lookup import light_curve_sources

if TYPE_CHECKING:
    from astropy.table import Table
    from matplotlib.axes import Axes

MAX_RADIUS = 600.0
"""Largest radius of a light curve, arcsec, as at IRSA: beyond, "the nearest" means little."""

POSITIONS_PER_CHUNK = 1_000
"""Positions answered at a time: some 300,000 epochs, 100 MB of columns."""

MOST_EPOCHS = 20_000_000
"""Most epochs in one answer: 8 GB as a DataFrame."""

Reader = Callable[..., Columns]
"""Reads rows inside ranges of cells, ``lo`` and ``hi``, and perhaps ``k``, the position of each."""

OUR_COLUMNS = (
    "kind", "flux_ujy", "flux_ujy_err", "snr", "magerr_sys", "aperture", "calibration", "color", "mask_bits", "flags",
    "separation", "n_within", "image_id", "source_id", "mjd_mid", "good", "simulated",
)  # fmt: skip
"""Our columns of a light curve; they follow IRSA's."""

COLUMNS = (*IRSA_COLUMNS, *OUR_COLUMNS)


@dataclass(frozen=True, repr=False)
class LightCurve:
    """The epochs of one position, as a small record around a DataFrame.

    Indexing, ``len`` and ``columns`` are the DataFrame's.

    Attributes
    ----------
    data : DataFrame
        The epochs; see `light_curve`.
    """

    data: pd.DataFrame

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: Any) -> Any:
        return self.data[key]

    def __repr__(self) -> str:
        asked = self.data.attrs
        words = f"LightCurve of ({asked['ra']:.6f}, {asked['dec']:+.6f}) deg within {asked['radius']:g} arcsec"
        return f"<{words}: {len(self)} epochs>\n{self.data!r}"

    def _repr_html_(self) -> str:
        return self.data.to_html(max_rows=20, max_cols=30)

    @property
    def columns(self) -> pd.Index[str]:
        """The columns' names."""
        return self.data.columns

    @property
    def meta(self) -> dict[str, Any]:
        """What was asked for: position, radius, aperture, colour and cuts."""
        return {str(key): value for key, value in self.data.attrs.items()}

    def to_pandas(self) -> pd.DataFrame:
        """Return the epochs as a DataFrame; ``attrs`` holds what was asked for."""
        return self.data

    def to_table(self) -> Table:
        """Return an astropy table with units, descriptions and UCDs; ``meta`` holds what was asked for."""
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


def light_curve(
    session: Session,
    ra: float,
    dec: float,
    radius: float = 1.5,
    *,
    aperture: int = 4,
    color: float | None = None,
    good: bool = False,
    filters: Iterable[str | int] | str | int | None = None,
    mjd: tuple[Moment, Moment] | None = None,
    fields: Iterable[int] | int | None = None,
    all_versions: bool = False,
    calibration: str = "header",
) -> LightCurve:
    """Return the light curve of a position: on each image the nearest source within a radius.

    Parameters
    ----------
    session : Session
        A transaction of its own is best: on PostgreSQL the planner is told to answer from the index alone.
    ra, dec : float
        Position, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_RADIUS`.
    aperture : int
        1 to 6, of the diameters 2, 3, 4, 6, 10, 14 px. The fourth is answered from the index alone.
    color : float, optional
        PS1 colour of the star, mag (the one header PCOLOR names: g − r for g and r, r − i for i). Adds
        CLRCOEFF · color to the magnitudes; by default there is no colour term.
    good : bool
        Keep only epochs without known trouble: infobits < 2^25, no bad mask bit in the 6 px aperture, aperture not
        truncated. Where an image has no mask, or no infobits, nothing is known against it.
    filters : str, int or iterable of them, optional
        ``zg``, ``zr``, ``zi`` (or g, r, i; ZTF_g, ZTF_r, ZTF_i; 1, 2, 3).
    mjd : tuple of float, str, date or Time, optional
        ``(first, last)``: exposures that start in ``first <= mjd < last``; None leaves an end open. Each is an MJD, an
        ISO date or another form of `ztfdb.sky.dates.mjd_of`, which refuses times outside ZTF's years.
    fields : int or iterable of int, optional
        ZTF fields.
    all_versions : bool
        Keep every image. By default an exposure × quadrant gives one epoch: from the whole quadrant before a cutout
        of it, then from the newest processing.
    calibration : str
        ``header`` (MAGZP + APCOR, CLRCOEFF), ``ps1`` (fitted to stars of PS1: `ztfdb.derive.calibrate`) or ``self``
        (by the stars that images share, with gradients over the quadrant: `ztfdb.derive.selfcal`; ``magerr_sys`` is
        then the floor of the image and the error of its zero point).

    Returns
    -------
    LightCurve
        Ordered by (mjd, image_id); references are never epochs; an empty one has all columns. IRSA's 24 columns come
        first, in IRSA's order and units:

        ``oid`` is negative: minus the number made of field, fid, ccdid (2 digits), qid and the 8 digits of
        `ztfdb.query.epochs.oid_digits`, so that it groups like IRSA's, one star per field, filter and quadrant, and
        is never mistaken for one. ``mjd`` is the start and ``hjd`` the middle of the exposure. ``mag`` (AB) and its
        error are NaN where the flux is not positive, or where ``calibration`` is ``none``: the header has no APCOR (or
        no CLRCOEFF, where a colour was given), or the image was not calibrated so. ``magerr`` holds the
        archive's systematic floor (``magerr_sys``) in quadrature. ``catflags`` is ``mask_bits``, plus 32768 on an
        unusable image; <NA> without a mask. ``limitmag`` is header MAGLIM. ``chi`` and ``sharp`` are NaN: nothing is
        fitted.

        Then `OUR_COLUMNS`: ``flux_ujy`` and its error (µJy, statistical only), ``snr``, ``flags``
        (`ztfdb.bits.SourceFlag`), ``separation`` (arcsec) from the position asked for, ``n_within``, the number of
        sources of that image within the radius, and the ids of image and source.

    Raises
    ------
    ValueError
        If a position, radius or option is not one.
    QueryError
        If the radius is beyond the maximum.
    """
    cuts = {"good": good, "filters": filters, "mjd": mjd, "fields": fields, "all_versions": all_versions}
    asked = choice(aperture=aperture, calibration=calibration, **cuts)  # type: ignore[arg-type]
    check_radius(radius, MAX_RADIUS)
    positions = position_of(ra, dec, color)
    ((_, _, rows),) = cone_rows(session, positions, radius)
    columns = epochs(session, rows, positions, asked)
    attrs = {"ra": float(positions.ra[0]), "dec": float(positions.dec[0]), "color": color}
    return LightCurve(_frame(columns, COLUMNS, attrs | light_curve_attrs(asked, radius)))


def light_curves(
    session: Session,
    positions: Any,
    radius: float = 1.5,
    *,
    color: Color = None,
    **options: Any,
) -> pd.DataFrame:
    """Return the light curves of many positions in one call.

    Parameters
    ----------
    session : Session
    positions : DataFrame, astropy Table, mapping, or array_like of shape (n, 2)
        Columns ``ra`` and ``dec``, deg, ICRS.
    radius : float
        arcsec, 0 to `MAX_RADIUS`.
    color : float, array_like of shape (n,), str, optional
        PS1 colour of each star, mag; a string names a column of `positions`.
    **options
        The other options of `light_curve`.

    Returns
    -------
    DataFrame
        The columns of `light_curve`, with exactly its values, then ``position``: the row of `positions`, counted from
        0. Ordered by (position, mjd, image_id); a position without epochs has no rows.

    Raises
    ------
    ValueError, QueryError
        As `light_curve`, the message names the row; QueryError also for more than `MOST_EPOCHS` epochs.

    See Also
    --------
    iter_light_curves : The same in pieces, however many there are.
    """
    asked = choice(**options)
    check_radius(radius, MAX_RADIUS)
    wanted = positions_of(positions, color)
    parts, n_row, names = [], 0, (*COLUMNS, "position")
    with closing(cone_rows(session, wanted, radius)) as coming:  # its connection goes back also where we stop early
        for start, part, rows in coming:
            check_size(n_row := n_row + len(rows["k"]))
            columns = epochs(session, rows, part, asked)
            columns["position"] += start
            parts.append({name: columns[name] for name in names})
    return data_frame(stacked(parts, names), light_curve_attrs(asked, radius))


def check_size(n_epoch: int) -> None:
    """Raise QueryError where an answer grows beyond `MOST_EPOCHS`, long before it fills the memory."""
    if n_epoch > MOST_EPOCHS:
        raise QueryError(
            f"more than {MOST_EPOCHS:,} epochs in one answer: take them in pieces (iter_light_curves, or "
            "`ztfdb lightcurve TABLE -o FILE.csv`), or ask for fewer positions"
        )


def iter_light_curves(
    session: Session,
    positions: Any,
    radius: float = 1.5,
    *,
    color: Color = None,
    n_position: int | None = None,
    **options: Any,
) -> Iterator[pd.DataFrame]:
    """Yield the light curves of many positions, `n_position` at a time; otherwise as `light_curves`."""
    n_position = n_position or POSITIONS_PER_CHUNK
    asked = choice(**options)
    check_radius(radius, MAX_RADIUS)
    wanted = positions_of(positions, color)
    for start in _starts(wanted, n_position):
        part = chunk(wanted, start, start + n_position)
        columns = epochs(session, _read(session, light_curve_sources, part, radius), part, asked)
        columns["position"] += start
        yield _frame(columns, (*COLUMNS, "position"), light_curve_attrs(asked, radius))


def _starts(positions: Positions, n_position: int) -> range:
    return range(0, max(1, len(positions.ra)), n_position)


def cone_rows(
    session: Session, positions: Positions, radius: float, read: Reader = light_curve_sources
) -> Generator[tuple[int, Positions, Columns], None, None]:
    """Yield the rows around `POSITIONS_PER_CHUNK` positions at a time, with these and the place of the first.

    While one part is worked on, the database answers the next ones, each on a connection of its own.

    Parameters
    ----------
    session : Session
        Reads itself where one part is all.
    positions : Positions
    radius : float
        arcsec.
    read : callable
        `light_curve_sources`, or another of its kind.

    Yields
    ------
    start : int
    part : Positions
    rows : dict of ndarray
        Those inside the cones, with ``k``, the place in `part`, and ``separation`` (arcsec).
    """
    if len(positions.ra) <= POSITIONS_PER_CHUNK:
        yield 0, positions, _read(session, read, positions, radius)
        return
    n_reader = backend(session).concurrent_readers

    def answer(part: Positions) -> Columns:
        with Session(session.get_bind()) as own:
            return _read(own, read, part, radius)

    with ThreadPoolExecutor(n_reader, thread_name_prefix="light-curves") as readers:
        asked: deque[tuple[int, Positions, Future[Columns]]] = deque()
        for start in _starts(positions, POSITIONS_PER_CHUNK):
            part = chunk(positions, start, start + POSITIONS_PER_CHUNK)
            asked.append((start, part, readers.submit(answer, part)))
            if len(asked) > n_reader:
                first, before, rows = asked.popleft()
                yield first, before, rows.result()
        while asked:
            first, before, rows = asked.popleft()
            yield first, before, rows.result()


def _read(session: Session, read: Reader, positions: Positions, radius: float) -> Columns:
    """Return the rows inside cones, by the exact great circle, with ``k`` and ``separation``."""
    k, lo, hi = cone_ranges(positions.ra, positions.dec, radius)
    if len(positions.ra) == 1:
        rows = read(session, lo=lo, hi=hi)
        rows["k"] = np.zeros(len(rows["source_id"]), np.int32)
    else:
        rows = read(session, k=k, lo=lo, hi=hi)
    k = rows["k"]
    rows["separation"] = separation(positions.ra[k], positions.dec[k], rows["ra"], rows["dec"])
    inside = np.flatnonzero(rows["separation"] <= radius)
    return {name: values[inside] for name, values in rows.items()}


def _frame(columns: dict[str, Any], names: tuple[str, ...], attrs: dict[str, Any]) -> pd.DataFrame:
    return data_frame({name: columns[name] for name in names}, attrs)


def light_curve_attrs(asked: Choice, radius: float) -> dict[str, Any]:
    """Return what was asked for, for the ``attrs`` of an answer."""
    first, last = asked.mjd
    return {
        "radius": radius,
        "aperture": asked.aperture,
        "calibration": asked.calibration,
        "good": asked.good,
        "filters": None if asked.fids is None else sorted(asked.fids),
        "mjd": None if np.isinf(first) and np.isinf(last) else (first, last),
        "fields": None if asked.fields is None else sorted(asked.fields),
        "all_versions": asked.all_versions,
    }
