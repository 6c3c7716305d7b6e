/**
 * What goes to one session: its places in the logs, and its engine's window.
 * See `core/sending.py`.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { logOf, ROOM, Rule, ruleOf } from "./channels.js";
import { Writer } from "./frames.js";
import { CompactedLog, LatestOutgoing } from "./latest.js";
import { Outgoing } from "./streams.js";
import { SendWindow } from "./window.js";

/** Fragments share a datagram up to this size; a larger one has its own. */
export const BATCH_BYTES = 16 * 1024;
/** What an empty datagram counts, so that a million of them are not free. */
const OVERHEAD_BYTES = 64;
/** The data channels: see `core/engine.py`. */
const CONTROL = 0;
const BULK = 1;

/** @typedef {import("./channels.js").Channel} Channel */
/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./frames.js").Listen} Listen */
/** @typedef {import("./frames.js").Wants} Wants */

/**
 * Return a place in a log.
 * @param {number} stream
 * @param {import("./streams.js").Log | CompactedLog} log
 * @param {boolean} ordered
 */
function placeIn(stream, log, ordered) {
  if (log instanceof CompactedLog) return new LatestOutgoing(stream, log);
  return new Outgoing(stream, log, ordered);
}

/** One of our channels, as far as the other session is concerned. */
export class Lane {
  channel;
  /** Where messages to this session alone are put. */
  log;
  /** Its place in the channel's log. */
  everybody;
  /** Its place in `log`. */
  alone;
  /** Its two places. @type {(Outgoing | LatestOutgoing)[]} */
  both;
  /** Whether the other session has been told what it must know first, for all we know. */
  named = false;
  /** What the lane has had so far, over its priority. */
  passed = 0;

  /**
   * Owe nothing yet.
   * @param {Channel} channel
   * @param {() => number} order as in `Log`
   */
  constructor(channel, order) {
    this.channel = channel;
    this.log = logOf(channel.delivery, order);
    const ordered = ruleOf(channel) !== Rule.UNORDERED;
    this.everybody = placeIn(2 * channel.number, channel.log, ordered);
    this.alone = placeIn(2 * channel.number + 1, this.log, ordered);
    this.both = [this.everybody, this.alone];
  }

  /** Whether the other session is owed what is sent on this channel. */
  get owed() {
    return this.everybody.owed;
  }

  /** Whether the other session was cut loose, and has taken in nothing since. */
  get adrift() {
    return this.everybody.skip !== null;
  }

  /** The stream of which the next fragment is sent; null if none can be. */
  get next() {
    const { everybody, alone } = this;
    if (!alone.sendable) return everybody.sendable ? everybody : null;
    return !everybody.sendable || alone.order < everybody.order ? alone : everybody;
  }

  /** Whether the other session must know something even if nothing follows it. */
  get mustIntroduce() {
    return !this.named && (this.moved || (this.lossy && this.owed));
  }

  /** Whether what is sent on it need not arrive, and so is in no log. */
  get lossy() {
    return this.channel.limits !== null;
  }

  /** How many messages are not known to have arrived. */
  get unacknowledged() {
    return this.everybody.unacknowledged + this.alone.unacknowledged;
  }

  /** How many of them are lost if the other session is gone. */
  get undelivered() {
    return this.everybody.undelivered + this.alone.undelivered;
  }

  /**
   * Return whether all before those numbers has arrived, or is not owed.
   * @param {number} everybody
   * @param {number} alone
   */
  reached(everybody, alone) {
    return this.everybody.reached(everybody) && this.alone.reached(alone);
  }

  /**
   * Owe what is appended from now on, or no more; return what is not owed any longer.
   * That counts the messages to this session alone: those are told of.
   * @param {boolean} wanted
   */
  owe(wanted) {
    const lost = wanted ? 0 : this.alone.undelivered;
    for (const each of this.both) {
      if (wanted) each.attach();
      else each.detach();
    }
    return lost;
  }

