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

import { checkIceServers } from "./engine.js";
import { WrongContext } from "./errors.js";
import { Identity, randomSid, requireCrypto } from "./keys.js";
import { unlessAborted } from "./patience.js";
import { Room } from "./room.js";
import { checked } from "./settings.js";

export { ByteStream } from "./bytestream.js";
export { Channel } from "./channel.js";
export {
  ChannelClosed, ChannelFull, EngineError, IdentityMismatch, IncompatiblePeer, InvalidArgument,
  InvalidMessage, InvalidSignature, JoinError, Kicked, MeshError, MessageTooLarge, NotAMember,
  NotGranted, NotListening, PeerError, ProtocolMismatch, Replaced, RoomClosed, RoomFull,
  SecretWanted, ServerUnreachable, StreamBroken, Unauthorized, UnknownPeer, UnknownType, Unsigned,
  WouldWait, WrongContext,
} from "./errors.js";
export { newSecret } from "./invitation.js";
export { Identity } from "./keys.js";
export { Room } from "./room.js";
export { Subscription } from "./subscription.js";

/** @typedef {import("./events.js").MeshEvent} MeshEvent */
/** @typedef {import("./events.js").PeerJoined} PeerJoined */
/** @typedef {import("./events.js").PeerLeft} PeerLeft */
/** @typedef {import("./events.js").PeerKicked} PeerKicked */
/** @typedef {import("./events.js").Message} Message */
/** @typedef {import("./events.js").Lost} Lost */
/** @typedef {import("./events.js").PeerLagging} PeerLagging */
/** @typedef {import("./events.js").Undelivered} Undelivered */
/** @typedef {import("./events.js").LinkChanged} LinkChanged */
/** @typedef {import("./events.js").PathChanged} PathChanged */
/** @typedef {import("./events.js").QualityChanged} QualityChanged */
/** @typedef {import("./events.js").ServerChanged} ServerChanged */
/** @typedef {import("./events.js").Refused} Refused */
/** @typedef {import("./events.js").Peer} Peer */
/** @typedef {import("./events.js").Data} Data */
/** @typedef {import("./events.js").Content} Content */
/** @typedef {import("./transfer.js").Source} Source */
/** @typedef {import("./events.js").Json} Json */
/** @template T @typedef {import("./events.js").Sendable<T>} Sendable */
/** @typedef {import("./settings.js").JoinOptions} JoinOptions */
/** @typedef {import("./events.js").LinkState} LinkState */
/** @typedef {import("./events.js").Path} Path */
/** @typedef {import("./events.js").Quality} Quality */
/** @typedef {import("./events.js").Grade} Grade */
/** @typedef {import("./events.js").PathKind} PathKind */
/** @typedef {import("./events.js").ServerState} ServerState */
/** @typedef {import("./events.js").LeaveReason} LeaveReason */
/** @typedef {import("./room.js").LinkView} LinkView */
/** @typedef {import("./channel.js").ChannelOptions} ChannelOptions */

/**
 * Join a room.
 * @param {JoinOptions} options
 * @returns {Promise<Room>}
 * @throws {InvalidArgument} an option has the wrong form
 * @throws {WrongContext} the page is not secure, or the browser too old
 * @throws {JoinError} the server did not answer in time, or refused us
 * @throws {any} the reason of `signal`, aborted before the room was joined
 */
export async function join(options) {
  const { signaling, identity: wanted, connecting, ...rest } = checked(options);
  requireCrypto();
  if (globalThis.RTCPeerConnection === undefined) {
    throw new WrongContext("this browser has no WebRTC, or it is switched off");
  }
  checkIceServers(connecting.iceServers);
  rest.signal?.throwIfAborted();
  const identity = await identityOf(wanted, rest.signal);
  const settings = { ...signaling, identity, sid: randomSid() };
  const room = new Room(settings, { ...connecting, ...rest, hasty: false });
  await room.enter();
  return room;
}

/**
 * @param {"tab" | "stable" | Identity} wanted
 * @param {AbortSignal | undefined} signal
 */
async function identityOf(wanted, signal) {
  if (wanted instanceof Identity) return wanted;
  const taken = Identity.ofTab(wanted === "stable");
  try {
    return await unlessAborted(taken, signal);
  } catch (error) {
    // Nobody will use what comes.
    taken.then(({ release }) => release(), () => {});
    throw error;
  }
}
