/**
 * What one datagram on a data channel says; see `core/frames.py` for the format.
 * @module
 */

import { InvalidMessage, MessageTooLarge } from "../errors.js";
import { encodeJson, wellFormed } from "./ijson.js";
import { parseJson } from "./text.js";
import { Reader, write } from "./varint.js";

/** The largest message. */
export const MESSAGE_LIMIT_BYTES = 8 * 1024 * 1024;
/** The largest fragment: any way takes it, with what stands around it. */
export const FRAGMENT_BYTES = 60 * 1024;
/** Messages are cut no finer than this. */
export const LEAST_FRAGMENT_BYTES = 8 * 1024;
/** What an empty fragment counts, so that a million of them are not free. */
export const OVERHEAD_BYTES = 64;
/** So many channels a session has at most, that of the room itself included. */
export const CHANNEL_LIMIT = 256;
/** What a channel's name looks like; the room's own has none. */
export const CHANNEL_NAME = /^[A-Za-z0-9._-]{1,64}$/;
/** The largest message that need not arrive: it fits one packet. */
export const LOSSY_LIMIT_BYTES = 1100;
/** So many numbers behind the one that is expected a report tells of at most. */
export const REPORT_BITS = 256;
/** In place of a kind: no message, only that nothing before will come. */
export const FORWARD = 3;
/** The largest datagram. */
const DATAGRAM_LIMIT_BYTES = 64 * 1024;

/** The room's stream to everybody, and that to us alone. */
export const BROADCAST = 0;
export const DIRECT = 1;

const VERSION = 1;
/** What is added to the kind of a message that is deflated. */
export const DEFLATED = 0x08;
const LAST = 0x04;
const FIRST = 0x10;
const WANTED = 0x04;
const CONTROL = 0x40;
const ACK = 0x41;
const RESUME = 0x42;
const SKIP = 0x43;
const NAME = 0x44;
const LISTEN = 0x45;
const LOSSY = 0x46;
const REPORT = 0x47;
const SKIPPABLE = 0x80;

/** The kinds of message. */
export const Kind = Object.freeze({ TEXT: 0, BYTES: 1, JSON: 2, PIECE: 3 });

/** @typedef {import("../events.js").Data} Data */
/**
 * @typedef {{ type: "ping", n: number } | { type: "pong", n: number } | { type: "bye" }
 *   | { type: "signal", seq: number, ack: number, body: string }
 *   | { type: "kicked", body: string, signature: string }} Control
 */
/**
 * A place in a stream: the number of the next fragment, how many messages end before it,
 * and how many bytes lie before it, `OVERHEAD_BYTES` for each fragment included.
 * @typedef {{ number: number, messages: number, position: number }} Begin
 */
/**
 * What a receiver wants of a stream: the fragment that is expected next, and the position
 * up to which they may come.
 * @typedef {{ number: number, limit: number }} Want
 */
/** What is wanted, by stream. @typedef {Map<number, Want>} Wants */
/**
 * A part of a message; `first` is set on the first, where they come in any order.
 * @typedef {{ type: "fragment", stream: number, number: number, kind: number, last: boolean,
 *   payload: Uint8Array, first?: boolean }} Fragment
 * @typedef {{ type: "ack", wants: Wants }} Ack
 * @typedef {{ type: "resume", wants: Wants }} Resume
 * @typedef {{ type: "skip", stream: number, to: Begin }} Skip
 * @typedef {{ type: "name", channel: number, rule: number, name: string, everybody: Begin,
 *   alone: Begin }} Name
 * @typedef {{ type: "listen", names: string[], revision: number }} Listen
 */
/**
 * A message that need not arrive: `floor` is the lowest number that may still come, and
 * `report` says that its sender wants to know what has come.
 * @typedef {{ type: "lossy", stream: number, number: number, floor: number, kind: number,
 *   payload: Uint8Array, report: boolean }} Lossy
 */
/**
 * What has come of them: nothing before `expected` is wanted any more, and `later` has come.
 * @typedef {{ type: "report", stream: number, expected: number, later: number[] }} Report
 */
/** @typedef {Fragment | Control | Ack | Resume | Skip | Name | Listen | Lossy | Report} Frame */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

// --- messages -------------------------------------------------------------------

