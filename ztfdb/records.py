"""Records shared by the pixel code and the database code: frozen, with scalars and equal-length numpy columns."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ztfdb.arrays import BoolArray, FloatArray, IntArray
from ztfdb.bits import NO_CAVEAT, Caveat
from ztfdb.errors import ImageError
from ztfdb.wcs import WcsParameters

QUADRANT_SHAPE = (3080, 3072)
"""Shape ``(ny, nx)`` of a whole science quadrant."""


@dataclass(frozen=True, eq=False, repr=False)
class Stamp:
    """A cutout around a position.

    Attributes
    ----------
    data : ndarray, shape (ny, nx)
        Pixels; NaN outside the image.
    x, y : float
        The given position, zero-based pixels of the image it was cut from.
    x0, y0 : int
        Image pixel of the stamp's first pixel.
    mask : ndarray of bool or None
        True where a pixel is bad or outside the image; None when the image has no mask.
    wcs : astropy.wcs.WCS or None
        The stamp's own WCS.
    """

    data: FloatArray
    x: float
    y: float
    x0: int
    y0: int
    mask: BoolArray | None = None
    wcs: Any = None

    def __repr__(self) -> str:
        ny, nx = self.shape
        return f"<Stamp of the pixel ({self.x:.2f}, {self.y:.2f}): {nx} x {ny} px>"

    @property
    def xref(self) -> float:
        """The position's x in pixels of the stamp."""
        return self.x - self.x0

    @property
    def yref(self) -> float:
        """The position's y in pixels of the stamp."""
        return self.y - self.y0

    @property
    def shape(self) -> tuple[int, int]:
        """``(ny, nx)``."""
        return self.data.shape[0], self.data.shape[1]

    def show(self, ax: Any = None, **options: Any) -> Any:
        """Draw the stamp with a white cross at the exact position; see `ztfdb.plot.draw_stamp`. Returns the Axes."""
        from ztfdb.plot import draw_stamp

        return draw_stamp(self, ax, **options)


@dataclass(frozen=True, eq=False)
class Match:
    """Pairs of positions from two tables: equal-length columns.

    Attributes
    ----------
    index1, index2 : ndarray of int64, shape (n_pair,)
        Rows of the first and of the second table.
    separation : ndarray of float64, shape (n_pair,)
        Great-circle separation, arcsec.
    """

    index1: IntArray
    index2: IntArray
    separation: FloatArray

    def __len__(self) -> int:
        return len(self.index1)


@dataclass(frozen=True)
class BackgroundMesh:
    """The data for computing background and rms anywhere on the image.

    Attributes
    ----------
    shape : tuple of int
        ``(ny, nx)`` of the image.
    box : tuple of int
        ``(height, width)`` of a mesh box, pixels.
    level, rms : ndarray of float32, shape (n_box_y, n_box_x)
        Filtered background level and pixel rms of each box, DN.
    with_sources : bool
        No box has room between the sources, so the level is a mode of all pixels. Only known just after a measurement.
    """

    shape: tuple[int, int]
    box: tuple[int, int]
    level: FloatArray
    rms: FloatArray
    with_sources: bool = False


@dataclass(frozen=True)
class FileFacts:
    """One file of an image, and where its pixels start.

    Attributes
    ----------
    role : str
        ``sci``, ``msk``, ``ref``, ``psf``, ….
    path : str
        Absolute path at the time of reading.
    size : int
        Bytes.
    mtime_ns : int
        Modification time, nanoseconds since 1970.
    sha256 : str
        Hex digest of the file's bytes.
    hdu : int
        Index of the HDU with the pixels.
    byte_offset : int or None
        Where the pixels of an uncompressed image start; None for compressed files.
    bitpix : int
        BITPIX of the pixels as stored.
    bscale, bzero : float
        Linear scaling of the stored values.
    compression : str
        ``none``, ``gzip`` (the whole file), or the tile compression type (``RICE_1``, ``GZIP_2``, …).
    """

    role: str
    path: str
    size: int
    mtime_ns: int
    sha256: str
    hdu: int
    byte_offset: int | None
    bitpix: int
    bscale: float
    bzero: float
    compression: str


@dataclass(frozen=True, eq=False)
class StoredPixels:
    """Where the pixels of an ingested image are.

    Attributes
    ----------
    image_id : int
    shape : tuple of int
        ``(ny, nx)``.
    wcs : WcsParameters
    files : tuple of FileFacts
        As of ingest; the image's own file first.
    cards : dict of dict, or None
        Header cards by role, for files behind a URL, whose header shows whether they are unchanged.
    """

    image_id: int
    shape: tuple[int, int]
    wcs: WcsParameters
    files: tuple[FileFacts, ...]
    cards: dict[str, dict[str, Any]] | None = field(default=None, kw_only=True)

    @property
    def own(self) -> FileFacts:
        """The file with the image's own pixels."""
        return self.files[0]

    @property
    def mask(self) -> FileFacts | None:
        """The file of its mask."""
        return next((file for file in self.files if file.role == "msk"), None)


