/**
 * Messages that travel smaller than they are; see `core/deflate.py`. Browsers deflate
 * aside (https://compression.spec.whatwg.org/), so here both directions take their time.
 * @module
 */

import { InvalidMessage } from "../errors.js";
import { content, DEFLATED, Kind, MESSAGE_LIMIT_BYTES } from "./frames.js";

/** What is no larger is sent as it is. */
export const THRESHOLD_BYTES = 1024;
/** So much of a large message is tried first. */
export const PROBE_BYTES = 4096;
/** So much is deflated at a time. */
const CHUNK_BYTES = 65_536;
/**
 * So much is expanded at a time: some browsers expand all that they are given before
 * anybody can look at it, and that may be a thousand times as much.
 */
const SLICE_BYTES = 8192;

/**
 * Return what comes out of a stream that is given some bytes.
 * @param {CompressionStream | DecompressionStream} stream
 * @param {Uint8Array} bytes
 * @param {number} sliceBytes
 * @param {number} limitBytes
 * @throws {InvalidMessage} that is more
 * @throws {TypeError} they are malformed
 */
async function through({ readable, writable }, bytes, sliceBytes, limitBytes) {
  const writer = writable.getWriter();
  const giving = (async () => {
    for (let at = 0; at < bytes.length; at += sliceBytes) {
      await writer.write(/** @type {any} */ (bytes.subarray(at, at + sliceBytes)));
    }
    await writer.close();
  })();
  giving.catch(() => {}); // reading fails too, and tells
  /** @type {Uint8Array[]} */
  const parts = [];
  let size = 0;
  const reader = readable.getReader();
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    parts.push(next.value);
    size += next.value.length;
    if (size > limitBytes) {
      void reader.cancel().catch(() => {});
      throw new InvalidMessage(`a message of over ${limitBytes} bytes`);
    }
  }
  const out = new Uint8Array(size);
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** @param {Uint8Array} payload */
const deflated = (payload) => (
  through(new CompressionStream("deflate-raw"), payload, CHUNK_BYTES, Infinity));

/**
 * @param {Uint8Array} small
 * @param {Uint8Array} payload
 */
const pays = (small, payload) => small.length * 8 < payload.length * 7;

/**
 * Return whether a message is to be deflated, if that pays.
 * @param {number} kind
 * @param {Uint8Array} payload
 * @param {boolean | null} wanted true deflates bytes too, false nothing; null text and JSON
 */
export function isCandidate(kind, payload, wanted) {
  if (wanted === false || payload.length <= THRESHOLD_BYTES) return false;
  return wanted === true || kind !== Kind.BYTES;
}

/**
 * Return the kind and the payload of a candidate as they travel.
 * @param {number} kind
 * @param {Uint8Array} payload
 */
export async function deflate(kind, payload) {
  if (payload.length > 2 * PROBE_BYTES) {
    const beginning = payload.subarray(0, PROBE_BYTES);
    if (!pays(await deflated(beginning), beginning)) return { kind, payload };
  }
  const small = await deflated(payload);
  return pays(small, payload) ? { kind: kind | DEFLATED, payload: small } : { kind, payload };
}

/** What a message says, as it came; for `data` of a message that nobody has taken yet. */
export class Deflated {
  type = "deflated";
  kind;
  payload;

  /**
   * @param {number} kind
   * @param {Uint8Array} payload
   */
  constructor(kind, payload) {
    this.kind = kind;
    this.payload = payload;
  }

  /**
   * Return what it says.
   * @returns {Promise<import("../events.js").Data>}
   * @throws {InvalidMessage} it is malformed, or more than a message may have
   */
  async expand() {
    let payload;
    try {
      const stream = new DecompressionStream("deflate-raw");
      payload = await through(stream, this.payload, SLICE_BYTES, MESSAGE_LIMIT_BYTES);
    } catch (error) {
      if (error instanceof InvalidMessage) throw error;
      throw new InvalidMessage(`a malformed message, not deflated: ${error}`);
    }
    return content(this.kind, payload);
  }
}
