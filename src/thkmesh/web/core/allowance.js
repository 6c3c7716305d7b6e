/**
 * How much of something that costs us another may ask for: a token bucket.
 * See `core/allowance.py`.
 * @module
 */

/** What somebody may still ask for. */
export class Allowance {
  #most;
  #interval;
  #left;
  #since = 0;

  /**
   * @param {number} most at once
   * @param {number} interval seconds after which there is another
   */
  constructor(most, interval) {
    this.#most = most;
    this.#interval = interval;
    this.#left = most;
  }

  /**
   * Take one if there is one; tell whether there was.
   * @param {number} now seconds
   */
  take(now) {
    const grown = Math.max(0, now - this.#since) / this.#interval;
    this.#left = Math.min(this.#most, this.#left + grown);
    this.#since = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
