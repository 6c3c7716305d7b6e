/**
 * Numbers of one to eight bytes: LEB128, unsigned, below 2**53. See `core/varint.py`.
 * @module
 */

import { InvalidMessage } from "../errors.js";

const LIMIT = 2 ** 53;

/**
 * Add the bytes of a number to a list.
 * @param {number[]} out
 * @param {number} number
 */
export function write(out, number) {
  let rest = number;
  while (rest >= 0x80) {
    out.push((rest % 0x80) | 0x80);
    rest = Math.floor(rest / 0x80);
  }
  out.push(rest);
}

/** Reads numbers and bytes, one after the other. */
export class Reader {
  /** Where the next one begins. */
  at = 0;
  #data;

  /** @param {Uint8Array} data */
  constructor(data) {
    this.#data = data;
  }

  /** Whether everything has been read. */
  get done() {
    return this.at >= this.#data.length;
  }

  /**
   * Return the next byte.
   * @throws {InvalidMessage} there is none
   */
  byte() {
    const byte = this.#data[this.at];
    if (byte === undefined) throw new InvalidMessage("a frame that is cut off");
    this.at += 1;
    return byte;
  }

  /**
   * Return the next number.
   * @throws {InvalidMessage} it is cut off, or too large
   */
  number() {
    let number = 0;
    let weight = 1;
    for (let count = 0; count < 8; count += 1) {
      const byte = this.#data[this.at + count];
      if (byte === undefined) break;
      number += (byte & 0x7f) * weight;
      if (byte < 0x80) {
        if (number >= LIMIT) break;
        this.at += count + 1;
        return number;
      }
      weight *= 0x80;
    }
    throw new InvalidMessage("a number that is cut off, or beyond 2**53 - 1");
  }

  /**
   * Return the bytes whose length stands here; a view.
   * @throws {InvalidMessage} they are cut off
   */
  sized() {
    const length = this.number();
    if (this.at + length > this.#data.length) throw new InvalidMessage("a frame that is cut off");
    this.at += length;
    return this.#data.subarray(this.at - length, this.at);
  }
}
