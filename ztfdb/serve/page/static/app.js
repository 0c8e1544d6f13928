// The page: asks the service, draws the answer, and keeps its address.

import { Adql } from "./adql.js";
import { Blink } from "./blink.js";
import { Coverage } from "./coverage.js";
import { colour, counted, drawn, epochsOf, heliocentric, look } from "./curve.js";
import { find, fixed, make, save, say, wait } from "./dom.js";
import { EpochPanel, Strip, day } from "./epoch.js";
import { Objects } from "./objects.js";
import { outline } from "./pen.js";
import { Periods } from "./periods.js";
import { Plot } from "./plot.js";
import { Sky } from "./sky.js";
import { BASE, address, file, get, held as token, keep, tap } from "./service.js";
import { ASKED, DRAWN, SEARCHED, asView, fromAddress, listed, number, ofNewStar, toAddress, typedDegrees, viewText, withName } from "./state.js";
import { Status, holdings } from "./status.js";
import { showSummary } from "./summary.js";
import { EpochTable } from "./table.js";

const TITLE = document.title;
const KINDS = [["detection", "detections"], ["forced", "forced"], ["limit", "limits"], ["flagged", "flagged"], ["unavailable", "not measured"]];

let state = fromAddress();
let place = null; // ra, dec, kind of the position
let epochs = [];
let points = [];
let abort = null;

const plot = new Plot(find("plot"), { changed, picked: choose, pointed });
const noted = (change) => { Object.assign(state, change); toAddress(state, false); };
const memory = { state: () => state, changed: noted };
const panel = new EpochPanel(find("epoch"), { ...memory, asked: () => ({ ...place, aperture: state.aperture }), step });
const strip = new Strip(find("strip"), { ...memory, picked: choose, arrived: () => blink.arrived() });
const rows = new EpochTable(find("table"), { ...memory, picked: choose });
const periods = new Periods({
  question, state: () => state, set: noted,
  fold: (period) => { set({ x: "phase", period }); controls(); },
});
const spot = (ra, dec) => open({ q: `${ra.toFixed(6)} ${dec.toFixed(6)}`, tab: "sky" });
const adql = new Adql({ ...memory, place: () => place, open: (q) => open({ q, tab: "curve" }) });
const sky = new Sky({ ...memory, place: () => place, open: spot });
const coverage = new Coverage({ ...memory, open: spot });
const objects = new Objects({ ...memory, place: () => place, open: (q, period) => open({ q, tab: "curve", ...(period ? { x: "phase", period } : { x: "mjd", period: "" }) }) });
const blink = new Blink({ ...memory, stamps: () => strip.shown() });
const status = new Status(find("status"));

const fromIrsa = () => state.phot.startsWith("irsa"); // detections of other images than the archive's

// The question, as the service takes it.
function question() {
  const complete = state.complete === "1" && !fromIrsa();
  return {
    ra: place.ra, dec: place.dec, radius: state.r, aperture: state.aperture, phot: state.phot, calibration: state.calibration, color: state.color,
    complete: complete || null, measure: complete && state.measure !== "auto" ? state.measure : null,
  };
}

function how() {
  const zero = number(state.t0);
  return {
    x: state.x, y: state.y, period: number(state.period) ?? 0, t0: zero, sn: number(state.sn), hide: listed(state.hide),
    zero: zero ?? (epochs.length ? heliocentric(epochs[0]) : 0),
  };
}

async function ask() {
  abort?.abort();
  abort = new AbortController();
  const { signal } = abort;
  strip.stop();
  periods.stop();
  find("main").ariaBusy = "true";
  wait("Reading…");
  try {
    place = null;
    place = typedDegrees(state.q) ?? await get("resolve", { q: state.q }, signal);
    if (state.tab === "sky") sky.show();
    if (state.tab === "objects") objects.show();
    const frame = await get("lightcurve", question(), signal);
    epochs = epochsOf(frame);
    say(epochs.length ? frame.hint ?? "" : nothing(frame.hint));
    answered();
  } catch (error) {
    if (error.name === "AbortError") return;
    fail(error);
  } finally {
    if (!signal.aborted) find("main").ariaBusy = "false";
  }
}

