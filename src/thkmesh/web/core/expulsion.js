/**
 * Who has been removed from the room, as one session sees it; see `core/expulsion.py`.
 * @module
 */

import { Allowance } from "./allowance.js";
import { sessionKey } from "./identity.js";

/** So many peers may be kept out at one time; then the one whose time ends first is forgotten. */
export const EXPULSION_LIMIT = 256;
/** Seconds that the server has to answer who asks it to remove somebody. */
export const ANSWER_TIMEOUT = 10.0;
/** So many statements a peer may pass on at once. */
export const CLAIMS = 16;
/** Seconds for one more. */
export const CLAIM_INTERVAL = 2.0;
/** So many it is remembered of that both ends of a link have them. */
const PASSED = 512;

/** @typedef {import("../events.js").Peer} Peer */
/**
 * A genuine statement: what its body says, and how to pass it on. The times are milliseconds
 * by the server's clock.
 * @typedef {{ userId: string, at: number, until: number, reason: string, body: string,
 *   signature: string }} Statement
 */

/** Tells who is kept out, and who wants to come in meanwhile. */
export class Expulsions {
  /** @type {number | null} */
  #offset = null;
  /** @type {Map<string, Statement>} */
  #statements = new Map();
  /** @type {Map<string, { peer: Peer, sealed: boolean }>} */
  #held = new Map();

  /**
   * Take the server's time; 0 if it does not tell.
   * @param {number} time milliseconds
   * @param {number} now seconds
   */
  synchronise(time, now) {
    this.#offset = time ? time / 1000 - now : null;
  }

  /**
   * Take a statement; false if it says nothing new, or is over.
   * @param {Statement} statement
   * @param {number} now
   */
  take(statement, now) {
    const known = this.#statements.get(statement.userId);
    if (!this.#holds(statement, now) || (known !== undefined && known.at >= statement.at)) {
      return false;
    }
    if (known === undefined && this.#statements.size >= EXPULSION_LIMIT) {
      const [first] = [...this.#statements.values()].sort((one, other) => (
        one.until - other.until || (one.userId < other.userId ? -1 : 1)));
      this.#statements.delete(/** @type {Statement} */ (first).userId);
    }
    this.#statements.set(statement.userId, statement);
    return true;
  }

  /**
   * Tell whether that very statement has been taken.
   * @param {string} signature
   */
  knows(signature) {
    return [...this.#statements.values()].some((each) => each.signature === signature);
  }

  /**
   * Tell whether a peer is kept out.
   * @param {string} userId
   * @param {number} now
   */
  bars(userId, now) {
    const statement = this.#statements.get(userId);
    return statement !== undefined && this.#holds(statement, now);
  }

  /**
   * Return what holds, and forget what does not any more.
   * @param {number} now
   */
  inForce(now) {
    for (const each of [...this.#statements.values()]) {
      if (!this.#holds(each, now)) this.#statements.delete(each.userId);
    }
    return [...this.#statements.values()];
  }

  /**
   * @param {Statement} statement
   * @param {number} now
   */
  #holds({ until }, now) {
    return this.#offset !== null && now < until / 1000 - this.#offset;
  }

  // --- those who have to wait ---

  /**
   * Keep what the server says of a session that may not come in yet.
   * @param {Peer} peer
   * @param {boolean} sealed
   */
  hold(peer, sealed) {
    if (this.#held.size < EXPULSION_LIMIT) {
      this.#held.set(sessionKey(peer.id, peer.sid), { peer, sealed });
    }
  }

  /**
   * Forget a session that is gone, or all.
   * @param {string} [key]
   */
  release(key) {
    if (key === undefined) this.#held.clear();
    else this.#held.delete(key);
  }

  /**
   * Hand out those who need not wait any longer.
   * @param {number} now
   */
  admitted(now) {
    const admitted = [...this.#held].filter(([, { peer }]) => !this.bars(peer.id, now));
    for (const [key] of admitted) this.#held.delete(key);
    return admitted.map(([, each]) => each);
  }

  /** When the first of those who wait may come in; null if nobody waits. */
  get deadline() {
    const ends = [...this.#held.values()].map(({ peer }) => this.#end(peer.id));
    return ends.length ? Math.min(...ends) : null;
  }

  /** @param {string} userId */
  #end(userId) {
    const statement = this.#statements.get(userId);
    if (statement === undefined || this.#offset === null) return 0;
    return statement.until / 1000 - this.#offset;
  }
}

/** What one link passes on of statements, either way: each once over each connection. */
export class Hearsay {
  /** @type {Set<string>} */
  #passed = new Set();
  /** Each has a signature to be verified, and a peer could make up any number. */
  #claims = new Allowance(CLAIMS, 1 / CLAIM_INTERVAL);

  /** Begin anew, with a new connection: what was said over the former may be lost. */
  again() {
    this.#passed.clear();
  }

  /**
   * Tell whether a statement has not been passed on yet, and note that it is now.
   * @param {string} signature
   */
  isNews(signature) {
    if (this.#passed.has(signature)) return false;
    if (this.#passed.size >= PASSED) this.#passed.clear();
    this.#passed.add(signature);
    return true;
  }

  /**
   * Tell whether what the other side passes on is to be looked into.
   * @param {string} signature
   * @param {number} now
   */
  isWorthIt(signature, now) {
    return this.isNews(signature) && this.#claims.take(1, now);
  }
}

/** @typedef {{ token: number, userId: string, by: number }} Request */

/** Those of our requests to remove somebody that have not been answered. */
export class Requests {
  #count = 0;
  /** By the number that the server knows. @type {Map<number, Request>} */
  #open = new Map();

  /**
   * Return the number of a new one.
   * @param {number} token
   * @param {string} userId
   * @param {number} now
   */
  begin(token, userId, now) {
    this.#count += 1;
    this.#open.set(this.#count, { token, userId, by: now + ANSWER_TIMEOUT });
    return this.#count;
  }

  /**
   * Return the tokens of those that wanted that peer removed, which it is.
   * @param {string} userId
   */
  done(userId) {
    return this.#take((each) => each.userId === userId);
  }

  /**
   * Return the token of the one that was refused, if it is one of ours.
   * @param {number} n
   */
  refused(n) {
    return this.#take((_, number) => number === n);
  }

  /**
   * Return the tokens of those that have waited too long.
   * @param {number} now
   */
  overdue(now) {
    return this.#take(({ by }) => by <= now);
  }

  /** Return the tokens of all: nobody will answer any more. */
  end() {
    return this.#take(() => true);
  }

  /**
   * Wait no longer for one; it may have been heard all the same.
   * @param {number} token
   */
  cancel(token) {
    this.#take((each) => each.token === token);
  }

  /** When the first has waited too long; null if none waits. */
  get deadline() {
    const times = [...this.#open.values()].map(({ by }) => by);
    return times.length ? Math.min(...times) : null;
  }

  /** @param {(request: Request, n: number) => boolean} chosen */
  #take(chosen) {
    const taken = [...this.#open].filter(([n, each]) => chosen(each, n));
    for (const [n] of taken) this.#open.delete(n);
    return taken.map(([, { token }]) => token);
  }
}
