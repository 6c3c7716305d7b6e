/**
 * The shell of the conversation with the server: sockets, coding and signatures.
 *
 * WebCrypto is asynchronous, so what is signed and what is verified each go through a
 * chain of promises: strictly in order, whatever takes longer. See `signaling/*.py`.
 * @module
 */

import {
  InvalidMessage, MalformedBody, NotAMember, PeerError, SecretWanted, UnknownType,
} from "./errors.js";
import { ABNORMAL } from "./core/closing.js";
import { helloPayload, partsOf, proofPayload, sessionKey, signalPayload } from "./core/identity.js";
import { decodeToClient, WELCOME_LIMIT_BYTES } from "./core/wire.js";
import { claimed, UnknownVersion } from "./core/sealed.js";
import { Membership } from "./keys.js";
import { Sealer } from "./sealing.js";
import { checkToken, introduction } from "./settings.js";
import { Verifier } from "./verification.js";

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
 * @property {string | null} [secret] of the room; the server does not hear it
 * @property {boolean} relay whether messages may go through the server, sealed
 */

/** So many strangers are told of once; then the oldest is told of again. */
const REMEMBERED = 1024;
/** More bytes of sealed frames than this do not wait. */
const FRAMES_BYTES = 256 * 1024;

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
  #membership;
  /** Those who are no members: told of once, whatever comes from them. @type {Set<string>} */
  #strangers = new Set();
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
    const { room, secret = null } = settings;
    this.#membership = secret === null ? null : new Membership(secret, room);
    this.#verifier = new Verifier(room, this.#me, this.#membership);
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
    const { token } = this.#settings;
    if (typeof token === "string") {
      this.#introduce(nonce, resume, token);
      return;
    }
    const socket = this.#socket;
    // It is the application's, and its failure for a later try.
    this.#ask((fresh) => this.#introduce(nonce, resume, fresh), (error) => this.#then(() => {
      if (this.#socket !== socket) return;
      this.#lost(socket, ABNORMAL, `there is no token: ${error}`);
      socket?.close(1000);
    }));
  }

  /**
   * Have the application asked for a token, and go on with it while the WebSocket is that of
   * now. It may take for ever, so nothing else waits for it.
   * @param {(token: string) => void} then
   * @param {(error: unknown) => void} otherwise
   */
  #ask(then, otherwise) {
    const socket = this.#socket;
    this.#token().then((token) => {
      if (this.#socket === socket) then(token);
    }, otherwise).catch(reportError);
  }

  /**
   * @param {string} nonce
   * @param {string} resume
   * @param {string} token
   */
  #introduce(nonce, resume, token) {
    const { room, identity, sid, name, metadata } = this.#settings;
    this.#say(async () => {
      const membership = await this.#membership?.proof(this.#me, identity.publicKey);
      const body = introduction(name, metadata, (await this.#sealer)?.publicKey, membership);
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
    this.#ask(
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
   * See whether what a peer passed on is the server's; if it is not, it is inert. That is no
   * fault of the peer's: it may know another key, after the server was away.
   * @param {{ body: string, signature: string }} wanted
   */
  check(wanted) {
    this.#then(async () => {
      try {
        this.#feed({ type: "expelled", statement: await this.#verifier.statement(wanted) });
      } catch (error) {
        if (!(error instanceof PeerError)) throw error;
        this.unknown += 1;
      }
    });
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
   * @param {() => Promise<object>} make
   */
  #say(make) {
    const socket = this.#socket;
    this.#outgoing = this.#outgoing.then(async () => {
      const text = JSON.stringify(await make());
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
      const message = decodeToClient(data);
      const event = await this.#proven(message);
      if (event !== null) this.#feed(event);
      if (message.type === "welcome") {
        for (const each of message.kicked) this.#feed(await this.#statement(each));
      }
    } catch (error) {
      if (error instanceof UnknownType) this.unknown += 1;
      else if (error instanceof PeerError) this.#suspect(null, error);
      else throw error;
    }
  }

  /**
   * @param {{ body: string, signature: string }} kicked
   * @returns {Promise<SessionEvent>}
   */
  async #statement(kicked) {
    try {
      return { type: "expelled", statement: await this.#verifier.statement(kicked) };
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      return { type: "suspected", claimed: null, error };
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
      else if (!(error instanceof PeerError)) throw error;
      else if (!this.#strangers.has(claimed(frame) ?? "")) this.#suspect(claimed(frame), error);
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
        this.#verifier.roomKey = message.roomKey;
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
      case "kicked":
        return this.#statement(message);
      case "webrtc-offer":
      case "webrtc-answer":
      case "webrtc-ice-candidate":
      case "webrtc-restart":
      case "webrtc-ack": {
        const source = sessionKey(message.fromUserId, message.fromSid);
        if (this.#strangers.has(source)) return null;
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
    const session = sessionKey(ready.fromUserId, ready.fromSid);
    try {
      const { peer, relay } = await this.#verifier.introduce(ready);
      this.#strangers.delete(session);
      return { peer, sealed: await (await this.#sealer)?.agree(session, relay) ?? false };
    } catch (error) {
      if (!(error instanceof PeerError)) throw error;
      if (!this.#strangers.has(session)) this.#suspect(session, error);
      if (error instanceof NotAMember || error instanceof SecretWanted) this.#estrange(session);
      return null;
    }
  }

  /** @param {string} session */
  #estrange(session) {
    this.#strangers.add(session);
    if (this.#strangers.size <= REMEMBERED) return;
    const [oldest] = this.#strangers;
    this.#strangers.delete(/** @type {string} */ (oldest));
  }

  /**
   * @param {string | null} claimed
   * @param {PeerError} error
   */
  #suspect(claimed, error) {
    this.#feed({ type: "suspected", claimed, error });
  }
}