// What was searched where there is no epoch, and what the archive has there; its hint names an option of other interfaces.
function nothing(hint) {
  const why = (hint ?? "").replace("a complete light curve (--complete, complete=True)", "every image as Epochs");
  return `No epoch at ${heading()}${why ? `: ${why}` : ""}.`;
}

function fail(error) {
  welcome();
  // What the archive refuses may be a choice: the choices stay in reach.
  if (place && error.status >= 400 && error.status < 500 && error.status !== 401) showCurve(false);
  refused(error, ask);
}

function showCurve(drawn) {
  find("welcome").hidden = true;
  find("curve").hidden = false;
  find("drawing").hidden = !drawn;
}

// As before the first question, of which there is no answer.
function welcome() {
  epochs = [];
  find("curve").hidden = true;
  find("welcome").hidden = false;
  say("");
}

// What went wrong, and what helps: another try, or a token.
function refused(error, again) {
  const words = token() ? "The service does not accept this token: it is mistyped, removed or expired." : "This service needs a token.";
  say(error.status === 401 ? words : error.message, { bad: true, again: error.status === 0 || error.status >= 500 ? again : null });
  if (error.status !== 401) return;
  const box = make("input", { type: "password", id: "token", autocomplete: "off", required: true, pattern: "\\s*[!-~]+\\s*", title: "Letters, digits, - and _" });
  const form = make("form", {}, make("label", {}, "Token ", box), make("button", { type: "submit" }, "Use it"));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    keep(box.value.trim());
    say("");
    begin();
  });
  find("words").append(form);
}

function answered() {
  const [shown, where] = [epochs, place];
  showCurve(epochs.length > 0);
  plot.forget();
  redraw(asView(state.view));
  choose(epochs.find((one) => one.key === state.e) ?? null, { quiet: true });
  blink.forget();
  strip.clear();
  afterPaint(() => {
    if (shown !== epochs || where !== place) return; // another question was asked meanwhile
    links();
    strip.load(epochs, { ra: place.ra, dec: place.dec, aperture: state.aperture });
  });
  if (state.pg) periods.search({ quietly: true });
  else periods.forget();
}

function redraw(view = plot.view) {
  const now = how();
  find("period-label").hidden = find("t0-label").hidden = find("halve").hidden = find("double").hidden = state.x !== "phase";
  points = drawn(epochs, now);
  plot.show(points, now, view);
  showSummary(find("summary"), points);
  periods.draw();
  legend(now);
  caption(now);
  strip.keep(new Set(points.map((one) => one.epoch.key)));
  rows.show(epochs, now.sn, state.e);
  buttons();
}

function legend(now) {
  const every = drawn(epochs, { ...now, hide: new Set() });
  const count = counted(every);
  const codes = [...new Set(epochs.map((one) => one.filtercode))].sort((a, b) => "gri".indexOf(a[1]) - "gri".indexOf(b[1]));
  const made = codes.map((code) => toggle(code, look(code).name, epochs.filter((one) => one.filtercode === code).length, icon(look(code).marker, code)));
  for (const [name, words] of KINDS) {
    if (count[name]) made.push(toggle(name, words, count[name], kindIcon(name)));
  }
  const focused = document.activeElement?.dataset?.toggle;
  find("legend").replaceChildren(...made);
  if (focused) find("legend").querySelector(`[data-toggle="${focused}"]`)?.focus();
}

function toggle(name, words, count, picture) {
  const box = make("input", { type: "checkbox", checked: !listed(state.hide).has(name) });
  box.dataset.toggle = name;
  box.addEventListener("change", () => set({ hide: withName(state.hide, name, !box.checked) }));
  return make("label", {}, box, picture, ` ${words} (${count})`);
}

function svg(name, options) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(options)) element.setAttribute(key, value);
  return element;
}

function icon(marker, code, { open = false, size = 5 } = {}) {
  const picture = svg("svg", { viewBox: "-8 -8 16 16", class: code ? colour(code) : "other", "aria-hidden": "true" });
  const fill = open ? "none" : "currentColor";
  const corners = outline(marker);
  picture.append(corners
    ? svg("polygon", { points: corners.map((one) => one.map((value) => value * size)).join(" "), fill, stroke: "currentColor" })
    : svg("circle", { r: size, fill, stroke: "currentColor" }));
  return picture;
}

