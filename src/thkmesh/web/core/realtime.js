/**
 * Messages that are worth something now or not at all; see `core/realtime.py`.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { FORWARD, Kind, OVERHEAD_BYTES, REPORT_BITS, Writer } from "./frames.js";

/** Frames share a datagram up to this size: it fits one packet. */
export const DATAGRAM_BYTES = 1150;
/** No more messages of a stream than this are sent again, or wait for an earlier one. */
export const WINDOW = REPORT_BITS;
/** No more than this of one session waits for what is missing. */
export const HELD_BYTES = 1024 * 1024;
/** Seconds after which what came is reported. */
export const REPORT_DELAY = 0.01;
/** Seconds without a report after which a message is sent again, at least. */
export const LEAST_TIMEOUT = 0.05;
/** The same while the round trip is not known. */
const FIRST_TIMEOUT = 0.25;
/** And at most. */
const MOST_TIMEOUT = 8.0;
/** A message is lost if one came that was sent so many later. */
const REORDERED = 3;
/** The realtime buffer may hold what leaves in 20 ms, or this. */
const BACKLOG_BYTES = 16 * 1024;
/** The window (see `window`) is what leaves in so many times as long. */
const PART = 5;

/** @typedef {import("./frames.js").Lossy} Lossy */
/** @typedef {import("./frames.js").Report} Report */
/**
 * How long a message that need not arrive is tried: `ordered` drops what comes after a later
 * one; it is sent again `maxRetransmits` times, or for `lifeTime` seconds.
 * @typedef {{ ordered: boolean, maxRetransmits: number | null, lifeTime: number | null }} Limits
 */
/**
 * A message to send; `number` is that for everybody, null to this one alone.
 * @typedef {{ channel: string, number: number | null, kind: number,
 *   payload: Uint8Array }} Passing
 */
/**
 * A message that may have to be sent again: when it is too old, when it was sent last, when
 * it is sent again or given up, and how often it has been sent again.
 * @typedef {{ kind: number, payload: Uint8Array, ends: number, sentAt: number, due: number,
 *   resent: number }} Flight
 */
/** What is to be delivered. @typedef {{ kind: number, payload: Uint8Array }} Content */

/** How much the engine's realtime buffer may hold. */
export class Backlog {
  /** How much it holds, at most, for all we know. */
  heldBytes = 0;

  /**
   * Return whether another datagram would leave soon.
   * @param {number} windowBytes
   */
  takes(windowBytes) {
    return this.heldBytes < limitOf(windowBytes);
  }

  /**
   * Return whether to ask the engine how much it holds.
   * @param {number} windowBytes
   */
  mustMeasure(windowBytes) {
    return this.heldBytes >= Math.floor(limitOf(windowBytes) / 2);
  }
}

/** @param {number} windowBytes */
function limitOf(windowBytes) {
  return Math.max(BACKLOG_BYTES, Math.floor(windowBytes / PART));
}

/**
 * Yield datagrams of frames, and how many are in each.
 * @param {Iterable<Lossy | Report>} frames
 * @returns {Generator<{ datagram: Uint8Array, count: number }, void, void>}
 */
export function* pack(frames) {
  let writer = new Writer();
  let count = 0;
  for (const frame of frames) {
    const alone = new Writer();
    alone.put(frame);
    if (count > 0 && 1 + writer.size + alone.size > DATAGRAM_BYTES) {
      yield { datagram: writer.finish(), count };
      writer = new Writer();
      count = 0;
    }
    writer.put(frame);
    count += 1;
  }
  if (count > 0) yield { datagram: writer.finish(), count };
}

/**
 * Return the earlier of two times that may not be.
 * @param {number | null} a
 * @param {number | null} b
 */
