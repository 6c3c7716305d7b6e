/**
 * All that connects me to one remote session: the same machine as `core/link.py`,
 * which says when a connection is given up and what follows.
 * @module
 */

import { InvalidMessage, UnknownType } from "../errors.js";
import { Allowance } from "./allowance.js";
import { CANDIDATE_LIMIT, CandidateBudget } from "./candidates.js";
import { datagram, FRAGMENT_BYTES, LEAST_FRAGMENT_BYTES, parse } from "./frames.js";
import { Hearsay } from "./expulsion.js";
import { Heartbeat } from "./heartbeat.js";
import { Negotiator } from "./negotiation.js";
import { Meter } from "./quality.js";
import { Backlog } from "./realtime.js";
import { Relay } from "./relay.js";
import { Retry } from "./retry.js";
import { Sequencer } from "./sequencing.js";
import { Trickle } from "./trickle.js";
import { decodeBody, ENVELOPES } from "./wire.js";

/**
 * What is done for a connection that has fallen silent.
 * @typedef {"nothing" | "restart-due" | "restarted"} Mending
 */

/** Seconds that a closing connection has to get the goodbye out. */
export const DRAIN = 2.0;
/** Seconds from the answer to a restart of ICE until something must be heard, at least. */
export const RESTART_PATIENCE = 2.0;
/** Seconds that a leaver waits for who is not heard of, whatever its patience. */
export const UNHEARD = 4.0;
/** New connections that the other side may ask for at once. */
export const WISHES = 16;
/** Seconds after which it may ask for one more. */
export const WISH_INTERVAL = 2.0;

/** The data channels: see `core/engine.py`. */
const CONTROL = 0;
const BULK = 1;
const REALTIME = 2;

/** @typedef {import("../engine.js").EngineEvent} EngineEvent */
/** @typedef {import("../engine.js").Operation} Operation */
/** @typedef {import("../events.js").LinkState} LinkState */
/** @typedef {import("../events.js").Path} Path */
/** @typedef {import("./wire.js").SignalBody} SignalBody */
/**
 * What a link needs to know beside its two ends.
 * @typedef {object} LinkSettings
 * @property {boolean} rollback what the engine can do
 * @property {boolean} iceRestart
 * @property {boolean} [hasty] offer first even as the higher, for tests
 * @property {number | undefined} [heartbeatInterval] seconds between two pings
 * @property {number | undefined} [disconnectTimeout] seconds that a ping may stay unanswered before the
 *   connection is given up
 * @property {number | undefined} [failedTimeout] seconds that one may take to open, or to settle anew
 */
/**
 * @typedef {{ type: "online", relay: boolean }
 *   | { type: "offline" }
 *   | { type: "signal-arrived", seq: number, ack: number, body: SignalBody | null }
 *   | { type: "relayed", data: Uint8Array }
 *   | { type: "from-engine", number: number, event: EngineEvent }
 *   | { type: "measured", number: number, heldBytes: number, channel: number }
 *   | { type: "stats-arrived", number: number, stats: import("../engine.js").Stats }
 *   | { type: "begin", force: boolean }
 *   | { type: "enqueue", channel: string, kind: number, payload: Uint8Array }
 *   | { type: "hasten", messages: import("./realtime.js").Passing[] }
 *   | { type: "appended" }
 *   | { type: "cut-loose", channel: string }
 *   | { type: "opened", channel: string }
 *   | { type: "listening" }
 *   | { type: "read", stream: number, size: number }
 *   | { type: "change", iceRestart: boolean }
 *   | { type: "garbled", reason: string }
 *   | { type: "renew" }
 *   | { type: "network-changed" }
 *   | { type: "depart" }
 *   | { type: "abandon", drain: number }
 *   | { type: "tell", body: string, signature: string }
 *   | { type: "tick" }
 *   | { type: "slept", duration: number }} LinkEvent
 */
/**
 * @typedef {{ type: "open-connection", to: string, number: number }
 *   | { type: "close-connection", to: string, number: number, drain: number }
 *   | { type: "perform", to: string, number: number, operation: Operation }
 *   | { type: "send-frame", to: string, number: number, channel: number, frame: Uint8Array }
 *   | { type: "send-relayed", to: string, datagram: Uint8Array }
 *   | { type: "mark-low", to: string, number: number, sizeBytes: number }
 *   | { type: "measure-buffer", to: string, number: number, channel: number }
 *   | { type: "ask-stats", to: string, number: number }
 *   | { type: "transmit-signal", to: string, envelope: string, seq: number, ack: number,
 *       body: string }
 *   | import("./receiving.js").ContentArrived
 *   | import("./receiving.js").PieceArrived
 *   | { type: "transfers-broken", sender: string, stream: number }
 *   | { type: "messages-lost", sender: string, channel: string, count: number }
 *   | { type: "lagged", to: string, channel: string, count: number }
 *   | { type: "dropped", to: string, channel: string, count: number }
 *   | { type: "moved", to: string, state: LinkState }
 *   | { type: "rerouted", to: string, path: Path | null }
 *   | { type: "graded", to: string, quality: import("../events.js").Quality }
 *   | { type: "said-goodbye", sender: string }
 *   | { type: "alleged", sender: string, body: string, signature: string }
 *   | { type: "misbehaved", sender: string, error: import("../errors.js").PeerError }
 * } LinkOutput
 */

