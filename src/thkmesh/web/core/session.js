/**
 * One session in a room, the client's mind: the same machine as `core/session.py`.
 * @module
 */

import { RoomClosed, ServerUnreachable, UnknownPeer } from "../errors.js";
import { Contact } from "./contact.js";
import { partsOf, sessionKey } from "./identity.js";
import { Link } from "./link.js";
import { Membership } from "./membership.js";
import { Outbox } from "./sending.js";
import { counter, Log } from "./streams.js";
import { linksWanted, Topology } from "./topology.js";

/** @typedef {import("../events.js").Peer} Peer */
/** @typedef {import("../events.js").MeshEvent} MeshEvent */
/** @typedef {import("../errors.js").MeshError} MeshError */
/** @typedef {import("./link.js").LinkEvent} LinkEvent */
/** @typedef {import("./link.js").LinkOutput} LinkOutput */
/**
 * @typedef {{ type: "start" }
 *   | { type: "socket-lost", code: number, reason: string }
 *   | { type: "heard", message: any }
 *   | { type: "welcomed", message: any, peers: Peer[] }
 *   | { type: "introduced", peer: Peer }
 *   | { type: "signal-verified", source: string,
 *       signal: Extract<LinkEvent, { type: "signal-arrived" }> }
 *   | { type: "suspected", claimed: string | null, error: import("../errors.js").PeerError }
 *   | { type: "from-link", to: string, event: LinkEvent }
 *   | { type: "send", token: number, to: string | null, kind: number, payload: Uint8Array }
 *   | { type: "send-all", messages: [kind: number, payload: Uint8Array][] }
 *   | { type: "cancel", token: number }
 *   | { type: "leave", patience: number }
 *   | { type: "hurry" }
 *   | { type: "tick" }
 *   | { type: "slept", duration: number }} SessionEvent
 */
/**
 * @typedef {Exclude<LinkOutput,
 *     { type: "content-arrived" | "messages-lost" | "lagged" | "moved" | "graded"
 *       | "said-goodbye" | "misbehaved" }>
 *   | import("./contact.js").ContactOutput
 *   | { type: "emit", event: MeshEvent }
 *   | { type: "accepted", token: number }
 *   | { type: "unsendable", token: number, error: MeshError }
 *   | { type: "ended", error: MeshError | null }} SessionOutput
 */

/** Seconds that everybody waits for the slowest. */
export const PATIENCE = 5.0;
/** Of so many sessions that were given up it is known where their links stopped. */
const REMEMBERED = 256;

/** My life in one room. */
export class Session {
  /** My own session. */
  me;
  #settings;
  #dice;
  #members;
  #contact;
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
  #order = counter();
  #broadcasts = new Log(this.#order);
  /** @type {Extract<SessionEvent, { type: "send" }>[]} */
  #waiting = [];
  /**
   * Since when a message to everybody has waited for somebody to take in others.
   * @type {number | null}
   */
  #stuckSince = null;
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

  /** Everybody present but me. */
  get peers() {
    return this.#members.peers;
  }

