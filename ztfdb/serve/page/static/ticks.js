// Where the ticks of an axis are, and their words.

import { dateOf, mjdOf } from "./curve.js";

const DAY_STEPS = [1 / 24, 1 / 8, 1 / 4, 1 / 2, 1, 2, 5, 10, 15];
const MONTH_STEPS = [1, 2, 3, 6, 12, 24, 60, 120, 240];
const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const MOST = 1000; // ticks of any axis, whatever a link asks for
const PRECISE = 2 ** -50; // steps below this share of a value cannot be told apart
const DATES = 9e7; // MJD, before and after 0, that a Date knows
const LONG = 7; // characters of a number before it is written with an exponent

// The words of a number: as many digits as its steps need, in as little room as they take.
function numberWords(value, digits) {
  const plain = value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");
  if (digits <= LONG && Math.abs(value) < 10 ** LONG) return plain.replace("-", "−");
  const most = Math.max(1, Math.min(17, Math.ceil(Math.log10(Math.abs(value) || 1)) + digits));
  return String(Number(value.toPrecision(most))).replace("+", "").replaceAll("-", "−");
}

export function ticks(from, to, most) {
  const [low, high] = [Math.min(from, to), Math.max(from, to)];
  const raw = Math.max((high - low) / Math.max(most, 1), Math.max(Math.abs(low), Math.abs(high)) * PRECISE);
  if (!(raw > 0) || !Number.isFinite(raw)) return [];
  const ten = 10 ** Math.floor(Math.log10(raw));
  const step = ten * [1, 2, 5, 10].find((one) => ten * one >= raw * (1 - 1e-9));
  const digits = Math.min(100, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));
  const first = Math.ceil(low / step - 1e-9);
  const made = [];
  for (let n = 0; n < MOST && (first + n) * step <= high + step * 1e-9; n += 1) {
    made.push({ at: (first + n) * step, words: numberWords((first + n) * step, digits) });
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
  if (!Number.isFinite(decades)) return made;
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
  if (!(Math.max(Math.abs(from), Math.abs(to)) < DATES)) return [];
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
  const step = MONTH_STEPS.find((one) => one >= raw) ?? 600 * 10 ** Math.max(0, Math.ceil(Math.log10(raw / 600)));
  const [begin, end] = [dateOf(from), dateOf(to)].map((one) => one.getUTCFullYear() * 12 + one.getUTCMonth());
  const made = [];
  for (let k = Math.ceil(begin / step) * step; k <= end; k += step) {
    const year = Math.floor(k / 12);
    const at = mjdOf(Date.UTC(year, k - 12 * year, 1));
    if (at >= from) made.push({ at, words: step >= 12 ? String(year) : `${year} ${MONTHS[k - 12 * year]}` });
  }
  return made;
}
