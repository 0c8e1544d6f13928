"""Map columns of files to ztfdb's: tables of MAST, VizieR and the Gaia archive, and the calibrator files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ztfdb.codes import PS1_BANDS

ID_COLUMNS = {"ps1": "ps1_id", "gaia": "gaia_id", "reference": "reference_id", "irsa": "reference_id"}


@dataclass(frozen=True)
class Layout:
    """The column names of one kind of file.

    Attributes
    ----------
    name : str
    columns : mapping of str to tuple of str
        Names in the file, without case, by ztfdb column; the first existing one is used.
    required : tuple of str
        ztfdb columns without which a file does not have this layout.
    epoch : str or None
        Unit of the file's epoch, ``mjd`` or ``year``.
    default_epoch : float or None
        Julian year of the positions if the file has no column for it.
    stack : bool
        PS1: magnitudes are measured on the stack, not averaged over exposures.
    primary : str or None
        A column that is 1 on the rows to keep.
    """

    name: str
    columns: Mapping[str, tuple[str, ...]]
    required: tuple[str, ...] = ("ra", "dec")
    epoch: str | None = None
    default_epoch: float | None = None
    stack: bool = False
    primary: str | None = None


@dataclass(frozen=True)
class Plan:
    """A layout applied to one file.

    Attributes
    ----------
    layout : Layout
    sources : dict of str
        Name in the file by ztfdb column.
    """

    layout: Layout
    sources: Mapping[str, str]


def _bands(mag: str, err: str, kron: str | None) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for band in PS1_BANDS:
        found[f"{band}_mag"] = (mag.format(band),)
        found[f"{band}_mag_err"] = (err.format(band),)
        if kron is not None:
            found[f"{band}_kron_mag"] = (kron.format(band),)
    return found


_MAST = {
    "ps1_id": ("objID",),
    "n_detection": ("nDetections",),
    "quality": ("qualityFlag",),
    "info_flag": ("objInfoFlag",),
    "epoch": ("epochMean",),
}
MAST_MEAN = Layout(
    "mast-mean",
    {
        **_MAST,
        "ra": ("raMean",),
        "dec": ("decMean",),
        "ra_err": ("raMeanErr",),
        "dec_err": ("decMeanErr",),
        **_bands("{}MeanPSFMag", "{}MeanPSFMagErr", "{}MeanKronMag"),
    },
    required=("ps1_id", "ra", "dec", "r_mag"),
    epoch="mjd",
)
MAST_STACK = Layout(
    "mast-stack",
    {
        **_MAST,
        "ra": ("raStack", "raMean"),
        "dec": ("decStack", "decMean"),
        "ra_err": ("raStackErr", "raMeanErr"),
        "dec_err": ("decStackErr", "decMeanErr"),
        **_bands("{}PSFMag", "{}PSFMagErr", "{}KronMag"),
    },
    required=("ps1_id", "ra", "dec", "r_mag"),
    epoch="mjd",
    stack=True,
    primary="primaryDetection",
)
VIZIER_PS1 = Layout(
    "vizier",
    {
        "ps1_id": ("objID",),
        "ra": ("RAJ2000", "RA_ICRS"),
        "dec": ("DEJ2000", "DE_ICRS"),
        "ra_err": ("e_RAJ2000", "e_RA_ICRS"),
        "dec_err": ("e_DEJ2000", "e_DE_ICRS"),
        "epoch": ("Epoch",),
        "n_detection": ("Nd",),
        "quality": ("Qual",),
        "info_flag": ("f_objID",),
        **_bands("{}mag", "e_{}mag", "{}Kmag"),
    },
    required=("ps1_id", "ra", "dec", "r_mag"),
    epoch="mjd",
)
CALIBRATOR_PS1 = Layout(
    "calibrator",
    {"ps1_id": ("objID",), "ra": ("ra",), "dec": ("dec",), **_bands("{}mag", "e_{}mag", None)},
    required=("ra", "dec", "g_mag", "r_mag"),
)
GAIA_ARCHIVE = Layout(
    "gaia-archive",
    {
        "gaia_id": ("source_id",),
        "ra": ("ra",),
        "dec": ("dec",),
        "epoch": ("ref_epoch",),
        "pmra": ("pmra",),
        "pmdec": ("pmdec",),
        "parallax": ("parallax",),
        "parallax_err": ("parallax_error",),
        "ruwe": ("ruwe",),
        "g_mag": ("phot_g_mean_mag",),
        "bp_mag": ("phot_bp_mean_mag",),
        "rp_mag": ("phot_rp_mean_mag",),
    },
    required=("gaia_id", "ra", "dec", "g_mag"),
    epoch="year",
    default_epoch=2016.0,
)
_GAIA_SHORT = {
    "gaia_id": ("Source",),
    "pmra": ("pmRA",),
    "pmdec": ("pmDE", "pmdec"),
    "parallax": ("Plx",),
    "parallax_err": ("e_Plx",),
    "ruwe": ("RUWE",),
    "g_mag": ("Gmag",),
    "g_mag_err": ("e_Gmag",),
    "bp_mag": ("BPmag",),
    "bp_mag_err": ("e_BPmag",),
    "rp_mag": ("RPmag",),
    "rp_mag_err": ("e_RPmag",),
}
VIZIER_GAIA = Layout(
    "vizier",
    {**_GAIA_SHORT, "ra": ("RA_ICRS",), "dec": ("DE_ICRS",), "epoch": ("Epoch",)},
    required=("gaia_id", "ra", "dec", "g_mag"),
    epoch="year",
    default_epoch=2016.0,
)
CALIBRATOR_GAIA = Layout(
    "calibrator",
    {**_GAIA_SHORT, "ra": ("ra",), "dec": ("dec",)},
    required=("gaia_id", "ra", "dec", "g_mag"),
    default_epoch=2016.0,
)
PLAIN = Layout(
    "named",
    {
        "reference_id": ("id", "reference_id", "source_id", "objid"),
        "ra": ("ra", "ra_icrs", "raj2000", "ra_deg"),
        "dec": ("dec", "de_icrs", "dej2000", "dec_deg"),
        "epoch": ("ref_epoch", "epoch"),
        "pmra": ("pmra",),
        "pmdec": ("pmdec", "pmde"),
        "mag": ("mag",),
        "mag_err": ("mag_err", "magerr", "e_mag"),
    },
    epoch="year",
)
IRSA = Layout("irsa", {"reference_id": ("objectid", "oid"), "ra": ("objra",), "dec": ("objdec",)}, ("reference_id",))
"""ZTF's light curves as IRSA publishes them: one object per star, field, filter and quadrant."""

