// What `join` refuses before anything is started, and what it says; see tests/shell/test_settings.py.

import assert from "node:assert/strict";
import { test } from "node:test";

import { InvalidArgument } from "../../src/thkmesh/web/errors.js";
import { join } from "../../src/thkmesh/web/index.js";
import { checked } from "../../src/thkmesh/web/settings.js";

const NEEDED = { room: "lobby", url: "https://example.org" };
const turn = (rest) => ({ iceServers: [{ urls: ["turn:host"], ...rest }] });

/** @type {[any, RegExp][]} */
const REFUSED = [
  [{ room: "" }, /cannot name a room/],
  [{ room: 7 }, /cannot name a room/],
  [{ url: 7 }, /7 is no server/],
  [{ url: null }, /null is no server/],
  [{ url: "ftp://host" }, /is no server/],
  [{ url: "https://host/?rooms=x" }, /is no server/],
  [{ url: "https://host/?room=x" }, /the link has another room: pass one of the two/],
  [{ url: "https://host/#x" }, /the link has another room/],
  [{ url: "https://host/#!x" }, /the link leads to no room: !x/],
  [{ url: "https://host/#lobby&secret=short" }, /cut off or changed: a secret has 22 to 128/],
  [{ url: `https://host/#secret=${"x".repeat(22)}` }, /has a secret, but names no room/],
  [
    { url: `https://host/#lobby&secret=${"x".repeat(22)}`, secret: "y".repeat(22) },
    /has another secret/,
  ],
  [{ secret: "x".repeat(21) }, /a secret has 22 to 128/],
  [{ secret: "correct horse battery staple" }, /drawn at random, not thought up/],
  [{ secret: 7 }, /a secret has 22 to 128/],
  [{ secret: "" }, /a secret has 22 to 128/],
  [{ name: null }, /a name is text/],
  [{ name: "x".repeat(65) }, /a name is text/],
  [{ name: "\ud800" }, /lone surrogates/],
  [{ metadata: null }, /metadata is a JSON object/],
  [{ metadata: [] }, /metadata is a JSON object/],
  [{ metadata: "x" }, /metadata is a JSON object/],
  [{ metadata: new Map() }, /Map is not a JSON value/],
  [{ metadata: { a: "x".repeat(4096) } }, /have 4106 bytes; 4096 are allowed/],
  [{ metadata: { a: '"'.repeat(2000) } }, /make an introduction of \d+ bytes/],
  [{ token: 5 }, /a token is ASCII text/],
  [{ password: 5 }, /a password is text/],
  [{ password: "\u{1F98A}".repeat(257) }, /a password is text/],
  [{ password: "x", token: "y" }, /not both/],
  [{ password: "x", token: () => "y" }, /not both/],
  [{ token: "é" }, /a token is ASCII text/],
  [{ token: "x".repeat(8193) }, /a token is ASCII text/],
  [{ identity: "forever" }, /identity is "tab", "stable" or an Identity/],
  [{ identity: null }, /identity is "tab", "stable" or an Identity/],
  [{ privacy: "high" }, /privacy is "all" or "relay"/],
  [{ timeout: 0 }, /timeout is a number/],
  [{ timeout: NaN }, /timeout is a number/],
  [{ timeout: -1 }, /timeout is a number/],
  [{ timeout: "10" }, /timeout is a number/],
  [{ timeout: null }, /timeout is a number/],
  [{ heartbeatInterval: 0.4 }, /heartbeatInterval is a number of seconds from 0.5 to 60/],
  [{ heartbeatInterval: NaN }, /heartbeatInterval is a number/],
  [{ disconnectTimeout: 301 }, /disconnectTimeout is a number of seconds from 1 to 300/],
  [{ disconnectTimeout: "10" }, /disconnectTimeout is a number/],
  [{ failedTimeout: 0 }, /failedTimeout is a number of seconds from 2 to 300/],
  [{ failedTimeout: null }, /failedTimeout is a number/],
  [{ signal: "now" }, /signal is an AbortSignal/],
  [{ log: "console" }, /log is a function/],
  [{ iceServers: "stun:host" }, /iceServers is an array/],
  [{ iceServers: [7] }, /is no URL like stun:/],
  [{ iceServers: [null] }, /is no URL like stun:/],
  [{ iceServers: ["host:3478"] }, /host:3478 is no URL like stun:/],
  [{ iceServers: [{ urls: ["http://host"] }] }, /is no URL like stun:/],
  [{ iceServers: [{ urls: [] }] }, /has urls/],
  [{ iceServers: ["turn:host"] }, /turn:host needs/],
  [turn({ username: "ada" }), /turn:host needs/],
];

