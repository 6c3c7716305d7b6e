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
import { ChannelClosed, InvalidArgument } from "./errors.js";
import { Readers } from "./readers.js";

/** @typedef {import("./events.js").Message} Message */
/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./transfer.js").Source} Source */
/**
 * @typedef {object} ChannelOptions
 * @property {"reliable"} [delivery] what is promised of what we send: everything once and in
 *   order
 * @property {"high" | "normal" | "low"} [priority] while several channels have something to
 *   send, they share the link 16 to 4 to 1
 * @property {boolean} [receive] false if we only send on it, and do not want to hear
 * @property {boolean} [keep] false if nobody will iterate over the channel itself, only over
 *   its subscriptions
 */
/**
 * What a channel needs of its room.
 * @typedef {object} ChannelRoom
 * @property {boolean} closed
 * @property {import("./readers.js").Ledger} ledger
 * @property {(channel: string, data: import("./events.js").Data | Source,
 *   options: { to?: Peer | string, signal?: AbortSignal }) => Promise<void>} send
 * @property {(channel: string, data: import("./events.js").Data,
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
  const { delivery = "reliable", priority = "normal", receive = true, keep = true } = options;
  if (typeof name !== "string" || !CHANNEL_NAME.test(name)) {
    throw new InvalidArgument("a channel's name is 1 to 64 of A-Z a-z 0-9 . _ -");
  }
  if (!DELIVERIES.includes(delivery)) {
    throw new InvalidArgument(`delivery is one of ${DELIVERIES.join(", ")}`);
  }
  if (!Object.hasOwn(Priority, priority)) {
    throw new InvalidArgument(`priority is one of ${Object.keys(Priority).join(", ")}`);
  }
  return { delivery, priority, receive: Boolean(receive), keep: Boolean(keep) };
}

/** A channel of a room; made by `Room.channel`. */
export class Channel {
  /** What everybody knows it by. */
  name;
  #room;
  #readers;
  #closed = false;

  /**
   * Use `Room.channel`.
   * @param {ChannelRoom} room
   * @param {string} name
   * @param {boolean} keep whether what comes waits for who iterates over it
   */
  constructor(room, name, keep) {
    this.#room = room;
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
   * `Room.send`; the order of sending holds within the channel.
   * @template T
   * @param {(T & import("./events.js").Sendable<T>) | Source} data a string, bytes, or a JSON
   *   value, up to 8 MiB encoded; or a stream of any size
   * @param {{ to?: Peer | string, signal?: AbortSignal }} [options] `to`: a peer or its
   *   id, else everybody
   * @returns {Promise<void>}
   * @throws {ChannelClosed} the channel was closed
   * @throws {NotListening} `to` has not opened the channel
   */
  async send(data, options = {}) {
    this.#check();
    const sent = /** @type {import("./events.js").Data | Source} */ (data);
    await this.#room.send(this.name, sent, options);
  }

  /**
   * Send a message if that can be done without waiting; see `send`.
   * @template T
   * @param {T & import("./events.js").Sendable<T>} data
   * @param {{ to?: Peer | string }} [options]
   * @throws {WouldWait} too much is waiting already; nothing was sent
   */
  sendNow(data, { to } = {}) {
    this.#check();
    this.#room.sendNow(this.name, /** @type {import("./events.js").Data} */ (data), to);
  }

  /**
   * Wait until all that was sent so far has arrived, wherever it is owed. Who goes away
   * meanwhile, or is cut loose, is waited for no longer: events of the room tell.
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
   */
  deliver(message, source) {
    this.#readers.deliver(message, source);
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