/** One remote session, from my side. */
export class Link {
  /** The other session. */
  to;
  /** Whether we yield when offers collide: ours is the lower session. */
  polite;
  /** @type {LinkState} */
  state = "connecting";
  /** Whether all that was sent had arrived when it was closed. */
  delivered = false;
  #me;
  #settings;
  #dice;
  #hasty;
  #negotiator;
  #sequencer = new Sequencer(false);
  #budget = new CandidateBudget();
  #overfed = false;
  #heartbeat;
  #meter = new Meter();
  #receivedBytes = 0;
  #hearsay = new Hearsay();
  #wishes = new Allowance(WISHES, 1 / WISH_INTERVAL);
  #traffic;
  #outbox;
  #inbox;
  #allowance;
  #relay;
  #backlog = new Backlog();
  #byRelay = false;
  #number = 0;
  #open = false;
  /** Given up for its silence alone, and not replaced yet. */
  #silent = false;
  /** @type {Mending} */
  #mending = "nothing";
  /** And then heard again, whatever has been asked for meanwhile. */
  #revived = false;
  #online = false;
  /** Signals can go to the other session. */
  #passable = false;
  /** One of us was away from the server since it was there. */
  #cutOff = false;
  #leaving = false;
  /** We have said goodbye. */
  #parted = false;
  /** @type {number | null} */
  #heardAt = null;
  #unheardSince = 0;
  #retry;
  #trickle = new Trickle();

  /**
   * @param {string} me my session
   * @param {string} to the other session
   * @param {LinkSettings} settings
   * @param {() => number} dice returns a random number in [0, 1)
   * @param {import("./traffic.js").Traffic} traffic what the other session is owed, and
   *   what came from it
   * @param {import("./allowance.js").Allowance} allowance how many bytes our session may
   *   send through the server
   */
  constructor(me, to, settings, dice, traffic, allowance) {
    this.#me = me;
    this.#settings = settings;
    this.to = to;
    this.polite = me < to;
    this.#dice = dice;
    this.#retry = new Retry(dice, null, settings.failedTimeout);
    this.#heartbeat = new Heartbeat(settings.heartbeatInterval, settings.disconnectTimeout);
    this.#traffic = traffic;
    this.#outbox = traffic.outbox;
    this.#inbox = traffic.inbox;
    this.#allowance = allowance;
    this.#relay = new Relay(traffic, allowance);
    this.#hasty = settings.hasty ?? false;
    this.#negotiator = new Negotiator(this.polite, settings);
  }

