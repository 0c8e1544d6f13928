"""Parameters of the REST interface: the options of the archive's methods, by their names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from ztfdb.arguments import CATALOGUE_NAME
from ztfdb.codes import MATCH_MODES
from ztfdb.query.cone import KINDS
from ztfdb.query.request import MEASURES, PHOTS
from ztfdb.query.targets import MOST_MOTION
from ztfdb.store.zero_points import IMAGE_METHODS, METHODS

ID_LOW, ID_HIGH = -(2**63), 2**63 - 1

Id = Annotated[int, Field(ge=ID_LOW, le=ID_HIGH)]
Bounded = Annotated[float, Field(ge=-MOST_MOTION, le=MOST_MOTION, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=f"^{CATALOGUE_NAME}$")]
Word = Annotated[str, Field(max_length=64)]


def listed(words: Iterable[str]) -> Any:
    """Return a field whose values the description lists; it is the archive that refuses others, as for all callers."""
    return Field(max_length=64, json_schema_extra={"enum": list(words)})


Phot = Annotated[str, listed(PHOTS)]
Detections = Annotated[str, listed(KINDS)]
Measure = Annotated[str, listed(MEASURES)]
Calibration = Annotated[str, listed(METHODS)]
ImageCalibration = Annotated[str, listed(IMAGE_METHODS)]
Mode = Annotated[str, listed(MATCH_MODES)]
Moment = Word | FiniteFloat


class Asked(BaseModel):
    """Parameters of a request; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    def options(self, *without: str) -> dict[str, Any]:
        """Return the given parameters as options of the archive's methods; both ends of a time become ``mjd``."""
        given = self.model_dump(exclude_unset=True, exclude=set(without))
        ends = [_moment(given.pop(name, None)) for name in ("from_", "to")]
        if ends != [None, None]:
            given["mjd"] = tuple(ends)
        return given


class ImageCuts(Asked):
    """Selection of images."""

    filters: list[Word] | None = Field(None, description="zg, zr, zi (or g, r, i; 1, 2, 3); repeat for several")
    from_: Moment | None = Field(None, alias="from", description="first start of an exposure: MJD or ISO date, UTC")
    to: Moment | None = Field(None, description="the start must be before: MJD or ISO date, UTC")
    fields: list[Id] | None = Field(None, description="ZTF fields")
    all_versions: bool = Field(False, description="every processing of an exposure, not only the newest")


class Cuts(ImageCuts):
    """Selection of images and aperture."""

    aperture: int = Field(4, ge=1, le=6, description="of the diameters 2, 3, 4, 6, 10, 14 px")


class Motion(Asked):
    """Proper motion of one position."""

    pmra: Bounded | None = Field(None, description="mas / yr, with cos dec")
    pmdec: Bounded | None = Field(None, description="mas / yr")
    epoch: FiniteFloat | None = Field(None, description="Julian year of the position, 2016.0 by default")


class Place(Motion):
    """One position."""

    ra: FiniteFloat = Field(description="deg, ICRS")
    dec: FiniteFloat = Field(ge=-90.0, le=90.0, description="deg, ICRS")


class Photometry(Cuts):
    """How fluxes are measured and calibrated."""

    radius: FiniteFloat = Field(1.5, ge=0.0, description="match radius, arcsec, at most 600")
    complete: bool = Field(False, description="an epoch for every image that covers the position, labelled")
    phot: Phot = Field("aperture", description="aperture, psfcat (ZTF's own catalogues), both, irsa or irsa-both")
    measure: Measure | None = Field(None, description="with complete: auto, forced, psf or none")
    bjd: bool | None = Field(None, description="with complete: add bjd_tdb")
    mag: FiniteFloat | None = Field(None, description="with complete: total magnitude for p_detect")
    good: bool = Field(False, description="good epochs only")
    calibration: Calibration = Field("header", description="header, ps1 or self")


class LightCurveAsked(Photometry, Place):
    """A light curve of one position."""

    color: Bounded | None = Field(None, description="PS1 colour of the star, mag")


class PeriodogramAsked(LightCurveAsked):
    """The periodogram of a light curve."""

    min_period: FiniteFloat = Field(0.1, gt=0.0, description="shortest period, d")
    max_period: FiniteFloat | None = Field(None, gt=0.0, description="longest, d; half of the time span by default")
    oversampling: FiniteFloat = Field(5.0, gt=0.0, description="frequencies per width of a peak")


class HintAsked(Cuts, Place):
    """A hint about a position."""

    radius: FiniteFloat = Field(1.5, ge=0.0)
    color: Bounded | None = None
    measure: Measure | None = None
    bjd: bool | None = None
    phot: Phot = "aperture"
    good: bool = False
    calibration: Calibration = "header"


