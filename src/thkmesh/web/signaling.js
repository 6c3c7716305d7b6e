/**
 * The shell of the conversation with the server: sockets, coding and signatures.
 *
 * WebCrypto is asynchronous, so what is signed and what is verified each go through a
 * chain of promises: strictly in order, whatever takes longer. See `signaling/*.py`.
 * @module
 */

import {
  IdentityMismatch, IncompatiblePeer, InvalidMessage, InvalidSignature, MalformedBody, PeerError,
  UnknownType, Unsigned, WrongEnvelope,
} from "./errors.js";
import { ABNORMAL } from "./core/closing.js";
import { helloPayload, partsOf, proofPayload, sessionKey, signalPayload } from "./core/identity.js";
import {
  decodeIntroduction, decodeSignalBody, decodeToClient, PROTOCOL, WELCOME_LIMIT_BYTES,
} from "./core/wire.js";
import { claimed, UnknownVersion } from "./core/sealed.js";
import { frozenPeer } from "./events.js";
import { idOfKey, verify } from "./keys.js";
import { Sealer } from "./sealing.js";
import { checkToken, introduction } from "./settings.js";

/** @typedef {import("./core/session.js").SessionEvent} SessionEvent */
/** @typedef {import("./events.js").Peer} Peer */
/**
 * @typedef {object} SignalingSettings
 * @property {string} url of the WebSocket
 * @property {string} room
 * @property {import("./keys.js").Identity} identity
 * @property {string} sid
 * @property {string} name
 * @property {Record<string, any>} metadata
 * @property {string | (() => string | Promise<string>)} token
 * @property {boolean} relay whether messages may go through the server, sealed
 */

const REMEMBERED = 1024;
/** More bytes of sealed frames than this do not wait. */
const FRAMES_BYTES = 256 * 1024;

/** Checks introductions and signals for one session. */
export class Verifier {
  #room;
  #me;
  /** Bounded: the oldest is forgotten. @type {Map<string, string>} */
  #keys = new Map();

  /**
   * @param {string} room
   * @param {string} me my session
   */
  constructor(room, me) {
    this.#room = room;
    this.#me = me;
  }

  /**
   * Return the peer that an introduction proves, with its key for the relay; remember its own.
   * @param {any} ready a peer-ready
   * @returns {Promise<{ peer: Peer, relay: string }>}
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

/**
 * Return why a WebSocket may not have opened; browsers do not tell.
 * @param {string} url
 */
function unreachable(url) {
  const page = globalThis.location;
  return page === undefined || page.host === new URL(url).host
    ? `no server at ${url}`
    : `no server at ${url}, or one that does not let in pages of ${page.origin}`;
}

/**
 * Tell whether a message has more bytes than any from a server may.
 * @param {string} text
 */
function isTooLarge(text) {
  // A UTF-16 unit is one to three bytes of UTF-8.
  if (text.length > WELCOME_LIMIT_BYTES) return true;
  if (3 * text.length <= WELCOME_LIMIT_BYTES) return false;
  return new TextEncoder().encode(text).length > WELCOME_LIMIT_BYTES;
}

/** One session's WebSocket, whichever it is at the moment. */
export class SignalingClient {
  #log;
  #settings;
  #feed;
  #verifier;
  #me;
  /** @type {WebSocket | null} */
  #socket = null;
  #incoming = Promise.resolve();
  #outgoing = Promise.resolve();
  /** @type {Promise<Sealer | null>} */
  #sealer;
  #sealing = Promise.resolve();
  /** Bytes of sealed frames that wait to be sent. */
  #sealingBytes = 0;
  /** How many messages and signals of a kind we do not know were skipped. */
  unknown = 0;