test("what cannot be meant is refused at once, and the text says what to pass", async () => {
  for (const [options, sentence] of REFUSED) {
    await assert.rejects(join({ ...NEEDED, ...options }), (error) => {
      assert.ok(error instanceof InvalidArgument, `${JSON.stringify(options)}: ${error}`);
      assert.match(error.message, sentence);
      return true;
    });
  }
  for (const nothing of [undefined, null, "lobby", []]) {
    await assert.rejects(join(nothing), InvalidArgument);
  }
});

test("limits include their last value", () => {
  for (const options of [
    { room: "x".repeat(64) },
    { name: "\u{1f600}".repeat(64) },
    { metadata: { a: "x".repeat(4085) } },
    { token: "x".repeat(8192) },
    { token: () => "x" },
    { token: async () => "x" },
    { password: "\u{1F98A}".repeat(256) },
    { password: "", token: "x" },
    { timeout: Infinity },
    { iceServers: [] },
    turn({ username: "", credential: "" }),
  ]) checked({ ...NEEDED, ...options });
});

test("the size of an introduction is the one that the server sees", () => {
  // As in Python: an introduction of nothing but quotation marks, which are `\\\"` in the end.
  const fits = (count) => {
    try {
      checked({ ...NEEDED, room: "r".repeat(64), metadata: { a: '"'.repeat(count) } });
      return true;
    } catch (error) {
      assert.match(error.message, /escaped/);
      return false;
    }
  };
  const bare = JSON.stringify({
    type: "peer-ready", roomId: "r".repeat(64), fromUserId: "x".repeat(26), fromSid: "x".repeat(16),
    key: "x".repeat(43), signature: "x".repeat(86),
    body: JSON.stringify({
      kind: "hello", protocol: [1, 1], name: "", relay: "x".repeat(43), metadata: { a: "" },
    }),
  }).length;
  const most = Math.floor((6144 - bare) / 4);
  assert.ok(fits(most));
  assert.ok(!fits(most + 1));
});

test("the caller's metadata stays the caller's", () => {
  const metadata = { colours: ["red"] };
  const { signaling } = checked({ ...NEEDED, metadata });
  metadata.colours.push("blue");
  assert.deepEqual(signaling.metadata, { colours: ["red"] });
});

test("URLs become servers without credentials", () => {
  const known = { urls: "turns:host", username: "ada", credential: "secret" };
  const { connecting } = checked({ ...NEEDED, iceServers: ["stun:host", known], privacy: "relay" });
  const { iceServers, relayOnly } = connecting;
  assert.deepEqual(iceServers, [{ urls: ["stun:host"] }, { ...known, urls: ["turns:host"] }]);
  assert.equal(relayOnly, true);
});

test("the times of links are as given, up to their bounds", () => {
  const given = { heartbeatInterval: 60, disconnectTimeout: 1, failedTimeout: 300 };
  const { heartbeatInterval, disconnectTimeout, failedTimeout } = checked({ ...NEEDED, ...given })
    .connecting;
  assert.deepEqual({ heartbeatInterval, disconnectTimeout, failedTimeout }, given);
});
