/**
 * Messages of any size on their way in: pieces as they come, for whoever reads them; see
 * `bytestream.py`.
 * @module
 */

import { OVERHEAD_BYTES } from "./core/frames.js";
import { Ending } from "./core/pieces.js";
import { MessageTooLarge, StreamBroken } from "./errors.js";
import { Queue } from "./queue.js";

/** @typedef {import("./readers.js").Receipt} Receipt */
/** @typedef {{ read(receipt: Receipt): void }} Ledger */
/** @typedef {import("./core/receiving.js").PieceArrived} PieceArrived */

/** What `readAll` returns at most, unless it is told otherwise. */
const READ_ALL_BYTES = 64 * 1024 * 1024;

/** Why a transfer that is over is not whole. @type {Record<number, string>} */
const REASONS = {
  [Ending.ABORTED]: "its sender gave it up",
  [Ending.BROKEN]: "it has not the length that its sender said",
};

/** What one reader has not taken yet of a transfer. */
export class Tap {
  /** The taps of all readers of this transfer. @type {Tap[]} */
  group = [this];
  /** Whether nothing more is wanted. */
  closed = false;
  #ledger;
  /** @type {Queue<{ payload: Uint8Array, receipt: Receipt }>} */
  #pieces = new Queue();
  #ended = false;
  /** @type {string | null} */
  #reason = null;
  /** @type {(() => void)[]} */
  #wakes = [];

  /** @param {Ledger} ledger gets receipts */
  constructor(ledger) {
    this.#ledger = ledger;
  }

  /**
   * Add a piece, with what is owed to its sender once it is taken.
   * @param {Uint8Array} payload
   * @param {Receipt} receipt
   */
  put(payload, receipt) {
    if (this.closed || payload.length === 0) this.#ledger.read(receipt);
    else this.#pieces.push({ payload, receipt });
    this.#wake();
  }

