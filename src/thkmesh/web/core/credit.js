/**
 * How much others may send us before we have read it: the same rules as in
 * `core/credit.py`, which says why.
 * @module
 */

import { LEAST_FRAGMENT_BYTES, MESSAGE_LIMIT_BYTES, OVERHEAD_BYTES } from "./frames.js";

/** What all senders in a room together may have lying here unread. */
export const BUDGET_BYTES = 64 * 1024 * 1024;
/** What a stream may have lying here without a grant. */
export const WINDOW_BYTES = 256 * 1024;
/** What one stream may have, unless a single message needs more. */
export const WINDOW_LIMIT_BYTES = 8 * 1024 * 1024;
/** An application that has read less than this need not say so yet. */
export const READ_BYTES = WINDOW_BYTES / 4;
/** A stream may have this part of what is free. */
const SHARE = 4;
/** What the largest message costs, cut as finely as it may be. */
const WHOLE_BYTES = MESSAGE_LIMIT_BYTES
  + OVERHEAD_BYTES * (Math.floor(MESSAGE_LIMIT_BYTES / LEAST_FRAGMENT_BYTES) + 1);

/** What a room may hold unread; shared by all its streams. */
export class Budget {
  /** What all windows add up to. */
  promised = 0;
  /** Who has the reserve. @type {Credit | null} */
  drawing = null;
  #size;

  /** @param {number} [size] */
  constructor(size = BUDGET_BYTES) {
    this.#size = size;
  }

  /** What is not promised to anybody, nor kept for streams that will begin. */
  get free() {
    return Math.max(0, Math.floor(this.#size * 3 / 4) - this.promised);
  }
}

/** What one stream may have lying here. */
export class Credit {
  /** Where in the stream the next fragment begins. */
  position;
  /** The position up to which its sender may go. */
  limit;
  /** How many of the bytes before `position` have not been read. */
  unread = 0;
  /** A message cannot go on before somebody else has given back the reserve. */
  waiting = false;
  /** From this position on the sender should hear soon how far it may go. */
  due;
  #budget;
  /** Before that it counts for nothing: most streams never are. */
  #used = false;

  /**
   * Grant the first window from a position on.
   * @param {Budget} budget
   * @param {number} position
   */
  constructor(budget, position) {
    this.#budget = budget;
    this.position = position;
    this.limit = position + WINDOW_BYTES;
    this.due = position + WINDOW_BYTES / 2;
  }

  /**
   * Take note that something came; false if that is more than was granted.
   * @param {number} size
   */
  take(size) {
    if (this.position + size > this.limit) return false;
    if (!this.#used) {
      this.#used = true;
      this.#budget.promised += this.#promised;
    }
    this.position += size;
    this.unread += size;
    return true;
  }

  /**
   * Take note that something of it need not be kept any longer.
   * @param {number} size
   */
  read(size) {
    const done = Math.min(size, this.unread);
    this.unread -= done;
    this.#budget.promised -= done;
    if (this.#budget.drawing === this && this.unread <= this.#window) this.#budget.drawing = null;
  }

  /** Keep nothing, and count for nothing before something comes that is kept. */
  discard() {
    this.#budget.promised -= this.#promised;
    this.#used = false;
    this.unread = 0;
    if (this.#budget.drawing === this) this.#budget.drawing = null;
  }

  /**
   * Grant the first window from a position on, whatever was granted before.
   * @param {number} position
   */
  begin(position) {
    this.#allow(position + WINDOW_BYTES);
  }

  /**
   * Go to a later position; what lies between will not come.
   * @param {number} position
   */
  jump(position) {
    const before = this.#promised;
    this.position = position;
    this.due = position;
    this.limit = Math.max(this.limit, position + WINDOW_BYTES);
    this.#budget.promised += this.#promised - before;
  }

  /** @param {number} limit */
  #allow(limit) {
    const before = this.#promised;
    this.limit = Math.max(this.limit, limit);
    this.#budget.promised += this.#promised - before;
  }

  /**
   * Return how far the sender may go now.
   * @param {number} assembling what a message that is not whole yet has cost so far
   */
  grant(assembling) {
    if (!this.#used) {
      this.#allow(this.position + WINDOW_BYTES);
      this.due = this.limit - WINDOW_BYTES / 2;
      return this.limit;
    }
    const window = this.#window;
    let limit = this.position - this.unread + window;
    this.waiting = false;
    if (2 * assembling > window && this.unread - assembling <= READ_BYTES) {
      const more = Math.min(limit + assembling, this.position - assembling + WHOLE_BYTES);
      if (more > Math.max(limit, this.limit)) {
        this.waiting = !this.#draw();
        limit = this.waiting ? limit : more;
      }
    }
    this.#allow(limit);
    this.due = Math.max(
      this.limit - Math.floor(window / 2), this.position + Math.floor(window / 8));
    return this.limit;
  }

  /**
   * Count no longer, until `reopen`, and hold no more than a message that is not whole.
   * @param {number} assembling what that has cost
   */
  close(assembling) {
    this.#budget.promised -= this.#promised;
    this.unread = assembling;
    if (this.#budget.drawing === this) this.#budget.drawing = null;
  }

  /** Count again: what was granted holds. */
  reopen() {
    this.#budget.promised += this.#promised;
  }

  get #promised() {
    return this.#used ? this.limit - this.position + this.unread : 0;
  }

  get #window() {
    const share = Math.floor(this.#budget.free / SHARE);
    return Math.max(WINDOW_BYTES, Math.min(WINDOW_LIMIT_BYTES, share));
  }

  /** Return whether there is enough for a whole message, in the budget or the reserve. */
  #draw() {
    if (this.#budget.free >= WHOLE_BYTES) return true;
    this.#budget.drawing ??= this;
    return this.#budget.drawing === this;
  }
}
