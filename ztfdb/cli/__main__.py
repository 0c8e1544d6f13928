"""``python -m ztfdb.cli`` runs the command line without installing it."""

from ztfdb.cli import main

main()
