// The contract with Python: whole lives of sessions, replayed call by call.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { Session } from "../../src/thkmesh/web/core/session.js";
import * as errors from "../../src/thkmesh/web/errors.js";

const file = new URL("../../spec/vectors/session.json", import.meta.url);
const vectors = JSON.parse(await readFile(file, "utf8"));

/**
 * Return a text, or the long one of which it is the number.
 * @param {string} text
 */
const long = (text) => (text.startsWith("$") ? vectors.texts[Number(text.slice(1))] : text);

/**
 * Return what a value of the vectors stands for.
 * @param {any} value
 * @returns {any}
 */
function revived(value) {
  if (typeof value === "string") return long(value);
  if (Array.isArray(value)) return value.map(revived);
  if (typeof value !== "object" || value === null) return value;
  if ("bytes" in value) return revivedBytes(value.bytes);
  if ("class" in value) return revivedError(value);
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, revived(item)]));
}

/**
 * Return bytes: the characters of their numbers, and how many there are of the same.
 * @param {string | (string | [number, number])[]} value
 */
function revivedBytes(value) {
  const parts = (typeof value === "string" ? [value] : value).map((part) => (
    typeof part === "string" ? Buffer.from(long(part), "latin1") : Buffer.alloc(part[1], part[0])));
  return new Uint8Array(Buffer.concat(parts));
}

/**
 * Return an error; its reason, if it has one, is that of its class.
 * @param {{ class: string, reason?: string, text: string | null, why?: string,
 *   until?: number }} value
 */
function revivedError(value) {
  const Kind = /** @type {any} */ (errors)[long(value.class)];
  const text = value.text === null ? "" : long(value.text);
  if (value.why !== undefined) {
    const kicked = new Kind(long(value.why), value.until);
    assert.equal(kicked.message, text);
    return kicked;
  }
  const error = new Kind(text);
  assert.equal(error.reason, value.reason === undefined ? undefined : long(value.reason));
  return error;
}

/**
 * Return what of an output is compared with what Python did: of an error its class and
 * text, if that is not a parser's, of a signal what its body says and not how.
 * @param {any} value
 * @param {any} expected
 * @returns {any}
 */
function shown(value, expected) {
  if (value instanceof Error) {
    return { class: value.name, text: expected?.message === "" ? "" : value.message };
  }
  if (Array.isArray(value)) return value.map((item, index) => shown(item, expected?.[index]));
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  const fields = Object.entries(value).map(([name, item]) => [name, shown(item, expected?.[name])]);
  const signal = value.type === "transmit-signal" && value.body !== "";
  return { ...Object.fromEntries(fields), ...(signal ? { body: JSON.parse(value.body) } : {}) };
}

for (const [index, { me, steps, ...settings }] of vectors.sessions.entries()) {
  test(`session ${index} of spec/vectors/session.json lives as in Python`, () => {
    /** @type {number[]} */
    let throws = [];
    const dice = () => {
      const thrown = throws.shift();
      assert.ok(thrown !== undefined, "Python threw no dice here");
      return thrown;
    };
    const session = new Session(long(me), settings, dice);
    for (const [number, [now, event, outputs, deadline, ...thrown]] of steps.entries()) {
      const where = `step ${number}, ${now} s: ${JSON.stringify(vectors.events[event])}`;
      throws = thrown;
      const expected = revived(vectors.outputs[outputs]);
      const done = session.handle(revived(vectors.events[event]), now);
      assert.deepEqual(shown(done, expected), shown(expected, expected), where);
      assert.equal(session.deadline, deadline, where);
      assert.deepEqual(throws, [], `${where}: Python threw more dice`);
    }
  });
}
