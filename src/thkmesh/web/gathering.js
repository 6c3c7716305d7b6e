/**
 * Many small messages, one way through the session: see `gathering.py`.
 *
 * What one turn of the event loop sends behind its first message gathers, and goes when it
 * fills a datagram or when that turn is over, promises included.
 * @module
 */

import { BATCH_BYTES } from "./core/sending.js";

/** No more than this gathers. */
const LIMIT_BYTES = 4 * BATCH_BYTES;
/** What a message takes in a datagram beside its payload, about. */
const ENTRY_BYTES = 8;
/**
 * Milliseconds: what is sent sooner than this after another message is part of a burst. That
 * is as fine as the clocks of browsers are (https://w3c.github.io/hr-time/, "Clock resolution").
 */
const BURST_MS = 0.2;

/** @typedef {[channel: string, kind: number, payload: Uint8Array]} Message */

/** What waits for others to go with, of one session. */
export class Gathering {
  #release;
  /** @type {Message[]} */
  #messages = [];
  #bytes = 0;
  #sentAt = -Infinity;
  /** @type {MessageChannel | null} */
  #turns = null;

  /** @param {() => void} release takes what is here; called when a turn is over */
  constructor(release) {
    this.#release = release;
  }

  /** Whether there is a datagram's worth. */
  get full() {
    return this.#bytes >= BATCH_BYTES;
  }

  /**
   * Return whether a message is part of a burst, and has room here.
   * @param {Uint8Array} payload
   */
  takes(payload) {
    if (payload.length >= BATCH_BYTES || this.#bytes > LIMIT_BYTES) return false;
    return this.#messages.length > 0 || performance.now() - this.#sentAt < BURST_MS;
  }

  /**
   * Keep a message until it is taken.
   * @param {Message} message
   */
  add(message) {
    this.#messages.push(message);
    this.#bytes += message[2].length + ENTRY_BYTES;
    if (this.#messages.length === 1) this.#askForTurn();
  }

  /** Return all that is here. */
  take() {
    const taken = this.#messages;
    this.#messages = [];
    this.#bytes = 0;
    return taken;
  }

  /** Take note that a message has just left. */
  sent() {
    this.#sentAt = performance.now();
  }

  /** Let go of what would keep us alive. */
  close() {
    this.#turns?.port1.close();
    this.#turns = null;
  }

  /** Timers come late, above all in hidden pages; a message to ourselves does not. */
  #askForTurn() {
    if (this.#turns === null) {
      this.#turns = new MessageChannel();
      this.#turns.port1.onmessage = () => {
        if (this.#messages.length > 0) this.#release();
      };
    }
    this.#turns.port2.postMessage(null);
  }
}
