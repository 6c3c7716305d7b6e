/**
 * Messages that arrive once and in order, whatever becomes of connections: the same
 * machines as in `core/streams.py`, which says how and why.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { FRAGMENT_BYTES, MESSAGE_LIMIT_BYTES } from "./frames.js";

/** A sender waits while a log holds more than this. */
export const LOG_BYTES = 16 * 1024 * 1024;
/** Seconds after which what arrived is acknowledged, if nothing carries it before. */
export const ACK_DELAY = 0.025;
/** What an empty fragment counts, so that a million of them are not free. */
const OVERHEAD_BYTES = 64;

/** @typedef {import("./frames.js").Begin} Begin */
/** @typedef {import("./frames.js").Fragment} Fragment */
/**
 * One fragment in a log. `order` tells which of two streams' came first, `start` how many
 * bytes lie before it in the stream, overhead included.
 * @typedef {{ order: number, start: number, kind: number, last: boolean,
 *   payload: Uint8Array }} Entry
 */

/**
 * Return a counter that numbers fragments across streams.
 * @returns {() => number}
 */
export function counter() {
  let next = 0;
  return () => {
    next += 1;
    return next - 1;
  };
}

/** What was sent on one stream, as far as somebody may still need it. */
export class Log {
  /** Where what is held begins. @type {Begin} */
  begin = { number: 0, messages: 0 };
  /** Where the next message will begin. @type {Begin} */
  end = { number: 0, messages: 0 };
  #order;
  #written = 0;
  /** @type {Entry[]} */
  #entries = [];
  /** How many of the entries have been let go already. */
  #gone = 0;
  /** @type {Set<Outgoing>} */
  #outgoing = new Set();

  /** @param {() => number} order numbers fragments across streams */
  constructor(order) {
    this.#order = order;
  }

  /** Whether another message may be accepted. */
  get hasRoom() {
    return this.bytesFrom(this.begin.number) < LOG_BYTES;
  }

  /**
   * Return how much there is from a place that is still held to the end.
   * @param {number} number
   */
  bytesFrom(number) {
    return number === this.end.number ? 0 : this.#written - this.entry(number).start;
  }

