// The sky around the position: pixels of an image, outlines, objects, catalogues; a click is a new position.

import { colour } from "./curve.js";
import { find, fixed, make, table } from "./dom.js";
import { day } from "./epoch.js";
import { inks, penOf, redrawn } from "./ink.js";
import { get, tap } from "./service.js";
import { fromTangent, pixelToSky, separation, tangent } from "./sphere.js";
import { drawPixels } from "./stamp.js";

const WIDTHS = [0.5, 1, 2, 5, 10, 30, 60]; // arcmin
const PIXELS_TO = 10; // arcmin: wider, pixels are many and small
const PIXEL = 1.01; // arcsec
const MOST = 3000;
const LISTED = 50;
const NEAR_PX = 10;

export class Sky {
  // `told` has place(), state(), changed(change) and open(position).
  constructor(told) {
    Object.assign(this, { told, layers: new Map(), images: null, stamp: null });
    this.canvas = find("sky");
    this.canvas.marks = [];
    redrawn(this.canvas, () => this.draw());
    find("sky-width").append(...WIDTHS.map((one) => make("option", { value: one }, `${one}′`)));
    find("sky-width").addEventListener("change", () => { told.changed({ swidth: find("sky-width").value }); this.load(); });
    find("sky-image").addEventListener("change", () => { told.changed({ simage: find("sky-image").value }); this.load(); });
    find("sky-stretch").addEventListener("change", () => { told.changed({ sstretch: find("sky-stretch").value }); this.draw(); });
    this.canvas.addEventListener("click", (event) => this.pick(event));
    this.canvas.addEventListener("pointermove", (event) => this.tip(event));
    this.canvas.addEventListener("pointerleave", () => { find("sky-tip").hidden = true; });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  show() {
    const place = this.told.place();
    find("sky-parts").hidden = !place;
    find("sky-empty").hidden = Boolean(place);
    if (place) this.load();
  }

  // Another view is shown: nothing more is asked for this one.
  leave() {
    this.abort?.abort();
  }

  say(words) {
    find("sky-said").textContent = words;
  }

  get width() {
    return Number(this.told.state().swidth);
  }

  async load() {
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    const { ra, dec } = this.told.place();
    const state = this.told.state();
    find("sky-width").value = state.swidth;
    find("sky-stretch").value = state.sstretch;
    Object.assign(this, { images: null, stamp: null, layers: new Map(), problems: [] });
    find("sky-list").replaceChildren();
    this.draw();
    this.say("Reading…");
    try {
      this.images = rowsOf(await get("images", { ra, dec }, signal));
      this.choices();
      await Promise.all([this.part(() => this.pixels(ra, dec, signal)), this.part(() => this.objects(ra, dec, signal)), this.part(() => this.catalogues(ra, dec, signal))]);
      if (!this.layers.get("objects")?.rows.length) await this.part(() => this.sources(ra, dec, signal));
      this.finish();
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
    }
  }

  // One part may fail without the others.
  async part(read) {
    try {
      await read();
    } catch (error) {
      if (error.name === "AbortError") throw error;
      this.problems.push(error.message);
    }
  }

  // Sharpest image first; the chosen one stays where it covers this position, too.
  choices() {
    const science = this.images.filter((one) => one.obsmjd !== null).sort((a, b) => (a.seeing_pix ?? 99) - (b.seeing_pix ?? 99));
    const references = this.images.filter((one) => one.obsmjd === null);
    const wanted = this.told.state().simage;
    this.image = wanted === "none" ? null : [...references, ...science].find((one) => one.image_id === wanted) ?? references[0] ?? science[0] ?? null;
    find("sky-image").replaceChildren(make("option", { value: "none" }, "no pixels"),
      ...references.map((one) => make("option", { value: one.image_id }, `${one.filtercode} reference`)),
      ...science.map((one) => make("option", { value: one.image_id }, `${one.filtercode} ${day(one.obsmjd).slice(0, 16)}, FWHM ${fixed(one.seeing_pix, 1)} px`)));
    find("sky-image").value = this.image?.image_id ?? "none";
  }

  async pixels(ra, dec, signal) {
    if (!this.image || this.width > PIXELS_TO) return;
    const { width, height } = this.frame;
    const size = Math.ceil(((this.width * 60) / PIXEL) * (Math.max(width, height) / Math.min(width, height)) * 0.5) * 2 + 3;
    const { stamps } = await get(`stamp/${this.image.image_id}.json`, { ra, dec, size }, signal);
    const [stamp] = stamps;
    if (stamp.status !== "ok") this.problems.push(`no pixels: ${stamp.problem?.reason ?? stamp.status}`);
    else this.stamp = stamp;
    this.draw();
  }

  // From the middle to a corner of the canvas, degrees.
  get reach() {
    const { width, height, scale } = this.frame;
    return Math.hypot(width, height) / 2 / scale;
  }

  circle(ra, dec) {
    return `1 = contains(point('ICRS', ra, dec), circle('ICRS', ${ra}, ${dec}, ${this.reach}))`;
  }

  async objects(ra, dec, signal) {
    const { data } = await tap(`select object_id, ra, dec, filtercode, median_mag, n, chi2 from ztf.object_summary where ${this.circle(ra, dec)} order by median_mag`, MOST, signal);
    const held = new Map();
    for (const [id, lon, lat, filtercode, mag, n, chi2] of data) {
      const one = held.get(id) ?? { id, ra: lon, dec: lat, mag, words: [] };
      one.words.push(`${filtercode[1]} ${fixed(mag, 2)} (${n}, χ² ${fixed(chi2, 1)})`);
      held.set(id, one);
    }
    this.layers.set("objects", { name: "objects", rows: [...held.values()], cut: data.length >= MOST });
  }

  async sources(ra, dec, signal) {
    if (!this.image) return;
    const { data } = await tap(`select source_id, ra, dec, flux_aper4 from ztf.source where image_id = ${this.image.image_id} and ${this.circle(ra, dec)} order by flux_aper4 desc`, MOST, signal);
    const rows = data.map(([id, lon, lat, flux]) => ({ id, ra: lon, dec: lat, mag: flux > 0 ? (this.image.magzp ?? 26) - 2.5 * Math.log10(flux) : null, words: [`${fixed(flux, 0)} DN`] }));
    this.layers.set("sources", { name: "sources of this image", rows, cut: data.length >= MOST });
  }

  async catalogues(ra, dec, signal) {
    const held = rowsOf(await get("catalogues", {}, signal));
    const names = [...new Set(held.map((one) => one.catalogue))];
    for (const name of names) {
      await this.part(async () => {
        const rows = rowsOf(await get(`catalogues/${name}/cone`, { ra, dec, radius: Math.min(3600, this.reach * 3600) }, signal)).slice(0, MOST);
        this.layers.set(name, { name: name === "ps1" ? "PS1" : name === "gaia" ? "Gaia" : name, rows: rows.map((one) => ({ id: String(one.reference_id ?? ""), ra: one.ra, dec: one.dec, words: magnitudes(one) })), cut: rows.length >= MOST });
      });
    }
  }

  finish() {
    const counts = [...this.layers.values()].map((one) => `${one.rows.length.toLocaleString("en")}${one.cut ? " brightest" : ""} ${one.name}`);
    const wide = this.width > PIXELS_TO && this.image ? ` Pixels are shown up to ${PIXELS_TO}′.` : "";
    this.say(`${this.images.length} images cover this position. ${counts.length ? `${counts.join(", ")}.` : ""}${wide}${this.problems.length ? ` ${this.problems.join("; ")}.` : ""}`);
    this.legend();
    this.list();
    this.draw();
  }

  get hidden() {
    return new Set(this.told.state().shide.split(",").filter(Boolean));
  }

  legend() {
    const { hidden } = this;
    const names = [["outlines", `outlines of images (${this.images.length})`], ...[...this.layers].map(([key, one]) => [key, `${one.name} (${one.rows.length})`])];
    find("sky-layers").replaceChildren(...names.map(([key, words]) => {
      const box = make("input", { type: "checkbox", checked: !hidden.has(key) });
      box.dataset.layer = key;
      box.addEventListener("change", () => {
        const now = this.hidden;
        if (box.checked) now.delete(key);
        else now.add(key);
        this.told.changed({ shide: [...now].join(",") });
        this.draw();
      });
      return make("label", {}, box, ` ${words}`);
    }));
  }

  list() {
    const { ra, dec } = this.told.place();
    const rows = ["objects", "sources"].map((name) => this.layers.get(name)?.rows ?? []).find((one) => one.length) ?? [];
    const near = rows.map((one) => ({ ...one, away: separation(ra, dec, one.ra, one.dec) * 3600 })).sort((a, b) => a.away - b.away).slice(0, LISTED);
    find("sky-list").replaceChildren(near.length ? table([
      { name: "away", head: "away, ″", cell: (one) => fixed(one.away, 1) },
      { name: "position", text: true, cell: (one) => make("button", { type: "button", title: "Go there", onclick: () => this.told.open(one.ra, one.dec) }, `${one.ra.toFixed(5)} ${fixed(one.dec, 5)}`) },
      { name: "what is known", text: true, cell: (one) => one.words.join(", ") },
    ], near) : make("p", { className: "quiet" }, "No object, and no source of the chosen image, is in this view."));
  }

  // Canvas from the tangent plane: degrees to the east and north.
  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const scale = Math.min(width, height) / (this.width / 60);
    return { width, height, scale };
  }

