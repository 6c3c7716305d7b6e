/**
 * Candidates wait for each other, so that a signal carries many; see `core/trickle.py`.
 * @module
 */

/**
 * Seconds that the first candidates of a description wait for each other: the addresses
 * of this host, which are found at once and mostly suffice. Chromium says only much
 * later that they are complete.
 */
export const FIRST_BATCHING = 0.005;
/** Seconds that later candidates wait for each other, unless they are complete. */
export const BATCHING = 0.02;
/** Candidates in one signal; a receiver takes 64. */
export const BATCH_LIMIT = 32;

/** @typedef {import("./wire.js").CandidateInit} CandidateInit */

/** The candidates of one connection that are still to be signalled. */
export class Trickle {
  /**
   * When those that have gathered have waited long enough; null when there are none.
   * @type {number | null}
   */
  due = null;
  /** @type {CandidateInit[]} */
  #batch = [];
  #wait = FIRST_BATCHING;

  /**
   * Tell whether those that have gathered have waited long enough.
   * @param {number} now seconds
   */
  isDue(now) {
    return this.due !== null && now >= this.due;
  }

  /**
   * Add candidates; tell whether they need not wait for others.
   * @param {CandidateInit[]} candidates
   * @param {number} now seconds
   */
  collect(candidates, now) {
    this.#batch.push(...candidates);
    const complete = candidates.at(-1)?.candidate === "";
    if (complete || this.#batch.length >= BATCH_LIMIT) return true;
    this.due ??= now + this.#wait;
    return false;
  }

  /**
   * Return what one signal is to carry, which may be nothing, and begin again.
   * @param {boolean} connected who is connected has no use for the end of the search
   */
  take(connected) {
    const batch = this.#batch;
    this.clear();
    if (connected && batch.every(({ candidate }) => candidate === "")) return [];
    if (batch.length > 0) this.#wait = BATCHING;
    return batch;
  }

  /** Take note that a description went out: its first candidates are urgent. */
  described() {
    this.#wait = FIRST_BATCHING;
  }

  /** Forget those that have gathered: their connection is no more. */
  clear() {
    this.#batch = [];
    this.due = null;
  }
}
