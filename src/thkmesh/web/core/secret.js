/**
 * The secret of a private room, and what is proven with it; see `core/secret.py`. The
 * cryptography is asynchronous in a browser, so it is in `keys.js`; what is here is pure.
 * @module
 */

import { partsOf, signedFields } from "./identity.js";

/** So much randomness a secret is made of: 22 characters of base64url. */
export const SECRET_BYTES = 16;
/** What a secret looks like, in words. */
export const RULE = "a secret has 22 to 128 of A-Z a-z 0-9 _ - and is drawn at random, not "
  + "thought up: use one of newSecret()";

const SECRET = /^[A-Za-z0-9_-]{22,128}$/;

/**
 * Tell whether `text` has the form of a secret.
 * @param {string} text
 */
export function isSecret(text) {
  return SECRET.test(text) && !text.endsWith("\n");
}

/**
 * Return the `info` of HKDF for the key of a room's proofs.
 * @param {string} room
 */
export function membershipInfo(room) {
  return signedFields("thkmesh-membership-v1", room);
}

/**
 * Return the bytes whose HMAC proves that a session's peer knows the secret.
 * @param {string} room
 * @param {string} session
 * @param {string} publicKey base64url
 */
export function membershipPayload(room, session, publicKey) {
  const { id, sid } = partsOf(session);
  return signedFields("thkmesh-member-v1", room, id, sid, publicKey);
}
