"""The declarative base, the naming convention and the column types of all tables."""

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


Key = Annotated[int, mapped_column(ID, primary_key=True, autoincrement=False)]
AutoKey = Annotated[int, mapped_column(ID, primary_key=True, autoincrement=True)]
Big = Annotated[int, mapped_column(ID)]
Small = Annotated[int, mapped_column(SmallInteger)]

# Types named by their quantity; the unit itself is in `ztfdb.schema.words`.
Degree = Annotated[float, mapped_column(Double)]
Day = Annotated[float, mapped_column(Double)]
Second = Annotated[float, mapped_column(Double)]
Magnitude = Annotated[float, mapped_column(Double)]
Number = Annotated[float, mapped_column(Double)]
Pixel = Annotated[float, mapped_column(Double)]
Arcsec = Annotated[float, mapped_column(Double)]
Count = Annotated[float, mapped_column(Double)]
Gain = Annotated[float, mapped_column(Double)]
Electron = Annotated[float, mapped_column(Double)]

RealCount = Annotated[float, mapped_column(REAL)]
RealPixel = Annotated[float, mapped_column(REAL)]
RealRadian = Annotated[float, mapped_column(REAL)]
RealNumber = Annotated[float, mapped_column(REAL)]
RealMagnitude = Annotated[float, mapped_column(REAL)]