/**
 * Return the kind and the payload of a message.
 * @param {Data | ArrayBuffer | ArrayBufferView} data a string, bytes, or a JSON value
 * @returns {{ kind: number, payload: Uint8Array }}
 * @throws {InvalidArgument} it is none of these
 * @throws {MessageTooLarge} its payload is over `MESSAGE_LIMIT_BYTES`
 */
export function encode(data) {
  /** @type {number} */
  let kind;
  /** @type {Uint8Array} */
  let payload;
  if (typeof data === "string") {
    [kind, payload] = [Kind.TEXT, encoder.encode(wellFormed(data))];
  } else if (data instanceof ArrayBuffer) {
    [kind, payload] = [Kind.BYTES, new Uint8Array(data)];
  } else if (ArrayBuffer.isView(data)) {
    kind = Kind.BYTES;
    payload = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  } else {
    [kind, payload] = [Kind.JSON, encoder.encode(encodeJson(data))];
  }
  if (payload.length > MESSAGE_LIMIT_BYTES) {
    const text = `${payload.length} bytes; a message may have ${MESSAGE_LIMIT_BYTES}`;
    throw new MessageTooLarge(text);
  }
  // It is kept until it has arrived; whoever gave it may go on using it.
  return { kind, payload: kind === Kind.BYTES ? payload.slice() : payload };
}

/**
 * Return what a message says.
 * @param {number} kind
 * @param {Uint8Array} payload
 * @returns {Data}
 * @throws {InvalidMessage} it is malformed
 */
export function content(kind, payload) {
  switch (kind) {
    case Kind.TEXT:
      return textOf(payload, kind);
    case Kind.BYTES:
      return payload.slice();
    default:
      return jsonOf(payload, kind);
  }
}

/**
 * @param {Uint8Array} payload
 * @param {number} kind
 */
function textOf(payload, kind) {
  try {
    return decoder.decode(payload);
  } catch (error) {
    throw new InvalidMessage(`a malformed message of kind ${kind}: ${error}`);
  }
}

/**
 * @param {Uint8Array} payload
 * @param {number} kind
 * @returns {any}
 */
function jsonOf(payload, kind) {
  try {
    return parseJson(textOf(payload, kind));
  } catch (error) {
    if (error instanceof InvalidMessage) throw error;
    throw new InvalidMessage(`a malformed message of kind ${kind}: ${error}`);
  }
}

// --- frames ---------------------------------------------------------------------

/**
 * Return a datagram of frames.
 * @param {...Frame} frames
 */
export function datagram(...frames) {
  const writer = new Writer();
  for (const frame of frames) writer.put(frame);
  return writer.finish();
}

/** Puts frames into a datagram. */
export class Writer {
  /** @type {(number[] | Uint8Array)[]} */
  #parts = [[VERSION]];
  /** How many bytes it has, but for the version. */
  size = 0;

  /** @param {Frame} frame */
  put(frame) {
    /** @type {number[]} */
    const head = [];
    switch (frame.type) {
      case "fragment":
        head.push(frame.kind | (frame.last ? LAST : 0) | (frame.first ? FIRST : 0));
        write(head, frame.stream);
        write(head, frame.number);
        write(head, frame.payload.length);
        this.#add(head, frame.payload);
        return;
      case "lossy":
        head.push(LOSSY, frame.kind | (frame.report ? WANTED : 0));
        write(head, frame.stream);
        write(head, frame.number);
        write(head, frame.number - frame.floor);
        if (frame.kind === FORWARD) break;
        write(head, frame.payload.length);
        this.#add(head, frame.payload);
        return;
      case "report":
        head.push(REPORT);
        writeReport(head, frame);
        break;
      case "ack":
        head.push(ACK);
        writeWants(head, frame.wants);
        break;
      case "resume":
        head.push(RESUME);
        writeWants(head, frame.wants);
        break;
      case "name":
        head.push(NAME);
        write(head, frame.channel);
        write(head, frame.rule);
        writeText(head, frame.name);
        writeBegin(head, frame.everybody);
        writeBegin(head, frame.alone);
        break;
      case "listen":
        head.push(LISTEN);
        write(head, frame.revision);
        write(head, frame.names.length);
        for (const name of frame.names) writeText(head, name);
        break;
      case "skip":
        head.push(SKIP);
        write(head, frame.stream);
        writeBegin(head, frame.to);
        break;
      default: {
        const text = encoder.encode(JSON.stringify(frame));
        head.push(CONTROL);
        write(head, text.length);
        this.#add(head, text);
        return;
      }
    }
    this.#add(head);
  }

