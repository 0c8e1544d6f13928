"""Who may ask: with ``--tokens``, requests that carry one."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ztfdb.errors import StoreError
from ztfdb.store.service_tokens import TokenStore, hash_of

KEPT_S = 2.0
"""How long what the service database says is taken for true: a token that was removed counts so much longer."""

OPEN_PATHS = frozenset({"/healthz", "/"})
OPEN_BELOW = "/page/"
"""What everyone may ask: the page's own files hold nothing of the archive."""

REFUSAL = (b"www-authenticate", b'Bearer realm="ztfdb"')


class Gate:
    """Lets requests with a token pass.

    Parameters
    ----------
    tokens : TokenStore
    """

    def __init__(self, tokens: TokenStore) -> None:
        self._tokens = tokens
        self._known: dict[str, str] = {}
        self._read = -KEPT_S

    def admits(self, path: str, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        """Tell whether a request for a path, with these headers, may pass."""
        return path in OPEN_PATHS or path.startswith(OPEN_BELOW) or self.holder(headers) is not None

    def holder(self, headers: Iterable[tuple[bytes, bytes]]) -> str | None:
        """Return the name of the token in a request's headers, None where there is none that counts."""
        given = next((value for name, value in headers if name == b"authorization"), b"").decode("latin-1")
        scheme, _, token = given.partition(" ")
        return self._valid().get(hash_of(token.strip())) if scheme.lower() == "bearer" else None

    def _valid(self) -> dict[str, str]:
        now = time.monotonic()
        if now - self._read >= KEPT_S:
            try:
                self._known = self._tokens.valid()
            except StoreError:  # what cannot be read lets nobody in
                self._known = {}
            self._read = now
        return self._known
