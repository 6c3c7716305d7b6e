/**
 * Who is in the room, as one session sees it; the rules are in `core/membership.py`.
 * @module
 */

import { sessionKey } from "./identity.js";

/** Seconds that the goodbye over a link may come later than the server's word of it. */
export const PARTING = 1.0;
/** Seconds that peers have to come back to a server that restarted. */
export const RETURN_GRACE = 30.0;
/** Others beyond so many are ignored: each costs a connection, and a server may invent them. */
export const MEMBER_LIMIT = 256;

const REMEMBERED = 1024;

/** @typedef {import("../events.js").Peer} Peer */
/** @typedef {import("../events.js").LeaveReason} LeaveReason */
/**
 * @typedef {{ type: "arrived", peer: Peer }
 *   | { type: "departed", peer: Peer, reason: LeaveReason }} Change
 */
/**
 * @typedef {object} Member
 * @property {Peer} peer
 * @property {boolean} listed
 * @property {boolean} linked
 * @property {number | null} forgivenUntil unlisted, but not held against it before this time
 * @property {number | null} partingUntil it has left; by then its link has said so too
 */

/** Tells who is present from what the server and the links say. */
export class Membership {
  #me;
  /** @type {Map<string, Member>} */
  #members = new Map();
  /** @type {string | null} */
  #epoch = null;
  /** Sessions that said goodbye; bounded. @type {Set<string>} */
  #gone = new Set();

  /** @param {string} me my own session */
  constructor(me) {
    this.#me = me;
  }

  /** Everybody present but me, in order of arrival. */
  get peers() {
    return [...this.#members.values()].map((member) => member.peer);
  }

  /**
   * Tell whether a session is present.
   * @param {string} key
   */
  has(key) {
    return this.#members.has(key);
  }

  /**
   * Return the peer of a session, null if it is not present.
   * @param {string} key
   * @returns {Peer | null}
   */
  peer(key) {
    return this.#members.get(key)?.peer ?? null;
  }

  /**
   * Tell whether the server lists a session, so that signals reach it.
   * @param {string} key
   */
  listed(key) {
    return this.#members.get(key)?.listed ?? false;
  }

  /** When the time ends of the first that is forgiven, or parting; null if none is. */
  get deadline() {
    const times = [...this.#members.values()]
      .flatMap(({ forgivenUntil, partingUntil }) => [forgivenUntil, partingUntil])
      .filter((time) => time !== null);
    return times.length ? Math.min(...times) : null;
  }

  /**
   * Take the server's whole list; `epoch` names the server's life.
   * @param {string} epoch
   * @param {Peer[]} peers
   * @param {number} now seconds
   * @returns {Change[]}
   */
  welcome(epoch, peers, now) {
    const changes = peers.flatMap((peer) => this.ready(peer));
    const present = new Set(peers.map((peer) => sessionKey(peer.id, peer.sid)));
    const restarted = this.#epoch !== null && epoch !== this.#epoch;
    this.#epoch = epoch;
    for (const [key, member] of this.#members) {
      if (!present.has(key) && member.listed) {
        member.listed = false;
        member.forgivenUntil = restarted ? now + RETURN_GRACE : null;
      }
    }
    return [...changes, ...this.settle(now)];
  }

  /**
   * Take the server's word that a session is there.
   * @param {Peer} peer
   * @returns {Change[]}
   */
  ready(peer) {
    const key = sessionKey(peer.id, peer.sid);
    if (key === this.#me || this.#gone.has(key)) return [];
    const member = this.#members.get(key);
    if (member !== undefined) {
      member.listed = true;
      member.forgivenUntil = null;
      return [];
    }
    /** @type {Change[]} */
    const changes = [];
    for (const [other, { peer: known, partingUntil }] of [...this.#members]) {
      if (known.id === peer.id && partingUntil === null) {
        changes.push(...this.#depart(other, "replaced"));
      }
    }
    if (this.#members.size >= MEMBER_LIMIT) return changes;
    this.#members.set(key, {
      peer, listed: true, linked: false, forgivenUntil: null, partingUntil: null,
    });
    return [...changes, { type: "arrived", peer }];
  }

  /**
   * Take the peer's own word, over its link, that it is gone.
   * @param {string} key
   * @returns {Change[]}
   */
  goodbye(key) {
    this.#forget(key);
    return this.#depart(key, "left");
  }

  /**
   * Take the server's signed word that a peer is removed, whatever its links say.
   * @param {string} userId
   * @returns {Change[]}
   */
  kick(userId) {
    const keys = [...this.#members].filter(([, { peer }]) => peer.id === userId);
    return keys.flatMap(([key]) => this.#depart(key, "kicked"));
  }

  /**
   * Take the server's word that a session is gone.
   * @param {string} key
   * @param {LeaveReason} reason
   * @param {number} now seconds
   * @returns {Change[]}
   */
  left(key, reason, now) {
    const member = this.#members.get(key);
    if (reason !== "timeout") this.#forget(key);
    if (member === undefined) return [];
    if (reason === "replaced") return this.#depart(key, reason);
    member.listed = false;
    member.forgivenUntil = null;
    if (reason === "left") member.partingUntil = now + PARTING;
    return this.settle(now);
  }

  /** @param {string} key */
  #forget(key) {
    this.#gone.add(key);
    if (this.#gone.size > REMEMBERED) {
      const [oldest] = this.#gone;
      this.#gone.delete(/** @type {string} */ (oldest));
    }
  }

  /**
   * Take note that the link to a session came up or went down.
   * @param {string} key
   * @param {boolean} alive
   * @param {number} now seconds
   * @returns {Change[]}
   */
  link(key, alive, now) {
    const member = this.#members.get(key);
    if (member === undefined) return [];
    member.linked = alive;
    if (!alive && member.partingUntil !== null) return this.#depart(key, "left");
    return this.settle(now);
  }

  /**
   * Let go of who has left, and of who is neither listed, linked nor forgiven.
   * @param {number} now seconds
   * @returns {Change[]}
   */
  settle(now) {
    /** @type {Change[]} */
    const changes = [];
    for (const [key, member] of [...this.#members]) {
      if (member.forgivenUntil !== null && member.forgivenUntil <= now) {
        member.forgivenUntil = null;
      }
      if (member.partingUntil !== null) {
        if (member.partingUntil <= now) changes.push(...this.#depart(key, "left"));
      } else if (!member.listed && !member.linked && member.forgivenUntil === null) {
        changes.push(...this.#depart(key, "timeout"));
      }
    }
    return changes;
  }

  /**
   * Give back the time that we did not listen.
   * @param {number} duration seconds
   */
  slept(duration) {
    for (const member of this.#members.values()) {
      if (member.forgivenUntil !== null) member.forgivenUntil += duration;
      if (member.partingUntil !== null) member.partingUntil += duration;
    }
  }

  /**
   * @param {string} key
   * @param {LeaveReason} reason
   * @returns {Change[]}
   */
  #depart(key, reason) {
    const member = this.#members.get(key);
    if (member === undefined) return [];
    this.#members.delete(key);
    return [{ type: "departed", peer: member.peer, reason }];
  }
}
