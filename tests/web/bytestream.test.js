// Streams as they are read, and what their senders are told of it; see
// tests/testing/test_bytestreams.py for the whole way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Arrivals, ByteStream } from "../../src/thkmesh/web/bytestream.js";
import { Ending } from "../../src/thkmesh/web/core/pieces.js";
import { MessageTooLarge, StreamBroken } from "../../src/thkmesh/web/errors.js";
import { Ledger, Readers } from "../../src/thkmesh/web/readers.js";

const PEER = Object.freeze({ id: "a", sid: "b", name: "Ada", metadata: {} });
const SIZE = 100_000;

/** A transfer from one peer, and what its sender is told. */
class Transfer {
  told = 0;
  ledger = new Ledger(({ cost }) => {
    this.told += cost;
  });
  readers = new Readers(this.ledger, true);
  arrivals = new Arrivals(this.ledger);

  /** Let a piece arrive. */
  put(payload = new Uint8Array(SIZE), ending = Ending.GOES_ON, begins = false) {
    const piece = {
      type: /** @type {const} */ ("piece-arrived"), channel: "x", stream: 2, transfer: 7, begins,
      payload, ending, cost: payload.length + 64,
    };
    if (begins) {
      const { taps } = this.readers.deliverStream(PEER, "a.b", piece);
      this.arrivals.begin("a.b", piece, taps);
    }
    this.arrivals.put("a.b", piece);
  }

  /** Let the first one arrive; return what a reader gets. @returns {ByteStream} */
  begin(reader = this.readers.main, payload = new Uint8Array(SIZE)) {
    this.put(payload, Ending.GOES_ON, true);
    const message = /** @type {any} */ (reader.takeNow());
    assert.ok(message.data instanceof ByteStream);
    assert.deepEqual({ ...message, data: null }, {
      type: "message", peer: PEER, data: null, direct: false, channel: "x", key: null,
    });
    return message.data;
  }
}

/** Return the sizes of all chunks. @param {AsyncIterable<Uint8Array>} stream */
async function sizes(stream) {
  const all = [];
  for await (const { length } of stream) all.push(length);
  return all;
}

test("chunks come as they arrive, and end when the last has been taken", async () => {
  const transfer = new Transfer();
  const stream = transfer.begin();
  const reading = sizes(stream);
  await new Promise(setImmediate);
  transfer.put(new Uint8Array(5));
  transfer.put(new Uint8Array(0));
  transfer.put(new Uint8Array(6), Ending.WHOLE);
  assert.deepEqual(await reading, [SIZE, 5, 6]);
  assert.deepEqual(await sizes(stream), []);
});

test("a sender hears of what was read, and not of what lies here", async () => {
  const transfer = new Transfer();
  const stream = transfer.begin();
  for (let count = 0; count < 3; count += 1) transfer.put();
  assert.equal(transfer.told, 0);
  await stream.next();
  assert.equal(transfer.told, SIZE + 64);
  stream.cancel();
  assert.equal(transfer.told, 4 * (SIZE + 64));
  transfer.put();
  assert.equal(transfer.told, 5 * (SIZE + 64));
  assert.deepEqual(await sizes(stream), []);
});

test("what is not whole breaks after what came, and says why", async () => {
  for (const [ending, reason] of /** @type {[number, string][]} */ ([
    [Ending.ABORTED, "its sender gave it up"],
    [Ending.BROKEN, "it has not the length that its sender said"],
  ])) {
    const transfer = new Transfer();
    const stream = transfer.begin();
    transfer.put(new Uint8Array(0), ending);
    assert.equal((await stream.next()).value?.length, SIZE);
    await assert.rejects(stream.next(), new StreamBroken(reason));
    await assert.rejects(stream.readAll(), new StreamBroken(reason));
  }
});

test("transfers of a session, a stream or a channel break together", async () => {
  for (const [which, breaks] of /** @type {[object, boolean][]} */ ([
    [{}, true], [{ source: "a.b" }, true], [{ source: "a.b", stream: 2 }, true],
    [{ channel: "x" }, true], [{ source: "c.d" }, false], [{ source: "a.b", stream: 3 }, false],
    [{ channel: "y" }, false],
  ])) {
    const transfer = new Transfer();
    const stream = transfer.begin();
    transfer.arrivals.breakOff("so it is", which);
    transfer.put(new Uint8Array(1), Ending.WHOLE);
    if (breaks) await assert.rejects(stream.readAll(), new StreamBroken("so it is"));
    else assert.equal((await stream.readAll()).length, SIZE + 1);
  }
});

test("each reader has its own, and the slowest is waited for", async () => {
  const transfer = new Transfer();
  const one = transfer.readers.subscribe();
  const stream = transfer.begin(one);
  transfer.put();
  const late = /** @type {any} */ (transfer.readers.main.takeNow()).data;
  await assert.rejects(late.readAll(), new StreamBroken("nobody was reading here"));
  transfer.put(new Uint8Array(1), Ending.WHOLE);
  assert.equal((await stream.readAll()).length, 2 * SIZE + 1);
  assert.equal(transfer.told >= 2 * SIZE, true);
});

test("who subscribes to what is unread shares it", async () => {
  const transfer = new Transfer();
  transfer.put(new Uint8Array(SIZE), Ending.GOES_ON, true);
  transfer.readers.main.begun = true;
  const other = transfer.readers.subscribe(true);
  const streams = [transfer.readers.main, other].map((each) => (
    /** @type {any} */ (each.takeNow()).data));
  transfer.put(new Uint8Array(1), Ending.WHOLE);
  assert.equal((await streams[0].readAll()).length, SIZE + 1);
  assert.equal(transfer.told, 0);
  assert.equal((await streams[1].readAll()).length, SIZE + 1);
  assert.equal(transfer.told, SIZE + 64);
});

test("who never reads is let go of when others do", async () => {
  const transfer = new Transfer();
  transfer.put(new Uint8Array(SIZE), Ending.GOES_ON, true);
  const other = transfer.readers.subscribe();
  assert.equal(transfer.told, SIZE + 64);
  assert.equal(other.takeNow(), null);
  const { data } = /** @type {any} */ (transfer.readers.main.takeNow());
  await assert.rejects(data.readAll(), StreamBroken);
});

test("it is a ReadableStream too, which asks for no more than it gives", async () => {
  const transfer = new Transfer();
  const stream = transfer.begin();
  transfer.put();
  const reader = stream.readable.getReader();
  await new Promise(setImmediate);
  assert.equal(transfer.told, 0);
  assert.equal((await reader.read()).value?.length, SIZE);
  await reader.cancel();
  assert.equal(transfer.told, 2 * (SIZE + 64));
  const whole = new Transfer();
  const response = new Response(whole.begin().readable);
  whole.put(new Uint8Array(3), Ending.WHOLE);
  assert.equal((await response.arrayBuffer()).byteLength, SIZE + 3);
});

test("reading all has a limit, behind which nothing is waited for", async () => {
  const transfer = new Transfer();
  const stream = transfer.begin();
  transfer.put();
  await assert.rejects(stream.readAll({ limit: SIZE + 1 }), MessageTooLarge);
  transfer.put();
  assert.equal(transfer.told, 3 * (SIZE + 64));
});

test("leaving a loop early keeps what follows", async () => {
  const transfer = new Transfer();
  const stream = transfer.begin();
  transfer.put(new Uint8Array(3), Ending.WHOLE);
  for await (const { length } of stream) {
    assert.equal(length, SIZE);
    break;
  }
  assert.deepEqual(await sizes(stream), [3]);
});
