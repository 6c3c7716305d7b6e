/**
 * Is the other end of a path alive? See `core/heartbeat.py`.
 *
 * A ping goes out every `interval`; anything that arrives answers it. A path has
 * stalled when a ping has stayed unanswered for `patience`, or four times what an
 * answer usually takes, never from silence alone, and while we slept nobody is to
 * blame. A path that is doubted is asked at once and often, and has less time to answer.
 * @module
 */

/** Seconds between pings. */
export const INTERVAL = 2.0;
/** Seconds that a ping may stay unanswered. */
export const PATIENCE = 6.0;
/** Seconds after which a ping is answered by nobody, however slow the path. */
export const LONGEST = 30.0;
/** Seconds for which a path is doubted. */
export const DOUBT = 3.0;
/** Seconds between pings meanwhile. */
export const DOUBT_INTERVAL = 0.5;
/** Seconds that a ping may stay unanswered then, unless answers usually take long. */
export const DOUBT_PATIENCE = 1.5;

/** How often what an answer usually takes must have passed before nobody waits any longer. */
const ROUNDS = 4;
/** So many of the last answers say what is usual. */
const TRIPS = 9;

/** Decides when to ping, and when silence has become a stall. */
export class Heartbeat {
  /** How many pings were sent. */
  sent = 0;
  #interval;
  #patience;
  /**
   * Which ping went out when, of those unanswered, to see how long it takes.
   * @type {{ n: number, at: number } | null}
   */
  #timed = null;
  /** @type {number[]} */
  #trips = [];
  /** @type {number | null} */
  #next = null;
  /** @type {number | null} */
  #unanswered = null;
  /** @type {number | null} */
  #doubtedUntil = null;
  /**
   * Since when a ping has been unanswered that went out in doubt.
   * @type {number | null}
   */
  #doubted = null;

  /**
   * @param {number} [interval] seconds between two pings
   * @param {number} [patience] seconds that a ping may stay unanswered, at least
   */
  constructor(interval = INTERVAL, patience = PATIENCE) {
    this.#interval = interval;
    this.#patience = patience;
  }

  /** When the next ping is due, or the patience ends; null when stopped. */
  get deadline() {
    const end = this.#end;
    if (end === null) return this.#next;
    return this.#next === null ? end : Math.min(this.#next, end);
  }

  /** When the patience ends; null while nothing is unanswered. */
  get #end() {
    if (this.#unanswered === null) return null;
    const end = this.#unanswered + Math.max(this.#patience, this.#rounds);
    return this.#doubted === null ? end : Math.min(end, this.#doubted + this.doubtPatience);
  }

  /** Seconds that a doubted path has to answer. */
  get doubtPatience() {
    return Math.max(DOUBT_PATIENCE, this.#rounds);
  }

  /** Seconds in which a path that is alive has answered, going by what is usual. */
  get #rounds() {
    const ordered = [...this.#trips].sort((a, b) => a - b);
    return Math.min(LONGEST, ROUNDS * (ordered[Math.floor(ordered.length / 2)] ?? 0));
  }

  /**
   * Begin to ask; the first ping goes out after the interval.
   * @param {number} now seconds
   */
  start(now) {
    this.stop();
    this.#next = now + this.#interval;
  }

  /** Ask no more. */
  stop() {
    this.#next = null;
    this.#timed = null;
    this.#unanswered = null;
    this.#doubtedUntil = null;
    this.#doubted = null;
  }

  /**
   * Ask at once, and often for a while; does nothing while stopped.
   * @param {number} now seconds
   */
  doubt(now) {
    if (this.#next === null) return;
    this.#next = now;
    this.#doubtedUntil = now + DOUBT;
    this.#doubted = null;
  }

  /** Take note that something arrived. */
  heard() {
    this.#unanswered = null;
    this.#doubted = null;
  }

  /**
   * Learn from the answer to a ping how long one takes.
   * @param {number} n
   * @param {number} now seconds
   */
  answered(n, now) {
    if (this.#timed?.n !== n) return;
    this.#trips.push(now - this.#timed.at);
    if (this.#trips.length > TRIPS) this.#trips.shift();
    this.#timed = null;
  }

  /**
   * Give back the time that we did not listen.
   * @param {number} duration seconds
   */
  slept(duration) {
    this.#timed = null;
    if (this.#unanswered !== null) this.#unanswered += duration;
    if (this.#doubted !== null) this.#doubted += duration;
  }

  /**
   * Tell whether a ping has stayed unanswered for too long.
   * @param {number} now seconds
   */
  stalled(now) {
    const end = this.#end;
    return end !== null && now >= end;
  }

  /**
   * Return the number of the ping that is due, null if none is.
   * @param {number} now seconds
   */
  ping(now) {
    if (this.#next === null || now < this.#next) return null;
    const doubted = this.#doubtedUntil !== null && now < this.#doubtedUntil;
    this.#next = now + (doubted ? Math.min(DOUBT_INTERVAL, this.#interval) : this.#interval);
    this.#unanswered ??= now;
    if (doubted) this.#doubted ??= now;
    this.sent += 1;
    this.#timed ??= { n: this.sent, at: now };
    return this.sent;
  }
}
