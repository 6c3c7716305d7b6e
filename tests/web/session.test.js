// What a session does, where the vectors do not say; see tests/core/test_session.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { sessionKey } from "../../src/thkmesh/web/core/identity.js";
import { MEMBER_LIMIT, Membership } from "../../src/thkmesh/web/core/membership.js";
import { Session } from "../../src/thkmesh/web/core/session.js";

const ME = sessionKey("a".repeat(26), "0".repeat(16));
const BOB = Object.freeze({ id: "b".repeat(26), sid: "1".repeat(16), name: "Bob", metadata: {} });
const TO_BOB = sessionKey(BOB.id, BOB.sid);

test("a full queue at the server is tried again", () => {
  const session = new Session(ME, { rollback: true, iceRestart: true }, () => 0.5);
  const tell = (/** @type {any} */ event) => /** @type {any[]} */ (session.handle(event, 0));
  tell({ type: "start" });
  const message = { type: "welcome", epoch: "one", resume: "s", pingInterval: 20, peers: [] };
  tell({ type: "welcomed", message, peers: [BOB] });
  const refused = { type: "signal-refused", toUserId: BOB.id, toSid: BOB.sid, seq: 1 };
  tell({ type: "heard", message: { ...refused, reason: "queue-full" } });
  tell({ type: "from-link", to: TO_BOB, event: { type: "renew" } });
  assert.ok(tell({ type: "tick" }).some(({ type }) => type === "open-connection"));
});

test("a peer that was given up and returns finds its link again", () => {
  const session = new Session(ME, { rollback: true, iceRestart: true }, () => 0.5);
  const tell = (/** @type {any} */ event) => /** @type {any[]} */ (session.handle(event, 0));
  const engine = (/** @type {number} */ number, /** @type {any} */ event) =>
    tell({ type: "from-link", to: TO_BOB, event: { type: "from-engine", number, event } });
  const own = {
    type: "operation-done", operation: { type: "make-offer", iceRestart: false },
    description: { type: "offer", sdp: "v=0" },
  };
  const seqs = (/** @type {any[]} */ out) =>
    [...new Set(out.filter(({ type }) => type === "transmit-signal").map(({ seq }) => seq))];

  tell({ type: "start" });
  const message = { type: "welcome", epoch: "one", resume: "s", pingInterval: 20, peers: [] };
  tell({ type: "welcomed", message, peers: [BOB] });
  engine(1, { type: "channel-opened", channel: 0 });
  assert.deepEqual(seqs(engine(1, own)), [1]);
  engine(1, { type: "channel-closed", channel: 0 });
  const generation = session.link(TO_BOB)?.generation ?? 0;
  const left = { type: "peer-left", userId: BOB.id, sid: BOB.sid, reason: "timeout" };
  tell({ type: "heard", message: left });
  assert.equal(session.link(TO_BOB), null);

  const back = tell({ type: "introduced", peer: BOB });
  assert.deepEqual(seqs(back), [1]);
  const opened = back.find(({ type }) => type === "open-connection");
  assert.ok((session.link(TO_BOB)?.generation ?? 0) > generation);
  assert.deepEqual(seqs(engine(opened.number, own)), [2]);
});

/**
 * Return so many peers, all of other identities and all higher than we.
 * @param {number} many
 */
const crowd = (many) => Array.from({ length: many }, (_, number) => (
  { id: `z${String(number).padStart(25, "0")}`, sid: "1".repeat(16), name: "", metadata: {} }
));

test("only so many members are believed to be there", () => {
  const session = new Session(ME, { rollback: true, iceRestart: true }, () => 0.5);
  session.handle({ type: "start" }, 0);
  const message = { type: "welcome", epoch: "one", resume: "s", pingInterval: 20, peers: [] };
  session.handle({ type: "welcomed", message, peers: crowd(MEMBER_LIMIT + 2) }, 0);
  assert.deepEqual(session.peers, crowd(MEMBER_LIMIT));
});

test("only so many links are remembered, and the oldest is a stranger again", () => {
  const session = new Session(ME, { rollback: true, iceRestart: true }, () => 0.5);
  session.handle({ type: "start" }, 0);
  const message = { type: "welcome", epoch: "one", resume: "s", pingInterval: 20, peers: [] };
  session.handle({ type: "welcomed", message, peers: [] }, 0);
  const peers = crowd(257);
  for (const peer of peers) {
    session.handle({ type: "introduced", peer }, 0);
    const left = { type: "peer-left", userId: peer.id, sid: peer.sid, reason: "timeout" };
    session.handle({ type: "heard", message: left }, 0);
  }
  for (const [index, generation] of [[0, 1], [256, 2]]) {
    const peer = /** @type {any} */ (peers[/** @type {number} */ (index)]);
    session.handle({ type: "introduced", peer }, 0);
    assert.equal(session.link(sessionKey(peer.id, peer.sid))?.generation, generation);
  }
});

test("only so many goodbyes are remembered", () => {
  const members = new Membership(ME);
  const peers = crowd(1025);
  for (const { id, sid } of peers) members.goodbye(sessionKey(id, sid));
  const [first, second] = /** @type {any[]} */ (peers);
  assert.deepEqual(members.ready(second), []);
  assert.deepEqual(members.ready(first), [{ type: "arrived", peer: first }]);
});
