// What a light curve says of its star, filter by filter, and whether more than its errors moves it.

import { look } from "./curve.js";
import { fixed, make, table } from "./dom.js";

const FEWEST = 3; // points that a scatter is made of
const CERTAIN = 5; // standard deviations of a constant star's chi squared

const middle = (sorted) => (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;

// Good points with a magnitude: {code, n, median, least, most, scatter, chi, verdict}; chi is that of the weighted mean, over n - 1.
export function summaryOf(points) {
  const groups = new Map();
  for (const one of points) {
    if (one.again || !one.good || one.mag == null || !(one.magerr > 0) || one.kind === "limit" || one.kind === "unavailable") continue;
    const name = one.epoch.phot && one.epoch.phot !== "aperture" ? `${one.epoch.filtercode} ${one.epoch.phot}` : one.epoch.filtercode;
    if (!groups.has(name)) groups.set(name, { code: one.epoch.filtercode, phot: one.epoch.phot, mags: [], weights: [] });
    groups.get(name).mags.push(one.mag);
    groups.get(name).weights.push(one.magerr ** -2);
  }
  return [...groups.values()].map(({ code, phot, mags, weights }) => {
    const n = mags.length;
    const sorted = [...mags].sort((a, b) => a - b);
    const plain = mags.reduce((sum, one) => sum + one, 0) / n;
    const mean = mags.reduce((sum, one, at) => sum + one * weights[at], 0) / weights.reduce((sum, one) => sum + one, 0);
    const enough = n >= FEWEST;
    const scatter = enough ? Math.sqrt(mags.reduce((sum, one) => sum + (one - plain) ** 2, 0) / (n - 1)) : null;
    const chi = enough ? mags.reduce((sum, one, at) => sum + weights[at] * (one - mean) ** 2, 0) / (n - 1) : null;
    const varies = enough && chi > 1 + CERTAIN * Math.sqrt(2 / (n - 1));
    return { code, phot, n, median: middle(sorted), least: sorted[0], most: sorted[n - 1], scatter, chi, verdict: !enough ? "too few points" : varies ? "varies" : "no more than its errors" };
  }).sort((a, b) => "gri".indexOf(a.code[1]) - "gri".indexOf(b.code[1]));
}

export function showSummary(element, points) {
  const rows = summaryOf(points);
  element.hidden = !rows.length;
  if (!rows.length) return;
  element.replaceChildren(table([
    { name: "filter", text: true, cell: (one) => (one.phot && one.phot !== "aperture" ? `${look(one.code).name}, ${one.phot}` : look(one.code).name) },
    { name: "good points", cell: (one) => String(one.n) },
    { name: "median", head: "median, mag", cell: (one) => fixed(one.median, 3) },
    { name: "range", head: "range, mag", cell: (one) => `${fixed(one.least, 3)} to ${fixed(one.most, 3)}` },
    { name: "scatter", head: "scatter, mag", cell: (one) => fixed(one.scatter, 3) },
    { name: "chi", head: make("span", { title: "chi squared of a constant star over its degrees of freedom" }, "χ² / (n − 1)"), cell: (one) => fixed(one.chi, 2) },
    { name: "verdict", head: "brightness", text: true, cell: (one) => one.verdict },
  ], rows));
}
