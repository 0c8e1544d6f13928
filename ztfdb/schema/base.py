"""The declarative base, the naming convention and the column types every table uses."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from sqlalchemy import JSON, REAL, BigInteger, Double, Integer, LargeBinary, MetaData, SmallInteger, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

ID = BigInteger().with_variant(Integer(), "sqlite")
"""64-bit integer; INTEGER on SQLite, where that word makes a primary key the row id."""


class Base(DeclarativeBase):
    """Base of all tables."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)
    type_annotation_map: ClassVar = {dict[str, Any]: JSON, bytes: LargeBinary, str: Text}


def _unit(unit: str) -> dict[str, str]:
    return {"unit": unit}


Key = Annotated[int, mapped_column(ID, primary_key=True, autoincrement=False)]
AutoKey = Annotated[int, mapped_column(ID, primary_key=True, autoincrement=True)]
Big = Annotated[int, mapped_column(ID)]
Small = Annotated[int, mapped_column(SmallInteger)]

Degree = Annotated[float, mapped_column(Double, info=_unit("deg"))]
Day = Annotated[float, mapped_column(Double, info=_unit("d"))]
Second = Annotated[float, mapped_column(Double, info=_unit("s"))]
Magnitude = Annotated[float, mapped_column(Double, info=_unit("mag"))]
Number = Annotated[float, mapped_column(Double, info=_unit(""))]
Pixel = Annotated[float, mapped_column(Double, info=_unit("pix"))]
Arcsec = Annotated[float, mapped_column(Double, info=_unit("arcsec"))]
Count = Annotated[float, mapped_column(Double, info=_unit("DN"))]
Gain = Annotated[float, mapped_column(Double, info=_unit("electron / DN"))]
Electron = Annotated[float, mapped_column(Double, info=_unit("electron"))]

RealCount = Annotated[float, mapped_column(REAL, info=_unit("DN"))]
RealPixel = Annotated[float, mapped_column(REAL, info=_unit("pix"))]
RealRadian = Annotated[float, mapped_column(REAL, info=_unit("rad"))]
RealNumber = Annotated[float, mapped_column(REAL, info=_unit(""))]
RealMagnitude = Annotated[float, mapped_column(REAL, info=_unit("mag"))]