  /**
   * @param {SignalingSettings} settings
   * @param {(event: SessionEvent) => void} feed gets what happens
   * @param {(line: string) => void} [log] gets what is worth a line
   */
  constructor(settings, feed, log = () => {}) {
    this.#log = log;
    this.#settings = settings;
    this.#feed = feed;
    this.#me = sessionKey(settings.identity.id, settings.sid);
    this.#verifier = new Verifier(settings.room, this.#me);
    this.#sealer = settings.relay
      ? Sealer.generate(settings.room, this.#me) : Promise.resolve(null);
  }

  /** Connect, and feed what comes. */
  open() {
    /** @type {WebSocket} */
    let socket;
    try {
      socket = new WebSocket(this.#settings.url);
    } catch (error) {
      this.#then(() => this.#lost(null, ABNORMAL, String(error)));
      return;
    }
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    let opened = false;
    socket.addEventListener("open", () => {
      opened = true;
    });
    socket.addEventListener("message", ({ data }) => {
      this.#then(() => (this.#socket === socket ? this.#received(data) : undefined));
    });
    socket.addEventListener("close", ({ code, reason }) => {
      const why = reason || (opened ? "the connection broke" : unreachable(socket.url));
      // After what has come before it has been verified.
      this.#then(() => this.#lost(socket, code, why));
    });
  }

  /** Let go of the WebSocket, once what was said is on its way; nothing more is fed. */
  close() {
    const socket = this.#socket;
    this.#outgoing = Promise.all([this.#outgoing, this.#sealing])
      .then(() => socket?.close(1000)).catch(reportError);
    this.#incoming = this.#incoming.then(() => {
      if (this.#socket === socket) this.#socket = null;
    });
  }

  /** Wait until what was said has been signed and handed over. */
  async flushed() {
    await this.#outgoing;
    await this.#sealing;
  }

  /**
   * Introduce ourselves, with proof that we hold the key now.
   * @param {string} nonce
   * @param {string} resume
   */
  hello(nonce, resume) {
    const { room, identity, sid, name, metadata } = this.#settings;
    const socket = this.#socket;
    this.#say(async () => {
      let token = "";
      try {
        token = await this.#token();
      } catch (error) {
        // It is the application's, and for a later try.
        this.#then(() => {
          if (this.#socket !== socket) return;
          this.#lost(socket, ABNORMAL, `there is no token: ${error}`);
          socket?.close(1000);
        });
        return null;
      }
      const body = introduction(name, metadata, (await this.#sealer)?.publicKey);
      return {
        type: "hello",
        roomId: room,
        fromUserId: identity.id,
        fromSid: sid,
        key: identity.publicKey,
        body,
        signature: await identity.sign(helloPayload(room, this.#me, identity.publicKey, body)),
        proof: await identity.sign(proofPayload(nonce, room, this.#me)),
        ...(resume && { resume }),
        ...(token && { token }),
      };
    });
  }

  /** Show a fresh token, for the one that we showed ends before long. */
  renew() {
    if (typeof this.#settings.token === "string") return;
    this.#token().then(
      (token) => this.send({ type: "token", token }),
      (error) => this.#log(`there is no token: ${error}`),
    );
  }

  /** Return a token, fresh if the application makes them. @returns {Promise<string>} */
  async #token() {
    const { token } = this.#settings;
    return typeof token === "string" ? token : checkToken(await token());
  }

  /**
   * Sign a signal and send it.
   * @param {{ to: string, envelope: string, seq: number, ack: number, body: string }} wanted
   */
  signal({ to, envelope, seq, ack, body }) {
    const { room, identity, sid } = this.#settings;
    const other = partsOf(to);
    this.#say(async () => ({
      type: envelope,
      roomId: room,
      fromUserId: identity.id,
      toUserId: other.id,
      fromSid: sid,
      toSid: other.sid,
      seq,
      ack,
      ...(seq > 0 && {
        body,
        signature: await identity.sign(signalPayload(room, this.#me, to, seq, body)),
      }),
    }));
  }

  /**
   * Seal a datagram and send it behind what else waits; it may be dropped anywhere.
   * @param {string} to
   * @param {Uint8Array<ArrayBuffer>} datagram
   */
  relay(to, datagram) {
    const socket = this.#socket;
    if (socket === null || this.#sealingBytes + datagram.length > FRAMES_BYTES) return;
    this.#sealingBytes += datagram.length;
    this.#sealing = this.#sealing.then(async () => {
      let frame;
      try {
        frame = await (await this.#sealer)?.seal(to, datagram);
      } finally {
        this.#sealingBytes -= datagram.length;
      }
      if (!frame || socket.readyState !== WebSocket.OPEN) return;
      if (socket.bufferedAmount <= FRAMES_BYTES) socket.send(frame);
    }).catch(reportError);
  }

  /**
   * Send a message that needs no signature.
   * @param {object} message
   */
  send(message) {
    this.#say(async () => message);
  }

  /**
   * Send what `make` makes, after all former ones, over the WebSocket of now.
   * @param {() => Promise<object | null>} make null if it is nothing
   */
  #say(make) {
    const socket = this.#socket;
    this.#outgoing = this.#outgoing.then(async () => {
      const message = await make();
      if (message === null) return;
      const text = JSON.stringify(message);
      // Without a WebSocket it is dropped, as the network might.
      if (socket?.readyState === WebSocket.OPEN) socket.send(text);
    }).catch(reportError); // or one fault would keep back all that follows
  }

