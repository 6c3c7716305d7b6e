/**
 * Messages of any size on their way out: chunks of a source go in, pieces come out; see
 * `transfer.py`.
 * @module
 */

import { PIECE_BYTES } from "./core/pieces.js";
import { InvalidArgument } from "./errors.js";
import { unlessAborted } from "./patience.js";

/** A source waits while so much of it has not been sent. */
const AHEAD_BYTES = 2 * PIECE_BYTES;

/** @typedef {ArrayBuffer | ArrayBufferView} Chunk */
/** @typedef {AsyncIterable<Chunk> | ReadableStream<Chunk>} Source */

/**
 * Return whether this is sent as a stream.
 * @param {unknown} data
 * @returns {data is Source}
 */
export function isStream(data) {
  return typeof data === "object" && data !== null
    && (Symbol.asyncIterator in data || data instanceof ReadableStream);
}

/**
 * See that data can be sent at once.
 * @param {unknown} data
 * @throws {InvalidArgument} it is a stream
 */
export function checkNoStream(data) {
  if (isStream(data)) throw new InvalidArgument("a stream takes its time: use send");
}

/**
 * Return what yields the chunks of a source. Not every browser can iterate over a
 * ReadableStream (https://caniuse.com/mdn-api_readablestream_--asynciterator).
 * @param {Source} source
 * @returns {{ next(): Promise<IteratorResult<unknown>>, end(reason: unknown): unknown }}
 */
function chunksOf(source) {
  if (source instanceof ReadableStream) {
    const reader = source.getReader();
    const next = async () => {
      const { done, value } = await reader.read();
      return done ? { done: true, value: undefined } : { done: false, value };
    };
    return { next, end: (reason) => reader.cancel(reason) };
  }
  const iterator = source[Symbol.asyncIterator]();
  return { next: async () => iterator.next(), end: async () => iterator.return?.() };
}

/**
 * Return a copy of a chunk: whoever gave it may go on using it.
 * @param {unknown} chunk
 */
function copyOf(chunk) {
  if (chunk instanceof ArrayBuffer) return new Uint8Array(chunk.slice(0));
  if (!ArrayBuffer.isView(chunk)) {
    throw new InvalidArgument(`a stream is made of bytes, not ${typeof chunk}`);
  }
  return new Uint8Array(chunk.buffer, chunk.byteOffset, chunk.byteLength).slice();
}

/** Wait until all that can go on without waiting has done so. @returns {Promise<void>} */
function turn() {
  const { port1, port2 } = new MessageChannel();
  return new Promise((resolve) => {
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(null);
  });
}

/**
 * Something that can be waited for again and again.
 */
class Bell {
  #ring = () => {};

  /** Wait until it rings. @returns {Promise<void>} */
  wait() {
    return new Promise((resolve) => {
      this.#ring = resolve;
    });
  }

  /** Let go on who waits. */
  ring() {
    this.#ring();
  }
}

/** Chunks that wait to be sent, cut and gathered to pieces. */
class Gathered {
  bytes = 0;
  /** @type {Uint8Array[]} */
  #chunks = [];

  /** @param {Uint8Array} chunk */
  add(chunk) {
    if (chunk.length > 0) this.#chunks.push(chunk);
    this.bytes += chunk.length;
  }

  /** Return what is here, up to a piece. */
  take() {
    const piece = new Uint8Array(Math.min(this.bytes, PIECE_BYTES));
    for (let at = 0; at < piece.length;) {
      const first = /** @type {Uint8Array} */ (this.#chunks[0]);
      const part = first.subarray(0, piece.length - at);
      piece.set(part, at);
      at += part.length;
      if (part.length === first.length) this.#chunks.shift();
      else this.#chunks[0] = first.subarray(part.length);
    }
    this.bytes -= piece.length;
    return piece;
  }
}

/**
 * Send all that a source yields; done when the last piece is accepted.
 * @param {Source} source
 * @param {(payload: Uint8Array, last: boolean, signal: AbortSignal) => Promise<void>} send
 *   sends a piece
 * @param {() => void} giveUp says that no more will come
 * @param {AbortSignal} [signal]
 */
export async function sendStream(source, send, giveUp, signal) {
  const chunks = chunksOf(source);
  const stop = new AbortController();
  const abort = () => stop.abort(signal?.reason);
  const gathered = new Gathered();
  const news = new Bell();
  const room = new Bell();
  let ended = false;
  const pump = async () => {
    for (;;) {
      if (gathered.bytes === 0 && !ended) await news.wait();
      // What comes without waiting shares a piece.
      if (gathered.bytes < PIECE_BYTES && !ended) await turn();
      stop.signal.throwIfAborted();
      const piece = gathered.take();
      const last = ended && gathered.bytes === 0;
      room.ring();
      await send(piece, last, stop.signal);
      if (last) return;
    }
  };
  signal?.addEventListener("abort", abort, { once: true });
  const pumping = pump();
  pumping.catch((error) => stop.abort(error));
  try {
    for (;;) {
      const { done, value } = await unlessAborted(chunks.next(), stop.signal);
      if (done) break;
      gathered.add(copyOf(value));
      news.ring();
      while (gathered.bytes >= AHEAD_BYTES) await unlessAborted(room.wait(), stop.signal);
    }
    ended = true;
    news.ring();
    await unlessAborted(pumping, stop.signal);
  } catch (error) {
    stop.abort(error);
    news.ring();
    giveUp();
    Promise.resolve(chunks.end(error)).catch(() => {}); // it has failed already
    throw error;
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}
