// What comes over the WebSocket, and what it is worth; see tests/signaling.

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";

import { helloPayload, partsOf, sessionKey, signalPayload } from "../../src/thkmesh/web/core/identity.js";
import { Identity } from "../../src/thkmesh/web/keys.js";
import { Sealer } from "../../src/thkmesh/web/sealing.js";
import { SignalingClient } from "../../src/thkmesh/web/signaling.js";

const ROOM = "lobby";

/** A WebSocket of which a test holds the other end. */
class FakeSocket extends EventTarget {
  static OPEN = 1;
  /** @type {FakeSocket | undefined} */
  static last;
  readyState = FakeSocket.OPEN;
  bufferedAmount = 0;
  /** @type {string[]} */
  sent = [];

  /** @param {string} url */
  constructor(url) {
    super();
    this.url = url;
    FakeSocket.last = this;
  }

  /** @param {string} text */
  send(text) {
    this.sent.push(text);
  }

  closed = false;

  close() {
    this.closed = true;
    this.readyState = 2;
  }

  /** @param {object} message */
  say(message) {
    this.dispatchEvent(Object.assign(new Event("message"), { data: JSON.stringify(message) }));
  }
}
/** What was thrown where nobody could catch it: bugs. @type {unknown[]} */
const bugs = [];
const reportError = (/** @type {unknown} */ error) => bugs.push(error);
Object.assign(globalThis, { WebSocket: FakeSocket, reportError });
afterEach(() => assert.deepEqual(bugs.splice(0), []));

/**
 * Return a client with an open WebSocket, what it feeds, and a peer that signs.
 * @param {Sealer | null} sealing what the peer seals with
 * @param {string | (() => string | Promise<string>)} token what we show
 */
async function client(sealing = null, token = /** @type {any} */ ("")) {
  const [mine, theirs] = [await Identity.generate(), await Identity.generate()];
  const me = sessionKey(mine.id, "00000000000000aa");
  const peer = sessionKey(theirs.id, "00000000000000bb");
  /** @type {any[]} */
  const events = [];
  /** @type {() => void} */
  let ended = () => {};
  const end = new Promise((resolve) => {
    ended = () => resolve(undefined);
  });
  const signaling = new SignalingClient(
    {
      url: "ws://server/ws", room: ROOM, identity: mine, sid: "00000000000000aa",
      name: "", metadata: {}, token, relay: sealing !== null,
    },
    (event) => (event.type === "heard" ? ended() : events.push(event)),
  );
  signaling.open();
  const socket = /** @type {FakeSocket} */ (FakeSocket.last);
  const body = JSON.stringify({ kind: "hello", protocol: [1, 1], name: "Ada", relay: sealing?.publicKey });
  socket.say({
    type: "peer-ready", roomId: ROOM, fromUserId: theirs.id, fromSid: "00000000000000bb",
    key: theirs.publicKey, body,
    signature: await theirs.sign(helloPayload(ROOM, peer, theirs.publicKey, body)),
  });
  const signal = async (/** @type {string} */ type, /** @type {number} */ seq,
    /** @type {string} */ text) => socket.say({
    type, roomId: ROOM, fromUserId: theirs.id, fromSid: "00000000000000bb",
    toUserId: mine.id, toSid: "00000000000000aa", seq, ack: 0, body: text,
    signature: await theirs.sign(signalPayload(ROOM, peer, me, seq, text)),
  });
  // What comes last has been understood when everything before it has.
  const settled = () => {
    socket.say({ type: "pong", n: 1 });
    return end;
  };
  return { signaling, socket, events, me, peer, signal, settled };
}

for (const text of ["", "[", "{}", '{"kind":"restart"}', '{"kind":"restart","wanted":-1}']) {
  test(`a malformed signal is reported, and its number passes: ${text}`, async () => {
    const { signaling, events, peer, signal, settled } = await client();
    await signal("webrtc-restart", 1, text);
    await settled();
    assert.deepEqual(events.map(({ type }) => type),
      ["introduced", "suspected", "signal-verified"]);
    assert.equal(events[1].claimed, peer);
    assert.equal(events[1].error.reason, "invalid-message");
    assert.deepEqual(events[2], {
      type: "signal-verified", source: peer,
      signal: { type: "signal-arrived", seq: 1, ack: 0, body: null },
    });
    assert.equal(signaling.unknown, 0);
  });
}

test("a signal in the wrong envelope waits for its own, which is not signed", async () => {
  const { events, peer, signal, settled } = await client();
  const text = '{"kind":"restart","wanted":2}';
  await signal("webrtc-answer", 1, text);
  await signal("webrtc-restart", 1, text);
  await settled();
  assert.deepEqual(events.map(({ type }) => type), ["introduced", "suspected", "signal-verified"]);
  assert.equal(events[1].error.reason, "invalid-message");
  assert.deepEqual(events[2].signal.body, { kind: "restart", wanted: 2 });
  assert.equal(events[2].source, peer);
});

for (const fields of [{}, { fromSid: "00000000000000bb", toSid: "00000000000000aa" }]) {
  test(`the seed's signal is unsigned, whoever it is for: ${JSON.stringify(fields)}`, async () => {
    const { socket, events, me, peer, settled } = await client();
    socket.say({
      type: "webrtc-offer", roomId: ROOM, ...fields,
      fromUserId: partsOf(peer).id, toUserId: partsOf(me).id, offer: { type: "offer", sdp: "v=0" },
    });
    await settled();
    assert.deepEqual(events.map(({ type }) => type), ["introduced", "suspected"]);
    assert.equal(events[1].error.name, "Unsigned");
  });
}

