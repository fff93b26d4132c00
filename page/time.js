/** Times as people say them. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const clock = new Intl.DateTimeFormat(undefined, { hour: 'numeric', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const shortDate = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const dateWithYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** 14:05 */
export const clockTime = (ms) => clock.format(ms);

/** All of it, for a tooltip. */
export const wholeTime = (ms) => whole.format(ms);

/** A number that is the same all day, by this machine's calendar. */
export function dayOf(ms) {
  const day = new Date(ms);
  return day.getFullYear() * 10_000 + day.getMonth() * 100 + day.getDate();
}

/** Days between two times, by the calendar. */
function daysBetween(ms, now) {
  const midnight = (time) => new Date(time).setHours(0, 0, 0, 0);
  return Math.round((midnight(now) - midnight(ms)) / DAY);
}

/** Today, Yesterday, Monday, 3 May. */
export function dayName(ms, now) {
  const days = daysBetween(ms, now);
  if (days <= 0) return 'Today';
  if (days === 1) return 'Yesterday';
  if (days < 7) return weekday.format(ms);
  return new Date(ms).getFullYear() === new Date(now).getFullYear() ? date.format(ms) : dateWithYear.format(ms);
}

/** For the list: 14:05 today, then the day. */
export function when(ms, now) {
  const days = daysBetween(ms, now);
  if (days <= 0) return clockTime(ms);
  if (days === 1) return 'Yesterday';
  return days < 7 ? weekday.format(ms) : shortDate.format(ms);
}

/** "5 min ago" */
export function ago(ms, now) {
  const past = now - ms;
  if (past < MINUTE) return 'just now';
  if (past < HOUR) return `${Math.floor(past / MINUTE)} min ago`;
  if (past < DAY) return `${Math.floor(past / HOUR)} h ago`;
  return `${dayName(ms, now)}, ${clockTime(ms)}`;
}
