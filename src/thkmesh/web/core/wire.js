/**
 * The messages on the signaling WebSocket, checked once, here; see `core/wire.py`.
 *
 * Objects as they travel: camelCase names, told apart by `type` (messages) or `kind`
 * (signed bodies). Decoding fills in what may be absent, drops what we do not know,
 * and throws `InvalidMessage` for what is wrong.
 * @module
 */

import { InvalidMessage, UnknownType, Unsigned, WrongEnvelope } from "../errors.js";
import { parseJson } from "./text.js";

/** The protocol version this code speaks. */
export const PROTOCOL = 1;
/** The lowest and highest protocol version this code speaks. */
export const VERSIONS = Object.freeze([PROTOCOL, PROTOCOL]);
/** The largest message to a client: a welcome introduces everybody. */
export const WELCOME_LIMIT_BYTES = 1024 * 1024;
/** The largest statement that somebody is removed, whatever its reason. */
export const KICKED_LIMIT_BYTES = 2 * 1024;
/** Seconds that nobody is kept out longer, at one time: a year. */
export const KICK_LIMIT = 31_536_000;
/** The largest introduction, as the server passes it on. */
export const PEER_READY_LIMIT_BYTES = 6 * 1024;

/** @typedef {(value: any, path: string) => any} Check returns the value, or throws */
/** @typedef {{ check: Check, absent?: any, optional: boolean }} Field */

/**
 * @param {string} expected
 * @param {string} path
 * @returns {never}
 */
function wrong(expected, path) {
  throw new InvalidMessage(`Expected ${expected} - at \`${path}\``);
}

/**
 * @param {number} longest in characters
 * @param {number} [shortest]
 * @returns {Check}
 */
const text = (longest, shortest = 0) => (value, path) => {
  if (typeof value !== "string") return wrong("a string", path);
  // Characters, not UTF-16 units, as Python counts them.
  const length = value.length > longest ? [...value].length : value.length;
  if (length > longest || value.length < shortest) {
    return wrong(`a string of ${shortest} to ${longest} characters`, path);
  }
  return value;
};

/**
 * @param {RegExp} pattern
 * @returns {Check}
 */
const matching = (pattern) => (value, path) =>
  typeof value === "string" && pattern.test(value) && !value.endsWith("\n")
    ? value
    : wrong(`a string like ${pattern}`, path);

/**
 * @param {number} lowest
 * @param {number} [end] the lowest above that is too high
 * @returns {Check}
 */
const integer = (lowest, end = Infinity) => (value, path) =>
  Number.isSafeInteger(value) && value >= lowest && value < end
    ? value : wrong(`an integer >= ${lowest}`, path);

/** @type {Check} */
const boolean = (value, path) => (typeof value === "boolean" ? value : wrong("a boolean", path));

/** @type {Check} */
const number = (value, path) => (Number.isFinite(value) ? value : wrong("a number", path));

/** @type {Check} */
const seconds = (value, path) => (number(value, path) > 0 ? value : wrong("a number > 0", path));

/** @type {Check} */
const duration = (value, path) =>
  number(value, path) >= 0 ? value : wrong("a number >= 0", path);

/** @type {Check} */
const object = (value, path) =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? value
    : wrong("an object", path);

/**
 * @param {...string} words
 * @returns {Check}
 */
const oneOf = (...words) => (value, path) =>
  words.includes(value) ? value : wrong(`one of ${words.join(", ")}`, path);

/**
 * @param {Check} check
 * @param {number} [most]
 * @returns {Check}
 */
const listOf = (check, most = Infinity) => (value, path) =>
  Array.isArray(value) && value.length <= most
    ? value.map((item, index) => check(item, `${path}[${index}]`))
    : wrong(`an array of at most ${most}`, path);

/** @type {Check} */
const versions = (value, path) =>
  Array.isArray(value) && value.length === 2
    ? listOf(integer(1))(value, path)
    : wrong("an array of two", path);

/**
 * @param {Check} check
 * @returns {Check}
 */
const orNull = (check) => (value, path) => (value === null ? null : check(value, path));

/**
 * @param {Record<string, Field>} fields
 * @returns {Check}
 */
const record = (fields) => (value, path) => {
  object(value, path);
  /** @type {Record<string, any>} */
  const result = {};
  for (const [name, { check, absent, optional }] of Object.entries(fields)) {
    if (Object.hasOwn(value, name)) result[name] = check(value[name], `${path}.${name}`);
    else if (optional) result[name] = absent;
    else wrong(`the field ${name}`, path);
  }
  return result;
};