test("a message larger than a welcome may be is refused unread", async () => {
  const { socket, events, settled } = await client();
  const pong = { type: "pong", n: 0, junk: "" };
  const space = 1024 * 1024 - JSON.stringify(pong).length;
  socket.say({ ...pong, junk: "x".repeat(space + 1) });
  socket.say({ ...pong, junk: "\u00e9".repeat(space / 2 + 1) });
  socket.say({ ...pong, junk: "\u20ac".repeat(space / 3 + 1) });
  socket.say({ type: "peer-left", junk: "x".repeat(900_000) });
  await settled();
  assert.deepEqual(events.map(({ type }) => type), ["introduced", ...Array(4).fill("suspected")]);
  const reasons = events.slice(1).map(({ error }) => error.message);
  for (const reason of reasons.slice(0, 3)) assert.match(reason, /more than a welcome may have/);
  assert.match(reasons[3], /the field roomId/);
});

test("what could not be sealed makes no room scarce", async () => {
  const theirs = await Sealer.generate(ROOM, sessionKey("b".repeat(26), "00000000000000bb"));
  const { signaling, socket, peer, settled } = await client(theirs);
  await settled();
  const { subtle } = crypto;
  const encrypt = subtle.encrypt.bind(subtle);
  subtle.encrypt = async () => {
    throw new Error("out of order");
  };
  const datagram = new Uint8Array(60_000);
  for (let count = 0; count < 8; count += 1) {
    signaling.relay(peer, datagram);
    await signaling.flushed();
  }
  assert.equal(bugs.splice(0).length, 8);
  subtle.encrypt = encrypt;
  signaling.relay(peer, datagram);
  await signaling.flushed();
  assert.equal(socket.sent.filter((each) => typeof each !== "string").length, 1);
});

for (const gone of [{ type: "peer-left" }, { type: "welcome", epoch: "e", resume: "r", peers: [] }]) {
  test(`keys are dropped with their session: ${gone.type}`, async () => {
    const theirs = await Sealer.generate(ROOM, sessionKey("b".repeat(26), "00000000000000bb"));
    const { signaling, socket, peer, settled } = await client(theirs);
    const { id, sid } = partsOf(peer);
    socket.say({ roomId: ROOM, userId: id, sid, reason: "left", ...gone });
    await settled();
    signaling.relay(peer, new Uint8Array(1));
    await signaling.flushed();
    assert.deepEqual(socket.sent, []);
  });
}

/**
 * Return the tokens that were said so far, in hellos and beside.
 * @param {FakeSocket} socket
 */
const tokens = (socket) => socket.sent.map((text) => JSON.parse(text)).map(
  ({ type, token }) => [type, token]);

/**
 * Wait until what a token was needed for has been said, if the token is there.
 * @param {SignalingClient} signaling
 */
async function said(signaling) {
  await new Promise((resolve) => setImmediate(resolve));
  await signaling.flushed();
}

test("a token that never comes keeps nobody, and one that is late is for its own WebSocket", async () => {
  /** @type {((token: string) => void)[]} */
  const wanted = [];
  const { signaling, socket: first } = await client(
    null, () => new Promise((resolve) => wanted.push(resolve)));
  const again = async () => {
    signaling.close();
    signaling.open();
    await said(signaling);
    return /** @type {FakeSocket} */ (FakeSocket.last);
  };
  signaling.hello("nonce", "");
  const second = await again();
  assert.ok(first.closed);
  signaling.hello("nonce", "");
  wanted[0]("late");
  await said(signaling);
  assert.deepEqual([first, second].map(tokens), [[], []]);
  wanted[1]("in time");
  await said(signaling);
  signaling.renew();
  const third = await again();
  wanted[2]("late");
  await said(signaling);
  assert.ok(second.closed);
  assert.deepEqual([first, second, third].map(tokens), [[], [["hello", "in time"]], []]);
});

test("a token that is a text is said in every hello, and never beside", async () => {
  const { signaling, socket } = await client(null, "fixed");
  signaling.hello("nonce", "");
  signaling.renew();
  signaling.hello("nonce", "resume");
  await signaling.flushed();
  assert.deepEqual(tokens(socket), [["hello", "fixed"], ["hello", "fixed"]]);
});

test("a function is asked for a fresh token each time", async () => {
  let count = 0;
  const { signaling, socket } = await client(null, async () => `token ${count += 1}`);
  signaling.hello("nonce", "");
  await said(signaling);
  signaling.renew();
  await said(signaling);
  signaling.hello("nonce", "resume");
  await said(signaling);
  assert.deepEqual(tokens(socket),
    [["hello", "token 1"], ["token", "token 2"], ["hello", "token 3"]]);
});

for (const [what, token] of /** @type {[string, any][]} */ ([
  ["throws", () => { throw new Error("no login"); }],
  ["rejects", async () => { throw new Error("no login"); }],
  ["returns no text", () => 7],
  ["returns no ASCII", () => "\u00e9"],
])) {
  test(`a function that ${what} ends the connection, and another one is made`, async () => {
    const { signaling, socket, events, settled } = await client(null, token);
    await settled();
    signaling.hello("nonce", "");
    await signaling.flushed();
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(socket.sent, []);
    const lost = events.at(-1);
    assert.deepEqual([lost.type, lost.code], ["socket-lost", 1006]);
    assert.match(lost.reason, /^there is no token: Error: no login|a token is ASCII text/);
  });
}
