/**
 * What `join` is told, checked before anything is started; see `settings.py`.
 * @module
 */

import { encodeJson } from "./core/ijson.js";
import { isRoom } from "./core/identity.js";
import { isSecret, RULE } from "./core/secret.js";
import { PEER_READY_LIMIT_BYTES, VERSIONS } from "./core/wire.js";
import { InvalidArgument } from "./errors.js";
import { parseLink } from "./invitation.js";
import { Identity } from "./keys.js";
import { isSeconds } from "./patience.js";

/** Seconds that each may be, from and to: less breaks good links, more keeps dead ones. */
const TIMES = Object.freeze({
  heartbeatInterval: [0.5, 60],
  disconnectTimeout: [1, 300],
  failedTimeout: [2, 300],
});
const JOIN_TIMEOUT = 10.0;
const NAME_LIMIT = 64;
const METADATA_LIMIT_BYTES = 4096;
const TOKEN_LIMIT = 8192;
const PASSWORD_LIMIT = 256;
const SCHEMES = new Map([["http:", "ws:"], ["https:", "wss:"], ["ws:", "ws:"], ["wss:", "wss:"]]);
const ICE_URL = /^(stuns?|turns?):/;

/**
 * @typedef {object} JoinDetails
 * @property {string} [room] 1 to 64 of `A-Z a-z 0-9 . _ -`; it comes into being when joined;
 *   absent if the link names it
 * @property {string} [url] the signaling server, like `https://example.org`, or the link to a
 *   room, like `https://example.org/#lobby`, maybe with `&secret=...` behind it; the page's own
 *   origin if absent
 * @property {string} [secret] that of a private room, of `newSecret()`; the server does not hear
 *   it. We connect to nobody who has not the same, and they not to us (`refused`); absent: that
 *   of the link, if it has one
 * @property {string} [name] what the others call us; up to 64 characters
 * @property {Readonly<Record<string, any>>} [metadata] a JSON object shown to the others;
 *   up to 4 KiB
 * @property {"tab" | "stable" | Identity} [identity] "tab": one for this tab, kept across
 *   reloads (the default); "stable": the same in all tabs; or one of your own
 * @property {string | (() => string | Promise<string>)} [token] admits us, where the server
 *   asks for one: the token, or a function that returns a fresh one. It is called when we
 *   join, when we come back, and before a token ends; a room that outlives its token needs it
 * @property {string} [password] admits us, where the server asks for one
 * @property {readonly (RTCIceServer | string)[]} [iceServers] beside those the server
 *   offers; URLs or as WebRTC has them
 * @property {"all" | "relay"} [privacy] "relay" hides our addresses from the room
 * @property {boolean} [relay] false never sends messages through the signaling server;
 *   else they go that way, sealed, slowly, and only while there is no direct path
 * @property {number} [timeout] seconds until ServerUnreachable; 10
 * @property {number} [heartbeatInterval] seconds between two pings on each link, 0.5 to 60; 2
 * @property {number} [disconnectTimeout] seconds that a ping may stay unanswered before a link
 *   is reconnected, 1 to 300; 6
 * @property {number} [failedTimeout] seconds that an attempt to connect may take before it has
 *   failed and the next begins, 2 to 300; 15
 * @property {AbortSignal} [signal] gives up joining; of no effect once the room is joined
 * @property {boolean} [receive] false throws events away that nobody would read
 * @property {boolean} [watchNetwork] false does without what the page is told of its
 *   network; only silence then tells that it has changed
 * @property {(line: string) => void} [log] gets a line for each change; silent if absent
 */

/** @typedef {JoinDetails & ({ room: string } | { url: string })} JoinOptions */

/**
 * Return a join's options, complete and checked as far as can be without a network.
 * @param {JoinOptions} options
 * @throws {InvalidArgument} one has the wrong form; the text says what to pass
 */
