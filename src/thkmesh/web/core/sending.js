/**
 * What goes to one session: its places in two logs, and its engine's window.
 * See `core/sending.py`.
 * @module
 */

import { BROADCAST, DIRECT, Writer } from "./frames.js";
import { Log, Outgoing } from "./streams.js";

/** No more than this is in the engine's buffer. */
export const WINDOW_BYTES = 1024 * 1024;
/** When the engine's buffer has fallen to this, it is given more. */
export const LOW_WATER_BYTES = 256 * 1024;
/** Fragments share a datagram up to this size; a larger one has its own. */
export const BATCH_BYTES = 16 * 1024;
/** What an empty datagram counts, so that a million of them are not free. */
const OVERHEAD_BYTES = 64;

/** @typedef {import("./frames.js").Expected} Expected */
/** @typedef {import("./frames.js").Resume} Resume */
/** @typedef {import("./frames.js").Skip} Skip */

/** The sending half of a link. */
export class Outbox {
  /** Where messages to this session alone are put. */
  directLog;
  /** Whether what the other side has is known, so that sending may go on from there. */
  ready = true; // It has nothing, as nothing was ever sent.
  #broadcast;
  #held = 0;
  /** @type {Outgoing} */
  #everybody;
  /** @type {Outgoing} */
  #direct;

  /**
   * Owe what is appended from now on.
   * @param {Log} broadcast
   * @param {() => number} order as in `Log`
   */
  constructor(broadcast, order) {
    this.#broadcast = broadcast;
    this.directLog = new Log(order);
    this.#everybody = new Outgoing(BROADCAST, broadcast);
    this.#direct = new Outgoing(DIRECT, this.directLog);
  }

  get #all() {
    return [this.#everybody, this.#direct];
  }

  /** Whether there is something to send. */
  get waiting() {
    return this.#everybody.waiting || this.#direct.waiting;
  }

  /** How much is queued and not yet with the engine. */
  get waitingBytes() {
    return this.#everybody.waitingBytes + this.#direct.waitingBytes;
  }

  /** How much the other side has said to have. */
  get acknowledgedBytes() {
    return this.#everybody.ackedBytes + this.#direct.ackedBytes;
  }

  /** How many messages are not known to have arrived. */
  get unacknowledged() {
    return this.#everybody.unacknowledged + this.#direct.unacknowledged;
  }

  /** Whether the log of broadcasts waits for this session. */
  get lagging() {
    return this.#everybody.last && this.#everybody.unacknowledged > 0;
  }

  /** Whether this session was cut loose, and has taken in nothing since. */
  get adrift() {
    return this.#everybody.skip !== null;
  }

  // --- connections ------------------------------------------------------------------

  /**
   * Return what is said first on a new connection.
   * @param {Expected} expected our inbox's
   * @returns {Resume}
   */
  begin(expected) {
    this.#held = 0;
    const begins = new Map(this.#all.map(({ stream, begin }) => [stream, begin]));
    if (this.#all.some(({ sent, begin, skip }) => sent > begin.number || skip !== null)) {
      this.ready = false;
    }
    return { type: "resume", begins, expected };
  }

  /**
   * Go on from what the other side expects; return what else it must know.
   * @param {Expected} expected
   * @returns {Skip[]}
   * @throws {InvalidMessage} it cannot expect that
   */
  resume(expected) {
    if (!this.ready) {
      for (const each of this.#all) each.resume(expected.get(each.stream) ?? each.begin.number);
    }
    this.ready = true;
    return this.#all.flatMap(({ stream, skip }) => (
      skip === null ? [] : [{ type: /** @type {const} */ ("skip"), stream, to: skip }]));
  }

  /**
   * Take the other side's word for what it has.
   * @param {Expected} expected
   * @throws {InvalidMessage} it cannot have that
   */
  acknowledge(expected) {
    for (const each of this.#all) {
      const number = expected.get(each.stream);
      if (number !== undefined) each.acknowledge(number);
    }
  }

  /**
   * Owe no broadcast any more; return how many that is, and what to say, if to anybody.
   * @returns {{ count: number, skip: Skip | null }}
   */
  cutLoose() {
    const count = this.#everybody.cutLoose();
    const to = this.#everybody.skip;
    const skip = to !== null && this.ready
      ? { type: /** @type {const} */ ("skip"), stream: BROADCAST, to } : null;
    return { count, skip };
  }

  // --- the engine's window ------------------------------------------------------------

  /** Return the datagrams that fit the engine's window now. */
  take() {
    const taken = [];
    while (this.ready && this.waiting && this.#held < WINDOW_BYTES) {
      const writer = new Writer();
      while (this.waiting) {
        const each = this.#next;
        if (writer.size > 0 && writer.size + each.nextSize > BATCH_BYTES) break;
        writer.put(each.take());
      }
      this.#held += writer.size + OVERHEAD_BYTES;
      taken.push(writer.finish());
    }
    return taken;
  }

  /** The stream whose next fragment was sent first. */
  get #next() {
    if (!this.#direct.waiting) return this.#everybody;
    if (!this.#everybody.waiting) return this.#direct;
    return this.#everybody.order < this.#direct.order ? this.#everybody : this.#direct;
  }

  /** Whether fragments wait although the engine may have sent what it held. */
  get mustMeasure() {
    return this.waiting && this.#held >= WINDOW_BYTES;
  }

  /**
   * Take the engine's word for what it still holds.
   * @param {number} heldBytes
   */
  measured(heldBytes) {
    this.#held = heldBytes;
  }

  // --- the end --------------------------------------------------------------------------

  /** Forget everything; the peer is gone. */
  close() {
    for (const each of this.#all) each.detach();
  }

  /**
   * Begin again with the same session, which may not have noticed that it was gone.
   * What was not sent to it meanwhile it has lost; it is told so if it had been here.
   */
  again() {
    this.#everybody = new Outgoing(BROADCAST, this.#broadcast);
    this.#direct = new Outgoing(DIRECT, this.directLog);
    for (const each of this.#all) each.skip = each.begin;
  }
}
