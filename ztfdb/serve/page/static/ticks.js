// Where the ticks of an axis are, and their words.

import { dateOf, mjdOf } from "./curve.js";

const DAY_STEPS = [1 / 24, 1 / 8, 1 / 4, 1 / 2, 1, 2, 5, 10, 15];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 240];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

export function ticks(from, to, most) {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  const raw = (high - low) / Math.max(most, 1);
  const ten = 10 ** Math.floor(Math.log10(raw));
  const step = ten * [1, 2, 5, 10].find((one) => ten * one >= raw * (1 - 1e-9));
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const made = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) {
    made.push({ at: k * step, words: (k * step).toFixed(digits).replace(/^-(0\.?0*)$/, "$1").replace("-", "−") });
  }
  return made;
}

const LOG_STEPS = [[1], [1, 3], [1, 2, 5], [1, 2, 3, 4, 5, 6, 7, 8, 9]];

// Ticks of a logarithmic axis between two positive values.
export function logTicks(low, high, most = 9) {
  const decades = Math.log10(high / low);
  if (decades < 0.3) return ticks(low, high, 5);
  const steps = [...LOG_STEPS].reverse().find((one) => one.length * decades <= most) ?? [1];
  const every = Math.max(1, Math.ceil(decades / most));
  const made = [];
  for (let ten = Math.floor(Math.log10(low)); ten <= Math.log10(high); ten += 1) {
    if (ten % every) continue;
    for (const one of steps) {
      const at = one * 10 ** ten;
      if (at >= low && at <= high) made.push({ at, words: String(Number(at.toPrecision(3))) });
    }
  }
  return made;
}

// Days before `now`, which grow to the left.
export function agoTicks(from, to, most, now) {
  return ticks(now - to, now - from, most).map((one) => ({ at: now - one.at, words: one.words })).reverse();
}

export function dateTicks(from, to, most) {
  const raw = (to - from) / Math.max(most, 1);
  const days = DAY_STEPS.find((one) => one >= raw);
  return days !== undefined ? dayTicks(from, to, days) : monthTicks(from, to, raw / 30.44);
}

function dayTicks(from, to, step) {
  const made = [];
  const put = (mjd) => mjd >= from && mjd <= to && made.push({ at: mjd, words: dayWords(dateOf(mjd + 1e-7), step) });
  if (step <= 1) {
    for (let k = Math.ceil(from / step); k * step <= to; k += 1) put(k * step);
    return made;
  }
  const first = dateOf(from);
  for (let month = 0; ; month += 1) { // from the first of each month, so that ticks stay where they are when panned
    const start = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + month, 1));
    if (mjdOf(start.getTime()) > to) return made;
    const length = new Date(Date.UTC(start.getUTCFullYear(), start.getUTCMonth() + 1, 0)).getUTCDate();
    for (let day = 1; day <= length; day += step) {
      if (length - day + 1 >= step / 2) put(mjdOf(start.getTime()) + day - 1);
    }
  }
}

function dayWords(date, step) {
  const day = `${date.getUTCFullYear()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCDate()}`;
  return step >= 1 ? day : `${day} ${String(date.getUTCHours()).padStart(2, "0")}:${String(date.getUTCMinutes()).padStart(2, "0")}`;
}

function monthTicks(from, to, raw) {
  const step = MONTH_STEPS.find((one) => one >= raw) ?? 600;
  const first = dateOf(from);
  const made = [];
  const begin = first.getUTCFullYear() * 12 + first.getUTCMonth();
  for (let k = Math.floor(begin / step) * step; ; k += step) {
    const year = Math.floor(k / 12);
    const at = mjdOf(Date.UTC(year, k % 12, 1));
    if (at > to) return made;
    if (at >= from) made.push({ at, words: step >= 12 ? String(year) : `${year} ${MONTHS[k % 12]}` });
  }
}
