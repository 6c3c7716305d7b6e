/**
 * The errors of THKMesh, one small tree; the same names as in Python.
 *
 *     MeshError
 *     ├── JoinError              join() could not enter the room
 *     │   ├── ServerUnreachable  no answer from the signaling server in time
 *     │   ├── RoomFull           the room has its maximum of peers
 *     │   ├── Unauthorized       the server refused who we are, or the token
 *     │   │   └── NotGranted     the token does not allow to enter, to make the room, or to remove
 *     │   ├── ProtocolMismatch   no protocol version in common
 *     │   ├── Replaced           a newer session of the same identity took over
 *     │   └── Kicked             we were removed from the room, and may not come back yet
 *     ├── RoomClosed             the room was left, or the server closed it for good
 *     ├── MessageTooLarge        a message is over the limit
 *     ├── UnknownPeer            the addressee is not in the room
 *     ├── NotListening           the addressee does not listen to that channel
 *     ├── ChannelClosed          the channel was closed
 *     ├── ChannelFull            a channel of latest values holds as much as it may
 *     ├── WouldWait              sendNow() would have to wait
 *     ├── StreamBroken           a streamed message ended before it was whole
 *     ├── InvalidArgument        an argument has the wrong form
 *     ├── WrongContext           the page cannot do this; the text says why
 *     ├── EngineError            the browser's WebRTC could not do what it must
 *     └── PeerError              something a remote peer or the server did
 *         ├── InvalidMessage     what arrived does not follow the protocol
 *         │   ├── UnknownType    a message of a type we do not know
 *         │   └── Unsigned       a signal without signature
 *         ├── InvalidSignature   a signal or hello is not signed by its sender
 *         ├── IdentityMismatch   an id is not the hash of the key beside it
 *         ├── NotAMember         a peer has not proven that it knows the room's secret
 *         ├── SecretWanted       a peer is in a room with a secret, and we gave none
 *         └── IncompatiblePeer   a peer speaks no protocol version of ours
 *
 * You meet them from `join`, `send` and iteration; `PeerError`s arrive in events.
 * @module
 */

/** The root of every error THKMesh throws on purpose. */
export class MeshError extends Error {
  /** @param {string} [message] what happened, and what to do about it */
  constructor(message) {
    super(message);
    /** The name of the class, also after minifying. */
    this.name = /** @type {typeof MeshError} */ (this.constructor).label;
  }

  /** The name of the class. */
  static label = "MeshError";
}

/** The room could not be entered. */
export class JoinError extends MeshError {
  static label = "JoinError";
}

/** The signaling server did not answer in time. */
export class ServerUnreachable extends JoinError {
  static label = "ServerUnreachable";
}

/** The room already holds its maximum of peers. */
export class RoomFull extends JoinError {
  static label = "RoomFull";
}

/** The server refused the identity or the token. */
export class Unauthorized extends JoinError {
  static label = "Unauthorized";
}

/**
 * We may not enter the room, bring it into being, or remove others; the text says what.
 *
 * The server knows who we are, but our token, or whatever admitted us, has no such grant.
 */
export class NotGranted extends Unauthorized {
  static label = "NotGranted";
}

/** The two ends have no protocol version in common. */
export class ProtocolMismatch extends JoinError {
  static label = "ProtocolMismatch";
}

/** A newer session of the same identity took this one's place. */
export class Replaced extends JoinError {
  static label = "Replaced";
}

/** We were removed from the room, and may not come back yet. */
export class Kicked extends JoinError {
  static label = "Kicked";
  /** What was said of it, maybe nothing. */
  why;
  /**
   * When we may, in seconds since 1970 by the server's clock; null if that is known from the
   * text alone.
   */
  until;

  /**
   * @param {string} [why]
   * @param {number | null} [until]
   */
  constructor(why = "", until = null) {
    const when = until === null ? ""
      : ` until ${new Date(Math.trunc(until) * 1000).toISOString().replace("T", " ").slice(0, 19)} UTC`;
    super(`removed from the room${when}${why && ": "}${why}`);
    this.why = why;
    this.until = until;
  }
}