  /** Tell whether a message to everybody would be accepted at once. */
  get hasRoom() {
    return this.#leaveBy === null && this.#waiting.length === 0 && this.#broadcasts.hasRoom;
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
    if (this.#stuckSince !== null) times.push(this.#stuckSince + PATIENCE);
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
      if (event.type === "send") {
        const error = new RoomClosed("the room was left");
        out.push({ type: "unsendable", token: event.token, error });
      }
      return out;
    }
    if (event.type === "slept") this.#slept(event, now, out);
    this.#settle(now, out);
    this.#take(event, now, out);
    this.#admit(now, out);
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
        this.#waiting.push(event);
        break;
      case "send-all":
        for (const [kind, payload] of event.messages) this.#broadcasts.append(kind, payload);
        this.#appended(now, out);
        break;
      case "cancel":
        this.#waiting = this.#waiting.filter(({ token }) => token !== event.token);
        break;
      case "introduced": {
        const { peer } = event;
        this.#changed(this.#members.ready(peer), now, out);
        this.#toLink(sessionKey(peer.id, peer.sid), { type: "online" }, now, out);
        break;
      }
      case "welcomed":
        out.push(...this.#contact.heard(event.message, now));
        this.#welcomed(event.message.epoch, event.peers, now, out);
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
      case "hurry":
        this.#contact.hurry(now);
        break;
      case "start":
        out.push(...this.#contact.start(now));
        break;
      case "leave":
        this.#leave(event.patience, now, out);
        break;
      default: // Tick, Slept: settled already
    }
    this.#reportServer(now, out);
  }

  /**
   * @param {string} epoch
   * @param {Peer[]} peers
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #welcomed(epoch, peers, now, out) {
    // Before it is told that we are connected: who has joined finds the others here.
    this.#changed(this.#members.welcome(epoch, peers, now), now, out);
    for (const key of [...this.#links.keys()]) {
      this.#toLink(key, { type: this.#members.listed(key) ? "online" : "offline" }, now, out);
    }
  }

  /**
   * @param {any} message
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #heard(message, now, out) {
    if (message.type === "peer-left") {
      const key = sessionKey(message.userId, message.sid);
      this.#changed(this.#members.left(key, message.reason, now), now, out);
      this.#toLink(key, { type: "offline" }, now, out);
    } else if (message.type === "signal-refused" && message.reason === "unknown-session") {
      // Any other may be taken later; and nobody would tell us when.
      this.#toLink(sessionKey(message.toUserId, message.toSid), { type: "offline" }, now, out);
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
   * Do all that `now` has made due.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #settle(now, out) {
    out.push(...this.#contact.settle(now));
    this.#changed(this.#members.settle(now), now, out);
    for (const [key] of [...this.#due].filter(([, due]) => due <= now)) {
      this.#toLink(key, { type: "tick" }, now, out);
    }
    if (this.#stuckSince !== null && now >= this.#stuckSince + PATIENCE) this.#cutLoose(now, out);
    if (this.#leaveBy !== null && now >= this.#leaveBy) this.#abandonAll(now, out);
  }

  /**
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #abandonAll(now, out) {
    for (const key of [...this.#links.keys()]) this.#toLink(key, { type: "abandon" }, now, out);
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
          const { data, direct } = output;
          out.push({ type: "emit", event: { type: "message", peer, data, direct } });
        }
        break;
      case "messages-lost":
        if (peer === null) break;
        out.push({ type: "emit", event: { type: "lost", peer, count: output.count } });
        break;
      case "lagged":
        if (peer === null) break;
        out.push({ type: "emit", event: { type: "peer-lagging", peer, count: output.count } });
        break;
      case "moved":
        if (peer !== null) {
          const event = /** @type {const} */ ({ type: "link-changed", peer, state: output.state });
          out.push({ type: "emit", event });
        }
        this.#changed(this.#members.link(source.to, output.state === "connected", now), now, out);
        if (output.state === "closed") this.#links.delete(source.to);
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
          this.#toLink(key, { type: "online" }, now, out);
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
    const count = former.unacknowledged;
    if (reason === "timeout") this.#remember(former);
    this.#toLink(former.to, { type: "abandon" }, now, out);
    if (reason !== "left" && former.received) {
      out.push({ type: "emit", event: { type: "lost", peer, count: null } });
    }
    if (count > 0 && this.#leaveBy === null) {
      out.push({ type: "emit", event: { type: "undelivered", peer, count } });
    }
  }

  /** @param {string} key */
  #newLink(key) {
    const former = this.#lost.get(key);
    this.#lost.delete(key);
    if (former !== undefined) return former.heir();
    const outbox = new Outbox(this.#broadcasts, this.#order);
    return new Link(this.me, key, this.#settings, this.#dice, outbox);
  }

  /** @param {Link} former */
  #remember(former) {
    this.#lost.set(former.to, former);
    const [oldest] = this.#lost.keys();
    if (this.#lost.size > REMEMBERED) this.#lost.delete(/** @type {string} */ (oldest));
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
    }
  }

  // --- sending --------------------------------------------------------------------------

  /**
   * Accept the messages whose logs have room, in order for each stream.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #admit(now, out) {
    /** @type {Set<string | null>} */
    const full = new Set();
    const still = [];
    for (const send of this.#waiting) {
      const refusal = this.#refusal(send.to);
      if (refusal !== null) {
        out.push({ type: "unsendable", token: send.token, error: refusal });
      } else if (full.has(send.to) || !this.#hasRoom(send.to)) {
        full.add(send.to);
        still.push(send);
      } else {
        this.#accept(send, now, out);
      }
    }
    this.#waiting = still;
    if (full.has(null)) this.#stuckSince ??= now;
    else this.#stuckSince = null;
  }

  /**
   * Return why a message cannot be sent at all, null if it can.
   * @param {string | null} to
   * @returns {MeshError | null}
   */
  #refusal(to) {
    if (this.#leaveBy !== null) return new RoomClosed("the room is being left");
    if (to !== null && !this.#links.has(to)) {
      const { id, sid } = partsOf(to);
      return new UnknownPeer(`no session ${sid} of ${id} is in the room`);
    }
    return null;
  }

  /** @param {string | null} to */
  #hasRoom(to) {
    return to === null ? this.#broadcasts.hasRoom : this.#links.get(to)?.hasRoom === true;
  }

  /**
   * @param {Extract<SessionEvent, { type: "send" }>} send
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #accept({ token, to, kind, payload }, now, out) {
    if (to === null) {
      this.#broadcasts.append(kind, payload);
      this.#appended(now, out);
    } else {
      this.#toLink(to, { type: "enqueue", kind, payload }, now, out);
    }
    out.push({ type: "accepted", token });
  }

  /**
   * Have all links hand on what is new for everybody.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #appended(now, out) {
    for (const key of [...this.#links.keys()]) this.#toLink(key, { type: "appended" }, now, out);
  }

  /**
   * Let those go without for whom everybody has waited long enough.
   * @param {number} now
   * @param {SessionOutput[]} out
   */
  #cutLoose(now, out) {
    const slowest = [...this.#links.values()].filter(({ lagging }) => lagging);
    for (const { to } of slowest) this.#toLink(to, { type: "cut-loose" }, now, out);
    this.#stuckSince = null;
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
    for (const { token } of this.#waiting) {
      const reason = error ?? new RoomClosed("the room was left");
      out.push({ type: "unsendable", token, error: reason });
    }
    this.#waiting = [];
    out.push({ type: "ended", error });
  }
}
