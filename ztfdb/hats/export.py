"""``archive.export_hats``: export each product as a HATS collection, in full or as an update."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ztfdb.errors import ExportError
from ztfdb.hats.collection import Collection, Follow, Given, Written
from ztfdb.hats.contents import Contents
from ztfdb.hats.layout import SUFFIXES
from ztfdb.hats.objects import Objects
from ztfdb.hats.places import LocalPlace, Place
from ztfdb.hats.plan import Settings, read_state
from ztfdb.hats.processes import Process
from ztfdb.hats.products import Detections, Forced, Images, Product, PsfSources
from ztfdb.hats.readers import Readers
from ztfdb.hats.remote import open_place
from ztfdb.hats.tiling import margin_order
from ztfdb.store.address import Address
from ztfdb.store.zero_points import METHODS

PRODUCTS: dict[str, type[Product]] = {kind.name: kind for kind in (Detections, Objects, PsfSources, Forced, Images)}

UNFINISHED = "unfinished.json"
"""File with the generation of each product of a running full export; deleted when all are finished."""


@dataclass
class ProductReport:
    """Result for one product.

    Attributes
    ----------
    name : str
    n_row : int
        Rows in all partitions.
    n_partition, n_written : int
        Partitions, and partitions with new files.
    rows_written : int
        Rows in new files.
    size : int
        Bytes of all partitions.
    generation : int
        The published generation.
    """

    name: str
    n_row: int
    n_partition: int
    n_written: int
    rows_written: int
    size: int
    generation: int

    def __str__(self) -> str:
        written = f"{self.n_written} of {self.n_partition} partitions written ({self.rows_written} rows)"
        return f"{self.name}: {self.n_row} rows, {self.size / 1e6:.1f} MB, {written}, generation {self.generation}"


@dataclass
class HatsReport:
    """Result of an export, product by product."""

    folder: str
    products: list[ProductReport] = field(default_factory=list)

    def __str__(self) -> str:
        return "\n".join(map(str, self.products)) or "nothing to export: the archive is empty"


def export_hats(
    address: Address,
    folder: str | Path,
    *,
    update: bool = False,
    products: Sequence[str] | None = None,
    threshold: int | None = None,
    margin: float | None = None,
    calibration: str | None = None,
    layout: str | None = None,
    others: Sequence[Process] = (),
    progress: Follow | None = None,
    tell: Callable[[str], None] | None = None,
) -> HatsReport:
    """Write an archive as HATS collections, one below `folder` for each product.

    Parameters
    ----------
    address : Address
        Of the archive, with its password.
    folder : path or str
        Created if it does not exist. A URL that fsspec supports, such as ``s3://bucket/ztf``, needs the extra
        ``remote`` and fsspec's package for it.
    update : bool
        Write only the partitions whose rows have changed since the last export into `folder`, which must exist.
        Otherwise everything is written. Readers see the last export until the new one is complete.
    products : sequence of str, optional
        Some of ``detections``, ``objects``, ``psf_sources``, ``forced``, ``images``; by default all with rows.
    threshold : int, optional
        Maximum rows of a partition, epochs for ``objects``; by default 500,000. One cell of order 10 may have more.
    margin : float, optional
        Width of the margin caches, arcsec; 0 for none; by default 10.
    calibration : str, optional
        Zero points of ``mag`` and ``flux_ujy`` in the 6 px aperture: ``header`` (by default), ``ps1`` or ``self``.
        Zero points from shared stars (``self``) depend on the position on the image and have their own systematic
        error. Rows of an image without such a calibration have no magnitude; PSF photometry uses the header's.
    layout : str, optional
        ``file`` (by default): each partition is a file, and an update writes the partitions that changed.
        ``directory``: each is a folder of files, and an update adds a file for added rows; a new file absorbs earlier
        ones, youngest first, that have fewer than twice its rows.
    others : sequence of Process
        Processes that write beside this one, from `ztfdb.hats.processes.processes`.
    progress, tell : callable, optional
        Called as files are done; called with a line about the amount of data before anything is written.

    Returns
    -------
    HatsReport

    Raises
    ------
    ExportError
        If `folder` cannot be written or is no folder, another export writes to it, there is nothing to update, the
        settings of an update differ from the export's, or a store refuses.
    MissingExtraError
        If `folder` is a URL and fsspec is not installed.
    ValueError
        If a product, threshold, margin, calibration or layout is invalid.
    """
    wanted = _checked(products, threshold, margin, layout)
    if calibration is not None and calibration not in METHODS:
        raise ValueError(f"calibration {calibration!r} is none of {', '.join(METHODS)}")
    root, report = open_place(folder), HatsReport(str(folder))
    if isinstance(root, LocalPlace):
        root.check()
    if others and not root.is_shared:
        raise ExportError(f"no other process sees {root}: export with one (jobs=1)")
    if update and not any(read_state(root.below(name)) for name in PRODUCTS):
        raise ExportError(f"{root} holds no export to bring up to date: leave --update away")
    held = _held_settings(root) if update else None
    kind = calibration or (held.calibration if held is not None else "header")
    given = Given(threshold, margin, kind, layout, held)
    with root.alone(), Readers(address, others, given.calibration) as readers:
        begun, counts = {} if update else _begun(root), dict[str, Contents]()
        for name in wanted:
            follow, say = progress or (lambda *_: None), tell or (lambda _: None)
            one = Collection(readers, PRODUCTS[name](), root.below(name), given, update, follow, say, counts)
            if not update and name not in begun:
                begun[name] = one.next_number
                root.write(UNFINISHED, json.dumps(begun).encode())
            written = one.run(always=products is not None, begun=begun.get(name))
            if written is not None:
                report.products.append(_report(name, written))
        root.remove(UNFINISHED)
    return report


def _report(name: str, written: Written) -> ProductReport:
    held = [part for part in written.generation.parts if part.n_row > 0]
    n_row, size = sum(part.n_row for part in held), sum(part.size for part in held)
    number = written.generation.number
    return ProductReport(name, n_row, len(held), written.n_partition, written.n_row, size, number)


def _begun(root: Place) -> dict[str, int]:
    """Return the generation of each product of an unfinished full export, none if its file is not that of an export."""
    try:
        return dict(json.loads(root.read(UNFINISHED) or b"{}"))
    except (ValueError, TypeError):
        return {}


def _checked(
    products: Sequence[str] | None, threshold: int | None, margin: float | None, layout: str | None
) -> list[str]:
    unknown = [name for name in products or () if name not in PRODUCTS]
    if unknown or (products is not None and not products):
        raise ValueError(f"{', '.join(unknown) or 'none'}: the products are {', '.join(PRODUCTS)}")
    if threshold is not None and threshold < 1:
        raise ValueError(f"threshold {threshold}: a partition holds at least one row")
    if margin:
        margin_order(margin)
    if layout is not None and layout not in SUFFIXES:
        raise ValueError(f"layout {layout!r}: the layouts are {', '.join(SUFFIXES)}")
    return [name for name in PRODUCTS if products is None or name in products]


def _held_settings(root: Place) -> Settings | None:
    """Return the settings of the first existing product."""
    states = (read_state(root.below(name)) for name in PRODUCTS)
    return next((state.settings for state in states if state is not None), None)
