// A visit: it keeps trying where that can help, and says why where it cannot.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Replaced, RoomFull, ServerUnreachable } from "../../../src/thkmesh/web/errors.js";
import { Visit } from "../../../src/thkmesh/web/page/visit.js";
import { Subscription } from "../../../src/thkmesh/web/subscription.js";

const peer = { id: "b".repeat(26), sid: "1".repeat(16), name: "Bob", metadata: {} };

/** A room of one, as far as a chat needs it. */
class EmptyRoom {
  name = "lobby";
  me = { id: "a".repeat(26), sid: "0".repeat(16), name: "Ada", metadata: {} };
  peers = [];
  left = false;
  subscription = new Subscription(this);

  subscribe() {
    return this.subscription;
  }

  unsubscribe() {}

  async leave() {
    this.left = true;
    this.subscription.end(null);
  }
}

/** Return a visit to what `joins` give, one after the other, and what it told. */
function visiting(...joins) {
  return watched([], ...joins);
}

/** Return the same, told to a view that throws at some states and events. */
function watched(faults, ...joins) {
  const told = [];
  const tell = (happening, what) => {
    told.push(what);
    if (faults.includes(happening)) throw new Error(`the view fails at ${happening}`);
  };
  const join = async () => {
    const next = joins.shift();
    if (next instanceof Error) throw next;
    return next;
  };
  const visit = new Visit(join, {
    changed: () => tell(visit.state, [visit.state, visit.error?.name ?? null]),
    heard: ({ type }) => tell(type, type),
    failed: ({ message }) => told.push(message),
  });
  return { visit, told };
}

/** Let everything that can happen happen. */
const quiet = () => new Promise((resolve) => setImmediate(resolve));

test("what happens in the room is heard until it is left", async () => {
  const room = new EmptyRoom();
  const { visit, told } = visiting(room);
  const over = visit.enter();
  await quiet();
  assert.equal(visit.room, room);
  room.subscription.put({ type: "peer-joined", peer });
  await quiet();
  visit.leave();
  room.subscription.put({ type: "peer-left", peer, reason: "left" });
  await over;
  assert.ok(room.left);
  assert.deepEqual(told, [["joining", null], ["inside", null], "peer-joined"]);
});

test("an absent server is tried again, a full room is not", async () => {
  const away = () => new ServerUnreachable("no answer");
  const { visit, told } = visiting(away(), away(), new RoomFull("full"));
  await visit.enter();
  assert.deepEqual(told, [
    ["joining", null], ["waiting", "ServerUnreachable"], ["waiting", "ServerUnreachable"],
    ["over", "RoomFull"],
  ]);
});

test("who was replaced can come back", async () => {
  const [first, second] = [new EmptyRoom(), new EmptyRoom()];
  const { visit, told } = visiting(first, second);
  const over = visit.enter();
  await quiet();
  first.subscription.end(new Replaced("a newer session"));
  await over;
  assert.deepEqual([visit.state, visit.room], ["over", null]);
  void visit.enter();
  void visit.enter(); // a second press of the button does nothing
  await quiet();
  assert.equal(visit.room, second);
  assert.deepEqual(told, [
    ["joining", null], ["inside", null], ["over", "Replaced"], ["joining", null], ["inside", null],
  ]);
});

test("leaving while joining leaves the room that is joined in the end", async () => {
  const room = new EmptyRoom();
  const { visit, told } = visiting(room);
  const over = visit.enter();
  visit.leave();
  await over;
  assert.ok(room.left);
  assert.deepEqual(told, [["joining", null]]);
});

test("leaving while the server is away stops trying", async () => {
  const { visit, told } = visiting(new ServerUnreachable("no answer"), new EmptyRoom());
  const over = visit.enter();
  visit.leave();
  await over;
  assert.deepEqual(told, [["joining", null]]);
});

test("who left with the page enters when it is back, once leaving is over", async () => {
  const rooms = [new EmptyRoom(), new EmptyRoom(), new EmptyRoom()];
  const { visit, told } = visiting(...rooms);
  void visit.enter();
  await quiet();
  visit.enterAgain(); // the page was faster than the end of the room
  assert.equal(visit.room, rooms[0]);
  rooms[0].subscription.end(null);
  await quiet();
  assert.equal(visit.room, rooms[1]);
  rooms[1].subscription.end(null);
  await quiet();
  visit.enterAgain();
  await quiet();
  assert.equal(visit.room, rooms[2]);
  const stay = [["joining", null], ["inside", null], ["over", null]];
  assert.deepEqual(told, [...stay, ...stay, ...stay.slice(0, 2)]);
});

test("a page that comes back while it joins does not come back once it is replaced", async () => {
  const [first, second] = [new EmptyRoom(), new EmptyRoom()];
  const { visit, told } = visiting(first, second);
  const over = visit.enter();
  visit.enterAgain();
  await quiet();
  first.subscription.end(new Replaced("a newer session"));
  await over;
  await quiet();
  assert.deepEqual(told, [["joining", null], ["inside", null], ["over", "Replaced"]]);
});

test("a view that throws does not end the visit", async () => {
  const room = new EmptyRoom();
  const { visit, told } = watched(["joining", "inside", "peer-joined"], room);
  const over = visit.enter();
  await quiet();
  room.subscription.put({ type: "peer-joined", peer });
  room.subscription.put({ type: "peer-left", peer, reason: "left" });
  await quiet();
  assert.deepEqual([visit.state, visit.room], ["inside", room]);
  visit.leave();
  await over;
  assert.ok(room.left);
  assert.deepEqual(told, [
    ["joining", null], "the view fails at joining", ["inside", null], "the view fails at inside",
    "peer-joined", "the view fails at peer-joined", "peer-left",
  ]);
});
