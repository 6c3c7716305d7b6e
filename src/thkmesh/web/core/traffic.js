/**
 * Messages to and from one session, whatever connections there are. See `core/traffic.py`.
 * @module
 */

import { content } from "./frames.js";
import { earlier, pack, Receiver, Sender } from "./realtime.js";
import { Inbox } from "./receiving.js";
import { Outbox } from "./sending.js";

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./link.js").LinkOutput} LinkOutput */

/** What one session is owed, and what came from it. */
export class Traffic {
  to;
  outbox;
  inbox;
  sender = new Sender();
  receiver = new Receiver();
  #channels;

  /**
   * Owe what is sent from now on.
   * @param {string} to
   * @param {import("./channels.js").Channels} channels
   * @param {import("./credit.js").Budget} budget
   */
  constructor(to, channels, budget) {
    this.to = to;
    this.#channels = channels;
    this.outbox = new Outbox(channels);
    this.inbox = new Inbox(channels, budget);
  }

  /** Go on with the same session after `close`. */
  again() {
    this.outbox.again();
    this.inbox.again();
  }

  /** Owe and hold nothing; the peer is gone. */
  close() {
    this.outbox.close();
    this.inbox.close();
    this.sender.close();
    this.receiver.close();
  }

  /**
   * Have another channel of ours.
   * @param {string} channel
   */
  open(channel) {
    this.outbox.open(this.#channels.get(channel));
  }

  /**
   * Owe a message to the other session alone, in fragments of that size.
   * @param {string} channel
   * @param {number} kind
   * @param {Uint8Array} payload
   * @param {number} fragmentBytes
   */
  append(channel, kind, payload, fragmentBytes) {
    this.outbox.lane(this.#channels.get(channel)).log.append(kind, payload, fragmentBytes);
  }

  // --- what need not arrive -----------------------------------------------------------

  /**
   * Send messages that need not arrive, if the other side wants to hear them.
   * @param {import("./realtime.js").Passing[]} messages
   * @param {number} now
   */
  send(messages, now) {
    for (const each of messages) {
      const channel = this.#channels.get(each.channel);
      if (channel.limits === null || !this.outbox.listens(channel)) continue;
      const stream = 2 * channel.number + (each.number === null ? 1 : 0);
      this.sender.send(stream, channel.limits, each, now);
    }
  }

  /** When there is something to send of what need not arrive, or of reports. */
  get due() {
    return earlier(this.sender.deadline, this.receiver.deadline);
  }

  /**
   * Yield the datagrams of what need not arrive, and how many messages are in each.
   * @param {number} now
   * @returns {Generator<{ datagram: Uint8Array, count: number }, void, void>}
   */
  * hasten(now) {
    for (const { datagram } of pack(this.receiver.take(now))) yield { datagram, count: 0 };
    yield* pack(this.sender.take(now));
  }

  // --- what is said -----------------------------------------------------------------

  /**
   * Return what is said first on a new connection.
   * @returns {Frame[]}
   */
  begin() {
    this.outbox.begin();
    return this.resumption();
  }

  /**
   * Return what we want to go on from, and to hear.
   * @returns {Frame[]}
   */
  resumption() {
    return [{ type: "resume", wants: this.inbox.begin() }, this.listening()];
  }

  /**
   * Return what we want to hear.
   * @returns {Frame}
   */
  listening() {
    const { listening: names, revision } = this.#channels;
    return { type: "listen", names, revision };
  }

  /**
   * Give up what was sent to everybody on a channel.
   * @param {string} channel
   * @param {LinkOutput[]} out
   */
  cutLoose(channel, out) {
    const count = this.outbox.cutLoose(this.#channels.get(channel));
    out.push({ type: "lagged", to: this.to, channel, count });
  }

  // --- what is heard ----------------------------------------------------------------

  /**
   * Take a frame of the other side.
   * @param {Frame} frame
   * @param {number} now
   * @param {LinkOutput[]} out where to say what it leads to
   * @param {boolean} [lossy] it came over a path that may lose: what leaves a gap is ignored
   * @throws {InvalidMessage} it makes no sense where it stands
   */
  heard(frame, now, out, lossy = false) {
    switch (frame.type) {
      case "fragment": {
        const message = this.inbox.receive(frame, now, lossy);
        if (message !== null) out.push(message);
        break;
      }
      case "lossy":
        this.#lossy(frame, now, out);
        break;
      case "report":
        this.sender.heard(frame, now);
        break;
      case "ack":
        this.outbox.acknowledge(frame.wants);
        break;
      case "resume":
        this.inbox.begun = true;
        this.outbox.resume(frame.wants);
        break;
      case "listen":
        for (const { channel, count } of this.outbox.listening(frame)) {
          out.push({ type: "dropped", to: this.to, channel, count });
        }
        for (const each of this.#channels) {
          if (this.outbox.listens(each)) continue;
          this.sender.forget(2 * each.number);
          this.sender.forget(2 * each.number + 1);
        }
        break;
      case "name":
        this.inbox.name(frame, now);
        this.#tellBroken(out);
        break;
      case "skip": {
        const { channel, lost } = this.inbox.skip(frame, now);
        this.#tellBroken(out);
        if (lost > 0) out.push({ type: "messages-lost", sender: this.to, channel, count: lost });
        break;
      }
      default:
    }
  }

  /**
   * Take a message that need not arrive, if its channel is known and we want to hear it.
   * @param {import("./frames.js").Lossy} frame
   * @param {number} now
   * @param {LinkOutput[]} out
   */
  #lossy(frame, now, out) {
    const known = this.inbox.lossy(frame.stream);
    if (known === null) return;
    const { stream } = frame;
    for (const { kind, payload } of this.receiver.receive(frame, now, known.ordered)) {
      const data = content(kind, payload);
      out.push({ type: "content-arrived", channel: known.name, data, stream, cost: 0, key: null });
    }
  }

  /** @param {LinkOutput[]} out */
  #tellBroken(out) {
    for (const stream of this.inbox.broken()) {
      out.push({ type: "transfers-broken", sender: this.to, stream });
    }
  }
}
