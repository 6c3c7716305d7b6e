/**
 * Channels: messages of one kind in a room, apart from all others.
 *
 *     const cursors = room.channel("cursors", { priority: "high" });
 *     await cursors.send({ x: 3, y: 4 });
 *     for await (const message of cursors) console.log(message.peer.name, message.data);
 * @module
 */

import { DELIVERIES, Priority } from "./core/channels.js";
import { CHANNEL_NAME } from "./core/frames.js";
import { checkStream, pack } from "./core/packing.js";
import { ChannelClosed, InvalidArgument } from "./errors.js";
import { Readers } from "./readers.js";
import { checkNoStream, isStream } from "./transfer.js";

/** @typedef {import("./events.js").Message} Message */
/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./transfer.js").Source} Source */
/**
 * @typedef {object} ChannelOptions
 * @property {import("./core/channels.js").Delivery} [delivery] what is promised of what we
 *   send. `reliable`: everything once and in order. `unordered`: everything once. `latest`:
 *   of each key the latest value, which who comes later gets too. `realtime`: what is not
 *   late and not lost, in order, up to 1,100 bytes each. Absent: what the next three amount
 *   to, else `reliable`
 * @property {boolean} [ordered] false: without `realtime` and limits that is `unordered`, with
 *   them a message is delivered also behind a later one
 * @property {number} [maxRetransmits] a message is sent again so often, at most, then given up
 * @property {number} [maxPacketLifeTime] milliseconds, as W3C has it, after which it is given
 *   up; not with the former
 * @property {"high" | "normal" | "low"} [priority] while several channels have something to
 *   send, they share the link 16 to 4 to 1
 * @property {boolean} [compress] whether messages of over 1 KiB travel compressed where that
 *   saves an eighth: absent, text and JSON do; true, bytes too; false, nothing does
 * @property {boolean} [receive] false if we only send on it, and do not want to hear
 * @property {boolean} [keep] false if nobody will iterate over the channel itself, only over
 *   its subscriptions
 */
/**
 * What a channel needs of its room.
 * @typedef {object} ChannelRoom
 * @property {boolean} closed
 * @property {import("./readers.js").Ledger} ledger
 * @property {(channel: string, packed: import("./core/packing.js").Packed,
 *   options: { to?: Peer | string, signal?: AbortSignal }) => Promise<void>} send
 * @property {(channel: string, source: Source,
 *   options: { to?: Peer | string, signal?: AbortSignal }) => Promise<void>} sendStream
 * @property {(channel: string, packed: import("./core/packing.js").Packed,
 *   to: Peer | string | undefined) => void} sendNow
 * @property {(channel: string, signal?: AbortSignal) => Promise<void>} flush
 * @property {(channel: Channel) => void} forget
 */

/**
 * Return the options in full.
 * @param {string} name
 * @param {ChannelOptions} options
 * @throws {InvalidArgument} there is no such thing
 */
export function checkedChannel(name, options) {
  const { priority = "normal", receive = true, keep = true, compress = null } = options;
  if (typeof name !== "string" || !CHANNEL_NAME.test(name)) {
    throw new InvalidArgument("a channel's name is 1 to 64 of A-Z a-z 0-9 . _ -");
  }
  const { delivery, limits } = ruled(options);
  if (!Object.hasOwn(Priority, priority)) {
    throw new InvalidArgument(`priority is one of ${Object.keys(Priority).join(", ")}`);
  }
  if (![true, false, null].includes(compress)) {
    throw new InvalidArgument("compress is true, false, or absent");
  }
  const [reliable, latest] = [delivery === "reliable", delivery === "latest"];
  const packing = { reliable, latest, lossy: limits !== null, compress };
  return { delivery, limits, priority, receive: Boolean(receive), keep: Boolean(keep), packing };
}

/** As in W3C's RTCDataChannelInit, which has limits in 16 bits. */
const LIMIT = 65535;

/** @typedef {import("./core/realtime.js").Limits} Limits */

/**
 * Return what the options of delivery amount to.
 * @param {ChannelOptions} options
 * @returns {{ delivery: import("./core/channels.js").Delivery, limits: Limits | null }}
 * @throws {InvalidArgument} there is no such thing, or they contradict each other
 */
function ruled({ delivery, ordered, maxRetransmits, maxPacketLifeTime }) {
  const limited = isLimited(maxRetransmits, maxPacketLifeTime);
  if (![undefined, true, false].includes(ordered)) {
    throw new InvalidArgument("ordered is true or false");
  }
  const usual = ordered === false ? "unordered" : "reliable";
  const found = delivery ?? (limited ? "realtime" : usual);
  if (!DELIVERIES.includes(found)) {
    throw new InvalidArgument(`delivery is one of ${DELIVERIES.join(", ")}`);
  }
  if (found === "realtime") {
    const lifeTime = maxPacketLifeTime === undefined ? null : maxPacketLifeTime / 1000;
    const times = limited ? maxRetransmits ?? null : 0;
    const limits = { ordered: ordered ?? true, maxRetransmits: times, lifeTime };
    return { delivery: found, limits };
  }
  if (limited) {
    throw new InvalidArgument(`nothing ${found} is given up: leave delivery out, or have it `
      + "realtime, with maxRetransmits or maxPacketLifeTime");
  }
  if (ordered !== undefined && ordered !== (found === "reliable")) {
    throw new InvalidArgument(
      `delivery ${found} and ordered ${ordered} contradict each other: leave one of them out`);
  }
  return { delivery: found, limits: null };
}

