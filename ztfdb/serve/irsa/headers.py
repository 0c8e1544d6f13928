"""SQL expressions for values of image headers: the WCS, cards, and the time of the exposure."""

from __future__ import annotations

from ztfdb.adql.relations import POSTGRESQL

WCS = ("crval1", "crval2", "crpix1", "crpix2", "cd11", "cd12", "cd21", "cd22")
"""The first doubles of ``image_header.wcs``, in its order."""

_BYTES = 8
_NIBBLES = "123456789ABCDEF"
_SHUTTER = r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}$"


def wcs_number(name: str, engine: str) -> str:
    """Return SQL for a number of the WCS from ``image_header`` as ``h``, equal to the header's to the last bit.

    The column holds little-endian doubles, which neither engine can decode. The mantissa, an integer below 2**53, times
    a power of two is exact on both.
    """
    at = WCS.index(name) * _BYTES
    byte = [_byte(at + k, engine) for k in range(_BYTES)]
    exponent = f"((({byte[7]} & 127) << 4) | ({byte[6]} >> 4))"
    parts = [f"({byte[k]} << {8 * k})" for k in range(6)]
    mantissa = " | ".join([*parts, f"(({byte[6]} & 15) << 48)", "(1 << 52)"])
    if engine == POSTGRESQL:
        mantissa = mantissa.replace("(1 << 52)", "(1::bigint << 52)")
    sign = f"case when {byte[7]} > 127 then -1.0 else 1.0 end"
    power = f"power(cast(2.0 as double precision), cast({exponent} - 1075 as double precision))"
    value = f"{sign} * cast(({mantissa}) as double precision) * {power}"
    return f"case when h.wcs is null then null when {exponent} = 0 then 0.0 else {value} end"


def _byte(at: int, engine: str) -> str:
    if engine == POSTGRESQL:
        return f"get_byte(h.wcs, {at})::bigint"
    digits = [f"instr('{_NIBBLES}', substr(hex(substr(h.wcs, {at + 1}, 1)), {k}, 1))" for k in (1, 2)]
    return f"(({digits[0]} << 4) | {digits[1]})"


def card_number(keyword: str, engine: str) -> str:
    """Return SQL for the number of a card; NULL if it is not a number."""
    if engine == POSTGRESQL:
        number = f"cast(h.cards ->> '{keyword}' as double precision)"
        return f"case json_typeof(h.cards -> '{keyword}') when 'number' then {number} end"
    number = f"cast(json_extract(h.cards, '$.{keyword}') as double precision)"
    return f"case when json_type(h.cards, '$.{keyword}') in ('integer', 'real') then {number} end"


def obsdate(engine: str) -> str:
    """Return SQL for IRSA's ``obsdate``: 0.5 s before SHUTOPEN, as on all of IRSA's rows that were compared.

    The format is PostgreSQL's, without trailing zeros of the seconds.
    """
    if engine == POSTGRESQL:
        card = "(h.cards ->> 'SHUTOPEN')"
        # casting a day that does not exist in its month is an error, so cast the first of the month and add days
        days = f"(cast(substr({card}, 9, 2) as int) - 1) * interval '1 day'"
        day = f"cast(substr({card}, 1, 7) || '-01' as timestamp) + {days}"
        time = f"cast(substr({card}, 12) as interval) - interval '0.5 second'"
        text, good = f"to_char({day} + {time}, 'YYYY-MM-DD HH24:MI:SS.MS')", f"{card} ~ '{_SHUTTER}'"
    else:
        card = "json_extract(h.cards, '$.SHUTOPEN')"
        text = f"strftime('%Y-%m-%d %H:%M:%f', {card}, '-0.5 seconds')"
        good = f"{card} glob '????-??-??T??:??:??.???'"
    return f"case when {good} then rtrim(rtrim({text}, '0'), '.') || '+00' end"
