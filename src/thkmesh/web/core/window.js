/**
 * How much the engine is given ahead of what it sends. See `core/window.py`.
 * @module
 */

import { FRAGMENT_BYTES } from "./frames.js";

/** Seconds for which the engine is given something to send, at least. */
export const AHEAD = 0.1;
/** Seconds of round trip that are believed. */
export const LONGEST = 0.5;
/** Bounds of the window; it begins with the least. */
export const LEAST_BYTES = 32 * 1024;
export const MOST_BYTES = 1024 * 1024;
/** Seconds after which progress says well enough what the rate is, at least. */
const SAMPLE = AHEAD / 2;

/** What one engine's buffer may hold. */
export class SendWindow {
  /** Nothing more is handed on while the engine holds this. */
  sizeBytes = LEAST_BYTES;
  /** How much it holds, at most, for all we know. */
  heldBytes = 0;
  /** When the sample began; null outside of one. @type {number | null} */
  #busySince = null;
  /** How much has left the engine since. */
  #drainedBytes = 0;
  /** The shortest round trip that was seen. @type {number | null} */
  #trip = null;
  #ahead = AHEAD;
  #sample = SAMPLE;

  /** Whether the engine has enough. */
  get full() {
    return this.heldBytes >= this.sizeBytes;
  }

  /** What the engine should have left when it says that it runs low. */
  get lowWaterBytes() {
    return Math.floor(this.sizeBytes / 4);
  }

  /** How finely messages are cut, for others to come in between: half of the window. */
  get fragmentBytes() {
    return Math.min(Math.floor(this.sizeBytes / 2), FRAGMENT_BYTES);
  }

  /**
   * Take the engine's word for the round trip of its path, in seconds; null says nothing.
   * @param {number | null} rtt
   */
  crossed(rtt) {
    if (rtt === null || (this.#trip !== null && rtt >= this.#trip)) return;
    this.#trip = rtt;
    const trip = Math.min(rtt, LONGEST);
    this.#ahead = Math.max(AHEAD, 2 * trip);
    // The first answers of a burst say nothing of how many follow.
    this.#sample = Math.max(SAMPLE, 1.5 * trip);
  }

  /**
   * Take note that it has just been filled, and that more waits.
   * @param {number} now
   */
  filled(now) {
    if (this.#busySince !== null) return;
    this.#busySince = now;
    this.#drainedBytes = 0;
  }

  /**
   * Take the engine's word for what it still holds.
   * @param {number} heldBytes
   * @param {number} now
   */
  measured(heldBytes, now) {
    const progress = heldBytes < this.heldBytes;
    this.#drainedBytes += this.heldBytes - heldBytes;
    this.heldBytes = heldBytes;
    if (this.#busySince === null) return;
    const elapsed = now - this.#busySince;
    const low = heldBytes <= this.lowWaterBytes;
    if (low || (progress && elapsed >= this.#sample)) {
      this.#learn(elapsed);
      this.#busySince = low ? null : now;
      this.#drainedBytes = 0;
    } else if (elapsed > 0) {
      const most = this.#drainedBytes + heldBytes - this.lowWaterBytes;
      this.#resize(Math.min(this.sizeBytes, (most / elapsed) * this.#ahead));
    }
  }

  /** @param {number} elapsed */
  #learn(elapsed) {
    const wanted = elapsed > 0 ? (this.#drainedBytes / elapsed) * this.#ahead : MOST_BYTES;
    const least = this.heldBytes === 0 ? this.sizeBytes : this.sizeBytes / 2;
    this.#resize(Math.min(Math.max(wanted, least), this.sizeBytes * 2));
  }

  /** @param {number} wantedBytes */
  #resize(wantedBytes) {
    this.sizeBytes = Math.min(Math.max(Math.floor(wantedBytes), LEAST_BYTES), MOST_BYTES);
  }
}
