// The plot: draws points, zooms, pans, goes back, finds the point under the pointer.

import { colour, look, mjdOf, wholeView } from "./curve.js";
import { LIGHT, inks, penOf, redrawn } from "./ink.js";
import { Layer } from "./layer.js";
import { CanvasPen, SvgPen } from "./pen.js";
import { drawFeet, drawPoints, ring, scaleOf } from "./points.js";
import { agoTicks, dateTicks, ticks } from "./ticks.js";

const MARGIN = { left: 72, right: 14, top: 12, bottom: 44 };
const HEAD = 26; // the line above a saved figure, px
const NEAR_PX = 14;
const CHARACTER = 3.4; // half the width of one, px

export class Plot {
  // `told` has changed(view), picked(epoch) and pointed(point, x, y).
  constructor(canvas, told) {
    this.canvas = canvas;
    this.told = told;
    this.points = [];
    this.how = { x: "mjd", y: "mag" };
    this.past = [];
    this.view = null;
    this.chosen = null;
    this.near = null;
    this.box = null;
    this.all = wholeView(this.points, this.how);
    this.layer = new Layer((pen, scale) => drawPoints(pen, this.points, scale, inks(), this.how.y === "ujy"));
    canvas.drawn = this.points;
    canvas.placeOf = (key) => this.placeOf(key);
    redrawn(canvas, () => this.redraw());
    canvas.addEventListener("pointerdown", (event) => this.press(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.release(event));
    canvas.addEventListener("pointercancel", () => { this.drop(); this.told.changed(); });
    canvas.addEventListener("pointerleave", () => this.point(null));
    canvas.addEventListener("dblclick", () => this.whole());
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  // New points; the view is kept where the axes stay the same.
  show(points, how, view) {
    this.points = points;
    this.canvas.drawn = points;
    this.how = how;
    this.near = null;
    this.view = view ?? null;
    this.all = wholeView(points, how);
    this.measured = points.some((one) => one.y !== null);
    this.redraw();
  }

  forget() {
    this.past = [];
    this.view = null;
  }

  get seen() {
    return this.view ?? this.all;
  }

  redraw() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.waiting = 0;
    const on = penOf(this.canvas);
    if (!on) return;
    this.paint(on.pen, on.width, on.height, inks(), on.context);
    this.canvas.painted = this.points;
  }

  // Place of the drawing, and how values become pixels.
  scale(width, height, head = 0) {
    const top = MARGIN.top + head;
    const area = { x: MARGIN.left, y: top, width: width - MARGIN.left - MARGIN.right, height: height - top - MARGIN.bottom };
    return scaleOf(area, this.seen);
  }

  get here() {
    return this.scale(this.canvas.clientWidth, this.canvas.clientHeight);
  }

  // On the page's own canvas, whose context is `live`, the points come from their layer, with the marks of the epoch over them.
  paint(pen, width, height, ink, live = null, head = 0) {
    const scale = this.scale(width, height, head);
    const { area } = scale;
    pen.rect(0, 0, width, height, { fill: ink.paper });
    if (!this.points.length) {
      pen.text(width / 2, height / 2, "Nothing is drawn: tick what the legend hides", { fill: ink.ink, align: "center", baseline: "middle", size: 13 });
      return;
    }
    this.axes(pen, scale, ink, height);
    pen.clip(area.x, area.y, area.width, area.height);
    drawFeet(pen, this.points, scale, ink);
    if (live) this.layer.put(live, pen.dense, area, this.seen, [this.points, this.how, ...Object.values(ink)], Boolean(this.held?.pan));
    else drawPoints(pen, this.points, scale, ink, this.how.y === "ujy");
    if (live) this.overlay(pen, scale, ink);
    pen.unclip();
    pen.rect(area.x, area.y, area.width, area.height, { stroke: ink.soft });
  }

  axes(pen, { area, x, y }, ink, height) {
    const { x0, x1, y0, y1 } = this.seen;
    const mode = this.how.x;
    const most = Math.max(2, Math.floor(area.width / (mode === "date" ? 110 : 90)));
    const now = mjdOf(Date.now());
    const marks = mode === "date" ? dateTicks(x0, x1, most) : mode === "ago" ? agoTicks(x0, x1, most, now) : ticks(x0, x1, most);
    for (const { at, words } of marks) {
      pen.line(x(at), area.y, x(at), area.y + area.height, { stroke: ink.grid });
      if (x(at) + words.length * CHARACTER < area.x + area.width + MARGIN.right) {
        pen.text(x(at), area.y + area.height + 6, words, { fill: ink.ink, align: "center", baseline: "top" });
      }
    }
    for (const { at, words } of this.measured ? ticks(y0, y1, Math.max(3, area.height / 48)) : []) {
      pen.line(area.x, y(at), area.x + area.width, y(at), { stroke: ink.grid });
      pen.text(area.x - 7, y(at), words, { fill: ink.ink, align: "right", baseline: "middle" });
    }
    if (this.how.y === "ujy" && Math.min(y0, y1) < 0 && Math.max(y0, y1) > 0) {
      pen.line(area.x, y(0), area.x + area.width, y(0), { stroke: ink.soft });
    }
    pen.text(area.x + area.width / 2, height - 5, this.title(), { fill: ink.ink, align: "center", size: 13 });
    pen.text(15, area.y + area.height / 2, this.how.y === "mag" ? "magnitude (AB)" : "flux (µJy)", { fill: ink.ink, align: "center", size: 13, turn: -90 });
  }

  title() {
    const { x, period, zero } = this.how;
    if (x === "phase") return period > 0 ? `phase (HJD; period ${period} d, 0 at ${zero.toFixed(4)})` : "phase: type a period";
    return { mjd: "MJD (UTC)", ago: "days ago", date: "date (UTC)" }[x];
  }

  overlay(pen, scale, ink) {
    const { area } = scale;
    for (const one of this.points) {
      if (one.epoch.key !== this.chosen) continue;
      const at = scale.x(one.x);
      pen.line(at, area.y, at, area.y + area.height, { stroke: ink.accent, dash: [4, 4] });
      ring(pen, at, this.heightOf(one, scale), 5, { stroke: ink.accent, width: 2.2 });
    }
    if (this.near) ring(pen, scale.x(this.near.x), this.heightOf(this.near, scale), 3, { stroke: ink.ink, width: 1.2 });
    if (this.box) {
      const { fromX, fromY, toX, toY } = this.box;
      pen.rect(fromX, fromY, toX - fromX, toY - fromY, { stroke: ink.accent });
    }
  }

  heightOf(point, scale) {
    return point.y === null ? scale.area.y + scale.area.height - 5 : scale.y(point.y);
  }

  // Where on the canvas an epoch is.
  placeOf(key) {
    const point = this.points.find((one) => one.epoch.key === key);
    const scale = this.here;
    return point ? { x: scale.x(point.x), y: this.heightOf(point, scale) } : null;
  }

  nearest(px, py) {
    const scale = this.here;
    let [best, found] = [NEAR_PX ** 2, null];
    for (const one of this.points) {
      const away = (scale.x(one.x) - px) ** 2 + (this.heightOf(one, scale) - py) ** 2;
      if (away <= best) [best, found] = [away, one];
    }
    return found;
  }

  point(point) {
    if (point !== this.near) {
      this.near = point;
      this.redraw();
    }
    const scale = this.here;
    this.told.pointed(point, point ? scale.x(point.x) : 0, point ? this.heightOf(point, scale) : 0);
  }

  press(event) {
    if (event.button > 1) return;
    this.canvas.setPointerCapture(event.pointerId);
    const { offsetX, offsetY } = event;
    this.held = { offsetX, offsetY, view: this.seen, pan: event.shiftKey || event.button === 1, moved: false };
  }

  move(event) {
    const { offsetX, offsetY } = event;
    const held = this.held;
    if (!held) {
      this.point(this.nearest(offsetX, offsetY));
      return;
    }
    held.moved ||= Math.hypot(offsetX - held.offsetX, offsetY - held.offsetY) > 4;
    if (!held.moved) return;
    if (held.pan) {
      if (!held.kept) this.keep();
      held.kept = true;
      const { area } = this.here;
      const { x0, x1, y0, y1 } = held.view;
      const dx = ((offsetX - held.offsetX) / area.width) * (x1 - x0);
      const dy = ((offsetY - held.offsetY) / area.height) * (y1 - y0);
      this.view = { x0: x0 - dx, x1: x1 - dx, y0: y0 + dy, y1: y1 + dy };
      this.redraw();
    } else {
      this.box = { fromX: held.offsetX, fromY: held.offsetY, toX: offsetX, toY: offsetY };
      this.redraw();
    }
  }

  release(event) {
    const held = this.held;
    const box = this.box;
    this.drop();
    if (!held) return;
    if (!held.moved) {
      const found = this.nearest(event.offsetX, event.offsetY);
      if (found) this.told.picked(found.epoch);
    } else if (box && Math.abs(box.toX - box.fromX) > 6 && Math.abs(box.toY - box.fromY) > 6) {
      const scale = this.here;
      const xs = [scale.valueX(box.fromX), scale.valueX(box.toX)].sort((a, b) => a - b);
      const down = [box.fromY, box.toY].sort((a, b) => b - a);
      this.set({ x0: xs[0], x1: xs[1], y0: scale.valueY(down[0]), y1: scale.valueY(down[1]) });
    } else if (held.pan) {
      this.told.changed(); // the address once, not at every step
    }
  }

  drop() {
    if (this.held?.kept) this.layer.forget(); // its places were whole pixels
    this.held = null;
    this.box = null;
    this.redraw();
  }

  wheel(event) {
    event.preventDefault();
    const scale = this.here;
    this.zoom(Math.exp(Math.sign(event.deltaY) * 0.18), scale.valueX(event.offsetX), false);
  }

  // Zoom in time about a value, the middle by default; the heights stay, or follow too.
  zoom(factor, about = null, both = true) {
    const { x0, x1, y0, y1 } = this.seen;
    const centre = about ?? (x0 + x1) / 2;
    const next = { x0: centre + (x0 - centre) * factor, x1: centre + (x1 - centre) * factor, y0, y1 };
    if (both) {
      const middle = (y0 + y1) / 2;
      Object.assign(next, { y0: middle + (y0 - middle) * factor, y1: middle + (y1 - middle) * factor });
    }
    if (Math.abs(next.x1 - next.x0) > 1e-6 && Math.abs(next.x1 - next.x0) < 1e6) this.set(next);
  }

  keep() {
    this.past.push(this.view);
    if (this.past.length > 200) this.past.shift();
  }

  set(view) {
    this.keep();
    this.view = view;
    this.redraw();
    this.told.changed();
  }

  back() {
    if (!this.past.length) return;
    this.view = this.past.pop();
    this.redraw();
    this.told.changed();
  }

  whole() {
    if (this.view !== null) this.set(null);
  }

  // Move the view, as it is wide, to where a point is that is outside.
  reveal(key) {
    const point = this.points.find((one) => one.epoch.key === key);
    const view = this.view;
    if (!point || !view || (point.x >= view.x0 && point.x <= view.x1)) return;
    const half = (view.x1 - view.x0) / 2;
    this.set({ ...view, x0: point.x - half, x1: point.x + half });
  }

  // A figure that is read without the page: the plot, with a line above it that says what it shows.
  figure(pen, width, height, words) {
    this.paint(pen, width, height, LIGHT, null, HEAD);
    const y = MARGIN.top + HEAD / 2 - 3;
    pen.text(MARGIN.left, y, words, { fill: LIGHT.ink, baseline: "middle", size: 13 });
    const shown = new Set(this.points.map((one) => one.epoch.filtercode));
    let x = width - MARGIN.right - 26 * shown.size;
    for (const code of [...shown].sort((a, b) => "gri".indexOf(a[1]) - "gri".indexOf(b[1]))) {
      const [ink, { marker, name }] = [LIGHT[colour(code)], look(code)];
      pen.shape(marker, x + 6, y, 4.2, { fill: ink, stroke: ink });
      pen.text(x + 14, y, name, { fill: LIGHT.ink, baseline: "middle", size: 13 });
      x += 26;
    }
  }

  svg(words, width = 900, height = 480) {
    const pen = new SvgPen(width, height);
    this.figure(pen, width, height, words);
    return new Blob([pen.finish()], { type: "image/svg+xml" });
  }

  png(words, width = 900, height = 480, dense = 3) {
    const canvas = document.createElement("canvas");
    Object.assign(canvas, { width: width * dense, height: height * dense });
    const context = canvas.getContext("2d");
    context.scale(dense, dense);
    this.figure(new CanvasPen(context), width, height, words);
    return new Promise((done) => canvas.toBlob(done, "image/png"));
  }
}