  /** @param {() => void | Promise<void>} work done after all former work */
  #then(work) {
    this.#incoming = this.#incoming.then(work).catch(reportError);
  }

  /**
   * @param {WebSocket | null} socket
   * @param {number} code
   * @param {string} reason
   */
  #lost(socket, code, reason) {
    if (this.#socket !== socket) return;
    this.#socket = null;
    this.#feed({ type: "socket-lost", code, reason });
  }

  /** @param {unknown} data */
  async #received(data) {
    try {
      if (data instanceof ArrayBuffer) {
        await this.#unseal(new Uint8Array(data));
        return;
      }
      if (typeof data !== "string") throw new InvalidMessage("a message of no kind we know");
      if (isTooLarge(data)) throw new InvalidMessage("the server sent more than a welcome may have");
      const event = await this.#proven(decodeToClient(data));
      if (event !== null) this.#feed(event);
    } catch (error) {
      if (error instanceof UnknownType) this.unknown += 1;
      else if (error instanceof PeerError) this.#suspect(null, error);
      else throw error;
    }
  }

  /** @param {Uint8Array<ArrayBuffer>} frame */
  async #unseal(frame) {
    const sealer = await this.#sealer;
    if (sealer === null) throw new InvalidMessage("a sealed frame that nobody asked for");
    try {
      const { source, data } = await sealer.open(frame);
      this.#feed({ type: "from-link", to: source, event: { type: "relayed", data } });
    } catch (error) {
      if (error instanceof UnknownVersion) this.unknown += 1;
      else if (error instanceof PeerError) this.#suspect(claimed(frame), error);
      else throw error;
    }
  }

  /**
   * Return what a message is worth; null where that has been said already.
   * @param {any} message
   * @returns {Promise<SessionEvent | null>}
   */
  async #proven(message) {
    switch (message.type) {
      case "welcome": {
        const peers = [];
        const sealed = [];
        (await this.#sealer)?.keep(new Set(message.peers.map(
          (/** @type {any} */ { fromUserId, fromSid }) => sessionKey(fromUserId, fromSid))));
        for (const ready of message.peers) {
          const known = await this.#introduced(ready);
          if (known === null) continue;
          peers.push(known.peer);
          if (known.sealed) sealed.push(sessionKey(known.peer.id, known.peer.sid));
        }
        return { type: "welcomed", message, peers, sealed };
      }
      case "peer-left":
        (await this.#sealer)?.forget(sessionKey(message.userId, message.sid));
        return { type: "heard", message };
      case "peer-ready": {
        const known = await this.#introduced(message);
        return known === null ? null : { type: "introduced", ...known };
      }
      case "webrtc-offer":
      case "webrtc-answer":
      case "webrtc-ice-candidate":
      case "webrtc-restart":
      case "webrtc-ack": {
        const source = sessionKey(message.fromUserId, message.fromSid);
        try {
          const signal = await this.#verifier.signal(message);
          if (signal.seq > 0 && signal.body === null) this.unknown += 1;
          return { type: "signal-verified", source, signal };
        } catch (error) {
          if (!(error instanceof PeerError)) throw error;
          this.#suspect(source, error);
          if (!(error instanceof MalformedBody)) return null;
          return { type: "signal-verified", source, signal: error.signal };
        }
      }
      default:
        return { type: "heard", message };
    }
  }

  /**
   * Return whom an introduction proves, and whether keys are agreed with it.
   * @param {any} ready
   * @returns {Promise<{ peer: Peer, sealed: boolean } | null>}
   */
  async #introduced(ready) {
    try {
      const { peer, relay } = await this.#verifier.introduce(ready);
      const session = sessionKey(peer.id, peer.sid);
      return { peer, sealed: await (await this.#sealer)?.agree(session, relay) ?? false };
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      this.#suspect(sessionKey(ready.fromUserId, ready.fromSid), error);
      return null;
    }
  }

  /**
   * @param {string | null} claimed
   * @param {PeerError} error
   */
  #suspect(claimed, error) {
    this.#feed({ type: "suspected", claimed, error });
  }
}
