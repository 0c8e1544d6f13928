"""Detections and light curves of an archive: of cones, of one or many positions, of moving bodies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, Unpack

from ztfdb.archive.base import OpenArchive
from ztfdb.options import (
    ConeOptions,
    HintOptions,
    LightCurveOptions,
    LightCurvesOptions,
    PathLightCurveOptions,
    Phot,
)
from ztfdb.query.given import (
    MOTION,
    Angle,
    Position,
    PositionTable,
    arcsec,
    path_table,
    position,
    position_table,
)
from ztfdb.query.request import only_complete, requested

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.query.answer import Answer, LightCurve
    from ztfdb.query.periodogram import Periodogram
    from ztfdb.query.request import Execution, LightCurveRequest


class LightCurves(OpenArchive):
    """Detections and light curves of an archive: of cones, of one or many positions, of moving bodies."""

    def cone(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> pd.DataFrame:
        """Return all sources within `radius` of a position, nearest first; see `ztfdb.query.cone.cone`.

        ``phot="psfcat"`` selects the rows of ZTF's own PSF catalogues.
        """
        return self.cone_answer(ra, dec, radius, phot=phot, **options).to_pandas()

    def cone_answer(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Literal["aperture", "psfcat"] = "aperture",
        **options: Unpack[ConeOptions],
    ) -> Answer:
        """Return the answer of `cone` as columns; its method ``to_pandas`` makes the DataFrame."""
        if phot not in ("aperture", "psfcat"):
            raise ValueError(f"phot {phot!r}: a cone is of our sources ('aperture') or of ZTF's ('psfcat')")
        from ztfdb.query.cone import cone_answer

        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        with self._connections.reading() as session:
            found = cone_answer(session, *place, arcsec(radius), phot=phot, **arguments)
        return self._answer(found, place, radius, arguments | {"phot": phot})

    def cone_sql(
        self, ra: Position, dec: Angle | None = None, radius: Angle = 1.5, *, table: str = "source", where: str = ""
    ) -> str:
        """Return a SELECT for the rows of a table or view within a cone, which uses the index.

        `sql` and any other client can run it, on both engines. See `ztfdb.query.cone_sql.cone_sql`.
        """
        from ztfdb.query.cone_sql import cone_sql

        return cone_sql(*position(ra, dec), arcsec(radius), table, where)

    def light_curve(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurveOptions],
    ) -> LightCurve:
        """Return the light curve of a position: the nearest source within a radius on each image.

        Parameters
        ----------
        ra, dec
            Position.
        radius
            Match radius, 0 to 600 arcsec.
        complete : bool
            One epoch for every exposure × quadrant whose pixels cover the position. Its ``kind`` is ``detection`` for
            the nearest source within the radius. Without one, it is the light in the aperture at the position:
            ``forced`` from a signal-to-noise ratio of 3 on, below that a ``limit``, whose ``upper_limit_mag`` is 5
            times the error, aperture correction included (``upper_limit_nsigma``). If nothing can be measured, it is
            ``unavailable`` with its ``reason``. By default only the detections.
        phot : str
            ``aperture``, our own photometry; ``psfcat``, that of ZTF's PSF catalogues; ``both``: see
            `ztfdb.query.psf_catalogues.catalogue_epochs` and `ztfdb.query.merge.complete_psf`. ``irsa``, the light
            curves of ZTF's data releases; ``irsa-both``, these and our own photometry: `ztfdb.query.irsa.published`.
        aperture : int
            1 to 6, with diameters 2, 3, 4, 6, 10, 14 px. The default, 4, is read from the index alone.
        color : float, optional
            PS1 colour of the star, mag (that of header PCOLOR: g − r for g and r, r − i for i). Adds CLRCOEFF · color
            to the magnitudes; by default there is no colour term.
        good : bool
            Keep only epochs without known trouble: infobits < 2^25, no bad mask bit in the 6 px aperture, aperture not
            truncated. An image without a mask or infobits passes that criterion.
        filters : str, int or iterable of them, optional
            ``zg``, ``zr``, ``zi`` (or g, r, i; ZTF_g, ZTF_r, ZTF_i; 1, 2, 3).
        mjd : tuple of float, str, date or Time, optional
            ``(first, last)``: exposures that start in ``first <= mjd < last``; None leaves an end open. Each is an MJD,
            an ISO date or another form of `ztfdb.sky.dates.mjd_of`, which refuses times outside ZTF's years.
        fields : int or iterable of int, optional
            ZTF fields.
        all_versions : bool
            Keep every image. By default an exposure × quadrant gives one epoch: the whole quadrant is preferred to a
            cutout of it, then the newest processing.
        calibration : str
            ``header`` (MAGZP + APCOR, CLRCOEFF), ``ps1`` (fitted to stars of PS1: `ztfdb.derive.calibrate`) or ``self``
            (by the stars that images share, with gradients over the quadrant: `ztfdb.derive.selfcal`; ``magerr_sys``
            then combines the floor of the image and the error of its zero point). For our apertures only.
        pmra, pmdec : float, optional
            Proper motion, mas / yr, `pmra` with cos dec: the position is propagated to each exposure. With
            ``phot="aperture"`` only.
        epoch : float, optional
            Julian year of the position, 2016.0 by default.
        measure : str
            With ``complete`` and ``phot="aperture"``. ``auto`` as above; ``forced`` measures every epoch at the
            position, even if there is a detection; ``psf`` does so by fitting the exposure's own PSF, which needs its
            ``sciimgdao.psf`` next to the image (it gives ``chi`` and ``sharp``, and needs no aperture correction);
            ``none`` measures nothing, and gives only the detections.
        bjd : bool
            With ``complete``. Add ``bjd_tdb``, the barycentric Julian date (TDB) of mid-exposure.
        mag : float, optional
            With ``complete``. Total AB magnitude for ``p_detect``. The default is that of the star, by the median flux
            of its epochs in the filter.
        jobs : int
            With ``complete``. Processes that measure; 1, the default, measures in this process.
        keep : bool
            With ``complete``. Store the measurements in the archive; the default if it is writable.
        places : mapping of str to path, optional
            With ``complete``. Folders of this host by the name of their data root.
        progress : callable, optional
            With ``complete``. Called with the number of images measured, and of all.

        Returns
        -------
        LightCurve
            Ordered by (mjd, image_id, phot); references are never epochs; an empty one has all columns. IRSA's 24
            columns come first, in IRSA's order and units:

            ``oid`` is negative: minus the number made of field, fid, ccdid (2 digits), qid and the 8 digits of
            `ztfdb.query.epochs.oid_digits`. So it groups like IRSA's, one star per field, filter and quadrant, and
            cannot be mistaken for one. ``mjd`` is the start and ``hjd`` the middle of the exposure. ``mag`` (AB) and
            its error are NaN if the flux is not positive, or if ``calibration`` is ``none``: the header has no APCOR
            (or no CLRCOEFF, with a colour), or the image lacks the calibration. ``mag`` is never a limit. ``magerr``
            includes the archive's systematic floor (``magerr_sys``) in quadrature. ``catflags`` is ``mask_bits``, plus
            32768 on an unusable image; <NA> without a mask. ``limitmag`` is header MAGLIM. ``chi`` and ``sharp`` are
            NaN without a fit.

            Then ours: ``flux_ujy`` and its error (µJy, statistical only, also if negative), ``snr``, ``flags``
            (`ztfdb.bits.SourceFlag`), ``separation`` (arcsec) from the given position, ``n_within``, the number of
            sources of that image within the radius, and the ids of image and source. A complete one also has ``kind``,
            ``reason``, ``blended`` (several sources within the radius, or a deblended detection), ``contaminated`` (a
            source outside the radius is nearer than the aperture's diameter), ``x`` and ``y``; without a detection,
            ``ra`` and ``dec`` are those of the position. ``limit50`` and ``limit90`` are the magnitudes at which 50 %
            and 90 % of the stars at the position are found, ``p_detect`` is the probability that this one was found.
            They are NaN on images without a model from artificial stars, ``p_detect`` also for a star without a
            magnitude. ``meta["kept"]`` is True if the measurements are stored in the archive, ``meta["n_measured"]``
            is their number.

        Raises
        ------
        ValueError
            If a position, radius or option is invalid, or options conflict.
        OptionError
            If there is no such option, or it needs ``complete``.
        QueryError
            If the radius is beyond the maximum.
        """
        only_complete("light_curve", complete, options)
        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        curve = self._light_curve("light_curve", place, radius, arguments, complete=complete, phot=phot)
        return self._answer(curve, place, radius, arguments | {"phot": phot})

    def _light_curve(
        self, asked_by: str, place: tuple[float, float], radius: Angle, options: Mapping[str, Any], **more: Any
    ) -> LightCurve:
        from ztfdb.query.lightcurve import light_curve
        from ztfdb.query.targets import target_of

        request, execution, where = self._requested(asked_by, radius, options, **more)
        target = target_of(*place, **where)
        return light_curve(self._transactions, target, request, execution)

    def periodogram(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        min_period: float = 0.1,
        max_period: float | None = None,
        oversampling: float = 5.0,
        **options: Unpack[LightCurveOptions],
    ) -> Periodogram:
        """Return the periodogram of a position's light curve; see `ztfdb.query.periodogram.periodogram`.

        Parameters
        ----------
        ra, dec, radius, complete, phot, **options
            As in `light_curve`; ``filters="zr"`` for one filter, ``complete=True`` to include forced magnitudes. `phot`
            must be one photometry.
        min_period, max_period, oversampling : float
            The grid; see `ztfdb.query.periodogram.periodogram`.
        """
        from ztfdb.query.periodogram import check_grid, periodogram

        only_complete("periodogram", complete, options)
        check_grid(min_period, max_period, oversampling)
        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        curve = self._light_curve("periodogram", place, radius, arguments, complete=complete, phot=phot)
        found = self._answer(curve, place, radius, arguments | {"phot": phot}).data
        return periodogram(found, min_period=min_period, max_period=max_period, oversampling=oversampling)

    def light_curves(
        self,
        positions: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurvesOptions],
    ) -> pd.DataFrame:
        """Return the light curves of many positions in one call.

        Parameters
        ----------
        positions : DataFrame, astropy Table, SkyCoord, mapping, or array_like of shape (n, 2)
            Columns ``ra`` and ``dec``, deg, ICRS, or Quantities, or texts, also sexagesimal; the usual names of
            catalogues, as ``RAJ2000``, are known, too.
        radius, complete, phot, **options
            As in `light_curve`. `color`, `pmra`, `pmdec` and `epoch` may be arrays, one value per position, or the name
            of a column of `positions`.

        Returns
        -------
        DataFrame
            The columns of `light_curve`, with exactly the same values, then ``position``: the row of `positions`,
            counted from 0. Ordered by (position, mjd, image_id, phot); a position without epochs has no rows. Each file
            is opened once for all positions on it (per `ztfdb.query.complete.EPOCHS_HELD` epochs).

        Raises
        ------
        ValueError, OptionError, QueryError
            As `light_curve`, with the row in the message; QueryError also for more than
            `ztfdb.query.detections.MOST_EPOCHS` epochs.
        """
        from ztfdb.query.lightcurve import light_curves
        from ztfdb.query.targets import targets_of

        arguments: dict[str, Any] = {**options}
        table = position_table(positions, arguments)
        request, execution, where = self._requested("light_curves", radius, arguments, complete=complete, phot=phot)
        targets = targets_of(table, **where)
        curves = light_curves(self._transactions, targets, request, execution).to_pandas()
        return self._answer(curves, table, radius, arguments | {"phot": phot})

    def iter_light_curves(
        self,
        positions: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurvesOptions],
    ) -> Iterator[pd.DataFrame]:
        """Yield the rows of `light_curves` in parts of 1,000 positions, in bounded memory.

        The limit of `light_curves`, `ztfdb.query.detections.MOST_EPOCHS`, does not apply. Where no position has an
        epoch, the warning comes at the end.
        """
        arguments: dict[str, Any] = {**options, "complete": complete, "phot": phot}
        table = position_table(positions, arguments)
        empty = True
        for frame in self.light_curve_parts(table, radius, **arguments):
            empty = empty and frame.empty
            yield frame
        if empty and (text := self._hint(table, radius, 0, arguments)):
            self._warn(text)

    def light_curve_parts(
        self,
        positions: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = False,
        phot: Phot = "aperture",
        **options: Unpack[LightCurvesOptions],
    ) -> Iterator[pd.DataFrame]:
        """Yield what `iter_light_curves` yields, without a warning at the end: for services, see `hint_of`."""
        from ztfdb.query.lightcurve import iter_light_curves
        from ztfdb.query.targets import targets_of

        arguments: dict[str, Any] = {**options}
        table = position_table(positions, arguments)
        request, execution, where = self._requested(
            "iter_light_curves", radius, arguments, complete=complete, phot=phot
        )
        targets = targets_of(table, **where)
        for answer in iter_light_curves(self._transactions, targets, request, execution):
            yield answer.to_pandas()

    def light_curve_on_path(
        self,
        path: PositionTable,
        radius: Angle = 1.5,
        *,
        complete: bool = True,
        **options: Unpack[PathLightCurveOptions],
    ) -> LightCurve:
        """Return the light curve of a moving body.

        Parameters
        ----------
        path : DataFrame, astropy Table, SkyCoord or mapping
            Columns ``time`` (MJD, UTC), ``ra``, ``dec`` (deg), as seen from Palomar. A spline gives the position at
            mid-exposure; exposures before the first and after the last time have no epoch.
        radius, complete, **options
            As in `light_curve`; without `complete`, only the detections.
        """
        from ztfdb.query.lightcurve import light_curve
        from ztfdb.query.targets import path_of

        request, execution, where = self._requested("light_curve_on_path", radius, options, complete=complete)
        target = path_of(path_table(path), **where)
        curve = light_curve(self._transactions, target, request, execution)
        return self._answer(curve, target, radius, {**options})

    def hint(
        self,
        ra: Position,
        dec: Angle | None = None,
        radius: Angle = 1.5,
        *,
        phot: Phot = "aperture",
        **options: Unpack[HintOptions],
    ) -> str:
        """Return a hint for a light curve's position: which images cover it, and how many have a detection.

        For an empty answer, it is the text of `EmptyAnswerWarning`.

        Parameters
        ----------
        ra, dec, radius, phot, **options
            As in `light_curve`, without `complete`.

        Returns
        -------
        str
            Empty if every image has a detection.
        """
        arguments: dict[str, Any] = {**options}
        place = position(ra, dec, arguments)
        curve = self._light_curve("hint", place, radius, arguments, phot=phot)
        return self._hint(place, radius, len(curve), arguments | {"phot": phot})

    def hint_of(self, positions: PositionTable, options: dict[str, Any]) -> str:
        """Return the hint for many positions without an epoch; `options` are those of `light_curves`."""
        arguments: dict[str, Any] = {"phot": "aperture", **options}
        table = position_table(positions, arguments)
        return self._hint(table, arguments.get("radius", 1.5), 0, arguments)

    def _requested(
        self, asked_by: str, radius: Angle, options: Mapping[str, Any], **more: Any
    ) -> tuple[LightCurveRequest, Execution, dict[str, Any]]:
        """Return the request, its execution, and the options that belong to the positions."""
        where = {name: options[name] for name in ("color", *MOTION) if name in options}
        what = {name: value for name, value in options.items() if name not in where}
        motion = MOTION & where.keys()
        request, execution = requested(asked_by, what, radius=arcsec(radius), motion=motion, **more)
        return request, replace(execution, keep=False) if self._read_only else execution, where
