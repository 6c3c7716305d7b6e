/**
 * Messages that arrive once and in order, whatever becomes of connections: the same
 * machines as in `core/streams.py`, which says how and why.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { Credit, WINDOW_BYTES } from "./credit.js";
import { FRAGMENT_BYTES, Kind, MESSAGE_LIMIT_BYTES, OVERHEAD_BYTES } from "./frames.js";

/** A sender waits while a log holds more than this. */
export const LOG_BYTES = 16 * 1024 * 1024;
/** A transfer waits while a log holds more: messages wait behind what it holds. */
export const PIECES_BYTES = LOG_BYTES / 4;
/** Seconds after which what arrived is acknowledged, if nothing carries it before. */
export const ACK_DELAY = 0.025;

/** @typedef {import("./frames.js").Begin} Begin */
/** @typedef {import("./frames.js").Fragment} Fragment */
/** @typedef {import("./frames.js").Want} Want */
/**
 * One fragment in a log. `order` tells which of two streams' came first, `start` is its
 * position.
 * @typedef {{ order: number, start: number, kind: number, last: boolean,
 *   payload: Uint8Array, first: boolean }} Entry
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
  begin = { number: 0, messages: 0, position: 0 };
  /** Where the next message will begin. @type {Begin} */
  end = { number: 0, messages: 0, position: 0 };
  /** The transfers that have begun here and not ended; see `pieces.js`. @type {Set<number>} */
  transfers = new Set();
  #order;
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
    return this.end.position - this.begin.position < LOG_BYTES;
  }

  /** Whether another piece of a transfer may be accepted. */
  get hasRoomForPiece() {
    return this.end.position - this.begin.position < PIECES_BYTES;
  }

  /**
   * Return how much there is from a place that is still held to the end.
   * @param {number} number
   */
  bytesFrom(number) {
    return number === this.end.number ? 0 : this.end.position - this.entry(number).start;
  }

  /**
   * Add a message, in fragments of at most that size.
   * @param {number} kind
   * @param {Uint8Array} payload
   * @param {number} [fragmentBytes]
   */
  append(kind, payload, fragmentBytes = FRAGMENT_BYTES) {
    let { number, position } = this.end;
    let start = 0;
    do {
      const part = payload.subarray(start, start + fragmentBytes);
      const first = start === 0;
      start += fragmentBytes;
      const last = start >= payload.length;
      const order = this.#order();
      this.#entries.push({ order, start: position, kind, last, payload: part, first });
      position += part.length + OVERHEAD_BYTES;
      number += 1;
    } while (start < payload.length);
    this.end = { number, messages: this.end.messages + 1, position };
    if (this.#outgoing.size === 0) this.trim();
  }

  /**
   * Add a piece of a transfer; the last one ends a message.
   * @param {number} transfer
   * @param {Uint8Array} payload
   * @param {boolean} last
   */
  appendPiece(transfer, payload, last) {
    if (last) this.transfers.delete(transfer);
    else this.transfers.add(transfer);
    const { number, messages, position } = this.end;
    const order = this.#order();
    const entry = { order, start: position, kind: Kind.PIECE, last, payload, first: false };
    this.#entries.push(entry);
    this.end = {
      number: number + 1,
      messages: messages + (last ? 1 : 0),
      position: position + payload.length + OVERHEAD_BYTES,
    };
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
    const position = needed === this.end.number
      ? this.end.position : this.entry(Math.max(needed, number)).start;
    for (; number < needed; number += 1) {
      if (/** @type {Entry} */ (this.#entries[this.#gone]).last) messages += 1;
      delete this.#entries[this.#gone];
      this.#gone += 1;
    }
    this.begin = { number, messages, position };
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
  /**
   * Where it goes on if it never knew that it was owed nothing for a while; else null.
   * @type {Begin | null}
   */
  missed = null;
  /** Transfers that began before this fragment do not arrive as a whole. */
  wholeFrom;
  /** Whether it is owed anything at all. */
  owed = false;
  /** The position up to which the recipient lets us go. */
  limit = 0;
  /** The number before which the recipient has everything. */
  acked;
  /** How much it has said to have, overhead included. */
  ackedBytes = 0;
  /** The number of the next fragment for the current connection. */
  sent;
  /** The number of the first fragment behind the name of its channel. */
  namedAt = 0;
  /** The highest it ever was. */
  #most;
  #log;
  /** Where it began before `close`. @type {Begin | null} */
  #former = null;
  #ordered;

  /**
   * Owe nothing yet.
   * @param {number} stream
   * @param {Log} log
   * @param {boolean} [ordered] what need not be says where messages begin
   */
  constructor(stream, log, ordered = true) {
    this.stream = stream;
    this.#ordered = ordered;
    this.begin = log.end;
    this.acked = log.end.number;
    this.sent = log.end.number;
    this.#most = log.end.number;
    this.wholeFrom = log.end.number;
    this.#log = log;
  }

  /** Owe what is appended from now on. */
  attach() {
    if (this.owed) return;
    this.owed = true;
    this.begin = this.#log.end;
    this.skip = null;
    this.missed = null;
    this.acked = this.begin.number;
    this.sent = this.begin.number;
    this.#most = this.begin.number;
    this.wholeFrom = this.begin.number;
    this.limit = this.begin.position + WINDOW_BYTES;
    this.#log.add(this);
  }

  /** Want nothing of the log any more, and be owed nothing. */
  detach() {
    if (!this.owed) return;
    this.owed = false;
    this.#log.remove(this);
    this.acked = this.#log.end.number;
    this.sent = this.acked;
    this.#most = this.acked;
    this.skip = null;
    this.missed = null;
  }

  /** Be owed nothing, until `again`. */
  close() {
    this.#former = this.owed ? this.begin : null;
    this.detach();
  }

  /**
   * Owe what is appended from now on, to who may not know that it was owed nothing. What
   * it was owed before begins where it began: it may have got nothing of it yet.
   */
  again() {
    this.attach();
    this.missed = this.begin;
    this.begin = this.#former ?? this.begin;
  }

  /** Whether fragments may overtake others: the recipient knows its channel. */
  get free() {
    return !this.#ordered && this.acked > this.namedAt;
  }

  /** Whether there is something to send. */
  get waiting() {
    return this.owed && this.sent < this.#log.end.number;
  }

  /** Whether the next fragment may be sent. */
  get sendable() {
    if (!this.waiting) return false;
    const { start, payload } = this.#log.entry(this.sent);
    return start + payload.length + OVERHEAD_BYTES <= this.limit;
  }

  /** The place of the next fragment among those of all streams. */
  get order() {
    return this.#log.entry(this.sent).order;
  }

  /** How much is still to be sent. */
  get waitingBytes() {
    return this.owed ? this.#log.bytesFrom(this.sent) : 0;
  }

  /** How much is not known to have arrived. */
  get unacknowledgedBytes() {
    return this.owed ? this.#log.bytesFrom(this.acked) : 0;
  }

  /** Whether the log could let go of more if this recipient had more of it. */
  get last() {
    const { begin, end } = this.#log;
    return this.owed && this.acked === begin.number && this.acked < end.number;
  }

  /** How many messages are not known to have arrived. */
  get unacknowledged() {
    if (!this.owed || this.acked === this.#log.end.number) return 0;
    return this.#log.end.messages - this.#log.messagesBefore(this.acked);
  }

  /** Whether it does not get all that it expects. */
  get moved() {
    return this.skip !== null || this.missed !== null;
  }

  /** How many messages are lost if it gets no more. */
  get undelivered() {
    return this.unacknowledged;
  }

  /** How many transfers that it is owed as a whole have not ended. */
  get unfinished() {
    if (!this.owed) return 0;
    return [...this.#log.transfers].filter((each) => each >= this.wholeFrom).length;
  }

  /**
   * Return whether all before a number of the log has arrived, or is not owed.
   * @param {number} number
   */
  reached(number) {
    return !this.owed || this.acked >= number;
  }

  /** The size of the next fragment's payload. */
  get nextSize() {
    return this.#log.entry(this.sent).payload.length;
  }

  /**
   * Write fragments that may be sent; they count as sent.
   * @param {{ size: number, put(frame: Fragment): void }} writer
   * @param {number} room for how many bytes there is room; the first is written without
   * @param {number} before only what came before that (an `order`) is sent
   */
  take(writer, room, before) {
    const begun = writer.size;
    while (this.sent < this.#log.end.number) {
      const entry = this.#log.entry(this.sent);
      const { order, start, kind, last, payload } = entry;
      const first = entry.first && !this.#ordered;
      const size = writer.size - begun;
      if ((size > 0 && size + payload.length > room) || order > before) break;
      if (start + payload.length + OVERHEAD_BYTES > this.limit) break;
      const { stream, sent: number } = this;
      this.sent += 1;
      writer.put({ type: "fragment", stream, number, kind, last, payload, first });
    }
    this.#most = Math.max(this.#most, this.sent);
  }

  /**
   * Take the receiver's word for what it expects next, and how much it takes.
   * @param {Want} want
   * @throws {InvalidMessage} it cannot expect that
   */
  acknowledge({ number, limit }) {
    if (number > this.#most) {
      throw new InvalidMessage(`fragment ${number} of stream ${this.stream} was not sent`);
    }
    if (!this.owed) return;
    this.limit = Math.max(this.limit, limit);
    this.sent = Math.max(this.sent, number);
    if (this.skip !== null && number >= this.skip.number) this.skip = null;
    if (this.missed !== null && number >= this.missed.number) this.missed = null;
    if (number > this.acked) {
      this.ackedBytes += this.#log.bytesFrom(this.acked) - this.#log.bytesFrom(number);
      this.acked = number;
      this.#log.trim();
    }
  }

  /**
   * Go on over a new connection, from what the receiver expects; undefined is the beginning.
   * @param {Want | undefined} want
   * @param {boolean} [strayed] another path was used too, over which more may have been
   *   acknowledged since this was said
   * @throws {InvalidMessage} it cannot expect that
   */
  resume(want, strayed = false) {
    const exact = this.owed && this.skip === null && this.missed === null && !strayed;
    if (want !== undefined && want.number >= this.begin.number) {
      if (exact && want.number < this.acked) {
        throw new InvalidMessage(`fragment ${want.number} of stream ${this.stream} had arrived`);
      }
      this.acknowledge(want);
    } else if (exact && this.acked > this.begin.number) {
      throw new InvalidMessage(`stream ${this.stream} is known no longer`);
    }
    this.rewind();
  }

  /** Send again what is not known to have arrived. */
  rewind() {
    this.sent = this.acked;
  }

  /**
   * Move to the end of the log; return how many messages are not known to have arrived, or
   * are transfers that are under way.
   */
  cutLoose() {
    const count = this.unacknowledged + this.unfinished;
    this.wholeFrom = this.#log.end.number;
    this.skip = this.#log.end;
    this.acked = this.#log.end.number;
    this.sent = this.#log.end.number;
    this.#most = this.#log.end.number;
    this.#log.trim();
    return count;
  }
}

/** The receiving end of a stream. */
export class Incoming {
  /** The number of the fragment that is expected next. */
  expected;
  /** How much of it may lie here. */
  credit;
  #messages;
  /** @type {Uint8Array[]} */
  #parts = [];
  #bytes = 0;
  #kind = 0;
  /** The beginning of the message that is coming was thrown away. */
  #torn = false;

  /**
   * @param {Begin} begin where it begins
   * @param {import("./credit.js").Budget} budget
   */
  constructor(begin, budget) {
    this.expected = begin.number;
    this.credit = new Credit(budget, begin.position);
    this.#messages = begin.messages;
  }

  /**
   * Take a fragment; return the message that it completes, null if it does not.
   * @param {Fragment} fragment
   * @param {boolean} [lossy] it came over a path that may lose: a gap is nobody's fault
   * @returns {{ kind: number, payload: Uint8Array, cost: number } | null}
   * @throws {InvalidMessage} it leaves a gap, or makes no sense where it stands
   */
  receive({ stream, number, kind, last, payload }, lossy = false) {
    // It came over another path, too; or it will come again.
    if (number < this.expected || (lossy && number > this.expected)) return null;
    if (number > this.expected) {
      throw new InvalidMessage(`fragment ${number} for ${this.expected}`);
    }
    const torn = this.#torn;
    const whole = last && this.#parts.length === 0;
    if (!whole && !torn) this.#check(kind, payload);
    let cost = payload.length + OVERHEAD_BYTES;
    if (!this.credit.take(cost)) {
      throw new InvalidMessage(`more of stream ${stream} than was granted`);
    }
    this.expected += 1;
    if (last) this.#messages += 1;
    if (torn) {
      this.credit.read(cost);
      this.#torn = !last;
      return null;
    }
    if (whole || kind === Kind.PIECE) return { kind, payload, cost };
    this.#parts.push(payload.slice()); // not the whole datagram
    this.#bytes += payload.length;
    this.#kind = kind;
    if (!last) return null;
    cost = this.assembling;
    return { kind, payload: this.#join(), cost };
  }

  /**
   * @param {number} kind
   * @param {Uint8Array} payload
   */
  #check(kind, payload) {
    if (this.#parts.length > 0 && kind !== this.#kind) {
      throw new InvalidMessage("a message of two kinds");
    }
    if (this.#bytes + payload.length > MESSAGE_LIMIT_BYTES) {
      throw new InvalidMessage(`a message of over ${MESSAGE_LIMIT_BYTES} bytes`);
    }
  }

  /** What a message that is not whole yet has cost so far. */
  get assembling() {
    return this.#bytes + this.#parts.length * OVERHEAD_BYTES;
  }

  /**
   * Return what is wanted; that counts as told.
   * @returns {Want}
   */
  want() {
    return { number: this.expected, limit: this.credit.grant(this.assembling) };
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

  /** Throw away what has come and was not read, half a message included. */
  discard() {
    if (this.#parts.length > 0) {
      this.#drop();
      this.#torn = true;
    }
    this.credit.discard();
  }

  /**
   * Go to where begins what is owed, if that lies ahead: then return true. What lies
   * before it is not lost.
   * @param {Begin} begin
   * @throws {InvalidMessage} fewer bytes lie before it than have come already
   */
  passTo(begin) {
    const ahead = begin.number > this.expected;
    if (ahead) this.#go(begin);
    this.credit.begin(Math.min(begin.position, this.credit.position));
    return ahead;
  }

  /**
   * Go to a place; return how many messages that loses.
   * @param {Begin} to
   * @throws {InvalidMessage} fewer messages or bytes lie before it than have come already
   */
  skip(to) {
    if (to.number <= this.expected) return 0;
    const lost = to.messages - this.#messages;
    if (lost < 0) throw new InvalidMessage("a place with fewer messages before it than came");
    this.#go(to);
    return lost;
  }

  /** @param {Begin} to */
  #go(to) {
    if (to.position < this.credit.position) {
      throw new InvalidMessage("a place with fewer bytes before it than came");
    }
    this.credit.read(this.assembling);
    this.#drop();
    this.#torn = false;
    this.credit.jump(to.position);
    this.expected = to.number;
    this.#messages = to.messages;
  }

  #drop() {
    this.#parts = [];
    this.#bytes = 0;
  }
}
