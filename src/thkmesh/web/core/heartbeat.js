/**
 * Is the other end of a path alive? See `core/heartbeat.py`.
 *
 * A ping goes out every `interval`; anything that arrives answers it. A path has
 * stalled when a ping has stayed unanswered for `patience`, never from silence
 * alone, and while we slept nobody is to blame.
 * @module
 */

/** Seconds between pings. */
export const INTERVAL = 2.0;
/** Seconds that a ping may stay unanswered. */
export const PATIENCE = 6.0;

/** Decides when to ping, and when silence has become a stall. */
export class Heartbeat {
  /** How many pings were sent. */
  sent = 0;
  #interval;
  #patience;
  /** @type {number | null} */
  #next = null;
  /** @type {number | null} */
  #unanswered = null;

  /**
   * @param {number} [interval] seconds between two pings
   * @param {number} [patience] seconds that a ping may stay unanswered
   */
  constructor(interval = INTERVAL, patience = PATIENCE) {
    this.#interval = interval;
    this.#patience = patience;
  }

  /** When the next ping is due, or the patience ends; null when stopped. */
  get deadline() {
    if (this.#unanswered === null) return this.#next;
    const end = this.#unanswered + this.#patience;
    return this.#next === null ? end : Math.min(this.#next, end);
  }

  /**
   * Begin to ask; the first ping goes out after the interval.
   * @param {number} now seconds
   */
  start(now) {
    this.#next = now + this.#interval;
    this.#unanswered = null;
  }

  /** Ask no more. */
  stop() {
    this.#next = null;
    this.#unanswered = null;
  }

  /** Take note that something arrived. */
  heard() {
    this.#unanswered = null;
  }

  /**
   * Give back the time that we did not listen.
   * @param {number} duration seconds
   */
  slept(duration) {
    if (this.#unanswered !== null) this.#unanswered += duration;
  }

  /**
   * Tell whether a ping has stayed unanswered for too long.
   * @param {number} now seconds
   */
  stalled(now) {
    return this.#unanswered !== null && now >= this.#unanswered + this.#patience;
  }

  /**
   * Return the number of the ping that is due, null if none is.
   * @param {number} now seconds
   */
  ping(now) {
    if (this.#next === null || now < this.#next) return null;
    this.#next = now + this.#interval;
    this.#unanswered ??= now;
    this.sent += 1;
    return this.sent;
  }
}
