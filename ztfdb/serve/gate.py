"""Access control with ``--tokens``: only requests with a token pass."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ztfdb.errors import StoreError
from ztfdb.store.service_tokens import Token, TokenStore, hash_of

KEPT_S = 2.0
"""Seconds for which tokens of the service database are cached; a removed token stays valid for so long."""

OPEN_PATHS = frozenset({"/healthz", "/"})
OPEN_BELOW = "/page/"
"""Paths that need no token: the page's own files contain no data of the archive."""

REFUSAL = (b"www-authenticate", b'Bearer realm="ztfdb"')


class Gate:
    """Lets requests with a token pass.

    Parameters
    ----------
    tokens : TokenStore
    """

    def __init__(self, tokens: TokenStore) -> None:
        self._tokens = tokens
        self._known: dict[str, Token] = {}
        self._read = -KEPT_S

    def admits(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Return whether a request for a path, with these headers, may pass."""
        return path in OPEN_PATHS or path.startswith(OPEN_BELOW) or self.holder(headers) is not None

    def holder(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the name of the token in a request's headers, None without a valid one."""
        given = next((value for name, value in headers if name == b"authorization"), b"").decode("latin-1")
        scheme, _, token = given.partition(" ")
        known = self._tokens_by_hash().get(hash_of(token.strip())) if scheme.lower() == "bearer" else None
        return known.name if known is not None and known.is_valid else None

    def _tokens_by_hash(self) -> dict[str, Token]:
        now = time.monotonic()
        if now - self._read >= KEPT_S:
            try:
                self._known = self._tokens.by_hash()
            except StoreError:  # if tokens cannot be read, none is valid
                self._known = {}
            self._read = now
        return self._known
