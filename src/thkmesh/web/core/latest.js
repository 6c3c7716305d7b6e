/**
 * Values of which only the latest counts: the same machines as in `core/latest.py`, which
 * says how and why.
 * @module
 */

import { ChannelFull, InvalidArgument, InvalidMessage, MessageTooLarge } from "../errors.js";
import { Credit, WINDOW_BYTES } from "./credit.js";
import { FRAGMENT_BYTES, OVERHEAD_BYTES } from "./frames.js";
import { wellFormed } from "./ijson.js";
import { Reader, write } from "./varint.js";

/** A log has at most so many keys. */
export const KEYS = 1024;
/** What all current values of a log may have together, their keys included. */
export const VALUES_BYTES = 1024 * 1024;
/** A key has at most so many characters. */
export const KEY_LENGTH = 64;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** @typedef {import("./frames.js").Begin} Begin */
/** @typedef {import("./frames.js").Fragment} Fragment */
/** @typedef {import("./frames.js").Want} Want */
/**
 * A current value: `order` as in `Log`, its number, and a payload as `wrap` made it.
 * @typedef {{ order: number, number: number, kind: number, key: string, payload: Uint8Array,
 *   cost: number }} Value
 */

/**
 * Return what is sent of a value: its key, and what it says.
 * @param {string} key empty where there is none
 * @param {Uint8Array} payload as of `encode`
 * @throws {InvalidArgument} the key is too long, or no text
 * @throws {MessageTooLarge} both together do not fit one fragment
 */
export function wrap(key, payload) {
  const { length } = [...key];
  if (length > KEY_LENGTH) {
    throw new InvalidArgument(`a key has 1 to ${KEY_LENGTH} characters, not ${length}`);
  }
  const name = encoder.encode(wellFormed(key));
  /** @type {number[]} */
  const head = [];
  write(head, name.length);
  const value = new Uint8Array(head.length + name.length + payload.length);
  value.set(head);
  value.set(name, head.length);
  value.set(payload, head.length + name.length);
  if (value.length > FRAGMENT_BYTES) {
    const text = `${value.length} bytes; a value and its key may have ${FRAGMENT_BYTES}`;
    throw new MessageTooLarge(text);
  }
  return value;
}

/**
 * Return the key of a value, and what it says.
 * @param {Uint8Array} value
 * @throws {InvalidMessage} it is malformed
 */
export function unwrap(value) {
  const reader = new Reader(value);
  const name = reader.sized();
  let key;
  try {
    key = decoder.decode(name);
  } catch (error) {
    throw new InvalidMessage(`a malformed key: ${error}`);
  }
  if ([...key].length > KEY_LENGTH) throw new InvalidMessage("a malformed key: it is too long");
  return { key, payload: value.subarray(reader.at) };
}

/**
 * Return where in a list, by number, those begin with that number and with higher ones.
 * @param {Value[]} values
 * @param {number} number
 */
