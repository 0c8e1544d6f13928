"""Random ADQL of everything that the translation declares."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from ztfdb.adql.tables import Column
from ztfdb.adql.uploads import Upload

PLACES = [(180.0, 10.0), (0.01, -5.0), (359.9, -5.1), (70.0, 89.7), (200.0, 90.0), (0.0, 0.0), (180.2, 10.3)]


def random_statements(n: int, seed: int = 20) -> Iterator[tuple[str, list[Upload]]]:
    """Statements of every declared function, with NULLs, LIKE, joins, WITH, set operators, uploads, images, at poles
    and RA 0; each with the tables that it brings.
    """
    rng = np.random.default_rng(seed)
    numbers = [
        "ra",
        "dec",
        "flux_aper4",
        "flux_aper1 / flux_aper2",
        "x - y",
        "npix",
        "flags",
        "mask_bits",
        "kron_radius",
    ]
    functions = [
        "abs({0})", "ceiling({0})", "floor({0})", "degrees({0})", "radians({0})", "exp({0} / 100)", "log({0})",
        "log10({0})", "power({0}, 2)", "power({0}, {1})", "sqrt({0})", "mod({0}, {1})", "mod(npix, 7)", "round({0})",
        "round({0}, 2)", "truncate({0}, 1)", "truncate({0})", "sin({0})", "cos({0})", "tan({0} / 1000)", "asin({0})",
        "acos({0} / 400)", "atan({0})", "atan2({0}, {1})", "pi() * {0}", "coalesce(mask_bits, -1)", "{0} / 0",
        "cast({0} as integer)", "cast(npix as double precision)", "case when {0} > {1} then {0} else {1} end",
        "npix / 3", "-{0} * 0.1 + 1e-3", "distance(ra, dec, 0.0, 90.0)", "coord1(point(ra, dec))",
    ]  # fmt: skip
    conditions = [
        "{0} > {1}", "not {0} < 5", "{0} between 1 and 200", "mask_bits is null", "mask_bits is not null",
        "flags in (0, 1, 2, 64)", "{0} <> {1} or flags = 0", "image_id in (select image_id from image where fid = 2)",
        "exists (select 1 from image as i where i.image_id = s.image_id and i.filtercode like 'z%')",
        "1 = contains(point(ra, dec), circle({ra}, {dec}, {r}))",
        "0 = contains(point(ra, dec), circle({ra}, {dec}, {r}))",
        "distance(point(ra, dec), point({ra}, {dec})) < {r}",
        "contains(point(ra, dec), box({ra}, {dec}, {r}, {r})) = 1",
        "(1 = contains(point(ra, dec), circle({ra}, {dec}, {r})) or distance(ra, dec, 0, -5) <= 0.2)",
    ]  # fmt: skip
    for number in range(n):
        ra, dec = PLACES[rng.integers(len(PLACES))]
        words = {"ra": ra, "dec": dec, "r": [0.05, 0.3, 0.8][rng.integers(3)]}

        def filled(template, words=words):
            return template.format(*rng.choice(numbers, 2), **words)

        value, condition = filled(functions[number % len(functions)]), filled(rng.choice(conditions))
        if number % 5 == 1:
            condition = f"({condition}) and {filled(rng.choice(conditions))}"
        kind = number % 10
        if kind < 4:
            top = f"top {rng.integers(0, 40)} " if kind == 1 else ""
            tail = f" offset {rng.integers(5)}" if kind == 2 else ""
            order = "2 desc, 1" if kind == 3 else "1"
            yield f"select {top}source_id, {value} as v from source as s where {condition} order by {order}{tail}", []
        elif kind == 4:
            yield (
                (
                    f"with w as (select image_id, npix, flags, {value} as v from source as s where {condition}) "
                    "select i.filtercode, count(*) as n, min(w.v) as a, max(w.v) as b, avg(w.v) as c, "
                    "count(distinct w.flags) as d, sum(w.npix) as e from w join image as i using (image_id) "
                    "group by i.filtercode having count(*) > 1 order by n desc"
                ),
                [],
            )
        elif kind == 5:
            yield (
                (
                    f"with w as (select source_id, {value} as v from source as s where {condition}) "
                    "select w.v, upper(i.filtercode) || '-' || lower(i.kind) as k from w "
                    "join source as t on t.source_id = w.source_id left join image as i on i.image_id = t.image_id "
                    "and i.filtercode ilike 'Z_' order by w.v, k"
                ),
                [],
            )
        elif kind == 6:
            operator = ["union", "except", "intersect", "union all"][number // 10 % 4]
            yield (
                (
                    f"select flags, {value} as v from source as s where {condition} {operator} "
                    f"select flags, {value} from source as s where npix > 20 order by v, flags"
                ),
                [],
            )
        elif kind == 7:
            yield (
                (
                    f"select distinct mag, magerr, filtercode from light_curve_point as s where {condition} "
                    "order by mag desc, filtercode"
                    if not any(n in condition for n in ("flux_aper", "kron", "x - y", "npix"))
                    else f"select distinct flags, npix from source as s where {condition} order by npix"
                ),
                [],
            )
        elif kind == 8:
            side = ["", "left "][number // 10 % 2]
            value = re.sub(r"\b(ra|dec)\b", r"s.\1", value)  # the upload has such columns, too
            yield (
                (
                    f"select u.k, s.source_id, {value} as v from tap_upload.mine as u {side}join source as s "
                    f"on 1 = contains(point(s.ra, s.dec), circle(u.ra, u.dec, {words['r'] / 5})) "
                    "order by u.k, s.source_id"
                ),
                [positions(rng)],
            )
        else:
            shape = [
                "circle({ra}, {dec}, {r})", "box({ra}, {dec}, {r}, {r})", "point({ra}, {dec})",
                "polygon({ra}, {dec}, {ra} + 0.5, {dec} - 0.4, {ra} + 0.5, {dec} - 0.9)",
            ][number // 10 % 4].format(**words | {"dec": min(words["dec"], 89.0)})  # fmt: skip
            test = ["intersects(s_region, {0}) = 1", "1 = intersects({0}, s_region)", "0 = intersects(s_region, {0})"]
            yield (
                (
                    "select obs_id, obs_title, t_min, s_region, s_fov, em_max, p.n from ivoa.obscore as o left join "
                    f"(select image_id, count(*) as n from source as s where {condition} group by image_id) as p "
                    f"on p.image_id = o.image_id where {test[number // 10 % 3].format(shape)} "
                    "and obs_collection like 'Z%' order by t_min, obs_id"
                ),
                [],
            )


def positions(rng: np.random.Generator) -> Upload:
    """Some twenty positions around those of the archive, one of them missing."""
    ra, dec = (np.array([place[axis] for place in PLACES * 3]) for axis in (0, 1))
    ra = (ra + rng.uniform(-0.4, 0.4, len(ra))) % 360.0
    dec = np.clip(dec + rng.uniform(-0.4, 0.4, len(dec)), -90.0, 90.0)
    columns = (Column("k", "int"), Column("ra", "double", "deg"), Column("dec", "double", "deg"))
    values = {"k": list(range(len(ra) + 1)), "ra": [*ra.tolist(), None], "dec": [*dec.tolist(), 5.0]}
    return Upload("mine", columns, values)
