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
   * Owe a message to the other session alone.
   * @param {string} channel
   * @param {number} kind
   * @param {Uint8Array} payload
   */
  append(channel, kind, payload) {
    this.outbox.lane(this.#channels.get(channel)).log.append(kind, payload);
  }

  // --- what is said -----------------------------------------------------------------

  /**
   * Return what is said first on a new connection.
   * @returns {Frame[]}
   */
  begin() {
    this.outbox.begin();
    return [{ type: "resume", wants: this.inbox.begin() }, this.listening()];
  }

  /**
   * Return what we want to hear.
   * @returns {Frame}
   */
  listening() {
    return { type: "listen", names: this.#channels.listening };
  }

  /**
   * Give up what was sent to everybody on a channel; return what to say now.
   * @param {string} channel
   * @param {LinkOutput[]} out
   */
  cutLoose(channel, out) {
    const { count, said } = this.outbox.cutLoose(this.#channels.get(channel));
    out.push({ type: "lagged", to: this.to, channel, count });
    return said;
  }

  // --- what is heard ----------------------------------------------------------------

  /**
   * Take a frame of the other side; return what to say.
   * @param {Frame} frame
   * @param {number} now
   * @param {LinkOutput[]} out
   * @returns {Frame[]}
   * @throws {InvalidMessage} it makes no sense where it stands
   */
  heard(frame, now, out) {
    switch (frame.type) {
      case "fragment": {
        const message = this.inbox.receive(frame, now);
        if (message !== null) out.push(message);
        break;
      }
      case "ack":
        this.outbox.acknowledge(frame.wants);
        break;
      case "resume":
        this.inbox.begun = true;
        return this.outbox.resume(frame.wants);
      case "listen":
        for (const { channel, count } of this.outbox.listening(frame.names)) {
          out.push({ type: "dropped", to: this.to, channel, count });
        }
        break;
      case "name":
        this.inbox.name(frame, now);
        break;
      case "skip": {
        const { channel, lost } = this.inbox.skip(frame, now);
        if (lost > 0) out.push({ type: "messages-lost", sender: this.to, channel, count: lost });
        break;
      }
      default:
    }
    return [];
  }
}
