/**
 * Rooms: the public face.
 *
 *     const room = await join({ room: "lobby", name: "Ada" });
 *     await room.send("hello, everyone");
 *     for await (const event of room) {
 *       if (event.type === "message") console.log(event.peer.name, "says", event.data);
 *     }
 * @module
 */

import { Arrivals } from "./bytestream.js";
import { Channel, checkedChannel } from "./channel.js";
import { Priority, ROOM } from "./core/channels.js";
import { Deflated } from "./core/deflate.js";
import { CHANNEL_LIMIT, OVERHEAD_BYTES } from "./core/frames.js";
import { isId, sessionKey } from "./core/identity.js";
import { pack, PLAIN } from "./core/packing.js";
import { Session } from "./core/session.js";
import { SendWindow } from "./core/window.js";
import { KICK_LIMIT } from "./core/wire.js";
import { Driver } from "./driver.js";
import { CAPABILITIES, Connection } from "./engine.js";
import {
  ChannelClosed, EngineError, InvalidArgument, RoomClosed, ServerUnreachable, UnknownPeer,
  WouldWait,
} from "./errors.js";
import { frozenPeer } from "./events.js";
import { Gathering } from "./gathering.js";
import { fragmentOf } from "./invitation.js";
import { isSeconds, milliseconds, unlessAborted } from "./patience.js";
import { Ledger, Readers } from "./readers.js";
import { SignalingClient } from "./signaling.js";
import { checkNoStream, isStream, sendStream } from "./transfer.js";
import { Turns } from "./turns.js";

/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/** @typedef {import("./transfer.js").Source} Source */
/** @typedef {import("./core/session.js").SessionOutput} SessionOutput */
/** @typedef {import("./core/session.js").SessionEvent} SessionEvent */
/**
 * The link to one peer at one moment.
 * @typedef {object} LinkView
 * @property {Peer} peer
 * @property {import("./events.js").LinkState} state
 * @property {boolean} polite we yield when offers collide (our id is the lower one)
 * @property {number} generation how many connections the two have tried, at least
 * @property {number} waitingBytes queued here, not yet with the browser's WebRTC
 * @property {import("./events.js").Path | null} path what carries messages now, null where
 *   nothing does; the relay only while there is no direct one
 * @property {import("./events.js").Quality | null} quality how good that path is; null
 *   where there is none, and until the first round trip is known
 * @property {number} dropped how many messages of channels that may lose were not sent to the
 *   peer, as too much was queued, or nothing led to it
 */
/**
 * @typedef {object} RoomOptions
 * @property {RTCIceServer[]} iceServers
 * @property {boolean} relayOnly
 * @property {number | undefined} heartbeatInterval seconds; absent for the usual
 * @property {number | undefined} disconnectTimeout seconds; absent for the usual
 * @property {number | undefined} failedTimeout seconds; absent for the usual
 * @property {boolean} receive
 * @property {boolean} watchNetwork
 * @property {number} timeout seconds
 * @property {AbortSignal} [signal]
 * @property {boolean} hasty offer first even where we should wait; for tests
 * @property {(line: string) => void} log
 */

/**
 * What a room's session runs on; tests put one of their own in between.
 * @typedef {object} Host
 * @property {(config: import("./engine.js").Config,
 *   emit: (event: import("./engine.js").EngineEvent) => void) => Connection} open
 *   makes a connection
 * @property {(driver: Driver<SessionEvent, SessionOutput>) => void} adopt takes in a session
 */
/** @type {Host} */
const HOST = { open: (config, emit) => new Connection(config, emit), adopt: () => {} };

const LEAVE_PATIENCE = 10.0;
/** Seconds that connections have to drain before the server is told that we left. */
const DRAIN_FIRST = 1.0;
/** Seconds that who is removed stays out, unless told otherwise. */
const KICK_DURATION = 60.0;
const BAN_DURATION = 86_400.0;
const REASON_LIMIT = 200;
const CONTROL = 0;
const BULK = 1;
/** So many messages may be on their way to the session, sent without waiting. */
const UNSURE = 1024;

/**
 * A room we are in; made by `join`. Also an `EventTarget`: each event is dispatched as
 * a `CustomEvent` under its type, with the event as `detail`.
 */
