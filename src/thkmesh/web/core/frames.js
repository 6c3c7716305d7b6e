/**
 * What one datagram on a data channel says; see `core/frames.py` for the format.
 * @module
 */

import { InvalidArgument, InvalidMessage, MessageTooLarge } from "../errors.js";
import { isWellFormed, parseJson } from "./text.js";

/** The largest payload of a message, encoded. */
export const MESSAGE_LIMIT_BYTES = 64 * 1024;

const VERSION = 1;
const DIRECT = 0x40;
const SKIPPABLE = 0x80;
const HEADER_BYTES = 2;
const DEEPEST = 64;

/** The kinds of frame. */
export const Kind = Object.freeze({ TEXT: 0, BYTES: 1, JSON: 2, CONTROL: 3 });

/** @typedef {import("../events.js").Data} Data */
/** @typedef {{ type: "content", data: Data, direct: boolean }} Content */
/**
 * @typedef {{ type: "ping", n: number } | { type: "pong", n: number } | { type: "bye" }} Control
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * @param {string} text
 * @returns {string}
 */
function wellFormed(text) {
  if (!isWellFormed(text)) {
    throw new InvalidArgument("text has lone surrogates and cannot be sent");
  }
  return text;
}

/**
 * Refuse what Python could not hold, or would hold as something else.
 * @param {unknown} value
 * @param {number} depth
 */
function checkJson(value, depth) {
  switch (typeof value) {
    case "string":
      wellFormed(value);
      return;
    case "boolean":
      return;
    case "number":
      if (!Number.isFinite(value)) {
        throw new InvalidArgument(`${value} is not JSON: send null or text`);
      }
      if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
        throw new InvalidArgument(`${value} is beyond 2**53 - 1: send it as text`);
      }
      return;
    case "object":
      if (value === null) return;
      if (depth > DEEPEST) {
        throw new InvalidArgument(`JSON nested deeper than ${DEEPEST}: send it as text`);
      }
      if (Array.isArray(value)) {
        for (const item of value) checkJson(item, depth + 1);
        return;
      }
      checkObject(value, depth);
      return;
    default:
      throw new InvalidArgument(`a message is a string, bytes or JSON, not ${typeof value}`);
  }
}

/**
 * @param {object} value
 * @param {number} depth
 */
function checkObject(value, depth) {
  const prototype = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new InvalidArgument(`${value.constructor?.name ?? "this object"} is not a JSON value`);
  }
  for (const [key, item] of Object.entries(value)) {
    wellFormed(key);
    if (item === undefined) throw new InvalidArgument(`${key} is undefined, which is not JSON`);
    checkJson(item, depth + 1);
  }
}

/**
 * Return the JSON text of a value that both languages can hold.
 * @param {unknown} value
 * @returns {string}
 * @throws {InvalidArgument} it has something in it that they cannot
 */
export function encodeJson(value) {
  checkJson(value, 0);
  return JSON.stringify(value);
}

/**
 * @param {number} kind
 * @param {Uint8Array} payload
 * @returns {Uint8Array<ArrayBuffer>}
 */
function framed(kind, payload) {
  const frame = new Uint8Array(HEADER_BYTES + payload.length);
  frame[0] = VERSION;
  frame[1] = kind;
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/**
 * Return the frame of a message.
 * @param {Data | ArrayBuffer | ArrayBufferView} data a string, bytes, or a JSON value
 * @param {boolean} [direct] it is for one peer alone
 * @throws {InvalidArgument} it is none of these
 * @throws {MessageTooLarge} its payload is over `MESSAGE_LIMIT_BYTES`
 */
export function encode(data, direct = false) {
  /** @type {number} */
  let kind;
  /** @type {Uint8Array} */
  let payload;
  if (typeof data === "string") {
    [kind, payload] = [Kind.TEXT, encoder.encode(wellFormed(data))];
  } else if (data instanceof ArrayBuffer) {
    [kind, payload] = [Kind.BYTES, new Uint8Array(data)];
  } else if (ArrayBuffer.isView(data)) {
    kind = Kind.BYTES;
    payload = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  } else {
    [kind, payload] = [Kind.JSON, encoder.encode(encodeJson(data))];
  }
  if (payload.length > MESSAGE_LIMIT_BYTES) {
    const text = `${payload.length} bytes; a message may have ${MESSAGE_LIMIT_BYTES}`;
    throw new MessageTooLarge(text);
  }
  return framed(direct ? kind | DIRECT : kind, payload);
}

/**
 * Return the frame of a control message.
 * @param {Control} control
 */
export function encodeControl(control) {
  return framed(Kind.CONTROL, encoder.encode(JSON.stringify(control)));
}

/**
 * Return what a frame says; null where it may be skipped.
 * @param {Uint8Array} frame
 * @returns {Content | Control | null}
 * @throws {InvalidMessage} it does not follow the protocol
 */
export function decode(frame) {
  if (frame.length < HEADER_BYTES || frame[0] !== VERSION) {
    throw new InvalidMessage(frame.length ? `a frame of version ${frame[0]}` : "an empty frame");
  }
  if (frame.length > HEADER_BYTES + MESSAGE_LIMIT_BYTES) {
    throw new InvalidMessage(`a frame of ${frame.length} bytes`);
  }
  const flags = /** @type {number} */ (frame[1]);
  const kind = flags & ~DIRECT;
  const direct = Boolean(flags & DIRECT);
  const payload = frame.subarray(HEADER_BYTES);
  switch (kind) {
    case Kind.TEXT:
      return { type: "content", data: textOf(payload, kind), direct };
    case Kind.BYTES:
      return { type: "content", data: payload, direct };
    case Kind.JSON:
      return { type: "content", data: jsonOf(payload, kind), direct };
    case Kind.CONTROL:
      return controlOf(jsonOf(payload, kind));
    default:
      if (kind & SKIPPABLE) return null;
      throw new InvalidMessage(`a frame of unknown kind ${kind}`);
  }
}

/**
 * @param {Uint8Array} payload
 * @param {number} kind
 */
function textOf(payload, kind) {
  try {
    return decoder.decode(payload);
  } catch (error) {
    throw new InvalidMessage(`a malformed frame of kind ${kind}: ${error}`);
  }
}

/**
 * @param {Uint8Array} payload
 * @param {number} kind
 * @returns {any}
 */
function jsonOf(payload, kind) {
  try {
    return parseJson(textOf(payload, kind));
  } catch (error) {
    if (error instanceof InvalidMessage) throw error;
    throw new InvalidMessage(`a malformed frame of kind ${kind}: ${error}`);
  }
}

/**
 * @param {any} value
 * @returns {Control | null}
 */
function controlOf(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidMessage("a control frame that is no object");
  }
  switch (value.type) {
    case "ping":
    case "pong":
      return Number.isSafeInteger(value.n) && value.n >= 0 ? { type: value.type, n: value.n } : null;
    case "bye":
      return { type: "bye" };
    default:
      return null;
  }
}
