"""ztfdb: a catalogue of ZTF images that answers questions."""

from __future__ import annotations

TYPE_CHECKING = False  # typing's, whose import takes longer than this module

if TYPE_CHECKING:
    from typing import Any

    from ztfdb import dao, image, simulate
    from ztfdb.archive import Archive
    from ztfdb.archive import open_archive as open
    from ztfdb.errors import EmptyAnswerWarning

__version__ = "0.2.0"

_LAZY = {
    "open": ("ztfdb.archive", "open_archive"),
    "Archive": ("ztfdb.archive", "Archive"),
    "EmptyAnswerWarning": ("ztfdb.errors", "EmptyAnswerWarning"),
    "image": ("ztfdb.image", None),
    "dao": ("ztfdb.dao", None),
    "simulate": ("ztfdb.simulate", None),
}

__all__ = ["Archive", "EmptyAnswerWarning", "__version__", "dao", "image", "open", "simulate"]


if not TYPE_CHECKING:  # a type checker would take any name for one of them

    def __getattr__(name: str) -> Any:
        """Import the public names on first use, so that ``import ztfdb`` costs nothing."""
        from importlib import import_module

        try:
            module, attribute = _LAZY[name]
        except KeyError:
            raise AttributeError(f"module 'ztfdb' has no attribute {name!r}") from None
        value = import_module(module)
        return value if attribute is None else getattr(value, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
