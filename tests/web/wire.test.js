// The contract with Python: what is a message, and what is refused.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import {
  decodeExpulsion, decodeIntroduction, decodeSignalBody, decodeToClient,
} from "../../src/thkmesh/web/core/wire.js";

const vectors = JSON.parse(
  await readFile(new URL("../../spec/vectors/wire.json", import.meta.url), "utf8"),
);

/**
 * Hold a decoder to a list of vectors.
 * @param {{ text: string, message?: object, error?: string }[]} cases
 * @param {(text: string) => object} decode
 */
function replay(cases, decode) {
  assert.ok(cases.length > 5);
  for (const { text, message, error } of cases) {
    if (message !== undefined) {
      assert.deepEqual(decode(text), message, text);
    } else {
      assert.throws(() => decode(text), (thrown) => thrown.reason === error, `${error}: ${text}`);
    }
  }
}

test("every message to a client decodes as in Python, or is refused for the same reason", () => {
  replay(vectors.toClient, decodeToClient);
});

test("every signal's body decodes as in Python, or is refused for the same reason", () => {
  replay(vectors.signals, (text) => decodeSignalBody(decodeToClient(text)));
});

test("every introduction decodes as in Python, or is refused for the same reason", () => {
  replay(vectors.introductions, (text) => ({ kind: "hello", ...decodeIntroduction(text) }));
});

test("every statement decodes as in Python, or is refused for the same reason", () => {
  replay(vectors.expulsions, (text) => ({ kind: "kicked", ...decodeExpulsion(text) }));
});
