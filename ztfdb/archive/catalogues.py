"""Reference catalogues of an archive: imported, read in place, matched with the sources of images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ztfdb.archive.base import OpenArchive
from ztfdb.options import (
    AddCatalogueOptions,
    CatalogueName,
    CrossmatchOptions,
    FetchCatalogueOptions,
    ImportCatalogueOptions,
    MatchedOptions,
    RemoveOptions,
    Service,
)
from ztfdb.query.given import Angle, Position, Region, arcsec, position, region_of

if TYPE_CHECKING:
    import pandas as pd

    from ztfdb.derive.crossmatch import CrossmatchReport
    from ztfdb.ingest.catalogue_import import FileImport
    from ztfdb.ingest.catalogue_register import Registered


class Catalogues(OpenArchive):
    """Reference catalogues of an archive: imported, read in place, matched with the sources of images."""

    def import_catalogue(
        self, name: str, paths: str | Path | Iterable[str | Path], **options: Unpack[ImportCatalogueOptions]
    ) -> list[FileImport]:
        """Import files of a reference catalogue; see `ztfdb.ingest.catalogue_import.import_catalogue`."""
        from ztfdb.ingest.catalogue_import import import_catalogue

        given = [paths] if isinstance(paths, str | Path) else list(paths)
        return import_catalogue(self._engine, name, given, **options)

    def add_catalogue(self, name: str, location: str, **options: Unpack[AddCatalogueOptions]) -> Registered:
        """Read a HATS catalogue in place, as a reference; see `ztfdb.ingest.catalogue_register.add_catalogue`."""
        from ztfdb.ingest.catalogue_register import add_catalogue

        return add_catalogue(self._engine, name, location, **options)

    def catalogue_cone(
        self, name: CatalogueName, ra: Position, dec: Angle | None = None, radius: Angle = 1.5
    ) -> pd.DataFrame:
        """Return a catalogue's rows within `radius`, nearest first; see `ztfdb.query.catalogue_cone.catalogue_cone`."""
        from ztfdb.query.catalogue_cone import catalogue_cone

        with self._sessions() as session:
            return catalogue_cone(session, name, *position(ra, dec), arcsec(radius))

    def catalogues(self) -> pd.DataFrame:
        """Return the reference catalogues of the archive, one row per imported file."""
        from ztfdb.query.matched import catalogues

        with self._sessions() as session:
            return catalogues(session)

    def catalogue_recipe(
        self, name: CatalogueName, service: Service = "vizier", *, everything: bool = False
    ) -> tuple[str, list[str]]:
        """Return a service's address and its queries for a catalogue; see `ztfdb.ingest.catalogue_services.recipe`."""
        from ztfdb.ingest import catalogue_services

        with self._sessions() as session:
            cones = catalogue_services.footprint_cones(session, name, everything=everything)
        return catalogue_services.ADDRESSES[service], catalogue_services.recipe(name, cones, service)

    def fetch_catalogue(
        self, name: str, *, url: str | None = None, **options: Unpack[FetchCatalogueOptions]
    ) -> list[FileImport]:
        """Query VizieR (or another TAP service) and import; see `ztfdb.ingest.catalogue_services.fetch_catalogue`."""
        from ztfdb.ingest import catalogue_services

        return catalogue_services.fetch_catalogue(
            self._engine, name, url=url or catalogue_services.VIZIER_URL, **options
        )

    def remove_catalogue(self, name: str, *, dry_run: bool = False) -> int:
        """Remove a catalogue with its rows, matches and calibrations; return how many rows it has."""
        from ztfdb.store.catalogues import get_catalogue, remove_catalogue
        from ztfdb.store.engine import writing

        with self._sessions() as session:
            held = get_catalogue(session, name)
        if dry_run:
            return held.n_row if held.location is None else 0
        with writing(self._sessions) as session:
            return remove_catalogue(session, held)

    def crossmatch(
        self, name: str, *, region: Region | None = None, **options: Unpack[CrossmatchOptions]
    ) -> CrossmatchReport:
        """Match unmatched images with a catalogue; see `ztfdb.derive.crossmatch.crossmatch`.

        `region` is (ra, dec, radius) or (SkyCoord, radius).
        """
        from ztfdb.derive.crossmatch import crossmatch

        return crossmatch(self._sessions, name, region=region_of(region), **options)

    def remove_matches(self, name: str, **options: Unpack[RemoveOptions]) -> int:
        """Remove stored matches with a catalogue; see `ztfdb.derive.crossmatch.remove_matches`."""
        from ztfdb.derive.crossmatch import remove_matches

        return remove_matches(self._sessions, name, **options)

    def get_matched_entries(
        self,
        columns: Sequence[str],
        catin: CatalogueName,
        catref: CatalogueName,
        *,
        region: Region | None = None,
        **options: Unpack[MatchedOptions],
    ) -> pd.DataFrame:
        """Return sources next to the catalogue rows they match; see `ztfdb.query.matched.matched_entries`.

        `region` is (ra, dec, radius) or (SkyCoord, radius).
        """
        from ztfdb.query.matched import matched_entries

        with self._sessions() as session:
            return matched_entries(session, columns, catin, catref, region=region_of(region), **options)
