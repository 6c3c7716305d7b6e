// Rooms as a page sees them, with a server and a page of which the tests hold the other end.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Chat } from "../../src/thkmesh/web/chat.js";
import { helloPayload, sessionKey } from "../../src/thkmesh/web/core/identity.js";
import { EngineError, InvalidArgument, RoomClosed } from "../../src/thkmesh/web/errors.js";
import { Identity } from "../../src/thkmesh/web/keys.js";
import { Room } from "../../src/thkmesh/web/room.js";

const ROOM = "lobby";
const SID = "00000000000000aa";

/** A server in whose rooms there is always one peer. */
class FakeServer extends EventTarget {
  static OPEN = 1;
  /** Seconds until it welcomes. */
  static delay = 0;
  /** @type {FakeServer[]} */
  static all = [];
  /** @type {object} */
  static ready;
  readyState = 0;
  /** @type {string[]} */
  heard = [];

  /** @param {string} url */
  constructor(url) {
    super();
    this.url = url;
    FakeServer.all.push(this);
    setTimeout(() => {
      this.readyState = FakeServer.OPEN;
      this.dispatchEvent(new Event("open"));
      this.say({ type: "challenge", nonce: "n", epoch: "e", protocol: [1, 1] });
    });
  }

  /** @param {string} text */
  send(text) {
    const { type } = JSON.parse(text);
    this.heard.push(type);
    if (type !== "hello") return;
    const peers = [FakeServer.ready];
    const welcome = { type: "welcome", roomId: ROOM, epoch: "e", resume: "r", peers };
    setTimeout(() => this.say(welcome), FakeServer.delay * 1000).unref();
  }

  /** @param {object} message */
  say(message) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(message) }));
  }

  close(code = 1006) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), { code, reason: "" }));
  }
}

/** An event target that knows how many listen. */
class Listened extends EventTarget {
  listeners = 0;

  addEventListener(...what) {
    this.listeners += 1;
    super.addEventListener(...what);
  }

  removeEventListener(...what) {
    this.listeners -= 1;
    super.removeEventListener(...what);
  }
}

/** What was thrown where nobody could catch it. @type {any[]} */
const reported = [];
const reportError = (/** @type {unknown} */ error) => reported.push(error);
const page = new Listened();
const shown = Object.assign(new Listened(), { visibilityState: "visible" });
const network = new Listened();
Object.defineProperty(globalThis, "navigator", { value: { connection: network } });
Object.assign(globalThis, {
  WebSocket: FakeServer,
  reportError,
  document: shown,
  addEventListener: page.addEventListener.bind(page),
  removeEventListener: page.removeEventListener.bind(page),
});

let bob = await Identity.generate();
while (bob.id < "i") bob = await Identity.generate(); // there are always lower ones
{
  const body = JSON.stringify({
    kind: "hello", protocol: [1, 1], name: "Bob", metadata: { deep: { er: [1] } },
  });
  const payload = helloPayload(ROOM, sessionKey(bob.id, SID), bob.publicKey, body);
  FakeServer.ready = {
    type: "peer-ready", roomId: ROOM, fromUserId: bob.id, fromSid: SID, key: bob.publicKey, body,
    signature: await bob.sign(payload),
  };
}

afterEach(() => {
  assert.deepEqual(reported.splice(0), []);
  const listeners = [page, shown, network].map((target) => target.listeners);
  assert.deepEqual(listeners, [0, 0, 0], "somebody still listens");
  FakeServer.delay = 0;
  FakeServer.all = [];
  shown.visibilityState = "visible";
});

/** What sessions were told. @type {string[]} */
const told = [];

/** A host whose browser makes no connections, and that hears what sessions are told. */
const HOST = {
  open() {
    throw new EngineError("not in this test");
  },
  adopt(driver) {
    const feed = driver.feed.bind(driver);
    driver.feed = (event) => {
      told.push(event.type);
      feed(event);
    };
  },
};

/** Return a room, not entered. */
async function outside(options = {}, metadata = {}, identity = undefined) {
  const settings = {
    url: "ws://server/ws", room: ROOM, identity: identity ?? await Identity.generate(), sid: SID,
    name: "Ada", metadata, token: "",
  };
  return new Room(settings, {
    iceServers: [], relayOnly: false, receive: true, watchNetwork: true, timeout: 10,
    hasty: false, log: () => {},
    ...options,
  }, HOST);
}

/** Return a room that has been entered. */
async function inside(...how) {
  const room = await outside(...how);
  await room.enter();
  return room;
}

/** Return the types of all events that come. */
async function typesOf(events) {
  const types = [];
  for await (const { type } of events) types.push(type);
  return types;
}

// --- iterating ------------------------------------------------------------------------

test("iterating ends when the room is left, also where nothing was received", async () => {
  const room = await inside({ receive: false });
  const reading = typesOf(room);
  const reader = typesOf(room.subscribe());
  await room.leave({ patience: 0 });
  assert.deepEqual(await reading, []);
  assert.ok((await reader).includes("link-changed"));
});

test("who begins to read a room that was left is not kept waiting", async () => {
  const room = await inside();
  await room.leave({ patience: 0 });
  assert.deepEqual(await typesOf(room.subscribe()), []);
  assert.ok((await typesOf(new Chat(room))).includes("peer-joined"));
  assert.ok((await typesOf(room)).includes("peer-joined"));
});

