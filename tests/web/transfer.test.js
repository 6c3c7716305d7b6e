// Streams on their way out: any source, in pieces, with backpressure; see
// tests/testing/test_bytestreams.py for the whole way.

import assert from "node:assert/strict";
import { test } from "node:test";

import { PIECE_BYTES } from "../../src/thkmesh/web/core/pieces.js";
import { InvalidArgument } from "../../src/thkmesh/web/errors.js";
import { isStream, sendStream } from "../../src/thkmesh/web/transfer.js";

const wait = () => new Promise((resolve) => { setTimeout(resolve, 5); });

/**
 * Send a source; return the sizes of its pieces, whether it was given up, and what was thrown.
 * @param {any} source
 * @param {{ signal?: AbortSignal, send?: () => Promise<void> }} [options]
 */
async function sent(source, { signal, send = async () => {} } = {}) {
  /** @type {Uint8Array[]} */
  const pieces = [];
  /** @type {boolean[]} */
  const lasts = [];
  let givenUp = false;
  let error = null;
  try {
    await sendStream(source, async (piece, last) => {
      pieces.push(piece);
      lasts.push(last);
      await send();
    }, () => { givenUp = true; }, signal);
    assert.deepEqual(lasts, pieces.map((_, index) => index === pieces.length - 1));
  } catch (thrown) {
    error = thrown;
  }
  return { pieces, sizes: pieces.map(({ length }) => length), givenUp, error };
}

/** @param {...Uint8Array} chunks */
async function* yielding(...chunks) {
  yield* chunks;
}

test("what is a stream, and what is not", () => {
  for (const each of [yielding(), new ReadableStream(), new Blob([]).stream()]) {
    assert.equal(isStream(each), true);
  }
  for (const each of ["x", null, 1, {}, [], new Uint8Array(1), new ArrayBuffer(1)]) {
    assert.equal(isStream(each), false);
  }
});

test("large chunks are cut, small ones share a piece, and nothing is a piece too", async () => {
  const { sizes } = await sent(yielding(new Uint8Array(3 * PIECE_BYTES + 1)));
  assert.deepEqual(sizes, [PIECE_BYTES, PIECE_BYTES, PIECE_BYTES, 1]);
  const small = Array.from({ length: 1000 }, (_, index) => new Uint8Array([index % 256]));
  const { pieces } = await sent(yielding(...small));
  assert.deepEqual([...Buffer.concat(pieces)], small.map(([byte]) => byte));
  assert.ok(pieces.length <= 3, `${pieces.length} pieces`);
  assert.deepEqual((await sent(yielding())).sizes, [0]);
  assert.deepEqual((await sent(yielding(new Uint8Array(0)))).sizes, [0]);
});

test("what a source has said goes out while it waits", async () => {
  let seen = 0;
  const source = async function* slow() {
    yield new Uint8Array(1);
    yield new Uint8Array(2);
    for (let count = 0; seen === 0 && count < 1000; count += 1) await wait();
    yield new Uint8Array(4);
  };
  const { sizes } = await sent(source(), { send: async () => { seen += 1; } });
  assert.deepEqual(sizes, [3, 4]);
});

test("chunks are bytes of all kinds, and copied", async () => {
  const reused = new Uint8Array([1, 2]);
  const source = async function* all() {
    yield reused;
    reused.fill(9);
    yield reused.buffer;
    yield new DataView(new ArrayBuffer(3));
    yield new Uint16Array([1]).subarray(0, 1);
  };
  const { pieces } = await sent(source());
  assert.deepEqual([...Buffer.concat(pieces)], [1, 2, 9, 9, 0, 0, 0, 1, 0]);
  for (const wrong of ["text", null, 7, [1]]) {
    const { error, givenUp } = await sent(yielding(/** @type {any} */ (wrong)));
    assert.ok(error instanceof InvalidArgument);
    assert.equal(givenUp, true);
  }
});

test("a ReadableStream is a source, and a source waits for the way out", async () => {
  let pulled = 0;
  let cancelled = null;
  const endless = () => new ReadableStream({
    pull: (controller) => {
      pulled += 1;
      controller.enqueue(new Uint8Array(PIECE_BYTES));
    },
    cancel: (reason) => { cancelled = reason; },
  }, { highWaterMark: 0 });
  const stop = new AbortController();
  const { signal } = stop;
  setTimeout(() => stop.abort(), 30);
  const stuck = await sent(endless(), { signal, send: () => new Promise(() => {}) });
  assert.equal(stuck.error, signal.reason);
  assert.equal(stuck.givenUp, true);
  assert.ok(pulled <= 5, `${pulled} pulled`);
  assert.equal(cancelled, signal.reason);
  const { sizes } = await sent(new Blob([new Uint8Array(PIECE_BYTES + 7)]).stream());
  assert.equal(sizes.reduce((sum, size) => sum + size), PIECE_BYTES + 7);
});

test("a source that throws, and one that waits while sending fails, are given up", async () => {
  const broken = new Error("broken");
  const throwing = async function* throwing() {
    yield new Uint8Array(1);
    throw broken;
  };
  const thrown = await sent(throwing());
  assert.deepEqual([thrown.error, thrown.givenUp], [broken, true]);
  let closed = false;
  const idle = {
    [Symbol.asyncIterator]: () => ({
      begun: false,
      async next() {
        if (this.begun) await new Promise(() => {});
        this.begun = true;
        return { done: false, value: new Uint8Array(1) };
      },
      async return() {
        closed = true;
        return { done: true, value: undefined };
      },
    }),
  };
  const failed = await sent(idle, { send: async () => { throw broken; } });
  assert.deepEqual([failed.error, failed.givenUp, closed], [broken, true, true]);
});
