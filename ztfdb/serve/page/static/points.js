// The points of a light curve on a paper: error bars, symbols, and ticks for what could not be measured.

import { colour, look } from "./curve.js";

const SIZE = 4.2;
const REACH = 14; // of a symbol from its point, px
const CAP = 2.5; // half the width of the end of a bar, px

// How values become pixels of an area, and back; the first y of a view is at the bottom.
export function scaleOf(area, view) {
  const { x0, x1, y0, y1 } = view;
  return {
    area, view,
    x: (value) => area.x + ((value - x0) / (x1 - x0)) * area.width,
    y: (value) => area.y + area.height - ((value - y0) / (y1 - y0)) * area.height,
    valueX: (px) => x0 + ((px - area.x) / area.width) * (x1 - x0),
    valueY: (py) => y0 + ((area.y + area.height - py) / area.height) * (y1 - y0),
  };
}

const placed = (one) => one.y !== null && Number.isFinite(one.y);

// Those in a view, and a little beside it.
function within(points, { x0, x1 }) {
  const reach = (x1 - x0) * 0.02;
  return points.filter((one) => one.x >= x0 - reach && one.x <= x1 + reach);
}

// What has a value; `flux` is whether heights are fluxes, where limits are points with bars.
export function drawPoints(pen, points, scale, ink, flux) {
  const inside = within(points, scale.view).filter(placed);
  bars(pen, inside, scale, ink);
  const drawn = new Map();
  for (const one of inside) {
    const kind = one.kind === "limit" ? "limit" : one.kind === "detection" && one.good ? "filled" : "open";
    const { filtercode } = one.epoch;
    const key = `${filtercode} ${kind} ${one.good}`;
    let draw = drawn.get(key);
    if (!draw) drawn.set(key, (draw = (on, x, y) => symbol(on, x, y, { filtercode, kind, good: one.good, ink, flux })));
    pen.sprite(draw, scale.x(one.x), scale.y(one.y), REACH, draw);
  }
  pen.flush();
}

// What has no value to place: a tick at the foot.
export function drawFeet(pen, points, scale, ink) {
  const foot = scale.area.y + scale.area.height;
  const lines = within(points, scale.view).filter((one) => !placed(one)).flatMap((one) => [scale.x(one.x), foot - 9, scale.x(one.x), foot - 1]);
  if (lines.length) pen.lines(lines, { stroke: ink.soft, width: 2 });
}

// The error bars, those of one colour in one path.
function bars(pen, points, { x, y }, ink) {
  const alike = new Map();
  for (const one of points) {
    if (one.low === undefined) continue;
    const at = x(one.x);
    const top = y(one.low);
    const bottom = y(one.high);
    if (Math.abs(top - bottom) < 2 * SIZE) continue; // hidden by the symbol
    const { filtercode } = one.epoch;
    const key = one.good ? filtercode : `${filtercode} flagged`;
    let group = alike.get(key);
    if (!group) alike.set(key, (group = { style: { stroke: ink[colour(filtercode)], alpha: one.good ? 0.8 : 0.45 }, lines: [] }));
    group.lines.push(at, top, at, bottom, at - CAP, top, at + CAP, top, at - CAP, bottom, at + CAP, bottom);
  }
  for (const { lines, style } of alike.values()) pen.lines(lines, style);
}

function symbol(pen, x, y, { filtercode, kind, good, ink, flux }) {
  const stroke = ink[colour(filtercode)];
  const { marker } = look(filtercode);
  const alpha = good ? 1 : 0.6;
  if (kind === "limit" && !flux) {
    pen.shape(marker, x, y, SIZE * 0.55, { fill: ink.paper, stroke, alpha });
    pen.line(x, y + SIZE * 0.6, x, y + 7, { stroke, alpha, width: 1.2 });
    pen.shape("arrow", x, y + 6, 3.6, { fill: stroke, alpha });
  } else {
    const size = kind === "limit" ? SIZE * 0.65 : SIZE;
    pen.shape(marker, x, y, size, { fill: kind === "filled" ? stroke : ink.paper, stroke, width: 1.3, alpha });
  }
  if (!good) {
    const d = SIZE * 0.9;
    pen.line(x - d, y - d, x + d, y + d, { stroke: ink.ink });
    pen.line(x - d, y + d, x + d, y - d, { stroke: ink.ink });
  }
}

// A ring about a point, so much wider than its symbol.
export function ring(pen, x, y, wider, style) {
  pen.shape("circle", x, y, SIZE + wider, style);
}
