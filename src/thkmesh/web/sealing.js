/**
 * X25519, HKDF and AES-GCM by WebCrypto: the one place that seals what goes through the
 * server; see `sealing.py`. A browser without X25519 seals nothing, so nothing of it is
 * ever relayed.
 * @module
 */

import { decodeBytes, encodeBytes } from "./core/identity.js";
import {
  additionalData, addressed, addressee, COUNTER_BYTES, keyInfo, nonce,
} from "./core/sealed.js";
import { InvalidMessage, InvalidSignature } from "./errors.js";

const ALGORITHM = "X25519";

/**
 * With no more sessions than this are keys agreed, those that are gone and have sent us
 * anything included: to forget one of them would let its frames open a second time.
 */
const REMEMBERED = 8192;

/**
 * @typedef {{ publicKey: string, seal: CryptoKey, open: CryptoKey }} Pair
 *   the two keys shared with one session
 */

/** One session's fresh keys; nothing of them is ever stored. */
export class Sealer {
  /** What our hello shows, base64url. */
  publicKey;
  #privateKey;
  #room;
  #me;
  #remembered;
  /** @type {Map<string, Pair>} */
  #pairs = new Map();
  /**
   * The highest counter that came from each session with each key, whether it is here or not.
   * @type {Map<string, bigint>}
   */
  #last = new Map();
  /** One for all: even if a pair is forgotten, no nonce of it comes again. */
  #counter = 0n;

  /**
   * Use `generate` or `of`.
   * @param {string} room
   * @param {string} me my session
   * @param {CryptoKey} privateKey
   * @param {string} publicKey base64url
   * @param {number} remembered with no more sessions are keys agreed
   */
  constructor(room, me, privateKey, publicKey, remembered = REMEMBERED) {
    this.#room = room;
    this.#me = me;
    this.#remembered = remembered;
    this.#privateKey = privateKey;
    this.publicKey = publicKey;
  }

  /**
   * Draw a key; null where the browser has no X25519.
   * @param {string} room
   * @param {string} me my session
   */
  static async generate(room, me) {
    try {
      const made = await crypto.subtle.generateKey(ALGORITHM, false, ["deriveBits"]);
      const { privateKey, publicKey } = /** @type {CryptoKeyPair} */ (made);
      const raw = new Uint8Array(await crypto.subtle.exportKey("raw", publicKey));
      return new Sealer(room, me, privateKey, encodeBytes(raw));
    } catch {
      return null;
    }
  }

  /**
   * Agree on keys with a session; false if it has shown no key, or a bad one, or there
   * have been too many.
   * @param {string} peer
   * @param {string} publicKey base64url
   */
  async agree(peer, publicKey) {
    if (this.#pairs.get(peer)?.publicKey === publicKey) return true;
    this.forget(peer);
    const raw = decodeBytes(publicKey, 32);
    const full = this.#last.size >= this.#remembered && !this.#last.has(place(peer, publicKey));
    if (raw === null || full) return false;
    let secret;
    try {
      const other = await crypto.subtle.importKey("raw", raw, ALGORITHM, false, []);
      const algorithm = { name: ALGORITHM, public: other };
      const bits = await crypto.subtle.deriveBits(algorithm, this.#privateKey, 256);
      // RFC 7748, section 6.1: of low order, it would be known to everybody.
      if (new Uint8Array(bits).every((byte) => byte === 0)) return false;
      secret = await crypto.subtle.importKey("raw", bits, "HKDF", false, ["deriveKey"]);
    } catch {
      return false;
    }
    const sealing = keyInfo(this.#room, this.#me, this.publicKey, peer, publicKey);
    const opening = keyInfo(this.#room, peer, publicKey, this.#me, this.publicKey);
    const seal = await derived(secret, sealing, "encrypt");
    const open = await derived(secret, opening, "decrypt");
    this.#pairs.set(peer, { publicKey, seal, open });
    const last = this.#last.get(place(peer, publicKey)) ?? -1n;
    this.#last.set(place(peer, publicKey), last);
    return true;
  }

  /**
   * Drop the keys of a session that is gone; what it has sent stays refused.
   * @param {string} peer
   */
  forget(peer) {
    const pair = this.#pairs.get(peer);
    if (pair === undefined) return;
    this.#pairs.delete(peer);
    const where = place(peer, pair.publicKey);
    if (this.#last.get(where) === -1n) this.#last.delete(where);
  }

  /**
   * Drop the keys of all but these.
   * @param {Set<string>} peers
   */
  keep(peers) {
    for (const peer of [...this.#pairs.keys()]) if (!peers.has(peer)) this.forget(peer);
  }

  /**
   * Return a frame for the server to pass on; null without keys.
   * @param {string} to
   * @param {Uint8Array<ArrayBuffer>} datagram
   */
  async seal(to, datagram) {
    const pair = this.#pairs.get(to);
    if (pair === undefined) return null;
    const counter = new Uint8Array(COUNTER_BYTES);
    new DataView(counter.buffer).setBigUint64(0, this.#counter);
    this.#counter += 1n;
    const algorithm = {
      name: "AES-GCM", iv: nonce(counter), additionalData: additionalData(this.#room, this.#me, to),
    };
    const text = new Uint8Array(await crypto.subtle.encrypt(algorithm, pair.seal, datagram));
    const sealed = new Uint8Array(COUNTER_BYTES + text.length);
    sealed.set(counter);
    sealed.set(text, COUNTER_BYTES);
    return addressed(to, sealed);
  }

  /**
   * Return who sealed a frame, and what.
   * @param {Uint8Array<ArrayBuffer>} frame
   * @throws {InvalidMessage} it is malformed, or was here before
   * @throws {InvalidSignature} it was not sealed by the session that it names
   */
  async open(frame) {
    const { session, rest } = addressee(frame);
    const counter = rest.subarray(0, COUNTER_BYTES);
    const [id] = session.split(".");
    const pair = this.#pairs.get(session);
    if (pair === undefined) throw new InvalidSignature(`a sealed frame from ${id}, without keys`);
    const algorithm = {
      name: "AES-GCM",
      iv: nonce(counter),
      additionalData: additionalData(this.#room, session, this.#me),
    };
    let data;
    try {
      const text = rest.subarray(COUNTER_BYTES);
      data = new Uint8Array(await crypto.subtle.decrypt(algorithm, pair.open, text));
    } catch {
      throw new InvalidSignature(`a sealed frame from ${id} was changed on its way`);
    }
    const number = new DataView(rest.buffer, rest.byteOffset).getBigUint64(0);
    const where = place(session, pair.publicKey);
    if (number <= (this.#last.get(where) ?? -1n)) {
      throw new InvalidMessage(`a sealed frame from ${id} came again`);
    }
    this.#last.set(where, number);
    return { source: session, data };
  }
}

/**
 * @param {string} session
 * @param {string} publicKey
 */
const place = (session, publicKey) => `${session} ${publicKey}`;

/**
 * @param {CryptoKey} secret
 * @param {Uint8Array<ArrayBuffer>} info
 * @param {"encrypt" | "decrypt"} use
 */
function derived(secret, info, use) {
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(), info };
  return crypto.subtle.deriveKey(algorithm, secret, { name: "AES-GCM", length: 256 }, false, [use]);
}
