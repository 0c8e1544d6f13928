"""Check the installed sqlglot without importing it, which takes as long as a light curve."""

from __future__ import annotations

from importlib.machinery import ExtensionFileLoader, PathFinder
from importlib.util import find_spec

from ztfdb.errors import ConfigError


def check_parser() -> None:
    """Check that sqlglot can be extended by a dialect.

    Raises
    ------
    ConfigError
        If it is compiled (package sqlglotc): its classes then cannot be subclassed.
    """
    package = find_spec("sqlglot")
    parser = package and PathFinder.find_spec("sqlglot.parser", package.submodule_search_locations)
    if parser and isinstance(parser.loader, ExtensionFileLoader):
        raise ConfigError(
            "ADQL needs sqlglot without its compiled modules, which cannot be extended: pip uninstall sqlglotc"
        )