  at(ra, dec) {
    const place = this.told.place();
    const plane = tangent(ra, dec, place.ra, place.dec);
    if (!plane) return null;
    const { width, height, scale } = this.frame;
    return [width / 2 - plane[0] * scale, height / 2 - plane[1] * scale];
  }

  under({ offsetX, offsetY }) {
    const place = this.told.place();
    const { width, height, scale } = this.frame;
    return fromTangent((width / 2 - offsetX) / scale, (height / 2 - offsetY) / scale, place.ra, place.dec);
  }

  draw() {
    const on = this.told.place() && penOf(this.canvas);
    if (!on) return;
    const { pen, context, width, height } = on;
    const ink = inks();
    pen.rect(0, 0, width, height, { fill: ink.paper });
    if (this.stamp) this.paper(context);
    const { hidden } = this;
    if (this.images && !hidden.has("outlines")) this.outlines(pen, ink);
    this.canvas.marks = [];
    const looks = { objects: ["circle", ink.accent, 6], sources: ["circle", ink.accent, 6] };
    for (const [key, layer] of this.layers) {
      if (hidden.has(key)) continue;
      const [marker, stroke, size] = looks[key] ?? [key === "gaia" ? "diamond" : "square", key === "gaia" ? ink.zg : ink.zr, 4];
      for (const one of layer.rows) {
        const xy = this.at(one.ra, one.dec);
        if (!xy || xy[0] < -9 || xy[1] < -9 || xy[0] > width + 9 || xy[1] > height + 9) continue;
        const radius = key in looks && one.mag != null ? Math.max(3, Math.min(12, 3 + (21 - one.mag) * 1.1)) : size;
        pen.shape(marker, ...xy, radius + 1.4, { stroke: "#ffffff", width: 1, alpha: 0.6 });
        pen.shape(marker, ...xy, radius, { stroke, width: 1.5 });
        this.canvas.marks.push({ layer: key, ...one, x: xy[0], y: xy[1] });
      }
    }
    this.cross(pen, ink);
    this.compass(pen, ink);
  }

