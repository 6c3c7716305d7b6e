// What a session does, where the vectors do not say; see tests/core/test_session.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { sessionKey } from "../../src/thkmesh/web/core/identity.js";
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
