/**
 * The path through the signaling server, for when there is no other: the same machine
 * as `core/relay.py`, which says how it repairs what the server drops.
 * @module
 */

import { datagram } from "./frames.js";
import { ACK_DELAY } from "./streams.js";

/** Seconds without a direct path after which the relay is asked for. */
export const RELAY_AFTER = 1.0;
/** No more than this is on its way. */
export const WINDOW_BYTES = 64 * 1024;
/** Seconds without an answer after which all is sent again, at first. */
export const TIMEOUT = 1.0;
/** And at most. */
export const TIMEOUT_MOST = 8.0;
/** What sealing and addressing add to a datagram. */
export const OVERHEAD_BYTES = 67;
/** So many time-outs in a row mean that the other side is not there. */
export const TRIES = 3;
/** Seconds after which it is asked whether it is still there. */
export const KEEPALIVE = 10.0;

/** Seconds between two pings, which measure its quality. */
export const PING_INTERVAL = 5.0;
/** What a ping or its answer takes. */
const PING_BYTES = 32;
/** Seconds between two answers, at least: each costs us what we may send. */
const PONG_INTERVAL = 1.0;

/** One link's path through the server. */
export class Relay {
  /** The server passes frames on, the other session is listed, keys are agreed. */
  usable = false;
  /** It is we who use it. */
  open = false;
  /** The other side is there. */
  answered = false;
  /** What arrived came over this path, so its acknowledgement goes there too. */
  owes = false;
  #traffic;
  #outbox;
  #inbox;
  #allowance;
  /** @type {number | null} */
  #since = null;
  #resuming = false;
  #answering = false;
  #timeout = TIMEOUT;
  #tries = 0;
  /** @type {number | null} */
  #askAt = null;
  /** As it was when that was set. @type {Map<number, { acked: number, sent: number }>} */
  #flight = new Map();
  /** That is for want of an answer, not of anything to say. */
  #asking = false;
  /**
   * A stream, how far it was sent, and when: how long does its answer take?
   * @type {{ stream: number, sent: number, since: number } | null}
   */
  #probe = null;
  /** How far of each stream an answer may be one to what was sent before. */
  #repeated = /** @type {Map<number, number>} */ (new Map());
  /** There is something to say, and it is not our turn. */
  #blocked = false;
  #answerAt = 0;
  #pingAt = 0;
  #pongAt = 0;
  #pings = 0;

  /**
   * Begin closed.
   * @param {import("./traffic.js").Traffic} traffic what is carried
   * @param {import("./allowance.js").Allowance} allowance how many bytes our session may
   *   send through the server
   */
  constructor(traffic, allowance) {
    this.#traffic = traffic;
    this.#outbox = traffic.outbox;
    this.#inbox = traffic.inbox;
    this.#allowance = allowance;
  }

