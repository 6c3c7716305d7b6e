/**
 * How good is a link? The same machine as `core/quality.py`, which says what is measured,
 * and where the bounds of the grades come from.
 *
 * Whatever is wrong with a link costs time: all figures become the seconds that a small
 * message is to be expected to take, those a score, and that a grade with hysteresis.
 * @module
 */

/** Points beyond its bound at which a grade changes. */
export const MARGIN = 4;
/** Seconds that a link has to be better before it is said to be. */
export const HOLD = 10.0;
/** Seconds that waiting in our own queue counts at most. */
export const QUEUE_LIMIT = 0.2;
/** Seconds until the engine is asked again. */
export const STATS_INTERVAL = 10.0;
/** The same the first time, when ICE may have found a better pair, and until it tells one. */
const FIRST_INTERVAL = 2.0;
const RTO_MIN = 1.0;
const RTO_MAX = 60.0;
/** Pings of which it is remembered that they are unanswered. */
const PINGS = 16;
/** Reports over which ICE's checks are counted: about a minute. */
const CHECKS = 7;
/** So many checks must have been sent to tell of loss. */
const FEWEST_CHECKS = 8;

/** From bad to excellent: 20 points each. */
const GRADES = /** @type {const} */ (["bad", "poor", "fair", "good", "excellent"]);
/** Seconds that a message takes, and points. @type {readonly [number, number][]} */
const SCALE = [[0.0, 100], [0.05, 80], [0.15, 60], [0.275, 40], [0.4, 20], [1.0, 0]];

/** @typedef {import("../events.js").Grade} Grade */
/** @typedef {import("../events.js").PathKind} PathKind */
/** @typedef {import("../events.js").Quality} Quality */
/** @typedef {import("../engine.js").Stats} Stats */
/**
 * What a link has carried so far, in bytes.
 * @typedef {object} Counts
 * @property {number} acknowledged how much the other side has said to have
 * @property {number} received how much came
 * @property {number} waiting how much waits here, not yet with the engine
 */

// --- from figures to a word -----------------------------------------------------

/**
 * Return how many seconds a small message is to be expected to take.
 * @param {number} rtt
 * @param {number} jitter
 * @param {number} loss
 * @param {number} rto
 * @param {number} queueCost
 */
export function expectedDelay(rtt, jitter, loss, rto, queueCost) {
  return rtt / 2 + 2 * jitter + loss * rto + queueCost;
}

/**
 * Return the points, 100 to 0, for messages that take `delay` seconds.
 * @param {number} delay
 */
export function scoreOf(delay) {
  for (const [index, [end, worst]] of SCALE.entries()) {
    if (index === 0 || delay >= end) continue;
    const [start, best] = /** @type {[number, number]} */ (SCALE[index - 1]);
    return Math.floor(best - (best - worst) * (delay - start) / (end - start) + 0.5);
  }
  return 0;
}

/** @param {number} score */
const place = (score) => Math.min(Math.floor(Math.max(score, 0) / 20), 4);

/**
 * Return the word for a score, without hysteresis.
 * @param {number} score
 */
export const gradeOf = (score) => /** @type {Grade} */ (GRADES[place(score)]);

/** Turns scores into grades that do not flap. */
class Judge {
  /** @type {Grade | null} */
  grade = null;
  /** @type {number | null} */
  #betterSince = null;

  /**
   * Take a score; return the grade from now on.
   * @param {number} score
   * @param {number} now
   * @returns {Grade}
   */
  take(score, now) {
    if (this.grade === null) {
      this.grade = gradeOf(score);
      return this.grade;
    }
    const current = GRADES.indexOf(this.grade);
    if (place(score - MARGIN) <= current) {
      this.#betterSince = null;
      if (place(score + MARGIN) < current) this.grade = gradeOf(score + MARGIN);
    } else if (this.#betterSince === null) {
      this.#betterSince = now;
    } else if (now - this.#betterSince >= HOLD) {
      this.#betterSince = null;
      this.grade = gradeOf(score - MARGIN);
    }
    return this.grade;
  }
}

// --- what is measured -----------------------------------------------------------

/** What pings tell: round trip, its variation, and how many are lost. */
export class RoundTrips {
  /** Seconds, smoothed; null before the first answer. @type {number | null} */
  rtt = null;
  jitter = 0;
  /** From 0 to 1. */
  loss = 0;
  /** Seconds within which the next ping has to be answered. */
  rto = RTO_MIN;
  #variance = 0;
  #last = 0;
  /** By number, when each ping was sent. @type {Map<number, number>} */
  #pending = new Map();
  /** By number, until when each has to be answered, if it is not lost yet. */
  /** @type {Map<number, number>} */
  #overdue = new Map();

