/**
 * The one loop that runs a machine: feed events in, perform outputs, keep one timer.
 *
 * See `driver.py`. An event fed while outputs are being performed waits until they
 * are done. A timer that fires late means that nobody ran us (a sleeping computer, a
 * frozen tab): the machine is told so before it judges anybody.
 * @module
 */

/**
 * Seconds of lateness from which a wake-up counts as sleep; hidden pages get their
 * timers a second late as a matter of course.
 */
export const SLEPT = 2.0;

/** Seconds after sleep in which waiting input comes in before anything is judged. */
const CATCH_UP = 0.1;

/** A timer is never set further ahead than this, so that sleep is noticed soon. */
const PULSE = 5.0;

/** Seconds of a clock that never goes back. */
export const now = () => performance.now() / 1000;

/**
 * @template Event, Output
 * @typedef {{ handle(event: Event, now: number): Output[], deadline: number | null }} Machine
 */

/**
 * Runs one machine.
 * @template {{ type: string }} Event
 * @template Output
 */
export class Driver {
  #machine;
  #perform;
  /** @type {(Event | { type: "tick" } | { type: "slept", duration: number })[]} */
  #waiting = [];
  #running = false;
  #closed = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  #due = Infinity;
  #earliest = 0;

  /**
   * @param {Machine<any, Output>} machine nobody else calls `handle`
   * @param {(output: Output) => void} perform called for each output, in order
   */
  constructor(machine, perform) {
    this.#machine = machine;
    this.#perform = perform;
  }

  /**
   * Hand in an event; its outputs are performed before this returns.
   * @param {Event | { type: "tick" } | { type: "slept", duration: number }} event
   */
  feed(event) {
    if (this.#closed) return;
    const late = now() - this.#due;
    if (late > SLEPT) {
      this.#disarm();
      this.#earliest = now() + CATCH_UP;
      this.#waiting.push({ type: "slept", duration: late });
    }
    this.#waiting.push(event);
    if (this.#running) return;
    this.#running = true;
    try {
      this.#run();
    } catch (error) {
      // A machine that throws has a bug, which is for who feeds it to know; what waits
      // behind that event, and the timer, are no part of it. But a deadline that it
      // cannot meet must not keep us busy.
      this.#earliest = now() + CATCH_UP;
      throw error;
    } finally {
      this.#running = false;
      this.#arm();
    }
  }

  /** Whether outputs are being performed. */
  get running() {
    return this.#running;
  }

  /** Stop; nothing is performed from now on. */
  close() {
    this.#closed = true;
    this.#waiting = [];
    this.#disarm();
  }

  #run() {
    for (let event = this.#waiting.shift(); event; event = this.#waiting.shift()) {
      for (const output of this.#machine.handle(event, now())) {
        if (this.#closed) return;
        try {
          this.#perform(output);
        } catch (error) {
          // One bad output must not stop the others; it is a bug of ours.
          reportError(error);
        }
      }
    }
  }

  #arm() {
    const time = now();
    const deadline = this.#waiting.length ? time : this.#machine.deadline;
    if (this.#closed || deadline === null) {
      this.#disarm();
      return;
    }
    const due = this.#waiting.length
      ? time : Math.max(this.#earliest, Math.min(deadline, time + PULSE));
    // An earlier timer just wakes us once for nothing.
    if (this.#timer !== undefined && time <= this.#due && this.#due <= due) return;
    this.#disarm();
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.feed({ type: "tick" });
    }, Math.max(0, (due - time) * 1000));
  }

  #disarm() {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = Infinity;
  }
}
