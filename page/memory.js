/**
 * What this browser remembers: the theme, the names that were used and the name of this device. Who is logged in belongs to the tab,
 * so that two people can be tried in two tabs. Without storage it is forgotten at the next load.
 */

const NAMES_MAX = 8;

function read(storage, key) {
  try {
    return globalThis[storage].getItem(`campanile.${key}`);
  } catch {
    return null;
  }
}

function write(storage, key, value) {
  try {
    if (value === null) globalThis[storage].removeItem(`campanile.${key}`);
    else globalThis[storage].setItem(`campanile.${key}`, value);
  } catch {
    // Forgotten, then.
  }
}

/** The names that were used here, the last one first. */
export function usersBefore() {
  try {
    const names = JSON.parse(read('localStorage', 'names') ?? '[]');
    return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
  } catch {
    return [];
  }
}

/** Who is logged in in this tab, or null. */
export const userOfTab = () => read('sessionStorage', 'user');

export function rememberUser(user) {
  write('sessionStorage', 'user', user);
  write('localStorage', 'names', JSON.stringify([user, ...usersBefore().filter((name) => name !== user)].slice(0, NAMES_MAX)));
}

export const forgetUser = () => write('sessionStorage', 'user', null);

let device = null;

/** A name for this browser that others are not likely to have. */
export function browserDevice() {
  device ??= read('localStorage', 'device') ?? `browser-${Array.from(crypto.getRandomValues(new Uint8Array(5)), (byte) => (byte % 36).toString(36)).join('')}`;
  write('localStorage', 'device', device);
  return device;
}

/** The other of light and dark, from now on. */
export function toggleTheme() {
  const root = document.documentElement;
  const isDark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  root.dataset.theme = isDark ? 'light' : 'dark';
  write('localStorage', 'theme', root.dataset.theme);
  dispatchEvent(new Event('themechange'));
}
