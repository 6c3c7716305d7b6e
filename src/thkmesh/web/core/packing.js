/**
 * How what an application sends becomes what travels. See `core/packing.py`.
 * @module
 */

import { InvalidArgument } from "../errors.js";
import { encode } from "./frames.js";
import { KEY_LENGTH, wrap } from "./latest.js";

/** The rules of one channel. @typedef {{ latest: boolean }} Packing */
/** The rules of the room itself. @type {Packing} */
export const PLAIN = Object.freeze({ latest: false });

/**
 * Return the kind and the payload of a message.
 * @param {Packing} packing
 * @param {import("../events.js").Data} data
 * @param {unknown} [key]
 * @throws {InvalidArgument} the data or the key is none
 * @throws {MessageTooLarge} the data is over the limit
 */
export function pack({ latest }, data, key) {
  const { kind, payload } = encode(data);
  const none = key === undefined || key === null;
  if (!latest) {
    if (!none) throw new InvalidArgument('only a channel with delivery "latest" has keys');
    return { kind, payload };
  }
  if (!none && (typeof key !== "string" || key === "")) {
    throw new InvalidArgument(`a key is text of 1 to ${KEY_LENGTH} characters, or absent`);
  }
  return { kind, payload: wrap(none ? "" : key, payload) };
}