  /**
   * Return the link to the same session, should it come back after this has closed.
   *
   * For the other side it may be the same link still: it has only been away. So signals
   * and generations go on being counted, and the next one is opened.
   */
  heir() {
    this.#traffic.again();
    const heir = new Link(
      this.#me, this.to, this.#settings, this.#dice, this.#traffic, this.#allowance);
    heir.#sequencer = this.#sequencer;
    heir.#negotiator = this.#negotiator;
    heir.#wishes = this.#wishes;
    heir.#hearsay = this.#hearsay;
    heir.#number = this.#number + 1;
    heir.#cutOff = true;
    if (this.generation > 0) {
      heir.#retry = new Retry(this.#dice, 0, this.#settings.failedTimeout);
    }
    return heir;
  }

  /** Which attempt to connect this is; 0 before the first. */
  get generation() {
    return this.#negotiator.generation;
  }

  /** The number of the current connection; 0 before the first. */
  get number() {
    return this.#number;
  }

  /** What carries messages now; null where nothing does. @returns {Path | null} */
  get path() {
    if (this.#open) return "direct";
    return this.#relay.answered ? "relay" : null;
  }

  /**
   * How finely messages are to be cut for what carries them now. What nothing carries yet
   * says nothing: it may have any path in the end.
   */
  get fragmentBytes() {
    if (this.#open) return this.#outbox.window.fragmentBytes;
    return this.#relay.answered ? LEAST_FRAGMENT_BYTES : FRAGMENT_BYTES;
  }

  /**
   * Return what the other session is owed on a channel.
   * @param {import("./channels.js").Channel} channel
   */
  lane(channel) {
    return this.#outbox.lane(channel);
  }

  /**
   * Return whether the other session wants to hear of a channel; null if unknown.
   * @param {import("./channels.js").Channel} channel
   */
  listens(channel) {
    return this.#outbox.listens(channel);
  }

  /** How much is queued and not yet with the engine. */
  get waitingBytes() {
    return this.#outbox.waitingBytes;
  }

  /** How many messages that need not arrive were not sent. */
  get dropped() {
    return this.#traffic.sender.dropped;
  }

  /** How good the path is; null while there is none, or nothing is known. */
  get quality() {
    return this.#meter.quality;
  }

  /** How many messages do not arrive if nothing more does, by channel; none is left out. */
  get undelivered() {
    return this.#outbox.undelivered;
  }

  /** What the messages that have not come as a whole take here, in bytes. */
  get assembling() {
    return this.#inbox.assembling;
  }

  /** Whether there was ever a connection over which messages could come. */
  get received() {
    return this.#inbox.begun;
  }

  /** When to tick at the latest; null when there is nothing to wait for. */
  get deadline() {
    if (this.state === "closed") return null;
    const times = [this.#heartbeat.deadline, this.#trickle.due, this.#sequencer.deadline];
    times.push(this.#relay.deadline, this.#traffic.due);
    if (this.#open && !this.#relay.owes) times.push(this.#inbox.ackDue);
    times.push(this.#unheardAt);
    if (this.#online) times.push(this.#retry.deadline);
    const due = times.filter((time) => time !== null);
    return due.length ? Math.min(...due) : null;
  }

  /** When to wait no longer for who is not heard of while we leave. */
  get #unheardAt() {
    if (!this.#leaving) return null;
    // It answers: to find a way may take a while.
    if (this.state === "connecting" && this.#heardAt !== null) return null;
    return Math.max(this.#unheardSince, this.#heardAt ?? 0) + UNHEARD;
  }

  /**
   * Settle what is due, then the event; return what to do.
   * @param {LinkEvent} event
   * @param {number} now seconds
   * @returns {LinkOutput[]}
   */
  handle(event, now) {
    /** @type {LinkOutput[]} */
    const out = [];
    if (this.state === "closed") return out;
    if (event.type === "slept") this.#slept(event, now, out);
    this.#settle(now, out);
    this.#take(event, now, out);
    this.#watch(now, out);
    this.#useRelay(now, out);
    return out;
  }

  /**
   * Keep the time of what has to settle, and less of it for what must show that it works.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #watch(now, out) {
    if (this.#passable !== (this.#online || this.#open)) {
      this.#passable = !this.#passable;
      this.#sequence({ type: this.#passable ? "resume" : "pause" }, now, out);
    }
    const settled = this.#negotiator.settled || this.#revived;
    this.#retry.watch(now, settled && this.#open, this.generation > 0);
    if (settled && this.#mending === "restarted") {
      this.#retry.hasten(now, Math.max(RESTART_PATIENCE, this.#heartbeat.doubtPatience));
    }
  }

  // --- events -------------------------------------------------------------------

  /**
   * @param {LinkEvent} event
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #take(event, now, out) {
    switch (event.type) {
      case "from-engine":
        if (event.number === this.#number) this.#reported(event.event, now, out);
        break;
      case "measured":
        if (event.number === this.#number) this.#measured(event, now, out);
        break;
      case "stats-arrived":
        // While nothing is open it is the relay that is measured, if anything.
        if (event.number === this.#number && this.#open) {
          this.#meter.reported(event.stats, now);
          this.#outbox.window.crossed(event.stats.rtt);
          this.#tellQuality(out);
        }
        break;
      case "enqueue":
        this.#traffic.append(event.channel, event.kind, event.payload, this.fragmentBytes);
        this.#pump(now, out);
        break;
      case "hasten":
        this.#traffic.send(event.messages, now);
        this.#hasten(now, out);
        break;
      case "appended":
        this.#pump(now, out);
        break;
      case "cut-loose":
        this.#traffic.cutLoose(event.channel, out);
        this.#pump(now, out);
        break;
      case "opened":
        this.#traffic.open(event.channel);
        break;
      case "listening":
        this.#say(this.#traffic.listening(), out);
        this.#relay.resumeAgain();
        break;
      case "garbled":
        this.#garbled(event.reason, now, out);
        break;
      case "read":
        this.#inbox.read(event.stream, event.size, now);
        break;
      case "signal-arrived": {
        const { seq, ack, body } = event;
        this.#heardAt = now;
        this.#sequence({ type: "received", seq, ack, payload: body }, now, out);
        break;
      }
      case "relayed":
        this.#relayed(event.data, now, out);
        break;
      case "online":
        this.#goOnline(event.relay, now, out);
        break;
      case "offline":
        this.#goOffline();
        break;
      case "begin":
      case "change":
        this.#negotiate(event, now, out);
        break;
      case "renew":
        this.#giveUp(now, out, true);
        break;
      case "network-changed":
        this.#networkChanged(now);
        break;
      case "depart":
        this.#depart(now, out);
        break;
      case "abandon":
        this.#close(out, event.drain);
        break;
      case "tell":
        if ((this.#open || this.#silent) && this.#hearsay.isNews(event.signature)) {
          this.#say({ type: "kicked", body: event.body, signature: event.signature }, out);
        }
        break;
      default: // Tick, Slept: settled already
    }
  }

  #goOffline() {
    this.#relay.usable = false;
    this.#online = false;
    this.#cutOff = true;
  }

  /**
   * @param {boolean} relay
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #goOnline(relay, now, out) {
    this.#relay.usable = relay;
    if (!this.#online) {
      this.#online = true;
      if (this.#cutOff) this.#networkChanged(now);
      if (this.#cutOff && this.#silent) {
        // Neither way worked: it is not that the other side slept.
        this.#mending = "nothing";
        this.#retry.failed(now, true);
      }
      this.#retry.resumed(now);
    }
    this.#passable = true;
    this.#sequence({ type: "resume" }, now, out);
    if (this.generation === 0) this.#negotiate({ type: "begin", force: this.#hasty }, now, out);
  }

  /**
   * @param {Extract<LinkEvent, { type: "slept" }>} event
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #slept(event, now, out) {
    this.#heartbeat.slept(event.duration);
    this.#relay.slept(event.duration);
    this.#meter.slept();
    this.#retry.slept(event.duration);
    this.#sequence(event, now, out);
  }

  /**
   * Do all that `now` has made due.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #settle(now, out) {
    const unheardAt = this.#unheardAt;
    if (unheardAt !== null && now >= unheardAt) {
      this.#close(out, 0);
      return;
    }
    if (this.#heartbeat.stalled(now)) this.#stalled(now, out);
    const n = this.#heartbeat.ping(now);
    if (n !== null) {
      this.#say({ type: "ping", n }, out);
      if (this.#open && this.#meter.pinged(n, this.#counts, now)) this.#askStats(out);
      this.#tellQuality(out);
    }
    const { ackDue } = this.#inbox;
    if (this.#open && !this.#relay.owes && ackDue !== null && now >= ackDue) {
      this.#acknowledge(out);
      this.#inbox.tryAgain(now);
    }
    const { due } = this.#traffic;
    if (due !== null && now >= due) this.#hasten(now, out);
    if (this.#trickle.isDue(now)) this.#flush(now, out);
    if (this.#online) {
      if (this.#retry.overdue(now)) this.#overdue(now, out);
      if (this.#retry.take(now)) this.#repair(now, out);
    }
    this.#sequence({ type: "tick" }, now, out);
  }

  // --- negotiation and signals ----------------------------------------------------

  /**
   * @param {import("./negotiation.js").NegotiationEvent} event
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #negotiate(event, now, out) {
    const events = [event];
    for (let next = events.pop(); next; next = events.pop()) {
      for (const output of this.#negotiator.handle(next)) {
        const declined = this.#negotiated(output, now, out);
        if (declined !== null) events.push(declined);
      }
    }
  }

  /**
   * Do what the negotiator wants; return what is to be told it in place of the engine.
   * @param {import("./negotiation.js").NegotiationOutput} output
   * @param {number} now
   * @param {LinkOutput[]} out
   * @returns {import("./negotiation.js").NegotiationEvent | null}
   */
  #negotiated(output, now, out) {
    switch (output.type) {
      case "open-connection":
        this.#renewConnection(out);
        break;
      case "send-body":
        if (output.body.kind === "candidates") {
          if (this.#trickle.collect(output.body.candidates, now)) this.#flush(now, out);
        } else {
          this.#flush(now, out);
          this.#trickle.described();
          this.#signal(output.body, now, out);
        }
        break;
      case "broken":
        this.#giveUp(now, out);
        break;
      case "ignored":
        if (output.violation) this.#misbehaved(output.reason, out);
        break;
      default:
        if (!this.#budget.allows(output)) return this.#decline(output, out);
        out.push({ type: "perform", to: this.to, number: this.#number, operation: output });
    }
    return null;
  }

  /**
   * Answer in place of the engine, which is spared; tell of it once.
   * @param {Operation} operation
   * @param {LinkOutput[]} out
   * @returns {import("./negotiation.js").NegotiationEvent}
   */
  #decline(operation, out) {
    const reason = `more than ${CANDIDATE_LIMIT} candidates`;
    if (!this.#overfed) {
      this.#overfed = true;
      this.#misbehaved(reason, out);
    }
    return { type: "operation-failed", operation, reason };
  }

  /**
   * Have a fresh connection in place of the former.
   * @param {LinkOutput[]} out
   */
  #renewConnection(out) {
    if (this.#number) {
      out.push({ type: "close-connection", to: this.to, number: this.#number, drain: 0 });
    }
    this.#number += 1;
    this.#outbox.bulk = false;
    this.#backlog = new Backlog();
    this.#budget = new CandidateBudget();
    this.#overfed = false;
    this.#trickle.clear();
    this.#retry.renewed();
    this.#disconnected(out);
    out.push({ type: "open-connection", to: this.to, number: this.#number });
  }

  /**
   * Send the candidates that have gathered, as one signal.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #flush(now, out) {
    const candidates = this.#trickle.take(this.#open);
    if (candidates.length > 0) {
      this.#signal({ kind: "candidates", generation: this.generation, candidates }, now, out);
    }
  }

  /**
   * @param {SignalBody} body
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #signal(body, now, out) {
    const envelope = ENVELOPES[body.kind];
    this.#sequence({ type: "send", envelope, body: JSON.stringify(body) }, now, out);
  }

  /**
   * @param {import("./sequencing.js").SequencingEvent} event
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #sequence(event, now, out) {
    for (const output of this.#sequencer.handle(event, now)) {
      switch (output.type) {
        case "transmit": {
          const { envelope, seq, ack, body } = output;
          if (this.#online) {
            out.push({ type: "transmit-signal", to: this.to, envelope, seq, ack, body });
          }
          if (this.#silent || !this.#online) this.#say({ type: "signal", seq, ack, body }, out);
          break;
        }
        case "deliver":
          if (output.payload !== null && this.#affordable(output.payload, now, out)) {
            this.#negotiate({ type: "received", body: output.payload }, now, out);
          }
          break;
        case "overflow":
          // The other end acknowledges nothing; a retry later finds room again.
          this.#giveUp(now, out);
          break;
        case "ignored":
          if (output.violation) this.#misbehaved(output.reason, out);
          break;
      }
    }
  }

  /**
   * Tell whether a signal that costs us a connection may have one.
   * @param {SignalBody} body
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #affordable(body, now, out) {
    if (wanted(body) <= this.generation || this.#wishes.take(1, now)) return true;
    this.#misbehaved("asks for connections without end", out);
    return false;
  }

  /**
   * @param {string} reason
   * @param {LinkOutput[]} out
   */
  #misbehaved(reason, out) {
    out.push({ type: "misbehaved", sender: this.to, error: new InvalidMessage(reason) });
  }

  // --- the connection ---------------------------------------------------------------

  /**
   * @param {EngineEvent} event
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #reported(event, now, out) {
    switch (event.type) {
      case "frame-received":
        this.#heartbeat.heard();
        this.#heardAt = now;
        this.#receivedBytes += event.data.length;
        if (this.#silent) {
          this.#outbox.revive();
          this.#up(now, out);
          this.#revived = true;
        }
        this.#datagram(event.data, now, out);
        break;
      case "buffer-low":
        // How low it is by now says how fast it is.
        if (event.channel !== REALTIME) this.#measure(CONTROL, out);
        break;
      case "channel-opened":
        if (event.channel === CONTROL) this.#connected(now, out);
        if (event.channel === BULK) this.#outbox.bulk = true;
        break;
      case "channel-closed":
        if (event.channel === CONTROL) this.#giveUp(now, out);
        if (event.channel === BULK) this.#outbox.bulk = false;
        break;
      case "state-changed":
        if (event.state === "failed") this.#failed(now, out);
        else if (event.state === "connected" && this.#silent) this.#heartbeat.doubt(now);
        break;
      case "operation-failed":
        // Only the other side's descriptions are applied: so the fault is not ours.
        if (event.operation.type === "apply-remote") this.#misbehaved(event.reason, out);
        this.#negotiate(event, now, out);
        break;
      default:
        this.#negotiate(event, now, out);
    }
  }

  /**
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #connected(now, out) {
    this.#send(datagram(...this.#traffic.begin()), out);
    this.#up(now, out);
  }

  /**
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #up(now, out) {
    this.#open = true;
    this.#silent = false;
    this.#mending = "nothing";
    this.#retry.connected(now);
    this.#heartbeat.start(now);
    this.#meter.start(now, this.#counts);
    this.#move("connected", out);
    this.#askStats(out);
    this.#pump(now, out);
  }

  /**
   * Use a connection no more from which nothing comes, but go on asking until its heir.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #stalled(now, out) {
    if (this.#silent) {
      this.#heartbeat.start(now);
      return;
    }
    this.#giveUp(now, out);
    this.#silent = true;
    if (this.#settings.iceRestart) this.#mending = "restart-due";
    this.#heartbeat.start(now);
  }

  /**
   * Take the engine's word; while it is being mended, its past has failed and no more.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #failed(now, out) {
    if (this.#open) this.#stalled(now, out);
    else if (this.#mending === "nothing") this.#giveUp(now, out);
  }

  /**
   * Give up what has not settled; after a restart in vain the next generation is due.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #overdue(now, out) {
    if (this.#mending === "restarted") {
      this.#mending = "nothing";
      this.#retry.failed(now, true);
    } else {
      this.#giveUp(now, out);
    }
  }

  /**
   * Restart the ICE of a connection that has just fallen silent; replace any other.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #repair(now, out) {
    if (this.#mending === "restart-due") {
      this.#mending = "restarted";
      this.#negotiate({ type: "change", iceRestart: true }, now, out);
    } else {
      this.#negotiate({ type: "replace" }, now, out);
    }
  }

  /**
   * Doubt what seems to work, and begin anew at once what did not.
   * @param {number} now
   */
  #networkChanged(now) {
    this.#heartbeat.doubt(now);
    if (!this.#open && (this.#retry.hurry(now) || this.#retry.at !== null)) {
      this.#mending = "nothing";
    }
  }

  /** @param {LinkOutput[]} out */
  #disconnected(out) {
    this.#open = false;
    this.#silent = false;
    this.#revived = false;
    this.#hearsay.again();
    this.#mending = "nothing";
    this.#heartbeat.stop();
    if (!this.#byRelay) this.#meter.stop();
    if (this.state === "connected") this.#move("reconnecting", out);
  }

  /**
   * Let this connection go, and make the time for the next generation: now if that is
   * wanted, for then nothing has failed.
   * @param {number} now
   * @param {LinkOutput[]} out
   * @param {boolean} [wanted]
   */
  #giveUp(now, out, wanted = false) {
    if (this.#leaving && !this.#relay.answered) {
      this.#close(out, 0);
      return;
    }
    this.#disconnected(out);
    this.#retry.failed(now, wanted);
  }

  /**
   * Close this connection now; whatever else it reports is inert.
   * @param {LinkOutput[]} out
   */
  #hangUp(out) {
    out.push({ type: "close-connection", to: this.to, number: this.#number, drain: 0 });
    this.#number += 1;
  }

  /**
   * @param {LinkState} state
   * @param {LinkOutput[]} out
   */
  #move(state, out) {
    this.state = state;
    out.push({ type: "moved", to: this.to, state });
  }

  // --- frames -----------------------------------------------------------------------

  /**
   * @param {Uint8Array} data
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #datagram(data, now, out) {
    try {
      for (const frame of parse(data)) this.#frame(frame, now, out);
    } catch (error) {
      if (!(error instanceof InvalidMessage)) throw error;
      out.push({ type: "misbehaved", sender: this.to, error });
      this.#hangUp(out);
      this.#giveUp(now, out);
    }
  }

  /**
   * Have done with the connection that brought what cannot be made out, or would have.
   * @param {string} reason
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #garbled(reason, now, out) {
    out.push({ type: "misbehaved", sender: this.to, error: new InvalidMessage(reason) });
    if (!this.#open) return;
    this.#hangUp(out);
    this.#giveUp(now, out);
  }

  /**
   * @param {import("./frames.js").Frame} frame
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #frame(frame, now, out) {
    switch (frame.type) {
      case "fragment":
      case "lossy":
        this.#traffic.heard(frame, now, out);
        break;
      case "report":
        this.#traffic.heard(frame, now, out);
        this.#hasten(now, out);
        break;
      case "ping":
        this.#say({ type: "pong", n: frame.n }, out);
        break;
      case "signal":
        this.#signalled(frame, now, out);
        break;
      case "bye":
        out.push({ type: "said-goodbye", sender: this.to });
        break;
      case "kicked":
        if (this.#hearsay.isWorthIt(frame.signature, now)) {
          const { body, signature } = frame;
          out.push({ type: "alleged", sender: this.to, body, signature });
        }
        break;
      case "pong":
        this.#heartbeat.answered(frame.n, now);
        this.#meter.answered(frame.n, now);
        this.#tellQuality(out);
        break;
      default:
        this.#traffic.heard(frame, now, out);
        this.#pump(now, out);
    }
  }

  /**
   * Take a signal that came over the link itself: who it is from is proven by that.
   * @param {Extract<import("./frames.js").Frame, { type: "signal" }>} signal
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #signalled({ seq, ack, body }, now, out) {
    let payload = null;
    try {
      if (seq > 0) payload = decodeBody(body);
    } catch (error) {
      if (!(error instanceof InvalidMessage)) throw error;
      // Of a later version: skipped, but what follows it waits for its number.
      if (!(error instanceof UnknownType)) this.#misbehaved("a malformed signal", out);
    }
    // It came over what it wants to replace, and that is all we have.
    if (!this.#online && payload !== null && wanted(payload) > this.generation) return;
    this.#sequence({ type: "received", seq, ack, payload }, now, out);
  }

  get #counts() {
    const { acknowledgedBytes: acknowledged, waitingBytes: waiting } = this.#outbox;
    return { acknowledged, received: this.#receivedBytes, waiting };
  }

  /** @param {LinkOutput[]} out */
  #askStats(out) {
    out.push({ type: "ask-stats", to: this.to, number: this.#number });
  }

  /** @param {LinkOutput[]} out */
  #tellQuality(out) {
    const quality = this.#meter.news();
    if (quality !== null) out.push({ type: "graded", to: this.to, quality });
  }

  /**
   * Take a datagram from the path that may lose: a gap is no fault, and ends nothing.
   * @param {Uint8Array} data
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #relayed(data, now, out) {
    if (!this.#relay.usable) return;
    this.#heardAt = now;
    this.#receivedBytes += data.length;
    try {
      for (const frame of parse(data)) this.#relayedFrame(frame, now, out);
    } catch (error) {
      if (!(error instanceof InvalidMessage)) throw error;
      out.push({ type: "misbehaved", sender: this.to, error });
    }
    this.#pump(now, out);
  }

  /**
   * @param {import("./frames.js").Frame} frame
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #relayedFrame(frame, now, out) {
    switch (frame.type) {
      case "ack":
        this.#relay.acknowledged(frame.wants, now);
        break;
      case "resume":
        this.#relay.resumed(frame, now);
        break;
      case "bye":
        out.push({ type: "said-goodbye", sender: this.to });
        break;
      case "ping":
        if (this.#relay.pongs(now)) this.#sayRelayed({ type: "pong", n: frame.n }, out);
        break;
      case "pong":
        if (this.#byRelay) {
          this.#meter.answered(frame.n, now);
          this.#tellQuality(out);
        }
        break;
      case "signal":
      case "kicked":
        break;
      case "lossy":
      case "report":
        this.#traffic.heard(frame, now, out);
        break;
      default:
        this.#relay.owes = true;
        this.#traffic.heard(frame, now, out, true);
    }
  }

  /**
   * Say over the relay what may be said now, and tell when it comes into use.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #useRelay(now, out) {
    // What was done before may have closed the link.
    if (/** @type {LinkState} */ (this.state) === "closed") return;
    this.#relay.watch(now, !this.#open);
    for (const each of this.#relay.take(now)) {
      out.push({ type: "send-relayed", to: this.to, datagram: each });
    }
    const { path } = this;
    if (this.#byRelay !== (path === "relay")) {
      this.#byRelay = !this.#byRelay;
      out.push({ type: "rerouted", to: this.to, path });
      if (this.#byRelay) this.#meter.start(now, this.#counts);
      else if (!this.#open) this.#meter.stop();
    }
    const n = this.#relay.ping(now);
    if (n !== null) {
      this.#sayRelayed({ type: "ping", n }, out);
      this.#meter.pinged(n, this.#counts, now);
      this.#tellQuality(out);
    }
    if (this.#leaving && this.#byRelay && this.#outbox.unacknowledged.size === 0) {
      // Not before: it could overtake what is to be sent again.
      // In one datagram: who hears us leave must know what we have.
      const ack = this.#inbox.acknowledge();
      /** @type {import("./frames.js").Frame[]} */
      const said = [...(ack === null ? [] : [ack]), { type: "bye" }];
      out.push({ type: "send-relayed", to: this.to, datagram: datagram(...said) });
      this.#close(out, 0);
    }
  }

  /**
   * @param {import("./frames.js").Frame} frame
   * @param {LinkOutput[]} out
   */
  #sayRelayed(frame, out) {
    out.push({ type: "send-relayed", to: this.to, datagram: datagram(frame) });
  }

  /**
   * Send a small frame past what is queued; it cannot wait.
   * @param {import("./frames.js").Frame} frame
   * @param {LinkOutput[]} out
   */
  #say(frame, out) {
    if (this.#open || this.#silent) this.#send(datagram(frame), out);
  }

  /**
   * @param {Uint8Array} frame
   * @param {LinkOutput[]} out
   */
  #send(frame, out) {
    out.push({ type: "send-frame", to: this.to, number: this.#number, channel: CONTROL, frame });
  }

  /** @param {LinkOutput[]} out */
  #acknowledge(out) {
    const ack = this.#inbox.acknowledge();
    if (ack !== null) this.#say(ack, out);
  }

  /**
   * Go on with what the engine holds; if that is much, it will say when it is little.
   * @param {Extract<LinkEvent, { type: "measured" }>} measured
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #measured({ heldBytes, channel }, now, out) {
    if (channel === REALTIME) {
      this.#backlog.heldBytes = heldBytes;
      return;
    }
    const { window } = this.#outbox;
    const before = window.lowWaterBytes;
    window.measured(heldBytes, now);
    const { lowWaterBytes } = window;
    if (lowWaterBytes !== before) {
      out.push({ type: "mark-low", to: this.to, number: this.#number, sizeBytes: lowWaterBytes });
    }
    this.#pump(now, out, heldBytes <= lowWaterBytes);
  }

  /**
   * Hand on what fits the engine's window.
   * @param {number} now
   * @param {LinkOutput[]} out
   * @param {boolean} [measure]
   */
  #pump(now, out, measure = true) {
    if (!this.#open) return;
    for (const each of this.#outbox.take(now)) {
      out.push({ type: "send-frame", to: this.to, number: this.#number, ...each });
    }
    if (this.#outbox.mustMeasure) {
      if (measure) this.#measure(CONTROL, out);
    } else if (this.#leaving && !this.#outbox.waiting && !this.#outbox.scattered) {
      this.#part(out);
    }
  }

  /**
   * @param {number} channel
   * @param {LinkOutput[]} out
   */
  #measure(channel, out) {
    out.push({ type: "measure-buffer", to: this.to, number: this.#number, channel });
  }

  /**
   * Send what need not arrive, or drop it.
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #hasten(now, out) {
    const { to } = this;
    const { sizeBytes } = this.#outbox.window;
    for (const { datagram: frame, count } of this.#traffic.hasten(now)) {
      if (this.#open && this.#backlog.takes(sizeBytes)) {
        this.#backlog.heldBytes += frame.length;
        out.push({ type: "send-frame", to, number: this.#number, channel: REALTIME, frame });
      } else if (!this.#open && this.#relay.spares(frame.length, now)) {
        out.push({ type: "send-relayed", to, datagram: frame });
      } else {
        this.#traffic.sender.dropped += count;
      }
    }
    if (this.#open && this.#backlog.mustMeasure(sizeBytes)) this.#measure(REALTIME, out);
  }

  /**
   * Say goodbye after the last message; close once all have arrived.
   *
   * Who hears the goodbye has them too, and closes the connection: that is an end as well.
   * @param {LinkOutput[]} out
   */
  #part(out) {
    if (!this.#parted) {
      this.#parted = true;
      this.#acknowledge(out);
      this.#say({ type: "bye" }, out);
    }
    if (this.#outbox.unacknowledged.size === 0) this.#close(out, DRAIN);
  }

  // --- the end ------------------------------------------------------------------------

  /**
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #depart(now, out) {
    this.#leaving = true;
    this.#unheardSince = now;
    if (!this.#open && !this.#relay.answered && !this.#outbox.waiting) {
      this.#close(out, 0);
      return;
    }
    this.#pump(now, out);
  }

  /**
   * @param {LinkOutput[]} out
   * @param {number} drain
   */
  #close(out, drain) {
    if (this.#number) {
      out.push({ type: "close-connection", to: this.to, number: this.#number, drain });
    }
    this.#open = false;
    this.#heartbeat.stop();
    this.#meter.stop();
    this.delivered = this.#outbox.unacknowledged.size === 0;
    this.#traffic.close();
    this.#allowance.withdraw(this.to);
    this.#sequencer.rest();
    this.#move("closed", out);
  }
}

/**
 * Return the generation that a signal would have us open, 0 if none.
 * @param {SignalBody} body
 */
function wanted(body) {
  if (body.kind === "offer") return body.generation;
  return body.kind === "restart" ? body.wanted : 0;
}
