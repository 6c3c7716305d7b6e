/**
 * When has a connection taken too long, and when is the next one opened? See
 * `core/retry.py`.
 * @module
 */

import { fullJitter } from "./backoff.js";

/** Seconds for a connection to open, and for a renegotiation to settle. */
export const SETTLE_TIMEOUT = 15.0;
/** Seconds of the first wait before another generation, at most. */
export const RETRY_BASE = 1.0;
/** Seconds of the longest. */
export const RETRY_CAP = 15.0;
/** A connection that lived this long was a good one: the next retry is immediate. */
export const STEADY = 2.0;
/** Seconds after which what is pending as the network changes is begun anew. */
export const HUNG = 1.0;
/**
 * Seconds to settle for what had just begun as the network changed, and for the first
 * attempt after that.
 */
export const HASTE = 3.0;

/** The times of one link's attempts to connect. */
export class Retry {
  /**
   * When to open the next connection; null while nothing has failed.
   * @type {number | null}
   */
  at;
  #dice;
  #timeout;
  /** @type {number | null} */
  #pendingSince = null;
  #limit;
  #hurried = false;
  #attempts = 0;
  /** @type {number | null} */
  #connectedAt = null;

  /**
   * @param {() => number} dice returns a random number in [0, 1) for the time of retries
   * @param {number | null} [at] when to open the next connection
   * @param {number} [timeout] seconds for a connection to open, or to settle
   */
  constructor(dice, at = null, timeout = SETTLE_TIMEOUT) {
    this.#timeout = timeout;
    this.#limit = timeout;
    this.#dice = dice;
    this.at = at;
  }

  /** When a retry is due, or else what is pending has failed; null for neither. */
  get deadline() {
    if (this.at !== null || this.#pendingSince === null) return this.at;
    return this.#pendingSince + this.#limit;
  }

  /**
   * Tell whether something has been pending for too long.
   * @param {number} now seconds
   */
  overdue(now) {
    return this.#pendingSince !== null && now >= this.#pendingSince + this.#limit;
  }

  /**
   * Tell whether to open the next connection now; it is pending from here on.
   * @param {number} now seconds
   */
  take(now) {
    if (this.at === null || now < this.at) return false;
    this.at = null;
    this.#begin(now);
    return true;
  }

  /** @param {number} now */
  #begin(now) {
    this.#pendingSince = now;
    this.#limit = this.#hurried ? Math.min(HASTE, this.#timeout) : this.#timeout;
  }

  /**
   * Keep the time since when something has been waiting to settle.
   * @param {number} now seconds
   * @param {boolean} settled a connection is open and nothing is being changed about it
   * @param {boolean} begun there has been an attempt to connect
   */
  watch(now, settled, begun) {
    if (settled) this.#pendingSince = null;
    else if (this.#pendingSince === null && begun) this.#begin(now);
  }

  /**
   * Take note that a connection is open.
   * @param {number} now seconds
   */
  connected(now) {
    this.at = null;
    this.#hurried = false;
    this.#connectedAt = now;
  }

  /** Take note that a fresh connection has taken the place of the former. */
  renewed() {
    this.at = null;
    this.#pendingSince = null;
  }

  /**
   * Make the time for the next connection: now if it is wanted, and none failed.
   * @param {number} now seconds
   * @param {boolean} wanted
   */
  failed(now, wanted) {
    this.#pendingSince = null;
    if (wanted) this.at = now;
    if (this.at !== null) return;
    this.#hurried = false;
    if (this.#connectedAt !== null && now - this.#connectedAt >= STEADY) this.#attempts = 0;
    this.#connectedAt = null;
    const delay = this.#attempts
      ? fullJitter(this.#attempts - 1, this.#dice(), RETRY_BASE, RETRY_CAP)
      : 0;
    this.#attempts += 1;
    this.at = now + delay;
  }

  /**
   * Retry now; return whether what was pending is given up for that.
   * @param {number} now seconds
   */
  hurry(now) {
    this.#attempts = 0;
    this.#hurried = true;
    if (this.at !== null) {
      this.at = Math.min(this.at, now);
    } else if (this.#pendingSince !== null) {
      if (now >= this.#pendingSince + HUNG) {
        this.failed(now, true);
        return true;
      }
      this.hasten(now, HASTE);
    }
    return false;
  }

  /**
   * Give what is pending no longer than `patience` from now; it may have less already.
   * @param {number} now seconds
   * @param {number} patience seconds
   */
  hasten(now, patience) {
    if (this.#pendingSince !== null && now + patience < this.#pendingSince + this.#limit) {
      this.#pendingSince = now;
      this.#limit = patience;
    }
  }

  /**
   * Give what is pending its time anew: the server is back.
   * @param {number} now seconds
   */
  resumed(now) {
    if (this.#pendingSince !== null) this.#pendingSince = now;
  }

  /**
   * Give back the time in which nothing could settle.
   * @param {number} duration seconds
   */
  slept(duration) {
    if (this.#pendingSince !== null) this.#pendingSince += duration;
  }
}