  /** When to tick at the latest; null when there is nothing to wait for. */
  get deadline() {
    const times = [this.#askAt];
    if (this.#blocked) {
      // Who is not the first is told when it is.
      if (this.#allowance.first === this.#traffic.to) times.push(this.#allowance.due);
    } else if (this.#acknowledging) {
      times.push(this.#inbox.ackDue);
    }
    if (this.#since !== null && !this.open) times.push(this.#since + RELAY_AFTER);
    if (this.open && this.answered) times.push(this.#pingAt);
    const due = times.filter((time) => time !== null);
    return due.length ? Math.min(...due) : null;
  }

  /**
   * Give back the time in which nothing could be answered.
   * @param {number} duration seconds
   */
  slept(duration) {
    if (this.#askAt !== null) this.#askAt += duration;
  }

  /**
   * Open or close.
   * @param {number} now seconds
   * @param {boolean} wanted while there is no direct path
   */
  watch(now, wanted) {
    if (!(this.usable && wanted)) {
      this.#since = null;
      this.#close();
    } else if (this.#since === null) {
      this.#since = now;
    } else if (!this.open && now >= this.#since + RELAY_AFTER) {
      this.#begin();
    }
    if (!this.usable) {
      this.owes = false;
      this.#resuming = false;
      this.#answering = false;
    }
  }

  // --- what arrives -------------------------------------------------------------------

  /**
   * Take the other side's word for what it has; answer.
   * @param {import("./frames.js").Resume} resume
   * @param {number} now
   * @throws {import("../errors.js").InvalidMessage} it cannot have that
   */
  resumed(resume, now) {
    this.#inbox.begun = true;
    if (this.#since !== null && !this.open) this.#begin();
    const answers = this.answered || !this.open;
    this.acknowledged(resume.wants, now);
    if (answers) this.#answer(now);
    else this.#resuming = true;
  }

  /**
   * Owe an answer, however often it is asked for.
   * @param {number} now
   */
  #answer(now) {
    const due = Math.max(now, this.#answerAt);
    this.#inbox.tell(this.#inbox.streams, Math.min(due, this.#inbox.ackDue ?? due));
    this.owes = true;
    this.#answering = true;
  }

  /**
   * Take the other side's word for what it has, and go on from there.
   * @param {import("./frames.js").Wants} wants
   * @param {number} now
   * @throws {import("../errors.js").InvalidMessage} it cannot have that
   */
  acknowledged(wants, now) {
    if (this.open && !this.answered) {
      this.#outbox.resume(wants);
      this.answered = true;
    } else {
      this.#outbox.acknowledge(wants);
    }
    if (!this.open) return;
    this.#tries = 0;
    const { flight } = this.#outbox;
    this.#measure(wants, flight, now);
    // One stream may go on while another has lost something.
    if ([...flight].every(([stream, { acked }]) => acked > (this.#flight.get(stream)?.acked ?? -1))) {
      this.#asking = flight.size > 0;
      this.#wait(now, this.#asking ? this.#timeout : KEEPALIVE);
    }
  }

  /**
   * Learn how long an answer takes.
   * @param {import("./frames.js").Wants} wants
   * @param {Map<number, unknown>} flight
   * @param {number} now
   */
  #measure(wants, flight, now) {
    if (this.#probe === null) return;
    const { stream, sent, since } = this.#probe;
    const want = wants.get(stream);
    if (want !== undefined && want.number >= sent) {
      this.#timeout = Math.min(Math.max(2 * (now - since), TIMEOUT), TIMEOUT_MOST);
      this.#probe = null;
    } else if (!flight.has(stream)) { // It is not wanted any more.
      this.#probe = null;
    }
  }

  // --- what is said -------------------------------------------------------------------

  /**
   * Return whether there is something left for what need not arrive; if so, that is taken.
   * @param {number} size bytes
   * @param {number} now
   */
  spares(size, now) {
    return this.open && this.answered && this.#affords(size, now);
  }

  /**
   * @param {number} size bytes
   * @param {number} now
   */
  #affords(size, now) {
    if (this.#allowance.first !== null) return false;
    return this.#allowance.take(size + OVERHEAD_BYTES, now);
  }

  /**
   * Return the number of a ping if it is time for one and there is room for it.
   * @param {number} now seconds
   */
  ping(now) {
    if (!this.open || !this.answered || now < this.#pingAt) return null;
    this.#pingAt = now + PING_INTERVAL;
    if (!this.#affords(PING_BYTES, now)) return null;
    this.#pings += 1;
    return this.#pings;
  }

  /**
   * Return whether to answer a ping; if so, what that costs is taken.
   * @param {number} now seconds
   */
  pongs(now) {
    if (now < this.#pongAt || !this.#affords(PING_BYTES, now)) return false;
    this.#pongAt = now + PONG_INTERVAL;
    return true;
  }

  /** Say anew what we want to hear. */
  resumeAgain() {
    this.#resuming = this.open;
  }

  /**
   * Return the datagrams that may leave now.
   * @param {number} now seconds
   */
  take(now) {
    const taken = [];
    this.#blocked = false;
    if (this.open && this.#askAt !== null && now >= this.#askAt) this.#askAgain();
    while (this.#resuming || this.#acknowledges(now) || this.#sends) {
      if (!this.#allowance.turn(this.#traffic.to, now)) {
        this.#blocked = true;
        return taken;
      }
      const next = this.#next(now);
      this.#allowance.spend(next.length + OVERHEAD_BYTES, now);
      taken.push(next);
    }
    this.#allowance.withdraw(this.#traffic.to);
    return taken;
  }

  get #sends() {
    return this.open && this.answered && this.#outbox.fits(WINDOW_BYTES);
  }

  /** Whether acknowledgements, and grants, go this way. */
  get #acknowledging() {
    return this.owes || this.open;
  }

  /** @param {number} now */
  #acknowledges(now) {
    const { ackDue } = this.#inbox;
    return this.#acknowledging && ackDue !== null && now >= ackDue;
  }

  /** @param {number} now */
  #next(now) {
    if (this.#resuming) {
      this.#resuming = false;
      if (this.#askAt === null) this.#wait(now, this.#timeout);
      return datagram(...this.#traffic.resumption());
    }
    if (this.#acknowledges(now)) {
      // It is due, so there is one.
      const ack = /** @type {import("./frames.js").Ack} */ (this.#inbox.acknowledge());
      this.#inbox.tryAgain(now);
      // It may be lost; and who hears us over a direct path asks for nothing again.
      if (!this.open) this.#inbox.tell(ack.wants.keys(), now);
      const said = this.#answering ? [ack, this.#traffic.listening()] : [ack];
      if (this.#answering) this.#answerAt = now + ACK_DELAY;
      this.owes = false;
      this.#answering = false;
      return datagram(...said);
    }
    const { next, first } = this.#outbox.takeOne();
    if (this.#probe === null && first !== null) {
      const { stream, sent } = first;
      if (sent > (this.#repeated.get(stream) ?? 0)) this.#probe = { stream, sent, since: now };
    }
    if (!this.#asking && this.#outbox.flight.size > 0) {
      this.#asking = true;
      this.#wait(now, this.#timeout);
    }
    return next;
  }

  /**
   * Wait for progress of all that is on its way.
   * @param {number} now
   * @param {number} duration
   */
  #wait(now, duration) {
    this.#askAt = now + duration;
    this.#flight = this.#outbox.flight;
  }

  #askAgain() {
    if (this.#asking) {
      this.#tries += 1;
      this.#timeout = Math.min(2 * this.#timeout, TIMEOUT_MOST);
    }
    if (this.#tries >= TRIES) {
      this.answered = false;
      this.#outbox.pause();
    }
    this.#repeat();
    this.#outbox.rewind();
    this.#resuming = true;
    this.#asking = true;
    this.#askAt = null; // until that has been said
  }

  /** Measure nothing by what is sent again (Karn's algorithm). */
  #repeat() {
    this.#probe = null;
    for (const [stream, { sent }] of this.#outbox.flight) {
      this.#repeated.set(stream, Math.max(sent, this.#repeated.get(stream) ?? 0));
    }
  }

  #begin() {
    this.#repeat();
    this.#outbox.pause();
    this.open = true;
    this.#resuming = true;
    this.#asking = true;
    this.#tries = 0;
    this.#timeout = TIMEOUT;
    this.#askAt = null;
  }

  #close() {
    if (!this.open) return;
    this.open = false;
    this.answered = false;
    this.#resuming = false;
    this.#askAt = null;
    this.#probe = null;
  }
}
