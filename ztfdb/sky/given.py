"""Numbers in the forms that users give: plain, or with a unit, a mask or a time scale of astropy's.

astropy is not imported for plain numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ztfdb.arguments import shown

EPOCHS = (1800.0, 2200.0)
"""Range of Julian years that are accepted as the epoch of a position."""


_ANGLES = {
    **dict.fromkeys(("deg", "degs", "deg.", "degrees", "degree(s)"), "deg"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hourangle"),
    "radians": "rad",
}
"""Units of angles as tables spell them; hours of an angle are not those of a time."""


def is_a(value: Any, module: str, name: str) -> bool:
    """Return whether a value has a class of a module, without importing it: its existence implies the import."""
    return isinstance(value, getattr(sys.modules.get(module), name, ()))


def is_coordinate(value: Any) -> bool:
    """Return whether a value is a `~astropy.coordinates.SkyCoord` or a frame with data."""
    return any(is_a(value, "astropy.coordinates", name) for name in ("SkyCoord", "BaseCoordinateFrame"))


def numbers(value: Any, unit: str, name: str, *, missing: bool = True) -> NDArray[np.float64]:
    """Return a value as plain doubles in a unit; numbers without a unit are taken to be in it.

    Parameters
    ----------
    value : float, array_like, Quantity or column
    unit : str
        As astropy spells it.
    name : str
        Name of the value, for messages.
    missing : bool
        Return NaN for masked values; else they are an error.

    Raises
    ------
    ValueError
        If a value is not a number, has a unit of another kind, or is masked and must not be.
    """
    if type(value) is float or (type(value) is np.ndarray and value.dtype == np.float64):
        return np.asarray(value, np.float64)
    if unit == "yr" and is_a(value, "astropy.time", "Time"):
        value = value.jyear
    own = getattr(value, "unit", None)
    try:
        plain: Any = value if own is None else _converted(value, own, unit)
        mask: NDArray[np.bool_] = np.array(False)
        if plain is np.ma.masked:
            plain, mask = np.nan, np.array(True)
        elif isinstance(plain, np.ma.MaskedArray) or is_a(plain, "astropy.utils.masked", "Masked"):
            mask = np.asarray(plain.mask)
        elif isinstance(value, np.ma.MaskedArray):  # a MaskedColumn with a unit: a Quantity of it has no mask
            mask = np.ma.getmaskarray(value)
        plain = plain.unmasked if is_a(plain, "astropy.utils.masked", "Masked") else plain
        plain = plain.data if isinstance(plain, np.ma.MaskedArray) else plain
        plain = plain if hasattr(plain, "dtype") else np.asarray(plain)
        if getattr(plain.dtype, "kind", "O") in "bcmM":  # numpy would take dates for nanoseconds
            raise TypeError(f"found {plain.dtype}")
        values = np.asarray(plain, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as exc:
        raise ValueError(_refused(value, unit, name, exc)) from exc
    if mask.any():
        if not missing:
            row = f" in row {np.flatnonzero(mask)[0]}" if mask.ndim else ""
            raise ValueError(f"{name} is masked{row}: there is no value")
        values = np.where(mask, np.nan, values)
    return values


def unit_factor(own: str, unit: str, name: str) -> float:
    """Return by what a number of a file is multiplied to be in a unit.

    Parameters
    ----------
    own : str
        The unit in the file; one that astropy does not know is ignored, with the factor 1.
    unit : str
        The wanted unit.
    name : str
        Name of the column, for messages.

    Raises
    ------
    ValueError
        If `own` is a unit of another kind.
    """
    from astropy import units as u

    spelled = _ANGLES.get(own.lower(), own) if unit == "deg" else own
    found = u.Unit(spelled, parse_strict="silent")
    if isinstance(found, u.UnrecognizedUnit) or found == u.dimensionless_unscaled:
        return 1.0
    try:
        return float(found.to(unit))
    except u.UnitConversionError as exc:
        raise ValueError(f"column {name} is in {own}: expected a unit such as {unit}") from exc


def check_epoch(years: NDArray[np.floating[Any]]) -> None:
    """Raise ValueError if a value is not the Julian year of a position."""
    if not np.isfinite(years).all():
        raise ValueError("the epoch of a position is not a number")
    wrong = years[(years < EPOCHS[0]) | (years > EPOCHS[1])]
    if len(wrong):
        raise ValueError(f"epoch {wrong[0]:g}: expected a Julian year such as 2016.0, not an MJD or JD")


def no_position(ra: float, dec: float) -> str:
    """Return the message for coordinates (deg) that are not on the sky."""
    why = "dec lies between -90 and 90" if np.isfinite(ra) and np.isfinite(dec) else "a number is missing or masked"
    return f"({ra}, {dec}) is not a position: {why}"


def no_name(text: str) -> str:
    """Return the message for a text where a position is expected."""
    name = f"astropy's SkyCoord.from_name({text!r}) looks up a name, and " if text[:1].isalpha() else "astropy's "
    return (
        f"{text!r} is not a position in degrees, but text: {name}"
        "SkyCoord('12:34:56.7 -03:12:00', unit=('hourangle', 'deg')) reads sexagesimal text"
    )


def _converted(value: Any, own: Any, unit: str) -> Any:
    from astropy.units import Quantity

    if unit == "deg" and (spelled := _ANGLES.get(str(own).lower())) is not None:
        value, own = value.value if isinstance(value, Quantity) else value.data, spelled
    return Quantity(value, own).to_value(unit)


def _refused(value: Any, unit: str, name: str, exc: Exception) -> str:
    listed = isinstance(value, Iterable) and not isinstance(value, str | bytes)
    first = next((one for one in _flat(value) if isinstance(one, str)), None)
    if first is not None and unit == "deg":
        return f"{name}: {no_name(first)}"
    why = exc if first is None else "found text; for another unit give a Quantity of astropy"
    return f"{name} {shown(value)}: expected {'numbers' if listed else 'a number'} of {unit} ({why})"


def _flat(value: Any) -> list[Any]:
    try:
        return np.ravel(np.asarray(value, dtype=object)).tolist()
    except ValueError:  # lists of unequal lengths
        return []
