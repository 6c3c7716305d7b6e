/**
 * Ed25519 keys (RFC 8032) by WebCrypto: the one place that does cryptography.
 *
 * A private key cannot be extracted; the browser keeps it in IndexedDB. A tab holds an
 * identity of its own: it survives a reload, and two tabs never share one (a Web Lock
 * sees to that). A stable identity, the same in every tab, is there on request.
 * @module
 */

import { WrongContext } from "./errors.js";
import { decodeBytes, encodeBytes, idOfDigest } from "./core/identity.js";
import { membershipInfo, membershipPayload } from "./core/secret.js";
import { milliseconds, unlessAborted } from "./patience.js";

const ALGORITHM = "Ed25519";
const DATABASE = "thkmesh";
const STORE = "identities";
const SLOTS = 64;
/** Seconds that the browser's storage has: now and then one never answers. */
const STORAGE_PATIENCE = 2.0;

/**
 * Refuse to work where the browser has no WebCrypto.
 * @throws {WrongContext} the page is insecure, or the browser too old
 */
export function requireCrypto() {
  if (globalThis.crypto?.subtle === undefined) {
    throw new WrongContext(
      "this page is not secure, so the browser has no cryptography for it: "
        + "open it by https or on localhost (thkmesh serve --tls-self-signed)",
    );
  }
}

