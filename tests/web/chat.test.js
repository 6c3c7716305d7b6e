// Chat: what is said, who types, and what nobody can make it believe.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";

import { ByteStream } from "../../src/thkmesh/web/bytestream.js";
import {
  Chat, displayed, HISTORY_LENGTH, TYPING_EXPIRY, TYPING_INTERVAL,
} from "../../src/thkmesh/web/chat.js";
import { content, encode } from "../../src/thkmesh/web/core/frames.js";
import { InvalidArgument, MessageTooLarge, RoomClosed } from "../../src/thkmesh/web/errors.js";
import { Subscription } from "../../src/thkmesh/web/subscription.js";

const vectors = JSON.parse(
  await readFile(new URL("../../spec/vectors/chat.json", import.meta.url), "utf8"),
);

/** The public face of a room whose peers share one table; frames are the real ones. */
class TableRoom {
  /** @param {string} name @param {object} me @param {TableRoom[]} table */
  constructor(name, me, table) {
    this.name = name;
    this.me = me;
    this.closed = false;
    this.table = table;
    this.subscriptions = new Set();
    for (const other of table) other.put({ type: "peer-joined", peer: me });
    table.push(this);
  }

  get peers() {
    return this.table.filter((room) => room !== this).map((room) => room.me);
  }

  async send(data, { to } = {}) {
    if (this.closed) throw new RoomClosed("the room was left");
    const { kind, payload } = encode(data);
    const direct = to !== undefined;
    for (const room of this.table) {
      const meant = to === undefined || to === room.me || to === room.me.id;
      if (room === this || !meant) continue;
      const received = content(kind, payload);
      room.put({ type: "message", peer: this.me, data: received, direct });
    }
  }

  subscribe() {
    const subscription = new Subscription(this);
    this.subscriptions.add(subscription);
    return subscription;
  }

  unsubscribe(subscription) {
    this.subscriptions.delete(subscription);
  }

  put(event) {
    for (const subscription of this.subscriptions) subscription.put(event);
  }

  leave(error = null) {
    this.closed = true;
    this.table.splice(this.table.indexOf(this), 1);
    const reason = error === null ? "left" : "timeout";
    for (const other of this.table) other.put({ type: "peer-left", peer: this.me, reason });
    for (const subscription of this.subscriptions) subscription.end(error);
  }
}

/** Return a room for each name, all at one table. */
function meeting(...names) {
  const table = [];
  return names.map((name, number) => {
    const id = String.fromCharCode(97 + number).repeat(26);
    const me = Object.freeze({ id, sid: "0".repeat(16), name, metadata: {} });
    return new TableRoom("lobby", me, table);
  });
}

/** Return the next entry of a type. */
async function told(chat, type) {
  for await (const entry of chat) if (entry.type === type) return entry;
  throw new Error("the room was left");
}

/** Return what others got that nobody has read yet. */
function taken(subscription) {
  const found = [];
  for (let event = subscription.takeNow(); event; event = subscription.takeNow()) {
    if (event.type === "message") found.push(event.data);
  }
  return found;
}

/** Return a chat message as the wire has it, but for the changes. */
function line(author, content = "hi", changes = {}) {
  return {
    type: "chat-message",
    id: "msg_1_2",
    roomId: author.name,
    authorId: author.me.id,
    authorName: author.me.name,
    content,
    timestamp: "2025-11-21T09:55:00.000Z",
    ...changes,
  };
}

// --- the contract with Python -------------------------------------------------------

test("every message is worth what it is worth in Python", async () => {
  assert.ok(vectors.messages.length > 50);
  for (const { data, entries, malformed, forged } of vectors.messages) {
    const table = [];
    const me = (id) => ({ id, sid: "0".repeat(16), name: "", metadata: {} });
    const author = new TableRoom(vectors.room, me(vectors.author), table);
    const chat = new Chat(new TableRoom(vectors.room, me("b".repeat(26)), table));
    await author.send(data);
    await author.send(line(author, "the end"));
    const found = [];
    for await (const entry of chat) {
      if (entry.content === "the end") break;
      const { author: _, peer: __, ...shown } = entry;
      if (shown.plain) {
        delete shown.id;
        delete shown.timestamp;
      }
      found.push(JSON.parse(JSON.stringify(shown)));
    }
    const judged = { entries: found, malformed: chat.malformed, forged: chat.forged };
    assert.deepEqual(judged, { entries, malformed, forged }, JSON.stringify(data));
  }
});

