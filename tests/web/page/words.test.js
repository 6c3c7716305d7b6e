// The sentences: one for everything that goes wrong, honest and harmless.

import assert from "node:assert/strict";
import { test } from "node:test";

import * as errors from "../../../src/thkmesh/web/errors.js";
import {
  attendance, connection, departure, explain, obstacle, pathFacts, removal, suspicion,
  throughServer, typists, unsent,
} from "../../../src/thkmesh/web/page/words.js";

const peer = { id: "b".repeat(26), sid: "1".repeat(16), name: "Bob", metadata: {} };
const refused = (error, who = peer) => suspicion({ type: "refused", error, peer: who }, () => "Bob");

test("every error there is has a sentence, and a way out where there is one", () => {
  const evil = "<b>evil\u202e\x1b[2J</b>";
  for (const Kind of [...Object.values(errors), TypeError]) {
    const { text, action } = explain(new Kind(evil), "lobby");
    assert.match(text, /^[A-Z<\w].*[.…)]$/su, Kind.name);
    assert.doesNotMatch(text, /[\u202e\x1b]/, Kind.name);
    assert.ok(["Try again", "Use this tab", "Reload", undefined].includes(action));
    // Who is no member has no name here, but the one in the error's own text.
    const member = Kind !== errors.NotAMember && Kind !== errors.SecretWanted;
    assert.match(refused(new Kind(evil)), member ? /Bob.*\.$/ : /private.*evil.*\.$/);
    assert.doesNotMatch(refused(new Kind(evil)), /[\u202e\x1b]/);
    assert.match(unsent(new Kind(evil)), /^Not sent: .*\.$/);
  }
});

test("each trouble is told by its own name", () => {
  assert.match(explain(new errors.RoomFull("x"), "lobby").text, /^lobby is full/);
  assert.equal(explain(new errors.Replaced("x"), "lobby").action, "Use this tab");
  assert.match(explain(new errors.ServerUnreachable("x"), "lobby").text, /does not answer/);
  assert.equal(explain(new errors.ProtocolMismatch("x"), "lobby").action, "Reload");
  assert.match(explain(new errors.Unauthorized("no token"), "lobby").text, /let you in: no token/);
  const lock = (/** @type {string} */ why) => (
    explain(new errors.Unauthorized(`the signaling server closed with 4401: ${why}`), "lobby"));
  assert.match(lock("password-required").text, /asks for a password/);
  assert.match(lock("password-wrong").text, /not the password/);
  assert.match(lock("unauthorized").text, /does not let you in/);
  assert.match(explain(new errors.RoomClosed("it ended"), "lobby").text, /^It ended\.$/);
  assert.match(explain(new errors.Kicked("spam", 1.5e9), "lobby").text,
    /^You were removed from the room until 2017-07-14 02:40:00 UTC: spam\.$/);
  assert.match(explain("what", "lobby").text, /should not have happened: what/);
});

test("tampering is called so, and nothing else is", () => {
  for (const Kind of [errors.InvalidSignature, errors.Unsigned, errors.IdentityMismatch]) {
    assert.match(refused(new Kind("x")), /The server, or somebody on the way/);
  }
  assert.match(refused(new errors.InvalidMessage("x")), /does not follow the protocol/);
  assert.match(refused(new errors.IncompatiblePeer("x")), /^Bob speaks another version/);
  assert.match(refused(new errors.IncompatiblePeer("x"), null), /^Somebody speaks/);
  assert.match(refused(new errors.InvalidSignature("x"), null), /from somebody was refused/);
});

test("a page that cannot join says what to do", () => {
  const able = { crypto: { subtle: {} }, RTCPeerConnection: class {} };
  assert.equal(obstacle(able), null);
  assert.match(obstacle({ ...able, crypto: {} }), /https or on localhost.*--tls-self-signed$/);
  assert.match(obstacle({ ...able, crypto: undefined }), /not secure/);
  assert.match(obstacle({ ...able, RTCPeerConnection: undefined }), /no WebRTC/);
});

test("who types, who is here and how the ways are is told in short", () => {
  const [ada, bob] = [{ name: "Ada" }, { name: "Bob" }];
  assert.deepEqual(typists([]), []);
  assert.deepEqual(typists(["Ada"]), [ada, " is typing …"]);
  assert.deepEqual(typists(["Ada", "Bob"]), [ada, " and ", bob, " are typing …"]);
  assert.deepEqual(typists(["Ada", "Bob", "Cem"]), ["Several people are typing …"]);
  const here = (/** @type {string[]} */ ...states) => attendance(states).join("");
  assert.equal(here(), "1 here");
  assert.equal(here("connected"), "2 here, all connected");
  assert.equal(here("connected", "closed", "connecting"), "4 here, 1 of 3 connected");
  const reasons = /** @type {const} */ (["left", "timeout", "replaced"]);
  assert.deepEqual(reasons.map(departure), ["left", "is gone", "came back elsewhere"]);
  const path = { local: "host", remote: "srflx", protocol: "udp", ipVersion: /** @type {4} */ (4) };
  const quality = {
    grade: /** @type {const} */ ("good"), score: 70, rtt: 0.0124, jitter: 0, loss: 0, queueDelay: 0,
    outgoingRateBytes: 0, incomingRateBytes: 0, path,
  };
  const facts = (/** @type {any} */ change) => pathFacts({ ...quality, path: { ...path, ...change } });
  assert.deepEqual(facts({}), ["direct", "host – srflx", "UDP"]);
  assert.deepEqual(facts({ remote: null, protocol: null }), ["direct", "host"]);
  assert.deepEqual(facts({ local: null }), []);
  for (const end of ["local", "remote"]) assert.equal(facts({ [end]: "relay" })[0], "relayed");
  assert.deepEqual(pathFacts({ ...quality, path: null, loss: 0.034 }), ["3 % lost"]);
  assert.deepEqual(pathFacts(null), []);
  assert.equal(connection(quality), "good, 12 ms");
  assert.equal(connection({ ...quality, rtt: 0 }), "good, < 1 ms");
  assert.equal(connection(null), "connected");
  assert.equal(throughServer(quality), "relayed by the server, 12 ms");
  assert.equal(throughServer(null), "relayed by the server");
});

test("who is removed is told of, and why, harmlessly", () => {
  assert.equal(departure("kicked"), "was removed");
  assert.equal(removal(""), "was removed from the room");
  assert.equal(removal("spam\x1b"), "was removed from the room: spam");
});
