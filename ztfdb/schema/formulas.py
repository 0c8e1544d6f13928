"""Logarithm, power, root and separation in SQL that uses only ``+ - * /`` and comparisons of doubles.

There are two reasons. Every engine that computes in IEEE doubles returns the same digits, whereas the ``log10`` of
SQLite and PostgreSQL differ in the last one. And a reader whose SQLite was built without mathematical functions can
still read the views.

Constants are written as fractions of integers, which are exact in every engine: decimals of 17 digits are not always
parsed to the same double. Each intermediate value is in a subquery of its own, which ``limit 1`` keeps from being
merged, so it is computed once.
"""

from __future__ import annotations

import math

_STEP = 60
"""Binary orders of magnitude removed at once, before the rest is found by comparisons."""

_N_LOG = 11
"""Terms of the series of atanh: the next is below 10^-18 for |t| <= 0.172."""

_N_EXP = 20
"""Terms of the series of exp: the next is below 10^-18 for an argument of 1.16."""

_N_SINE = 11
"""Factors of the series of sine: the next is below 10^-18 for an argument of pi / 2."""

_DECADES = 38
"""Powers of 10 beyond the range of single-precision fluxes."""


def exact(value: float) -> str:
    """Return a double as SQL that every engine reads as the same double."""
    numerator, denominator = value.as_integer_ratio()
    if denominator > 1 << 62:
        raise ValueError(f"{value} is too small to be written as a fraction of 64-bit integers")
    return f"(cast({numerator} as double precision) / {denominator})"


def log10(x: str) -> str:
    """Return SQL for log10 of a positive double expression within the range of single precision.

    x = y 2^k with 1 <= y < 2^60, and y = 2^(e + 1/2) (1 + t) / (1 - t), hence
    log10 x = (k + e + 1/2) log10 2 + 2 atanh(t) / ln 10. Absolute or relative errors are below 3e-16.
    """
    offsets = range(120, -_STEP * 4, -_STEP)  # single precision is 2^-149 to 2^128
    shift = " ".join(f"when x >= {_power(k)} then {k}" for k in offsets)
    scaled = " ".join(f"when x >= {_power(k)} then x * {_power(-k)}" for k in offsets)
    order = " ".join(f"when y < {1 << (e + 1)} then {e}" for e in range(_STEP))
    series = exact(1 / (2 * _N_LOG - 1))
    for k in range(_N_LOG - 2, -1, -1):
        series = f"({exact(1 / (2 * k + 1))} + u * {series})"
    half = exact(0.5 * math.log10(2.0))
    return _steps(
        f"(k + e) * {exact(math.log10(2.0))} + ({half} + {exact(2.0 / math.log(10.0))} * t * {series})",
        f"select {x} as x",
        f"select case {shift} end as k, case {scaled} end as y",
        f"select k, y, case {order} end as e",
        f"select k, e, cast(cast(1 as bigint) << e as double precision) * {exact(math.sqrt(2.0))} as c, y",
        "select k, e, (y - c) / (y + c) as t",
        "select k, e, t, t * t as u",
    )


def power10(x: str) -> str:
    """Return SQL for 10^x of a double expression, |x| < 38.5; NULL beyond. The relative accuracy is 1e-15."""
    decades = sorted(range(-_DECADES, _DECADES + 1), key=abs)  # those of zero points come first
    nearest = " ".join(f"when x >= {exact(k - 0.5)} and x < {exact(k + 0.5)} then {k}" for k in decades)
    factor = " ".join(f"when {k} then {_decade(k)}" for k in decades)
    return _steps(
        f"case k {factor} end * {_exp_terms('s', 1, _N_EXP // 2)}",
        f"select {x} as x",
        f"select x, case {nearest} end as k",
        f"select k, (x - k) * {exact(math.log(10.0))} as g",
        f"select k, g, {_exp_terms('1', _N_EXP // 2 + 1, _N_EXP)} as s",  # separate: SQLite allows 100 nested levels
    )


def hypot(x: str, y: str) -> str:
    """Return SQL for the root of x^2 + y^2 of two doubles that are not negative; NULL if one is NULL.

    The relative accuracy is 1e-15. The larger value is factored out, so that the argument of the root is between 1 and
    2, where Newton's steps from a line converge.
    """
    steps = [
        f"select {x} as x, {y} as y",
        "select case when x > y then x else y end as hi, case when x > y then y else x end as lo, x + y as known",
        "select hi, known, case when hi > 0 then 1 + (lo / hi) * (lo / hi) else 1 end as w",
        f"select hi, known, w, {exact(0.59)} + {exact(0.42)} * w as r",
    ]
    steps += ["select hi, known, w, (r + w / r) * 0.5 as r"] * 4
    return _steps("case when known is not null then hi * r end", *steps)


def haversine(ra1: str, dec1: str, ra2: str, dec2: str) -> str:
    """Return SQL for the haversine of a separation, sin^2 of its half; arguments in deg, RA differences below 360.

    Cosines of declinations are computed as sines of polar distances, which is accurate at the poles.
    """
    half, whole = exact(math.pi / 360.0), exact(math.pi / 180.0)
    sines = ", ".join(f"{_sine(name)} as {name}" for name in ("p", "q", "c", "d"))
    return _steps(
        "q * q + c * d * p * p",
        f"select {ra2} - {ra1} as p, {dec2} - {dec1} as q, {dec1} as c, {dec2} as d",
        "select case when p > 180 then p - 360 when p < -180 then p + 360 else p end as p, q, "
        "90 - case when c < 0 then -c else c end as c, 90 - case when d < 0 then -d else d end as d",
        f"select p * {half} as p, q * {half} as q, c * {whole} as c, d * {whole} as d",
        f"select {sines}",
    )


def _sine(x: str) -> str:
    """Return the series of sin(x) in Horner's form, |x| <= pi / 2."""
    inner = "1"
    for k in range(_N_SINE, 0, -1):
        inner = f"(1 - {x} * {x} / {2 * k * (2 * k + 1)} * {inner})"
    return f"{x} * {inner}"


def _exp_terms(inner: str, first: int, last: int) -> str:
    """Return the terms of exp(g) from `first` to `last` in Horner's form, 1 + g / first * (1 + ... * inner)."""
    for k in range(last, first - 1, -1):
        inner = f"(1 + g / {k} * {inner})"
    return inner


def _steps(last: str, *steps: str) -> str:
    """Return a scalar subquery: each step selects from the one before."""
    source = ""
    for k, step in enumerate(steps):
        source = f"({step}{f' from {source} where true' if source else ''} limit 1) as step{k}"
    return f"(select {last} from {source} where true)"


def _power(k: int) -> str:
    """Return 2^k; beyond 64-bit integers as a product."""
    if abs(k) > 60:
        rest = k - int(math.copysign(60, k))
        return f"({_power(k - rest)} * {_power(rest)})"
    return exact(math.ldexp(1.0, k))


def _decade(k: int) -> str:
    """Return 10^k by a product or quotient of exact powers."""
    one = "cast(1 as double precision)"
    digits = [
        f"cast({10**part} as double precision)"
        for part in (min(abs(k), 18), min(max(abs(k) - 18, 0), 18), max(abs(k) - 36, 0))
        if part
    ]
    return " * ".join(digits) or one if k >= 0 else f"{one} / ({' * '.join(digits)})"