export class Room extends /** @type {new () => import("./events.js").MeshEventTarget} */ (
  EventTarget
) {
  /** The room's name. */
  name;
  /** What the others see of us. @type {Peer} */
  me;
  /** Why the room ended, null while it has not or was left. @type {Error | null} */
  error = null;
  #settings;
  #options;
  #session;
  /** @type {Driver<SessionEvent, SessionOutput>} */
  #driver;
  #client;
  #host;
  #release;
  /** @type {RTCIceServer[]} */
  #iceServers;
  /** @type {Map<string, { number: number, connection: Connection }>} */
  #connections = new Map();
  /** @type {Set<Promise<void>>} */
  #closing = new Set();
  /** Done when the server has been told that we left; null while that is not owed. */
  /** @type {Promise<void> | null} */
  #parted = null;
  /** Tells it now, if that is still owed. */
  #sayGoodbye = () => {};
  /** @type {Map<number, { resolve: (value: void) => void, reject: (e: Error) => void }>} */
  #sending = new Map();
  #tokens = 0;
  /** How many were sent without waiting for an answer, and are still without. */
  #unsure = 0;
  /** @type {import("./events.js").ServerState} */
  #server = "connecting";
  /** @type {Error | null} */
  #lastError = null;
  #closed = false;
  /** @type {() => void} */
  #joined = () => {};
  /** @type {() => void} */
  #over = () => {};
  /** @type {Promise<void>} */
  #ended;
  #ledger;
  #arrivals;
  /** What is being deflated, by channel; and events that wait for one to be expanded. */
  #turns = new Turns();
  #dispatches = new Turns();
  /** @type {Readers<MeshEvent>} */
  #readers;
  /** @type {Map<string, { channel: Channel, asked: string }>} */
  #channels = new Map();
  /** How each channel that there ever was delivers: that holds for ever. */
  /** @type {Map<string, string>} */
  #rules = new Map([[ROOM, "reliable"]]);
  /** Those that deliver latest values. */
  #latest = /** @type {Set<string>} */ (new Set());
  #gathering = new Gathering(() => this.#letGathered());
  #changed = () => this.#driver.feed({ type: "network-changed" });
  #shown = () => {
    if (document.visibilityState === "visible") this.#changed();
  };

  /**
   * Use `join`.
   * @param {import("./signaling.js").SignalingSettings} settings
   * @param {RoomOptions} options
   * @param {Host} [host]
   */
  constructor(settings, options, host = HOST) {
    super();
    this.#host = host;
    this.name = settings.room;
    this.#settings = settings;
    const { identity, sid, name, metadata } = settings;
    this.me = frozenPeer({ id: identity.id, sid, name, metadata });
    this.#options = options;
    this.#iceServers = options.iceServers;
    this.#release = identity.hold();
    const { hasty, heartbeatInterval, disconnectTimeout, failedTimeout } = options;
    const times = { heartbeatInterval, disconnectTimeout, failedTimeout };
    const links = { ...CAPABILITIES, hasty, ...times };
    this.#session = new Session(sessionKey(identity.id, sid), links, Math.random);
    this.#driver = new Driver(this.#session, (output) => this.#perform(output));
    host.adopt(this.#driver);
    this.#client = new SignalingClient(
      settings, (event) => this.#feed(event), (line) => this.#log(line));
    this.#ended = new Promise((resolve) => {
      this.#over = resolve;
    });
    this.#ledger = new Ledger(({ to, stream, cost: size }) => {
      this.#driver.feed({ type: "from-link", to, event: { type: "read", stream, size } });
    }, ({ id, sid }, reason) => {
      const event = /** @type {const} */ ({ type: "garbled", reason });
      this.#driver.feed({ type: "from-link", to: sessionKey(id, sid), event });
    });
    this.#arrivals = new Arrivals(this.#ledger);
    this.#readers = new Readers(this.#ledger, options.receive);
  }

  // --- looking --------------------------------------------------------------------

  /** The link for others, with the secret of a private room behind its `#`. */
  get invitation() {
    const { url, room, secret = null } = this.#settings;
    const base = url.replace(/^ws/, "http").replace(/\/ws$/, "/");
    return `${base}#${fragmentOf(room, secret)}`;
  }

  /** Everybody in the room but us. @returns {Peer[]} */
  get peers() {
    return this.#session.peers;
  }

  /** How it stands with the signaling server; links live on without it. */
  get server() {
    return this.#server;
  }

  /**
   * What the server lets us do, by its last word: some of join, send, relay, create, kick,
   * list; nothing before that.
   * @returns {ReadonlySet<string>}
   */
  get grants() {
    return new Set(this.#session.grants);
  }

  /** Whether the room has been left or has ended. */
  get closed() {
    return this.#closed;
  }

  /**
   * Return how the link to a peer is right now; null where there is none.
   * @param {Peer} peer
   * @returns {LinkView | null}
   */
  link(peer) {
    const link = this.#session.link(sessionKey(peer.id, peer.sid));
    if (link === null) return null;
    const { state, polite, generation, waitingBytes, path, quality, dropped } = link;
    return { peer, state, polite, generation, waitingBytes, path, quality, dropped };
  }

  /**
   * Return what the browser knows of the connection to a peer.
   * @param {Peer} peer
   */
  async stats(peer) {
    const current = this.#connections.get(sessionKey(peer.id, peer.sid));
    return current === undefined ? null : current.connection.stats();
  }

  // --- sending --------------------------------------------------------------------

  /**
   * Send a message to everybody in the room, or to one peer.
   *
   * It is delivered to those who are in the room now, in the order of sending, as soon
   * as their links are up. Resolves when the message is accepted; that takes as long as
   * too much is waiting already. Aborted before that, the message is not sent.
   *
   * A stream is sent as it comes, in memory that does not grow with it, and arrives as a
   * `ByteStream`. If its source throws, or the signal is aborted, it is given up: it breaks
   * wherever it is read. A channel of its own lets nothing wait behind it.
   * @template T
   * @param {(T & import("./events.js").Sendable<T>) | Source} data a string, bytes, or a JSON
   *   value, up to 8 MiB encoded; or a stream of any size: an async iterable or a
   *   `ReadableStream` of bytes
   * @param {{ to?: Peer | string, signal?: AbortSignal }} [options] `to`: a peer or its
   *   id, else everybody
   * @returns {Promise<void>}
   */
  async send(data, options = {}) {
    if (isStream(data)) {
      await this.#streamOn(ROOM, data, options);
      return;
    }
    const packed = pack(PLAIN, /** @type {import("./events.js").Data} */ (data));
    await this.#sendOn(ROOM, packed, options);
  }

  /**
   * Send a message, no stream, if that can be done without waiting; see `send`.
   *
   * Called by a listener, it may turn out only later that `to` is gone; then an
   * `undelivered` says so.
   * @template T
   * @param {T & import("./events.js").Sendable<T>} data
   * @param {{ to?: Peer | string }} [options]
   * @throws {WouldWait} too much is waiting already; nothing was sent
   */
  sendNow(data, { to } = {}) {
    checkNoStream(data);
    this.#sendOnNow(ROOM, pack(PLAIN, /** @type {import("./events.js").Data} */ (data)), to);
  }

  /**
   * Wait until all that was sent so far has arrived, wherever it is owed. Who goes away
   * meanwhile, or is cut loose, is waited for no longer: events tell. What was sent on
   * channels is not waited for; see `Channel.flush`.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<void>}
   * @throws {RoomClosed} the room was left before that
   */
  async flush({ signal } = {}) {
    await this.#flush(ROOM, signal);
  }

  /**
   * Open a channel: send on it, and hear what others send on it from now on. A channel
   * that is open already is returned as it is.
   * @param {string} name 1 to 64 of A-Z a-z 0-9 . _ -; the same for everybody
   * @param {import("./channel.js").ChannelOptions} [options]
   * @returns {Channel}
   * @throws {InvalidArgument} no such name or option, or they contradict each other, or the
   *   channel is open with others, or was with another delivery; or there have been 255
   *   different names
   * @throws {RoomClosed} the room was left, or has ended
   */
  channel(name, options = {}) {
    const { delivery, limits, priority, receive, keep, packing } = checkedChannel(name, options);
    if (this.#closed) throw this.error ?? new RoomClosed("the room was left");
    const rule = JSON.stringify([delivery, limits]);
    const asked = JSON.stringify([rule, priority, receive, packing]);
    const found = this.#channels.get(name);
    if (found !== undefined && !found.channel.closed) {
      if (found.asked === asked) return found.channel;
      throw new InvalidArgument(`the channel ${name} is open with other options`);
    }
    const before = this.#rules.get(name);
    if (before === undefined && this.#rules.size === CHANNEL_LIMIT) {
      throw new InvalidArgument(`a session has at most ${CHANNEL_LIMIT - 1} channels`);
    }
    if ((before ?? rule) !== rule) {
      throw new InvalidArgument(`the channel ${name} was open with another delivery`);
    }
    this.#rules.set(name, rule);
    if (delivery === "latest") this.#latest.add(name);
    const channel = new Channel(this.#forChannels, name, packing, receive && keep);
    this.#channels.set(name, { channel, asked });
    const open = { delivery, priority: Priority[priority], listen: receive, limits };
    this.#driver.feed({ type: "open-channel", name, ...open });
    return channel;
  }

  /** @returns {import("./channel.js").ChannelRoom} */
  get #forChannels() {
    const closed = () => this.#closed;
    return {
      get closed() {
        return closed();
      },
      ledger: this.#ledger,
      send: (channel, packed, options) => this.#sendOn(channel, packed, options),
      sendStream: (channel, source, options) => this.#streamOn(channel, source, options),
      sendNow: (channel, packed, to) => this.#sendOnNow(channel, packed, to),
      flush: (channel, signal) => this.#flush(channel, signal),
      forget: (channel) => {
        const { name } = channel;
        if (this.#channels.get(name)?.channel !== channel) return; // it was opened again
        this.#channels.delete(name);
        this.#arrivals.breakOff("the channel was closed", { channel: name });
        this.#ask({ type: "close-channel", name });
      },
    };
  }

  /**
   * @param {string} channel
   * @param {import("./core/packing.js").Packed} packed
   * @param {{ to?: Peer | string, signal?: AbortSignal }} options
   */
  async #sendOn(channel, packed, options) {
    const { smaller } = packed;
    if (smaller === null && !this.#turns.busy(channel)) {
      await this.#post(channel, packed, options);
      return;
    }
    // It waits for its turn, but not for what becomes of those before it.
    const { accepted } = await this.#turns.take(channel, async () => {
      const accepted = this.#post(channel, await smaller?.() ?? packed, options);
      accepted.catch(() => {}); // its caller is told
      return { accepted };
    });
    await accepted;
  }

  /**
   * @param {string} channel
   * @param {import("./core/packing.js").Packed} packed
   * @param {{ to?: Peer | string, signal?: AbortSignal }} options
   */
  async #post(channel, { kind, payload }, { to, signal }) {
    signal?.throwIfAborted();
    if (this.#closed) throw this.error ?? new RoomClosed("the room was left");
    const key = to === undefined ? null : this.#find(to);
    if (key === null && this.#gather(channel, kind, payload)) return;
    this.#gathering.sent();
    await this.#settle(signal, (token) => (
      { type: "send", token, to: key, kind, payload, channel }));
  }

  /**
   * Send a stream. Its pieces do not wait for what is being deflated: nothing waits for them.
   * @param {string} channel
   * @param {Source} source
   * @param {{ to?: Peer | string, signal?: AbortSignal }} options
   */
  async #streamOn(channel, source, { to, signal }) {
    signal?.throwIfAborted();
    const key = to === undefined ? null : this.#find(to);
    this.#tokens += 1;
    const transfer = this.#tokens;
    /** @type {Parameters<typeof sendStream>[1]} */
    const send = async (payload, last, stopped) => {
      if (this.#closed) throw this.error ?? new RoomClosed("the room was left");
      if (channel !== ROOM && !this.#channels.has(channel)) {
        throw new ChannelClosed(`the channel ${channel} was closed`);
      }
      await this.#settle(stopped, (token) => (
        { type: "send-piece", token, to: key, transfer, payload, last, channel }));
    };
    const giveUp = () => this.#ask({ type: "abort-transfer", transfer });
    await sendStream(source, send, giveUp, signal);
  }

  /**
   * @param {string} channel
   * @param {import("./core/packing.js").Packed} packed
   * @param {Peer | string | undefined} to
   */
  #sendOnNow(channel, { kind, payload }, to) {
    if (this.#closed) throw this.error ?? new RoomClosed("the room was left");
    const key = to === undefined ? null : this.#find(to);
    // It is not deflated, and must not overtake what is being.
    const behind = this.#unsure >= UNSURE || this.#turns.busy(channel);
    if (behind || !this.#session.roomFor(channel, key)) {
      throw new WouldWait("too much is waiting to be sent");
    }
    if (key === null && this.#gather(channel, kind, payload)) return;
    this.#gathering.sent();
    const peer = typeof to === "string" ? this.peers.reverse().find(({ id }) => id === to) : to;
    this.#tokens += 1;
    const token = this.#tokens;
    /** @type {Error | null} */
    let refused = null;
    const reject = (/** @type {Error} */ error) => {
      refused = error;
    };
    this.#sending.set(token, { resolve: () => {}, reject });
    this.#ask({ type: "send", token, to: key, kind, payload, channel });
    if (refused !== null) throw refused;
    // Fed while outputs are performed, it waits until they are done.
    if (this.#sending.has(token)) this.#doubt(token, channel, peer);
  }

  /**
   * Tell of a message that was sent without waiting, should it turn out that it was not.
   * @param {number} token
   * @param {string} channel
   * @param {Peer | undefined} peer to whom alone it goes
   */
  #doubt(token, channel, peer) {
    this.#unsure += 1;
    const resolve = () => {
      this.#unsure -= 1;
    };
    const reject = () => {
      resolve();
      if (peer !== undefined) this.#emit({ type: "undelivered", peer, count: 1, channel });
    };
    this.#sending.set(token, { resolve, reject });
  }

  /**
   * @param {string} channel
   * @param {AbortSignal} [signal]
   */
  async #flush(channel, signal) {
    signal?.throwIfAborted();
    if (this.#turns.busy(channel)) {
      await unlessAborted(this.#turns.take(channel, async () => {}), signal);
    }
    if (this.#closed) throw this.error ?? new RoomClosed("the room was left");
    await this.#settle(signal, (token) => ({ type: "flush", token, channel }));
  }

  /**
   * Give the session a command with a token, and wait for what becomes of it.
   * @param {AbortSignal | undefined} signal
   * @param {(token: number) => SessionEvent} command
   */
  async #settle(signal, command) {
    this.#tokens += 1;
    const token = this.#tokens;
    /** @type {Promise<void>} */
    const accepted = new Promise((resolve, reject) => {
      this.#sending.set(token, { resolve, reject });
    });
    const abort = () => {
      this.#driver.feed({ type: "cancel", token });
      this.#sending.get(token)?.reject(signal?.reason);
      this.#sending.delete(token);
    };
    signal?.addEventListener("abort", abort, { once: true });
    this.#ask(command(token));
    try {
      await accepted;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /**
   * Send a message to everybody together with others, if it comes right behind one.
   * @param {string} channel
   * @param {number} kind
   * @param {Uint8Array} payload
   * @returns whether it is sent; else it is no part of a burst, or has to wait
   */
  #gather(channel, kind, payload) {
    if (!this.#gathering.takes(payload) || !this.#session.accepting) return false;
    // A value may be refused, which must be known at once; a listener has a limit of its own.
    if (this.#latest.has(channel) || this.#driver.running) return false;
    if (!this.#session.roomFor(channel, null)) return false;
    this.#gathering.add([channel, kind, payload]);
    if (this.#gathering.full) this.#letGathered();
    return true;
  }

  /** Hand on what has gathered; it goes before anything else. */
  #letGathered() {
    const messages = this.#gathering.take();
    if (messages.length === 0) return;
    this.#driver.feed({ type: "send-all", messages });
    this.#gathering.sent();
  }

  /**
   * Hand in what the application wants.
   * @param {SessionEvent} event
   */
  #ask(event) {
    this.#letGathered();
    this.#driver.feed(event);
  }

  /** @param {Peer | string} to */
  #find(to) {
    if (typeof to === "object" && to !== null) return sessionKey(to.id, to.sid);
    if (typeof to !== "string") {
      throw new InvalidArgument("to is a peer, a peer's id, or absent for everybody");
    }
    // The newest: an older session of the same peer may still be parting.
    const peer = this.peers.reverse().find(({ id }) => id === to);
    if (peer === undefined) throw new UnknownPeer(`nobody with the id ${to} is in the room`);
    return sessionKey(peer.id, peer.sid);
  }

  // --- receiving ------------------------------------------------------------------

  /** Iterate over the events since the room was joined; ends when it is left. */
  [Symbol.asyncIterator]() {
    return this.#readers.main;
  }

  /**
   * @template {keyof import("./events.js").DispatchedEvents} K
   * @overload
   * @param {K} type
   * @param {(event: import("./events.js").DispatchedEvents[K]) => void} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * @overload
   * @param {string} type
   * @param {EventListenerOrEventListenerObject | null} listener
   * @param {boolean | AddEventListenerOptions} [options]
   * @returns {void}
   */
  /**
   * Hear of an event of that type. Who listens to messages and does not iterate over the
   * room has read them then: nobody waits for anybody else.
   * @param {string} type
   * @param {any} listener
   * @param {boolean | AddEventListenerOptions} [options]
   */
  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options);
    if (type !== "message" || this.#readers.taken) return;
    this.#readers.taken = true;
    this.#readers.countOut();
  }

  /**
   * Return another, independent view of all events from now on.
   * @param {{ unread?: boolean }} [options] `unread`: begin with what iterating the room
   *   itself has not handed out yet
   */
  subscribe({ unread = false } = {}) {
    return this.#readers.subscribe(unread);
  }

  // --- links and leaving ------------------------------------------------------------

  /**
   * Replace the connection to a peer now. Recovery is automatic; this is for impatience.
   * @param {Peer} peer
   */
  reconnect(peer) {
    const to = sessionKey(peer.id, peer.sid);
    this.#driver.feed({ type: "from-link", to, event: { type: "renew" } });
    this.#changed();
  }

  /**
   * Remove a peer from the room for a minute; see `ban`.
   * @param {Peer | string} peer
   * @param {{ reason?: string, signal?: AbortSignal }} [options]
   * @returns {Promise<void>}
   */
  async kick(peer, { reason = "", signal } = {}) {
    await this.ban(peer, { duration: KICK_DURATION, reason, ...(signal && { signal }) });
  }

  /**
   * Remove a peer from the room, and keep it out: everybody cuts the link to it. Only who was
   * given that right may; the server refuses everybody else. Resolves when the peer is removed
   * here; the others are told (`peer-kicked`), and it is itself.
   * @param {Peer | string} peer a peer, or its id; it need not be here
   * @param {{ duration?: number, reason?: string, signal?: AbortSignal }} [options] `duration`:
   *   seconds, from 1 to a year, a day if absent; `reason`: what everybody is told, up to 200
   *   characters
   * @returns {Promise<void>}
   * @throws {InvalidArgument} that is no peer but us, or no such duration or reason
   * @throws {NotGranted} the server does not let us
   * @throws {ServerUnreachable} it is away, or does not answer
   * @throws {RoomClosed} the room was left, or has ended
   */
  async ban(peer, { duration = BAN_DURATION, reason = "", signal } = {}) {
    const userId = typeof peer === "string" ? peer : peer?.id;
    checkKick(userId, duration, reason);
    if (userId === this.me.id) throw new InvalidArgument("to go yourself, leave");
    signal?.throwIfAborted();
    if (this.#closed) throw this.error ?? new RoomClosed("the room was left");
    await this.#settle(signal, (token) => (
      { type: "kick", token, userId, duration, why: reason }));
  }

  /**
   * Deliver what is queued, say goodbye and close; harmless when done before.
   * @param {{ patience?: number }} [options] seconds that queued messages have
   * @throws {InvalidArgument} that is no number of seconds
   */
  async leave({ patience = LEAVE_PATIENCE } = {}) {
    if (!isSeconds(patience)) {
      throw new InvalidArgument("patience is a number of seconds, 0 or more");
    }
    if (this.#turns.size > 0) await this.#turns.done();
    this.#ask({ type: "leave", patience });
    await this.#ended;
  }

  /**
   * Enter the room; used by `join`.
   * @returns {Promise<void>}
   */
  async enter() {
    this.#heedPage("addEventListener");
    /** @type {Promise<"joined">} */
    const joined = new Promise((resolve) => {
      this.#joined = () => resolve("joined");
    });
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(() => resolve("late"), milliseconds(this.#options.timeout));
    });
    this.#driver.feed({ type: "start" });
    const entering = Promise.race([joined, late, this.#ended]);
    let outcome;
    try {
      outcome = await unlessAborted(entering, this.#options.signal);
    } catch (reason) {
      await this.leave({ patience: 0 });
      throw reason;
    } finally {
      clearTimeout(timer);
    }
    if (outcome === "late") {
      await this.leave({ patience: 0 });
      const reason = this.#lastError?.message ?? "the server did not answer";
      const text = `not joined within ${this.#options.timeout} s: ${reason}`;
      throw new ServerUnreachable(text);
    }
    if (this.#closed) throw this.error ?? new RoomClosed("the room was left while joining");
  }

  /**
   * Heed, or no longer, what the page is told of its life and its network.
   * @param {"addEventListener" | "removeEventListener"} change
   */
  #heedPage(change) {
    globalThis[change]("pagehide", /** @type {EventListener} */ (this.#goodbye));
    if (this.#options.watchNetwork) this.#heedNetwork(change);
  }

  /**
   * Heed, or no longer, what tells that the page or the network was away. Not every
   * browser says all of it: an iPhone that wakes up may show the page and say no more,
   * and only some know of `navigator.connection` (https://wicg.github.io/netinfo/).
   * @param {"addEventListener" | "removeEventListener"} change
   */
  #heedNetwork(change) {
    for (const type of ["online", "offline", "pageshow"]) globalThis[change](type, this.#changed);
    globalThis.document?.[change]("visibilitychange", this.#shown);
    globalThis.document?.[change]("resume", this.#changed);
    const navigator = /** @type {{ connection?: EventTarget } | undefined} */ (
      globalThis.navigator);
    navigator?.connection?.[change]("change", this.#changed);
  }

  /**
   * The page goes away: say goodbye while there is still time. Also if it may come back
   * from the back/forward cache: there it would only seem to be here, and most browsers
   * drop it (https://web.dev/articles/bfcache, "close open connections").
   */
  #goodbye = () => {
    this.#ask({ type: "leave", patience: 0 });
    // No timer may fire any more; what is still open is abandoned, and the server told.
    this.#driver.feed({ type: "tick" });
    this.#sayGoodbye();
  };

  // --- performing -------------------------------------------------------------------

  /** @param {SessionEvent} event */
  #feed(event) {
    if (event.type === "welcomed" || (event.type === "heard" && event.message.type === "ice-servers")) {
      this.#use(event.message.iceServers);
    }
    this.#driver.feed(event);
  }

  /**
   * Use the server's ICE servers, for what is connected from now on or anew.
   * @param {any[]} offered
   */
  #use(offered) {
    const before = JSON.stringify(this.#iceServers);
    this.#iceServers = [...this.#options.iceServers, ...offered.map(iceServer)];
    if (JSON.stringify(this.#iceServers) === before) return;
    for (const { connection } of this.#connections.values()) {
      try {
        connection.reconfigure(this.#config);
      } catch (error) {
        this.#log(String(error)); // new connections have them
      }
    }
  }

  /** How connections are made. */
  get #config() {
    return {
      iceServers: this.#iceServers,
      relayOnly: this.#options.relayOnly,
      lowWaterBytes: new SendWindow().lowWaterBytes,
    };
  }

  /** @param {SessionOutput} output */
  #perform(output) {
    switch (output.type) {
      case "send-frame":
        this.#current(output)?.send(output.channel, asOwned(output.frame));
        break;
      case "emit":
        this.#emit(output.event);
        break;
      case "deliver":
        this.#deliver(output);
        break;
      case "deliver-piece":
        this.#deliverPiece(output);
        break;
      case "transfers-broken": {
        const { sender: source, stream } = output;
        this.#arrivals.breakOff("a part of it was lost", { source, stream });
        break;
      }
      case "accepted":
        this.#sending.get(output.token)?.resolve();
        this.#sending.delete(output.token);
        break;
      case "unsendable":
        this.#sending.get(output.token)?.reject(output.error);
        this.#sending.delete(output.token);
        break;
      case "perform":
        this.#current(output)?.perform(output.operation);
        break;
      case "mark-low":
        for (const channel of [CONTROL, BULK]) {
          this.#current(output)?.markLow(channel, output.sizeBytes);
        }
        break;
      case "measure-buffer": {
        const { to, number, channel } = output;
        let heldBytes = 0;
        for (const each of channel === CONTROL ? [CONTROL, BULK] : [channel]) {
          heldBytes += this.#current(output)?.bufferedBytes(each) ?? 0;
        }
        const event = /** @type {const} */ ({ type: "measured", number, heldBytes, channel });
        this.#driver.feed({ type: "from-link", to, event });
        break;
      }
      case "ask-stats":
        void this.#askStats(output);
        break;
      case "open-connection":
        this.#open(output.to, output.number);
        break;
      case "close-connection":
        this.#close(output);
        break;
      default:
        this.#performSignaling(output);
    }
  }

  /**
   * Have the link told what the browser knows; nobody waits for that.
   * @param {{ to: string, number: number }} asked
   */
  async #askStats({ to, number }) {
    const stats = await this.#current({ to, number })?.stats();
    if (stats === undefined) return;
    this.#driver.feed({ type: "from-link", to, event: { type: "stats-arrived", number, stats } });
  }

  /** @param {SessionOutput} output */
  #performSignaling(output) {
    switch (output.type) {
      case "send-relayed":
        this.#client.relay(output.to, asOwned(output.datagram));
        break;
      case "transmit-signal":
        this.#client.signal(output);
        break;
      case "check-statement":
        this.#client.check(output);
        break;
      case "open-socket":
        this.#client.open();
        break;
      case "close-socket":
        if (!this.#parted) this.#client.close();
        break;
      case "say-hello":
        this.#client.hello(output.nonce, output.resume);
        break;
      case "renew-permit":
        this.#client.renew();
        break;
      case "send-to-server":
        if (output.message.type === "leave") this.#part(output.message);
        else this.#client.send(output.message);
        break;
      case "ended":
        void this.#end(output.error);
        break;
      default:
    }
  }

  /**
   * @param {{ to: string, number: number }} wanted
   * @returns {Connection | undefined}
   */
  #current({ to, number }) {
    const current = this.#connections.get(to);
    return current?.number === number ? current.connection : undefined;
  }

  /**
   * @param {string} to
   * @param {number} number
   */
  #open(to, number) {
    const emit = (/** @type {import("./engine.js").EngineEvent} */ event) => {
      this.#driver.feed({ type: "from-link", to, event: { type: "from-engine", number, event } });
    };
    try {
      this.#connections.set(to, { number, connection: this.#host.open(this.#config, emit) });
    } catch (error) {
      if (!(error instanceof EngineError)) throw error;
      this.#log(`no connection to ${to}: ${error.message}`);
      emit({ type: "state-changed", state: "failed" });
    }
  }

  /** @param {{ to: string, number: number, drain: number }} wanted */
  #close({ to, number, drain }) {
    const connection = this.#current({ to, number });
    if (connection === undefined) return;
    this.#connections.delete(to);
    const closed = connection.close(drain).finally(() => this.#closing.delete(closed));
    this.#closing.add(closed);
  }

  /**
   * Leave the server when the connections have drained and what goes through it is sealed,
   * or should be: else its word that we have left might overtake our last messages.
   * @param {{ type: "leave" }} goodbye
   */
  #part(goodbye) {
    /** @type {Promise<void>} */
    const said = new Promise((resolve) => {
      this.#sayGoodbye = () => {
        this.#sayGoodbye = () => {};
        clearTimeout(timer);
        this.#client.send(goodbye);
        this.#client.close();
        resolve();
      };
    });
    const timer = setTimeout(() => this.#sayGoodbye(), DRAIN_FIRST * 1000);
    this.#parted = said;
    const out = [...this.#closing, this.#client.flushed()];
    void Promise.all(out).then(() => this.#sayGoodbye());
  }

  /** @param {MeshEvent} event */
  #emit(event) {
    if (event.type === "server-changed") {
      this.#server = event.state;
      this.#lastError = event.error;
      if (event.state === "connected") this.#joined();
    }
    this.#readers.put(event);
    if (event.type === "peer-left") {
      const source = sessionKey(event.peer.id, event.peer.sid);
      this.#arrivals.breakOff("its sender is gone", { source });
    }
    this.#dispatch(event);
  }

  /** @param {Extract<SessionOutput, { type: "deliver" }>} output */
  #deliver({ message, source: to, stream, cost, latest }) {
    const source = { to, stream, cost };
    if (message.channel === ROOM) {
      const waits = isDeflated(message.data) || this.#dispatches.busy(ROOM);
      const held = this.#readers.taken && waits;
      const receipt = this.#readers.deliver(message, source, false, held);
      this.#dispatch(message, held ? receipt : null);
      return;
    }
    const found = this.#channels.get(message.channel);
    if (found === undefined) this.#ledger.read({ ...source, readers: 0 });
    else found.channel.deliver(message, source, latest);
  }

  /**
   * Tell listeners of an event, behind those before it; expand what it says for them.
   * @param {MeshEvent} event
   * @param {import("./readers.js").Receipt | null} [receipt] given when they have been told
   */
  #dispatch(event, receipt = null) {
    const deflated = event.type === "message" && isDeflated(event.data) ? event.data : null;
    if (deflated !== null && receipt === null) {
      this.#log(describe(event)); // nobody listens
      return;
    }
    const tell = (/** @type {MeshEvent} */ known) => {
      this.dispatchEvent(new CustomEvent(known.type, { detail: known }));
      this.#log(describe(known));
    };
    if (deflated === null && !this.#dispatches.busy(ROOM)) {
      tell(event);
      return;
    }
    void this.#dispatches.take(ROOM, async () => {
      const known = deflated === null ? event
        : await this.#ledger.expanded(
          /** @type {import("./events.js").Message} */ (event), deflated);
      if (known !== null) tell(known);
      if (receipt !== null) this.#ledger.read(receipt);
    });
  }

  /** @param {Extract<SessionOutput, { type: "deliver-piece" }>} output */
  #deliverPiece({ peer, source, piece }) {
    const message = piece.begins ? this.#beginStream(peer, source, piece) : null;
    this.#arrivals.put(source, piece);
    if (message !== null) this.#dispatch(message);
  }

  /**
   * @param {Peer} peer
   * @param {string} to
   * @param {import("./core/receiving.js").PieceArrived} piece
   */
  #beginStream(peer, to, piece) {
    const { channel, stream } = piece;
    const readers = channel === ROOM ? this.#readers : this.#channels.get(channel)?.channel;
    if (readers === undefined) {
      this.#ledger.read({ to, stream, cost: OVERHEAD_BYTES, readers: 0 });
      return null;
    }
    const { taps, message } = readers.deliverStream(peer, to, piece);
    this.#arrivals.begin(to, piece, taps);
    return message;
  }

  /** @param {string} line */
  #log(line) {
    try {
      this.#options.log(line);
    } catch (error) {
      reportError(error); // the application's fault, which must not become the room's
    }
  }

  /** @param {Error | null} error */
  async #end(error) {
    this.#heedPage("removeEventListener");
    this.#driver.close();
    await this.#parted;
    await Promise.all(this.#closing);
    await this.#client.flushed();
    this.#release();
    this.error = error;
    this.#closed = true;
    this.#gathering.close();
    for (const { reject } of this.#sending.values()) {
      reject(error ?? new RoomClosed("the room was left"));
    }
    this.#sending.clear();
    this.#arrivals.breakOff("the room was left");
    this.#readers.end(error);
    for (const { channel } of this.#channels.values()) channel.end(error);
    this.#over();
  }
}