function place(values, number) {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (/** @type {Value} */ (values[middle]).number < number) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The current values of one stream, in the order of sending. */
export class CompactedLog {
  /** Always: nobody waits for anybody. */
  hasRoom = true;
  /** Where the next value will be. @type {Begin} */
  end = { number: 0, messages: 0, position: 0 };
  /** What they have together. */
  heldBytes = 0;
  #order;
  /** @type {Value[]} */
  #values = [];
  /** @type {Map<string, Value>} */
  #byKey = new Map();

  /** @param {() => number} order numbers fragments across streams */
  constructor(order) {
    this.#order = order;
  }

  /**
   * Return why a value cannot be held beside the others, null if it can.
   * @param {Uint8Array} payload
   */
  refusal(payload) {
    const former = this.#byKey.get(unwrap(payload).key);
    if (former === undefined && this.#byKey.size === KEYS) {
      return new ChannelFull(`the channel has ${KEYS} keys; send a value for one of these`);
    }
    if (this.heldBytes + payload.length - (former?.payload.length ?? 0) > VALUES_BYTES) {
      return new ChannelFull(`values of ${VALUES_BYTES} bytes in all are held; send smaller ones`);
    }
    return null;
  }

  /**
   * Add a value in place of that which its key had; it is never cut.
   * @param {number} kind
   * @param {Uint8Array} payload
   * @param {...number} _
   */
  append(kind, payload, ..._) {
    const { key } = unwrap(payload);
    const former = this.#byKey.get(key);
    if (former !== undefined) {
      this.#values.splice(place(this.#values, former.number), 1);
      this.heldBytes -= former.payload.length;
    }
    const { number } = this.end;
    const cost = payload.length + OVERHEAD_BYTES;
    const value = { order: this.#order(), number, kind, key, payload, cost };
    this.#byKey.set(key, value);
    this.#values.push(value);
    this.heldBytes += payload.length;
    this.end = { ...this.end, number: number + 1 };
  }

  /**
   * Return the values with that number and with higher ones.
   * @param {number} number
   */
  since(number) {
    return this.#values.slice(place(this.#values, number));
  }

  /**
   * Return the first of these; there must be one.
   * @param {number} number
   */
  first(number) {
    return /** @type {Value} */ (this.#values[place(this.#values, number)]);
  }
}

/** One recipient's place in a compacted log; as `Outgoing`. */
export class LatestOutgoing {
  /** @type {null} */
  skip = null;
  /** @type {null} */
  missed = null;
  /** Never: the log lets go of nothing when this recipient has more. */
  last = false;
  /** None: what is superseded was not lost, and a leaver needs no value. */
  undelivered = 0;
  /** None: values are no streams. */
  unfinished = 0;
  /** Never: what came late would be dropped. */
  free = false;
  /** As in `streams.js`; it does not matter here. */
  namedAt = 0;
  stream;
  /** Where what it is owed begins. @type {Begin} */
  begin = { number: 0, messages: 0, position: 0 };
  /** Whether it is owed anything at all. */
  owed = false;
  /** The number before which the recipient has everything that counts. */
  acked = 0;
  /** How much of what was sent it has, or is past. */
  ackedBytes = 0;
  /** The number after the last that was sent over the current connection. */
  sent = 0;
  /** How much may be sent in all, counted as `ackedBytes`. */
  limit = WINDOW_BYTES;
  #log;
  #base = 0;
  #most = 0;
  /** The number after the last that is in flight, or was. */
  #counted = 0;
  /** All that was ever sent and may be on its way. @type {{ number: number, cost: number }[]} */
  #flight = [];
  #flightBytes = 0;
  /** The recipient has said something since it was last owed everything. */
  #known = true;

  /**
   * Owe nothing yet.
   * @param {number} stream
   * @param {CompactedLog} log
   */
  constructor(stream, log) {
    this.stream = stream;
    this.#log = log;
  }

  /** Owe all current values, and those that follow. */
  attach() {
    if (this.owed) return;
    this.owed = true;
    this.#known = this.#most === 0;
    this.#base = this.#most;
    this.acked = this.#most;
    this.sent = this.#most;
    this.begin = { number: this.#most, messages: 0, position: 0 };
  }

  /** Owe nothing. */
  detach() {
    this.owed = false;
  }

  /** Owe nothing, until `again`. */
  close() {
    this.detach();
  }

  /** Owe all current values to who may not know that it was owed nothing. */
  again() {
    this.attach();
  }

  /** Whether it must know of its beginning before anything else arrives. */
  get moved() {
    return this.owed && !this.#known;
  }

  /** Whether there is something to send. */
  get waiting() {
    return this.owed && this.sent - this.#base < this.#log.end.number;
  }

  /** Whether the next value may be sent. */
  get sendable() {
    return this.waiting && this.#fits(this.#next);
  }

  get #next() {
    return this.#log.first(this.sent - this.#base);
  }

  /**
   * Return whether a value is within the limit: what was sent before counts already.
   * @param {Value} value
   */
  #fits({ number, cost }) {
    const isNew = number + this.#base >= this.#counted;
    return !isNew || this.ackedBytes + this.#flightBytes + cost <= this.limit;
  }

  /** The size of the next value. */
  get nextSize() {
    return this.#next.payload.length;
  }

  /** The place of the next value among the fragments of all streams. */
  get order() {
    return this.#next.order;
  }

  /** How much is still to be sent. */
  get waitingBytes() {
    return this.#bytesSince(this.sent);
  }

  /** How much is not known to have arrived. */
  get unacknowledgedBytes() {
    return this.#bytesSince(this.acked);
  }

  /** @param {number} number */
  #bytesSince(number) {
    if (!this.owed) return 0;
    return this.#log.since(number - this.#base).reduce((sum, { cost }) => sum + cost, 0);
  }

  /** How many values are not known to have arrived. */
  get unacknowledged() {
    return this.owed ? this.#log.since(this.acked - this.#base).length : 0;
  }

  /**
   * Return whether what lies before a number of the log has arrived, or is not owed.
   * @param {number} number
   */
  reached(number) {
    return !this.owed || this.acked - this.#base >= number;
  }

  /**
   * Write values that may be sent; as `Outgoing.take`.
   * @param {{ size: number, put(frame: Fragment): void }} writer
   * @param {number} room
   * @param {number} before
   */
  take(writer, room, before) {
    const begun = writer.size;
    while (this.waiting) {
      const value = this.#next;
      const size = writer.size - begun;
      if ((size > 0 && size + value.payload.length > room) || value.order > before) break;
      if (!this.#fits(value)) break;
      const number = value.number + this.#base;
      /** @type {number[]} */
      const head = [];
      write(head, number - this.sent);
      const payload = new Uint8Array(head.length + value.payload.length);
      payload.set(head);
      payload.set(value.payload, head.length);
      this.sent = number + 1;
      this.#most = Math.max(this.#most, this.sent);
      if (this.sent > this.#counted) {
        this.#counted = this.sent;
        this.#flight.push({ number, cost: value.cost });
        this.#flightBytes += value.cost;
      }
      const { stream } = this;
      writer.put({ type: "fragment", stream, number, kind: value.kind, last: true, payload });
    }
  }

  /**
   * Take the receiver's word for what it expects next, and how much may follow.
   * @param {Want} want
   * @throws {InvalidMessage} it cannot expect that
   */
  acknowledge({ number, limit }) {
    if (number > this.#most) {
      throw new InvalidMessage(`fragment ${number} of stream ${this.stream} was not sent`);
    }
    if (number < this.acked) return; // It said so before it said what we know.
    this.#known = true;
    let arrived = 0;
    for (const each of this.#flight) {
      if (each.number >= number) break;
      arrived += 1;
      this.#flightBytes -= each.cost;
      this.ackedBytes += each.cost;
    }
    this.#flight.splice(0, arrived);
    this.acked = number;
    this.sent = Math.max(this.sent, number);
    this.limit = Math.max(this.limit, this.ackedBytes + limit);
  }

  /**
   * Go on over a new connection, from what the receiver expects; undefined is the beginning.
   * @param {Want | undefined} want
   * @throws {InvalidMessage} it cannot expect that
   */
  resume(want) {
    if (want !== undefined) this.acknowledge(want);
    this.#flight = [];
    this.#flightBytes = 0;
    this.#counted = this.acked;
    this.rewind();
  }

  /** Send again what is not known to have arrived. */
  rewind() {
    this.sent = this.acked;
  }
}

/** The receiving end of a stream of values; as `Incoming`. */
export class LatestIncoming {
  /** Nothing: a value has one fragment. */
  assembling = 0;
  /** The number after the last that has come. */
  expected;
  /** How much of it may lie here. */
  credit;

  /**
   * @param {Begin} begin where it begins
   * @param {import("./credit.js").Budget} budget
   */
  constructor(begin, budget) {
    this.expected = begin.number;
    this.credit = new Credit(budget, begin.position);
  }

  /**
   * Take a fragment; return its value, null if a later one has come.
   * @param {Fragment} fragment
   * @param {boolean} [lossy] it came over a path that may lose: a gap is nobody's fault
   * @returns {{ kind: number, payload: Uint8Array, cost: number } | null}
   * @throws {InvalidMessage} something is missing before it, or it makes no sense
   */
  receive({ stream, number, kind, last, payload }, lossy = false) {
    const reader = new Reader(payload);
    const back = reader.number();
    if (number < this.expected || (lossy && number - back > this.expected)) return null;
    if (number - back > this.expected) {
      throw new InvalidMessage(`value ${number - back} for ${this.expected}`);
    }
    if (!last) throw new InvalidMessage("a value in several fragments");
    const cost = payload.length - reader.at + OVERHEAD_BYTES;
    if (!this.credit.take(cost)) {
      // Sent before what the other path carries, which counts alone.
      if (lossy) return null;
      throw new InvalidMessage(`more of stream ${stream} than was granted`);
    }
    this.expected = number + 1;
    return { kind, payload: payload.subarray(reader.at), cost };
  }

  /**
   * Return what is wanted; that counts as told.
   * @returns {Want}
   */
  want() {
    return { number: this.expected, limit: this.credit.grant(0) - this.credit.position };
  }

  /** Throw away what has come and was not read. */
  discard() {
    this.credit.discard();
  }

  /**
   * Go to where begins what is owed, if that lies ahead; return whether its sender should
   * hear that it does.
   * @param {Begin} begin
   */
  passTo({ number }) {
    if (number < this.expected) return false;
    this.expected = number;
    return true;
  }

  /**
   * Refuse to go anywhere: no value is lost.
   * @param {Begin} to
   * @returns {number}
   * @throws {InvalidMessage} always
   */
  skip({ number }) {
    throw new InvalidMessage(`a skip to ${number} among values`);
  }
}