  /**
   * Take note of a ping.
   * @param {number} n
   * @param {number} now
   */
  sent(n, now) {
    this.#pending.set(n, now);
    this.#overdue.set(n, now + this.rto);
    if (this.#pending.size > PINGS) {
      const [number = 0] = this.#pending.keys();
      this.#pending.delete(number);
      this.#overdue.delete(number);
    }
  }

  /**
   * Give up what is overdue; tell whether anything was.
   * @param {number} now
   */
  settle(now) {
    let late = false;
    for (const [n, due] of this.#overdue) {
      if (now < due) continue;
      late = true;
      this.#overdue.delete(n);
      this.loss += (1 - this.loss) / 32;
      this.rto = Math.min(2 * this.rto, RTO_MAX);
    }
    return late;
  }

  /**
   * Take note of an answer, after `settle`; tell whether it is a sample.
   * @param {number} n
   * @param {number} now
   */
  answered(n, now) {
    const at = this.#pending.get(n);
    this.#pending.delete(n);
    // Nobody asked, or it came too late.
    if (at === undefined || !this.#overdue.delete(n)) return false;
    this.loss -= this.loss / 32;
    this.#sample(now - at);
    return true;
  }

  /** Expect no answer to what was sent: nobody was here to hear it. */
  forget() {
    this.#pending.clear();
    this.#overdue.clear();
  }

  /** @param {number} rtt */
  #sample(rtt) {
    if (this.rtt === null) {
      this.rtt = rtt;
      this.#variance = rtt / 2;
    } else {
      this.#variance += (Math.abs(this.rtt - rtt) - this.#variance) / 4;
      this.rtt += (rtt - this.rtt) / 8;
      this.jitter += (Math.abs(rtt - this.#last) - this.jitter) / 16;
    }
    this.#last = rtt;
    this.rto = Math.min(Math.max(this.rtt + 4 * this.#variance, RTO_MIN), RTO_MAX);
  }
}

/** What the counts tell: how much a second, and how long the queue is. */
class Rates {
  outgoing = 0;
  incoming = 0;
  queueDelay = 0;
  /** The same within `QUEUE_LIMIT`, smoothed. */
  queueCost = 0;
  /** @type {number | null} */
  #drain = null;
  #at;
  #counts;
  /** @type {number | null} */
  #waitingSince = null;

  /**
   * @param {number} now
   * @param {Counts} counts
   */
  constructor(now, counts) {
    this.#at = now;
    this.#counts = counts;
  }

  /**
   * Take the figures of now.
   * @param {Counts} counts
   * @param {number} now
   */
  take(counts, now) {
    const before = this.#counts;
    const passed = now - this.#at;
    if (passed > 0) {
      const sent = (counts.acknowledged - before.acknowledged) / passed;
      const came = (counts.received - before.received) / passed;
      this.outgoing += (sent - this.outgoing) / 4;
      this.incoming += (came - this.incoming) / 4;
      if (before.waiting > 0 && counts.waiting > 0) { // it could not have been more
        this.#drain = this.#drain === null ? sent : this.#drain + (sent - this.#drain) / 4;
      }
    }
    this.restart(counts, now);
    this.queueDelay = this.#delay(now);
    this.queueCost += (Math.min(this.queueDelay, QUEUE_LIMIT) - this.queueCost) / 4;
  }

  /**
   * Count from now on, keeping what is known.
   * @param {Counts} counts
   * @param {number} now
   */
  restart(counts, now) {
    this.#counts = counts;
    this.#at = now;
    if (counts.waiting === 0) this.#waitingSince = null;
    else this.#waitingSince ??= now;
  }

  /** @param {number} now */
  #delay(now) {
    if (this.#waitingSince === null) return 0;
    return this.#drain ? this.#counts.waiting / this.#drain : now - this.#waitingSince;
  }
}

/** What ICE's own checks tell: how many are lost. */
class Checks {
  /** @type {[number, number][]} */
  #reports = [];

  /**
   * Take the counts of the current pair.
   * @param {Stats} stats
   */
  take({ checksSent, checksAnswered }) {
    if (checksSent === null || checksAnswered === null) return;
    const last = this.#reports.at(-1);
    if (last !== undefined && checksSent < last[0]) this.forget(); // another pair
    this.#reports.push([checksSent, checksAnswered]);
    if (this.#reports.length > CHECKS) this.#reports.shift();
  }

  /** Begin anew. */
  forget() {
    this.#reports = [];
  }

  /** The part that was lost, from 0 to 1; one may still be under way. */
  get loss() {
    const [first] = this.#reports;
    const last = this.#reports.at(-1);
    if (first === undefined || last === undefined) return 0;
    const asked = last[0] - first[0];
    if (asked < FEWEST_CHECKS) return 0;
    return Math.min(Math.max(asked - (last[1] - first[1]) - 1, 0) / asked, 1);
  }
}

// --- a link's meter ---------------------------------------------------------------

/** Measures one link. */
export class Meter {
  /** How good it is; null while nothing carries messages, or nothing is known. */
  /** @type {Quality | null} */
  quality = null;
  #running = false;
  /** @type {Quality | null} */
  #told = null;
  #trips = new RoundTrips();
  #rates = new Rates(0, { acknowledged: 0, received: 0, waiting: 0 });
  #checks = new Checks();
  #judge = new Judge();
  /** @type {PathKind | null} */
  #path = null;
  /** @type {number | null} */
  #engineRtt = null;
  #askedAt = 0;
  #asked = false;
  #slept = false;

  /**
   * Begin anew, with a connection that has just opened; the engine is to be asked.
   * @param {number} now
   * @param {Counts} counts
   */
  start(now, counts) {
    this.#running = true;
    this.quality = null;
    this.#told = null;
    this.#trips = new RoundTrips();
    this.#rates = new Rates(now, counts);
    this.#checks = new Checks();
    this.#judge = new Judge();
    this.#path = null;
    this.#engineRtt = null;
    this.#askedAt = now;
    this.#asked = false;
    this.#slept = false;
  }

  /** Measure no more: there is no connection. */
  stop() {
    this.#running = false;
    this.quality = null;
    this.#told = null;
  }

  /** Judge nobody by the time that we did not listen. */
  slept() {
    this.#trips.forget();
    this.#slept = true;
  }

  /**
   * Take note of a ping, and of the counts; tell whether to ask the engine.
   * @param {number} n
   * @param {Counts} counts
   * @param {number} now
   */
  pinged(n, counts, now) {
    if (!this.#running) return false;
    this.#trips.settle(now);
    if (this.#slept) this.#rates.restart(counts, now);
    else this.#rates.take(counts, now);
    this.#slept = false;
    this.#trips.sent(n, now);
    this.#assess(now);
    const known = this.#asked && this.#path !== null;
    if (now - this.#askedAt < (known ? STATS_INTERVAL : FIRST_INTERVAL)) return false;
    this.#askedAt = now;
    this.#asked = true;
    return true;
  }

  /**
   * Take note of an answer.
   * @param {number} n
   * @param {number} now
   */
  answered(n, now) {
    if (!this.#running) return;
    const late = this.#trips.settle(now);
    if (this.#trips.answered(n, now) || late) this.#assess(now);
  }

  /**
   * Take what the engine knows.
   * @param {Stats} stats
   * @param {number} now
   */
  reported(stats, now) {
    if (!this.#running) return;
    if (stats.localType !== null) {
      const { localType: local, remoteType: remote, protocol, ipVersion } = stats;
      const path = Object.freeze({ local, remote, protocol, ipVersion });
      if (!isAlike(path, this.#path) || ipVersion !== this.#path?.ipVersion) {
        this.#path = path;
        this.#checks.forget();
      }
    }
    if (stats.rtt !== null) this.#engineRtt = stats.rtt;
    this.#checks.take(stats);
    this.#assess(now);
  }

  /** Return the quality if its grade or kind of path is another than when this last did. */
  news() {
    const now = this.quality;
    const told = this.#told;
    if (now === null) return null;
    if (told !== null && now.grade === told.grade && isAlike(now.path, told.path)) return null;
    this.#told = now;
    return now;
  }

  /** @param {number} now */
  #assess(now) {
    const trips = this.#trips;
    const rtt = trips.rtt ?? this.#engineRtt;
    if (rtt === null) return;
    const loss = Math.max(trips.loss, this.#checks.loss);
    const { outgoing, incoming, queueDelay, queueCost } = this.#rates;
    const score = scoreOf(expectedDelay(rtt, trips.jitter, loss, trips.rto, queueCost));
    this.quality = Object.freeze({
      grade: this.#judge.take(score, now),
      score,
      rtt,
      jitter: trips.jitter,
      loss,
      queueDelay,
      outgoingRateBytes: outgoing,
      incomingRateBytes: incoming,
      path: this.#path,
    });
  }
}

/**
 * Tell whether two ways differ by the version of IP at most, which ICE changes at will.
 * @param {PathKind | null} a
 * @param {PathKind | null} b
 */
function isAlike(a, b) {
  return a === b || (a !== null && b !== null && a.local === b.local && a.remote === b.remote
    && a.protocol === b.protocol);
}
