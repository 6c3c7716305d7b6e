/**
 * How an application reads what happens in a room; see `subscription.py`.
 * @module
 */

import { ByteStream } from "./bytestream.js";
import { Deflated } from "./core/deflate.js";
import { Queue } from "./queue.js";

/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/** @typedef {import("./events.js").Message} Message */
/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./readers.js").Receipt} Receipt */

/**
 * What an application that does not read may leave lying around. Credit stops senders long
 * before (see `core/credit.js`), but it counts what came over the network: JSON may take
 * many times as much here. For a reader for whom nobody waits, a quarter of it is kept.
 */
export const BUFFER_BYTES = 256 * 1024 * 1024;
/** So many messages that need not arrive wait for a reader, and so much of them. */
export const PASSING = 1024;
export const PASSING_BYTES = 1024 * 1024;
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
    else if (part instanceof Deflated) total += part.payload.byteLength;
    else if (part instanceof Uint8Array) total += part.byteLength;
    else if (Array.isArray(part)) for (const item of part) parts.push(item);
    else if (typeof part === "object" && part !== null) {
      for (const [key, item] of Object.entries(part)) parts.push(key, item);
    }
  }
  return total;
}

/**
 * Return what a message is the latest value of.
 * @param {import("./events.js").Message} message
 */
function slotOf({ peer, channel, direct, key }) {
  return JSON.stringify([peer.sid, peer.id, channel, direct, key]);
}

/**
 * Return whether it is still as it came.
 * @param {unknown} data
 * @returns {data is Deflated}
 */
