/**
 * The receiving end of a stream whose messages come in any order; see `core/unordered.py`.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { Credit, WINDOW_LIMIT_BYTES } from "./credit.js";
import { MESSAGE_LIMIT_BYTES, OVERHEAD_BYTES } from "./frames.js";

/** @typedef {import("./frames.js").Begin} Begin */
/** @typedef {import("./frames.js").Fragment} Fragment */
/**
 * Neighbouring fragments of one message that is not whole: the number of the first one, that
 * behind the last one, whether the message begins and ends with it, its bytes.
 * @typedef {{ start: number, end: number, kind: number, begun: boolean, ended: boolean,
 *   size: number }} Run
 */

/**
 * Return the run of one and the next.
 * @param {Run} left
 * @param {Run} right
 * @returns {Run}
 * @throws {InvalidMessage} they are of different messages
 */
function joined(left, right) {
  const size = left.size + right.size;
  if (left.ended || right.begun || left.kind !== right.kind) {
    throw new InvalidMessage(`fragment ${right.start} does not go on what is before it`);
  }
  if (size > MESSAGE_LIMIT_BYTES) {
    throw new InvalidMessage(`a message of over ${MESSAGE_LIMIT_BYTES} bytes`);
  }
  return { ...left, end: right.end, ended: right.ended, size };
}

/** As `Incoming` in `streams.js`, for fragments in any order. */
export class Scattered {
  /** The number of the first fragment that has not come. */
  expected;
  /** How much of it may lie here. */
  credit;
  /** What the messages that are not whole yet have cost so far. */
  assembling = 0;
  #messages;
  /** What each fragment behind `expected` has cost. @type {Map<number, number>} */
  #early = new Map();
  #earlyBytes = 0;
  /** The last fragments behind `expected` of messages that were whole. @type {Set<number>} */
  #done = new Set();
  /** @type {Map<number, Run>} */
  #starting = new Map();
  /** @type {Map<number, Run>} */
  #ending = new Map();
  /** The payloads of all runs, but for those that were thrown away. */
  /** @type {Map<number, Uint8Array>} */
  #parts = new Map();

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
   * @returns {{ kind: number, payload: Uint8Array, cost: number } | null}
   * @throws {InvalidMessage} it makes no sense where it stands
   */
  receive(fragment) {
    const { number, payload } = fragment;
    // It came over another path, too.
    if (number < this.expected || this.#early.has(number)) return null;
    const run = this.#joined(fragment);
    const cost = payload.length + OVERHEAD_BYTES;
    if (!this.credit.take(cost)) {
      throw new InvalidMessage(`more of stream ${fragment.stream} than was granted`);
    }
    this.#early.set(number, cost);
    this.#earlyBytes += cost;
    this.#parts.set(number, payload.slice()); // not the whole datagram
    this.assembling += cost;
    if (run.start < number) this.#ending.delete(number);
    if (run.end > number + 1) this.#starting.delete(number + 1);
    let whole = null;
    if (run.begun && run.ended) {
      whole = this.#finish(run);
    } else {
      this.#starting.set(run.start, run);
      this.#ending.set(run.end, run);
    }
    this.#advance();
    return whole;
  }

  /**
   * Return the run that a fragment makes with its neighbours; nothing is changed yet.
   * @param {Fragment} fragment
   * @throws {InvalidMessage} they are of different messages, or of too large a one
   */
  #joined({ number, kind, first = false, last, payload }) {
    /** @type {Run} */
    let run = {
      start: number, end: number + 1, kind, begun: first, ended: last, size: payload.length,
    };
    const left = this.#ending.get(number);
    const right = this.#starting.get(number + 1);
    if (left !== undefined && !(left.ended && first)) run = joined(left, run);
    if (right !== undefined && !(last && right.begun)) run = joined(run, right);
    return run;
  }

  /** @param {Run} run */
  #remove({ start, end }) {
    this.#starting.delete(start);
    this.#ending.delete(end);
  }

  /**
   * Return the message of a run; null if some of it was thrown away.
   * @param {Run} run
   */
  #finish(run) {
    const { start, end, kind } = run;
    this.#remove(run);
    this.#done.add(end - 1);
    const parts = [];
    let size = 0;
    for (let number = start; number < end; number += 1) {
      const part = this.#parts.get(number);
      if (part === undefined) continue;
      this.#parts.delete(number);
      parts.push(part);
      size += part.length;
    }
    const cost = size + OVERHEAD_BYTES * parts.length;
    this.assembling -= cost;
    if (parts.length < end - start) {
      this.credit.read(cost);
      return null;
    }
    const payload = new Uint8Array(size);
    let at = 0;
    for (const part of parts) {
      payload.set(part, at);
      at += part.length;
    }
    return { kind, payload, cost };
  }

  /** Expect what has not come. */
  #advance() {
    while (this.#early.has(this.expected)) {
      this.#earlyBytes -= this.#early.get(this.expected) ?? 0;
      this.#early.delete(this.expected);
      if (this.#done.delete(this.expected)) this.#messages += 1;
      this.expected += 1;
    }
  }

  /**
   * Return what is wanted; that counts as told.
   * @returns {import("./frames.js").Want}
   */
  want() {
    // No more before what is missing has come.
    const limit = this.#earlyBytes > WINDOW_LIMIT_BYTES
      ? this.credit.limit : this.credit.grant(this.assembling);
    return { number: this.expected, limit };
  }

  /** Throw away what has come and was not read, parts of messages included. */
  discard() {
    this.#parts.clear();
    this.assembling = 0;
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
    let came = this.#messages;
    for (const each of this.#done) if (each < to.number) came += 1;
    if (to.messages < came) {
      throw new InvalidMessage("a place with fewer messages before it than came");
    }
    this.#go(to);
    return to.messages - came;
  }

  /**
   * Go to a place; what came of behind it is kept, and counts.
   * @param {Begin} to
   */
  #go(to) {
    const early = new Map([...this.#early].filter(([number]) => number >= to.number));
    const behind = [...early.values()].reduce((sum, cost) => sum + cost, 0);
    if (to.position < this.credit.position - behind) {
      throw new InvalidMessage("a place with fewer bytes before it than came");
    }
    for (const run of [...this.#starting.values()]) {
      if (run.start >= to.number) continue;
      this.#remove(run);
      for (let number = run.start; number < run.end; number += 1) this.#drop(number);
    }
    this.#early = early;
    this.#earlyBytes = behind;
    this.#done = new Set([...this.#done].filter((each) => each >= to.number));
    this.credit.jump(to.position + behind);
    this.expected = to.number;
    this.#messages = to.messages;
    this.#advance();
  }

  /** @param {number} number */
  #drop(number) {
    const part = this.#parts.get(number);
    if (part === undefined) return;
    this.#parts.delete(number);
    this.assembling -= part.length + OVERHEAD_BYTES;
    this.credit.read(part.length + OVERHEAD_BYTES);
  }
}
