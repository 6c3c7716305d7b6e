/**
 * Work that takes its time, and must not overtake what was begun before it.
 * @module
 */

/** One line of work for each name. */
export class Turns {
  /** The end of each line that is not empty. @type {Map<string, Promise<void>>} */
  #last = new Map();

  /**
   * Return whether something of a name is not done.
   * @param {string} name
   */
  busy(name) {
    return this.#last.has(name);
  }

  /**
   * Do a piece of work when all before it is done; what it throws is its caller's.
   * @template T
   * @param {string} name
   * @param {() => Promise<T>} work
   * @returns {Promise<T>}
   */
  take(name, work) {
    const before = this.#last.get(name) ?? Promise.resolve();
    const done = before.then(work);
    const last = done.then(() => {}, () => {}).then(() => {
      if (this.#last.get(name) === last) this.#last.delete(name);
    });
    this.#last.set(name, last);
    return done;
  }

  /** How many lines are not empty. */
  get size() {
    return this.#last.size;
  }

  /** Wait until nothing is left of what was begun so far. */
  async done() {
    await Promise.all(this.#last.values());
  }
}
