/** Listeners by the name of the event. */
export class Emitter {
  #listeners = new Map();

  /** Calls `listener` at each event of this name, until the function that is given back is called. */
  on(name, listener) {
    const listeners = this.#listeners.get(name) ?? [];
    this.#listeners.set(name, [...listeners, listener]);
    return () => this.off(name, listener);
  }

  off(name, listener) {
    const listeners = this.#listeners.get(name) ?? [];
    const at = listeners.indexOf(listener);
    if (at >= 0) this.#listeners.set(name, listeners.toSpliced(at, 1));
  }

  /** A listener that throws keeps neither the others nor the connection from going on; its error is reported as uncaught. */
  emit(name, data) {
    for (const listener of this.#listeners.get(name) ?? []) {
      try {
        listener(data);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}