  /** Owe current values again to who has perhaps not listened for a while. */
  renew() {
    for (const each of this.both) {
      if (each instanceof LatestOutgoing) {
        each.detach();
        this.named = false;
      }
    }
  }

  /** Whether the other session does not get all that it expects. */
  get moved() {
    return this.both.some(({ moved }) => moved);
  }

  /**
   * Return what is said before the first fragment, in one datagram with it. What was
   * missed comes behind the name: what lies before a beginning is not lost.
   * @returns {Frame[]}
   */
  introduction() {
    this.named = true;
    /** @type {Frame[]} */
    const skips = [];
    for (const { stream, missed, skip } of this.both) {
      if (missed !== null) skips.push({ type: "skip", stream, to: missed });
      if (skip !== null) skips.push({ type: "skip", stream, to: skip });
    }
    for (const each of this.both) each.namedAt = each.sent;
    const { number: channel, name } = this.channel;
    const [everybody, alone] = [this.everybody.begin, this.alone.begin];
    const rule = ruleOf(this.channel);
    return [{ type: "name", channel, rule, name, everybody, alone }, ...skips];
  }
}

/** The sending half of a link. */
export class Outbox {
  /** Whether what the other side has is known, so that sending may go on from there. */
  ready = true; // It has nothing, as nothing was ever sent.
  /** How much the engine may hold. */
  window = new SendWindow();
  /** Whether the engine's channel for what comes in any order is open. */
  bulk = false;
  #channels;
  /** @type {Set<string> | null} */
  #listening = null;
  #revision = 0;
  /** A path that may lose was used, too. */
  #strayed = false;
  /** @type {Lane[]} */
  #lanes = [];
  #turn = 0;

  /**
   * Owe what is appended from now on.
   * @param {import("./channels.js").Channels} channels
   */
  constructor(channels) {
    this.#channels = channels;
    for (const channel of channels) this.open(channel);
  }

  // --- channels ---------------------------------------------------------------------

