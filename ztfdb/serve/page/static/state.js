// What the page shows, as its address: only what differs from the start is written.

export const START = {
  tab: "curve", q: "", r: "1.5", complete: "1", phot: "aperture", aperture: "4", measure: "auto", calibration: "header", color: "",
  y: "mag", x: "mjd", period: "", t0: "", sn: "", hide: "", view: "", e: "", pg: "", pmin: "", pmax: "", pfilter: "", adql: "", ax: "", ay: "",
  ofilter: "", on: "10", oamp: "", ochi: "3", oj: "", obright: "", ofaint: "", ocrowd: "", owithin: "", opmin: "", opmax: "", ofap: "", oby: "stetson_j", oup: "",
  open: "", size: "31", stretch: "linear", mask: "", strip: "", blink: "", brate: "3", bstretch: "linear", bmask: "", tby: "MJD", tdown: "", arun: "", operiods: "",
  swidth: "2", simage: "", sstretch: "linear", shide: "", cfilter: "", cby: "n", cview: "",
};
export const ASKED = ["q", "r", "complete", "phot", "aperture", "measure", "calibration", "color"];
export const DRAWN = ["y", "x", "period", "t0", "sn"];
export const SEARCHED = ["pmin", "pmax", "pfilter"]; // the grid of the periodogram

const CHOSEN = ["complete", "phot", "aperture", "measure", "calibration", "y", "x", "pfilter", "ofilter", "cfilter", "cby"]; // from lists

const STAR = ["e", "view", "pg", "strip", "blink"]; // what belongs to one position
export const ofNewStar = () => Object.fromEntries(STAR.map((name) => [name, START[name]]));

// Names in a text, with commas between them.
export const listed = (text) => new Set(text.split(",").filter(Boolean));
export function withName(text, name, on) {
  const names = listed(text);
  if (on) names.add(name);
  else names.delete(name);
  return [...names].join(",");
}

// A view or a choice that the page does not have, of an older page or mistyped, is that of the start.
export function fromAddress() {
  const words = new URLSearchParams(location.search);
  return Object.fromEntries(Object.keys(START).map((name) => [name, possible(name, words.get(name)) ? words.get(name) : START[name]]));
}

function possible(name, value) {
  if (value === null) return false;
  if (name === "tab") return document.getElementById(`tab-${value}`) !== null;
  const choices = CHOSEN.includes(name) ? document.getElementById(name).options : [];
  return !choices.length || [...choices].some((one) => one.value === value);
}

export function toAddress(state, push) {
  const words = new URLSearchParams();
  for (const name of Object.keys(START)) {
    if (state[name] !== START[name]) words.set(name, state[name]);
  }
  const text = words.toString();
  const next = text ? `?${text}` : location.pathname;
  if (text === location.search.slice(1)) return;
  history[push ? "pushState" : "replaceState"](null, "", next);
}

export const number = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));
export const asView = (text) => {
  const [x0, x1, y0, y1] = text.split(",").map(Number);
  return [x0, x1, y0, y1].every(Number.isFinite) && x0 !== x1 && y0 !== y1 ? { x0, x1, y0, y1 } : null;
};
export const viewText = (view) => (view ? [view.x0, view.x1, view.y0, view.y1].map((one) => Number(one.toPrecision(12))).join(",") : "");

// Two decimal numbers are degrees: the service, which knows every other way to write a position, need not be asked.
export function typedDegrees(text) {
  const found = /^\s*(\d+\.\d+)[\s,]+([-+]?\d+\.\d+)\s*$/.exec(text);
  if (!found) return null;
  const [ra, dec] = found.slice(1).map(Number);
  return ra < 360 && Math.abs(dec) <= 90 ? { kind: "position", ra, dec } : null;
}
