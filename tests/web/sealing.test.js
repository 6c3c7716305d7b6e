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

/**
 * @param {number} number
 * @param {number} [remembered]
 */
async function sealer(number, remembered) {
  const { session, seed, publicKey } = vectors.sessions[number];
  // RFC 8410: the key as PKCS #8, which is all that WebCrypto takes.
  const pkcs8 = bytes(`302e020100300506032b656e04220420${seed}`);
  const key = await crypto.subtle.importKey("pkcs8", pkcs8, "X25519", false, ["deriveBits"]);
  return new Sealer(vectors.room, session, key, publicKey, remembered);
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

test("what was taken stays refused when its sender has been away", async () => {
  const [ada, bob] = await pair();
  const [from, to] = vectors.sessions;
  const passedOn = async (/** @type {string} */ text) => {
    const frame = await ada.seal(to.session, new TextEncoder().encode(text));
    frame.set(new TextEncoder().encode(from.session.replace(".", "")), 1);
    return frame;
  };
  const old = await passedOn("old");
  await bob.open(old);
  for (const leave of [() => bob.forget(from.session), () => bob.keep(new Set())]) {
    const news = await passedOn("news");
    leave();
    assert.equal(await bob.seal(from.session, new Uint8Array()), null);
    await assert.rejects(bob.open(news), { name: "InvalidSignature" });
    assert.equal(await bob.agree(from.session, from.publicKey), true);
    await assert.rejects(bob.open(old), { name: "InvalidMessage" });
    await bob.open(news);
  }
});

test("who is here is not forgotten for others", async () => {
  const { session: ada, publicKey } = vectors.sessions[0];
  const bob = await sealer(1, 3);
  assert.equal(await bob.agree(ada, publicKey), true);
  const others = [0, 1, 2].map((number) => `${"d".repeat(26)}.${String(number).padStart(16, "0")}`);
  const agreed = [];
  for (const each of others) agreed.push(await bob.agree(each, publicKey));
  assert.deepEqual(agreed, [true, true, false]);
  await bob.open(bytes(vectors.good));
  bob.forget(ada);
  assert.equal(await bob.agree(others[2], publicKey), false);
  assert.equal(await bob.agree(ada, publicKey), true);
  bob.forget(others[0]);
  assert.equal(await bob.agree(others[2], publicKey), true);
});
