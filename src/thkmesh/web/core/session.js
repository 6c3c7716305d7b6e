/**
 * One session in a room, the client's mind: the same machine as `core/session.py`.
 * @module
 */

import {
  InvalidArgument, Kicked, MessageTooLarge, NotGranted, NotListening, RoomClosed,
  ServerUnreachable, UnknownPeer,
} from "../errors.js";
import { Allowance } from "./allowance.js";
import { Channels } from "./channels.js";
import { Contact } from "./contact.js";
import { Budget } from "./credit.js";
import { Expulsions, Requests } from "./expulsion.js";
import { FRAGMENT_BYTES, LEAST_FRAGMENT_BYTES, LOSSY_LIMIT_BYTES } from "./frames.js";
import { partsOf, sessionKey } from "./identity.js";
import { CompactedLog } from "./latest.js";
import { DRAIN, Link } from "./link.js";
import { Membership } from "./membership.js";
import { Ending } from "./pieces.js";
import { Outgoing } from "./streams.js";
import { linksWanted, Topology } from "./topology.js";
import { Traffic } from "./traffic.js";
import { OutgoingTransfers } from "./transfers.js";

/** @typedef {import("../events.js").Peer} Peer */
/** @typedef {import("../events.js").MeshEvent} MeshEvent */
/** @typedef {import("../errors.js").MeshError} MeshError */
/** @typedef {import("./link.js").LinkEvent} LinkEvent */
/** @typedef {import("./link.js").LinkOutput} LinkOutput */
/**
 * @typedef {{ type: "start" }
 *   | { type: "socket-lost", code: number, reason: string }
 *   | { type: "heard", message: any }
 *   | { type: "welcomed", message: any, peers: Peer[], sealed: string[] }
 *   | { type: "introduced", peer: Peer, sealed: boolean }
 *   | { type: "signal-verified", source: string,
 *       signal: Extract<LinkEvent, { type: "signal-arrived" }> }
 *   | { type: "suspected", claimed: string | null, error: import("../errors.js").PeerError }
 *   | { type: "expelled", statement: import("./expulsion.js").Statement }
 *   | { type: "kick", token: number, userId: string, duration: number, why: string }
 *   | { type: "from-link", to: string, event: LinkEvent }
 *   | { type: "send", token: number, to: string | null, kind: number, payload: Uint8Array,
 *       channel: string }
 *   | { type: "send-piece", token: number, to: string | null, transfer: number,
 *       payload: Uint8Array, last: boolean, channel: string }
 *   | { type: "abort-transfer", transfer: number }
 *   | { type: "send-all", messages: [channel: string, kind: number, payload: Uint8Array][] }
 *   | { type: "open-channel", name: string, delivery: import("./channels.js").Delivery,
 *       priority: number, listen: boolean, limits: import("./realtime.js").Limits | null }
 *   | { type: "close-channel", name: string }
 *   | { type: "flush", token: number, channel: string }
 *   | { type: "cancel", token: number }
 *   | { type: "leave", patience: number }
 *   | { type: "network-changed" }
 *   | { type: "tick" }
 *   | { type: "slept", duration: number }} SessionEvent
 */
/**
 * @typedef {Exclude<LinkOutput,
 *     { type: "content-arrived" | "piece-arrived" | "messages-lost" | "lagged" | "dropped"
 *       | "moved" | "rerouted" | "graded" | "said-goodbye" | "alleged"
 *       | "misbehaved" }>
 *   | import("./contact.js").ContactOutput
 *   | { type: "emit", event: MeshEvent }
 *   | { type: "deliver", message: import("../events.js").Message, source: string,
 *       stream: number, cost: number, latest: boolean }
 *   | { type: "deliver-piece", peer: Peer, source: string,
 *       piece: import("./receiving.js").PieceArrived }
 *   | { type: "check-statement", body: string, signature: string }
 *   | { type: "accepted", token: number }
 *   | { type: "unsendable", token: number, error: MeshError }
 *   | { type: "ended", error: MeshError | null }} SessionOutput
 */

/** Seconds that everybody waits for the slowest. */
export const PATIENCE = 5.0;
/** Seconds of sleep after which we may have woken up in another network. */
export const LONG_SLEEP = 5.0;
/** How much of what the server passes on is used: clocks differ, and messages bunch. */
export const RELAY_SHARE = 0.9;
/** How much may be sent at once, in seconds of that. */
export const RELAY_BURST = 2.0;
/** Of so many sessions that were given up it is known where their links stopped. */
const REMEMBERED = 256;
/** No more than this is kept of the messages that they were in the middle of. */
const REMEMBERED_BYTES = 8 * 1024 * 1024;

