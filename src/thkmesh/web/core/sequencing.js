/**
 * Signals that arrive exactly once and in order; see `core/sequencing.py`.
 * @module
 */

/** How many signals may be unacknowledged, and how many may wait for an earlier one. */
export const WINDOW = 256;
/** Seconds that signals may cross each other on their way. */
export const CROSSING = 1.0;
/** Seconds after which a delivery is acknowledged on its own. */
export const ACK_DELAY = 0.2;
/** Seconds to the first resend, doubled for each further one ... */
export const RESEND_FIRST = 2.0;
/** ... up to the last. */
export const RESEND_LAST = 30.0;

/** The envelope of a bare acknowledgement. */
const ACK = "webrtc-ack";

/**
 * @typedef {{ type: "send", envelope: string, body: string }
 *   | { type: "received", seq: number, ack: number, payload: any }
 *   | { type: "resume" } | { type: "pause" } | { type: "tick" }
 *   | { type: "slept", duration: number }} SequencingEvent
 */
/**
 * @typedef {{ type: "transmit", envelope: string, seq: number, ack: number, body: string }
 *   | { type: "deliver", payload: any }
 *   | { type: "overflow", body: string }
 *   | { type: "ignored", reason: string, violation: boolean }} SequencingOutput
 */

/** One session's half of a numbered conversation with one other session. */
export class Sequencer {
  #online;
  #sent = 0;
  /** @type {{ seq: number, envelope: string, body: string }[]} */
  #unacknowledged = [];
  #delivered = 0;
  /** @type {Map<number, any>} */
  #early = new Map();
  /** @type {number | null} */
  #ackDue = null;
  /** @type {number | null} */
  #resendDue = null;
  #resendDelay = RESEND_FIRST;
  /** When anything of what is owed was sent last. */
  #sentAt = 0;
  /** Since there was progress, because the other side missed some. */
  #repeated = false;

  /** @param {boolean} [online] false: it waits for Resume */
  constructor(online = true) {
    this.#online = online;
  }

  /** Pause, and keep the numbers only: what came early will be sent again. */
  rest() {
    this.#online = false;
    this.#early.clear();
  }

  /** When to acknowledge or to resend, in seconds; null while paused or at rest. */
  get deadline() {
    if (!this.#online) return null;
    if (this.#ackDue === null) return this.#resendDue;
    return this.#resendDue === null ? this.#ackDue : Math.min(this.#ackDue, this.#resendDue);
  }

  /**
   * Settle what is due at `now`, then the event; return what to do, in order.
   * @param {SequencingEvent} event
   * @param {number} now seconds
   * @returns {SequencingOutput[]}
   */
  handle(event, now) {
    // Give acknowledgements that came in while we slept the time to be read.
    if (event.type === "slept" && this.#resendDue !== null) this.#resendDue += event.duration;
    const out = this.#settle(now);
    switch (event.type) {
      case "send":
        this.#accept(event, now, out);
        break;
      case "received":
        this.#acknowledge(event.ack, event.seq === 0, now, out);
        this.#receive(event.seq, event.payload, now, out);
        break;
      case "resume":
        this.#resume(now, out);
        break;
      case "pause":
        this.#online = false;
        break;
      default:
    }
    return out;
  }

  /**
   * @param {{ envelope: string, body: string }} signal
   * @param {number} now
   * @param {SequencingOutput[]} out
   */
  #accept({ envelope, body }, now, out) {
    if (this.#unacknowledged.length === WINDOW) {
      out.push({ type: "overflow", body });
      return;
    }
    this.#sent += 1;
    const signal = { seq: this.#sent, envelope, body };
    this.#unacknowledged.push(signal);
    if (this.#online) {
      this.#sentAt = now;
      out.push(this.#transmit(signal));
      this.#resendDue ??= now + this.#resendDelay;
    }
  }

  /**
   * @param {{ seq: number, envelope: string, body: string }} signal
   * @returns {SequencingOutput}
   */
  #transmit({ seq, envelope, body }) {
    this.#ackDue = null;
    return { type: "transmit", envelope, seq, ack: this.#delivered, body };
  }

  /**
   * @param {number} now
   * @param {SequencingOutput[]} out
   */
  #resend(now, out) {
    this.#resendDue = this.#unacknowledged.length ? now + this.#resendDelay : null;
    this.#sentAt = now;
    for (const signal of this.#unacknowledged) out.push(this.#transmit(signal));
  }

  /**
   * @param {number} ack
   * @param {boolean} bare
   * @param {number} now
   * @param {SequencingOutput[]} out
   */
  #acknowledge(ack, bare, now, out) {
    if (ack > this.#sent) {
      out.push({ type: "ignored", reason: "acknowledged-unsent", violation: true });
      return;
    }
    const before = this.#unacknowledged.length;
    const nothingNew = ack + 1 === this.#unacknowledged[0]?.seq;
    this.#unacknowledged = this.#unacknowledged.filter(({ seq }) => seq > ack);
    if (this.#unacknowledged.length < before) {
      this.#repeated = false;
      this.#resendDelay = RESEND_FIRST;
      this.#resendDue = this.#unacknowledged.length ? now + this.#resendDelay : null;
    } else if (nothingNew && this.#online && !this.#repeated
        && (bare || now >= this.#sentAt + CROSSING)) {
      this.#repeated = true;
      this.#resend(now, out);
    }
  }

  /**
   * @param {number} seq
   * @param {any} payload
   * @param {number} now
   * @param {SequencingOutput[]} out
   */
  #receive(seq, payload, now, out) {
    if (seq === 0) return;
    if (seq > this.#delivered + WINDOW) {
      out.push({ type: "ignored", reason: "beyond-window", violation: true });
    } else if (seq <= this.#delivered || this.#early.has(seq)) {
      out.push({ type: "ignored", reason: "duplicate", violation: false });
      if (seq <= this.#delivered) this.#ackDue ??= now + ACK_DELAY;
    } else {
      if (this.#online && this.#early.size === 0 && seq > this.#delivered + 1) {
        out.push(this.#bareAck());
      }
      this.#early.set(seq, payload);
      while (this.#early.has(this.#delivered + 1)) {
        this.#delivered += 1;
        out.push({ type: "deliver", payload: this.#early.get(this.#delivered) });
        this.#early.delete(this.#delivered);
        this.#ackDue ??= now + ACK_DELAY;
      }
    }
  }

  /**
   * Send all that is owed at once: the former way may have lost any of it.
   * @param {number} now
   * @param {SequencingOutput[]} out
   */
  #resume(now, out) {
    this.#online = true;
    this.#repeated = false;
    this.#resendDelay = RESEND_FIRST;
    this.#resend(now, out);
    if (this.#ackDue !== null) out.push(this.#bareAck());
  }

  /** @param {number} now */
  #settle(now) {
    /** @type {SequencingOutput[]} */
    const out = [];
    if (!this.#online) return out;
    if (this.#resendDue !== null && now >= this.#resendDue) {
      this.#repeated = false;
      this.#resendDelay = Math.min(2 * this.#resendDelay, RESEND_LAST);
      this.#resend(now, out);
    }
    if (this.#ackDue !== null && now >= this.#ackDue) out.push(this.#bareAck());
    return out;
  }

  /** @returns {SequencingOutput} */
  #bareAck() {
    this.#ackDue = null;
    return { type: "transmit", envelope: ACK, seq: 0, ack: this.#delivered, body: "" };
  }
}