function kindIcon(name) {
  if (name === "limit") return icon("arrow", "", { size: 5 });
  const picture = icon("circle", "", { open: name !== "detection" });
  if (name === "flagged") picture.append(svg("path", { d: "M-5-5L5 5M-5 5L5-5", stroke: "currentColor" }));
  if (name === "unavailable") picture.replaceChildren(svg("path", { d: "M0-2V7", stroke: "currentColor", "stroke-width": 2 }));
  return picture;
}

function simulated() {
  const n = epochs.filter((one) => one.simulated).length;
  return n && n === epochs.length ? "All images are simulated." : n ? `${n} epochs are of simulated images.` : "";
}

function heading() {
  return `${fixed(place.ra, 6)} ${place.dec < 0 ? "−" : "+"}${fixed(Math.abs(place.dec), 6)} (ICRS), radius ${state.r}″${place.id ? `, ${place.kind} ${place.id}` : ""}`;
}

function caption(now) {
  const count = counted(points);
  const n = new Set(points.map((one) => one.epoch.key)).size;
  const reasons = [...count.reasons].map(([reason, many]) => `${reason} ${many}`).join(", ");
  const kinds = KINDS.filter(([name]) => count[name]).map(([name, words]) => `${count[name]} ${words}`).join(", ");
  const words = [
    `${n} of ${epochs.length} epochs${kinds ? `: ${kinds}` : ""}${reasons ? ` (${reasons})` : ""}.`,
    `${heading()}.`,
    simulated(),
    now.sn === null ? "" : `Points have S/N ≥ ${now.sn}; limits are ${Math.max(5, now.sn)} σ.`,
  ];
  find("caption").textContent = words.filter(Boolean).join(" ");
  find("plot").ariaLabel = `Light curve: ${words[0]}`;
}

// What the light curve does not wait for.
function afterPaint(work) {
  requestAnimationFrame(() => setTimeout(work));
}

function links() {
  const asked = question();
  const options = Object.fromEntries(Object.entries(asked).map(([name, value]) => [name.toUpperCase(), value === true ? 1 : value]));
  for (const [id, suffix] of [["csv", "csv"], ["votable", "vot"], ["fits", "fits"], ["parquet", "parquet"]]) {
    find(id).href = address("lightcurve", { ...options, RESPONSEFORMAT: id });
    find(id).download = fileName(suffix);
  }
  const words = [];
  for (const name of ["complete", "measure", "aperture", "phot", "calibration", "color"]) {
    const value = asked[name];
    if (value === null || value === "") continue;
    words.push(`${name}=${value === true ? "True" : /^[-\d.]/.test(value) ? value : JSON.stringify(value)}`);
  }
  const base = BASE.href.replace(/\/$/, "");
  find("python").value = `import ztfdb; curve = ztfdb.open(${JSON.stringify(base)}).light_curve(${asked.ra}, ${asked.dec}, radius=${asked.radius}, ${words.join(", ")})`;
}

function fileName(suffix) {
  return `light_curve_${place.ra.toFixed(5)}${place.dec < 0 ? "-" : "+"}${Math.abs(place.dec).toFixed(5)}.${suffix}`;
}

function choose(epoch, { quiet = false } = {}) {
  state.e = epoch?.key ?? "";
  toAddress(state, false);
  plot.chosen = state.e || null;
  plot.redraw();
  strip.mark(state.e);
  rows.show(epochs, number(state.sn), state.e);
  if (!epoch) {
    panel.clear();
    return;
  }
  if (!quiet) plot.reveal(epoch.key);
  panel.show(epoch, number(state.sn));
}

// Walk the epochs that are drawn, in their order along the axis.
function step(by, to = null) {
  const walk = points.filter((one) => !one.again).sort((a, b) => a.x - b.x);
  if (!walk.length) return;
  const at = walk.findIndex((one) => one.epoch.key === state.e);
  const next = to ?? (at < 0 ? (by > 0 ? 0 : walk.length - 1) : at + by);
  if (next >= 0 && next < walk.length) choose(walk[next].epoch);
  else if (to === Infinity) choose(walk[walk.length - 1].epoch);
}