const AWAY = "the server is away, and only it removes somebody";

/** @typedef {import("./channels.js").Channel} Channel */
/** @typedef {import("./streams.js").Log} Log */
/**
 * @typedef {{ token: number, channel: Channel,
 *   places: { link: Link, everybody: number, alone: number }[] }} Flushing
 */

/**
 * Wait no longer for who has all of it, or is gone; return whether that is everybody.
 * While we leave it may be we who gave somebody up: then nobody is excused.
 * @param {Flushing} flush
 * @param {boolean} leaving
 */
function settled(flush, leaving) {
  const { channel } = flush;
  flush.places = flush.places.filter(({ link, everybody, alone }) => (
    link.state === "closed" ? leaving && !link.delivered
      : !link.lane(channel).reached(everybody, alone)));
  return flush.places.length === 0;
}

/** @typedef {Extract<SessionEvent, { type: "send" | "send-piece" | "flush" }>} Waiting */

/**
 * Return what tells the streams of messages apart.
 * @param {Extract<SessionEvent, { type: "send" | "send-piece" }>} send
 */
function streamOf({ channel, to }) {
  return `${to ?? ""} ${channel}`;
}

/** My life in one room. */
export class Session {
  /** My own session. */
  me;
  #settings;
  #dice;
  #members;
  #contact;
  #expulsions = new Expulsions();
  #requests = new Requests();
  /** @type {Map<string, Link>} */
  #links = new Map();
  /**
   * Where the links stopped to those given up, who may be back in the same session.
   * @type {Map<string, Link>}
   */
  #lost = new Map();
  /**
   * The deadline of each link as it last was: asking all of them after every event is
   * what a session would spend most of its time on.
   * @type {Map<string, number>}
   */
  #due = new Map();
  /** Those with whom keys are agreed. @type {Set<string>} */
  #sealed = new Set();
  /** How many bytes we may send through the server. */
  #allowance = new Allowance(0, 0);
  #channels = new Channels();
  #budget = new Budget();
  /** @type {Waiting[]} */
  #waiting = [];
  #transfers = new OutgoingTransfers();
  /** Flushes that are not done: how far each link must have got. @type {Flushing[]} */
  #flushing = [];
  /**
   * By channel, since when a message to everybody has waited for somebody.
   * @type {Map<string, number>}
   */
  #stuckSince = new Map();
  /** @type {number | null} */
  #leaveBy = null;
  /** @type {import("../events.js").ServerState} */
  #server = "connecting";
  #ended = false;

  /**
   * @param {string} me my own session
   * @param {import("./link.js").LinkSettings} settings
   *   what every link is made with
   * @param {() => number} dice returns a random number in [0, 1)
   */
  constructor(me, settings, dice) {
    this.me = me;
    this.#settings = settings;
    this.#dice = dice;
    this.#members = new Membership(me);
    this.#contact = new Contact(dice);
  }

  /** What the server lets us do. */
  get grants() {
    return this.#contact.grants;
  }

  /** Everybody present but me. */
  get peers() {
    return this.#members.peers;
  }

  /**
   * Return the link to a session, for looking at.
   * @param {string} key
   */
  link(key) {
    return this.#links.get(key) ?? null;
  }

