/**
 * How what an application sends becomes what travels. See `core/packing.py`.
 * @module
 */

import { InvalidArgument, MessageTooLarge } from "../errors.js";
import { deflate, isCandidate } from "./deflate.js";
import { encode, LOSSY_LIMIT_BYTES } from "./frames.js";
import { KEY_LENGTH, wrap } from "./latest.js";

/**
 * The rules of one channel. `reliable`: everything arrives, in order; `latest`: messages are
 * values, each under a key; `lossy`: they need not arrive, so each is small, and is not
 * deflated; `compress`: true deflates bytes too, false nothing; null text and JSON alone.
 * @typedef {{ reliable: boolean, latest: boolean, lossy: boolean,
 *   compress: boolean | null }} Packing
 */
/**
 * A message as it travels; `smaller` returns it deflated, where that pays, null if that is
 * certain not to.
 * @typedef {{ kind: number, payload: Uint8Array, smaller: (() => Promise<Packed>) | null }} Packed
 */
/** The rules of the room itself. @type {Packing} */
export const PLAIN = Object.freeze(
  { reliable: true, latest: false, lossy: false, compress: null });

/**
 * See that a stream may be sent.
 * @param {Packing} packing
 * @param {unknown} [key]
 * @throws {InvalidArgument} not on such a channel
 */
export function checkStream({ reliable }, key) {
  if (reliable && (key === undefined || key === null)) return;
  throw new InvalidArgument("a stream needs a channel that delivers everything in order: open "
    + 'one for it with delivery "reliable", and give no key');
}

/**
 * Return a message as it travels.
 * @param {Packing} packing
 * @param {import("../events.js").Data} data
 * @param {unknown} [key]
 * @returns {Packed}
 * @throws {InvalidArgument} the data or the key is none
 * @throws {MessageTooLarge} the data is over the limit
 */
export function pack({ latest, lossy, compress }, data, key) {
  const { kind, payload } = encode(data);
  if (lossy && payload.length > LOSSY_LIMIT_BYTES) {
    const limit = `where messages may be lost, one may have ${LOSSY_LIMIT_BYTES}`;
    throw new MessageTooLarge(`${payload.length} bytes; ${limit}`);
  }
  const smaller = !lossy && isCandidate(kind, payload, compress) ? async () => (
    { ...await deflate(kind, payload), smaller: null }) : null;
  const plain = { kind, payload, smaller };
  const none = key === undefined || key === null;
  if (!latest) {
    if (!none) throw new InvalidArgument('only a channel with delivery "latest" has keys');
    return plain;
  }
  if (!none && (typeof key !== "string" || key === "")) {
    throw new InvalidArgument(`a key is text of 1 to ${KEY_LENGTH} characters, or absent`);
  }
  const name = none ? "" : key;
  const value = { kind, payload: wrap(name, payload), smaller: null };
  if (smaller === null) return value;
  return { ...value, smaller: async () => {
    const small = await smaller();
    return { kind: small.kind, payload: wrap(name, small.payload), smaller: null };
  } };
}