/**
 * Refuse what no server removes.
 * @param {unknown} userId
 * @param {unknown} duration
 * @param {unknown} reason
 */
function checkKick(userId, duration, reason) {
  if (typeof userId !== "string" || !isId(userId)) {
    throw new InvalidArgument("who is removed is a peer, or a peer's id");
  }
  if (!(typeof duration === "number" && duration >= 1 && duration <= KICK_LIMIT)) {
    throw new InvalidArgument(`duration is a number of seconds from 1 to ${KICK_LIMIT}`);
  }
  if (typeof reason !== "string" || [...reason].length > REASON_LIMIT) {
    throw new InvalidArgument(`a reason is text of up to ${REASON_LIMIT} characters`);
  }
}

/**
 * Return a server as RTCIceServer has it.
 * @param {{ urls: string[], username: string | null, credential: string | null }} server
 * @returns {RTCIceServer}
 */
function iceServer({ urls, username, credential }) {
  return { urls, ...(username && { username }), ...(credential && { credential }) };
}

/**
 * Return whether it is still as it came.
 * @param {unknown} data
 * @returns {data is Deflated}
 */
function isDeflated(data) {
  return data instanceof Deflated;
}

/**
 * @param {Uint8Array} frame
 * @returns {Uint8Array<ArrayBuffer>}
 */
function asOwned(frame) {
  return /** @type {Uint8Array<ArrayBuffer>} */ (frame);
}

/**
 * Return one line for the log; never what a message says.
 * @param {MeshEvent} event
 */
function describe(event) {
  const peer = "peer" in event && event.peer ? ` ${event.peer.name || event.peer.id}` : "";
  const way = event.type === "path-changed" ? ` ${event.path ?? "none"}` : "";
  const state = "state" in event ? ` ${event.state}` : way;
  const error = "error" in event && event.error ? `: ${event.error.message}` : "";
  return `${event.type}${peer}${state}${error}`;
}
