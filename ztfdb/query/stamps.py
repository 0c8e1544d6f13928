"""Stamps of ingested images by position: one, the time series of a position, or many positions on one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.arrays import FloatArray, Places
from ztfdb.codes import APERTURE_DIAMETERS, FILTERS
from ztfdb.errors import QueryError, StampError, UnknownImageError
from ztfdb.query.captions import captioned
from ztfdb.query.dataframes import data_frame
from ztfdb.query.exposures import covering
from ztfdb.query.request import light_curve_request
from ztfdb.query.targets import Motion, Targets, path_of, targets_of
from ztfdb.sky.projection import sky_to_pixel
from ztfdb.stamps import ImageStamp, cut_stamps, write_stamps
from ztfdb.stamps.cutout import DEFAULT_SIZE
from ztfdb.store.image_pixels import stored_pixels
from ztfdb.store.image_table import ImageTable, epoch_images
from ztfdb.store.interrupt import check_work
from ztfdb.texts import counted

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_SIZE = 2_000
"""Largest width of a stamp, pixels."""

MOST_PIXELS = 200_000_000
"""Most pixels of an answer: 1.2 GB with masks."""


@dataclass(frozen=True, repr=False)
class StampSeries:
    """Stamps in an order, of one size.

    Attributes
    ----------
    stamps : list of ImageStamp
    """

    stamps: list[ImageStamp]

    def __len__(self) -> int:
        return len(self.stamps)

    def __getitem__(self, number: int) -> ImageStamp:
        return self.stamps[number]

    def __iter__(self) -> Iterator[ImageStamp]:
        return iter(self.stamps)

    def __repr__(self) -> str:
        wrong = sum(stamp.status != "ok" for stamp in self)
        return f"<StampSeries: {counted(len(self), 'stamp')}{f', {wrong} without pixels' if wrong else ''}>"

    @property
    def data(self) -> FloatArray:
        """All pixels, shape (n_stamp, ny, nx), DN; NaN where there are none."""
        return np.stack([stamp.data for stamp in self]) if self.stamps else np.zeros((0, 0, 0), np.float32)

    def to_pandas(self) -> pd.DataFrame:
        """Return one row per stamp: image, time, filter, position, pixel, first pixel, ``status`` and file.

        ``position`` is included for a table of positions; ``calibration`` and ``zeropoint`` if they were requested.
        """
        names = ("image_id", "ra", "dec", "x", "y", "x0", "y0", "status")
        columns: dict[str, Any] = {name: [getattr(stamp, name) for stamp in self] for name in names}
        facts = [stamp.facts or {} for stamp in self]
        columns["mjd"] = np.array([fact.get("mjd", np.nan) for fact in facts])
        for name in ("filtercode", "path"):
            columns[name] = pd.array([fact.get(name) for fact in facts], dtype="str")
        captions = tuple(name for name in ("position", "calibration", "zeropoint") if any(name in f for f in facts))
        for name in captions:
            columns[name] = [fact.get(name) for fact in facts]
        columns["status"] = pd.array(columns["status"], dtype="str")
        columns["image_id"] = np.array(columns["image_id"], np.int64)
        return data_frame(
            {name: columns[name] for name in ("image_id", "mjd", "filtercode", *names[1:], *captions, "path")}
        )

    def turned_north(self) -> StampSeries:
        """Return the stamps with north up and east left, see `ImageStamp.turned_north`."""
        return StampSeries([stamp.turned_north() for stamp in self])

    def write_fits(self, path: str | Path) -> None:
        """Write one FITS file: extensions ``SCI`` and ``MSK`` of each stamp, in order."""
        write_stamps(path, self.stamps)

    def write_gif(self, path: str | Path, *, fps: float = 3.0, **options: Any) -> None:
        """Write an animated GIF with one frame per stamp; see `ztfdb.plot.write_gif`."""
        from ztfdb.plot import write_gif  # drawing is an extra

        write_gif(self.stamps, path, fps=fps, **options)

    def plot(self, **options: Any) -> Figure:
        """Draw a contact sheet; see `ztfdb.plot.draw_stamps`."""
        from ztfdb.plot import draw_stamps  # drawing is an extra

        return draw_stamps(self.stamps, **options)


def stamps(
    session: Session,
    ra: float,
    dec: float,
    *,
    size: int = DEFAULT_SIZE,
    aperture: int = 4,
    pmra: float | None = None,
    pmdec: float | None = None,
    epoch: float | None = None,
    north_up: bool = False,
    calibration: str | None = None,
    places: Places = None,
    **cuts: Any,
) -> StampSeries:
    """Return the stamps of a position on every image that covers it, in order of time.

    Parameters
    ----------
    session : Session
    ra, dec : float
        Position, deg, ICRS.
    size : int
        Width and height, pixels.
    aperture : int
        1 to 6; its circle is drawn.
    pmra, pmdec, epoch : float, optional
        Proper motion (mas / yr) and Julian year of the position: each stamp is centred on the star at its date.
    north_up : bool
        North up and east left, by flips only.
    calibration : str, optional
        ``header``, ``ps1`` or ``self``: adds ``calibration`` and ``zeropoint`` (AB mag of 1 DN in the aperture at this
        position, NaN without one) to the facts of each stamp, and to its caption.
    places : mapping of str to path, optional
        Folders of this host by the name of their data root.
    **cuts
        ``filters``, ``mjd``, ``fields``, ``all_versions`` as in `ztfdb.Archive.light_curve`.

    Returns
    -------
    StampSeries
        A stamp whose file is missing or changed has no pixels; its ``status`` gives the reason.
    """
    targets = targets_of({"ra": ra, "dec": dec}, pmra=pmra, pmdec=pmdec, epoch=epoch)
    return _series(session, targets, size, aperture, north_up, calibration, places, cuts)


def stamps_at(
    session: Session,
    positions: Any,
    *,
    size: int = DEFAULT_SIZE,
    aperture: int = 4,
    pmra: Motion = None,
    pmdec: Motion = None,
    epoch: Motion = None,
    north_up: bool = False,
    calibration: str | None = None,
    places: Places = None,
    **cuts: Any,
) -> StampSeries:
    """Return the stamps of many positions on every image that covers them; each file is opened once.

    Parameters
    ----------
    positions : DataFrame, astropy Table, mapping, or array_like of shape (n, 2)
        Columns ``ra`` and ``dec``, deg.
    session, size, aperture, north_up, calibration, places, **cuts
        As in `stamps`.
    pmra, pmdec, epoch : float, array_like of shape (n,) or str, optional
        As in `stamps`; a string names a column of `positions`.

    Returns
    -------
    StampSeries
        Ordered by position, then time; the fact ``position`` of each is its row in the table, from 0.

    Raises
    ------
    QueryError
        If they would have more than `MOST_PIXELS`.
    """
    targets = targets_of(positions, pmra=pmra, pmdec=pmdec, epoch=epoch)
    return _series(session, targets, size, aperture, north_up, calibration, places, cuts, table=True)


def check_width(size: int) -> None:
    """Raise ValueError for a stamp that is wider than `MAX_SIZE`."""
    if not 1 <= size <= MAX_SIZE:
        raise ValueError(f"a stamp of {size} pixels: expected a whole number from 1 to {MAX_SIZE}")


def check_pixels(n_stamp: int, size: int) -> None:
    """Raise QueryError if the stamps of a table would have more than `MOST_PIXELS`."""
    if n_stamp * size**2 > MOST_PIXELS:
        raise QueryError(f"{n_stamp} stamps of {size} pixels: at most {MOST_PIXELS:,} pixels; give fewer positions")


def stamps_on_path(
    session: Session,
    path: Any,
    *,
    size: int = DEFAULT_SIZE,
    aperture: int = 4,
    north_up: bool = False,
    calibration: str | None = None,
    places: Places = None,
    **cuts: Any,
) -> StampSeries:
    """Return the stamps of a moving body; otherwise as `stamps`.

    See `ztfdb.Archive.light_curve_on_path`.
    """
    return _series(session, path_of(path), size, aperture, north_up, calibration, places, cuts)


def stamp(
    session: Session,
    ra: float,
    dec: float,
    *,
    image_id: int,
    size: int = DEFAULT_SIZE,
    aperture: int = 4,
    north_up: bool = False,
    calibration: str | None = None,
    places: Places = None,
    pmra: Motion = None,
    pmdec: Motion = None,
    epoch: Motion = None,
) -> ImageStamp:
    """Return the stamp of a position on one image.

    Parameters
    ----------
    session, ra, dec, size, aperture, north_up, calibration, places, pmra, pmdec, epoch
        As in `stamps`; a reference has no date, so its stamp is centred on the given position.
    image_id : int
        Of an image or a reference.

    Raises
    ------
    UnknownImageError
        If there is no such image.
    ImageReadError, FileMissingError, FileChangedError
        If its file cannot be used.
    StampError
        If no pixel of the stamp lies on the image.
    """
    cut = stamps_on_image(
        session,
        {"ra": ra, "dec": dec},
        image_id=image_id,
        size=size,
        aperture=aperture,
        north_up=north_up,
        calibration=calibration,
        places=places,
        pmra=pmra,
        pmdec=pmdec,
        epoch=epoch,
    )[0]
    if cut.problem is not None:
        raise cut.problem
    if cut.status != "ok":
        path = (cut.facts or {}).get("path", str(image_id))
        raise StampError(path, f"a stamp of {size} pixels around ({ra:.6f}, {dec:+.6f}) lies outside image {image_id}")
    return cut


def stamps_on_image(
    session: Session,
    positions: Any,
    *,
    image_id: int,
    size: int = DEFAULT_SIZE,
    aperture: int = 4,
    north_up: bool = False,
    calibration: str | None = None,
    places: Places = None,
    pmra: Motion = None,
    pmdec: Motion = None,
    epoch: Motion = None,
) -> StampSeries:
    """Return the stamps of many positions on one image, in their order; its files are opened once.

    Parameters
    ----------
    positions : DataFrame, astropy Table, mapping, or array_like of shape (n, 2)
        Columns ``ra`` and ``dec``, deg.
    session, image_id, size, aperture, north_up, calibration, places
        As in `stamp`.
    pmra, pmdec, epoch : float, array_like of shape (n,) or str, optional
        As in `stamp`; a string names a column of `positions`.

    Raises
    ------
    UnknownImageError
        If there is no such image.
    """
    wanted = targets_of(positions, pmra=pmra, pmdec=pmdec, epoch=epoch)
    radius = _radius(size, light_curve_request(aperture=aperture).aperture)
    image = stored_pixels(session, [image_id], places=places).get(int(image_id))
    if image is None:
        raise UnknownImageError(f"no image {image_id} in this archive")
    image_table, at = epoch_images(session, np.array([image_id]), aperture)
    ra, dec = wanted.at(np.arange(len(wanted)), np.full(len(wanted), image_table["mjd_mid"][at[0]]))
    x, y = sky_to_pixel(image.wcs, ra, dec)
    facts = _facts(image_table, at[0], image.own.path)
    cut = cut_stamps(
        image,
        ra.tolist(),
        dec.tolist(),
        x.tolist(),
        y.tolist(),
        size=size,
        radius=radius,
        facts=facts,
    )
    cut = captioned(session, cut, image_table.take(np.repeat(at, len(cut))), aperture, calibration)
    return StampSeries([one.turned_north() for one in cut] if north_up else cut)


def _series(
    session: Session,
    targets: Targets,
    size: int,
    aperture: int,
    north_up: bool,
    calibration: str | None,
    places: Places,
    cuts: dict[str, Any],
    *,
    table: bool = False,
) -> StampSeries:
    request = light_curve_request(aperture=aperture, **cuts)
    radius = _radius(size, request.aperture)
    pairs = covering(session, targets, request)
    ids = pairs.image_id[pairs.at]
    images = stored_pixels(session, ids, places=places)
    if table:
        check_pixels(len(pairs), size)
    cut: dict[int, ImageStamp] = {}
    order = np.argsort(pairs.at, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(pairs.at[order])) + 1) if len(order) else []:
        check_work()
        image = images[int(ids[rows[0]])]
        facts = _facts(pairs.images, int(pairs.at[rows[0]]), image.own.path)
        columns = [pairs.rows[name][rows].tolist() for name in ("ra", "dec", "x", "y")]
        some = cut_stamps(image, *columns, size=size, radius=radius, facts=facts)
        if table:
            some = [
                replace(one, facts=facts | {"position": int(k)})
                for one, k in zip(some, pairs.rows["k"][rows].tolist(), strict=True)
            ]
        cut |= zip(rows.tolist(), some, strict=True)
    found = [cut[row] for row in range(len(pairs))]
    found = captioned(session, found, pairs.images.take(pairs.at), aperture, calibration)
    return StampSeries([one.turned_north() for one in found] if north_up else found)


def _radius(size: int, aperture: int) -> float:
    check_width(size)
    return APERTURE_DIAMETERS[aperture - 1] / 2.0


def _facts(images: ImageTable, at: int, path: str) -> dict[str, Any]:
    return {
        "mjd": float(images["mjd"][at]),
        "filtercode": FILTERS.get(int(images["fid"][at]), ""),
        "path": path,
        "simulated": bool(images["simulated"][at] == 1),
    }
