// Rooms as a page sees them, with a server and a page of which the tests hold the other end.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { Chat } from "../../src/thkmesh/web/chat.js";
import { helloPayload, kickedPayload, sessionKey } from "../../src/thkmesh/web/core/identity.js";
import {
  ChannelClosed, EngineError, InvalidArgument, MessageTooLarge, NotGranted, RoomClosed, UnknownPeer,
  WouldWait,
} from "../../src/thkmesh/web/errors.js";
import { newSecret } from "../../src/thkmesh/web/invitation.js";
import { Identity, Membership } from "../../src/thkmesh/web/keys.js";
import { Room } from "../../src/thkmesh/web/room.js";
import { Sealer } from "../../src/thkmesh/web/sealing.js";
import { SignalingClient } from "../../src/thkmesh/web/signaling.js";

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
  bufferedAmount = 0;
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

  /** @param {string | Uint8Array} text */
  send(text) {
    const { type } = typeof text === "string" ? JSON.parse(text) : { type: "frame" };
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

/** Return the introduction of the peer. */
async function ready(fields = {}) {
  const body = JSON.stringify({
    kind: "hello", protocol: [1, 1], name: "Bob", metadata: { deep: { er: [1] } }, ...fields,
  });
  const payload = helloPayload(ROOM, sessionKey(bob.id, SID), bob.publicKey, body);
  return {
    type: "peer-ready", roomId: ROOM, fromUserId: bob.id, fromSid: SID, key: bob.publicKey, body,
    signature: await bob.sign(payload),
  };
}
FakeServer.ready = await ready();

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
/** What they were told to send. @type {any[]} */
const sends = [];

/** A host whose browser makes no connections, and that hears what sessions are told. */
const HOST = {
  open() {
    throw new EngineError("not in this test");
  },
  adopt(driver) {
    const feed = driver.feed.bind(driver);
    driver.feed = (event) => {
      told.push(event.type);
      if (event.type === "send") sends.push(event);
      if (event.type === "send-all") {
        sends.push(...event.messages.map(([channel, kind, payload]) => ({ channel, kind, payload })));
      }
      feed(event);
    };
  },
};

/** Return a room, not entered. */
async function outside(
  options = {}, metadata = {}, identity = undefined, { host = HOST, ...more } = {},
) {
  const settings = {
    url: "ws://server/ws", room: ROOM, identity: identity ?? await Identity.generate(), sid: SID,
    name: "Ada", metadata, token: "", relay: true, ...more,
  };
  return new Room(settings, {
    iceServers: [], relayOnly: false, receive: true, watchNetwork: true, timeout: 10,
    hasty: false, log: () => {},
    ...options,
  }, host);
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

test("what is sealed last goes before our word that we leave", async (t) => {
  const key = sessionKey(bob.id, SID);
  const unsealed = FakeServer.ready;
  FakeServer.ready = await ready({ relay: (await Sealer.generate(ROOM, key))?.publicKey });
  const hello = t.mock.method(SignalingClient.prototype, "hello");
  const { subtle } = crypto;
  const encrypt = subtle.encrypt.bind(subtle);
  t.mock.method(subtle, "encrypt", async (...what) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    return encrypt(...what);
  });
  const room = await inside();
  hello.mock.calls[0].this.relay(key, new Uint8Array(100));
  await room.leave({ patience: 0 });
  FakeServer.ready = unsealed;
  assert.deepEqual(FakeServer.all[0].heard.slice(-2), ["frame", "leave"]);
});

// --- channels ---------------------------------------------------------------------------

const MEGABYTE = new Uint8Array(1024 * 1024);

/** Send to who never connects until no more is taken; return how many megabytes that is. */
function fill(channel, options = {}) {
  for (let count = 0; count < 32; count += 1) {
    try {
      channel.sendNow(MEGABYTE, options);
    } catch (error) {
      assert.ok(error instanceof WouldWait, String(error));
      return count;
    }
  }
  throw new Error("it never ends");
}

/** Return what is said next under that type. */
const next = (room, type) => new Promise((resolve) => {
  room.addEventListener(type, ({ detail }) => resolve(detail), { once: true });
});

/** Have the peer leave. */
function part({ peers: [{ id: userId, sid }] }) {
  FakeServer.all[0].say({ type: "peer-left", roomId: ROOM, userId, sid, reason: "left" });
}

test("a channel has a name, and keeps what it was opened with", async () => {
  const room = await inside();
  for (const name of ["", "a b", "é", "x\n", "x".repeat(65), 7, undefined]) {
    assert.throws(() => room.channel(name), InvalidArgument);
  }
  for (const options of [{ delivery: "perhaps" }, { priority: "top" }, { priority: "toString" }]) {
    assert.throws(() => room.channel("x", options), InvalidArgument);
  }
  const channel = room.channel("x".repeat(64), { priority: "high" });
  assert.equal(room.channel("x".repeat(64), { priority: "high" }), channel);
  assert.throws(() => room.channel("x".repeat(64)), InvalidArgument);
  for (let number = 1; number < 255; number += 1) room.channel(`number-${number}`);
  assert.throws(() => room.channel("one-more"), InvalidArgument);
  await room.channel("number-1").close();
  assert.ok(!room.channel("number-1").closed);
  await room.leave({ patience: 0 });
  assert.ok(channel.closed);
  assert.throws(() => room.channel("number-2"), RoomClosed);
});

test("options of delivery that contradict each other are refused, as in Python", async () => {
  const room = await inside();
  for (const [options, hint] of [
    [{ maxRetransmits: 1, maxPacketLifeTime: 1000 }, /not both/],
    [{ delivery: "reliable", maxRetransmits: 1 }, /leave delivery out/],
    [{ delivery: "unordered", maxPacketLifeTime: 1 }, /leave delivery out/],
    [{ delivery: "reliable", ordered: false }, /leave one/],
    [{ delivery: "unordered", ordered: true }, /leave one/],
    [{ ordered: 1 }, /ordered is/],
    [{ maxRetransmits: -1 }, /0 to 65535/],
    [{ maxRetransmits: 1.5 }, /0 to 65535/],
    [{ maxPacketLifeTime: 65_536 }, /0 to 65535/],
    [{ maxPacketLifeTime: "1" }, /0 to 65535/],
  ]) {
    assert.throws(() => room.channel("x", options), (error) => (
      error instanceof InvalidArgument && hint.test(error.message)), JSON.stringify(options));
  }
  const channel = room.channel("x", { maxPacketLifeTime: 500 });
  assert.equal(room.channel("x", { delivery: "realtime", ordered: true, maxPacketLifeTime: 500 }),
    channel);
  assert.throws(() => room.channel("x", { maxRetransmits: 2 }), InvalidArgument);
  assert.throws(() => channel.sendNow("x".repeat(1101)), MessageTooLarge);
  await assert.rejects(channel.send("x".repeat(1101)), MessageTooLarge);
  await channel.send("x".repeat(1100));
  await channel.close();
  assert.throws(() => room.channel("x"), /another delivery/);
  assert.notEqual(room.channel("x", { maxPacketLifeTime: 500 }), channel);
  assert.equal(room.channel("y", { ordered: false }), room.channel("y", { delivery: "unordered" }));
  await room.leave({ patience: 0 });
});

test("what is sent on a closed channel is refused, and iterating over it ends", async () => {
  const room = await inside();
  const channel = room.channel("x");
  const reading = Promise.all([typesOf(channel), typesOf(channel.subscribe())]);
  await channel.close();
  await channel.close();
  assert.deepEqual(await reading, [[], []]);
  await assert.rejects(channel.send("too late"), ChannelClosed);
  assert.throws(() => channel.sendNow("too late"), ChannelClosed);
  const other = room.channel("x");
  assert.notEqual(other, channel);
  const ending = typesOf(other);
  await room.leave({ patience: 0 });
  assert.deepEqual(await ending, []);
  await assert.rejects(other.send("too late"), RoomClosed);
  await assert.rejects(other.flush(), RoomClosed);
  await other.close();
});

test("a channel that is still closing can be opened again", async () => {
  const room = await inside();
  const channel = room.channel("x");
  await channel.send("to who never connects");
  const closing = channel.close();
  const again = room.channel("x", { priority: "low" });
  assert.notEqual(again, channel);
  assert.ok(!again.closed);
  await again.send("accepted");
  part(room);
  await closing;
  assert.ok(!again.closed);
  await room.leave({ patience: 0 });
});

test("who does not want to wait is told, on each channel and for each peer", async () => {
  const room = await inside();
  const [peer] = room.peers;
  const channel = room.channel("x");
  assert.equal(fill(channel), 16);
  assert.equal(fill(room), 16);
  assert.equal(fill(channel, { to: peer }), 16);
  assert.equal(fill(room, { to: peer.id }), 16);
  assert.throws(() => room.sendNow("x", { to: { ...peer, sid: SID.replace("a", "b") } }), UnknownPeer);
  assert.throws(() => room.sendNow("x", { to: "nobody" }), UnknownPeer);
  assert.throws(() => room.sendNow(() => 1), InvalidArgument);
  await room.leave({ patience: 0 });
  assert.throws(() => room.sendNow("too late"), RoomClosed);
});

test("what a listener sends without waiting is told of if it cannot be", async () => {
  const room = await inside();
  const [peer] = room.peers;
  room.addEventListener("peer-left", ({ detail }) => {
    room.sendNow("goodbye", { to: detail.peer });
    assert.throws(() => {
      for (let count = 0; count <= 1024; count += 1) room.sendNow("to everybody");
    }, WouldWait);
  });
  const undelivered = next(room, "undelivered");
  part(room);
  assert.deepEqual(
    await undelivered, { type: "undelivered", peer, count: 1, channel: "" });
  room.sendNow("and on it goes");
  await room.leave({ patience: 0 });
});

test("what is deflated is not overtaken on its channel, and waits for no other", async () => {
  const room = await inside();
  const channel = room.channel("x");
  const large = "so it goes, line after line. ".repeat(10_000);
  const controller = new AbortController();
  sends.length = 0;
  const all = [
    channel.send(large), channel.send("small"), channel.send({ large }),
    assert.rejects(channel.send(large, { signal: controller.signal })),
  ];
  controller.abort();
  assert.throws(() => channel.sendNow("now"), WouldWait);
  room.sendNow("elsewhere");
  const closing = channel.close();
  await Promise.all(all);
  assert.deepEqual(sends.map(({ kind }) => kind), [0, 8, 0, 10]);
  assert.ok(sends[1].payload.length < large.length / 2);
  told.length = 0;
  room.sendNow("now");
  void room.send(large);
  part(room);
  await closing;
  await room.leave({ patience: 0 });
  assert.deepEqual(sends.slice(4).map(({ kind }) => kind), [0, 8]);
  assert.ok(told.findLastIndex((type) => type.startsWith("send")) < told.indexOf("leave"));
});

test("a stream goes where everything arrives in order, and waits for nothing deflated", async () => {
  const room = await inside();
  let begun = 0;
  async function* source() {
    begun += 1;
    yield new Uint8Array([1]);
  }
  const options = [
    { delivery: "unordered" }, { delivery: "latest" }, { delivery: "realtime" },
  ];
  for (const [index, each] of options.entries()) {
    const channel = room.channel(`x${index}`, each);
    await assert.rejects(channel.send(source()), InvalidArgument);
    assert.throws(() => channel.sendNow(source()), InvalidArgument);
  }
  const channel = room.channel("x");
  await assert.rejects(channel.send(source(), { key: "k" }), InvalidArgument);
  assert.throws(() => channel.sendNow(source()), /use send/);
  assert.throws(() => room.sendNow(source()), /use send/);
  assert.equal(begun, 0);
  told.length = 0;
  const large = "so it goes, line after line. ".repeat(10_000);
  await Promise.all([channel.send(large), channel.send(source()), room.send(source())]);
  assert.equal(begun, 2);
  assert.equal(told.filter((type) => type === "send-piece").length, 2);
  await room.leave({ patience: 0 });
});

test("flushing waits for what was sent before, and can be given up", async () => {
  const room = await inside();
  const channel = room.channel("x");
  await room.send("to who never connects");
  await channel.flush(); // nothing was sent on it
  const [reason, given] = [new Error("no longer wanted"), new AbortController()];
  const flushing = assert.rejects(room.flush({ signal: given.signal }), (each) => each === reason);
  given.abort(reason);
  await flushing;
  await assert.rejects(room.flush({ signal: given.signal }), (each) => each === reason);
  const flushed = room.flush();
  part(room);
  await flushed;
  await room.leave({ patience: 0 });
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

test("what one turn says behind its first message goes together, in order", async () => {
  const room = await inside();
  sends.length = 0;
  told.length = 0;
  const asked = () => told.filter((type) => type.startsWith("send") || type === "flush");
  for (let number = 0; number < 5; number += 1) await room.send(number);
  assert.deepEqual(asked(), ["send"]);
  await new Promise((resolve) => {
    setTimeout(resolve, 20);
  });
  assert.deepEqual(asked(), ["send", "send-all"]);
  for (let number = 5; number < 8; number += 1) room.sendNow(number);
  const flushed = assert.rejects(room.flush());
  assert.deepEqual(asked(), ["send", "send-all", "send", "send-all", "flush"]);
  const said = sends.map(({ payload }) => Number(new TextDecoder().decode(payload)));
  assert.deepEqual(said, [0, 1, 2, 3, 4, 5, 6, 7]);
  for (let number = 8; number < 12; number += 1) room.sendNow(number);
  await room.leave({ patience: 0 });
  await flushed;
  assert.equal(sends.length, 12);
  assert.ok(told.lastIndexOf("send-all") < told.indexOf("leave"));
});

// --- the server's word ----------------------------------------------------------------

test("other ICE servers are taken over by what is connected, and by what will be", async () => {
  /** @type {any[]} */
  const configs = [];
  const connection = {
    reconfigure: (/** @type {any} */ config) => configs.push(["changed", config]),
    perform() {},
    send: () => true,
    bufferedBytes: () => 0,
    markLow() {},
    close: async () => {},
  };
  const host = {
    open(/** @type {any} */ config) {
      configs.push(["opened", config]);
      return connection;
    },
    adopt() {},
  };
  const own = { urls: ["stun:own"] };
  let ours = await Identity.generate();
  while (ours.id >= bob.id) ours = await Identity.generate(); // so that it is we who open
  const room = await outside({ iceServers: [own] }, {}, ours, { host });
  await room.enter();
  const turn = { urls: ["turn:x"], username: "1:me", credential: "secret" };
  for (const iceServers of [[turn], [turn], []]) {
    FakeServer.all[0].say({ type: "ice-servers", iceServers });
  }
  for (let count = 0; count < 100 && configs.length < 3; count += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual(configs.map(([what, { iceServers }]) => [what, iceServers]),
    [["opened", [own]], ["changed", [own, turn]], ["changed", [own]]]);
  await room.leave({ patience: 0 });
});

test("a room knows what it may do, by the server's last word", async () => {
  const room = await inside();
  assert.deepEqual([...room.grants], ["join", "send", "relay", "create", "list"]);
  FakeServer.all[0].say({ type: "token", expires: 9, grants: ["join", "kick"] });
  for (let count = 0; count < 100 && room.grants.size !== 2; count += 1) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.deepEqual([...room.grants], ["join", "kick"]);
  await room.leave({ patience: 0 });
});
// --- removing -------------------------------------------------------------------------

test("what no server removes is refused at once, and the text says what to pass", async () => {
  const room = await inside();
  for (const [peer, options, sentence] of [
    ["Bob", {}, /a peer, or a peer's id/],
    [undefined, {}, /a peer, or a peer's id/],
    [room.me, {}, /to go yourself, leave/],
    [bob.id, { duration: 0 }, /seconds from 1 to 31536000/],
    [bob.id, { duration: NaN }, /seconds from 1/],
    [bob.id, { duration: "9" }, /seconds from 1/],
    [bob.id, { reason: "x".repeat(201) }, /up to 200 characters/],
    [bob.id, { reason: 7 }, /up to 200 characters/],
  ]) {
    await assert.rejects(room.ban(peer, options), (error) => (
      error instanceof InvalidArgument && sentence.test(error.message)));
  }
  await assert.rejects(room.ban(bob.id, { signal: AbortSignal.abort(new Error("mine")) }), /mine/);
  assert.equal(room.invitation, `http://server/#${ROOM}`);
  await room.leave({ patience: 0 });
  await assert.rejects(room.kick(bob.id), RoomClosed);
});

test("who removes whom is up to the server, and a removal is a signed statement", async () => {
  const [key, secret] = [await Identity.generate(), newSecret()];
  const membership = await new Membership(secret, ROOM)
    .proof(sessionKey(bob.id, SID), bob.publicKey);
  FakeServer.ready = await ready({ membership });
  const room = await inside({}, {}, undefined, { secret });
  assert.deepEqual(room.peers.map(({ id }) => id), [bob.id]);
  const [server] = /** @type {[FakeServer]} */ (FakeServer.all);
  await assert.rejects(room.kick(bob.id), (error) => (
    error instanceof NotGranted && /removes nobody/.test(error.message)));
  const welcome = { type: "welcome", roomId: ROOM, epoch: "e", resume: "r" };
  const time = 1.8e12;
  told.length = 0;
  server.say({ ...welcome, peers: [FakeServer.ready], roomKey: key.publicKey, time });
  await until(() => told.includes("welcomed"));
  const refused = room.kick(bob.id, { reason: "spam" });
  await until(() => server.heard.includes("kick"));
  server.say({ type: "error", reason: "not-granted", message: "no", n: 1 });
  await assert.rejects(refused, NotGranted);
  const asked = room.ban(bob.id);
  const body = JSON.stringify(
    { kind: "kicked", userId: bob.id, at: time, until: time + 60_000, reason: "spam" });
  const signature = await key.sign(kickedPayload(ROOM, body));
  const forged = await (await Identity.generate()).sign(kickedPayload(ROOM, body));
  server.say({ type: "kicked", roomId: ROOM, body, signature: forged });
  await until(() => told.includes("suspected"));
  assert.equal(room.peers.length, 1);
  server.say({ type: "kicked", roomId: ROOM, body, signature });
  await asked;
  assert.deepEqual(room.peers, []);
  FakeServer.ready = await ready();
  await room.leave({ patience: 0 });
});

/** Wait until something holds. @param {() => boolean} holds */
async function until(holds) {
  for (let turn = 0; turn < 1000 && !holds(); turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  assert.ok(holds());
}
