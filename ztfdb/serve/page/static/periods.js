// The periodogram: powers by period, the best periods, and folding at one of them.

import { find, fixed, make, table } from "./dom.js";
import { inks, penOf, redrawn } from "./ink.js";
import { get } from "./service.js";
import { logTicks, ticks } from "./ticks.js";

const MARGIN = { left: 62, right: 14, top: 8, bottom: 40 };

// A period with as many digits as the time span can tell apart.
export function periodText(period, baseline) {
  const digits = Math.max(1, Math.ceil(Math.log10((20 * baseline) / period)) + 1);
  return String(Number(period.toPrecision(Math.min(12, digits))));
}

export class Periods {
  // `told` has question(), state(), set(change) and fold(period).
  constructor(told) {
    this.told = told;
    this.canvas = find("powers");
    this.canvas.powers = [];
    find("find-period").addEventListener("click", () => this.search());
    find("search").addEventListener("submit", (event) => { event.preventDefault(); this.search(); });
    for (const [id, factor] of [["halve", 0.5], ["double", 2]]) find(id).addEventListener("click", () => this.scale(factor));
    this.canvas.addEventListener("click", (event) => this.pick(event.offsetX));
    redrawn(this.canvas, () => this.draw());
  }

  stop() {
    this.abort?.abort();
  }

  // A new light curve: what was searched on the last one is gone.
  forget() {
    this.stop();
    this.found = null;
    this.canvas.powers = [];
    find("peaks").replaceChildren();
    find("powers").hidden = true;
    this.say("");
  }

  say(words) {
    find("periods-said").textContent = words;
  }

  scale(factor) {
    const period = Number(this.told.state().period);
    if (period > 0) this.told.fold(String(Number((period * factor).toPrecision(12))));
  }

  // Search; where `quietly`, the plot is left as it is.
  async search({ quietly = false } = {}) {
    this.forget();
    find("periods").open = true;
    this.abort = new AbortController();
    const state = this.told.state();
    this.told.set({ pg: "1" });
    this.say("Searching…");
    try {
      const asked = { ...this.told.question(), filters: state.pfilter, min_period: state.pmin, max_period: state.pmax };
      this.found = await get("periodogram", asked, this.abort.signal);
      this.show();
      if (!quietly) this.told.fold(periodText(this.found.peaks.data.period[0], this.found.attrs.baseline));
    } catch (error) {
      if (error.name !== "AbortError") this.say(error.message);
    }
  }

  show() {
    const { data, attrs, peaks } = this.found;
    this.canvas.powers = data.frequency.map((frequency, at) => ({ frequency, period: data.period[at], power: data.power[at] }));
    const best = peaks.data;
    const doubt = best.fap[0] > 0.01 ? " Noise alone gives such a peak often: do not trust it." : "";
    this.say(`${periodText(best.period[0], attrs.baseline)} d is the best of ${attrs.n_frequency.toLocaleString("en")} frequencies, from ${attrs.n_epoch} epochs in ${attrs.filters.join(", ")} over ${fixed(attrs.baseline, 1)} d.${doubt}`);
    const rows = best.period.map((period, at) => ({ period, power: best.power[at], fap: best.fap[at], window: best.window[at] }));
    find("peaks").replaceChildren(table([
      { name: "period", head: "period, d", cell: (row) => make("button", { type: "button", title: "Fold at this period", onclick: () => this.told.fold(periodText(row.period, attrs.baseline)) }, periodText(row.period, attrs.baseline)) },
      { name: "power", cell: (row) => fixed(row.power, 3) },
      { name: "by chance", cell: (row) => (row.fap < 1e-99 ? "< 1e-99" : row.fap.toPrecision(2)) },
      { name: "sampling", cell: (row) => fixed(row.window, 3) },
    ], rows));
    this.canvas.hidden = false;
    this.canvas.ariaLabel = `Power by period; the highest at ${periodText(best.period[0], attrs.baseline)} days`;
    this.draw();
  }

  get ends() {
    const { powers } = this.canvas;
    return [Math.log10(powers[powers.length - 1].period), Math.log10(powers[0].period)];
  }

  get area() {
    return { x: MARGIN.left, y: MARGIN.top, width: this.canvas.clientWidth - MARGIN.left - MARGIN.right, height: this.canvas.clientHeight - MARGIN.top - MARGIN.bottom };
  }

  pick(offsetX) {
    if (!this.found) return;
    const [low, high] = this.ends;
    const { x, width } = this.area;
    const at = low + ((offsetX - x) / width) * (high - low);
    const reach = (6 / width) * (high - low);
    const near = this.canvas.powers.filter((one) => Math.abs(Math.log10(one.period) - at) <= reach);
    if (!near.length) return;
    const best = near.reduce((a, b) => (b.power > a.power ? b : a));
    this.told.fold(periodText(best.period, this.found.attrs.baseline));
  }

  draw() {
    const on = this.found && penOf(this.canvas);
    if (!on) return;
    const { pen, width, height } = on;
    const [ink, area, [low, high]] = [inks(), this.area, this.ends];
    const x = (period) => area.x + ((Math.log10(period) - low) / (high - low)) * area.width;
    const y = (power) => area.y + area.height * (1 - power);
    pen.rect(0, 0, width, height, { fill: ink.paper });
    for (const { at, words } of logTicks(10 ** low, 10 ** high)) {
      pen.line(x(at), area.y, x(at), area.y + area.height, { stroke: ink.grid });
      pen.text(x(at), area.y + area.height + 5, words, { fill: ink.ink, align: "center", baseline: "top" });
    }
    for (const { at, words } of ticks(0, 1, 3)) {
      pen.line(area.x, y(at), area.x + area.width, y(at), { stroke: ink.grid });
      pen.text(area.x - 7, y(at), words, { fill: ink.ink, align: "right", baseline: "middle" });
    }
    pen.path(this.canvas.powers.map((one) => [x(one.period), y(Math.max(0, one.power))]), { stroke: ink.accent });
    const chosen = Number(this.told.state().period);
    if (chosen > 0 && Math.log10(chosen) >= low && Math.log10(chosen) <= high) pen.line(x(chosen), area.y, x(chosen), area.y + area.height, { stroke: ink.ink, dash: [4, 4] });
    pen.rect(area.x, area.y, area.width, area.height, { stroke: ink.soft });
    pen.text(area.x + area.width / 2, height - 5, "period (d)", { fill: ink.ink, align: "center", size: 13 });
    pen.text(15, area.y + area.height / 2, "power", { fill: ink.ink, align: "center", size: 13, turn: -90 });
  }
}