@dataclass(frozen=True, eq=False)
class StoredImage(StoredPixels):
    """An ingested image, passed from the database code to the pixel code for another measurement.

    Attributes
    ----------
    mesh : BackgroundMesh
        The background of the ingest.
    sky_noise : ndarray, shape (6,)
        Its sky-noise ratios; NaN if not measured.
    gain : float or None
        Electrons per DN.
    window : tuple of int
        ``(x0, y0)``, the image's first pixel on its whole quadrant.
    sky_biased : bool
        See `ztfdb.bits.Caveat.SKY_BIASED`.
    """

    mesh: BackgroundMesh
    sky_noise: FloatArray
    gain: float | None
    window: tuple[int, int] = (0, 0)
    sky_biased: bool = False


@dataclass(frozen=True)
class ImageInfo:
    """All columns of the table ``image`` about one image, without its sources; ``None`` if the header has no value.

    Units: degrees (ICRS), MJD in UTC days, seconds, AB mag, DN; ``seeing_pix`` in pixels.
    ``kind`` is ``sci`` (a whole science quadrant), ``cutout`` (any other science window) or ``ref``.
    ``x0, y0`` is the window's first pixel on its whole quadrant, ``nx, ny`` its size.
    ``sun_*`` and ``ssb_*`` are the light-time vectors (seconds) from which ``hjd`` and ``bjd_tdb`` follow as
    ``mid-exposure + vector · direction``.
    """

    image_id: int
    kind: str
    simulated: bool
    filefracday: int | None
    field: int
    ccdid: int
    qid: int
    rcid: int
    fid: int
    filtercode: str
    expid: int | None
    pid: int | None
    x0: int
    y0: int
    nx: int
    ny: int
    obsmjd: float | None
    mjd_mid: float | None
    exptime: float | None
    seeing_pix: float | None
    maglim: float | None
    magzp: float
    magzpunc: float | None
    magzprms: float | None
    clrcoeff: float | None
    clrcounc: float | None
    apcor1: float | None
    apcor2: float | None
    apcor3: float | None
    apcor4: float | None
    apcor5: float | None
    apcor6: float | None
    gain: float | None
    readnoi: float | None
    saturate: float | None
    infobits: int | None
    status: int | None
    airmass: float | None
    programid: int | None
    procvsn: int | None
    created: str | None
    nframes: int | None
    ra: float
    dec: float
    ra1: float
    dec1: float
    ra2: float
    dec2: float
    ra3: float
    dec3: float
    ra4: float
    dec4: float
    sun_x: float | None
    sun_y: float | None
    sun_z: float | None
    ssb_x: float | None
    ssb_y: float | None
    ssb_z: float | None


@dataclass(frozen=True)
class SourceTable:
    """The detections of one image: equal-length columns, ordered by ``number``.

    Attributes
    ----------
    number : ndarray of int64, shape (n_source,)
        Running number from 0, the low 18 bits of ``source_id``.
    hpx29 : ndarray of int64
        HEALPix cell, order 29, NESTED, ICRS.
    ra, dec : ndarray of float64
        Position, deg, ICRS.
    x, y : ndarray of float64
        Windowed position, zero-based pixels.
    a, b, theta : ndarray of float32
        Rms half axes, pixels, and position angle of the major axis from +x towards +y, rad.
    npix : ndarray of int32
        Pixels above the detection threshold.
    peak : ndarray of float32
        Highest pixel above the background, DN.
    flux_auto, flux_auto_err, kron_radius : ndarray of float32
        Kron flux and error (DN) and Kron radius in units of ``a``.
    flux_radius : ndarray of float32
        Half-light radius, pixels; NaN if undefined.
    flux_aper, flux_aper_err : ndarray of float32, shape (6, n_source)
        Aperture sums and one-sigma errors (sky + Poisson, sky term scaled by the image's noise ratios), DN;
        NaN if nothing could be measured.
    flags : ndarray of int32
        `ztfdb.bits.SourceFlag`.
    mask_bits : ndarray of int32 or None
        OR of the mask inside the 6 px aperture without the source bits; None without a mask.
    background, background_rms : ndarray of float32
        Level and pixel rms of the background at the source, DN.
    """

    number: IntArray
    hpx29: IntArray
    ra: FloatArray
    dec: FloatArray
    x: FloatArray
    y: FloatArray
    a: FloatArray
    b: FloatArray
    theta: FloatArray
    npix: IntArray
    peak: FloatArray
    flux_auto: FloatArray
    flux_auto_err: FloatArray
    kron_radius: FloatArray
    flux_radius: FloatArray
    flux_aper: FloatArray
    flux_aper_err: FloatArray
    flags: IntArray
    mask_bits: IntArray | None
    background: FloatArray
    background_rms: FloatArray

    def __len__(self) -> int:
        return len(self.number)

    def __post_init__(self) -> None:
        n = len(self.number)
        for f in fields(self):
            column = getattr(self, f.name)
            if column is not None and column.shape[-1] != n:
                raise ValueError(f"column {f.name} has {column.shape[-1]} rows, number has {n}")


