"""What an archive holds, in numbers."""

from __future__ import annotations

from typing import Any

from ztfdb.store.archive_summary import archive_summary
from ztfdb.store.backends import AnySession
from ztfdb.store.psf_check_summary import psf_check_summary
from ztfdb.store.queue_reports import queue_summary, read_clock


def status(session: AnySession) -> dict[str, Any]:
    """Return what the archive holds.

    Parameters
    ----------
    session : Session or Reading

    Returns
    -------
    dict
        ``n_image``, ``n_source`` (as counted in the table of images), ``n_simulated``; ``images`` by kind; ``filters``,
        a list of ``filtercode``, ``n_image``, ``n_source``, ``first_mjd``, ``last_mjd``; ``n_field``; ``configs``, a
        list of ``config_hash``, ``n_image`` and ``versions`` (more than one means that software changed in between);
        ``caveats``, a list of ``caveat`` (see `ztfdb.bits.Caveat`), ``n_image`` with it and ``path``, the file of the
        first; ``roots``, where the files are; ``archive``, the facts fixed when it was made; ``queue``, see
        `ztfdb.store.queue_reports.queue_summary`; and ``psf_check``, the images whose photometry ZTF's PSF catalogues
        contradict, see `ztfdb.store.psf_check_summary.psf_check_summary`.
    """
    queue = queue_summary(session, now=read_clock(session))
    return archive_summary(session) | {"queue": queue, "psf_check": psf_check_summary(session)}