LAYOUTS = {
    "ps1": (MAST_MEAN, MAST_STACK, VIZIER_PS1, CALIBRATOR_PS1),
    "gaia": (GAIA_ARCHIVE, VIZIER_GAIA, CALIBRATOR_GAIA),
    "reference": (PLAIN,),
    "irsa": (IRSA,),
}


def make_plan(kind: str, names: Sequence[str], given: Mapping[str, str] | None = None) -> Plan:
    """Map a file's columns to ztfdb's.

    Parameters
    ----------
    kind : str
        ``ps1``, ``gaia`` or ``reference``.
    names : sequence of str
        Columns of the file.
    given : mapping of str to str, optional
        Name in the file by ztfdb column, as given by the user; ``id`` means the id column.

    Raises
    ------
    ValueError
        If the layout is unknown and no names were given, or given names are wrong; the message lists the existing
        columns.
    """
    told = {ID_COLUMNS[kind] if ours == "id" else ours: theirs for ours, theirs in (given or {}).items()}
    lower = {name.lower(): name for name in reversed(names)}
    for layout in LAYOUTS[kind]:
        sources = {
            ours: lower[name.lower()]
            for ours, theirs in layout.columns.items()
            for name in reversed(theirs)  # the first existing one stays
            if name.lower() in lower
        }
        if not told and all(ours in sources for ours in layout.required):
            return Plan(layout, sources)
    layout = LAYOUTS[kind][-1]
    if told:
        return _told_plan(layout, told, names, kind)
    known = ", ".join(one.name for one in LAYOUTS[kind])
    what = "has no columns ra and dec" if kind == "reference" else f"is of none of the layouts of {kind} ({known})"
    raise ValueError(f"{what}; name the columns. There are: {', '.join(names)}")


def _told_plan(layout: Layout, told: Mapping[str, str], names: Sequence[str], kind: str) -> Plan:
    """Return the plan for names given by the user; positions may still have their usual names."""
    ours_known = sorted({name for one in LAYOUTS[kind] for name in one.columns})
    unknown = [ours for ours in told if ours not in ours_known]
    if unknown:
        raise ValueError(f"{', '.join(unknown)} is no column of a {kind} catalogue; there are {', '.join(ours_known)}")
    lacking = [theirs for theirs in told.values() if theirs not in names]
    if lacking:
        raise ValueError(f"has no column {', '.join(lacking)}; there are: {', '.join(names)}")
    sources = dict(told)
    lower = {name.lower(): name for name in names}
    for ours in ("ra", "dec"):
        if ours not in sources:
            usual = next((lower[name] for name in PLAIN.columns[ours] if name in lower), None)
            if usual is None:
                raise ValueError(f"name the column that is {ours}; there are: {', '.join(names)}")
            sources[ours] = usual
    named = Layout("named", {}, epoch="year", default_epoch=layout.default_epoch)
    return Plan(named, sources)
