// The laws of the budget for candidates; see tests/core/test_candidates.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CANDIDATE_LIMIT, CandidateBudget } from "../../src/thkmesh/web/core/candidates.js";

/** @param {number} number */
const candidate = (number, rest = "") =>
  `candidate:${number} 1 udp 2122194687 192.0.2.1 ${number} typ host${rest}`;

/** @param {number} number */
const add = (number) => {
  const init = { usernameFragment: "abcd", sdpMid: "0", sdpMLineIndex: 0 };
  const text = candidate(number, " ufrag abcd network-id 1");
  return /** @type {const} */ ({ type: "add-candidate", candidate: { candidate: text, ...init } });
};

/**
 * @param {string} ufrag
 * @param {number} count
 */
const apply = (ufrag, count) => {
  const lines = Array.from({ length: count }, (_, number) => `a=${candidate(number)}`);
  const sdp = ["v=0", `a=ice-ufrag:${ufrag}`, ...lines, ""].join("\r\n");
  return /** @type {const} */ ({ type: "apply-remote", description: { type: "offer", sdp } });
};

test("candidates are allowed up to the limit, other operations always", () => {
  const budget = new CandidateBudget();
  assert.ok(budget.allows(apply("abcd", 0)));
  for (let number = 0; number < 2 * CANDIDATE_LIMIT; number += 1) {
    assert.equal(budget.allows(add(number)), number < CANDIDATE_LIMIT);
  }
  assert.ok(budget.allows({ type: "make-answer" }));
});

test("a candidate counts once, alone or in a description", () => {
  const budget = new CandidateBudget();
  for (let round = 0; round < 10; round += 1) {
    assert.ok(budget.allows(apply("abcd", CANDIDATE_LIMIT)));
    assert.ok(budget.allows(add(0)));
  }
  assert.ok(!budget.allows(add(CANDIDATE_LIMIT)));
});

test("a description with too many candidates is refused", () => {
  const budget = new CandidateBudget();
  assert.ok(!budget.allows(apply("abcd", CANDIDATE_LIMIT + 1)));
  assert.ok(budget.allows(apply("abcd", CANDIDATE_LIMIT)));
});

test("a restart of ICE starts from nothing", () => {
  const budget = new CandidateBudget();
  assert.ok(budget.allows(apply("abcd", CANDIDATE_LIMIT)));
  assert.ok(!budget.allows(add(CANDIDATE_LIMIT)));
  assert.ok(budget.allows(apply("efgh", 0)));
  assert.ok(budget.allows(add(CANDIDATE_LIMIT)));
});
