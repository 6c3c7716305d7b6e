/**
 * What comes from one session: its streams, put together, and acknowledged in time.
 * See `core/receiving.py`.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { Rule } from "./channels.js";
import { Deflated } from "./deflate.js";
import { content, DEFLATED, Kind } from "./frames.js";
import { LatestIncoming, unwrap } from "./latest.js";
import { Ending, IncomingTransfers } from "./pieces.js";
import { ACK_DELAY, Incoming } from "./streams.js";
import { Scattered } from "./unordered.js";

const RULES = new Set(/** @type {number[]} */ (Object.values(Rule)));
/** What puts streams together; of what may be lost there are none. */
const KINDS = new Map(/** @type {[number, typeof Incoming | typeof Scattered |
 *   typeof LatestIncoming][]} */ ([
    [Rule.RELIABLE, Incoming], [Rule.UNORDERED, Scattered], [Rule.LATEST, LatestIncoming],
  ]));
/** Seconds after which a message that is too large for what is free is tried again. */
const RETRY = 0.1;

/** @typedef {Incoming | Scattered | LatestIncoming} Arriving */
/** @typedef {import("./frames.js").Begin} Begin */
/** @typedef {import("./frames.js").Wants} Wants */
/**
 * A message that is whole: the name of its channel, what it came on, and what must be read
 * of the stream for its sender to send more. `key`: what it is the latest value of, maybe
 * empty; null for any other message.
 * @typedef {{ type: "content-arrived", channel: string,
 *   data: import("../events.js").Data | Deflated, stream: number, cost: number,
 *   key: string | null }} ContentArrived
 */
/**
 * A piece of a transfer (see `pieces.js`), or that one is missed: the name of its channel,
 * what it came on, which transfer of that it is, whether it is the first of it, how it stands
 * with it now, and what must be read of the stream for its sender to send more.
 * @typedef {{ type: "piece-arrived", channel: string, stream: number, transfer: number,
 *   begins: boolean, payload: Uint8Array, ending: number, cost: number }} PieceArrived
 */

/** The receiving half of a link. */
export class Inbox {
  /** Whether the other side has ever sent anything, or could have. */
  begun = false;
  /** When to acknowledge what arrived; null when that is done. @type {number | null} */
  ackDue = null;
  #channels;
  #budget;
  /** @type {Map<number, Arriving>} */
  #streams = new Map();
  /** @type {Map<number, string>} */
  #names = new Map();
  /** @type {Map<number, number>} */
  #rules = new Map();
  /** @type {Set<number>} */
  #news = new Set();
  /** @type {Map<number, IncomingTransfers>} */
  #transfers = new Map();
  /** @type {number[]} */
  #broken = [];

  /**
   * @param {import("./channels.js").Channels} channels
   * @param {import("./credit.js").Budget} budget
   */
  constructor(channels, budget) {
    this.#channels = channels;
    this.#budget = budget;
  }

