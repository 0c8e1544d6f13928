"""Number of images checked against their PSF catalogues, and the worst of them."""

from __future__ import annotations

from typing import Any

from ztfdb.store.backends import AnySession, reads
from ztfdb.store.select import records

WORST_FIRST = "order by warning desc, severity is null, severity desc, image_id"
"""A failed check has no severity."""

N_WORST = 5

_WORST = {
    **dict.fromkeys(("image_id", "field", "ccdid", "qid"), "i8"), "filtercode": "O", "obsmjd": "f8", "warning": "i8",
    "n_star": "i8", **dict.fromkeys(("median", "scatter", "slope", "x_gradient", "y_gradient"), "f8"), "failure": "O",
}  # fmt: skip


def psf_check_summary(session: AnySession, n_worst: int = N_WORST) -> dict[str, Any]:
    """Return how many images were checked, with which warnings, and the worst of those with a warning.

    Returns
    -------
    dict
        ``n_image`` with a PSF catalogue, ``n_checked``, ``n_look`` (warning 1), ``n_wrong`` (warning 2) and ``worst``,
        a list of rows.
    """
    statement = "select warning, count(*) as n from psf_check group by warning"
    levels = {row["warning"]: row["n"] for row in records(session, statement, {"warning": "i8", "n": "i8"})}
    held = reads(session).read_rows("select count(*) as n from psf_catalogue where role = 'psfcat'")
    fields = ", ".join(_WORST)
    worst = f"select {fields} from image_psf_check where warning > 0 {WORST_FIRST} limit {int(n_worst)}"
    return {
        "n_image": int(held[0][0]),
        "n_checked": sum(levels.values()),
        "n_look": levels.get(1, 0),
        "n_wrong": levels.get(2, 0),
        "worst": records(session, worst, _WORST),
    }
