/**
 * Text that both languages can hold: no lone surrogates (RFC 7493, section 2.1).
 * @module
 */

const LONE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;
const ESCAPED = /\\u[dD][89a-fA-F]/;

/**
 * Tell whether text has no half of a surrogate pair, which UTF-8 cannot hold.
 * @param {string} text
 */
export function isWellFormed(text) {
  return !LONE.test(text);
}

/**
 * Parse JSON as Python does: text in it is well formed.
 * @param {string} json
 * @returns {any}
 * @throws {SyntaxError} it is not JSON
 */
export function parseJson(json) {
  const value = JSON.parse(json);
  // Only an escape can bring in a lone surrogate; UTF-8 cannot.
  if ((ESCAPED.test(json) || !isWellFormed(json)) && !allWellFormed(value)) {
    throw new SyntaxError("text has lone surrogates");
  }
  return value;
}

/**
 * @param {unknown} value
 * @returns {boolean}
 */
function allWellFormed(value) {
  if (typeof value === "string") return isWellFormed(value);
  if (typeof value !== "object" || value === null) return true;
  return Object.entries(value).every(([key, item]) => isWellFormed(key) && allWellFormed(item));
}
