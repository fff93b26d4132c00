/**
 * How long to wait before the next attempt to connect: exponential, with full jitter. Attempt n waits a random time between 0 and
 * `baseMs * 2^n`, at most `maxMs`, so that the clients of a restarted server are spread evenly over the whole time.
 */

/** The longest that attempt `attempt` (0, 1, 2 ...) may wait. */
export function boundMs({ baseMs, maxMs }, attempt) {
  return Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 60));
}

/** The wait of attempt `attempt`, drawn by `random` (from 0 to less than 1). */
export function waitMs(backoff, attempt, random) {
  return Math.floor(random * (boundMs(backoff, attempt) + 1));
}