function pointed(point, x, y) {
  const tip = find("tip");
  tip.hidden = !point;
  if (!point) return;
  const { epoch } = point;
  const value = point.kind === "limit" ? `> ${fixed(point.limit, 2)}` : point.mag == null ? epoch.reason ?? "" : `${fixed(point.mag, 3)} ± ${fixed(point.magerr, 3)}`;
  tip.textContent = [
    `${look(epoch.filtercode).name} ${value} ${point.kind}${point.good ? "" : ", flagged"}`,
    `MJD ${fixed(epoch.mjd, 5)} · ${day(epoch.mjd)}`,
    epoch.flux_ujy == null ? "" : `${fixed(epoch.flux_ujy, 1)} ± ${fixed(epoch.flux_ujy_err, 1)} µJy, S/N ${fixed(epoch.snr, 1)}`,
  ].filter(Boolean).join("\n");
  const room = find("frame").clientWidth;
  tip.style.left = `${Math.max(0, Math.min(x + 14, room - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y + 14 + tip.offsetHeight > find("frame").clientHeight ? y - tip.offsetHeight - 12 : y + 14}px`;
}

function changed() {
  state.view = viewText(plot.view);
  toAddress(state, false);
  buttons();
}

function buttons() {
  find("back").disabled = !plot.past.length;
  find("whole").disabled = plot.view === null;
}

// A change of how it is drawn: at once, without the service.
function set(change) {
  const moved = ["x", "y", "period"].some((name) => name in change && change[name] !== state[name]);
  Object.assign(state, change);
  if (moved) {
    plot.forget();
    state.view = "";
  }
  toAddress(state, false);
  redraw(moved ? null : plot.view);
  const epoch = epochs.find((one) => one.key === state.e);
  if ("sn" in change && epoch) panel.show(epoch, number(state.sn));
}

// A new question, or another tab: a page of the history.
function open(change) {
  const asks = ASKED.some((name) => name in change);
  if ("q" in change && change.q !== state.q) Object.assign(state, ofNewStar());
  Object.assign(state, change);
  toAddress(state, true);
  controls(asks);
  if (asks && state.q) ask();
}

// The controls as the state says; where a question follows, what needs the position waits for its answer.
function controls(asking = false) {
  document.title = state.q ? `${state.q} · ztfdb` : TITLE;
  for (const name of [...ASKED, ...DRAWN, ...SEARCHED]) find(name).value = state[name];
  for (const one of document.querySelectorAll("details[id]")) one.open = listed(state.open).has(one.id);
  blink.controls();
  for (const name of ["curve", "sky", "coverage", "objects", "adql", "status"]) {
    find(`tab-${name}`).hidden = state.tab !== name;
    const button = document.querySelector(`nav [data-tab="${name}"]`);
    if (state.tab === name) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  find("measure").disabled = state.complete !== "1" || fromIrsa();
  find("complete").disabled = fromIrsa();
  if (state.tab === "adql") adql.show(state.adql);
  if (state.tab === "status") status.show();
  if (state.tab === "coverage") coverage.show();
  if (!state.q) place = null;
  if (state.tab !== "sky") sky.leave();
  if (state.tab !== "objects") objects.leave();
  if (state.tab === "sky" && !(asking && state.q)) sky.show();
  if (state.tab === "objects" && !(asking && state.q)) objects.show();
}

const askedOf = () => ASKED.map((name) => state[name]).join("\n");

addEventListener("popstate", () => {
  const before = askedOf();
  state = fromAddress();
  controls(askedOf() !== before);
  if (!state.q) {
    abort?.abort(); // an answer that still comes belongs to another page of the history
    find("main").ariaBusy = "false";
    welcome();
  } else if (askedOf() !== before || !epochs.length) {
    ask();
  } else {
    plot.forget();
    redraw(asView(state.view));
    choose(epochs.find((one) => one.key === state.e) ?? null, { quiet: true });
  }
});

find("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  const tab = ["sky", "objects"].includes(state.tab) ? state.tab : "curve";
  open({ q: find("q").value.trim(), r: find("r").value, tab });
});
for (const name of ["complete", "phot", "aperture", "measure", "calibration", "color"]) {
  find(name).addEventListener("change", () => open({ [name]: find(name).value }));
}
for (const name of ["x", "y"]) find(name).addEventListener("change", () => set({ [name]: find(name).value }));
for (const name of ["period", "t0", "sn"]) find(name).addEventListener("input", () => set({ [name]: find(name).value }));
for (const name of SEARCHED) find(name).addEventListener("change", () => set({ [name]: find(name).value }));
for (const button of document.querySelectorAll("[data-tab]")) button.addEventListener("click", () => open({ tab: button.dataset.tab }));