test("a screen shows what it shows in Python", () => {
  for (const { text, shown } of vectors.displayed) assert.equal(displayed(text), shown);
});

// --- saying ---------------------------------------------------------------------------

test("the wire has the seed's message", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  const reader = bob.subscribe();
  const said = await new Chat(ada).say("Hello, world!");
  const [data] = taken(reader);
  const { id, timestamp } = data;
  assert.deepEqual(data, line(ada, "Hello, world!", { id, timestamp }));
  assert.deepEqual(Object.keys(data), Object.keys(vectors.messages[0].data));
  assert.equal(said.timestamp.toISOString(), timestamp);
  assert.match(id, /^msg_[0-9a-f]{12}_\d{13}$/);
});

test("each reader gets every message once, in order, as it was written", async () => {
  const [ada, bob, cem] = meeting("Ada", "Bob", "Cem");
  const readers = [new Chat(bob), new Chat(cem)];
  const speaker = new Chat(ada);
  const texts = ["one", "zwei  zwei", "\u202eevil\x1b[2J", "line\nbreak", "\u{1f600}".repeat(100)];
  for (const text of texts) await speaker.say(text);
  for (const reader of readers) {
    for (const text of texts) {
      const { content, author, direct } = await told(reader, "chat-message");
      assert.deepEqual([content, author, direct], [text, ada.me, false]);
    }
  }
});

test("a stream is not said, and waits for no chat", async () => {
  let cancelled = 0;
  const tap = { close: () => { cancelled += 1; } };
  const table = [];
  const [ada, bob] = ["Ada", "Bob"].map((name, index) => (
    new TableRoom("lobby", { id: String(index), sid: "s", name, metadata: {} }, table)));
  const chat = new Chat(bob);
  const data = new ByteStream(/** @type {any} */ (tap));
  bob.put({ type: "message", peer: ada.me, data, direct: false, channel: "" });
  await ada.send("said");
  const { value } = await chat[Symbol.asyncIterator]().next();
  assert.equal(value.content, "said");
  assert.equal(cancelled, 1);
});

test("something can be said to one alone", async () => {
  const [ada, bob, cem] = meeting("Ada", "Bob", "Cem");
  const [bobs, cems, speaker] = [new Chat(bob), new Chat(cem), new Chat(ada)];
  assert.ok((await speaker.say("psst", { to: bob.me })).direct);
  await speaker.say("all");
  assert.ok((await told(bobs, "chat-message")).direct);
  assert.equal((await told(cems, "chat-message")).content, "all");
});

test("nothing cannot be said, nor too much", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  const [speaker, reader] = [new Chat(ada), new Chat(bob)];
  for (const nothing of ["", " ", "\n\t", null, undefined, new Uint8Array(5), 7]) {
    await assert.rejects(speaker.say(nothing), InvalidArgument);
  }
  await assert.rejects(speaker.say("x".repeat(65_537)), MessageTooLarge);
  assert.deepEqual(speaker.history, []);
  await speaker.say("x".repeat(65_536));
  assert.equal((await told(reader, "chat-message")).content.length, 65_536);
});

test("errors of the room come through", async () => {
  const [ada] = meeting("Ada");
  const chat = new Chat(ada);
  ada.leave(new RoomClosed("the server closed it"));
  await assert.rejects(chat.say("hi"), RoomClosed);
  await assert.rejects(chat.showTyping(), RoomClosed);
  await assert.rejects(chat.next(), RoomClosed);
});

// --- listening ------------------------------------------------------------------------

test("a peer is called what it introduced itself as", async () => {
  const [mallory, bob] = meeting("Mallory", "Bob");
  const chat = new Chat(bob);
  await mallory.send(line(mallory, "hi", { authorName: "Bob" }));
  const { author } = await told(chat, "chat-message");
  assert.equal(chat.nameOf(author), "Mallory");
});

test("other messages of the room are left alone", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  const chat = new Chat(bob);
  const others = ["", " \n", new Uint8Array([1]), 5, [1], { type: "move" }, { type: ["chat-message"] }];
  for (const other of others) await ada.send(other);
  await new Chat(ada).say("hi");
  assert.equal((await chat.next()).value.content, "hi");
  assert.deepEqual([chat.malformed, chat.forged, chat.history.length], [0, 0, 1]);
});

