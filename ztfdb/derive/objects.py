"""Build objects from all sources, or update them after images were added or removed.

The objects are a pure function of the stored sources (`ztfdb.derive.grouping`), so a build, and updates in any order,
end in the same rows. Updates are cheap because most sources of a new image lie within `LINK` of the best detection of
an object without close neighbours, and change only its statistics. Around the other sources, whole neighbourhoods are
rebuilt (`ztfdb.derive.neighbourhoods`).
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sqlalchemy.orm import Session, sessionmaker

from ztfdb.arrays import BoolArray, Columns, FloatArray, IntArray, Progress
from ztfdb.codes import MemberKind
from ztfdb.derive.crossmatch import rows_around
from ztfdb.derive.grouping import ATTACH, LINK, Detections, Grouped, group_detections, separation_from
from ztfdb.derive.members import (
    Images,
    Sample,
    counted_members,
    curve_rows,
    lengthened,
    make_points,
    make_sample,
    member_rows,
    packed,
    read_images,
)
from ztfdb.derive.neighbourhoods import (
    TILE_ORDER,
    TOLERANCE,
    Disturbed,
    batches,
    cell_shift,
    find_disturbed,
    join_tile,
    search_margin,
    sources_inside,
)
from ztfdb.derive.object_oids import anchor_all, anchor_around, anchor_reference, drop_stale_references
from ztfdb.derive.variability import statistics
from ztfdb.errors import UnknownObjectError
from ztfdb.ids import SOURCE_ID_SHIFT
from ztfdb.sky.cells import cell_to_sky, sky_to_cell
from ztfdb.sky.cover import cover_positions
from ztfdb.sky.match import match_all, match_nearest
from ztfdb.store import objects as store
from ztfdb.store.catalogues import CatalogueInfo, held_catalogues
from ztfdb.store.columns import MISSING
from ztfdb.store.engine import writing
from ztfdb.store.object_oids import find_object_of_oid, oids_of_object
from ztfdb.texts import counted

RULES = 1
"""Version of the grouping rules; objects made by other versions are built again."""

REBUILD_SHARE = 0.25
"""If more than this fraction of all sources is new, a build is faster than an update."""

SOURCES_AT_ONCE = 600_000

SETTLE_SOURCES = 20_000
"""After a build of more sources the tables are vacuumed and analysed at once; without this, the next update was 4
times slower."""

log = logging.getLogger(__name__)


@dataclass
class ObjectsReport:
    """Result of a build or an update.

    Attributes
    ----------
    built : bool
        All objects were rebuilt.
    n_added, n_removed : int
        Images whose sources were added and removed; an image that was measured again counts in both.
    n_source : int
        Sources of the added images.
    n_remade : int
        Objects that were created or rebuilt.
    n_reference : int
        Reference catalogues that were matched with objects, for the first time or again.
    seconds : float
    """

    built: bool = False
    n_added: int = 0
    n_removed: int = 0
    n_source: int = 0
    n_remade: int = 0
    n_reference: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        images = f"{counted(self.n_added, 'image')} added, {self.n_removed:,} taken out"
        anchors = f", {counted(self.n_reference, 'reference catalogue')}" if self.n_reference else ""
        made = f"{counted(self.n_source, 'source')}, {counted(self.n_remade, 'object')} made{anchors}"
        return f"{images}, {made} in {self.seconds:.1f} s"


def build_objects(sessions: sessionmaker[Session], *, progress: Progress | None = None) -> ObjectsReport:
    """Build all objects from all sources in one transaction; former object ids stay as aliases.

    Parameters
    ----------
    sessions : sessionmaker
    progress : callable, optional
        Called with the number of tiles done and the total number.
    """
    began = time.perf_counter()
    with writing(sessions) as session:
        store.lock_objects(session)
        report = _build(session, progress)
    return _finished(sessions, report, began)


def update_objects(sessions: sessionmaker[Session], *, progress: Progress | None = None) -> ObjectsReport:
    """Update the objects after changes of the images; one transaction per image.

    Images that were removed, replaced or measured again are taken out and, if they still exist, added again. If there
    are no objects yet, or 25 % of all sources are new, all objects are built.

    Parameters
    ----------
    sessions : sessionmaker
    progress : callable, optional
        Called for every image.
    """
    began = time.perf_counter()
    report = ObjectsReport()
    with writing(sessions) as session:
        store.lock_objects(session)
        prints, joined, state = (
            store.image_fingerprints(session), store.joined_images(session), store.read_state(session),
        )  # fmt: skip
        stale = [one for one, fingerprint in joined.items() if prints.get(one) != fingerprint]
        new = sorted(prints.keys() - (joined.keys() - set(stale)))
        if state.get("rules") != RULES or _too_many(session, new, stale):
            report, new, references = _build(session, progress), [], {}
        else:
            references = drop_stale_references(session)
            if stale:
                report.n_removed, report.n_remade = len(stale), _leave(session, stale, n_image=len(prints))
            if state.get("ps1") != _ps1_import(session):
                _identify_all(session)
    for done, image_id in enumerate(new, start=1):
        with writing(sessions) as session:
            store.lock_objects(session)
            if not len(store.joined_among(session, np.array([image_id], np.int64))):
                n_source, n_remade = _join(session, image_id, n_image=len(prints))
                store.record_images(session, {image_id: prints[image_id]})
                report.n_added, report.n_source = report.n_added + 1, report.n_source + n_source
                report.n_remade += n_remade
        if progress is not None:
            progress(done, len(new))
    for image_id, fingerprint in references.items():
        with writing(sessions) as session:
            store.lock_objects(session)
            report.n_reference += anchor_reference(session, image_id, fingerprint)
    return _finished(sessions, report, began)


def _finished(sessions: sessionmaker[Session], report: ObjectsReport, began: float) -> ObjectsReport:
    if report.built and report.n_source > SETTLE_SOURCES:
        store.settle_objects(sessions.kw["bind"])
    report.seconds = time.perf_counter() - began
    log.info("objects are up to date", extra=vars(report))
    return report


def _too_many(session: Session, new: list[int], stale: list[int]) -> bool:
    n_source = store.count_sources(session)
    changed = sum(n_source.get(one, 0) for one in {*new, *stale})
    return changed > REBUILD_SHARE * sum(n_source.values())


# Building, tile by tile -------------------------------------------------------------------------------------------


def _build(session: Session, progress: Progress | None) -> ObjectsReport:
    old = store.object_ids(session)
    prints, n_source = store.image_fingerprints(session), store.count_sources(session)
    store.clear_objects(session)
    images = read_images(session, np.array(sorted(prints), np.int64))
    ps1 = _ps1(session)
    report = ObjectsReport(True, len(prints), 0, sum(n_source.values()))
    tiles = store.covered_cells(session, 4 ** (9 - TILE_ORDER))
    for done, tile in enumerate(tiles.tolist(), start=1):
        sample, whole, own = join_tile(session, tile, images)
        grouped = whole.take(own)
        store.add_members(session, _write(session, sample, images, grouped, ps1))
        store.drop_aliases(session, grouped.objects["object_id"])
        _redirect(session, old[(old >> cell_shift(TILE_ORDER)) == tile], sample.found, whole)
        report.n_remade += len(grouped.objects["object_id"])
        if progress is not None:
            progress(done, len(tiles))
    store.record_images(session, prints)
    store.write_state(session, {"rules": RULES, "ps1": _ps1_import(session)})
    report.n_reference = anchor_all(session)
    return report


# Updating ---------------------------------------------------------------------------------------------------------


def _leave(session: Session, image_ids: list[int], *, n_image: int) -> int:
    """Take images out of `n_image`, and return the number of rebuilt objects."""
    owners = np.unique(np.concatenate([store.forget_image(session, one) for one in image_ids]))
    start = store.objects_by_id(session, owners)
    every, nowhere = np.ones(len(start["object_id"]), bool), (np.empty(0), np.empty(0))
    return _regroup(session, find_disturbed(session, start, every, nowhere), n_image=n_image)


def _join(session: Session, image_id: int, *, n_image: int) -> tuple[int, int]:
    """Add an image to `n_image`; return the numbers of its sources and of rebuilt objects."""
    images = read_images(session, np.array([image_id], np.int64))
    sample = make_sample(store.detections_of_image(session, image_id), images)
    found = sample.found
    if not len(found):
        return 0, 0
    margin = search_margin(store.largest_reach(session))
    objects = store.objects_in_ranges(session, *cover_positions(found.hpx29.astype(np.int64, copy=False), margin))
    others = np.array(sorted(store.same_exposure(session, image_id)), np.int64)
    alone = not len(others) or not len(store.joined_among(session, others))
    owner, apart, plain = _explained(found, objects, alone)
    twice = np.bincount(owner[owner >= 0], minlength=len(objects["object_id"])) > (1 if alone else 0)
    new = found.clean & ~plain
    disturbed = find_disturbed(session, objects, twice, (found.ra[new], found.dec[new]))
    calm = np.flatnonzero(owner >= 0)
    calm = calm[(plain | ~found.clean)[calm]]
    calm = calm[~np.isin(objects["object_id"][owner[calm]], disturbed.object_id)]
    _lengthen(session, sample, images, objects, Grouped(
        objects, calm, owner[calm], np.where(found.clean, MemberKind.LINKED, MemberKind.ATTACHED)[calm], apart[calm],
        np.zeros(len(calm), bool),
    ))  # fmt: skip
    return len(found), _regroup(session, disturbed, n_image=n_image, new=image_id)


def _explained(found: Detections, objects: Columns, alone: bool) -> tuple[IntArray, FloatArray, BoolArray]:
    """Find the objects of a new image's detections, if no neighbourhood changes there.

    Returns
    -------
    owner : ndarray of int64, shape (n,)
        Nearest object within reach, -1 if there is none.
    apart : ndarray, shape (n,)
        Its separation, arcsec.
    plain : ndarray of bool, shape (n,)
        Clean detections that link only with this object's best detection, and change neither its position or id nor
        the separation of neighbours.
    """
    owner, apart = np.full(len(found), -1), np.full(len(found), np.nan)
    near = match_nearest(found.ra, found.dec, objects["ra"], objects["dec"], ATTACH)
    keep = ~found.clean[near.index1] | (near.separation <= LINK)
    row, which = near.index1[keep], near.index2[keep]
    owner[row], apart[row] = which, separation_from(found, row, objects, which)
    plain = found.clean & (owner >= 0)
    if not alone or not plain.any():
        return owner, apart, plain & alone
    # other new detections may lie up to LINK from an object's position, so its reach is at least LINK
    reach = np.maximum(objects["reach"], LINK) + LINK + TOLERANCE
    every = match_all(found.ra, found.dec, objects["ra"], objects["dec"], float(reach.max()))
    touching = every.index1[every.separation <= reach[every.index2]]
    own = np.where(owner >= 0, owner, 0)
    plain &= np.bincount(touching, minlength=len(found)) == 1
    plain &= (objects["crowded"][own] == 0) & (found.snr < objects["best_snr"][own])
    plain &= found.source_id > objects["first_source_id"][own]
    return owner, apart, plain


def _lengthen(session: Session, sample: Sample, images: Images, objects: Columns, grouped: Grouped) -> None:
    """Add one detection each to objects of which only the statistics change."""
    row, owner = grouped.row, grouped.owner
    counted = sample.eligible[row]
    store.add_members(session, member_rows(sample, grouped, counted))
    wider = sample.found.clean[row] & (grouped.separation > objects["reach"][owner])
    if wider.any():
        changed = {name: values[owner[wider]] for name, values in objects.items()}
        store.replace_objects(session, changed | {"reach": grouped.separation[wider]})
    if not counted.any():
        return
    order = np.argsort(owner[counted])
    object_id = objects["object_id"][owner[counted][order]]
    fid = int(images.fid[0])
    known = store.read_curves(session, object_id, fid)
    curves = [known.get(one, b"") for one in object_id.tolist()]
    points, start = lengthened(curves, make_points(sample, images, row[counted][order]))
    rows = {"object_id": object_id, "fid": np.full(len(object_id), fid), **statistics(points, start)}
    store.replace_curves(session, fid, rows, packed(points, start))


def _regroup(session: Session, disturbed: Disturbed, *, n_image: int, new: int = MISSING) -> int:
    """Rebuild the objects of areas, and return their number.

    Parameters
    ----------
    session : Session
    disturbed : Disturbed
    n_image : int
        About the number of images; a position has at most as many sources.
    new : int
        An image whose sources count although it is not recorded yet.
    """
    if not len(disturbed.ra):
        return 0
    ps1 = _ps1(session)
    old = disturbed.object_id[disturbed.object_id != MISSING]
    before, after = store.members_of(session, old), []
    places = [(disturbed.ra, disturbed.dec)]
    store.delete_objects(session, old)
    n_made = 0
    order = np.argsort(disturbed.area, kind="stable")
    for discs in batches(disturbed.area[order], max(500, SOURCES_AT_ONCE // max(1, n_image))):
        which = order[discs]
        rows = sources_inside(session, disturbed.ra[which], disturbed.dec[which], disturbed.reach[which] + ATTACH)
        present = np.unique(rows["source_id"] >> SOURCE_ID_SHIFT)
        images = read_images(session, np.union1d(store.joined_among(session, present), present[present == new]))
        sample = make_sample(rows, images)
        grouped = group_detections(sample.found)
        after.append(_write(session, sample, images, grouped, ps1))
        mine = disturbed.object_id[which]
        store.drop_aliases(session, grouped.objects["object_id"])
        _redirect(session, mine[mine != MISSING], sample.found, grouped)
        places.append((grouped.objects["ra"], grouped.objects["dec"]))
        n_made += len(grouped.objects["object_id"])
    store.replace_members(session, before, {name: np.concatenate([one[name] for one in after]) for name in before})
    anchor_around(session, *(np.concatenate(column) for column in zip(*places, strict=True)))
    return n_made


# Writing ----------------------------------------------------------------------------------------------------------


def _write(session: Session, sample: Sample, images: Images, grouped: Grouped, ps1: CatalogueInfo | None) -> Columns:
    """Store new objects with their statistics and PS1 ids, and return the rows of their members."""
    counted = counted_members(sample, images, grouped)
    store.add_objects(session, _identified(session, grouped.objects, ps1))
    store.add_curves(session, *curve_rows(sample, images, grouped, counted))
    return member_rows(sample, grouped, counted)


def _redirect(session: Session, old: IntArray, found: Detections, grouped: Grouped) -> None:
    """Store aliases for former object ids: the object of their first detection, else the nearest.

    If there is none (the images were removed), their aliases are deleted.
    """
    new = grouped.objects["object_id"]
    gone = old[~np.isin(old, new)]
    target = np.full(len(gone), -1)
    if len(gone) and len(new):
        seed = grouped.kind != MemberKind.ATTACHED
        cell, owner = found.hpx29[grouped.row[seed]], grouped.owner[seed]
        order = np.argsort(cell, kind="stable")
        at = order[np.minimum(np.searchsorted(cell, gone, sorter=order), len(order) - 1)]
        target = np.where(cell[at] == gone, owner[at], -1)
        lost = np.flatnonzero(target < 0)
        near = match_nearest(*cell_to_sky(gone[lost]), grouped.objects["ra"], grouped.objects["dec"], ATTACH)
        target[lost[near.index1]] = near.index2
    known = target >= 0
    store.move_aliases(session, gone[known], new[target[known]])
    store.drop_aliases_to(session, gone[~known])


# PS1 --------------------------------------------------------------------------------------------------------------


def _ps1(session: Session) -> CatalogueInfo | None:
    return next((one for one in held_catalogues(session) if one.kind == "ps1"), None)


def _ps1_import(session: Session) -> int:
    ps1 = _ps1(session)
    return 0 if ps1 is None else store.import_fingerprint(session, ps1.catalogue_id)


def _identified(session: Session, objects: Columns, ps1: CatalogueInfo | None) -> Columns:
    """Add the nearest PS1 object within `ATTACH`, if the catalogue is stored."""
    n = len(objects["object_id"])
    ps1_id, apart = np.full(n, MISSING), np.full(n, np.nan)
    if ps1 is not None and n:
        rows = rows_around(session, ps1, sky_to_cell(objects["ra"], objects["dec"]), ATTACH, None)
        near = match_nearest(objects["ra"], objects["dec"], rows["ra"], rows["dec"], ATTACH)
        ps1_id[near.index1], apart[near.index1] = rows["reference_id"][near.index2], near.separation
    return objects | {"ps1_id": ps1_id, "ps1_separation": apart}


def summarise(session: Session, object_id: int) -> pd.DataFrame:
    """Return the statistics of an object, one row per filter.

    Parameters
    ----------
    session : Session
    object_id : int
        Its id, a former id, or its ``oid`` in a stored reference catalogue.

    Returns
    -------
    DataFrame
        ``number`` is the smallest oid (smallest field, g before r before i), ``oid`` the smallest in the row's filter.

    Raises
    ------
    UnknownObjectError
        If no object has or had this id.
    """
    columns: dict[str, Any] = dict(store.object_summary(session, _known_object(session, object_id)))
    for name in ("ps1_id", "number", "oid"):
        values = pd.array(columns[name], dtype="Int64")
        values[columns[name] == MISSING] = pd.NA
        columns[name] = values
    return pd.DataFrame(columns)


def object_oids(session: Session, object_id: int) -> pd.DataFrame:
    """Return the reference sources of an object, one row per catalogue, ordered by ``oid``.

    Parameters
    ----------
    session : Session
    object_id : int
        As for `summarise`.

    Returns
    -------
    DataFrame
        ``oid`` and its parts, the separation from the object (arcsec), position and magnitude of the reference source
        (for colour 0), and its row id; no rows without a reference catalogue or a near source.

    Raises
    ------
    UnknownObjectError
        If no object has or had this id.
    """
    return pd.DataFrame(oids_of_object(session, _known_object(session, object_id)))


def _known_object(session: Session, object_id: int) -> int:
    known = store.find_object_id(session, object_id)
    if known is None:
        known = find_object_of_oid(session, object_id)
    if known is None:
        raise UnknownObjectError(
            f"no object {object_id} in this archive; `ztfdb objects update` brings objects up to date"
        )
    return known


def _identify_all(session: Session) -> None:
    """Match all objects with PS1 again, after the catalogue has changed."""
    ps1 = _ps1(session)
    ids = store.object_ids(session)
    for part in np.array_split(ids, len(ids) // 50_000 + 1):
        store.replace_objects(session, _identified(session, store.objects_by_id(session, part), ps1))
    store.write_state(session, {"rules": RULES, "ps1": _ps1_import(session)})