/** Return 64 random bits, the name of a life. */
export function randomSid() {
  const bytes = crypto.getRandomValues(new Uint8Array(8));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** What proves, in a room with a secret, that peers know it; see `core/secret.py`. */
export class Membership {
  #key;
  #room;

  /**
   * Derive the key.
   * @param {string} secret
   * @param {string} room
   */
  constructor(secret, room) {
    this.#room = room;
    this.#key = hmacKey(secret, membershipInfo(room));
    this.#key.catch(() => {}); // told where it is wanted
  }

  /**
   * Return the proof for a session, 43 characters of base64url.
   * @param {string} session
   * @param {string} publicKey base64url
   */
  async proof(session, publicKey) {
    const payload = membershipPayload(this.#room, session, publicKey);
    return encodeBytes(new Uint8Array(await crypto.subtle.sign("HMAC", await this.#key, payload)));
  }

  /**
   * Tell whether that is the proof; in a time that does not depend on how much of it is right.
   * @param {string} proof
   * @param {string} session
   * @param {string} publicKey base64url
   */
  async proves(proof, session, publicKey) {
    const bytes = decodeBytes(proof, 32);
    if (bytes === null) return false;
    const payload = membershipPayload(this.#room, session, publicKey);
    return crypto.subtle.verify("HMAC", await this.#key, bytes, payload);
  }
}

/**
 * Return 32 bytes of HKDF-SHA-256 without salt (RFC 5869), as a key for HMAC-SHA-256.
 * @param {string} secret
 * @param {Uint8Array<ArrayBuffer>} info
 */
async function hmacKey(secret, info) {
  const raw = new TextEncoder().encode(secret);
  const material = await crypto.subtle.importKey("raw", raw, "HKDF", false, ["deriveBits"]);
  const salt = new Uint8Array(0);
  const bits = await crypto.subtle.deriveBits(
    { name: "HKDF", hash: "SHA-256", salt, info }, material, 256);
  const hmac = { name: "HMAC", hash: "SHA-256" };
  return crypto.subtle.importKey("raw", bits, hmac, false, ["sign", "verify"]);
}

/** A peer's key pair; `id` is the hash of its public half. */
export class Identity {
  #privateKey;
  /** The public key, base64url. */
  publicKey;
  /** The peer id. */
  id;
  /** Let go of the tab's hold on this identity. @type {() => void} */
  release;
  #users = 0;

  /**
   * Use `generate` or `ofTab`.
   * @param {CryptoKey} privateKey
   * @param {string} publicKey base64url
   * @param {string} id
   * @param {() => void} [release]
   */
  constructor(privateKey, publicKey, id, release = () => {}) {
    this.#privateKey = privateKey;
    this.publicKey = publicKey;
    this.id = id;
    this.release = release;
  }

  /** Return a fresh identity that lives as long as the page. */
  static async generate() {
    requireCrypto();
    return Identity.#of(await makePair());
  }

  /**
   * Return the identity of this tab, or with `stable` that of this browser.
   *
   * No other tab gets it before `release`, or the last room is left that was joined with
   * it. Where the page may store nothing, or 64 tabs have one each, it is a fresh one.
   * @param {boolean} [stable]
   */
  static async ofTab(stable = false) {
    requireCrypto();
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), milliseconds(STORAGE_PATIENCE));
    try {
      return await unlessAborted(Identity.#stored(stable, late.signal), late.signal);
    } catch {
      // Storage may be refused, to private windows say; then it lives as long as the page.
      return await Identity.generate();
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Count one more user in; what this returns counts it out, and the last one releases.
   * @returns {() => void}
   */
  hold() {
    this.#users += 1;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#users -= 1;
      if (this.#users === 0) this.release();
    };
  }

  /**
   * @param {boolean} stable
   * @param {AbortSignal} signal aborted when nobody waits for this any more
   */
  static async #stored(stable, signal) {
    const slot = stable ? { name: "stable", release: () => {} } : await takeSlot();
    signal.addEventListener("abort", slot.release);
    try {
      signal.throwIfAborted();
      return await Identity.#of(await storedPair(slot.name), slot.release);
    } catch (error) {
      slot.release();
      throw error;
    }
  }

  /**
   * @param {CryptoKeyPair} pair
   * @param {() => void} [release]
   */
  static async #of(pair, release) {
    const raw = new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey));
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", raw));
    return new Identity(pair.privateKey, encodeBytes(raw), idOfDigest(digest), release);
  }

  /**
   * Return the signature of `payload`, 86 characters of base64url.
   * @param {Uint8Array<ArrayBuffer>} payload
   */
  async sign(payload) {
    const signature = await crypto.subtle.sign(ALGORITHM, this.#privateKey, payload);
    return encodeBytes(new Uint8Array(signature));
  }
}

/** @returns {Promise<CryptoKeyPair>} */
async function makePair() {
  try {
    const pair = await crypto.subtle.generateKey(ALGORITHM, false, ["sign", "verify"]);
    return /** @type {CryptoKeyPair} */ (pair);
  } catch (error) {
    throw new WrongContext(`this browser has no Ed25519; a newer one has (${error})`);
  }
}

/**
 * Take the lowest slot that no other tab holds, preferably the one we had before.
 * @returns {Promise<{ name: string, release: () => void }>}
 */
async function takeSlot() {
  const before = sessionStorage.getItem("thkmesh-slot");
  const names = Array.from({ length: SLOTS }, (_, number) => String(number));
  for (const name of before === null ? names : [before, ...names]) {
    const release = await tryLock(`thkmesh-identity-${name}`);
    if (release !== null) {
      remember(name);
      return { name, release };
    }
  }
  throw new Error(`${SLOTS} tabs of this site hold an identity`);
}

/**
 * Prefer a slot after a reload.
 * @param {string} name
 */
function remember(name) {
  try {
    sessionStorage.setItem("thkmesh-slot", name);
  } catch {
    // It is full, or may only be read: the lowest free slot will do.
  }
}

/**
 * @param {string} name
 * @returns {Promise<(() => void) | null>} what lets go of the lock; null if it is taken
 */
function tryLock(name) {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(name, { ifAvailable: true }, (lock) => {
        if (lock === null) {
          resolve(null);
          return undefined;
        }
        return new Promise((release) => resolve(() => release(undefined)));
      })
      .catch(reject);
  });
}

/**
 * Return the key pair of a slot, made if there is none.
 * @param {string} name
 * @returns {Promise<CryptoKeyPair>}
 */
async function storedPair(name) {
  const database = await openDatabase();
  try {
    const known = await settled(database.transaction(STORE).objectStore(STORE).get(name));
    if (known !== undefined) return known;
    const made = await makePair();
    // Another tab may have been faster with the stable one: whatever is stored counts.
    const store = database.transaction(STORE, "readwrite").objectStore(STORE);
    await settled(store.add(made, name)).catch(() => undefined);
    return await settled(database.transaction(STORE).objectStore(STORE).get(name));
  } finally {
    database.close();
  }
}

/** @returns {Promise<IDBDatabase>} */
function openDatabase() {
  const request = indexedDB.open(DATABASE, 1);
  request.addEventListener("upgradeneeded", () => request.result.createObjectStore(STORE));
  return settled(request);
}

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function settled(request) {
  return new Promise((resolve, reject) => {
    request.addEventListener("success", () => resolve(request.result));
    request.addEventListener("error", (event) => {
      event.preventDefault(); // or the transaction, and with it the page's console, fails too
      reject(request.error);
    });
  });
}

/**
 * Tell whether `signature` is that key's over `payload`; never throws.
 * @param {string} publicKey base64url
 * @param {string} signature base64url
 * @param {Uint8Array<ArrayBuffer>} payload
 */
export async function verify(publicKey, signature, payload) {
  const raw = decodeBytes(publicKey, 32);
  const bytes = decodeBytes(signature, 64);
  if (raw === null || bytes === null) return false;
  try {
    const key = await crypto.subtle.importKey("raw", raw, ALGORITHM, false, ["verify"]);
    return await crypto.subtle.verify(ALGORITHM, key, bytes, payload);
  } catch {
    return false;
  }
}

/**
 * Return the peer id of a public key, null if it is no key.
 * @param {string} publicKey base64url
 */
export async function idOfKey(publicKey) {
  const raw = decodeBytes(publicKey, 32);
  if (raw === null) return null;
  return idOfDigest(new Uint8Array(await crypto.subtle.digest("SHA-256", raw)));
}
