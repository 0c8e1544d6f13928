"""The command line ``ztfdb``: a file per command, which parses, calls one workflow and prints its rows."""

from ztfdb.cli.app import main

__all__ = ["main"]
