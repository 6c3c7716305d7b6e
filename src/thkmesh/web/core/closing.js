/**
 * Why the server closed a signaling WebSocket; the table is in `core/closing.py`.
 * @module
 */

/** WebSocket close codes with a meaning of their own here. */
export const CloseCode = Object.freeze({
  NORMAL: 1000,
  UNSUPPORTED: 1003,
  TOO_LARGE: 1009,
  RESTARTING: 1012,
  OVERLOADED: 1013,
  INVALID: 4400,
  UNAUTHORIZED: 4401,
  NOT_GRANTED: 4403,
  PROTOCOL_MISMATCH: 4406,
  TOKEN_EXPIRED: 4407,
  HELLO_TIMEOUT: 4408,
  REPLACED: 4409,
  SUPERSEDED: 4410,
  IDLE: 4411,
  KICKED: 4412,
  RATE_LIMITED: 4429,
  ROOM_FULL: 4430,
  SLOW_CONSUMER: 4431,
});

/** The code of a connection that ended without a close frame (RFC 6455, 7.1.5). */
export const ABNORMAL = 1006;

/** @type {ReadonlySet<number>} */
const FINAL = new Set([
  CloseCode.NORMAL,
  CloseCode.UNSUPPORTED,
  CloseCode.TOO_LARGE,
  CloseCode.INVALID,
  CloseCode.UNAUTHORIZED,
  CloseCode.NOT_GRANTED,
  CloseCode.PROTOCOL_MISMATCH,
  CloseCode.REPLACED,
  CloseCode.SUPERSEDED,
  CloseCode.KICKED,
  CloseCode.ROOM_FULL,
]);

/**
 * Tell whether coming back would only fail again.
 * @param {number} code
 */
export function isFinal(code) {
  return FINAL.has(code);
}

/**
 * Return a code in words.
 * @param {number} code
 */
export function nameOf(code) {
  const found = Object.entries(CloseCode).find(([, value]) => value === code);
  return found === undefined ? "unknown reason" : found[0].toLowerCase().replaceAll("_", " ");
}
