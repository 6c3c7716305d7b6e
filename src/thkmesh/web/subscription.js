/**
 * How an application reads what happens in a room; see `subscription.py`.
 * @module
 */

import { Queue } from "./queue.js";

/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/** @typedef {import("./events.js").Peer} Peer */

/** What an application that does not read may leave lying around. */
export const BUFFER_BYTES = 64 * 1024 * 1024;
const OVERHEAD_BYTES = 64;

/**
 * Return about how many bytes a message takes.
 * @param {import("./events.js").Data} data
 * @returns {number}
 */
function sizeOf(data) {
  let total = 0;
  // Not recursive: how deep a peer nests its JSON is up to the peer.
  const parts = [data];
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
 * One reader's view of what happens in a room, in order.
 *
 * Iterating ends when the room is left, and throws if it ended otherwise. What is not
 * taken waits, up to 64 MiB; then messages are dropped and a `lost` says how many.
 * @implements {AsyncIterableIterator<MeshEvent, undefined>}
 */
export class Subscription {
  #room;
  /** @type {Queue<{ size: number, event: MeshEvent }>} */
  #events = new Queue();
  #bytes = 0;
  /** @type {Map<Peer, number>} */
  #dropped = new Map();
  /** @type {Queue<{ resolve: (result: IteratorResult<MeshEvent, undefined>) => void,
   *   reject: (error: Error) => void }>} */
  #readers = new Queue();
  #ended = false;
  /** @type {Error | null} */
  #error = null;

  /**
   * Use `Room.subscribe`.
   * @param {{ unsubscribe(subscription: Subscription): void }} room
   * @param {Subscription | null} [other] begin with what this one has not handed out yet
   */
  constructor(room, other = null) {
    this.#room = room;
    if (other === null) return;
    this.#events = new Queue(other.#events);
    this.#bytes = other.#bytes;
    this.#dropped = new Map(other.#dropped);
  }

  /** Iterating takes each event once. */
  [Symbol.asyncIterator]() {
    return this;
  }

  /**
   * Return the next event.
   * @returns {Promise<IteratorResult<MeshEvent, undefined>>}
   */
  next() {
    const event = this.takeNow();
    if (event !== null) return Promise.resolve({ done: false, value: event });
    if (this.#error !== null) return Promise.reject(this.#error);
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
  }

  /** Return the next event that is already here, else null. @returns {MeshEvent | null} */
  takeNow() {
    if (this.#events.length === 0) this.#tellDropped();
    const first = this.#events.shift();
    if (first === undefined) return null;
    this.#bytes -= first.size;
    return first.event;
  }

  /** Leaving a `for await` loop early keeps what follows for the next one. */
  return() {
    return Promise.resolve(/** @type {const} */ ({ done: true, value: undefined }));
  }

  /** Take no more events. */
  close() {
    this.#room.unsubscribe(this);
    this.end(null);
  }

  /**
   * Add an event at the end; called by the room.
   * @param {MeshEvent} event
   */
  put(event) {
    const reader = this.#readers.shift();
    if (reader !== undefined) {
      reader.resolve({ done: false, value: event });
      return;
    }
    const size = event.type === "message" ? sizeOf(event.data) : OVERHEAD_BYTES;
    if (this.#bytes + size > BUFFER_BYTES) {
      if (event.type === "message") {
        this.#dropped.set(event.peer, (this.#dropped.get(event.peer) ?? 0) + 1);
        return;
      }
      // Whoever misbehaves decides how often. Other events are few, and never dropped.
      if (event.type === "refused") return;
    }
    this.#tellDropped();
    this.#events.push({ size, event });
    this.#bytes += size;
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
    for (const [peer, count] of this.#dropped) {
      this.#events.push({ size: 0, event: { type: "lost", peer, count } });
    }
    this.#dropped.clear();
  }
}
