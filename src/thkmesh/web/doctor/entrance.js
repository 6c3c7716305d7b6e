/**
 * The signaling server, asked by two sessions that meet in a room of their own; see
 * `doctor/entrance.py`.
 * @module
 */

import { helloPayload, proofPayload, sessionKey } from "../core/identity.js";
import { addressed } from "../core/sealed.js";
import { decodeToClient } from "../core/wire.js";
import { Identity, randomSid } from "../keys.js";
import { introduction } from "../settings.js";

/** @typedef {import("./verdict.js").Call} Call */
/** @typedef {{ key: string, socket: WebSocket, inbox: Inbox, welcome: any }} Session */
/**
 * @typedef {object} Entrance
 * @property {string} reason why nobody can join; empty if one can
 * @property {number | null} seconds how long joining took
 * @property {RTCIceServer[]} iceServers what the server offers
 * @property {Call} relay the relay through the server
 */

const PATIENCE_MS = 10_000;
const SEALED_BYTES = 64;

/** What comes over a WebSocket, to be waited for. */
class Inbox {
  /** @type {(string | ArrayBuffer)[]} */
  #waiting = [];
  /** @type {{ resolve: (data: string | ArrayBuffer) => void, reject: (error: Error) => void } | null} */
  #reader = null;
  /** @type {Error | null} */
  #over = null;

  /** @param {WebSocket} socket */
  constructor(socket) {
    socket.binaryType = "arraybuffer";
    socket.addEventListener("message", ({ data }) => {
      if (this.#reader === null) this.#waiting.push(data);
      else this.#reader.resolve(data);
      this.#reader = null;
    });
    socket.addEventListener("close", ({ code, reason }) => this.#end(
      new Error(reason || (code === 1006
        ? `there is no signaling server at ${socket.url}, or something in between hung up`
        : `the connection was closed with code ${code}`)),
    ));
    setTimeout(() => this.#end(new Error(`${socket.url} does not answer`)), PATIENCE_MS);
  }

  /** @param {Error} error */
  #end(error) {
    this.#over ??= error;
    this.#reader?.reject(this.#over);
    this.#reader = null;
  }

  /**
   * Return what comes next.
   * @returns {Promise<string | ArrayBuffer>}
   */
  next() {
    const data = this.#waiting.shift();
    if (data !== undefined) return Promise.resolve(data);
    if (this.#over !== null) return Promise.reject(this.#over);
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
    });
  }
}

/**
 * Join twice; never rejects.
 * @param {string} url of the WebSocket
 * @param {string} room
 * @returns {Promise<Entrance>}
 */
export async function enter(url, room) {
  const started = performance.now();
  /** @type {Session[]} */
  const sessions = [];
  /** @type {Call} */
  let relay = { kind: "server", reason: "nobody could join", seconds: null, tried: false };
  try {
    const one = await joined(url, room);
    sessions.push(one);
    const seconds = (performance.now() - started) / 1000;
    const other = await joined(url, room);
    sessions.push(other);
    relay = await relayed(one, other);
    return { reason: "", seconds, iceServers: one.welcome.iceServers, relay };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { reason, seconds: null, iceServers: [], relay };
  } finally {
    for (const { socket } of sessions) {
      socket.send(JSON.stringify({ type: "leave" }));
      socket.close();
    }
  }
}

/**
 * @param {string} url
 * @param {string} room
 * @returns {Promise<Session>}
 */
async function joined(url, room) {
  const identity = await Identity.generate();
  const sid = randomSid();
  const key = sessionKey(identity.id, sid);
  const socket = new WebSocket(url);
  const inbox = new Inbox(socket);
  try {
    const { nonce } = await expected(inbox, "challenge");
    const body = introduction("doctor", {});
    socket.send(JSON.stringify({
      type: "hello",
      roomId: room,
      fromUserId: identity.id,
      fromSid: sid,
      key: identity.publicKey,
      body,
      signature: await identity.sign(helloPayload(room, key, identity.publicKey, body)),
      proof: await identity.sign(proofPayload(nonce, room, key)),
    }));
    return { key, socket, inbox, welcome: await expected(inbox, "welcome") };
  } catch (error) {
    socket.close();
    throw error;
  }
}

/**
 * Return the next message, which is to be of that type.
 * @param {Inbox} inbox
 * @param {string} type
 * @returns {Promise<any>}
 */
async function expected(inbox, type) {
  const data = await inbox.next();
  const message = typeof data === "string" ? decodeToClient(data) : { type: "a frame" };
  if (message.type === "error") {
    throw new Error(`it does not let us in: ${message.message || message.reason}`);
  }
  if (message.type !== type) throw new Error(`it says ${message.type} where it should not`);
  return message;
}

/**
 * Send what looks like a sealed frame from one to the other.
 * @param {Session} one
 * @param {Session} other
 * @returns {Promise<Call>}
 */
async function relayed(one, other) {
  const call = { kind: "server", reason: "", seconds: null, tried: true };
  if (!one.welcome.relayBytes) return { ...call, reason: "the server relays nothing", tried: false };
  const started = performance.now();
  const sealed = crypto.getRandomValues(new Uint8Array(SEALED_BYTES));
  one.socket.send(addressed(other.key, sealed));
  const wanted = String(addressed(one.key, sealed));
  try {
    for (;;) {
      const data = await other.inbox.next();
      if (typeof data !== "string" && String(new Uint8Array(data)) === wanted) {
        return { ...call, seconds: (performance.now() - started) / 1000 };
      }
    }
  } catch {
    return { ...call, reason: "what was sent did not arrive" };
  }
}
