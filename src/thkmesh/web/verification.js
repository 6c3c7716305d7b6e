/**
 * Only what is signed by whom it names gets past here; see `signaling/verification.py`.
 * @module
 */

import { helloPayload, isId, kickedPayload, sessionKey, signalPayload } from "./core/identity.js";
import {
  decodeExpulsion, decodeIntroduction, decodeSignalBody, PROTOCOL,
} from "./core/wire.js";
import {
  IdentityMismatch, IncompatiblePeer, InvalidMessage, InvalidSignature, MalformedBody, NotAMember,
  SecretWanted, UnknownType, Unsigned, WrongEnvelope,
} from "./errors.js";
import { frozenPeer } from "./events.js";
import { idOfKey, verify } from "./keys.js";

/** @typedef {import("./events.js").Peer} Peer */

const REMEMBERED = 1024;

/** Checks introductions and signals for one session. */
export class Verifier {
  #room;
  #me;
  /** Bounded: the oldest is forgotten. @type {Map<string, string>} */
  #keys = new Map();
  #membership;
  /** The key of the latest welcome, which statements are signed with; empty before. */
  roomKey = "";

  /**
   * @param {string} room
   * @param {string} me my session
   * @param {import("./keys.js").Membership | null} [membership] null if the room has no secret,
   *   as far as we know
   */
  constructor(room, me, membership = null) {
    this.#room = room;
    this.#me = me;
    this.#membership = membership;
  }

  /**
   * Return the peer that an introduction proves, with its key for the relay; remember its own.
   * @param {any} ready a peer-ready
   * @returns {Promise<{ peer: Peer, relay: string }>}
   * @throws {NotAMember} the room has a secret, and the peer has not proven to know it
   * @throws {SecretWanted} it seems to have one, which we do not know
   * @throws {PeerError} it is not what it claims to be
   */
  async introduce(ready) {
    if (ready.roomId !== this.#room) {
      throw new InvalidMessage(`an introduction to the room ${ready.roomId}`);
    }
    if ((await idOfKey(ready.key)) !== ready.fromUserId) {
      throw new IdentityMismatch(`the id ${ready.fromUserId} is not the hash of its key`);
    }
    const session = sessionKey(ready.fromUserId, ready.fromSid);
    const payload = helloPayload(this.#room, session, ready.key, ready.body);
    if (!(await verify(ready.key, ready.signature, payload))) {
      throw new InvalidSignature(`the introduction of ${ready.fromUserId} is not its own`);
    }
    const said = decodeIntroduction(ready.body);
    const [low, high] = said.protocol;
    if (PROTOCOL < low || high < PROTOCOL) {
      throw new IncompatiblePeer(`${said.name} speaks protocol ${low} to ${high}`);
    }
    await this.#checkMembership(ready, session, said);
    this.#keys.set(session, ready.key);
    if (this.#keys.size > REMEMBERED) {
      const [oldest] = this.#keys.keys();
      this.#keys.delete(/** @type {string} */ (oldest));
    }
    const { name, metadata, relay } = said;
    const peer = frozenPeer({ id: ready.fromUserId, sid: ready.fromSid, name, metadata });
    return { peer, relay };
  }

  /**
   * @param {any} ready
   * @param {string} session
   * @param {import("./core/wire.js").Introduction} said
   */
  async #checkMembership({ key, fromUserId }, session, { name, membership }) {
    const who = `${name} (${fromUserId})`;
    if (this.#membership === null) {
      if (membership === "") return;
      throw new SecretWanted(`${who} is in a room with a secret: join by the whole link`);
    }
    if (await this.#membership.proves(membership, session, key)) return;
    const what = membership ? "has another secret" : "has not the room's secret";
    throw new NotAMember(`${who} ${what}`);
  }

  /**
   * Return what the server says of who is removed, once that is proven.
   * @param {{ body: string, signature: string }} kicked
   * @returns {Promise<import("./core/expulsion.js").Statement>}
   * @throws {InvalidSignature} it is not signed with the room's key as we know it
   * @throws {InvalidMessage} it is malformed, which no server's is
   */
  async statement({ body, signature }) {
    const payload = kickedPayload(this.#room, body);
    if (!(this.roomKey && await verify(this.roomKey, signature, payload))) {
      throw new InvalidSignature("that somebody is removed is not signed with the room's key");
    }
    const said = decodeExpulsion(body);
    if (!isId(said.userId)) throw new InvalidMessage("somebody is removed who has no id");
    return { ...said, body, signature };
  }

  /**
   * Return what a signal says, once it is proven to be for us and its sender's.
   * @param {any} signal
   * @returns {Promise<{ type: "signal-arrived", seq: number, ack: number,
   *   body: import("./core/wire.js").SignalBody | null }>}
   * @throws {MalformedBody} what is signed is malformed; its number counts all the same
   * @throws {PeerError} it is not what it claims to be
   */
  async signal(signal) {
    const { seq, ack } = signal;
    const source = sessionKey(signal.fromUserId, signal.fromSid);
    if (!(signal.signature || signal.type === "webrtc-ack")) {
      throw new Unsigned(`an unsigned signal from ${signal.fromUserId}`);
    }
    if (signal.roomId !== this.#room || sessionKey(signal.toUserId, signal.toSid) !== this.#me) {
      throw new InvalidMessage("a signal for another session");
    }
    if (signal.type === "webrtc-ack") return { type: "signal-arrived", seq: 0, ack, body: null };
    const key = this.#keys.get(source);
    if (key === undefined) {
      throw new InvalidSignature(`a signal from ${signal.fromUserId}, not introduced`);
    }
    const payload = signalPayload(this.#room, source, this.#me, seq, signal.body);
    if (!(await verify(key, signal.signature, payload))) {
      throw new InvalidSignature(`a signal from ${signal.fromUserId} was changed on its way`);
    }
    if (seq === 0) throw new InvalidMessage("a signal without a sequence number");
    try {
      return { type: "signal-arrived", seq, ack, body: knownBody(signal) };
    } catch (error) {
      // The envelope is not signed: in the right one the genuine signal may still come.
      if (error instanceof WrongEnvelope || !(error instanceof InvalidMessage)) throw error;
      const worth = /** @type {const} */ ({ type: "signal-arrived", seq, ack, body: null });
      throw new MalformedBody(error.message, worth);
    }
  }
}

/**
 * Return the body of a signal; null for a kind of a later version, which is skipped, but
 * what follows it waits for its number.
 * @param {any} signal
 */
function knownBody(signal) {
  try {
    return decodeSignalBody(signal);
  } catch (error) {
    if (error instanceof UnknownType) return null;
    throw error;
  }
}
