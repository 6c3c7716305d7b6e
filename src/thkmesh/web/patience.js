/**
 * How long something is waited for, and what ends the waiting before.
 * @module
 */

/** The most that a timer can be set to: beyond it, it fires at once. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Tell whether a caller, perhaps without a type checker, passed a number of seconds;
 * infinitely many are one too.
 * @param {unknown} value
 */
export function isSeconds(value) {
  return typeof value === "number" && value >= 0;
}

/**
 * Return what a timer is set to for so many seconds; 25 days stand for all beyond.
 * @param {number} seconds
 */
export function milliseconds(seconds) {
  return Math.min(seconds * 1000, LONGEST_MS);
}

/**
 * Wait for what is being done, but no longer than until a signal is aborted.
 * @template T
 * @param {Promise<T>} work goes on all the same
 * @param {AbortSignal} [signal]
 * @returns {Promise<T>}
 * @throws {any} the signal's reason
 */
export async function unlessAborted(work, signal) {
  if (signal === undefined) return work;
  let abort = () => {};
  /** @type {Promise<never>} */
  const aborted = new Promise((_, reject) => {
    abort = () => reject(signal.reason);
  });
  if (signal.aborted) abort();
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
