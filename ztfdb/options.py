"""The keyword options of an archive's methods, by name and type; `Archive` and `RemoteArchive` share them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias, TypedDict

if TYPE_CHECKING:
    from ztfdb.arrays import Progress
    from ztfdb.derive.calibrators import CalibrationSettings
    from ztfdb.derive.psf_checks import PsfCheckSettings
    from ztfdb.ingest.catalogue_import import FileProgress
    from ztfdb.ingest.report import IngestProgress
    from ztfdb.phot.survey import SelfSettings
    from ztfdb.query.given import Rate
    from ztfdb.query.positions import Color
    from ztfdb.query.request import Moment
    from ztfdb.query.targets import Motion
    from ztfdb.simulate.inject import InjectionSettings

Phot: TypeAlias = Literal["aperture", "psfcat", "both", "irsa", "irsa-both"]
"""Photometry of a light curve."""

Calibration: TypeAlias = Literal["header", "ps1", "self"]
Measure: TypeAlias = Literal["auto", "forced", "psf", "none"]
Aperture: TypeAlias = int
"""1 to 6, with diameters 2, 3, 4, 6, 10, 14 px."""

Arcsec: TypeAlias = float
"""A radius, arcsec."""

CatalogueName: TypeAlias = str
"""A name of letters, digits and ``- _ .``."""

Count: TypeAlias = int
"""A whole number, 1 or more."""

Service: TypeAlias = Literal["vizier", "mast"]
"""A service of catalogues."""

Places: TypeAlias = "Mapping[str, str | Path] | None"
"""Folders of this host by the name of their data root."""


class MotionOptions(TypedDict, total=False):
    """Proper motion (mas / yr, `pmra` with cos dec) of one star, and the Julian year of its position."""

    pmra: Rate | None
    pmdec: Rate | None
    epoch: Rate | None


class MotionsOptions(TypedDict, total=False):
    """Proper motions of many stars: a number, an array, or the name of a column."""

    pmra: Motion
    pmdec: Motion
    epoch: Motion


class PlacesOptions(TypedDict, total=False):
    """Where files are on this host."""

    places: Places


class ImageCutOptions(TypedDict, total=False):
    """Which images are used."""

    filters: Iterable[str | int] | str | int | None
    mjd: tuple[Moment, Moment] | None
    fields: Iterable[int] | int | None
    all_versions: bool


class EpochOptions(ImageCutOptions, total=False):
    """Which epochs a light curve has, and their calibration."""

    aperture: Aperture
    good: bool
    calibration: Calibration


class MeasureOptions(TypedDict, total=False):
    """How a complete light curve is measured; only with ``complete=True``."""

    measure: Measure
    bjd: bool
    mag: float | None
    jobs: Count
    keep: bool
    places: Places
    progress: Progress | None


class PathLightCurveOptions(EpochOptions, MeasureOptions, total=False):
    """Options of the light curve of a moving body."""

    color: Rate | None


class LightCurveOptions(PathLightCurveOptions, MotionOptions, total=False):
    """Options of one light curve."""


class LightCurvesOptions(EpochOptions, MeasureOptions, MotionsOptions, total=False):
    """Options of many light curves."""

    color: Color


class HintOptions(EpochOptions, MotionOptions, total=False):
    """Options of the hint for a position."""

    color: Rate | None


class ConeOptions(MotionOptions, total=False):
    """Options of a cone."""

    columns: Sequence[str] | None


class RegionOptions(TypedDict, total=False):
    """Options of a region: the kind of detections, and the columns."""

    phot: Literal["aperture", "psfcat"]
    columns: Sequence[str] | None


class StampOptions(PlacesOptions, total=False):
    """How a stamp is cut: size (px), aperture to show, orientation, and calibration of its zero point."""

    size: Count
    aperture: Aperture
    north_up: bool
    calibration: Calibration | None


class StampOnImageOptions(StampOptions, MotionOptions, total=False):
    """Options of one stamp on one image."""


class StampsOnImageOptions(StampOptions, MotionsOptions, total=False):
    """Options of many stamps on one image."""


class StampsOnPathOptions(StampOptions, ImageCutOptions, total=False):
    """Options of the stamps of a moving body."""


class StampsOptions(StampsOnPathOptions, MotionOptions, total=False):
    """Options of the stamps of a position."""


class StampsAtOptions(StampsOnPathOptions, MotionsOptions, total=False):
    """Options of the stamps of many positions."""


class CutoutOptions(PlacesOptions, total=False):
    """Options of a cutout."""

    mask: bool


class CompletenessOptions(ImageCutOptions, total=False):
    """Options of the completeness at a position."""

    mag: float | None


class MatchedOptions(TypedDict, total=False):
    """Options of matched entries."""

    image_id: int | Iterable[int] | None
    mode: str | None
    radius: Arcsec | None
    aperture: Aperture
    calibration: Literal["header", "ps1"]


class ExplainOptions(PlacesOptions, total=False):
    """Options of an explanation."""

    measure: bool


class IngestLimits(PlacesOptions, total=False):
    """Limits of one image in a worker, artificial stars in each image, and the address of a Dask cluster."""

    completeness: bool
    timeout_s: float
    memory_mb: int
    scheduler: str | None


class IngestPsfcatOptions(PlacesOptions, total=False):
    """Options of the ingest of PSF catalogues."""

    force: bool
    progress: IngestProgress | None


class ImportCatalogueOptions(TypedDict, total=False):
    """Options of the import of a reference catalogue."""

    columns: Mapping[str, str] | None
    extra: Sequence[str]
    epoch: float | None
    progress: FileProgress | None


class AddCatalogueOptions(TypedDict, total=False):
    """Options of a catalogue that is read in place."""

    columns: Mapping[str, str] | None
    epoch: float | None


class FetchCatalogueOptions(TypedDict, total=False):
    """Options of a catalogue from a service."""

    folder: str | Path | None
    everything: bool
    progress: Progress | None


class ImagesOptions(TypedDict, total=False):
    """Images for a workflow."""

    image_ids: Sequence[int] | None


class AgainOptions(ImagesOptions, total=False):
    """Images for a workflow, optionally including those done before."""

    again: bool
    progress: Progress | None


class RemoveOptions(ImagesOptions, total=False):
    """What is removed, or only counted."""

    dry_run: bool


class RemoveImagesOptions(TypedDict, total=False):
    """How images are removed."""

    dry_run: bool
    progress: Progress | None


class CrossmatchOptions(AgainOptions, total=False):
    """Options of a crossmatch."""

    mode: str | None
    radius: Arcsec | None


class CalibrateOptions(AgainOptions, total=False):
    """Options of a calibration."""

    catalogue: str
    method: Literal["ps1", "self"]
    settings: CalibrationSettings | SelfSettings | None


class InjectionOptions(AgainOptions, PlacesOptions, total=False):
    """Options of the measurement of completeness."""

    passes: Count
    seed: int
    jobs: Count
    settings: InjectionSettings | None


class CheckPsfOptions(AgainOptions, total=False):
    """Options of a check against PSF catalogues."""

    settings: PsfCheckSettings | None


class DiffOptions(ImagesOptions, total=False):
    """Options of a comparison of two archives."""

    aperture: Aperture
    calibration: Calibration
    calibration_b: Calibration | None
    radius: Arcsec
    sources: bool
    progress: Progress | None


class VerifyOptions(PlacesOptions, total=False):
    """Options of a verification."""

    hashes: bool
    deep: bool
    progress: Progress | None


class ProgressOptions(TypedDict, total=False):
    """Progress of a workflow."""

    progress: Progress | None
