// Sealing, by the vectors that Python wrote; see tests/test_sealing.py.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import * as errors from "../../src/thkmesh/web/errors.js";
import { Sealer } from "../../src/thkmesh/web/sealing.js";

const vectors = JSON.parse(
  await readFile(new URL("../../spec/vectors/sealing.json", import.meta.url), "utf8"),
);

/** @param {string} hex */
const bytes = (hex) => Uint8Array.from(Buffer.from(hex, "hex"));

/** @param {number} number */
async function sealer(number) {
  const { session, seed, publicKey } = vectors.sessions[number];
  // RFC 8410: the key as PKCS #8, which is all that WebCrypto takes.
  const pkcs8 = bytes(`302e020100300506032b656e04220420${seed}`);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]);
  return new Sealer(vectors.room, session, key, publicKey);
}

/** The first two, with keys agreed. */
async function pair() {
  const made = [await sealer(0), await sealer(1)];
  for (const [one, other] of [[0, 1], [1, 0]]) {
    const { session, publicKey } = vectors.sessions[other];
    assert.equal(await made[one].agree(session, publicKey), true);
  }
  return made;
}

test("frames are sealed and opened as in Python", async () => {
  const made = await pair();
  for (const { from, to, datagram, frame, passedOn } of vectors.sealed) {
    const sealed = await made[from].seal(vectors.sessions[to].session, bytes(datagram));
    assert.equal(Buffer.from(sealed).toString("hex"), frame);
    const opened = await made[to].open(bytes(passedOn));
    assert.equal(opened.source, vectors.sessions[from].session);
    assert.equal(Buffer.from(opened.data).toString("hex"), datagram);
  }
});

for (const { why, frame, error } of vectors.refused) {
  test(`a frame that is refused: ${why}`, async () => {
    const [, receiver] = await pair();
    await receiver.open(bytes(vectors.good));
    const whole = typeof frame === "string"
      ? bytes(frame) : bytes(frame.hex + "00".repeat(frame.zeros));
    await assert.rejects(receiver.open(whole), (/** @type {any} */ thrown) => (
      thrown instanceof errors.PeerError && thrown.constructor.name === error));
  });
}

test("a bad key agrees on nothing", async () => {
  for (const key of vectors.notKeys) {
    const one = await sealer(0);
    assert.equal(await one.agree(vectors.sessions[1].session, key), false, key);
    assert.equal(await one.seal(vectors.sessions[1].session, new Uint8Array(1)), null);
  }
});

test("a drawn key agrees like one of Python's", async () => {
  const { room, sessions } = vectors;
  const one = await Sealer.generate(room, sessions[0].session);
  const other = await Sealer.generate(room, sessions[1].session);
  assert.ok(one !== null && other !== null);
  assert.equal(await one.agree(sessions[1].session, other.publicKey), true);
  assert.equal(await other.agree(sessions[0].session, one.publicKey), true);
  const frame = await one.seal(sessions[1].session, bytes("c0ffee"));
  assert.ok(frame !== null);
  frame.set(new TextEncoder().encode(sessions[0].session.replace(".", "")), 1);
  const { data } = await other.open(frame);
  assert.deepEqual(data, bytes("c0ffee"));
});
