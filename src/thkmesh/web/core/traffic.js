/**
 * Messages to and from one session, whatever connections there are. See `core/traffic.py`.
 * @module
 */

import { Inbox } from "./receiving.js";
import { Outbox } from "./sending.js";

/** @typedef {import("./frames.js").Frame} Frame */
/** @typedef {import("./link.js").LinkOutput} LinkOutput */

/** What one session is owed, and what came from it. */
export class Traffic {
  to;
  outbox;
  inbox;
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
  /** @param {LinkOutput[]} out */
  #tellBroken(out) {
    for (const stream of this.inbox.broken()) {
      out.push({ type: "transfers-broken", sender: this.to, stream });
    }
  }
}
