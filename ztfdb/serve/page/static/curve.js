// A light curve: its epochs, what each is drawn as, and where.

export const LOOKS = {
  zg: { name: "g", marker: "circle" },
  zr: { name: "r", marker: "square" },
  zi: { name: "i", marker: "diamond" },
};
const AB_UJY = 23.9; // AB magnitude of 1 µJy
const POGSON = 2.5 / Math.LN10;
const LIMIT_SIGMA = 5;
const JD_OF_MJD = 2400000.5;
const DAY_MS = 86400000;
const MJD_1970 = 40587;

export const look = (code) => LOOKS[code] ?? { name: code, marker: "plus" };
export const colour = (code) => (code in LOOKS ? code : "other");
export const dateOf = (mjd) => new Date((mjd - MJD_1970) * DAY_MS);
export const mjdOf = (date) => date / DAY_MS + MJD_1970;
export const magOf = (flux) => (flux > 0 ? AB_UJY - 2.5 * Math.log10(flux) : null);

export function epochsOf(frame) {
  const names = frame.columns.map((one) => one.name);
  const count = names.length ? frame.data[names[0]].length : 0;
  const epochs = [];
  for (let at = 0; at < count; at += 1) {
    const one = {};
    for (const name of names) one[name] = frame.data[name][at];
    one.mjd ??= one.mjd_mid; // IRSA's light curves have no start of an exposure
    one.key = one.phot && one.phot !== "aperture" ? `${one.image_id ?? at}.${one.phot}` : String(one.image_id ?? at);
    epochs.push(one);
  }
  return epochs.sort((a, b) => a.mjd - b.mjd);
}

// What an epoch is at a threshold of S/N (null: as the archive says): its kind, magnitude, error and limit.
export function judged(epoch, threshold) {
  const kind = epoch.kind ?? "detection";
  const own = { kind, mag: epoch.mag, magerr: epoch.magerr, limit: epoch.upper_limit_mag ?? null, sigma: epoch.upper_limit_nsigma ?? LIMIT_SIGMA };
  const { flux_ujy: flux, flux_ujy_err: error } = epoch;
  if (threshold === null || kind === "unavailable" || flux == null || !(error > 0)) return own;
  if (flux / error < threshold) {
    const sigma = Math.max(own.sigma, threshold); // there is less light than the threshold: no limit below it
    return { kind: "limit", mag: null, magerr: null, limit: magOf(sigma * error), sigma };
  }
  if (own.mag != null) return own;
  const mag = magOf(flux);
  if (mag === null) return own;
  return { kind: "forced", mag, magerr: Math.hypot((POGSON * error) / flux, epoch.magerr_sys ?? 0), limit: null, sigma: own.sigma };
}

// Phase of the heliocentric time, where there is one.
export function phaseOf(epoch, period, zero) {
  const phase = (heliocentric(epoch) - zero) / period;
  return phase - Math.floor(phase);
}

export const heliocentric = (epoch) => (epoch.hjd == null ? epoch.mjd : epoch.hjd - JD_OF_MJD);

// Everything that is drawn: {epoch, kind, x, y, low, high, good, limit}; a folded point is there twice.
export function drawn(epochs, how) {
  const folded = how.x === "phase" && how.period > 0;
  const zero = how.t0 ?? (epochs.length ? heliocentric(epochs[0]) : 0);
  const points = [];
  for (const epoch of epochs) {
    const now = judged(epoch, how.sn);
    const point = { epoch, ...now, good: epoch.good !== false, ...height(epoch, now, how.y) };
    if (hidden(point, how.hide)) continue;
    if (folded) {
      const x = phaseOf(epoch, how.period, zero);
      points.push({ ...point, x }, { ...point, x: x + 1, again: true });
    } else {
      points.push({ ...point, x: epoch.mjd });
    }
  }
  return points;
}

function height(epoch, now, y) {
  if (now.kind === "unavailable") return { y: null };
  if (y === "ujy") {
    const flux = epoch.flux_ujy;
    if (flux == null) return { y: null };
    const error = epoch.flux_ujy_err ?? 0;
    return { y: flux, low: flux - error, high: flux + error };
  }
  if (now.kind === "limit") return { y: now.limit };
  if (now.mag == null) return { y: null };
  return { y: now.mag, low: now.mag - (now.magerr ?? 0), high: now.mag + (now.magerr ?? 0) };
}

function hidden(point, hide) {
  return hide.has(point.epoch.filtercode) || hide.has(point.kind) || (!point.good && hide.has("flagged"));
}

// The whole view of points; the first y is at the bottom.
export function wholeView(points, how) {
  const seen = points.filter((one) => one.y !== null && Number.isFinite(one.y));
  let xs = points.map((one) => one.x);
  if (how.x === "phase" && how.period > 0) xs = [-0.05, 2.05];
  const ys = [];
  for (const one of seen) {
    const most = how.y === "mag" ? 0.75 : Infinity; // a bar of a faint point does not press the others together
    ys.push(one.y);
    if (one.low !== undefined) ys.push(Math.max(one.low, one.y - most), Math.min(one.high, one.y + most));
  }
  const [x0, x1] = padded(xs, how.x === "phase" ? 0 : 0.04, 1);
  const [low, high] = padded(ys, 0.08, how.y === "mag" ? 0.1 : 1);
  return how.y === "mag" ? { x0, x1, y0: high, y1: low } : { x0, x1, y0: low, y1: high };
}

function padded(values, share, least) {
  if (!values.length) return [0, 1];
  let [low, high] = [Infinity, -Infinity];
  for (const one of values) {
    low = Math.min(low, one);
    high = Math.max(high, one);
  }
  const pad = Math.max((high - low) * share, high > low ? 0 : least);
  return [low - pad, high + pad];
}

export function counted(points) {
  const count = { detection: 0, forced: 0, limit: 0, unavailable: 0, flagged: 0, reasons: new Map() };
  for (const one of points) {
    if (one.again) continue;
    count[one.kind] += 1;
    if (!one.good && one.kind !== "unavailable") count.flagged += 1;
    if (one.epoch.reason) count.reasons.set(one.epoch.reason, (count.reasons.get(one.epoch.reason) ?? 0) + 1);
  }
  return count;
}