@dataclass(frozen=True)
class PsfTable:
    """The rows of a ``psfcat`` or ``refpsfcat``: equal-length columns, in the file's order.

    Attributes
    ----------
    sourceid : ndarray of int64, shape (n_source,)
        ZTF's running number, the low 18 bits of ``source_id``.
    hpx29 : ndarray of int64
        HEALPix cell, order 29, NESTED, ICRS.
    ra, dec : ndarray of float64
        deg, ICRS.
    x, y : ndarray of float64
        Zero-based pixels: exactly ``xpos - 1`` and ``ypos - 1``, minus the window's origin on a cutout.
    flux, flux_err : ndarray of float32
        PSF flux and error (with ZTF's own floor), DN.
    mag_inst, sigmag : ndarray of float32
        Instrumental magnitude and error.
    snr, chi, sharp : ndarray of float32
    flags : ndarray of int16
        Mask bits around the source.
    """

    sourceid: IntArray
    hpx29: IntArray
    ra: FloatArray
    dec: FloatArray
    x: FloatArray
    y: FloatArray
    flux: FloatArray
    flux_err: FloatArray
    mag_inst: FloatArray
    sigmag: FloatArray
    snr: FloatArray
    chi: FloatArray
    sharp: FloatArray
    flags: IntArray

    def __len__(self) -> int:
        return len(self.sourceid)


@dataclass(frozen=True)
class PsfCatalogueRecord:
    """One PSF catalogue of ZTF as read; ``None`` if its header has no value.

    Attributes
    ----------
    role : str
        ``psfcat`` or ``refpsfcat``.
    field, ccdid, qid, rcid, fid, filtercode, simulated
        Its field, detector and filter.
    expid, obsmjd, filefracday
        Of the exposure; None for references.
    rfid : int or None
        ZTF's id of the reference image.
    magzp, magzpunc, magzprms, nmatches, clrcoeff, clrcounc, pcolor, infobits
        Photometric calibration.
    psfrunsw, psfrunvn, rundate, inputimg, inputpsf : str or None
        The software that made it, the time, and its input.
    cards : dict
        The primary header as strict JSON.
    file : FileFacts
    table : PsfTable
    """

    role: str
    field: int
    ccdid: int
    qid: int
    rcid: int
    fid: int
    filtercode: str
    simulated: bool
    expid: int | None
    obsmjd: float | None
    filefracday: int | None
    rfid: int | None
    magzp: float | None
    magzpunc: float | None
    magzprms: float | None
    nmatches: int | None
    clrcoeff: float | None
    clrcounc: float | None
    pcolor: str | None
    infobits: int | None
    psfrunsw: str | None
    psfrunvn: str | None
    rundate: str | None
    inputimg: str | None
    inputpsf: str | None
    cards: dict[str, Any]
    file: FileFacts
    table: PsfTable


@dataclass(frozen=True)
class MeasurementConfig:
    """Settings and software of a measurement.

    Attributes
    ----------
    config_hash : str
        sha256 (hex) of the canonical JSON of settings and versions.
    settings : dict
        The extraction settings as plain JSON values.
    versions : dict of str
        Version of ztfdb and of each library that affects the numbers.
    """

    config_hash: str
    settings: dict[str, Any]
    versions: dict[str, str]


@dataclass(frozen=True)
class MeasuredImage:
    """One measured image, passed from the pixel code to the database code; picklable.

    Attributes
    ----------
    info : ImageInfo
    headers : dict of dict
        Strict-JSON header cards by role (``{"sci": {...}, "msk": {...}}``); no NaN, no NUL.
    wcs : WcsParameters
    mesh : BackgroundMesh
    background, background_rms : float
        Median background level and median pixel rms of the image, DN.
    sky_noise : ndarray, shape (6,)
        Blank-aperture scatter divided by the white-noise value, per aperture; NaN if not measured.
    cells : ndarray of int64
        HEALPix order-9 cells that the image touches, ascending.
    files : tuple of FileFacts
    sources : SourceTable
    config : MeasurementConfig
    seconds : dict of float
        Wall time by step.
    psfcat : PsfCatalogueRecord, ImageError or None
        ZTF's own catalogue of the image, or why it was refused; None if none was given.
    caveats : Caveat
        What the image lacks.
    detection : dict, optional
        Result of the artificial stars, a row of ``detection_limit``; None if not requested.
    """

    info: ImageInfo
    headers: dict[str, dict[str, Any]]
    wcs: WcsParameters
    mesh: BackgroundMesh
    background: float
    background_rms: float
    sky_noise: FloatArray
    cells: IntArray
    files: tuple[FileFacts, ...]
    sources: SourceTable
    config: MeasurementConfig
    seconds: dict[str, float] = field(default_factory=dict)
    psfcat: PsfCatalogueRecord | ImageError | None = None
    caveats: Caveat = NO_CAVEAT
    detection: dict[str, Any] | None = None
