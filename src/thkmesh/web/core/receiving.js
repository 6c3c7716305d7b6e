/**
 * What comes from one session: its streams, put together, and acknowledged in time.
 * See `core/receiving.py`.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { content, DIRECT } from "./frames.js";
import { ACK_DELAY, Incoming } from "./streams.js";

/** The receiving half of a link. */
export class Inbox {
  /** When to acknowledge what arrived; null when that is done. @type {number | null} */
  ackDue = null;
  /** @type {Map<number, Incoming>} */
  #streams = new Map();

  /**
   * By stream, the number of the fragment that is expected next.
   * @returns {import("./frames.js").Expected}
   */
  get expected() {
    return new Map([...this.#streams].map(([stream, { expected }]) => [stream, expected]));
  }

  /** Whether the other side has ever sent anything, or could have. */
  get begun() {
    return this.#streams.size > 0;
  }

  /**
   * Take note of where streams begin; known ones go on where they are.
   * @param {Map<number, import("./frames.js").Begin>} begins
   */
  begin(begins) {
    for (const [stream, begin] of begins) {
      if (!this.#streams.has(stream)) this.#streams.set(stream, new Incoming(begin));
    }
  }

  /**
   * Take a fragment; return a message and whether it is for us alone, once complete.
   * @param {import("./frames.js").Fragment} fragment
   * @param {number} now
   * @param {boolean} [lossy] it came over a path that may lose: what leaves a gap is ignored
   * @returns {{ data: import("../events.js").Data, direct: boolean } | null}
   * @throws {InvalidMessage} it makes no sense, here or at all
   */
  receive(fragment, now, lossy = false) {
    if (lossy && !this.#streams.has(fragment.stream)) return null;
    const whole = this.#stream(fragment.stream).receive(fragment, lossy);
    this.ackDue ??= now + ACK_DELAY;
    if (whole === null) return null;
    return { data: content(whole.kind, whole.payload), direct: fragment.stream === DIRECT };
  }

  /**
   * Go to where the stream goes on; return how many messages that loses.
   * @param {import("./frames.js").Skip} skip
   * @param {number} now
   * @param {boolean} [lossy] it came over a path that may lose
   * @throws {InvalidMessage} it makes no sense
   */
  skip({ stream, to }, now, lossy = false) {
    if (lossy && !this.#streams.has(stream)) return 0;
    this.ackDue = now;
    return this.#stream(stream).skip(to);
  }

  /**
   * Return the acknowledgement that is owed, as if it was sent; null if none is.
   * @returns {import("./frames.js").Ack | null}
   */
  acknowledge() {
    if (this.ackDue === null) return null;
    this.ackDue = null;
    return { type: "ack", expected: this.expected };
  }

  /** @param {number} stream */
  #stream(stream) {
    const incoming = this.#streams.get(stream);
    if (incoming === undefined) throw new InvalidMessage(`stream ${stream} has not begun`);
    return incoming;
  }
}
