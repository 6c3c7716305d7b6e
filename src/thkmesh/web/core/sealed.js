/**
 * Sealed frames: what passes through the server in binary, and what seals it. See
 * `core/sealed.py`; sealing and opening are done by `sealing.js`.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { isId, isSid, partsOf, sessionKey, signedFields } from "./identity.js";

/** The largest sealed frame, header included. */
export const RELAY_LIMIT_BYTES = 65_536;
/** Bytes of a counter. */
export const COUNTER_BYTES = 8;

const VERSION = 1;
const ID_END = 27;
const SID_END = 43;
const LEAST = SID_END + COUNTER_BYTES + 16;

/** A sealed frame of another version; it is skipped. */
export class UnknownVersion extends InvalidMessage {
  static reason = "unknown-version";
}

/**
 * Return a frame to a session, or from it: its header, counter and ciphertext.
 * @param {string} session
 * @param {Uint8Array} sealed
 */
export function addressed(session, sealed) {
  const { id, sid } = partsOf(session);
  const frame = new Uint8Array(SID_END + sealed.length);
  frame[0] = VERSION;
  frame.set(new TextEncoder().encode(id + sid), 1);
  frame.set(sealed, SID_END);
  return frame;
}

/**
 * Return whom a frame names, and its counter and ciphertext.
 * @param {Uint8Array<ArrayBuffer>} data
 * @returns {{ session: string, rest: Uint8Array<ArrayBuffer> }}
 * @throws {InvalidMessage} it is malformed, too large, or of a later protocol
 */
export function addressee(data) {
  if (data[0] !== VERSION) throw new UnknownVersion("a sealed frame of another version");
  if (data.length < LEAST || data.length > RELAY_LIMIT_BYTES) {
    throw new InvalidMessage(`a sealed frame of ${data.length} bytes`);
  }
  const id = String.fromCharCode(...data.subarray(1, ID_END));
  const sid = String.fromCharCode(...data.subarray(ID_END, SID_END));
  if (!(isId(id) && isSid(sid))) throw new InvalidMessage("a sealed frame that names no session");
  return { session: sessionKey(id, sid), rest: data.subarray(SID_END) };
}

/**
 * Return whom a frame names, null if nobody; for telling of it.
 * @param {Uint8Array<ArrayBuffer>} data
 */
export function claimed(data) {
  try {
    return addressee(data).session;
  } catch {
    return null;
  }
}

/**
 * Return the `info` of HKDF for what one session seals for another.
 * @param {string} room
 * @param {string} source
 * @param {string} sourceKey
 * @param {string} to
 * @param {string} toKey
 */
export function keyInfo(room, source, sourceKey, to, toKey) {
  const from = partsOf(source);
  const other = partsOf(to);
  return signedFields(
    "thkmesh-relay-v1", room, from.id, from.sid, sourceKey, other.id, other.sid, toKey,
  );
}

/**
 * Return what is authenticated beside the ciphertext.
 * @param {string} room
 * @param {string} source
 * @param {string} to
 */
export function additionalData(room, source, to) {
  const from = partsOf(source);
  const other = partsOf(to);
  return signedFields("thkmesh-sealed-v1", room, from.id, from.sid, other.id, other.sid);
}

/**
 * Return the 12-byte nonce of an 8-byte counter.
 * @param {Uint8Array} counter
 */
export function nonce(counter) {
  const bytes = new Uint8Array(4 + COUNTER_BYTES);
  bytes.set(counter, 4);
  return bytes;
}
