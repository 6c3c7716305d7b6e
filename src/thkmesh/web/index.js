/**
 * Rooms in which browser pages and Python processes talk directly.
 *
 *     import { join } from "/thkmesh/index.js";
 *
 *     const room = await join({ room: "lobby", name: "Ada" });
 *     await room.send("hello, everyone");
 *     for await (const event of room) {
 *       if (event.type === "message") console.log(event.peer.name, "says", event.data);
 *     }
 * @module
 */

import { encodeJson } from "./core/ijson.js";
import { isRoom } from "./core/identity.js";
import { InvalidArgument, WrongContext } from "./errors.js";
import { Identity, randomSid, requireCrypto } from "./keys.js";
import { Room } from "./room.js";

export {
  EngineError, IdentityMismatch, IncompatiblePeer, InvalidArgument, InvalidMessage,
  InvalidSignature, JoinError, MeshError, MessageTooLarge, PeerError, ProtocolMismatch, Replaced,
  RoomClosed, RoomFull, ServerUnreachable, Unauthorized, UnknownPeer, UnknownType, Unsigned,
  WrongContext,
} from "./errors.js";
export { Identity } from "./keys.js";
export { Room } from "./room.js";
export { Subscription } from "./subscription.js";

/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/** @typedef {import("./events.js").PeerJoined} PeerJoined */
/** @typedef {import("./events.js").PeerLeft} PeerLeft */
/** @typedef {import("./events.js").Message} Message */
/** @typedef {import("./events.js").Lost} Lost */
/** @typedef {import("./events.js").PeerLagging} PeerLagging */
/** @typedef {import("./events.js").Undelivered} Undelivered */
/** @typedef {import("./events.js").LinkChanged} LinkChanged */
/** @typedef {import("./events.js").ServerChanged} ServerChanged */
/** @typedef {import("./events.js").Refused} Refused */
/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./events.js").Data} Data */
/** @typedef {import("./events.js").Json} Json */
/** @typedef {import("./events.js").LinkState} LinkState */
/** @typedef {import("./events.js").ServerState} ServerState */
/** @typedef {import("./events.js").LeaveReason} LeaveReason */
/** @typedef {import("./room.js").LinkView} LinkView */

const NAME_LIMIT = 64;
const METADATA_LIMIT_BYTES = 4096;
const SCHEMES = new Map([["http:", "ws:"], ["https:", "wss:"], ["ws:", "ws:"], ["wss:", "wss:"]]);

/**
 * @typedef {object} JoinOptions
 * @property {string} room 1 to 64 of `A-Z a-z 0-9 . _ -`; it comes into being when joined
 * @property {string} [url] the signaling server, like `https://example.org`; the page's
 *   own origin if absent
 * @property {string} [name] what the others call us; up to 64 characters
 * @property {Record<string, any>} [metadata] a JSON object shown to the others; up to 4 KiB
 * @property {"tab" | "stable" | Identity} [identity] "tab": one for this tab, kept across
 *   reloads (the default); "stable": the same in all tabs; or one of your own
 * @property {string} [token] for servers that ask for one; not used by this server yet
 * @property {RTCIceServer[]} [iceServers] beside those the server offers
 * @property {"all" | "relay"} [privacy] "relay" hides our addresses from the room
 * @property {number} [timeout] seconds until ServerUnreachable; 10
 * @property {boolean} [receive] false throws events away that nobody would read
 * @property {(line: string) => void} [log] gets a line for each change; silent if absent
 * @property {boolean} [hasty] offer first even where we should wait; for tests
 */

/**
 * Join a room.
 * @param {JoinOptions} options
 * @returns {Promise<Room>}
 * @throws {InvalidArgument} an option has the wrong form
 * @throws {WrongContext} the page is not secure, or the browser too old
 * @throws {JoinError} the server did not answer in time, or refused us
 */
export async function join(options) {
  const settings = check(options);
  requireCrypto();
  if (globalThis.RTCPeerConnection === undefined) {
    throw new WrongContext("this browser has no WebRTC, or it is switched off");
  }
  const identity = await identityOf(options.identity ?? "tab");
  const room = new Room({ ...settings, identity, sid: randomSid() }, {
    iceServers: options.iceServers ?? [],
    relayOnly: options.privacy === "relay",
    receive: options.receive ?? true,
    timeout: options.timeout ?? 10,
    hasty: options.hasty ?? false,
    log: options.log ?? (() => {}),
  });
  await room.enter();
  return room;
}

/** @param {"tab" | "stable" | Identity} wanted */
async function identityOf(wanted) {
  if (wanted instanceof Identity) return wanted;
  if (wanted !== "tab" && wanted !== "stable") {
    throw new InvalidArgument('identity is "tab", "stable" or an Identity');
  }
  return Identity.ofTab(wanted === "stable");
}

/**
 * Check everything that can be checked without a network.
 * @param {JoinOptions} options
 */
function check({ room, url, name = "", metadata = {}, token = "", privacy = "all", timeout = 10 }) {
  if (typeof room !== "string" || !isRoom(room)) {
    throw new InvalidArgument(`${room} cannot name a room: use 1 to 64 of A-Z a-z 0-9 . _ -`);
  }
  if (typeof name !== "string" || [...name].length > NAME_LIMIT) {
    throw new InvalidArgument(`a name is text of up to ${NAME_LIMIT} characters`);
  }
  const size = new TextEncoder().encode(encodeJson(metadata) + encodeJson(name)).length;
  if (typeof metadata !== "object" || size > METADATA_LIMIT_BYTES) {
    throw new InvalidArgument(`metadata is an object of up to ${METADATA_LIMIT_BYTES} bytes`);
  }
  if (privacy !== "all" && privacy !== "relay") {
    throw new InvalidArgument('privacy is "all" or "relay"');
  }
  if (!(timeout > 0)) throw new InvalidArgument("timeout is a number of seconds above 0");
  return { url: websocketUrl(url), room, name, metadata, token };
}

/** @param {string | undefined} url */
function websocketUrl(url) {
  const hint = `${url} is no server: pass something like https://example.org`;
  let parts;
  try {
    parts = new URL(url ?? "/", globalThis.location?.href);
  } catch {
    throw new InvalidArgument(hint);
  }
  const scheme = SCHEMES.get(parts.protocol);
  if (scheme === undefined || parts.search || parts.hash) throw new InvalidArgument(hint);
  return `${scheme}//${parts.host}${parts.pathname.replace(/\/+$/, "")}/ws`;
}