/**
 * @param {Check} check
 * @returns {Field}
 */
const must = (check) => ({ check, optional: false });

/**
 * @param {Check} check
 * @param {any} absent
 * @returns {Field}
 */
const may = (check, absent) => ({ check, absent, optional: true });

const room = matching(/^[A-Za-z0-9._-]{1,64}$/);
const userId = text(128, 1);
const sid = matching(/^[0-9a-f]{16}$/);
const count = integer(0);
const positive = integer(1);
const short = text(256);
const key = text(43, 43);
const signature = text(86, 86);
/** A time by the server's clock, in milliseconds since 1970. */
const millis = integer(0, 2 ** 47);
const body = text(48 * 1024);

const description = record({ type: must(oneOf("offer", "answer")), sdp: must(text(32 * 1024)) });

const peerReady = {
  roomId: must(room),
  fromUserId: must(userId),
  fromSid: may(sid, ""),
  key: may(key, ""),
  body: may(body, ""),
  signature: may(signature, ""),
};

const signal = {
  roomId: must(room),
  fromUserId: must(userId),
  toUserId: must(userId),
  fromSid: may(sid, ""),
  toSid: may(sid, ""),
  seq: may(count, 0),
  ack: may(count, 0),
  body: may(body, ""),
  signature: may(signature, ""),
};

const kicked = {
  roomId: must(room),
  body: must(text(KICKED_LIMIT_BYTES)),
  signature: must(signature),
};

const iceServer = record({
  urls: must(listOf(text(512))),
  username: may(orNull(text(Infinity)), null),
  credential: may(orNull(text(Infinity)), null),
});

/** What may be done, where nothing else is said; see `core/grants.py`. */
export const OPEN_GRANTS = Object.freeze(["join", "send", "relay", "create", "list"]);

/** @type {Check} */
const secondsLeft = (value, path) =>
  (number(value, path) >= 0 ? value : wrong("a number >= 0", path));

const permit = {
  expires: may(orNull(secondsLeft), null),
  grants: may(listOf(short, 64), OPEN_GRANTS),
};

/** @type {Record<string, Check>} */
const TO_CLIENT = {
  challenge: record({ nonce: must(short), epoch: must(short), protocol: must(versions) }),
  welcome: record({
    roomId: must(room),
    epoch: must(short),
    resume: must(short),
    resumed: may(boolean, false),
    peers: may(listOf(record(peerReady)), []),
    iceServers: may(listOf(iceServer), []),
    maxPeers: may(positive, 10),
    pingInterval: may(seconds, 20.0),
    relayBytes: may(count, 0),
    roomKey: may(text(43), ""),
    time: may(millis, 0),
    kicked: may(listOf(record(kicked)), []),
    ...permit,
  }),
  token: record({ ...permit, renew: may(boolean, false) }),
  "ice-servers": record({ iceServers: may(listOf(iceServer), []) }),
  "peer-ready": record(peerReady),
  "peer-left": record({
    roomId: must(room),
    userId: must(userId),
    sid: must(sid),
    reason: may(oneOf("left", "timeout", "replaced"), "left"),
  }),
  "signal-refused": record({
    toUserId: must(userId),
    toSid: may(sid, ""),
    seq: may(count, 0),
    reason: may(short, "unknown-session"),
  }),
  error: record({
    reason: must(short),
    message: may(text(1024), ""),
    retryAfter: may(orNull(number), null),
    n: may(count, 0),
  }),
  moving: record({ retryAfter: may(duration, 0.0) }),
  pong: record({ n: may(count, 0) }),
  kicked: record(kicked),
  "webrtc-offer": record({ ...signal, offer: may(orNull(description), null) }),
  "webrtc-answer": record({ ...signal, answer: may(orNull(description), null) }),
  "webrtc-ice-candidate": record({ ...signal, candidate: may(orNull(object), null) }),
  "webrtc-restart": record(signal),
  "webrtc-ack": record(signal),
};

const candidate = record({
  candidate: must(text(1024)),
  usernameFragment: must(text(256)),
  sdpMid: may(orNull(short), null),
  sdpMLineIndex: may(orNull(count), null),
});

/** @type {Record<string, Check>} */
const BODIES = {
  offer: record({ generation: must(positive), round: must(positive), offer: must(description) }),
  answer: record({ generation: must(positive), round: must(positive), answer: must(description) }),
  candidates: record({ generation: must(positive), candidates: must(listOf(candidate, 64)) }),
  restart: record({ wanted: must(positive) }),
};

