// What the archive holds, and what waits.

import { dateOf } from "./curve.js";
import { facts, fixed, make, table } from "./dom.js";
import { get, tap } from "./service.js";

const many = (value) => Number(value).toLocaleString("en");
const images = (n) => `${many(n)} ${n === 1 ? "image" : "images"}`;

export function holdings(held) {
  const parts = [`${images(held.n_image)}${held.n_simulated ? ` (${many(held.n_simulated)} simulated)` : ""}`, `${many(held.n_source)} sources`];
  parts.push(held.filters.map((one) => `${one.filtercode[1]} ${many(one.n_image)}`).join(", "));
  const first = Math.min(...held.filters.map((one) => one.first_mjd));
  const last = Math.max(...held.filters.map((one) => one.last_mjd));
  if (Number.isFinite(first)) parts.push(`${night(first)} to ${night(last)}`);
  return parts.filter(Boolean).join(" · ");
}

const night = (mjd) => dateOf(mjd).toISOString().slice(0, 10);

const NIGHTS = 60;
const WORST = 20;

// Nights are UTC dates: no exposure of Palomar crosses one.
const BY_NIGHT = `select top ${NIGHTS} floor(obsmjd) as night, count(*) as n_image, sum(n_source) as n_source, avg(maglim) as maglim, avg(seeing_pix) as seeing_pix
from ztf.image where kind <> 'ref' group by floor(obsmjd) order by night desc`;

const SHALLOWEST = `select top ${WORST} image_id, filtercode, obsmjd, maglim, seeing_pix, n_source
from ztf.image where kind <> 'ref' and maglim is not null order by maglim, image_id`;

const WARNED = `select top ${WORST} c.image_id, i.filtercode, i.obsmjd, c.median, c.scatter, c.n_star
from ztf.psf_check as c join ztf.image as i on i.image_id = c.image_id where c.warning >= 1 order by c.severity desc, c.image_id`;

const rowsOf = async (statement) => {
  const { metadata, data } = await tap(statement, Math.max(NIGHTS, WORST));
  return data.map((row) => Object.fromEntries(metadata.map((one, at) => [one.name, row[at]])));
};

const IMAGE = [
  { name: "image_id", text: true, cell: (row) => String(row.image_id) }, { name: "filter", text: true, cell: (row) => row.filtercode },
  { name: "exposure", text: true, cell: (row) => `${night(row.obsmjd)} (MJD ${fixed(row.obsmjd, 5)})` },
];
const quality = (mean) => [
  { name: "sources", cell: (row) => many(row.n_source) }, { name: `${mean}MAGLIM`, cell: (row) => fixed(row.maglim, 2) },
  { name: `${mean}seeing, px`, cell: (row) => fixed(row.seeing_pix, 2) },
];

const titled = (title, columns, rows) => (rows.length
  ? [make("h2", {}, title), make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: title }, table(columns, rows))] : []);

export class Status {
  constructor(element) {
    this.element = element;
  }

  async show() {
    this.element.replaceChildren("Reading…");
    try {
      const [held, catalogues, ...images] = await Promise.all([get("status"), get("catalogues"), ...[BY_NIGHT, SHALLOWEST, WARNED].map(rowsOf)]);
      this.element.replaceChildren(...this.parts(held, catalogues, images));
    } catch (error) {
      this.element.replaceChildren(make("p", { className: "words bad", role: "alert" }, error.message,
        make("button", { type: "button", onclick: () => this.show() }, "Try again")));
    }
  }

  parts(held, catalogues, [nights, shallowest, warned]) {
    const filters = table([
      { name: "filter", text: true, cell: (row) => row.filtercode }, { name: "images", cell: (row) => many(row.n_image) },
      { name: "sources", cell: (row) => many(row.n_source) }, { name: "first", text: true, cell: (row) => `${night(row.first_mjd)} (MJD ${fixed(row.first_mjd, 3)})` },
      { name: "last", text: true, cell: (row) => `${night(row.last_mjd)} (MJD ${fixed(row.last_mjd, 3)})` },
    ], held.filters);
    const { jobs, rate_per_hour: rate, oldest_waiting_s: oldest } = held.queue;
    return [
      make("h2", {}, "Holdings"),
      facts([
        ["images", `${many(held.n_image)}: ${Object.entries(held.images).map(([kind, n]) => `${many(n)} ${kind}`).join(", ")}`],
        ["simulated", many(held.n_simulated)], ["sources", many(held.n_source)], ["fields", many(held.n_field)],
        ["data roots", held.roots.map((one) => `${one.name} (${images(one.n_image)})`).join(", ")],
        ["made", held.archive.created], ["ztfdb", held.archive.ztfdb_version],
      ]),
      make("h2", {}, "Filters"), make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Filters" }, filters),
      make("h2", {}, "Queue"),
      facts([...Object.entries(jobs).map(([name, n]) => [name, many(n)]), ["images per hour", fixed(rate, 1)], ["oldest waits", oldest == null ? "" : `${fixed(oldest, 0)} s`]]),
      ...titled(nights.length < NIGHTS ? "Nights" : `The last ${NIGHTS} nights`, [
        { name: "night (UTC)", text: true, cell: (row) => night(row.night) }, { name: "images", cell: (row) => many(row.n_image) }, ...quality("mean ")], nights),
      ...titled("Shallowest images", [...IMAGE, ...quality("")], shallowest),
      ...this.checks(held.psf_check),
      ...titled("Worst against ZTF's PSF catalogues", [...IMAGE,
        { name: "offset, mag", cell: (row) => fixed(row.median, 3) }, { name: "scatter, mag", cell: (row) => fixed(row.scatter, 3) },
        { name: "stars", cell: (row) => many(row.n_star) }], warned),
      ...(held.caveats.length ? [make("h2", {}, "What images lack"), make("ul", {}, ...held.caveats.map((one) => make("li", {}, typeof one === "string" ? one : Object.values(one).join(": "))))] : []),
      make("h2", {}, "Reference catalogues"),
      ...this.frame(catalogues, "No catalogue is held."),
      make("h2", {}, "Measured by"),
      ...held.configs.map((one) => facts([["configuration", one.config_hash.slice(0, 16)], ["images", many(one.n_image)], ...Object.entries(one.versions)])),
    ];
  }

  checks(found) {
    if (!found?.n_checked) return [];
    return [make("h2", {}, "Checks against ZTF's PSF catalogues"),
      facts([["checked", `${many(found.n_checked)} of ${images(found.n_image)}`], ["to look at", many(found.n_look)], ["wrong", many(found.n_wrong)]])];
  }

  frame(frame, empty) {
    const count = frame.columns.length ? frame.data[frame.columns[0].name].length : 0;
    if (!count) return [make("p", {}, empty)];
    const rows = Array.from({ length: count }, (_, at) => at);
    return [make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Catalogues" }, table(frame.columns.map(({ name }) => ({ name, text: true, cell: (at) => String(frame.data[name][at] ?? "") })), rows))];
  }
}