export function earlier(a, b) {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

// --- sending --------------------------------------------------------------------------

/** What is sent on one stream. */
class Course {
  /** The number of the next message. */
  next = 0;
  /** The number that the receiver expects. */
  reported = 0;
  /** @type {Map<number, Flight>} */
  #flights = new Map();
  #stream;
  #limits;
  /** @type {number | null} */
  #forwardAt = null;
  #forwardDelay = 0;

  /**
   * @param {number} stream
   * @param {Limits} limits
   */
  constructor(stream, limits) {
    this.#stream = stream;
    this.#limits = limits;
  }

  get #resends() {
    return this.#limits.maxRetransmits !== 0;
  }

  /** The lowest number that may still come. */
  get floor() {
    for (const number of this.#flights.keys()) return number;
    return this.next;
  }

  /** When something is to be sent, or given up. */
  get due() {
    let due = this.#forwardAt;
    for (const flight of this.#flights.values()) due = earlier(due, flight.due);
    return due;
  }

  /**
   * Send a message for the first time.
   * @param {Passing} passing
   * @param {number} now
   * @param {number} timeout
   * @returns {Lossy}
   */
  send({ number: known, kind, payload }, now, timeout) {
    const number = known ?? this.next;
    this.next = number + 1;
    if (this.#resends) {
      const { lifeTime } = this.#limits;
      const ends = lifeTime === null ? Infinity : now + lifeTime;
      const due = Math.min(now + timeout, ends);
      this.#flights.set(number, { kind, payload, ends, sentAt: now, due, resent: 0 });
      while (this.#flights.size > 1 && this.floor <= number - WINDOW) {
        this.#flights.delete(this.floor);
      }
    }
    return this.#frame(number, kind, payload);
  }

  /**
   * Yield what is to be sent again, and give up what was tried long enough.
   * @param {number} now
   * @param {number} timeout
   * @returns {Generator<Lossy, void, void>}
   */
  * settle(now, timeout) {
    if (this.#giveUp(now) && this.#limits.ordered) {
      this.#forwardAt = now;
      this.#forwardDelay = timeout;
    }
    for (const [number, flight] of this.#flights) {
      if (flight.due > now) continue;
      flight.resent += 1;
      flight.sentAt = now;
      flight.due = Math.min(now + this.#pause(flight, timeout), flight.ends);
      yield this.#frame(number, flight.kind, flight.payload);
    }
    if (this.#forwardAt !== null && this.#forwardAt <= now) {
      const { floor } = this;
      const [stream, payload] = [this.#stream, new Uint8Array(0)];
      yield { type: "lossy", stream, number: floor, floor, kind: FORWARD, payload, report: true };
      this.#forwardAt = now + this.#forwardDelay;
      this.#forwardDelay = Math.min(2 * this.#forwardDelay, MOST_TIMEOUT);
    }
  }

  /**
   * Return how long to wait for a report; twice as long each time, if nobody counts them.
   * @param {Flight} flight
   * @param {number} timeout
   */
  #pause({ resent }, timeout) {
    if (this.#limits.maxRetransmits !== null) return timeout;
    return Math.min(timeout * 2 ** resent, MOST_TIMEOUT);
  }

  /** @param {number} now */
  #giveUp(now) {
    const before = this.#flights.size;
    for (const [number, { due, resent, ends }] of this.#flights) {
      if (due <= now && (resent === this.#limits.maxRetransmits || ends <= now)) {
        this.#flights.delete(number);
      }
    }
    return this.#flights.size < before;
  }

  /**
   * Take a report; yield how long it took until messages were reported.
   * @param {Report} report
   * @param {number} now
   * @returns {Generator<number, void, void>}
   */
  * heard({ expected, later }, now) {
    const came = new Set(later);
    const highest = later.at(-1) ?? expected - 1;
    for (const [number, flight] of this.#flights) {
      if (number < expected || came.has(number)) {
        this.#flights.delete(number);
        if (flight.resent === 0) yield now - flight.sentAt;
      } else if (flight.resent === 0 && highest >= number + REORDERED) {
        flight.due = now;
      }
    }
    this.reported = Math.max(this.reported, expected);
    if (this.reported >= this.floor) this.#forwardAt = null;
  }

  /** Send nothing again. */
  forget() {
    this.#flights.clear();
    this.#forwardAt = null;
  }

  /**
   * @param {number} number
   * @param {number} kind
   * @param {Uint8Array} payload
   * @returns {Lossy}
   */
  #frame(number, kind, payload) {
    const report = this.#resends;
    const floor = report ? this.floor : number;
    return { type: "lossy", stream: this.#stream, number, floor, kind, payload, report };
  }
}

/** What one session is sent, and sent again. */
export class Sender {
  /** When to ask it at the latest; null while nothing is to be sent again. */
  /** @type {number | null} */
  deadline = null;
  /** How many messages were not sent, as too many were queued. */
  dropped = 0;
  /** @type {Map<number, Course>} */
  #courses = new Map();
  /** @type {Lossy[]} */
  #ready = [];
  /** @type {number | null} */
  #trip = null;

  get #timeout() {
    if (this.#trip === null) return FIRST_TIMEOUT;
    return Math.min(Math.max(2 * this.#trip, LEAST_TIMEOUT), MOST_TIMEOUT);
  }

  /**
   * Send a message, with the number that it has for everybody, or the next one.
   * @param {number} stream
   * @param {Limits} limits
   * @param {Passing} passing
   * @param {number} now
   */
  send(stream, limits, passing, now) {
    let course = this.#courses.get(stream);
    if (course === undefined) {
      course = new Course(stream, limits);
      this.#courses.set(stream, course);
    }
    this.#ready.push(course.send(passing, now, this.#timeout));
    this.deadline = earlier(this.deadline, course.due);
  }

  /**
   * Return the frames that are to be sent now.
   * @param {number} now
   */
  take(now) {
    if (this.deadline !== null && now >= this.deadline) {
      for (const course of this.#courses.values()) {
        this.#ready.push(...course.settle(now, this.#timeout));
      }
      this.#look();
    }
    const ready = this.#ready;
    this.#ready = [];
    return ready;
  }

  /**
   * Take the receiver's word for what has come.
   * @param {Report} report
   * @param {number} now
   * @throws {InvalidMessage} that was not sent
   */
  heard(report, now) {
    const course = this.#courses.get(report.stream);
    if (course === undefined || (report.later.at(-1) ?? report.expected - 1) >= course.next) {
      throw new InvalidMessage(`a report of what was not sent on stream ${report.stream}`);
    }
    for (const trip of course.heard(report, now)) {
      this.#trip = this.#trip === null ? trip : (7 * this.#trip + trip) / 8;
    }
    this.#look();
  }

  /**
   * Send nothing again of a stream: nobody hears it.
   * @param {number} stream
   */
  forget(stream) {
    this.#courses.get(stream)?.forget();
    this.#look();
  }

  /** Send nothing again; the numbers go on, should the session come back. */
  close() {
    this.#ready = [];
    for (const course of this.#courses.values()) course.forget();
    this.deadline = null;
  }

  #look() {
    this.deadline = null;
    for (const { due } of this.#courses.values()) this.deadline = earlier(this.deadline, due);
  }
}

// --- receiving ------------------------------------------------------------------------

/** What comes on one stream. */
class Arrivals {
  /** How much of it waits, with something for each message. */
  heldBytes = 0;
  #ordered;
  /** In order: the number of the next message to deliver. @type {number | null} */
  #expected = null;
  #newest = -1;
  #floor = 0;
  /** In order: what waits for an earlier one. Else: what has come. */
  /** @type {Map<number, Content>} */
  #waiting = new Map();

  /** @param {boolean} ordered */
  constructor(ordered) {
    this.#ordered = ordered;
  }

  /**
   * Take a frame; return what is to be delivered, in order.
   * @param {Lossy} frame
   */
  receive(frame) {
    this.#floor = Math.max(this.#floor, frame.floor);
    return this.#ordered ? this.#inOrder(frame) : this.#atOnce(frame);
  }

  /** @param {Lossy} frame */
  #inOrder({ number, kind, payload }) {
    this.#expected ??= this.#floor;
    if (number >= this.#expected && !this.#waiting.has(number)) {
      this.#newest = Math.max(this.#newest, kind === FORWARD ? number - 1 : number);
      if (kind !== FORWARD) {
        // A copy: a view would keep the whole datagram.
        this.#waiting.set(number, { kind, payload: payload.slice() });
        this.heldBytes += payload.length + OVERHEAD_BYTES;
      }
    }
    return this.release(Math.max(this.#floor, this.#newest - WINDOW + 1));
  }

  /**
   * Return what waits for nothing that is not below a number; without one: all that waits.
   * @param {number} [floor]
   */
  release(floor = this.#newest + 1) {
    let expected = this.#expected ?? 0;
    const released = [];
    const waiting = [...this.#waiting].sort(([a], [b]) => a - b);
    for (const [number, content] of waiting) {
      if (number > Math.max(expected, floor)) break;
      this.#waiting.delete(number);
      this.heldBytes -= content.payload.length + OVERHEAD_BYTES;
      released.push(content);
      expected = number + 1;
    }
    this.#expected = Math.max(expected, floor);
    return released;
  }

  /** Let go of what waits; of what is put in no order nothing does. */
  rest() {
    if (this.#ordered) this.release();
  }

  /**
   * @param {Lossy} frame
   * @returns {Content[]}
   */
  #atOnce({ number, kind, payload }) {
    const late = number <= this.#newest - WINDOW || this.#waiting.has(number);
    if (late || kind === FORWARD) return [];
    this.#newest = Math.max(this.#newest, number);
    this.#waiting.set(number, { kind: Kind.TEXT, payload: new Uint8Array(0) });
    if (this.#waiting.size >= 2 * WINDOW) {
      for (const old of this.#waiting.keys()) {
        if (old <= this.#newest - WINDOW) this.#waiting.delete(old);
      }
    }
    return [{ kind, payload }];
  }

  /**
   * Return what has come.
   * @param {number} stream
   * @returns {Report}
   */
  report(stream) {
    let expected = this.#expected;
    if (expected === null) {
      expected = Math.max(this.#floor, this.#newest - WINDOW + 1, 0);
      while (this.#waiting.has(expected)) expected += 1;
    }
    const [first, last] = [expected + 1, expected + REPORT_BITS];
    const later = [...this.#waiting.keys()].filter((each) => first <= each && each <= last);
    return { type: "report", stream, expected, later: later.sort((a, b) => a - b) };
  }
}

/** What comes from one session. */
export class Receiver {
  /** When to report; null while nothing is to be reported. @type {number | null} */
  deadline = null;
  /** @type {Map<number, Arrivals>} */
  #streams = new Map();
  /** @type {Set<number>} */
  #news = new Set();
  #heldBytes = 0;

  /**
   * Take a frame; return what is to be delivered, in order.
   * @param {Lossy} frame
   * @param {number} now
   * @param {boolean} ordered
   */
  receive(frame, now, ordered) {
    let arrivals = this.#streams.get(frame.stream);
    if (arrivals === undefined) {
      arrivals = new Arrivals(ordered);
      this.#streams.set(frame.stream, arrivals);
    }
    if (frame.report) {
      this.#news.add(frame.stream);
      this.deadline ??= now + REPORT_DELAY;
    }
    const before = arrivals.heldBytes;
    const released = arrivals.receive(frame);
    this.#heldBytes += arrivals.heldBytes - before;
    if (this.#heldBytes > HELD_BYTES) {
      this.#heldBytes -= arrivals.heldBytes;
      released.push(...arrivals.release());
    }
    return released;
  }

  /**
   * Return the reports that are due.
   * @param {number} now
   */
  take(now) {
    if (this.deadline === null || now < this.deadline) return [];
    this.deadline = null;
    const news = [...this.#news].sort((a, b) => a - b);
    this.#news.clear();
    return news.map((stream) => (
      /** @type {Arrivals} */ (this.#streams.get(stream)).report(stream)));
  }

  /** Hold nothing; the numbers go on, should the session come back. */
  close() {
    for (const arrivals of this.#streams.values()) arrivals.rest();
    this.#heldBytes = 0;
    this.#news.clear();
    this.deadline = null;
  }
}