const isDeflated = (data) => data instanceof Deflated;

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
 * @template T
 * @typedef {{ size: number, event: T | null, receipt: Receipt | null }} Waiting an event that
 *   waits; null in place of a value that has been superseded
 */

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
  /** @type {Queue<Waiting<T>>} */
  #events = new Queue();
  #bytes = 0;
  /** What need not arrive. @type {Queue<{ size: number, event: T }>} */
  #passing = new Queue();
  #passingBytes = 0;
  /** Whether what was taken last need not have arrived: they take turns. */
  #passed = false;
  /** How many messages that need not arrive were dropped here, as newer ones came. */
  skipped = 0;
  /** Those that may be superseded. @type {Map<string, Waiting<T>>} */
  #values = new Map();
  /** How many have been, and are in line. */
  #superseded = 0;
  /** The first of them, while what it says is being expanded. @type {Waiting<T> | null} */
  #expanding = null;
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
   * @param {Pick<import("./readers.js").Ledger, "read" | "expanded">} ledger
   * @param {{ begun?: boolean, other?: Subscription<T> | null }} [options] `other`: begin
   *   with what this one has not handed out yet
   */
  constructor(source, ledger, { begun = true, other = null } = {}) {
    this.#source = source;
    this.#ledger = ledger;
    this.begun = begun;
    if (other === null) return;
    for (const each of other.#events) {
      if (each.receipt !== null) each.receipt.readers += 1;
      if (each.event !== null) this.#events.push({ ...each, event: shared(each.event) });
    }
    for (const each of this.#events) {
      const { event } = each;
      if (event?.type !== "message") continue;
      if (other.#values.has(slotOf(event))) this.#values.set(slotOf(event), each);
    }
    this.#bytes = other.#bytes;
    this.#passing = new Queue(other.#passing);
    this.#passingBytes = other.#passingBytes;
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
    const more = this.#events.length > this.#superseded;
    if (!more && this.#error !== null) return Promise.reject(this.#error);
    if (!more && this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  /** Return the next event that is already here, else null. @returns {T | null} */
  takeNow() {
    this.begun = true;
    return this.#readers.length > 0 ? null : this.#take();
  }

  /** Take the first event; null if there is none, or it is being expanded. */
  #take() {
    if (this.#events.length === this.#superseded) this.#tellDropped();
    if (this.#passing.length > 0 && !(this.#passed && this.#events.length > this.#superseded)) {
      this.#passed = true;
      return this.#takePassing();
    }
    for (let { first } = this.#events; first !== undefined; { first } = this.#events) {
      const { size, event, receipt } = first;
      if (event !== null && event.type === "message" && isDeflated(event.data)) {
        void this.#expand(first, /** @type {T & Message} */ (event), event.data);
        return null;
      }
      this.#events.shift();
      if (event === null) {
        this.#superseded -= 1;
        continue;
      }
      this.#passed = false;
      this.#bytes -= size;
      if (this.#values.size > 0 && event.type === "message") this.#values.delete(slotOf(event));
      if (receipt !== null) this.#ledger.read(receipt);
      return event;
    }
    return null;
  }

  /**
   * Put what the first message says in its place; nothing, if that cannot be made out. It is
   * taken then by who waits for it.
   * @param {Waiting<T>} first
   * @param {T & Message} message
   * @param {Deflated} deflated
   */
  async #expand(first, message, deflated) {
    if (this.#expanding === first) return;
    this.#expanding = first;
    const expanded = /** @type {T | null} */ (await this.#ledger.expanded(message, deflated));
    if (first.event !== message) {
      // Superseded meanwhile.
    } else if (expanded === null) {
      if (first.receipt !== null) this.#ledger.read(first.receipt);
      this.#values.delete(slotOf(message));
      first.event = null;
      first.receipt = null;
      this.#bytes -= first.size;
      this.#superseded += 1;
    } else {
      first.event = expanded;
    }
    this.#expanding = null;
    this.#serve();
  }

  /** Give those who wait what there is. */
  #serve() {
    while (this.#readers.length > 0) {
      const value = this.#take();
      if (value === null) break;
      this.#readers.shift()?.resolve({ done: false, value });
    }
    if (this.#ended && this.#events.length === this.#superseded) this.#finish();
  }

  /**
   * Have a value wait no longer.
   * @param {string} slot
   */
  #supersede(slot) {
    const former = this.#values.get(slot);
    if (former === undefined) return;
    this.#values.delete(slot);
    this.#bytes -= former.size;
    if (former.receipt !== null) this.#ledger.read(former.receipt);
    former.event = null;
    former.receipt = null;
    this.#superseded += 1;
    if (this.#superseded * 2 <= this.#events.length) return;
    this.#events = new Queue([...this.#events].filter(({ event }) => event !== null));
    this.#superseded = 0;
  }

  #takePassing() {
    const first = this.#passing.shift();
    this.#passingBytes -= first?.size ?? 0;
    return first?.event ?? null;
  }

  /**
   * Add a message that need not arrive; called by the room. The oldest are dropped for it.
   * @param {T} event
   */
  putPassing(event) {
    const reader = this.#passing.length === 0 ? this.#readers.shift() : undefined;
    if (reader !== undefined) {
      reader.resolve({ done: false, value: event });
      return;
    }
    const size = event.type === "message" ? sizeOf(event.data) : OVERHEAD_BYTES;
    this.#passing.push({ size, event });
    this.#passingBytes += size;
    while (this.#passing.length > PASSING || this.#passingBytes > PASSING_BYTES) {
      this.#takePassing();
      this.skipped += 1;
    }
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
    for (const each of this.#events) {
      if (each.receipt !== null) this.#ledger.read(each.receipt);
      each.receipt = null;
      if (each.event !== null) streamOf(each.event)?.letGo("nobody was reading here");
    }
  }

  /**
   * Add an event at the end; called by the room.
   * @param {T} event
   * @param {Receipt | null} [receipt] what is owed to the sender of a message
   * @param {boolean} [latest] it is a value, and supersedes the former one of its key
   */
  put(event, receipt = null, latest = false) {
    const idle = this.#readers.length > 0 && this.#events.length === this.#superseded;
    if (idle && !(event.type === "message" && isDeflated(event.data))) {
      if (receipt !== null) this.#ledger.read(receipt);
      this.#readers.shift()?.resolve({ done: false, value: event });
      return;
    }
    const slot = latest && event.type === "message" ? slotOf(event) : null;
    if (slot !== null) this.#supersede(slot);
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
    const waiting = { size, event, receipt };
    this.#events.push(waiting);
    this.#bytes += size;
    if (slot !== null) this.#values.set(slot, waiting);
    if (idle) this.#serve();
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
    if (this.#events.length === this.#superseded) this.#finish();
  }

  /** Tell those who wait that nothing comes. */
  #finish() {
    const error = this.#error;
    for (const { resolve, reject } of this.#readers) {
      if (error === null) resolve({ done: true, value: undefined });
      else reject(error);
    }
    this.#readers = new Queue();
  }

  #tellDropped() {
    for (const { peer, channel, count } of this.#dropped.values()) {
      const event = /** @type {T} */ ({ type: "lost", peer, count, channel });
      this.#events.push({ size: 0, event, receipt: null });
    }
    this.#dropped.clear();
  }
}
