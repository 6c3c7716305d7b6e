/**
 * A line in which taking the first takes no longer the more there are behind it, as it
 * does with `Array.prototype.shift`.
 * @module
 */

/** Taken places that are kept, at least, before the rest moves up. */
const SLACK = 1024;

/**
 * First in, first out.
 * @template T
 */
export class Queue {
  /** @type {(T | undefined)[]} */
  #items;
  #head = 0;

  /** @param {Iterable<T>} [items] */
  constructor(items = []) {
    this.#items = [...items];
  }

  /** How many wait. */
  get length() {
    return this.#items.length - this.#head;
  }

  /** What waits, in order; nothing is taken. @returns {Iterator<T>} */
  [Symbol.iterator]() {
    return /** @type {T[]} */ (this.#items.slice(this.#head)).values();
  }

  /**
   * Add one at the end.
   * @param {T} item
   */
  push(item) {
    this.#items.push(item);
  }

  /** The first, which is not taken; undefined if there is none. @returns {T | undefined} */
  get first() {
    return this.#items[this.#head];
  }

  /** Take the first; undefined if there is none. @returns {T | undefined} */
  shift() {
    if (this.length === 0) return undefined;
    const item = this.#items[this.#head];
    this.#items[this.#head] = undefined; // or it would be kept from being collected
    this.#head += 1;
    if (this.length === 0 || (this.#head >= SLACK && this.#head >= this.length)) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
