/**
 * Keeping in contact with the signaling server; see `core/contact.py`.
 * @module
 */

import {
  JoinError, Kicked, NotGranted, ProtocolMismatch, Replaced, RoomClosed, RoomFull, Unauthorized,
} from "../errors.js";
import { fullJitter } from "./backoff.js";
import { ABNORMAL, CloseCode, isFinal, nameOf } from "./closing.js";
import { PROTOCOL } from "./wire.js";

/** Seconds of the first wait before the WebSocket is opened again, at most. */
export const RETRY_BASE = 0.25;
/** Seconds of the longest. */
export const RETRY_CAP = 5.0;
/** Seconds for which a server may have us stay away, whatever it asks for. */
export const RETRY_AFTER_MOST = 60.0;
/** Seconds after which a connection was a good one: the next loss is the first again. */
export const STEADY = 5.0;
/** Seconds from opening the WebSocket to the welcome. */
export const GREETING_TIMEOUT = 10.0;
/** Seconds between pings at least, whatever a server asks for. */
export const PING_LEAST = 1.0;
/** Seconds between pings at most. */
export const PING_MOST = 60.0;
/** Seconds that a ping may stay unanswered by anything. */
export const PONG_TIMEOUT = 10.0;
/** The same after the network has changed, unless the last answer took a quarter of it. */
export const DOUBT_TIMEOUT = 1.5;
/** Seconds after which an attempt under way as the network changes is begun anew. */
export const HUNG = 1.0;

/**
 * @typedef {{ type: "open-socket" }
 *   | { type: "close-socket" }
 *   | { type: "say-hello", nonce: string, resume: string }
 *   | { type: "renew-permit" }
 *   | { type: "send-to-server", message: { type: "leave" } | { type: "ping", n: number }
 *       | { type: "kick", userId: string, duration: number, reason: string, n: number } }
 * } ContactOutput
 */
/** @typedef {import("../errors.js").MeshError} MeshError */
/** @typedef {import("../events.js").ServerState} ServerState */

/** @type {ReadonlyMap<number, new (message: string) => MeshError>} */
const ERRORS = new Map(
  /** @type {[number, new (message: string) => MeshError][]} */ ([
    [CloseCode.UNAUTHORIZED, Unauthorized],
    [CloseCode.NOT_GRANTED, NotGranted],
    [CloseCode.PROTOCOL_MISMATCH, ProtocolMismatch],
    [CloseCode.REPLACED, Replaced],
    [CloseCode.ROOM_FULL, RoomFull],
  ]),
);

/** The client's side of the conversation with the server. */
export class Contact {
  /** Connecting until the first welcome. @type {ServerState} */
  state = "connecting";
  /** Why the conversation is over for good; null while it is not. @type {MeshError | null} */
  error = null;
  #dice;
  #resume = "";
  #failures = 0;
  /** @type {number | null} */
  #welcomedAt = null;
  #openedAt = 0;
  /** How much the server passes on in a second; 0 if nothing. */
  relayBytes = 0;
  /** What the server lets us do, by its last word. @type {readonly string[]} */
  grants = [];
  /** What the server signs with who is removed; empty if it does not. */
  roomKey = "";
  /** What the server said last of what we did wrong. */
  #complaint = "";
  #pings = 0;
  #pingedAt = 0;
  /** Seconds that the last answer to a ping took. */
  #trip = 0;
  #pingInterval = 20.0;
  /** Until when the server does not want to see us. */
  #notBefore = 0;
  /** @type {number | null} */
  #retryAt = null;
  /** @type {number | null} */
  #pingAt = null;
  /** When silence means that the WebSocket is dead. @type {number | null} */
  #silentAt = null;
  /** Whether the server has been told who we are, welcomed or not yet. */
  #known = false;

  /** @param {() => number} dice returns random numbers in [0, 1) */
  constructor(dice) {
    this.#dice = dice;
  }

