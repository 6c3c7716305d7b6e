/**
 * What goes to one session: its places in two logs, and its engine's window.
 * See `core/sending.py`.
 * @module
 */

import { Budget } from "./budget.js";
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
  /** Of all that the session sends through the server. */
  budget;
  #broadcast;
  #held = 0;
  /** A path that may lose was used, too. */
  #strayed = false;
  /** @type {Outgoing} */
  #everybody;
  /** @type {Outgoing} */
  #direct;

  /**
   * Owe what is appended from now on.
   * @param {Log} broadcast
   * @param {() => number} order as in `Log`
   * @param {Budget} [budget] what the session may send through the server; else nothing
   */
  constructor(broadcast, order, budget = new Budget(0, 0)) {
    this.budget = budget;
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

  // --- connections ------------------------------------------------------------------

  /**
   * Return what is said first on a new connection.
   * @param {Expected} expected our inbox's
   * @returns {Resume}
   */
  begin(expected) {
    this.#held = 0;
    if (this.#all.some(({ sent, begin, skip }) => sent > begin.number || skip !== null)) {
      this.ready = false;
    }
    return this.resumption(expected);
  }

  /**
   * Return where what is owed begins, and what our inbox expects.
   * @param {Expected} expected
   * @returns {Resume}
   */
  resumption(expected) {
    const begins = new Map(this.#all.map(({ stream, begin }) => [stream, begin]));
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
      for (const each of this.#all) {
        const number = expected.get(each.stream) ?? each.begin.number;
        // What went another way may have been acknowledged since it was said.
        each.resume(this.#strayed ? Math.max(number, each.acked) : number);
      }
    }
    this.ready = true;
    return this.skips;
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

  // --- a path that may lose -----------------------------------------------------------

  /** What the other side must know beside what it expects. @returns {Skip[]} */
  get skips() {
    return this.#all.flatMap(({ stream, skip }) => (
      skip === null ? [] : [{ type: /** @type {const} */ ("skip"), stream, to: skip }]));
  }

  /** How much is not known to have arrived, sent or not. */
  get unacknowledgedBytes() {
    return this.#everybody.unacknowledgedBytes + this.#direct.unacknowledgedBytes;
  }

  /** Whether something is on its way, or has to be skipped. */
  get unsettled() {
    return this.#all.some(({ sent, acked, skip }) => sent > acked || skip !== null);
  }

  /** Send nothing more before it is known what the other side has. */
  pause() {
    this.ready = false;
    this.#strayed = true;
  }

  /** Send again whatever is not known to have arrived. */
  rewind() {
    for (const each of this.#all) each.rewind();
  }

  /**
   * Go on over a connection that was given up for its silence, and is heard again. What
   * went another way meanwhile may be lost; over this one nothing may be missing.
   */
  revive() {
    if (!this.#strayed) return;
    this.rewind();
    this.ready = true;
  }

  /**
   * Tell whether the next fragment may leave while so much may be on its way.
   * @param {number} windowBytes
   */
  fits(windowBytes) {
    if (!(this.ready && this.waiting)) return false;
    const flight = this.unacknowledgedBytes - this.waitingBytes;
    return flight === 0 || flight + this.#next.nextSize <= windowBytes;
  }

  /** Return the next datagram; something must be waiting. */
  takeOne() {
    return this.#datagram().finish();
  }

  // --- the engine's window ------------------------------------------------------------

  /** Return the datagrams that fit the engine's window now. */
  take() {
    const taken = [];
    while (this.ready && this.waiting && this.#held < WINDOW_BYTES) {
      const writer = this.#datagram();
      this.#held += writer.size + OVERHEAD_BYTES;
      taken.push(writer.finish());
    }
    return taken;
  }

  #datagram() {
    const writer = new Writer();
    while (this.waiting) {
      const each = this.#next;
      if (writer.size > 0 && writer.size + each.nextSize > BATCH_BYTES) break;
      writer.put(each.take());
    }
    return writer;
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
