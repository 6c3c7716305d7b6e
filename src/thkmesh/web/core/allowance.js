/**
 * How much of something may be had in time: a token bucket. See `core/allowance.py`.
 * @module
 */

/** What somebody may still have. */
export class Allowance {
  #most;
  #rate;
  #left;
  #since = 0;
  /** Those who wait, in order. @type {Set<string>} */
  #queue = new Set();

  /**
   * @param {number} most at first, and ever
   * @param {number} rate how much more comes in a second
   */
  constructor(most, rate) {
    this.#most = most;
    this.#rate = rate;
    this.#left = most;
  }

  /**
   * Change both; what grew until now counts, and what is given first is all there.
   * @param {number} most
   * @param {number} rate
   * @param {number} now seconds
   */
  set(most, rate, now) {
    this.#grow(now);
    this.#left = this.#rate > 0 ? Math.min(this.#left, most) : most;
    this.#most = most;
    this.#rate = rate;
  }

  /**
   * Take so much if there is so much; tell whether there was.
   * @param {number} amount
   * @param {number} now seconds
   */
  take(amount, now) {
    this.#grow(now);
    if (this.#left < amount) return false;
    this.#left -= amount;
    return true;
  }

  /**
   * Take so much whatever there is.
   * @param {number} amount
   * @param {number} now seconds
   */
  spend(amount, now) {
    this.#grow(now);
    this.#left -= amount;
  }

  /**
   * Tell whether one may spend now; who may not, waits until it is the first.
   * @param {string} who
   * @param {number} now seconds
   */
  turn(who, now) {
    this.#grow(now);
    if (this.#left > 0 && (this.first ?? who) === who) {
      this.#queue.delete(who);
      return true;
    }
    this.#queue.add(who);
    return false;
  }

  /**
   * Wait no longer.
   * @param {string} who
   */
  withdraw(who) {
    this.#queue.delete(who);
  }

  /** Who has waited longest; null if nobody waits. */
  get first() {
    const [first] = this.#queue;
    return first ?? null;
  }

  /** When the first may spend; null if nobody waits, or it never may. */
  get due() {
    if (this.#queue.size === 0 || this.#rate === 0) return null;
    return this.#since + Math.max(0, 1 - this.#left) / this.#rate;
  }

  /**
   * Return who waits and may spend now; null if nobody does.
   * @param {number} now seconds
   */
  next(now) {
    this.#grow(now);
    return this.#left > 0 ? this.first : null;
  }

  /** @param {number} now seconds */
  #grow(now) {
    const grown = Math.max(0, now - this.#since) * this.#rate;
    this.#left = Math.min(this.#most, this.#left + grown);
    this.#since = now;
  }
}