  /** @param {...(number[] | Uint8Array)} parts */
  #add(...parts) {
    for (const part of parts) {
      this.#parts.push(part);
      this.size += part.length;
    }
  }

  /** Return the datagram. */
  finish() {
    const out = new Uint8Array(1 + this.size);
    let at = 0;
    for (const part of this.#parts) {
      out.set(part, at);
      at += part.length;
    }
    return out;
  }
}

/**
 * @param {number[]} out
 * @param {Report} report
 */
function writeReport(out, { stream, expected, later }) {
  write(out, stream);
  write(out, expected);
  const came = new Uint8Array(Math.ceil(((later.at(-1) ?? expected) - expected) / 8));
  for (const number of later) {
    const bit = number - expected - 1;
    came[bit >> 3] = /** @type {number} */ (came[bit >> 3]) | 1 << (bit & 7);
  }
  write(out, came.length);
  out.push(...came);
}

/**
 * @param {number[]} out
 * @param {Begin} begin
 */
function writeBegin(out, { number, messages, position }) {
  write(out, number);
  write(out, messages);
  write(out, position);
}

/**
 * @param {number[]} out
 * @param {string} name
 */
function writeText(out, name) {
  write(out, name.length);
  for (const byte of encoder.encode(name)) out.push(byte);
}

/**
 * @param {number[]} out
 * @param {Wants} wants
 */
function writeWants(out, wants) {
  write(out, wants.size);
  for (const [stream, { number, limit }] of wants) {
    write(out, stream);
    write(out, number);
    write(out, limit);
  }
}

/**
 * Yield what a datagram says, frame by frame; what may be skipped is left out.
 * @param {Uint8Array} data
 * @returns {Generator<Frame, void, void>}
 * @throws {InvalidMessage} it does not follow the protocol; what came before that counts
 */
export function* parse(data) {
  if (data[0] !== VERSION) {
    throw new InvalidMessage(data.length ? `a datagram of version ${data[0]}` : "an empty datagram");
  }
  if (data.length > DATAGRAM_LIMIT_BYTES) {
    throw new InvalidMessage(`a datagram of ${data.length} bytes`);
  }
  const reader = new Reader(data);
  reader.at = 1;
  while (!reader.done) {
    const head = reader.byte();
    if (head < CONTROL) {
      yield fragmentOf(head, reader);
    } else if (head >= SKIPPABLE) {
      reader.sized();
    } else if (head === CONTROL) {
      const control = controlOf(jsonOf(reader.sized(), head));
      if (control !== null) yield control;
    } else {
      yield bookkeeping(head, reader);
    }
  }
}

/**
 * @param {number} head
 * @param {Reader} reader
 * @returns {Fragment}
 */
function fragmentOf(head, reader) {
  const stream = streamIn(reader);
  const number = reader.number();
  const payload = reader.sized();
  const kind = head & ~LAST & ~FIRST;
  if ((kind & ~DEFLATED) > Kind.PIECE || kind === (Kind.PIECE | DEFLATED)) {
    throw new InvalidMessage(`a fragment of unknown kind ${kind}`);
  }
  const [last, first] = [(head & LAST) !== 0, (head & FIRST) !== 0];
  return { type: "fragment", stream, number, kind, last, payload, first };
}

/**
 * @param {number} head
 * @param {Reader} reader
 * @returns {Frame}
 */
function bookkeeping(head, reader) {
  switch (head) {
    case ACK:
      return { type: "ack", wants: wantsIn(reader) };
    case RESUME:
      return { type: "resume", wants: wantsIn(reader) };
    case SKIP: {
      const stream = streamIn(reader);
      return { type: "skip", stream, to: beginIn(reader) };
    }
    case NAME:
      return naming(reader);
    case LISTEN: {
      const revision = reader.number();
      const names = [];
      for (let count = countIn(reader, CHANNEL_LIMIT - 1); count > 0; count -= 1) {
        names.push(nameIn(reader));
      }
      return { type: "listen", names, revision };
    }
    case LOSSY:
      return lossyIn(reader);
    case REPORT:
      return reportIn(reader);
    default:
      throw new InvalidMessage(`a frame of unknown kind ${head}`);
  }
}

