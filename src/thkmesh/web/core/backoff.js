/**
 * Retries spread over a ceiling that doubles; see `core/backoff.py`.
 * @module
 */

/**
 * Return the seconds to wait before a retry: full jitter.
 * @param {number} attempt how many retries came before, from 0
 * @param {number} dice a random number in [0, 1)
 * @param {number} base the ceiling of the first wait, seconds
 * @param {number} cap the highest ceiling, seconds
 */
export function fullJitter(attempt, dice, base, cap) {
  return dice * Math.min(cap, base * 2 ** Math.min(attempt, 64));
}
