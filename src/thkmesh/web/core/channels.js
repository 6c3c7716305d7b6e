/**
 * The channels of one session: what it sends on, and what it wants to hear. See
 * `core/channels.py`.
 * @module
 */

import { CHANNEL_LIMIT } from "./frames.js";
import { CompactedLog } from "./latest.js";
import { counter, Log } from "./streams.js";

/** The name of the room's own channel. */
export const ROOM = "";
/** What is promised of the messages of a channel. */
export const DELIVERIES = Object.freeze(
  /** @type {const} */ (["reliable", "unordered", "latest", "realtime"]));
/** What a receiver is told of that. */
export const Rule = Object.freeze(
  { RELIABLE: 0, UNORDERED: 1, LATEST: 2, LOSSY: 3, LOSSY_UNORDERED: 4 });
/** The share of a busy link that a channel gets. */
export const Priority = Object.freeze({ high: 16, normal: 4, low: 1 });

/** @typedef {typeof DELIVERIES[number]} Delivery */
/**
 * A channel that we send on; its streams are `2 * number` and one more. `limits` says how
 * long a message is tried that need not arrive, and `count` numbers those to everybody.
 * @typedef {{ number: number, name: string, delivery: Delivery, priority: number,
 *   log: Log | CompactedLog, limits: Limits | null, count: () => number }} Channel
 */
/** @typedef {import("./realtime.js").Limits} Limits */

/**
 * Return what the receivers of a channel must know of it.
 * @param {Channel} channel
 */
export function ruleOf({ delivery, limits }) {
  if (limits !== null) return limits.ordered ? Rule.LOSSY : Rule.LOSSY_UNORDERED;
  if (delivery === "latest") return Rule.LATEST;
  return delivery === "unordered" ? Rule.UNORDERED : Rule.RELIABLE;
}

/**
 * Return a log for messages of which that is promised; `order` as there.
 * @param {Delivery} delivery
 * @param {() => number} order
 */
export function logOf(delivery, order) {
  return delivery === "latest" ? new CompactedLog(order) : new Log(order);
}

/** All channels of a session. */
export class Channels {
  /** Numbers fragments across all streams. */
  order = counter();
  /** How often what we listen to has changed. */
  revision = 0;
  /** @type {Map<string, Channel>} */
  #named = new Map();
  /** @type {Set<string>} */
  #listening = new Set();

  constructor() {
    this.open(ROOM, "reliable", Priority.normal);
  }

  /**
   * Return the channel of a name, which keeps the rule that it was first given.
   * @param {string} name
   * @param {Delivery} delivery
   * @param {number} priority
   * @param {Limits | null} [limits]
   * @returns {Channel}
   */
  open(name, delivery, priority, limits = null) {
    let found = this.#named.get(name);
    if (found === undefined) {
      if (this.#named.size >= CHANNEL_LIMIT) throw new Error("whoever asks counts them");
      const log = logOf(delivery, this.order);
      const [number, count] = [this.#named.size, counter()];
      found = { number, name, delivery, priority, log, limits, count };
      this.#named.set(name, found);
    }
    return found;
  }

  /** How many have been opened. */
  get size() {
    return this.#named.size;
  }

  /**
   * Return the channel of a name, undefined if it was not opened.
   * @param {string} name
   */
  find(name) {
    return this.#named.get(name);
  }

  /**
   * Return a channel that was opened.
   * @param {string} name
   */
  get(name) {
    return /** @type {Channel} */ (this.#named.get(name));
  }

  /** All channels, by number. */
  [Symbol.iterator]() {
    return this.#named.values();
  }

  /**
   * Want to hear of a channel, or no longer; return whether that is news.
   * @param {string} name
   * @param {boolean} wanted
   */
  listen(name, wanted) {
    if (wanted === this.#listening.has(name)) return false;
    this.revision += 1;
    if (wanted) this.#listening.add(name);
    else this.#listening.delete(name);
    return true;
  }

  /**
   * Return whether we want to hear of a channel.
   * @param {string} name
   */
  listens(name) {
    return name === ROOM || this.#listening.has(name);
  }

  /** The names of all channels that we want to hear of, beside the room's own. */
  get listening() {
    return [...this.#listening];
  }
}
