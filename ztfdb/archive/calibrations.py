"""Quality of the images: zero points, completeness, checks against ZTF's PSF catalogues."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Unpack

from ztfdb.archive.base import OpenArchive
from ztfdb.options import (
    Aperture,
    CalibrateOptions,
    CheckPsfOptions,
    CompletenessOptions,
    InjectionOptions,
    RemoveOptions,
)
from ztfdb.query.given import (
    Angle,
    Position,
    position,
)
from ztfdb.texts import counted

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.derive.calibrate import CalibrationReport
    from ztfdb.derive.completeness import CompletenessReport
    from ztfdb.derive.psf_checks import PsfCheckReport


class Calibrations(OpenArchive):
    """Quality of the images: zero points, completeness, checks against ZTF's PSF catalogues."""

    def calibrate(self, **options: Unpack[CalibrateOptions]) -> CalibrationReport:
        """Calibrate images by stars of PS1 or by shared stars (`method`); see `ztfdb.derive.calibrate`."""
        from ztfdb.derive import calibrate

        return calibrate.calibrate(self._sessions, **options)

    def plot_calibration(self, image_id: int, *, aperture: Aperture = 4, catalogue: str = "ps1") -> Any:
        """Draw the residuals of an image's calibration; return the first of its three Axes.

        See `ztfdb.plot.draw_calibration`.
        """
        from ztfdb.derive import calibrate
        from ztfdb.plot import draw_calibration
        from ztfdb.store.catalogues import get_catalogue

        with self._sessions() as session:
            done = calibrate.calibrate_image(session, image_id, get_catalogue(session, catalogue))
        return draw_calibration(calibrate.residuals(done, aperture))[0]

    def plot_self_calibration(self, image_ids: Sequence[int] | None = None, *, aperture: Aperture = 4) -> Any:
        """Draw the residuals of a calibration by shared stars, by default of all images; return the first of its Axes.

        See `ztfdb.plot.draw_self_calibration`.
        """
        from ztfdb.derive.selfresiduals import self_residuals
        from ztfdb.plot import draw_self_calibration
        from ztfdb.store.image_choice import chosen_images

        with self._sessions() as session:
            left = self_residuals(session, chosen_images(session, image_ids), aperture=aperture)
        return draw_self_calibration(left)[0]

    def measure_completeness(self, **options: Unpack[InjectionOptions]) -> CompletenessReport:
        """Put artificial stars into images without a model of completeness; see `ztfdb.derive.completeness`."""
        from ztfdb.derive.completeness import measure_completeness

        return measure_completeness(self._sessions, **options)

    def completeness(
        self, ra: Position, dec: Angle | None = None, **options: Unpack[CompletenessOptions]
    ) -> pd.DataFrame:
        """Return the probability of detecting a star on each image; see `ztfdb.query.completeness.completeness`."""
        from ztfdb.query.completeness import completeness

        place, arguments = position(ra, dec), {**options}
        with self._sessions() as session:
            found = completeness(session, *place, **options)
        if len(found) and found["rms"].isna().all():
            tested = f"of {counted(len(found), 'image')} here, none has been tested with artificial stars"
            self._warn(f"{tested}: `ztfdb completeness` or archive.measure_completeness() does it")
        return self._answer(found, place, None, arguments)

    def check_psf(self, **options: Unpack[CheckPsfOptions]) -> PsfCheckReport:
        """Check unchecked images against ZTF's PSF catalogues; see `ztfdb.derive.psf_checks.check_psf`."""
        from ztfdb.derive import psf_checks

        return psf_checks.check_psf(self._sessions, **options)

    def psf_checks(self, image_ids: Sequence[int] | None = None, *, warned: bool = False) -> pd.DataFrame:
        """Return the checks against PSF catalogues, the worst first; see `ztfdb.query.psf_checks.psf_checks`."""
        from ztfdb.query.psf_checks import psf_checks

        with self._sessions() as session:
            return psf_checks(session, image_ids, warned=warned)

    def remove_psf_checks(self, **options: Unpack[RemoveOptions]) -> int:
        """Remove stored checks; see `ztfdb.derive.psf_checks.remove_psf_checks`."""
        from ztfdb.derive import psf_checks

        return psf_checks.remove_psf_checks(self._sessions, **options)

    def plot_psf_check(self, image_id: int) -> Any:
        """Draw the stars of an image's check; return the first of its four Axes. See `ztfdb.plot.draw_psf_check`."""
        from ztfdb.derive import psf_checks
        from ztfdb.plot import draw_psf_check

        with self._sessions() as session:
            done = psf_checks.compare_image(session, image_id)
        return draw_psf_check(psf_checks.differences(done))[0]
