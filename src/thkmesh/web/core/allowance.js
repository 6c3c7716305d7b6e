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
   * Return from when on something may be spent; `now` if it may be at once.
   * @param {number} now seconds
   */
  freeAt(now) {
    this.#grow(now);
    return this.#left > 0 ? now : now + (1 - this.#left) / this.#rate;
  }

  /** @param {number} now seconds */
  #grow(now) {
    const grown = Math.max(0, now - this.#since) * this.#rate;
    this.#left = Math.min(this.#most, this.#left + grown);
    this.#since = now;
  }
}
