// QR codes: what another encoder makes of the same text, to the module.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { qrCode } from "../../../src/thkmesh/web/page/qr.js";

// Made by python-qrcode 8.2: byte mode, level M, the mask given; a row is a number in hex.
const vectors = JSON.parse(
  await readFile(new URL("./qr.json", import.meta.url), "utf8"),
);

const rows = (/** @type {boolean[][]} */ code) => code
  .map((row) => BigInt(`0b${row.map(Number).join("")}`).toString(16))
  .join(" ");

test("a code is the one that another encoder makes, in every version and mask", () => {
  assert.deepEqual(new Set(vectors.map(({ version }) => version)).size, 10);
  assert.deepEqual(new Set(vectors.map(({ mask }) => mask)).size, 8);
  for (const { text, mask, rows: expected } of vectors) {
    assert.equal(rows(qrCode(text, mask)), expected, `${text} with mask ${mask}`);
  }
});

test("the mask chosen is one of the eight, and the same every time", () => {
  const { text } = vectors[0];
  const chosen = rows(qrCode(text));
  const all = vectors.filter((vector) => vector.text === text).map((vector) => vector.rows);
  assert.equal(all.length, 8);
  assert.ok(all.includes(chosen));
  assert.equal(rows(qrCode(text)), chosen);
});

test("what is too long has no code", () => {
  assert.equal(qrCode("x".repeat(213))?.length, 57);
  assert.equal(qrCode("x".repeat(214)), null);
  assert.equal(qrCode("ä".repeat(107)), null);
});