export function checked(options) {
  if (!isObject(options)) throw new InvalidArgument('join wants options, like { room: "lobby" }');
  const { name = "", metadata = {}, identity = "tab" } = options;
  const { url, room, secret } = invited(options);
  const { timeout = JOIN_TIMEOUT, signal, receive = true, watchNetwork = true, log = () => {} } = options;
  if (typeof room !== "string" || !isRoom(room)) {
    throw new InvalidArgument(`${room} cannot name a room: use 1 to 64 of A-Z a-z 0-9 . _ -`);
  }
  if (secret !== null && (typeof secret !== "string" || !isSecret(secret))) {
    throw new InvalidArgument(RULE);
  }
  const token = shown(options);
  if (!(identity instanceof Identity || identity === "tab" || identity === "stable")) {
    throw new InvalidArgument('identity is "tab", "stable" or an Identity');
  }
  const { relay = true } = options;
  if (typeof relay !== "boolean") throw new InvalidArgument("relay is true or false");
  if (!isSeconds(timeout) || timeout === 0) {
    throw new InvalidArgument("timeout is a number of seconds above 0");
  }
  if (!(signal === undefined || signal instanceof AbortSignal)) {
    throw new InvalidArgument("signal is an AbortSignal");
  }
  if (typeof log !== "function") throw new InvalidArgument("log is a function that gets a line");
  return {
    signaling: {
      url: websocketUrl(url), room, token, secret, relay,
      ...introduced(room, name, metadata, secret === null ? "" : "x".repeat(43)),
    },
    identity,
    connecting: {
      iceServers: iceServers(options.iceServers),
      relayOnly: isRelayOnly(options),
      ...times(options),
    },
    timeout,
    signal,
    receive: Boolean(receive),
    watchNetwork: Boolean(watchNetwork),
    log,
  };
}

/**
 * Return what to join: a link may name the room, and hold its secret.
 * @param {JoinOptions} options
 * @returns {{ url: string | undefined, room: any, secret: any }}
 */
function invited({ url, room, secret }) {
  const none = { url, room: room ?? null, secret: secret ?? null };
  if (typeof url !== "string") return none;
  let link;
  try {
    link = parseLink(new URL(url, globalThis.location?.href).href);
  } catch (error) {
    if (error instanceof InvalidArgument) throw error;
    return none; // told below
  }
  for (const [name, ours, theirs] of [["room", room, link.room], ["secret", secret, link.secret]]) {
    if (ours !== undefined && theirs !== null && ours !== theirs) {
      throw new InvalidArgument(`the link has another ${name}: pass one of the two`);
    }
  }
  return {
    url: link.room === null ? url : link.url,
    room: room ?? link.room,
    secret: secret ?? link.secret,
  };
}

/**
 * Return what is to be shown to the server: a token, what makes them, or a password.
 * @param {JoinOptions} options
 */
function shown({ token = "", password = "" }) {
  if (typeof password !== "string" || [...password].length > PASSWORD_LIMIT) {
    throw new InvalidArgument(`a password is text of up to ${PASSWORD_LIMIT} characters`);
  }
  if (typeof token !== "function") checkToken(token);
  if (password && token) throw new InvalidArgument("pass a token or a password, not both");
  return password || token;
}

/**
 * Return a token if it can be one.
 * @param {unknown} token
 * @throws {InvalidArgument} it cannot
 */
export function checkToken(token) {
  if (typeof token === "string" && token.length <= TOKEN_LIMIT && !/[^\0-\x7f]/.test(token)) {
    return token;
  }
  throw new InvalidArgument(
    `a token is ASCII text of up to ${TOKEN_LIMIT} characters, or a function that returns one`,
  );
}

/**
 * Return what the others are told of us, the metadata as they get it: a copy.
 * @param {string} room
 * @param {unknown} name
 * @param {unknown} metadata
 * @param {string} membership as long as it will be
 * @returns {{ name: string, metadata: Record<string, any> }}
 */
