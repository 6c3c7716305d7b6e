// When a link's candidates leave; the same law as in tests/core/test_link.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Channels } from "../../src/thkmesh/web/core/channels.js";
import { Budget } from "../../src/thkmesh/web/core/credit.js";
import { Link } from "../../src/thkmesh/web/core/link.js";
import { Traffic } from "../../src/thkmesh/web/core/traffic.js";
import { BATCHING, FIRST_BATCHING } from "../../src/thkmesh/web/core/trickle.js";

test("the first candidates wait less than later ones", () => {
  const link = new Link("a/1", "b/1", { rollback: true, iceRestart: true }, () => 0.5,
    new Traffic("b/1", new Channels(), new Budget()));
  let now = 0;
  /** @param {any} event */
  const signals = (event) => link.handle(event, now)
    .flatMap((output) => (output.type === "transmit-signal" ? [output.envelope] : []));
  /** @param {any} event */
  const report = (event) => signals({ type: "from-engine", number: link.number, event });

  assert.deepEqual(signals({ type: "online" }), []);
  report({
    type: "operation-done",
    operation: { type: "make-offer", iceRestart: false },
    description: { type: "offer", sdp: "v=0\r\na=ice-ufrag:mine\r\n" },
  });
  for (const patience of [FIRST_BATCHING, BATCHING, BATCHING]) {
    const candidate = {
      candidate: "candidate:1", usernameFragment: "mine", sdpMid: "0", sdpMLineIndex: 0,
    };
    assert.deepEqual(report({ type: "candidate-found", candidate }), []);
    now += 0.9 * patience;
    assert.deepEqual(signals({ type: "tick" }), []);
    now += 0.2 * patience;
    assert.deepEqual(signals({ type: "tick" }), ["webrtc-ice-candidate"]);
  }
});
