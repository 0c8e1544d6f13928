"""Images, sources, objects, matches, explanations of a source, and the contents of the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from ztfdb import __version__
from ztfdb.archive import Archive, words_kept
from ztfdb.query.request import check_radius as within_limit
from ztfdb.serve.api.answers import FITS, JSON, ProblemRoute, answered, framed
from ztfdb.serve.api.models import (
    CatalogueConeAsked,
    CompletenessAsked,
    ConeAsked,
    Frame,
    HintAsked,
    Id,
    MatchedAsked,
    Name,
    Place,
    PsfChecksAsked,
    Word,
)
from ztfdb.serve.api.wire import dumps, pack_frame, plain, without_folders
from ztfdb.serve.errors import ServiceError
from ztfdb.serve.service import base_url, service_of
from ztfdb.sky.moc import as_ascii, as_fits, as_json

if TYPE_CHECKING:
    from ztfdb.query.explain import Explanation

router = APIRouter(route_class=ProblemRoute)


@router.get("/ping", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def ping(request: Request) -> Response:
    """Return the version if the database responds, as `archive.ping`."""

    def work(archive: Archive) -> bytes:
        archive.ping()
        return dumps({"ztfdb": __version__})

    return await answered(request, work)


@router.get("/images", response_model=Frame)
async def images(request: Request, asked: Annotated[Place, Query()]) -> Response:
    """Return the images whose pixels cover a position, exactly, as `archive.images`."""
    return await framed(request, lambda archive: archive.images(**asked.options()))


@router.get("/cone", response_model=Frame)
async def cone(request: Request, asked: Annotated[ConeAsked, Query()]) -> Response:
    """Return all sources within a radius of a position, nearest first, as `archive.cone`."""
    check_radius(request, asked.radius)
    return await framed(request, lambda archive: archive.cone(**asked.options()))


def check_radius(request: Request, radius: float) -> None:
    """Raise `QueryError` for a cone that is too wide for this service, as an archive does for its own limit."""
    within_limit(radius, service_of(request).limits.cone_deg * 3600.0)


@router.get("/object/{object_id}", response_model=Frame)
async def object_(request: Request, object_id: Annotated[Id, Path()]) -> Response:
    """Return the statistics of an object by its id or one of ZTF's oids, as `archive.object`."""
    return await framed(request, lambda archive: archive.object(object_id))


@router.get("/object/{object_id}/oids", response_model=Frame)
async def object_oids(request: Request, object_id: Annotated[Id, Path()]) -> Response:
    """Return the ZTF reference sources of an object, as `archive.object_oids`."""
    return await framed(request, lambda archive: archive.object_oids(object_id))


@router.get("/matched", response_model=Frame)
async def matched(request: Request, asked: Annotated[MatchedAsked, Query()]) -> Response:
    """Return sources with the catalogue rows that they match, as `archive.get_matched_entries`."""
    options = asked.options("ra", "dec", "within", "several", "columns", "catin", "catref")
    place = (asked.ra, asked.dec, asked.within)
    if any(one is not None for one in place):
        if None in place:
            raise ServiceError("a region is ra, dec and within (arcsec)")
        options["region"] = place
    if asked.image_id is not None and len(asked.image_id) == 1 and not asked.several:
        options["image_id"] = asked.image_id[0]
    words = asked.columns, asked.catin, asked.catref
    return await framed(request, lambda archive: archive.get_matched_entries(*words, **options))


