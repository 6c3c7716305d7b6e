/**
 * The link to a room: what people hand on, scan and click; see `invitation.py`.
 *
 *     https://example.org/#lobby                     a room
 *     https://example.org/#lobby&secret=Qm9...       a room with a secret
 * @module
 */

import { encodeBytes, isRoom } from "./core/identity.js";
import { isSecret, RULE, SECRET_BYTES } from "./core/secret.js";
import { InvalidArgument } from "./errors.js";

/** @typedef {{ room: string | null, secret: string | null }} Place */

/** Return a fresh secret for a room: 22 characters, 128 random bits. */
export function newSecret() {
  return encodeBytes(crypto.getRandomValues(new Uint8Array(SECRET_BYTES)));
}

/**
 * Return the room and the secret that an address names, as they are written there.
 * @param {{ hash: string, search: string }} address
 * @returns {Place}
 */
export function placeOf({ hash, search }) {
  const fragment = hash.replace(/^#/, "");
  const [first = "", ...rest] = fragment.split("&");
  const bare = first !== "" && !/^(room|secret)=/.test(first);
  const named = new URLSearchParams(bare ? rest.join("&") : fragment);
  const room = named.get("room") ?? (bare ? decoded(first) : new URLSearchParams(search).get("room"));
  return { room, secret: named.get("secret") };
}

/**
 * Return where a link leads; a server's bare URL is one too.
 * @param {string} link absolute
 * @returns {Place & { url: string }}
 * @throws {InvalidArgument} it names no room though it tries, or its secret has not the form
 *   of one
 */
export function parseLink(link) {
  const url = new URL(link);
  const { room, secret } = placeOf(url);
  if (room !== null && !isRoom(room)) {
    throw new InvalidArgument(`the link leads to no room: ${room.slice(0, 80)}`);
  }
  if (secret !== null && !isSecret(secret)) {
    throw new InvalidArgument(`the link is cut off or changed: ${RULE}`);
  }
  if (room === null) {
    if (secret !== null) throw new InvalidArgument("the link has a secret, but names no room");
    return { url: link, room, secret };
  }
  url.hash = url.search = "";
  return { url: url.href, room, secret };
}

/**
 * Return what stands behind `#` in the link to a room.
 * @param {string} room
 * @param {string | null} secret
 */
export function fragmentOf(room, secret) {
  return secret === null ? room : `${room}&secret=${secret}`;
}

/** @param {string} text */
function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // no room has a stray % either
  }
}
