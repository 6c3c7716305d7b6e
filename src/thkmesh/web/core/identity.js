/**
 * Names that prove themselves, and the exact bytes that are signed.
 *
 * See `core/identity.py`. A session is named here by one string, `id.sid`: both
 * parts are ASCII of a fixed length, so `<` orders as the pair would, by byte, and
 * strings are keys of maps. Signing, verifying and hashing are asynchronous in a
 * browser, so they are in `keys.js`; what is here is pure.
 * @module
 */

/** Characters of a peer id. */
export const ID_LENGTH = 26;

const ID = /^[a-z2-7]{26}$/;
const SID = /^[0-9a-f]{16}$/;
const ROOM = /^[A-Za-z0-9._-]{1,64}$/;
const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";
const encoder = new TextEncoder();

/**
 * Return the name of a session. Of two sessions the lower is polite and offers first.
 * @param {string} id of the peer
 * @param {string} sid of its life
 */
export function sessionKey(id, sid) {
  return `${id}.${sid}`;
}

/**
 * Return the parts of the name of a session.
 * @param {string} key
 * @returns {{ id: string, sid: string }}
 */
export function partsOf(key) {
  const dot = key.indexOf(".");
  return { id: key.slice(0, dot), sid: key.slice(dot + 1) };
}

/**
 * Return the peer id of a public key.
 * @param {Uint8Array} digest the SHA-256 of the 32-byte Ed25519 public key
 */
export function idOfDigest(digest) {
  let text = "";
  let bits = 0;
  let value = 0;
  for (const byte of digest) {
    value = (value << 8) | byte;
    bits += 8;
    while (bits >= 5) {
      bits -= 5;
      text += BASE32[(value >>> bits) & 31];
    }
    value &= (1 << bits) - 1;
    if (text.length >= ID_LENGTH) break;
  }
  return text.slice(0, ID_LENGTH);
}

/**
 * Tell whether `text` has the form of a peer id.
 * @param {string} text
 */
export function isId(text) {
  return ID.test(text) && text.length === ID_LENGTH;
}

/**
 * Tell whether `text` has the form of a session id.
 * @param {string} text
 */
export function isSid(text) {
  return SID.test(text) && text.length === 16;
}

/**
 * Tell whether `text` may name a room: 1 to 64 of `A-Za-z0-9._-`.
 * @param {string} text
 */
export function isRoom(text) {
  return ROOM.test(text) && !text.endsWith("\n");
}

/**
 * Return unpadded base64url text (RFC 4648, section 5).
 * @param {Uint8Array} data
 */
export function encodeBytes(data) {
  let binary = "";
  for (const byte of data) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/**
 * Return bytes from unpadded base64url text, null if it is not canonical.
 * @param {string} text
 * @param {number} length how many bytes there must be
 * @returns {Uint8Array<ArrayBuffer> | null}
 */
export function decodeBytes(text, length) {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.endsWith("\n")) return null;
  let binary;
  try {
    binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  } catch {
    return null;
  }
  const data = Uint8Array.from(binary, (character) => character.charCodeAt(0));
  return data.length === length && encodeBytes(data) === text ? data : null;
}

/**
 * Return a context, a zero byte, and each field behind its length.
 * @param {string} context
 * @param {...string} fields
 * @returns {Uint8Array<ArrayBuffer>}
 */
export function signedFields(context, ...fields) {
  const parts = [encoder.encode(context), new Uint8Array(1)];
  for (const field of fields) {
    const data = encoder.encode(field);
    const length = new Uint8Array(4);
    new DataView(length.buffer).setUint32(0, data.length);
    parts.push(length, data);
  }
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/**
 * Return the bytes a peer signs to introduce itself to the room.
 * @param {string} room
 * @param {string} session
 * @param {string} publicKey base64url
 * @param {string} body
 */
export function helloPayload(room, session, publicKey, body) {
  const { id, sid } = partsOf(session);
  return signedFields("thkmesh-hello-v1", room, id, sid, publicKey, body);
}

/**
 * Return the bytes a peer signs to show the server that it holds the key now.
 * @param {string} nonce
 * @param {string} room
 * @param {string} session
 */
export function proofPayload(nonce, room, session) {
  const { id, sid } = partsOf(session);
  return signedFields("thkmesh-proof-v1", nonce, room, id, sid);
}

/**
 * Return the bytes a server signs, with the room's key, to have a peer removed.
 * @param {string} room
 * @param {string} body
 */
export function kickedPayload(room, body) {
  return signedFields("thkmesh-kicked-v1", room, body);
}

/**
 * Return the bytes a peer signs for one signal.
 * @param {string} room
 * @param {string} source a session
 * @param {string} to a session
 * @param {number} seq
 * @param {string} body
 */
export function signalPayload(room, source, to, seq, body) {
  const from = partsOf(source);
  const other = partsOf(to);
  return signedFields(
    "thkmesh-signal-v1", room, from.id, from.sid, other.id, other.sid, String(seq), body,
  );
}
