"""The parameters of a request, from its query or its form; names are case-insensitive and may repeat."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request

from ztfdb.serve.errors import ClientGone, ServiceError
from ztfdb.serve.limits import Limits

MAX_PARAMETERS = 10_000
MB = 1_000_000


@dataclass(frozen=True)
class Parameters:
    """The parameters of a request.

    Attributes
    ----------
    pairs : tuple of (str, str)
        Names in upper case, values as given, in the order of the request.
    files : mapping of str to bytes
        Content of the files of a multipart form by the name of their field, as given.
    """

    pairs: tuple[tuple[str, str], ...]
    files: Mapping[str, bytes] = field(default_factory=dict)

    def all(self, name: str) -> list[str]:
        """Return every value of a parameter; empty values count as not given."""
        return [value for key, value in self.pairs if key == name.upper() and value.strip()]

    def one(self, name: str, default: str | None = None) -> str | None:
        """Return the only value of a parameter, or the default.

        Raises
        ------
        ServiceError
            If it was given twice with different values.
        """
        values = self.all(name)
        if len(set(values)) > 1:
            raise ServiceError(f"{name.upper()} is given {len(values)} times, expected once")
        return values[0].strip() if values else default

    def number(
        self, name: str, default: float | None = None, *, low: float = -math.inf, high: float = math.inf
    ) -> float | None:
        """Return a parameter as a finite number within bounds, or the default."""
        text = self.one(name)
        return default if text is None else number(name, text, low, high)

    def integer(self, name: str, default: int | None = None, *, low: int = 0, high: int | None = None) -> int | None:
        """Return a parameter as a whole number within bounds, or the default."""
        text = self.one(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise ServiceError(f"{name.upper()} is {shown(text)}, expected a whole number") from None
        if value < low or (high is not None and value > high):
            bounds = f"{low} or more" if high is None else f"{low}..{high}"
            raise ServiceError(f"{name.upper()} is {value}, expected {bounds}")
        return value

    def choice(self, name: str, choices: Iterable[str], default: str) -> str:
        """Return a parameter that is one of the choices, compared without case, in the spelling of the choices."""
        text = self.one(name, default) or default
        words = {word.lower(): word for word in choices}
        if text.lower() not in words:
            raise ServiceError(f"{name.upper()} is {shown(text)}, expected one of {', '.join(words.values())}")
        return words[text.lower()]


def number(name: str, text: str, low: float = -math.inf, high: float = math.inf) -> float:
    """Return a text as a finite number within bounds.

    Raises
    ------
    ServiceError
        If it is not; the message gives the parameter, its value and what was expected.
    """
    try:
        value = float(text)
    except ValueError:
        raise ServiceError(f"{name.upper()} is {shown(text)}, expected a number") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise ServiceError(f"{name.upper()} is {shown(text)}, expected a number in {low:g}..{high:g}")
    return value


def shown(text: str) -> str:
    """Return a client's text for an error message: short, quoted, without control characters."""
    return repr(text if len(text) <= 60 else text[:57] + "…")


async def read_parameters(request: Request, limits: Limits) -> Parameters:
    """Read the parameters of a GET or POST request, and the files of a form.

    Raises
    ------
    ServiceError
        If there are too many, or the form cannot be read.
    ClientGone
        If the client closes its connection before it has sent all.
    """
    pairs = [(name.upper(), value) for name, value in request.query_params.multi_items()]
    files: dict[str, bytes] = {}
    if request.method == "POST":
        try:
            async with request.form(
                max_files=limits.upload_files, max_fields=MAX_PARAMETERS, max_part_size=limits.body_mb * MB
            ) as form:
                for name, value in form.multi_items():
                    if isinstance(value, UploadFile):
                        files[name] = await value.read()
                    else:
                        pairs.append((name.upper(), value))
        except ClientDisconnect:
            raise ClientGone from None
    if len(pairs) > MAX_PARAMETERS:
        raise ServiceError(f"{len(pairs)} parameters, expected at most {MAX_PARAMETERS}", 413)
    return Parameters(tuple(pairs), files)