  /**
   * Return what is wanted of each stream, for a new connection.
   * @returns {Wants}
   */
  begin() {
    return new Map([...this.#streams].map(([stream, incoming]) => [stream, incoming.want()]));
  }

  /**
   * Take note of a channel, and where its streams begin.
   * @param {import("./frames.js").Name} frame
   * @param {number} now
   * @throws {InvalidMessage} it had another name, or another channel has that name
   */
  name({ channel, rule, name, everybody, alone }, now) {
    const known = this.#names.get(channel);
    if (known === undefined) {
      if ([...this.#names.values()].includes(name)) {
        throw new InvalidMessage(`two channels of the name ${name}`);
      }
      if (!RULES.has(rule)) throw new InvalidMessage(`an unknown delivery rule, ${rule}`);
      this.#names.set(channel, name);
      this.#rules.set(channel, rule);
    } else if (known !== name) {
      throw new InvalidMessage(`the channel ${known} has another name, ${name}`);
    } else if (this.#rules.get(channel) !== rule) {
      throw new InvalidMessage(`the channel ${known} has another delivery rule, ${rule}`);
    }
    const kind = KINDS.get(rule);
    if (kind === undefined) return;
    this.#begin(2 * channel, everybody, kind, now);
    this.#begin(2 * channel + 1, alone, kind, now);
  }

  /**
   * Return the channel of a stream that may lose, and whether it is put in order; null if
   * it is not known, or nobody listens.
   * @param {number} stream
   * @throws {InvalidMessage} nothing may be lost of it
   */
  lossy(stream) {
    const name = this.#names.get(stream >> 1);
    const rule = this.#rules.get(stream >> 1);
    if (rule !== undefined && KINDS.has(rule)) {
      throw new InvalidMessage(`stream ${stream} may not lose`);
    }
    if (name === undefined || !this.#channels.listens(name)) return null;
    return { name, ordered: rule === Rule.LOSSY };
  }

  /**
   * @param {number} stream
   * @param {Begin} begin
   * @param {new (begin: Begin, budget: import("./credit.js").Budget) => Arriving} Arrival
   * @param {number} now
   */
  #begin(stream, begin, Arrival, now) {
    const incoming = this.#streams.get(stream);
    if (incoming === undefined) {
      this.#streams.set(stream, new Arrival(begin, this.#budget));
    } else if (incoming.passTo(begin)) {
      this.#breakOff(stream);
      this.#tell(stream, now);
    }
  }

  /**
   * Take a fragment; return what it completes, if we want to hear it.
   * @param {import("./frames.js").Fragment} fragment
   * @param {number} now
   * @param {boolean} [lossy] it came over a path that may lose: what leaves a gap is ignored
   * @returns {ContentArrived | PieceArrived | null}
   * @throws {InvalidMessage} it makes no sense, here or at all
   */
  receive(fragment, now, lossy = false) {
    const { stream } = fragment;
    const incoming = this.#streams.get(stream);
    if (incoming === undefined) {
      if (lossy) return null;
      throw new InvalidMessage(`stream ${stream} has not begun`);
    }
    if (fragment.kind === Kind.PIECE && !(incoming instanceof Incoming)) {
      throw new InvalidMessage(`a piece on stream ${stream}, which is not reliable`);
    }
    const whole = incoming.receive(fragment, lossy);
    this.#tell(stream, now + ACK_DELAY);
    const channel = this.#nameOf(stream);
    const heard = this.#channels.listens(channel);
    if (!heard) {
      incoming.discard();
      this.#transfers.delete(stream);
    }
    const { credit } = incoming;
    if (credit.position >= credit.due) this.#tell(stream, now);
    if (whole === null || !heard) return null;
    const { cost } = whole;
    try {
      if (whole.kind === Kind.PIECE) return this.#piece(fragment, channel, incoming, cost);
      const { key, payload } = incoming instanceof LatestIncoming
        ? unwrap(whole.payload) : { key: null, payload: whole.payload };
      const kind = whole.kind & ~DEFLATED;
      const data = kind === whole.kind ? content(kind, payload) : new Deflated(kind, payload.slice());
      return { type: "content-arrived", channel, data, stream, cost, key };
    } catch (error) {
      credit.read(cost);
      throw error;
    }
  }

  /**
   * @param {import("./frames.js").Fragment} fragment
   * @param {string} channel
   * @param {Arriving} incoming
   * @param {number} cost
   * @returns {PieceArrived | null}
   */
  #piece(fragment, channel, { credit }, cost) {
    const { stream } = fragment;
    const piece = this.#transfersOf(stream).take(fragment);
    if (piece === null || piece.ending === Ending.MISSED) credit.read(cost);
    if (piece === null) return null;
    const { transfer, payload, ending } = piece;
    const begins = transfer === fragment.number;
    return { type: "piece-arrived", channel, stream, transfer, begins, payload, ending, cost };
  }

  /** Return the streams whose transfers have broken since this was last asked. */
  broken() {
    const broken = this.#broken;
    this.#broken = [];
    return broken;
  }

  /** @param {number} stream */
  #transfersOf(stream) {
    const transfers = this.#transfers.get(stream) ?? new IncomingTransfers();
    this.#transfers.set(stream, transfers);
    return transfers;
  }

  /**
   * @param {number} stream
   * @param {{ start: number, stop: number } | null} [gap]
   */
  #breakOff(stream, gap = null) {
    const transfers = gap === null ? this.#transfers.get(stream) : this.#transfersOf(stream);
    if (transfers?.breakOff(gap)) this.#broken.push(stream);
  }