  /**
   * Add a message, in fragments.
   * @param {number} kind
   * @param {Uint8Array} payload
   */
  append(kind, payload) {
    let { number } = this.end;
    let start = 0;
    do {
      const part = payload.subarray(start, start + FRAGMENT_BYTES);
      start += FRAGMENT_BYTES;
      const last = start >= payload.length;
      const order = this.#order();
      this.#entries.push({ order, start: this.#written, kind, last, payload: part });
      this.#written += part.length + OVERHEAD_BYTES;
      number += 1;
    } while (start < payload.length);
    this.end = { number, messages: this.end.messages + 1 };
    if (this.#outgoing.size === 0) this.trim();
  }

  /**
   * Return the fragment of a number that is still held.
   * @param {number} number
   */
  entry(number) {
    return /** @type {Entry} */ (this.#entries[this.#gone + number - this.begin.number]);
  }

  /**
   * Return how many messages end before a place that is still held.
   * @param {number} number
   */
  messagesBefore(number) {
    let { messages } = this.end;
    for (let each = number; each < this.end.number; each += 1) {
      if (this.entry(each).last) messages -= 1;
    }
    return messages;
  }

  /**
   * Keep from now on what a recipient has not acknowledged.
   * @param {Outgoing} outgoing
   */
  add(outgoing) {
    this.#outgoing.add(outgoing);
  }

  /**
   * Keep nothing for a recipient any more.
   * @param {Outgoing} outgoing
   */
  remove(outgoing) {
    this.#outgoing.delete(outgoing);
    this.trim();
  }

  /** Let go of what every recipient has. */
  trim() {
    let needed = this.end.number;
    for (const { acked } of this.#outgoing) needed = Math.min(needed, acked);
    let { number, messages } = this.begin;
    for (; number < needed; number += 1) {
      if (/** @type {Entry} */ (this.#entries[this.#gone]).last) messages += 1;
      delete this.#entries[this.#gone];
      this.#gone += 1;
    }
    this.begin = { number, messages };
    // Shifting an array costs its length; so what is gone is cut off now and then.
    if (this.#gone * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#gone);
      this.#gone = 0;
    }
  }
}

/** One recipient's place in a log. */
export class Outgoing {
  stream;
  /** Where what it is owed begins. @type {Begin} */
  begin;
  /** Where it was moved to when it was cut loose; null if it was not. @type {Begin | null} */
  skip = null;
  /** The number before which the recipient has everything. */
  acked;
  /** How much it has said to have, overhead included. */
  ackedBytes = 0;
  /** The number of the next fragment for the current connection. */
  sent;
  /** The highest it ever was. */
  #most;
  #log;

  /**
   * Owe what is appended from now on.
   * @param {number} stream
   * @param {Log} log
   */
  constructor(stream, log) {
    this.stream = stream;
    this.begin = log.end;
    this.acked = log.end.number;
    this.sent = log.end.number;
    this.#most = log.end.number;
    this.#log = log;
    log.add(this);
  }

  /** Whether there is something to send. */
  get waiting() {
    return this.sent < this.#log.end.number;
  }

  /** The place of the next fragment among those of all streams. */
  get order() {
    return this.#log.entry(this.sent).order;
  }

  /** How much is still to be sent. */
  get waitingBytes() {
    return this.#log.bytesFrom(this.sent);
  }

  /** How much is not known to have arrived. */
  get unacknowledgedBytes() {
    return this.#log.bytesFrom(this.acked);
  }

  /** Whether the log could let go of more if this recipient had more. */
  get last() {
    return this.acked === this.#log.begin.number;
  }

  /** How many messages are not known to have arrived. */
  get unacknowledged() {
    return this.#log.end.messages - this.#log.messagesBefore(this.acked);
  }

  /** The size of the next fragment's payload. */
  get nextSize() {
    return this.#log.entry(this.sent).payload.length;
  }

  /**
   * Return the next fragment; it counts as sent.
   * @returns {Fragment}
   */
  take() {
    const { kind, last, payload } = this.#log.entry(this.sent);
    this.sent += 1;
    this.#most = Math.max(this.#most, this.sent);
    return { type: "fragment", stream: this.stream, number: this.sent - 1, kind, last, payload };
  }

  /**
   * Take the receiver's word for what it expects next.
   * @param {number} expected
   * @throws {InvalidMessage} it cannot expect that
   */
  acknowledge(expected) {
    if (expected > this.#most) {
      throw new InvalidMessage(`fragment ${expected} of stream ${this.stream} was not sent`);
    }
    this.sent = Math.max(this.sent, expected);
    if (this.skip !== null && expected >= this.skip.number) this.skip = null;
    if (expected > this.acked) {
      this.ackedBytes += this.#log.bytesFrom(this.acked) - this.#log.bytesFrom(expected);
      this.acked = expected;
      this.#log.trim();
    }
  }

  /**
   * Go on over a new connection, from what the receiver expects.
   * @param {number} expected
   * @throws {InvalidMessage} it cannot expect that
   */
  resume(expected) {
    if (expected < this.acked && this.skip === null) {
      throw new InvalidMessage(`fragment ${expected} of stream ${this.stream} had arrived`);
    }
    this.acknowledge(expected);
    this.rewind();
  }

  /** Send again what is not known to have arrived. */
  rewind() {
    this.sent = this.acked;
  }

  /** Move to the end of the log; return how many messages are not known to have arrived. */
  cutLoose() {
    const count = this.unacknowledged;
    this.skip = this.#log.end;
    this.acked = this.#log.end.number;
    this.sent = this.#log.end.number;
    this.#most = this.#log.end.number;
    this.#log.trim();
    return count;
  }

  /** Want nothing of the log any more, and be owed nothing. */
  detach() {
    this.#log.remove(this);
    this.#log = new Log(() => 0);
    this.acked = 0;
    this.sent = 0;
    this.#most = 0;
  }
}

/** The receiving end of a stream. */
export class Incoming {
  /** The number of the fragment that is expected next. */
  expected;
  #messages;
  /** @type {Uint8Array[]} */
  #parts = [];
  #bytes = 0;
  #kind = 0;

  /** @param {Begin} begin where it begins */
  constructor(begin) {
    this.expected = begin.number;
    this.#messages = begin.messages;
  }

  /**
   * Take a fragment; return the message that it completes, null if it does not.
   * @param {Fragment} fragment
   * @param {boolean} [lossy] it came over a path that may lose: a gap is nobody's fault
   * @returns {{ kind: number, payload: Uint8Array } | null}
   * @throws {InvalidMessage} it leaves a gap, or makes no sense where it stands
   */
  receive({ number, kind, last, payload }, lossy = false) {
    // It came over another path, too; or it will come again.
    if (number < this.expected || (lossy && number > this.expected)) return null;
    if (number > this.expected) {
      throw new InvalidMessage(`fragment ${number} for ${this.expected}`);
    }
    const whole = last && this.#parts.length === 0;
    if (!whole) this.#keep(kind, payload);
    this.expected += 1;
    if (!last) return null;
    this.#messages += 1;
    return { kind, payload: whole ? payload : this.#join() };
  }

  /**
   * @param {number} kind
   * @param {Uint8Array} payload
   */
  #keep(kind, payload) {
    if (this.#parts.length > 0 && kind !== this.#kind) {
      throw new InvalidMessage("a message of two kinds");
    }
    this.#bytes += payload.length;
    if (this.#bytes > MESSAGE_LIMIT_BYTES) {
      throw new InvalidMessage(`a message of over ${MESSAGE_LIMIT_BYTES} bytes`);
    }
    this.#parts.push(payload);
    this.#kind = kind;
  }

  #join() {
    const out = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    this.#drop();
    return out;
  }

  /**
   * Go to a place; return how many messages that loses.
   * @param {Begin} to
   * @throws {InvalidMessage} fewer messages lie before it than have come already
   */
  skip(to) {
    if (to.number <= this.expected) return 0;
    const lost = to.messages - this.#messages;
    if (lost < 0) throw new InvalidMessage("a place with fewer messages before it than came");
    this.#drop();
    this.expected = to.number;
    this.#messages = to.messages;
    return lost;
  }

  #drop() {
    this.#parts = [];
    this.#bytes = 0;
  }
}
