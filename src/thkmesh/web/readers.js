/**
 * Who reads a room or a channel, and what their senders are told of it: the same rules as
 * in `subscription.py` and `crossing.py`.
 * @module
 */

import { ByteStream, Tap } from "./bytestream.js";
import { READ_BYTES } from "./core/credit.js";
import { Deflated } from "./core/deflate.js";
import { OVERHEAD_BYTES } from "./core/frames.js";
import { InvalidMessage } from "./errors.js";
import { Subscription } from "./subscription.js";

/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/** Where a message came from. @typedef {{ to: string, stream: number, cost: number }} Source */
/**
 * What is owed to a sender once so many readers have taken its message.
 * @typedef {Source & { readers: number }} Receipt
 */

/** What an application has read, and its senders do not know yet. */
export class Ledger {
  #tell;
  /** @type {Map<string, Source>} */
  #read = new Map();
  #bytes = 0;

  #blame;
  /** Several readers may find it. @type {WeakSet<Deflated>} */
  #blamed = new WeakSet();

  /**
   * @param {(source: Source) => void} tell reports how much was read of a stream
   * @param {(peer: import("./events.js").Peer, reason: string) => void} [blame] reports who
   *   said what cannot be made out, and why
   */
  constructor(tell, blame = () => {}) {
    this.#tell = tell;
    this.#blame = blame;
  }

  /**
   * Return a message with what it says, null if that cannot be made out; then its sender is
   * told, once.
   * @param {import("./events.js").Message} message
   * @param {Deflated} deflated
   * @returns {Promise<import("./events.js").Message | null>}
   */
  async expanded(message, deflated) {
    try {
      return { ...message, data: await deflated.expand() };
    } catch (error) {
      if (!(error instanceof InvalidMessage)) throw error;
      if (!this.#blamed.has(deflated)) this.#blame(message.peer, error.message);
      this.#blamed.add(deflated);
      return null;
    }
  }

  /**
   * Take note that one reader has taken a message.
   * @param {Receipt} receipt
   */
  read(receipt) {
    receipt.readers -= 1;
    if (receipt.readers > 0) return;
    const { to, stream, cost } = receipt;
    const key = `${stream} ${to}`;
    const known = this.#read.get(key);
    if (known === undefined) this.#read.set(key, { to, stream, cost });
    else known.cost += cost;
    this.#bytes += cost;
    if (this.#bytes < READ_BYTES) return;
    const told = [...this.#read.values()];
    this.#read.clear();
    this.#bytes = 0;
    for (const each of told) this.#tell(each);
  }
}

/**
 * All readers of one source.
 * @template {MeshEvent} T
 */
export class Readers {
  /** What iterating over the source itself hands out. @type {Subscription<T>} */
  main;
  /** Others who take each message at once, such as listeners. */
  taken = false;
  #ledger;
  /** @type {Set<Subscription<T>>} */
  #all = new Set();
  #ended = false;
  /** @type {Error | null} */
  #error = null;

  /**
   * @param {Ledger} ledger
   * @param {boolean} keep whether `main` is told anything
   */
  constructor(ledger, keep) {
    this.#ledger = ledger;
    this.main = new Subscription(this, ledger, { begun: false });
    if (keep) this.#all.add(this.main);
  }

  /**
   * Return another reader.
   * @param {boolean} [unread] beginning with what `main` has not handed out yet
   */
  subscribe(unread = false) {
    const subscription = new Subscription(this, this.#ledger, { other: unread ? this.main : null });
    if (this.#ended) {
      subscription.end(this.#error);
      return subscription;
    }
    this.countOut();
    this.#all.add(subscription);
    return subscription;
  }

  /** Have nobody wait for readers that have not begun, as there are others. */
  countOut() {
    for (const each of this.#all) if (!each.begun) each.letGo();
  }

  /**
   * Stop filling a subscription.
   * @param {Subscription<T>} subscription
   */
  unsubscribe(subscription) {
    this.#all.delete(subscription);
  }

  /**
   * Give an event to all readers.
   * @param {T} event
   */
  put(event) {
    for (const each of this.#all) each.put(event, null);
  }

  /**
   * Give a message to all readers, and a receipt for it to those who count: a room that
   * nobody iterates over must not stop those who send to it while others read. But if
   * nobody reads anything yet, they wait. For what costs nothing nobody waits.
   * @param {T} message
   * @param {Source} source
   * @param {boolean} [latest] it supersedes what was said under its key before
   * @param {boolean} [held] the caller takes it too, and gives the receipt when it has
   * @returns {Receipt}
   */
  deliver(message, source, latest = false, held = false) {
    if (source.cost === 0) {
      for (const each of this.#all) each.putPassing(message);
      return { ...source, readers: 0 };
    }
    const begun = [...this.#all].filter((each) => each.begun);
    const counting = begun.length > 0 || this.taken ? begun : [...this.#all];
    const receipt = { ...source, readers: counting.length + Number(held) };
    if (receipt.readers === 0) this.#ledger.read(receipt);
    for (const each of this.#all) {
      each.put(message, counting.includes(each) ? receipt : null, latest);
    }
    return receipt;
  }

  /**
   * Give a message that begins to all readers; return where its pieces are to be put, and the
   * message for others who take each at once, null if there are none. Who does not count is
   * not waited for, and so cannot read it.
   * @param {import("./events.js").Peer} peer
   * @param {string} to its session
   * @param {import("./core/receiving.js").PieceArrived} piece
   */
  deliverStream(peer, to, { stream, channel }) {
    const begun = [...this.#all].filter((each) => each.begun);
    const counting = begun.length > 0 || this.taken ? begun : [...this.#all];
    const receipt = { to, stream, cost: OVERHEAD_BYTES, readers: counting.length };
    if (counting.length === 0) this.#ledger.read(receipt);
    /** @type {Tap[]} */
    const taps = [];
    const message = (/** @type {boolean} */ counts) => {
      const tap = new Tap(this.#ledger);
      tap.group = taps;
      if (counts) taps.push(tap);
      else tap.close("nobody was reading here");
      const data = new ByteStream(tap);
      return /** @type {T & import("./events.js").Message} */ (
        { type: "message", peer, data, direct: (stream & 1) === 1, channel, key: null });
    };
    for (const each of this.#all) {
      const counts = counting.includes(each);
      each.put(message(counts), counts ? receipt : null);
    }
    return { taps, message: this.taken ? message(true) : null };
  }

  /** Give all receipts: what waits may never be taken. */
  letGo() {
    for (const each of this.#all) each.letGo();
  }

  /**
   * Let readers know that nothing more comes.
   * @param {Error | null} error
   */
  end(error) {
    this.#ended = true;
    this.#error = error;
    for (const each of new Set([this.main, ...this.#all])) each.end(error);
  }
}
