// The all-sky map of what the archive holds: cells by number of images or by depth; a click is a position.

import { find, fixed, make, table } from "./dom.js";
import { inks, penOf, redrawn } from "./ink.js";
import { get } from "./service.js";
import { cellCorners, fromHammer, hammer, position, separation, turned, vector } from "./sphere.js";
import { day } from "./epoch.js";

const [COARSE, FINE] = [6, 9];
const FINE_FROM = 12; // times enlarged: cells of order 9 are pixels wide there
const MOST = 2000;
const LISTED = 100;
const LABEL_PX = 62; // from one line of the grid to the next
const GALACTIC = [[-0.0548755604, 0.4941094279, -0.8676661490], [-0.8734370902, -0.4448296300, -0.1980763734], [-0.4838350155, 0.7469822445, 0.4559837762]];

export class Coverage {
  // `told` has state(), changed(change) and open(position).
  constructor(told) {
    this.told = told;
    this.canvas = find("map");
    this.canvas.cells = [];
    this.canvas.placeOf = (ra, dec) => this.place(ra, dec);
    this.frames = new Map();
    redrawn(this.canvas, () => this.draw());
    for (const name of ["cfilter", "cby"]) find(name).addEventListener("change", () => { told.changed({ [name]: find(name).value }); this.fill(); });
    for (const [id, factor] of [["map-in", 2], ["map-out", 0.5]]) find(id).addEventListener("click", () => this.zoom(factor));
    find("map-all").addEventListener("click", () => this.look(0, 0, 1));
    find("map-fit").addEventListener("click", () => this.fit());
    this.canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(event.deltaY < 0 ? 1.4 : 1 / 1.4, this.under(event)); }, { passive: false });
    this.canvas.addEventListener("pointerdown", (event) => this.press(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("pointerup", (event) => this.release(event));
    this.canvas.addEventListener("pointerleave", () => { find("map-tip").hidden = true; });
    this.canvas.addEventListener("keydown", (event) => this.key(event));
  }

  // The middle of the map and how many times it is enlarged.
  get view() {
    const [ra, dec, zoom] = this.told.state().cview.split(",").map(Number);
    return zoom >= 1 ? { ra, dec, zoom } : { ra: 180, dec: 0, zoom: 1 };
  }

  get order() {
    return this.view.zoom >= FINE_FROM ? FINE : COARSE;
  }

  look(ra, dec, zoom) {
    const whole = zoom <= 1.01;
    const text = whole ? "" : [((ra % 360) + 360) % 360, Math.max(-90, Math.min(90, dec)), Math.min(zoom, MOST)].map((one) => Number(one.toPrecision(7))).join(",");
    this.told.changed({ cview: text });
    this.show();
  }

  zoom(factor, about = null) {
    const { ra, dec, zoom } = this.view;
    const centre = factor > 1 && about ? about : [ra, dec];
    this.look(...centre, zoom * factor);
  }

  async show() {
    for (const name of ["cfilter", "cby"]) find(name).value = this.told.state()[name];
    const { order } = this;
    this.draw();
    if (!this.frames.has(order)) {
      this.say("Reading…");
      try {
        this.frames.set(order, (await get("coverage", { order })).data);
      } catch (error) {
        this.say(error.message);
        return;
      }
    }
    if (order === this.order) this.fill();
  }

  say(words) {
    find("map-said").textContent = words;
  }

  // The cells of the chosen filter, each once.
  fill() {
    const data = this.frames.get(this.order);
    if (!data) return;
    const { cfilter } = this.told.state();
    const cells = new Map();
    data.cell.forEach((cell, at) => {
      if (cfilter && data.filtercode[at] !== cfilter) return;
      const one = cells.get(cell) ?? { cell, ra: data.ra[at], dec: data.dec[at], n: 0, depth: null, first: Infinity, last: -Infinity, filters: [] };
      one.n += data.n_image[at];
      if (data.limitmag[at] !== null) one.depth = Math.max(one.depth ?? -Infinity, data.limitmag[at]);
      one.first = Math.min(one.first, data.first_mjd[at]);
      one.last = Math.max(one.last, data.last_mjd[at]);
      one.filters.push(`${data.filtercode[at][1]} ${data.n_image[at]}`);
      cells.set(cell, one);
    });
    this.canvas.cells = [...cells.values()];
    for (const one of this.canvas.cells) one.corners = cellCorners(one.cell, this.order);
    this.words();
    this.list();
    this.draw();
  }

  words() {
    const { cells } = this.canvas;
    if (!cells.length) {
      this.say(this.told.state().cfilter ? "No image of this filter is held." : "This archive has no image of the sky yet.");
      return;
    }
    const area = cells.length * (41252.96 / (12 * 4 ** this.order));
    this.say(`${cells.length.toLocaleString("en")} cells of ${fixed(Math.sqrt(41252.96 / (12 * 4 ** this.order)), 2)}° have images: at most ${area >= 10 ? Math.round(area).toLocaleString("en") : fixed(area, 1)} square degrees. ${this.scaleWords()}`);
  }

  value(one) {
    return this.told.state().cby === "depth" ? one.depth : one.n;
  }

  get range() {
    const values = this.canvas.cells.map((one) => this.value(one)).filter((one) => one !== null);
    return values.length ? [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))] : [0, 1];
  }

  scaleWords() {
    const [low, high] = this.range;
    return this.told.state().cby === "depth" ? `Limits of the deepest image: pale ${fixed(low, 2)}, strong ${fixed(high, 2)} mag.` : `Images of one spot, filters added: pale ${low}, strong ${high}.`;
  }

  strength(one) {
    const value = this.value(one);
    if (value === null) return 0.15;
    const [low, high] = this.range;
    if (high <= low) return 0.9;
    const t = this.told.state().cby === "depth" ? (value - low) / (high - low) : Math.log(value / low) / Math.log(high / low);
    return 0.25 + 0.65 * t;
  }

  list() {
    const best = [...this.canvas.cells].sort((a, b) => (this.value(b) ?? -Infinity) - (this.value(a) ?? -Infinity)).slice(0, LISTED);
    const columns = [
      { name: "middle", text: true, cell: (one) => make("button", { type: "button", title: "Show the sky here", onclick: () => this.told.open(one.ra, one.dec) }, `${one.ra.toFixed(3)} ${one.dec.toFixed(3)}`) },
      { name: "images", cell: (one) => one.n }, { name: "by filter", text: true, cell: (one) => one.filters.join(", ") },
      { name: "deepest", cell: (one) => fixed(one.depth, 2) }, { name: "first", text: true, cell: (one) => day(one.first).slice(0, 10) },
      { name: "last", text: true, cell: (one) => day(one.last).slice(0, 10) },
    ];
    find("map-list").replaceChildren(best.length ? table(columns, best) : "");
    find("map-list-title").textContent = this.canvas.cells.length > LISTED ? `The ${LISTED} best cells as a table` : "The cells as a table";
  }

  fit() {
    const { cells } = this.canvas;
    if (!cells.length) return;
    const sum = cells.map((one) => vector(one.ra, one.dec)).reduce((a, b) => a.map((value, at) => value + b[at]));
    const [ra, dec] = position(sum);
    const far = cells.reduce((most, one) => Math.max(most, separation(ra, dec, one.ra, one.dec)), 0.3);
    this.look(ra, dec, Math.max(1, 65 / (far * 1.5)));
  }

  get frame() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const { zoom } = this.view;
    return { width, height, scale: (Math.min(width / (4 * Math.SQRT2), height / (2 * Math.SQRT2)) * 0.96) * zoom };
  }

  // Longitude and latitude about the middle of the map; east is left.
  local(ra, dec) {
    const view = this.view;
    return position(turned(vector(ra, dec), view.ra, view.dec)).map((one, at) => (at === 0 && one > 180 ? one - 360 : one));
  }

  place(ra, dec, lon0 = null) {
    let [lon, lat] = this.local(ra, dec);
    if (lon0 !== null) lon += 360 * Math.round((lon0 - lon) / 360); // a cell at the rim is drawn whole
    const [x, y] = hammer(lon, lat);
    const { width, height, scale } = this.frame;
    return [width / 2 - x * scale, height / 2 - y * scale];
  }

  under({ offsetX, offsetY }) {
    const { width, height, scale } = this.frame;
    const { ra, dec } = this.view;
    return fromHammer((width / 2 - offsetX) / scale, (height / 2 - offsetY) / scale, ra, dec);
  }

  draw() {
    const on = penOf(this.canvas);
    if (!on) return;
    const { pen, width, height } = on;
    const ink = inks();
    pen.rect(0, 0, width, height, { fill: ink.paper });
    if (this.view.zoom < 2) this.rim(pen, ink);
    this.grid(pen, ink);
    const colour = ink[this.told.state().cfilter || "accent"];
    for (const one of this.canvas.cells) {
      const [lon] = this.local(one.ra, one.dec);
      const corners = one.corners.map(([ra, dec]) => this.place(ra, dec, lon));
      if (!corners.some(([x, y]) => x > -50 && x < width + 50 && y > -50 && y < height + 50)) continue;
      pen.path([...corners, corners[0]], { fill: colour, alpha: this.strength(one) });
      if (Math.abs(corners[0][1] - corners[2][1]) < 3) pen.shape("square", ...this.place(one.ra, one.dec, lon), 2, { fill: colour });
    }
    this.labels(pen, ink);
  }

  rim(pen, ink) {
    const { width, height, scale } = this.frame;
    const points = Array.from({ length: 181 }, (_, at) => [width / 2 - 2 * Math.SQRT2 * scale * Math.cos((at * Math.PI) / 90), height / 2 - Math.SQRT2 * scale * Math.sin((at * Math.PI) / 90)]);
    pen.path(points, { fill: ink.panel, stroke: ink.soft });
  }

  get step() {
    const degree = (this.frame.scale * Math.PI) / 180; // px
    return [0.1, 0.2, 0.5, 1, 2, 5, 10, 15].find((one) => one * degree >= LABEL_PX) ?? 30;
  }

  grid(pen, ink) {
    const { step, view } = this;
    const reach = Math.min(180, 200 / view.zoom);
    const [low, high] = [Math.max(-90, Math.floor((view.dec - reach) / step) * step), Math.min(90, view.dec + reach)];
    const wide = Math.abs(view.dec) + reach > 80 ? 180 : Math.min(180, reach / Math.cos((Math.max(Math.abs(low), Math.abs(high)) * Math.PI) / 180));
    const first = Math.floor((view.ra - wide) / step) * step;
    const raStep = step * Math.max(1, Math.round(1 / Math.max(0.1, Math.cos((view.dec * Math.PI) / 180))));
    for (let dec = low; dec <= high + 1e-9; dec += step) this.line(pen, ink.line, 120, (t) => [first + 2 * wide * t, Math.min(90, dec)]);
    for (let ra = first; ra < view.ra + wide; ra += raStep) this.line(pen, ink.line, 60, (t) => [ra, low + (high - low) * t]);
    if (view.zoom < 20) this.line(pen, ink.soft, 180, (t) => galactic(360 * t), [5, 4]);
  }

  line(pen, stroke, n, at, dash = []) {
    let before = null;
    for (let k = 0; k <= n; k += 1) {
      const now = this.place(...at(k / n));
      if (before && Math.hypot(now[0] - before[0], now[1] - before[1]) < this.frame.scale) pen.line(...before, ...now, { stroke, dash, width: 0.8 });
      before = now;
    }
  }

  labels(pen, ink) {
    const { width, height } = this.frame;
    const { step, view } = this;
    const raStep = step * Math.max(1, Math.round(1 / Math.max(0.1, Math.cos((view.dec * Math.PI) / 180))));
    const digits = step < 1 ? 1 : 0;
    const middle = Math.round(view.dec / step) * step;
    for (let k = -6; k <= 6; k += 1) {
      const ra = (Math.round(view.ra / raStep) + k) * raStep;
      if (Math.abs(ra - view.ra) >= 180 || Math.abs(middle) > 85) continue;
      const [x, y] = this.place(ra, middle);
      if (x > 20 && x < width - 20 && y < height - 4) pen.text(x, y - 3, `${fixed((ra + 360) % 360, digits)}°`, { fill: ink.ink, align: "center", size: 11 });
    }
    const column = Math.round(view.ra / raStep) * raStep;
    for (let k = -6; k <= 6; k += 1) {
      const dec = middle + k * step;
      if (Math.abs(dec) > 89 || k === 0) continue;
      const [x, y] = this.place(column, dec);
      if (y > 12 && y < height - 4) pen.text(x + 4, y - 3, `${dec < 0 ? "" : "+"}${fixed(dec, digits)}°`, { fill: ink.ink, size: 11 });
    }
  }

  press(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.held = { x: event.offsetX, y: event.offsetY, view: this.view, moved: false };
  }

  move(event) {
    const { held } = this;
    if (!held) {
      this.tip(event);
      return;
    }
    const [dx, dy] = [event.offsetX - held.x, event.offsetY - held.y];
    held.moved ||= Math.hypot(dx, dy) > 4;
    if (!held.moved || held.view.zoom <= 1) return;
    const degrees = 180 / (Math.PI * this.frame.scale);
    this.look(held.view.ra + (dx * degrees) / Math.max(0.05, Math.cos((held.view.dec * Math.PI) / 180)), held.view.dec + dy * degrees, held.view.zoom);
  }

  release(event) {
    const { held } = this;
    this.held = null;
    const place = held && !held.moved ? this.under(event) : null;
    if (place) this.told.open(...place);
  }

  nearest(ra, dec) {
    let [best, found] = [(58.6 / 2 ** this.order) * 0.75, null];
    for (const one of this.canvas.cells) {
      const away = separation(ra, dec, one.ra, one.dec);
      if (away < best) [best, found] = [away, one];
    }
    return found;
  }

  tip(event) {
    const tip = find("map-tip");
    const place = this.under(event);
    tip.hidden = !place;
    if (!place) return;
    const one = this.nearest(...place);
    tip.textContent = `${place[0].toFixed(3)} ${fixed(place[1], 3)}${one ? `\nimages: ${one.filters.join(", ")}\ndeepest ${fixed(one.depth, 2)}\n${day(one.first).slice(0, 10)} to ${day(one.last).slice(0, 10)}` : "\nno image"}`;
    tip.style.left = `${Math.min(event.offsetX + 14, this.canvas.clientWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.min(event.offsetY + 14, this.canvas.clientHeight - tip.offsetHeight - 4)}px`;
  }

  key(event) {
    const { ra, dec, zoom } = this.view;
    const turn = 30 / zoom;
    const keys = {
      "+": () => this.zoom(2), "=": () => this.zoom(2), "-": () => this.zoom(0.5), 0: () => this.look(0, 0, 1), Enter: () => this.told.open(ra, dec),
      ArrowLeft: () => this.look(ra + turn, dec, zoom), ArrowRight: () => this.look(ra - turn, dec, zoom), ArrowUp: () => this.look(ra, dec + turn, zoom), ArrowDown: () => this.look(ra, dec - turn, zoom),
    };
    if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  }
}

// A point of the galactic equator.
function galactic(l) {
  const [c, s] = [Math.cos((l * Math.PI) / 180), Math.sin((l * Math.PI) / 180)];
  return position(GALACTIC.map((row) => row[0] * c + row[1] * s));
}
