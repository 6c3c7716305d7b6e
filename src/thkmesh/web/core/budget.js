/**
 * How many bytes may pass a place in time: a token bucket; see `core/budget.py`.
 * @module
 */

/** Bytes that may still pass. */
export class Budget {
  #rate;
  #burst;
  #left;
  #since = 0;

  /**
   * Begin full.
   * @param {number} rateBytes how much comes in a second
   * @param {number} burstBytes how much there is at most
   */
  constructor(rateBytes, burstBytes) {
    this.#rate = rateBytes;
    this.#burst = burstBytes;
    this.#left = burstBytes;
  }

  /**
   * Change the rate and the burst; what grew until now counts, and a first burst is full.
   * @param {number} rateBytes
   * @param {number} burstBytes
   * @param {number} now seconds
   */
  set(rateBytes, burstBytes, now) {
    this.#fill(now);
    this.#left = this.#rate > 0 ? Math.min(this.#left, burstBytes) : burstBytes;
    this.#rate = rateBytes;
    this.#burst = burstBytes;
  }

  /**
   * Take so many bytes whatever there is.
   * @param {number} size
   * @param {number} now seconds
   */
  spend(size, now) {
    this.#fill(now);
    this.#left -= size;
  }

  /**
   * Return from when on something may be spent; `now` if it may be at once.
   * @param {number} now seconds
   */
  freeAt(now) {
    this.#fill(now);
    return this.#left > 0 ? now : now + (1 - this.#left) / this.#rate;
  }

  /** @param {number} now */
  #fill(now) {
    const grown = Math.max(0, now - this.#since) * this.#rate;
    this.#left = Math.min(this.#burst, this.#left + grown);
    this.#since = now;
  }
}