  /** When to tick at the latest; null when there is nothing to wait for. */
  get deadline() {
    if (this.#ended) return null;
    const times = [this.#contact.deadline, this.#members.deadline, this.#leaveBy];
    for (const time of this.#due.values()) times.push(time);
    for (const since of this.#stuckSince.values()) times.push(since + PATIENCE);
    times.push(this.#allowance.due, this.#expulsions.deadline, this.#requests.deadline);
    const due = times.filter((time) => time !== null);
    return due.length ? Math.min(...due) : null;
  }

  /**
   * Settle what is due, then the event; return what to do.
   * @param {SessionEvent} event
   * @param {number} now seconds
   * @returns {SessionOutput[]}
   */
  handle(event, now) {
    /** @type {SessionOutput[]} */
    const out = [];
    if (this.#ended) {
      if (["send", "send-piece", "flush", "kick"].includes(event.type) && "token" in event) {
        const error = new RoomClosed("the room was left");
        out.push({ type: "unsendable", token: event.token, error });
      }
      return out;
    }
    if (event.type === "slept") this.#slept(event, now, out);
    this.#settle(now, out);
    this.#take(event, now, out);
    if (this.#waiting.length > 0 || this.#stuckSince.size > 0) this.#admit(now, out);
    for (let first = this.#allowance.next(now); first !== null;
      first = this.#allowance.next(now)) {
      this.#toLink(first, { type: "tick" }, now, out);
    }
    if (this.#flushing.length > 0) this.#flushed(out);
    this.#conclude(now, out);
    return out;
  }

  // --- events -------------------------------------------------------------------

  /**
   * @param {SessionEvent} event
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #take(event, now, out) {
    switch (event.type) {
      case "from-link":
        this.#toLink(event.to, event.event, now, out);
        break;
      case "signal-verified":
        this.#toLink(event.source, event.signal, now, out);
        break;
      case "send":
      case "send-piece":
      case "flush":
        if (this.#waiting.length > 0 || !this.#admitted(event, now, out)) this.#waiting.push(event);
        break;
      case "send-all":
        this.#append(event.messages, now, out);
        break;
      case "abort-transfer":
        this.#abort(event.transfer, now, out);
        break;
      case "cancel":
        this.#waiting = this.#waiting.filter(({ token }) => token !== event.token);
        this.#flushing = this.#flushing.filter(({ token }) => token !== event.token);
        this.#requests.cancel(event.token);
        break;
      case "open-channel":
        this.#openChannel(event, now, out);
        break;
      case "close-channel":
        this.#listen(event.name, false, now, out);
        break;
      case "introduced":
        this.#introduced(event.peer, event.sealed, now, out);
        break;
      case "welcomed":
        this.#sealed = new Set(event.sealed);
        this.#welcomed(event.message, event.peers, now, out);
        break;
      case "expelled":
        this.#expelled(event.statement, now, out);
        break;
      case "kick":
        this.#kick(event, now, out);
        break;
      case "heard":
        out.push(...this.#contact.heard(event.message, now));
        this.#heard(event.message, now, out);
        break;
      case "suspected": {
        const peer = event.claimed === null ? null : this.#members.peer(event.claimed);
        out.push({ type: "emit", event: { type: "refused", error: event.error, peer } });
        break;
      }
      case "socket-lost":
        this.#socketLost(event.code, event.reason, now, out);
        break;
      case "network-changed":
        this.#networkChanged(now, out);
        break;
      case "slept":
        if (event.duration >= LONG_SLEEP) this.#networkChanged(now, out);
        break;
      case "start":
        out.push(...this.#contact.start(now));
        break;
      case "leave":
        this.#leave(event.patience, now, out);
        break;
      default: // Tick: settled already
    }
    this.#reportServer(now, out);
  }

  /**
   * @param {Peer} peer
   * @param {boolean} sealed
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #introduced(peer, sealed, now, out) {
    const key = sessionKey(peer.id, peer.sid);
    if (this.#expulsions.bars(peer.id, now)) {
      this.#expulsions.hold(peer, sealed);
      return;
    }
    if (sealed) this.#sealed.add(key);
    else this.#sealed.delete(key);
    this.#changed(this.#members.ready(peer), now, out);
    this.#toLink(key, this.#online(key), now, out);
  }

  /**
   * @param {any} message
   * @param {Peer[]} peers
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #welcomed(message, peers, now, out) {
    out.push(...this.#contact.heard(message, now));
    this.#pace(now);
    this.#expulsions.synchronise(message.time, now);
    this.#expulsions.release();
    const admitted = peers.filter((peer) => !this.#expulsions.bars(peer.id, now));
    for (const peer of peers) {
      if (!this.#expulsions.bars(peer.id, now)) continue;
      this.#expulsions.hold(peer, this.#sealed.has(sessionKey(peer.id, peer.sid)));
    }
    // Before it is told that we are connected: who has joined finds the others here.
    this.#changed(this.#members.welcome(message.epoch, admitted, now), now, out);
    for (const key of [...this.#links.keys()]) {
      const reach = this.#members.listed(key)
        ? this.#online(key) : /** @type {const} */ ({ type: "offline" });
      this.#toLink(key, reach, now, out);
    }
  }

  /**
   * Return what can reach a session that the server lists.
   * @param {string} key
   * @returns {LinkEvent}
   */
  #online(key) {
    return { type: "online", relay: this.#contact.relayBytes > 0 && this.#sealed.has(key) };
  }

  /**
   * Keep within what the server passes on: it drops what is more.
   * @param {number} now
   */
  #pace(now) {
    const pace = RELAY_SHARE * this.#contact.relayBytes;
    this.#allowance.set(RELAY_BURST * pace, pace, now);
  }

  /**
   * @param {any} message
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #heard(message, now, out) {
    if (message.type === "peer-left") {
      const key = sessionKey(message.userId, message.sid);
      this.#sealed.delete(key);
      this.#expulsions.release(key);
      this.#changed(this.#members.left(key, message.reason, now), now, out);
      this.#toLink(key, { type: "offline" }, now, out);
    } else if (message.type === "signal-refused" && message.reason === "unknown-session") {
      // Any other may be taken later; and nobody would tell us when.
      this.#toLink(sessionKey(message.toUserId, message.toSid), { type: "offline" }, now, out);
    } else if (message.type === "error") {
      this.#unsendable(this.#requests.refused(message.n), () => new NotGranted(message.message), out);
    }
  }

  /**
   * @param {number} code
   * @param {string} reason
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #socketLost(code, reason, now, out) {
    if (this.#leaveBy !== null) return;
    out.push(...this.#contact.lost(code, reason, now));
    if (this.#contact.state === "connecting") {
      const error = new ServerUnreachable(reason);
      const event = /** @type {const} */ ({ type: "server-changed", state: "connecting", error });
      out.push({ type: "emit", event });
    }
  }

  /**
   * @param {Extract<SessionEvent, { type: "slept" }>} event
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #slept(event, now, out) {
    this.#contact.slept(event.duration);
    this.#members.slept(event.duration);
    for (const key of [...this.#links.keys()]) this.#toLink(key, event, now, out);
  }

  /**
   * Ask everybody at once whether they can still be reached.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #networkChanged(now, out) {
    out.push(...this.#contact.networkChanged(now));
    for (const key of [...this.#links.keys()]) {
      this.#toLink(key, { type: "network-changed" }, now, out);
    }
  }

  /**
   * Do all that `now` has made due.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #settle(now, out) {
    out.push(...this.#contact.settle(now));
    this.#changed(this.#members.settle(now), now, out);
    for (const { peer, sealed } of this.#expulsions.admitted(now)) {
      this.#introduced(peer, sealed, now, out);
    }
    const silent = () => new ServerUnreachable("the server does not answer");
    this.#unsendable(this.#requests.overdue(now), silent, out);
    for (const [key] of [...this.#due].filter(([, due]) => due <= now)) {
      this.#toLink(key, { type: "tick" }, now, out);
    }
    for (const [channel, since] of [...this.#stuckSince]) {
      if (now >= since + PATIENCE) this.#cutLoose(channel, now, out);
    }
    if (this.#leaveBy !== null && now >= this.#leaveBy) this.#abandonAll(now, out);
  }

  /**
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #abandonAll(now, out) {
    this.#toAll({ type: "abandon", drain: 0 }, now, out);
  }

  // --- links and members ------------------------------------------------------------

  /**
   * Hand an event to a link and act on what it says; without a link, it is inert.
   * @param {string} key
   * @param {LinkEvent} event
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #toLink(key, event, now, out) {
    const target = this.#links.get(key);
    if (target === undefined) return;
    const outputs = target.handle(event, now);
    const due = target.deadline;
    if (due === null) this.#due.delete(key);
    else this.#due.set(key, due);
    for (const output of outputs) {
      // What one output leads to may have closed the link: nothing is begun any more.
      const begins = output.type === "open-connection" || output.type === "perform";
      if (!begins || this.#links.get(key) === target) this.#fromLink(target, output, now, out);
    }
  }

  /**
   * @param {Link} source
   * @param {LinkOutput} output
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #fromLink(source, output, now, out) {
    const peer = this.#members.peer(source.to);
    switch (output.type) {
      case "content-arrived":
        // What stands behind a goodbye is nobody's.
        if (peer !== null) {
          const { channel, data, stream, cost } = output;
          const [direct, key, latest] = [(stream & 1) === 1, output.key || null, output.key !== null];
          const type = /** @type {const} */ ("message");
          // What is deflated is expanded when it is taken.
          const said = /** @type {import("../events.js").Data} */ (data);
          const message = { type, peer, data: said, direct, channel, key };
          out.push({ type: "deliver", message, source: source.to, stream, cost, latest });
        }
        break;
      case "piece-arrived":
        if (peer === null) break;
        if (output.ending === Ending.MISSED) {
          this.#tell("lost", peer, { channel: output.channel, count: 1 }, out);
        } else {
          out.push({ type: "deliver-piece", peer, source: source.to, piece: output });
        }
        break;
      case "messages-lost":
        this.#tell("lost", peer, output, out);
        break;
      case "lagged":
        this.#tell("peer-lagging", peer, output, out);
        break;
      case "dropped":
        this.#tell("undelivered", peer, output, out);
        break;
      case "moved":
        if (peer !== null) {
          const event = /** @type {const} */ ({ type: "link-changed", peer, state: output.state });
          out.push({ type: "emit", event });
        }
        this.#changed(this.#members.link(source.to, output.state === "connected", now), now, out);
        if (output.state === "closed") {
          this.#links.delete(source.to);
        } else if (output.state === "connected") {
          for (const { body, signature } of this.#expulsions.inForce(now)) {
            this.#toLink(source.to, { type: "tell", body, signature }, now, out);
          }
        }
        break;
      case "rerouted":
        if (peer === null) break;
        out.push({ type: "emit", event: { type: "path-changed", peer, path: output.path } });
        break;
      case "graded":
        if (peer !== null) {
          const { quality } = output;
          out.push({ type: "emit", event: { type: "quality-changed", peer, quality } });
        }
        break;
      case "said-goodbye":
        this.#changed(this.#members.goodbye(source.to), now, out);
        break;
      case "misbehaved":
        out.push({ type: "emit", event: { type: "refused", error: output.error, peer } });
        break;
      case "alleged": {
        const { body, signature } = output;
        if (!this.#expulsions.knows(signature)) {
          out.push({ type: "check-statement", body, signature });
        }
        break;
      }
      default:
        out.push(output);
    }
  }

  /**
   * Tell of who came and went, and keep the links that the topology wants.
   * @param {import("./membership.js").Change[]} changes
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #changed(changes, now, out) {
    for (const change of changes) {
      const { peer } = change;
      const key = sessionKey(peer.id, peer.sid);
      if (change.type === "arrived") {
        out.push({ type: "emit", event: { type: "peer-joined", peer } });
        if (this.#leaveBy === null && linksWanted(Topology.MESH, this.me, [key]).has(key)) {
          this.#links.set(key, this.#newLink(key));
          this.#toLink(key, this.#online(key), now, out);
        }
      } else {
        const former = this.#links.get(key);
        if (former !== undefined) this.#part(former, peer, change.reason, now, out);
        out.push({ type: "emit", event: { type: "peer-left", peer, reason: change.reason } });
      }
    }
  }

  /**
   * Close the link to who is gone, and tell what that may have cost.
   * @param {Link} former
   * @param {Peer} peer
   * @param {import("../events.js").LeaveReason} reason
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #part(former, peer, reason, now, out) {
    const { undelivered } = former;
    if (reason === "timeout" || reason === "kicked") this.#remember(former);
    const drain = reason === "kicked" ? DRAIN : 0;
    this.#toLink(former.to, { type: "abandon", drain }, now, out);
    if (reason !== "left" && former.received) {
      out.push({ type: "emit", event: { type: "lost", peer, count: null, channel: "" } });
    }
    if (this.#leaveBy !== null) return;
    for (const [channel, count] of undelivered) {
      out.push({ type: "emit", event: { type: "undelivered", peer, count, channel } });
    }
  }

  /**
   * @param {"lost" | "peer-lagging" | "undelivered"} type
   * @param {Peer | null} peer
   * @param {{ channel: string, count: number }} what
   * @param {SessionOutput[]} out
   */
  #tell(type, peer, { channel, count }, out) {
    if (peer !== null) out.push({ type: "emit", event: { type, peer, count, channel } });
  }

  /** @param {string} key */
  #newLink(key) {
    const former = this.#lost.get(key);
    this.#lost.delete(key);
    if (former !== undefined) return former.heir();
    const traffic = new Traffic(key, this.#channels, this.#budget);
    return new Link(this.me, key, this.#settings, this.#dice, traffic, this.#allowance);
  }

  /** @param {Link} former */
  #remember(former) {
    this.#lost.set(former.to, former);
    let kept = [...this.#lost.values()].reduce((sum, { assembling }) => sum + assembling, 0);
    for (const [key, { assembling }] of this.#lost) {
      if (this.#lost.size <= REMEMBERED && kept <= REMEMBERED_BYTES) break;
      this.#lost.delete(key);
      kept -= assembling;
    }
  }

  /**
   * Tell of a change in the contact with the server; without it links are offline.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #reportServer(now, out) {
    const { state, error } = this.#contact;
    if (state === this.#server) return;
    this.#server = state;
    out.push({ type: "emit", event: { type: "server-changed", state, error } });
    if (state !== "connected") {
      for (const key of [...this.#links.keys()]) this.#toLink(key, { type: "offline" }, now, out);
      this.#unsendable(this.#requests.end(), () => error ?? new ServerUnreachable(AWAY), out);
    }
  }

  // --- who is removed ---------------------------------------------------------------------

  /**
   * Ask the server to remove a peer; what comes of it is told later.
   * @param {Extract<SessionEvent, { type: "kick" }>} kick
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #kick({ token, userId, duration, why }, now, out) {
    /** @type {MeshError | null} */
    let error = null;
    if (this.#leaveBy !== null) error = new RoomClosed("the room is being left");
    else if (this.#contact.state !== "connected") error = new ServerUnreachable(AWAY);
    else if (!this.#contact.roomKey) error = new NotGranted("this server removes nobody");
    if (error !== null) {
      out.push({ type: "unsendable", token, error });
      return;
    }
    const n = this.#requests.begin(token, userId, now);
    const message = /** @type {const} */ ({ type: "kick", userId, duration, reason: why, n });
    out.push({ type: "send-to-server", message });
  }

  /**
   * Obey a statement of the server's that is new to us, and pass it on.
   * @param {import("./expulsion.js").Statement} statement
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #expelled(statement, now, out) {
    const { userId: id, reason: why, body, signature } = statement;
    const until = statement.until / 1000;
    for (const token of this.#requests.done(id)) out.push({ type: "accepted", token });
    if (!this.#expulsions.take(statement, now)) return;
    const here = this.peers.filter((each) => each.id === id);
    const peer = here.at(-1) ?? null;
    out.push({ type: "emit", event: { type: "peer-kicked", id, until, why, peer } });
    if (id === partsOf(this.me).id) {
      out.push(...this.#contact.dismiss(new Kicked(why, until)));
      return;
    }
    // First of all to who is removed: it may be away from the server.
    this.#toAll({ type: "tell", body, signature }, now, out);
    this.#changed(this.#members.kick(id), now, out);
    if (this.#contact.state !== "connected") return;
    // A server that has forgotten it goes on listing them.
    for (const each of here) {
      this.#expulsions.hold(each, this.#sealed.has(sessionKey(each.id, each.sid)));
    }
  }

  /**
   * @param {number[]} tokens
   * @param {() => MeshError} why
   * @param {SessionOutput[]} out
   */
  #unsendable(tokens, why, out) {
    for (const token of tokens) out.push({ type: "unsendable", token, error: why() });
  }

  // --- sending --------------------------------------------------------------------------

  /**
   * @param {Extract<SessionEvent, { type: "open-channel" }>} event
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #openChannel({ name, delivery, priority, listen, limits }, now, out) {
    const known = this.#channels.size;
    this.#channels.open(name, delivery, priority, limits);
    if (this.#channels.size > known) {
      this.#toAll({ type: "opened", channel: name }, now, out);
    }
    this.#listen(name, listen, now, out);
  }

  /**
   * @param {string} name
   * @param {boolean} wanted
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #listen(name, wanted, now, out) {
    if (this.#channels.listen(name, wanted)) this.#toAll({ type: "listening" }, now, out);
  }

  /**
   * @param {LinkEvent} event
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #toAll(event, now, out) {
    for (const key of [...this.#links.keys()]) this.#toLink(key, event, now, out);
  }

  /** Whether messages are accepted at all. */
  get accepting() {
    return this.#leaveBy === null && !this.#ended;
  }

  /**
   * Return whether a message would be accepted at once.
   * @param {string} channel
   * @param {string | null} to
   */
  roomFor(channel, to) {
    const found = this.#channels.find(channel);
    const waits = this.#waiting.some((each) => (
      each.type === "send" && each.channel === channel && each.to === to));
    if (waits || found === undefined) return !waits;
    return to === null ? found.log.hasRoom : this.#links.get(to)?.lane(found).log.hasRoom ?? true;
  }

  /**
   * Accept the messages whose logs have room, in order for each stream.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #admit(now, out) {
    /** Streams that are full. @type {Set<string>} */
    const full = new Set();
    /** Those that are so for pieces, for which nothing else waits. @type {Set<string>} */
    const fullForPieces = new Set();
    /** Channels that are, and whose log of broadcasts is. @type {Set<string>} */
    const slow = new Set();
    /** @type {Set<string>} */
    const stuck = new Set();
    const still = [];
    for (const each of this.#waiting) {
      const behind = each.type === "flush" ? slow.has(each.channel) : full.has(streamOf(each));
      const pieces = each.type === "send-piece";
      if (behind || (pieces && fullForPieces.has(streamOf(each)))) {
        still.push(each);
      } else if (!this.#admitted(each, now, out)) {
        if (each.type !== "flush") {
          (pieces ? fullForPieces : full).add(streamOf(each));
          if (!pieces) slow.add(each.channel);
          if (each.to === null) stuck.add(each.channel);
        }
        still.push(each);
      }
    }
    this.#waiting = still;
    const before = this.#stuckSince;
    this.#stuckSince = new Map([...stuck].sort().map((each) => [each, before.get(each) ?? now]));
    const vain = [...this.#stuckSince.keys()].filter((channel) => this.#isVain(channel));
    for (const channel of vain) this.#cutLoose(channel, now, out);
    if (vain.length > 0) this.#admit(now, out);
  }

  /**
   * Do what is asked, or refuse it for good; false when it has to wait for room.
   * @param {Waiting} each
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #admitted(each, now, out) {
    if (each.type === "flush") {
      this.#flush(each);
      return true;
    }
    const refusal = this.#refusal(each) ?? this.#refusalOf(each);
    if (refusal !== null) {
      out.push({ type: "unsendable", token: each.token, error: refusal });
      return true;
    }
    if (each.type === "send-piece") return this.#acceptedPiece(each, now, out);
    if (!this.#logOf(each).hasRoom) return false;
    this.#accept(each, now, out);
    return true;
  }

  /**
   * Return those for whom everybody waits on a channel.
   * @param {string} channel
   */
  #slowest(channel) {
    const found = this.#channels.get(channel);
    return [...this.#links.values()].filter((each) => each.lane(found).everybody.last);
  }

  /**
   * Return whether everybody waits for such alone as were waited for in vain.
   * @param {string} channel
   */
  #isVain(channel) {
    const found = this.#channels.get(channel);
    const slowest = this.#slowest(channel);
    return slowest.length > 0 && slowest.every((each) => each.lane(found).adrift);
  }

  /**
   * Return why nothing can be sent to them on a channel, null if something can.
   * @param {{ to: string | null, channel: string }} send
   * @returns {MeshError | null}
   */
  #refusal({ to, channel }) {
    if (this.#leaveBy !== null) return new RoomClosed("the room is being left");
    if (to === null) return null;
    const { id, sid } = partsOf(to);
    const link = this.#links.get(to);
    if (link === undefined) return new UnknownPeer(`no session ${sid} of ${id} is in the room`);
    if (link.listens(this.#channels.get(channel)) === false) {
      return new NotListening(`${id} does not listen to the channel ${channel}`);
    }
    return null;
  }

  /**
   * Return why that message, or piece of a transfer, cannot be sent, null if it can.
   * @param {Extract<SessionEvent, { type: "send" | "send-piece" }>} each
   * @returns {MeshError | null}
   */
  #refusalOf(each) {
    const { delivery, limits } = this.#channels.get(each.channel);
    if (each.type === "send-piece") {
      if (delivery !== "reliable") {
        return new InvalidArgument("streams need a channel that is reliable");
      }
      const { log, wholeFrom } = this.#place(each);
      return this.#transfers.refusal(each.transfer, log, wholeFrom);
    }
    const { payload } = each;
    if (limits !== null && payload.length > LOSSY_LIMIT_BYTES) {
      const limit = `a message that may be lost has ${LOSSY_LIMIT_BYTES}`;
      return new MessageTooLarge(`${payload.length} bytes; ${limit}`);
    }
    const log = this.#logOf(each);
    return log instanceof CompactedLog ? log.refusal(payload) : null;
  }

  /** @param {{ to: string | null, channel: string }} send */
  #laneTo({ to, channel }) {
    if (to === null) return null;
    return /** @type {Link} */ (this.#links.get(to)).lane(this.#channels.get(channel));
  }

  /** @param {{ to: string | null, channel: string }} send */
  #logOf(send) {
    return (this.#laneTo(send) ?? this.#channels.get(send.channel)).log;
  }

  /**
   * Return the log of a transfer, and from where on one arrives there as a whole.
   * @param {{ to: string | null, channel: string }} send
   */
  #place(send) {
    const log = /** @type {Log} */ (this.#logOf(send)); // others were refused
    const alone = this.#laneTo(send)?.alone;
    return { log, wholeFrom: alone instanceof Outgoing ? alone.wholeFrom : 0 };
  }

  /**
   * Put a piece of a transfer into its log; false when it has to wait for room.
   * @param {Extract<SessionEvent, { type: "send-piece" }>} send
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #acceptedPiece(send, now, out) {
    const { to } = send;
    const { log } = this.#place(send);
    if (!log.hasRoomForPiece) return false;
    const finely = to === null
      ? this.#fragmentBytes : /** @type {Link} */ (this.#links.get(to)).fragmentBytes;
    this.#transfers.append(send, log, finely);
    this.#appended(to, now, out);
    out.push({ type: "accepted", token: send.token });
    return true;
  }

  /**
   * Give up a transfer, whatever else waits: it is said in a few bytes.
   * @param {number} transfer
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #abort(transfer, now, out) {
    const begun = this.#leaveBy === null ? this.#transfers.abort(transfer) : null;
    if (begun !== null) this.#appended(begun.to, now, out);
  }

  /**
   * @param {string | null} to
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #appended(to, now, out) {
    if (to === null) this.#toAll({ type: "appended" }, now, out);
    else this.#toLink(to, { type: "appended" }, now, out);
  }

  /**
   * @param {Extract<SessionEvent, { type: "send" }>} send
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #accept({ token, to, channel, kind, payload }, now, out) {
    if (to === null) {
      this.#append([[channel, kind, payload]], now, out);
    } else if (this.#channels.get(channel).limits !== null) {
      const messages = [{ channel, number: null, kind, payload }];
      this.#toLink(to, { type: "hasten", messages }, now, out);
    } else {
      this.#toLink(to, { type: "enqueue", channel, kind, payload }, now, out);
    }
    out.push({ type: "accepted", token });
  }

  /**
   * Send messages to everybody, each on its channel.
   * @param {Extract<SessionEvent, { type: "send-all" }>["messages"]} messages
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #append(messages, now, out) {
    /** @type {import("./realtime.js").Passing[]} */
    const passing = [];
    for (const [channel, kind, payload] of messages) {
      const { limits, log, count } = this.#channels.get(channel);
      if (limits === null) {
        const small = payload.length <= LEAST_FRAGMENT_BYTES; // most are
        log.append(kind, payload, small ? FRAGMENT_BYTES : this.#fragmentBytes);
      } else {
        passing.push({ channel, number: count(), kind, payload });
      }
    }
    if (passing.length > 0) this.#toAll({ type: "hasten", messages: passing }, now, out);
    if (passing.length < messages.length) this.#toAll({ type: "appended" }, now, out);
  }

  /** How finely messages to everybody are to be cut: as the slowest link needs it. */
  get #fragmentBytes() {
    return Math.min(FRAGMENT_BYTES, ...[...this.#links.values()].map((each) => each.fragmentBytes));
  }

  /**
   * Let those go without for whom everybody has waited long enough.
   * @param {string} channel
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #cutLoose(channel, now, out) {
    for (const { to } of this.#slowest(channel)) this.#toLink(to, { type: "cut-loose", channel }, now, out);
    this.#stuckSince.delete(channel);
  }

  /**
   * Take note of how far everybody must have got.
   * @param {Extract<SessionEvent, { type: "flush" }>} flush
   */
  #flush({ token, channel: name }) {
    const channel = this.#channels.get(name);
    const everybody = channel.log.end.number;
    const places = [...this.#links.values()].map((link) => (
      { link, everybody, alone: link.lane(channel).log.end.number }));
    this.#flushing.push({ token, channel, places });
  }

  /** @param {SessionOutput[]} out */
  #flushed(out) {
    for (const each of this.#flushing) {
      if (settled(each, this.#leaveBy !== null)) out.push({ type: "accepted", token: each.token });
    }
    this.#flushing = this.#flushing.filter(({ places }) => places.length > 0);
  }

  // --- the end ----------------------------------------------------------------------------

  /**
   * @param {number} patience
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #leave(patience, now, out) {
    if (this.#leaveBy !== null) {
      this.#leaveBy = Math.min(this.#leaveBy, now + patience);
      return;
    }
    this.#leaveBy = now + patience;
    for (const key of [...this.#links.keys()]) {
      this.#toLink(key, { type: "depart" }, now, out);
    }
  }

  /**
   * End once every link has closed after Leave, or the server said never.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #conclude(now, out) {
    if (this.#leaveBy !== null && this.#links.size === 0) out.push(...this.#contact.leave());
    if (this.#contact.state !== "closed") return;
    this.#abandonAll(now, out);
    this.#ended = true;
    const { error } = this.#contact;
    for (const { token } of [...this.#waiting, ...this.#flushing]) {
      const reason = error ?? new RoomClosed("the room was left");
      out.push({ type: "unsendable", token, error: reason });
    }
    this.#waiting = [];
    this.#flushing = [];
    const reason = () => error ?? new RoomClosed("the room was left");
    this.#unsendable(this.#requests.end(), reason, out);
    out.push({ type: "ended", error });
  }
}