const introduction = record({
  protocol: must(versions),
  name: may(text(64), ""),
  features: may(listOf(short), []),
  media: may(boolean, false),
  relay: may(text(43), ""),
  membership: may(text(43), ""),
  metadata: may(object, {}),
});

const expulsion = record({
  userId: must(userId),
  at: must(millis),
  until: must(millis),
  reason: may(text(200), ""),
});

/** Which envelope carries which body; any other pairing is invalid. */
export const ENVELOPES = Object.freeze({
  offer: "webrtc-offer",
  answer: "webrtc-answer",
  candidates: "webrtc-ice-candidate",
  restart: "webrtc-restart",
});

/**
 * @typedef {{ candidate: string, usernameFragment: string, sdpMid: string | null,
 *   sdpMLineIndex: number | null }} CandidateInit
 */
/**
 * @typedef {{ kind: "offer", generation: number, round: number,
 *     offer: { type: "offer" | "answer", sdp: string } }
 *   | { kind: "answer", generation: number, round: number,
 *     answer: { type: "offer" | "answer", sdp: string } }
 *   | { kind: "candidates", generation: number, candidates: CandidateInit[] }
 *   | { kind: "restart", wanted: number }} SignalBody
 */
/**
 * @typedef {{ protocol: [number, number], name: string, features: string[], media: boolean,
 *   relay: string, membership: string, metadata: Record<string, any> }} Introduction
 */

/**
 * @param {string} json
 * @param {string} tag the name of the field that tells messages apart
 * @returns {any}
 */
function parse(json, tag) {
  let value;
  try {
    value = parseJson(json);
  } catch (error) {
    throw new InvalidMessage(`not JSON: ${error}`);
  }
  object(value, "$");
  if (typeof value[tag] !== "string") wrong(`the field ${tag}`, "$");
  return value;
}

/**
 * Decode what a server sent.
 * @param {string} json
 * @returns {any} a message of ours, with `type`
 * @throws {UnknownType} its `type` is not one of ours; skip it
 * @throws {InvalidMessage} it is not JSON, or a field is missing or out of range
 */
export function decodeToClient(json) {
  const value = parse(json, "type");
  if (!Object.hasOwn(TO_CLIENT, value.type)) throw new UnknownType(`no type ${value.type}`);
  const check = /** @type {Check} */ (TO_CLIENT[value.type]);
  return { type: value.type, ...check(value, "$") };
}

/**
 * Decode the body of a signal whose signature has been verified.
 * @param {any} message a signal
 * @returns {SignalBody}
 * @throws {Unsigned} it has no signed body
 * @throws {UnknownType} its `kind` is not one of ours; skip it
 * @throws {WrongEnvelope} it is in that of another kind
 * @throws {InvalidMessage} it is malformed
 */
export function decodeSignalBody(message) {
  if (!(message.body && message.signature && message.fromSid && message.toSid)) {
    throw new Unsigned("signals are signed: sids, body and signature are missing");
  }
  const body = decodeBody(message.body);
  if (ENVELOPES[body.kind] !== message.type) {
    throw new WrongEnvelope(`a body of kind ${body.kind} in a ${message.type}`);
  }
  return body;
}

/**
 * Decode the body of a signal.
 * @param {string} text
 * @returns {SignalBody}
 * @throws {UnknownType} its `kind` is not one of ours; skip it
 * @throws {InvalidMessage} it is malformed
 */
export function decodeBody(text) {
  const value = parse(text, "kind");
  if (!Object.hasOwn(BODIES, value.kind)) throw new UnknownType(`no kind ${value.kind}`);
  const check = /** @type {Check} */ (BODIES[value.kind]);
  return { kind: value.kind, ...check(value, "$") };
}

/**
 * Decode the body of `kicked`, whose signature has been verified.
 * @param {string} json
 * @returns {{ userId: string, at: number, until: number, reason: string }}
 * @throws {UnknownType} it is of another kind
 * @throws {InvalidMessage} it is malformed
 */
export function decodeExpulsion(json) {
  const value = parse(json, "kind");
  if (value.kind !== "kicked") throw new UnknownType(`no statement, but ${value.kind}`);
  return expulsion(value, "$");
}

/**
 * Decode the body of a hello.
 * @param {string} json
 * @returns {Introduction}
 * @throws {UnknownType} it is no hello at all
 * @throws {InvalidMessage} it is malformed
 */
export function decodeIntroduction(json) {
  const value = parse(json, "kind");
  if (value.kind !== "hello") throw new UnknownType(`no kind ${value.kind}`);
  return introduction(value, "$");
}
