/**
 * One stay in a room: joining, trying again, being in it, and how it ended.
 * @module
 */

import { Chat } from "../chat.js";
import { ServerUnreachable } from "../errors.js";

/** @typedef {import("../chat.js").ChatEntry} ChatEntry */
/** @typedef {import("../room.js").Room} Room */
/**
 * joining: on the way in; waiting: still, but the server does not answer; inside: in the
 * room; over: out of it, `error` says why.
 * @typedef {"joining" | "waiting" | "inside" | "over"} VisitState
 */
/**
 * @typedef {object} VisitEvents
 * @property {() => void} changed the state is another one
 * @property {(entry: ChatEntry) => void} heard something happened in the room
 * @property {(error: unknown) => void} failed one of the two threw; the visit goes on
 */

/** Keeps us in a room until we leave it. */
export class Visit {
  /** @type {VisitState} */
  state = "over";
  /** Why we are out; null if nobody knows or we left. @type {unknown} */
  error = null;
  /** The room while we are inside, else null. @type {Room | null} */
  room = null;
  /** Its chat. @type {Chat | null} */
  chat = null;
  #join;
  #events;
  #left = false;
  #again = false;

  /**
   * @param {() => Promise<Room>} join
   * @param {VisitEvents} events
   */
  constructor(join, events) {
    this.#join = join;
    this.#events = events;
  }

  /** Enter, also again after it was over; harmless while it is not. */
  async enter() {
    if (this.state !== "over") return;
    this.#become("joining");
    while (!this.#left) {
      try {
        const room = await this.#join();
        if (this.#left) void room.leave({ patience: 0 });
        else await this.#stay(room);
        return;
      } catch (error) {
        // It has tried for seconds already: no need to wait before the next time.
        const again = error instanceof ServerUnreachable;
        this.#become(again ? "waiting" : "over", error);
        if (!again) return;
      }
    }
  }

  /** The page is back, and the room was left when it went: enter, now or once that is over. */
  enterAgain() {
    this.#again = true;
    this.#return();
  }

  #return() {
    if (!this.#again || this.#left || this.state !== "over") return;
    this.#again = false;
    void this.enter();
  }

  /** Leave for good. */
  leave() {
    this.#left = true;
    void this.room?.leave();
  }

  /** @param {Room} room */
  async #stay(room) {
    this.room = room;
    this.chat = new Chat(room);
    this.#become("inside");
    try {
      for await (const entry of this.chat) {
        this.#tell(() => this.#events.heard(entry));
      }
      this.#become("over");
    } finally {
      this.room = null;
    }
  }

  /**
   * @param {VisitState} state
   * @param {unknown} [error]
   */
  #become(state, error = null) {
    this.state = state;
    this.error = error;
    if (state === "over") this.room = null;
    else if (state === "inside") this.#again = false; // or who is replaced would come back
    this.#tell(() => this.#events.changed());
    this.#return();
  }

  /**
   * Tell something; a view that throws must not leave us in the room without an ear.
   * @param {() => void} happening
   */
  #tell(happening) {
    if (this.#left) return;
    try {
      happening();
    } catch (error) {
      this.#events.failed(error);
    }
  }
}