  // Pixels of the stamp, placed by its WCS: over some arcminutes a linear map is right to a hundredth of a pixel.
  paper(context) {
    const pixels = document.createElement("canvas");
    drawPixels(pixels, this.stamp, { stretch: this.told.state().sstretch });
    const [cx, cy] = [pixels.width / 2, pixels.height / 2];
    const corner = (dx, dy) => this.at(...pixelToSky(this.stamp.wcs, cx + dx - 0.5, cy + dy - 0.5));
    const half = Math.min(cx, cy);
    const [origin, right, up] = [corner(0, 0), corner(half, 0), corner(0, half)];
    const [ax, ay, bx, by] = [(right[0] - origin[0]) / half, (right[1] - origin[1]) / half, (up[0] - origin[0]) / half, (up[1] - origin[1]) / half];
    context.save();
    context.imageSmoothingEnabled = false;
    // the picture's rows go down from its top: the pixel (x, y) is at (x + 0.5, ny - 0.5 - y)
    context.transform(ax, ay, -bx, -by, origin[0] - ax * cx + bx * cy, origin[1] - ay * cx + by * cy);
    context.drawImage(pixels, 0, 0);
    context.restore();
  }

  outlines(pen, ink) {
    for (const one of this.images) {
      const corners = [1, 2, 3, 4].map((k) => this.at(one[`ra${k}`], one[`dec${k}`]));
      if (corners.some((xy) => !xy)) continue;
      pen.path([...corners, corners[0]], { stroke: ink[colour(one.filtercode)], alpha: 0.7, width: one === this.image ? 2 : 1 });
    }
  }