  /**
   * Take note that the application has read so much of a stream.
   * @param {number} stream
   * @param {number} size
   * @param {number} now
   */
  read(stream, size, now) {
    const incoming = this.#streams.get(stream);
    if (incoming === undefined) return;
    incoming.credit.read(size);
    this.#tell(stream, now + ACK_DELAY);
  }

  /**
   * Go to where the stream goes on; return its channel, and how many messages that loses.
   * @param {import("./frames.js").Skip} skip
   * @param {number} now
   * @returns {{ channel: string, lost: number }}
   * @throws {InvalidMessage} it makes no sense
   */
  skip({ stream, to }, now) {
    const incoming = this.#streams.get(stream);
    // What is not known cannot be missed; its name will say.
    if (incoming === undefined) return { channel: "", lost: 0 };
    this.#tell(stream, now);
    const channel = this.#nameOf(stream);
    const start = incoming.expected;
    const lost = incoming.skip(to);
    if (to.number > start) this.#breakOff(stream, { start, stop: to.number });
    return { channel, lost: this.#channels.listens(channel) ? lost : 0 };
  }

  /**
   * Return the acknowledgement that is owed, as if it was sent; null if none is.
   * `tryAgain` is due then.
   * @returns {import("./frames.js").Ack | null}
   */
  acknowledge() {
    if (this.ackDue === null) return null;
    this.ackDue = null;
    /** @type {Wants} */
    const wants = new Map();
    const waiting = new Set();
    for (const stream of [...this.#news].sort((a, b) => a - b)) {
      const incoming = /** @type {Arriving} */ (this.#streams.get(stream));
      wants.set(stream, incoming.want());
      if (incoming.credit.waiting) waiting.add(stream);
    }
    this.#news = waiting;
    return { type: "ack", wants };
  }

  /**
   * See later whether there is something for those who wait for the reserve.
   * @param {number} now
   */
  tryAgain(now) {
    if (this.#news.size > 0) this.ackDue ??= now + RETRY;
  }

  /** All that have begun. */
  get streams() {
    return this.#streams.keys();
  }

  /**
   * Owe an acknowledgement of these now, again: a former one may be lost.
   * @param {Iterable<number>} streams
   * @param {number} now
   */
  tell(streams, now) {
    for (const stream of streams) this.#news.add(stream);
    this.ackDue = now;
  }

  /** What the messages that are not whole yet have cost so far. */
  get assembling() {
    return [...this.#streams.values()].reduce((sum, { assembling }) => sum + assembling, 0);
  }

  /** Hold no message that is whole; what is known of the streams remains, for `again`. */
  close() {
    this.#transfers.clear();
    for (const { credit, assembling } of this.#streams.values()) credit.close(assembling);
  }

  /** Go on with the same session. */
  again() {
    for (const { credit } of this.#streams.values()) credit.reopen();
  }

  /** @param {number} stream */
  #nameOf(stream) {
    return /** @type {string} */ (this.#names.get(stream >> 1));
  }

  /**
   * Acknowledge a stream at that time, or sooner.
   * @param {number} stream
   * @param {number} due
   */
  #tell(stream, due) {
    this.#news.add(stream);
    if (this.ackDue === null || due < this.ackDue) this.ackDue = due;
  }
}
