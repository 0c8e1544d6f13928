"""Logging of an entry point: one handler on the ``ztfdb`` logger, as text or as JSON lines, without passwords.

The library itself only logs fixed sentences with ``extra`` fields; this module formats them as lines.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from ztfdb.errors import EmptyAnswerWarning
from ztfdb.texts import hide_secrets, printable, without_secrets

_LINES = "\n\t"
_QUOTED = re.compile(r'[\s"=]')
"""Characters because of which a word must be quoted."""

_PLAIN = frozenset(logging.LogRecord("", 0, "", 0, "", None, None).__dict__) | {"message", "asctime", "taskName"}


def set_up_logs(level: str = "WARNING", form: str = "text", stream: TextIO | None = None) -> logging.Handler:
    """Send ztfdb's log records to a stream; called by an entry point, and again to change it.

    Parameters
    ----------
    level : str
        ``DEBUG``, ``INFO``, ``WARNING`` or ``ERROR``.
    form : str
        ``text``, or ``json`` for one JSON object per line.
    stream : file, optional
        By default stderr.

    Returns
    -------
    logging.Handler
        The handler, which replaces that of an earlier call.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.set_name("ztfdb")
    logger = logging.getLogger("ztfdb")
    for old in [one for one in logger.handlers if one.get_name() == "ztfdb"]:
        logger.removeHandler(old)
    logger.addHandler(handler)
    logger.setLevel(level.upper())
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of a lost connection, which is an error as well
    return handler


@contextmanager
def warnings_logged() -> Iterator[None]:
    """Log Python's warnings, of any library, where a program runs for long: bare lines would break a log of JSON.

    An `~ztfdb.errors.EmptyAnswerWarning` is left out: the client that asked gets the answer.
    """
    before = warnings.showwarning
    warnings.showwarning = _log_warning
    try:
        yield
    finally:
        warnings.showwarning = before


def _log_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: Any = None
) -> None:
    if not issubclass(category, EmptyAnswerWarning):
        facts = {"category": category.__name__, "reason": str(message), "place": f"{filename}:{lineno}"}
        logging.getLogger("ztfdb").warning("a library warns", extra=facts)


def extra_fields(record: logging.LogRecord) -> dict[str, Any]:
    """Return the ``extra`` fields, in order, without those that are None."""
    return {name: value for name, value in record.__dict__.items() if name not in _PLAIN and value is not None}


class TextFormatter(logging.Formatter):
    """``2026-11-22T03:04:05Z WARNING image failed path=… reason="no MAGZP"``; a traceback follows on its own lines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        words = [_stamp(record), record.levelname, hide_secrets(record.getMessage())]
        words += [f"{name}={_word(without_secrets(value))}" for name, value in extra_fields(record).items()]
        line = printable(" ".join(words))
        if record.exc_info:
            line = f"{line}\n{printable(hide_secrets(self.formatException(record.exc_info)), keep=_LINES)}"
        return line


class JsonFormatter(logging.Formatter):
    """One JSON object per line: ``time``, ``level``, ``logger``, ``message``, the extra fields, ``traceback``."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        facts = {
            "time": _stamp(record),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **extra_fields(record),
        }
        if record.exc_info:
            facts["traceback"] = self.formatException(record.exc_info)
        return json.dumps(without_secrets(facts), default=_plain)


def _stamp(record: logging.LogRecord) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{whole}.{int(record.msecs):03d}Z"


def _plain(value: Any) -> str:
    return hide_secrets(str(value))


def _word(value: Any) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if not text or _QUOTED.search(text) else text