for (const one of document.querySelectorAll("details[id]")) {
  one.addEventListener("toggle", () => noted({ open: withName(state.open, one.id, one.open) }));
}

const KEYS = {
  ArrowLeft: () => step(-1), ArrowRight: () => step(1), Home: () => step(0, 0), End: () => step(0, Infinity),
  "+": () => plot.zoom(1 / 1.5), "=": () => plot.zoom(1 / 1.5), "-": () => plot.zoom(1.5), 0: () => plot.whole(), Backspace: () => plot.back(),
};
find("curve").addEventListener("keydown", (event) => {
  const typing = event.target.closest("input:not([type=checkbox]), select, textarea, .scroll");
  if (typing || event.ctrlKey || event.altKey || event.metaKey || !(event.key in KEYS)) return;
  event.preventDefault();
  KEYS[event.key]();
});
find("zoom-in").addEventListener("click", () => plot.zoom(1 / 1.5));
find("zoom-out").addEventListener("click", () => plot.zoom(1.5));
find("back").addEventListener("click", () => plot.back());
find("whole").addEventListener("click", () => plot.whole());

find("svg").addEventListener("click", () => save(plot.svg(`${heading()}. ${simulated()}`), fileName("svg")));
find("png").addEventListener("click", async () => save(await plot.png(`${heading()}. ${simulated()}`), fileName("png")));
find("copy").addEventListener("click", async () => {
  const line = find("python");
  line.select();
  try {
    await navigator.clipboard.writeText(line.value);
  } catch {
    document.execCommand("copy"); // without https the clipboard has this way only
  }
  find("copy").textContent = "Copied";
  setTimeout(() => { find("copy").textContent = "Copy"; }, 1500);
});

document.addEventListener("click", async (event) => {
  const link = event.target.closest('a[href]:not([href^="#"], [href^="blob:"])');
  if (!link || !token() || !link.href.startsWith(BASE.href)) return;
  event.preventDefault();
  try {
    const { blob, name } = await file(link.href);
    save(blob, link.download || name || link.pathname.split("/").pop());
  } catch (error) {
    refused(error, () => link.click());
  }
});

async function begin() {
  controls(true);
  if (state.q) ask();
  try {
    const held = await get("status");
    find("holdings").textContent = holdings(held);
    if (!held.n_image) say("This archive has no image yet: ztfdb ingest FOLDER fills it.");
    else if (!state.q) {
      find("q").focus();
      await suggest();
    }
    const { data } = await get("catalogues");
    for (const option of find("phot").querySelectorAll("[hidden]")) option.hidden = !data.catalogue?.includes("irsa");
  } catch (error) {
    if (!state.q) refused(error, begin);
  }
}

async function suggest() {
  const { data: [centre] } = await tap("select top 1 ra, dec from ztf.image", 1);
  const near = `1 = contains(point('ICRS', ra, dec), circle('ICRS', ${centre[0]}, ${centre[1]}, 0.05))`;
  const { data } = await tap(`select top 200 ra, dec from ztf.light_curve_point where ${near} and mag between 14 and 17`, 200);
  const stars = new Map(data.map((star) => [star.map((value) => value.toFixed(3)).join(), star])); // each has many epochs
  if (!stars.size) return;
  const links = [...stars.values()].slice(0, 3).map(([ra, dec]) => make("button", { type: "button", onclick: () => open({ q: `${ra.toFixed(5)} ${dec.toFixed(5)}` }) }, `${ra.toFixed(5)} ${fixed(dec, 5)}`));
  find("suggest").replaceChildren("For example: ", ...links.flatMap((one) => [one, " "]));
}

begin();