test("coming and going is part of the story", async () => {
  const [ada] = meeting("Ada");
  const chat = new Chat(ada);
  const me = { id: "b".repeat(26), sid: "1".repeat(16), name: "Bob", metadata: {} };
  const bob = new TableRoom("lobby", me, ada.table);
  await new Chat(bob).say("hi");
  const mine = await chat.say("hello");
  bob.leave();
  await told(chat, "peer-left");
  const types = chat.history.map(({ type }) => type);
  assert.deepEqual(types, ["chat-message", "peer-joined", "chat-message", "peer-left"]);
  assert.equal(chat.history[0], mine);
});

test("history is bounded", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  const [speaker, reader] = [new Chat(ada), new Chat(bob)];
  for (let number = 0; number < HISTORY_LENGTH + 5; number += 1) {
    await speaker.say(String(number));
    await told(reader, "chat-message");
  }
  for (const chat of [speaker, reader]) {
    assert.equal(chat.history.length, HISTORY_LENGTH);
    assert.equal(chat.history[0].content, "5");
    assert.equal(chat.history.at(-1).content, String(HISTORY_LENGTH + 4));
  }
});

test("a chat ends with its room or before", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  const [chat, closed] = [new Chat(bob), new Chat(bob)];
  closed.close();
  await new Chat(ada).say("hi");
  await told(chat, "chat-message");
  bob.leave();
  for (const each of [chat, closed]) {
    assert.deepEqual(await each.next(), { done: true, value: undefined });
  }
});

// --- names ----------------------------------------------------------------------------

test("two of one name are told apart", () => {
  const [ada, other, bob, nameless, strasse, street] =
    meeting("Ada", " ada\x1b ", "Bob", "", "Straße", "STRASSE");
  const chat = new Chat(bob);
  const names = [ada, other, bob, nameless, strasse, street].map(({ me }) => chat.nameOf(me));
  assert.deepEqual(
    names, ["Ada#aaaa", "ada#bbbb", "Bob", "dddddddd", "Straße#eeee", "STRASSE#ffff"],
  );
});

test("who looks like somebody else, like nobody or like us is called as in Python", () => {
  assert.ok(vectors.names.length > 10);
  for (const people of vectors.names) {
    const table = [];
    for (const { id, name } of people) {
      new TableRoom("lobby", { id, sid: "0".repeat(16), name, metadata: {} }, table);
    }
    const chat = new Chat(table[0]);
    const found = people.map(({ id, name }) => ({ id, name, called: chat.nameOf({ id, name }) }));
    assert.deepEqual(found, people);
  }
});

// --- typing ---------------------------------------------------------------------------

test("who types is seen until they stop, speak or leave", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  const [typist, watcher] = [new Chat(ada), new Chat(bob)];
  await typist.showTyping();
  assert.ok((await told(watcher, "typing-changed")).typing);
  assert.deepEqual(watcher.typing, [ada.me]);
  await typist.showTyping(false);
  assert.ok(!(await told(watcher, "typing-changed")).typing);
  assert.deepEqual(watcher.typing, []);
  await typist.showTyping();
  await told(watcher, "typing-changed");
  await typist.say("there");
  await told(watcher, "chat-message");
  assert.deepEqual(watcher.typing, []);
  await typist.showTyping();
  await told(watcher, "typing-changed");
  ada.leave();
  await told(watcher, "peer-left");
  assert.deepEqual(watcher.typing, []);
  assert.ok(!watcher.history.some(({ type }) => type === "typing-changed"));
});

test("typing that is not confirmed ends", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  let time = 0;
  const watcher = new Chat(bob, () => time);
  await new Chat(ada).showTyping();
  await told(watcher, "typing-changed");
  time += TYPING_EXPIRY - 0.1;
  assert.deepEqual(watcher.typing, [ada.me]);
  time += 0.2;
  assert.deepEqual(watcher.typing, []);
});

test("a notice for every key would be too many", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  let time = 0;
  const typist = new Chat(ada, () => time);
  const reader = bob.subscribe();
  for (; time < 10; time += 0.125) await typist.showTyping();
  await typist.say("done");
  const notices = taken(reader).filter(({ type }) => type === "chat-typing");
  assert.equal(notices.length, 10 / TYPING_INTERVAL);
});

test("stopping is told only where it is news", async () => {
  const [ada, bob] = meeting("Ada", "Bob");
  let time = 0;
  const typist = new Chat(ada, () => time);
  const reader = bob.subscribe();
  await typist.showTyping(false);
  await typist.showTyping();
  time += TYPING_EXPIRY;
  await typist.showTyping(false);
  await typist.showTyping();
  await typist.say("done");
  await typist.showTyping(false);
  assert.deepEqual(taken(reader).map(({ typing }) => typing), [true, true, undefined]);
});
