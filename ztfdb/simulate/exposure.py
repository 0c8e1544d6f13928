"""Parameters of a simulated exposure: identity, pointing, camera and sky."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from astropy.time import Time

from ztfdb.codes import FILTER_IDS
from ztfdb.frame.identity import PIPELINE_ID
from ztfdb.records import QUADRANT_SHAPE
from ztfdb.simulate.profile import Profile

MJD_NID_ZERO = 57754
"""``nid`` counts nights from 2017-01-01."""

CD = (-2.812466e-4, 1.3666e-6, -1.3362e-6, -2.812619e-4)
"""Linear WCS terms of a real quadrant (field 651, g, c03 q1), deg per pixel: CD1_1, CD1_2, CD2_1, CD2_2."""

_PV_TERMS = (0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16)
_PV1 = (
    2.82931510214e-05, 1.000000886805, -1.583849820628e-05, -4.551962017747e-04, -8.448987011491e-05,
    -2.590727599212e-04, 1.271446860683e-04, -2.218410001277e-05, -2.238379281277e-04, -8.6789023318149e-05,
    7.544816031555e-04, -6.509589247359e-04, 1.397116876056e-04, 1.571286145113e-04, 6.416466661674e-04,
)  # fmt: skip
_PV2 = (
    4.320809994094e-05, 1.000088198292, -2.199903872155e-05, -5.366569130607e-04, -2.406676575668e-04,
    -2.07199127297e-04, -2.189047536949e-04, -1.038595866183e-04, -2.698874623035e-04, 9.987399186654e-05,
    7.652771860817e-04, 3.851918002e-04, -1.589248794534e-04, -3.523303703531e-04, 2.730145790782e-04,
)  # fmt: skip
PV = {f"PV{axis}_{j}": v for axis, values in ((1, _PV1), (2, _PV2)) for j, v in zip(_PV_TERMS, values, strict=True)}
"""Distortion terms of the same quadrant."""


@dataclass(frozen=True)
class Exposure:
    """Parameters of `make_science_image` besides the stars; every value has a default.

    Attributes
    ----------
    obsmjd : float
        Exposure start, MJD UTC. It determines the file name, expid and pid.
    exptime : float
        Seconds.
    field, ccdid, qid, filtercode
        Identity as ZTF spells it.
    ra, dec : float
        CRVAL, deg: the sky position of the whole quadrant's centre.
    shape : tuple of int
        ``(ny, nx)`` of the written image.
    x0, y0 : int or None
        First pixel of the window on the quadrant; None centres the window.
    fwhm : float
        FWHM of the PSF, pixels (header SEEING).
    moffat : float or None
        Moffat exponent; None for a Gaussian PSF.
    sky : float
        Sky level at the quadrant's centre, DN.
    sky_gradient : tuple of float
        Slope of the sky along x and y, DN per 1000 pixels.
    gain, readnoi, saturate : float
        e-/DN, e-, DN.
    magzp, magzpunc, magzprms, clrcoeff, clrcounc, maglim : float
        Photometric cards. MAGZP holds for the total flux of a star.
    correlated_rms, correlated_scale : float
        Rms (DN) and Gaussian width (pixels) of additional smooth noise; 0 for none.
    airmass, programid, infobits, status, procvsn, created
        Further cards.
    wcs_cards : dict
        CD and PV cards of the WCS.
    """

    obsmjd: float = 59116.4317708
    exptime: float = 30.0
    field: int = 655
    ccdid: int = 13
    qid: int = 3
    filtercode: str = "zr"
    ra: float = 57.9974032715
    dec: float = 35.74628707041
    shape: tuple[int, int] = (512, 512)
    x0: int | None = None
    y0: int | None = None
    fwhm: float = 2.0
    moffat: float | None = None
    sky: float = 150.0
    sky_gradient: tuple[float, float] = (0.0, 0.0)
    gain: float = 6.2
    readnoi: float = 9.0
    saturate: float = 58000.0
    magzp: float = 26.285139
    magzpunc: float = 3.9755e-06
    magzprms: float = 0.024661
    clrcoeff: float = 0.079197
    clrcounc: float = 8.5202e-06
    maglim: float | None = None
    correlated_rms: float = 0.0
    correlated_scale: float = 3.0
    airmass: float = 1.018
    programid: int = 1
    infobits: int = 0
    status: int = 1
    procvsn: int = 1
    created: str | None = None
    wcs_cards: dict[str, float] = dataclasses.field(
        default_factory=lambda: {**dict(zip(("CD1_1", "CD1_2", "CD2_1", "CD2_2"), CD, strict=True)), **PV}
    )

    def __post_init__(self) -> None:
        if self.filtercode not in FILTER_IDS:
            raise ValueError(f"filtercode {self.filtercode!r} is none of {', '.join(FILTER_IDS)}")
        if not (1 <= self.ccdid <= 16 and 1 <= self.qid <= 4):
            raise ValueError(f"ccdid {self.ccdid} and qid {self.qid} must lie in 1–16 and 1–4")
        if min(self.shape) < 1:
            raise ValueError(f"shape {self.shape} is empty")

    @property
    def fid(self) -> int:
        """Filter id."""
        return FILTER_IDS[self.filtercode]

    @property
    def rcid(self) -> int:
        """Readout channel, 0–63."""
        return 4 * (self.ccdid - 1) + self.qid - 1

    @property
    def nid(self) -> int:
        """Night id."""
        return int(np.floor(self.obsmjd)) - MJD_NID_ZERO

    @property
    def expid(self) -> int:
        """Exposure id: the night, then the day's fraction in units of 1e-5 day."""
        # the header stores OBSMJD with 7 decimals; rounding keeps both consistent
        return self.nid * 100_000 + int(np.floor(round(self.obsmjd % 1.0, 7) * 1e5))

    @property
    def pid(self) -> int:
        """Processed-image id."""
        return self.expid * 10_000 + self.rcid * 100 + PIPELINE_ID

    @property
    def filefracday(self) -> int:
        """UT date and fraction of the day in units of 1e-6, as in the file name."""
        date = Time(np.floor(self.obsmjd), format="mjd", scale="utc").strftime("%Y%m%d")
        return int(date) * 1_000_000 + int(np.floor(round(self.obsmjd % 1.0, 7) * 1e6))

    @property
    def stem(self) -> str:
        """File name without its last part."""
        return f"ztf_{self.filefracday:014d}_{self.field:06d}_{self.filtercode}_c{self.ccdid:02d}_o_q{self.qid}"

    @property
    def window(self) -> tuple[int, int]:
        """First pixel ``(x0, y0)`` of the image on the quadrant."""
        ny, nx = self.shape
        return (
            (QUADRANT_SHAPE[1] - nx) // 2 if self.x0 is None else self.x0,
            (QUADRANT_SHAPE[0] - ny) // 2 if self.y0 is None else self.y0,
        )

    @cached_property
    def profile(self) -> Profile:
        """The PSF."""
        return Profile.gaussian(self.fwhm) if self.moffat is None else Profile.moffat(self.fwhm, self.moffat)

    @property
    def sky_noise(self) -> float:
        """Noise of one sky pixel, DN: Poisson of the sky, read noise, and the smooth noise."""
        return float(np.sqrt(max(self.sky, 0.0) / self.gain + (self.readnoi / self.gain) ** 2 + self.correlated_rms**2))

    @property
    def limit_mag(self) -> float:
        """MAGLIM: the given value, else 5 sigma of a PSF fit limited by sky noise."""
        if self.maglim is not None:
            return self.maglim
        area = 4.0 * np.pi * (self.fwhm * 0.4246609) ** 2 + 1.0
        return float(self.magzp - 2.5 * np.log10(5.0 * self.sky_noise * np.sqrt(area)))
