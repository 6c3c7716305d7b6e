// Rooms: readable names, and what an address or somebody at a keyboard means by one.

import assert from "node:assert/strict";
import { test } from "node:test";

import { isRoom } from "../../../src/thkmesh/web/core/identity.js";
import { placeOf } from "../../../src/thkmesh/web/invitation.js";
import { isName, readableName, roomOf } from "../../../src/thkmesh/web/page/names.js";

test("a readable name is a room's, whatever the dice say", () => {
  for (const dice of [() => 0, () => 1 - Number.EPSILON / 2, Math.random]) {
    const name = readableName(dice);
    assert.match(name, /^[a-z]+-[a-z]+-[1-9]\d$/);
    assert.ok(isRoom(name));
  }
  assert.notEqual(readableName(() => 0), readableName(() => 0.99));
});

test("a room is what the library takes for one, with spaces read as dashes", () => {
  for (const name of ["lobby", "A.b_c-9", "x".repeat(64)]) assert.equal(roomOf(name), name);
  assert.equal(roomOf("  my big  room "), "my-big-room");
  for (const text of ["", " ", "a/b", "ä", "<b>", "x".repeat(65), "a\0b", "%20"]) {
    assert.equal(roomOf(text), null, text);
  }
});

test("a name has 1 to 64 characters, however many units those have", () => {
  for (const name of ["A", " Ada ", "x".repeat(64), "\u{1f600}".repeat(64)]) assert.ok(isName(name));
  for (const name of ["", " ", "x".repeat(65)]) assert.ok(!isName(name), name);
});

test("a link leads to the room after #, or else to ?room=", () => {
  const room = (/** @type {string} */ link) => placeOf(new URL(link, "http://x.org/")).room;
  assert.equal(room("/"), null);
  assert.equal(room("/#"), null);
  assert.equal(room("/?other=1"), null);
  assert.equal(room("/#lobby"), "lobby");
  assert.equal(room("/?room=lobby"), "lobby");
  assert.equal(room("/?room=one#two"), "two");
  assert.equal(room("/#a%20b"), "a b");
  assert.equal(room("/#%E0%A4%A"), "%E0%A4%A");
  assert.equal(room("/#%3Cimg%20src=x%3E"), "<img src=x>");
});
