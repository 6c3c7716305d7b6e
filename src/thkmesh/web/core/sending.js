/**
 * What waits to be sent over one link, and how much of it the engine holds.
 *
 * The queue is ours, not the engine's: see `core/sending.py`. `take` stops at
 * `WINDOW_BYTES` until the engine has said what it still holds.
 * @module
 */

/** A sender waits while more than this is queued for one link. */
export const QUEUE_BYTES = 16 * 1024 * 1024;
/** No more than this is in the engine's buffer. */
export const WINDOW_BYTES = 1024 * 1024;
/** When the engine's buffer has fallen to this, it is given more. */
export const LOW_WATER_BYTES = 256 * 1024;
/** What an empty frame counts, so that a million of them are not free. */
const OVERHEAD_BYTES = 64;

/** The frames of one link, first in, first out. */
export class SendQueue {
  /** @type {Uint8Array[]} */
  #frames = [];
  #head = 0;
  #held = 0;
  /** How much is queued, with overhead. */
  waitingBytes = 0;

  /** How many frames wait. */
  get length() {
    return this.#frames.length - this.#head;
  }

  /** Whether another message may be accepted. */
  get hasRoom() {
    return this.waitingBytes < QUEUE_BYTES;
  }

  /** Whether frames wait although the engine may have sent what it held. */
  get mustMeasure() {
    return this.length > 0 && this.#held >= WINDOW_BYTES;
  }

  /**
   * Add a frame at the end.
   * @param {Uint8Array} frame
   */
  put(frame) {
    this.#frames.push(frame);
    this.waitingBytes += frame.length + OVERHEAD_BYTES;
  }

  /** Return the frames that fit the engine's window now. */
  take() {
    /** @type {Uint8Array[]} */
    const taken = [];
    while (this.length > 0 && this.#held < WINDOW_BYTES) {
      const frame = /** @type {Uint8Array} */ (this.#frames[this.#head]);
      this.#head += 1;
      this.waitingBytes -= frame.length + OVERHEAD_BYTES;
      this.#held += frame.length + OVERHEAD_BYTES;
      taken.push(frame);
    }
    // Shifting an array costs its length; so what is taken is cut off now and then.
    if (this.#head > 1024 || this.length === 0) {
      this.#frames = this.#frames.slice(this.#head);
      this.#head = 0;
    }
    return taken;
  }

  /**
   * Take the engine's word for what it still holds.
   * @param {number} heldBytes
   */
  measured(heldBytes) {
    this.#held = heldBytes;
  }

  /** Forget everything; the peer is gone. */
  clear() {
    this.#frames = [];
    this.#head = 0;
    this.waitingBytes = 0;
  }
}
