// Objects by their statistics: cuts, order, periods; a row leads to its light curve.

import { find, fixed, make, table } from "./dom.js";
import { periodText } from "./periods.js";
import { get, tap } from "./service.js";

const MOST = 200;
// cuts: control, condition with the value in place of ?
const CUTS = {
  on: "n >= ?", oamp: "max_mag - min_mag >= ?", ochi: "chi2 >= ?", oj: "stetson_j >= ?", obright: "median_mag >= ?", ofaint: "median_mag <= ?",
};
const COLUMNS = [
  ["object_id", "object_id"], ["filtercode", "filter"], ["n", "n"], ["median_mag", "median"], ["max_mag - min_mag", "amplitude"], ["scatter", "scatter"],
  ["chi2", "χ²"], ["stetson_j", "Stetson J"], ["eta", "η"], ["crowded", "crowded"], ["ra", "RA"], ["dec", "Dec"],
];
export const CONTROLS = ["ofilter", ...Object.keys(CUTS), "opmin", "opmax", "ofap", "owithin"];

export class Objects {
  // `told` has place(), state(), changed(change, push), open(id) and question options of the periodogram.
  constructor(told) {
    Object.assign(this, { told, periods: new Map() });
    find("cuts").addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    find("cuts").addEventListener("change", () => this.submit());
    find("object-periods").addEventListener("click", () => this.toggle());
  }

  toggle() {
    this.told.changed({ operiods: this.searching ? "" : "1" });
    if (this.searching) this.stop();
    else this.search();
  }

  submit() {
    this.told.changed({ ...Object.fromEntries(CONTROLS.map((name) => [name, find(name).value])), ocrowd: find("ocrowd").checked ? "" : "1" });
    this.show();
  }

  // Another view is shown: nothing more is asked for this one.
  leave() {
    this.abort?.abort();
    this.stop();
  }

  say(words) {
    find("objects-said").textContent = words;
  }

  statement() {
    const state = this.told.state();
    const conditions = [];
    if (state.ofilter) conditions.push(`filtercode = '${state.ofilter}'`);
    for (const [name, words] of Object.entries(CUTS)) {
      const value = state[name].trim() === "" ? NaN : Number(state[name]);
      if (Number.isFinite(value)) conditions.push(words.replace("?", String(value)));
    }
    if (state.ocrowd) conditions.push("crowded = 0");
    const within = Number(state.owithin);
    const place = this.told.place();
    if (place && within > 0) conditions.push(`1 = contains(point('ICRS', ra, dec), circle('ICRS', ${place.ra}, ${place.dec}, ${within / 60}))`);
    const by = COLUMNS.some(([name]) => name === state.oby) ? state.oby : "stetson_j";
    return `select ${COLUMNS.map(([name]) => (name.includes(" ") ? `${name} as amplitude` : name)).join(", ")} from ztf.object_summary${conditions.length ? ` where ${conditions.join(" and ")}` : ""} order by ${by === "max_mag - min_mag" ? "amplitude" : by}${state.oup ? "" : " desc"}, object_id`;
  }

  async show() {
    this.stop();
    this.abort?.abort();
    this.abort = new AbortController();
    const { signal } = this.abort;
    const state = this.told.state();
    for (const name of CONTROLS) find(name).value = state[name];
    find("ocrowd").checked = !state.ocrowd;
    find("owithin").disabled = !this.told.place();
    this.say("Reading…");
    find("objects").ariaBusy = "true";
    try {
      const found = await tap(this.statement(), MOST, signal);
      this.rows = found.data.map((row) => Object.fromEntries(COLUMNS.map(([name], at) => [name, row[at]])));
      this.cut = found.overflow;
      this.draw();
      if (!this.rows.length) await this.empty(signal);
      else if (state.operiods) this.search();
    } catch (error) {
      if (error.name === "AbortError") return;
      find("objects").replaceChildren();
      this.say(error.message);
    } finally {
      if (!signal.aborted) find("objects").ariaBusy = "false";
    }
  }

  async empty(signal) {
    const { data } = await tap("select top 1 object_id from ztf.object", 1, signal);
    this.say(data.length ? "No object passes these cuts: loosen one." : "This archive has no objects yet: ztfdb objects build makes them.");
  }

