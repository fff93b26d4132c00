/**
 * Milliseconds since 1970 that never go back and never stand still: the wall clock may be set back, and the monotonic one may stop
 * while the machine sleeps. Too early an end of a wait does no harm; a message that is repeated too late is a new message.
 */
export class Clock {
  #wall;
  #monotonic;
  #last;
  #now;

  constructor(wall = () => Date.now(), monotonic = () => performance.now()) {
    this.#wall = wall;
    this.#monotonic = monotonic;
    this.#last = { wall: wall(), monotonic: monotonic() };
    this.#now = this.#last.wall;
  }

  now() {
    const [wall, monotonic] = [this.#wall(), this.#monotonic()];
    this.#now += Math.max(0, wall - this.#last.wall, monotonic - this.#last.monotonic);
    this.#last = { wall, monotonic };
    return Math.floor(this.#now);
  }
}
