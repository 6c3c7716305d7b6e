/**
 * What happens in a room: plain objects, told apart by `type`; and whom it happens to.
 * @module
 */

/**
 * One session of one peer in a room.
 * @typedef {object} Peer
 * @property {string} id 26 characters; the hash of the peer's public key
 * @property {string} sid 16 characters; one life of the peer
 * @property {string} name what the peer calls itself; unproven, may repeat
 * @property {Readonly<Record<string, any>>} metadata a JSON object the peer chose
 */

/** @typedef {string | number | boolean | null | Json[] | { [key: string]: Json }} Json */
/** What one message carries: text, bytes, or any other JSON value. @typedef {Uint8Array | Json} Data */
/** What a message carries when it arrives.
 * @typedef {Data | import("./bytestream.js").ByteStream} Content */
/**
 * A value of this type as JSON has it, read only; `never` where JSON has none.
 * @template T
 * @typedef {T extends string | number | boolean | null ? T
 *   : T extends ((...all: any) => any) | symbol | bigint | undefined ? never
 *   : T extends object ? { readonly [K in keyof T]: JsonOf<T[K]> } : never} JsonOf
 */
/**
 * What may be sent: text, bytes, or any other JSON value, interfaces too.
 * @template T
 * @typedef {T extends ArrayBuffer | ArrayBufferView ? T : JsonOf<T>} Sendable
 */
/** How it stands with the direct link to one peer.
 * @typedef {"connecting" | "connected" | "reconnecting" | "closed"} LinkState */
/** What carries messages to and from a peer: a connection between the two; or, slowly and
 * only while needed, the signaling server, which cannot read them.
 * @typedef {"direct" | "relay"} Path */
/** How good a link is, in the words of ITU-T P.800: a message takes up to 50 ms, 150 ms,
 * 275 ms, 400 ms, or more.
 * @typedef {"excellent" | "good" | "fair" | "poor" | "bad"} Grade */
/**
 * What kind of way the datagrams of a link take; null where the browser does not tell.
 * @typedef {object} PathKind
 * @property {string | null} local what our end is, an ICE candidate type (RFC 8445): "host",
 *   an address of this computer; "srflx" or "prflx", one that a NAT lends it; "relay", a TURN
 *   server
 * @property {string | null} remote the same of the other end
 * @property {string | null} protocol "udp" or "tcp"
 * @property {4 | 6 | null} ipVersion
 */
/**
 * How good a link is: measured by its heartbeat, so as fresh as the last ping. One goes out
 * every `heartbeatInterval`, also on an idle link. Figures are smoothed over the last dozens.
 * @typedef {object} Quality
 * @property {Grade} grade in a word; it gets worse at once, better after 10 s
 * @property {number} score from 100 to 0; 20 for each grade
 * @property {number} rtt seconds there and back; the browser's until a ping was answered
 * @property {number} jitter seconds by which one round trip differs from the next
 * @property {number} loss the part of the last pings that was not answered in time, 0 to 1
 * @property {number} queueDelay seconds that what we send now waits for what we sent before
 * @property {number} outgoingRateBytes bytes a second that the other side has acknowledged
 * @property {number} incomingRateBytes bytes a second that came
 * @property {PathKind | null} path what kind of way it is; null before the browser has told
 */
/** How it stands with the signaling server. Links live on without it.
 * @typedef {"connecting" | "connected" | "reconnecting" | "closed"} ServerState */
/** Why a peer is no longer here; `kicked`: see `PeerKicked`.
 * @typedef {"left" | "timeout" | "replaced" | "kicked"} LeaveReason */

/**
 * @typedef {{ type: "peer-joined", peer: Peer }} PeerJoined a peer is in the room
 * @typedef {{ type: "peer-left", peer: Peer, reason: LeaveReason }} PeerLeft it is gone
 * @typedef {{ type: "peer-kicked", id: string, until: number, why: string,
 *   peer: Peer | null }} PeerKicked the server removed a peer from the room, maybe us, and keeps
 *   it out `until` then (seconds since 1970 by its clock); `peer`: its session, if it is here,
 *   and `peer-left` follows
 * @typedef {{ type: "message", peer: Peer, data: Content, direct: boolean, channel: string,
 *   key: string | null }} Message `direct`: sent to us alone, not to the whole room; `channel`:
 *   the name of its channel, here and below, empty for that of the room itself; `key`: what it
 *   is the latest value of, on a channel of such values
 * @typedef {{ type: "lost", peer: Peer, count: number | null, channel: string }} Lost
 *   messages of a peer that will not come: we took in nothing for so long that it gave them
 *   up; null: it is gone without a goodbye, and may have sent more, on any channel
 * @typedef {{ type: "peer-lagging", peer: Peer, count: number, channel: string }} PeerLagging
 *   everybody waited for a peer that takes in nothing, so messages to it were given up
 * @typedef {{ type: "undelivered", peer: Peer, count: number, channel: string }} Undelivered
 *   so many messages to a peer are not known to have arrived: it is gone, or does not listen
 *   to that channel, which was not known yet
 * @typedef {{ type: "link-changed", peer: Peer, state: LinkState }} LinkChanged
 * @typedef {{ type: "path-changed", peer: Peer, path: Path | null }} PathChanged
 *   the relay came into use, or was left: for the direct path, or null where there is neither
 * @typedef {{ type: "quality-changed", peer: Peer, quality: Quality }} QualityChanged
 *   a connected link has its first grade, or another one, or goes another kind of way
 * @typedef {{ type: "server-changed", state: ServerState,
 *   error: import("./errors.js").MeshError | null }} ServerChanged
 * @typedef {{ type: "refused", error: import("./errors.js").PeerError,
 *   peer: Peer | null }} Refused something that arrived was refused and had no effect
 * @typedef {PeerJoined | PeerLeft | PeerKicked | Message | Lost | PeerLagging | Undelivered | LinkChanged
 *   | PathChanged | QualityChanged | ServerChanged | Refused} MeshEvent
 */
/** @typedef {{ [E in MeshEvent as E["type"]]: CustomEvent<E> }} DispatchedEvents */
/**
 * An `EventTarget` whose listeners know what they get.
 * @typedef {{
 *   addEventListener<K extends keyof DispatchedEvents>(type: K,
 *     listener: (event: DispatchedEvents[K]) => void,
 *     options?: boolean | AddEventListenerOptions): void,
 *   removeEventListener<K extends keyof DispatchedEvents>(type: K,
 *     listener: (event: DispatchedEvents[K]) => void,
 *     options?: boolean | EventListenerOptions): void,
 * } & EventTarget} MeshEventTarget
 */

/**
 * Return a peer that nobody can change, its metadata through and through.
 * @param {Peer} peer
 * @returns {Peer}
 */
export function frozenPeer({ id, sid, name, metadata }) {
  // Not recursive: how deep a peer nests its metadata is up to the peer.
  const parts = [/** @type {any} */ (metadata)];
  while (parts.length > 0) {
    const part = parts.pop();
    if (typeof part === "object" && part !== null) {
      Object.freeze(part);
      for (const inner of Object.values(part)) parts.push(inner);
    }
  }
  return Object.freeze({ id, sid, name, metadata });
}