  // What the page itself cuts: periods, which only a search knows.
  passes(row) {
    const state = this.told.state();
    const [low, high, fap] = [state.opmin, state.opmax, state.ofap].map((one) => (one.trim() === "" ? null : Number(one)));
    if (low === null && high === null && fap === null) return true;
    const found = this.periods.get(this.key(row));
    if (!found?.period) return !found;
    return (low === null || found.period >= low) && (high === null || found.period <= high) && (fap === null || found.fap <= fap);
  }

  key(row) {
    return `${row.object_id} ${row.filtercode}`;
  }

  draw() {
    const state = this.told.state();
    let rows = this.rows.filter((row) => this.passes(row));
    if (state.oby === "period") {
      const value = (row) => this.periods.get(this.key(row))?.period ?? Infinity;
      rows = [...rows].sort((a, b) => (value(a) - value(b) || 0) * (state.oup ? 1 : -1));
    }
    const head = (name, words) => make("button", { type: "button", title: `Sort by ${words}`, onclick: () => this.sort(name) }, words + (state.oby === name ? (state.oup ? " ↑" : " ↓") : ""));
    const digits = { "median_mag": 3, "max_mag - min_mag": 3, "scatter": 3, "chi2": 2, "stetson_j": 2, "eta": 2, "ra": 5, "dec": 5 };
    const columns = COLUMNS.map(([name, words]) => ({
      name, head: head(name, words), text: name === "filtercode",
      cell: (row) => (name === "object_id" ? this.link(row) : name in digits ? fixed(row[name], digits[name]) : String(row[name] ?? "")),
    }));
    columns.splice(9, 0, { name: "period", head: head("period", "period, d"), cell: (row) => this.period(row) });
    find("objects").replaceChildren(this.rows.length ? table(columns, rows) : "");
    const most = this.cut ? ` There are more: these are the first ${MOST} in this order; narrow the cuts.` : "";
    this.say(`${rows.length} ${rows.length === 1 ? "row" : "rows"}, one for each object and filter.${rows.length < this.rows.length ? ` ${this.rows.length - rows.length} have another period.` : ""}${most}`);
    find("object-periods").disabled = !this.rows.length;
  }

  link(row) {
    return make("button", { type: "button", title: "Show its light curve", onclick: () => this.told.open(row.object_id, this.periods.get(this.key(row))?.text) }, row.object_id);
  }

  period(row) {
    const found = this.periods.get(this.key(row));
    if (!found) return "";
    if (found.problem) return make("span", { title: found.problem, className: "quiet" }, "none");
    return make("span", { title: `power ${fixed(found.power, 3)}, by chance ${found.fap.toPrecision(2)}`, className: found.fap > 0.01 ? "quiet" : "" }, found.fap > 0.01 ? `${found.text}?` : found.text);
  }

  sort(name) {
    const state = this.told.state();
    const up = state.oby === name ? (state.oup ? "" : "1") : "";
    this.told.changed({ oby: name, oup: up });
    if (name === "period") this.draw();
    else this.show();
  }

  stop() {
    this.searching?.abort();
    this.searching = null;
    find("object-periods").textContent = "Find their periods";
  }

  // The best period of each row, one after the other.
  async search() {
    this.searching = new AbortController();
    const { signal } = this.searching;
    find("object-periods").textContent = "Stop";
    const left = this.rows.filter((row) => !this.periods.has(this.key(row)));
    for (const [at, row] of left.entries()) {
      this.say(`Period ${at + 1} of ${left.length}…`);
      try {
        const found = await get("periodogram", { ra: row.ra, dec: row.dec, filters: row.filtercode }, signal);
        const { period, power, fap } = found.peaks.data;
        this.periods.set(this.key(row), { period: period[0], power: power[0], fap: fap[0], text: periodText(period[0], found.attrs.baseline) });
      } catch (error) {
        if (error.name === "AbortError") return;
        if (error.status === 0 || error.status >= 500 || error.status === 401) {
          this.stop();
          this.draw();
          this.say(error.message);
          return;
        }
        this.periods.set(this.key(row), { problem: error.message });
      }
      if (at % 10 === 9) this.draw();
    }
    this.stop();
    this.draw();
  }
}