class LightCurvesAsked(Photometry):
    """The light curves of many positions; lists are as long as ``ra``."""

    ra: list[FiniteFloat] = Field(description="deg, ICRS")
    dec: list[FiniteFloat] = Field(description="deg, ICRS")
    color: Bounded | list[FiniteFloat | None] | None = None
    pmra: Bounded | list[Bounded | None] | None = None
    pmdec: Bounded | list[Bounded | None] | None = None
    epoch: FiniteFloat | list[FiniteFloat] | None = None


class PathAsked(Asked):
    """Path of a moving body as seen from Palomar."""

    time: list[FiniteFloat] = Field(description="MJD, UTC")
    ra: list[FiniteFloat] = Field(description="deg, ICRS")
    dec: list[FiniteFloat] = Field(description="deg, ICRS")


class LightCurveOnPathAsked(Photometry, PathAsked):
    """The light curve of a moving body."""

    complete: bool = True
    color: Bounded | None = None


class ConeAsked(Place):
    """All sources within a radius."""

    radius: FiniteFloat = Field(1.5, ge=0.0, description="arcsec")
    phot: Detections = Field("aperture", description="aperture, or psfcat for ZTF's own catalogues")
    columns: list[Word] | None = Field(None, description="all by default")


class CompletenessAsked(ImageCuts):
    """Detection probability of stars at a position."""

    ra: FiniteFloat = Field(description="deg, ICRS")
    dec: FiniteFloat = Field(ge=-90.0, le=90.0, description="deg, ICRS")
    mag: FiniteFloat | None = Field(None, description="total AB magnitude of the star")


class CatalogueConeAsked(Asked):
    """All rows of a catalogue within a radius."""

    ra: FiniteFloat = Field(description="deg, ICRS")
    dec: FiniteFloat = Field(ge=-90.0, le=90.0, description="deg, ICRS")
    radius: FiniteFloat = Field(1.5, ge=0.0, description="arcsec")


class StampLook(Asked):
    """How stamps are cut."""

    size: int = Field(23, ge=1, description="width and height, px")
    aperture: int = Field(4, ge=1, le=6)
    north_up: bool = Field(False, description="north up and east left, by flips alone")
    calibration: Calibration | None = Field(None, description="header, ps1 or self: its zero point beside each stamp")


class Picture(Asked):
    """How a stamp is drawn; bright pixels are dark."""

    vmin: FiniteFloat | None = Field(None, description="DN of white; the first percentile by default")
    vmax: FiniteFloat | None = Field(None, description="DN of black; percentile 99.5 by default")
    scale: int = Field(1, ge=1, le=16, description="pixels of the picture per pixel")


class StampAsked(StampLook, Picture, Place):
    """A stamp of one image."""


class StampsAsked(StampLook, Picture, Cuts, Place):
    """The stamps of a position, in order of time."""

    columns: int = Field(8, ge=1, le=100, description="stamps in a row of the picture")


class StampsOnPathAsked(StampLook, Cuts, PathAsked):
    """The stamps of a moving body."""


class StampsOnImageAsked(StampLook):
    """The stamps of many positions on one image."""

    ra: list[FiniteFloat]
    dec: list[FiniteFloat]
    pmra: Bounded | list[Bounded | None] | None = None
    pmdec: Bounded | list[Bounded | None] | None = None
    epoch: FiniteFloat | list[FiniteFloat] | None = None


class MatchedAsked(Asked):
    """Sources with the matching rows of a catalogue."""

    columns: list[Word] = Field(description="ra, dec, x, y, mag, mag_err, or a column that both have")
    catin: Name = Field("sources", description="sources, or a catalogue")
    catref: Name = Field("ps1cat", description="sources, or a catalogue")
    image_id: list[Id] | None = Field(None, description="one image, or several")
    several: bool = Field(False, description="add the column image_id even for one image")
    ra: FiniteFloat | None = Field(None, description="with dec and within, instead of images")
    dec: FiniteFloat | None = Field(None, ge=-90.0, le=90.0)
    within: FiniteFloat | None = Field(None, ge=0.0, description="arcsec")
    mode: Mode | None = None
    radius: FiniteFloat | None = Field(None, ge=0.0, description="match again within this radius, arcsec")
    aperture: int = Field(4, ge=1, le=6)
    calibration: ImageCalibration = "header"


class PsfChecksAsked(Asked):
    """Checks against ZTF's PSF catalogues."""

    image_id: list[Id] | None = Field(None, description="of these images, by default of all")
    warned: bool = Field(False, description="those with a warning only")


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    error: str = Field(description="name of ztfdb's error")
    request_id: str


class FrameColumn(BaseModel):
    """One column."""

    name: str
    dtype: str
    unit: str | None = None
    categories: list[str] | None = None


class Frame(BaseModel):
    """A table by columns; ids are texts, NaN is null."""

    columns: list[FrameColumn]
    data: dict[str, list[Any]]
    attrs: dict[str, Any] = Field(description="parameters of the query")
    hint: str | None = Field(None, description="why an answer is empty")


def _moment(text: float | str | None) -> float | str | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return text