test("who begins to read a room that ended otherwise is told why", async () => {
  const room = await inside();
  const ended = new Promise((resolve) => {
    room.addEventListener("server-changed", ({ detail }) => {
      if (detail.state === "closed") resolve(undefined);
    });
  });
  FakeServer.all[0].say({ type: "error", reason: "not-yours", message: "no" });
  FakeServer.all[0].close(4400);
  await ended;
  await assert.rejects(room.send("too late"), (error) => error === room.error);
  await assert.rejects(typesOf(room), (error) => error === room.error);
  await assert.rejects(typesOf(room.subscribe()), (error) => error === room.error);
  await assert.rejects(typesOf(new Chat(room)), (error) => error === room.error);
});

test("a chat that is made late has missed nothing", async () => {
  const room = await inside();
  const [chat, reader] = [new Chat(room), room.subscribe()];
  const { value } = await chat.next();
  assert.deepEqual([value.type, value.peer.name], ["peer-joined", "Bob"]);
  await room.leave({ patience: 0 });
  assert.ok(!(await typesOf(reader)).includes("peer-joined"));
});

// --- joining and leaving --------------------------------------------------------------

for (const timeout of [Infinity, 3e6]) {
  test(`who waits for ${timeout} seconds waits`, async () => {
    FakeServer.delay = 0.05;
    const room = await inside({ timeout });
    await room.leave({ patience: 0 });
  });
}

test("patience is a number", async () => {
  const room = await inside();
  for (const patience of [NaN, -1, "1", null]) {
    await assert.rejects(room.leave({ patience }), InvalidArgument);
  }
  assert.ok(!room.closed);
  await room.leave({ patience: Infinity });
  await assert.rejects(room.send("too late"), RoomClosed);
});

test("joining can be given up, and leaves nothing behind", async () => {
  FakeServer.delay = 1000;
  const [reason, given] = [new Error("no longer wanted"), new AbortController()];
  const identity = await Identity.generate();
  let released = 0;
  identity.release = () => {
    released += 1;
  };
  const room = await outside({ signal: given.signal }, {}, identity);
  const entering = assert.rejects(room.enter(), (error) => error === reason);
  setTimeout(() => given.abort(reason), 20);
  await entering;
  assert.ok(room.closed);
  assert.equal(released, 1);
  assert.deepEqual(FakeServer.all.map(({ readyState }) => readyState), [3]);
});

test("once a room is joined, giving up joining changes nothing", async () => {
  const given = new AbortController();
  const room = await inside({ signal: given.signal });
  given.abort();
  await room.send("still here");
  await room.leave({ patience: 0 });
});

test("an identity is let go of by the last room that uses it", async () => {
  const identity = await Identity.generate();
  let released = 0;
  identity.release = () => {
    released += 1;
  };
  const first = await inside({}, {}, identity);
  const second = await inside({}, {}, identity);
  await first.leave({ patience: 0 });
  assert.equal(released, 0);
  await second.leave({ patience: 0 });
  assert.equal(released, 1);
});

// --- looking --------------------------------------------------------------------------

test("what peers say of themselves is nobody's to change", async () => {
  const room = await inside({}, { mine: [1] });
  assert.throws(() => room.me.metadata.mine.push(2), TypeError);
  assert.throws(() => room.peers[0].metadata.deep.er.push(2), TypeError);
  await room.leave({ patience: 0 });
});

test("a log that throws loses nothing but its lines", async () => {
  // Only the lower of two opens a connection, which this test's browser refuses.
  let lower = await Identity.generate();
  while (lower.id > bob.id) lower = await Identity.generate();
  const log = (/** @type {string} */ line) => {
    throw new Error(line);
  };
  const room = await inside({ log }, {}, lower);
  await room.leave({ patience: 0 });
  const lines = reported.splice(0).map(({ message }) => message);
  assert.ok(lines.includes("peer-joined Bob"), String(lines));
  assert.ok(lines.includes("server-changed connected"), String(lines));
  assert.ok(lines.some((line) => line.startsWith("no connection to")), String(lines));
  assert.ok((await typesOf(room)).includes("peer-joined"));
});

// --- the page -------------------------------------------------------------------------

/** @type {[EventTarget, string, string, boolean][]} */
const NEWS = [
  [page, "online", "hidden", true],
  [page, "offline", "visible", true],
  [page, "pageshow", "hidden", true],
  [shown, "visibilitychange", "visible", true],
  [shown, "visibilitychange", "hidden", false],
  [shown, "resume", "hidden", true],
  [network, "change", "hidden", true],
];
for (const [target, type, state, asks] of NEWS) {
  test(`a page that is ${state} after ${type} ${asks ? "asks at once" : "takes its time"}`,
    async () => {
      const room = await inside();
      const blind = await inside({ watchNetwork: false });
      told.length = 0;
      shown.visibilityState = state;
      target.dispatchEvent(new Event(type));
      const asked = told.filter((each) => each === "network-changed").length;
      await Promise.all([room, blind].map((each) => each.leave({ patience: 0 })));
      told.length = 0;
      target.dispatchEvent(new Event(type));
      assert.equal(asked, asks ? 1 : 0);
      assert.deepEqual(told, []);
    });
}