function introduced(room, name, metadata, membership) {
  if (typeof name !== "string" || [...name].length > NAME_LIMIT) {
    throw new InvalidArgument(`a name is text of up to ${NAME_LIMIT} characters`);
  }
  if (!isObject(metadata)) {
    throw new InvalidArgument('metadata is a JSON object, like { color: "blue" }');
  }
  const json = encodeJson(metadata);
  const size = bytesOf(json) + bytesOf(encodeJson(name));
  if (size > METADATA_LIMIT_BYTES) {
    throw new InvalidArgument(
      `name and metadata have ${size} bytes; ${METADATA_LIMIT_BYTES} are allowed`,
    );
  }
  const copy = JSON.parse(json);
  // Quotation marks and the like take more on the wire, where this is text in text.
  const escaped = bytesOf(peerReady(room, introduction(name, copy, "x".repeat(43), membership)));
  if (escaped > PEER_READY_LIMIT_BYTES) {
    throw new InvalidArgument(
      `name and metadata make an introduction of ${escaped} bytes, escaped as it is on its way; `
        + `${PEER_READY_LIMIT_BYTES} are allowed`,
    );
  }
  return { name, metadata: copy };
}

/**
 * Return the signed body of a hello.
 * @param {string} name
 * @param {Record<string, any>} metadata
 * @param {string} [relay] our key for the relay
 * @param {string} [membership] our proof that we know the room's secret
 */
export function introduction(name, metadata, relay = "", membership = "") {
  return JSON.stringify({
    kind: "hello", protocol: VERSIONS, name, ...(relay && { relay }),
    ...(membership && { membership }), metadata,
  });
}

/**
 * Return what the server makes of our hello, as long as it will be.
 * @param {string} roomId
 * @param {string} body
 */
function peerReady(roomId, body) {
  const fromUserId = "x".repeat(26);
  const fromSid = "x".repeat(16);
  const key = "x".repeat(43);
  const signature = "x".repeat(86);
  return JSON.stringify({ type: "peer-ready", roomId, fromUserId, fromSid, key, body, signature });
}

/**
 * Return the times of links that are given.
 * @param {JoinOptions} options
 */
function times({ heartbeatInterval, disconnectTimeout, failedTimeout }) {
  const given = { heartbeatInterval, disconnectTimeout, failedTimeout };
  for (const [name, [least = 0, most = 0]] of Object.entries(TIMES)) {
    const seconds = given[/** @type {keyof typeof given} */ (name)];
    if (seconds === undefined) continue;
    if (!(typeof seconds === "number" && least <= seconds && seconds <= most)) {
      throw new InvalidArgument(`${name} is a number of seconds from ${least} to ${most}`);
    }
  }
  return given;
}

/** @param {JoinDetails} options */
function isRelayOnly({ privacy = "all" }) {
  if (privacy !== "all" && privacy !== "relay") {
    throw new InvalidArgument('privacy is "all" or "relay"');
  }
  return privacy === "relay";
}

/**
 * @param {unknown} servers
 * @returns {RTCIceServer[]}
 */
function iceServers(servers = []) {
  if (!Array.isArray(servers)) {
    throw new InvalidArgument("iceServers is an array of URLs or RTCIceServer");
  }
  return servers.map((server) => {
    const { urls, username, credential } = isObject(server) ? server : { urls: server };
    const all = Array.isArray(urls) ? [...urls] : [urls];
    const named = typeof username === "string" && typeof credential === "string";
    for (const url of all) {
      if (typeof url !== "string" || !ICE_URL.test(url)) {
        throw new InvalidArgument(`${url} is no URL like stun:example.org or turn:example.org`);
      }
      if (url.startsWith("turn") && !named) {
        throw new InvalidArgument(`${url} needs { urls, username, credential }`);
      }
    }
    if (all.length === 0) throw new InvalidArgument("an RTCIceServer has urls");
    return { urls: all, ...(named && { username, credential }) };
  });
}

/** @param {unknown} url */
function websocketUrl(url = "/") {
  const hint = `${url} is no server: pass something like https://example.org`;
  if (typeof url !== "string") throw new InvalidArgument(hint);
  let parts;
  try {
    parts = new URL(url, globalThis.location?.href);
  } catch {
    throw new InvalidArgument(hint);
  }
  const scheme = SCHEMES.get(parts.protocol);
  if (scheme === undefined || parts.search || parts.hash) throw new InvalidArgument(hint);
  return `${scheme}//${parts.host}${parts.pathname.replace(/\/+$/, "")}/ws`;
}

/**
 * @param {unknown} value
 * @returns {value is Record<string, any>}
 */
function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @param {string} text */
const bytesOf = (text) => new TextEncoder().encode(text).length;
