// What a browser remembers: enough, not for ever, and nothing that breaks the page.

import assert from "node:assert/strict";
import { test } from "node:test";

import {
  CHARACTERS_KEPT, Memory, MESSAGES_KEPT, ROOMS_KEPT,
} from "../../../src/thkmesh/web/page/memory.js";

/** A browser's storage, which may be full. */
class Drawer {
  constructor() {
    this.items = new Map();
    this.full = false;
  }

  getItem(key) {
    return this.items.get(key) ?? null;
  }

  setItem(key, value) {
    if (this.full) throw new Error("QuotaExceededError");
    this.items.set(key, value);
  }

  removeItem(key) {
    this.items.delete(key);
  }
}

const message = (id, changes = {}) => ({
  id,
  authorId: "a".repeat(26),
  name: "Ada",
  content: `said ${id}`,
  timestamp: "2025-11-21T09:55:00.000Z",
  mine: false,
  direct: false,
  ...changes,
});

test("a name, the rooms and what was said there are remembered", () => {
  const drawer = new Drawer();
  const memory = new Memory(drawer);
  assert.deepEqual([memory.name, memory.rooms, memory.history("lobby")], ["", [], []]);
  memory.name = "Ada";
  memory.visit("lobby");
  memory.visit("stage");
  memory.visit("lobby");
  memory.keep("lobby", [message("1")]);
  memory.keep("lobby", [message("2", { mine: true })]);
  const later = new Memory(drawer);
  assert.equal(later.name, "Ada");
  assert.deepEqual(later.rooms, ["lobby", "stage"]);
  assert.deepEqual(later.history("lobby"), [message("1"), message("2", { mine: true })]);
  assert.deepEqual(later.history("stage"), []);
});

test("two tabs of one room remember each message once, and whose it is", () => {
  const drawer = new Drawer();
  const [one, other] = [new Memory(drawer), new Memory(drawer)];
  one.keep("lobby", [message("1", { mine: true })]);
  other.keep("lobby", [message("1"), message("2")]);
  one.keep("lobby", [message("2"), message("1", { authorId: "b".repeat(26) })]);
  assert.deepEqual(one.history("lobby"), [
    message("1", { mine: true }), message("2"), message("1", { authorId: "b".repeat(26) }),
  ]);
});

test("memory is bounded", () => {
  const drawer = new Drawer();
  const memory = new Memory(drawer);
  const many = Array.from({ length: MESSAGES_KEPT + 5 }, (_, number) => message(String(number)));
  memory.keep("lobby", many);
  assert.deepEqual(memory.history("lobby"), many.slice(5));
  const long = Array.from({ length: 5 }, (_, number) =>
    message(`long ${number}`, { content: "x".repeat(CHARACTERS_KEPT / 2 - 200) }));
  memory.keep("lobby", long);
  assert.deepEqual(memory.history("lobby"), long.slice(3));
  for (let number = 0; number < ROOMS_KEPT + 3; number += 1) {
    memory.visit(`room-${number}`);
    memory.keep(`room-${number}`, [message("1")]);
  }
  assert.equal(memory.rooms.length, ROOMS_KEPT);
  assert.deepEqual(memory.history("room-0"), []);
  assert.equal(memory.history(`room-${ROOMS_KEPT + 2}`).length, 1);
});

test("what swells when it is stored is measured as it is stored", () => {
  const drawer = new Drawer();
  const memory = new Memory(drawer);
  const swelling = [
    { content: "\u0001".repeat(490) }, { content: "x", id: "\u0001".repeat(128) },
    { content: "", name: '"'.repeat(64) },
  ];
  const many = Array.from({ length: MESSAGES_KEPT }, (_, number) =>
    message(String(number), swelling[number % swelling.length]));
  memory.keep("lobby", many);
  const [stored] = drawer.items.values();
  const brackets = 2 + MESSAGES_KEPT;
  assert.ok(stored.length <= CHARACTERS_KEPT + brackets, String(stored.length));
  assert.ok(memory.history("lobby").length > 50);
});

test("a room can be forgotten", () => {
  const drawer = new Drawer();
  const memory = new Memory(drawer);
  memory.visit("lobby");
  memory.keep("lobby", [message("1")]);
  memory.forget("lobby");
  assert.deepEqual([memory.rooms, memory.history("lobby")], [[], []]);
  assert.ok(![...drawer.items.values()].some((value) => value.includes("said")));
});

test("a browser that stores nothing remembers while the page lives", () => {
  const full = new Drawer();
  full.full = true;
  const forbidden = {
    getItem() { throw new Error("SecurityError"); },
    setItem() { throw new Error("SecurityError"); },
    removeItem() { throw new Error("SecurityError"); },
  };
  for (const storage of [null, full, forbidden]) {
    const memory = new Memory(storage);
    assert.deepEqual([memory.name, memory.rooms], ["", []]);
    memory.name = "Ada";
    memory.visit("lobby");
    memory.keep("lobby", [message("1")]);
    assert.deepEqual([memory.name, memory.rooms], ["Ada", ["lobby"]]);
    assert.deepEqual(memory.history("lobby"), [message("1")]);
    memory.forget("lobby");
    assert.deepEqual([memory.rooms, memory.history("lobby")], [[], []]);
  }
});

test("whatever lies in the storage, the page goes on", () => {
  for (const junk of ["", "{", "7", "null", '"x"', "[1,null]", '[{"id":1}]', '{"length":3}']) {
    const drawer = new Drawer();
    for (const key of ["rooms", "history-lobby"]) drawer.setItem(`thkmesh-${key}`, junk);
    const memory = new Memory(drawer);
    assert.deepEqual([memory.rooms, memory.history("lobby")], [[], []], junk);
  }
  const drawer = new Drawer();
  const wrong = [{ timestamp: "never" }, { content: null }, { mine: 1 }, { id: 5 }];
  const kept = wrong.map((changes) => message("1", changes));
  drawer.setItem("thkmesh-history-lobby", JSON.stringify([...kept, message("2")]));
  assert.deepEqual(new Memory(drawer).history("lobby"), [message("2")]);
});