  cross(pen, ink) {
    const { width, height, scale } = this.frame;
    const radius = (Number(this.told.state().r) / 3600) * scale;
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      const from = Math.max(radius, 8);
      for (const [stroke, wide] of [["#ffffff", 4], [ink.zr, 2]]) pen.line(width / 2 + dx * from, height / 2 + dy * from, width / 2 + dx * (from + 12), height / 2 + dy * (from + 12), { stroke, width: wide });
    }
    if (radius > 3) pen.shape("circle", width / 2, height / 2, radius, { stroke: ink.zr });
  }

  compass(pen, ink) {
    const { width, height, scale } = this.frame;
    pen.rect(width - 62, height - 62, 56, 56, { fill: ink.paper });
    const [x, y] = [width - 16, height - 16];
    pen.line(x, y, x, y - 26, { stroke: ink.ink, width: 2 });
    pen.line(x, y, x - 26, y, { stroke: ink.ink, width: 2 });
    pen.text(x, y - 30, "N", { fill: ink.ink, align: "center" });
    pen.text(x - 34, y + 4, "E", { fill: ink.ink, align: "center" });
    const bar = [600, 300, 120, 60, 30, 10, 5, 2].find((one) => (one / 3600) * scale < width / 4) ?? 1;
    const words = bar >= 60 ? `${bar / 60}′` : `${bar}″`;
    const length = (bar / 3600) * scale;
    pen.rect(8, height - 34, length + 12, 28, { fill: ink.paper });
    pen.line(14, height - 12, 14 + length, height - 12, { stroke: ink.ink, width: 2 });
    pen.text(14 + length / 2, height - 17, words, { fill: ink.ink, align: "center" });
  }

  near({ offsetX, offsetY }) {
    let [best, found] = [NEAR_PX, null];
    for (const one of this.canvas.marks) {
      const away = Math.hypot(one.x - offsetX, one.y - offsetY);
      if (away < best) [best, found] = [away, one];
    }
    return found;
  }

  pick(event) {
    const found = this.near(event);
    const [ra, dec] = found ? [found.ra, found.dec] : this.under(event);
    this.told.open(ra, dec);
  }

  tip(event) {
    const tip = find("sky-tip");
    const found = this.near(event);
    const [ra, dec] = found ? [found.ra, found.dec] : this.under(event);
    tip.hidden = false;
    tip.textContent = `${ra.toFixed(5)} ${fixed(dec, 5)}${found ? `\n${this.layers.get(found.layer).name} ${found.id}\n${found.words.join("\n")}` : ""}`;
    tip.style.left = `${Math.max(0, Math.min(event.offsetX + 14, this.canvas.clientWidth - tip.offsetWidth - 4))}px`;
    tip.style.top = `${Math.max(0, Math.min(event.offsetY + 14, this.canvas.clientHeight - tip.offsetHeight - 4))}px`;
  }

  key(event) {
    const wider = { "-": 1, "+": -1, "=": -1 }[event.key];
    if (!wider || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = WIDTHS[WIDTHS.indexOf(this.width) + wider];
    if (next) {
      this.told.changed({ swidth: String(next) });
      this.load();
    }
  }
}

function rowsOf({ columns, data }) {
  const names = columns.map((one) => one.name);
  return names.length ? data[names[0]].map((_, at) => Object.fromEntries(names.map((name) => [name, data[name][at]]))) : [];
}

function magnitudes(row) {
  return Object.entries(row).filter(([name, value]) => /mag$/i.test(name) && value !== null).map(([name, value]) => `${name} ${fixed(value, 2)}`);
}