/**
 * @param {Reader} reader
 * @returns {Lossy}
 */
function lossyIn(reader) {
  const flags = countIn(reader, WANTED | FORWARD);
  const stream = streamIn(reader);
  const number = reader.number();
  const floor = number - countIn(reader, number);
  const [kind, report] = [flags & ~WANTED, (flags & WANTED) !== 0];
  const payload = kind === FORWARD ? new Uint8Array(0) : reader.sized();
  if (payload.length > LOSSY_LIMIT_BYTES) {
    throw new InvalidMessage(`a lossy message of ${payload.length} bytes`);
  }
  return { type: "lossy", stream, number, floor, kind, payload, report };
}

/**
 * @param {Reader} reader
 * @returns {Report}
 */
function reportIn(reader) {
  const stream = streamIn(reader);
  const expected = reader.number();
  const came = reader.sized();
  if (8 * came.length > REPORT_BITS) throw new InvalidMessage(`a report of ${came.length} bytes`);
  /** @type {number[]} */
  const later = [];
  came.forEach((byte, at) => {
    for (let bit = 0; bit < 8; bit += 1) {
      if (byte >> bit & 1) later.push(expected + 1 + 8 * at + bit);
    }
  });
  return { type: "report", stream, expected, later };
}

/**
 * @param {Reader} reader
 * @returns {Name}
 */
function naming(reader) {
  const channel = countIn(reader, CHANNEL_LIMIT - 1);
  const rule = reader.number();
  let name = "";
  if (channel > 0) {
    name = nameIn(reader);
  } else if (reader.sized().length > 0 || rule > 0) {
    throw new InvalidMessage("a name for the room itself");
  }
  const everybody = beginIn(reader);
  return { type: "name", channel, rule, name, everybody, alone: beginIn(reader) };
}

/** @param {Reader} reader */
function nameIn(reader) {
  const name = String.fromCharCode(...reader.sized().subarray(0, 80));
  if (!CHANNEL_NAME.test(name)) throw new InvalidMessage(`${name} is no name of a channel`);
  return name;
}

/** @param {Reader} reader */
function streamIn(reader) {
  const stream = reader.number();
  if (stream >= 2 * CHANNEL_LIMIT) throw new InvalidMessage(`an unknown stream, ${stream}`);
  return stream;
}

/**
 * @param {Reader} reader
 * @param {number} limit
 */
function countIn(reader, limit) {
  const count = reader.number();
  if (count > limit) throw new InvalidMessage(`${count}, where ${limit} is the most`);
  return count;
}

/** @param {Reader} reader */
function beginIn(reader) {
  const number = reader.number();
  const messages = reader.number();
  return { number, messages, position: reader.number() };
}

/** @param {Reader} reader */
function wantsIn(reader) {
  /** @type {Wants} */
  const wants = new Map();
  for (let count = countIn(reader, 2 * CHANNEL_LIMIT); count > 0; count -= 1) {
    const stream = streamIn(reader);
    const number = reader.number();
    wants.set(stream, { number, limit: reader.number() });
  }
  return wants;
}

/**
 * @param {any} value
 * @returns {Control | null}
 */
function controlOf(value) {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new InvalidMessage("a control message that is no object");
  }
  switch (value.type) {
    case "ping":
    case "pong":
      return Number.isSafeInteger(value.n) && value.n >= 0 ? { type: value.type, n: value.n } : null;
    case "bye":
      return { type: "bye" };
    case "signal": {
      const { seq, ack, body } = value;
      const numbered = [seq, ack].every((each) => Number.isSafeInteger(each) && each >= 0);
      return numbered && typeof body === "string" ? { type: "signal", seq, ack, body } : null;
    }
    case "kicked": {
      const { body, signature } = value;
      const told = typeof body === "string" && typeof signature === "string";
      return told ? { type: "kicked", body, signature } : null;
    }
    default:
      return null;
  }
}
