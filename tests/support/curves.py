"""Light curves within a session that a test has opened."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pandas as pd
from sqlalchemy.orm import Session

from ztfdb.query import lightcurve
from ztfdb.query.answer import LightCurve
from ztfdb.query.request import LightCurveRequest, light_curve_request
from ztfdb.query.targets import Targets, target_of, targets_of
from ztfdb.store.connections import Transactions


def light_curve(session: Session, ra: float, dec: float, radius: float = 1.5, **options: Any) -> LightCurve:
    """Return the light curve of a position."""
    target, request = target_of(ra, dec, options.pop("color", None)), light_curve_request(radius=radius, **options)
    return lightcurve.light_curve(_within(session), target, request)


def light_curves(session: Session, positions: Any, radius: float = 1.5, **options: Any) -> pd.DataFrame:
    """Return the light curves of many positions."""
    return lightcurve.light_curves(*_asked(session, positions, radius, options)).to_pandas()


def iter_light_curves(session: Session, positions: Any, radius: float = 1.5, **options: Any) -> list[pd.DataFrame]:
    """Return the light curves of many positions in pieces."""
    return [one.to_pandas() for one in lightcurve.iter_light_curves(*_asked(session, positions, radius, options))]


def _asked(session: Session, positions: Any, radius: float, options: Any) -> tuple[Any, Targets, LightCurveRequest]:
    targets = targets_of(positions, options.pop("color", None))
    return _within(session), targets, light_curve_request(radius=radius, **options)


def _within(session: Session) -> Transactions:
    return Transactions(lambda: nullcontext(session), lambda: lambda: nullcontext(session))  # type: ignore[arg-type, return-value]