/** The room was left or closed; nothing more can be sent or received. */
export class RoomClosed extends MeshError {
  static label = "RoomClosed";
}

/** A message is larger than the limit named in its text. */
export class MessageTooLarge extends MeshError {
  static label = "MessageTooLarge";
}

/** The addressee is not, or no longer, in the room. */
export class UnknownPeer extends MeshError {
  static label = "UnknownPeer";
}

/** The addressee has not opened that channel, so nothing on it reaches it. */
export class NotListening extends MeshError {
  static label = "NotListening";
}

/** The channel was closed; nothing more can be sent on it. */
export class ChannelClosed extends MeshError {
  static label = "ChannelClosed";
}

/** A channel of latest values holds as many keys or bytes as it may; the text says which. */
export class ChannelFull extends MeshError {
  static label = "ChannelFull";
}

/** Too much is waiting already; `send` would wait until some of it has gone. */
export class WouldWait extends MeshError {
  static label = "WouldWait";
}

/** A streamed message ended before it was whole; the text says why. */
export class StreamBroken extends MeshError {
  static label = "StreamBroken";
}

/** An argument has the wrong type or form; the text says what to pass. */
export class InvalidArgument extends MeshError {
  static label = "InvalidArgument";
}

/** The call is not possible here; the text says where it is. */
export class WrongContext extends MeshError {
  static label = "WrongContext";
}

/** The browser's WebRTC failed in a way that ends the room. */
export class EngineError extends MeshError {
  static label = "EngineError";
}

/** A remote peer or the server did something the protocol forbids. */
export class PeerError extends MeshError {
  static label = "PeerError";
  /** The short word used on the wire and in logs. */
  static reason = "peer-error";

  /** The short word used on the wire and in logs. */
  get reason() {
    return /** @type {typeof PeerError} */ (this.constructor).reason;
  }
}

/** A message does not follow the wire protocol. */
export class InvalidMessage extends PeerError {
  static label = "InvalidMessage";
  static reason = "invalid-message";
}

/** A message of a type we do not know; to be counted and skipped. */
export class UnknownType extends InvalidMessage {
  static label = "UnknownType";
  static reason = "unknown-type";
}

/** A signal without our signed fields. */
export class Unsigned extends InvalidMessage {
  static label = "Unsigned";
  static reason = "unsigned";
}

/** A hello or signal is not signed by the peer it names. */
export class InvalidSignature extends PeerError {
  static label = "InvalidSignature";
  static reason = "invalid-signature";
}

/** A peer's id is not the hash of the public key shown with it. */
export class IdentityMismatch extends PeerError {
  static label = "IdentityMismatch";
  static reason = "identity-mismatch";
}

/** A peer has not proven that it knows the room's secret, so nobody connects to it. */
export class NotAMember extends PeerError {
  static label = "NotAMember";
  static reason = "not-a-member";
}

/** A peer is in a room with a secret, which we have not: it does not connect to us. */
export class SecretWanted extends PeerError {
  static label = "SecretWanted";
  static reason = "secret-wanted";
}

/** A peer speaks no version of the protocol that we speak. */
export class IncompatiblePeer extends PeerError {
  static label = "IncompatiblePeer";
  static reason = "protocol-mismatch";
}

/** A signal whose envelope is not that of its body. */
export class WrongEnvelope extends InvalidMessage {
  static label = "WrongEnvelope";
}

/** A signal in its sender's own words, which do not follow the protocol. */
export class MalformedBody extends InvalidMessage {
  static label = "MalformedBody";
  /** What it is worth all the same: what follows it waits for its number. */
  signal;

  /**
   * @param {string} message
   * @param {{ type: "signal-arrived", seq: number, ack: number, body: null }} signal
   */
  constructor(message, signal) {
    super(message);
    this.signal = signal;
  }
}