  /**
   * Say that no more will come, and why not; null if it is whole.
   * @param {string | null} reason
   */
  end(reason) {
    if (!this.#ended) this.#reason = reason;
    this.#ended = true;
    this.#wake();
  }

  /**
   * Return the next piece, waiting for it; null at the end.
   * @throws {StreamBroken} it ended before it was whole
   */
  async take() {
    for (;;) {
      const piece = this.#pieces.shift();
      if (piece !== undefined) {
        this.#ledger.read(piece.receipt);
        return piece.payload;
      }
      if (this.#reason !== null) throw new StreamBroken(this.#reason);
      if (this.#ended) return null;
      /** @type {Promise<void>} */
      const news = new Promise((resolve) => {
        this.#wakes.push(resolve);
      });
      await news;
    }
  }

  /**
   * Want nothing more: what is here, and what comes, is thrown away.
   * @param {string | null} [reason] what who reads on is told; null if that was its own wish
   */
  close(reason = null) {
    this.closed = true;
    this.#ended = true;
    this.#reason = reason;
    const pieces = this.#pieces;
    this.#pieces = new Queue();
    for (const { receipt } of pieces) this.#ledger.read(receipt);
    this.#wake();
  }

  /** Return another in which the same waits. */
  share() {
    const other = new Tap(this.#ledger);
    for (const { receipt } of this.#pieces) receipt.readers += 1;
    other.#pieces = new Queue(this.#pieces);
    other.#ended = this.#ended;
    other.#reason = this.#reason;
    other.closed = this.closed;
    other.group = this.group;
    other.group.push(other);
    return other;
  }

  #wake() {
    const wakes = this.#wakes;
    this.#wakes = [];
    for (const wake of wakes) wake();
  }
}

/** Closes what nobody can read any more. @type {FinalizationRegistry<Tap>} */
const forsaken = new FinalizationRegistry((tap) => tap.close());

/**
 * A streamed message, as it comes: iterate over it with `for await`, or take its `readable`.
 *
 * It ends when it is whole. Else iterating throws `StreamBroken`, after what came: its sender
 * gave it up or is gone, we could not keep up, or the room or channel was left. What is not
 * read waits, and so does its sender, and what else it sends on that channel: `cancel` a
 * stream that is not wanted.
 * @implements {AsyncIterableIterator<Uint8Array<ArrayBuffer>, undefined>}
 */
export class ByteStream {
  #tap;
  /** @type {ReadableStream<Uint8Array<ArrayBuffer>> | null} */
  #readable = null;

  /**
   * Made by the room.
   * @param {Tap} tap
   */
  constructor(tap) {
    this.#tap = tap;
    forsaken.register(this, tap);
  }

  /** Chunks are taken once. */
  [Symbol.asyncIterator]() {
    return this;
  }

  /**
   * Return the next chunk.
   * @returns {Promise<IteratorResult<Uint8Array<ArrayBuffer>, undefined>>}
   * @throws {StreamBroken} it is not whole, and no more will come
   */
  async next() {
    const value = /** @type {Uint8Array<ArrayBuffer> | null} */ (await this.#tap.take());
    return value === null ? { done: true, value: undefined } : { done: false, value };
  }

  /** Leaving a `for await` loop early keeps what follows for the next one. */
  return() {
    return Promise.resolve(/** @type {const} */ ({ done: true, value: undefined }));
  }

  /** The same as a `ReadableStream`; cancelling that cancels this. */
  get readable() {
    this.#readable ??= new ReadableStream({
      pull: async (controller) => {
        const { done, value } = await this.next();
        if (done) controller.close();
        else controller.enqueue(value);
      },
      cancel: () => this.cancel(),
    }, { highWaterMark: 0 });
    return this.#readable;
  }

  /**
   * Return all that is still to come.
   * @param {{ limit?: number }} [options] bytes, 64 MiB unless given
   * @returns {Promise<Uint8Array<ArrayBuffer>>}
   * @throws {MessageTooLarge} it is more; the rest is not wanted then
   * @throws {StreamBroken} it is not whole, and no more will come
   */
  async readAll({ limit = READ_ALL_BYTES } = {}) {
    const chunks = [];
    let size = 0;
    for await (const chunk of this) {
      chunks.push(chunk);
      size += chunk.length;
      if (size > limit) {
        this.cancel();
        throw new MessageTooLarge(`a stream of more than ${limit} bytes`);
      }
    }
    const all = new Uint8Array(size);
    let at = 0;
    for (const chunk of chunks) {
      all.set(chunk, at);
      at += chunk.length;
    }
    return all;
  }

  /** Want nothing more of it: what comes is thrown away, and nobody waits. */
  cancel() {
    this.#tap.close();
  }

  /**
   * Throw it away, as nobody may ever read it; called by the room.
   * @param {string} reason
   */
  letGo(reason) {
    this.#tap.close(reason);
  }

  /** Return another of which as much has been read; called by the room. */
  share() {
    return new ByteStream(this.#tap.share());
  }
}

/** The transfers of a room that are under way to its readers. */
export class Arrivals {
  #ledger;
  /** @type {Map<string, { source: string, stream: number, channel: string, taps: Tap[] }>} */
  #all = new Map();

  /** @param {Ledger} ledger */
  constructor(ledger) {
    this.#ledger = ledger;
  }

  /**
   * Take note of who reads a transfer.
   * @param {string} source
   * @param {PieceArrived} piece the first
   * @param {Tap[]} taps
   */
  begin(source, { stream, transfer, channel }, taps) {
    this.#all.set(`${transfer} ${stream} ${source}`, { source, stream, channel, taps });
  }

  /**
   * Hand a piece to who reads its transfer.
   * @param {string} source
   * @param {PieceArrived} piece
   */
  put(source, { stream, transfer, begins, payload, ending, cost }) {
    const key = `${transfer} ${stream} ${source}`;
    const taps = (this.#all.get(key)?.taps ?? []).filter(({ closed }) => !closed);
    // The first one's overhead is that of the message itself; see `Readers.deliverStream`.
    const owed = begins ? cost - OVERHEAD_BYTES : cost;
    const receipt = { to: source, stream, cost: owed, readers: taps.length };
    if (taps.length === 0) this.#ledger.read(receipt);
    for (const tap of taps) {
      tap.put(payload, receipt);
      if (ending !== Ending.GOES_ON) tap.end(REASONS[ending] ?? null);
    }
    if (ending !== Ending.GOES_ON) this.#all.delete(key);
  }

  /**
   * End all transfers that are not over, or those of a session, stream or channel.
   * @param {string} reason
   * @param {{ source?: string, stream?: number, channel?: string }} [which]
   */
  breakOff(reason, { source, stream, channel } = {}) {
    for (const [key, each] of [...this.#all]) {
      const meant = (source ?? each.source) === each.source
        && (stream ?? each.stream) === each.stream && (channel ?? each.channel) === each.channel;
      if (meant) {
        this.#all.delete(key);
        for (const tap of each.taps) tap.end(reason);
      }
    }
  }
}
