/**
 * How an application reads what happens in a room; see `subscription.py`.
 * @module
 */

import { ByteStream } from "./bytestream.js";
import { Queue } from "./queue.js";

/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./readers.js").Receipt} Receipt */

/**
 * What an application that does not read may leave lying around. Credit stops senders long
 * before (see `core/credit.js`), but it counts what came over the network: JSON may take
 * many times as much here. For a reader for whom nobody waits, a quarter of it is kept.
 */
export const BUFFER_BYTES = 256 * 1024 * 1024;
const OVERHEAD_BYTES = 64;

/**
 * Return about how many bytes a message takes.
 * @param {import("./events.js").Content} data
 * @returns {number}
 */
function sizeOf(data) {
  let total = 0;
  // Not recursive: how deep a peer nests its JSON is up to the peer.
  const parts = /** @type {any[]} */ ([data]);
  while (parts.length > 0) {
    const part = parts.pop();
    total += OVERHEAD_BYTES;
    if (typeof part === "string") total += 2 * part.length;
    else if (part instanceof Uint8Array) total += part.byteLength;
    else if (Array.isArray(part)) for (const item of part) parts.push(item);
    else if (typeof part === "object" && part !== null) {
      for (const [key, item] of Object.entries(part)) parts.push(key, item);
    }
  }
  return total;
}

/**
 * Return the stream that an event is about; null if it is about none.
 * @param {MeshEvent} event
 */
function streamOf(event) {
  return event.type === "message" && event.data instanceof ByteStream ? event.data : null;
}

/**
 * Return an event for another reader: of a stream each has its own.
 * @template {MeshEvent} T
 * @param {T} event
 * @returns {T}
 */
function shared(event) {
  const stream = streamOf(event);
  return stream === null ? event : { ...event, data: stream.share() };
}

/**
 * One reader's view of what happens in a room, or on a channel, in order.
 *
 * Iterating ends when the room is left or the channel closed, and throws if the room ended
 * otherwise. What is not taken waits, and so do, before long, those who send it: `close`
 * one that is not read any more.
 * @template {MeshEvent} [T=MeshEvent]
 * @implements {AsyncIterableIterator<T, undefined>}
 */
export class Subscription {
  /** Whether somebody reads it, or is certain to. */
  begun;
  #source;
  #ledger;
  /** @type {Queue<{ size: number, event: T, receipt: Receipt | null }>} */
  #events = new Queue();
  #bytes = 0;
  /** @type {Map<string, { peer: Peer, channel: string, count: number }>} */
  #dropped = new Map();
  /** @type {Queue<{ resolve: (result: IteratorResult<T, undefined>) => void,
   *   reject: (error: Error) => void }>} */
  #readers = new Queue();
  #ended = false;
  /** @type {Error | null} */
  #error = null;

  /**
   * Use `Room.subscribe` or `Channel.subscribe`.
   * @param {{ unsubscribe(subscription: Subscription<T>): void }} source
   * @param {{ read(receipt: Receipt): void }} ledger
   * @param {{ begun?: boolean, other?: Subscription<T> | null }} [options] `other`: begin
   *   with what this one has not handed out yet
   */
  constructor(source, ledger, { begun = true, other = null } = {}) {
    this.#source = source;
    this.#ledger = ledger;
    this.begun = begun;
    if (other === null) return;
    for (const { receipt } of other.#events) if (receipt !== null) receipt.readers += 1;
    const events = [...other.#events];
    this.#events = new Queue(events.map((each) => ({ ...each, event: shared(each.event) })));
    this.#bytes = other.#bytes;
    this.#dropped = new Map(other.#dropped);
  }

  /** Iterating takes each event once. */
  [Symbol.asyncIterator]() {
    this.begun = true;
    return this;
  }

  /**
   * Return the next event.
   * @returns {Promise<IteratorResult<T, undefined>>}
   */
  next() {
    const event = this.takeNow();
    if (event !== null) return Promise.resolve({ done: false, value: event });
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  /** Return the next event that is already here, else null. @returns {T | null} */
  takeNow() {
    this.begun = true;
    if (this.#events.length === 0) this.#tellDropped();
    const first = this.#events.shift();
    if (first === undefined) return null;
    this.#bytes -= first.size;
    if (first.receipt !== null) this.#ledger.read(first.receipt);
    return first.event;
  }

  /** Leaving a `for await` loop early keeps what follows for the next one. */
  return() {
    return Promise.resolve(/** @type {const} */ ({ done: true, value: undefined }));
  }

  /** Take no more events. */
  close() {
    this.#source.unsubscribe(this);
    this.letGo();
    this.end(null);
  }

  /** Give the receipts for all that waits: it may never be taken. */
  letGo() {
    const events = [...this.#events];
    for (const { event, receipt } of events) {
      if (receipt !== null) this.#ledger.read(receipt);
      streamOf(event)?.letGo("nobody was reading here");
    }
    this.#events = new Queue(events.map((each) => ({ ...each, receipt: null })));
  }

  /**
   * Add an event at the end; called by the room.
   * @param {T} event
   * @param {Receipt | null} [receipt] what is owed to the sender of a message
   */
  put(event, receipt = null) {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      if (receipt !== null) this.#ledger.read(receipt);
      reader.resolve({ done: false, value: event });
      return;
    }
    const size = event.type === "message" ? sizeOf(event.data) : OVERHEAD_BYTES;
    if (this.#bytes + size > (receipt === null ? BUFFER_BYTES / 4 : BUFFER_BYTES)) {
      if (event.type === "message") {
        if (receipt !== null) this.#ledger.read(receipt);
        streamOf(event)?.cancel();
        this.#drop(event);
        return;
      }
      // Whoever misbehaves decides how often. Other events are few, and never dropped.
      if (event.type === "refused") return;
    }
    this.#tellDropped();
    this.#events.push({ size, event, receipt });
    this.#bytes += size;
  }

  /** @param {import("./events.js").Message} message */
  #drop({ peer, channel }) {
    const key = `${peer.sid} ${peer.id} ${channel}`;
    const known = this.#dropped.get(key);
    this.#dropped.set(key, { peer, channel, count: (known?.count ?? 0) + 1 });
  }

  /**
   * Let readers know that nothing more comes; called by the room. What came first holds.
   * @param {Error | null} error why, null if the room was left
   */
  end(error) {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    for (const { resolve, reject } of this.#readers) {
      if (error === null) resolve({ done: true, value: undefined });
      else reject(error);
    }
  }

  #tellDropped() {
    for (const { peer, channel, count } of this.#dropped.values()) {
      const event = /** @type {T} */ ({ type: "lost", peer, count, channel });
      this.#events.push({ size: 0, event, receipt: null });
    }
    this.#dropped.clear();
  }
}
