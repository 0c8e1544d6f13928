"""Columns of tables by name and type, without SQLAlchemy, whose tables take longer to make than an answer.

Tables that queries from the shell read are written down here, and a test compares them with the definitions. All other
tables are looked up in their definitions: `ztfdb.schema.by_name.shape_of`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

EPOCH_COLUMNS = (
    "kind", "simulated", "filefracday", "field", "ccdid", "qid", "rcid", "fid", "expid", "programid", "infobits",
    "obsmjd", "mjd_mid", "exptime", "maglim", "magzp", "magzprms", "clrcoeff", "clrcounc", "airmass",
    "apcor1", "apcor2", "apcor3", "apcor4", "apcor5", "apcor6", "sun_x", "sun_y", "sun_z",
)  # fmt: skip
"""Columns of images that the epochs of a light curve read; an index contains them (PostgreSQL allows 32 columns).

A row of the table is 3 times as wide, and its columns must be decoded one by one: with the index, 300 images take
0.2 ms less. On SQLite, connections cache the images instead (`ztfdb.store.backends.reads.Reads.memory`).
"""

TRUTHS = frozenset({"simulated", "has_mask"})
"""Boolean columns of all tables."""

BLOBS = frozenset({"wcs", "mesh_level", "mesh_rms", "points"})
"""Columns of bytes of all tables."""

DATATYPES = {
    "i2": "short", "i4": "int", "i8": "long", "f4": "float", "f8": "double", "bool": "boolean", "text": "unicodeChar",
    "json": "unicodeChar", "blob": "unsignedByte",
}  # fmt: skip
"""VOTable's datatypes of `Shape`'s words."""

WRITTEN_DOWN = {
    "calibration": """
        image_id:i8* method:text* aperture:i4* catalogue_id:i8? color:text zeropoint:f8? zeropoint_err:f8?
        color_term:f8? color_term_err:f8? covariance:f8? scatter:f8? rms:f8? n_star:i4 n_clipped:i4 color_min:f8?
        color_max:f8? apcor:f8? apcor_err:f8? n_apcor:i4 failure:text? settings:json calibrated:text solution_id:i8?
        x_gradient:f8? x_gradient_err:f8? y_gradient:f8? y_gradient_err:f8? map_xx:f8? map_xy:f8? map_yy:f8?
        magerr_sys:f8?
    """,
    "detection_limit": """
        image_id:i8* limit50:f8? limit90:f8? psf:text? n_star:i4 n_found:i4 n_false:i4? n_source:i4 model:json?
        bins:json? failure:text? settings:json versions:json measured:text
    """,
    "forced_source": """
        hpx29:i8* image_id:i8* method:i2* config_id:i8* ra:f8 dec:f8 x:f8 y:f8 flux_aper1:f4? flux_aper1_err:f4?
        flux_aper2:f4? flux_aper2_err:f4? flux_aper3:f4? flux_aper3_err:f4? flux_aper4:f4? flux_aper4_err:f4?
        flux_aper5:f4? flux_aper5_err:f4? flux_aper6:f4? flux_aper6_err:f4? flux_psf:f4? flux_psf_err:f4? chi:f4?
        sharp:f4? flags:i4 mask_bits:i4? background:f4? background_rms:f4?
    """,
    "image_cell": "cell9:i8* image_id:i8*",
    "object": """
        object_id:i8* ra:f8 dec:f8 reach:f8 crowded:i2 best_snr:f8 best_source_id:i8 first_source_id:i8 ps1_id:i8?
        ps1_separation:f8?
    """,
    "object_filter": """
        object_id:i8* fid:i2* n:i4 first_mjd:f8 last_mjd:f8 min_mag:f8 max_mag:f8 median_mag:f8 mean_mag:f8
        mean_mag_err:f8 scatter:f8? chi2:f8? stetson_j:f8? eta:f8?
    """,
    "psf_catalogue": """
        image_id:i8* role:text field:i4 ccdid:i2 qid:i2 rcid:i2 fid:i2 filtercode:text simulated:bool expid:i8?
        obsmjd:f8? rfid:i8? n_source:i4 magzp:f8 magzpunc:f8? magzprms:f8? nmatches:i4? clrcoeff:f8? clrcounc:f8?
        pcolor:text? infobits:i8? psfrunsw:text? psfrunvn:text? rundate:text? inputimg:text? inputpsf:text?
        data_root_id:i8 path:text size:i8 mtime_ns:i8 sha256:text compression:text cards:json row_checksum:i8?
    """,
    "source": """
        source_id:i8* image_id:i8 hpx29:i8 ra:f8 dec:f8 x:f8 y:f8 a:f4? b:f4? theta:f4? npix:i4 peak:f4? flux_auto:f4?
        flux_auto_err:f4? kron_radius:f4? flux_radius:f4? flux_aper1:f4? flux_aper1_err:f4? flux_aper2:f4?
        flux_aper2_err:f4? flux_aper3:f4? flux_aper3_err:f4? flux_aper4:f4? flux_aper4_err:f4? flux_aper5:f4?
        flux_aper5_err:f4? flux_aper6:f4? flux_aper6_err:f4? flags:i4 mask_bits:i4? background:f4? background_rms:f4?
    """,
    "image": """
        image_id:i8* kind:text simulated:bool filefracday:i8? field:i4 ccdid:i2 qid:i2 rcid:i2 fid:i2 filtercode:text
        expid:i8? pid:i8? x0:i4 y0:i4 nx:i4 ny:i4 obsmjd:f8? mjd_mid:f8? exptime:f8? seeing_pix:f8? maglim:f8?
        seeing:f8? maglimit:f8? magzp:f8 magzpunc:f8? magzprms:f8? clrcoeff:f8? clrcounc:f8? apcor1:f8? apcor2:f8?
        apcor3:f8? apcor4:f8? apcor5:f8? apcor6:f8? gain:f8? readnoi:f8? saturate:f8? infobits:i8?
        infobits_source:text? status:i2? airmass:f8? programid:i2? procvsn:i4? created:text? nframes:i4? ra:f8 dec:f8
        ra1:f8 dec1:f8 ra2:f8 dec2:f8 ra3:f8 dec3:f8 ra4:f8 dec4:f8 sun_x:f8? sun_y:f8? sun_z:f8? ssb_x:f8? ssb_y:f8?
        ssb_z:f8? background:f8 background_rms:f8 sky_noise1:f8? sky_noise2:f8? sky_noise3:f8? sky_noise4:f8?
        sky_noise5:f8? sky_noise6:f8? has_mask:bool n_source:i4 config_id:i8 row_checksum:i8? caveats:i2?
        facts_checksum:i8?
    """,
    "psf_source": """
        source_id:i8* image_id:i8 hpx29:i8 ra:f8 dec:f8 x:f8 y:f8 flux:f4? flux_err:f4? mag_inst:f4? sigmag:f4? snr:f4?
        chi:f4? sharp:f4? flags:i2
    """,
}
"""Name and type of each column; ``?`` if it may be NULL, ``*`` if it is in the primary key."""


@dataclass(frozen=True)
class Shape:
    """The columns of a table.

    Attributes
    ----------
    name : str
    types : dict of str to str
        ``i2``, ``i4``, ``i8``, ``f4``, ``f8``, ``bool``, ``text``, ``json`` or ``blob`` by column, in order.
    nullable : frozenset of str
    key : tuple of str
        The primary key.
    """

    name: str
    types: dict[str, str]
    nullable: frozenset[str]
    key: tuple[str, ...]

    @cached_property
    def dtypes(self) -> dict[str, np.dtype[np.generic]]:
        """Numpy dtypes of the numeric columns."""
        return {name: np.dtype(f"<{kind}") for name, kind in self.types.items() if len(kind) == 2}
