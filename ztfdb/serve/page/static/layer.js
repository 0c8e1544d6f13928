// The points as a picture of their own: a plot that is dragged, or whose marks change, moves this picture and draws no point again.

import { CanvasPen } from "./pen.js";
import { scaleOf } from "./points.js";

const NEAR = 1e-9; // spans that differ by less are one zoom
const SPARE = { x: 0.5, y: 0.25 }; // of the area, on each side of it, while it is dragged

const alike = (a, b) => a.length === b.length && a.every((one, at) => one === b[at]);

export class Layer {
  // `draw(pen, scale)` draws the points.
  constructor(draw) {
    this.draw = draw;
    this.made = 0; // how often they were drawn
  }

  forget() {
    this.kept = null;
  }

  // Copy the picture of a view into an area of a canvas; it is made where `parts`, what it is made of, or the zoom are others.
  put(context, dense, area, view, parts, dragged) {
    const all = [...parts, dense, area.width, area.height];
    if (!this.place(area, view, all)) this.make(dense, area, view, all, dragged ? SPARE : { x: 0, y: 0 });
    const from = this.place(area, view, all);
    const [x, y, width, height] = [area.x, area.y, area.width, area.height].map((one) => Math.round(one * dense));
    context.save();
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.drawImage(this.canvas, from.x, from.y, width, height, x, y, width, height);
    context.restore();
  }

  // Where a view is in the picture, in its pixels; null where it is not all in it.
  place(area, view, all) {
    const { kept } = this;
    if (!kept || !alike(kept.all, all)) return null;
    const [wide, high] = [view.x1 - view.x0, view.y1 - view.y0];
    if (Math.abs(wide / kept.wide - 1) > NEAR || Math.abs(high / kept.high - 1) > NEAR) return null;
    const x = Math.round(((view.x0 - kept.view.x0) / wide) * area.width * kept.dense);
    const y = Math.round(((kept.view.y1 - view.y1) / high) * area.height * kept.dense);
    const most = [this.canvas.width - area.width * kept.dense, this.canvas.height - area.height * kept.dense];
    return x >= 0 && y >= 0 && x <= Math.ceil(most[0]) && y <= Math.ceil(most[1]) ? { x, y } : null;
  }

  make(dense, area, view, all, spare) {
    const [wide, high] = [view.x1 - view.x0, view.y1 - view.y0];
    const more = { x0: view.x0 - spare.x * wide, x1: view.x1 + spare.x * wide, y0: view.y0 - spare.y * high, y1: view.y1 + spare.y * high };
    const [width, height] = [area.width * (1 + 2 * spare.x), area.height * (1 + 2 * spare.y)];
    this.canvas = new OffscreenCanvas(Math.round(width * dense), Math.round(height * dense));
    const context = this.canvas.getContext("2d", { willReadFrequently: true }); // symbols are mixed into its pixels
    context.scale(dense, dense);
    const pen = new CanvasPen(context);
    pen.clip(0, 0, width, height);
    this.draw(pen, scaleOf({ x: 0, y: 0, width, height }, more));
    this.kept = { all, view: more, wide, high, dense };
    this.made += 1;
  }
}
