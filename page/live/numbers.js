/** Numbers as one reads them. */

const PREFIXES = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']];

/** 950, 1.2 k, 34 k, 5.6 M; below 10 with one digit after the point if there is something there. */
export function short(value) {
  for (const [factor, prefix] of PREFIXES) {
    if (value >= factor * 0.9995) return `${digits(value / factor)}\u202f${prefix}`;
  }
  return digits(value);
}

/** 996, 12,345, 1.2 M: a count of things, exact as long as it can be taken in at a glance. */
export const count = (value) => (value < 100_000 ? Math.round(value).toLocaleString('en') : short(value));

/** Seconds: 120 us, 1.5 ms, 2 s */
export function duration(seconds) {
  if (seconds === 0) return '0';
  if (seconds < 0.9995e-3) return `${digits(seconds * 1e6)}\u202f\u00b5s`;
  if (seconds < 0.9995) return `${digits(seconds * 1e3)}\u202fms`;
  return `${digits(seconds)}\u202fs`;
}

export function bytes(value) {
  return `${short(value)}${value >= 999.5 ? '' : '\u202f'}B`;
}

function digits(value) {
  if (value >= 9.95 || Number.isInteger(value)) return Math.round(value).toString();
  return value < 0.05 ? (value === 0 ? '0' : '<0.1') : value.toFixed(1).replace(/\.0$/, '');
}

/**
 * The end of an axis that holds `max`, and its step: 1, 2 or 5 times a power of ten, with 2 to 5 steps. `least`: the axis is never
 * shorter, so that noise around zero looks like what it is.
 */
export function scale(max, least) {
  const wanted = Math.max(max, least);
  const power = 10 ** Math.floor(Math.log10(wanted / 4));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => wanted / one <= 4.0001);
  return { step, end: step * Math.max(1, Math.ceil(wanted / step - 1e-9)) };
}
