"""Who may pass: a token until it expires, to the moment, or until its removal is seen."""

from __future__ import annotations

import time

from ztfdb.serve.gate import KEPT_S, Gate
from ztfdb.sky.times import SECONDS_PER_DAY
from ztfdb.store.service_tokens import TokenStore


def test_a_token_ends_at_its_time_and_not_when_tokens_are_read_again(tmp_path, monkeypatch):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    store = TokenStore(tmp_path)
    short, long = store.add("short", 1.0 / SECONDS_PER_DAY), store.add("long")  # one second
    gate = Gate(store)

    def holder(token):
        return gate.holder([(b"authorization", f"Bearer {token}".encode())])

    monkeypatch.setattr(time, "time", lambda: now + 0.5)
    assert (holder(short), holder(long), holder("other")) == ("short", "long", None)
    monkeypatch.setattr(time, "time", lambda: now + 1.5)
    assert KEPT_S > 1.5  # they have not been read again
    assert (holder(short), holder(long)) == (None, "long")
    assert not gate.admits("/tap/sync", [(b"authorization", f"Bearer {short}".encode())])
