"""The web page at ``/``: files of the package, a client of ``/api/v1``, ``/lightcurve`` and ``/tap``."""
