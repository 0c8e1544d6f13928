"""The extraction settings, which are frozen when an archive is created."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from ztfdb.codes import APERTURE_DIAMETERS
from ztfdb.errors import ConfigError


@dataclass(frozen=True)
class ExtractionSettings:
    """Settings that determine the sources of an image and their measurements.

    Attributes
    ----------
    threshold : float
        Detection threshold in units of the local pixel rms, applied to the image smoothed with the 3 × 3
        binomial kernel (SExtractor's default).
    min_area : int
        Minimum number of connected pixels above the threshold.
    deblend_levels : int
        Number of deblending thresholds between the detection threshold and the peak.
    deblend_contrast : float
        A branch is a separate source if it has this fraction of the blend's light.
    clean : float
        Exponent of the Moffat wing with which a bright source removes spurious faint ones; 0 switches cleaning off.
    background_box : int
        Side of a background box, pixels.
    aperture_diameters : tuple of float
        Aperture diameters, pixels. The schema has six columns for ZTF's own (header FIXAPERS); no others yet.
    kron_factor, kron_minimum : float
        Kron aperture: this many Kron radii, never less than the minimum, in units of the rms half axes.
    sky_apertures : int
        Source-free apertures in which the image's noise ratios are measured.
    sky_apertures_minimum : int
        With fewer source-free places than this the ratios are NaN (and count as 1).
    sky_seed : int
        Seed of their positions.
    """

    threshold: float = 1.5
    min_area: int = 5
    deblend_levels: int = 32
    deblend_contrast: float = 0.005
    clean: float = 1.0
    background_box: int = 128
    aperture_diameters: tuple[float, ...] = APERTURE_DIAMETERS
    kron_factor: float = 2.5
    kron_minimum: float = 3.5
    sky_apertures: int = 1200
    sky_apertures_minimum: int = 100
    sky_seed: int = 20180317

    def __post_init__(self) -> None:
        positive = ("threshold", "min_area", "deblend_levels", "kron_factor", "kron_minimum", "sky_apertures_minimum")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} = {getattr(self, name)!r} must be greater than 0")
        if not 0 <= self.deblend_contrast <= 1:
            raise ConfigError(f"deblend_contrast = {self.deblend_contrast!r} must lie in [0, 1]")
        if self.clean < 0 or self.sky_apertures < 0:
            raise ConfigError("clean and sky_apertures must not be negative")
        if self.background_box < 16:
            raise ConfigError(f"background_box = {self.background_box!r} must be at least 16 pixels")
        if tuple(self.aperture_diameters) != APERTURE_DIAMETERS:
            raise ConfigError(
                f"aperture_diameters = {self.aperture_diameters!r}: the columns flux_aper1..6 hold {APERTURE_DIAMETERS}"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        values = asdict(self)
        values["aperture_diameters"] = list(self.aperture_diameters)
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ExtractionSettings:
        """Rebuild settings from `to_dict`'s values.

        Raises
        ------
        ConfigError
            If a name is unknown or a value out of range; a missing name takes its default.
        """
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigError(f"unknown extraction setting {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        kwargs = dict(values)
        if "aperture_diameters" in kwargs:
            kwargs["aperture_diameters"] = tuple(float(d) for d in kwargs["aperture_diameters"])
        return cls(**kwargs)
