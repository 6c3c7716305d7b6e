/**
 * JSON that Python and JavaScript both hold exactly (I-JSON, RFC 7493). See `core/ijson.py`.
 * @module
 */

import { InvalidArgument } from "../errors.js";
import { isWellFormed } from "./text.js";

const DEEPEST = 64;

/**
 * Return a text without lone surrogates.
 * @param {string} text
 * @throws {InvalidArgument} it has some
 */
export function wellFormed(text) {
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
      if (typeof (/** @type {any} */ (value).toJSON) === "function") {
        throw new InvalidArgument("what says itself how it is written (toJSON) is not JSON");
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
