// A plot of two columns of an answer.

import { find, make } from "./dom.js";
import { inks, penOf, redrawn } from "./ink.js";
import { ticks } from "./ticks.js";

const MARGIN = { left: 74, right: 14, top: 10, bottom: 40 };
const NUMBERS = new Set(["short", "int", "long", "float", "double"]);
const DOWN = /(^|_)mag($|_)/; // magnitudes are upside down
const ID = /(^|_)(id|oid|index|hpx29)$/; // names, not quantities
const PRECISE = 1e-13; // a plot narrower than this share of its values shows the steps of their digits

export class Scatter {
  // `told` has state() and changed(change).
  constructor(told) {
    this.told = told;
    this.canvas = find("scatter");
    this.canvas.drawn = [];
    redrawn(this.canvas, () => this.draw());
    for (const name of ["ax", "ay"]) {
      find(name).addEventListener("change", () => {
        told.changed({ ax: find("ax").value, ay: find("ay").value }); // each default depends on the other
        this.fill();
      });
    }
  }

  clear() {
    find("scatter-parts").hidden = true;
    this.canvas.drawn = [];
  }

  show({ metadata, data }) {
    const names = metadata.filter((one) => NUMBERS.has(one.datatype)).map((one) => one.name);
    find("scatter-parts").hidden = names.length < 2 || !data.length;
    if (find("scatter-parts").hidden) return;
    Object.assign(this, { names, data, index: new Map(metadata.map((one, at) => [one.name, at])), units: new Map(metadata.map((one) => [one.name, one.unit])) });
    const state = this.told.state();
    const usual = [...names.filter((one) => !ID.test(one)), ...names.filter((one) => ID.test(one))];
    const start = { ax: names.includes(state.ax) ? state.ax : usual.find((one) => /mjd/.test(one)) ?? usual[0], ay: names.includes(state.ay) ? state.ay : null };
    start.ay ??= usual.find((one) => DOWN.test(one) && one !== start.ax) ?? usual.find((one) => one !== start.ax);
    for (const name of ["ax", "ay"]) {
      find(name).replaceChildren(...names.map((one) => make("option", { value: one }, one)));
      find(name).value = start[name];
    }
    this.fill();
  }

  fill() {
    const [x, y] = [find("ax").value, find("ay").value].map((name) => this.index.get(name));
    this.canvas.drawn = this.data.map((row) => ({ x: row[x] === null ? NaN : Number(row[x]), y: row[y] === null ? NaN : Number(row[y]) })).filter((one) => Number.isFinite(one.x) && Number.isFinite(one.y));
    this.canvas.ariaLabel = `${find("ay").value} against ${find("ax").value}, ${this.canvas.drawn.length} rows`;
    this.draw();
  }

  draw() {
    const points = this.canvas.drawn;
    const on = points.length && penOf(this.canvas);
    if (!on) return;
    const { pen, width, height } = on;
    const ink = inks();
    const area = { x: MARGIN.left, y: MARGIN.top, width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const [x0, x1] = ends(points.map((one) => one.x));
    let [y0, y1] = ends(points.map((one) => one.y));
    if (DOWN.test(find("ay").value)) [y0, y1] = [y1, y0];
    const x = (value) => area.x + ((value - x0) / (x1 - x0)) * area.width;
    const y = (value) => area.y + area.height - ((value - y0) / (y1 - y0)) * area.height;
    pen.rect(0, 0, width, height, { fill: ink.paper });
    for (const { at, words } of ticks(x0, x1, Math.max(2, area.width / 110))) {
      pen.line(x(at), area.y, x(at), area.y + area.height, { stroke: ink.grid });
      pen.text(x(at), area.y + area.height + 5, words, { fill: ink.ink, align: "center", baseline: "top" });
    }
    for (const { at, words } of ticks(y0, y1, Math.max(3, area.height / 48))) {
      pen.line(area.x, y(at), area.x + area.width, y(at), { stroke: ink.grid });
      pen.text(area.x - 7, y(at), words, { fill: ink.ink, align: "right", baseline: "middle" });
    }
    for (const one of points) pen.shape("circle", x(one.x), y(one.y), 3, { fill: ink.accent, alpha: 0.65 });
    pen.rect(area.x, area.y, area.width, area.height, { stroke: ink.soft });
    pen.text(area.x + area.width / 2, height - 5, this.title("ax"), { fill: ink.ink, align: "center", size: 13 });
    pen.text(15, area.y + area.height / 2, this.title("ay"), { fill: ink.ink, align: "center", size: 13, turn: -90 });
  }

  title(name) {
    const column = find(name).value;
    const unit = this.units.get(column);
    return unit ? `${column} (${unit})` : column;
  }
}

function ends(values) {
  const [low, high] = values.reduce(([a, b], one) => [Math.min(a, one), Math.max(b, one)], [Infinity, -Infinity]);
  const narrow = high - low <= Math.max(Math.abs(low), Math.abs(high)) * PRECISE;
  const pad = (narrow ? 0 : (high - low) * 0.04) || Math.abs(high) * 0.01 || 1;
  return [low - pad, high + pad];
}