  /** When to tick at the latest; null when there is nothing to wait for. */
  get deadline() {
    const times = [this.#retryAt, this.#pingAt, this.#silentAt].filter((time) => time !== null);
    return times.length ? Math.min(...times) : null;
  }

  /**
   * Open the first WebSocket.
   * @param {number} now seconds
   */
  start(now) {
    return this.#open(now);
  }

  /**
   * Take note of any message; answer a challenge, keep what a welcome says.
   * @param {any} message one of `wire.js`
   * @param {number} now seconds
   * @returns {ContactOutput[]}
   */
  heard(message, now) {
    if (this.#silentAt === null) return [];
    if (message.type === "error") this.#complaint = message.message;
    if (message.type === "challenge") {
      const [low, high] = message.protocol;
      if (low <= PROTOCOL && PROTOCOL <= high) {
        this.#known = true;
        return [{ type: "say-hello", nonce: message.nonce, resume: this.#resume }];
      }
      const text = `the server speaks protocol ${low} to ${high}, we speak ${PROTOCOL}`;
      return this.#end(new ProtocolMismatch(text));
    }
    if (message.type === "welcome") {
      this.state = "connected";
      this.#known = true;
      this.#resume = message.resume;
      this.#welcomedAt = now;
      this.relayBytes = message.relayBytes;
      this.grants = message.grants;
      this.roomKey = message.roomKey;
      this.#pingInterval = Math.min(Math.max(message.pingInterval, PING_LEAST), PING_MOST);
      this.#pingAt = now + this.#pingInterval;
    }
    if ((message.type === "error" || message.type === "moving") && message.retryAfter !== null) {
      this.#notBefore = now + Math.min(message.retryAfter, RETRY_AFTER_MOST);
    }
    if (message.type === "pong" && message.n === this.#pings) this.#trip = now - this.#pingedAt;
    if (this.#pingAt === null) return [];
    this.#silentAt = this.#pingAt + PONG_TIMEOUT;
    if (message.type === "token") {
      this.grants = message.grants;
      if (message.renew) return [{ type: "renew-permit" }];
    }
    return [];
  }

  /**
   * Take note that the WebSocket ended; come back later, or never.
   * @param {number} code
   * @param {string} reason
   * @param {number} now seconds
   * @returns {ContactOutput[]}
   */
  lost(code, reason, now) {
    if (code === CloseCode.KICKED) return this.#end(new Kicked(this.#complaint || reason));
    const joined = this.state !== "connecting";
    if (isFinal(code) && !this.#returning(code)) {
      const Kind = ERRORS.get(code) ?? (joined ? RoomClosed : JoinError);
      const text = `the signaling server closed with ${code}: ${reason || nameOf(code)}`;
      return this.#end(new Kind(text));
    }
    if (joined) this.state = "reconnecting";
    if (this.#welcomedAt !== null && now - this.#welcomedAt >= STEADY) this.#failures = 0;
    this.#welcomedAt = null;
    this.#known = false;
    this.#pingAt = this.#silentAt = null;
    this.#retryAt = this.#returnAt(now);
    this.#failures += 1;
    return [];
  }

  /**
   * Tell whether the server has no place for us now, though we were in before.
   *
   * Others may leave a full room, and one that went with its server may be made by who is
   * allowed to. Who is told on a connection that was welcomed has lost the grant to join.
   * @param {number} code
   */
  #returning(code) {
    if (code === CloseCode.NOT_GRANTED && this.#welcomedAt !== null) return false;
    const back = code === CloseCode.ROOM_FULL || code === CloseCode.NOT_GRANTED;
    return this.state !== "connecting" && back;
  }

  /**
   * Come back at once; or ask whether the WebSocket still leads to the server.
   * @param {number} now seconds
   * @returns {ContactOutput[]}
   */
  networkChanged(now) {
    this.#failures = 0;
    if (this.#retryAt !== null) {
      this.#retryAt = Math.min(this.#retryAt, this.#returnAt(now));
    } else if (this.#pingAt !== null) {
      this.#silentAt = this.#doubt(now);
      return [this.#ping(now)];
    } else if (this.#silentAt !== null) {
      if (now >= this.#openedAt + HUNG) {
        return [{ type: "close-socket" }, ...this.lost(ABNORMAL, "the network has changed", now)];
      }
      this.#silentAt = Math.min(this.#silentAt, this.#doubt(now));
    }
    return [];
  }

  /**
   * Return until when something must be heard after the network has changed.
   * @param {number} now
   */
  #doubt(now) {
    return now + Math.min(Math.max(DOUBT_TIMEOUT, 4 * this.#trip), PONG_TIMEOUT);
  }

  /** @param {number} now */
  #returnAt(now) {
    const delay = fullJitter(this.#failures, this.#dice(), RETRY_BASE, RETRY_CAP);
    return Math.max(now, this.#notBefore) + delay;
  }

  /**
   * Do what is due.
   * @param {number} now seconds
   * @returns {ContactOutput[]}
   */
  settle(now) {
    if (this.#silentAt !== null && now >= this.#silentAt) {
      return [{ type: "close-socket" }, ...this.lost(ABNORMAL, "the server fell silent", now)];
    }
    if (this.#retryAt !== null && now >= this.#retryAt) return this.#open(now);
    if (this.#pingAt !== null && now >= this.#pingAt) return [this.#ping(now)];
    return [];
  }

  /**
   * @param {number} now
   * @returns {ContactOutput}
   */
  #ping(now) {
    this.#pings += 1;
    this.#pingedAt = now;
    this.#pingAt = now + this.#pingInterval;
    return { type: "send-to-server", message: { type: "ping", n: this.#pings } };
  }

  /**
   * Give back the time that we did not listen.
   * @param {number} duration seconds
   */
  slept(duration) {
    this.#openedAt += duration;
    this.#pingedAt += duration;
    if (this.#silentAt !== null) this.#silentAt += duration;
  }

  /**
   * End it for good: we have been told that we are removed.
   * @param {MeshError} error
   */
  dismiss(error) {
    return this.#end(error);
  }

  /** Say goodbye and close. @returns {ContactOutput[]} */
  leave() {
    /** @type {ContactOutput[]} */
    const goodbye = [];
    if (this.#known) {
      goodbye.push({ type: "send-to-server", message: { type: "leave" } });
    }
    return [...goodbye, ...this.#end(null)];
  }

  /**
   * @param {number} now
   * @returns {ContactOutput[]}
   */
  #open(now) {
    this.#retryAt = null;
    this.#known = false;
    this.#openedAt = now;
    this.#silentAt = now + GREETING_TIMEOUT;
    return [{ type: "open-socket" }];
  }

  /**
   * @param {MeshError | null} error
   * @returns {ContactOutput[]}
   */
  #end(error) {
    this.state = "closed";
    this.error = error;
    this.#retryAt = this.#pingAt = this.#silentAt = null;
    return [{ type: "close-socket" }];
  }
}