@router.get("/explain/{source_id}", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def explain(request: Request, source_id: Annotated[Id, Path()], measure: bool = False) -> Response:
    """Return the provenance of a source, and with `measure` measure it again, as `archive.explain`."""
    places = service_of(request).places
    return await answered(
        request, lambda archive: dumps(_explained(archive.explain(source_id, measure=measure, places=places)))
    )


@router.get("/catalogues", response_model=Frame)
async def catalogues(request: Request) -> Response:
    """Return the stored reference catalogues, as `archive.catalogues`."""
    return await framed(request, lambda archive: archive.catalogues())


@router.get("/catalogues/{name}/cone", response_model=Frame)
async def catalogue_cone(
    request: Request, name: Annotated[Name, Path()], asked: Annotated[CatalogueConeAsked, Query()]
) -> Response:
    """Return the rows of a reference catalogue within a radius, nearest first, as `archive.catalogue_cone`."""
    check_radius(request, asked.radius)
    return await framed(request, lambda archive: archive.catalogue_cone(name, asked.ra, asked.dec, asked.radius))


@router.get("/catalogues/{name}/recipe", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def catalogue_recipe(
    request: Request,
    name: Annotated[Name, Path()],
    service: Literal["vizier", "mast"] = "vizier",
    everything: bool = False,
) -> Response:
    """Return the address of a service and the queries for a catalogue, as `archive.catalogue_recipe`."""

    def work(archive: Archive) -> bytes:
        address, queries = archive.catalogue_recipe(name, service, everything=everything)
        return dumps({"address": address, "queries": queries})

    return await answered(request, work)


@router.get("/psf-checks", response_model=Frame)
async def psf_checks(request: Request, asked: Annotated[PsfChecksAsked, Query()]) -> Response:
    """Return the checks against ZTF's PSF catalogues, as `archive.psf_checks`."""
    return await framed(request, lambda archive: archive.psf_checks(asked.image_id, warned=asked.warned))


@router.get("/completeness", response_model=Frame)
async def completeness(request: Request, asked: Annotated[CompletenessAsked, Query()]) -> Response:
    """Return detection probabilities at a position on each image that covers it, as `archive.completeness`."""
    return await framed(request, lambda archive: archive.completeness(**asked.options()))


@router.get("/night/{night}", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def night(request: Request, night: Annotated[Word, Path()]) -> Response:
    """Return the ids of the images of one night (UTC date), as `archive.images_of_night`."""

    def work(archive: Archive) -> bytes:
        with words_kept() as words:
            found = archive.images_of_night(night)
        return dumps({"image_id": list(map(str, found)), "hint": " ".join(words) or None})

    return await answered(request, work)


@router.get("/hint", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def hint(request: Request, asked: Annotated[HintAsked, Query()]) -> Response:
    """Return a hint about a light curve's position, as `archive.hint`."""
    return await answered(request, lambda archive: dumps({"hint": archive.hint(**asked.options())}))


@router.get("/status", response_class=Response, responses={200: {"content": {JSON: {}}}})
async def status(request: Request) -> Response:
    """Return the contents of the archive, as `archive.status`, without folders and errors of files."""
    base = base_url(request)

    def work(archive: Archive) -> bytes:
        found = archive.status() | {"url": base}
        found["roots"] = [{name: root[name] for name in root if name != "path"} for root in found["roots"]]
        found["queue"] = {name: value for name, value in found["queue"].items() if name != "last_errors"}
        return dumps(plain(found))

    return await answered(request, work)


@router.get(
    "/coverage.moc", response_class=Response, responses={200: {"content": {JSON: {}, "text/plain": {}, FITS: {}}}}
)
async def coverage(request: Request, format: Literal["json", "ascii", "fits"] = "json") -> Response:  # noqa: A002
    """Return the cells of order 9 that images touch as a MOC 2.0."""
    media, write = {"json": (JSON, as_json), "ascii": ("text/plain", as_ascii), "fits": (FITS, as_fits)}[format]
    return await answered(request, lambda archive: write(archive.coverage_cells()), media)


@router.get("/coverage", response_model=Frame)
async def coverage_depth(request: Request, order: Annotated[int, Query(ge=0, le=9)] = 6) -> Response:
    """Return how often and how deep images cover the sky, by HEALPix cell and filter, as `archive.coverage`."""
    return await framed(request, lambda archive: archive.coverage(order))


def _explained(found: Explanation) -> dict[str, Any]:
    problem = found.problem
    for path in found.files["path"]:
        problem = None if problem is None else problem.replace(str(path), str(path).rsplit("/", 1)[-1])
    return {
        "source_id": str(found.source_id),
        **{name: plain(getattr(found, name)) for name in ("image", "cards", "settings", "versions")},
        "files": pack_frame(without_folders(found.files)),
        "calibrations": pack_frame(found.calibrations),
        "values": pack_frame(found.values),
        "identical": found.identical,
        "same_software": found.same_software,
        "problem": problem,
        "caveats": list(found.caveats),
    }