/**
 * Return whether there is a limit.
 * @param {number | undefined} times
 * @param {number | undefined} life milliseconds
 * @throws {InvalidArgument} there are two, or one is out of bounds
 */
function isLimited(times, life) {
  if (times !== undefined && life !== undefined) {
    throw new InvalidArgument("give maxRetransmits or maxPacketLifeTime, not both");
  }
  if (times !== undefined && !(Number.isInteger(times) && times >= 0 && times <= LIMIT)) {
    throw new InvalidArgument(`maxRetransmits is a number from 0 to ${LIMIT}`);
  }
  if (life !== undefined && !(Number.isFinite(life) && life >= 0 && life <= LIMIT)) {
    throw new InvalidArgument(`maxPacketLifeTime is 0 to ${LIMIT} milliseconds`);
  }
  return times !== undefined || life !== undefined;
}

/** A channel of a room; made by `Room.channel`. */
export class Channel {
  /** What everybody knows it by. */
  name;
  #room;
  #packing;
  #readers;
  #closed = false;

  /**
   * Use `Room.channel`.
   * @param {ChannelRoom} room
   * @param {string} name
   * @param {import("./core/packing.js").Packing} packing
   * @param {boolean} keep whether what comes waits for who iterates over it
   */
  constructor(room, name, packing, keep) {
    this.#room = room;
    this.#packing = packing;
    this.name = name;
    /** @type {Readers<Message>} */
    this.#readers = new Readers(room.ledger, keep);
  }

  /** Whether the channel was closed, or the room has ended. */
  get closed() {
    return this.#closed || this.#room.closed;
  }

  /**
   * Send a message to everybody who has opened the channel, or to one of them. As
   * `Room.send`; the order of sending holds within the channel, unless it was opened with a
   * rule that says otherwise. Where messages may be lost, it resolves at once.
   * @template T
   * @param {(T & import("./events.js").Sendable<T>) | Source} data a string, bytes, or a JSON
   *   value, up to 8 MiB encoded, or 1,100 bytes where messages may be lost; or, with delivery
   *   "reliable", a stream of any size
   * @param {{ to?: Peer | string, key?: string | null, signal?: AbortSignal }} [options]
   *   `to`: a peer or its id, else everybody; `key`: with delivery "latest", what the data is
   *   the latest value of, 1 to 64 characters, absent if the channel has one value
   * @returns {Promise<void>}
   * @throws {ChannelClosed} the channel was closed
   * @throws {ChannelFull} it holds as many keys, or bytes, of latest values as it may
   * @throws {NotListening} `to` has not opened the channel
   */
  async send(data, options = {}) {
    this.#check();
    if (isStream(data)) {
      checkStream(this.#packing, options.key);
      await this.#room.sendStream(this.name, data, options);
    } else {
      await this.#room.send(this.name, this.#pack(data, options.key), options);
    }
  }

  /**
   * Send a message, no stream, if that can be done without waiting; see `send`.
   * @template T
   * @param {T & import("./events.js").Sendable<T>} data
   * @param {{ to?: Peer | string, key?: string | null }} [options]
   * @throws {WouldWait} too much is waiting already; nothing was sent
   */
  sendNow(data, { to, key } = {}) {
    this.#check();
    checkNoStream(data);
    this.#room.sendNow(this.name, this.#pack(data, key), to);
  }

  /**
   * @param {unknown} data
   * @param {unknown} key
   */
  #pack(data, key) {
    return pack(this.#packing, /** @type {import("./events.js").Data} */ (data), key);
  }

  /**
   * Wait until all that was sent so far has arrived, wherever it is owed. Who goes away
   * meanwhile, or is cut loose, is waited for no longer: events of the room tell. What may
   * be lost is not waited for.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<void>}
   * @throws {RoomClosed} the room was left before that
   */
  async flush({ signal } = {}) {
    await this.#room.flush(this.name, signal);
  }

  /** Iterate over the messages since the channel was opened; ends when it is closed. */
  [Symbol.asyncIterator]() {
    return this.#readers.main;
  }

  /** Return another, independent view of all messages from now on. */
  subscribe() {
    return this.#readers.subscribe();
  }

  /**
   * Take a message; called by the room.
   * @param {Message} message
   * @param {import("./readers.js").Source} source
   * @param {boolean} latest it supersedes what was said under its key before
   */
  deliver(message, source, latest) {
    this.#readers.deliver(message, source, latest);
  }

  /**
   * Take a message that begins; called by the room.
   * @param {Peer} peer
   * @param {string} source
   * @param {import("./core/receiving.js").PieceArrived} piece
   */
  deliverStream(peer, source, piece) {
    return this.#readers.deliverStream(peer, source, piece);
  }

  /**
   * Let readers know that nothing more comes; called by the room.
   * @param {Error | null} error
   */
  end(error) {
    this.#readers.end(error);
  }

  /**
   * Deliver what was sent, then hear and send no more; harmless when done before.
   * Iterating ends after the messages that wait.
   * @throws {RoomClosed} the room was left before all was delivered
   */
  async close() {
    if (this.closed) return;
    this.#closed = true;
    try {
      await this.flush();
    } finally {
      this.#room.forget(this);
      this.#readers.letGo();
      this.#readers.end(null);
    }
  }

  #check() {
    if (this.#closed) throw new ChannelClosed(`the channel ${this.name} was closed`);
  }
}
