"""An open archive: its connections, its settings, and the hints for empty answers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sized
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ztfdb.errors import ArchiveClosedError, SchemaVersionError, warn_empty
from ztfdb.extract.settings import ExtractionSettings
from ztfdb.query.given import (
    MOTION,
    Angle,
    arcsec,
)
from ztfdb.store.address import Address
from ztfdb.store.connections import Connections, Transactions
from ztfdb.store.meta import check_settings, read_meta
from ztfdb.store.revision import check_revision

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine
    from sqlalchemy.orm import Session, sessionmaker

    from ztfdb.query.hint import Holdings
    from ztfdb.store.backends import AnySession


T = TypeVar("T", bound=Sized)

HOLDINGS_KEPT_S = 60.0
"""Largest age of the facts in hints for empty answers."""

_OF_THIS_PROCESS = frozenset({"_connections", "_engine", "_sessions"})
"""Attributes of an `Archive` that another process makes again."""

_KEPT: ContextVar[list[str] | None] = ContextVar("hints for empty answers", default=None)


class OpenArchive:
    """The shared part of an `Archive`.

    Attributes
    ----------
    url : str
        The URL of the archive, with the password hidden.
    settings : ExtractionSettings
        Fixed when the archive was made.
    """

    _closed = False

    def __init__(
        self,
        address: Address,
        *,
        settings: ExtractionSettings | None,
        magerr_sys: float,
        create: bool,
        read_only: bool,
    ) -> None:

        self._address = address.absolute()
        self.url = address.shown()
        self._read_only = read_only
        self._held: tuple[float, Holdings] | None = None
        self._connect()
        try:
            with self._connections.reading() as session:
                check_revision(session, self.url)
                facts = read_meta(session)
            if create and not facts:  # existing ones are only read
                facts = self._create(settings, magerr_sys)
            self.settings = self._frozen_settings(facts, settings)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Archive {self.url}>"

    def __getstate__(self) -> dict[str, Any]:
        """Return what is needed to open the archive in another process; connections cannot be pickled."""
        return {name: value for name, value in self.__dict__.items() if name not in _OF_THIS_PROCESS}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._connect()
        if self._closed:
            self.close()

    def close(self) -> None:
        """Close every connection; every later call raises `ztfdb.errors.ArchiveClosedError`."""
        self._closed = True
        self._connections.close()
        if "_engine" in self.__dict__:
            from ztfdb.store.engine import close_for_good

            close_for_good(self._engine)

    def _check_open(self) -> None:
        if self._closed:
            raise ArchiveClosedError(f"{self.url} is closed: open it again")

    def _connect(self) -> None:
        self._connections = Connections(self._address, read_only=self._read_only)

    @property
    def _target(self) -> URL:
        """The URL for SQLAlchemy."""
        from ztfdb.store.engine import normalise_url

        return normalise_url(self._address)

    @cached_property
    def _engine(self) -> Engine:
        """The engine for everything that writes, or uses SQLAlchemy's expressions; made on first use."""
        from ztfdb.store.engine import close_for_good, make_engine

        engine = make_engine(self._address, read_only=self._read_only, exists=True)
        if self._closed:
            close_for_good(engine)
        return engine

    @cached_property
    def _sessions(self) -> sessionmaker[Session]:
        from ztfdb.store.engine import sessions

        return sessions(self._engine)

    @property
    def _transactions(self) -> Transactions:
        return Transactions(self._connections.reading, lambda: self._sessions)

    def ping(self) -> None:
        """Run a trivial query.

        Raises
        ------
        DatabaseUnavailableError
            If the database does not answer.
        SchemaVersionError
            If another ztfdb has upgraded the archive since it was opened.
        """
        with self._connections.reading() as session:
            check_revision(session, self.url)

    def _answer(self, answer: T, where: Any, radius: Angle | None, options: dict[str, Any]) -> T:
        """Return an answer; if it is empty, warn with a hint."""
        if not len(answer) and (text := self._hint(where, radius, 0, options)):
            self._warn(text)
        return answer

    def _warn(self, text: str) -> None:
        kept = _KEPT.get()
        if kept is not None:
            kept.append(text)
        else:
            warn_empty(text)

    def _hint(self, where: Any, radius: Angle | None, n_found: int, options: dict[str, Any]) -> str:
        """Return the hint for a position, a table, or a path."""
        from ztfdb.query import hint as hints
        from ztfdb.query.targets import Targets, targets_of

        table = dict(zip(("ra", "dec"), where, strict=True)) if isinstance(where, tuple) else where
        motion = {name: options[name] for name in MOTION & options.keys()}
        targets = table if isinstance(table, Targets) else targets_of(table, **motion)
        known = {name: options[name] for name in (*hints.CUTS, "good", "phot") if name in options}
        if len(targets) == 0:
            return "the table has no positions"
        with self._connections.reading() as session:
            within = None if radius is None else arcsec(radius)
            return hints.hint(session, targets, within, n_found, held=lambda: self._holdings(session), **known)

    def _holdings(self, session: AnySession) -> Holdings:
        """Return where and when images are; cached for `HOLDINGS_KEPT_S`, as it reads all images."""
        from ztfdb.query import hint as hints

        now = time.monotonic()
        if self._held is None or now - self._held[0] > HOLDINGS_KEPT_S:
            self._held = now, hints.holdings(session)
        return self._held[1]

    def _create(self, settings: ExtractionSettings | None, magerr_sys: float) -> dict[str, Any]:
        from ztfdb.store.engine import writing
        from ztfdb.store.meta_rows import create_meta

        with writing(self._sessions) as session:
            return create_meta(session, (settings or ExtractionSettings()).to_dict(), magerr_sys=magerr_sys)

    def _frozen_settings(self, facts: Mapping[str, Any], wanted: ExtractionSettings | None) -> ExtractionSettings:
        if not facts:
            raise SchemaVersionError(f"{self.url} has tables but no archive in them yet: run `ztfdb init`")
        if wanted is not None:
            check_settings(facts["settings"], wanted.to_dict())
        return ExtractionSettings.from_dict(facts["settings"])


@contextmanager
def words_kept() -> Iterator[list[str]]:
    """Collect the texts of `EmptyAnswerWarning` in a list, for this thread; warnings would be global to the process."""
    words: list[str] = []
    token = _KEPT.set(words)
    try:
        yield words
    finally:
        _KEPT.reset(token)