  /**
   * Have a lane for a new channel of ours.
   * @param {Channel} channel
   */
  open(channel) {
    const lane = new Lane(channel, this.#channels.order);
    this.#lanes.push(lane);
    lane.owe(this.listens(channel) !== false);
  }

  /**
   * Return the lane of a channel.
   * @param {Channel} channel
   */
  lane({ number }) {
    return /** @type {Lane} */ (this.#lanes[number]);
  }

  /**
   * Return whether the other side wants to hear of a channel; null if that is not known.
   * @param {Channel} channel
   */
  listens({ name }) {
    if (name === ROOM) return true;
    return this.#listening === null ? null : this.#listening.has(name);
  }

  /**
   * Take the other side's word for what it wants to hear, unless it is out of date; return
   * the channels on which messages to it alone waited in vain, and how many.
   * @param {Listen} listen
   */
  listening({ names, revision }) {
    /** @type {{ channel: string, count: number }[]} */
    const lost = [];
    if (revision < this.#revision) return lost;
    const missed = this.#listening !== null && revision > this.#revision + 1;
    this.#revision = revision;
    this.#listening = new Set(names);
    // A change between the two: it may have thrown values away.
    if (missed) for (const lane of this.#lanes) lane.renew();
    for (const lane of this.#lanes) {
      const count = lane.owe(this.listens(lane.channel) === true);
      if (count > 0) lost.push({ channel: lane.channel.name, count });
      lane.named &&= lane.owed;
    }
    return lost;
  }

  get #outgoing() {
    return this.#lanes.flatMap(({ both }) => both);
  }

  /** Whether there is something to send. */
  get waiting() {
    return this.#outgoing.some(({ waiting }) => waiting);
  }

  /** Whether something is on its way that what follows may overtake. */
  get scattered() {
    return this.#lanes.some(({ channel, unacknowledged }) => (
      ruleOf(channel) === Rule.UNORDERED && unacknowledged > 0));
  }

  /** How much is queued and not yet with the engine. */
  get waitingBytes() {
    return this.#outgoing.reduce((sum, { waitingBytes }) => sum + waitingBytes, 0);
  }

  /** How much is not known to have arrived, sent or not. */
  get unacknowledgedBytes() {
    return this.#outgoing.reduce((sum, each) => sum + each.unacknowledgedBytes, 0);
  }

  /** How far each stream is acknowledged and sent of which these differ, or skipped. */
  get flight() {
    /** @type {Map<number, { acked: number, sent: number }>} */
    const flight = new Map();
    for (const { stream, sent, acked, moved } of this.#outgoing) {
      if (sent > acked || moved) flight.set(stream, { acked, sent });
    }
    return flight;
  }

  /** How much the other side has said to have. */
  get acknowledgedBytes() {
    return this.#outgoing.reduce((sum, { ackedBytes }) => sum + ackedBytes, 0);
  }

  /** How many messages are not known to have arrived, by channel; none is left out. */
  get unacknowledged() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const { channel, unacknowledged } of this.#lanes) {
      if (unacknowledged > 0) counts.set(channel.name, unacknowledged);
    }
    return counts;
  }

  /**
   * How many of them are lost if the other side is gone, by channel; none is left out. Of
   * transfers that are under way, those to everybody: who sends the others is told.
   */
  get undelivered() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const { channel, undelivered, everybody } of this.#lanes) {
      const count = undelivered + everybody.unfinished;
      if (count > 0) counts.set(channel.name, count);
    }
    return counts;
  }

  // --- connections ------------------------------------------------------------------

  /** Begin with a new connection. */
  begin() {
    this.window = new SendWindow();
    for (const lane of this.#lanes) {
      lane.named = false;
      for (const { sent, begin, moved } of lane.both) {
        if (sent > begin.number || moved) this.ready = false;
      }
    }
  }

  /** Begin with a path that may lose: send nothing before it is known what is there. */
  pause() {
    this.ready = false;
    this.#strayed = true;
  }

  /**
   * Go on from what the other side expects.
   * @param {Wants} wants
   * @throws {InvalidMessage} it cannot expect that
   */
  resume(wants) {
    if (!this.ready) {
      for (const each of this.#outgoing) each.resume(wants.get(each.stream), this.#strayed);
    }
    this.ready = true;
  }

  /** Say again whatever is not known to have arrived. */
  rewind() {
    for (const lane of this.#lanes) {
      lane.named = false;
      for (const each of lane.both) each.rewind();
    }
  }

  /**
   * Go on over a connection that was given up for its silence, and is heard again. What
   * went another way meanwhile may be lost; over this one nothing may be missing.
   */
  revive() {
    if (!this.#strayed) return;
    this.rewind();
    this.ready = true;
  }

  /**
   * Take the other side's word for what it has, and how much it takes.
   * @param {Wants} wants
   * @throws {InvalidMessage} it cannot have that
   */
  acknowledge(wants) {
    for (const [stream, want] of wants) {
      const lane = this.#lanes[stream >> 1];
      if (lane === undefined) throw new InvalidMessage(`stream ${stream} was never begun`);
      (stream & 1 ? lane.alone : lane.everybody).acknowledge(want);
    }
  }

  /**
   * Owe nothing that was sent to everybody on a channel; return how many messages.
   * @param {Channel} channel
   */
  cutLoose(channel) {
    const lane = this.lane(channel);
    lane.named = false;
    return /** @type {Outgoing} */ (lane.everybody).cutLoose(); // for values nobody waits
  }

  // --- what is sent -------------------------------------------------------------------

  /**
   * Return the datagrams that fit the engine's window now, each with its data channel.
   * @param {number} now
   */
  take(now) {
    const taken = [];
    const { window } = this;
    while (this.ready && !window.full) {
      const { writer, way: channel } = this.#datagram();
      if (writer.size === 0) break;
      window.heldBytes += writer.size + OVERHEAD_BYTES;
      taken.push({ channel, frame: writer.finish() });
    }
    if (taken.length > 0 && this.mustMeasure) window.filled(now);
    return taken;
  }

  /**
   * Return whether there is a next datagram while so much may be on its way.
   * @param {number} windowBytes
   */
  fits(windowBytes) {
    const lane = this.ready ? this.#next : null;
    if (lane === null) return false;
    const flight = this.unacknowledgedBytes - this.waitingBytes;
    return flight === 0 || flight + (lane.next?.nextSize ?? 0) <= windowBytes;
  }

  /**
   * Return the next datagram, and how far that takes one stream; there must be one.
   * @returns {{ next: Uint8Array, first: { stream: number, sent: number } | null }}
   */
  takeOne() {
    const first = this.#next?.next ?? null;
    return { next: this.#datagram().writer.finish(), first };
  }

  /** Write the next datagram, and choose its way; there may be nothing in it. */
  #datagram() {
    const writer = new Writer();
    let way = CONTROL;
    for (let lane = this.#next; lane !== null; lane = this.#next) {
      const wanted = this.#way(lane);
      if (writer.size > 0 && wanted !== way) break;
      way = wanted;
      if (!this.#serve(lane, writer) || writer.size >= BATCH_BYTES) break;
    }
    return { writer, way };
  }

  /**
   * Return the data channel for what a lane has to send: no name may be overtaken.
   * @param {Lane} lane
   */
  #way({ named, next }) {
    return this.bulk && named && next?.free ? BULK : CONTROL;
  }

  /**
   * Add what a lane may send to a datagram; return whether that is anything.
   * @param {Lane} lane
   * @param {Writer} writer
   */
  #serve(lane, writer) {
    const before = writer.size;
    const first = lane.next;
    if (first !== null && before > 0 && first.nextSize > BATCH_BYTES - before) return false;
    if (!lane.named) for (const frame of lane.introduction()) writer.put(frame);
    const second = first === lane.everybody ? lane.alone : lane.everybody;
    first?.take(writer, BATCH_BYTES - writer.size, second.sendable ? second.order : Infinity);
    lane.passed += (writer.size - before) / lane.channel.priority;
    return true;
  }

  /** The lane whose turn it is; null if none has anything to say. */
  get #next() {
    /** @type {Lane | null} */
    let found = null;
    for (const lane of this.#known) {
      if (lane.next === null && !lane.mustIntroduce) continue;
      // Who had nothing to send has no claim on what it did not use.
      lane.passed = Math.max(lane.passed, this.#turn);
      if (found === null || lane.passed < found.passed) found = lane;
    }
    if (found !== null) this.#turn = found.passed;
    return found;
  }

  /** The lanes of which it is known whether the other side wants to hear. */
  get #known() {
    return this.#listening !== null ? this.#lanes : this.#lanes.slice(0, 1);
  }

  /** Whether fragments wait although the engine may have sent what it held. */
  get mustMeasure() {
    // Whose turn it is stays open: who comes meanwhile may be first.
    return this.window.full
      && this.#known.some(({ next, mustIntroduce }) => next !== null || mustIntroduce);
  }

  // --- the end --------------------------------------------------------------------------

  /** Forget everything; the peer is gone. */
  close() {
    for (const each of this.#outgoing) each.close();
  }

  /**
   * Begin again with the same session, which may not have noticed that it was gone.
   * What was not sent to it meanwhile it has lost; it is told so if it had been here.
   */
  again() {
    this.#listening = null;
    this.#revision = 0;
    for (const channel of [...this.#channels].slice(this.#lanes.length)) {
      this.#lanes.push(new Lane(channel, this.#channels.order));
    }
    for (const { lossy, both } of this.#lanes) {
      for (const each of both) {
        if (lossy) each.attach(); // nothing is numbered there, so nothing was missed
        else each.again();
      }
    }
  }
}
