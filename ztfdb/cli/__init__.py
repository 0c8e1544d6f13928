"""The command line ``ztfdb``: one file per command, which parses arguments, calls a workflow and prints rows."""

from ztfdb.cli.start import main

__all__ = ["main"]
