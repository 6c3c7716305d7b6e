// The contract with Python: ids, forms, order, and the exact bytes that are signed.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import {
  decodeBytes, encodeBytes, helloPayload, isId, isRoom, isSid, kickedPayload, partsOf,
  proofPayload, sessionKey, signalPayload,
} from "../../src/thkmesh/web/core/identity.js";
import { isSecret } from "../../src/thkmesh/web/core/secret.js";
import { InvalidArgument } from "../../src/thkmesh/web/errors.js";
import { newSecret, parseLink } from "../../src/thkmesh/web/invitation.js";
import { Identity, idOfKey, Membership, verify } from "../../src/thkmesh/web/keys.js";

const vectors = JSON.parse(
  await readFile(new URL("../../spec/vectors/identity.json", import.meta.url), "utf8"),
);

const hex = (/** @type {Uint8Array} */ bytes) => Buffer.from(bytes).toString("hex");

test("an id is the hash of its key", async () => {
  for (const { key, id } of vectors.ids) assert.equal(await idOfKey(key), id);
  assert.equal(await idOfKey("short"), null);
});

test("ids, sids, rooms and secrets have the forms that they have in Python", () => {
  const forms = { id: isId, sid: isSid, room: isRoom, secret: isSecret };
  for (const [name, check] of Object.entries(forms)) {
    for (const text of vectors.forms[name].valid) assert.ok(check(text), `${name} ${text}`);
    for (const text of vectors.forms[name].invalid) assert.ok(!check(text), `${name} ${text}`);
  }
});

test("only canonical base64url is bytes", () => {
  for (const { text, length, hex: expected } of vectors.bytes) {
    const data = decodeBytes(text, length);
    assert.equal(data === null ? null : hex(data), expected, text);
    if (data !== null) assert.equal(encodeBytes(data), text);
  }
});

test("sessions are ordered by byte, as in Python", () => {
  const keys = vectors.order.map(([id, sid]) => sessionKey(id, sid));
  assert.deepEqual([...keys].sort(), keys);
  for (const [index, key] of keys.slice(1).entries()) assert.ok(keys[index] < key);
  const [[id, sid]] = vectors.order;
  assert.deepEqual(partsOf(sessionKey(id, sid)), { id, sid });
});

test("what is signed is the same to the byte", () => {
  for (const each of vectors.payloads) assert.equal(hex(payloadOf(each)), each.hex);
});

/** @param {any} each */
function payloadOf(each) {
  switch (each.context) {
    case "proof":
      return proofPayload(each.nonce, each.room, sessionKey(each.id, each.sid));
    case "kicked":
      return kickedPayload(each.room, each.body);
    case "hello":
      return helloPayload(each.room, sessionKey(each.id, each.sid), each.key, each.body);
    case "signal": {
      const source = sessionKey(each.id, each.sid);
      const to = sessionKey(each.toId, each.toSid);
      return signalPayload(each.room, source, to, each.seq, each.body);
    }
    default:
      throw new Error(each.context);
  }
}

test("who knows the secret proves it as in Python, and nobody else does", async () => {
  for (const { room, secret, id, sid, publicKey, proof } of vectors.memberships) {
    const [membership, session] = [new Membership(secret, room), sessionKey(id, sid)];
    assert.equal(await membership.proof(session, publicKey), proof);
    assert.ok(await membership.proves(proof, session, publicKey));
    const others = [
      [new Membership(newSecret(), room), proof, session, publicKey],
      [new Membership(secret, `${room.slice(1)}x`), proof, session, publicKey],
      [membership, proof, sessionKey(id, "f".repeat(16)), publicKey],
      [membership, proof, session, `x${publicKey.slice(1)}`],
      [membership, "", session, publicKey],
      [membership, `${proof.slice(1)}x`, session, publicKey],
    ];
    for (const [by, ...what] of /** @type {[any, any, any, any][]} */ (others)) {
      assert.ok(!(await by.proves(...what)));
    }
  }
});

test("links lead where they lead in Python", () => {
  for (const { link, leads } of vectors.links) {
    if (leads === null) assert.throws(() => parseLink(link), InvalidArgument, link);
    else assert.deepEqual(parseLink(link), leads, link);
  }
});

test("no two secrets are the same, and each has the form of one", () => {
  const secrets = new Set(Array.from({ length: 100 }, newSecret));
  assert.equal(secrets.size, 100);
  for (const secret of secrets) assert.ok(isSecret(secret));
});

test("Python's signatures verify, and its forgeries do not", async () => {
  const bytes = (/** @type {string} */ text) => Uint8Array.from(Buffer.from(text, "hex"));
  for (const { key, signature, payload } of vectors.signatures) {
    assert.ok(await verify(key, signature, bytes(payload)));
  }
  for (const { why, key, signature, payload } of vectors.forgeries) {
    assert.ok(!(await verify(key, signature, bytes(payload))), why);
  }
});

test("what an identity signs is its own", async () => {
  const identity = await Identity.generate();
  const payload = new TextEncoder().encode("hello");
  const signature = await identity.sign(payload);
  assert.equal(await idOfKey(identity.publicKey), identity.id);
  assert.ok(await verify(identity.publicKey, signature, payload));
  assert.ok(!(await verify(identity.publicKey, signature, new Uint8Array(5))));
});
